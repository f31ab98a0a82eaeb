//! The AlexNet of the released code for CIFAR-100 in ten tasks.
//!
//! Owns the network as released: three convolutions without padding whose sizes follow from the image's, max pooling
//! after each, two hidden layers of 2048, dropout of fixed probability (0.2 after the first two convolutions, 0.5 after
//! the third and the hidden layers). The released class also has five batch norms that nothing uses; they are written
//! with the weights, as they were made, so that the file loads there.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use super::{
    BiasConv, Dropout, DropoutSetting, Head, KernelFeedForward, LearnerError, Linear, ModelContext,
    ModelSpec, Network, Notes, stock_kernels,
};
use crate::data::ImageShape;
use crate::kernels::cnn::{CnnSpec, StageSpec};
use crate::seed::SeedStream;

/// Width of the hidden layers.
const HIDDEN: usize = 2048;
/// Dropout after the first two convolutions.
const LIGHT: f32 = 0.2;
/// Dropout after the third convolution and the hidden layers.
const HEAVY: f32 = 0.5;

/// Channels of the convolutions, and dropout after each.
const CHANNELS: [usize; 3] = [64, 128, 256];
const DROPS: [f32; 3] = [LIGHT, LIGHT, HEAVY];

/// Sizes of an [`AlexNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNetConfig {
    /// Shape of an image; square.
    pub image: ImageShape,
    /// Classes over all tasks.
    pub classes: usize,
}

/// (Convolution → ReLU → dropout → max pooling) three times, (linear → ReLU → dropout) twice, head.
#[derive(Module, Debug)]
pub struct AlexNet {
    /// 64 channels; an eighth of the image's side.
    pub conv1: BiasConv,
    /// 128 channels; a tenth of the image's side.
    pub conv2: BiasConv,
    /// 256 channels, 2×2.
    pub conv3: BiasConv,
    /// First hidden layer.
    pub fc1: Linear,
    /// Second hidden layer.
    pub fc2: Linear,
    /// Head.
    pub linear: Linear,
}

/// What a convolution of this size without padding and then pooling by two leave of a side.
fn halved(side: usize, kernel: usize) -> Option<usize> {
    let side = (side + 1).checked_sub(kernel)? / 2;
    (kernel > 0 && side > 0).then_some(side)
}

impl AlexNetConfig {
    /// Sizes of the three convolutions, and the side of the plane after them.
    fn sizes(&self) -> Option<([usize; 3], usize)> {
        let side = self.image.height;
        let kernels = [side / 8, side / 10, 2];
        let left = kernels.iter().try_fold(side, |s, &k| halved(s, k))?;
        (self.image.width == side).then_some((kernels, left))
    }

    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    pub fn validate(&self) -> Result<(), LearnerError> {
        self.checked().map(|_| ())
    }

    fn checked(&self) -> Result<([usize; 3], usize), LearnerError> {
        self.sizes().ok_or_else(|| {
            LearnerError::Size(format!(
                "alexnet takes square images of at least 12x12 pixels (its three convolutions and poolings must leave \
                 some), not {}",
                self.image
            ))
        })
    }

    /// Its convolutional part for the kernels, and width and dropout of the hidden layers.
    pub(super) fn parts(&self) -> Result<(CnnSpec, [(usize, f32); 2]), LearnerError> {
        let (kernels, _) = self.checked()?;
        let stage = |i: usize| StageSpec {
            channels: CHANNELS[i],
            size: kernels[i],
            padding: 0,
            dropout: DROPS[i],
        };
        let spec = CnnSpec {
            in_channels: self.image.channels,
            height: self.image.height,
            width: self.image.width,
            stages: (0..kernels.len()).map(stage).collect(),
            norms: false,
        };
        Ok((spec, [(HIDDEN, HEAVY); 2]))
    }

    /// A network with PyTorch's default initial values.
    ///
    /// # Errors
    /// [`LearnerError::Size`] for images that it does not take.
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> Result<AlexNet, LearnerError> {
        let ([k1, k2, k3], side) = self.checked()?;
        let channels = self.image.channels;
        let [c1, c2, c3] = CHANNELS;
        Ok(AlexNet {
            conv1: BiasConv::new([channels, c1], k1, 0, stream, device),
            conv2: BiasConv::new([c1, c2], k2, 0, stream, device),
            conv3: BiasConv::new([c2, c3], k3, 0, stream, device),
            fc1: Linear::new(c3 * side * side, HIDDEN, stream, device),
            fc2: Linear::new(HIDDEN, HIDDEN, stream, device),
            linear: Linear::new(HIDDEN, self.classes, stream, device),
        })
    }
}

impl Network for AlexNet {
    fn pass(&self, images: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2> {
        let mut x = images;
        let convolutions = [&self.conv1, &self.conv2, &self.conv3];
        for (conv, probability) in convolutions.into_iter().zip(DROPS) {
            notes.bias_conv(conv, &x);
            x = dropout.apply_with(probability, relu(conv.forward(x)));
            x = max_pool2d(x, MaxPoolOptions::new([2; 2]));
        }
        let mut x = x.flatten(1, 3);
        for linear in [&self.fc1, &self.fc2] {
            notes.linear(linear, &x);
            x = dropout.apply_with(HEAVY, relu(linear.forward(x)));
        }
        x
    }

    fn head(&self) -> &dyn Head {
        &self.linear
    }

    fn released_name(path: &str) -> String {
        path.to_string()
    }

    fn idle_norms() -> &'static [(&'static str, usize)] {
        &[
            ("bn1", 64),
            ("bn2", 128),
            ("bn3", 256),
            ("bn4", HIDDEN),
            ("bn5", HIDDEN),
        ]
    }
}

/// The network as the program knows it.
pub(super) static ALEXNET: ModelSpec = ModelSpec {
    name: "alexnet",
    description: "The released code's AlexNet for CIFAR-100 in 10 tasks: three convolutions, dropout of its own.",
    head: "linear",
    dropout: DropoutSetting::Fixed,
    hidden: false,
    scale: None,
    fresh_head: false,
    defaults: &[("batch_size", "64")],
    norm_positions: AlexNet::norm_positions,
    vectors: false,
    check: |image| AlexNetConfig { image, classes: 1 }.validate(),
    build: |context| {
        let config = AlexNetConfig {
            image: context.image,
            classes: context.classes,
        };
        config.validate()?;
        let (mut init, dropout) = (context.init(), Dropout::by_layer(context.masks()));
        if stock_kernels() {
            let network = config.init(&mut init, &ModelContext::device())?;
            return Ok(ModelContext::learner(network, dropout));
        }
        let threads = context.threads;
        let network = KernelFeedForward::alexnet(&config, &mut init, dropout, threads)?;
        Ok(Box::new(network))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_the_image() {
        let sizes = |height, width| {
            let image = ImageShape::new(3, height, width);
            AlexNetConfig { image, classes: 10 }.sizes()
        };
        assert_eq!(sizes(32, 32), Some(([4, 3, 2], 2)));
        assert_eq!(sizes(84, 84), Some(([10, 8, 2], 7)));
        assert_eq!(sizes(28, 28), Some(([3, 2, 2], 2)));
        assert_eq!(sizes(32, 31), None);
        let least = (1..40).find(|&side| sizes(side, side).is_some());
        assert_eq!(least, Some(12));
        assert!((12..300).all(|side| sizes(side, side).is_some()));
    }
}
