//! Results that are kept beside the program: what a page of figures needs of a run, in one line of JSON.
//!
//! Owns the file (`docs/replication/results.jsonl`). A line has configuration, metrics, checksum of the images, level of the
//! kernels and commit of a run whose settings are those in force behind a published row; weights, α and matrices stay in the
//! run folder. Lines stand in an order of their own, so that a file depends on its results alone. One run is there once:
//! results of the same run that differ are refused, never chosen between.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::load::{Duplicate, Run};
use crate::experiment::paper::published::{Agreement, Row, matching};
use crate::experiment::plan::config::RunConfig;
use crate::metrics::Metrics;

/// Largest file that is read.
const LARGEST: u64 = 64 << 20;

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its id, which follows from the configuration.
    pub run_id: String,
    /// Everything the rest depends on, kernels aside.
    pub config: RunConfig,
    /// All metrics.
    pub metrics: Metrics,
    /// SHA-256 of the data set's images and labels.
    pub data_sha256: String,
    /// Level of the kernels that computed it.
    pub kernels: String,
    /// Commit of the program that computed it, where its build knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Record {
    /// What is kept of a run; `None` where nothing was published for its settings, and for runs on incomplete or stand-in
    /// data.
    #[must_use]
    pub fn of(run: &Run) -> Option<Self> {
        let record = Self {
            run_id: run.config.run_id(),
            config: run.config.clone(),
            metrics: run.metrics,
            data_sha256: run.provenance.data_sha256.clone(),
            kernels: run.provenance.kernels.clone(),
            commit: run.provenance.commit.clone(),
        };
        let counts = run.provenance.data_note.is_none() && record.rows().next().is_some();
        counts.then_some(record)
    }

    /// The published rows whose figures came from these settings.
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> {
        let rows = matching(&self.config).into_iter();
        rows.filter(|(_, agreement)| *agreement == Agreement::InForce)
            .map(|(row, _)| row)
    }

    /// The metrics by name. Builds of different days know different ones.
    fn values(&self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self.metrics) {
            Ok(serde_json::Value::Object(values)) => values,
            _ => serde_json::Map::new(),
        }
    }

    /// What two results of one run differ in; `None` if they agree. Two builds may well compute the same, and one of them a
    /// metric that the other does not know.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.config != other.config {
            Some("configuration")
        } else if self.data_sha256 != other.data_sha256 {
            Some("images (data_sha256)")
        } else {
            let others = other.values();
            let known = |(name, value): (&String, _)| others.get(name).is_none_or(|o| o == value);
            (!self.values().iter().all(known)).then_some("metrics")
        }
    }

    /// What cannot be true of a result.
    fn fault(&self) -> Option<String> {
        let id = self.config.run_id();
        if self.run_id != id {
            return Some(format!(
                "run_id is {}, but its configuration's is {id}",
                self.run_id
            ));
        }
        let metrics = &self.metrics;
        for (name, value, range) in [
            (
                "average_accuracy",
                Some(metrics.average_accuracy),
                0.0..=100.0,
            ),
            ("learning_accuracy", metrics.learning_accuracy, 0.0..=100.0),
            (
                "forgetting_released",
                metrics.forgetting_released,
                0.0..=1.0,
            ),
        ] {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let (low, high) = (range.start(), range.end());
                return Some(format!("metrics.{name} is {value}, not in {low} to {high}"));
            }
        }
        self.rows()
            .next()
            .is_none()
            .then(|| format!("nothing is published for the settings of {id}"))
    }

    fn place(&self) -> (&str, &str, &str, String, u64) {
        let config = &self.config;
        (
            config.benchmark.name(),
            config.method.name,
            config.optimizer.name,
            config.group_hash(),
            config.seed,
        )
    }
}

