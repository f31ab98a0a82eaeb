//! The subspaces in which earlier tasks' inputs of every layer lie, and gradients without their part in them: what GPM and SGP
//! share.
//!
//! Owns a basis a layer, how it grows at the end of a task, and the projection. A layer's gradient is `[outputs, width]`; a step
//! along a gradient whose rows are orthogonal to an input leaves the layer's answer to that input as it is. How much of each
//! direction is taken out is the method's own matter: all of it (GPM), or a share by importance (SGP).

use std::ops::Range;

use super::basis::Basis;
use super::eigen::{add, dot, symmetric};
use super::fisher::drawn;
use super::{TaskEnd, invalid};
use crate::kernels::Level;
use crate::kernels::dense::Dense;
use crate::model::{LayerInputs, Learner, LearnerError};
use crate::optim::{Layout, State};
use crate::seed::Seeds;
use crate::settings::{RealRange, Setting, Stored, WholeRange, fixed};
use crate::stream::{Scenario, Task};

/// Number of examples of a task whose inputs are looked at.
pub(super) static GPM_SAMPLES: Setting<usize> = Setting {
    key: "gpm_samples",
    doc: "Training examples of a task that GPM and SGP take the layers' inputs of (all, if it has fewer).",
    range: WholeRange::FROM_ONE,
    default: fixed(125),
    only: None,
    stored: Stored::Plain,
};

/// Share of the inputs' energy that the subspace holds after the first task.
pub(super) static GPM_THRESHOLD: Setting<f64> = Setting {
    key: "gpm_threshold",
    doc: "Share of the energy of a layer's inputs that the subspace holds after the first task.",
    range: RealRange::SHARE,
    default: fixed(0.97),
    only: None,
    stored: Stored::Plain,
};

/// By how much that share grows from task to task.
pub(super) static GPM_STEP: Setting<f64> = Setting {
    key: "gpm_step",
    doc: "By how much gpm_threshold grows with every further task, to 1 at most.",
    range: RealRange::FROM_ZERO,
    default: fixed(0.003),
    only: None,
    stored: Stored::Plain,
};

/// Rows of a layer that are looked at: a convolution has many an image.
const ROWS: usize = 4096;
/// Images that pass through the network at a time.
const CHUNK: usize = 25;
/// A direction of less than this share of the energy is rounding.
const NEGLIGIBLE: f64 = 1e-10;

/// Of what the subspaces are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Examples of a task, all if it has fewer.
    pub(super) samples: usize,
    /// Share of the energy after the first task.
    pub(super) threshold: f64,
    /// Its growth from task to task.
    pub(super) step: f64,
    /// SGP's α; GPM takes all of a direction out.
    pub(super) scale: Option<f64>,
    /// Whether tasks have heads of their own.
    pub(super) scenario: Scenario,
    /// Of the run.
    pub(super) seeds: Seeds,
}

/// One layer's subspace.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    weight: String,
    range: Range<usize>,
    basis: Basis,
    /// How much of each vector is taken out, from 0 to 1.
    importance: Vec<f32>,
    /// `Σ importance · v vᵀ` over the basis: `[width, width]`.
    projection: Vec<f32>,
}

/// The subspaces of all layers; none before the first task's end.
#[derive(Clone, Debug)]
pub(super) struct Subspaces {
    rule: Rule,
    layers: Vec<Layer>,
    /// Biases and norms, which stay as the first task left them.
    fixed: Vec<Range<usize>>,
}

/// The squares of singular values and the directions in the space of rows that go with them, the largest first.
struct Spectrum(Vec<(f64, Vec<f64>)>);

