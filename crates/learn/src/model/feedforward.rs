//! Feed-forward networks on the CPU kernels, [`super::Mlp`], [`super::AlexNet`] and [`super::LeNet`]: the same networks, without
//! tensors in between.
//!
//! Owns the passage between the learner's flat vectors and [`crate::kernels::cnn`] and [`crate::kernels::dense`]: a
//! convolutional part, where there is one, hidden layers and a linear head. Initial values come from the Burn module, and
//! parameters, names and the order of dropout masks are the same, so weights go from one to the other; the Burn module stays
//! the reference in tests and the path of `TAGCL_KERNELS=stock`. Threads share the images of the convolutional part; the rest
//! of a training step runs on one.

use std::sync::Arc;

use burn::tensor::Device;

use super::learner::{check_gradient, counted, of_net, split_mut};
use super::running::Running;
use super::weights::FloatTensor;
use super::{
    AlexNetConfig, Classifier, Counters, Dropout, LayerInputs, LeNetConfig, Learner, LearnerError,
    Logits, MlpConfig, Mode, Network, NetworkLearner, Wanted, head, inputs,
};
use crate::kernels::cnn::{Cnn, CnnPool, CnnSpec, NormParameters, StageParameters};
use crate::kernels::dense::{Dense, relu_gradient};
use crate::kernels::head::HeadSpec;
use crate::kernels::resnet::BatchStats;
use crate::kernels::{Level, Workers};
use crate::optim::{Layout, OptimError};
use crate::seed::{SeedStream, Seeds};
use crate::stream::Batch;

/// A feed-forward network as a [`Learner`] on the CPU kernels.
pub struct KernelFeedForward {
    /// Shared with frozen copies, so that a change makes a copy where there is one.
    net: Arc<Net>,
    /// Makes the Burn module as a learner, with initial values of its own.
    burn: Box<dyn Fn() -> Result<Box<dyn Learner>, LearnerError> + Send + Sync>,
    /// Norms of the released network that nothing uses.
    idle: &'static [(&'static str, usize)],
    dropout: Dropout,
    /// By layer, its own probability of dropout; `None` where it has the one of `dropout`.
    drops: Vec<Option<f32>>,
    batches: i64,
    pass: Pass,
}

/// The network without what training needs.
#[derive(Clone)]
struct Net {
    /// Buffers of the convolutional part, if the network has one.
    convolutions: Option<Arc<CnnPool>>,
    /// Values of an image.
    pixels: usize,
    /// What the first hidden layer sees of an image, and the widths of the hidden layers.
    widths: Vec<usize>,
    classes: usize,
    level: Level,
    layout: Layout,
    parameters: Vec<f32>,
    /// Of the norms of the convolutional part.
    running: Running,
}

/// Weight and bias of the layers.
#[derive(Default)]
struct Layers<'a> {
    convolutions: Vec<StageParameters<'a>>,
    /// After each convolution, or none.
    norms: Vec<NormParameters<'a>>,
    hidden: Vec<StageParameters<'a>>,
    head: StageParameters<'a>,
}

/// The last forward pass, whose memory is reused from pass to pass.
#[derive(Default)]
struct Pass {
    /// Examples of the pass; 0 where there is none.
    batch: usize,
    /// Whether a backward pass may follow.
    open: bool,
    /// Its convolutional part.
    convolutions: Option<Cnn>,
    /// What the first hidden layer saw: `[batch, inputs]`.
    inputs: Vec<f32>,
    /// Outputs of the hidden layers, after ReLU and dropout: `[batch, width]`.
    hidden: Vec<Vec<f32>>,
    masks: Vec<Option<Vec<f32>>>,
    logits: Vec<f32>,
    /// Gradients at the first hidden layer's inputs, and at the outputs of all hidden layers.
    between: Vec<Vec<f32>>,
}

/// What came of a pass in evaluation mode.
struct Evaluated {
    /// What the first hidden layer saw, where that was not the images themselves.
    seen: Option<Vec<f32>>,
    /// Outputs of the hidden layers.
    outputs: Vec<Vec<f32>>,
}

