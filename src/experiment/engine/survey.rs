//! A folder of runs, seen from outside: which are done, running, waiting, failed.
//!
//! Owns the judgement, from files alone, so that it works from another terminal or another machine and for any engine.
//! Ten thousand runs take seconds: of a finished run only the small `status.json` is read, with the size of the result.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::experiment::engine::manifest::{self, ManifestError};
use crate::experiment::run::heartbeat::{self, Heartbeat, Phase};
use crate::experiment::run::result::parse_without_alpha;
use crate::experiment::run::store::RESULT;

/// A process on another machine that has written nothing for so long counts as gone.
const GONE: Duration = Duration::from_mins(10);

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its process works on it.
    Running,
    /// It failed.
    Failed,
    /// Its result cannot be read.
    Damaged,
    /// It was interrupted, or its process is gone; it can go on.
    Stopped,
    /// It is in a manifest, and nothing more.
    Waiting,
    /// Its result is there.
    Done,
}

impl State {
    /// All, the most urgent first.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Failed,
        Self::Damaged,
        Self::Stopped,
        Self::Waiting,
        Self::Done,
    ];

    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Damaged => "damaged",
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Done => "done",
        }
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStatus {
    /// Name of the run folder.
    pub run_id: String,
    /// What it is doing.
    pub state: State,
    /// Task, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<usize>,
    /// Tasks in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<usize>,
    /// Share of the steps that are done, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Steps a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_per_s: Option<f64>,
    /// Seconds left at this speed, for runs that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_s: Option<f64>,
    /// Newest average accuracy in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Why it failed, or what is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All runs of a folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Survey {
    /// Number of runs in each state.
    pub counts: BTreeMap<&'static str, usize>,
    /// The runs, in order of their names.
    pub runs: Vec<RunStatus>,
    /// Manifests that cannot be read: the runs that wait in them are missing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

impl Survey {
    /// Number of runs in this state.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.counts.get(state.name()).copied().unwrap_or(0)
    }

    /// True when nothing runs and nothing waits to be run.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.count(State::Running) + self.count(State::Waiting) == 0
    }
}

/// Folders below the given one that are searched.
const DEPTH: usize = 16;

/// Looks at all run folders below a folder, as reports do, and at the manifests beside them: run folders are not searched for
/// further ones, and links to folders are not followed. Runs are named by their paths from the folder.
///
/// # Errors
/// What the system says if the folder cannot be listed.
pub fn survey(folder: &Path) -> io::Result<Survey> {
    let mut found = Survey::default();
    // The folder may itself be one of a run.
    let own = folder.file_name().unwrap_or_default().to_string_lossy();
    let host = crate::experiment::run::provenance::host();
    if folder.join(RESULT).is_file() || folder.join("config.toml").is_file() {
        found.runs.extend(judge(&own, folder, &host));
        found.count_runs();
        return Ok(found);
    }
    let (mut level, mut waiting) = (vec![(String::new(), folder.to_path_buf())], Vec::new());
    for depth in 0..DEPTH {
        let mut inside = Vec::new();
        for (name, path) in &level {
            let listed = list(name, path, &mut inside, &mut waiting);
            match listed {
                Ok(()) => {}
                Err(error) if depth == 0 => return Err(error),
                // Removed since its parent was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("cannot list {}: {error}", path.display());
                    found.unreadable.push(text);
                }
            }
        }
        let judged = judge_all(&inside);
        let (mut others, pairs) = (Vec::new(), inside.into_iter().zip(judged));
        for (folder, run) in pairs {
            match run {
                Some(run) => found.runs.push(run),
                None => others.push(folder),
            }
        }
        level = others;
    }
    found.add_waiting(&waiting);
    found.runs.sort_by(|a, b| a.run_id.cmp(&b.run_id));
    found.count_runs();
    Ok(found)
}

/// Takes the folders and the manifests of a folder in, with their names from the one that is looked at.
fn list(
    name: &str,
    folder: &Path,
    folders: &mut Vec<(String, PathBuf)>,
    manifests: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if manifest::is_manifest(&own) {
            manifests.push((name.to_string(), entry.path()));
        } else if entry.file_type()?.is_dir() {
            folders.push((join(name, &own), entry.path()));
        }
    }
    Ok(())
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_string(),
        folder => format!("{folder}/{name}"),
    }
}

