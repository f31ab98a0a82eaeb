//! A learner with somebody listening: the batch's own gradient, whatever a method makes of it.
//!
//! Owns the one way in which an optimizer hears of the gradient before the method changed it. A method passes batches and
//! gradients as always; the tap notes the gradient of the first backward pass of the batch in question.

use super::learner::passes_on;
use super::weights::FloatTensor;
use super::{Classifier, Counters, LayerInputs, Learner, LearnerError, Logits, Mode, Wanted};
use crate::optim::{Layout, OptimError};
use crate::stream::Batch;

/// Passes everything on to a learner and notes the gradient of one batch.
pub struct Tap<'a> {
    inner: &'a mut dyn Learner,
    /// Where the batch lies that is listened for: methods get it by reference, and nobody else has it.
    place: usize,
    open: bool,
    heard: bool,
    gradient: &'a mut Vec<f32>,
}

impl<'a> Tap<'a> {
    /// Listens for the gradient of `batch`, which replaces what `gradient` held.
    pub fn new(inner: &'a mut dyn Learner, batch: &Batch, gradient: &'a mut Vec<f32>) -> Self {
        Self {
            inner,
            place: std::ptr::from_ref(batch).addr(),
            open: false,
            heard: false,
            gradient,
        }
    }

    /// Whether the batch passed forward and backward by itself.
    #[must_use]
    pub fn heard(&self) -> bool {
        self.heard
    }
}

impl Learner for Tap<'_> {
    passes_on!();

    fn update(
        &mut self,
        change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
    ) -> Result<(), LearnerError> {
        self.inner.update(change)
    }

    fn forward<'b>(
        &'b mut self,
        batch: &'b Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'b>, LearnerError> {
        let own = std::ptr::from_ref(batch).addr() == self.place;
        self.open = own && mode == Mode::Train && !self.heard;
        self.inner.forward(batch, mode, wanted)
    }

    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError> {
        self.inner.backward(d_logits, gradient)?;
        if std::mem::take(&mut self.open) {
            self.gradient.clone_from(gradient);
            self.heard = true;
        }
        Ok(())
    }
}
