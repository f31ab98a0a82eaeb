//! A network as methods and optimizers see it: flat parameters, logits out, gradients at the logits in.
//!
//! Owns the seam between a network and what is done with it. A method passes batches forward, decides what to lose and
//! passes the gradient at the logits backward; an optimizer changes one vector of parameters; neither knows tensors, so a
//! network may compute in any way it likes. Everything that does not depend on how it computes (evaluation, files of
//! weights, snapshots) is written here once.

use super::weights::{FloatTensor, WeightsError, read_weights, take_weight, write_weights};
use super::{Classifier, Evaluation, LayerInputs, evaluate};
use crate::data::ImageShape;
use crate::optim::{Layout, OptimError, State};
use crate::stream::{Batch, Classes, Samples};

/// Why a learner cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnerError {
    /// Vectors of another model.
    #[error(transparent)]
    Vector(#[from] OptimError),
    /// A weights file that does not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A batch without examples.
    #[error("a batch without examples has no gradient")]
    EmptyBatch,
    /// A training batch in which a batch norm has one value a channel: no statistics.
    #[error(
        "a training batch of one image of {image} gives batch norm a single value a channel, whose variance is 0: nothing \
         is learned of it (PyTorch refuses it, too); take batches of more than one image, and leave a last one of one image \
         out (drop_last = true)"
    )]
    OneValue {
        /// Shape of the image.
        image: ImageShape,
    },
    /// Images that the network cannot take.
    #[error("the images do not fit the network: {0}")]
    Size(String),
    /// A backward pass without its forward pass.
    #[error(
        "no forward pass is open: pass a batch forward in Mode::Train or Mode::Evaluate first; its one backward pass must \
         come before the parameters change"
    )]
    NoForward,
    /// A vector that does not belong to the batch.
    #[error("{what}: {found} were given, {expected} are needed")]
    Length {
        /// Which vector.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length that came.
        found: usize,
    },
    /// A label that does not compete.
    #[error("the label {label} is not among the classes that compete for its example: {classes}")]
    Label {
        /// The label.
        label: usize,
        /// The classes that compete.
        classes: Classes,
    },
    /// A layer of which the network does not say what it saw.
    #[error("the network does not say what its layer with the weight {weight} sees")]
    NoInputs {
        /// Name of the weight.
        weight: String,
    },
    /// Inputs of a layer whose singular values cannot be found.
    #[error(
        "what the layer with the weight {weight} sees has no singular values: it is not finite, so training has diverged; \
         a smaller learning rate may help"
    )]
    NoSpectrum {
        /// Name of the weight.
        weight: String,
    },
    /// Logits that were not computed.
    #[error(
        "the logits of the classes {set} were not wanted of the forward pass: ask for Wanted::All"
    )]
    NotWanted {
        /// The classes.
        set: Classes,
    },
    /// Parameters that cannot be frozen.
    #[error("freeze: {problem}; its parameters are {names}")]
    Frozen {
        /// What is wrong.
        problem: String,
        /// The parameters that there are.
        names: String,
    },
    /// A system of equations without a solution in double precision.
    #[error(
        "the method's system of equations has no solution in double precision: the features are too large or too alike; \
         scale them, or raise the setting that stands for its diagonal (slda_shrinkage, ranpac_ridge)"
    )]
    NoSolution,
    /// Classes that the head does not have.
    #[error("classes {set}: a set must not be empty nor go beyond the head, which has {head}")]
    Classes {
        /// The classes.
        set: Classes,
        /// Classes of the head.
        head: usize,
    },
}

/// What a forward pass does beside giving logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Training: norms take the batch's statistics, which enter the running ones; dropout is drawn; the batch is counted.
    Train,
    /// As [`Self::Train`], without keeping what a backward pass needs.
    Observe,
    /// Evaluation: norms take the running statistics, there is no dropout, and nothing of the learner changes but the
    /// pass that it keeps.
    Evaluate,
}

/// Of which classes somebody wants the logits.
///
/// A head tells apart many more classes than compete for an example of one task, and the small networks would spend a
/// tenth of a step on logits that nobody looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Of none: the pass is for its statistics and dropout alone.
    Nothing,
    /// For each example, of the classes that compete for it ([`Batch::competing`]).
    Competing,
    /// Of all classes of the head.
    All,
}

