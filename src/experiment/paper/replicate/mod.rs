//! Replications: the runs behind every table and figure of the paper.
//!
//! Owns which rows belong to what (`naive`: Figure 1 and part of Tables 1 and 4; `baselines`: Tables 1, 4 and 5; `hybrid`:
//! Figure 4; `replay`: Table 6; `grid-search`: appendix A.2; `ablation`: Table 7; `rotated-mnist`: Figure 5a) and their
//! settings. Rows come from the released commands ([`crate::experiment::paper::released`]); ablation, rotated MNIST and Figure 4's rows with
//! ten examples a class have no command and are written down here.

mod corrections;

use std::collections::BTreeSet;

use crate::experiment::paper::published;
use crate::experiment::paper::released::{Command, ReleasedGrid, UnknownArgument, commands};
use crate::experiment::plan::settings::{self, Origin, Plan, SettingError, Settings};
use crate::settings::Named;

/// A table or figure of the paper that is replicated.
pub struct Replication {
    /// Name on the command line.
    pub name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Its rows on a stream, before corrections; `epochs` matters to `baselines` only.
    rows: fn(&PaperStream, usize) -> Result<Vec<Row>, ReplicateError>,
}

/// Everything that can be replicated.
pub static REPLICATIONS: &[&Replication] = &[
    &NAIVE,
    &BASELINES,
    &HYBRID,
    &REPLAY,
    &GRID_SEARCH,
    &ABLATION,
    &FIGURE_5A,
];

static NAIVE: Replication = Replication {
    name: "naive",
    description: "Naive optimizers beside TAG's: Figure 1.",
    rows: |stream, epochs| released("experiment_naive", stream, epochs),
};
static BASELINES: Replication = Replication {
    name: "baselines",
    description: "TAG-RMSProp and the baselines: Tables 1 and 4, with five epochs Table 5.",
    rows: |stream, epochs| released("experiment_baselines", stream, epochs),
};
static HYBRID: Replication = Replication {
    name: "hybrid",
    description: "Methods with RMSProp and TAG-RMSProp updates: Figure 4.",
    rows: |stream, epochs| released("experiment_hybrid", stream, epochs).map(with_larger_memory),
};
static REPLAY: Replication = Replication {
    name: "replay",
    description: "A-GEM and ER with larger memories: Table 6.",
    rows: |stream, epochs| released("appendix_replay", stream, epochs).map(named_by_memory),
};
static GRID_SEARCH: Replication = Replication {
    name: "grid-search",
    description: "The search for hyper-parameters: appendix A.2.",
    rows: |stream, epochs| released("appendix_gs", stream, epochs),
};
static ABLATION: Replication = Replication {
    name: "ablation",
    description: "Other rules for α: Table 7.",
    rows: |stream, epochs| released("experiment_naive", stream, epochs).map(ablation),
};
static FIGURE_5A: Replication = Replication {
    name: "rotated-mnist",
    description: "Rotated MNIST: Figure 5a.",
    rows: |_, _| Ok(rotated_mnist()),
};

/// A stream of the paper, under its name in the released scripts.
pub struct PaperStream {
    /// Name on the command line.
    pub name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// The value of `--dataset` in the released commands.
    argument: &'static str,
    /// Other names that mean it: lower case, without hyphens, underscores and blanks.
    aliases: &'static [&'static str],
}

/// The streams of the paper.
pub static PAPER_STREAMS: &[&PaperStream] =
    &[&CIFAR, &MINI_IMAGENET, &CUB, &FIVE_DATA, &ROTATED_MNIST];

static CIFAR: PaperStream = PaperStream {
    name: "cifar",
    description: "Split-CIFAR100.",
    argument: "cifar100",
    aliases: &["cifar", "cifar100", "splitcifar100"],
};
static MINI_IMAGENET: PaperStream = PaperStream {
    name: "mini_imagenet",
    description: "Split-miniImageNet.",
    argument: "mini_imagenet",
    aliases: &["miniimagenet", "splitminiimagenet"],
};
static CUB: PaperStream = PaperStream {
    name: "cub",
    description: "Split-CUB.",
    argument: "cub",
    aliases: &["cub", "splitcub"],
};
static FIVE_DATA: PaperStream = PaperStream {
    name: "5data",
    description: "5-dataset.",
    argument: "5data",
    aliases: &["5data", "5dataset"],
};
/// Figure 5a's, which no script has.
pub static ROTATED_MNIST: PaperStream = PaperStream {
    name: "rot-mnist",
    description: "Rotated MNIST.",
    argument: "rot-mnist",
    aliases: &["rotmnist", "rotatedmnist"],
};

