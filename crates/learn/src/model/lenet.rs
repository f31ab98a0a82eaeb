//! The LeNet of the released code: two normalised 5×5 convolutions, one hidden layer, no dropout.
//!
//! Owns the network under the released names, where the layers before the head are numbered (`linear.0.weight`, ...).

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use super::{
    BiasConv, Dropout, DropoutSetting, Head, KernelFeedForward, LearnerError, Linear, ModelContext,
    ModelSpec, Network, Norm, Notes, stock_kernels,
};
use crate::data::ImageShape;
use crate::kernels::cnn::{CnnSpec, StageSpec};
use crate::seed::SeedStream;

/// Width of the hidden layer.
const HIDDEN: usize = 500;
/// Channels of the convolutions, and the side of their kernels.
const CHANNELS: [usize; 2] = [20, 50];
const SIZE: usize = 5;

/// Sizes of a [`LeNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeNetConfig {
    /// Shape of an image; sides of at least 4 pixels.
    pub image: ImageShape,
    /// Classes over all tasks.
    pub classes: usize,
}

/// (Convolution → norm → ReLU → max pooling) twice, hidden layer with ReLU, head.
#[derive(Module, Debug)]
pub struct LeNet {
    /// 5×5, 20 channels.
    pub conv1: BiasConv,
    /// After it.
    pub bn1: Norm,
    /// 5×5, 50 channels.
    pub conv2: BiasConv,
    /// After it.
    pub bn2: Norm,
    /// Hidden layer.
    pub hidden: Linear,
    /// Head.
    pub last: Linear,
}

impl LeNetConfig {
    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    pub fn validate(&self) -> Result<(), LearnerError> {
        if self.image.height < 4 || self.image.width < 4 {
            return Err(LearnerError::Size(format!(
                "lenet takes images of at least 4x4 pixels, not {}",
                self.image
            )));
        }
        Ok(())
    }

    /// Its convolutional part for the kernels, and the width of the hidden layer.
    pub(super) fn parts(&self) -> Result<(CnnSpec, usize), LearnerError> {
        self.validate()?;
        let stage = |channels: usize| StageSpec {
            channels,
            size: SIZE,
            padding: SIZE / 2,
            dropout: 0.0,
        };
        let spec = CnnSpec {
            in_channels: self.image.channels,
            height: self.image.height,
            width: self.image.width,
            stages: CHANNELS.map(stage).to_vec(),
            norms: true,
        };
        Ok((spec, HIDDEN))
    }

    /// A network with PyTorch's default initial values.
    #[must_use]
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> LeNet {
        let plane = (self.image.height / 2 / 2) * (self.image.width / 2 / 2);
        let [first, second] = CHANNELS;
        let conv = |inputs: usize, outputs: usize, stream: &mut SeedStream| {
            BiasConv::new([inputs, outputs], SIZE, SIZE / 2, stream, device)
        };
        LeNet {
            conv1: conv(self.image.channels, first, stream),
            bn1: Norm::new(first, device),
            conv2: conv(first, second, stream),
            bn2: Norm::new(second, device),
            hidden: Linear::new(second * plane, HIDDEN, stream, device),
            last: Linear::new(HIDDEN, self.classes, stream, device),
        }
    }
}

impl Network for LeNet {
    fn pass(&self, images: Tensor<4>, _dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2> {
        let mut x = images;
        for (conv, norm) in [(&self.conv1, &self.bn1), (&self.conv2, &self.bn2)] {
            notes.bias_conv(conv, &x);
            let y = relu(norm.forward(conv.forward(x)));
            x = max_pool2d(y, MaxPoolOptions::new([2; 2]));
        }
        let x = x.flatten(1, 3);
        notes.linear(&self.hidden, &x);
        relu(self.hidden.forward(x))
    }

    fn head(&self) -> &dyn Head {
        &self.last
    }

    fn with_frozen_norms(mut self, frozen: bool) -> Self {
        (self.bn1.frozen, self.bn2.frozen) = (frozen, frozen);
        self
    }

    fn norm_positions(image: ImageShape) -> Option<usize> {
        // The second norm sees what the first pooling leaves.
        Some((image.height / 2) * (image.width / 2))
    }

    fn released_name(path: &str) -> String {
        let numbers = [
            ("conv1", "linear.0"),
            ("bn1", "linear.1"),
            ("conv2", "linear.4"),
            ("bn2", "linear.5"),
            ("hidden", "linear.9"),
        ];
        let (layer, rest) = path.split_once('.').unwrap_or((path, ""));
        match numbers.iter().find(|(name, _)| *name == layer) {
            Some((_, number)) => format!("{number}.{rest}"),
            None => path.to_string(),
        }
    }
}

/// The network as the program knows it.
pub(super) static LENET: ModelSpec = ModelSpec {
    name: "lenet",
    description: "The released code's LeNet: two normalised 5x5 convolutions and one hidden layer.",
    head: "last",
    dropout: DropoutSetting::None,
    hidden: false,
    scale: None,
    fresh_head: false,
    defaults: &[],
    norm_positions: LeNet::norm_positions,
    vectors: false,
    check: |image| LeNetConfig { image, classes: 1 }.validate(),
    build: |context| {
        let config = LeNetConfig {
            image: context.image,
            classes: context.classes,
        };
        config.validate()?;
        let (mut init, threads) = (context.init(), context.threads);
        if stock_kernels() {
            let network = config.init(&mut init, &ModelContext::device());
            return Ok(ModelContext::learner(network, Dropout::off()));
        }
        let network = KernelFeedForward::lenet(&config, &mut init, threads)?;
        Ok(Box::new(network))
    },
};
