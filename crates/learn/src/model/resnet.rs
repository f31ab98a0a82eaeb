//! The reduced ResNet-18 of Split-CIFAR100 and Split-miniImageNet.
//!
//! Owns the network as the released code has it, which a stock "reduced ResNet-18" does not match: one 3×3 convolution
//! a block, in the order convolution → ReLU → normalisation; no normalisation on the shortcut; dropout after each
//! normalisation of a block. 496,680 parameters in 48 tensors for 32×32 images and 100 classes.
//!
//! On the CPU the trunk (all but the head) runs on this crate's kernels, as one operation of Burn's. `TAGCL_KERNELS=stock`,
//! images that are not square, images that want a gradient, frozen norms in a graph and other devices take Burn's own
//! operations, which are also what the kernels are tested against.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::{
    Conv, Dropout, DropoutSetting, KernelResNet, LearnerError, Linear, ModelContext, ModelSpec,
    Network, Norm,
};
use crate::data::ImageShape;
use crate::kernels::extension;
use crate::kernels::resnet::{BatchStats, TrunkSpec};
use crate::optim::floats;
use crate::seed::SeedStream;

/// Side of the average pooling before the head.
pub(super) const POOL: usize = 4;

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
        let y = dropout.apply(self.bn1.forward(relu(self.conv1.forward(x.clone()))));
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x),
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

/// True where `TAGCL_KERNELS=stock` asks for Burn's own operations instead of this crate's CPU kernels.
#[must_use]
pub fn stock_kernels() -> bool {
    std::env::var_os("TAGCL_KERNELS").is_some_and(|value| value == "stock")
}

impl ReducedResNetConfig {
    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    pub fn validate(&self) -> Result<(), LearnerError> {
        if pooled(self.image.height) == 0 || pooled(self.image.width) == 0 {
            return Err(LearnerError::Size(format!(
                "reduced-resnet18 takes images of at least 25x25 pixels, not {}",
                self.image
            )));
        }
        Ok(())
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
        let features = 8 * width * pooled(self.image.height) * pooled(self.image.width);
        ReducedResNet {
            conv1,
            bn1: Norm::new(width, device),
            layer1,
            layer2,
            layer3,
            layer4,
            linear: Linear::new(features, self.classes, stream, device),
            stock: stock_kernels(),
        }
    }
}

/// Side of the pooled plane: three halvings (rounded up), then windows of four.
pub(super) fn pooled(side: usize) -> usize {
    eighth(side) / POOL
}

/// Side of the last stage's planes: three halvings, rounded up.
pub(super) fn eighth(side: usize) -> usize {
    side.div_ceil(2).div_ceil(2).div_ceil(2)
}

impl ReducedResNet {
    fn blocks(&self) -> impl Iterator<Item = &Block> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
    }

    /// The norms in the order of the trunk.
    fn norms(&self) -> impl Iterator<Item = &Norm> {
        std::iter::once(&self.bn1).chain(self.blocks().flat_map(|b| [&b.bn1, &b.bn2]))
    }

    /// The trunk's parameters end to end, in the order of [`TrunkSpec::parameters`].
    fn flat_parameters(&self) -> Tensor<1> {
        let conv = |conv: &Conv| conv.weight.val().flatten(0, 3);
        let norm = |norm: &Norm| [norm.weight.val(), norm.bias.val()];
        let mut parts = vec![conv(&self.conv1)];
        parts.extend(norm(&self.bn1));
        for block in self.blocks() {
            parts.push(conv(&block.conv1));
            parts.extend(block.shortcut.as_ref().map(conv));
            parts.extend(norm(&block.bn1));
            parts.extend(norm(&block.bn2));
        }
        Tensor::cat(parts, 0)
    }

    /// The kernels' sizes for these images, where the kernels take them.
    fn spec(&self, images: &Tensor<4>) -> Option<TrunkSpec> {
        let [batch, in_channels, height, width] = images.dims();
        let w = self.conv1.weight.dims()[0];
        let spec = TrunkSpec {
            batch,
            in_channels,
            size: height,
            widths: [w, 2 * w, 4 * w, 8 * w],
        };
        // A gradient with running statistics is an operation of the learner's, not of Burn's graph.
        let trains_frozen = self.bn1.frozen && images.device().is_autodiff();
        let fits = !self.stock && !trains_frozen && height == width && pooled(height) > 0;
        (fits && spec.validate().is_ok() && extension::takes(images)).then_some(spec)
    }

    /// The trunk on the kernels; `None` where they do not take these images. Nothing has happened then.
    fn kernel_features(&self, images: &Tensor<4>, dropout: &mut Dropout) -> Option<Tensor<2>> {
        let spec = self.spec(images)?;
        let device = images.device();
        let (images, parameters) = (images.clone(), self.flat_parameters());
        if !device.is_autodiff() {
            let values = |x: Tensor<1>| floats(x.into_data());
            let running = self.norms().map(|norm| BatchStats {
                mean: values(norm.running_mean.value()),
                variance: values(norm.running_var.value()),
            });
            return extension::evaluate(&spec, images, parameters, running.collect()).ok();
        }
        let shapes = spec.dropout_shapes();
        let masks = shapes
            .iter()
            .map(|shape| dropout.mask(shape.iter().product()))
            .collect();
        let (features, stats) = extension::train(&spec, images, parameters, masks).ok()?;
        for (norm, stats) in self.norms().zip(stats) {
            let tensor = |values: Vec<f32>| {
                let len = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [len]), &device)
            };
            norm.absorb(tensor(stats.mean), tensor(stats.variance));
        }
        Some(features)
    }

    /// The trunk on Burn's own operations.
    fn stock_features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        let mut x = relu(self.bn1.forward(self.conv1.forward(images)));
        for block in self.blocks() {
            x = block.forward(x, dropout);
        }
        let pooled = avg_pool2d(x, AvgPoolOptions::new([POOL; 2]).with_stride([POOL; 2]));
        pooled.flatten(1, 3)
    }
}

impl Network for ReducedResNet {
    fn features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        match self.kernel_features(&images, dropout) {
            Some(features) => features,
            None => self.stock_features(images, dropout),
        }
    }

    fn head(&self) -> &Linear {
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
        Some(eighth(image.height) * eighth(image.width))
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

/// The network as the program knows it.
pub(super) static REDUCED_RESNET18: ModelSpec = ModelSpec {
    name: "reduced-resnet18",
    description: "The paper's ResNet-18 with a fifth of the channels and one convolution a block.",
    head: "linear",
    dropout: DropoutSetting::Set,
    hidden: false,
    fresh_head: false,
    defaults: &[],
    norm_positions: ReducedResNet::norm_positions,
    check: |image| of(image, 1).validate(),
    build: |context| {
        let resnet = of(context.image, context.classes);
        let (mut init, dropout) = (context.init(), context.dropout());
        if stock_kernels() {
            let network = resnet.init(&mut init, &ModelContext::device());
            return Ok(ModelContext::learner(network, dropout));
        }
        let threads = context.threads;
        Ok(Box::new(KernelResNet::new(
            &resnet, &mut init, dropout, threads,
        )?))
    },
};

fn of(image: ImageShape, classes: usize) -> ReducedResNetConfig {
    ReducedResNetConfig {
        image,
        width: WIDTH,
        classes,
    }
}