macro_rules! named {
    ($type:ident, $what:literal, $table:ident) => {
        impl Named for $type {
            const WHAT: &'static str = $what;
            fn all() -> &'static [&'static Self] {
                $table
            }
            fn name(&self) -> &'static str {
                self.name
            }
            fn description(&self) -> &'static str {
                self.description
            }
        }
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }
    };
}

named!(Replication, "replication", REPLICATIONS);
named!(PaperStream, "data set", PAPER_STREAMS);

impl PaperStream {
    /// Whether a replication is this stream's alone, so that its command names no data set.
    #[must_use]
    pub fn is_whole(&self, what: &Replication) -> bool {
        *self == ROTATED_MNIST && *what == FIGURE_5A
    }

    /// The stream that was meant: the scripts' name, the benchmark's or the paper's.
    #[must_use]
    pub fn parse_any(name: &str) -> Option<&'static Self> {
        let plain = name.to_lowercase().replace(['-', '_', ' '], "");
        let mut all = PAPER_STREAMS.iter().copied();
        all.find(|stream| stream.aliases.contains(&plain.as_str()))
    }
}

/// One row of a table: a configuration, or a search, over seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The method's name in the paper, with the memory (`M=5`) where a table has several.
    pub label: String,
    /// Where the settings come from.
    pub source: String,
    /// Settings by key, without those of the grid.
    pub settings: Vec<(&'static str, String)>,
    /// The grid that is searched.
    pub grid: Option<ReleasedGrid>,
    /// Disagreements between script, log and paper.
    pub notes: Vec<&'static str>,
}

impl Row {
    /// Sets or replaces a setting.
    pub fn set(&mut self, key: &'static str, value: &str) {
        match self.settings.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value.to_string(),
            None => self.settings.push((key, value.to_string())),
        }
    }

    /// Name of the row's benchmark.
    #[must_use]
    pub fn benchmark(&self) -> &str {
        let found = self.settings.iter().find(|(key, _)| *key == "benchmark");
        found.map_or("", |(_, name)| name.as_str())
    }

    /// The settings, with `more` on top (from the command line).
    ///
    /// # Errors
    /// [`SettingError`] for a key that does not exist.
    pub fn settings_with(&self, more: &[(&str, String)]) -> Result<Settings, SettingError> {
        let mut settings = Settings::default();
        for (key, value) in &self.settings {
            settings.set(key, value, Origin::File(self.source.clone()))?;
        }
        for (key, value) in more {
            settings.set(key, value, Origin::CommandLine)?;
        }
        Ok(settings)
    }

    /// The runs of a row without a grid.
    ///
    /// # Errors
    /// [`SettingError`] naming the setting.
    pub fn plan(&self, more: &[(&str, String)]) -> Result<Plan, SettingError> {
        self.settings_with(more)?.plan()
    }
}

/// What cannot be replicated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicateError {
    /// That table has no such data set.
    #[error("{what} has no rows for {dataset}; {remedy}")]
    NoSuchRows {
        /// What was asked for.
        what: &'static str,
        /// For which data set.
        dataset: &'static str,
        /// What there is.
        remedy: &'static str,
    },
    /// `--only` names rows that are not there.
    #[error("no row `{found}` here; rows: {known}")]
    NoSuchLabel {
        /// What was written.
        found: String,
        /// The rows.
        known: String,
    },
    /// A command that the settings cannot express.
    #[error("{0}")]
    Command(#[from] UnknownArgument),
}