/// Logits of a batch: `[batch, classes]`, row-major, with a place for every class of the head. Places of classes that
/// were not wanted mean nothing, and losses refuse them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logits<'a> {
    values: &'a [f32],
    classes: usize,
    wanted: Wanted,
    competing: &'a [Classes],
}

impl<'a> Logits<'a> {
    /// Rows of `classes` values, all of which were wanted; a rest is left out.
    #[must_use]
    pub fn new(values: &'a [f32], classes: usize) -> Self {
        let whole = values.len() / classes.max(1) * classes;
        Self {
            values: values.get(..whole).unwrap_or_default(),
            classes,
            wanted: Wanted::All,
            competing: &[],
        }
    }

    /// Those of a batch.
    pub(super) fn of(values: &'a [f32], classes: usize, wanted: Wanted, batch: &'a Batch) -> Self {
        Self {
            wanted,
            competing: &batch.competing,
            ..Self::new(values, classes)
        }
    }

    /// Whether the logits of these classes are there, for the example of this number.
    #[must_use]
    pub fn has(self, example: usize, classes: &Classes) -> bool {
        match self.wanted {
            Wanted::Nothing => false,
            Wanted::All => classes.end() <= self.classes,
            Wanted::Competing => {
                let there = self.competing.get(example);
                there.is_some_and(|there| {
                    there == classes || classes.iter().all(|c| there.contains(c))
                })
            }
        }
    }

    /// All values, row by row.
    #[must_use]
    pub fn values(self) -> &'a [f32] {
        self.values
    }

    /// Classes of the head.
    #[must_use]
    pub fn classes(self) -> usize {
        self.classes
    }

    /// One row an example.
    pub fn rows(self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.classes.max(1))
    }
}

/// What later results depend on beside tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Forward passes in training so far: PyTorch's `num_batches_tracked`.
    pub batches: i64,
    /// How far the dropout stream is.
    pub dropout: u64,
}

/// A network with flat parameters.
///
/// A training step is three calls, and a loss of several batches repeats the first two:
///
/// ```
/// use tagcl_learn::data::ImageShape;
/// use tagcl_learn::model::{Dropout, KernelFeedForward, Learner, MlpConfig, Mode, Wanted, cross_entropy};
/// use tagcl_learn::seed::Seeds;
/// use tagcl_learn::stream::Batch;
///
/// let config = MlpConfig { inputs: 4, hidden: 8, classes: 4 };
/// let mut learner = KernelFeedForward::mlp(&config, &mut Seeds::new(1).stream("init"), Dropout::off());
/// let batch = Batch {
///     pixels: vec![0.5; 8],
///     shape: ImageShape::new(1, 2, 2),
///     labels: vec![2, 3],
///     competing: vec![(2..4).into(); 2],
/// };
/// let logits = learner.forward(&batch, Mode::Train, Wanted::Competing)?;
/// let (loss, d_logits) = cross_entropy(logits, &batch.labels, &batch.competing)?;
/// let mut gradient = Vec::new();
/// learner.backward(&d_logits, &mut gradient)?;
/// learner.update(&mut |theta| {
///     theta.iter_mut().zip(&gradient).for_each(|(p, g)| *p -= 0.1 * g);
///     Ok(())
/// })?;
/// assert!(loss > 0.0);
/// # Ok::<(), tagcl_learn::model::LearnerError>(())
/// ```
pub trait Learner: Send {
    /// Names, shapes and positions of the parameters, under the released code's names.
    fn layout(&self) -> &Layout;

    /// The parameters.
    fn parameters(&self) -> &[f32];

    /// Changes the parameters in place; they take effect when the closure returns. A forward pass that waits for its
    /// backward pass is forgotten.
    ///
    /// # Errors
    /// What the closure returns, or [`LearnerError::Vector`].
    fn update(
        &mut self,
        change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
    ) -> Result<(), LearnerError>;

