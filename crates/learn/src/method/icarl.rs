//! iCaRL: incremental classifier and representation learning (Rebuffi, Kolesnikov, Sperl, Lampert; CVPR 2017).
//!
//! Learns a representation with a loss of its own for every class: new classes from labels, old ones from what the network
//! said before the task (algorithm 3 of that paper); remembers for every class the examples whose mean is nearest to the
//! class's mean (herding, algorithm 4); and judges an image by the nearest mean of a class's remembered features (algorithm 1).
//!
//! Readings:
//! 1. A step takes a batch of the task and one of the memory together, where the paper trains on the union of both.
//! 2. Binary cross-entropy of sigmoids, a mean over examples and competing classes.
//! 3. Means are taken when a task ends; while one is learned, images are judged by the head.
//! 4. Every class has `memory_total` over the classes so far many examples, in whole numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::buffer::{Draws, Slot, choose, from_list, gather, to_list};
use super::{Method, MethodContext, MethodSpec, Passes, Step, TaskEnd, invalid, list};
use crate::model::{Classifier, Learner, LearnerError, Mode, Wanted, binary_cross_entropy};
use crate::optim::State;
use crate::settings::{SettingError, SettingsSpec, typed};
use crate::stream::{Batch, Scenario, Task};

/// Images whose features are computed at once.
const BATCH: usize = 256;
/// The score of a class without a mean: far below that of any with one.
const FAR: f32 = -1e6;

crate::settings! {
    /// iCaRL's settings.
    pub struct IcarlConfig {
        /// Examples that the memory holds in all.
        memory_total: usize as super::buffer::MEMORY_TOTAL_OF_ALL;
    }
}

