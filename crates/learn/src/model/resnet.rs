//! The reduced ResNet-18 of Split-CIFAR100 and Split-miniImageNet.
//!
//! Owns the network as the released code has it, which a stock "reduced ResNet-18" does not match: one 3×3 convolution
//! a block, in the order convolution → ReLU → normalisation; no normalisation on the shortcut; dropout after each
//! normalisation of a block. 496,680 parameters in 48 tensors for 32×32 images and 100 classes.
//!
//! On the CPU the trunk (all but the head) runs on this crate's kernels, as one operation of Burn's (`trunk.rs`).
//!
//! The network of GEM, A-GEM, MIR and DER, with two convolutions a block, often has the same name: it is
//! [`SlimResNet`](super::SlimResNet).

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::trunk::{Layer, Trunk, TrunkConfig, last_positions, pool, stock_kernels};
use super::{
    Conv, Dropout, DropoutSetting, Head, LearnerError, Linear, ModelSpec, Network, Norm, Notes,
};
use crate::data::ImageShape;
use crate::kernels::resnet::BlockKind;
use crate::seed::SeedStream;

/// Sizes of a [`ReducedResNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReducedResNetConfig {
    /// Shape of an image; sides of at least 25 pixels, so that the pooling window fits.
    pub image: ImageShape,
    /// Channels of the first stage (20 in the paper); the others have 2, 4 and 8 times as many.
    pub width: usize,
    /// Classes over all tasks.
    pub classes: usize,
}

/// Residual block with one convolution.
#[derive(Module, Debug)]
pub struct Block {
    /// 3×3.
    pub conv1: Conv,
    /// 1×1, where the shape changes.
    pub shortcut: Option<Conv>,
    /// After the convolution's ReLU.
    pub bn1: Norm,
    /// After the sum's ReLU.
    pub bn2: Norm,
}

impl Block {
    fn new(
        [inputs, outputs]: [usize; 2],
        stride: usize,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Self {
        let changes = stride != 1 || inputs != outputs;
        Self {
            conv1: Conv::new([inputs, outputs], 3, stride, stream, device),
            shortcut: changes.then(|| Conv::new([inputs, outputs], 1, stride, stream, device)),
            bn1: Norm::new(outputs, device),
            bn2: Norm::new(outputs, device),
        }
    }

    /// # Shapes
    /// - `x`: `[batch, in, height, width]`
    /// - output: `[batch, out, ⌈height/stride⌉, ⌈width/stride⌉]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>, dropout: &mut Dropout) -> Tensor<4> {
        self.pass(x, dropout, &mut Notes::off())
    }

    /// [`Self::forward`] with notes of what the layers see.
    fn pass(&self, x: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<4> {
        notes.conv(&self.conv1, &x);
        let y = dropout.apply(self.bn1.forward(relu(self.conv1.forward(x.clone()))));
        let shortcut = match &self.shortcut {
            Some(conv) => {
                notes.conv(conv, &x);
                conv.forward(x)
            }
            None => x,
        };
        dropout.apply(self.bn2.forward(relu(y + shortcut)))
    }
}

/// Convolution, four stages of two blocks, average pooling, head.
#[derive(Module, Debug)]
pub struct ReducedResNet {
    /// 3×3, stride 1.
    pub conv1: Conv,
    /// After the first convolution, before its ReLU.
    pub bn1: Norm,
    /// Stage at full resolution.
    pub layer1: Vec<Block>,
    /// Stage at half resolution.
    pub layer2: Vec<Block>,
    /// Stage at a quarter of the resolution.
    pub layer3: Vec<Block>,
    /// Stage at an eighth of the resolution.
    pub layer4: Vec<Block>,
    /// Head.
    pub linear: Linear,
    /// True where the trunk always takes Burn's own operations; a new network asks [`stock_kernels`].
    pub stock: bool,
}

impl ReducedResNetConfig {
    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    pub fn validate(&self) -> Result<(), LearnerError> {
        self.check_image()
    }