impl Survey {
    /// Adds the runs that stand in manifests (each with the name of its folder) and nowhere else.
    fn add_waiting(&mut self, manifests: &[(String, PathBuf)]) {
        let mut known: BTreeSet<String> = self.runs.iter().map(|run| run.run_id.clone()).collect();
        for (folder, path) in manifests {
            let listed = match manifest::read_ids(path) {
                Ok(ids) => ids,
                // Removed since the folder was listed.
                Err(ManifestError::Read { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => {
                    self.unreadable.push(error.to_string());
                    continue;
                }
            };
            for id in listed {
                let id = join(folder, &id);
                if known.insert(id.clone()) {
                    self.runs.push(RunStatus::bare(id, State::Waiting));
                }
            }
        }
    }

    fn count_runs(&mut self) {
        for run in &self.runs {
            *self.counts.entry(run.state.name()).or_insert(0) += 1;
        }
    }
}

/// Judges folders side by side: on shared file systems most of the time is waiting.
fn judge_all(folders: &[(String, PathBuf)]) -> Vec<Option<RunStatus>> {
    let host = crate::experiment::run::provenance::host();
    let share = folders.len().div_ceil(16).max(64);
    std::thread::scope(|scope| {
        let judge = |part: &[(String, PathBuf)]| -> Vec<Option<RunStatus>> {
            part.iter()
                .map(|(id, path)| judge(id, path, &host))
                .collect()
        };
        let parts: Vec<_> = folders
            .chunks(share)
            .map(|part| scope.spawn(move || judge(part)))
            .collect();
        parts
            .into_iter()
            .zip(folders.chunks(share))
            .flat_map(|(part, folders)| part.join().unwrap_or_else(|_| vec![None; folders.len()]))
            .collect()
    })
}

/// Judges one folder; `None` if it is none of a run (or has just vanished).
fn judge(id: &str, folder: &Path, host: &str) -> Option<RunStatus> {
    let beat = heartbeat::read(folder);
    let path = folder.join(RESULT);
    match std::fs::metadata(&path) {
        Ok(file) => return Some(judge_result(id, &path, file.len(), beat.as_ref())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => {
            let mut run = RunStatus::bare(id.to_string(), State::Damaged);
            run.error = Some(format!("cannot read {}: {e}", path.display()));
            return Some(run);
        }
    }
    let Some(beat) = beat else {
        // A folder that was begun and has no state yet, or was written by an older version.
        let begun = folder.join("config.toml").is_file();
        return begun.then(|| RunStatus::bare(id.to_string(), State::Stopped));
    };
    let state = match beat.phase {
        Phase::Running if is_alive(&beat, &folder.join(heartbeat::FILE), host) => State::Running,
        // `Done` without a result: somebody removed it to have the run again.
        Phase::Running | Phase::Interrupted | Phase::Done => State::Stopped,
        Phase::Failed => State::Failed,
    };
    Some(RunStatus::of(id, state, &beat))
}

fn judge_result(id: &str, path: &Path, bytes: u64, beat: Option<&Heartbeat>) -> RunStatus {
    if let Some(beat) = beat.filter(|b| b.phase == Phase::Done && b.result_bytes == Some(bytes)) {
        return RunStatus::of(id, State::Done, beat);
    }
    let result = std::fs::read(path)
        .map_err(|e| e.to_string())
        .and_then(|bytes| parse_without_alpha(&bytes));
    let mut run = RunStatus::bare(id.to_string(), State::Done);
    match result {
        Ok(result) => run.accuracy = Some(result.metrics.average_accuracy),
        Err(reason) => {
            run.state = State::Damaged;
            run.error = Some(format!("{}: {reason}", path.display()));
        }
    }
    run
}

/// Whether a process works on this run folder, as far as can be seen.
#[must_use]
pub fn is_running(folder: &Path) -> bool {
    let host = crate::experiment::run::provenance::host();
    heartbeat::read(folder).is_some_and(|beat| {
        beat.phase == Phase::Running && is_alive(&beat, &folder.join(heartbeat::FILE), &host)
    })
}

/// Whether the process that writes this file still does: on this machine the process is asked for, elsewhere the age
/// of the file counts. A file from the future (clocks differ) is fresh.
fn is_alive(beat: &Heartbeat, path: &Path, host: &str) -> bool {
    if beat.host == host && beat.process_began.is_some() {
        return heartbeat::process_began(beat.pid) == beat.process_began;
    }
    let written = std::fs::metadata(path).and_then(|file| file.modified());
    written.is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .map_or(true, |age| age < GONE)
    })
}

impl RunStatus {
    fn bare(run_id: String, state: State) -> Self {
        Self {
            run_id,
            state,
            task: None,
            tasks: None,
            progress: None,
            steps_per_s: None,
            left_s: None,
            accuracy: None,
            error: None,
        }
    }

    fn of(id: &str, state: State, beat: &Heartbeat) -> Self {
        let (running, done) = (state == State::Running, state == State::Done);
        let left = beat.steps.saturating_sub(beat.step) as f64;
        let share = || beat.step as f64 / beat.steps as f64;
        Self {
            // The file is written once a second: the end of a run may have come too soon for it.
            task: Some(if done { beat.tasks } else { beat.task }),
            tasks: Some(beat.tasks).filter(|tasks| *tasks > 0),
            progress: (beat.steps > 0).then(|| if done { 1.0 } else { share() }),
            steps_per_s: Some(beat.steps_per_s).filter(|rate| running && *rate > 0.0),
            left_s: (running && beat.steps_per_s > 0.0).then(|| left / beat.steps_per_s),
            accuracy: beat.accuracy,
            error: beat.error.clone().filter(|_| state == State::Failed),
            ..Self::bare(id.to_string(), state)
        }
    }
}

#[cfg(test)]
mod tests;