/// iCaRL.
pub(super) static ICARL: MethodSpec = MethodSpec {
    name: "icarl",
    paper_name: "iCaRL",
    description: "Distilled sigmoids, herded examples, and the nearest mean of a class's features as the judge.",
    source: "Rebuffi et al., CVPR 2017",
    settings: SettingsSpec::of::<IcarlConfig>("icarl"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    passes: |_| Passes {
        first: 1.0,
        later: 2.0 + 2.0 / 3.0,
    },
    build: |own, context| {
        let own = typed::<IcarlConfig>(own)?.clone();
        Ok(Box::new(Icarl::new(&own, context)?))
    },
};

/// The method.
pub struct Icarl {
    total: usize,
    batch_size: usize,
    draws: Draws,
    /// The remembered examples of every class of the head, the most typical first.
    exemplars: BTreeMap<usize, Vec<Slot>>,
    /// The network before the present task: its tensors, and itself.
    old: Option<Old>,
    /// Means of the classes' features, of length one; none while a task is learned.
    means: Option<Arc<Means>>,
}

/// Tensors of a network, and the network.
type Old = (Vec<Vec<f32>>, Box<dyn Classifier>);

/// By class of the head.
type Means = BTreeMap<usize, Vec<f32>>;

impl Icarl {
    /// iCaRL on a stream.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] where tasks share classes, or for a memory smaller than the classes.
    pub fn new(config: &IcarlConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let classes = context.all_classes;
        if context.scenario == Scenario::Domain {
            return Err(SettingError::Conflict {
                key: "method",
                problem: "icarl learns new classes, and with scenario = domain every task has the same; choose another \
                          method or scenario"
                    .to_string(),
            });
        }
        if config.memory_total < classes {
            return Err(SettingError::Conflict {
                key: "memory_total",
                problem: format!(
                    "{} examples are less than one for each of the {classes} classes; use at least {classes}",
                    config.memory_total
                ),
            });
        }
        Ok(Self {
            total: config.memory_total,
            batch_size: context.batch_size,
            draws: Draws::new(context.seeds, 0),
            exemplars: BTreeMap::new(),
            old: None,
            means: None,
        })
    }

    fn slots(&self) -> Vec<Slot> {
        self.exemplars.values().flatten().copied().collect()
    }

    /// For each example and competing class, what its sigmoid is to be.
    fn targets(&self, batch: &Batch, old_classes: usize) -> Result<Vec<Vec<f32>>, LearnerError> {
        let scores = match &self.old {
            Some((_, network)) => {
                let wanted = Wanted::Competing;
                (network.scores(batch, wanted)?, network.classes())
            }
            None => (Vec::new(), 0),
        };
        let rows = batch.labels.iter().zip(&batch.competing).enumerate();
        let target = |(i, (label, classes)): (usize, (&usize, &crate::stream::Classes))| {
            let of_class = |class: usize| {
                let old = scores.0.get(i * scores.1 + class);
                match old.filter(|_| class < old_classes) {
                    Some(logit) => 1.0 / (1.0 + (-logit).exp()),
                    None => f32::from(u8::from(class == *label)),
                }
            };
            classes.iter().map(of_class).collect()
        };
        Ok(rows.map(target).collect())
    }

    /// Chooses the examples of a task's classes, cuts those of earlier ones, and takes all means anew.
    fn herd(&mut self, end: &TaskEnd<'_>, learner: &dyn Learner) -> Result<(), LearnerError> {
        let Some(task) = end.tasks.get(end.t) else {
            return Ok(());
        };
        let network = learner.frozen();
        let labels: Vec<usize> = task.train.labels().collect();
        let classes = self.exemplars.len() + task.train.classes().len();
        let each = self.total / classes.max(1);
        for slots in self.exemplars.values_mut() {
            slots.truncate(each);
        }
        for class in task.train.classes() {
            let own: Vec<usize> = (0..labels.len())
                .filter(|i| labels.get(*i) == Some(&class))
                .collect();
            let mut features = Vec::with_capacity(own.len());
            for positions in own.chunks(BATCH) {
                features.extend(unit_rows(&*network, &task.train.batch(positions))?);
            }
            let chosen = nearest_to_the_mean(&features, each);
            let slots = chosen.iter().filter_map(|i| own.get(*i));
            let slots = slots.map(|position| Slot::new(end.t, *position)).collect();
            self.exemplars.insert(class, slots);
        }
        let mut means = Means::new();
        for (class, slots) in &self.exemplars {
            if let Some(batch) = gather(end.tasks, slots) {
                means.insert(*class, mean(&unit_rows(&*network, &batch)?));
            }
        }
        self.means = Some(Arc::new(means));
        Ok(())
    }
}

/// Features of a batch, each of length one.
fn unit_rows(network: &dyn Classifier, batch: &Batch) -> Result<Vec<Vec<f32>>, LearnerError> {
    let features = network.features(batch)?;
    let width = features.len() / batch.len().max(1);
    let rows = features.chunks_exact(width.max(1));
    Ok(rows.map(|row| unit(row.to_vec())).collect())
}

fn unit(mut row: Vec<f32>) -> Vec<f32> {
    let norm = super::dot(&row, &row).sqrt() as f32;
    if norm > 0.0 {
        for x in &mut row {
            *x /= norm;
        }
    }
    row
}

/// The mean of rows of one length, made of length one.
fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        super::add(&mut sum, 1.0, row);
    }
    unit(sum)
}

/// Herding: rows in the order in which the mean of the chosen comes nearest to the mean of all, up to `count` of them.
fn nearest_to_the_mean(rows: &[Vec<f32>], count: usize) -> Vec<usize> {
    let mut all = vec![0.0_f64; rows.first().map_or(0, Vec::len)];
    for row in rows {
        let pairs = all.iter_mut().zip(row);
        pairs.for_each(|(sum, x)| *sum += f64::from(*x) / rows.len() as f64);
    }
    let (mut sum, mut chosen) = (vec![0.0_f64; all.len()], Vec::new());
    while chosen.len() < count.min(rows.len()) {
        let n = (chosen.len() + 1) as f64;
        let distance = |row: &[f32]| -> f64 {
            let terms = all.iter().zip(&sum).zip(row);
            terms
                .map(|((mean, sum), x)| (mean - (sum + f64::from(*x)) / n).powi(2))
                .sum()
        };
        let left = (0..rows.len()).filter(|i| !chosen.contains(i));
        let scored = left.filter_map(|i| Some((i, distance(rows.get(i)?))));
        let Some((best, _)) = scored.min_by(|a, b| a.1.total_cmp(&b.1)) else {
            break;
        };
        if let Some(row) = rows.get(best) {
            let pairs = sum.iter_mut().zip(row);
            pairs.for_each(|(sum, x)| *sum += f64::from(*x));
        }
        chosen.push(best);
    }
    chosen
}

