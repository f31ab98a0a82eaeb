//! TAG: task-based accumulated gradients (Malviya, Ravindran, Chandar; `CoLLAs` 2022, PMLR v199 pp. 366-389).
//!
//! Owns the knowledge base and the update. While task t runs, TAG accumulates its moments `M_t` and `V_t`; when the
//! task ends they are frozen. Every step of a later task weighs each frozen `V_τ` by how the present first moment
//! agrees with the frozen one (eq. 2, p. 5):
//!
//! ```text
//! α(t,τ) = exp(−b · ⟨M_t, M_τ⟩ / (‖M_t‖ ‖M_τ‖))        so α(t,t) = e^−b
//! θ ← θ − η g / (√(α(t,t) V_t + Σ_{τ<t} α(t,τ) V_τ) + ε)
//! ```
//!
//! Departures from the printed equations, each the released code's and each a setting where it matters: α is taken
//! per parameter tensor ([`AlphaScope`]), ε stands outside the root ([`Epsilon`]), and the first task weighs its own
//! `V` by 1 rather than by e^−b (eq. 4, p. 15, says so too). A tensor whose moment is zero has cosine 0, so α = 1;
//! the released code divides by zero there. The paper's ablations TAG-1, TAG-age and TAG-G (Table 7, p. 24) are
//! other rules for α ([`AlphaRule`]); they keep only what they need of a past task.

mod settings;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::kernels::Workers;
use crate::kernels::past::{Past, Stored};
use crate::kernels::tag::{Base, Dots, Step, TagPlan};

pub use settings::TagSettings;
pub(super) use settings::{TAG_ADAGRAD, TAG_ADAM, TAG_RMSPROP};

use super::{
    AlphaRecord, AlphaRule, AlphaScope, Layout, OptimError, Optimizer, State, check_length,
};

/// Which adaptive method TAG accumulates like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagBase {
    /// `V ← 0.99 V + 0.01 g²`; the step follows g (eq. 3).
    RmsProp,
    /// `V ← V + g²`; the step follows g (eq. 5).
    Adagrad,
    /// `V ← 0.999 V + 0.001 g²`; the step follows M, with bias correction (eq. 6).
    Adam,
}

/// Where ε = 1e-8 is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Epsilon {
    /// `√x + ε`, as the released code does.
    #[default]
    Outside,
    /// `√(x + ε)`, as eqs. (1)-(6) are printed.
    Inside,
}

/// What the step count n of Adam's bias correction counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasCorrection {
    /// The steps of the task, over all its epochs, like the moments themselves.
    #[default]
    PerTask,
    /// The steps of the epoch, as the released code does although its moments go on.
    PerEpoch,
}

/// How past tasks' moments are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PastMoments {
    /// Single precision, as the released code does.
    #[default]
    F32,
    /// bfloat16, rounded once when a task ends: half the memory, and half the reading that bounds a step's time.
    Bf16,
}

impl PastMoments {
    /// Bytes of a stored number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    fn store(self, values: Vec<f32>) -> Stored {
        match self {
            Self::F32 => Stored::single(values),
            Self::Bf16 => Stored::half(&values),
        }
    }
}

/// TAG's hyper-parameters.
///
/// | field | default | range | meaning |
/// |---|---|---|---|
/// | `base` | RMSProp | | the adaptive method |
/// | `b` | 5 | finite, ≥ 0 | weight of the correlation: higher prevents more forgetting |
/// | `alpha` | cosine | | how α is found |
/// | `stored_gradients` | 1 | ≥ 1 | B of TAG-G: gradients of each task that make its direction |
/// | `scope` | tensor | | over what α is taken |
/// | `epsilon` | outside | | where ε = 1e-8 stands |
/// | `bias_correction` | per task | | Adam's step count |
/// | `past_moments` | f32 | | precision of past tasks' stored moments |
///
/// β₁ is 0.9; β₂ is 0.99, and 0.999 for Adam (p. 16).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TagConfig {
    /// The adaptive method.
    pub base: TagBase,
    /// Weight of the correlation.
    pub b: f64,
    /// How α is found.
    pub alpha: AlphaRule,
    /// Number of gradients of each task that TAG-G's direction is the mean of.
    pub stored_gradients: usize,
    /// Over what α is taken.
    pub scope: AlphaScope,
    /// Where ε stands.
    pub epsilon: Epsilon,
    /// Adam's step count.
    pub bias_correction: BiasCorrection,
    /// Precision of past tasks' stored moments.
    pub past_moments: PastMoments,
}

