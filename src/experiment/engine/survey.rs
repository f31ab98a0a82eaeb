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

/// Looks at a folder of run folders, and at the manifests in it.
///
/// # Errors
/// What the system says if the folder cannot be listed.
pub fn survey(folder: &Path) -> io::Result<Survey> {
    let (mut ids, mut manifests) = (BTreeSet::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if manifest::is_manifest(&name) {
            manifests.push(entry.path());
        } else if entry.file_type()?.is_dir() {
            ids.insert(name);
        }
    }
    let here: Vec<(String, PathBuf)> = (ids.iter())
        .map(|id| (id.clone(), folder.join(id)))
        .collect();
    let mut runs: Vec<RunStatus> = judge_all(&here).into_iter().flatten().collect();
    let mut unreadable = Vec::new();
    let mut known: BTreeSet<String> = runs.iter().map(|run| run.run_id.clone()).collect();
    for path in manifests {
        let listed = match manifest::read_ids(&path) {
            Ok(ids) => ids,
            // Removed since the folder was listed.
            Err(ManifestError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            Err(error) => {
                unreadable.push(error.to_string());
                continue;
            }
        };
        for id in listed {
            if known.insert(id.clone()) {
                runs.push(RunStatus::bare(id, State::Waiting));
            }
        }
    }
    runs.sort_by(|a, b| a.run_id.cmp(&b.run_id));
    let mut counts = BTreeMap::new();
    for run in &runs {
        *counts.entry(run.state.name()).or_insert(0) += 1;
    }
    Ok(Survey {
        counts,
        runs,
        unreadable,
    })
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
        let running = state == State::Running;
        let left = beat.steps.saturating_sub(beat.step) as f64;
        Self {
            task: Some(beat.task),
            tasks: Some(beat.tasks).filter(|tasks| *tasks > 0),
            progress: (beat.steps > 0).then(|| beat.step as f64 / beat.steps as f64),
            steps_per_s: Some(beat.steps_per_s).filter(|_| running),
            left_s: (running && beat.steps_per_s > 0.0).then(|| left / beat.steps_per_s),
            accuracy: beat.accuracy,
            error: beat.error.clone().filter(|_| state == State::Failed),
            ..Self::bare(id.to_string(), state)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State as S;
    use super::*;
    use crate::experiment::testing::{finished, planned};

    fn beat(phase: Phase) -> Heartbeat {
        Heartbeat {
            phase,
            pid: std::process::id(),
            process_began: heartbeat::process_began(std::process::id()),
            host: crate::experiment::run::provenance::host(),
            task: 2,
            tasks: 4,
            step: 25,
            steps: 100,
            steps_per_s: 5.0,
            accuracy: Some(61.5),
            result_bytes: None,
            error: None,
            fault: None,
        }
    }

    fn put(folder: &Path, id: &str, beat: Option<&Heartbeat>, result: Option<&str>) {
        let run = folder.join(id);
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join("config.toml"), "").unwrap();
        if let Some(beat) = beat {
            let text = serde_json::to_string(beat).unwrap();
            std::fs::write(run.join(heartbeat::FILE), text).unwrap();
        }
        if let Some(text) = result {
            std::fs::write(run.join(RESULT), text).unwrap();
        }
    }

    #[test]
    fn every_state_is_told_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let config = planned(&[("lr", "0.1")]).config;
        let text = serde_json::to_string(&finished(&config, 70.25)).unwrap();
        let result = text.as_str();
        let done = Heartbeat {
            result_bytes: Some(result.len() as u64),
            ..beat(Phase::Done)
        };
        put(at, "a-running", Some(&beat(Phase::Running)), None);
        let gone = Heartbeat {
            process_began: Some(1),
            ..beat(Phase::Running)
        };
        put(at, "b-killed", Some(&gone), None);
        let failed = Heartbeat {
            error: Some("no space".to_string()),
            ..beat(Phase::Failed)
        };
        put(at, "c-failed", Some(&failed), None);
        put(at, "d-done", Some(&done), Some(result));
        put(at, "e-old-done", None, Some(result));
        put(at, "f-cut", Some(&done), Some(&result[..20]));
        put(at, "g-interrupted", Some(&beat(Phase::Interrupted)), None);
        put(at, "h-begun", None, None);
        std::fs::create_dir(at.join("notes")).unwrap();
        let elsewhere = Heartbeat {
            host: "another".to_string(),
            ..beat(Phase::Running)
        };
        put(at, "i-elsewhere", Some(&elsewhere), None);

        let survey = survey(at).unwrap();
        let states: Vec<_> = survey
            .runs
            .iter()
            .map(|run| (run.run_id.as_str(), run.state))
            .collect();
        assert_eq!(
            states,
            [
                ("a-running", S::Running),
                ("b-killed", S::Stopped),
                ("c-failed", S::Failed),
                ("d-done", S::Done),
                ("e-old-done", S::Done),
                ("f-cut", S::Damaged),
                ("g-interrupted", S::Stopped),
                ("h-begun", S::Stopped),
                ("i-elsewhere", S::Running),
            ]
        );
        let running = &survey.runs[0];
        assert_eq!((running.task, running.progress), (Some(2), Some(0.25)));
        assert_eq!((running.left_s, running.accuracy), (Some(15.0), Some(61.5)));
        assert_eq!(survey.runs[4].accuracy, Some(70.25));
        assert_eq!(survey.runs[2].error.as_deref(), Some("no space"));
        assert_eq!((survey.count(S::Done), survey.is_over()), (2, false));
    }

    #[test]
    fn a_process_elsewhere_is_judged_by_the_age_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Heartbeat {
            host: "another".to_string(),
            ..beat(Phase::Running)
        };
        put(folder.path(), "run", Some(&elsewhere), None);
        let state = |age: i64| {
            let file = std::fs::File::options()
                .write(true)
                .open(folder.path().join("run").join(heartbeat::FILE))
                .unwrap();
            let now = SystemTime::now();
            let span = Duration::from_secs(age.unsigned_abs());
            let at = if age < 0 { now + span } else { now - span };
            file.set_modified(at).unwrap();
            survey(folder.path()).unwrap().runs[0].state
        };
        assert_eq!(state(60), State::Running);
        assert_eq!(state(3600), State::Stopped);
        assert_eq!(state(-3600), State::Running, "clocks differ");
    }

    #[test]
    fn thousands_of_runs_and_a_damaged_manifest_are_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let config = planned(&[("lr", "0.1")]).config;
        let text = serde_json::to_string(&finished(&config, 70.25)).unwrap();
        let result = text.as_str();
        let done = Heartbeat {
            result_bytes: Some(result.len() as u64),
            ..beat(Phase::Done)
        };
        for i in 0..3000 {
            put(at, &format!("run-{i:05}"), Some(&done), Some(result));
        }
        let runs = [crate::experiment::testing::planned(&[])];
        let header = manifest::Header::new(
            None,
            None,
            1,
            crate::experiment::plan::settings::Interval(None),
        );
        let path = manifest::write(at, &header, &runs).unwrap();
        let seen = survey(at).unwrap();
        assert_eq!(
            (seen.count(State::Done), seen.count(State::Waiting)),
            (3000, 1)
        );
        assert!(
            seen.runs
                .windows(2)
                .all(|pair| pair[0].run_id < pair[1].run_id)
        );
        std::fs::write(path, "{").unwrap();
        let seen = survey(at).unwrap();
        assert_eq!((seen.count(State::Waiting), seen.unreadable.len()), (0, 1));
        assert!(
            seen.unreadable[0].contains("line 1"),
            "{}",
            seen.unreadable[0]
        );
    }
}
