//! Layers with PyTorch's layouts, initialisation and running statistics.
//!
//! Owns what differs from Burn's own layers: weights of linear layers lie `[out, in]`, initial values come from a named
//! seed stream (Burn's come from a process-wide generator), batch normalisation keeps the *unbiased* running variance
//! as PyTorch does (Burn keeps the biased one), and dropout draws from the run's seeds.

use burn::module::{Module, Param, ParamId, RunningState};
use burn::tensor::module::{batch_norm, conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::Head;
use crate::kernels::resnet::EPSILON;
use crate::kernels::{Level, Loop};
use crate::seed::SeedStream;

/// Uniform in ±`1/√fan_in`: PyTorch's default for weights and biases of linear and convolution layers.
pub(super) fn uniform<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    stream: &mut SeedStream,
    device: &Device,
) -> Param<Tensor<D>> {
    let bound = 1.0 / (fan_in as f32).sqrt();
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.symmetric(bound))
        .collect();
    Param::from_data(TensorData::new(values, shape), device)
}

/// Fully connected layer.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer with PyTorch's default initial values.
    #[must_use]
    pub fn new(inputs: usize, outputs: usize, stream: &mut SeedStream, device: &Device) -> Self {
        Self {
            weight: uniform([outputs, inputs], inputs, stream, device),
            bias: uniform([outputs], inputs, stream, device),
        }
    }

    /// `x Wᵀ + b`.
    ///
    /// # Shapes
    /// - `x`: `[batch, in]`
    /// - output: `[batch, out]`
    #[must_use]
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

impl Head for Linear {
    fn outputs(&self) -> usize {
        self.bias.dims()[0]
    }

    fn weight(&self) -> ParamId {
        self.weight.id
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        Self::forward(self, x)
    }
}

/// Square convolution without bias, padded by half its size.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, size, size]`.
    pub weight: Param<Tensor<4>>,
    /// Step in both directions.
    pub stride: usize,
}

impl Conv {
    /// A layer with PyTorch's default initial values.
    #[must_use]
    pub fn new(
        [inputs, outputs]: [usize; 2],
        size: usize,
        stride: usize,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Self {
        let shape = [outputs, inputs, size, size];
        Self {
            weight: uniform(shape, inputs * size * size, stream, device),
            stride,
        }
    }

    /// A layer with torchvision's initial values for residual networks: normal, variance `2 / (out · size²)`
    /// (He et al., ICCV 2015, over the outputs).
    #[must_use]
    pub fn he(
        [inputs, outputs]: [usize; 2],
        size: usize,
        stride: usize,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Self {
        let shape = [outputs, inputs, size, size];
        let deviation = (2.0 / (outputs * size * size) as f32).sqrt();
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| stream.normal() * deviation)
            .collect();
        Self {
            weight: Param::from_data(TensorData::new(values, shape), device),
            stride,
        }
    }

    /// # Shapes
    /// - `x`: `[batch, in, height, width]`
    /// - output: `[batch, out, ⌈height/stride⌉, ⌈width/stride⌉]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let padding = weight.dims()[2] / 2;
        conv2d(
            x,
            weight,
            None,
            ConvOptions::new([self.stride; 2], [padding; 2], [1; 2], 1),
        )
    }
}

/// Square convolution with bias, stride 1.
#[derive(Module, Debug)]
pub struct BiasConv {
    /// `[out, in, size, size]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
    /// Zeros around the image.
    pub padding: usize,
}

impl BiasConv {
    /// A layer with PyTorch's default initial values.
    #[must_use]
    pub fn new(
        [inputs, outputs]: [usize; 2],
        size: usize,
        padding: usize,
        stream: &mut SeedStream,
        device: &Device,
    ) -> Self {
        let fan_in = inputs * size * size;
        Self {
            weight: uniform([outputs, inputs, size, size], fan_in, stream, device),
            bias: uniform([outputs], fan_in, stream, device),
            padding,
        }
    }

    /// # Shapes
    /// - `x`: `[batch, in, height, width]`
    /// - output: `[batch, out, height + 2·padding − size + 1, width + 2·padding − size + 1]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions::new([1; 2], [self.padding; 2], [1; 2], 1);
        conv2d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}

