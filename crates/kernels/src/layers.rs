//! Single layers as operations of Burn: a convolution, and batch normalisation with residual addition and `ReLU`.
//!
//! Owns the passage between Burn's tensors and the modules `convolution` and `batch_norm`, forward and backward, for
//! networks that have no kernel of their own. [`takes`] and [`ConvolutionSpec::takes`] say where they apply; elsewhere
//! the caller uses Burn's own operations.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};

use super::batch_norm::NormSpec;
use super::convolution::ConvolutionPool;
use super::extension::{FlexFloat, tracked, values};
use super::{Level, Workers};

pub use super::batch_norm::Moments;
pub use super::convolution::ConvolutionSpec;
pub use super::norm::EPSILON;

/// A convolution of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvolutionPass {
    spec: ConvolutionSpec,
    batch: usize,
}

/// A normalisation: what goes in beside tensors, and where the batch's statistics come out.
#[derive(Clone, Debug)]
pub(crate) struct NormPass {
    spec: NormSpec,
    moments: Arc<Mutex<Moments>>,
}

/// Burn backends that have these layers as operations. Use [`convolve`] and [`normalise`].
///
/// # Shapes
/// As [`ConvolutionPool::forward`] and [`NormSpec::forward`], images as `[batch, channels, height, width]`.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LayerBackend: Backend {
    /// Convolution without bias.
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        pass: ConvolutionPass,
    ) -> FloatTensor<Self>;

    /// Normalisation by the batch's statistics, perhaps with `ReLU`.
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        pass: NormPass,
    ) -> FloatTensor<Self>;

    /// [`LayerBackend::normalise`] with another tensor added before `ReLU`.
    fn normalise_and_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        pass: NormPass,
    ) -> FloatTensor<Self>;
}

/// One thread, as a run has.
fn pool() -> &'static Arc<ConvolutionPool> {
    static POOL: OnceLock<Arc<ConvolutionPool>> = OnceLock::new();
    POOL.get_or_init(|| ConvolutionPool::new(1))
}

/// As [`pool`].
fn workers() -> &'static Workers {
    static WORKERS: OnceLock<Workers> = OnceLock::new();
    WORKERS.get_or_init(|| Workers::new(1))
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexFloat {
    FlexFloat::from_data(TensorData::new(values, shape))
}

impl ConvolutionPass {
    fn input_shape(&self) -> [usize; 4] {
        let spec = &self.spec;
        [self.batch, spec.inputs, spec.height, spec.width]
    }

    fn weight_shape(&self) -> [usize; 4] {
        let spec = &self.spec;
        [spec.outputs, spec.inputs, spec.size, spec.size]
    }

    fn run(&self, x: &FlexFloat, weight: &FlexFloat) -> FlexFloat {
        let (height, width) = self.spec.output();
        let y = pool().forward(&self.spec, self.batch, &values(x), &values(weight));
        tensor(y, [self.batch, self.spec.outputs, height, width])
    }
}

impl NormPass {
    fn run(
        &self,
        [x, weight, bias]: [&FlexFloat; 3],
        residual: Option<&FlexFloat>,
        shape: [usize; 4],
    ) -> FlexFloat {
        let residual = residual.map(values);
        let (y, moments) = self.spec.forward(
            workers(),
            Level::detect(),
            &values(x),
            (&values(weight), &values(bias)),
            residual.as_deref(),
        );
        *self.moments.lock().unwrap_or_else(PoisonError::into_inner) = moments;
        tensor(y, shape)
    }
}

fn shape(x: &FlexFloat) -> [usize; 4] {
    x.layout().shape().dims::<4>()
}

impl LayerBackend for Flex {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        pass: ConvolutionPass,
    ) -> FloatTensor<Self> {
        pass.run(&x, &weight)
    }

    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        pass: NormPass,
    ) -> FloatTensor<Self> {
        let shape = shape(&x);
        pass.run([&x, &weight, &bias], None, shape)
    }

    fn normalise_and_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        pass: NormPass,
    ) -> FloatTensor<Self> {
        let shape = shape(&x);
        pass.run([&x, &weight, &bias], Some(&residual), shape)
    }
}

/// What a convolution leaves for its backward pass.
#[derive(Clone, Debug)]
struct SavedConvolution {
    pass: ConvolutionPass,
    x: FlexFloat,
    weight: FlexFloat,
}

#[derive(Debug)]
struct ConvolutionBackward;

impl Backward<Flex, 2> for ConvolutionBackward {
    type State = SavedConvolution;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, weight] = ops.parents;
        let dy = grads.consume::<Flex>(&ops.node);
        let SavedConvolution {
            pass,
            x: input,
            weight: kernel,
        } = ops.state;
        let (dx, dw) = pool().backward(
            &pass.spec,
            pass.batch,
            (&values(&input), &values(&dy)),
            &values(&kernel),
            x.is_some(),
        );
        if let Some(x) = x {
            grads.register::<Flex>(x.id, tensor(dx, pass.input_shape()));
        }
        if let Some(weight) = weight {
            grads.register::<Flex>(weight.id, tensor(dw, pass.weight_shape()));
        }
    }
}

/// What a normalisation leaves for its backward pass.
#[derive(Clone, Debug)]
struct SavedNorm {
    pass: NormPass,
    x: FlexFloat,
    y: FlexFloat,
    weight: FlexFloat,
}

