//! The trunk of the reduced ResNet-18 as an operation of Burn, forward and backward.
//!
//! Owns the passage between Burn's tensors and [`super::resnet`], so that a training loop written with Burn runs on the
//! kernels. The trunk's parameters are one tensor, end to end, and have one gradient: Burn cuts and joins them. A forward
//! pass takes a [`Trunk`](super::resnet::Trunk) from a pool and keeps it until its backward pass, or until the graph is
//! dropped, so several passes may be open at once.
//!
//! Images have no gradient here; [`takes`] says no to images that want one, and the caller uses Burn's own operations.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, Dispatch, DispatchTensorKind, Flex, backend_extension,
};
use burn::tensor::{DType, Tensor, TensorData};

use super::resnet::{BatchStats, PooledTrunk, SpecError, TrunkPool, TrunkSpec};

/// A training pass: what goes in beside tensors, and where the batch's statistics come out.
#[derive(Clone, Debug)]
pub(crate) struct TrainPass {
    spec: TrunkSpec,
    /// Dropout multipliers as [`TrunkSpec::dropout_shapes`] says, or none.
    masks: Option<Arc<Vec<Vec<f32>>>>,
    stats: Arc<Mutex<Vec<BatchStats>>>,
}

/// An evaluation pass: what goes in beside tensors.
#[derive(Clone, Debug)]
pub(crate) struct EvalPass {
    spec: TrunkSpec,
    running: Arc<Vec<BatchStats>>,
}

/// Burn backends that have the trunk as an operation. Use [`train`] and [`evaluate`].
///
/// # Shapes
/// - `images`: `[batch, in_channels, size, size]`
/// - `parameters`: `[all]`, those of [`TrunkSpec::parameters`] end to end
/// - output: `[batch, features]`
#[backend_extension(Flex, Autodiff)]
pub(crate) trait TrunkBackend: Backend {
    /// Forward pass with batch statistics.
    fn trunk_train(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        pass: TrainPass,
    ) -> FloatTensor<Self>;

    /// Forward pass with running statistics.
    fn trunk_eval(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        pass: EvalPass,
    ) -> FloatTensor<Self>;
}

/// One thread, as a run has.
fn pool() -> &'static Arc<TrunkPool> {
    static POOL: OnceLock<Arc<TrunkPool>> = OnceLock::new();
    POOL.get_or_init(|| TrunkPool::new(1))
}

/// A trunk for a spec that [`train`] or [`evaluate`] has checked.
fn take(spec: &TrunkSpec) -> PooledTrunk {
    match pool().take(spec) {
        Ok(trunk) => trunk,
        Err(error) => unreachable!("the spec was checked: {error}"),
    }
}

/// A tensor of the `flex` backend.
pub(crate) type FlexFloat = FloatTensor<Flex>;

/// The tensor's values in order.
pub(crate) fn values(tensor: &FlexFloat) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().storage::<f32>().to_vec()),
    }
}

/// The parameters one by one.
fn cut<'a>(spec: &TrunkSpec, mut rest: &'a [f32]) -> Vec<&'a [f32]> {
    let lengths = lengths(spec);
    let cut = lengths.map(|len| {
        let (part, tail) = rest.split_at(len);
        rest = tail;
        part
    });
    cut.collect()
}

fn lengths(spec: &TrunkSpec) -> impl Iterator<Item = usize> {
    spec.parameters()
        .into_iter()
        .map(|shape| shape.iter().product())
}

fn features(spec: &TrunkSpec, values: Vec<f32>) -> FlexFloat {
    FlexFloat::from_data(TensorData::new(values, [spec.batch, spec.features()]))
}

/// A training pass; the trunk holds what its backward pass needs.
fn forward(
    images: &FlexFloat,
    parameters: &FlexFloat,
    pass: &TrainPass,
) -> (PooledTrunk, FlexFloat) {
    let spec = &pass.spec;
    let parameters = values(parameters);
    let masks: Option<Vec<&[f32]>> = pass
        .masks
        .as_ref()
        .map(|masks| masks.iter().map(Vec::as_slice).collect());
    let mut stats = pass.stats.lock().unwrap_or_else(PoisonError::into_inner);
    stats.resize_with(spec.norms().len(), BatchStats::default);
    let mut output = vec![0.0; spec.batch * spec.features()];
    let mut trunk = take(spec);
    trunk.forward_train(
        &values(images),
        &cut(spec, &parameters),
        masks.as_deref(),
        &mut stats,
        &mut output,
    );
    (trunk, features(spec, output))
}

impl TrunkBackend for Flex {
    fn trunk_train(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        pass: TrainPass,
    ) -> FloatTensor<Self> {
        forward(&images, &parameters, &pass).1
    }

    fn trunk_eval(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        pass: EvalPass,
    ) -> FloatTensor<Self> {
        let spec = &pass.spec;
        let parameters = values(&parameters);
        let running: Vec<(&[f32], &[f32])> = pass
            .running
            .iter()
            .map(|r| (r.mean.as_slice(), r.variance.as_slice()))
            .collect();
        let mut output = vec![0.0; spec.batch * spec.features()];
        take(spec).forward_eval(
            &values(&images),
            &cut(spec, &parameters),
            &running,
            &mut output,
        );
        features(spec, output)
    }
}

