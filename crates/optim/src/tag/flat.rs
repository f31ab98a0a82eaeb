//! TAG's memory as one running sum: α(t,τ) = 1 for every past task.
//!
//! What is left of TAG then is the present task's own weight e^−b beside the sum of what came before,
//!
//! ```text
//! θ ← θ − η g / (√(e^−b V_t + c Σ_{τ<t} V_τ) + ε)
//! ```
//!
//! with a factor c by kind of tensor (1 unless told otherwise). No direction is kept, so there is nothing to correlate and
//! no record of α; a step costs what the base's own step costs, whatever the number of tasks. Under the rule `one` the
//! own weight is 1, and this is TAG-1 itself but for the order of its sum.

use super::{PastScales, TagConfig};
use crate::kernels::past::Past;
use crate::{Layout, OptimError, State, TensorSlot};

/// The sum of finished tasks' second moments.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    tasks: usize,
    /// `Σ V_τ` in single precision, which adds up some 10⁷ tasks before it stands still; empty before the first end.
    sum: Vec<f32>,
    /// c, per tensor.
    scales: Vec<f32>,
    /// e^−b.
    own: f32,
}

impl Flat {
    pub(super) fn new(config: &TagConfig, layout: &Layout) -> Self {
        let slots = layout.slots().iter();
        let scale = |slot| scale_of(&config.past_scales, layout, slot) as f32;
        Self {
            tasks: 0,
            sum: Vec::new(),
            scales: slots.map(scale).collect(),
            own: config.own_weight(),
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks
    }

    /// Weights `[sum, present][tensor]`; the present alone on the first task.
    pub(super) fn weights(&self) -> Vec<Vec<f32>> {
        let all = |weight| vec![weight; self.scales.len()];
        if self.tasks == 0 {
            vec![all(1.0)]
        } else {
            vec![self.scales.clone(), all(self.own)]
        }
    }

    pub(super) fn seconds(&self) -> Vec<Past<'_>> {
        if self.tasks == 0 {
            Vec::new()
        } else {
            vec![Past::Single(&self.sum)]
        }
    }

    /// Adds a task's second moment.
    pub(super) fn end_task(&mut self, second: Vec<f32>) {
        if self.tasks == 0 {
            self.sum = second;
        } else {
            for (sum, v) in self.sum.iter_mut().zip(second) {
                *sum += v;
            }
        }
        self.tasks += 1;
    }

    pub(super) fn put<'a>(&'a self, state: &mut State<'a>) {
        if self.tasks > 0 {
            state.put("past.second", self.sum.as_slice());
        }
    }

    pub(super) fn restored(
        config: &TagConfig,
        layout: &Layout,
        tasks: usize,
        state: &mut State<'_>,
    ) -> Result<Self, OptimError> {
        let mut memory = Self::new(config, layout);
        memory.tasks = tasks;
        if tasks > 0 {
            memory.sum = state.take("past.second", layout.len())?;
        }
        Ok(memory)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.sum.as_slice())
    }
}

/// The factor of this tensor's kind. A vector is a bias where a tensor of more axes bears the same name before its last
/// dot, and has that tensor's kind; all other vectors belong to norms.
fn scale_of(scales: &PastScales, layout: &Layout, slot: &TensorSlot) -> f64 {
    let of = |axes: usize| match axes {
        0 | 1 => scales.norm,
        2 => scales.linear,
        _ => scales.convolution,
    };
    let parent = |slot: &TensorSlot| {
        slot.name
            .rsplit_once('.')
            .map(|(parent, _)| parent.to_string())
    };
    let siblings = layout
        .slots()
        .iter()
        .filter(|other| parent(slot).is_some() && parent(other) == parent(slot));
    let axes = siblings.map(|other| other.shape.len()).max();
    of(axes.unwrap_or(0).max(slot.shape.len()))
}

#[cfg(test)]
mod tests;
