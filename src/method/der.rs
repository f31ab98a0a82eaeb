//! DER and DER++: dark experience replay (Buzzega, Boschini, Porrello, Abati, Calderara; `NeurIPS` 2020).
//!
//! The memory keeps, beside an example, the logits z that the network h gave for it when it came by. Every step holds the
//! network to them on remembered examples, and DER++ asks for the labels of others, too (eq. 5 and 6 of that paper):
//!
//! ```text
//! L = CE(batch) + α E[‖z − h(x)‖²] + β E[CE(y', h(x'))]        β = 0: DER
//! ```
//!
//! The memory is a reservoir of the whole stream, whose tasks need no boundaries: it replays from the second step on,
//! examples of the present task among others. Each term is a batch of its own, drawn anew, as large as the training
//! batch, and passes in training mode: the batch first, then the one for the logits, then the one for the labels.
//!
//! Numbered departures:
//! 1. The distance is the mean over examples *and* logits, as in the authors' code, for which α was tuned; the paper
//!    sums over logits.
//! 2. Logits are remembered and compared for the classes that compete for an example. The authors have one head, where
//!    all do. Where tasks have slices of a head, the others' logits mean nothing for the example and have no part in
//!    its softmax.
//! 3. There is no augmentation. The authors replay a remembered image augmented anew, against logits of another
//!    augmentation.

use serde::{Deserialize, Serialize};

use super::buffer::{Reservoir, ReservoirRule, Slot, choose, from_list, gather, to_list};
use super::{Method, Step, batch_gradient, invalid, list};
use crate::model::{Learner, LearnerError, Logits, Mode, Wanted, cross_entropy, squared_error};
use crate::optim::State;
use crate::seed::{SeedStream, Seeds};
use crate::stream::{Batch, Task};

/// DER's hyper-parameters.
///
/// | field | default | range | meaning |
/// |---|---|---|---|
/// | `alpha` | 0.1 | finite, ≥ 0 | weight of the distance to the remembered logits |
/// | `beta` | 0.5 | finite, ≥ 0 | weight of the remembered labels' loss; 0 is DER, which draws no second batch |
/// | `memory_total` | 200 | ≥ 0 | examples that the memory holds in all |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerConfig {
    /// Weight of the distance to the remembered logits.
    pub alpha: f64,
    /// Weight of the remembered labels' loss; 0 is DER.
    pub beta: f64,
    /// Examples that the memory holds in all.
    pub memory_total: usize,
}

impl Default for DerConfig {
    fn default() -> Self {
        Self {
            alpha: 0.1,
            beta: 0.5,
            memory_total: 200,
        }
    }
}

/// An example and what the network said of it.
#[derive(Clone, Debug, PartialEq)]
struct Remembered {
    slot: Slot,
    /// Logits of the classes that compete for it, in ascending order.
    logits: Box<[f32]>,
}

/// The method.
#[derive(Clone, Debug)]
pub struct Der {
    config: DerConfig,
    /// Examples of a replayed batch.
    batch_size: usize,
    seeds: Seeds,
    /// The present task, which names the streams.
    task: usize,
    /// Which examples are replayed.
    replay: SeedStream,
    /// Which examples are remembered.
    memorise: SeedStream,
    memory: Reservoir<Remembered>,
    replayed: usize,
    extra: Vec<f32>,
}

impl Der {
    /// DER++, or DER where β is 0, with replayed batches of `batch_size` examples.
    #[must_use]
    pub fn new(config: DerConfig, batch_size: usize, seeds: Seeds) -> Self {
        Self {
            config,
            batch_size,
            seeds,
            task: 0,
            replay: seeds.stream("replay/0"),
            memorise: seeds.stream("reservoir/0"),
            memory: Reservoir::new(config.memory_total, ReservoirRule::Uniform),
            replayed: 0,
            extra: Vec::new(),
        }
    }