/// Judges by the nearest mean.
struct NearestMean {
    network: Box<dyn Classifier>,
    means: Arc<Means>,
}

impl Classifier for NearestMean {
    /// Minus the squared distance of a class's mean to the image's features, both of length one.
    fn scores(&self, batch: &Batch, _wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        let classes = self.classes();
        let mut scores = vec![FAR; batch.len() * classes];
        let rows = unit_rows(&*self.network, batch)?;
        for (row, scores) in rows.iter().zip(scores.chunks_exact_mut(classes.max(1))) {
            for (class, mean) in &*self.means {
                if let Some(score) = scores.get_mut(*class) {
                    let pairs = mean.iter().zip(row);
                    *score = -pairs.map(|(m, x)| (m - x).powi(2)).sum::<f32>();
                }
            }
        }
        Ok(scores)
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        self.network.features(batch)
    }

    fn classes(&self) -> usize {
        self.network.classes()
    }

    fn has_threads(&self) -> bool {
        self.network.has_threads()
    }
}

impl Method for Icarl {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.draws.begin_task(t);
        if t > 0 {
            self.old = Some((learner.values(), learner.frozen()));
        }
        self.means = None;
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let chosen = choose(self.slots(), self.batch_size, &mut self.draws.replay);
        let mut batch = step.batch.clone();
        if let Some(remembered) = gather(step.tasks, &chosen) {
            self.draws.replayed += remembered.len();
            batch.append(remembered);
        }
        let present = step.tasks.get(step.t);
        let old_classes = present.map_or(0, |task| task.train.classes().start);
        let targets = self.targets(&batch, old_classes)?;
        let targets: Vec<&[f32]> = targets.iter().map(Vec::as_slice).collect();
        let logits = learner.forward(&batch, Mode::Train, Wanted::Competing)?;
        let (loss, d_logits) = binary_cross_entropy(logits, &targets, &batch.competing)?;
        learner.backward(&d_logits, gradient)?;
        Ok(loss)
    }

    fn end_task(
        &mut self,
        end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.herd(end, learner)
    }

    fn classifier(&self, learner: &dyn Learner) -> Box<dyn Classifier> {
        let network = learner.frozen();
        match &self.means {
            Some(means) => Box::new(NearestMean {
                network,
                means: Arc::clone(means),
            }),
            None => network,
        }
    }

    fn state(&self) -> State<'_> {
        let mut state = self.draws.with_state(State::new("icarl"));
        let counts = self.exemplars.iter();
        let counts = counts.flat_map(|(class, slots)| [*class as u64, slots.len() as u64]);
        state.put_list("classes", counts.collect());
        state.put_list("memory", to_list(&self.slots()));
        let old: &[Vec<f32>] = self.old.as_ref().map_or(&[], |(values, _)| values);
        let means = self.means.iter().flat_map(|means| means.iter());
        let (with_mean, values): (Vec<u64>, Vec<&[f32]>) = means
            .map(|(class, mean)| (*class as u64, mean.as_slice()))
            .unzip();
        let width = values.first().map_or(0, |mean| mean.len()) as u64;
        state.put_list(
            "means",
            [vec![u64::from(self.means.is_some()), width], with_mean].concat(),
        );
        state.put("mean_values", values.concat());
        state.put_list("old", vec![old.len() as u64]);
        for (i, values) in old.iter().enumerate() {
            state.put(&format!("old.{i}"), values.as_slice());
        }
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("icarl")?;
        let draws = self.draws.restored(&mut state)?;
        let exemplars = exemplars(&mut state, tasks)?;
        let means = means(&mut state, learner.frozen().classes())?;
        let tensors = learner.tensors();
        let [count] = list(&mut state, "old")?;
        let mut old = Vec::new();
        if count != 0 {
            if count != tensors.len() as u64 {
                return Err(invalid("old"));
            }
            for (i, tensor) in tensors.iter().enumerate() {
                old.push(state.take(&format!("old.{i}"), tensor.values.len())?);
            }
        }
        self.old = (count != 0).then(|| {
            let network = learner.frozen_with(old.clone());
            (old, network)
        });
        (self.draws, self.exemplars, self.means) = (draws, exemplars, means);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let slots: usize = self.exemplars.values().map(Vec::capacity).sum();
        let old = self.old.iter().flat_map(|(values, _)| values);
        let old: usize = old.map(Vec::capacity).sum();
        slots * size_of::<Slot>() + old * size_of::<f32>()
    }

    fn replayed_samples(&self) -> usize {
        self.draws.replayed
    }
}

