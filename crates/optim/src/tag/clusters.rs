//! TAG's memory as a few clusters of tasks.
//!
//! A cluster c of n tasks keeps the sum of their second moments and the sum of their normalised directions, the latter as
//! a [`Sketch`]. A cluster's α comes from the mean of the cosines with its members,
//!
//! ```text
//! cos(t,c) = ⟨s(M_t), D_c⟩ / (‖M_t‖ n),   D_c = Σ_{τ∈c} s(M_τ)/‖M_τ‖
//! α(t,c)   = exp(−b cos(t,c)) / exp(b² σ²/2)
//! ```
//!
//! with σ² the variance of the estimated cosine, 1/d for one large tensor and one member: the mean of the exponential of a
//! value with noise is too large by that factor, which is divided out unless told otherwise. α is refreshed every so many
//! steps, since the first moment turns over in some ten steps; before the first refresh of a task it is 1, the value of no
//! correlation. When a task ends it becomes a cluster; one too many, and the two that lose least merge.

use super::sketch::Sketch;
use super::{ClusterMerge, Present, TagConfig, dot, dot_at, weight};
use crate::kernels::past::{Past, Stored};
use crate::{AlphaScope, Layout, OptimError, State};

/// Some finished tasks.
#[derive(Clone, Debug)]
struct Cluster {
    /// Their numbers from 0, in order.
    members: Vec<usize>,
    /// `Σ V_τ`.
    sum: Stored,
    /// `D_c`.
    direction: Vec<f32>,
}

/// The clusters of finished tasks, ordered by their first members.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    config: TagConfig,
    sketch: Sketch,
    all: Vec<Cluster>,
    tasks: usize,
    /// Weights `[cluster][tensor]` since the last refresh, the present task's last.
    weights: Vec<Vec<f32>>,
}

impl Clusters {
    pub(super) fn new(config: &TagConfig, layout: &Layout) -> Self {
        let mut memory = Self {
            config: *config,
            sketch: Sketch::new(layout, config.clusters.sketch.numbers()),
            all: Vec::new(),
            tasks: 0,
            weights: Vec::new(),
        };
        memory.forget_weights();
        memory
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks
    }

    /// The tasks of each cluster, from 0.
    pub(super) fn members(&self) -> Vec<Vec<usize>> {
        let clusters = self.all.iter();
        clusters.map(|cluster| cluster.members.clone()).collect()
    }

    /// Back to the weights of no correlation.
    fn forget_weights(&mut self) {
        let all = |weight| vec![weight; self.sketch.places().len()];
        let own = if self.tasks == 0 {
            1.0
        } else {
            self.config.own_weight()
        };
        self.weights = vec![all(1.0); self.all.len()];
        self.weights.push(all(own));
    }

    /// The weights of a task's step, from 1, unless this step refreshes them.
    pub(super) fn known_weights(&self, step: usize) -> Option<Vec<Vec<f32>>> {
        let clusters = &self.config.clusters;
        let since_first = step.checked_sub(clusters.first_refresh);
        let refreshes = since_first.is_some_and(|since| since.is_multiple_of(clusters.refresh));
        (!refreshes || self.all.is_empty()).then(|| self.weights.clone())
    }

    /// New weights, of the present first moment and its squared norms by tensor.
    pub(super) fn refreshed(&mut self, first: &[f32], squares: &[f64]) -> Vec<Vec<f32>> {
        let sketch = self.sketch.of(first);
        for (c, cluster) in self.all.iter().enumerate() {
            self.weights[c] = match self.config.scope {
                AlphaScope::Tensor => (0..squares.len())
                    .map(|tensor| self.alpha(cluster, &sketch, squares, tensor..tensor + 1))
                    .collect(),
                AlphaScope::Global => {
                    let alpha = self.alpha(cluster, &sketch, squares, 0..squares.len());
                    vec![alpha; squares.len()]
                }
            };
        }
        self.weights.clone()
    }

    /// α over some tensors taken together.
    fn alpha(
        &self,
        cluster: &Cluster,
        sketch: &[f32],
        squares: &[f64],
        tensors: std::ops::Range<usize>,
    ) -> f32 {
        let square: f64 = squares[tensors.clone()].iter().sum();
        if square <= 0.0 {
            return 1.0;
        }
        let members = cluster.members.len() as f64;
        let (mut product, mut variance) = (0.0, 0.0);
        for tensor in tensors {
            let place = self.sketch.places()[tensor].clone();
            let direction = &cluster.direction[place.clone()];
            product += dot(&sketch[place], direction);
            let share = squares[tensor] / square;
            variance += self.sketch.spread(tensor) * share * dot(direction, direction);
        }
        let b = self.config.b;
        let alpha = weight(b, product / (square.sqrt() * members));
        if self.config.clusters.debias {
            let variance = variance / (members * members);
            (f64::from(alpha) * (-b * b * variance / 2.0).exp()) as f32
        } else {
            alpha
        }
    }

