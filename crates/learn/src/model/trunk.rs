//! What the residual networks share: their trunk, everything before the head, as the kernels compute it.
//!
//! Owns the passage from a Burn module's layers to [`crate::kernels::resnet`]: the module lists its layers in the trunk's
//! order, and the trunk is one operation of Burn's. `TAGCL_KERNELS=stock`, images that are not square, images that want a
//! gradient, frozen norms in a graph and other devices take Burn's own operations, which are also what the kernels are
//! tested against.

use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::{Conv, Dropout, KernelResNet, Learner, LearnerError, ModelContext, Network, Norm};
use crate::data::ImageShape;
use crate::kernels::extension;
use crate::kernels::resnet::{BatchStats, BlockKind, Ends, TrunkSpec};
use crate::optim::floats;
use crate::seed::SeedStream;

/// Side of the average pooling before the head.
const POOL: usize = 4;

/// True where `TAGCL_KERNELS=stock` asks for Burn's own operations instead of this crate's CPU kernels.
#[must_use]
pub fn stock_kernels() -> bool {
    std::env::var_os("TAGCL_KERNELS").is_some_and(|value| value == "stock")
}

/// Sizes of a network whose trunk the kernels compute.
pub trait TrunkConfig: Copy + Send + Sync + 'static {
    /// The Burn module.
    type Network: Network;
    /// What a block computes.
    const KIND: BlockKind;
    /// What stands before and after the blocks.
    const ENDS: Ends = Ends::Small;
    /// Name in messages.
    const NAME: &'static str;

    /// Shape of an image; sides of at least 25 pixels, so that the pooling window fits, with large ends 32.
    fn image(&self) -> ImageShape;

    /// Channels of the first stage; the others have 2, 4 and 8 times as many.
    fn width(&self) -> usize;

    /// Classes over all tasks.
    fn classes(&self) -> usize;

    /// A module with its initial values.
    fn network(&self, stream: &mut SeedStream, device: &Device) -> Self::Network;

    /// Checks that the network takes images of this shape.
    ///
    /// # Errors
    /// [`LearnerError::Size`].
    fn check_image(&self) -> Result<(), LearnerError> {
        let image = self.image();
        if pooled(image.height) == 0 || pooled(image.width) == 0 {
            return Err(LearnerError::Size(format!(
                "{} takes images of at least 25x25 pixels, not {image}",
                Self::NAME
            )));
        }
        Ok(())
    }

    /// What the head sees of an image.
    fn features(&self) -> usize {
        let image = self.image();
        8 * self.width() * pooled(image.height) * pooled(image.width)
    }

    /// The kernels' sizes for square images, one at a time.
    fn trunk(&self) -> TrunkSpec {
        let image = self.image();
        TrunkSpec {
            batch: 1,
            in_channels: image.channels,
            size: image.height,
            widths: widths(self.width()),
            kind: Self::KIND,
            ends: Self::ENDS,
        }
    }

    /// The network as a learner of the program: on the kernels; on Burn's operations where these are asked for or images are not
    /// square.
    ///
    /// # Errors
    /// [`LearnerError::Size`] for images that the network does not take.
    fn learner(
        &self,
        context: &ModelContext,
        dropout: Dropout,
    ) -> Result<Box<dyn Learner>, LearnerError> {
        self.check_image()?;
        let (image, mut init) = (self.image(), context.init());
        if stock_kernels() || image.height != image.width {
            let network = self.network(&mut init, &ModelContext::device());
            return Ok(ModelContext::learner(network, dropout));
        }
        let threads = context.threads;
        Ok(Box::new(KernelResNet::new(
            self, &mut init, dropout, threads,
        )?))
    }
}

/// Channels of the four stages.
fn widths(first: usize) -> [usize; 4] {
    [1, 2, 4, 8].map(|times| times * first)
}

/// Side of the pooled plane: three halvings (rounded up), then windows of four.
fn pooled(side: usize) -> usize {
    eighth(side) / POOL
}

/// Side of the last stage's planes: three halvings, rounded up.
fn eighth(side: usize) -> usize {
    side.div_ceil(2).div_ceil(2).div_ceil(2)
}

/// Positions of the last stage's planes, for images of this shape.
pub(super) fn last_positions(image: ImageShape) -> usize {
    eighth(image.height) * eighth(image.width)
}

/// Means over windows of four by four, flattened.
pub(super) fn pool(x: Tensor<4>) -> Tensor<2> {
    avg_pool2d(x, AvgPoolOptions::new([POOL; 2]).with_stride([POOL; 2])).flatten(1, 3)
}

/// A layer of a trunk.
#[derive(Clone, Copy)]
pub(super) enum Layer<'a> {
    /// Its weights.
    Conv(&'a Conv),
    /// Its weight and bias, and its running statistics.
    Norm(&'a Norm),
}

/// A module's layers as the kernels take them.
pub(super) struct Trunk<'a> {
    kind: BlockKind,
    ends: Ends,
    layers: Vec<Layer<'a>>,
}

impl<'a> Trunk<'a> {
    /// The layers of a network with this configuration, in the order of [`TrunkSpec::parameters`].
    pub(super) fn of<C: TrunkConfig>(layers: Vec<Layer<'a>>) -> Self {
        Self {
            kind: C::KIND,
            ends: C::ENDS,
            layers,
        }
    }

    fn norms(&self) -> impl Iterator<Item = &Norm> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Norm(norm) => Some(*norm),
            Layer::Conv(_) => None,
        })
    }

    /// The parameters end to end, in the order of [`TrunkSpec::parameters`].
    fn flat_parameters(&self) -> Tensor<1> {
        let mut parts = Vec::new();
        for layer in &self.layers {
            match layer {
                Layer::Conv(conv) => parts.push(conv.weight.val().flatten(0, 3)),
                Layer::Norm(norm) => parts.extend([norm.weight.val(), norm.bias.val()]),
            }
        }
        Tensor::cat(parts, 0)
    }

    /// The kernels' sizes for these images, where the kernels take them.
    fn spec(&self, images: &Tensor<4>) -> Option<TrunkSpec> {
        let [batch, in_channels, height, width] = images.dims();
        let Some(Layer::Conv(stem)) = self.layers.first() else {
            return None;
        };
        let spec = TrunkSpec {
            batch,
            in_channels,
            size: height,
            widths: widths(stem.weight.dims()[0]),
            kind: self.kind,
            ends: self.ends,
        };
        // A gradient with running statistics is an operation of the learner's, not of Burn's graph.
        let frozen = self.norms().any(|norm| norm.frozen);
        let trains_frozen = frozen && images.device().is_autodiff();
        let pooled = self.ends == Ends::Large || pooled(height) > 0;
        let fits = !trains_frozen && height == width && pooled;
        (fits && spec.validate().is_ok() && extension::takes(images)).then_some(spec)
    }

    /// What the head sees of images; `None` where the kernels do not take them. Nothing has happened then.
    pub(super) fn features(&self, images: &Tensor<4>, dropout: &mut Dropout) -> Option<Tensor<2>> {
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
}