/// The remembered examples of a snapshot.
fn exemplars(
    state: &mut State<'_>,
    tasks: &[Task],
) -> Result<BTreeMap<usize, Vec<Slot>>, LearnerError> {
    let counts = state.take_list("classes")?;
    let slots = from_list(&state.take_list("memory")?, tasks);
    let mut rest = slots.ok_or_else(|| invalid("memory"))?.into_iter();
    let (pairs, odd) = counts.as_chunks::<2>();
    let mut all = BTreeMap::new();
    for &[class, count] in pairs {
        let numbers = usize::try_from(class).ok().zip(usize::try_from(count).ok());
        let (class, count) = numbers.ok_or_else(|| invalid("classes"))?;
        let mut known = tasks.iter().map(|task| task.train.classes());
        let own: Vec<Slot> = rest.by_ref().take(count).collect();
        if own.len() != count || !known.any(|classes| classes.contains(&class)) {
            return Err(invalid("classes"));
        }
        all.insert(class, own);
    }
    if rest.next().is_some() || !odd.is_empty() {
        return Err(invalid("classes"));
    }
    Ok(all)
}

/// The means of a snapshot, for a head of so many classes.
fn means(state: &mut State<'_>, head: usize) -> Result<Option<Arc<Means>>, LearnerError> {
    let numbers = state.take_list("means")?;
    let Some((&[there, width], classes)) = numbers.split_first_chunk::<2>() else {
        return Err(invalid("means"));
    };
    let width = usize::try_from(width).map_err(|_| invalid("means"))?;
    let length = width
        .checked_mul(classes.len())
        .ok_or_else(|| invalid("means"))?;
    let values = state.take("mean_values", length)?;
    if there > 1 || classes.iter().any(|class| *class >= head as u64) {
        return Err(invalid("means"));
    }
    let rows = values.chunks_exact(width.max(1)).map(<[f32]>::to_vec);
    let classes = classes.iter().map(|class| *class as usize);
    Ok((there == 1).then(|| Arc::new(classes.zip(rows).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The chosen are different rows, and the first is the one nearest to the mean.
        #[test]
        fn herding_begins_with_the_nearest(rows in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 3), 1..20), count in 1_usize..9) {
            let chosen = nearest_to_the_mean(&rows, count);
            prop_assert_eq!(chosen.len(), count.min(rows.len()));
            let mut sorted = chosen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), chosen.len());
            let mean: Vec<f32> = (0..3).map(|j| rows.iter().map(|row| row[j]).sum::<f32>() / rows.len() as f32).collect();
            let distance = |row: &[f32]| row.iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).sum::<f32>();
            let least = rows.iter().map(|row| distance(row)).fold(f32::INFINITY, f32::min);
            prop_assert!(distance(&rows[chosen[0]]) <= least + 1e-5);
        }
    }

    #[test]
    fn means_have_length_one() {
        let of = mean(&[vec![3.0, 0.0], vec![0.0, 4.0]]);
        assert!((super::super::dot(&of, &of) - 1.0).abs() < 1e-6);
        assert_eq!(mean(&[vec![0.0, 0.0]]), [0.0, 0.0]);
    }
}
