//! `RanPAC`: random projections and pre-trained models (`McDonnell`, Gong, Parvaneh, Abbasnejad, van den Hengel; `NeurIPS`
//! 2023, arXiv 2307.02251).
//!
//! Features become `h = relu(x W)` with a random `W` that stays; the Gram matrix `G = Σ h hᵀ` and the classes' prototypes
//! `C = Σ h yᵀ` are summed over everything seen, and an example is judged by `h · (G + λ I)⁻¹ C` (equations 4 to 6). In one
//! pass, without a gradient.
//!
//! Readings:
//! 1. The first of the paper's two phases (adapting the pre-trained network to the first task) is left out: features are those
//!    that the network has.
//! 2. λ is that of the authors' code: the one of several powers of ten whose solution of four fifths of the present task's
//!    training data has the least squared error on the last fifth. Which examples those are is drawn by the run's seed; powers
//!    are every second one from −4 to 8, then the neighbours of the best (the authors try all from −8 to 8). A task that ends
//!    leaves its λ until the next one has data.
//! 3. 2,000 projections unless told otherwise, where the paper has 10,000: three matrices of that size squared are kept in
//!    double precision (96 MB; one with a λ of one's own).
//! 4. `G` is summed batch by batch, each batch in single precision. Batches of some hundred examples are faster by far.

use std::sync::{Arc, Mutex, PoisonError};

use super::cholesky::{factor, solve};
use super::closed_form::{Lift, Linear, LinearJudge, matrix, observe};
use super::{Method, MethodContext, MethodSpec, Passes, Step, TaskEnd, invalid};
use crate::kernels::Level;
use crate::kernels::dense::Dense;
use crate::model::{Classifier, Learner, LearnerError};
use crate::optim::{Layout, State};
use crate::seed::Seeds;
use crate::settings::{RealRange, SettingsSpec, WholeRange, fixed, typed};
use crate::stream::Task;

/// Share of a task's training data on which λ is judged.
const HELD_OUT: f64 = 0.2;
/// Powers of ten that are tried first.
const POWERS: [i32; 7] = [-4, -2, 0, 2, 4, 6, 8];

crate::settings! {
    /// `RanPAC`'s settings.
    pub struct RanpacConfig {
        /// Random projections of RanPAC.
        ranpac_projections: usize = fixed(2000), range WholeRange(1, 20_000);
        /// RanPAC's λ [default: the one of several powers of ten that is best on a fifth of each task's training data].
        ranpac_ridge: Option<f64> = fixed(None), range RealRange::POSITIVE;
    }
}

/// Random projections and pre-trained models.
pub(super) static RANPAC: MethodSpec = MethodSpec {
    name: "ranpac",
    paper_name: "RanPAC",
    description: "Ridge regression on random projections of features, in one pass and without gradients.",
    source: "McDonnell et al., NeurIPS 2023",
    settings: SettingsSpec::of::<RanpacConfig>("ranpac"),
    remembers_tasks: true,
    closed_form: true,
    weights: &[],
    passes: |_| Passes {
        first: 1.0 / 3.0,
        later: 1.0 / 3.0,
    },
    build: |own, context| Ok(Box::new(Ranpac::new(typed::<RanpacConfig>(own)?, context))),
};

/// `relu(x W)`.
#[derive(Debug)]
struct Projection {
    level: Level,
    inputs: usize,
    /// `[projections, inputs]`.
    weights: Vec<f32>,
    /// Zeros.
    bias: Vec<f32>,
}

impl Lift for Projection {
    fn lift(&self, features: Vec<f32>) -> Vec<f32> {
        let layer = Dense {
            batch: features.len() / self.inputs.max(1),
            inputs: self.inputs,
            outputs: self.bias.len(),
        };
        let mut out = vec![0.0; layer.batch * layer.outputs];
        layer.forward_relu(self.level, &features, &self.weights, &self.bias, &mut out);
        out
    }
}

