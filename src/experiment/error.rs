//! Why a run, or what it needs, failed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::DataError;
use crate::model::LearnerError;
use crate::optim::OptimError;
use crate::settings::SettingError;
use crate::stream::StreamError;

/// What a failure says of the configuration that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The run's own: whoever executes it, wherever, it fails in the same way (it diverges, or cannot be).
    Own,
    /// That of circumstances which may pass: a killed process, a full disk.
    Passing,
    /// That of circumstances which somebody must mend: a damaged file, missing data.
    Lasting,
}

/// The first digits of a checksum.
fn short(sum: &str) -> &str {
    sum.get(..8).unwrap_or(sum)
}

/// Why a run, or what it needs, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A setting is unknown, missing, or out of range.
    #[error("{0}")]
    Setting(#[from] SettingError),
    /// The data cannot be had.
    #[error("{0}")]
    Data(#[from] DataError),
    /// The stream cannot be made of the data.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The network cannot do what it was asked.
    #[error("{0}")]
    Learner(#[from] LearnerError),
    /// The optimizer cannot go on.
    #[error("{0}")]
    Optimizer(#[from] OptimError),
    /// Training diverged.
    #[error("task {task}, step {step}: {what} is not finite; lower {knobs}")]
    NonFinite {
        /// Task, from 1.
        task: usize,
        /// Step within the task, from 1; 0 for its evaluation.
        step: usize,
        /// `the loss` or the name of a parameter tensor.
        what: String,
        /// What may be too large, the likeliest first: `the learning rate (it is 0.1) or lambda (it is 5)`.
        knobs: String,
    },
    /// A file of the run folder cannot be written or read.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `write`, `read`, `create`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of the run folder holds something else than it should.
    #[error("{} is damaged: {reason}; remove the folder {} to run it anew", path.display(), folder.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The run folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The run folder belongs to another configuration.
    #[error(
        "{} holds a run of another configuration ({difference}); choose another --out or remove the folder",
        folder.display()
    )]
    OtherConfiguration {
        /// The run folder.
        folder: PathBuf,
        /// The first setting that differs, with both values.
        difference: String,
    },
    /// The run folder's result was computed from other images than those at hand.
    #[error(
        "{} is complete, but its images are no longer those of `{benchmark}` (SHA-256 {}… then, {}… now): give another --out \
         to run it on the new ones, remove the folder if it is of no use, or put the old images back",
        folder.display(),
        short(then),
        short(now)
    )]
    OtherData {
        /// The run folder.
        folder: PathBuf,
        /// Name of the benchmark.
        benchmark: String,
        /// Checksum in the result.
        then: String,
        /// Checksum of the images at hand.
        now: String,
    },
    /// Another process works in the run folder.
    #[error(
        "{} is in use by {}; wait for it, or stop it and try again",
        folder.display(),
        if holder.is_empty() { "another process" } else { holder }
    )]
    Locked {
        /// The run folder.
        folder: PathBuf,
        /// What the other one says of itself.
        holder: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A run in another process failed; the text is that process's.
    #[error("{reason}")]
    Worker {
        /// Why, in the other process's words.
        reason: String,
        /// Whose fault that is.
        fault: Fault,
    },
    /// A bug: the run panicked.
    #[error("internal error (please report it): {0}")]
    Panic(String),
}

impl RunError {
    /// Whose fault this is. Only [`Fault::Own`] says anything of the configuration: a search may count such a run as
    /// judged, and no other that has no result.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Setting(_)
            | Self::Stream(_)
            | Self::Learner(_)
            | Self::Optimizer(_)
            | Self::NonFinite { .. } => Fault::Own,
            Self::Io { .. } | Self::Locked { .. } | Self::Interrupted | Self::Panic(_) => {
                Fault::Passing
            }
            Self::Data(_)
            | Self::Damaged { .. }
            | Self::OtherConfiguration { .. }
            | Self::OtherData { .. } => Fault::Lasting,
            Self::Worker { fault, .. } => *fault,
        }
    }

    /// Something that somebody must mend before any run can be executed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "for map_err, which gives the error away"
    )]
    pub(crate) fn lasting(reason: impl ToString) -> Self {
        let (reason, fault) = (reason.to_string(), Fault::Lasting);
        Self::Worker { reason, fault }
    }

    /// For `map_err`: an operation that the system refused.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
