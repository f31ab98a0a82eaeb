//! The two-layer perceptron of the rotated and permuted MNIST streams (784-256-256-head in the released code).

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{
    Dropout, DropoutSetting, KernelMlp, Linear, ModelContext, ModelSpec, Network, stock_kernels,
};
use crate::seed::SeedStream;

/// Sizes of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpConfig {
    /// Values of an image.
    pub inputs: usize,
    /// Width of both hidden layers (256 in the paper).
    pub hidden: usize,
    /// Classes over all tasks.
    pub classes: usize,
}

/// Linear → ReLU → dropout, twice, then the head.
#[derive(Module, Debug)]
pub struct Mlp {
    /// First hidden layer.
    pub w1: Linear,
    /// Second hidden layer.
    pub w2: Linear,
    /// Head.
    pub w3: Linear,
}

impl MlpConfig {
    /// A network with PyTorch's default initial values.
    #[must_use]
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> Mlp {
        Mlp {
            w1: Linear::new(self.inputs, self.hidden, stream, device),
            w2: Linear::new(self.hidden, self.hidden, stream, device),
            w3: Linear::new(self.hidden, self.classes, stream, device),
        }
    }
}

impl Network for Mlp {
    fn features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        let x = dropout.apply(relu(self.w1.forward(images.flatten(1, 3))));
        dropout.apply(relu(self.w2.forward(x)))
    }

    fn head(&self) -> &Linear {
        &self.w3
    }

    fn released_name(path: &str) -> String {
        path.replacen('w', "W", 1)
    }
}

/// The network as the program knows it.
pub static MLP: ModelSpec = ModelSpec {
    name: "mlp",
    description: "Two hidden layers with ReLU and dropout (256 wide in the paper).",
    head: "W3",
    dropout: DropoutSetting::Set,
    hidden: true,
    fresh_head: false,
    defaults: &[],
    norm_positions: Mlp::norm_positions,
    check: |_| Ok(()),
    build: |context| {
        let image = context.image;
        let mlp = MlpConfig {
            inputs: image.channels * image.height * image.width,
            hidden: context.hidden.unwrap_or(256),
            classes: context.classes,
        };
        let (mut init, dropout) = (context.init(), context.dropout());
        if stock_kernels() {
            let network = mlp.init(&mut init, &ModelContext::device());
            return Ok(ModelContext::learner(network, dropout));
        }
        Ok(Box::new(KernelMlp::new(&mlp, &mut init, dropout)))
    },
};
