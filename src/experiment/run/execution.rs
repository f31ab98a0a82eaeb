//! One run in its folder, from whatever is there to a result.
//!
//! Owns the order in which lock, configuration, checkpoints, events, weights and result meet, so that the process may end
//! at any point of it: whoever executes the run next finds a state that can be gone on from.

use std::time::Duration;

use crate::experiment::RunError;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::checkpoint::Checkpoints;
use crate::experiment::run::lock::RunLock;
use crate::experiment::run::result::RunResult;
use crate::experiment::run::runner::{Event, RunInput, resume};
use crate::experiment::run::store::RunFolder;

/// A finished run.
#[derive(Debug)]
pub enum Executed {
    /// Executed now, wholly or from a checkpoint on.
    Now(RunResult),
    /// Its result was there already.
    Before(RunResult),
}

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

/// Executes a run in its folder, or finds it complete.
///
/// # Errors
/// [`RunError`]; [`RunError::Locked`] while another process works in the folder, [`RunError::Interrupted`] when told to
/// stop. In each case what was computed so far is as safe as the newest checkpoint.
pub fn execute(
    run: &PlannedRun,
    folder: &RunFolder,
    input: &RunInput<'_>,
    checkpoint_every: Option<Duration>,
    observer: &mut dyn FnMut(&Event),
) -> Result<Executed, RunError> {
    let found = || -> Result<Option<RunResult>, RunError> {
        let result = folder.result(&run.config)?;
        if let Some(result) = &result {
            folder.check_data(result, &input.data.sha256)?;
        }
        Ok(result)
    };
    if let Some(result) = found()? {
        // A process that was killed after the result may have left the rest.
        folder.tidy();
        return Ok(Executed::Before(result));
    }
    folder.create()?;
    let lock = RunLock::take(folder.path())?;
    // Another process may have finished it before the lock was ours.
    if let Some(result) = found()? {
        return Ok(Executed::Before(result));
    }
    folder.prepare(&run.config, &run.toml)?;
    let mut events = folder.events()?;
    if !lock.is_held() {
        observer(&Event::Warning(
            "the file system has no locks: nothing keeps another process off this run".to_string(),
        ));
    }
    let mut checkpoints = Checkpoints::new(folder.path(), checkpoint_every);
    let outcome = resume(&run.config, input, &mut checkpoints, &mut |event| {
        observer(event);
        match event {
            Event::RunBegan { .. } => events.keep(0)?,
            Event::Resumed { lines, .. } => events.keep(*lines)?,
            _ => {}
        }
        event.to_json().map_or(Ok(()), |line| events.append(line))
    })?;
    if !folder.is_prepared() {
        // Somebody removed the folder; what was computed is still here.
        folder.prepare(&run.config, &run.toml)?;
    }
    folder.write_weights(&outcome.weights)?;
    folder.write_result(&outcome.result)?;
    folder.tidy();
    drop(lock);
    Ok(Executed::Now(outcome.result))
}