    /// A batch of remembered examples with their logits; none while the memory is empty.
    fn draw(&mut self, tasks: &[Task]) -> Option<(Batch, Vec<&[f32]>)> {
        let items = self.memory.items();
        let all = (0..items.len()).collect();
        let chosen = choose::<usize>(all, self.batch_size, &mut self.replay);
        let chosen: Vec<&Remembered> = chosen.iter().filter_map(|&i| items.get(i)).collect();
        let slots: Vec<Slot> = chosen.iter().map(|item| item.slot).collect();
        let batch = gather(tasks, &slots)?;
        self.replayed += batch.len();
        Some((batch, chosen.iter().map(|item| &*item.logits).collect()))
    }

    /// Adds the gradient of the distance to the remembered logits.
    fn add_distance(
        &mut self,
        learner: &mut dyn Learner,
        tasks: &[Task],
        gradient: &mut [f32],
    ) -> Result<(), LearnerError> {
        let (alpha, mut extra) = (self.config.alpha, std::mem::take(&mut self.extra));
        if let Some((batch, targets)) = self.draw(tasks) {
            let logits = learner.forward(&batch, Mode::Train, Wanted::Competing)?;
            let (_, d_logits) = squared_error(logits, &targets, &batch.competing)?;
            learner.backward(&d_logits, &mut extra)?;
            add_scaled(gradient, alpha, &extra);
        }
        self.extra = extra;
        Ok(())
    }

    /// Adds the gradient of the remembered labels' loss.
    fn add_labels(
        &mut self,
        learner: &mut dyn Learner,
        tasks: &[Task],
        gradient: &mut [f32],
    ) -> Result<(), LearnerError> {
        let (beta, mut extra) = (self.config.beta, std::mem::take(&mut self.extra));
        if let Some((batch, _)) = self.draw(tasks) {
            batch_gradient(learner, &batch, &mut extra)?;
            add_scaled(gradient, beta, &extra);
        }
        self.extra = extra;
        Ok(())
    }
}

/// `to ← to + weight · from`.
fn add_scaled(to: &mut [f32], weight: f64, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight as f32 * from;
    }
}

/// What is remembered of a batch's examples, should they enter the memory.
fn remembered(step: &Step<'_>, logits: Logits<'_>) -> Vec<Remembered> {
    let examples = step.positions.iter().zip(logits.rows());
    let examples = examples.zip(&step.batch.competing);
    examples
        .map(|((&position, row), classes)| Remembered {
            slot: Slot::new(step.t, position),
            logits: classes.iter().filter_map(|c| row.get(c).copied()).collect(),
        })
        .collect()
}