    pub(super) fn seconds(&self) -> Vec<Past<'_>> {
        self.all.iter().map(|c| c.sum.view()).collect()
    }

    /// The task becomes a cluster; if there is one too many, two merge.
    pub(super) fn end_task(&mut self, layout: &Layout, present: Present) {
        let mut direction = self.sketch.of(&present.first);
        let slots = layout.slots().iter();
        let squares: Vec<f64> = slots
            .map(|slot| dot_at(&present.first, &present.first, slot))
            .collect();
        let whole: f64 = squares.iter().sum();
        for (place, square) in self.sketch.places().iter().zip(&squares) {
            let square = match self.config.scope {
                AlphaScope::Tensor => *square,
                AlphaScope::Global => whole,
            };
            super::scale(&mut direction[place.clone()], square);
        }
        self.all.push(Cluster {
            members: vec![self.tasks],
            sum: self.config.past_moments.store(present.second),
            direction,
        });
        self.tasks += 1;
        if self.all.len() > self.config.clusters.count {
            let (a, b) = match self.config.clusters.merge {
                ClusterMerge::Ward => self.nearest(),
                ClusterMerge::Oldest => (0, 1),
            };
            self.merge(a, b);
        }
        self.forget_weights();
    }

    /// The pair that loses least: Ward's cost `(n_i n_j/(n_i+n_j)) (1 − cos(D_i, D_j))`, the cosine averaged over tensors,
    /// or of the whole model; the first such pair.
    fn nearest(&self) -> (usize, usize) {
        let mut best = ((0, 1), f64::INFINITY);
        for (i, a) in self.all.iter().enumerate() {
            for (j, b) in self.all.iter().enumerate().skip(i + 1) {
                let (n, m) = (a.members.len() as f64, b.members.len() as f64);
                let cost = n * m / (n + m) * (1.0 - self.cosine(&a.direction, &b.direction));
                if cost < best.1 {
                    best = ((i, j), cost);
                }
            }
        }
        best.0
    }

    fn cosine(&self, a: &[f32], b: &[f32]) -> f64 {
        let of = |a: &[f32], b: &[f32]| {
            let norms = (dot(a, a) * dot(b, b)).sqrt();
            if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
        };
        match self.config.scope {
            AlphaScope::Global => of(a, b),
            AlphaScope::Tensor => {
                let places = self.sketch.places();
                let cosines = places.iter().map(|p| of(&a[p.clone()], &b[p.clone()]));
                cosines.sum::<f64>() / places.len().max(1) as f64
            }
        }
    }

    /// Adds cluster `b` to cluster `a`, which stands before it.
    fn merge(&mut self, a: usize, b: usize) {
        let other = self.all.remove(b);
        let cluster = &mut self.all[a];
        cluster.members.extend(other.members);
        cluster.members.sort_unstable();
        cluster.sum = cluster.sum.plus(&other.sum, self.tasks as u64);
        for (x, y) in cluster.direction.iter_mut().zip(other.direction) {
            *x += y;
        }
    }

    pub(super) fn put<'a>(&'a self, state: &mut State<'a>) {
        for (c, cluster) in self.all.iter().enumerate() {
            let members = cluster.members.iter().map(|&task| task as u64).collect();
            state.put_list(&format!("past.{c}.members"), members);
            state.put(&format!("past.{c}.direction"), cluster.direction.as_slice());
            state.put(&format!("past.{c}.second"), cluster.sum.values());
        }
        state.put("weights", self.weights.concat());
    }

    pub(super) fn restored(
        config: &TagConfig,
        layout: &Layout,
        tasks: usize,
        state: &mut State<'_>,
    ) -> Result<Self, OptimError> {
        let mut memory = Self::new(config, layout);
        memory.tasks = tasks;
        for c in 0..tasks.min(config.clusters.count) {
            let name = format!("past.{c}.members");
            let members = state.take_list(&name)?;
            let members: Vec<usize> = members
                .into_iter()
                .filter_map(|task| usize::try_from(task).ok().filter(|task| *task < tasks))
                .collect();
            if members.is_empty() {
                return Err(OptimError::Field { name });
            }
            let direction = state.take(&format!("past.{c}.direction"), memory.sketch.len())?;
            let sum = state.take(&format!("past.{c}.second"), layout.len())?;
            memory.all.push(Cluster {
                members,
                sum: config.past_moments.store(sum),
                direction,
            });
        }
        let tensors = layout.slots().len();
        let weights = state.take("weights", tensors * (memory.all.len() + 1))?;
        memory.weights = weights
            .chunks(tensors.max(1))
            .map(<[f32]>::to_vec)
            .collect();
        Ok(memory)
    }

    pub(super) fn bytes(&self) -> usize {
        let clusters = self.all.iter();
        clusters
            .map(|c| c.sum.bytes() + size_of_val(c.direction.as_slice()))
            .sum()
    }
}

/// Bytes after so many tasks.
pub(super) fn bytes_after(config: &TagConfig, layout: &Layout, tasks: usize) -> usize {
    let sketch = Sketch::new(layout, config.clusters.sketch.numbers());
    let cluster = layout.len() * config.past_moments.bytes() + sketch.len() * size_of::<f32>();
    cluster * tasks.min(config.clusters.count)
}

#[cfg(test)]
mod tests;
