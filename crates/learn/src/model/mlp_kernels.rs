//! The two-layer perceptron on the CPU kernels: the same network as [`super::Mlp`], without tensors in between.
//!
//! Owns the passage between the learner's flat vectors and [`crate::kernels::dense`]. Initial values come from the Burn
//! module, and parameters, names and the order of dropout masks are the same, so weights go from one to the other; the
//! Burn module stays the reference in tests and the path of `TAGCL_KERNELS=stock`. A training step runs on one thread:
//! it takes a fraction of a millisecond.

use std::sync::Arc;

use burn::tensor::Device;

use super::learner::check_gradient;
use super::weights::FloatTensor;
use super::{
    Classifier, Counters, Dropout, LayerInputs, Learner, LearnerError, Logits, MlpConfig, Mode,
    NetworkLearner, Wanted, head, inputs,
};
use crate::kernels::Level;
use crate::kernels::dense::{Dense, relu_gradient};
use crate::kernels::head::HeadSpec;
use crate::optim::{Layout, OptimError};
use crate::seed::SeedStream;
use crate::stream::Batch;

/// The two-layer perceptron as a [`Learner`] on the CPU kernels.
pub struct KernelMlp {
    /// Shared with frozen copies, so that a change makes a copy where there is one.
    net: Arc<Net>,
    dropout: Dropout,
    batches: i64,
    pass: Pass,
}

/// The network without what training needs.
#[derive(Clone)]
struct Net {
    config: MlpConfig,
    level: Level,
    layout: Layout,
    parameters: Vec<f32>,
}

/// The last forward pass, whose memory is reused from pass to pass.
#[derive(Default)]
struct Pass {
    /// Examples of the pass; 0 where there is none.
    batch: usize,
    /// Whether a backward pass may follow.
    open: bool,
    /// `[batch, inputs]`.
    images: Vec<f32>,
    /// Outputs of the two hidden layers, after ReLU and dropout: `[batch, hidden]`.
    hidden: [Vec<f32>; 2],
    masks: [Option<Vec<f32>>; 2],
    logits: Vec<f32>,
    /// Gradients at the outputs of the two hidden layers.
    between: [Vec<f32>; 2],
}

impl Net {
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

    /// Weight and bias of the three layers, by position in the layout.
    fn layers(&self) -> [&[f32]; 6] {
        let mut slots = self.layout.slots().iter();
        std::array::from_fn(|_| {
            slots
                .next()
                .map_or(&[][..], |slot| &self.parameters[slot.range.clone()])
        })
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
}

impl Classifier for Net {
    fn scores(&self, batch: &Batch, wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        head::check_competing(batch, self.config.classes)?;
        let features = self.features(batch)?;
        let [.., weight, bias] = self.layers();
        let mut logits = vec![0.0; batch.len() * self.config.classes];
        head::logits_on_kernels(
            &self.head(batch.len()),
            self.level,
            (&features, weight, bias),
            (batch, wanted),
            &mut logits,
        );
        Ok(logits)
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        let [_, h2] = self.hidden(batch)?;
        Ok(h2)
    }

    fn classes(&self) -> usize {
        self.config.classes
    }
}

impl Net {
    /// Outputs of the two hidden layers in evaluation mode: `[batch, hidden]`.
    fn hidden(&self, batch: &Batch) -> Result<[Vec<f32>; 2], LearnerError> {
        self.check(batch)?;
        let [w1, b1, w2, b2, ..] = self.layers();
        let [first, second] = self.dense(batch.len());
        let mut h1 = vec![0.0; batch.len() * self.config.hidden];
        let mut h2 = vec![0.0; h1.len()];
        first.forward_relu(self.level, &batch.pixels, w1, b1, &mut h1);
        second.forward_relu(self.level, &h1, w2, b2, &mut h2);
        Ok([h1, h2])
    }
}

impl KernelMlp {
    /// The network with the initial values that the Burn module has for this stream, on the machine's best kernels.
    #[must_use]
    pub fn new(config: &MlpConfig, stream: &mut SeedStream, dropout: Dropout) -> Self {
        let device = Device::flex().autodiff();
        let start = NetworkLearner::new(config.init(stream, &device), Dropout::off(), &device);
        let net = Net {
            config: *config,
            level: Level::detect(),
            layout: start.layout().clone(),
            parameters: start.parameters().to_vec(),
        };
        Self {
            net: Arc::new(net),
            dropout,
            batches: 0,
            pass: Pass::default(),
        }
    }

    /// The network, to be changed: the last pass is no longer its own.
    fn net_mut(&mut self) -> &mut Net {
        (self.pass.batch, self.pass.open) = (0, false);
        Arc::make_mut(&mut self.net)
    }
}

impl Learner for KernelMlp {
    fn layout(&self) -> &Layout {
        &self.net.layout
    }

    fn parameters(&self) -> &[f32] {
        &self.net.parameters
    }

    fn update(
        &mut self,
        change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
    ) -> Result<(), LearnerError> {
        Ok(change(&mut self.net_mut().parameters)?)
    }