impl Method for Der {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.task = t;
        self.replay = self.seeds.stream(&format!("replay/{t}"));
        self.memorise = self.seeds.stream(&format!("reservoir/{t}"));
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let (batch, tasks) = (step.batch, step.tasks);
        let logits = learner.forward(batch, Mode::Train, Wanted::Competing)?;
        let (loss, d_logits) = cross_entropy(logits, &batch.labels, &batch.competing)?;
        let seen = remembered(step, logits);
        learner.backward(&d_logits, gradient)?;
        if self.config.alpha > 0.0 {
            self.add_distance(learner, tasks, gradient)?;
        }
        if self.config.beta > 0.0 {
            self.add_labels(learner, tasks, gradient)?;
        }
        self.memory.add(seen, &mut self.memorise);
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("der")
            .with_counter("task", self.task)
            .with_counter("seen", self.memory.seen())
            .with_counter("replayed", self.replayed);
        let streams = [self.replay.position(), self.memorise.position()];
        state.put_list("streams", streams.to_vec());
        let items = self.memory.items();
        let slots: Vec<Slot> = items.iter().map(|item| item.slot).collect();
        state.put_list("memory", to_list(&slots));
        let logits: Vec<f32> = items
            .iter()
            .flat_map(|item| item.logits.iter().copied())
            .collect();
        state.put("logits", logits);
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("der")?;
        let (task, seen) = (state.counter("task")?, state.counter("seen")?);
        let replayed = state.counter("replayed")?;
        let [replay, memorise] = list(&mut state, "streams")?;
        let slots =
            from_list(&state.take_list("memory")?, tasks).ok_or_else(|| invalid("memory"))?;
        // An example has as many logits as its task has classes.
        let width = |slot: &Slot| {
            let task = tasks.get(slot.task as usize);
            task.map_or(0, |task| task.train.classes().len())
        };
        let widths: Vec<usize> = slots.iter().map(width).collect();
        let logits = state.take("logits", widths.iter().sum())?;
        let mut rest = logits.as_slice();
        let items = slots.into_iter().zip(widths).map(|(slot, width)| {
            let (logits, tail) = rest.split_at(width);
            rest = tail;
            Remembered {
                slot,
                logits: logits.into(),
            }
        });
        let items = items.collect();
        if !self.memory.restore(items, seen) {
            return Err(invalid("memory"));
        }
        (self.task, self.replayed) = (task, replayed);
        self.replay = self.seeds.stream(&format!("replay/{task}"));
        self.replay.seek(replay);
        self.memorise = self.seeds.stream(&format!("reservoir/{task}"));
        self.memorise.seek(memorise);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let logits = self
            .memory
            .items()
            .iter()
            .map(|item| size_of_val(&*item.logits));
        self.memory.bytes() + logits.sum::<usize>()
    }

    fn replayed_samples(&self) -> usize {
        self.replayed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::data::{ImageSet, ImageShape};
    use crate::method::Plain;
    use crate::model::{Dropout, KernelMlp, MlpConfig, head};
    use crate::optim::Layout;
    use crate::stream::{ClassOrder, Scaling, StreamKind, StreamSpec, TaskStream};

    /// Two tasks of three classes, 24 images each.
    fn stream() -> TaskStream {
        let pixels = (0..48 * 9).map(|i| (i * 53 % 251) as u8).collect();
        let labels = (0..48).map(|i| (i % 6) as u16).collect();
        let set = ImageSet::new(ImageShape::new(1, 3, 3), pixels, labels, 6);
        let set = Arc::new(set.unwrap());
        let spec = StreamSpec {
            kind: StreamKind::Split(ClassOrder::Fixed),
            tasks: 2,
            validation: 0.0,
            fraction: 1.0,
            scaling: Scaling::Unit,
        };
        TaskStream::from_sets(&spec, &set, &set, Seeds::new(1)).unwrap()
    }

    fn learner(dropout: f32) -> KernelMlp {
        let config = MlpConfig {
            inputs: 9,
            hidden: 11,
            classes: 6,
        };
        let dropout = Dropout::new(dropout, Seeds::new(2).stream("dropout"));
        KernelMlp::new(&config, &mut Seeds::new(2).stream("init"), dropout)
    }

    fn der(alpha: f64, beta: f64, memory_total: usize) -> Der {
        let config = DerConfig {
            alpha,
            beta,
            memory_total,
        };
        Der::new(config, 4, Seeds::new(3))
    }

    /// One step of four examples of task `t`, with the update; the gradient and the loss.
    fn step(
        method: &mut dyn Method,
        learner: &mut dyn Learner,
        stream: &TaskStream,
        (t, number): (usize, usize),
    ) -> (Vec<f32>, f32) {
        let positions: Vec<usize> = (0..4).map(|i| (4 * number + i) % 24).collect();
        let batch = stream.tasks()[t].train.batch(&positions);
        let step = Step {
            tasks: &stream.tasks()[..=t],
            t,
            positions: &positions,
            batch: &batch,
            learning_rate: 0.1,
        };
        let mut gradient = Vec::new();
        let loss = method.gradient(learner, &step, &mut gradient).unwrap();
        let mut descend = |theta: &mut [f32]| {
            let pairs = theta.iter_mut().zip(&gradient);
            pairs.for_each(|(p, g)| *p -= 0.1 * g);
            Ok(())
        };
        learner.update(&mut descend).unwrap();
        (gradient, loss)
    }

    /// Twelve steps over both tasks: all gradients and losses.
    fn run(method: &mut dyn Method, learner: &mut dyn Learner) -> Vec<(Vec<f32>, f32)> {
        let stream = stream();
        let mut all = Vec::new();
        for t in 0..2 {
            method
                .begin_task(t, &stream.tasks()[..=t], learner)
                .unwrap();
            all.extend((0..6).map(|number| step(method, learner, &stream, (t, number))));
        }
        all
    }

    #[test]
    fn without_weights_or_memory_it_is_plain_training_to_the_last_bit() {
        let plain = run(&mut Plain, &mut learner(0.2));
        for (alpha, beta, memory) in [(0.0, 0.0, 8), (0.7, 0.3, 0)] {
            let mut der = der(alpha, beta, memory);
            assert_eq!(run(&mut der, &mut learner(0.2)), plain);
            assert_eq!(der.replayed_samples(), 0);
        }
        assert_ne!(run(&mut der(0.7, 0.0, 8), &mut learner(0.2)), plain);
    }

    #[test]
    fn der_replays_one_batch_a_step_and_der_plus_plus_two() {
        // Four remembered examples from the second step on, in eleven steps.
        for (beta, batches) in [(0.0, 1), (0.5, 2)] {
            let mut der = der(0.1, beta, 8);
            run(&mut der, &mut learner(0.0));
            assert_eq!(der.replayed_samples(), 11 * 4 * batches);
            assert_eq!(der.memory_bytes(), 8 * (size_of::<Remembered>() + 3 * 4));
        }
    }

    #[test]
    fn remembered_logits_are_those_of_the_moment() {
        let (stream, mut learner, mut der) = (stream(), learner(0.0), der(0.5, 0.5, 100));
        let mut expected = Vec::new();
        for t in 0..2 {
            for number in 0..3 {
                let positions: Vec<usize> = (4 * number..4 * number + 4).collect();
                let batch = stream.tasks()[t].train.batch(&positions);
                let own = stream.tasks()[t].train.classes();
                let logits = learner
                    .forward(&batch, Mode::Evaluate, Wanted::All)
                    .unwrap();
                let rows = logits.rows().map(|row| row[own.clone()].to_vec());
                expected.extend(positions.iter().map(|&p| Slot::new(t, p)).zip(rows));
                step(&mut der, &mut learner, &stream, (t, number));
            }
        }
        let items = der.memory.items().iter();
        let found: Vec<_> = items
            .map(|item| (item.slot, item.logits.to_vec()))
            .collect();
        assert_eq!(found, expected);
    }

    /// The loss of the formula at these parameters, where the memory is no larger than a replayed batch, so that all of
    /// it is drawn.
    fn formula(
        learner: &mut KernelMlp,
        theta: &[f32],
        batch: &Batch,
        der: &Der,
        tasks: &[Task],
    ) -> f64 {
        let mut put = |parameters: &mut [f32]| {
            parameters.copy_from_slice(theta);
            Ok(())
        };
        learner.update(&mut put).unwrap();
        let mut mean = |batch: &Batch| {
            let logits = learner.forward(batch, Mode::Train, Wanted::All).unwrap();
            let loss = head::judge_rows(logits, &batch.labels, &batch.competing).loss();
            (loss, logits.values().to_vec())
        };
        let items = der.memory.items();
        let slots: Vec<Slot> = items.iter().map(|item| item.slot).collect();
        let remembered = gather(tasks, &slots).unwrap();
        let (labels, logits) = mean(&remembered);
        let mut squares = Vec::new();
        for ((row, item), classes) in logits.chunks(6).zip(items).zip(&remembered.competing) {
            for (class, z) in classes.iter().zip(&item.logits) {
                squares.push((f64::from(row[class]) - f64::from(*z)).powi(2));
            }
        }
        let distance = squares.iter().sum::<f64>() / squares.len() as f64;
        mean(batch).0 + der.config.alpha * distance + der.config.beta * labels
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// Along random directions, the gradient is the slope of the formula's loss.
        #[test]
        fn the_gradient_is_that_of_the_formula(
            alpha in 0.0_f64..2.0, beta in 0.0_f64..2.0, t in 0_usize..2, seed in 0_u64..1000,
        ) {
            let (stream, mut learner) = (stream(), learner(0.0));
            let mut der = der(alpha, beta, 4);
            for number in 0..5 {
                step(&mut der, &mut learner, &stream, (0, number));
            }
            let positions = [3, 9, 17, 20];
            let batch = stream.tasks()[t].train.batch(&positions);
            let tasks = &stream.tasks()[..=t];
            let before = der.clone();
            let now = Step { tasks, t, positions: &positions, batch: &batch, learning_rate: 0.1 };
            let mut gradient = Vec::new();
            der.gradient(&mut learner, &now, &mut gradient).unwrap();
            let theta = learner.parameters().to_vec();
            let mut stream = Seeds::new(seed).stream("direction");
            // Half along the gradient, so that the slope is not lost in rounding.
            let size = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let direction: Vec<f32> = gradient.iter().map(|g| g / size + 0.05 * stream.normal()).collect();
            let pairs = gradient.iter().zip(&direction);
            let slope: f64 = pairs.map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            let errors = [1e-2_f32, 3e-3, 1e-3, 3e-4].map(|h| {
                let mut at = |h: f32| {
                    let moved: Vec<f32> = theta.iter().zip(&direction).map(|(p, d)| p + h * d).collect();
                    formula(&mut learner, &moved, &batch, &before, tasks)
                };
                ((at(h) - at(-h)) / (2.0 * f64::from(h)) / slope - 1.0).abs()
            });
            prop_assert!(errors.iter().any(|e| *e < 0.01), "{:?}", errors);
        }

        /// A snapshot at any step goes on as the original does.
        #[test]
        fn a_snapshot_goes_on(taken in 0_usize..12, memory in 0_usize..12, beta in 0_usize..2) {
            let (stream, mut first, mut original) = (stream(), learner(0.2), der(0.4, beta as f64, memory));
            let at = |number: usize| (number / 6, number % 6);
            for number in 0..taken {
                let (t, _) = at(number);
                if number % 6 == 0 {
                    original.begin_task(t, &stream.tasks()[..=t], &mut first).unwrap();
                }
                step(&mut original, &mut first, &stream, at(number));
            }
            let seen = &stream.tasks()[..=at(taken.saturating_sub(1)).0];
            let bytes = original.state().to_bytes().unwrap();
            let (mut second, mut copy) = (learner(0.2), der(0.4, beta as f64, memory));
            second.restore(first.state()).unwrap();
            copy.restore(State::from_bytes(&bytes).unwrap(), seen, &mut second).unwrap();
            for number in taken..12 {
                let (t, _) = at(number);
                for (method, learner) in [(&mut original, &mut first), (&mut copy, &mut second)] {
                    if number % 6 == 0 {
                        method.begin_task(t, &stream.tasks()[..=t], learner).unwrap();
                    }
                }
                let a = step(&mut original, &mut first, &stream, at(number));
                let b = step(&mut copy, &mut second, &stream, at(number));
                prop_assert_eq!(a, b);
            }
            prop_assert_eq!(original.state(), copy.state());
            prop_assert_eq!(original.replayed_samples(), copy.replayed_samples());
        }
    }

    #[test]
    fn snapshots_that_cannot_be_its_own_are_refused() {
        let (stream, mut learner) = (stream(), learner(0.0));
        let mut original = der(0.4, 0.5, 8);
        for t in 0..2 {
            for number in 0..4 {
                step(&mut original, &mut learner, &stream, (t, number));
            }
        }
        let layout: Layout = learner.layout().clone();
        assert_eq!(layout.slots().len(), 6);
        let mut restore = |state: State<'_>, tasks: &[Task], memory: usize| {
            let mut fresh = der(0.4, 0.5, memory);
            let found = fresh.restore(state, tasks, &mut learner);
            let untouched = fresh.state() == der(0.4, 0.5, memory).state();
            (found.is_err(), untouched)
        };
        let state = || original.state();
        let (refused, whole) = ((true, true), stream.tasks());
        assert_eq!(restore(state(), whole, 8), (false, false));
        assert_eq!(restore(state(), whole, 7), refused, "another size");
        assert_eq!(
            restore(state(), &whole[..1], 8),
            refused,
            "a task that has not come"
        );
        let mut short = state();
        short.put("logits", vec![0.0; 23]);
        assert_eq!(restore(short, whole, 8), refused, "too few logits");
        assert_eq!(
            restore(State::new("er"), whole, 8),
            refused,
            "another method"
        );
        let mut later = state();
        later.put_list("memory", vec![5, 0]);
        assert_eq!(restore(later, whole, 8), refused, "no such task");
    }
}
