//! Many runs side by side in one process.
//!
//! Owns the queue and the isolation: each worker thread takes the next run; a run that fails or panics is recorded and
//! the others go on; a run whose result exists is not run again; told to stop, nothing new begins.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::RunError;
use super::execution::{Executed, execute};
use super::heartbeat::{self, Beating};
use super::result::RunResult;
use super::runner::{Event, RunInput, SharedData};
use super::settings::PlannedRun;
use super::store::RunFolder;

/// What became of one run.
#[derive(Debug)]
pub enum Status {
    /// Executed now.
    Done(Box<RunResult>),
    /// Its result was there already.
    Found(Box<RunResult>),
    /// It failed.
    Failed(RunError),
    /// It was stopped, or never begun because of a stop.
    Interrupted,
}

/// Hears of all runs' events; called from the worker threads.
pub trait Watcher: Sync {
    /// Run number `index` of the list had this event.
    fn event(&self, index: usize, run: &PlannedRun, event: &Event);
    /// Run number `index` has ended.
    fn ended(&self, index: usize, run: &PlannedRun, status: &Status);
}

/// How to execute a list of runs.
pub struct Pool<'a> {
    /// Run folders go here.
    pub out: &'a Path,
    /// The images of all runs.
    pub data: &'a SharedData,
    /// Initial weights of all runs.
    pub init: Option<&'a [u8]>,
    /// Runs side by side.
    pub jobs: usize,
    /// Threads inside each run.
    pub threads: usize,
    /// How often the state of each run is saved; `None` for never.
    pub checkpoint_every: Option<Duration>,
    /// Set to stop.
    pub stop: &'a AtomicBool,
}

impl Pool<'_> {
    /// Executes the runs; the answers are in the order of the list.
    pub fn execute(&self, runs: &[PlannedRun], watcher: &dyn Watcher) -> Vec<Status> {
        let next = AtomicUsize::new(0);
        let statuses: Mutex<Vec<Option<Status>>> = Mutex::new(runs.iter().map(|_| None).collect());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, runs.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(run) = runs.get(index) else { return };
                        let status = self.one(index, run, watcher);
                        let folder = RunFolder::new(self.out, &run.config.run_id());
                        heartbeat::ended(folder.path(), &status);
                        watcher.ended(index, run, &status);
                        let mut statuses = statuses
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        if let Some(slot) = statuses.get_mut(index) {
                            *slot = Some(status);
                        }
                    }
                });
            }
        });
        let statuses = statuses
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        statuses
            .into_iter()
            .map(|status| status.unwrap_or(Status::Interrupted))
            .collect()
    }

    fn one(&self, index: usize, run: &PlannedRun, watcher: &dyn Watcher) -> Status {
        if self.stop.load(Ordering::Relaxed) {
            return Status::Interrupted;
        }
        let attempt = catch_unwind(AssertUnwindSafe(|| self.run(index, run, watcher)));
        match attempt {
            Ok(Ok(status)) => status,
            Ok(Err(RunError::Interrupted)) => Status::Interrupted,
            Ok(Err(error)) => Status::Failed(error),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(ToString::to_string);
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Status::Failed(RunError::Panic(
                    text.unwrap_or_else(|| "unknown panic".to_string()),
                ))
            }
        }
    }

    fn run(
        &self,
        index: usize,
        run: &PlannedRun,
        watcher: &dyn Watcher,
    ) -> Result<Status, RunError> {
        let folder = RunFolder::new(self.out, &run.config.run_id());
        let mut beating = Beating::new(folder.path());
        let input = RunInput {
            data: self.data,
            init: self.init,
            threads: self.threads,
            stop: self.stop,
        };
        let every = self.checkpoint_every;
        let executed = execute(run, &folder, &input, every, &mut |event| {
            watcher.event(index, run, event);
            beating.event(event);
        })?;
        Ok(match executed {
            Executed::Now(result) => Status::Done(Box::new(result)),
            Executed::Before(result) => Status::Found(Box::new(result)),
        })
    }
}