/// The rows of one replication; `epochs` matters to `baselines` only.
///
/// # Errors
/// [`ReplicateError::NoSuchRows`] where the paper has none.
pub fn rows(
    what: &Replication,
    stream: &PaperStream,
    epochs: usize,
) -> Result<Vec<Row>, ReplicateError> {
    let rotated = *stream == ROTATED_MNIST;
    if rotated != (*what == FIGURE_5A) {
        return Err(ReplicateError::NoSuchRows {
            what: what.name,
            dataset: stream.name,
            remedy: if rotated {
                "Figure 5a is `tagcl replicate rotated-mnist`"
            } else {
                "rotated-mnist stands for itself: `tagcl replicate rotated-mnist`"
            },
        });
    }
    let mut rows = (what.rows)(stream, epochs)?;
    for row in &mut rows {
        corrections::correct(row, what, stream, epochs);
    }
    Ok(rows)
}

/// The rows of other programs for continual learning, of the program whose name begins so (without regard to case), or all.
///
/// # Errors
/// [`ReplicateError::NoSuchLabel`] if none does.
pub fn neighbours(program: Option<&str>) -> Result<Vec<Row>, ReplicateError> {
    let wanted = program.map(str::to_lowercase);
    let is_wanted = |dataset: &str| {
        let dataset = dataset.to_lowercase();
        wanted
            .as_ref()
            .is_none_or(|name| dataset.starts_with(name.as_str()))
    };
    let of_program = published::neighbours().filter(|row| is_wanted(&row.dataset));
    let rows: Vec<Row> = of_program
        .map(|row| Row {
            label: format!("{}: {}", row.dataset, row.label),
            source: row.source(),
            settings: row
                .settings()
                .chain([("seeds", "1-5")])
                .filter_map(|(key, value)| {
                    let key = settings::keys().find(|known| *known == key)?;
                    Some((key, value.to_string()))
                })
                .collect(),
            grid: None,
            notes: row.notes.iter().map(String::as_str).collect(),
        })
        .collect();
    if rows.is_empty() {
        let mut known: Vec<&str> = published::neighbours()
            .map(|row| row.dataset.split(',').next().unwrap_or_default())
            .collect();
        known.dedup();
        return Err(ReplicateError::NoSuchLabel {
            found: program.unwrap_or_default().to_string(),
            known: known.join(", "),
        });
    }
    Ok(rows)
}

/// All that the paper has of a data set but the search; rows of several tables once, under their first label.
///
/// # Errors
/// As [`rows`].
pub fn all_rows(stream: &PaperStream, epochs: &[usize]) -> Result<Vec<Row>, ReplicateError> {
    if *stream == ROTATED_MNIST {
        return rows(&FIGURE_5A, stream, 1);
    }
    let mut all: Vec<Row> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut add = |found: Vec<Row>| {
        for row in found {
            let mut key = row.settings.clone();
            key.sort();
            if seen.insert(key) {
                all.push(row);
            }
        }
    };
    for &epochs in epochs {
        let mut found = rows(&BASELINES, stream, epochs)?;
        if epochs != 1 {
            for row in &mut found {
                row.label = format!("{}, {epochs} epochs", row.label);
            }
        }
        add(found);
    }
    for what in [&NAIVE, &HYBRID, &REPLAY, &ABLATION] {
        add(rows(what, stream, 1)?);
    }
    Ok(all)
}

/// Keeps the rows with these labels (without regard to case), one or several in each text, separated by commas; a label may
/// itself have commas.
///
/// # Errors
/// [`ReplicateError::NoSuchLabel`].
pub fn only(rows: Vec<Row>, texts: &[String]) -> Result<Vec<Row>, ReplicateError> {
    let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
    let mut labels = Vec::new();
    for text in texts {
        let parts: Vec<&str> = text.split(',').collect();
        let mut rest = parts.as_slice();
        while !rest.is_empty() {
            // The longest label that the rest begins with.
            let label = (1..=rest.len()).rev().find_map(|n| {
                let (first, others) = rest.split_at_checked(n)?;
                let label = first.join(",");
                let known = rows.iter().any(|row| same(&row.label, &label));
                known.then_some((label, others))
            });
            let Some((label, others)) = label else {
                let known = rows.iter().map(|row| format!("`{}`", row.label));
                return Err(ReplicateError::NoSuchLabel {
                    found: rest.join(",").trim().to_string(),
                    known: known.collect::<Vec<_>>().join(", "),
                });
            };
            labels.push(label);
            rest = others;
        }
    }
    let wanted = |row: &Row| labels.is_empty() || labels.iter().any(|l| same(&row.label, l));
    Ok(rows.into_iter().filter(wanted).collect())
}

