//! From a folder of run folders to results in memory.
//!
//! Owns the walk, the checks, and the promise that nothing is dropped in silence: every run folder below the given one
//! ends up as a run, as an unfinished run, as a damaged one or as a duplicate, and none of them is fatal. A folder is a
//! run folder if it holds `result.json` or `config.toml`; run folders are not searched for further ones, and links to
//! folders are not followed. Files are read by all cores, and TAG's α, which is nine tenths of a result, only where it
//! is asked for ([`Run::alpha`]), so that thousands of runs fit in memory.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::parse_config_toml;
use crate::experiment::run::provenance::Provenance;
use crate::experiment::run::result::{AlphaResult, Cost, RunResult, parse_without_alpha};
use crate::experiment::run::store::RESULT;
use crate::metrics::{Metrics, TaskMatrix, Within};

const CONFIG: &str = "config.toml";
const EVENTS: &str = "events.jsonl";
/// Where a run says how it ended, if it does.
const STATUS: &str = "status.json";
/// Folders below the given one that are searched.
const DEPTH: usize = 16;
/// Largest file that is taken for a result.
const LARGEST_RESULT: u64 = 256 << 20;
/// How much of the end of an event log is read; the longest event has some kilobytes.
const TAIL: u64 = 64 << 10;

/// Names that are not UTF-8 are written as near as possible, where serde would refuse them.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// A finished run, without its α.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its folder; empty for a run that was not read from one.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    /// Its id.
    pub run_id: String,
    /// Everything the rest depends on.
    pub config: RunConfig,
    /// All metrics.
    pub metrics: Metrics,
    /// Percent correct on tasks 1..=i after task i.
    #[serde(skip)]
    pub accuracy_matrix: TaskMatrix,
    /// Mean cross-entropy in nats, in the same rows.
    #[serde(skip)]
    pub loss_matrix: TaskMatrix,
    /// Evaluations within tasks, where there were any.
    #[serde(skip)]
    pub within: Vec<Within>,
    /// Time and memory.
    pub cost: Cost,
    /// Build and machine.
    pub provenance: Provenance,
}

impl Run {
    /// TAG's correlations, read from the folder; `None` for runs without TAG, and for one that was not read from a folder.
    ///
    /// # Errors
    /// A sentence that names the file, if it cannot be read.
    pub fn alpha(&self) -> Result<Option<AlphaResult>, String> {
        #[derive(Deserialize)]
        struct Only {
            alpha: Option<AlphaResult>,
        }
        if self.folder.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = self.folder.join(RESULT);
        let bytes = read(&path)?;
        serde_json::from_slice::<Only>(&bytes)
            .map(|only| only.alpha)
            .map_err(|e| format!("{}: {e}", path.display()))
    }
}

impl From<RunResult> for Run {
    fn from(result: RunResult) -> Self {
        Self {
            folder: PathBuf::new(),
            run_id: result.run_id,
            config: result.config,
            metrics: result.metrics,
            accuracy_matrix: result.accuracy_matrix,
            loss_matrix: result.loss_matrix,
            within: result.within,
            cost: result.cost,
            provenance: result.provenance,
        }
    }
}

/// A run folder without a result: failed, interrupted, or still running.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unfinished {
    /// Its folder.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    /// What was to be run, if the configuration can be read.
    pub config: Option<RunConfig>,
    /// Tasks evaluated so far.
    pub tasks_done: usize,
    /// How it ended, with the error, if the run could still say so; else the newest event.
    pub last_event: Option<String>,
    /// When that was (UTC, RFC 3339).
    pub last_time: Option<String>,
}

/// A folder whose result or configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Damaged {
    /// The file or folder.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// A run that another folder has as well; only the first counts, or n would be too high.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Duplicate {
    /// Its folder.
    #[serde(serialize_with = "lossy")]
    pub folder: PathBuf,
    /// The folder that counts.
    #[serde(serialize_with = "lossy")]
    pub first: PathBuf,
    /// Whether both hold the same accuracies. If not, the two came from different builds or processors.
    pub identical: bool,
}

/// Everything below a folder, each list in the order of its paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Loaded {
    /// Finished runs, each configuration and seed once.
    pub runs: Vec<Run>,
    /// Runs without a result.
    pub unfinished: Vec<Unfinished>,
    /// What cannot be read.
    pub damaged: Vec<Damaged>,
    /// Runs that are there twice.
    pub duplicates: Vec<Duplicate>,
}

impl Loaded {
    /// True where nothing at all was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
            && self.unfinished.is_empty()
            && self.damaged.is_empty()
            && self.duplicates.is_empty()
    }

    /// The configurations of all runs that have a readable one.
    pub fn configs(&self) -> impl Iterator<Item = &RunConfig> {
        let finished = self.runs.iter().map(|run| &run.config);
        finished.chain(self.unfinished.iter().filter_map(|run| run.config.as_ref()))
    }

    /// Drops the runs that do not satisfy a condition, finished or not. Damaged files have no configuration to judge by
    /// and stay.
    pub fn keep(&mut self, condition: impl Fn(&RunConfig) -> bool) {
        self.runs.retain(|run| condition(&run.config));
        self.unfinished
            .retain(|run| run.config.as_ref().is_none_or(&condition));
    }

    /// Adds what was found below another folder.
    pub fn extend(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.unfinished.extend(other.unfinished);
        self.damaged.extend(other.damaged);
        self.duplicates.extend(other.duplicates);
        self.separate_duplicates();
    }

    fn separate_duplicates(&mut self) {
        let mut first: HashMap<String, usize> = HashMap::new();
        let mut kept: Vec<Run> = Vec::with_capacity(self.runs.len());
        for run in std::mem::take(&mut self.runs) {
            // The configuration, not the stored id: ids are short, and files can be edited.
            // On other images it is another run, not the same one again.
            let key = format!(
                "{}-{}-{}",
                run.config.group_hash(),
                run.config.seed,
                run.provenance.data_sha256
            );
            if let Some(original) = first.get(&key).and_then(|i| kept.get(*i)) {
                self.duplicates.push(Duplicate {
                    identical: original.accuracy_matrix == run.accuracy_matrix,
                    first: original.folder.clone(),
                    folder: run.folder,
                });
            } else {
                first.insert(key, kept.len());
                kept.push(run);
            }
        }
        self.runs = kept;
    }
}