impl Default for TagConfig {
    fn default() -> Self {
        Self {
            base: TagBase::RmsProp,
            b: 5.0,
            alpha: AlphaRule::default(),
            stored_gradients: 1,
            scope: AlphaScope::default(),
            epsilon: Epsilon::default(),
            bias_correction: BiasCorrection::default(),
            past_moments: PastMoments::default(),
        }
    }
}

const BETA1: f32 = 0.9;
const EPSILON: f32 = 1e-8;
/// Terms of a scalar product that are summed in single precision.
const BLOCK: usize = 1024;

/// Frozen moments of a finished task.
#[derive(Clone, Debug)]
struct PastTask {
    /// `M_τ / ‖M_τ‖` (TAG-G: of the mean stored gradient), per tensor or over the model as the scope says; zero where
    /// the norm was zero. Empty under the rules that take no correlation.
    direction: Stored,
    /// `V_τ`.
    second: Stored,
}

/// Moments of the task under way.
#[derive(Clone, Debug)]
struct Present {
    first: Vec<f32>,
    second: Vec<f32>,
    /// TAG-G's sum of the task's first gradients; empty under the other rules.
    sum: Vec<f32>,
    /// How many gradients are in `sum`.
    stored: usize,
    steps: usize,
}

/// The TAG optimizer over a model of a known layout.
///
/// Memory: two vectors of the model's size per finished task (one under TAG-1 and TAG-age, which need no direction; in
/// half precision if so configured) and two for the one under way (three under TAG-G), allocated when a task begins.
/// Time per step grows with the number of finished tasks by one pass over those vectors.
#[derive(Clone)]
pub struct Tag {
    config: TagConfig,
    layout: Layout,
    past: Vec<PastTask>,
    present: Option<Present>,
    record: AlphaRecord,
    /// This step's weights, `[tau][tensor]` with τ = t last.
    alphas: Vec<f32>,
    /// TAG-G's cosines `[tau][tensor]`; they stand still once the task has stored its gradients.
    cosines: Option<Vec<Vec<f64>>>,
    plan: TagPlan,
    workers: Arc<Workers>,
}

impl Tag {
    /// A fresh optimizer for a model of this layout.
    ///
    /// # Errors
    /// [`OptimError::HyperParameter`] for a negative or non-finite `b`, or no stored gradients.
    pub fn new(config: TagConfig, layout: Layout) -> Result<Self, OptimError> {
        if !(config.b.is_finite() && config.b >= 0.0) {
            return Err(OptimError::HyperParameter {
                name: "b",
                value: config.b,
                range: "a finite number ≥ 0",
            });
        }
        if config.stored_gradients == 0 {
            return Err(OptimError::HyperParameter {
                name: "stored_gradients",
                value: 0.0,
                range: "a whole number from 1",
            });
        }
        let record = AlphaRecord::new(layout.slots().len());
        let plan = TagPlan::new(
            layout
                .slots()
                .iter()
                .map(|slot| slot.range.clone())
                .collect(),
        );
        let workers = Arc::new(Workers::new(1));
        let (past, alphas) = (Vec::new(), Vec::new());
        Ok(Self {
            config,
            layout,
            past,
            present: None,
            record,
            alphas,
            cosines: None,
            plan,
            workers,
        })
    }

    /// Number of finished tasks in the knowledge base.
    #[must_use]
    pub fn past_tasks(&self) -> usize {
        self.past.len()
    }

    /// The weights α(t,τ) of the newest step, `[tau][tensor]` in the layout's order, τ = t last.
    #[must_use]
    pub fn newest_alphas(&self) -> &[f32] {
        &self.alphas
    }

    fn kind(&self) -> String {
        let base = match self.config.base {
            TagBase::RmsProp => "tag-rmsprop",
            TagBase::Adagrad => "tag-adagrad",
            TagBase::Adam => "tag-adam",
        };
        match self.config.alpha {
            AlphaRule::Cosine => base.to_string(),
            AlphaRule::One => format!("{base}-one"),
            AlphaRule::Age => format!("{base}-age"),
            AlphaRule::Gradients => format!("{base}-gradients-{}", self.config.stored_gradients),
        }
    }

