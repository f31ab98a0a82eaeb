//! α(t,τ): how much task t's update is held back by what task τ learned.
//!
//! Owns the record of every α that was used: its mean over the steps of a task, per parameter tensor and past task
//! (TAG paper, p. 6: α(t,τ) = (1/N) `Σ_n` `α_n(t,τ)`), and the names of the rules: the paper's and its ablations
//! (Table 7).

use serde::{Deserialize, Serialize};

/// Over what the cosine between the first moments is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlphaScope {
    /// One α per parameter tensor, as the released code does (and thus the published numbers).
    #[default]
    Tensor,
    /// One α for the whole model, as eq. (2) is printed.
    Global,
}

/// How α(t,τ) is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlphaRule {
    /// Eq. (2): `exp(−b cos)` of the first moments; the present task weighs e^−b.
    #[default]
    Cosine,
    /// TAG-1 (p. 24): every task weighs 1.
    One,
    /// TAG-age (p. 24): a past task weighs `t − τ + 1`, so 2 for the newest; the present one weighs 1.
    Age,
    /// TAG-G (p. 24): `exp(−b cos)` of the means of the first B gradients of each task; the present one weighs e^−b.
    Gradients,
}

crate::choices!(AlphaScope { "tensor" => Tensor, "global" => Global });
crate::choices!(AlphaRule { "cosine" => Cosine, "one" => One, "age" => Age, "gradients" => Gradients });

impl AlphaRule {
    /// True where α is made of cosines, so that `b` and the scope matter.
    #[must_use]
    pub fn is_correlation(self) -> bool {
        matches!(self, Self::Cosine | Self::Gradients)
    }
}

/// Sums of α over the steps of each task. Tasks count from 0 here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlphaRecord {
    tensors: usize,
    /// Per task: number of steps, and the sums as `[tau][tensor]` for τ = 0..=t.
    tasks: Vec<(usize, Vec<f64>)>,
}

impl AlphaRecord {
    pub(super) fn new(tensors: usize) -> Self {
        Self {
            tensors,
            tasks: Vec::new(),
        }
    }

    pub(super) fn begin_task(&mut self) {
        let past = self.tasks.len();
        self.tasks.push((0, vec![0.0; (past + 1) * self.tensors]));
    }

    /// Adds one step's weights of the task under way, `[tau][tensor]` for τ = 0..=t.
    pub(super) fn add_step(&mut self, alphas: &[f32]) {
        if let Some((steps, sums)) = self.tasks.last_mut() {
            *steps += 1;
            for (sum, alpha) in sums.iter_mut().zip(alphas) {
                *sum += f64::from(*alpha);
            }
        }
    }

    /// Number of tasks begun.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Mean α(t,τ) of one tensor over the steps of task t; `None` outside of what was seen.
    #[must_use]
    pub fn of_tensor(&self, t: usize, tau: usize, tensor: usize) -> Option<f64> {
        let (steps, sums) = self.tasks.get(t)?;
        if tensor >= self.tensors || *steps == 0 {
            return None;
        }
        Some(sums.get(tau * self.tensors + tensor)? / *steps as f64)
    }

    /// Mean α(t,τ) over the tensors, each tensor counting once as in the released code's logs.
    #[must_use]
    pub fn mean(&self, t: usize, tau: usize) -> Option<f64> {
        let sum = (0..self.tensors)
            .map(|n| self.of_tensor(t, tau, n))
            .sum::<Option<f64>>()?;
        Some(sum / self.tensors as f64)
    }

    /// The record as numbers: per task the step count followed by the sums.
    pub(super) fn flat(&self) -> Vec<f64> {
        self.tasks
            .iter()
            .flat_map(|(n, sums)| std::iter::once(*n as f64).chain(sums.iter().copied()))
            .collect()
    }

    /// Length of [`Self::flat`] after `tasks` tasks.
    pub(super) fn flat_len(tensors: usize, tasks: usize) -> usize {
        tasks + tensors * tasks * (tasks + 1) / 2
    }

    pub(super) fn from_flat(tensors: usize, tasks: usize, flat: &[f64]) -> Self {
        let mut record = Self::new(tensors);
        let mut rest = flat.iter().copied();
        for t in 0..tasks {
            let steps = rest.next().unwrap_or(0.0) as usize;
            record
                .tasks
                .push((steps, rest.by_ref().take((t + 1) * tensors).collect()));
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_steps_then_tensors() {
        let mut record = AlphaRecord::new(2);
        record.begin_task();
        record.add_step(&[1.0, 1.0]);
        record.begin_task();
        record.add_step(&[2.0, 4.0, 0.5, 0.5]);
        record.add_step(&[4.0, 8.0, 0.5, 0.5]);
        assert_eq!(record.of_tensor(1, 0, 1), Some(6.0));
        assert_eq!(record.mean(1, 0), Some(4.5));
        assert_eq!(record.mean(1, 1), Some(0.5));
        assert_eq!((record.mean(1, 2), record.of_tensor(1, 0, 2)), (None, None));
        let flat = record.flat();
        assert_eq!(flat.len(), AlphaRecord::flat_len(2, 2));
        assert_eq!(AlphaRecord::from_flat(2, 2, &flat), record);
    }
}