/// Batch normalisation over images, with PyTorch's defaults (ε 1e-5, momentum 0.1).
#[derive(Module, Debug)]
pub struct Norm {
    /// `[channels]`, initially 1.
    pub weight: Param<Tensor<1>>,
    /// `[channels]`, initially 0.
    pub bias: Param<Tensor<1>>,
    /// `[channels]`, initially 0.
    pub running_mean: RunningState<Tensor<1>>,
    /// `[channels]`, unbiased, initially 1.
    pub running_var: RunningState<Tensor<1>>,
    /// Normalise with the running statistics even on an autodiff device: gradients in evaluation mode.
    pub frozen: bool,
}

impl Norm {
    /// Added to the variance under the root.
    pub const EPSILON: f64 = EPSILON;
    /// Weight of a batch in the running statistics.
    pub const MOMENTUM: f64 = 0.1;

    /// A fresh layer.
    #[must_use]
    pub fn new(channels: usize, device: &Device) -> Self {
        let ones = TensorData::ones::<f32, _>([channels]);
        let zeros = TensorData::zeros::<f32, _>([channels]);
        Self {
            weight: Param::from_data(ones.clone(), device),
            bias: Param::from_data(zeros.clone(), device),
            running_mean: RunningState::new(Tensor::from_data(zeros, device)),
            running_var: RunningState::new(Tensor::from_data(ones, device)),
            frozen: false,
        }
    }

    /// Normalises with the batch's statistics, which enter the running ones, on an autodiff device, and with the
    /// running ones elsewhere, or where the layer is frozen.
    ///
    /// # Shapes
    /// - `x` and output: `[batch, channels, height, width]`
    #[must_use]
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !x.device().is_autodiff() {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm(x, weight, bias, mean, variance, Self::EPSILON);
        }
        let [batch, channels, height, width] = x.dims();
        if self.frozen {
            let shape = [1, channels, 1, 1];
            let scale = self.running_var.value().add_scalar(Self::EPSILON).sqrt();
            let centred = x - self.running_mean.value().reshape(shape);
            return centred / scale.reshape(shape) * weight.reshape(shape) + bias.reshape(shape);
        }
        let count = (batch * height * width) as f64;
        // Statistics are taken dimension by dimension: the CPU backend adds a dimension's values one after another in
        // single precision, and over a whole plane that would cost three digits (its fused training operation does so).
        let mean = |x: Tensor<4>| x.mean_dim(3).mean_dim(2).mean_dim(0);
        let batch_mean = mean(x.clone());
        let centred = x - batch_mean.clone();
        let variance = mean(centred.clone() * centred.clone());
        let scale = variance.clone().add_scalar(Self::EPSILON).sqrt().recip();
        let shape = [1, channels, 1, 1];
        let output = centred * scale * weight.reshape(shape) + bias.reshape(shape);
        let unbiased = variance.mul_scalar(count / (count - 1.0).max(1.0));
        self.absorb(batch_mean.reshape([channels]), unbiased.reshape([channels]));
        output
    }

    /// Takes a batch's mean and unbiased variance into the running statistics.
    pub fn absorb(&self, mean: Tensor<1>, unbiased_variance: Tensor<1>) {
        let blend = |old: Tensor<1>, new: Tensor<1>| {
            old.mul_scalar(1.0 - Self::MOMENTUM)
                .add(new.detach().mul_scalar(Self::MOMENTUM))
                .detach()
        };
        self.running_mean
            .update(blend(self.running_mean.value_sync(), mean));
        self.running_var
            .update(blend(self.running_var.value_sync(), unbiased_variance));
    }
}

/// Inverted dropout from a named seed stream; inactive in evaluation.
#[derive(Clone, Debug)]
pub struct Dropout {
    probability: f32,
    stream: Option<SeedStream>,
}

impl Dropout {
    /// Lets everything through: evaluation, and training without dropout.
    #[must_use]
    pub fn off() -> Self {
        Self {
            probability: 0.0,
            stream: None,
        }
    }

    /// Zeroes each value with this probability (in `[0, 1)`) and scales the others by `1 / (1 − probability)`.
    #[must_use]
    pub fn new(probability: f32, stream: SeedStream) -> Self {
        let stream = (probability > 0.0).then_some(stream);
        Self {
            probability,
            stream,
        }
    }