impl Spectrum {
    /// Of `[rows, width]`, by the eigenvectors of the smaller of the two products of the matrix with itself. Those below a share of
    /// `energy` are left out. `None` where a value is not finite, or the decomposition finds no end.
    fn of(rows: &[Vec<f64>], width: usize, energy: f64) -> Option<Self> {
        if rows.is_empty() || width == 0 {
            return Some(Self(Vec::new()));
        }
        if !energy.is_finite() {
            return None;
        }
        let by_rows = rows.len() < width;
        let found = symmetric(if by_rows {
            products_of_rows(rows)
        } else {
            products_of_columns(rows, width)
        })?;
        let found = found
            .into_iter()
            .filter(|(value, _)| *value > NEGLIGIBLE * energy);
        if !by_rows {
            return Some(Self(found.collect()));
        }
        let direction = |vector: Vec<f64>| {
            let mut sum = vec![0.0; width];
            for (row, x) in rows.iter().zip(vector) {
                add(&mut sum, x, row);
            }
            sum
        };
        let found = found.map(|(value, vector)| (value, direction(vector)));
        Some(Self(found.collect()))
    }
}

/// `R Rᵀ`.
fn products_of_rows(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let products = |row: &Vec<f64>| rows.iter().map(|other| dot(row, other)).collect();
    rows.iter().map(products).collect()
}

/// `Rᵀ R`.
fn products_of_columns(rows: &[Vec<f64>], width: usize) -> Vec<Vec<f64>> {
    let mut square = vec![vec![0.0; width]; width];
    for row in rows {
        for (own, x) in square.iter_mut().zip(row) {
            add(own, *x, row);
        }
    }
    square
}

fn energy(rows: &[Vec<f64>]) -> f64 {
    rows.iter().flatten().map(|x| x * x).sum()
}

/// SGP's importance of directions with these singular values.
fn importance(singular: &[f64], scale: f64) -> Vec<f64> {
    let most = singular.iter().fold(0.0, |most: f64, s| most.max(*s));
    let one = |s: &f64| {
        if most > 0.0 {
            (scale + 1.0) * s / (scale * s + most)
        } else {
            0.0
        }
    };
    singular.iter().map(one).collect()
}

impl Layer {
    /// Extends the basis until it holds this share of the energy of the inputs, and weighs its vectors anew.
    ///
    /// # Shapes
    /// - `inputs`: `[rows, width]`
    ///
    /// # Errors
    /// [`LearnerError::NoSpectrum`] for inputs that are not finite.
    fn learn(
        &mut self,
        inputs: &[f32],
        threshold: f64,
        scale: Option<f64>,
    ) -> Result<(), LearnerError> {
        let width = self.basis.len();
        let mut rows: Vec<Vec<f64>> = inputs
            .chunks_exact(width.max(1))
            .map(|row| row.iter().map(|x| f64::from(*x)).collect())
            .collect();
        let all = energy(&rows);
        let old = self.basis.count();
        // What the inputs have along the old vectors stands for their singular values.
        let mut along = vec![0.0; old];
        for row in &rows {
            for (sum, product) in along.iter_mut().zip(self.basis.products(row)) {
                *sum += product * product;
            }
        }
        let mut singular: Vec<f64> = along.iter().map(|square: &f64| square.sqrt()).collect();
        for row in &mut rows {
            self.basis.reduce(row);
        }
        let mut held = all - energy(&rows);
        let spectrum = Spectrum::of(&rows, width, all).ok_or_else(|| LearnerError::NoSpectrum {
            weight: self.weight.clone(),
        })?;
        for (square, direction) in spectrum.0 {
            if held >= threshold * all {
                break;
            }
            held += square;
            if self.basis.extend(direction) {
                singular.push(square.sqrt());
            }
        }
        self.basis.shrink();
        self.weigh(&singular, scale);
        self.project();
        Ok(())
    }

    /// The importance of all vectors, whose singular values these are; what an old one had before is added to it.
    fn weigh(&mut self, singular: &[f64], scale: Option<f64>) {
        let Some(scale) = scale else {
            self.importance = vec![1.0; singular.len()];
            return;
        };
        let before = std::mem::take(&mut self.importance).into_iter();
        let before = before.map(f64::from).chain(std::iter::repeat(0.0));
        let sums = importance(singular, scale).into_iter().zip(before);
        self.importance = sums
            .map(|(new, old)| (new + old).clamp(0.0, 1.0) as f32)
            .collect();
    }

