//! The training loop: tasks in order, epochs, batches, evaluation after every task.
//!
//! Owns the order of things in a run and nothing of what they compute: the stream makes batches, the method makes
//! gradients, the optimizer makes updates, the learner evaluates. Its result is a function of the configuration and the
//! data alone, however often it was interrupted: [`train`] executes a run in memory, [`resume`] goes on from its newest
//! usable checkpoint and writes new ones.

mod build;
mod checks;
mod evaluation;
mod event;
mod place;
mod training;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use build::{build_learner, build_optimizer, check_initial_weights, sha256};
pub use event::Event;
pub(crate) use place::visits;

use crate::data::{Dataset, ImageSet};
use crate::experiment::RunError;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::checkpoint::{Checkpoints, Identity};
use crate::experiment::run::provenance::Provenance;
use crate::experiment::run::result::RunResult;
use training::{Observer, Run};

/// A data set in memory, shared by all runs of a process.
#[derive(Clone, Debug)]
pub struct SharedData {
    /// Training images.
    pub train: Arc<ImageSet>,
    /// Test images.
    pub test: Arc<ImageSet>,
    /// Checksum of both.
    pub sha256: String,
    /// What the source says of them.
    pub note: Option<String>,
    /// What each class is called, `[classes]`.
    pub class_names: Vec<String>,
}

impl SharedData {
    /// Takes a data set over.
    #[must_use]
    pub fn new(data: Dataset) -> Self {
        let sha256 = data.sha256();
        Self {
            train: Arc::new(data.train),
            test: Arc::new(data.test),
            sha256,
            note: data.note,
            class_names: data.class_names,
        }
    }
}

/// What a run needs besides its configuration.
pub struct RunInput<'a> {
    /// The images.
    pub data: &'a SharedData,
    /// Initial weights, as a safetensors file or a PyTorch checkpoint.
    pub init: Option<&'a [u8]>,
    /// Threads inside the run; the result does not depend on it.
    pub threads: usize,
    /// Set to stop at the next step.
    pub stop: &'a AtomicBool,
}

/// A finished run.
pub struct Outcome {
    /// For `result.json`.
    pub result: RunResult,
    /// For `model.safetensors`.
    pub weights: Vec<u8>,
}

/// Executes one run in memory.
///
/// # Errors
/// [`RunError`]; [`RunError::Interrupted`] when told to stop.
pub fn train(
    config: &RunConfig,
    input: &RunInput<'_>,
    observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
) -> Result<Outcome, RunError> {
    let mut run = Run::new(config, input)?;
    run.tell(&run.beginning(), observer)?;
    while !run.is_finished() {
        if input.stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        run.advance(observer)?;
    }
    run.finish()
}

/// Executes one run from its newest usable checkpoint on, or from its beginning, and writes checkpoints on the way and
/// when told to stop. Whatever happens to them, the result is that of [`train`] but for cost and provenance.
///
/// # Errors
/// [`RunError`]; [`RunError::Interrupted`] when told to stop.
pub fn resume(
    config: &RunConfig,
    input: &RunInput<'_>,
    checkpoints: &mut Checkpoints,
    observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
) -> Result<Outcome, RunError> {
    let data = input.data;
    let provenance = Provenance::now(&data.sha256, data.note.as_deref(), input.threads);
    let identity = Identity::new(config, &provenance);
    let (mut run, warnings) = newest(config, input, checkpoints, &identity)?;
    run.tell(&run.beginning(), observer)?;
    for warning in warnings {
        observer(&Event::Warning(warning))?;
    }
    while !run.is_finished() {
        let stop = input.stop.load(Ordering::Relaxed);
        if checkpoints.is_due() || stop && checkpoints.is_on() {
            save(&run, checkpoints, &identity, observer)?;
        }
        if stop {
            return Err(RunError::Interrupted);
        }
        run.advance(observer)?;
    }
    run.finish()
}

/// The run at its newest usable checkpoint, or at its beginning, and what there is to say about those passed over.
fn newest<'a>(
    config: &'a RunConfig,
    input: &'a RunInput<'a>,
    checkpoints: &mut Checkpoints,
    identity: &Identity,
) -> Result<(Run<'a>, Vec<String>), RunError> {
    let mut run = Run::new(config, input)?;
    let limit = run.checkpoint_limit();
    let mut warnings = Vec::new();
    let mut candidates = checkpoints.list().into_iter().peekable();
    while let Some((_, path)) = candidates.next() {
        let restored = Checkpoints::read(&path, limit, identity)
            .and_then(|checkpoint| run.restore(checkpoint));
        let Err(reason) = restored else {
            checkpoints.took(path);
            return Ok((run, warnings));
        };
        let instead = match candidates.peek() {
            Some(_) => "trying the one before",
            None => "the run starts anew",
        };
        let path = path.display();
        warnings.push(format!(
            "checkpoint {path} is not used: {reason}; {instead}"
        ));
        // What was restored of it must not stay.
        run = Run::new(config, input)?;
    }
    Ok((run, warnings))
}

/// Writes a checkpoint; a failure is a warning.
fn save(
    run: &Run<'_>,
    checkpoints: &mut Checkpoints,
    identity: &Identity,
    observer: &mut Observer<'_>,
) -> Result<(), RunError> {
    match checkpoints.save(identity, &run.checkpoint()) {
        Ok(()) => Ok(()),
        Err(error) => observer(&Event::Warning(format!(
            "the checkpoint could not be written: {error}; the run goes on, but after an interruption it would go on \
             from an earlier place"
        ))),
    }
}
