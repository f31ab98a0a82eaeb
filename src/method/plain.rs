//! No method: the gradient of the present batch and nothing else. With SGD it is the field's "naive" baseline.

use super::Method;
use crate::model::{Learner, LearnerError};
use crate::stream::Batch;

/// The gradient of the present batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Method for Plain {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        batch: &Batch,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        learner.gradient(batch, gradient)
    }
}
