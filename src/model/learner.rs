//! A network as methods and optimizers see it: flat parameters, flat gradients, evaluation.
//!
//! Owns the bridge to Burn's autodiff. Everything above it (methods, the runner) speaks of one vector of parameters and
//! one of gradients and never of tensors, so a network may compute them in any way it likes.

use std::collections::HashMap;

use super::weights::{FloatTensor, WeightsError, read_weights, take_weight, write_weights};
use super::{Dropout, Network, head};
use crate::optim::{
    Layout, OptimError, State, floats, read_gradients, read_parameters, write_parameters,
};
use crate::stream::{Batch, Samples};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

/// Why a learner cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnerError {
    /// Vectors of another model.
    #[error(transparent)]
    Vector(#[from] OptimError),
    /// A weights file that does not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A batch without examples.
    #[error("a batch without examples has no gradient")]
    EmptyBatch,
    /// Images that the network cannot take.
    #[error("the images do not fit the network: {0}")]
    Size(String),
}

/// Result of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Examples whose label had the highest logit of its slice.
    pub correct: usize,
    /// Examples.
    pub total: usize,
    /// Sum of their cross-entropies, in nats.
    pub loss_sum: f64,
}

impl Evaluation {
    /// Adds another batch's result.
    pub fn add(&mut self, other: &Self) {
        self.correct += other.correct;
        self.total += other.total;
        self.loss_sum += other.loss_sum;
    }

    /// Percent correct.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.total.max(1) as f64
    }

    /// Mean cross-entropy in nats.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.total.max(1) as f64
    }
}

/// A network with flat parameters.
pub trait Learner: Send {
    /// Names, shapes and positions of the parameters, under the released code's names.
    fn layout(&self) -> &Layout;

    /// The parameters.
    fn parameters(&self) -> &[f32];

    /// Changes the parameters in place; they take effect when the closure returns.
    ///
    /// # Errors
    /// What the closure returns, or [`LearnerError::Vector`].
    fn update(
        &mut self,
        change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
    ) -> Result<(), LearnerError>;

    /// Mean loss of a batch in training mode; its gradient replaces what `gradient` held. Batch-norm statistics take
    /// the batch in.
    ///
    /// # Errors
    /// [`LearnerError::EmptyBatch`].
    fn gradient(&mut self, batch: &Batch, gradient: &mut Vec<f32>) -> Result<f32, LearnerError>;

    /// Takes a batch into the batch-norm statistics (and draws its dropout masks) as a training-mode forward pass does,
    /// without a gradient.
    ///
    /// # Errors
    /// [`LearnerError::EmptyBatch`].
    fn observe(&mut self, batch: &Batch) -> Result<(), LearnerError>;

    /// Gradients of [`head::competing_loss`] in evaluation mode (running statistics, no dropout, nothing changes), batch
    /// after batch: `each` gets the batch's number of examples and the gradient of its mean loss. Labels may lie outside
    /// their slices. Empty batches are left out.
    ///
    /// # Errors
    /// [`LearnerError`] if the images do not fit the network.
    fn evaluation_gradients(
        &mut self,
        batches: &mut dyn Iterator<Item = Batch>,
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), LearnerError>;

    /// Accuracy and loss in evaluation mode over all samples, in batches of `batch_size`, on up to `threads` threads.
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// [`LearnerError`] if the images do not fit the network.
    fn evaluate(
        &mut self,
        samples: &Samples,
        batch_size: usize,
        threads: usize,
    ) -> Result<Evaluation, LearnerError>;

    /// Parameters and buffers as a safetensors file under the released PyTorch code's names.
    ///
    /// # Errors
    /// [`WeightsError::Format`] (never for a network of this crate).
    fn weights(&self) -> Result<Vec<u8>, WeightsError>;

    /// Takes parameters and buffers from such a file.
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing or differs; nothing is changed then.
    fn load(&mut self, bytes: &[u8]) -> Result<(), LearnerError>;

    /// A snapshot of everything that later results depend on: parameters, buffers, counters, place of the dropout
    /// stream.
    fn state(&self) -> State<'_>;

