//! The full ResNet-18 of Split-CUB: torchvision's, with a head of the stream's classes.
//!
//! Owns the network under torchvision's own names, so that its `ImageNet` checkpoints load: two 3×3 convolutions a block,
//! convolution → normalisation → ReLU, a normalised 1×1 convolution where the shape changes. 11,279,112 parameters with
//! 200 classes. The released code wraps it (`net.conv1.weight`, ...) and gives it no dropout.
//!
//! Source: He et al., CVPR 2016; `torchvision/models/resnet.py`.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use super::trunk::{Layer, Trunk, TrunkConfig, stock_kernels};
use super::{
    Conv, Dropout, DropoutSetting, Head, LearnerError, Linear, ModelSpec, Network, Norm, Notes,
};
use crate::data::ImageShape;
use crate::kernels::resnet::{BlockKind, Ends};
use crate::seed::SeedStream;

/// Channels of the four stages.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// Sizes of a [`ResNet18`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNet18Config {
    /// Shape of an image; sides of at least [`ResNet18Config::LEAST_SIDE`] pixels (224 in the paper).
    pub image: ImageShape,
    /// Classes over all tasks (200 in the paper).
    pub classes: usize,
}

/// 1×1 convolution and normalisation where a block changes the shape.
#[derive(Module, Debug)]
pub struct Downsample {
    /// 1×1.
    pub conv: Conv,
    /// After it.
    pub norm: Norm,
}

/// Residual block with two convolutions.
#[derive(Module, Debug)]
pub struct BasicBlock {
    /// 3×3, with the block's stride.
    pub conv1: Conv,
    /// After the first convolution, before its ReLU.
    pub bn1: Norm,
    /// 3×3.
    pub conv2: Conv,
    /// After the second convolution, before the sum.
    pub bn2: Norm,
    /// On the shortcut, where the shape changes.
    pub downsample: Option<Downsample>,
}

/// [`Conv::new`] or [`Conv::he`]: a convolution of these channels, size and stride, with its initial values.
pub(super) type MakeConv = fn([usize; 2], usize, usize, &mut SeedStream, &Device) -> Conv;

impl BasicBlock {
    pub(super) fn new(
        conv: MakeConv,
        [inputs, outputs]: [usize; 2],
        stride: usize,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Self {
        let changes = stride != 1 || inputs != outputs;
        Self {
            conv1: conv([inputs, outputs], 3, stride, stream, device),
            bn1: Norm::new(outputs, device),
            conv2: conv([outputs; 2], 3, 1, stream, device),
            bn2: Norm::new(outputs, device),
            downsample: changes.then(|| Downsample {
                conv: conv([inputs, outputs], 1, stride, stream, device),
                norm: Norm::new(outputs, device),
            }),
        }
    }

    /// A stage of two blocks, the first of which may change the shape.
    pub(super) fn stage(
        conv: MakeConv,
        [inputs, outputs]: [usize; 2],
        stride: usize,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Vec<Self> {
        let first = Self::new(conv, [inputs, outputs], stride, stream, device);
        vec![first, Self::new(conv, [outputs; 2], 1, stream, device)]
    }

    /// # Shapes
    /// - `x`: `[batch, in, height, width]`
    /// - output: `[batch, out, ⌈height/stride⌉, ⌈width/stride⌉]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.pass(x, &mut Notes::off())
    }

    /// [`Self::forward`] with notes of what the layers see.
    pub(super) fn pass(&self, x: Tensor<4>, notes: &mut Notes) -> Tensor<4> {
        notes.conv(&self.conv1, &x);
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        notes.conv(&self.conv2, &y);
        let y = self.bn2.forward(self.conv2.forward(y));
        let shortcut = match &self.downsample {
            Some(down) => {
                notes.conv(&down.conv, &x);
                down.norm.forward(down.conv.forward(x))
            }
            None => x,
        };
        relu(y + shortcut)
    }

    /// The layers of a trunk of such blocks behind a stem, in the kernels' order.
    pub(super) fn layers<'a>(
        (conv, norm): (&'a Conv, &'a Norm),
        blocks: impl Iterator<Item = &'a Self>,
    ) -> Vec<Layer<'a>> {
        let mut layers = vec![Layer::Conv(conv), Layer::Norm(norm)];
        for block in blocks {
            layers.extend([Layer::Conv(&block.conv1), Layer::Norm(&block.bn1)]);
            layers.extend([Layer::Conv(&block.conv2), Layer::Norm(&block.bn2)]);
            if let Some(down) = &block.downsample {
                layers.extend([Layer::Conv(&down.conv), Layer::Norm(&down.norm)]);
            }
        }
        layers
    }

    pub(super) fn freeze(&mut self, frozen: bool) {
        (self.bn1.frozen, self.bn2.frozen) = (frozen, frozen);
        if let Some(down) = &mut self.downsample {
            down.norm.frozen = frozen;
        }
    }
}