    /// Computes the projection.
    fn project(&mut self) {
        let width = self.basis.len();
        self.projection = vec![0.0; width * width];
        let mut sums = vec![0.0; width];
        for row in 0..width {
            sums.fill(0.0);
            for (vector, importance) in self.basis.vectors().zip(&self.importance) {
                let factor = f64::from(vector.get(row).copied().unwrap_or(0.0));
                let factor = factor * f64::from(*importance);
                for (sum, x) in sums.iter_mut().zip(vector) {
                    *sum += factor * f64::from(*x);
                }
            }
            let own = self.projection.chunks_exact_mut(width).nth(row);
            for (x, sum) in own.unwrap_or_default().iter_mut().zip(&sums) {
                *x = *sum as f32;
            }
        }
    }

    /// Takes the part in the subspace out of the layer's gradient: `[outputs, width]`.
    fn remove_from(&self, gradient: &mut [f32]) {
        let width = self.basis.len();
        if self.basis.count() == 0 {
            return;
        }
        let product = Dense {
            batch: gradient.len() / width.max(1),
            inputs: width,
            outputs: width,
        };
        let mut inside = vec![0.0; gradient.len()];
        product.input_gradient(Level::detect(), gradient, &self.projection, &mut inside);
        for (g, inside) in gradient.iter_mut().zip(inside) {
            *g -= inside;
        }
    }
}

/// The layers and the other tensors of a network: where tasks have heads of their own, all but the head.
fn parts(layout: &Layout, scenario: Scenario) -> (Vec<Layer>, Vec<Range<usize>>) {
    let slots = layout.slots();
    let is_weight = |shape: &[usize]| shape.len() > 1;
    let head = slots.iter().rposition(|slot| is_weight(&slot.shape));
    let end = match head {
        Some(head) if scenario.knows_tasks() => head,
        _ => slots.len(),
    };
    let (mut layers, mut others) = (Vec::new(), Vec::new());
    for slot in slots.iter().take(end) {
        if is_weight(&slot.shape) {
            layers.push(Layer {
                weight: slot.name.clone(),
                range: slot.range.clone(),
                basis: Basis::new(slot.shape.iter().skip(1).product()),
                importance: Vec::new(),
                projection: Vec::new(),
            });
        } else {
            others.push(slot.range.clone());
        }
    }
    (layers, others)
}

/// The inputs of every layer over a sample of the task's examples, chunk after chunk.
fn inputs(
    rule: &Rule,
    (t, task): (usize, &Task),
    learner: &dyn Learner,
) -> Result<Vec<LayerInputs>, LearnerError> {
    let sample = drawn(rule.seeds, &format!("gpm/{t}"), rule.samples, task);
    let mut all: Vec<LayerInputs> = Vec::new();
    for positions in sample.chunks(CHUNK) {
        let share = (ROWS * positions.len()).div_ceil(sample.len());
        let some = learner.layer_inputs(&task.train.batch(positions), share)?;
        if all.is_empty() {
            all = some;
            continue;
        }
        for (all, some) in all.iter_mut().zip(some) {
            all.values.extend(some.values);
        }
    }
    Ok(all)
}