    /// Takes a snapshot back, all or nothing.
    ///
    /// # Errors
    /// [`LearnerError::Vector`] for a snapshot of another network.
    fn restore(&mut self, state: State<'_>) -> Result<(), LearnerError>;
}

/// The form of every learner's snapshot, so that what one implementation saved is what another one takes.
pub(super) fn learner_state(
    tensors: Vec<FloatTensor>,
    batches: i64,
    dropout: &Dropout,
) -> State<'static> {
    let mut state = State::new("learner").with_counter("batches", batches.max(0) as usize);
    state.put_list("dropout", vec![dropout.position()]);
    for tensor in tensors {
        state.put(&tensor.name, tensor.values);
    }
    state
}

/// Batches and place of the dropout stream of a [`learner_state`].
pub(super) fn learner_counters(state: &mut State<'_>) -> Result<(i64, u64), OptimError> {
    state.expect_kind("learner")?;
    let batches = state.counter("batches")? as i64;
    let dropout = state.take_list("dropout")?.first().copied();
    Ok((batches, dropout.unwrap_or(0)))
}

/// A Burn network as a [`Learner`].
pub struct NetworkLearner<N: Network> {
    /// Always there between calls; taken out while the module is rebuilt.
    network: Option<N>,
    layout: Layout,
    parameters: Vec<f32>,
    dropout: Dropout,
    device: Device,
    /// Training-mode forward passes so far: PyTorch's `num_batches_tracked`.
    batches: i64,
}

impl<N: Network> NetworkLearner<N> {
    /// A learner over a network on an autodiff device.
    #[must_use]
    pub fn new(network: N, dropout: Dropout, device: &Device) -> Self {
        let paths = crate::optim::layout_of(&network);
        let layout = Layout::new(
            paths
                .slots()
                .iter()
                .map(|s| (N::released_name(&s.name), s.shape.clone())),
        );
        let parameters = read_parameters(&network);
        Self {
            network: Some(network),
            layout,
            parameters,
            dropout,
            device: device.clone(),
            batches: 0,
        }
    }

    /// The network as it is now.
    ///
    /// # Panics
    /// Never: the network is absent only inside [`Learner::update`] and [`Learner::load`].
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "an invariant of this type, not of its input"
    )]
    pub fn network(&self) -> &N {
        self.network
            .as_ref()
            .expect("the network is present between calls")
    }

    fn images(batch: &Batch, device: &Device) -> Tensor<4> {
        let shape = [
            batch.len(),
            batch.shape.channels,
            batch.shape.height,
            batch.shape.width,
        ];
        Tensor::from_data(TensorData::new(batch.pixels.clone(), shape), device)
    }

    /// Puts new values of float tensors in, by path.
    fn replace(&mut self, values: HashMap<String, Vec<f32>>) {
        if let Some(network) = self.network.take() {
            let path = Vec::new();
            let network = network.map(&mut Replace { path, values });
            self.parameters = read_parameters(&network);
            self.network = Some(network);
        }
    }

    fn write(&mut self) -> Result<(), LearnerError> {
        if let Some(network) = self.network.take() {
            self.network = Some(write_parameters(network, &self.parameters)?);
        }
        Ok(())
    }
}

fn judge_batch<N: Network>(network: &N, batch: &Batch, device: &Device) -> Evaluation {
    let logits = network.forward(
        NetworkLearner::<N>::images(batch, device),
        &mut Dropout::off(),
    );
    let classes = logits.dims()[1];
    let logits = floats(logits.into_data());
    head::judge_rows(&logits, classes, &batch.labels, &batch.slices)
}

impl<N: Network> Learner for NetworkLearner<N> {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    fn update(
        &mut self,
        change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
    ) -> Result<(), LearnerError> {
        change(&mut self.parameters)?;
        self.write()
    }

    fn gradient(&mut self, batch: &Batch, gradient: &mut Vec<f32>) -> Result<f32, LearnerError> {
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        let images = Self::images(batch, &self.device);
        let mut dropout = std::mem::replace(&mut self.dropout, Dropout::off());
        let logits = self.network().forward(images, &mut dropout);
        self.dropout = dropout;
        self.batches += 1;
        let loss = head::task_loss(logits, &batch.labels, &batch.slices);
        let gradients = GradientsParams::from_grads(loss.backward(), self.network());
        *gradient = read_gradients(self.network(), gradients);
        Ok(loss.into_scalar())
    }

    fn observe(&mut self, batch: &Batch) -> Result<(), LearnerError> {
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        let mut dropout = std::mem::replace(&mut self.dropout, Dropout::off());
        let _ = self
            .network()
            .forward(Self::images(batch, &self.device), &mut dropout);
        self.dropout = dropout;
        self.batches += 1;
        Ok(())
    }

