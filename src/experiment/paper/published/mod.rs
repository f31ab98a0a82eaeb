//! The authors' own figures, as data.
//!
//! Owns `rows.json` (made by `tools/make_published.py`): every configuration of the paper's Tables 1 and 4 to 7 and
//! Figures 1, 4 and 5a and of the authors' logs, with the printed figures, the logs' values run by run, and what is
//! known to disagree between the paper, the released scripts and the logs. A row's settings are those *in force* when
//! the figure was made, under this program's names; where the paper or the scripts state others, they are `stated`.
//!
//! `neighbours.json` has rows of the same form that come from runs of other programs for continual learning, on the same data.
//!
//! A run matches a row if its whole configuration, seed aside, is what the `released` profile resolves the row's
//! settings to: nothing that could matter is left out of the comparison.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::experiment::benchmark::BenchmarkSpec;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{Origin, Settings};
use crate::metrics::mean_std;
use crate::settings::find;

/// A printed mean with its population standard deviation (absent where only a curve or bar is drawn).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Figure {
    /// Mean.
    pub mean: f64,
    /// Population standard deviation over the seeds.
    pub std: Option<f64>,
}

/// A place of the paper that prints figures of a row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Printed {
    /// Table or figure, and page.
    pub r#where: String,
    /// Whether the figures were read off a drawing.
    #[serde(default)]
    pub digitised: bool,
    /// Percent.
    pub accuracy: Option<Figure>,
    /// Fraction; the maximum over all times, as the released code computes it.
    pub forgetting: Option<Figure>,
    /// Percent.
    pub learning_accuracy: Option<Figure>,
    /// Accuracy minus learning accuracy over all tasks, in points (what Table 4 prints).
    pub bwt: Option<Figure>,
    /// Average accuracy after each task, percent.
    #[serde(default)]
    pub curve: Vec<f64>,
}

/// One run of the authors' logs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedRun {
    /// Its seed.
    pub seed: u64,
    /// Percent.
    pub accuracy: f64,
    /// Fraction; the maximum over all times; absent where it was not measured.
    pub forgetting: Option<f64>,
    /// Percent; absent where it was not measured.
    pub learning_accuracy: Option<f64>,
    /// Average accuracy after each task, percent; empty where the log is not legible.
    pub curve: Vec<f64>,
}

/// The section of the authors' logs behind a row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// File, commit and lines in the released repository.
    pub source: String,
    /// The section's own last line, percent.
    pub accuracy: Figure,
    /// The same as a fraction.
    pub forgetting: Option<Figure>,
    /// The same in percent.
    pub learning_accuracy: Option<Figure>,
    /// Its runs; empty where the log kept only the summary.
    pub runs: Vec<LoggedRun>,
}

/// One configuration with published figures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The paper's name of the benchmark.
    pub dataset: String,
    /// The paper's name of the method.
    pub label: String,
    /// Settings in force, by key.
    settings: serde_json::Map<String, serde_json::Value>,
    /// Number of runs behind the figures.
    pub n: usize,
    /// Where the paper prints it; empty for a row of the logs alone.
    pub printed: Vec<Printed>,
    /// The log behind it, if there is one.
    pub log: Option<Log>,
    /// Settings that the paper or the scripts state instead of those in force.
    stated: Vec<serde_json::Map<String, serde_json::Value>>,
    /// What a reader must know of it.
    pub notes: Vec<String>,
}

/// A quantity with published values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Average accuracy, percent.
    Accuracy,
    /// Forgetting as the released code computes it, fraction.
    Forgetting,
    /// Learning accuracy, percent.
    LearningAccuracy,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Accuracy, Self::Forgetting, Self::LearningAccuracy];

    /// Its key in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Forgetting => "forgetting",
            Self::LearningAccuracy => "learning_accuracy",
        }
    }
}

/// Published values of one quantity: run by run, or their summary alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// One value a run.
    Runs(Vec<f64>),
    /// Mean and population standard deviation over so many runs.
    Summary(Figure, usize),
}

impl Values {
    /// Mean, population standard deviation where it is known, and number of runs.
    #[must_use]
    pub fn summary(&self) -> Option<(f64, Option<f64>, usize)> {
        Some(match self {
            Self::Runs(values) => {
                let (mean, std) = mean_std(values)?;
                (mean, Some(std), values.len())
            }
            Self::Summary(figure, n) => (figure.mean, figure.std, *n),
        })
    }
}

impl Row {
    /// The published values of a quantity: the log's runs, else the log's summary, else what is printed.
    #[must_use]
    pub fn values(&self, quantity: Quantity) -> Option<Values> {
        if let Some(log) = &self.log {
            let of = |run: &LoggedRun| match quantity {
                Quantity::Accuracy => Some(run.accuracy),
                Quantity::Forgetting => run.forgetting,
                Quantity::LearningAccuracy => run.learning_accuracy,
            };
            let summary = match quantity {
                Quantity::Accuracy => Some(log.accuracy),
                Quantity::Forgetting => log.forgetting,
                Quantity::LearningAccuracy => log.learning_accuracy,
            };
            return match log.runs.len() {
                0 | 1 => summary.map(|figure| Values::Summary(figure, self.n)),
                _ => {
                    let all: Option<Vec<f64>> = log.runs.iter().map(of).collect();
                    all.map(Values::Runs)
                }
            };
        }
        let printed = self.printed.iter().find_map(|p| match quantity {
            Quantity::Accuracy => p.accuracy,
            Quantity::Forgetting => p.forgetting,
            Quantity::LearningAccuracy => p.learning_accuracy,
        });
        printed.map(|figure| Values::Summary(figure, self.n))
    }

