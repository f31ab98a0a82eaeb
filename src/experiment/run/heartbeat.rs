//! `status.json`: what a run is doing, for those who look from outside.
//!
//! Owns a small file in the run folder that the runner writes at most once a second, and that says how the run ended.
//! Nothing depends on it but displays: a write that fails (a full disk) fails no run, the next write of a file that matters
//! will say so.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::experiment::run::execution::Status;
use crate::experiment::run::provenance;
use crate::experiment::run::runner::Event;
use crate::experiment::{Fault, RunError};
use crate::files::temporary_in;

/// Name of the file.
pub const FILE: &str = "status.json";

/// The file is written no more often than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It runs, unless its process is gone.
    Running,
    /// Its result is there.
    Done,
    /// It failed.
    Failed,
    /// It was stopped and can go on.
    Interrupted,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// How far the run is.
    pub phase: Phase,
    /// Process that runs it.
    pub pid: u32,
    /// When that process began, in the system's own unit; tells apart two processes of one number.
    pub process_began: Option<u64>,
    /// Machine.
    pub host: String,
    /// Task, from 1; 0 before the first.
    pub task: usize,
    /// Tasks in all.
    pub tasks: usize,
    /// Steps so far.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Steps a second since the run began or went on.
    pub steps_per_s: f64,
    /// Average accuracy after the newest evaluation, in percent.
    pub accuracy: Option<f64>,
    /// Size of `result.json` in bytes, when done: a file of another size is not the one that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whose fault that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Keeps a run folder's file up to date.
pub(in crate::experiment) struct Beating {
    path: PathBuf,
    state: Heartbeat,
    /// When counting of steps began, and at which step.
    counted_from: Option<(Instant, usize)>,
    written: Option<Instant>,
}

impl Beating {
    pub(in crate::experiment) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
            state: Heartbeat {
                phase: Phase::Running,
                pid: std::process::id(),
                process_began: process_began(std::process::id()),
                host: provenance::host(),
                task: 0,
                tasks: 0,
                step: 0,
                steps: 0,
                steps_per_s: 0.0,
                accuracy: None,
                result_bytes: None,
                error: None,
                fault: None,
            },
            counted_from: None,
            written: None,
        }
    }

    pub(in crate::experiment) fn event(&mut self, event: &Event) {
        let state = &mut self.state;
        match event {
            Event::RunBegan { tasks, steps } => (state.tasks, state.steps) = (*tasks, *steps),
            Event::Step { task, step, .. } => {
                (state.task, state.step) = (*task, *step);
                let (began, first) = *self.counted_from.get_or_insert((Instant::now(), *step));
                let elapsed = began.elapsed().as_secs_f64();
                if elapsed > 0.0 {
                    state.steps_per_s = (step - first.min(*step)) as f64 / elapsed;
                }
            }
            Event::Evaluated {
                task, accuracies, ..
            } => {
                state.task = *task;
                state.accuracy =
                    Some(accuracies.iter().sum::<f64>() / accuracies.len().max(1) as f64);
            }
            Event::Resumed {
                tasks,
                steps,
                step,
                task,
                ..
            } => {
                (state.tasks, state.steps) = (*tasks, *steps);
                (state.task, state.step) = (*task, *step);
            }
            Event::EpochEnded { .. } | Event::Warning(_) => {}
        }
        if self.written.is_none_or(|at| at.elapsed() >= INTERVAL) {
            self.written = Some(Instant::now());
            write(&self.path, &self.state);
        }
    }
}

/// Writes how a run ended, where its folder exists.
pub(in crate::experiment) fn ended(folder: &Path, status: &Status) {
    let path = folder.join(FILE);
    let mut state = read(folder).unwrap_or_else(|| Beating::new(folder).state);
    match status {
        // Its file is as it was left, or as the process that holds the run keeps it.
        Status::Found(_) | Status::Failed(RunError::Locked { .. }) => return,
        Status::Done(result) => {
            state.phase = Phase::Done;
            state.accuracy = Some(result.metrics.average_accuracy);
            state.step = result.cost.steps;
            (state.task, state.tasks) = (result.config.tasks, result.config.tasks);
            let file = std::fs::metadata(folder.join(crate::experiment::run::store::RESULT));
            state.result_bytes = file.ok().map(|file| file.len());
            (state.error, state.fault) = (None, None);
        }
        Status::Failed(error) => {
            (state.phase, state.error) = (Phase::Failed, Some(error.to_string()));
            state.fault = Some(error.fault());
        }
        Status::Interrupted => state.phase = Phase::Interrupted,
    }
    if folder.is_dir() {
        write(&path, &state);
    }
}

/// The file of a run folder; `None` where there is none or it cannot be understood.
#[must_use]
pub fn read(folder: &Path) -> Option<Heartbeat> {
    serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()
}

/// Temporary and rename, so that nobody reads half a file; not flushed to disk, it is soon old anyway.
fn write(path: &Path, state: &Heartbeat) {
    let Some(folder) = path.parent() else { return };
    let attempt = || -> std::io::Result<()> {
        let mut file = temporary_in(folder)?;
        serde_json::to_writer(&mut file, state)?;
        file.write_all(b"\n")?;
        file.persist(path)?;
        Ok(())
    };
    // See the module's header: a display must not fail a run.
    let _ = attempt();
}

/// When a process of this machine began (Linux: ticks after the start of the system); `None` where there is no such
/// process, or the system does not tell.
#[must_use]
pub fn process_began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the 20th field after it is the start time.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}
