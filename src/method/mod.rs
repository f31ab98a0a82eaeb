//! Methods: a batch, and what is remembered of earlier tasks, become a gradient.
//!
//! Owns the trait and one method a file. A method never updates parameters: that is the optimizer's part, so any
//! method goes with any optimizer, and the optimizer steps along the method's whole gradient (under TAG, the moments see
//! the penalty and the replayed examples, too, as in the released code).
//!
//! | method | gradient | source |
//! |---|---|---|
//! | [`Plain`] | of the batch | |
//! | [`Ewc`] | of the batch plus a quadratic penalty around the earlier tasks' parameters | Kirkpatrick et al. 2017 |
//! | [`Agem`] | of the batch, projected where it opposes that of remembered examples | Chaudhry et al. 2019a |
//! | [`Er`] | of the batch plus that of replayed examples | Chaudhry et al. 2019b |
//!
//! Everything a method draws comes from a stream named after the task, so its state is what it holds in its arrays and
//! how far the task's streams are.

mod agem;
mod buffer;
mod er;
mod ewc;
mod plain;
mod spec;

pub use agem::{Agem, AgemConfig, project};
pub use buffer::{Reservoir, ReservoirRule, Ring, Slot, gather};
pub use er::{Er, ErConfig};
pub use ewc::{Ewc, EwcConfig, Fisher, Penalty};
pub use plain::{PLAIN, Plain};
pub use spec::{MethodContext, MethodSpec, Passes};

/// Every method of the program, in the order in which they are listed.
pub static METHODS: &[&MethodSpec] = &[&plain::PLAIN, &ewc::EWC, &agem::AGEM, &er::ER];

use crate::model::{Learner, LearnerError};
use crate::optim::{OptimError, State};
use crate::stream::{Batch, Task};

/// One training step as a method sees it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// All tasks of the stream; a method may only look at those up to `t`.
    pub tasks: &'a [Task],
    /// The present task, from 0.
    pub t: usize,
    /// Where the batch's examples lie in the present task's training samples.
    pub positions: &'a [usize],
    /// The batch.
    pub batch: &'a Batch,
}

/// Turns batches into gradients and keeps what it needs of past tasks.
pub trait Method: Send {
    /// Task `t` (from 0) begins.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn begin_task(&mut self, _t: usize, _learner: &mut dyn Learner) -> Result<(), LearnerError> {
        Ok(())
    }

    /// Loss of the batch alone; the gradient to step along replaces what `gradient` held, in the learner's layout.
    ///
    /// # Errors
    /// [`LearnerError`] from the learner.
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError>;

    /// Task `t` of `tasks` ends.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn end_task(
        &mut self,
        _t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        Ok(())
    }

    /// A snapshot of everything that later gradients depend on.
    fn state(&self) -> State<'_>;

    /// Takes a snapshot back, all or nothing. `tasks` are those of the stream, `parameters` is the length of the
    /// learner's layout.
    ///
    /// # Errors
    /// [`LearnerError::Vector`] for a snapshot of another method, stream or model.
    fn restore(
        &mut self,
        state: State<'_>,
        tasks: &[Task],
        parameters: usize,
    ) -> Result<(), LearnerError>;

    /// Bytes allocated now for replay or regularisation.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Examples replayed so far.
    fn replayed_samples(&self) -> usize {
        0
    }
}

/// Scalar product in double precision.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// A field of a snapshot with impossible content.
fn invalid(name: &str) -> LearnerError {
    let name = name.to_string();
    LearnerError::Vector(OptimError::Field { name })
}

/// Takes a list of exactly N numbers out of a snapshot.
fn list<const N: usize>(state: &mut State<'_>, name: &str) -> Result<[u64; N], LearnerError> {
    state.take_list(name)?.try_into().map_err(|_| invalid(name))
}
