//! Experiments: from settings to result files.
//!
//! Owns the unit of work, the *run* (benchmark, method, optimizer, hyper-parameters, seed), in rooms that build on one
//! another:
//!
//! | room | holds |
//! |---|---|
//! | [`benchmark`] | streams of tasks and the images they are cut from |
//! | [`plan`] | what is to be run: settings, and configurations made of them |
//! | [`run`] | running one run: training loop, checkpoints, folder, result |
//! | [`paper`] | the TAG paper: released commands, corrections, published figures, replication |
//! | [`engine`] | who executes a list of runs: this machine, a cluster |
//! | [`search`] | many configurations: sweeps, selection, cost |

pub mod benchmark;
pub mod engine;
mod error;
pub mod paper;
pub mod plan;
pub mod run;
pub mod search;
#[cfg(test)]
pub(crate) mod testing;

pub use error::{Fault, RunError};