/// Results that cannot be collected, or read again.
#[derive(Debug, thiserror::Error)]
pub enum CollectedError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; give a file that `tagcl export RUNS --results FILE` wrote", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no result.
    #[error("{}: line {line}: {reason}; take the line out, or collect the file anew with `tagcl export RUNS --results FILE`", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// One run has two results.
    #[error(
        "two results of the run {run_id} differ in their {what}: they came from different builds, processors or data, and are not mixed; take out the one that does not count"
    )]
    Differ {
        /// Id of the run.
        run_id: String,
        /// What they differ in.
        what: &'static str,
    },
    /// Two run folders have results of one run.
    #[error("{} and {} hold results of one run that differ: they came from different builds or processors, and are not mixed; leave one out", first.display(), second.display())]
    DifferingFolders {
        /// The one that was found first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// No run has a published row.
    #[error(
        "nothing to collect: nothing is published for the settings of these runs (tagcl replicate WHAT DATASET --dry-run lists what is)"
    )]
    Nothing,
}

impl CollectedError {
    /// The refusal of a run that two folders have with other results.
    #[must_use]
    pub fn differing_folders(twice: &Duplicate) -> Self {
        Self::DifferingFolders {
            first: twice.first.clone(),
            second: twice.folder.clone(),
        }
    }
}

/// The results in a file, in the file's order.
///
/// # Errors
/// [`CollectedError`] naming file and line.
pub fn read(path: &Path) -> Result<Vec<Record>, CollectedError> {
    let mut text = String::new();
    let of_file = |source| CollectedError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(of_file)?;
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(of_file)?;
    if text.len() as u64 == LARGEST {
        let source = std::io::Error::other(format!("it is larger than {LARGEST} bytes"));
        return Err(of_file(source));
    }
    parse(&text, path)
}

/// The results in a file's text; the path is for its errors.
///
/// # Errors
/// [`CollectedError`] naming file and line.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Record>, CollectedError> {
    let mut records = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str::<Record>(line)
            .map_err(|e| format!("not a collected result: {e}"))
            .and_then(|record| record.fault().map_or(Ok(record), Err))
            .map_err(|reason| CollectedError::Line {
                path: path.to_path_buf(),
                line: i + 1,
                reason,
            })?;
        merge(&mut records, [record])?;
    }
    Ok(records)
}

/// Adds results to others; a run that is there already counts once, with the metrics of the build that knew more of them.
///
/// # Errors
/// [`CollectedError::Differ`] for a run with two results.
pub fn merge(
    records: &mut Vec<Record>,
    more: impl IntoIterator<Item = Record>,
) -> Result<(), CollectedError> {
    let mut known: std::collections::HashMap<String, usize> = records
        .iter()
        .enumerate()
        .map(|(i, record)| (record.run_id.clone(), i))
        .collect();
    for record in more {
        let old = known.get(&record.run_id);
        if let Some(old) = old.and_then(|i| records.get_mut(*i)) {
            if let Some(what) = old.difference(&record) {
                return Err(CollectedError::Differ {
                    run_id: record.run_id,
                    what,
                });
            }
            if record.values().len() > old.values().len() {
                *old = record;
            }
        } else {
            known.insert(record.run_id.clone(), records.len());
            records.push(record);
        }
    }
    Ok(())
}

