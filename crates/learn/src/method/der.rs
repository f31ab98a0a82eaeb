//! DER++: dark experience replay with labels (Buzzega, Boschini, Porrello, Abati, Calderara; `NeurIPS` 2020).
//!
//! Keeps a reservoir of examples of the whole stream, each with the logits that the network gave it when it came by. Every step
//! adds, on two batches drawn from the memory, the distance of today's logits to the remembered ones and the loss of the
//! remembered labels (eq. 6 of that paper):
//!
//! ```text
//! L = CE(x, y) + α · ‖h(x′) − z′‖² + β · CE(x″, y″)
//! ```
//!
//! β = 0 is DER (eq. 5), which needs one batch from the memory.
//!
//! Departures and readings:
//! 1. The distance is the mean over the batch and over classes, as the authors' code takes it (`mse_loss`); the paper prints a
//!    norm. Where the task is known these are the classes of the example's own task, and only their logits are kept; in
//!    class-incremental learning they are all of the head, those of tasks to come among them, as in the authors' code.
//! 2. The two batches are as large as the training batch, or all that is remembered where that is less.
//! 3. The batch first, then the two of the memory: the order in which norms and dropout take them. Each is a pass of its own.
//! 4. The memory takes a batch in after its step's gradient, with the logits of its training pass, and may replay the
//!    present task, as the authors' code does.

use super::buffer::{Draws, Reservoir, ReservoirRule, Slot, choose, from_list, gather, to_list};
use super::{Method, MethodContext, MethodSpec, Passes, Step, add, batch_gradient, invalid};
use crate::model::{Learner, LearnerError, Mode, Wanted, cross_entropy, squared_error};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{RealRange, SettingsSpec, fixed, typed};
use crate::stream::{Classes, Scenario, Task};

crate::settings! {
    /// DER++'s settings.
    pub struct DerConfig {
        /// DER++'s weight of the distance to the remembered logits, α.
        distillation: f64 = fixed(0.1), range RealRange::FROM_ZERO;
        /// DER++'s weight of the remembered labels' loss, β; 0 is DER.
        replay_weight: f64 = fixed(0.5), range RealRange::FROM_ZERO;
        /// Examples that the memory holds in all.
        memory_total: usize as super::buffer::MEMORY_TOTAL_OF_ALL;
    }
}