/// A folder that cannot be walked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}; give a folder of run folders, such as the --out of `tagcl run`", path.display())]
pub struct LoadError {
    path: PathBuf,
    source: std::io::Error,
}

/// Everything below a folder, or the one run of a run folder.
///
/// # Errors
/// [`LoadError`] if the folder itself cannot be read; anything below it is only listed.
pub fn load(folder: &Path) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    let mut found = Vec::new();
    walk(folder, 0, &mut found, &mut loaded.damaged).map_err(|source| LoadError {
        path: folder.to_path_buf(),
        source,
    })?;
    found.sort();
    let outcomes: Vec<Outcome> = found.par_iter().map(|folder| read_run(folder)).collect();
    for outcome in outcomes {
        match outcome {
            Outcome::Run(run) => loaded.runs.push(*run),
            Outcome::Unfinished(run) => loaded.unfinished.push(*run),
            Outcome::Damaged(damaged) => loaded.damaged.push(damaged),
        }
    }
    loaded.separate_duplicates();
    Ok(loaded)
}

fn walk(
    folder: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
    damaged: &mut Vec<Damaged>,
) -> std::io::Result<()> {
    let mut below = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == RESULT || name == CONFIG {
            found.push(folder.to_path_buf());
            return Ok(());
        }
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    for path in below {
        if depth == DEPTH {
            damaged.push(Damaged {
                path,
                reason: format!("not searched: more than {DEPTH} folders deep"),
            });
        } else if let Err(e) = walk(&path, depth + 1, found, damaged) {
            let reason = format!("cannot be read: {e}");
            damaged.push(Damaged { path, reason });
        }
    }
    Ok(())
}

enum Outcome {
    Run(Box<Run>),
    Unfinished(Box<Unfinished>),
    Damaged(Damaged),
}

fn read_run(folder: &Path) -> Outcome {
    let path = folder.join(RESULT);
    let damaged = |path: PathBuf, reason| Outcome::Damaged(Damaged { path, reason });
    match path.try_exists() {
        Ok(true) => match read(&path).and_then(|bytes| parse(&bytes)) {
            Ok(mut run) => {
                run.folder = folder.to_path_buf();
                Outcome::Run(Box::new(run))
            }
            Err(reason) => damaged(path, reason),
        },
        Ok(false) => {
            let config = read(&folder.join(CONFIG)).and_then(|bytes| {
                let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_string())?;
                parse_config_toml(&text).map_err(|e| e.to_string())
            });
            match config {
                Ok(config) => Outcome::Unfinished(Box::new(unfinished(folder, Some(config)))),
                Err(reason) => damaged(folder.join(CONFIG), format!("no result, and {reason}")),
            }
        }
        Err(e) => damaged(path, e.to_string()),
    }
}

/// A whole file, within bounds.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> std::io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(size.min(LARGEST_RESULT) as usize);
        file.take(LARGEST_RESULT + 1).read_to_end(&mut bytes)?;
        let size = size.max(bytes.len() as u64);
        Ok((bytes, size))
    };
    match read() {
        Ok((_, size)) if size > LARGEST_RESULT => Err(format!("{size} bytes are no result")),
        Ok((bytes, _)) => Ok(bytes),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}

/// A result file's content as a run without a folder.
///
/// # Errors
/// Those of [`parse_without_alpha`].
pub fn parse(bytes: &[u8]) -> Result<Run, String> {
    parse_without_alpha(bytes).map(Run::from)
}

/// What the event log of a run without a result says.
fn unfinished(folder: &Path, config: Option<RunConfig>) -> Unfinished {
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(folder.join(EVENTS))?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&tail().unwrap_or_default()).into_owned();
    let mut run = Unfinished {
        folder: folder.to_path_buf(),
        config,
        tasks_done: 0,
        last_event: None,
        last_time: None,
    };
    // The first line of the tail, and the last of a killed run, may be cut: they are no JSON and pass.
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    for event in events {
        let field = |name: &str| event.get(name).and_then(|x| x.as_str()).map(str::to_string);
        let Some(mut name) = field("event") else {
            continue;
        };
        let task = event.get("task").and_then(serde_json::Value::as_u64);
        if let ("evaluated", Some(task)) = (name.as_str(), task) {
            run.tasks_done = usize::try_from(task).unwrap_or(usize::MAX);
        }
        if let Some(error) = field("error") {
            name = format!("{name}: {error}");
        }
        run.last_event = Some(name);
        run.last_time = field("time");
    }
    if let Some(end) = end(folder) {
        run.last_event = Some(end);
    }
    run
}

/// How a run says it ended; `None` while it runs, and for runs that could say nothing any more.
fn end(folder: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Status {
        phase: String,
        error: Option<String>,
    }
    let status: Status = serde_json::from_slice(&read(&folder.join(STATUS)).ok()?).ok()?;
    match (status.phase.as_str(), status.error) {
        ("running", _) => None,
        (_, Some(error)) => Some(format!("{}: {error}", status.phase)),
        (_, None) => Some(status.phase),
    }
}

#[cfg(test)]
mod tests;
