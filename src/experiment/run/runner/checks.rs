//! What a run refuses before its first step, and what it suspects when it diverges.
//!
//! Owns judgements on a configuration that need the stream (batches that would teach nothing) or the step at which
//! training failed; ranges of single settings are in their declarations.

use super::place::Visit;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::SettingError;
use crate::method::Method;
use crate::optim::TagSettings;
use crate::settings::{Resolver, Texts};
use crate::stream::TaskStream;

/// Refuses tasks that would have no step because their only batch is not full, and batches of which batch norm has no
/// statistics.
pub(super) fn check_batches(
    config: &RunConfig,
    visits: &[Visit],
    stream: &TaskStream,
) -> Result<(), SettingError> {
    let tasks = stream.tasks();
    let size = config.batch_size;
    for visit in visits {
        let examples = visit.examples(tasks);
        let task = visit.task() + 1;
        if config.drop_last && examples < size {
            return Err(SettingError::Conflict {
                key: "drop_last",
                problem: format!(
                    "task {task} has {examples} training images, less than a batch of {size}, and batches that are not \
                     full are left out: set drop_last = false or a smaller batch_size",
                ),
            });
        }
        let positions = (config.model.norm_positions)(config.images().1);
        let last = match examples % size {
            0 => size,
            _ if config.drop_last => size,
            rest => rest,
        };
        if positions == Some(1) && last.min(size) == 1 {
            let remedy = match size {
                1 => "set a larger batch_size".to_string(),
                _ => format!(
                    "set drop_last = true, or a batch_size that does not leave one of {examples} over"
                ),
            };
            return Err(SettingError::Conflict {
                key: "batch_size",
                problem: format!(
                    "of the {examples} training images of task {task} the last batch of {size} has 1, and of one image of \
                     {} the batch norms of {} have a single value a channel, which teaches nothing (PyTorch refuses it, \
                     too): {remedy}",
                    config.images().1,
                    config.model.name
                ),
            });
        }
    }
    Ok(())
}

/// Refuses an optimizer that remembers tasks under a method that gives it none to remember.
pub(super) fn check_optimizer(config: &RunConfig, method: &dyn Method) -> Result<(), SettingError> {
    if !(method.forgets_updates() && config.optimizer.remembers_tasks) {
        return Ok(());
    }
    Err(SettingError::Conflict {
        key: "optimizer",
        problem: format!(
            "{} remembers the updates of earlier tasks, and with {} every task begins with an optimizer that has seen none; \
             choose one that remembers no tasks",
            config.optimizer.name, config.method.name
        ),
    })
}

/// A method that never passes the batch by itself, where an optimizer wants the batch's own gradient.
pub(super) fn no_raw_gradient(config: &RunConfig) -> SettingError {
    SettingError::Conflict {
        key: "second_moment",
        problem: format!(
            "{} with these settings has no gradient of the batch alone for the second moment to see: leave it at changed",
            config.method.name
        ),
    }
}

/// What may be too large in a run that diverges, the likeliest first: weights of the method and TAG's b (the present task's own,
/// too) above their usual value, then the learning rate, then those that are as usual. A rate so small that it changes nothing is no suspect
/// while there is another.
pub(super) fn knobs(config: &RunConfig, lr: f64) -> String {
    const NO_SUSPECT: f64 = 1e-6;
    let nothing = Texts::default();
    let weights = [TagSettings::tag_own_b().key, TagSettings::b().key];
    let usual = Resolver::new(&nothing);
    let of_method = config.method_settings.fields().into_iter();
    let of_method = of_method.filter(|f| config.method.weights.contains(&f.setting.key()));
    let of_optimizer = config.optimizer_settings.fields().into_iter();
    let own = of_method.chain(of_optimizer.filter(|field| weights.contains(&field.setting.key())));
    let (mut raised, mut rest) = (Vec::new(), Vec::new());
    for field in own {
        let Some(value) = field.value else { continue };
        let shown = value.number().map_or(value.to_string(), figure);
        let text = format!("{} (it is {shown})", field.setting.key());
        let default = field.setting.usual_value(&usual).ok().flatten();
        let default = default.and_then(|default| default.number());
        match value.number().zip(default) {
            Some((value, default)) if value <= default => rest.push(text),
            _ => raised.push(text),
        }
    }
    let rate = figure(lr);
    if lr >= NO_SUSPECT || raised.is_empty() && rest.is_empty() {
        raised.push(format!("the learning rate (it is {rate})"));
    }
    raised.extend(rest);
    raised.join(" or ")
}

/// A number without rows of zeros.
fn figure(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e6).contains(&x.abs()) {
        return format!("{x:e}");
    }
    x.to_string()
}
