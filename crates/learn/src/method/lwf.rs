//! `LwF`: learning without forgetting (Li, Hoiem; ECCV 2016).
//!
//! Before a task begins, a copy of the network is kept. While the task is learned, the network is to answer about the old classes,
//! on the present images, as the copy does (eq. 1-3): with softmaxes at a temperature T > 1, in which small probabilities count,
//!
//! ```text
//! L = CE(x, y) + λ_o Σ_old −Σ_c p′_c log p̂′_c,    p′ ∝ p^(1/T)
//! ```
//!
//! Departures and readings:
//! 1. The sum is over sets of old classes ([`old_sets`]). Under task identity that is the paper's sum over old tasks; in
//!    class-incremental learning all old classes are one set, and in domain-incremental learning the one head's.
//! 2. There is no factor T², as in the paper and in Mammoth; [`LwfConfig::lwf_scaled`] puts it there (Hinton et al. 2015), so that
//!    the gradient is as large at any T.
//! 3. The copy answers in evaluation mode, at every step anew: on fixed images that is what the paper records beforehand.
//! 4. No warm-up in which the new head alone is trained, and no weight decay of the method's own: the paper trains to
//!    convergence, a stream of one epoch leaves no steps for it.

use std::sync::Arc;

use super::{Method, MethodSpec, Passes, Step, batch_gradient};
use crate::model::{
    Classifier, Learner, LearnerError, Logits, Mode, Wanted, cross_entropy, distillation,
};
use crate::optim::State;
use crate::settings::{RealRange, SettingsSpec, fixed, typed};
use crate::stream::{Classes, Scenario, Task};

crate::settings! {
    /// `LwF`'s settings.
    pub struct LwfConfig {
        /// LwF's weight of the old classes' part, λ_o.
        lwf_weight: f64 = fixed(1.0), range RealRange::FROM_ZERO;
        /// LwF's temperature T.
        lwf_temperature: f64 = fixed(2.0), range RealRange::POSITIVE;
        /// Whether LwF's old part is multiplied by T², so that its gradient does not shrink with T.
        lwf_scaled: bool = fixed(false);
    }
}

