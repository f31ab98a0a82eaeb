//! The reduced ResNet-18 on the CPU kernels: the same network as [`super::ReducedResNet`], several times faster.
//!
//! Owns the passage between the learner's flat vectors and [`crate::kernels`]. Initial values come from the Burn module,
//! and parameters, names and running statistics are the same, so weights go from one to the other; the Burn module
//! stays the reference in tests and the path of `TAGCL_KERNELS=stock`.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Device;

use super::learner::{learner_counters, learner_state};
use super::weights::{FloatTensor, WeightsError, read_weights, take_weight, write_weights};
use super::{
    Dropout, Evaluation, Learner, LearnerError, NetworkLearner, Norm, ReducedResNetConfig, head,
};
use crate::data::ImageShape;
use crate::kernels::head::HeadSpec;
use crate::kernels::resnet::{BatchStats, PooledTrunk, TrunkPool, TrunkSpec};
use crate::optim::{Layout, OptimError, State};
use crate::seed::{SeedStream, Seeds};
use crate::stream::{Batch, Samples};

/// The reduced ResNet-18 as a [`Learner`] on the CPU kernels.
pub struct KernelResNet {
    /// Sizes; the batch size is set anew for every pass.
    spec: TrunkSpec,
    classes: usize,
    layout: Layout,
    parameters: Vec<f32>,
    /// Running mean and unbiased variance of every norm, in the order of the trunk.
    running: Vec<BatchStats>,
    dropout: Dropout,
    trunks: Arc<TrunkPool>,
    batches: i64,
}

impl KernelResNet {
    /// The network with the initial values that the Burn module has for this stream; square images only. Passes use
    /// `threads` threads, on which results do not depend.
    ///
    /// # Errors
    /// [`LearnerError::Size`] for images that the kernels do not take.
    pub fn new(
        config: &ReducedResNetConfig,
        stream: &mut SeedStream,
        dropout: Dropout,
        threads: usize,
    ) -> Result<Self, LearnerError> {
        let device = Device::flex().autodiff();
        let start = NetworkLearner::new(config.init(stream, &device), Dropout::off(), &device);
        let w = config.width;
        let image = config.image;
        let spec = TrunkSpec {
            batch: 1,
            in_channels: image.channels,
            size: image.height,
            widths: [w, 2 * w, 4 * w, 8 * w],
        };
        if image.height != image.width {
            return Err(LearnerError::Size(format!(
                "images of {image} are not square"
            )));
        }
        spec.validate()
            .map_err(|e| LearnerError::Size(e.to_string()))?;
        let fresh = |&channels: &usize| BatchStats {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
        };
        Ok(Self {
            running: spec.norms().iter().map(fresh).collect(),
            spec,
            classes: config.classes,
            layout: start.layout().clone(),
            parameters: start.parameters().to_vec(),
            dropout,
            trunks: TrunkPool::new(threads),
            batches: 0,
        })
    }

    fn spec(&self, batch: usize) -> TrunkSpec {
        TrunkSpec {
            batch,
            ..self.spec.clone()
        }
    }

    fn head(&self, batch: usize) -> HeadSpec {
        HeadSpec {
            batch,
            features: self.spec.features(),
            classes: self.classes,
        }
    }

    /// The trunk's parameters, then weight and bias of the head.
    fn tensors(&self) -> Vec<&[f32]> {
        self.layout
            .slots()
            .iter()
            .map(|slot| &self.parameters[slot.range.clone()])
            .collect()
    }

    /// Name of every norm, in the order of the trunk.
    fn norm_names(&self) -> impl Iterator<Item = &str> {
        let weights = self
            .layout
            .slots()
            .iter()
            .filter(|slot| slot.name.contains("bn"));
        weights.filter_map(|slot| slot.name.strip_suffix(".weight"))
    }

    fn absorb(&mut self, stats: &[BatchStats]) {
        let momentum = Norm::MOMENTUM as f32;
        let blend = |running: &mut [f32], batch: &[f32]| {
            for (r, b) in running.iter_mut().zip(batch) {
                *r = *r * (1.0 - momentum) + b * momentum;
            }
        };
        for (running, batch) in self.running.iter_mut().zip(stats) {
            blend(&mut running.mean, &batch.mean);
            blend(&mut running.variance, &batch.variance);
        }
    }

    fn judge(&self, batch: &Batch) -> Result<Evaluation, LearnerError> {
        let spec = self.spec(batch.len());
        let mut trunk = self
            .trunks
            .take(&spec)
            .map_err(|e| LearnerError::Size(e.to_string()))?;
        let tensors = self.tensors();
        let (trunk_tensors, head_tensors) = tensors.split_at(tensors.len() - 2);
        let running: Vec<(&[f32], &[f32])> = self
            .running
            .iter()
            .map(|r| (r.mean.as_slice(), r.variance.as_slice()))
            .collect();
        let mut features = vec![0.0; batch.len() * spec.features()];
        trunk.forward_eval(&batch.pixels, trunk_tensors, &running, &mut features);
        let head = self.head(batch.len());
        let logits = head.logits(&features, head_tensors[0], head_tensors[1], &batch.slices);
        Ok(head::judge_rows(
            &logits,
            self.classes,
            &batch.labels,
            &batch.slices,
        ))
    }