impl Net {
    /// The hidden layers for a batch.
    fn dense(&self, batch: usize) -> impl DoubleEndedIterator<Item = Dense> + '_ {
        self.widths.windows(2).map(move |pair| Dense {
            batch,
            inputs: pair[0],
            outputs: pair[1],
        })
    }

    fn head(&self, batch: usize) -> HeadSpec {
        HeadSpec {
            batch,
            features: self.widths.last().copied().unwrap_or(0),
            classes: self.classes,
        }
    }

    /// Hidden layers.
    fn depth(&self) -> usize {
        self.widths.len().saturating_sub(1)
    }

    fn layers(&self) -> Layers<'_> {
        let tensors = self.layout.slots().iter();
        let tensors: Vec<&[f32]> = tensors
            .map(|slot| &self.parameters[slot.range.clone()])
            .collect();
        let mut before: Vec<_> = tensors.chunks_exact(2).map(|p| (p[0], p[1])).collect();
        let mut hidden = before.split_off(before.len().saturating_sub(self.depth() + 1));
        let head = hidden.pop().unwrap_or_default();
        let (convolutions, norms) = self.taken_apart(before);
        Layers {
            convolutions,
            norms,
            hidden,
            head,
        }
    }

    /// What belongs to convolutions, and what to the norms after them, if there are any.
    fn taken_apart<T>(&self, before: Vec<T>) -> (Vec<T>, Vec<T>) {
        let (mut convolutions, mut norms) = (Vec::new(), Vec::new());
        for (i, layer) in before.into_iter().enumerate() {
            match i % 2 {
                1 if !self.running.is_empty() => norms.push(layer),
                _ => convolutions.push(layer),
            }
        }
        (convolutions, norms)
    }

    fn check(&self, batch: &Batch) -> Result<(), LearnerError> {
        let (found, needed) = (batch.pixels.len(), batch.len() * self.pixels);
        if found != needed {
            return Err(LearnerError::Size(format!(
                "{} images of {} have {found} values, the network takes {needed}",
                batch.len(),
                batch.shape
            )));
        }
        Ok(())
    }

    /// A pass in evaluation mode.
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, LearnerError> {
        self.check(batch)?;
        let Layers {
            convolutions,
            norms,
            hidden,
            ..
        } = self.layers();
        let seen = self.convolutions.as_ref().map(|pool| {
            pool.with(|cnn| {
                let mut features = vec![0.0; batch.len() * cnn.features()];
                let (n, images, to) = (batch.len(), &batch.pixels, &mut features);
                if norms.is_empty() {
                    cnn.forward(n, images, &convolutions, None, false, to);
                } else {
                    let parameters = (&convolutions[..], &norms[..]);
                    let running = self.running.views();
                    cnn.forward_running(n, images, parameters, &running, false, to);
                }
                features
            })
        });
        let mut outputs: Vec<Vec<f32>> = Vec::new();
        for (dense, (weight, bias)) in self.dense(batch.len()).zip(hidden) {
            let seen = seen.as_ref().unwrap_or(&batch.pixels);
            let x = outputs.last().unwrap_or(seen);
            let mut y = vec![0.0; batch.len() * dense.outputs];
            dense.forward_relu(self.level, x, weight, bias, &mut y);
            outputs.push(y);
        }
        Ok(Evaluated { seen, outputs })
    }
}

impl Classifier for Net {
    fn scores(&self, batch: &Batch, wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        head::check_competing(batch, self.classes)?;
        let features = self.features(batch)?;
        let (weight, bias) = self.layers().head;
        let mut logits = vec![0.0; batch.len() * self.classes];
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
        let Evaluated { seen, mut outputs } = self.evaluate(batch)?;
        let features = outputs.pop().or(seen);
        Ok(features.unwrap_or_else(|| batch.pixels.clone()))
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn has_threads(&self) -> bool {
        self.convolutions.is_some()
    }
}

impl KernelFeedForward {
    /// The two-layer perceptron with the initial values that the Burn module has for this stream, on the machine's best
    /// kernels.
    #[must_use]
    pub fn mlp(config: &MlpConfig, stream: &mut SeedStream, dropout: Dropout) -> Self {
        let (config, device) = (*config, Device::flex().autodiff());
        let start = NetworkLearner::new(config.init(stream, &device), Dropout::off(), &device);
        let network = move |stream: &mut SeedStream| Ok(config.init(stream, &device));
        let net = Net {
            convolutions: None,
            pixels: config.inputs,
            widths: vec![config.inputs, config.hidden, config.hidden],
            classes: config.classes,
            level: Level::detect(),
            layout: start.layout().clone(),
            parameters: start.parameters().to_vec(),
            running: Running::default(),
        };
        Self::of(net, network, dropout, vec![None; 2])
    }

