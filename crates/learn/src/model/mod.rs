//! Models: the networks of the paper, the learner that methods see, and the losses that they ask for.
//!
//! Owns the networks as Burn modules ([`Mlp`], [`ReducedResNet`], [`SlimResNet`], [`ResNet18`], [`AlexNet`],
//! [`LeNet`], and those that are nothing but a head, [`LinearNet`] and [`CosineNet`]), PyTorch's default initialisation, how tasks share a head ([`head`]), losses on logits ([`cross_entropy`],
//! [`squared_error`], [`binary_cross_entropy`]),
//! evaluation ([`Classifier`], [`evaluate`]), and [`Learner`]: a network whose parameters and gradients are flat vectors,
//! as a Burn module ([`NetworkLearner`]) or on this crate's kernels ([`KernelFeedForward`], [`KernelResNet`]).

mod alexnet;
mod classifier;
mod cosine;
mod feedforward;
mod freeze;
pub mod head;
mod inputs;
mod layers;
mod learner;
mod lenet;
mod linear;
mod loss;
mod mlp;
mod network;
mod resnet;
mod resnet18;
mod resnet_kernels;
mod running;
mod slim_resnet;
mod spec;
mod tap;
#[cfg(test)]
mod tests;
mod trunk;
mod weights;

pub use alexnet::{AlexNet, AlexNetConfig};
pub use classifier::{Classifier, Evaluation, evaluate};
pub use cosine::{COSINE_SCALE, CosineHead, CosineNet};
pub use feedforward::KernelFeedForward;
pub use freeze::Freeze;
pub use inputs::{LayerInputs, Notes};
pub use layers::{BiasConv, Conv, Dropout, Linear, Norm};
pub use learner::{Counters, Learner, LearnerError, Logits, Mode, Wanted};
pub use lenet::{LeNet, LeNetConfig};
pub use linear::{LINEAR, LinearNet};
pub use loss::{
    binary_cross_entropy, competing_cross_entropy, cross_entropy, distillation, squared_error,
    squared_length,
};
pub use mlp::{MLP, Mlp, MlpConfig};
pub use network::NetworkLearner;
pub use resnet::{Block, ReducedResNet, ReducedResNetConfig};
pub use resnet_kernels::KernelResNet;
pub use resnet18::{BasicBlock, Downsample, ResNet18, ResNet18Config};
pub use slim_resnet::{SlimResNet, SlimResNetConfig};
pub use spec::{DropoutSetting, InitialValues, ModelContext, ModelSpec};
pub use tap::Tap;
pub use trunk::{TrunkConfig, stock_kernels};
pub use weights::{
    Fitted, FloatTensor, Weights, WeightsError, describe_weights, fit_weights, read_weights,
};

use burn::module::{Module, ParamId};
use burn::tensor::Tensor;

use crate::data::ImageShape;

/// Every network of the program, in the order in which they are listed.
pub static MODELS: &[&ModelSpec] = &[
    &mlp::MLP,
    &resnet::REDUCED_RESNET18,
    &slim_resnet::SLIM_RESNET18,
    &resnet18::RESNET18,
    &alexnet::ALEXNET,
    &lenet::LENET,
    &linear::LINEAR,
    &cosine::COSINE,
];

/// A layer that turns features into logits.
pub trait Head {
    /// Classes of the head.
    fn outputs(&self) -> usize;

    /// Its weight, `[classes, features]`, among the network's parameters.
    fn weight(&self) -> ParamId;

    /// # Shapes
    /// - `features`: `[batch, features]`
    /// - output: `[batch, classes]`
    fn forward(&self, features: Tensor<2>) -> Tensor<2>;
}

/// A network that maps images to one logit per class of the whole stream.
pub trait Network: Module + Sync + 'static {
    /// What the head sees of images; every layer with a weight on the way notes what it sees, in `notes`.
    ///
    /// Training behaviour (batch statistics) is chosen by the module's device being an autodiff device, and dropout
    /// by `dropout`.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: `[batch, features]`
    fn pass(&self, images: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2>;

    /// [`Self::pass`] without notes.
    fn features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        self.pass(images, dropout, &mut Notes::off())
    }

    /// The layer that turns features into logits.
    fn head(&self) -> &dyn Head;

    /// Logits for images: the head on [`Self::features`].
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: `[batch, classes]`
    fn forward(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        self.head().forward(self.features(images, dropout))
    }

    /// The network with its normalisation frozen (running statistics also on an autodiff device, left unchanged) or
    /// thawed. Networks without normalisation are the same in both.
    #[must_use]
    fn with_frozen_norms(self, _frozen: bool) -> Self {
        self
    }

    /// The fewest positions of an image of this shape over which one of the network's batch norms takes its statistics;
    /// `None` without batch norms.
    #[must_use]
    fn norm_positions(_image: ImageShape) -> Option<usize> {
        None
    }

    /// The released PyTorch code's name for a parameter or buffer of this path.
    fn released_name(path: &str) -> String;

    /// Batch norms that the released network has and never uses, with their channels: they stand in a file of weights
    /// as they were made.
    #[must_use]
    fn idle_norms() -> &'static [(&'static str, usize)] {
        &[]
    }
}