    /// Logits of a batch. The pass before is forgotten.
    ///
    /// # Shapes
    /// Output: `[batch, classes]`.
    ///
    /// # Errors
    /// [`LearnerError::EmptyBatch`], [`LearnerError::Size`] if the images do not fit the network, and
    /// [`LearnerError::Classes`] if classes are wanted that the head lacks; nothing has changed then.
    fn forward<'a>(
        &'a mut self,
        batch: &'a Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'a>, LearnerError>;

    /// What the head saw in the last forward pass, whatever its mode: `[batch, features]`.
    ///
    /// # Errors
    /// [`LearnerError::NoForward`] before the first pass, where it was forgotten, and where nothing was wanted of it.
    fn features(&mut self) -> Result<&[f32], LearnerError>;

    /// Gradient of the last forward pass in [`Mode::Train`] or [`Mode::Evaluate`] for this one at its logits; it replaces
    /// what `gradient` held, in the learner's layout. One backward pass a forward pass.
    ///
    /// # Shapes
    /// `d_logits`: `[batch, classes]`.
    ///
    /// # Errors
    /// [`LearnerError::NoForward`] without such a pass, [`LearnerError::Length`] for a gradient of another batch.
    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError>;

    /// What every layer with a weight sees of a batch in evaluation mode, at most this many rows a layer, evenly spaced: in the
    /// order of the pass, the head last. Nothing of the learner changes.
    ///
    /// # Errors
    /// [`LearnerError::Size`] if the images do not fit the network.
    fn layer_inputs(&self, batch: &Batch, rows: usize) -> Result<Vec<LayerInputs>, LearnerError>;

    /// The network as it is now, in evaluation mode, for any number of threads: later updates do not change it. The copy
    /// costs nothing before the next update.
    fn frozen(&self) -> Box<dyn Classifier>;

    /// Parameters and buffers: the layout's tensors first, in its order.
    fn tensors(&self) -> Vec<FloatTensor>;

    /// The values of [`Self::tensors`], one vector a tensor.
    fn values(&self) -> Vec<Vec<f32>> {
        let tensors = self.tensors().into_iter();
        tensors.map(|tensor| tensor.values).collect()
    }

    /// Puts values in, as many as [`Self::tensors`] has, each of its length and in its order. A forward pass that waits is
    /// forgotten.
    fn set_tensors(&mut self, values: Vec<Vec<f32>>);

    /// What else later results depend on.
    fn counters(&self) -> Counters;

    /// Puts counters in.
    fn set_counters(&mut self, counters: Counters);

    /// Batch norms that the released network has and never uses, with their channels: they stand in a file of weights as
    /// they were made.
    fn idle_norms(&self) -> &'static [(&'static str, usize)] {
        &[]
    }

    /// Accuracy and loss in evaluation mode over all samples, as [`evaluate`] gives them.
    ///
    /// # Errors
    /// [`LearnerError`] if the images do not fit the network.
    fn evaluate(
        &self,
        samples: &Samples,
        batch_size: usize,
        threads: usize,
    ) -> Result<Evaluation, LearnerError> {
        evaluate(&*self.frozen(), samples, batch_size, threads)
    }

    /// [`Self::frozen`] with these tensors in the place of its own: a teacher out of a snapshot.
    fn frozen_with(&mut self, values: Vec<Vec<f32>>) -> Box<dyn Classifier> {
        let own = self.values();
        self.set_tensors(values);
        let frozen = self.frozen();
        self.set_tensors(own);
        frozen
    }

    /// Parameters and buffers as a safetensors file under the released PyTorch code's names.
    ///
    /// # Errors
    /// [`WeightsError::Format`] (never for a network of this crate).
    fn weights(&self) -> Result<Vec<u8>, WeightsError> {
        write_weights(&self.tensors(), self.counters().batches, self.idle_norms())
    }

    /// Takes parameters and buffers from such a file.
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing or differs; nothing is changed then.
    fn load(&mut self, bytes: &[u8]) -> Result<(), LearnerError> {
        let file = read_weights(bytes)?;
        let tensors = self.tensors().into_iter();
        let taken: Result<Vec<_>, _> = tensors
            .map(|tensor| take_weight(&file, &tensor.name, &tensor.shape))
            .collect();
        self.set_tensors(taken?);
        Ok(())
    }

    /// A snapshot of everything that later results depend on: parameters, buffers, counters, place of the dropout
    /// stream. It has the same form for every implementation, so that what one saved is what another takes.
    fn state(&self) -> State<'static> {
        let counters = self.counters();
        let batches = usize::try_from(counters.batches).unwrap_or(0);
        let mut state = State::new(KIND).with_counter("batches", batches);
        state.put_list("dropout", vec![counters.dropout]);
        for tensor in self.tensors() {
            state.put(&tensor.name, tensor.values);
        }
        state
    }

    /// Takes a snapshot back, all or nothing.
    ///
    /// # Errors
    /// [`LearnerError::Vector`] for a snapshot of another network.
    fn restore(&mut self, mut state: State<'_>) -> Result<(), LearnerError> {
        state.expect_kind(KIND)?;
        let batches = state.counter("batches")? as i64;
        let dropout = state.take_list("dropout")?.first().copied().unwrap_or(0);
        let tensors = self.tensors().into_iter();
        let taken: Result<Vec<_>, _> = tensors
            .map(|tensor| state.take(&tensor.name, tensor.values.len()))
            .collect();
        self.set_tensors(taken?);
        self.set_counters(Counters { batches, dropout });
        Ok(())
    }
}

