//! What the program knows of a network.
//!
//! Owns the form in which one says so, beside its own code: name, the layer that is its head, which settings mean
//! something to it, which images it takes, and how it is built, on the CPU kernels where there are some. The table is
//! [`MODELS`](super::MODELS).

use burn::tensor::Device;

use super::{Dropout, Learner, LearnerError, Network, NetworkLearner};
use crate::data::ImageShape;
use crate::seed::{SeedStream, Seeds};
use crate::settings::Named;

/// What a network is built from.
#[derive(Clone, Copy, Debug)]
pub struct ModelContext {
    /// Shape of an image.
    pub image: ImageShape,
    /// Classes of the head.
    pub classes: usize,
    /// Width of the hidden layers, for the networks that have it as a setting.
    pub hidden: Option<usize>,
    /// Largest logit, for the networks that have it as a setting.
    pub scale: Option<f64>,
    /// How initial values are drawn, for the networks that have it as a setting.
    pub initial: InitialValues,
    /// Dropout probability, for the networks that have it as a setting.
    pub dropout: f64,
    /// Seeds of the initial values.
    pub init: Seeds,
    /// The run's seeds.
    pub seeds: Seeds,
    /// Threads inside a pass; results do not depend on it.
    pub threads: usize,
}

impl ModelContext {
    /// The stream of initial values.
    pub(super) fn init(&self) -> SeedStream {
        self.init.stream("init")
    }

    /// The stream of dropout masks.
    pub(super) fn masks(&self) -> SeedStream {
        self.seeds.stream("dropout")
    }

    /// Dropout of the probability that is set.
    pub(super) fn dropout(&self) -> Dropout {
        Dropout::new(self.dropout as f32, self.masks())
    }

    /// Where Burn's networks are trained.
    pub(super) fn device() -> Device {
        Device::flex().autodiff()
    }

    /// A Burn network as a learner.
    pub(super) fn learner<N: Network>(network: N, dropout: Dropout) -> Box<dyn Learner> {
        Box::new(NetworkLearner::new(network, dropout, &Self::device()))
    }
}

/// How initial values are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialValues {
    /// As PyTorch's layers: weights and biases uniform within `±1/√inputs`.
    #[default]
    PyTorch,
    /// Weights uniform within `±√(6 / (inputs + outputs))` (Glorot and Bengio 2010, eq. 16), biases 0.
    Xavier,
}

crate::choices!(InitialValues { "pytorch" => PyTorch, "xavier" => Xavier });

/// What the setting `dropout` means to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutSetting {
    /// It has that probability.
    Set,
    /// It has none.
    None,
    /// It has none; the released code takes any probability for it, and ignores it.
    Ignored,
    /// It has its own, which is fixed.
    Fixed,
}

/// A network as the program's settings, lists, tables and estimates see it.
pub struct ModelSpec {
    /// Name in settings.
    pub name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Name of the layer that is the head, in files of weights.
    pub head: &'static str,
    /// What the setting `dropout` means to it.
    pub dropout: DropoutSetting,
    /// Whether the setting `hidden` is one of its own.
    pub hidden: bool,
    /// Its largest logit unless told otherwise, where the setting `cosine_scale` is one of its own.
    pub scale: Option<f64>,
    /// Whether initial weights bring all but the head unless told otherwise: it starts from weights for other classes.
    pub fresh_head: bool,
    /// Settings that it has other defaults for, on every benchmark.
    pub defaults: &'static [(&'static str, &'static str)],
    /// The fewest positions of an image over which one of its batch norms takes its statistics; `None` without any.
    pub norm_positions: fn(ImageShape) -> Option<usize>,
    /// Whether it takes any vector: features that a network gave, which have neither rows nor columns.
    pub vectors: bool,
    /// Checks that it takes images of this shape.
    pub check: fn(ImageShape) -> Result<(), LearnerError>,
    /// Makes one, freshly initialised.
    pub build: fn(&ModelContext) -> Result<Box<dyn Learner>, LearnerError>,
}

impl Named for ModelSpec {
    const WHAT: &'static str = "model";
    fn all() -> &'static [&'static Self] {
        super::MODELS
    }
    fn name(&self) -> &'static str {
        self.name
    }
    fn description(&self) -> &'static str {
        self.description
    }
}

crate::by_name!(ModelSpec);