/// What is summed over examples.
#[derive(Clone, Debug, PartialEq)]
struct Sums {
    /// `Σ h hᵀ`, `[projections, projections]`; empty where it is not needed.
    gram: Vec<f64>,
    /// `Σ h yᵀ`, `[classes, projections]`.
    prototypes: Vec<f64>,
    /// Examples of each class.
    counts: Vec<u64>,
}

impl Sums {
    fn new(size: usize, classes: usize) -> Self {
        Self {
            gram: vec![0.0; size * size],
            prototypes: vec![0.0; size * classes],
            counts: vec![0; classes],
        }
    }

    /// Takes examples in: `rows` `[batch, projections]`, a class each.
    fn add(&mut self, level: Level, rows: &[f32], classes: &[usize]) {
        let size = self.prototypes.len() / self.counts.len().max(1);
        if rows.is_empty() {
            return;
        }
        let layer = Dense {
            batch: rows.len() / size.max(1),
            inputs: size,
            outputs: size,
        };
        let (mut gram, mut sums) = (vec![0.0; size * size], vec![0.0; size]);
        layer.weight_gradient(level, rows, rows, &mut gram, &mut sums);
        add(&mut self.gram, &gram);
        for (row, &class) in rows.chunks_exact(size.max(1)).zip(classes) {
            let start = class * size;
            if let Some(prototype) = self.prototypes.get_mut(start..start + size) {
                add(prototype, row);
            }
            if let Some(count) = self.counts.get_mut(class) {
                *count += 1;
            }
        }
    }

    /// Takes another's sums over and leaves it without any.
    fn drain(&mut self, other: &mut Self) {
        let pairs = self.gram.iter_mut().zip(&mut other.gram);
        let pairs = pairs.chain(self.prototypes.iter_mut().zip(&mut other.prototypes));
        for (sum, more) in pairs {
            *sum += std::mem::take(more);
        }
        for (sum, more) in self.counts.iter_mut().zip(&mut other.counts) {
            *sum += std::mem::take(more);
        }
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// `(G + λ I)⁻¹ C` for the classes that were seen; `None` without a solution.
    fn solution(&self, ridge: f64) -> Option<Vec<(usize, Vec<f64>)>> {
        let size = self.prototypes.len() / self.counts.len().max(1);
        let mut gram = self.gram.clone();
        for i in 0..size {
            gram[i * size + i] += ridge;
        }
        if !factor(&mut gram, size) {
            return None;
        }
        let rows = self.prototypes.chunks_exact(size.max(1)).enumerate();
        let rows = rows.zip(&self.counts).filter(|(_, count)| **count > 0);
        let rows = rows.map(|((class, prototype), _)| {
            let mut weights = prototype.to_vec();
            solve(&gram, size, &mut weights);
            (class, weights)
        });
        Some(rows.collect())
    }

    /// Squared error of these weights on what was summed, less a constant: `Σ w·G w − 2 w·c`.
    fn error(&self, weights: &[(usize, Vec<f64>)]) -> f64 {
        let size = self.prototypes.len() / self.counts.len().max(1);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let of = weights.iter().map(|(class, weights)| {
            let rows = self.gram.chunks_exact(size.max(1)).zip(weights);
            let square: f64 = rows.map(|(row, w)| w * dot(row, weights)).sum();
            let prototype = self.prototypes.get(class * size..(class + 1) * size);
            square - 2.0 * dot(weights, prototype.unwrap_or_default())
        });
        of.sum()
    }

    fn bytes(&self) -> usize {
        (self.gram.capacity() + self.prototypes.capacity()) * size_of::<f64>()
            + self.counts.capacity() * size_of::<u64>()
    }

    fn put(&self, state: &mut State<'_>, name: &str) {
        state.put_sums(&format!("{name}.gram"), self.gram.clone());
        state.put_sums(&format!("{name}.prototypes"), self.prototypes.clone());
        state.put_list(&format!("{name}.counts"), self.counts.clone());
    }

    /// Those of a snapshot, of the same sizes.
    fn taken(&self, state: &mut State<'_>, name: &str) -> Result<Self, LearnerError> {
        let counts = state.take_list(&format!("{name}.counts"))?;
        if counts.len() != self.counts.len() {
            return Err(invalid(name));
        }
        let (gram, prototypes) = (format!("{name}.gram"), format!("{name}.prototypes"));
        Ok(Self {
            gram: matrix(state, &gram, self.gram.len())?,
            prototypes: matrix(state, &prototypes, self.prototypes.len())?,
            counts,
        })
    }
}

fn add(sums: &mut [f64], more: &[f32]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += f64::from(*more);
    }
}

