//! The slim ResNet-18 of GEM and of much of what came after it (A-GEM, MIR, DER): two 3×3 convolutions a block.
//!
//! Owns the network under the released code's names: 1,109,240 parameters for 32×32 images and 100 classes, a fifth of
//! torchvision's channels, no pooling before the stages. It is not the paper's "reduced ResNet-18"
//! ([`ReducedResNet`](super::ReducedResNet)), which is Stable SGD's, with one convolution a block and less than half the
//! parameters; both are often called by the same name.
//!
//! Before the head there is GEM's average pooling over 4×4 windows, whose results are flattened: at 32×32 pixels that is
//! the mean over the plane, as other releases have it; at 84×84 it gives four features a channel.
//!
//! Source: Lopez-Paz & Ranzato, NIPS 2017; `model/common.py` of its release.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::trunk::{Trunk, TrunkConfig, last_positions, pool, stock_kernels};
use super::{
    BasicBlock, Conv, Dropout, DropoutSetting, Head, LearnerError, Linear, ModelSpec, Network,
    Norm, Notes,
};
use crate::data::ImageShape;
use crate::kernels::resnet::BlockKind;
use crate::seed::SeedStream;

/// Sizes of a [`SlimResNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlimResNetConfig {
    /// Shape of an image; sides of at least 25 pixels, so that the pooling window fits.
    pub image: ImageShape,
    /// Channels of the first stage (20 in the papers); the others have 2, 4 and 8 times as many.
    pub width: usize,
    /// Classes over all tasks.
    pub classes: usize,
}

/// Convolution, four stages of two blocks, average pooling, head.
#[derive(Module, Debug)]
pub struct SlimResNet {
    /// 3×3, stride 1.
    pub conv1: Conv,
    /// After the first convolution, before its ReLU.
    pub bn1: Norm,
    /// Stage at full resolution.
    pub layer1: Vec<BasicBlock>,
    /// Stage at half resolution.
    pub layer2: Vec<BasicBlock>,
    /// Stage at a quarter of the resolution.
    pub layer3: Vec<BasicBlock>,
    /// Stage at an eighth of the resolution.
    pub layer4: Vec<BasicBlock>,
    /// Head.
    pub linear: Linear,
    /// True where the trunk always takes Burn's own operations; a new network asks [`stock_kernels`].
    pub stock: bool,
}

impl SlimResNetConfig {
    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    pub fn validate(&self) -> Result<(), LearnerError> {
        self.check_image()
    }

    /// A network with PyTorch's default initial values.
    #[must_use]
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> SlimResNet {
        let w = self.width;
        let conv1 = Conv::new([self.image.channels, w], 3, 1, stream, device);
        let mut stage = |inputs: usize, outputs: usize, stride: usize| {
            BasicBlock::stage(Conv::new, [inputs, outputs], stride, stream, device)
        };
        let (layer1, layer2) = (stage(w, w, 1), stage(w, 2 * w, 2));
        let (layer3, layer4) = (stage(2 * w, 4 * w, 2), stage(4 * w, 8 * w, 2));
        SlimResNet {
            conv1,
            bn1: Norm::new(w, device),
            layer1,
            layer2,
            layer3,
            layer4,
            linear: Linear::new(self.features(), self.classes, stream, device),
            stock: stock_kernels(),
        }
    }
}

impl TrunkConfig for SlimResNetConfig {
    type Network = SlimResNet;
    const KIND: BlockKind = BlockKind::Two;
    const NAME: &'static str = NAME;

    fn image(&self) -> ImageShape {
        self.image
    }

    fn width(&self) -> usize {
        self.width
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn network(&self, stream: &mut SeedStream, device: &Device) -> SlimResNet {
        self.init(stream, device)
    }
}

impl SlimResNet {
    fn blocks(&self) -> impl Iterator<Item = &BasicBlock> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
    }

    fn trunk(&self) -> Trunk<'_> {
        let layers = BasicBlock::layers((&self.conv1, &self.bn1), self.blocks());
        Trunk::of::<SlimResNetConfig>(layers)
    }

    /// The trunk on Burn's own operations.
    fn stock_features(&self, images: Tensor<4>, notes: &mut Notes) -> Tensor<2> {
        notes.conv(&self.conv1, &images);
        let mut x = relu(self.bn1.forward(self.conv1.forward(images)));
        for block in self.blocks() {
            x = block.pass(x, notes);
        }
        pool(x)
    }
}

impl Network for SlimResNet {
    fn pass(&self, images: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2> {
        let on_kernels = !self.stock && !notes.wanted();
        let on_kernels = on_kernels.then(|| self.trunk().features(&images, dropout));
        match on_kernels.flatten() {
            Some(features) => features,
            None => self.stock_features(images, notes),
        }
    }

    fn head(&self) -> &dyn Head {
        &self.linear
    }

    fn with_frozen_norms(mut self, frozen: bool) -> Self {
        self.bn1.frozen = frozen;
        let stages = [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ];
        for block in stages.into_iter().flatten() {
            block.freeze(frozen);
        }
        self
    }

    fn norm_positions(image: ImageShape) -> Option<usize> {
        Some(last_positions(image))
    }

    fn released_name(path: &str) -> String {
        path.replace(".downsample.conv.", ".shortcut.0.")
            .replace(".downsample.norm.", ".shortcut.1.")
    }
}

/// Channels of the first stage in the papers.
const WIDTH: usize = 20;

const NAME: &str = "slim-resnet18";

/// The network as the program knows it.
pub(super) static SLIM_RESNET18: ModelSpec = ModelSpec {
    name: NAME,
    description: "The ResNet-18 of GEM, A-GEM, MIR and DER: a fifth of the channels, two convolutions a block.",
    head: "linear",
    dropout: DropoutSetting::None,
    hidden: false,
    scale: None,
    fresh_head: false,
    defaults: &[],
    norm_positions: SlimResNet::norm_positions,
    vectors: false,
    check: |image| of(image, 1).validate(),
    build: |context| {
        let config = of(context.image, context.classes);
        config.learner(context, Dropout::off())
    },
};

fn of(image: ImageShape, classes: usize) -> SlimResNetConfig {
    SlimResNetConfig {
        image,
        width: WIDTH,
        classes,
    }
}