/// Dark experience replay.
pub(super) static DER: MethodSpec = MethodSpec {
    name: "der++",
    paper_name: "DER++",
    description: "Dark experience replay: remembered logits are matched, and remembered labels trained on.",
    source: "Buzzega et al., NeurIPS 2020",
    settings: SettingsSpec::of::<DerConfig>("der"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["distillation", "replay_weight"],
    passes: |own| {
        let own = own.get::<DerConfig>();
        let used = |weight: f64| f64::from(u8::from(weight > 0.0));
        let passes = own.map_or(1.0, |own| {
            1.0 + used(own.distillation) + used(own.replay_weight)
        });
        Passes {
            first: passes,
            later: passes,
        }
    },
    build: |own, context| {
        let own = typed::<DerConfig>(own)?.clone();
        let MethodContext {
            batch_size,
            seeds,
            scenario,
            ..
        } = *context;
        Ok(Box::new(Der::new(own, scenario, batch_size, seeds)))
    },
};

/// A remembered example with its logits, in ascending order of their classes ([`Der::matched`]).
#[derive(Clone, Debug, PartialEq)]
struct Remembered {
    slot: Slot,
    logits: Vec<f32>,
}

/// The method.
#[derive(Clone, Debug)]
pub struct Der {
    config: DerConfig,
    /// Whether the logits of all classes of the head are matched, not only those of the example's task.
    whole_head: bool,
    /// Examples of a replay batch.
    batch_size: usize,
    draws: Draws,
    memory: Reservoir<Remembered>,
    extra: Vec<f32>,
}

impl Der {
    /// DER++ with replay batches of `batch_size` examples.
    #[must_use]
    pub fn new(config: DerConfig, scenario: Scenario, batch_size: usize, seeds: Seeds) -> Self {
        Self {
            whole_head: scenario == Scenario::Class,
            memory: Reservoir::new(config.memory_total, ReservoirRule::Uniform),
            config,
            batch_size,
            draws: Draws::new(seeds, 0),
            extra: Vec::new(),
        }
    }

    /// The classes whose logits are remembered and matched, of a head of `head`.
    fn matched(&self, slot: Slot, tasks: &[Task], head: usize) -> Classes {
        let task = tasks.get(slot.task as usize);
        match task {
            _ if self.whole_head => (0..head).into(),
            Some(task) => task.train.classes().into(),
            None => (0..0).into(),
        }
    }

    fn wanted(&self) -> Wanted {
        if self.whole_head {
            Wanted::All
        } else {
            Wanted::Competing
        }
    }

    /// A batch of the memory's items.
    fn draw(&mut self) -> Vec<Remembered> {
        let positions = (0..self.memory.items().len()).collect();
        let chosen = choose(positions, self.batch_size, &mut self.draws.replay);
        let items = self.memory.items();
        chosen
            .into_iter()
            .filter_map(|i: usize| items.get(i).cloned())
            .collect()
    }

    /// Adds α times the gradient of the distance to remembered logits.
    fn distil(
        &mut self,
        learner: &mut dyn Learner,
        tasks: &[Task],
        gradient: &mut [f32],
    ) -> Result<(), LearnerError> {
        let drawn = self.draw();
        let slots: Vec<Slot> = drawn.iter().map(|item| item.slot).collect();
        let Some(batch) = gather(tasks, &slots) else {
            return Ok(());
        };
        self.draws.replayed += batch.len();
        let targets: Vec<&[f32]> = drawn.iter().map(|item| item.logits.as_slice()).collect();
        let logits = learner.forward(&batch, Mode::Train, self.wanted())?;
        let matched: Vec<Classes> = slots
            .iter()
            .map(|slot| self.matched(*slot, tasks, logits.classes()))
            .collect();
        let (_, d_logits) = squared_error(logits, &targets, &matched)?;
        learner.backward(&d_logits, &mut self.extra)?;
        add(gradient, self.config.distillation, &self.extra);
        Ok(())
    }

    /// Adds β times the gradient of remembered labels' loss.
    fn rehearse(
        &mut self,
        learner: &mut dyn Learner,
        tasks: &[Task],
        gradient: &mut [f32],
    ) -> Result<(), LearnerError> {
        let slots: Vec<Slot> = self.draw().iter().map(|item| item.slot).collect();
        let Some(batch) = gather(tasks, &slots) else {
            return Ok(());
        };
        self.draws.replayed += batch.len();
        batch_gradient(learner, &batch, &mut self.extra)?;
        add(gradient, self.config.replay_weight, &self.extra);
        Ok(())
    }
}

impl Method for Der {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.draws.begin_task(t);
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let batch = step.batch;
        let logits = learner.forward(batch, Mode::Train, self.wanted())?;
        let own = self.matched(Slot::new(step.t, 0), step.tasks, logits.classes());
        let of_own = |row: &[f32]| -> Vec<f32> {
            let classes = own.iter();
            classes
                .filter_map(|class| row.get(class).copied())
                .collect()
        };
        let seen: Vec<Vec<f32>> = logits.rows().map(of_own).collect();
        let (loss, d_logits) = cross_entropy(logits, &batch.labels, &batch.competing)?;
        learner.backward(&d_logits, gradient)?;
        if self.config.distillation > 0.0 {
            self.distil(learner, step.tasks, gradient)?;
        }
        if self.config.replay_weight > 0.0 {
            self.rehearse(learner, step.tasks, gradient)?;
        }
        let seen = step
            .positions
            .iter()
            .zip(seen)
            .map(|(&position, logits)| Remembered {
                slot: Slot::new(step.t, position),
                logits,
            });
        self.memory.add(seen, &mut self.draws.memorise);
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let state = State::new("der").with_counter("seen", self.memory.seen());
        let mut state = self.draws.with_state(state);
        let items = self.memory.items();
        let slots: Vec<Slot> = items.iter().map(|item| item.slot).collect();
        let logits: Vec<f32> = items.iter().flat_map(|item| item.logits.clone()).collect();
        state.put_list("memory", to_list(&slots));
        state.put("logits", logits);
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("der")?;
        let seen = state.counter("seen")?;
        let draws = self.draws.restored(&mut state)?;
        let slots = from_list(&state.take_list("memory")?, tasks);
        let slots = slots.ok_or_else(|| invalid("memory"))?;
        let head = learner.frozen().classes();
        let width = |slot: Slot| self.matched(slot, tasks, head).len();
        let all = slots.iter().map(|slot| width(*slot)).sum();
        let mut logits = state.take("logits", all)?.into_iter();
        let items = slots.into_iter().map(|slot| Remembered {
            slot,
            logits: logits.by_ref().take(width(slot)).collect(),
        });
        let items: Vec<Remembered> = items.collect();
        if !self.memory.restore(items, seen) {
            return Err(invalid("memory"));
        }
        self.draws = draws;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let logits = self
            .memory
            .items()
            .iter()
            .map(|item| item.logits.capacity());
        self.memory.bytes() + logits.sum::<usize>() * size_of::<f32>()
    }

    fn replayed_samples(&self) -> usize {
        self.draws.replayed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::method::Plain;
    use crate::method::testing::{learner, stream};

    fn config(distillation: f64, replay_weight: f64, memory_total: usize) -> DerConfig {
        DerConfig {
            distillation,
            replay_weight,
            memory_total,
        }
    }

    /// Gradients of `steps` batches of four on the first two tasks; the parameters move between them.
    fn gradients(method: &mut dyn Method, steps: usize) -> Vec<Vec<f32>> {
        let (stream, mut learner) = (stream(), learner());
        let mut all = Vec::new();
        for t in 0..2 {
            let tasks = &stream.tasks()[..=t];
            method.begin_task(t, tasks, &mut learner).unwrap();
            for number in 0..steps {
                let positions: Vec<usize> = (4 * number..4 * number + 4).collect();
                let batch = tasks[t].train.batch(&positions);
                let step = Step {
                    tasks,
                    t,
                    positions: &positions,
                    batch: &batch,
                    learning_rate: 0.1,
                };
                let mut gradient = Vec::new();
                method.gradient(&mut learner, &step, &mut gradient).unwrap();
                let mut descend = |theta: &mut [f32]| {
                    add(theta, -0.5, &gradient);
                    Ok(())
                };
                learner.update(&mut descend).unwrap();
                all.push(gradient);
            }
        }
        all
    }

    #[test]
    fn without_weights_it_is_plain() {
        let mut der = Der::new(config(0.0, 0.0, 50), Scenario::Task, 4, Seeds::new(2));
        assert_eq!(gradients(&mut der, 3), gradients(&mut Plain, 3));
        assert_eq!(der.replayed_samples(), 0);
    }

    #[test]
    fn what_was_just_seen_has_no_distance_yet() {
        // One example in the memory, drawn at once, with parameters that have not moved: h(x′) = z′.
        let (stream, mut learner) = (stream(), learner());
        let tasks = &stream.tasks()[..1];
        let batch = tasks[0].train.batch(&[0]);
        let step = Step {
            tasks,
            t: 0,
            positions: &[0],
            batch: &batch,
            learning_rate: 0.1,
        };
        let mut der = Der::new(config(3.0, 0.0, 1), Scenario::Task, 1, Seeds::new(2));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        der.gradient(&mut learner, &step, &mut first).unwrap();
        der.gradient(&mut learner, &step, &mut second).unwrap();
        assert_eq!((first, der.replayed_samples()), (second, 1));
    }

    #[test]
    fn the_memory_keeps_the_logits_of_the_classes_that_compete() {
        let mut der = Der::new(config(0.5, 0.5, 7), Scenario::Task, 4, Seeds::new(2));
        gradients(&mut der, 5);
        assert_eq!((der.memory.items().len(), der.memory.seen()), (7, 40));
        assert!(der.memory.items().iter().all(|item| item.logits.len() == 2));
        let item = size_of::<Remembered>();
        assert!(der.memory_bytes() >= 7 * (item + 2 * size_of::<f32>()));
        assert!(der.replayed_samples() > 40);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// The gradient is linear in the weights: what each adds can be taken apart. Only the first step of a method that
        /// replays draws from the same memory under all weights.
        #[test]
        fn the_two_terms_add_up(alpha in 0.1_f64..2.0, beta in 0.1_f64..2.0) {
            let (stream, mut learner) = (stream(), learner());
            let tasks = &stream.tasks()[..1];
            let mut at = |alpha: f64, beta: f64, number: usize| -> Vec<f32> {
                let mut der = Der::new(config(alpha, beta, 4), Scenario::Task, 4, Seeds::new(2));
                let mut gradient = Vec::new();
                for positions in [[0, 1, 2, 3], [4, 5, 6, 7]].iter().take(number) {
                    let batch = tasks[0].train.batch(positions);
                    let step = Step { tasks, t: 0, positions, batch: &batch, learning_rate: 0.1 };
                    der.gradient(&mut learner, &step, &mut gradient).unwrap();
                }
                gradient
            };
            let (none, labels) = (at(0.0, 0.0, 2), at(0.0, 1.0, 2));
            let both = at(alpha, beta, 2);
            // Parameters have not moved, so the distance is zero and only labels pull.
            for ((both, none), labels) in both.iter().zip(&none).zip(&labels) {
                let expected = none + beta as f32 * (labels - none);
                prop_assert!((both - expected).abs() <= 1e-5 * (1.0 + expected.abs()));
            }
        }

        /// Any bytes in the lists: an error or a state, never a panic.
        #[test]
        fn hostile_snapshots_are_refused(numbers in prop::collection::vec(0_u64..1 << 40, 0..20), seen in 0_usize..30) {
            let (stream, mut learner) = (stream(), learner());
            let mut state = State::new("der")
                .with_counter("task", 0)
                .with_counter("seen", seen)
                .with_counter("replayed", 0);
            state.put_list("streams", vec![0, 0]);
            state.put_list("memory", numbers);
            state.put("logits", vec![0.0; 3]);
            let mut der = Der::new(config(0.5, 0.5, 7), Scenario::Task, 4, Seeds::new(2));
            let _ = der.restore(state, stream.tasks(), &mut learner);
        }
    }
}