impl SavedNorm {
    /// Gradients of input, weight, bias, and of what was added if it is wanted.
    fn gradients(&self, dy: &FlexFloat, with_residual: bool) -> [FlexFloat; 4] {
        let (spec, shape) = (&self.pass.spec, shape(&self.x));
        let moments = self
            .pass
            .moments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let found = spec.backward(
            workers(),
            Level::detect(),
            (&values(&self.x), &values(&self.y), &values(dy)),
            &values(&self.weight),
            &moments,
            with_residual,
        );
        let channels = [spec.channels];
        let residual = if with_residual {
            tensor(found.residual, shape)
        } else {
            tensor(found.residual, [0])
        };
        [
            tensor(found.x, shape),
            tensor(found.weight, channels),
            tensor(found.bias, channels),
            residual,
        ]
    }
}

/// Normalisation of input, weight and bias (3), and of what is added too (4).
#[derive(Debug)]
struct NormBackward;

impl<const N: usize> Backward<Flex, N> for NormBackward {
    type State = SavedNorm;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<Flex>(&ops.node);
        let with_residual = ops.parents.get(3).is_some_and(Option::is_some);
        let found = ops.state.gradients(&dy, with_residual);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// A normalisation in the graph, of input, weight and bias (3), and with what is added (4).
fn tracked_norm<C: CheckpointStrategy, const N: usize>(
    tensors: [FloatTensor<Autodiff<Flex, C>>; N],
    pass: NormPass,
) -> FloatTensor<Autodiff<Flex, C>> {
    let prepared = NormBackward
        .prepare::<C>(
            tensors
                .each_ref()
                .map(FloatTensor::<Autodiff<Flex, C>>::node),
        )
        .compute_bound()
        .stateful();
    let tensors = tensors.map(FloatTensor::<Autodiff<Flex, C>>::into_primitive);
    let (x, weight) = (&tensors[0], &tensors[1]);
    let y = pass.run([x, weight, &tensors[2]], tensors.get(3), shape(x));
    match prepared {
        OpsKind::Tracked(prep) => {
            let saved = SavedNorm {
                pass,
                x: x.clone(),
                y: y.clone(),
                weight: weight.clone(),
            };
            prep.finish(saved, y)
        }
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

impl<C: CheckpointStrategy> LayerBackend for Autodiff<Flex, C> {
    fn convolve(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        pass: ConvolutionPass,
    ) -> FloatTensor<Self> {
        let prepared = ConvolutionBackward
            .prepare::<C>([x.node(), weight.node()])
            .compute_bound()
            .stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let output = pass.run(&x, &weight);
        match prepared {
            OpsKind::Tracked(prep) => prep.finish(SavedConvolution { pass, x, weight }, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        pass: NormPass,
    ) -> FloatTensor<Self> {
        tracked_norm::<C, _>([x, weight, bias], pass)
    }

    fn normalise_and_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        pass: NormPass,
    ) -> FloatTensor<Self> {
        tracked_norm::<C, _>([x, weight, bias, residual], pass)
    }
}

/// Whether the operations take this tensor: single precision on the `flex` device.
#[must_use]
pub fn takes(x: &Tensor<4>) -> bool {
    tracked(x).is_some()
}

/// A convolution without bias, with gradients for both tensors.
///
/// # Shapes
/// - `x`: `[batch, inputs, height, width]` as in `spec`, which the kernels take
/// - `weight`: `[outputs, inputs, size, size]`
/// - output: `[batch, outputs, ⌈height / stride⌉, ⌈width / stride⌉]`
///
/// # Panics
/// If a tensor does not have its shape, or [`takes`] or [`ConvolutionSpec::takes`] says no.
#[must_use]
pub fn convolve(spec: &ConvolutionSpec, x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let pass = ConvolutionPass {
        spec: *spec,
        batch: x.dims()[0],
    };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as LayerBackend>::convolve(x, weight, pass))
}

/// Normalisation by the batch's statistics with gradients for all tensors, and these statistics.
///
/// # Shapes
/// - `x`, `residual` (added before `ReLU`) and output: `[batch, channels, height, width]`
/// - `weight`, `bias`: `[channels]`
///
/// # Panics
/// If a tensor does not have its shape, the batch is empty, or [`takes`] says no.
#[must_use]
pub fn normalise(
    x: Tensor<4>,
    (weight, bias): (Tensor<1>, Tensor<1>),
    residual: Option<Tensor<4>>,
    relu: bool,
) -> (Tensor<4>, Moments) {
    let [batch, channels, height, width] = x.dims();
    let moments = Arc::new(Mutex::new(Moments::default()));
    let pass = NormPass {
        spec: NormSpec {
            batch,
            channels,
            pixels: height * width,
            relu,
        },
        moments: Arc::clone(&moments),
    };
    let (x, weight, bias) = (
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    );
    let output = match residual {
        None => <Dispatch as LayerBackend>::normalise(x, weight, bias, pass),
        Some(residual) => {
            let residual = residual.into_dispatch();
            <Dispatch as LayerBackend>::normalise_and_add(x, weight, bias, residual, pass)
        }
    };
    let moments = moments
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    (Tensor::from_dispatch(output), moments)
}
