//! Checkpoints: a run's state on disk, so that an interrupted run goes on inside a task.
//!
//! Owns when one is written (at an interval and on request), where (`checkpoint/` in the run folder), how many are kept
//! (two), and which one a resumed run takes: the newest that is whole ([`file`]), of this very run, and by this very
//! program. One that is not gives way to the one before, with a warning, never to an error: at worst the run starts anew.
//!
//! A checkpoint that cannot be written (a full disk, a folder that has become read-only) is a warning, too, and training
//! goes on: it is a safety net, and the result does not depend on it.

mod file;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::provenance::Provenance;
use crate::files::{TEMPORARY, sync_folder, temporary_in};
use crate::optim::State;

/// Name of the folder in a run folder.
pub const FOLDER: &str = "checkpoint";
/// How many are kept: the newest, and the one before should it be damaged.
const KEPT: usize = 2;
const SUFFIX: &str = ".ckpt";

/// What is saved: progress, and the states of the three that change in training.
pub(crate) struct Checkpoint<'a, P> {
    pub(crate) progress: P,
    pub(crate) learner: State<'a>,
    pub(crate) optimizer: State<'a>,
    pub(crate) method: State<'a>,
}

/// What a checkpoint belongs to: only with all of it equal does a run that goes on give the result that an
/// uninterrupted one gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    config: RunConfig,
    data_sha256: String,
    version: String,
    commit: Option<String>,
    kernels: String,
}

impl Identity {
    pub(crate) fn new(config: &RunConfig, provenance: &Provenance) -> Self {
        Self {
            config: config.clone(),
            data_sha256: provenance.data_sha256.clone(),
            version: provenance.version.clone(),
            commit: provenance.commit.clone(),
            kernels: provenance.kernels.clone(),
        }
    }

    /// What differs, in words; `None` for equals.
    fn difference(&self, found: &Self) -> Option<String> {
        let build = |of: &Self| {
            let commit = of.commit.as_deref().unwrap_or("unknown commit");
            format!("{} ({commit})", of.version)
        };
        if self.config != found.config {
            Some("it is of another configuration".to_string())
        } else if self.data_sha256 != found.data_sha256 {
            Some("it was made with other images".to_string())
        } else if build(self) != build(found) {
            let (theirs, ours) = (build(found), build(self));
            Some(format!(
                "tagcl {theirs} made it, and numbers of tagcl {ours} may differ"
            ))
        } else if self.kernels != found.kernels {
            let (theirs, ours) = (&found.kernels, &self.kernels);
            Some(format!(
                "it was made with {theirs} kernels, and numbers of {ours} differ"
            ))
        } else {
            None
        }
    }
}

/// Why a checkpoint cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It cannot be read.
    Io(io::Error),
    /// It is cut off, changed, or no checkpoint.
    Damaged(String),
    /// It is of another run or program.
    Foreign(String),
    /// Its parts contradict each other.
    Content(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::Foreign(reason) => f.write_str(reason),
            Self::Content(reason) => write!(f, "its content is impossible: {reason}"),
        }
    }
}

/// The checkpoints of one run. Only one process at a time may have them: see [`crate::experiment::run::lock`].
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    every: Option<Duration>,
    /// Those that are known to be whole, oldest first.
    kept: Vec<PathBuf>,
    /// When the newest was written, or the run began.
    newest: Instant,
}

impl Checkpoints {
    /// Checkpoints of the run in this folder, written no closer together than `every`; `None` writes none, not even when
    /// the run is told to stop. Nothing is created yet.
    #[must_use]
    pub fn new(run_folder: &Path, every: Option<Duration>) -> Self {
        Self {
            folder: run_folder.join(FOLDER),
            every,
            kept: Vec::new(),
            newest: Instant::now(),
        }
    }

    /// Files with their numbers, newest first. A folder that cannot be listed has none.
    pub(crate) fn list(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
                Some((number, entry.path()))
            })
            .collect();
        files.sort_unstable_by(|a, b| b.cmp(a));
        files
    }

    /// Reads one.
    pub(crate) fn read<P: DeserializeOwned>(
        path: &Path,
        limit: u64,
        identity: &Identity,
    ) -> Result<Checkpoint<'static, P>, Unusable> {
        let (found, checkpoint) = file::read(path, limit)?;
        match identity.difference(&found) {
            None => Ok(checkpoint),
            Some(difference) => Err(Unusable::Foreign(difference)),
        }
    }

    /// This one was taken: it is kept until two newer ones are there.
    pub(crate) fn took(&mut self, path: PathBuf) {
        self.kept = vec![path];
    }

    /// Whether it is time for the next.
    pub(crate) fn is_due(&self) -> bool {
        self.every
            .is_some_and(|every| self.newest.elapsed() >= every)
    }

    /// Whether any are written.
    pub(crate) fn is_on(&self) -> bool {
        self.every.is_some()
    }

    /// Writes one: temporary, flush to disk, rename, flush the folder; then removes all but the last two.
    pub(crate) fn save<P: Serialize>(
        &mut self,
        identity: &Identity,
        checkpoint: &Checkpoint<'_, P>,
    ) -> io::Result<()> {
        // Also after a failure: a full disk is not asked again at every step.
        let written = self.write(identity, checkpoint);
        self.newest = Instant::now();
        self.kept.push(written?);
        if let Some(surplus) = self.kept.len().checked_sub(KEPT) {
            self.kept.drain(..surplus);
        }
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name.ends_with(SUFFIX) || name.starts_with(TEMPORARY);
            if ours && !self.kept.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn write<P: Serialize>(
        &self,
        identity: &Identity,
        checkpoint: &Checkpoint<'_, P>,
    ) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let number = self.list().first().map_or(0, |(n, _)| n.saturating_add(1));
        let path = self.folder.join(format!("{number:08}{SUFFIX}"));
        let mut temporary = temporary_in(&self.folder)?;
        file::write(temporary.as_file_mut(), identity, checkpoint)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&path)?;
        sync_folder(&self.folder)?;
        Ok(path)
    }
}

#[cfg(test)]
pub(crate) mod tests;
