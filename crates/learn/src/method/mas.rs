//! MAS: memory aware synapses (Aljundi, Babiloni, Elhoseiny, Rohrbach, Tuytelaars; ECCV 2018).
//!
//! When a task ends, a parameter's importance is how much the network's answer would change with it, labels aside (section 4.1,
//! with the squared length of the answer in the place of each of its parts), and later tasks pay for moving away (section 4.2):
//!
//! ```text
//! Ω_i ← Ω_i + 1/N Σ_n |∂ ‖F(x_n)‖² / ∂θ_i|,    penalty λ Σ_i Ω_i (θ_i − θ*_i)²
//! ```
//!
//! Departures and readings:
//! 1. F are the logits of the classes that compete in the task, in evaluation mode: of the others nobody is asked.
//! 2. The gradient is taken of every example by itself, as the paper has it; the authors' code takes whole batches.
//! 3. The importances of tasks are summed, and the anchor is the newest, as in the authors' code.
//! 4. N is `mas_samples` training examples of the task (the paper takes any images, with labels or without).
//! 5. After the last task nothing is estimated.

use super::fisher::drawn;
use super::quadratic::Quadratic;
use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient};
use crate::model::{Learner, LearnerError, Mode, Wanted, squared_length};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{RealRange, SettingsSpec, WholeRange, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// MAS's settings.
    pub struct MasConfig {
        /// MAS's weight of the penalty, λ.
        mas_strength: f64 = fixed(0.1), range RealRange::FROM_ZERO;
        /// Training examples of a task that MAS's importance is measured on (all, if it has fewer).
        mas_samples: usize = fixed(200), range WholeRange::FROM_ONE;
    }
}

