//! No method: the gradient of the present batch and nothing else. With SGD it is the field's "naive" baseline.

use super::{Method, MethodSpec, Passes, Step};
use crate::model::{Learner, LearnerError, Mode, Wanted, cross_entropy};
use crate::optim::State;
use crate::settings::{NoSettings, SettingsSpec};
use crate::stream::{Batch, Task};

/// No method.
pub static PLAIN: MethodSpec = MethodSpec {
    name: "plain",
    paper_name: "Naive",
    description: "The gradient of the present batch and nothing else.",
    source: "",
    settings: SettingsSpec::inline::<NoSettings>(),
    remembers_tasks: false,
    closed_form: false,
    weights: &[],
    passes: |_| Passes::ONE,
    build: |_, _| Ok(Box::new(Plain)),
};

/// The gradient of the present batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

/// Mean cross-entropy of a batch in training mode, each example among the classes that compete for it; its gradient
/// replaces what `gradient` held.
///
/// # Errors
/// [`LearnerError`] from the learner, and for labels that do not compete.
pub fn batch_gradient(
    learner: &mut dyn Learner,
    batch: &Batch,
    gradient: &mut Vec<f32>,
) -> Result<f32, LearnerError> {
    let logits = learner.forward(batch, Mode::Train, Wanted::Competing)?;
    let (loss, d_logits) = cross_entropy(logits, &batch.labels, &batch.competing)?;
    learner.backward(&d_logits, gradient)?;
    Ok(loss)
}

impl Method for Plain {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        batch_gradient(learner, step.batch, gradient)
    }

    fn state(&self) -> State<'_> {
        State::new("plain")
    }

    fn restore(
        &mut self,
        state: State<'_>,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        Ok(state.expect_kind("plain")?)
    }
}