/// Learning without forgetting.
pub(super) static LWF: MethodSpec = MethodSpec {
    name: "lwf",
    paper_name: "LwF",
    description: "Learning without forgetting: old classes are answered on new images as before the task.",
    source: "Li and Hoiem, ECCV 2016",
    settings: SettingsSpec::of::<LwfConfig>("lwf"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["lwf_weight"],
    passes: |own| {
        let used = own
            .get::<LwfConfig>()
            .is_none_or(|own| own.lwf_weight > 0.0);
        // The copy's forward pass is a third of a step.
        let copy = if used { 1.0 / 3.0 } else { 0.0 };
        Passes {
            first: 1.0,
            later: 1.0 + copy,
        }
    },
    build: |own, context| {
        let own = typed::<LwfConfig>(own)?.clone();
        Ok(Box::new(Lwf::new(own, context.scenario)))
    },
};

/// The method.
#[derive(Clone)]
pub struct Lwf {
    config: LwfConfig,
    scenario: Scenario,
    /// The network before the present task; none in the first.
    teacher: Option<Teacher>,
}

/// A frozen copy of the network.
#[derive(Clone)]
struct Teacher {
    network: Arc<dyn Classifier>,
    /// Its tensors, one after another, for snapshots.
    values: Vec<f32>,
}

impl Lwf {
    /// `LwF` before any task.
    #[must_use]
    pub fn new(config: LwfConfig, scenario: Scenario) -> Self {
        Self {
            config,
            scenario,
            teacher: None,
        }
    }

    /// What stands before the gradient of a set's distillation.
    fn weight(&self) -> f32 {
        let LwfConfig {
            lwf_weight,
            lwf_temperature,
            lwf_scaled,
        } = self.config;
        let scale = if lwf_scaled {
            lwf_temperature.powi(2)
        } else {
            1.0
        };
        (lwf_weight * scale) as f32
    }
}

/// The sets of classes among which the copy's answers are kept, from the tasks before task `t`: each task's own, once, or all of
/// them together where the task is not known and they compete with one another.
fn old_sets(scenario: Scenario, tasks: &[Task], t: usize) -> Vec<Classes> {
    let own = tasks.iter().take(t).map(|task| task.train.classes());
    if scenario == Scenario::Class {
        let all: Classes = own.flatten().collect();
        return if all.is_empty() {
            Vec::new()
        } else {
            vec![all]
        };
    }
    let mut sets: Vec<Classes> = Vec::new();
    for set in own.map(Classes::from) {
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

impl Method for Lwf {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let used = t > 0 && self.config.lwf_weight > 0.0;
        self.teacher = used.then(|| Teacher {
            network: Arc::from(learner.frozen()),
            values: learner.values().concat(),
        });
        Ok(())
    }

    /// The distillation goes backward with the batch.
    fn passes_batch_alone(&self) -> bool {
        self.config.lwf_weight == 0.0
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let batch = step.batch;
        let Some(teacher) = &self.teacher else {
            return batch_gradient(learner, batch, gradient);
        };
        let answers = teacher.network.scores(batch, Wanted::All)?;
        let answers = Logits::new(&answers, teacher.network.classes());
        let logits = learner.forward(batch, Mode::Train, Wanted::All)?;
        let (loss, mut d_logits) = cross_entropy(logits, &batch.labels, &batch.competing)?;
        let weight = self.weight();
        for set in old_sets(self.scenario, step.tasks, step.t) {
            let sets = vec![set; batch.len()];
            let temperature = self.config.lwf_temperature as f32;
            let (_, old) = distillation(logits, answers, &sets, temperature)?;
            for (d, old) in d_logits.iter_mut().zip(&old) {
                *d += weight * old;
            }
        }
        learner.backward(&d_logits, gradient)?;
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let values = self.teacher.as_ref().map(|teacher| &*teacher.values);
        let values = values.unwrap_or_default();
        let mut state = State::new("lwf").with_counter("values", values.len());
        state.put("teacher", values);
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("lwf")?;
        let lens: Vec<usize> = match state.counter("values")? {
            0 => Vec::new(),
            _ => learner.values().iter().map(Vec::len).collect(),
        };
        let values = state.take("teacher", lens.iter().sum())?;
        self.teacher = (!values.is_empty()).then(|| {
            let mut rest = values.iter().copied();
            let tensors = lens
                .iter()
                .map(|len| rest.by_ref().take(*len).collect())
                .collect();
            Teacher {
                network: Arc::from(learner.frozen_with(tensors)),
                values,
            }
        });
        Ok(())
    }

    /// The copy, and its tensors for snapshots once more.
    fn memory_bytes(&self) -> usize {
        let values = self.teacher.as_ref().map(|teacher| &teacher.values);
        values.map_or(0, |values| {
            (values.len() + values.capacity()) * size_of::<f32>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Plain;
    use crate::method::testing::{
        damaged_snapshots_are_refused, learner, stream_of, tasks, walk, walk_in,
    };

    fn lwf(lwf_weight: f64, lwf_temperature: f64, lwf_scaled: bool) -> Lwf {
        let config = LwfConfig {
            lwf_weight,
            lwf_temperature,
            lwf_scaled,
        };
        Lwf::new(config, Scenario::Task)
    }

    #[test]
    fn without_weight_it_is_plain() {
        let plain = walk(&mut Plain, 3, 4);
        let mut method = lwf(0.0, 2.0, false);
        assert_eq!(walk(&mut method, 3, 4), plain);
        assert_eq!(method.memory_bytes(), 0);
        let found = walk(&mut lwf(1.0, 2.0, false), 3, 4);
        assert_eq!(found.0[..4], plain.0[..4]);
        // The second task's first step is at the copy itself: nothing is lost there.
        for (a, b) in found.0[4].iter().zip(&plain.0[4]) {
            assert!((a - b).abs() < 1e-5);
        }
        assert_ne!(found.0[5..], plain.0[5..]);
    }

    /// T² and a weight of T² are the same.
    #[test]
    fn the_factor_is_the_square_of_the_temperature() {
        let scaled = walk(&mut lwf(0.5, 3.0, true), 2, 4);
        assert_eq!(scaled, walk(&mut lwf(4.5, 3.0, false), 2, 4));
    }

    /// One step of the third task, with a head that has moved away from the copy's: against differences of the formula in double
    /// precision for the head's biases, which enter the logits as they are.
    #[test]
    fn the_gradient_is_that_of_the_formula() {
        let (tasks, mut learner, t) = (tasks(), learner(), 2);
        let (weight, temperature) = (0.7, 2.0);
        let mut method = lwf(weight, temperature, false);
        method.begin_task(t, &tasks[..=t], &mut learner).unwrap();
        let batch = tasks[t].train.batch(&[0, 3, 5]);
        let mut logits = || {
            let logits = learner
                .forward(&batch, Mode::Evaluate, Wanted::All)
                .unwrap();
            let rows = logits
                .rows()
                .map(|row| row.iter().map(|z| f64::from(*z)).collect());
            rows.collect::<Vec<Vec<f64>>>()
        };
        let before = logits();
        let mut stir = |theta: &mut [f32]| {
            let moved = theta.iter_mut().enumerate();
            moved.for_each(|(i, x)| *x += 0.1 * (i as f32 * 0.7).sin());
            Ok(())
        };
        learner.update(&mut stir).unwrap();
        let mut logits = || {
            let logits = learner
                .forward(&batch, Mode::Evaluate, Wanted::All)
                .unwrap();
            let rows = logits
                .rows()
                .map(|row| row.iter().map(|z| f64::from(*z)).collect());
            rows.collect::<Vec<Vec<f64>>>()
        };
        let now = logits();
        let step = Step {
            tasks: &tasks[..=t],
            t,
            positions: &[0, 3, 5],
            batch: &batch,
            learning_rate: 0.1,
        };
        let mut gradient = Vec::new();
        method.gradient(&mut learner, &step, &mut gradient).unwrap();
        let softmax = |z: &[f64], set: &std::ops::Range<usize>, temperature: f64| -> Vec<f64> {
            let powers: Vec<f64> = set.clone().map(|c| (z[c] / temperature).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|p| p / sum).collect()
        };
        let formula = |bias: &dyn Fn(usize) -> f64| -> f64 {
            let mut loss = 0.0;
            for ((now, before), label) in now.iter().zip(&before).zip(&batch.labels) {
                let moved: Vec<f64> = now.iter().enumerate().map(|(c, z)| z + bias(c)).collect();
                loss -= softmax(&moved, &(4..6), 1.0)[label - 4].ln();
                for set in [0..2, 2..4] {
                    let old = softmax(before, &set, temperature);
                    let new = softmax(&moved, &set, temperature);
                    let pairs = old.iter().zip(&new);
                    loss -= weight * pairs.map(|(old, new)| old * new.ln()).sum::<f64>();
                }
            }
            loss / 3.0
        };
        let bias = learner.layout().slots().last().unwrap().range.clone();
        let mut old = 0.0;
        for class in 0..10 {
            let at = |h: f64| formula(&|c| if c == class { h } else { 0.0 });
            let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
            let found = f64::from(gradient[bias.start + class]);
            assert!((found - slope).abs() < 1e-5, "{class}: {found} {slope}");
            old += if class < 4 { found.abs() } else { 0.0 };
        }
        assert!(old > 1e-3, "{old}");
    }

    #[test]
    fn sets_of_old_classes_stand_once_and_compete_as_the_scenario_says() {
        let (tasks, known) = (tasks(), Scenario::Task);
        assert!(old_sets(known, &tasks, 0).is_empty());
        let expected = [Classes::from(0..2), (2..4).into(), (4..6).into()];
        assert_eq!(old_sets(known, &tasks, 3), expected);
        let again = [tasks[0].clone(), tasks[0].clone(), tasks[1].clone()];
        assert_eq!(old_sets(Scenario::Domain, &again, 2), [Classes::from(0..2)]);
        assert!(old_sets(Scenario::Class, &tasks, 0).is_empty());
        assert_eq!(old_sets(Scenario::Class, &tasks, 3), [Classes::from(0..6)]);
    }

    /// With one head the old classes' logits are kept near the copy's, though the new labels pull all the old ones down.
    #[test]
    fn in_class_incremental_learning_old_answers_are_kept() {
        let moved = |weight: f64| {
            let config = LwfConfig {
                lwf_weight: weight,
                lwf_temperature: 2.0,
                lwf_scaled: false,
            };
            let mut method = Lwf::new(config, Scenario::Class);
            let end =
                |method: &mut Lwf, tasks| walk_in(stream_of(Scenario::Class), method, tasks, 5).1;
            let (before, after) = (end(&mut method, 2), end(&mut method, 3));
            let batch = tasks()[2].train.batch(&[0, 1, 2, 3]);
            let logits = |theta: &[f32]| -> Vec<Vec<f32>> {
                let mut learner = learner();
                let mut put = |own: &mut [f32]| {
                    own.copy_from_slice(theta);
                    Ok(())
                };
                learner.update(&mut put).unwrap();
                let logits = learner
                    .forward(&batch, Mode::Evaluate, Wanted::All)
                    .unwrap();
                logits.rows().map(<[f32]>::to_vec).collect()
            };
            let (before, after) = (logits(&before), logits(&after));
            let sets = vec![Classes::from(0..4); batch.len()];
            let [before, after] = [&before, &after].map(|rows| rows.concat());
            let [before, after] = [&before, &after].map(|values| Logits::new(values, 10));
            let least = distillation(before, before, &sets, 2.0).unwrap().0;
            distillation(after, before, &sets, 2.0).unwrap().0 - least
        };
        let (without, with) = (moved(0.0), moved(10.0));
        assert!(with < 0.5 * without, "{with} {without}");
    }

    #[test]
    fn damaged_snapshots() {
        let mut method = lwf(1.0, 2.0, false);
        let end = walk(&mut method, 2, 3).1;
        assert_eq!(method.memory_bytes(), 8 * end.len());
        damaged_snapshots_are_refused(&method, &mut || Box::new(lwf(1.0, 2.0, false)));
    }
}
