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
//!
//! What is kept of finished tasks is the matter of a memory ([`TagMemory`]): both moments of each as defined (`exact`), or
//! something that does not grow with them (`flat`, `clusters`).

mod clusters;
mod config;
mod exact;
mod flat;
mod settings;
mod sketch;

use std::sync::Arc;

use crate::kernels::Workers;
use crate::kernels::past::Past;
use crate::kernels::tag::{Dots, Step, TagPlan, weight};

pub use config::{
    BiasCorrection, ClusterConfig, ClusterMerge, Epsilon, PastMoments, PastScales, SketchSize,
    TagBase, TagConfig, TagMemory,
};
pub use settings::TagSettings;
pub(super) use settings::{TAG_ADAGRAD, TAG_ADAM, TAG_RMSPROP};

use clusters::Clusters;
use exact::Exact;
use flat::Flat;

use super::{
    AlphaRecord, AlphaRule, Layout, OptimError, Optimizer, State, TensorSlot, check_length,
};

const BETA1: f32 = 0.9;
const EPSILON: f32 = 1e-8;
/// Terms of a scalar product that are summed in single precision.
const BLOCK: usize = 1024;

/// Moments of the task under way.
#[derive(Clone, Debug)]
struct Present {
    /// Empty where neither the base nor the memory needs it.
    first: Vec<f32>,
    second: Vec<f32>,
    /// TAG-G's sum of the task's first gradients; empty under the other rules.
    sum: Vec<f32>,
    /// How many gradients are in `sum`.
    stored: usize,
    /// n of Adam's bias correction.
    steps: usize,
    /// Steps of the task, over all its epochs.
    taken: usize,
}

/// What is kept of finished tasks.
#[derive(Clone, Debug)]
enum Memory {
    Exact(Exact),
    Flat(Flat),
    Clusters(Clusters),
}

impl Memory {
    fn new(config: &TagConfig, layout: &Layout) -> Self {
        match config.memory {
            TagMemory::Exact => Self::Exact(Exact::new(*config)),
            TagMemory::Flat => Self::Flat(Flat::new(config, layout)),
            TagMemory::Clusters => Self::Clusters(Clusters::new(config, layout)),
        }
    }

    fn tasks(&self) -> usize {
        match self {
            Self::Exact(exact) => exact.tasks(),
            Self::Flat(flat) => flat.tasks(),
            Self::Clusters(clusters) => clusters.tasks(),
        }
    }

    /// The weights of the task's step of this number, from 1, where they are known before it.
    fn known_weights(&self, step: usize) -> Option<Vec<Vec<f32>>> {
        match self {
            Self::Exact(_) => None,
            Self::Flat(flat) => Some(flat.weights()),
            Self::Clusters(clusters) => clusters.known_weights(step),
        }
    }

    /// The directions that the present first moment is compared with.
    fn directions(&self) -> Vec<Past<'_>> {
        match self {
            Self::Exact(exact) => exact.directions(),
            Self::Flat(_) | Self::Clusters(_) => Vec::new(),
        }
    }

    /// This step's weights, by the products with [`Self::directions`].
    fn weights(
        &mut self,
        layout: &Layout,
        present: &mut Present,
        gradient: &[f32],
        dots: &Dots,
    ) -> Vec<Vec<f32>> {
        match self {
            Self::Exact(exact) => exact.weights(layout, present, gradient, dots),
            Self::Flat(flat) => flat.weights(),
            Self::Clusters(clusters) => clusters.refreshed(&present.first, &dots.squares),
        }
    }

    /// The second moments, or sums of them, that the weights belong to.
    fn seconds(&self) -> Vec<Past<'_>> {
        match self {
            Self::Exact(exact) => exact.seconds(),
            Self::Flat(flat) => flat.seconds(),
            Self::Clusters(clusters) => clusters.seconds(),
        }
    }

    fn end_task(&mut self, layout: &Layout, present: Present) {
        match self {
            Self::Exact(exact) => exact.end_task(layout, present),
            Self::Flat(flat) => flat.end_task(present.second),
            Self::Clusters(clusters) => clusters.end_task(layout, present),
        }
    }

    fn put<'a>(&'a self, state: &mut State<'a>) {
        match self {
            Self::Exact(exact) => exact.put(state),
            Self::Flat(flat) => flat.put(state),
            Self::Clusters(clusters) => clusters.put(state),
        }
    }

    fn restored(
        config: &TagConfig,
        layout: &Layout,
        tasks: usize,
        state: &mut State<'_>,
    ) -> Result<Self, OptimError> {
        Ok(match config.memory {
            TagMemory::Exact => Self::Exact(Exact::restored(*config, layout, tasks, state)?),
            TagMemory::Flat => Self::Flat(Flat::restored(config, layout, tasks, state)?),
            TagMemory::Clusters => {
                Self::Clusters(Clusters::restored(config, layout, tasks, state)?)
            }
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Exact(exact) => exact.bytes(),
            Self::Flat(flat) => flat.bytes(),
            Self::Clusters(clusters) => clusters.bytes(),
        }
    }
}