    /// This step's weights `[tau][tensor]`, τ = t last: eq. (2) of these cosines, or what the rule says without them.
    fn weights(&self, cosines: &[Vec<f64>]) -> Vec<Vec<f32>> {
        let tensors = self.layout.slots().len();
        let past = self.past.len();
        let all = |weight: f32| vec![weight; tensors];
        match self.config.alpha {
            AlphaRule::One => vec![all(1.0); past + 1],
            AlphaRule::Age => (0..past)
                .map(|tau| all((past - tau + 1) as f32))
                .chain([all(1.0)])
                .collect(),
            AlphaRule::Cosine | AlphaRule::Gradients => {
                let own = if past == 0 {
                    1.0
                } else {
                    (-self.config.b).exp() as f32
                };
                cosines
                    .iter()
                    .map(|row| row.iter().map(|&c| weight(self.config.b, c)).collect())
                    .chain([all(own)])
                    .collect()
            }
        }
    }

    /// The kernel's products as cosines `[tau][tensor]`, over what the scope says.
    fn scoped(&self, dots: &Dots) -> Vec<Vec<f64>> {
        let tensors = self.layout.slots().len();
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
    fn stored_cosines(&mut self, present: &mut Present, gradient: &[f32]) -> Vec<Vec<f64>> {
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
        let slots = self.layout.slots();
        let products = |other: &[f32]| -> Vec<f64> {
            slots
                .iter()
                .map(|slot| dot_at(&present.sum, other, slot))
                .collect()
        };
        let cosines = self.scoped(&Dots {
            squares: products(&present.sum),
            products: self
                .past
                .iter()
                .map(|p| products(&p.direction.values()))
                .collect(),
        });
        self.cosines = Some(cosines.clone());
        cosines
    }

    /// Divides by the norm, per tensor or over the model as the scope says.
    fn normalise(&self, values: &mut [f32]) {
        let slots = self.layout.slots();
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

    fn kernel_base(&self) -> Base {
        match self.config.base {
            TagBase::RmsProp => Base::RmsProp { beta2: 0.99 },
            TagBase::Adagrad => Base::Adagrad,
            TagBase::Adam => Base::Adam { beta2: 0.999 },
        }
    }
}

/// `exp(−b cos)`. Rounding may carry the cosine a little over 1; α stays within `[e^−b, e^b]`.
fn weight(b: f64, cosine: f64) -> f32 {
    (-b * cosine.clamp(-1.0, 1.0)).exp() as f32
}

fn dot_at(a: &[f32], b: &[f32], slot: &super::TensorSlot) -> f64 {
    dot(&a[slot.range.clone()], &b[slot.range.clone()])
}

/// Scalar product: 16 running sums in single precision over each block, blocks added in double precision.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let (a_lanes, a_rest) = a.as_chunks::<16>();
        let (b_lanes, b_rest) = b.as_chunks::<16>();
        let mut lanes = [0.0_f32; 16];
        for (x, y) in a_lanes.iter().zip(b_lanes) {
            for i in 0..16 {
                lanes[i] += x[i] * y[i];
            }
        }
        total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        total += a_rest
            .iter()
            .zip(b_rest)
            .map(|(x, y)| f64::from(x * y))
            .sum::<f64>();
    }
    total
}

fn scale(values: &mut [f32], squared_norm: f64) {
    let factor = if squared_norm > 0.0 {
        1.0 / squared_norm.sqrt()
    } else {
        0.0
    };
    for x in values {
        *x = (f64::from(*x) * factor) as f32;
    }
}

impl Optimizer for Tag {
    fn begin_task(&mut self) {
        self.end_task();
        let zeros = || vec![0.0; self.layout.len()];
        let sum = match self.config.alpha {
            AlphaRule::Gradients => zeros(),
            _ => Vec::new(),
        };
        self.present = Some(Present {
            first: zeros(),
            second: zeros(),
            sum,
            stored: 0,
            steps: 0,
        });
        self.cosines = None;
        self.record.begin_task();
    }

    fn begin_epoch(&mut self) {
        if let (Some(present), BiasCorrection::PerEpoch) =
            (&mut self.present, self.config.bias_correction)
        {
            present.steps = 0;
        }
    }

