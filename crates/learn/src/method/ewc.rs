//! EWC: elastic weight consolidation (Kirkpatrick et al., PNAS 2017).
//!
//! When a task ends, the diagonal F of the Fisher information says how much each parameter θ* mattered. Later tasks pay
//! for moving away (eq. 3 of that paper): `½ λ Σ_τ Σ_i F_τ,i (θ_i − θ*_τ,i)²`. The sum over tasks of such parabolas is
//! one parabola, `½ λ Σ_i F_i (θ_i − a_i)²` plus a constant, with `F = Σ F_τ` and a the F-weighted mean of the anchors, so
//! the memory stays two vectors.
//!
//! Numbered departures (settings of their own, set by the profile):
//! 1. [`Fisher::Corrected`] is the empirical Fisher: the true labels' squared gradients, example by example, over
//!    `fisher_samples` training examples of the task, in evaluation mode. Kirkpatrick et al. draw labels from the model.
//! 2. [`Fisher::Released`] is what the released TAG code computes: the square of the *mean* gradient over one batch,
//!    with the *next* task's head competing against labels outside of it, and the running average
//!    `F ← (F + t f) / (t + 1)` (t = 1, 2, ...) around the newest parameters only.
//! 3. [`Penalty::Released`] is `λ Σ F (θ − a)²`, without the ½, and its gradient is cut to the norm 100 before the
//!    batch's gradient is added.

use serde::{Deserialize, Serialize};

use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient, dot};
use crate::model::{Learner, LearnerError, Mode, Wanted, competing_cross_entropy};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{RealRange, SettingsSpec, WholeRange, by_profile, fixed, typed};
use crate::stream::{Batch, Classes, Task};

/// How the importance of parameters is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fisher {
    /// The task's own head, squared gradients of single examples, summed over tasks.
    #[default]
    Corrected,
    /// The next task's head, the squared gradient of a batch's mean, a running average over tasks.
    Released,
}

/// How leaving the anchor is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// `½ λ Σ F (θ − a)²`.
    #[default]
    Half,
    /// `λ Σ F (θ − a)²`, its gradient cut to the norm 100.
    Released,
}

crate::choices!(Fisher { "corrected" => Corrected, "released" => Released });
crate::choices!(Penalty { "half" => Half, "released" => Released });

crate::settings! {
    /// EWC's settings.
    pub struct EwcConfig {
        /// EWC's weight of the penalty, λ.
        lambda: f64 = fixed(1.0), range RealRange::FROM_ZERO;
        /// EWC's estimate of importance: mended, or as released.
        fisher: Fisher = by_profile(Fisher::Corrected, Fisher::Released);
        /// Training examples of a task that EWC's estimate uses (all, if it has fewer).
        fisher_samples: usize = fixed(200), range WholeRange::FROM_ONE;
        /// EWC's penalty: half (½λ, as published), released (λ, gradient cut to norm 100).
        penalty: Penalty = by_profile(Penalty::Half, Penalty::Released);
    }
}

/// Elastic weight consolidation.
pub(super) static EWC: MethodSpec = MethodSpec {
    name: "ewc",
    paper_name: "EWC",
    description: "Elastic weight consolidation: a penalty for changing what mattered to earlier tasks.",
    source: "Kirkpatrick et al., PNAS 2017",
    settings: SettingsSpec::of::<EwcConfig>("ewc"),
    remembers_tasks: true,
    weights: &["lambda"],
    passes: |_| Passes::ONE,
    build: |own, context| {
        let own = typed::<EwcConfig>(own)?.clone();
        Ok(Box::new(Ewc::new(own, context.seeds)))
    },
};

/// Largest norm of the released penalty's gradient.
const CLIP: f64 = 100.0;
/// Examples that the released Fisher's gradient passes through the network at a time; the mean does not depend on it.
const CHUNK: usize = 20;

/// The method.
#[derive(Clone, Debug)]
pub struct Ewc {
    config: EwcConfig,
    seeds: Seeds,
    /// Importance of every parameter; empty until a task has ended.
    fisher: Vec<f32>,
    /// The parameters to stay near; empty until a task has ended.
    anchor: Vec<f32>,
}

impl Ewc {
    /// EWC without any finished task.
    #[must_use]
    pub fn new(config: EwcConfig, seeds: Seeds) -> Self {
        Self {
            config,
            seeds,
            fisher: Vec::new(),
            anchor: Vec::new(),
        }
    }

    /// EWC around an anchor with a given importance.
    #[must_use]
    pub fn anchored(config: EwcConfig, seeds: Seeds, fisher: Vec<f32>, anchor: Vec<f32>) -> Self {
        Self {
            config,
            seeds,
            fisher,
            anchor,
        }
    }

    /// Importance of every parameter; empty until a task has ended.
    #[must_use]
    pub fn fisher(&self) -> &[f32] {
        &self.fisher
    }

    /// The penalty at these parameters, up to a constant where several tasks are summed; 0 before a task has ended.
    #[must_use]
    pub fn penalty(&self, parameters: &[f32]) -> f64 {
        let terms = parameters.iter().zip(&self.anchor).zip(&self.fisher);
        let sum: f64 = terms
            .map(|((x, a), f)| f64::from(*f) * (f64::from(*x) - f64::from(*a)).powi(2))
            .sum();
        0.5 * self.slope() * sum
    }