/// The TAG optimizer over a model of a known layout.
///
/// Memory: two vectors of the model's size per finished task (one under TAG-1 and TAG-age, which need no direction; in
/// half precision if so configured) and two for the one under way (three under TAG-G), allocated when a task begins.
/// Time per step grows with the number of finished tasks by one pass over those vectors. With [`TagMemory::Flat`] it is
/// two vectors in all (three over Adam) and one pass, at any number of tasks; with [`TagMemory::Clusters`] two and, for each
/// cluster, one in half precision and a sketch.
#[derive(Clone)]
pub struct Tag {
    config: TagConfig,
    layout: Layout,
    memory: Memory,
    present: Option<Present>,
    record: AlphaRecord,
    /// This step's weights, a row of tensors for each of the memory's vectors and the present task's last.
    alphas: Vec<f32>,
    plan: TagPlan,
    workers: Arc<Workers>,
}

impl Tag {
    /// A fresh optimizer for a model of this layout.
    ///
    /// # Errors
    /// [`OptimError::HyperParameter`] for a negative or non-finite `b` or scale, or no stored gradients;
    /// [`OptimError::Combination`] for a memory that does not go with the rule for α.
    pub fn new(config: TagConfig, layout: Layout) -> Result<Self, OptimError> {
        config.check()?;
        let record = AlphaRecord::new(layout.slots().len());
        let plan = TagPlan::new(
            layout
                .slots()
                .iter()
                .map(|slot| slot.range.clone())
                .collect(),
        );
        let workers = Arc::new(Workers::new(1));
        Ok(Self {
            memory: Memory::new(&config, &layout),
            config,
            layout,
            present: None,
            record,
            alphas: Vec::new(),
            plan,
            workers,
        })
    }

    /// Number of finished tasks in the knowledge base.
    #[must_use]
    pub fn past_tasks(&self) -> usize {
        self.memory.tasks()
    }

    /// The weights of the newest step, `[row][tensor]` in the layout's order: α(t,τ) with τ = t last, or, with a memory
    /// that does not keep every task, the weight of each of its sums and then that of the present task.
    #[must_use]
    pub fn newest_alphas(&self) -> &[f32] {
        &self.alphas
    }

    /// Whether anything looks at the first moment.
    fn needs_first(&self) -> bool {
        self.config.base == TagBase::Adam || self.config.memory != TagMemory::Flat
    }

    /// Whether anything depends on how many steps the task has had.
    fn counts_steps(&self) -> bool {
        self.config.memory == TagMemory::Clusters
    }

    /// Whether there are correlations to record.
    fn records(&self) -> bool {
        self.config.memory != TagMemory::Flat
    }
}

