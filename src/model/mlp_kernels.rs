//! The two-layer perceptron on the CPU kernels: the same network as [`super::Mlp`], without tensors in between.
//!
//! Owns the passage between the learner's flat vectors and [`crate::kernels::dense`]. Initial values come from the Burn
//! module, and parameters, names and the order of dropout masks are the same, so weights go from one to the other; the
//! Burn module stays the reference in tests and the path of `TAGCL_KERNELS=stock`. A training step runs on one thread:
//! it takes a fraction of a millisecond.

use burn::tensor::Device;

use super::learner::{learner_counters, learner_state};
use super::weights::{FloatTensor, WeightsError, read_weights, take_weight, write_weights};
use super::{Dropout, Evaluation, Learner, LearnerError, MlpConfig, NetworkLearner, head};
use crate::kernels::Level;
use crate::kernels::dense::{Dense, relu_gradient};
use crate::kernels::head::HeadSpec;
use crate::optim::{Layout, OptimError, State};
use crate::seed::{SeedStream, Seeds};
use crate::stream::{Batch, Samples};

/// The two-layer perceptron as a [`Learner`] on the CPU kernels.
pub struct KernelMlp {
    config: MlpConfig,
    level: Level,
    layout: Layout,
    parameters: Vec<f32>,
    dropout: Dropout,
    /// Reused from step to step.
    buffers: Buffers,
}

/// What a training pass leaves for the backward pass, and the gradients between layers.
#[derive(Default)]
struct Buffers {
    /// Outputs of the two hidden layers, after ReLU and dropout: `[batch, hidden]`.
    hidden: [Vec<f32>; 2],
    masks: [Option<Vec<f32>>; 2],
    gradient: Vec<f32>,
}

/// Weight and bias of the three layers, by position in the layout.
struct Layers<'a>([&'a [f32]; 6]);

impl KernelMlp {
    /// The network with the initial values that the Burn module has for this stream, on the machine's best kernels.
    #[must_use]
    pub fn new(config: &MlpConfig, stream: &mut SeedStream, dropout: Dropout) -> Self {
        let device = Device::flex().autodiff();
        let start = NetworkLearner::new(config.init(stream, &device), Dropout::off(), &device);
        Self {
            config: *config,
            level: Level::detect(),
            layout: start.layout().clone(),
            parameters: start.parameters().to_vec(),
            dropout,
            buffers: Buffers::default(),
        }
    }

    /// The hidden layers for a batch.
    fn dense(&self, batch: usize) -> [Dense; 2] {
        let MlpConfig { inputs, hidden, .. } = self.config;
        [(inputs, hidden), (hidden, hidden)].map(|(inputs, outputs)| Dense {
            batch,
            inputs,
            outputs,
        })
    }

    fn head(&self, batch: usize) -> HeadSpec {
        HeadSpec {
            batch,
            features: self.config.hidden,
            classes: self.config.classes,
        }
    }

    fn check(&self, batch: &Batch) -> Result<(), LearnerError> {
        let (found, needed) = (batch.pixels.len(), batch.len() * self.config.inputs);
        if found != needed {
            return Err(LearnerError::Size(format!(
                "{} images of {} have {found} values, the network takes {needed}",
                batch.len(),
                batch.shape
            )));
        }
        Ok(())
    }

    fn judge(&self, batch: &Batch) -> Result<Evaluation, LearnerError> {
        self.check(batch)?;
        let layers = layers(&self.layout, &self.parameters);
        let Layers([w1, b1, w2, b2, w3, b3]) = layers;
        let [first, second] = self.dense(batch.len());
        let mut h1 = vec![0.0; batch.len() * self.config.hidden];
        let mut h2 = vec![0.0; h1.len()];
        first.forward_relu(self.level, &batch.pixels, w1, b1, &mut h1);
        second.forward_relu(self.level, &h1, w2, b2, &mut h2);
        let logits = self.head(batch.len()).logits(&h2, w3, b3, &batch.slices);
        Ok(head::judge_rows(
            &logits,
            self.config.classes,
            &batch.labels,
            &batch.slices,
        ))
    }

    fn float_tensors(&self) -> Vec<FloatTensor> {
        let slots = self.layout.slots().iter();
        slots
            .map(|slot| FloatTensor {
                name: slot.name.clone(),
                shape: slot.shape.clone(),
                values: self.parameters[slot.range.clone()].to_vec(),
            })
            .collect()
    }
}

/// The layers' tensors inside a flat vector.
fn layers<'a>(layout: &Layout, flat: &'a [f32]) -> Layers<'a> {
    let mut slots = layout.slots().iter();
    Layers(std::array::from_fn(|_| {
        slots
            .next()
            .map_or(&[][..], |slot| &flat[slot.range.clone()])
    }))
}

