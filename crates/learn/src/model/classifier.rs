//! Judging images: scores for classes, and accuracy and loss over a set of examples.
//!
//! Owns evaluation, written once for every network and for methods that judge in a way of their own (by the nearest mean
//! of features, say): a [`Classifier`] gives scores and cannot change, so threads share it.

use std::sync::Arc;

use super::{LearnerError, Logits, Wanted, head};
use crate::stream::{Batch, Samples};

/// What judges images: a network in evaluation mode, or what a method puts in its place.
pub trait Classifier: Send + Sync {
    /// Scores, of which the highest among the competing ones wins; those of a network are its logits. Places of classes
    /// that are not wanted mean nothing.
    ///
    /// # Shapes
    /// Output: `[batch, classes]`, with a place for every class of the head.
    ///
    /// # Errors
    /// [`LearnerError::Size`] if the images do not fit, [`LearnerError::Classes`] if the head lacks a wanted class.
    fn scores(&self, batch: &Batch, wanted: Wanted) -> Result<Vec<f32>, LearnerError>;

    /// What the network's head sees: `[batch, features]`.
    ///
    /// # Errors
    /// [`LearnerError::Size`] if the images do not fit.
    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError>;

    /// Classes of the head.
    fn classes(&self) -> usize;

    /// Whether a call uses threads of its own, so that calls are better made one after another.
    fn has_threads(&self) -> bool {
        false
    }
}

impl<C: Classifier + ?Sized> Classifier for Arc<C> {
    fn scores(&self, batch: &Batch, wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        (**self).scores(batch, wanted)
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        (**self).features(batch)
    }

    fn classes(&self) -> usize {
        (**self).classes()
    }

    fn has_threads(&self) -> bool {
        (**self).has_threads()
    }
}

/// Result of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Examples whose label had the highest score of its competing classes.
    pub correct: usize,
    /// Examples.
    pub total: usize,
    /// Sum of their cross-entropies, in nats.
    pub loss_sum: f64,
}

impl Evaluation {
    /// Adds another batch's result.
    pub fn add(&mut self, other: &Self) {
        self.correct += other.correct;
        self.total += other.total;
        self.loss_sum += other.loss_sum;
    }

    /// Percent correct.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.total.max(1) as f64
    }

    /// Mean cross-entropy in nats.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.total.max(1) as f64
    }
}

/// Accuracy and loss over all samples, in batches of `batch_size`, on up to `threads` threads. The result does not depend
/// on the number of threads.
///
/// # Errors
/// [`LearnerError`] if the images do not fit the network.
pub fn evaluate(
    classifier: &dyn Classifier,
    samples: &Samples,
    batch_size: usize,
    threads: usize,
) -> Result<Evaluation, LearnerError> {
    let positions: Vec<usize> = (0..samples.len()).collect();
    let batches: Vec<&[usize]> = positions.chunks(batch_size.max(1)).collect();
    let work = |part: &[&[usize]]| -> Result<Vec<Evaluation>, LearnerError> {
        let batches = part.iter().map(|positions| samples.batch(positions));
        batches.map(|batch| judge(classifier, &batch)).collect()
    };
    let results = if threads <= 1 || classifier.has_threads() {
        vec![work(&batches)]
    } else {
        let share = batches.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let parts = batches.chunks(share);
            let handles: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
                handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            handles.into_iter().map(join).collect()
        })
    };
    // Summed batch by batch in order, so that the loss does not depend on the number of threads.
    let mut sum = Evaluation::default();
    for part in results {
        for one in part? {
            sum.add(&one);
        }
    }
    Ok(sum)
}

fn judge(classifier: &dyn Classifier, batch: &Batch) -> Result<Evaluation, LearnerError> {
    let scores = classifier.scores(batch, Wanted::Competing)?;
    let scores = Logits::new(&scores, classifier.classes());
    Ok(head::judge_rows(scores, &batch.labels, &batch.competing))
}