/// The method.
pub struct Ranpac {
    seeds: Seeds,
    projection: Arc<Projection>,
    /// Of all earlier tasks, and of the present one where λ is given.
    all: Sums,
    /// Of the present task: what λ is solved with, and what it is judged on; `None` where λ is given.
    present: Option<[Sums; 2]>,
    /// λ at present; 0 before there is one.
    ridge: f64,
    /// Task, and which of its training examples are held out.
    held: Option<(usize, Vec<bool>)>,
    /// λ and the judge, once somebody has asked.
    solved: Mutex<Option<(f64, Option<Arc<Linear>>)>>,
}

impl Ranpac {
    /// Without examples.
    #[must_use]
    pub fn new(config: &RanpacConfig, context: &MethodContext) -> Self {
        let (size, inputs) = (config.ranpac_projections, context.features);
        let mut stream = context.seeds.stream("ranpac");
        let projection = Projection {
            level: Level::detect(),
            inputs,
            weights: (0..size * inputs).map(|_| stream.normal()).collect(),
            bias: vec![0.0; size],
        };
        let sums = || Sums::new(size, context.head_classes);
        Self {
            seeds: context.seeds,
            projection: Arc::new(projection),
            all: sums(),
            present: config.ranpac_ridge.is_none().then(|| [sums(), sums()]),
            ridge: config.ranpac_ridge.unwrap_or(0.0),
            held: None,
            solved: Mutex::new(None),
        }
    }

    /// The best of several λ on what is held out of the present task; what it was before where nothing is there to judge by.
    fn best_ridge(&self) -> f64 {
        let Some([fit, held]) = &self.present else {
            return self.ridge;
        };
        if fit.is_empty() || held.is_empty() {
            // A first task of a single example or two: any λ above 0 gives a judge.
            return if self.ridge > 0.0 { self.ridge } else { 1.0 };
        }
        let error = |power: i32| {
            let weights = fit.solution(10.0_f64.powi(power));
            let error = weights.map_or(f64::INFINITY, |weights| held.error(&weights));
            (power, error)
        };
        let least = |a: (i32, f64), b: (i32, f64)| if b.1 < a.1 { b } else { a };
        let none = (POWERS[POWERS.len() - 1], f64::INFINITY);
        let coarse = POWERS.into_iter().map(error).fold(none, least);
        let near = [coarse.0 - 1, coarse.0 + 1];
        let (power, _) = near.into_iter().map(error).fold(coarse, least);
        10.0_f64.powi(power)
    }

    /// λ and the judge of everything so far.
    fn solve(&self) -> (f64, Option<Arc<Linear>>) {
        let mut solved = self.solved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(solved) = &*solved {
            return solved.clone();
        }
        let ridge = self.best_ridge();
        let mut sums = self.all.clone();
        for part in self.present.iter().flatten() {
            sums.drain(&mut part.clone());
        }
        let linear = sums.solution(ridge).map(|rows| {
            let rows = rows.into_iter();
            Arc::new(Linear {
                rows: rows.map(|(class, weights)| (class, weights, 0.0)).collect(),
            })
        });
        solved.insert((ridge, linear)).clone()
    }

