//! Executing lists of runs.
//!
//! Owns the engines: this machine ([`pool`] in threads that share the images, [`processes`] in processes that share nothing),
//! a cluster's scheduler ([`slurm`]), and the files by which any other can do it ([`manifest`]); what is seen of a folder of
//! runs from outside ([`survey`]); and the [`pages`] of the processes that train.

pub mod manifest;
pub mod pages;
pub mod pool;
pub mod processes;
mod queue;
pub mod slurm;
pub mod survey;

use super::plan::settings::PlannedRun;
use super::run::execution::Status;
use super::run::runner::Event;

/// Hears of all runs' events; called from the threads that execute them.
pub trait Watcher: Sync {
    /// Run number `index` of the list had this event.
    fn event(&self, index: usize, run: &PlannedRun, event: &Event);
    /// Run number `index` has ended.
    fn ended(&self, index: usize, run: &PlannedRun, status: &Status);
}