fn released(script: &str, stream: &PaperStream, epochs: usize) -> Result<Vec<Row>, ReplicateError> {
    let here =
        |c: &&Command| c.script.contains(script) && c.arg("dataset") == Some(stream.argument);
    let mut rows = Vec::new();
    for command in commands().iter().filter(here) {
        rows.push(Row {
            label: command.label.clone(),
            source: command.place(),
            settings: command.settings(epochs)?,
            grid: command.grid(),
            notes: Vec::new(),
        });
    }
    Ok(rows)
}

/// Table 6 has the methods at several sizes of the memory.
fn named_by_memory(mut rows: Vec<Row>) -> Vec<Row> {
    for row in &mut rows {
        if let Some((_, memory)) = row
            .settings
            .iter()
            .find(|(key, _)| *key == "memory_per_class")
        {
            row.label = format!("{} M={memory}", row.label);
        }
    }
    rows
}

/// Figure 4 shows the replay methods with one and with ten examples a class; the script has the former.
fn with_larger_memory(rows: Vec<Row>) -> Vec<Row> {
    let larger: Vec<Row> = rows
        .iter()
        .filter(|row| {
            row.settings
                .iter()
                .any(|(key, _)| *key == "memory_per_class")
        })
        .map(|row| {
            let mut row = row.clone();
            row.set("memory_per_class", "10");
            row.label.push_str(" M=10");
            row.source = format!("Figure 4 after {}", row.source);
            row
        })
        .collect();
    rows.into_iter().chain(larger).collect()
}

/// Table 7: TAG-RMSProp's row under other rules for α.
fn ablation(rows: Vec<Row>) -> Vec<Row> {
    let Some(tag) = rows.into_iter().find(|row| row.label == "TAG-RMSProp") else {
        return Vec::new();
    };
    let variant = |label: &str, alpha: &str, stored: Option<&str>| {
        let mut row = tag.clone();
        row.label = label.to_string();
        row.source = format!("Table 7 after {}", tag.source);
        row.set("alpha", alpha);
        match stored {
            Some(stored) => row.set("stored_gradients", stored),
            None => row.settings.retain(|(key, _)| *key != "b"),
        }
        // The naive script trains TAG-RMSProp on 5-dataset for five epochs; Table 7 is of one.
        row.set("epochs", "1");
        row
    };
    let mut all = vec![
        variant("TAG-1", "one", None),
        variant("TAG-age", "age", None),
    ];
    for stored in ["1", "5", "20"] {
        all.push(variant(
            &format!("TAG-G B={stored}"),
            "gradients",
            Some(stored),
        ));
    }
    let mut tag = tag;
    tag.set("epochs", "1");
    all.push(tag);
    all
}

/// Figure 5a: hyper-parameters of p. 19 and of `replicate_experiment_mnist.sh` at f6afd10.
fn rotated_mnist() -> Vec<Row> {
    let row = |label: &str, lr: &str, more: &[(&'static str, &str)]| Row {
        label: label.to_string(),
        source: "Figure 5a (p. 19)".to_string(),
        settings: [
            ("profile", "released"),
            ("benchmark", "rotated-mnist"),
            ("tasks", "10"),
            ("epochs", "1"),
            ("batch_size", "10"),
            ("dropout", "0.0"),
            ("hidden", "256"),
            ("seeds", "1-5"),
            ("lr", lr),
        ]
        .iter()
        .chain(more)
        .map(|(key, value)| (*key, (*value).to_string()))
        .collect(),
        grid: None,
        notes: Vec::new(),
    };
    vec![
        row("Naive SGD", "0.1", &[]),
        row("ER", "0.1", &[("method", "er"), ("memory_per_class", "1")]),
        row(
            "TAG-RMSProp",
            "0.00025",
            &[("optimizer", "tag-rmsprop"), ("b", "5")],
        ),
    ]
}

#[cfg(test)]
mod tests;