    /// Forgets the judge.
    fn changed(&mut self) {
        *self
            .solved
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Which of a task's so many training examples are held out.
    fn held_out(seeds: Seeds, t: usize, examples: usize) -> Vec<bool> {
        let held = (examples as f64 * HELD_OUT).round() as usize;
        let mut of: Vec<bool> = (0..examples).map(|i| i < held).collect();
        seeds.stream(&format!("ranpac/{t}")).shuffle(&mut of);
        of
    }

    /// Takes examples in: `rows` `[batch, projections]`, a class each, and whether each is held out.
    fn learn(&mut self, rows: &[f32], classes: &[usize], held: impl Iterator<Item = bool>) {
        self.changed();
        let level = self.projection.level;
        let Some(present) = &mut self.present else {
            return self.all.add(level, rows, classes);
        };
        let size = self.projection.bias.len().max(1);
        let mut parts = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
        for ((row, class), held) in rows.chunks_exact(size).zip(classes).zip(held) {
            let (rows, classes) = &mut parts[usize::from(held)];
            rows.extend_from_slice(row);
            classes.push(*class);
        }
        for (sums, (rows, classes)) in present.iter_mut().zip(parts) {
            sums.add(level, &rows, &classes);
        }
    }
}

impl Method for Ranpac {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let (loss, rows) = observe(learner, step, gradient)?;
        let rows = self.projection.lift(rows);
        let held = match self.held.take() {
            Some((t, held)) if t == step.t => held,
            _ => {
                let examples = step.tasks.get(step.t).map_or(0, |task| task.train.len());
                Self::held_out(self.seeds, step.t, examples)
            }
        };
        let of = |position: &usize| held.get(*position).copied().unwrap_or(false);
        self.learn(&rows, &step.batch.labels, step.positions.iter().map(of));
        self.held = Some((step.t, held));
        Ok(loss)
    }

    fn end_task(
        &mut self,
        _end: &TaskEnd<'_>,
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        (self.ridge, _) = self.solve();
        // The sums are the same, wherever they stand, and so is the judge.
        for part in self.present.iter_mut().flatten() {
            self.all.drain(part);
        }
        Ok(())
    }

    fn classifier(&self, learner: &dyn Learner) -> Box<dyn Classifier> {
        let (_, linear) = self.solve();
        Box::new(LinearJudge {
            network: learner.frozen(),
            lift: Some(Arc::clone(&self.projection) as Arc<dyn Lift>),
            linear,
        })
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("ranpac");
        self.all.put(&mut state, "all");
        for (name, part) in ["fit", "held"].iter().zip(self.present.iter().flatten()) {
            part.put(&mut state, name);
        }
        state.put_sums("ridge", vec![self.ridge]);
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("ranpac")?;
        let all = self.all.taken(&mut state, "all")?;
        let present = match &self.present {
            Some([fit, held]) => Some([
                fit.taken(&mut state, "fit")?,
                held.taken(&mut state, "held")?,
            ]),
            None => None,
        };
        let ridge = matrix(&mut state, "ridge", 1)?;
        let ridge = ridge.first().copied().filter(|ridge| *ridge >= 0.0);
        self.ridge = ridge.ok_or_else(|| invalid("ridge"))?;
        (self.all, self.present, self.held) = (all, present, None);
        self.changed();
        Ok(())
    }

    fn growing_bytes(&self, _layout: &Layout, _tasks: usize) -> u64 {
        2 * self.memory_bytes() as u64
    }

