//! TAG's memory as the method defines it: both moments of every finished task.
//!
//! Owns the weights α(t,τ) of eq. (2) and those of the ablations, which keep only what they need.

use super::{Present, TagConfig, dot, dot_at, scale, weight};
use crate::kernels::past::{Past, Stored};
use crate::kernels::tag::Dots;
use crate::{AlphaRule, AlphaScope, Layout, OptimError, State};

/// Frozen moments of a finished task.
#[derive(Clone, Debug)]
struct PastTask {
    /// `M_τ / ‖M_τ‖` (TAG-G: of the mean stored gradient), per tensor or over the model as the scope says; zero where
    /// the norm was zero. Empty under the rules that take no correlation.
    direction: Stored,
    /// `V_τ`.
    second: Stored,
}

/// The finished tasks.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    config: TagConfig,
    past: Vec<PastTask>,
    /// TAG-G's cosines `[tau][tensor]`; they stand still once the task has stored its gradients.
    cosines: Option<Vec<Vec<f64>>>,
}

impl Exact {
    pub(super) fn new(config: TagConfig) -> Self {
        Self {
            config,
            past: Vec::new(),
            cosines: None,
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.past.len()
    }

    pub(super) fn begin_task(&mut self) {
        self.cosines = None;
    }

    /// The directions that the present first moment is compared with.
    pub(super) fn directions(&self) -> Vec<Past<'_>> {
        match self.config.alpha {
            AlphaRule::Cosine => self.past.iter().map(|p| p.direction.view()).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn seconds(&self) -> Vec<Past<'_>> {
        self.past.iter().map(|p| p.second.view()).collect()
    }

    /// This step's weights `[tau][tensor]`, τ = t last: eq. (2) of the products with [`Self::directions`], or what the
    /// rule says without them.
    pub(super) fn weights(
        &mut self,
        layout: &Layout,
        present: &mut Present,
        gradient: &[f32],
        dots: &Dots,
    ) -> Vec<Vec<f32>> {
        let past = self.past.len();
        let all = |weight: f32| vec![weight; layout.slots().len()];
        let cosines = match self.config.alpha {
            AlphaRule::One => return vec![all(1.0); past + 1],
            AlphaRule::Age => {
                let ages = (0..past).map(|tau| all((past - tau + 1) as f32));
                return ages.chain([all(1.0)]).collect();
            }
            AlphaRule::Cosine => self.scoped(layout, dots),
            AlphaRule::Gradients => self.stored_cosines(layout, present, gradient),
        };
        let own = if past == 0 {
            1.0
        } else {
            self.config.own_weight()
        };
        let b = self.config.b;
        cosines
            .iter()
            .map(|row| row.iter().map(|&c| weight(b, c)).collect())
            .chain([all(own)])
            .collect()
    }

    /// The kernel's products as cosines `[tau][tensor]`, over what the scope says.
    fn scoped(&self, layout: &Layout, dots: &Dots) -> Vec<Vec<f64>> {
        let tensors = layout.slots().len();
        match self.config.scope {
            AlphaScope::Tensor => dots.cosines(),
            AlphaScope::Global => dots
                .global_cosines()
                .into_iter()
                .map(|cosine| vec![cosine; tensors])
                .collect(),
        }
    }

    /// TAG-G: takes the gradient in while fewer than B are stored, and gives the cosines of the sums (those of the
    /// means).
    fn stored_cosines(
        &mut self,
        layout: &Layout,
        present: &mut Present,
        gradient: &[f32],
    ) -> Vec<Vec<f64>> {
        if present.stored < self.config.stored_gradients {
            for (sum, g) in present.sum.iter_mut().zip(gradient) {
                *sum += g;
            }
            present.stored += 1;
            self.cosines = None;
        }
        if let Some(cosines) = &self.cosines {
            return cosines.clone();
        }
        let slots = layout.slots();
        let products = |other: &[f32]| -> Vec<f64> {
            slots
                .iter()
                .map(|slot| dot_at(&present.sum, other, slot))
                .collect()
        };
        let dots = Dots {
            squares: products(&present.sum),
            products: self
                .past
                .iter()
                .map(|p| products(&p.direction.values()))
                .collect(),
        };
        let cosines = self.scoped(layout, &dots);
        self.cosines = Some(cosines.clone());
        cosines
    }

    /// Divides by the norm, per tensor or over the model as the scope says.
    fn normalise(&self, layout: &Layout, values: &mut [f32]) {
        let slots = layout.slots();
        match self.config.scope {
            AlphaScope::Tensor => {
                for slot in slots {
                    let values = &mut values[slot.range.clone()];
                    let squared = dot(values, values);
                    scale(values, squared);
                }
            }
            AlphaScope::Global => {
                let squared = slots.iter().map(|s| dot_at(values, values, s)).sum();
                scale(values, squared);
            }
        }
    }

    /// Freezes the moments of a task.
    pub(super) fn end_task(&mut self, layout: &Layout, present: Present) {
        let mut direction = match self.config.alpha {
            AlphaRule::Cosine => present.first,
            AlphaRule::Gradients => present.sum,
            AlphaRule::One | AlphaRule::Age => Vec::new(),
        };
        if !direction.is_empty() {
            self.normalise(layout, &mut direction);
        }
        let moments = self.config.past_moments;
        self.past.push(PastTask {
            direction: moments.store(direction),
            second: moments.store(present.second),
        });
    }

    pub(super) fn put<'a>(&'a self, state: &mut State<'a>) {
        for (tau, past) in self.past.iter().enumerate() {
            if self.config.alpha.is_correlation() {
                state.put(&format!("past.{tau}.direction"), past.direction.values());
            }
            state.put(&format!("past.{tau}.second"), past.second.values());
        }
    }

    pub(super) fn restored(
        config: TagConfig,
        layout: &Layout,
        tasks: usize,
        state: &mut State<'_>,
    ) -> Result<Self, OptimError> {
        // A state in half precision was written exactly, so storing it again changes nothing.
        let (moments, len) = (config.past_moments, layout.len());
        let mut memory = Self::new(config);
        for tau in 0..tasks {
            memory.past.push(PastTask {
                direction: moments.store(if config.alpha.is_correlation() {
                    state.take(&format!("past.{tau}.direction"), len)?
                } else {
                    Vec::new()
                }),
                second: moments.store(state.take(&format!("past.{tau}.second"), len)?),
            });
        }
        Ok(memory)
    }

    pub(super) fn bytes(&self) -> usize {
        let past = self.past.iter();
        past.map(|p| p.direction.bytes() + p.second.bytes()).sum()
    }
}