    /// `AlexNet` with the initial values that the Burn module has for this stream, on the machine's best kernels; its
    /// dropout, of fixed probabilities, is drawn from `dropout`'s stream. Passes use `threads` threads, on which results do
    /// not depend.
    ///
    /// # Errors
    /// [`LearnerError::Size`] for images that it does not take.
    pub fn alexnet(
        config: &AlexNetConfig,
        stream: &mut SeedStream,
        dropout: Dropout,
        threads: usize,
    ) -> Result<Self, LearnerError> {
        let (config, device) = (*config, Device::flex().autodiff());
        let start = NetworkLearner::new(config.init(stream, &device)?, Dropout::off(), &device);
        let (spec, hidden) = config.parts()?;
        let drops: Vec<_> = spec.stages.iter().map(|s| Some(s.dropout)).collect();
        let drops = drops.into_iter().chain(hidden.map(|(_, drop)| Some(drop)));
        let drops = drops.collect();
        let widths = hidden.map(|(width, _)| width);
        let net = Self::convolutional(spec, &widths, config.classes, &start, threads)?;
        let network = move |stream: &mut SeedStream| config.init(stream, &device);
        Ok(Self::of(net, network, dropout, drops))
    }

    /// `LeNet` with the initial values that the Burn module has for this stream, on the machine's best kernels. Passes use
    /// `threads` threads, on which results do not depend.
    ///
    /// # Errors
    /// [`LearnerError::Size`] for images that it does not take.
    pub fn lenet(
        config: &LeNetConfig,
        stream: &mut SeedStream,
        threads: usize,
    ) -> Result<Self, LearnerError> {
        let (config, device) = (*config, Device::flex().autodiff());
        let (spec, hidden) = config.parts()?;
        let start = NetworkLearner::new(config.init(stream, &device), Dropout::off(), &device);
        let drops = vec![Some(0.0); spec.stages.len() + 1];
        let net = Self::convolutional(spec, &[hidden], config.classes, &start, threads)?;
        let network = move |stream: &mut SeedStream| Ok(config.init(stream, &device));
        Ok(Self::of(net, network, Dropout::off(), drops))
    }

    /// A network with a convolutional part and hidden layers of these widths, with a learner's initial values.
    fn convolutional(
        spec: CnnSpec,
        hidden: &[usize],
        classes: usize,
        start: &dyn Learner,
        threads: usize,
    ) -> Result<Net, LearnerError> {
        let level = Level::detect();
        let normed = spec.stages.iter().filter(|_| spec.norms);
        let running = Running::new(normed.map(|stage| stage.channels));
        let pixels = spec.in_channels * spec.height * spec.width;
        let pool = CnnPool::new(spec, level, Arc::new(Workers::new(threads)))
            .map_err(|e| LearnerError::Size(e.to_string()))?;
        let features = pool.with(|cnn| cnn.features());
        Ok(Net {
            convolutions: Some(pool),
            pixels,
            widths: [&[features], hidden].concat(),
            classes,
            level,
            layout: start.layout().clone(),
            parameters: start.parameters().to_vec(),
            running,
        })
    }

    fn of<N: Network>(
        net: Net,
        network: impl Fn(&mut SeedStream) -> Result<N, LearnerError> + Send + Sync + 'static,
        dropout: Dropout,
        drops: Vec<Option<f32>>,
    ) -> Self {
        let burn = move || -> Result<Box<dyn Learner>, LearnerError> {
            let device = Device::flex().autodiff();
            let network = network(&mut Seeds::new(0).stream("init"))?;
            Ok(Box::new(NetworkLearner::new(
                network,
                Dropout::off(),
                &device,
            )))
        };
        Self {
            net: Arc::new(net),
            burn: Box::new(burn),
            idle: N::idle_norms(),
            dropout,
            drops,
            batches: 0,
            pass: Pass::default(),
        }
    }

    /// The network, to be changed: the last pass is no longer its own.
    fn net_mut(&mut self) -> &mut Net {
        (self.pass.batch, self.pass.open) = (0, false);
        Arc::make_mut(&mut self.net)
    }