/// The file of these results, a line each, whatever their order.
///
/// # Errors
/// An error of the writer of JSON.
pub fn text(records: &[Record]) -> std::io::Result<String> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_cached_key(|record| {
        let (benchmark, method, optimizer, group, seed) = record.place();
        let words = [benchmark, method, optimizer].map(str::to_string);
        (words, group, seed)
    });
    let mut text = String::new();
    for record in sorted {
        text.push_str(&serde_json::to_string(record)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::load::Loaded;
    use crate::report::testing::{config, run};

    const TAG: &[(&str, &str)] = &[("optimizer", "tag-rmsprop"), ("tasks", "20")];

    fn record(seed: u64, accuracy: f64) -> Record {
        Record::of(&run(config(TAG, seed), accuracy, 10.0)).unwrap()
    }

    #[test]
    fn what_is_published_and_of_the_real_images_is_kept() {
        assert_eq!(record(3, 63.0).config.seed, 3);
        // Nothing is published of two tasks, and a stand-in is no replication.
        assert_eq!(Record::of(&run(config(&[], 1), 50.0, 1.0)), None);
        let mut stand_in = run(config(TAG, 1), 63.0, 10.0);
        stand_in.provenance.data_note = Some("half of it".to_string());
        assert_eq!(Record::of(&stand_in), None);
        // The settings that the text states, and the figure does not come from.
        let stated = config(
            &[("optimizer", "adagrad"), ("tasks", "20"), ("lr", "0.005")],
            1,
        );
        assert_eq!(Record::of(&run(stated, 50.0, 1.0)), None);
    }

    #[test]
    fn a_file_gives_back_what_it_was_made_of_in_one_order() {
        let (a, b) = (record(10, 63.0), record(2, 62.0));
        let text = text(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(text, super::text(&[b.clone(), a.clone()]).unwrap());
        assert_eq!(parse(&text, Path::new("f")).unwrap(), [b, a]);
        assert!(text.len() < 4000, "{}", text.len());
    }

    #[test]
    fn results_of_one_run_that_differ_are_refused() {
        let mut records = vec![record(1, 63.0)];
        merge(&mut records, [record(1, 63.0), record(2, 62.0)]).unwrap();
        assert_eq!(records.len(), 2);
        let error = merge(&mut records, [record(2, 62.5)])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("metrics") && error.contains("-s2-"),
            "{error}"
        );
        let mut other = record(2, 62.0);
        other.data_sha256 = "cd".repeat(32);
        let error = merge(&mut records, [other]).unwrap_err().to_string();
        assert!(error.contains("data_sha256"), "{error}");
        // A build that knew one metric more computed the same.
        let mut fewer = record(3, 61.0);
        fewer.metrics.backward_transfer = None;
        merge(&mut records, [fewer.clone(), record(3, 61.0), fewer]).unwrap();
        assert_eq!(records.pop().unwrap(), record(3, 61.0));
        // The same bits of another processor are the same result.
        let mut elsewhere = record(2, 62.0);
        elsewhere.kernels = "avx2".to_string();
        merge(&mut records, [elsewhere]).unwrap();
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn a_line_that_cannot_be_is_named() {
        let good = text(&[record(1, 63.0)]).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&good).unwrap();
        for (key, new, part) in [
            ("run_id", serde_json::json!("x"), "run_id is x"),
            ("extra", serde_json::json!(1), "unknown field `extra`"),
            (
                "metrics",
                serde_json::json!({"average_accuracy": 101.0}),
                "average_accuracy is 101",
            ),
        ] {
            let old = value.clone();
            value[key] = new;
            let error = parse(&format!("{good}\n{value}\n"), Path::new("f.jsonl"))
                .unwrap_err()
                .to_string();
            assert!(error.contains("f.jsonl: line 3"), "{error}");
            assert!(error.contains(part), "{error}");
            value = old;
        }
    }

    #[test]
    fn an_export_adds_to_a_file_and_refuses_to_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/results.jsonl");
        let export = |runs: Vec<Run>, duplicates: Vec<Duplicate>| {
            let loaded = Loaded {
                runs,
                duplicates,
                ..Loaded::default()
            };
            (crate::report::files::results::RESULTS.write)(&loaded, &path)
        };
        let nothing = export(vec![run(config(&[], 1), 50.0, 1.0)], vec![]);
        assert!(
            nothing
                .unwrap_err()
                .to_string()
                .contains("nothing is published")
        );
        export(vec![run(config(TAG, 1), 63.0, 10.0)], vec![]).unwrap();
        export(vec![run(config(TAG, 2), 62.0, 10.0)], vec![]).unwrap();
        let both = read(&path).unwrap();
        assert_eq!(both, [record(1, 63.0), record(2, 62.0)]);
        // Neither another result of a run that the file has, nor two of one run, change it.
        assert!(export(vec![run(config(TAG, 1), 63.5, 10.0)], vec![]).is_err());
        let twice = Duplicate {
            folder: "b/x".into(),
            first: "a/x".into(),
            identical: false,
        };
        let error = export(vec![], vec![twice]).unwrap_err().to_string();
        assert!(error.contains("a/x and b/x"), "{error}");
        assert_eq!(read(&path).unwrap(), both);
    }
}