    /// A network with PyTorch's default initial values.
    #[must_use]
    pub fn init(&self, stream: &mut SeedStream, device: &Device) -> ReducedResNet {
        let width = self.width;
        let conv1 = Conv::new([self.image.channels, width], 3, 1, stream, device);
        let mut inputs = width;
        let mut stage = |outputs: usize, stride: usize| {
            let first = Block::new([inputs, outputs], stride, stream, device);
            inputs = outputs;
            vec![first, Block::new([outputs; 2], 1, stream, device)]
        };
        let (layer1, layer2) = (stage(width, 1), stage(2 * width, 2));
        let (layer3, layer4) = (stage(4 * width, 2), stage(8 * width, 2));
        ReducedResNet {
            conv1,
            bn1: Norm::new(width, device),
            layer1,
            layer2,
            layer3,
            layer4,
            linear: Linear::new(self.features(), self.classes, stream, device),
            stock: stock_kernels(),
        }
    }
}

impl TrunkConfig for ReducedResNetConfig {
    type Network = ReducedResNet;
    const KIND: BlockKind = BlockKind::One;
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

    fn network(&self, stream: &mut SeedStream, device: &Device) -> ReducedResNet {
        self.init(stream, device)
    }
}

impl ReducedResNet {
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
    }

    fn trunk(&self) -> Trunk<'_> {
        let mut layers = vec![Layer::Conv(&self.conv1), Layer::Norm(&self.bn1)];
        for block in self.blocks() {
            layers.push(Layer::Conv(&block.conv1));
            layers.extend(block.shortcut.as_ref().map(Layer::Conv));
            layers.extend([Layer::Norm(&block.bn1), Layer::Norm(&block.bn2)]);
        }
        Trunk::of::<ReducedResNetConfig>(layers)
    }

    /// The trunk on Burn's own operations.
    fn stock_features(
        &self,
        images: Tensor<4>,
        dropout: &mut Dropout,
        notes: &mut Notes,
    ) -> Tensor<2> {
        notes.conv(&self.conv1, &images);
        let mut x = relu(self.bn1.forward(self.conv1.forward(images)));
        for block in self.blocks() {
            x = block.pass(x, dropout, notes);
        }
        pool(x)
    }
}

impl Network for ReducedResNet {
    fn pass(&self, images: Tensor<4>, dropout: &mut Dropout, notes: &mut Notes) -> Tensor<2> {
        let on_kernels = !self.stock && !notes.wanted();
        let on_kernels = on_kernels.then(|| self.trunk().features(&images, dropout));
        match on_kernels.flatten() {
            Some(features) => features,
            None => self.stock_features(images, dropout, notes),
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
            (block.bn1.frozen, block.bn2.frozen) = (frozen, frozen);
        }
        self
    }

    fn norm_positions(image: ImageShape) -> Option<usize> {
        Some(last_positions(image))
    }

    fn released_name(path: &str) -> String {
        if !path.starts_with("layer") {
            return path.to_string();
        }
        path.replace(".shortcut.", ".shortcut.0.")
            .replace(".bn1.", ".bn1.0.")
            .replace(".bn2.", ".bn2.0.")
    }
}

/// Channels of the first stage in the paper.
const WIDTH: usize = 20;

const NAME: &str = "reduced-resnet18";

/// The network as the program knows it.
pub(super) static REDUCED_RESNET18: ModelSpec = ModelSpec {
    name: NAME,
    description: "The paper's ResNet-18 with a fifth of the channels and one convolution a block.",
    head: "linear",
    dropout: DropoutSetting::Set,
    hidden: false,
    scale: None,
    fresh_head: false,
    defaults: &[],
    norm_positions: ReducedResNet::norm_positions,
    vectors: false,
    check: |image| of(image, 1).validate(),
    build: |context| {
        let config = of(context.image, context.classes);
        config.learner(context, context.dropout())
    },
};

fn of(image: ImageShape, classes: usize) -> ReducedResNetConfig {
    ReducedResNetConfig {
        image,
        width: WIDTH,
        classes,
    }
}
