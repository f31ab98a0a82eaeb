//! What a configuration names, made: network, optimizer, method.

use sha2::{Digest as _, Sha256};

use crate::experiment::RunError;
use crate::experiment::plan::config::{InitHead, RunConfig};
use crate::experiment::plan::settings::SettingError;
use crate::method::{Method, MethodContext};
use crate::model::{Learner, LearnerError, ModelContext, fit_weights};
use crate::optim::Optimizer;
use crate::seed::Seeds;

/// The network of a configuration for a head of `classes`, freshly initialised from the run's seeds.
///
/// # Errors
/// [`RunError`] if the initial weights do not fit.
pub fn build_learner(
    config: &RunConfig,
    classes: usize,
    init: Option<&[u8]>,
    threads: usize,
) -> Result<Box<dyn Learner>, RunError> {
    let context = ModelContext {
        image: config.images().1,
        classes,
        hidden: config.hidden,
        dropout: config.dropout,
        seeds: Seeds::new(config.seed),
        threads,
    };
    let mut learner = (config.model.build)(&context)?;
    if let Some(expected) = &config.init_sha256 {
        let bytes = init.ok_or_else(|| SettingError::Missing {
            key: "init",
            remedy: format!("give the file of initial weights with checksum {expected}"),
        })?;
        let found = sha256(bytes);
        if found != *expected {
            let problem =
                format!("its checksum must be {expected}, but the file given has {found}");
            return Err(SettingError::Conflict {
                key: "init",
                problem,
            }
            .into());
        }
        let fresh = learner.weights().map_err(LearnerError::from)?;
        let head = match config.init_head {
            InitHead::File => None,
            InitHead::Fresh => Some(config.model.head),
        };
        let fitted = fit_weights(bytes, &fresh, head).map_err(LearnerError::from)?;
        learner.load(&fitted.weights)?;
    }
    Ok(learner)
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    crate::data::image_set::hex(&Sha256::digest(bytes))
}

/// The optimizer of a configuration for this learner.
///
/// # Errors
/// [`RunError::Optimizer`] for hyper-parameters out of range.
pub fn build_optimizer(
    config: &RunConfig,
    learner: &dyn Learner,
) -> Result<Box<dyn Optimizer>, RunError> {
    let build = config.optimizer.build;
    Ok(build(&config.optimizer_settings, learner.layout())?)
}

/// The method of a configuration.
///
/// # Errors
/// [`RunError::Setting`] for settings of another method.
pub(super) fn build_method(config: &RunConfig) -> Result<Box<dyn Method>, RunError> {
    let context = MethodContext {
        batch_size: config.batch_size,
        classes: config.images().0,
        seeds: Seeds::new(config.seed),
    };
    Ok((config.method.build)(&config.method_settings, &context)?)
}