    fn evaluation_gradients(
        &mut self,
        batches: &mut dyn Iterator<Item = Batch>,
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), LearnerError> {
        let freeze = |network: Option<N>, frozen| network.map(|n| n.with_frozen_norms(frozen));
        self.network = freeze(self.network.take(), true);
        for batch in batches.filter(|batch| !batch.is_empty()) {
            let images = Self::images(&batch, &self.device);
            let logits = self.network().forward(images, &mut Dropout::off());
            let loss = head::competing_loss(logits, &batch.labels, &batch.slices);
            let gradients = GradientsParams::from_grads(loss.backward(), self.network());
            each(batch.len(), &read_gradients(self.network(), gradients));
        }
        self.network = freeze(self.network.take(), false);
        Ok(())
    }

    fn evaluate(
        &mut self,
        samples: &Samples,
        batch_size: usize,
        threads: usize,
    ) -> Result<Evaluation, LearnerError> {
        let positions: Vec<usize> = (0..samples.len()).collect();
        let batches: Vec<&[usize]> = positions.chunks(batch_size.max(1)).collect();
        let network = self.network().valid();
        let device = self.device.clone().inner();
        let work = |batches: &[&[usize]]| -> Vec<Evaluation> {
            batches
                .iter()
                .map(|b| judge_batch(&network, &samples.batch(b), &device))
                .collect()
        };
        let share = batches.len().div_ceil(threads.max(1)).max(1);
        let results: Vec<Evaluation> = if threads <= 1 {
            work(&batches)
        } else {
            std::thread::scope(|scope| {
                let handles: Vec<_> = batches
                    .chunks(share)
                    .map(|part| scope.spawn(|| work(part)))
                    .collect();
                handles
                    .into_iter()
                    .flat_map(|h| {
                        h.join()
                            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    })
                    .collect()
            })
        };
        // Summed batch by batch in order, so that the loss does not depend on the number of threads.
        let mut sum = Evaluation::default();
        for one in &results {
            sum.add(one);
        }
        Ok(sum)
    }

    fn weights(&self) -> Result<Vec<u8>, WeightsError> {
        write_weights(
            &float_tensors(&self.network().valid(), N::released_name),
            self.batches,
            N::idle_norms(),
        )
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), LearnerError> {
        let file = read_weights(bytes)?;
        let mut values = HashMap::new();
        for tensor in float_tensors(self.network(), str::to_string) {
            let taken = take_weight(&file, &N::released_name(&tensor.name), &tensor.shape)?;
            values.insert(tensor.name, taken);
        }
        self.replace(values);
        Ok(())
    }

    fn state(&self) -> State<'_> {
        let tensors = float_tensors(&self.network().valid(), N::released_name);
        learner_state(tensors, self.batches, &self.dropout)
    }

    fn restore(&mut self, mut state: State<'_>) -> Result<(), LearnerError> {
        let (batches, dropout) = learner_counters(&mut state)?;
        let mut values = HashMap::new();
        for tensor in float_tensors(self.network(), str::to_string) {
            let taken = state.take(&N::released_name(&tensor.name), tensor.values.len())?;
            values.insert(tensor.name, taken);
        }
        self.replace(values);
        self.batches = batches;
        self.dropout.seek(dropout);
        Ok(())
    }
}

/// All float tensors, buffers included: name, shape, values.
fn float_tensors<M: Module>(module: &M, rename: fn(&str) -> String) -> Vec<FloatTensor> {
    struct Collect {
        path: Vec<String>,
        rename: fn(&str) -> String,
        tensors: Vec<FloatTensor>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let (shape, data) = (value.shape().to_vec(), value.into_data());
            let name = (self.rename)(&self.path.join("."));
            self.tensors.push(FloatTensor {
                name,
                shape,
                values: floats(data),
            });
        }
    }
    let mut collect = Collect {
        path: Vec::new(),
        rename,
        tensors: Vec::new(),
    };
    module.visit(&mut collect);
    collect.tensors
}

/// Puts values in by path.
struct Replace {
    path: Vec<String>,
    values: HashMap<String, Vec<f32>>,
}

impl ModuleMapper for Replace {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.remove(&self.path.join(".")) else {
            return param;
        };
        let trained = param.is_require_grad();
        let (id, old, mapper) = param.consume();
        let value = Tensor::from_data(TensorData::new(values, old.shape()), &old.device());
        Param::from_mapped_value(id, value.set_require_grad(trained), mapper)
    }
}