    fn step(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
    ) -> Result<(), OptimError> {
        check_length("the parameter vector", parameters.len(), self.layout.len())?;
        check_length("the gradient", gradient.len(), self.layout.len())?;
        let mut present = self.present.take().ok_or(OptimError::NoTask)?;
        present.steps += 1;
        let base = self.kernel_base();
        let stored = match self.config.alpha {
            AlphaRule::Gradients => self.stored_cosines(&mut present, gradient),
            _ => Vec::new(),
        };
        let directions: Vec<Past<'_>> = match self.config.alpha {
            AlphaRule::Cosine => self.past.iter().map(|p| p.direction.view()).collect(),
            _ => Vec::new(),
        };
        let (first, second) = (&mut present.first, &mut present.second);
        let dots = self.plan.moments_and_dots(
            &self.workers,
            base,
            BETA1,
            gradient,
            first,
            second,
            &directions,
        );
        let weights = match self.config.alpha {
            AlphaRule::Cosine => self.weights(&self.scoped(&dots)),
            _ => self.weights(&stored),
        };
        self.alphas = weights.concat();
        self.record.add_step(&self.alphas);
        let mut step = Step::new(base, BETA1, present.steps as u64, learning_rate, EPSILON);
        step.epsilon_inside = self.config.epsilon == Epsilon::Inside;
        let past: Vec<Past<'_>> = self.past.iter().map(|p| p.second.view()).collect();
        self.plan.apply(
            &self.workers,
            step,
            &weights,
            parameters,
            gradient,
            first,
            second,
            &past,
        );
        self.present = Some(present);
        Ok(())
    }

    fn end_task(&mut self) {
        let Some(Present {
            first, second, sum, ..
        }) = self.present.take()
        else {
            return;
        };
        let mut direction = match self.config.alpha {
            AlphaRule::Cosine => first,
            AlphaRule::Gradients => sum,
            AlphaRule::One | AlphaRule::Age => Vec::new(),
        };
        if !direction.is_empty() {
            self.normalise(&mut direction);
        }
        let moments = self.config.past_moments;
        self.past.push(PastTask {
            direction: moments.store(direction),
            second: moments.store(second),
        });
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new(&self.kind())
            .with_counter("past_tasks", self.past.len())
            .with_counter("in_task", usize::from(self.present.is_some()))
            .with_counter("steps", self.present.as_ref().map_or(0, |p| p.steps))
            .with_counter("stored", self.present.as_ref().map_or(0, |p| p.stored));
        for (tau, past) in self.past.iter().enumerate() {
            if self.config.alpha.is_correlation() {
                state.put(&format!("past.{tau}.direction"), past.direction.values());
            }
            state.put(&format!("past.{tau}.second"), past.second.values());
        }
        if let Some(present) = &self.present {
            state.put("first", present.first.as_slice());
            state.put("second", present.second.as_slice());
            if !present.sum.is_empty() {
                state.put("sum", present.sum.as_slice());
            }
        }
        state.put_sums("alpha", self.record.flat());
        state
    }

    fn restore(&mut self, mut state: State<'_>) -> Result<(), OptimError> {
        state.expect_kind(&self.kind())?;
        let (len, tensors) = (self.layout.len(), self.layout.slots().len());
        let tasks = state.counter("past_tasks")?;
        // A state in half precision was written exactly, so storing it again changes nothing.
        let moments = self.config.past_moments;
        let mut past = Vec::new();
        for tau in 0..tasks {
            past.push(PastTask {
                direction: moments.store(if self.config.alpha.is_correlation() {
                    state.take(&format!("past.{tau}.direction"), len)?
                } else {
                    Vec::new()
                }),
                second: moments.store(state.take(&format!("past.{tau}.second"), len)?),
            });
        }
        let in_task = state.counter("in_task")? == 1;
        let present = if in_task {
            let (first, second) = (state.take("first", len)?, state.take("second", len)?);
            Some(Present {
                first,
                second,
                sum: match self.config.alpha {
                    AlphaRule::Gradients => state.take("sum", len)?,
                    _ => Vec::new(),
                },
                stored: state.counter("stored")?,
                steps: state.counter("steps")?,
            })
        } else {
            None
        };
        let recorded = tasks + usize::from(in_task);
        let sums = state.take_sums("alpha", AlphaRecord::flat_len(tensors, recorded))?;
        self.record = AlphaRecord::from_flat(tensors, recorded, &sums);
        (self.past, self.present) = (past, present);
        self.cosines = None;
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let past: usize = self
            .past
            .iter()
            .map(|p| p.direction.bytes() + p.second.bytes())
            .sum();
        let present = self.present.iter();
        let present = present.flat_map(|p| [&p.first, &p.second, &p.sum]);
        past + present.map(Vec::len).sum::<usize>() * size_of::<f32>()
    }

    fn alpha(&self) -> Option<&AlphaRecord> {
        Some(&self.record)
    }
}

#[cfg(test)]
mod tests;