    /// How far its random stream is; 0 without one.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.stream.as_ref().map_or(0, SeedStream::position)
    }

    /// Goes on from a [`position`](Self::position).
    pub fn seek(&mut self, position: u64) {
        if let Some(stream) = &mut self.stream {
            stream.seek(position);
        }
    }

    /// For a network whose layers name their own probabilities ([`Dropout::apply_with`]).
    #[must_use]
    pub fn by_layer(stream: SeedStream) -> Self {
        Self {
            probability: 0.0,
            stream: Some(stream),
        }
    }

    /// The multipliers of the next `len` values, or `None` where everything passes.
    pub fn mask(&mut self, len: usize) -> Option<Vec<f32>> {
        self.mask_with(self.probability, len)
    }

    /// [`Self::mask`] for a layer with its own probability (in `[0, 1)`), where it has one.
    pub(super) fn mask_of(&mut self, own: Option<f32>, len: usize) -> Option<Vec<f32>> {
        self.mask_with(own.unwrap_or(self.probability), len)
    }

    fn mask_with(&mut self, drop: f32, len: usize) -> Option<Vec<f32>> {
        let keep = 1.0 / (1.0 - drop);
        let stream = self.stream.as_mut().filter(|_| drop > 0.0)?;
        let mut mask = vec![0.0; len];
        stream.units(&mut mask);
        Level::detect().run(Mask(&mut mask, drop, keep));
        Some(mask)
    }

    /// Applies dropout to a tensor of any shape.
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        self.apply_with(self.probability, x)
    }

    /// As [`Dropout::apply`], with a layer's own probability (in `[0, 1)`); nothing is dropped in evaluation.
    pub fn apply_with<const D: usize>(&mut self, probability: f32, x: Tensor<D>) -> Tensor<D> {
        let shape = x.shape();
        match self.mask_with(probability, shape.num_elements()) {
            None => x,
            Some(mask) => {
                let mask = Tensor::from_data(TensorData::new(mask, shape), &x.device());
                x.mul(mask)
            }
        }
    }
}

/// Multipliers in the place of uniform numbers: 0 below the probability, else what is kept is scaled by.
struct Mask<'a>(&'a mut [f32], f32, f32);

impl Loop for Mask<'_> {
    #[allow(
        clippy::inline_always,
        reason = "compiled for each instruction set in its caller"
    )]
    #[inline(always)]
    fn run(self) {
        let Self(values, drop, keep) = self;
        for x in values {
            *x = if *x < drop { 0.0 } else { keep };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    #[test]
    fn dropout_keeps_the_mean_and_evaluation_keeps_everything() {
        let mut dropout = Dropout::new(0.25, Seeds::new(1).stream("dropout"));
        let mask = dropout.mask(20_000).unwrap();
        let mean: f32 = mask.iter().sum::<f32>() / 20_000.0;
        // Standard deviation of the mean is 0.0041.
        assert!((mean - 1.0).abs() < 0.017, "{mean}");
        assert!(mask.iter().all(|&m| m == 0.0 || m == 4.0 / 3.0));
        assert_eq!(Dropout::off().mask(3), None);
        let mut by_layer = Dropout::by_layer(Seeds::new(1).stream("dropout"));
        assert_eq!(by_layer.mask(3), None);
        let x = || Tensor::<1>::ones([20_000], &Device::flex());
        let mean = by_layer.apply_with(0.25, x()).mean().into_scalar::<f32>();
        assert!((mean - 1.0).abs() < 0.017, "{mean}");
        let kept = Dropout::off()
            .apply_with(0.25, x())
            .mean()
            .into_scalar::<f32>();
        assert_eq!(kept, 1.0);
    }

    #[test]
    fn initial_values_fill_the_range_and_repeat() {
        let device = Device::flex();
        let make = |seed| Linear::new(100, 50, &mut Seeds::new(seed).stream("init"), &device);
        let values = |l: &Linear| l.weight.val().into_data().try_into_vec::<f32>().unwrap();
        let (a, b) = (values(&make(1)), values(&make(1)));
        assert_eq!(a, b);
        assert_ne!(a, values(&make(2)));
        let max = a.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        assert!(max <= 0.1 && max > 0.099, "{max}");
    }
}
