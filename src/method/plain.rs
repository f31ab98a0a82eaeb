//! No method: the gradient of the present batch and nothing else. With SGD it is the field's "naive" baseline.

use super::{Method, Step};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::stream::Task;

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
