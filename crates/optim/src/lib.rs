//! Optimizers: a gradient becomes a parameter update, and the optimizer is told when a task begins and ends.
//!
//! Owns TAG ([`Tag`]) and the optimizers it is compared with ([`Naive`]). All of them work on flat vectors described
//! by a [`Layout`], so they know nothing of networks, tasks' data or methods; [`ModuleOptimizer`] puts any of them
//! around a Burn module. Nothing here depends on the rest of the crate but the kernels.
//!
//! | optimizer | update | source |
//! |---|---|---|
//! | SGD | `θ − η g` | |
//! | RMSProp | `θ − η g / (√V + ε)` | TAG paper, eq. (1), with ε outside the root |
//! | Adagrad | as RMSProp with `V = Σ g²` | TAG paper, eq. (5) |
//! | Adam | `θ − η M̂ / (√V̂ + ε)` | TAG paper, eq. (6) |
//! | TAG-* | the same with `V` replaced by `Σ_τ α(t,τ) V_τ` over the tasks so far | TAG paper, eqs. (2)-(6) |

use tagcl_kernels as kernels;
use tagcl_settings as settings;
use tagcl_settings::{by_name, choices, settings};

mod alpha;
mod blocks;
mod layout;
mod module;
mod naive;
mod spec;
mod state;
mod tag;

pub use alpha::{AlphaRecord, AlphaRule, AlphaScope};
pub use blocks::{Block, Blocks, Dtype, Entry, read_blocks, write_blocks, write_header};
pub use layout::{Layout, TensorSlot};
pub use module::floats;
pub use module::{ModuleOptimizer, layout_of, read_gradients, read_parameters, write_parameters};
pub use naive::{AdaptiveSettings, Naive, NaiveKind, SGD, SecondMoment};
pub use spec::{Build, OptimizerSpec};
pub use state::{OptimError, State};
pub use tag::{
    BiasCorrection, ClusterConfig, ClusterMerge, Epsilon, PastMoments, PastScales, SketchSize, Tag,
    TagBase, TagConfig, TagMemory, TagSettings,
};

/// Every optimizer of the program, in the order in which they are listed.
pub static OPTIMIZERS: &[&OptimizerSpec] = &[
    &naive::SGD,
    &naive::RMSPROP,
    &naive::ADAGRAD,
    &naive::ADAM,
    &tag::TAG_RMSPROP,
    &tag::TAG_ADAGRAD,
    &tag::TAG_ADAM,
];

/// Turns gradients into parameter updates, task after task.
pub trait Optimizer: Send {
    /// A new task begins. TAG opens a new accumulator; the others go on with the one they have.
    fn begin_task(&mut self);

    /// A new epoch of the task begins. Only matters where [`BiasCorrection::PerEpoch`] asks for it.
    fn begin_epoch(&mut self) {}

    /// One update of `parameters` by `gradient` (both in the layout's order) at this learning rate.
    ///
    /// # Errors
    /// [`OptimError::Length`] for vectors of another model, [`OptimError::NoTask`] where the optimizer needs a task.
    fn step(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
    ) -> Result<(), OptimError>;

    /// Whether the optimizer wants to see the batch's own gradient beside the one that it steps along.
    fn wants_raw_gradient(&self) -> bool {
        false
    }

    /// As [`Self::step`], with the batch's own gradient, which an optimizer that does not want it passes over.
    ///
    /// # Errors
    /// Those of [`Self::step`].
    fn step_beside(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        _raw: &[f32],
        learning_rate: f32,
    ) -> Result<(), OptimError> {
        self.step(parameters, gradient, learning_rate)
    }

    /// The task ends. TAG freezes its moments into the knowledge base.
    fn end_task(&mut self);

    /// A snapshot of everything the next step depends on.
    fn state(&self) -> State<'_>;

    /// Takes a snapshot back, all or nothing.
    ///
    /// # Errors
    /// [`OptimError::Kind`] or [`OptimError::Field`] for a snapshot of another optimizer or model.
    fn restore(&mut self, state: State<'_>) -> Result<(), OptimError>;

    /// Bytes of the arrays that the optimizer holds now.
    fn state_bytes(&self) -> usize;

    /// The correlations α(t,τ) seen so far; `None` for optimizers without any.
    fn alpha(&self) -> Option<&AlphaRecord> {
        None
    }
}

/// Checks that a vector belongs to the layout.
fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), OptimError> {
    if found == expected {
        Ok(())
    } else {
        Err(OptimError::Length {
            what,
            expected,
            found,
        })
    }
}