/// What a training pass leaves for its backward pass. Burn wants it `Clone`; the trunk is taken once.
#[derive(Clone)]
struct Saved {
    spec: TrunkSpec,
    parameters: FlexFloat,
    trunk: Arc<Mutex<Option<PooledTrunk>>>,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct TrunkBackward;

impl Backward<Flex, 1> for TrunkBackward {
    type State = Saved;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let output = grads.consume::<Flex>(&ops.node);
        let saved = ops.state;
        let taken = saved
            .trunk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (Some(node), Some(mut trunk)) = (parent, taken) else {
            return;
        };
        let parameters = values(&saved.parameters);
        let mut gradient = vec![0.0; parameters.len()];
        let mut rest = gradient.as_mut_slice();
        let mut parts = Vec::new();
        for len in lengths(&saved.spec) {
            let (part, tail) = rest.split_at_mut(len);
            parts.push(part);
            rest = tail;
        }
        trunk.backward(&cut(&saved.spec, &parameters), &values(&output), &mut parts);
        let len = gradient.len();
        let gradient = FlexFloat::from_data(TensorData::new(gradient, [len]));
        grads.register::<Flex>(node.id, gradient);
    }
}

impl<C: CheckpointStrategy> TrunkBackend for Autodiff<Flex, C> {
    fn trunk_train(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        pass: TrainPass,
    ) -> FloatTensor<Self> {
        let prepared = TrunkBackward
            .prepare::<C>([parameters.node()])
            .compute_bound()
            .stateful();
        let parameters = parameters.into_primitive();
        let (trunk, output) = forward(images.primitive(), &parameters, &pass);
        match prepared {
            OpsKind::Tracked(prep) => {
                let saved = Saved {
                    spec: pass.spec,
                    parameters,
                    trunk: Arc::new(Mutex::new(Some(trunk))),
                };
                prep.finish(saved, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn trunk_eval(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        pass: EvalPass,
    ) -> FloatTensor<Self> {
        let output = Flex::trunk_eval(images.into_primitive(), parameters.into_primitive(), pass);
        Self::FloatTensorPrimitive::new(output)
    }
}

/// Whether a gradient is wanted for this tensor; `None` if it is not of single precision on the `flex` device.
pub(crate) fn tracked(x: &Tensor<4>) -> Option<bool> {
    if x.dtype() != DType::F32 {
        return None;
    }
    let kind = match x.clone().into_dispatch().kind {
        DispatchTensorKind::Autodiff(inner) => *inner,
        plain @ DispatchTensorKind::Flex(_) => plain,
    };
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor)) => Some(tensor.is_tracked()),
        DispatchTensorKind::Flex(BackendTensor::Float(_)) => Some(false),
        _ => None,
    }
}

/// Whether the operation takes these images: single precision on the `flex` device, and no gradient wanted for them.
#[must_use]
pub fn takes(images: &Tensor<4>) -> bool {
    tracked(images) == Some(false)
}

/// The trunk's features in training mode, with a gradient for the parameters, and the statistics of every norm.
///
/// `masks` holds dropout multipliers as [`TrunkSpec::dropout_shapes`] says.
///
/// # Shapes
/// - `images`: `[batch, in_channels, size, size]` as in `spec`, which [`takes`] accepts
/// - `parameters`: `[all]`, those of [`TrunkSpec::parameters`] end to end
/// - output: `[batch, features]`
///
/// # Errors
/// If the spec's sizes are out of range.
///
/// # Panics
/// If a tensor does not have its shape.
pub fn train(
    spec: &TrunkSpec,
    images: Tensor<4>,
    parameters: Tensor<1>,
    masks: Option<Vec<Vec<f32>>>,
) -> Result<(Tensor<2>, Vec<BatchStats>), SpecError> {
    spec.validate()?;
    let stats = Arc::new(Mutex::new(Vec::new()));
    let pass = TrainPass {
        spec: spec.clone(),
        masks: masks.map(Arc::new),
        stats: Arc::clone(&stats),
    };
    let output = <Dispatch as TrunkBackend>::trunk_train(
        images.into_dispatch(),
        parameters.into_dispatch(),
        pass,
    );
    let stats = std::mem::take(&mut *stats.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((Tensor::from_dispatch(output), stats))
}

/// The trunk's features in evaluation mode, with the running statistics of every norm.
///
/// # Shapes
/// As [`train`].
///
/// # Errors
/// As [`train`].
///
/// # Panics
/// As [`train`].
pub fn evaluate(
    spec: &TrunkSpec,
    images: Tensor<4>,
    parameters: Tensor<1>,
    running: Vec<BatchStats>,
) -> Result<Tensor<2>, SpecError> {
    spec.validate()?;
    let pass = EvalPass {
        spec: spec.clone(),
        running: Arc::new(running),
    };
    let output = <Dispatch as TrunkBackend>::trunk_eval(
        images.into_dispatch(),
        parameters.into_dispatch(),
        pass,
    );
    Ok(Tensor::from_dispatch(output))
}