/// Memory aware synapses.
pub(super) static MAS: MethodSpec = MethodSpec {
    name: "mas",
    paper_name: "MAS",
    description: "Memory aware synapses: a penalty for changing what the network's answers depend on.",
    source: "Aljundi et al., ECCV 2018",
    settings: SettingsSpec::of::<MasConfig>("mas"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["mas_strength"],
    passes: |_| Passes::ONE,
    build: |own, context| {
        let own = typed::<MasConfig>(own)?.clone();
        Ok(Box::new(Mas::new(own, context.seeds)))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Mas {
    config: MasConfig,
    seeds: Seeds,
    /// Empty until a task has ended.
    past: Quadratic,
}

impl Mas {
    /// MAS without any finished task.
    #[must_use]
    pub fn new(config: MasConfig, seeds: Seeds) -> Self {
        Self {
            config,
            seeds,
            past: Quadratic::default(),
        }
    }

    /// Mean over examples of the absolute gradient of the squared length of their logits.
    fn importance(
        &self,
        t: usize,
        task: &Task,
        learner: &mut dyn Learner,
    ) -> Result<Vec<f64>, LearnerError> {
        let sample = drawn(
            self.seeds,
            &format!("mas/{t}"),
            self.config.mas_samples,
            task,
        );
        let mut sum = vec![0.0_f64; learner.layout().len()];
        let mut gradient = Vec::new();
        for &position in &sample {
            let batch = task.train.batch(&[position]);
            let logits = learner.forward(&batch, Mode::Evaluate, Wanted::Competing)?;
            let (_, d_logits) = squared_length(logits, &batch.competing)?;
            learner.backward(&d_logits, &mut gradient)?;
            for (sum, g) in sum.iter_mut().zip(&gradient) {
                *sum += f64::from(g.abs());
            }
        }
        let all = sample.len().max(1) as f64;
        Ok(sum.into_iter().map(|s| s / all).collect())
    }
}

impl Method for Mas {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let loss = batch_gradient(learner, step.batch, gradient)?;
        let slope = 2.0 * self.config.mas_strength;
        self.past
            .add_gradient(slope, learner.parameters(), gradient);
        Ok(loss)
    }

    fn end_task(
        &mut self,
        end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let (Some(task), Some(_)) = (end.tasks.get(end.t), &end.next_classes) else {
            return Ok(());
        };
        let new = self.importance(end.t, task, learner)?;
        let old = self.past.importance.iter().chain(std::iter::repeat(&0.0));
        let sum = new.into_iter().zip(old);
        let sum = sum.map(|(new, old)| (new + f64::from(*old)) as f32);
        self.past.put(sum.collect(), learner.parameters());
        Ok(())
    }

    fn state(&self) -> State<'_> {
        self.past.with_state(State::new("mas"), "importance")
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("mas")?;
        self.past = Quadratic::restored(&mut state, "importance", learner.layout().len())?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.past.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Plain;
    use crate::method::testing::{damaged_snapshots_are_refused, learner, tasks, walk};

    fn mas(mas_strength: f64, mas_samples: usize) -> Mas {
        let config = MasConfig {
            mas_strength,
            mas_samples,
        };
        Mas::new(config, Seeds::new(2))
    }

    #[test]
    fn without_strength_it_is_plain() {
        let plain = walk(&mut Plain, 3, 4);
        assert_eq!(walk(&mut mas(0.0, 5), 3, 4), plain);
        let found = walk(&mut mas(0.1, 5), 3, 4);
        // At the anchor, the second task's first step, there is no penalty.
        assert_eq!(found.0[..5], plain.0[..5]);
        assert_ne!(found.0[5..], plain.0[5..]);
    }

    /// Against differences of the squared length of the logits in double precision, for the head's weights and biases, where
    /// the logits are linear in the features.
    #[test]
    fn importance_is_the_slope_of_the_answers_length() {
        let (tasks, mut learner) = (tasks(), learner());
        let (method, t) = (mas(1.0, 4), 1);
        let found = method.importance(t, &tasks[t], &mut learner).unwrap();
        let sample = drawn(Seeds::new(2), "mas/1", 4, &tasks[t]);
        let slots = learner.layout().slots().to_vec();
        let [.., weight, bias] = slots.as_slice() else {
            panic!()
        };
        let theta = learner.parameters().to_vec();
        let mut expected = vec![0.0; theta.len()];
        for position in &sample {
            let batch = tasks[t].train.batch(&[*position]);
            let forward = learner.forward(&batch, Mode::Evaluate, Wanted::All);
            forward.unwrap();
            let features = learner.features().unwrap().to_vec();
            // `‖z‖²` of the classes 2 and 3 alone.
            let length = |theta: &dyn Fn(usize) -> f64| -> f64 {
                let logit = |class: usize| -> f64 {
                    let row = weight.range.start + class * features.len();
                    let products = features.iter().enumerate();
                    let sum: f64 = products.map(|(i, h)| theta(row + i) * f64::from(*h)).sum();
                    sum + theta(bias.range.start + class)
                };
                logit(2).powi(2) + logit(3).powi(2)
            };
            let head = weight.range.start..bias.range.end;
            for (i, expected) in head.clone().zip(&mut expected[head]) {
                let at = |h: f64| length(&|j| f64::from(theta[j]) + if i == j { h } else { 0.0 });
                *expected += ((at(1e-4) - at(-1e-4)) / 2e-4).abs() / 4.0;
            }
        }
        let mut positive = 0;
        for i in weight.range.start..bias.range.end {
            assert!(
                (found[i] - expected[i]).abs() < 1e-5,
                "{i}: {} {}",
                found[i],
                expected[i]
            );
            positive += usize::from(found[i] > 0.0);
        }
        assert!((2..=14).contains(&positive), "{positive}");
    }

    #[test]
    fn damaged_snapshots() {
        let mut method = mas(0.5, 5);
        walk(&mut method, 2, 3);
        assert_eq!(method.memory_bytes(), 8 * method.past.anchor.len());
        damaged_snapshots_are_refused(&method, &mut || Box::new(mas(0.5, 5)));
    }
}
