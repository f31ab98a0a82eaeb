//! EWC: elastic weight consolidation (Kirkpatrick et al., PNAS 2017).
//!
//! When a task ends, the diagonal F of the Fisher information says how much each parameter θ* mattered. Later tasks pay
//! for moving away (eq. 3 of that paper): `½ λ Σ_τ Σ_i F_τ,i (θ_i − θ*_τ,i)²`. The sum over tasks of such parabolas is
//! one parabola, `½ λ Σ_i F_i (θ_i − a_i)²` plus a constant, with `F = Σ F_τ` and a the F-weighted mean of the anchors, so
//! the memory stays two vectors.
//!
//! Numbered departures (settings of their own, set by the profile):
//! 1. [`Fisher::Corrected`] is the empirical Fisher: the true labels' squared gradients, example by example, over
//!    `fisher_samples` training examples of the task, in evaluation mode. Kirkpatrick et al. draw labels from the model:
//!    `fisher_labels = sampled`.
//! 2. [`Fisher::Released`] is what the released TAG code computes: the square of the *mean* gradient over one batch,
//!    with the *next* task's head competing against labels outside of it, and the running average
//!    `F ← (F + t f) / (t + 1)` (t = 1, 2, ...) around the newest parameters only.
//! 3. [`Penalty::Released`] is `λ Σ F (θ − a)²`, without the ½, and its gradient is cut to the norm 100 before the
//!    batch's gradient is added.

use serde::{Deserialize, Serialize};

use super::fisher::{Estimate, FISHER_LABELS, FISHER_SAMPLES, FisherLabels};
use super::quadratic::Quadratic;
use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient, dot};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{RealRange, Setting, SettingsSpec, Stored, by_profile, fixed, typed};
use crate::stream::Task;

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

/// The weight of EWC's penalty, online or not.
pub(super) static LAMBDA: Setting<f64> = Setting {
    key: "lambda",
    doc: "EWC's weight of the penalty, λ.",
    range: RealRange::FROM_ZERO,
    default: fixed(1.0),
    only: None,
    stored: Stored::Plain,
};

crate::settings! {
    /// EWC's settings.
    pub struct EwcConfig {
        /// EWC's weight of the penalty, λ.
        lambda: f64 as LAMBDA;
        /// EWC's estimate of importance: mended, or as released.
        fisher: Fisher = by_profile(Fisher::Corrected, Fisher::Released);
        /// Training examples of a task that EWC's estimate uses (all, if it has fewer).
        fisher_samples: usize as FISHER_SAMPLES;
        /// Labels of the estimate.
        fisher_labels: FisherLabels as FISHER_LABELS;
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
    closed_form: false,
    weights: &["lambda"],
    passes: |_| Passes::ONE,
    build: |own, context| {
        let own = typed::<EwcConfig>(own)?.clone();
        Ok(Box::new(Ewc::new(own, context.seeds)))
    },
};

/// Largest norm of the released penalty's gradient.
const CLIP: f64 = 100.0;

/// The method.
#[derive(Clone, Debug)]
pub struct Ewc {
    config: EwcConfig,
    seeds: Seeds,
    /// Empty until a task has ended.
    past: Quadratic,
}

impl Ewc {
    /// EWC without any finished task.
    #[must_use]
    pub fn new(config: EwcConfig, seeds: Seeds) -> Self {
        Self {
            config,
            seeds,
            past: Quadratic::default(),
        }
    }

    /// EWC around an anchor with a given importance.
    #[must_use]
    pub fn anchored(config: EwcConfig, seeds: Seeds, fisher: Vec<f32>, anchor: Vec<f32>) -> Self {
        Self {
            config,
            seeds,
            past: Quadratic {
                importance: fisher,
                anchor,
            },
        }
    }

    /// Importance of every parameter; empty until a task has ended.
    #[must_use]
    pub fn fisher(&self) -> &[f32] {
        &self.past.importance
    }

    /// The penalty at these parameters, up to a constant where several tasks are summed; 0 before a task has ended.
    #[must_use]
    pub fn penalty(&self, parameters: &[f32]) -> f64 {
        self.past.value(self.slope(), parameters)
    }

    /// Gradient of the penalty, as it is added to the batch's; empty before a task has ended.
    #[must_use]
    pub fn penalty_gradient(&self, parameters: &[f32]) -> Vec<f32> {
        let mut gradient = self.past.gradient(self.slope(), parameters);
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

    fn estimate(&self) -> Estimate {
        Estimate {
            samples: self.config.fisher_samples,
            labels: self.config.fisher_labels,
            seeds: self.seeds,
        }
    }
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
            Fisher::Released => self.estimate().as_released(t, task, next, learner)?,
            Fisher::Corrected => self.estimate().of_examples(t, task, learner)?,
        };
        let parameters = learner.parameters();
        if self.past.importance.is_empty() {
            self.past.put(vec![0.0; new.len()], parameters);
        }
        let number = (t + 1) as f64;
        let past = self.past.importance.iter_mut().zip(&mut self.past.anchor);
        for (((fisher, anchor), new), here) in past.zip(new).zip(parameters) {
            let (old, new) = (f64::from(*fisher), f64::from(new));
            let (there, here) = (f64::from(*anchor), f64::from(*here));
            let (sum, middle) = match self.config.fisher {
                Fisher::Released => ((old + number * new) / (number + 1.0), here),
                Fisher::Corrected if old + new > 0.0 => {
                    (old + new, (old * there + new * here) / (old + new))
                }
                Fisher::Corrected => (0.0, here),
            };
            (*fisher, *anchor) = (sum as f32, middle as f32);
        }
        Ok(())
    }

    fn state(&self) -> State<'_> {
        self.past.with_state(State::new("ewc"), "fisher")
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("ewc")?;
        self.past = Quadratic::restored(&mut state, "fisher", learner.layout().len())?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.past.bytes()
    }
}