/// Kind of a learner's snapshot.
const KIND: &str = "learner";

/// Refuses a gradient at the logits that is not of this pass.
pub(super) fn check_gradient(found: usize, expected: usize) -> Result<(), LearnerError> {
    if found == expected {
        return Ok(());
    }
    Err(LearnerError::Length {
        what: "values of the gradient at the logits",
        expected,
        found,
    })
}

/// The part of [`Learner`] in which a learner around another, `inner`, changes nothing: all but how batches pass and parameters
/// are updated.
macro_rules! passes_on {
    () => {
        fn layout(&self) -> &Layout {
            self.inner.layout()
        }

        fn parameters(&self) -> &[f32] {
            self.inner.parameters()
        }

        fn features(&mut self) -> Result<&[f32], LearnerError> {
            self.inner.features()
        }

        fn layer_inputs(
            &self,
            batch: &Batch,
            rows: usize,
        ) -> Result<Vec<LayerInputs>, LearnerError> {
            self.inner.layer_inputs(batch, rows)
        }

        fn frozen(&self) -> Box<dyn Classifier> {
            self.inner.frozen()
        }

        fn tensors(&self) -> Vec<FloatTensor> {
            self.inner.tensors()
        }

        fn set_tensors(&mut self, values: Vec<Vec<f32>>) {
            self.inner.set_tensors(values);
        }

        fn counters(&self) -> Counters {
            self.inner.counters()
        }

        fn set_counters(&mut self, counters: Counters) {
            self.inner.set_counters(counters);
        }

        fn idle_norms(&self) -> &'static [(&'static str, usize)] {
            self.inner.idle_norms()
        }
    };
}
pub(super) use passes_on;

/// The part of [`Learner`] that is the same for every network on kernels, which has a `net` shared with its frozen copies.
macro_rules! of_net {
    () => {
        fn layout(&self) -> &Layout {
            &self.net.layout
        }

        fn parameters(&self) -> &[f32] {
            &self.net.parameters
        }

        fn update(
            &mut self,
            change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
        ) -> Result<(), LearnerError> {
            Ok(change(&mut self.net_mut().parameters)?)
        }

        fn frozen(&self) -> Box<dyn Classifier> {
            Box::new(Arc::clone(&self.net))
        }
    };
}
pub(super) use of_net;

/// The counters of a learner that counts its `batches` and draws `dropout`.
macro_rules! counted {
    () => {
        fn counters(&self) -> Counters {
            Counters {
                batches: self.batches,
                dropout: self.dropout.position(),
            }
        }

        fn set_counters(&mut self, counters: Counters) {
            self.batches = counters.batches;
            self.dropout.seek(counters.dropout);
        }
    };
}
pub(super) use counted;

/// Cuts a flat vector into the tensors of a layout.
pub(super) fn split_mut<'a>(layout: &Layout, mut rest: &'a mut [f32]) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::new();
    for slot in layout.slots() {
        let (part, tail) = rest.split_at_mut(slot.range.len());
        parts.push(part);
        rest = tail;
    }
    parts
}
