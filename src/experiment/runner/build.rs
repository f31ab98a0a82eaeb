//! What a configuration names, made: network, optimizer, method.

use sha2::{Digest as _, Sha256};

use crate::experiment::benchmark::{MethodName, OptimizerName};
use crate::experiment::config::{InitHead, RunConfig};
use crate::experiment::settings::SettingError;
use crate::experiment::{RunError, models};
use crate::method::{Agem, Er, Ewc, Method, Plain};
use crate::model::{Learner, LearnerError, fit_weights};
use crate::optim::{Naive, NaiveKind, Optimizer, Tag};
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
    let mut learner = models::network(config, classes, threads)?;
    if let Some(expected) = &config.init_sha256 {
        let bytes = init.ok_or_else(|| SettingError::Missing {
            key: "init",
            remedy: format!("give the file of initial weights with checksum {expected}"),
        })?;
        let found = sha256(bytes);
        if found != *expected {
            let remedy = format!("its checksum must be {expected}, but the file given has {found}");
            return Err(SettingError::Missing {
                key: "init",
                remedy,
            }
            .into());
        }
        let fresh = learner.weights().map_err(LearnerError::from)?;
        let head = match config.init_head {
            InitHead::File => None,
            InitHead::Fresh => Some(config.model.head()),
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
    let kind = match config.optimizer {
        OptimizerName::Sgd => {
            let parameters = learner.layout().len();
            return Ok(Box::new(Naive::sgd(parameters, config.momentum)?));
        }
        OptimizerName::RmsProp => NaiveKind::RmsProp,
        OptimizerName::Adagrad => NaiveKind::Adagrad,
        OptimizerName::Adam => NaiveKind::Adam,
        OptimizerName::TagRmsProp | OptimizerName::TagAdagrad | OptimizerName::TagAdam => {
            let tag = config.tag_config().ok_or_else(|| SettingError::Missing {
                key: "optimizer",
                remedy: "the configuration lacks TAG's settings".to_string(),
            })?;
            return Ok(Box::new(Tag::new(tag, learner.layout().clone())?));
        }
    };
    Ok(Box::new(Naive::new(kind, learner.layout().len())))
}

/// The method of a configuration. A method whose settings are missing is a configuration that was not made by
/// [`crate::experiment::settings`].
pub(super) fn build_method(config: &RunConfig) -> Result<Box<dyn Method>, RunError> {
    let seeds = Seeds::new(config.seed);
    let (batch, classes) = (config.batch_size, config.images().0);
    let missing = || {
        RunError::Setting(SettingError::Missing {
            key: "method",
            remedy: format!(
                "the configuration lacks the settings of {:?}",
                config.method
            ),
        })
    };
    Ok(match config.method {
        MethodName::Plain => Box::new(Plain),
        MethodName::Ewc => Box::new(Ewc::new(config.ewc.ok_or_else(missing)?, seeds)),
        MethodName::Agem => {
            let own = config.agem.ok_or_else(missing)?;
            Box::new(Agem::new(own, batch, seeds))
        }
        MethodName::Er => {
            let own = config.er.ok_or_else(missing)?;
            Box::new(Er::new(own, classes, batch, seeds))
        }
    })
}