impl Learner for KernelMlp {
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
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        self.check(batch)?;
        let (level, values) = (self.level, batch.len() * self.config.hidden);
        let [first, second] = self.dense(batch.len());
        let head = self.head(batch.len());
        let Layers([w1, b1, w2, b2, w3, b3]) = layers(&self.layout, &self.parameters);
        let Buffers {
            hidden: [h1, h2],
            masks: [m1, m2],
            gradient: between,
        } = &mut self.buffers;
        for buffer in [&mut *h1, &mut *h2, &mut *between] {
            buffer.resize(values, 0.0);
        }

        first.forward_relu(level, &batch.pixels, w1, b1, h1);
        *m1 = drop_values(&mut self.dropout, h1);
        second.forward_relu(level, h1, w2, b2, h2);
        *m2 = drop_values(&mut self.dropout, h2);
        let (loss, grads) = head.loss(h2, w3, b3, &batch.slices, &batch.labels);

        gradient.resize(self.layout.len(), 0.0);
        let mut rest = gradient.as_mut_slice();
        let mut parts = [w1, b1, w2, b2, w3, b3].map(|tensor| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(tensor.len());
            rest = tail;
            part
        });
        let [dw1, db1, dw2, db2, dw3, db3] = &mut parts;
        dw3.copy_from_slice(&grads.weight);
        db3.copy_from_slice(&grads.bias);
        let mut g = grads.features;
        relu_gradient(&mut g, h2, m2.as_deref());
        second.weight_gradient(level, &g, h1, dw2, db2);
        second.input_gradient(level, &g, w2, between);
        relu_gradient(between, h1, m1.as_deref());
        first.weight_gradient(level, between, &batch.pixels, dw1, db1);
        Ok(loss)
    }

    /// There are no statistics to take a batch in; only the dropout masks are drawn.
    fn observe(&mut self, batch: &Batch) -> Result<(), LearnerError> {
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        self.check(batch)?;
        for _ in 0..2 {
            let _ = self.dropout.mask(batch.len() * self.config.hidden);
        }
        Ok(())
    }

    /// On the Burn module, which takes over the weights: labels outside their slices have no kernel.
    fn evaluation_gradients(
        &mut self,
        batches: &mut dyn Iterator<Item = Batch>,
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), LearnerError> {
        let device = Device::flex().autodiff();
        let network = self
            .config
            .init(&mut Seeds::new(0).stream("overwritten"), &device);
        let mut stock = NetworkLearner::new(network, Dropout::off(), &device);
        stock.load(&self.weights()?)?;
        stock.evaluation_gradients(batches, each)
    }

    fn evaluate(
        &mut self,
        samples: &Samples,
        batch_size: usize,
        threads: usize,
    ) -> Result<Evaluation, LearnerError> {
        let positions: Vec<usize> = (0..samples.len()).collect();
        let batches: Vec<&[usize]> = positions.chunks(batch_size.max(1)).collect();
        let share = batches.len().div_ceil(threads.max(1)).max(1);
        let this = &*self;
        let work = |part: &[&[usize]]| -> Result<Vec<Evaluation>, LearnerError> {
            part.iter().map(|b| this.judge(&samples.batch(b))).collect()
        };
        let results: Vec<Result<Vec<Evaluation>, LearnerError>> = if threads <= 1 {
            vec![work(&batches)]
        } else {
            std::thread::scope(|scope| {
                let handles: Vec<_> = batches
                    .chunks(share)
                    .map(|part| scope.spawn(|| work(part)))
                    .collect();
                let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
                    handle
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                handles.into_iter().map(join).collect()
            })
        };
        // Summed batch by batch in order, so that the loss does not depend on the number of threads.
        let mut sum = Evaluation::default();
        for part in results {
            for one in part? {
                sum.add(&one);
            }
        }
        Ok(sum)
    }

    fn weights(&self) -> Result<Vec<u8>, WeightsError> {
        write_weights(&self.float_tensors(), 0, &[])
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), LearnerError> {
        let file = read_weights(bytes)?;
        let mut taken = Vec::with_capacity(self.parameters.len());
        for slot in self.layout.slots() {
            taken.extend(take_weight(&file, &slot.name, &slot.shape)?);
        }
        self.parameters = taken;
        Ok(())
    }

    fn state(&self) -> State<'_> {
        learner_state(self.float_tensors(), 0, &self.dropout)
    }

    fn restore(&mut self, mut state: State<'_>) -> Result<(), LearnerError> {
        let (_, dropout) = learner_counters(&mut state)?;
        let mut taken = Vec::with_capacity(self.parameters.len());
        for slot in self.layout.slots() {
            taken.extend_from_slice(&state.take(&slot.name, slot.range.len())?);
        }
        self.parameters = taken;
        self.dropout.seek(dropout);
        Ok(())
    }
}

