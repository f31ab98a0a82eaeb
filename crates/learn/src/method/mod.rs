//! Methods: a batch, and what is remembered of earlier tasks, become a gradient.
//!
//! Owns the trait and one method a file. A method passes batches through the learner, says what is lost on their logits
//! and what is done with the gradients. It never updates parameters: that is the optimizer's part, so any method goes
//! with any optimizer, and the optimizer steps along the method's whole gradient (under TAG, the moments see the penalty
//! and the replayed examples, too, as in the released code).
//!
//! | method | gradient | source |
//! |---|---|---|
//! | [`Plain`] | of the batch | |
//! | [`Independent`] | of the batch, for a network of the task's own | Lopez-Paz and Ranzato 2017 |
//! | [`Ewc`] | of the batch plus a quadratic penalty around the earlier tasks' parameters | Kirkpatrick et al. 2017 |
//! | [`OnlineEwc`] | as EWC, with one running importance and one anchor | Schwarz et al. 2018 |
//! | [`Si`] | of the batch plus a quadratic penalty for what made the loss fall | Zenke et al. 2017 |
//! | [`Mas`] | of the batch plus a quadratic penalty for what the answers depend on | Aljundi et al. 2018 |
//! | [`Rwalk`] | of the batch plus a quadratic penalty by a running Fisher information and the loss's fall | Chaudhry et al. 2018 |
//! | [`Lwf`] | of the batch plus that of the distance to the answers of a frozen copy | Li and Hoiem 2016 |
//! | [`Agem`] | of the batch, projected where it opposes that of remembered examples | Chaudhry et al. 2019a |
//! | [`Er`] | of the batch plus that of replayed examples | Chaudhry et al. 2019b |
//! | [`Der`] | of the batch plus those of the distance to remembered logits and of remembered labels | Buzzega et al. 2020 |
//! | [`ErAce`] | of the batch among its own classes plus that of replayed examples | Caccia et al. 2022 |
//! | [`Mir`] | of the batch plus that of the examples that it would harm most | Aljundi et al. 2019 |
//! | [`Gdumb`] | none: trained on its memory when a task ends | Prabhu et al. 2020 |
//! | [`Icarl`] | of distilled sigmoids on batch and memory; judges by nearest means | Rebuffi et al. 2017 |
//! | [`Gem`] | of the batch, projected where it opposes any earlier task's memory | Lopez-Paz and Ranzato 2017 |
//! | [`Ogd`] | of the batch, orthogonal to gradients of earlier tasks' logits | Farajtabar et al. 2020 |
//! | [`Gpm`] | of the batch, orthogonal to what layers saw of earlier tasks | Saha et al. 2021 |
//! | [`Sgp`] | as GPM, by the importance of directions | Saha and Roy 2023 |
//! | [`Ncm`] | none: judges by the nearest mean of a class's features | Mensink et al. 2013 |
//! | [`Slda`] | none: judges by linear discriminant analysis of features | Hayes and Kanan 2020 |
//! | [`Ranpac`] | none: judges by ridge regression on random projections of features | `McDonnell` et al. 2023 |
//!
//! Everything a method draws comes from a stream named after the task, so its state is what it holds in its arrays and
//! how far the task's streams are.

mod agem;
mod basis;
mod buffer;
mod cholesky;
mod closed_form;
mod der;
mod eigen;
mod er;
mod er_ace;
mod ewc;
mod fisher;
mod gdumb;
mod gem;
mod gpm;
mod icarl;
mod independent;
mod lwf;
mod mas;
mod mir;
mod ncm;
mod ogd;
mod online_ewc;
mod path;
mod plain;
mod quadratic;
mod ranpac;
mod rwalk;
mod sgp;
mod si;
mod slda;
mod spec;
mod subspace;
#[cfg(test)]
mod testing;

pub use agem::{Agem, AgemConfig, project};
pub use buffer::{
    Balanced, Memory, MemoryKind, MemorySize, Reservoir, ReservoirRule, Ring, Slot, gather,
};
pub use der::{Der, DerConfig};
pub use er::{Er, ErConfig, ReplayLoss};
pub use er_ace::{ErAce, ErAceConfig};
pub use ewc::{Ewc, EwcConfig, Fisher, Penalty};
pub use fisher::FisherLabels;
pub use gdumb::{Gdumb, GdumbConfig};
pub use gem::{Gem, GemConfig, project_onto_all};
pub use gpm::{Gpm, GpmConfig};
pub use icarl::{Icarl, IcarlConfig};
pub use independent::Independent;
pub use lwf::{Lwf, LwfConfig};
pub use mas::{Mas, MasConfig};
pub use mir::{Mir, MirConfig};
pub use ncm::Ncm;
pub use ogd::{Ogd, OgdConfig, OgdLogits};
pub use online_ewc::{OnlineEwc, OnlineEwcConfig};
pub use plain::{PLAIN, Plain, batch_gradient};
pub use ranpac::{Ranpac, RanpacConfig};
pub use rwalk::{Rwalk, RwalkConfig};
pub use sgp::{Sgp, SgpConfig};
pub use si::{Si, SiConfig};
pub use slda::{Slda, SldaConfig};
pub use spec::{Build, MethodContext, MethodSpec, Passes};

