//! No method: the gradient of the present batch and nothing else. With SGD it is the field's "naive" baseline.

use super::{Method, MethodSpec, Passes, Step};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::settings::{NoSettings, SettingsSpec};
use crate::stream::Task;

/// No method.
pub static PLAIN: MethodSpec = MethodSpec {
    name: "plain",
    paper_name: "Naive",
    description: "The gradient of the present batch and nothing else.",
    source: "",
    settings: SettingsSpec::inline::<NoSettings>(),
    remembers_tasks: false,
    passes: |_| Passes::ONE,
    build: |_, _| Ok(Box::new(Plain)),
};

/// The gradient of the present batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Method for Plain {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        learner.gradient(step.batch, gradient)
    }

    fn state(&self) -> State<'_> {
        State::new("plain")
    }

    fn restore(
        &mut self,
        state: State<'_>,
        _tasks: &[Task],
        _parameters: usize,
    ) -> Result<(), LearnerError> {
        Ok(state.expect_kind("plain")?)
    }
}