/// Applies dropout in place; the mask, where there is one.
fn drop_values(dropout: &mut Dropout, values: &mut [f32]) -> Option<Vec<f32>> {
    let mask = dropout.mask(values.len())?;
    for (value, m) in values.iter_mut().zip(&mask) {
        *value *= m;
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::ImageShape;
    use crate::optim::OptimError;

    fn batch(size: usize, side: usize, classes: usize, mixed: bool, salt: usize) -> Batch {
        let values = size * side * side;
        let noise = |i: usize| (((i + 1) * (salt * 2 + 7919) * 31) % 2003) as f32 / 2003.0;
        let slice = |i: usize| {
            let task = usize::from(mixed && i % 3 == 1);
            task * classes..(task + 1) * classes
        };
        Batch {
            pixels: (0..values).map(noise).collect(),
            shape: ImageShape::new(1, side, side),
            labels: (0..size).map(|i| slice(i).start + i % classes).collect(),
            slices: (0..size).map(slice).collect(),
        }
    }

    fn near(a: &[f32], b: &[f32]) {
        let scale = b.iter().fold(1e-3_f32, |m, x| m.max(x.abs()));
        assert_eq!(a.len(), b.len());
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= 2e-5 * scale, "{i}: {a} {b}");
        }
    }

    fn descend(learner: &mut dyn Learner, gradient: &[f32]) {
        let mut step = |theta: &mut [f32]| -> Result<(), OptimError> {
            theta
                .iter_mut()
                .zip(gradient)
                .for_each(|(p, g)| *p -= 0.1 * g);
            Ok(())
        };
        learner.update(&mut step).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Two steps with dropout, a pass that only observes, and an evaluation beside the Burn module's.
        #[test]
        fn steps_match_the_burn_module(
            size in 1_usize..13, side in 2_usize..7, hidden in 1_usize..40, classes in 1_usize..4,
            mixed: bool, dropped: bool, level in 0_usize..3,
        ) {
            let config = MlpConfig { inputs: side * side, hidden, classes: 2 * classes };
            let device = Device::flex().autodiff();
            let init = || Seeds::new(3).stream("init");
            let probability = if dropped { 0.4 } else { 0.0 };
            let dropout = || Dropout::new(probability, Seeds::new(3).stream("dropout"));
            let mut stock = NetworkLearner::new(config.init(&mut init(), &device), dropout(), &device);
            let mut fast = KernelMlp::new(&config, &mut init(), dropout());
            fast.level = Level::all()[level % Level::all().len()];
            prop_assert_eq!(stock.parameters(), fast.parameters());
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for salt in 0..2 {
                let batch = batch(size, side, classes, mixed, salt);
                let loss = (stock.gradient(&batch, &mut a).unwrap(), fast.gradient(&batch, &mut b).unwrap());
                prop_assert!((loss.0 - loss.1).abs() < 1e-5 * loss.0.abs().max(1.0), "{:?}", loss);
                near(&b, &a);
                // The same step in both, so that rounding does not part them.
                descend(&mut stock, &a);
                descend(&mut fast, &a);
                stock.observe(&batch).unwrap();
                fast.observe(&batch).unwrap();
            }
            let mut other = KernelMlp::new(&config, &mut Seeds::new(4).stream("init"), Dropout::off());
            other.load(&stock.weights().unwrap()).unwrap();
            prop_assert_eq!(other.parameters(), fast.parameters());
            prop_assert_eq!(fast.weights().unwrap(), other.weights().unwrap());
            // A snapshot of one engine goes on in the other, dropout included.
            let mut resumed = KernelMlp::new(&config, &mut Seeds::new(4).stream("init"), dropout());
            resumed.level = fast.level;
            resumed.restore(stock.state()).unwrap();
            let next = batch(size, side, classes, mixed, 5);
            let loss = (fast.gradient(&next, &mut a).unwrap(), resumed.gradient(&next, &mut b).unwrap());
            prop_assert_eq!((loss.0, &a), (loss.1, &b));
        }
    }

    #[test]
    fn images_of_another_size_are_refused() {
        let config = MlpConfig {
            inputs: 9,
            hidden: 4,
            classes: 2,
        };
        let mut fast = KernelMlp::new(&config, &mut Seeds::new(1).stream("init"), Dropout::off());
        let error = fast
            .gradient(&batch(2, 4, 1, false, 1), &mut Vec::new())
            .unwrap_err();
        assert!(error.to_string().contains("32 values"), "{error}");
        let empty = fast.gradient(&batch(0, 3, 1, false, 1), &mut Vec::new());
        assert!(matches!(empty, Err(LearnerError::EmptyBatch)));
    }
}