/// Every method of the program, in the order in which they are listed.
pub static METHODS: &[&MethodSpec] = &[
    &plain::PLAIN,
    &independent::INDEPENDENT,
    &ewc::EWC,
    &online_ewc::ONLINE_EWC,
    &si::SI,
    &mas::MAS,
    &rwalk::RWALK,
    &lwf::LWF,
    &agem::AGEM,
    &er::ER,
    &der::DER,
    &er_ace::ER_ACE,
    &mir::ER_MIR,
    &gem::GEM,
    &ogd::OGD,
    &gpm::GPM,
    &sgp::SGP,
    &gdumb::GDUMB,
    &icarl::ICARL,
    &ncm::NCM,
    &slda::SLDA,
    &ranpac::RANPAC,
];

use crate::model::{Classifier, Learner, LearnerError};
use crate::optim::{Layout, OptimError, State};
use crate::stream::{Batch, Classes, Task};

/// One training step as a method sees it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The tasks that have come so far, the present one among them; later ones are not shown.
    pub tasks: &'a [Task],
    /// The present task, from 0.
    pub t: usize,
    /// Where the batch's examples lie in the present task's training samples.
    pub positions: &'a [usize],
    /// The batch.
    pub batch: &'a Batch,
    /// The learning rate of the update that follows.
    pub learning_rate: f64,
}

/// The end of a task as a method sees it.
#[derive(Clone, Debug)]
pub struct TaskEnd<'a> {
    /// The tasks that have come so far, the one that ends among them; later ones are not shown.
    pub tasks: &'a [Task],
    /// The task that ends, from 0.
    pub t: usize,
    /// Classes of the head that the next task will have, where there is one: a fact about the head, not about its data.
    pub next_classes: Option<Classes>,
}

/// Turns batches into gradients and keeps what it needs of past tasks.
///
/// Of a task the calls are [`Self::begin_task`], then [`Self::gradient`], the optimizer's update and
/// [`Self::after_update`] for every batch, then [`Self::end_task`].
pub trait Method: Send {
    /// Task `t` (from 0), the newest of `tasks` unless tasks come round again, begins. What a method takes from the network
    /// before it learns the task (a frozen copy, say) it takes here.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn begin_task(
        &mut self,
        _t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        Ok(())
    }

    /// Loss of the batch alone; the gradient to step along replaces what `gradient` held, in the learner's layout.
    ///
    /// Batches pass the learner in the order in which norms are to take them in and dropout is to be drawn. Parameters may
    /// be changed for a while (a step that is only tried), if they are put back.
    ///
    /// # Errors
    /// [`LearnerError`] from the learner.
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError>;

    /// Whether every task begins with an optimizer that has seen nothing: where a task's network is no earlier task's, neither are the
    /// moments of its updates.
    fn forgets_updates(&self) -> bool {
        false
    }

    /// Whether the gradient that the batch's own backward pass gives is that of the batch alone, so that an optimizer may take its
    /// second moment of it.
    fn passes_batch_alone(&self) -> bool {
        true
    }

    /// The optimizer has stepped along the gradient of `step`: what a method needs of the way that the parameters went.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn after_update(
        &mut self,
        _learner: &mut dyn Learner,
        _step: &Step<'_>,
    ) -> Result<(), LearnerError> {
        Ok(())
    }

    /// A task ends.
    ///
    /// # Errors
    /// [`LearnerError`] if the learner cannot give what the method needs.
    fn end_task(
        &mut self,
        _end: &TaskEnd<'_>,
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        Ok(())
    }

    /// What judges images where accuracy and loss are measured: the network, unless a method judges in a way of its own
    /// (by the nearest mean of features, say).
    fn classifier(&self, learner: &dyn Learner) -> Box<dyn Classifier> {
        learner.frozen()
    }

    /// A snapshot of everything that later gradients depend on.
    fn state(&self) -> State<'_>;

    /// Takes a snapshot back, all or nothing. `tasks` are those that had come when it was taken; `learner` is as it was
    /// then.
    ///
    /// # Errors
    /// [`LearnerError::Vector`] for a snapshot of another method, stream or model.
    fn restore(
        &mut self,
        state: State<'_>,
        tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError>;

    /// Bytes allocated now for replay or regularisation.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Most bytes that a snapshot can have for what grows with the tasks, beyond some vectors of the network's size a task and what
    /// is remembered of examples: what a larger file says is not of this method.
    fn growing_bytes(&self, _layout: &Layout, _tasks: usize) -> u64 {
        0
    }

    /// Examples replayed so far.
    fn replayed_samples(&self) -> usize {
        0
    }
}

/// Adds `weight` times a vector.
fn add(gradient: &mut [f32], weight: f64, extra: &[f32]) {
    for (g, extra) in gradient.iter_mut().zip(extra) {
        *g += weight as f32 * extra;
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
