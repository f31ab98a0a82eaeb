//! Models: the networks of the paper, their heads, and the learner that methods see.
//!
//! Owns the networks as Burn modules ([`Mlp`], [`ReducedResNet`], [`ResNet18`], [`AlexNet`], [`LeNet`]), PyTorch's default initialisation, the only place that
//! knows how tasks share a head ([`head`]), and [`Learner`]: a network whose parameters and gradients are flat
//! vectors.

mod alexnet;
pub mod head;
mod layers;
mod learner;
mod lenet;
mod mlp;
mod mlp_kernels;
mod resnet;
mod resnet18;
mod resnet_kernels;
mod weights;

pub use alexnet::{AlexNet, AlexNetConfig};
pub use layers::{BiasConv, Conv, Dropout, Linear, Norm};
pub use learner::{Evaluation, Learner, LearnerError, NetworkLearner};
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Mlp, MlpConfig};
pub use mlp_kernels::KernelMlp;
pub use resnet::{Block, ReducedResNet, ReducedResNetConfig, stock_kernels};
pub use resnet_kernels::KernelResNet;
pub use resnet18::{BasicBlock, Downsample, ResNet18, ResNet18Config};
pub use weights::{Fitted, Weights, WeightsError, fit_weights, read_weights, with_fresh_head};

use burn::module::Module;
use burn::tensor::Tensor;

/// A network that maps images to one logit per class of the whole stream.
pub trait Network: Module + Sync + 'static {
    /// Logits for images.
    ///
    /// Training behaviour (batch statistics) is chosen by the module's device being an autodiff device, and dropout
    /// by `dropout`.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`
    /// - output: `[batch, classes]`
    fn forward(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2>;

    /// The network with its normalisation frozen (running statistics also on an autodiff device, left unchanged) or
    /// thawed. Networks without normalisation are the same in both.
    #[must_use]
    fn with_frozen_norms(self, _frozen: bool) -> Self {
        self
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