/// Convolution, max pooling, four stages of two blocks, mean over the plane, head.
#[derive(Module, Debug)]
pub struct ResNet18 {
    /// 7×7, stride 2.
    pub conv1: Conv,
    /// After the first convolution, before its ReLU.
    pub bn1: Norm,
    /// Stage at a quarter of the resolution.
    pub layer1: Vec<BasicBlock>,
    /// Stage at an eighth of the resolution.
    pub layer2: Vec<BasicBlock>,
    /// Stage at a sixteenth of the resolution.
    pub layer3: Vec<BasicBlock>,
    /// Stage at a thirty-second of the resolution.
    pub layer4: Vec<BasicBlock>,
    /// Head.
    pub fc: Linear,
    /// True where the trunk always takes Burn's own operations; a new network asks [`stock_kernels`].
    pub stock: bool,
}

impl ResNet18Config {
    /// Images smaller than this end as a single pixel before the last stage.
    pub const LEAST_SIDE: usize = 32;

    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    pub fn validate(&self) -> Result<(), LearnerError> {
        self.check_image()
    }

    /// A network with torchvision's initial values: normal with variance `2 / (outputs · size²)` for convolutions,
    /// PyTorch's default for the head.
    #[must_use]
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> ResNet18 {
        let conv1 = Conv::he([self.image.channels, WIDTHS[0]], 7, 2, stream, device);
        let mut stage = |inputs: usize, outputs: usize, stride: usize| {
            BasicBlock::stage(Conv::he, [inputs, outputs], stride, stream, device)
        };
        let [w1, w2, w3, w4] = WIDTHS;
        let (layer1, layer2) = (stage(w1, w1, 1), stage(w1, w2, 2));
        let (layer3, layer4) = (stage(w2, w3, 2), stage(w3, w4, 2));
        ResNet18 {
            conv1,
            bn1: Norm::new(w1, device),
            layer1,
            layer2,
            layer3,
            layer4,
            fc: Linear::new(w4, self.classes, stream, device),
            stock: stock_kernels(),
        }
    }
}

impl TrunkConfig for ResNet18Config {
    type Network = ResNet18;
    const KIND: BlockKind = BlockKind::Two;
    const ENDS: Ends = Ends::Large;
    const NAME: &'static str = NAME;

    fn image(&self) -> ImageShape {
        self.image
    }

    fn width(&self) -> usize {
        WIDTHS[0]
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn network(&self, stream: &mut SeedStream, device: &Device) -> ResNet18 {
        self.init(stream, device)
    }

    fn check_image(&self) -> Result<(), LearnerError> {
        let least = Self::LEAST_SIDE;
        if self.image.height < least || self.image.width < least {
            return Err(LearnerError::Size(format!(
                "{NAME} takes images of at least {least}x{least} pixels, not {}",
                self.image
            )));
        }
        Ok(())
    }

    fn features(&self) -> usize {
        WIDTHS[3]
    }
}

impl ResNet18 {
    fn blocks(&self) -> impl Iterator<Item = &BasicBlock> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
    }

    fn trunk(&self) -> Trunk<'_> {
        let layers = BasicBlock::layers((&self.conv1, &self.bn1), self.blocks());
        Trunk::of::<ResNet18Config>(layers)
    }

    /// The trunk on Burn's own operations.
    fn stock_features(&self, images: Tensor<4>, notes: &mut Notes) -> Tensor<2> {
        notes.conv(&self.conv1, &images);
        let x = relu(self.bn1.forward(self.conv1.forward(images)));
        let pool = MaxPoolOptions::new([3; 2]).with_stride([2; 2]);
        let mut x = max_pool2d(x, pool.with_padding([1; 2]));
        for block in self.blocks() {
            x = block.pass(x, notes);
        }
        x.mean_dim(3).mean_dim(2).flatten(1, 3)
    }
}

impl Network for ResNet18 {
    fn pass(&self, images: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2> {
        let on_kernels = !self.stock && !notes.wanted();
        let on_kernels = on_kernels.then(|| self.trunk().features(&images, dropout));
        match on_kernels.flatten() {
            Some(features) => features,
            None => self.stock_features(images, notes),
        }
    }

    fn head(&self) -> &dyn Head {
        &self.fc
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
        // Five halvings, each rounded up.
        Some(image.height.div_ceil(32) * image.width.div_ceil(32))
    }

    fn released_name(path: &str) -> String {
        path.replace(".downsample.conv.", ".downsample.0.")
            .replace(".downsample.norm.", ".downsample.1.")
    }
}

const NAME: &str = "resnet18";

/// The network as the program knows it.
pub(super) static RESNET18: ModelSpec = ModelSpec {
    name: NAME,
    description: "The full ResNet-18, named as torchvision names it; for Split-CUB, from pretrained weights (--init).",
    head: "fc",
    dropout: DropoutSetting::Ignored,
    hidden: false,
    scale: None,
    fresh_head: true,
    defaults: &[],
    norm_positions: ResNet18::norm_positions,
    vectors: false,
    check: |image| ResNet18Config { image, classes: 1 }.validate(),
    build: |context| {
        let config = ResNet18Config {
            image: context.image,
            classes: context.classes,
        };
        config.learner(context, Dropout::off())
    },
};