    fn memory_bytes(&self) -> usize {
        let parts = self.present.iter().flatten().map(Sums::bytes);
        let weights = self.projection.weights.capacity() + self.projection.bias.capacity();
        self.all.bytes() + parts.sum::<usize>() + weights * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{closed_form_context, damaged_snapshots_are_refused, walk};
    use super::*;
    use proptest::prelude::*;

    fn fresh(ranpac_ridge: Option<f64>) -> Ranpac {
        let config = RanpacConfig {
            ranpac_projections: 12,
            ranpac_ridge,
        };
        Ranpac::new(&config, &closed_form_context())
    }

    #[test]
    fn snapshots_go_back_and_damaged_ones_are_refused() {
        for ridge in [None, Some(3.0)] {
            let mut ranpac = fresh(ridge);
            let (gradients, _) = walk(&mut ranpac, 2, 3);
            assert!(gradients.iter().flatten().all(|g| *g == 0.0));
            assert_eq!(ranpac.all.counts.iter().sum::<u64>(), 24);
            assert!(ranpac.ridge > 0.0);
            damaged_snapshots_are_refused(&ranpac, &mut || Box::new(fresh(ridge)));
        }
    }

    #[test]
    fn a_fifth_is_held_out() {
        let held = Ranpac::held_out(Seeds::new(1), 0, 100);
        assert_eq!(held.iter().filter(|held| **held).count(), 20);
        assert_ne!(held, Ranpac::held_out(Seeds::new(1), 1, 100));
    }

    /// Of data that a line explains, a small λ is best; of noise a large one.
    #[test]
    fn the_ridge_is_small_for_what_can_be_learned_and_large_for_noise() {
        let of = |learnable: bool| {
            let mut ranpac = fresh(None);
            let mut stream = Seeds::new(1).stream("data");
            for _ in 0..40 {
                let rows: Vec<f32> = (0..12 * 10).map(|_| stream.normal()).collect();
                let classes: Vec<usize> = rows
                    .chunks_exact(12)
                    .map(|row| {
                        if learnable {
                            usize::from(row[0] > 0.0)
                        } else {
                            stream.below(2) as usize
                        }
                    })
                    .collect();
                ranpac.learn(&rows, &classes, (0..10).map(|i| i % 5 == 4));
            }
            ranpac.best_ridge()
        };
        let (small, large) = (of(true), of(false));
        assert!(small <= 100.0 && large >= 1000.0, "{small} {large}");
    }

    proptest! {
        /// Sums are those of the definition whatever the order and the batches, and the weights solve the system.
        #[test]
        fn sums_do_not_depend_on_the_order(
            rows in prop::collection::vec((0_usize..3, prop::collection::vec(0.0_f32..4.0, 12)), 1..40),
            batch in 1_usize..9,
            seed: u64,
        ) {
            let of = |rows: &[(usize, Vec<f32>)]| {
                let mut ranpac = fresh(Some(0.5));
                for part in rows.chunks(batch) {
                    let values: Vec<f32> = part.iter().flat_map(|(_, row)| row.clone()).collect();
                    let classes: Vec<usize> = part.iter().map(|(class, _)| *class).collect();
                    ranpac.learn(&values, &classes, std::iter::repeat(false));
                }
                ranpac.all
            };
            let mut turned = rows.clone();
            crate::seed::Seeds::new(seed).stream("order").shuffle(&mut turned);
            let (one, other) = (of(&rows), of(&turned));
            prop_assert_eq!(&one.counts, &other.counts);
            for i in 0..12 {
                for j in 0..12 {
                    let exact: f64 = rows.iter().map(|(_, row)| f64::from(row[i]) * f64::from(row[j])).sum();
                    for found in [&one, &other] {
                        prop_assert!((found.gram[12 * i + j] - exact).abs() < 1e-5 * (1.0 + exact));
                    }
                }
            }
            // The lower triangle counts: single precision may round the same sum otherwise above the diagonal.
            let gram = |i: usize, j: usize| one.gram[12 * i.max(j) + i.min(j)];
            for (class, weights) in one.solution(0.5).unwrap() {
                for i in 0..12 {
                    let left: f64 = (0..12).map(|j| gram(i, j) * weights[j]).sum();
                    let right = one.prototypes[12 * class + i];
                    prop_assert!((left + 0.5 * weights[i] - right).abs() < 1e-7 * (1.0 + right.abs()));
                }
            }
        }
    }
}