    /// Gradient of the penalty, as it is added to the batch's; empty before a task has ended.
    #[must_use]
    pub fn penalty_gradient(&self, parameters: &[f32]) -> Vec<f32> {
        let slope = self.slope();
        let terms = parameters.iter().zip(&self.anchor).zip(&self.fisher);
        let mut gradient: Vec<f32> = terms
            .map(|((x, a), f)| (slope * f64::from(*f) * (f64::from(*x) - f64::from(*a))) as f32)
            .collect();
        if self.config.penalty == Penalty::Released {
            // `clip_grad_norm_` of PyTorch, with its 1e-6.
            let factor = CLIP / (dot(&gradient, &gradient).sqrt() + 1e-6);
            if factor < 1.0 {
                for g in &mut gradient {
                    *g = (f64::from(*g) * factor) as f32;
                }
            }
        }
        gradient
    }

    /// What `F (θ − a)` is multiplied by.
    fn slope(&self) -> f64 {
        match self.config.penalty {
            Penalty::Half => self.config.lambda,
            Penalty::Released => 2.0 * self.config.lambda,
        }
    }

    /// Positions of the training examples that task `t`'s importance is estimated from.
    fn sample(&self, t: usize, task: &Task) -> Vec<usize> {
        let mut order: Vec<usize> = (0..task.train.len()).collect();
        self.seeds
            .stream(&format!("fisher/{t}"))
            .shuffle(&mut order);
        order.truncate(self.config.fisher_samples);
        order
    }

    /// Squared gradient of the mean loss with the next task's classes competing.
    fn released_fisher(
        &self,
        t: usize,
        task: &Task,
        next: &Classes,
        learner: &mut dyn Learner,
    ) -> Result<Vec<f32>, LearnerError> {
        let sample = self.sample(t, task);
        let mut mean = vec![0.0_f64; learner.layout().len()];
        let (all, mut gradient) = (sample.len() as f64, Vec::new());
        for positions in sample.chunks(CHUNK) {
            let batch = task.train.batch(positions);
            let competing = vec![next.clone(); batch.len()];
            evaluation_gradient(learner, &batch, &competing, &mut gradient)?;
            let share = batch.len() as f64 / all;
            for (mean, g) in mean.iter_mut().zip(&gradient) {
                *mean += share * f64::from(*g);
            }
        }
        Ok(mean.into_iter().map(|g| (g * g) as f32).collect())
    }

    /// Mean over examples of the squared gradient, with the task's own classes competing.
    fn corrected_fisher(
        &self,
        t: usize,
        task: &Task,
        learner: &mut dyn Learner,
    ) -> Result<Vec<f32>, LearnerError> {
        let sample = self.sample(t, task);
        let mut sum = vec![0.0_f64; learner.layout().len()];
        let mut gradient = Vec::new();
        for &position in &sample {
            let batch = task.train.batch(&[position]);
            evaluation_gradient(learner, &batch, &batch.competing, &mut gradient)?;
            for (sum, g) in sum.iter_mut().zip(&gradient) {
                *sum += f64::from(*g).powi(2);
            }
        }
        let all = sample.len().max(1) as f64;
        Ok(sum.into_iter().map(|s| (s / all) as f32).collect())
    }
}

/// Gradient of a batch's mean cross-entropy in evaluation mode among these classes, which labels may lie outside of.
fn evaluation_gradient(
    learner: &mut dyn Learner,
    batch: &Batch,
    competing: &[Classes],
    gradient: &mut Vec<f32>,
) -> Result<(), LearnerError> {
    let logits = learner.forward(batch, Mode::Evaluate, Wanted::All)?;
    let (_, d_logits) = competing_cross_entropy(logits, &batch.labels, competing)?;
    learner.backward(&d_logits, gradient)
}

impl Method for Ewc {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let penalty = self.penalty_gradient(learner.parameters());
        let loss = batch_gradient(learner, step.batch, gradient)?;
        for (g, penalty) in gradient.iter_mut().zip(&penalty) {
            *g += penalty;
        }
        Ok(loss)
    }

    /// Estimates the task's importance; after the last task nothing would use it.
    fn end_task(
        &mut self,
        end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let t = end.t;
        let (Some(task), Some(next)) = (end.tasks.get(t), &end.next_classes) else {
            return Ok(());
        };
        let new = match self.config.fisher {
            Fisher::Released => self.released_fisher(t, task, next, learner)?,
            Fisher::Corrected => self.corrected_fisher(t, task, learner)?,
        };
        let parameters = learner.parameters();
        if self.fisher.is_empty() {
            self.fisher = vec![0.0; new.len()];
            self.anchor = parameters.to_vec();
        }
        let number = (t + 1) as f64;
        for (i, new) in new.into_iter().enumerate() {
            let (old, new) = (f64::from(self.fisher[i]), f64::from(new));
            let (anchor, here) = (f64::from(self.anchor[i]), f64::from(parameters[i]));
            let (fisher, anchor) = match self.config.fisher {
                Fisher::Released => ((old + number * new) / (number + 1.0), here),
                Fisher::Corrected if old + new > 0.0 => {
                    (old + new, (old * anchor + new * here) / (old + new))
                }
                Fisher::Corrected => (0.0, here),
            };
            self.fisher[i] = fisher as f32;
            self.anchor[i] = anchor as f32;
        }
        Ok(())
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("ewc").with_counter("values", self.fisher.len());
        state.put("fisher", self.fisher.as_slice());
        state.put("anchor", self.anchor.as_slice());
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("ewc")?;
        // Empty until a task has ended.
        let len = match state.counter("values")? {
            0 => 0,
            _ => learner.layout().len(),
        };
        let (fisher, anchor) = (state.take("fisher", len)?, state.take("anchor", len)?);
        (self.fisher, self.anchor) = (fisher, anchor);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        (self.fisher.capacity() + self.anchor.capacity()) * size_of::<f32>()
    }
}
