//! The diagonal of the Fisher information at a task's end: what EWC and online EWC share.
//!
//! Owns the two estimates (of single examples, and as released), of which examples and with which labels. Everything is in
//! evaluation mode, so nothing of the learner changes.

use crate::model::{Learner, LearnerError, Logits, Mode, Wanted, competing_cross_entropy, head};
use crate::seed::{SeedStream, Seeds};
use crate::settings::{Setting, Stored, WholeRange, fixed};
use crate::stream::{Batch, Classes, Task};

/// Whose labels the loss has whose gradient is squared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FisherLabels {
    /// The examples' own: the empirical Fisher.
    #[default]
    True,
    /// Drawn from the model's softmax over the competing classes: the Fisher information.
    Sampled,
    /// The model's likeliest class.
    Predicted,
}

crate::choices!(FisherLabels { "true" => True, "sampled" => Sampled, "predicted" => Predicted });

/// The labels of every estimate of the Fisher information.
pub(super) static FISHER_LABELS: Setting<FisherLabels> = Setting {
    key: "fisher_labels",
    doc: "Labels of EWC's estimate: the true ones, sampled from the model's softmax, or predicted by it.",
    range: (),
    default: fixed(FisherLabels::True),
    only: None,
    stored: Stored::Unless("true"),
};

/// Its number of examples.
pub(super) static FISHER_SAMPLES: Setting<usize> = Setting {
    key: "fisher_samples",
    doc: "Training examples of a task that EWC's estimate uses (all, if it has fewer).",
    range: WholeRange::FROM_ONE,
    default: fixed(200),
    only: None,
    stored: Stored::Plain,
};

/// Examples that the released Fisher's gradient passes through the network at a time; the mean does not depend on it.
const CHUNK: usize = 20;

/// How the Fisher information is estimated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    /// Examples of a task, all if it has fewer.
    pub(super) samples: usize,
    /// Their labels.
    pub(super) labels: FisherLabels,
    /// Of the run.
    pub(super) seeds: Seeds,
}

/// Positions of up to `count` of the task's training examples, drawn with the stream of this name.
pub(super) fn drawn(seeds: Seeds, stream: &str, count: usize, task: &Task) -> Vec<usize> {
    let mut order: Vec<usize> = (0..task.train.len()).collect();
    seeds.stream(stream).shuffle(&mut order);
    order.truncate(count);
    order
}

impl Estimate {
    fn positions(&self, t: usize, task: &Task) -> Vec<usize> {
        drawn(self.seeds, &format!("fisher/{t}"), self.samples, task)
    }

    fn draws(&self, t: usize) -> SeedStream {
        self.seeds.stream(&format!("fisher-labels/{t}"))
    }

    /// Mean over examples of the squared gradient, with the task's own classes competing.
    pub(super) fn of_examples(
        &self,
        t: usize,
        task: &Task,
        learner: &mut dyn Learner,
    ) -> Result<Vec<f32>, LearnerError> {
        let (sample, mut draws) = (self.positions(t, task), self.draws(t));
        let mut sum = vec![0.0_f64; learner.layout().len()];
        let mut gradient = Vec::new();
        for &position in &sample {
            let batch = task.train.batch(&[position]);
            self.gradient(
                learner,
                (&batch, &batch.competing),
                &mut draws,
                &mut gradient,
            )?;
            for (sum, g) in sum.iter_mut().zip(&gradient) {
                *sum += f64::from(*g).powi(2);
            }
        }
        let all = sample.len().max(1) as f64;
        Ok(sum.into_iter().map(|s| (s / all) as f32).collect())
    }