fn dot_at(a: &[f32], b: &[f32], slot: &TensorSlot) -> f64 {
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
        let zeros = |needed: bool| vec![0.0; if needed { self.layout.len() } else { 0 }];
        self.present = Some(Present {
            first: zeros(self.needs_first()),
            second: zeros(true),
            sum: zeros(self.config.alpha == AlphaRule::Gradients),
            stored: 0,
            steps: 0,
            taken: 0,
        });
        if let Memory::Exact(exact) = &mut self.memory {
            exact.begin_task();
        }
        if self.records() {
            self.record.begin_task(match &self.memory {
                Memory::Clusters(clusters) => Some(clusters.members()),
                Memory::Exact(_) | Memory::Flat(_) => None,
            });
        }
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
        present.taken += 1;
        let (base, workers) = (self.config.base.kernel(), &self.workers);
        let mut step = Step::new(base, BETA1, present.steps as u64, learning_rate, EPSILON);
        step.epsilon_inside = self.config.epsilon == Epsilon::Inside;
        let weights = if let Some(weights) = self.memory.known_weights(present.taken) {
            let first = (!present.first.is_empty()).then_some(present.first.as_mut_slice());
            self.plan.step(
                workers,
                (base, BETA1),
                step,
                &weights,
                parameters,
                gradient,
                first,
                &mut present.second,
                &self.memory.seconds(),
            );
            weights
        } else {
            let dots = self.plan.moments_and_dots(
                workers,
                base,
                BETA1,
                gradient,
                &mut present.first,
                &mut present.second,
                &self.memory.directions(),
            );
            let layout = &self.layout;
            let weights = self.memory.weights(layout, &mut present, gradient, &dots);
            self.plan.apply(
                workers,
                step,
                &weights,
                parameters,
                gradient,
                &present.first,
                &present.second,
                &self.memory.seconds(),
            );
            weights
        };
        self.alphas = weights.concat();
        if self.records() {
            self.record.add_step(&self.alphas);
        }
        self.present = Some(present);
        Ok(())
    }

    fn end_task(&mut self) {
        if let Some(present) = self.present.take() {
            self.memory.end_task(&self.layout, present);
        }
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new(&self.config.kind())
            .with_counter("past_tasks", self.memory.tasks())
            .with_counter("in_task", usize::from(self.present.is_some()))
            .with_counter("steps", self.present.as_ref().map_or(0, |p| p.steps))
            .with_counter("stored", self.present.as_ref().map_or(0, |p| p.stored));
        if self.counts_steps() {
            let taken = self.present.as_ref().map_or(0, |p| p.taken);
            state = state.with_counter("taken", taken);
        }
        self.memory.put(&mut state);
        if let Some(present) = &self.present {
            if !present.first.is_empty() {
                state.put("first", present.first.as_slice());
            }
            state.put("second", present.second.as_slice());
            if !present.sum.is_empty() {
                state.put("sum", present.sum.as_slice());
            }
        }
        if self.records() {
            self.record.put(&mut state);
        }
        state
    }

    fn restore(&mut self, mut state: State<'_>) -> Result<(), OptimError> {
        state.expect_kind(&self.config.kind())?;
        let (len, tensors) = (self.layout.len(), self.layout.slots().len());
        let tasks = state.counter("past_tasks")?;
        let memory = Memory::restored(&self.config, &self.layout, tasks, &mut state)?;
        let in_task = state.counter("in_task")? == 1;
        let mut take = |name: &str, needed: bool| {
            if needed {
                state.take(name, len)
            } else {
                Ok(Vec::new())
            }
        };
        let present = if in_task {
            Some(Present {
                first: take("first", self.needs_first())?,
                second: take("second", true)?,
                sum: take("sum", self.config.alpha == AlphaRule::Gradients)?,
                stored: state.counter("stored")?,
                steps: state.counter("steps")?,
                taken: if self.counts_steps() {
                    state.counter("taken")?
                } else {
                    0
                },
            })
        } else {
            None
        };
        if self.records() {
            let recorded = tasks + usize::from(in_task);
            let clustered = self.config.memory == TagMemory::Clusters;
            self.record = AlphaRecord::take(&mut state, tensors, recorded, clustered)?;
        }
        (self.memory, self.present) = (memory, present);
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let present = self.present.iter();
        let present = present.flat_map(|p| [&p.first, &p.second, &p.sum]);
        self.memory.bytes() + present.map(Vec::len).sum::<usize>() * size_of::<f32>()
    }

    fn alpha(&self) -> Option<&AlphaRecord> {
        self.records().then_some(&self.record)
    }
}

#[cfg(test)]
mod tests;
