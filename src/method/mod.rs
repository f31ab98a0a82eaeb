//! Methods: a batch, and what is remembered of earlier tasks, become a gradient.
//!
//! Owns the trait and one method a file. A method never updates parameters: that is the optimizer's part, so any
//! method goes with any optimizer.

mod plain;

pub use plain::Plain;

use crate::model::{Learner, LearnerError};
use crate::stream::{Batch, Task};

/// Turns batches into gradients and keeps what it needs of past tasks.
pub trait Method: Send {
    /// Task `t` (from 0) begins.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn begin_task(&mut self, _t: usize, _learner: &mut dyn Learner) -> Result<(), LearnerError> {
        Ok(())
    }

    /// Loss of the batch; the gradient to step along replaces what `gradient` held, in the learner's layout.
    ///
    /// # Errors
    /// [`LearnerError`] from the learner.
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        batch: &Batch,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError>;

    /// Task `t` ends; `task` is what was trained on.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn end_task(
        &mut self,
        _t: usize,
        _task: &Task,
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        Ok(())
    }

    /// Bytes held for replay or regularisation now.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Examples replayed so far.
    fn replayed_samples(&self) -> usize {
        0
    }
}