impl Subspaces {
    /// None yet.
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            layers: Vec::new(),
            fixed: Vec::new(),
        }
    }

    /// Takes out of a gradient what would change the layers' answers to earlier tasks' inputs.
    pub(super) fn remove_from(&self, gradient: &mut [f32]) {
        for layer in &self.layers {
            if let Some(own) = gradient.get_mut(layer.range.clone()) {
                layer.remove_from(own);
            }
        }
        for range in &self.fixed {
            gradient
                .get_mut(range.clone())
                .unwrap_or_default()
                .fill(0.0);
        }
    }

    /// A task ends: what its inputs have that the subspaces do not hold is added to them; nothing after the last task.
    pub(super) fn end_task(
        &mut self,
        end: &TaskEnd<'_>,
        learner: &dyn Learner,
    ) -> Result<(), LearnerError> {
        let (Some(task), Some(_)) = (end.tasks.get(end.t), &end.next_classes) else {
            return Ok(());
        };
        let (mut layers, others) = parts(learner.layout(), self.rule.scenario);
        if !self.layers.is_empty() {
            layers.clone_from(&self.layers);
        }
        let inputs = inputs(&self.rule, (end.t, task), learner)?;
        let threshold = (self.rule.threshold + self.rule.step * end.t as f64).min(1.0);
        for layer in &mut layers {
            let seen = inputs.iter().find(|seen| seen.weight == layer.weight);
            let seen = seen.filter(|seen| seen.width == layer.basis.len());
            let seen = seen.ok_or_else(|| LearnerError::NoInputs {
                weight: layer.weight.clone(),
            })?;
            layer.learn(&seen.values, threshold, self.rule.scale)?;
        }
        (self.layers, self.fixed) = (layers, others);
        Ok(())
    }

    /// A snapshot with the subspaces in it.
    pub(super) fn state(&self, kind: &str) -> State<'_> {
        let layers = || self.layers.iter();
        let mut state = State::new(kind);
        let counts = layers().map(|layer| layer.basis.count() as u64);
        state.put_list("vectors", counts.collect());
        let values: Vec<&[f32]> = layers().map(|layer| layer.basis.values()).collect();
        state.put("basis", values.concat());
        let importance: Vec<&[f32]> = layers().map(|layer| &*layer.importance).collect();
        state.put("importance", importance.concat());
        state
    }

    /// What [`Self::state`] put in.
    pub(super) fn restored(
        &self,
        kind: &str,
        mut state: State<'_>,
        layout: &Layout,
    ) -> Result<Self, LearnerError> {
        state.expect_kind(kind)?;
        let counts = state.take_list("vectors")?;
        if counts.is_empty() {
            for name in ["basis", "importance"] {
                state.take(name, 0)?;
            }
            return Ok(Self::new(self.rule));
        }
        let (mut layers, fixed) = parts(layout, self.rule.scenario);
        if counts.len() != layers.len() {
            return Err(invalid("vectors"));
        }
        let pairs = || layers.iter().zip(&counts);
        if pairs().any(|(layer, count)| *count > layer.basis.len() as u64) {
            return Err(invalid("vectors"));
        }
        let all = pairs().map(|(layer, count)| layer.basis.len() * *count as usize);
        let mut values = state.take("basis", all.sum())?;
        let vectors = counts.iter().map(|count| *count as usize);
        let mut weights = state.take("importance", vectors.clone().sum())?.into_iter();
        for (layer, count) in layers.iter_mut().zip(vectors) {
            let mut own = values;
            values = own.split_off(layer.basis.len() * count);
            layer.basis = Basis::restored(layer.basis.len(), count, own)?;
            layer.importance = weights.by_ref().take(count).collect();
            layer.project();
        }
        Ok(Self {
            rule: self.rule,
            layers,
            fixed,
        })
    }

    /// Most bytes of bases and importances in a snapshot.
    pub(super) fn most_bytes(&self, layout: &Layout) -> u64 {
        let of = |layer: &Layer| (layer.basis.len() as u64 + 1).saturating_pow(2) * 4;
        let (layers, _) = parts(layout, self.rule.scenario);
        layers.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Bytes of bases and projections.
    pub(super) fn bytes(&self) -> usize {
        let of = |layer: &Layer| {
            let floats = layer.importance.len() + layer.projection.len();
            layer.basis.bytes() + floats * size_of::<f32>()
        };
        self.layers.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests;