    fn forward<'a>(
        &'a mut self,
        batch: &'a Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'a>, LearnerError> {
        let Self { net, pass, .. } = self;
        (pass.batch, pass.open) = (0, false);
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        net.check(batch)?;
        head::check_competing(batch, net.config.classes)?;
        let (level, values) = (net.level, batch.len() * net.config.hidden);
        let [first, second] = net.dense(batch.len());
        let [w1, b1, w2, b2, w3, b3] = net.layers();
        let [h1, h2] = &mut pass.hidden;
        h1.resize(values, 0.0);
        h2.resize(values, 0.0);
        pass.logits.resize(batch.len() * net.config.classes, 0.0);
        self.batches += i64::from(mode != Mode::Evaluate);
        if (mode, wanted) == (Mode::Observe, Wanted::Nothing) {
            // There are no statistics; what moves is the dropout stream.
            for values in [h1, h2] {
                let _ = self.dropout.mask(values.len());
            }
            return Ok(Logits::of(&pass.logits, net.config.classes, wanted, batch));
        }
        let mut drop = |values: &mut [f32]| match mode {
            Mode::Train | Mode::Observe => drop_values(&mut self.dropout, values),
            Mode::Evaluate => None,
        };
        first.forward_relu(level, &batch.pixels, w1, b1, h1);
        pass.masks[0] = drop(h1);
        second.forward_relu(level, h1, w2, b2, h2);
        pass.masks[1] = drop(h2);
        let head = net.head(batch.len());
        head::logits_on_kernels(
            &head,
            level,
            (h2, w3, b3),
            (batch, wanted),
            &mut pass.logits,
        );
        if mode != Mode::Observe {
            pass.images.clone_from(&batch.pixels);
            pass.open = true;
        }
        pass.batch = batch.len();
        Ok(Logits::of(&pass.logits, net.config.classes, wanted, batch))
    }

    fn features(&mut self) -> Result<&[f32], LearnerError> {
        match self.pass.batch {
            0 => Err(LearnerError::NoForward),
            _ => Ok(&self.pass.hidden[1]),
        }
    }

    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError> {
        let Self { net, pass, .. } = self;
        if !pass.open {
            return Err(LearnerError::NoForward);
        }
        check_gradient(d_logits.len(), pass.logits.len())?;
        pass.open = false;
        let level = net.level;
        let [first, second] = net.dense(pass.batch);
        let layers = net.layers();
        let [_, _, w2, _, w3, _] = layers;
        let ([h1, h2], [m1, m2]) = (&pass.hidden, &pass.masks);
        let [g1, g2] = &mut pass.between;
        g1.resize(h1.len(), 0.0);
        g2.resize(h2.len(), 0.0);
        // Every value is written below.
        gradient.resize(net.layout.len(), 0.0);
        let mut rest = gradient.as_mut_slice();
        let [dw1, db1, dw2, db2, dw3, db3] = layers.map(|tensor| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(tensor.len());
            rest = tail;
            part
        });
        net.head(pass.batch)
            .backward((h2, w3), d_logits, g2, dw3, db3);
        relu_gradient(g2, h2, m2.as_deref());
        second.weight_gradient(level, g2, h1, dw2, db2);
        second.input_gradient(level, g2, w2, g1);
        relu_gradient(g1, h1, m1.as_deref());
        first.weight_gradient(level, g1, &pass.images, dw1, db1);
        Ok(())
    }

    fn layer_inputs(&self, batch: &Batch, rows: usize) -> Result<Vec<LayerInputs>, LearnerError> {
        let [h1, h2] = self.net.hidden(batch)?;
        let MlpConfig {
            inputs: pixels,
            hidden,
            ..
        } = self.net.config;
        let seen = [(&batch.pixels, pixels), (&h1, hidden), (&h2, hidden)];
        // Weight and bias take turns.
        let weights = self.net.layout.slots().iter().step_by(2);
        let layers = weights
            .zip(seen)
            .map(|(slot, (values, width))| LayerInputs {
                weight: slot.name.clone(),
                width,
                values: inputs::of_linear(values, width, rows),
            });
        Ok(layers.collect())
    }

    fn frozen(&self) -> Box<dyn Classifier> {
        Box::new(Arc::clone(&self.net))
    }

    fn tensors(&self) -> Vec<FloatTensor> {
        FloatTensor::of_layout(&self.net.layout, &self.net.parameters).collect()
    }

    fn set_tensors(&mut self, values: Vec<Vec<f32>>) {
        self.net_mut().parameters = values.into_iter().flatten().collect();
    }

    fn counters(&self) -> Counters {
        Counters {
            batches: self.batches,
            dropout: self.dropout.position(),
        }
    }

    fn set_counters(&mut self, counters: Counters) {
        self.batches = counters.batches;
        self.dropout.seek(counters.dropout);
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
impl KernelMlp {
    /// The network on the kernels of this level.
    pub(super) fn at(mut self, level: Level) -> Self {
        self.net_mut().level = level;
        self
    }
}