    /// The masks of a batch, drawn layer by layer; none in evaluation.
    fn draw(&mut self, batch: usize, mode: Mode) -> Vec<Option<Vec<f32>>> {
        let net = &self.net;
        let stages = net.convolutions.as_ref();
        let stages = stages.map_or_else(Vec::new, |pool| pool.with(|cnn| cnn.dropout_lengths()));
        let lengths = stages.iter().chain(net.widths.iter().skip(1));
        let layers = self.drops.iter().zip(lengths);
        layers
            .map(|(own, len)| match mode {
                Mode::Train | Mode::Observe => self.dropout.mask_of(*own, batch * len),
                Mode::Evaluate => None,
            })
            .collect()
    }

    /// Leaves in the pass what the first hidden layer sees. `masks` are those of the convolutional part.
    fn convolve(&mut self, batch: &Batch, masks: Vec<Option<Vec<f32>>>, mode: Mode) {
        let Self { net, pass, .. } = self;
        let Some(pool) = &net.convolutions else {
            pass.inputs.clone_from(&batch.pixels);
            return;
        };
        let (n, keeps) = (batch.len(), mode != Mode::Observe);
        let cnn = pass.convolutions.get_or_insert_with(|| pool.take());
        pass.inputs.resize(n * cnn.features(), 0.0);
        let (images, to) = (&batch.pixels, &mut pass.inputs);
        let Layers {
            convolutions,
            norms,
            ..
        } = net.layers();
        if !norms.is_empty() {
            let parameters = (&convolutions[..], &norms[..]);
            if mode == Mode::Evaluate {
                let running = net.running.views();
                cnn.forward_running(n, images, parameters, &running, keeps, to);
            } else {
                let mut stats = vec![BatchStats::default(); norms.len()];
                cnn.forward_train(n, images, parameters, &mut stats, keeps, to);
                Arc::make_mut(net).running.absorb(&stats);
            }
            return;
        }
        let lengths = cnn.dropout_lengths();
        let all = masks.iter().any(Option::is_some).then(|| {
            let masks = masks.into_iter().zip(lengths);
            // Where a layer drops nothing, all is multiplied by 1.
            let filled =
                |(mask, len): (Option<Vec<f32>>, usize)| mask.unwrap_or_else(|| vec![1.0; n * len]);
            masks.map(filled).collect::<Vec<_>>()
        });
        cnn.forward(n, images, &convolutions, all.as_deref(), keeps, to);
    }
}

impl Learner for KernelFeedForward {
    of_net!();
    counted!();

    fn forward<'a>(
        &'a mut self,
        batch: &'a Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'a>, LearnerError> {
        (self.pass.batch, self.pass.open) = (0, false);
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        self.net.check(batch)?;
        head::check_competing(batch, self.net.classes)?;
        self.batches += i64::from(mode != Mode::Evaluate);
        let mut masks = self.draw(batch.len(), mode);
        let classes = self.net.classes;
        self.pass.logits.resize(batch.len() * classes, 0.0);
        let observed = (mode, wanted) == (Mode::Observe, Wanted::Nothing);
        if observed && self.net.running.is_empty() {
            // There are no statistics; what moves is the dropout stream.
            return Ok(Logits::of(&self.pass.logits, classes, wanted, batch));
        }
        let of_hidden = masks.split_off(masks.len() - self.net.depth());
        self.convolve(batch, masks, mode);
        let Self { net, pass, .. } = self;
        pass.masks = of_hidden;
        pass.hidden.resize_with(net.depth(), Vec::new);
        let Layers { hidden, head, .. } = net.layers();
        let (weight, bias) = head;
        for (i, (dense, (weight, bias))) in net.dense(batch.len()).zip(hidden).enumerate() {
            let (before, rest) = pass.hidden.split_at_mut(i);
            let x = before.last().unwrap_or(&pass.inputs);
            if let Some(y) = rest.first_mut() {
                y.resize(batch.len() * dense.outputs, 0.0);
                dense.forward_relu(net.level, x, weight, bias, y);
                if let Some(Some(mask)) = pass.masks.get(i) {
                    y.iter_mut().zip(mask).for_each(|(y, m)| *y *= m);
                }
            }
        }
        let features = pass.hidden.last().unwrap_or(&pass.inputs);
        head::logits_on_kernels(
            &net.head(batch.len()),
            net.level,
            (features, weight, bias),
            (batch, wanted),
            &mut pass.logits,
        );
        pass.open = mode != Mode::Observe;
        pass.batch = batch.len();
        Ok(Logits::of(&pass.logits, classes, wanted, batch))
    }