    /// A training-mode forward pass whose statistics are taken in: the trunk with what its backward pass needs, and
    /// the features.
    fn forward(&mut self, batch: &Batch) -> Result<(PooledTrunk, Vec<f32>), LearnerError> {
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        let spec = self.spec(batch.len());
        let mut trunk = self
            .trunks
            .take(&spec)
            .map_err(|e| LearnerError::Size(e.to_string()))?;
        let masks: Option<Vec<Vec<f32>>> = spec
            .dropout_shapes()
            .iter()
            .map(|shape| self.dropout.mask(shape.iter().product()))
            .collect();
        let masks: Option<Vec<&[f32]>> = masks
            .as_ref()
            .map(|masks| masks.iter().map(Vec::as_slice).collect());
        let mut stats: Vec<BatchStats> = spec
            .norms()
            .iter()
            .map(|&channels| BatchStats {
                mean: vec![0.0; channels],
                variance: vec![0.0; channels],
            })
            .collect();
        let tensors = self.tensors();
        let mut features = vec![0.0; batch.len() * spec.features()];
        trunk.forward_train(
            &batch.pixels,
            &tensors[..tensors.len() - 2],
            masks.as_deref(),
            &mut stats,
            &mut features,
        );
        self.absorb(&stats);
        self.batches += 1;
        Ok((trunk, features))
    }

    /// Puts new values in, in the order of [`Self::float_tensors`].
    fn replace(&mut self, values: Vec<Vec<f32>>) {
        let mut values = values.into_iter();
        let parameters = values.by_ref().take(self.layout.slots().len());
        self.parameters = parameters.flatten().collect();
        let running = self.running.iter_mut();
        for (running, values) in running
            .flat_map(|r| [&mut r.mean, &mut r.variance])
            .zip(values)
        {
            *running = values;
        }
    }

    fn float_tensors(&self) -> Vec<FloatTensor> {
        let parameters = self.layout.slots().iter().map(|slot| FloatTensor {
            name: slot.name.clone(),
            shape: slot.shape.clone(),
            values: self.parameters[slot.range.clone()].to_vec(),
        });
        let buffer = |name: &str, what: &str, values: &[f32]| FloatTensor {
            name: format!("{name}.{what}"),
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        let buffers = self.norm_names().zip(&self.running).flat_map(|(name, r)| {
            [
                buffer(name, "running_mean", &r.mean),
                buffer(name, "running_var", &r.variance),
            ]
        });
        parameters.chain(buffers).collect()
    }
}

/// Cuts a flat vector into the tensors of a layout.
fn split_mut(mut rest: &mut [f32], ranges: impl Iterator<Item = Range<usize>>) -> Vec<&mut [f32]> {
    let mut parts = Vec::new();
    for range in ranges {
        let (part, tail) = rest.split_at_mut(range.len());
        parts.push(part);
        rest = tail;
    }
    parts
}

impl Learner for KernelResNet {
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
        Ok(change(&mut self.parameters)?)
    }

    fn gradient(&mut self, batch: &Batch, gradient: &mut Vec<f32>) -> Result<f32, LearnerError> {
        let (mut trunk, features) = self.forward(batch)?;
        let tensors = self.tensors();
        let (trunk_tensors, head_tensors) = tensors.split_at(tensors.len() - 2);
        let head = self.head(batch.len());
        let (loss, grads) = head.loss(
            &features,
            head_tensors[0],
            head_tensors[1],
            &batch.slices,
            &batch.labels,
        );
        // Every value is written below.
        gradient.resize(self.layout.len(), 0.0);
        let mut parts = split_mut(
            gradient,
            self.layout.slots().iter().map(|slot| slot.range.clone()),
        );
        let (trunk_parts, head_parts) = parts.split_at_mut(tensors.len() - 2);
        trunk.backward(trunk_tensors, &grads.features, trunk_parts);
        head_parts[0].copy_from_slice(&grads.weight);
        head_parts[1].copy_from_slice(&grads.bias);
        Ok(loss)
    }

    fn observe(&mut self, batch: &Batch) -> Result<(), LearnerError> {
        self.forward(batch).map(|_| ())
    }

    /// On the Burn module, which takes over the weights: the kernels have no backward pass in evaluation mode.
    fn evaluation_gradients(
        &mut self,
        batches: &mut dyn Iterator<Item = Batch>,
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), LearnerError> {
        let side = self.spec.size;
        let config = ReducedResNetConfig {
            image: ImageShape::new(self.spec.in_channels, side, side),
            width: self.spec.widths[0],
            classes: self.classes,
        };
        let device = Device::flex().autodiff();
        let mut unused = Seeds::new(0).stream("overwritten");
        let network = config.init(&mut unused, &device);
        let mut stock = NetworkLearner::new(network, Dropout::off(), &device);
        stock.load(&self.weights()?)?;
        stock.evaluation_gradients(batches, each)
    }

    fn evaluate(
        &mut self,
        samples: &Samples,
        batch_size: usize,
        _threads: usize,
    ) -> Result<Evaluation, LearnerError> {
        let positions: Vec<usize> = (0..samples.len()).collect();
        let mut sum = Evaluation::default();
        for part in positions.chunks(batch_size.max(1)) {
            sum.add(&self.judge(&samples.batch(part))?);
        }
        Ok(sum)
    }

    fn weights(&self) -> Result<Vec<u8>, WeightsError> {
        write_weights(&self.float_tensors(), self.batches, &[])
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), LearnerError> {
        let file = read_weights(bytes)?;
        let mut taken = Vec::new();
        for tensor in self.float_tensors() {
            taken.push(take_weight(&file, &tensor.name, &tensor.shape)?);
        }
        self.replace(taken);
        Ok(())
    }

    fn state(&self) -> State<'_> {
        learner_state(self.float_tensors(), self.batches, &self.dropout)
    }

    fn restore(&mut self, mut state: State<'_>) -> Result<(), LearnerError> {
        let (batches, dropout) = learner_counters(&mut state)?;
        let mut taken = Vec::new();
        for tensor in self.float_tensors() {
            taken.push(state.take(&tensor.name, tensor.values.len())?);
        }
        self.replace(taken);
        self.batches = batches;
        self.dropout.seek(dropout);
        Ok(())
    }
}