    /// Where the figures stand, in one line.
    #[must_use]
    pub fn source(&self) -> String {
        let places: Vec<&str> = self.printed.iter().map(|p| p.r#where.as_str()).collect();
        match (&self.log, places.is_empty()) {
            (Some(log), true) if self.is_of_a_neighbour() => log.source.clone(),
            (Some(log), true) => format!("log {}", log.source),
            (Some(log), false) => format!("{}; log {}", places.join("; "), log.source),
            (None, _) => places.join("; "),
        }
    }

    /// Whether it is of another program's runs, not of the paper.
    #[must_use]
    pub fn is_of_a_neighbour(&self) -> bool {
        neighbours().any(|row| std::ptr::eq(row, self))
    }

    /// The benchmark under this program's name, if it is one of this program.
    #[must_use]
    pub fn benchmark(&self) -> Option<&'static BenchmarkSpec> {
        find(self.settings.get("benchmark")?.as_str()?)
    }

    /// All settings that were in force, by key.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.settings.iter();
        all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// The setting of this key that was in force.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key)?.as_str()
    }

    /// The configuration in force, and those stated instead; `None` while this program lacks the benchmark.
    fn configs(&self) -> Option<(RunConfig, Vec<RunConfig>)> {
        self.benchmark()?;
        let resolve = |changes: Option<&serde_json::Map<String, serde_json::Value>>| {
            let mut settings = Settings::default();
            let origin = || Origin::Default("published");
            for (key, value) in changes.into_iter().flatten() {
                settings.set(key, value.as_str()?, origin()).ok()?;
            }
            for (key, value) in &self.settings {
                if changes.is_none_or(|map| !map.contains_key(key)) {
                    settings.set(key, value.as_str()?, origin()).ok()?;
                }
            }
            if !self.settings.contains_key("profile") {
                settings.set("profile", "released", origin()).ok()?;
            }
            settings
                .plan()
                .ok()?
                .runs
                .first()
                .map(|run| comparable(&run.config))
        };
        let stated = self
            .stated
            .iter()
            .filter_map(|c| resolve(Some(c)))
            .collect();
        Some((resolve(None)?, stated))
    }
}

/// A configuration without what may differ between our run and theirs: the seed, and for Split-CUB the file of the
/// pretrained weights, which the paper's runs have as well.
#[must_use]
pub fn comparable(config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    config.seed = 0;
    if config.benchmark.name() == "split-cub" {
        config.init_sha256 = None;
        config.init_strict = true;
    }
    config
}

/// How a run's settings relate to a row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// They are those in force when the figure was made.
    InForce,
    /// They are those that the paper or the scripts state, but the figure comes from others.
    OnlyStated,
}

struct Entry {
    row: Row,
    configs: Option<(RunConfig, Vec<RunConfig>)>,
}

#[expect(
    clippy::expect_used,
    reason = "the file is compiled in, and a test reads it"
)]
fn read(text: &str) -> Vec<Entry> {
    let rows: Vec<Row> = serde_json::from_str(text).expect("the files are checked");
    rows.into_iter()
        .map(|row| Entry {
            configs: row.configs(),
            row,
        })
        .collect()
}

fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| read(include_str!("rows.json")))
}

/// What neighbouring programs gave, of which no paper prints anything.
fn neighbour_entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| read(include_str!("neighbours.json")))
}

/// The rows that come from runs of other programs for continual learning on the same data (`tools/make_neighbours.py`).
pub fn neighbours() -> impl Iterator<Item = &'static Row> {
    neighbour_entries().iter().map(|entry| &entry.row)
}

/// All rows of the paper and of its authors' logs.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    entries().iter().map(|entry| &entry.row)
}

/// The configuration in force behind a row, with seed 0; `None` for a benchmark that this program lacks.
#[must_use]
pub fn in_force(row: &Row) -> Option<&'static RunConfig> {
    let all = || entries().iter().chain(neighbour_entries());
    let entry = all().find(|entry| std::ptr::eq(&raw const entry.row, row))?;
    entry.configs.as_ref().map(|(in_force, _)| in_force)
}

/// The published rows of a configuration, whatever its seed.
///
/// A run on a sample, on a fraction, with other weights or under another profile has none.
#[must_use]
pub fn matching(config: &RunConfig) -> Vec<(&'static Row, Agreement)> {
    // The paper's Split-CUB starts from pretrained weights: a run from scratch is another experiment.
    if config.benchmark.name() == "split-cub" && config.init_sha256.is_none() {
        return Vec::new();
    }
    let config = comparable(config);
    entries()
        .iter()
        .chain(neighbour_entries())
        .filter_map(|entry| {
            let (in_force, stated) = entry.configs.as_ref()?;
            if *in_force == config {
                Some((&entry.row, Agreement::InForce))
            } else if stated.contains(&config) {
                Some((&entry.row, Agreement::OnlyStated))
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