    fn features(&mut self) -> Result<&[f32], LearnerError> {
        match self.pass.batch {
            0 => Err(LearnerError::NoForward),
            _ => Ok(self.pass.hidden.last().unwrap_or(&self.pass.inputs)),
        }
    }

    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError> {
        let Self { net, pass, .. } = self;
        if !pass.open {
            return Err(LearnerError::NoForward);
        }
        check_gradient(d_logits.len(), pass.logits.len())?;
        pass.open = false;
        // Every value is written below.
        gradient.resize(net.layout.len(), 0.0);
        let mut parts = split_mut(&net.layout, gradient).into_iter();
        let pairs = std::iter::from_fn(|| parts.next().zip(parts.next()));
        let mut places: Vec<_> = pairs.collect();
        let Layers { hidden, head, .. } = net.layers();
        let (weight, _) = head;
        pass.between.resize_with(net.widths.len(), Vec::new);
        for (between, width) in pass.between.iter_mut().zip(&net.widths) {
            between.resize(pass.batch * width, 0.0);
        }
        let features = pass.hidden.last().unwrap_or(&pass.inputs);
        if let (Some((dw, db)), Some(d)) = (places.pop(), pass.between.last_mut()) {
            let head = net.head(pass.batch);
            head.backward((features, weight), d_logits, d, dw, db);
        }
        let layers: Vec<_> = net.dense(pass.batch).zip(hidden).collect();
        for (i, (dense, (weight, _))) in layers.into_iter().enumerate().rev() {
            let (before, after) = pass.between.split_at_mut(i + 1);
            let (Some((dw, db)), Some(g), Some(dx)) =
                (places.pop(), after.first_mut(), before.last_mut())
            else {
                continue;
            };
            relu_gradient(g, &pass.hidden[i], pass.masks[i].as_deref());
            let x = match i.checked_sub(1) {
                Some(below) => &pass.hidden[below],
                None => &pass.inputs,
            };
            dense.weight_gradient(net.level, g, x, dw, db);
            // Images have no gradient.
            if i > 0 || net.convolutions.is_some() {
                dense.input_gradient(net.level, g, weight, dx);
            }
        }
        if let (Some(cnn), Some(d)) = (&mut pass.convolutions, pass.between.first()) {
            let (mut places, mut of_norms) = net.taken_apart(places);
            if of_norms.is_empty() {
                cnn.backward(d, &mut places);
            } else {
                cnn.backward_normed(d, &mut places, &mut of_norms);
            }
        }
        Ok(())
    }

    /// By the Burn module where there are convolutions, of whose inputs the kernels keep none.
    fn layer_inputs(&self, batch: &Batch, rows: usize) -> Result<Vec<LayerInputs>, LearnerError> {
        if self.net.convolutions.is_some() {
            let mut twin = (self.burn)()?;
            twin.load(&self.weights()?)?;
            return twin.layer_inputs(batch, rows);
        }
        let Evaluated { outputs, .. } = self.net.evaluate(batch)?;
        let seen = std::iter::once(&batch.pixels).chain(&outputs);
        // Weight and bias take turns.
        let weights = self.net.layout.slots().iter().step_by(2);
        let layers = weights.zip(seen.zip(&self.net.widths));
        let layers = layers.map(|(slot, (values, &width))| LayerInputs {
            weight: slot.name.clone(),
            width,
            values: inputs::of_linear(values, width, rows),
        });
        Ok(layers.collect())
    }

    fn tensors(&self) -> Vec<FloatTensor> {
        let parameters = FloatTensor::of_layout(&self.net.layout, &self.net.parameters);
        let running = self.net.running.tensors(&self.net.layout);
        parameters.chain(running).collect()
    }

    fn set_tensors(&mut self, values: Vec<Vec<f32>>) {
        let net = self.net_mut();
        let mut values = values.into_iter();
        let parameters = values.by_ref().take(net.layout.slots().len());
        net.parameters = parameters.flatten().collect();
        net.running.set(values);
    }

    fn idle_norms(&self) -> &'static [(&'static str, usize)] {
        self.idle
    }
}

#[cfg(test)]
impl KernelFeedForward {
    /// The network on the kernels of this level.
    pub(super) fn at(mut self, level: Level) -> Self {
        let net = self.net_mut();
        net.level = level;
        if let Some(pool) = &mut net.convolutions {
            *pool = pool.at(level);
        }
        self
    }
}
