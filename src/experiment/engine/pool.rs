//! Many runs side by side in one process.
//!
//! Owns the isolation: a run that fails or panics is recorded and the others go on; a run whose result exists is not run
//! again; told to stop, nothing new begins. The runs share one copy of the images.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Watcher;
use super::queue::{self, Held};
use crate::experiment::RunError;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::{Executed, Status, execute};
use crate::experiment::run::heartbeat::{self, Beating};
use crate::experiment::run::runner::{RunInput, SharedData};
use crate::experiment::run::store::RunFolder;

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
        let one = |(): &mut (), index, run: &PlannedRun| {
            let status = self.one(index, run, watcher);
            let folder = RunFolder::new(self.out, &run.config.run_id());
            heartbeat::ended(folder.path(), &status);
            status
        };
        let jobs = self.jobs.clamp(1, runs.len().max(1));
        queue::serve(runs, jobs, watcher, Held::Refuse, &|_| (), &one, |_| ())
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
