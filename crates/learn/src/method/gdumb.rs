//! `GDumb`: greedy sampler and dumb learner (Prabhu, Torr, Dokania; ECCV 2020).
//!
//! Learns nothing from the stream but what to remember: as many examples of one class as of another. When a task ends, a network
//! is trained on the memory alone, from the initial weights on. What a continual learner gains over it, it gains from the
//! stream.
//!
//! Readings:
//! 1. Trained anew at the end of every task, so that every row of the accuracy matrix is of a trained network. Each training is a
//!    part of the task's time; a run is not interrupted within one.
//! 2. SGD with momentum 0.9, batches of the run's size, gradients cut to the norm 10, and the authors' cosine schedule with restarts
//!    after 1, 3, 7, 15, … epochs between `gdumb_lr` and a hundredth of it; the first epoch has a tenth of the rate. The run's
//!    own optimizer has nothing to step along.
//! 3. No `CutMix` and no weight decay; the authors have both.
//! 4. Where tasks share classes, the classes of every task are balanced.

use super::buffer::{Memory, MemoryKind, MemorySize, Rehearsal, ReservoirRule, Slot, gather};
use super::{Method, MethodContext, MethodSpec, Passes, Step, TaskEnd, batch_gradient, invalid};
use crate::model::{Learner, LearnerError, Mode, Wanted, cross_entropy};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{RealRange, SettingError, SettingsSpec, WholeRange, fixed, typed};
use crate::stream::Task;

const MOMENTUM: f32 = 0.9;
const LARGEST_NORM: f64 = 10.0;

crate::settings! {
    /// `GDumb`'s settings.
    pub struct GdumbConfig {
        /// Epochs over the memory that GDumb's network is trained at the end of every task.
        gdumb_epochs: usize = fixed(256), range WholeRange::FROM_ONE;
        /// Highest learning rate of GDumb's own training.
        gdumb_lr: f64 = fixed(0.05), range RealRange::POSITIVE;
        /// Examples that the memory holds in all.
        memory_total: usize as super::buffer::MEMORY_TOTAL_OF_ALL;
    }
}

/// Greedy sampler and dumb learner.
pub(super) static GDUMB: MethodSpec = MethodSpec {
    name: "gdumb",
    paper_name: "GDumb",
    description: "Remembers as many examples of each class, and trains on these alone when a task ends.",
    source: "Prabhu et al., ECCV 2020",
    settings: SettingsSpec::of::<GdumbConfig>("gdumb"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["gdumb_lr"],
    // A step measures the loss; the trainings at the ends of tasks come on top.
    passes: |_| Passes {
        first: 1.0 / 3.0,
        later: 1.0 / 3.0,
    },
    build: |own, context| {
        let own = typed::<GdumbConfig>(own)?.clone();
        Ok(Box::new(Gdumb::new(own, context)?))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Gdumb {
    config: GdumbConfig,
    seeds: Seeds,
    rehearsal: Rehearsal,
    /// Parameters and buffers of the network before it learned anything.
    initial: Vec<Vec<f32>>,
}

impl Gdumb {
    /// `GDumb` on a stream.
    ///
    /// # Errors
    /// None for a balanced memory; the type is that of memories.
    pub fn new(config: GdumbConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let size = MemorySize::Total(config.memory_total);
        let memory = Memory::new(MemoryKind::Balanced, size, ReservoirRule::Uniform, context)?;
        Ok(Self {
            config,
            seeds: context.seeds,
            rehearsal: Rehearsal::new(memory, context),
            initial: Vec::new(),
        })
    }

    /// Trains the network on the memory, from its initial weights on.
    fn train(
        &mut self,
        t: usize,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        learner.set_tensors(self.initial.clone());
        let mut order: Vec<Slot> = self.rehearsal.memory().slots();
        let mut stream = self.seeds.stream(&format!("gdumb/{t}"));
        let mut velocity = vec![0.0_f32; learner.parameters().len()];
        let mut gradient = Vec::new();
        for epoch in 0..self.config.gdumb_epochs {
            let rate = rate(self.config.gdumb_lr, epoch) as f32;
            stream.shuffle(&mut order);
            for slots in order.chunks(self.rehearsal.batch_size) {
                let Some(batch) = gather(tasks, slots) else {
                    continue;
                };
                self.rehearsal.count(batch.len());
                batch_gradient(learner, &batch, &mut gradient)?;
                let norm = super::dot(&gradient, &gradient).sqrt();
                let scale = (LARGEST_NORM / norm.max(LARGEST_NORM)) as f32;
                learner.update(&mut |theta| {
                    for ((p, v), g) in theta.iter_mut().zip(&mut velocity).zip(&gradient) {
                        *v = MOMENTUM * *v + scale * g;
                        *p -= rate * *v;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// The learning rate of an epoch, from 0: restarts after 1, 3, 7, … epochs.
fn rate(highest: f64, epoch: usize) -> f64 {
    if epoch == 0 {
        return 0.1 * highest;
    }
    // Cycle c has 2^c epochs and begins at 2^c - 1.
    let cycle = (epoch + 1).ilog2();
    let length = 1_usize << cycle;
    let share = (epoch + 1 - length) as f64 / length as f64;
    let least = highest / 100.0;
    least + (highest - least) * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
}

impl Method for Gdumb {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.rehearsal.begin_task(t);
        if self.initial.is_empty() {
            self.initial = learner.values();
        }
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let batch = step.batch;
        let logits = learner.forward(batch, Mode::Evaluate, Wanted::Competing)?;
        let (loss, _) = cross_entropy(logits, &batch.labels, &batch.competing)?;
        gradient.clear();
        gradient.resize(learner.parameters().len(), 0.0);
        self.rehearsal.remember(step);
        Ok(loss)
    }

    fn end_task(
        &mut self,
        end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.train(end.t, end.tasks, learner)
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("gdumb").with_counter("tensors", self.initial.len());
        for (i, values) in self.initial.iter().enumerate() {
            state.put(&format!("initial.{i}"), values.as_slice());
        }
        self.rehearsal.with_state(state)
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("gdumb")?;
        let tensors = learner.tensors();
        let count = state.counter("tensors")?;
        if count != 0 && count != tensors.len() {
            return Err(invalid("tensors"));
        }
        let mut initial = Vec::with_capacity(count);
        for (i, tensor) in tensors.iter().take(count).enumerate() {
            initial.push(state.take(&format!("initial.{i}"), tensor.values.len())?);
        }
        self.rehearsal.restore(&mut state, tasks)?;
        self.initial = initial;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let initial: usize = self.initial.iter().map(Vec::capacity).sum();
        self.rehearsal.bytes() + initial * size_of::<f32>()
    }

    fn replayed_samples(&self) -> usize {
        self.rehearsal.replayed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_restarts_after_1_3_7_epochs() {
        let rates: Vec<f64> = (0..16).map(|epoch| rate(1.0, epoch)).collect();
        assert!((rates[0] - 0.1).abs() < 1e-12);
        for restart in [1, 3, 7, 15] {
            assert!((rates[restart] - 1.0).abs() < 1e-12, "{rates:?}");
        }
        for (epoch, pair) in rates.windows(2).enumerate().skip(1) {
            let restarts = [2, 6, 14].contains(&epoch);
            assert_eq!(pair[1] > pair[0], restarts, "{epoch} {rates:?}");
        }
        assert!(rates.iter().all(|rate| (0.01..=1.0).contains(rate)));
    }
}