    /// Squared gradient of the mean loss with the next task's classes competing.
    pub(super) fn as_released(
        &self,
        t: usize,
        task: &Task,
        next: &Classes,
        learner: &mut dyn Learner,
    ) -> Result<Vec<f32>, LearnerError> {
        let (sample, mut draws) = (self.positions(t, task), self.draws(t));
        let mut mean = vec![0.0_f64; learner.layout().len()];
        let (all, mut gradient) = (sample.len() as f64, Vec::new());
        for positions in sample.chunks(CHUNK) {
            let batch = task.train.batch(positions);
            let competing = vec![next.clone(); batch.len()];
            self.gradient(learner, (&batch, &competing), &mut draws, &mut gradient)?;
            let share = batch.len() as f64 / all;
            for (mean, g) in mean.iter_mut().zip(&gradient) {
                *mean += share * f64::from(*g);
            }
        }
        Ok(mean.into_iter().map(|g| (g * g) as f32).collect())
    }

    /// Gradient of a batch's mean cross-entropy in evaluation mode among these classes, which true labels may lie outside of.
    fn gradient(
        &self,
        learner: &mut dyn Learner,
        (batch, competing): (&Batch, &[Classes]),
        draws: &mut SeedStream,
        gradient: &mut Vec<f32>,
    ) -> Result<(), LearnerError> {
        let logits = learner.forward(batch, Mode::Evaluate, Wanted::All)?;
        let labels = self.labels_of(logits, (batch, competing), draws);
        let (_, d_logits) = competing_cross_entropy(logits, &labels, competing)?;
        learner.backward(&d_logits, gradient)
    }

    fn labels_of(
        &self,
        logits: Logits<'_>,
        (batch, competing): (&Batch, &[Classes]),
        draws: &mut SeedStream,
    ) -> Vec<usize> {
        let rows = logits.rows().zip(competing);
        match self.labels {
            FisherLabels::True => batch.labels.clone(),
            FisherLabels::Predicted => rows.map(|(row, set)| likeliest(row, set)).collect(),
            FisherLabels::Sampled => rows.map(|(row, set)| sampled(row, set, draws)).collect(),
        }
    }
}

fn likeliest(logits: &[f32], competing: &Classes) -> usize {
    // Losses refuse an empty set, whatever its label.
    head::likeliest(logits, competing).unwrap_or_default()
}

/// A class drawn from the softmax over the competing ones.
fn sampled(logits: &[f32], competing: &Classes, draws: &mut SeedStream) -> usize {
    let best = likeliest(logits, competing);
    let max = logits.get(best).copied().unwrap_or_default();
    let power = |class: usize| {
        let logit = logits.get(class).copied().unwrap_or(f32::NEG_INFINITY);
        (class, (f64::from(logit) - f64::from(max)).exp())
    };
    let powers: Vec<(usize, f64)> = competing.iter().map(power).collect();
    let sum: f64 = powers.iter().map(|(_, power)| power).sum();
    let mut rest = f64::from(draws.unit()) * sum;
    for (class, power) in powers {
        if rest < power {
            return class;
        }
        rest -= power;
    }
    // Rounding alone comes here.
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_labels_have_the_softmax_as_their_frequencies() {
        let (logits, set) = ([5.0, 0.0, 1.0, -0.5, 9.0], Classes::from_iter([1, 2, 3]));
        let mut draws = Seeds::new(3).stream("test");
        let mut counts = [0_u32; 5];
        for _ in 0..30_000 {
            counts[sampled(&logits, &set, &mut draws)] += 1;
        }
        assert_eq!((counts[0], counts[4]), (0, 0));
        let sum: f64 = set.iter().map(|c| f64::from(logits[c]).exp()).sum();
        // Chi-squared with 2 degrees of freedom: 13.8 has probability 0.001.
        let chi = |c: usize| {
            let expected = 30_000.0 * f64::from(logits[c]).exp() / sum;
            (f64::from(counts[c]) - expected).powi(2) / expected
        };
        let chi: f64 = set.iter().map(chi).sum();
        assert!(chi < 13.8, "{chi} {counts:?}");
        assert_eq!(likeliest(&logits, &set), 2);
    }

    #[test]
    fn a_logit_far_above_is_always_drawn() {
        let mut draws = Seeds::new(3).stream("test");
        let set = Classes::from(0..3);
        for _ in 0..1000 {
            assert_eq!(sampled(&[-3000.0, 3000.0, 0.0], &set, &mut draws), 1);
        }
    }
}
