//! What a configuration names, made: network (from a file of initial weights, where it has one), optimizer, method.

use sha2::{Digest as _, Sha256};

use crate::experiment::RunError;
use crate::experiment::plan::config::{InitHead, Prefixes, RunConfig};
use crate::experiment::plan::settings::SettingError;
use crate::experiment::run::result::{InitialWeights, named};
use crate::method::{Method, MethodContext};
use crate::model::{Freeze, Learner, LearnerError, ModelContext, WeightsError, fit_weights};
use crate::optim::Optimizer;
use crate::seed::Seeds;

/// The network of a configuration for a head of `classes`, freshly initialised from the run's seeds or from its file of
/// initial weights.
///
/// # Errors
/// [`RunError`] if the initial weights do not fit.
pub fn build_learner(
    config: &RunConfig,
    classes: usize,
    init: Option<&[u8]>,
    threads: usize,
) -> Result<Box<dyn Learner>, RunError> {
    let (learner, _) = start_learner(config, classes, init, threads)?;
    Ok(learner)
}

/// What a run of this configuration takes of its file of initial weights; `None` without one. Needs no images, so that
/// what does not fit is known before anything runs.
///
/// # Errors
/// [`RunError`] if the file does not fit.
pub fn check_initial_weights(
    config: &RunConfig,
    init: Option<&[u8]>,
) -> Result<Option<InitialWeights>, RunError> {
    if config.init_sha256.is_none() {
        return Ok(None);
    }
    let classes = config.stream().head_classes(config.images().0);
    let (_, taken) = start_learner(config, classes, init, 1)?;
    Ok(taken)
}

/// [`build_learner`], and what was taken of the file.
pub(super) fn start_learner(
    config: &RunConfig,
    classes: usize,
    init: Option<&[u8]>,
    threads: usize,
) -> Result<(Box<dyn Learner>, Option<InitialWeights>), RunError> {
    let context = ModelContext {
        image: config.images().1,
        classes,
        hidden: config.hidden,
        scale: config.cosine_scale,
        dropout: config.dropout,
        initial: config.initial_values,
        init: config.seeds_of(config.init_seed),
        seeds: Seeds::new(config.seed),
        threads,
    };
    let mut learner = (config.model.build)(&context)?;
    let Some(expected) = &config.init_sha256 else {
        return Ok((freeze(config, learner)?, None));
    };
    let bytes = init.ok_or_else(|| SettingError::Missing {
        key: "init",
        remedy: format!("give the file of initial weights with checksum {expected}"),
    })?;
    let found = sha256(bytes);
    if found != *expected {
        let problem = format!("its checksum must be {expected}, but the file given has {found}");
        return Err(SettingError::Conflict {
            key: "init",
            problem,
        }
        .into());
    }
    let taken = take_initial_weights(config, learner.as_mut(), bytes)?;
    Ok((freeze(config, learner)?, Some(taken)))
}

/// The learner with the parameters frozen that the configuration names.
fn freeze(config: &RunConfig, learner: Box<dyn Learner>) -> Result<Box<dyn Learner>, RunError> {
    let Some(Prefixes(prefixes)) = &config.freeze else {
        return Ok(learner);
    };
    Ok(Box::new(Freeze::new(learner, prefixes)?))
}

fn take_initial_weights(
    config: &RunConfig,
    learner: &mut dyn Learner,
    bytes: &[u8],
) -> Result<InitialWeights, RunError> {
    let fresh = learner.weights().map_err(LearnerError::from)?;
    let head = match config.init_head {
        InitHead::File => None,
        InitHead::Fresh => Some(config.model.head),
    };
    let fitted = fit_weights(bytes, &fresh, head).map_err(LearnerError::from)?;
    learner
        .load(&fitted.weights)
        .map_err(|error| of_another_head(config, error))?;
    if config.init_strict && !fitted.left_over.is_empty() {
        return Err(SettingError::Conflict {
            key: "init",
            problem: format!(
                "{} has no place for {} of the file: {}; choose the network that they are of, or leave them out with \
                 init_strict = false",
                config.model.name,
                tensors(fitted.left_over.len()),
                named(&fitted.left_over)
            ),
        }
        .into());
    }
    let of_head = |name: &str| name.rsplit_once('.').is_some_and(|(l, _)| Some(l) == head);
    let own = learner.tensors();
    Ok(InitialWeights {
        tensors: own.iter().filter(|tensor| !of_head(&tensor.name)).count(),
        source: Some(fitted.source).filter(|source| !source.is_empty()),
        left_over: fitted.left_over,
    })
}

/// A head of other classes has a remedy of its own.
fn of_another_head(config: &RunConfig, error: LearnerError) -> RunError {
    let head = config.model.head;
    let of_head = |name: &str| {
        name.rsplit_once('.')
            .is_some_and(|(layer, _)| layer == head)
    };
    match &error {
        LearnerError::Weights(
            WeightsError::Shape { name, .. } | WeightsError::Missing { name, .. },
        ) if of_head(name) => {
            let problem = format!("{error}; it is of the head: init_head = fresh makes one anew");
            SettingError::Conflict {
                key: "init",
                problem,
            }
            .into()
        }
        _ => error.into(),
    }
}

fn tensors(count: usize) -> String {
    match count {
        1 => "1 tensor".to_string(),
        _ => format!("{count} tensors"),
    }
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
pub(super) fn build_method(
    config: &RunConfig,
    learner: &dyn Learner,
) -> Result<Box<dyn Method>, RunError> {
    let head = format!("{}.weight", config.model.head);
    let mut slots = learner.layout().slots().iter();
    let head = slots.find(|slot| slot.name == head);
    let (head_classes, features) = match head.map(|slot| slot.shape.as_slice()) {
        Some(&[classes, features]) => (classes, features),
        _ => (0, 0),
    };
    let context = MethodContext {
        batch_size: config.batch_size,
        classes: config.images().0,
        head_classes,
        features,
        tasks: config.tasks,
        all_classes: config.all_classes(),
        scenario: config.scenario,
        seeds: Seeds::new(config.seed),
    };
    Ok((config.method.build)(&config.method_settings, &context)?)
}
