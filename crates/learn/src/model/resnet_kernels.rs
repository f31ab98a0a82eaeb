//! The ResNet-18s on the CPU kernels: the same networks as [`super::ReducedResNet`], [`super::SlimResNet`] and
//! [`super::ResNet18`], several times faster.
//!
//! Owns the passage between the learner's flat vectors and [`crate::kernels`]. Initial values come from the Burn module,
//! and parameters, names and running statistics are the same, so weights go from one to the other; the Burn module
//! stays the reference in tests and the path of `TAGCL_KERNELS=stock`.

use std::sync::Arc;

use burn::tensor::Device;

use super::learner::{check_gradient, counted, of_net, split_mut};
use super::running::Running;
use super::weights::FloatTensor;
use super::{
    Classifier, Counters, Dropout, LayerInputs, Learner, LearnerError, Logits, Mode,
    NetworkLearner, TrunkConfig, Wanted, head,
};
use crate::kernels::Level;
use crate::kernels::head::HeadSpec;
use crate::kernels::resnet::{BatchStats, PooledTrunk, TrunkPool, TrunkSpec};
use crate::optim::{Layout, OptimError};
use crate::seed::{SeedStream, Seeds};
use crate::stream::Batch;

/// A ResNet-18 as a [`Learner`] on the CPU kernels.
pub struct KernelResNet {
    /// Shared with frozen copies, so that a change makes a copy where there is one.
    net: Arc<Net>,
    /// Makes the Burn module as a learner, with initial values of its own.
    burn: Box<dyn Fn() -> Box<dyn Learner> + Send + Sync>,
    dropout: Dropout,
    batches: i64,
    pass: Pass,
}

/// The network without what training needs.
#[derive(Clone)]
struct Net {
    /// Sizes; the batch size is set anew for every pass.
    spec: TrunkSpec,
    classes: usize,
    layout: Layout,
    parameters: Vec<f32>,
    running: Running,
    trunks: Arc<TrunkPool>,
}

/// The last forward pass, whose memory is reused from pass to pass.
#[derive(Default)]
struct Pass {
    /// Examples of the pass; 0 where there is none.
    batch: usize,
    /// What the backward pass needs, where one may follow.
    trunk: Option<PooledTrunk>,
    features: Vec<f32>,
    logits: Vec<f32>,
    d_features: Vec<f32>,
}

impl Pass {
    /// Forgets the pass but not the memory.
    fn forget(&mut self) {
        self.batch = 0;
        self.trunk = None;
    }
}

impl Net {
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

    /// The trunk's parameters.
    fn trunk_tensors(&self) -> Vec<&[f32]> {
        let slots = self.layout.slots();
        let of_trunk = &slots[..slots.len() - 2];
        of_trunk
            .iter()
            .map(|slot| &self.parameters[slot.range.clone()])
            .collect()
    }

    /// Weight and bias of the head.
    fn head_tensors(&self) -> (&[f32], &[f32]) {
        match self.layout.slots() {
            [.., weight, bias] => (
                &self.parameters[weight.range.clone()],
                &self.parameters[bias.range.clone()],
            ),
            _ => (&[], &[]),
        }
    }

    /// A trunk for this batch, whose images it takes.
    fn trunk(&self, batch: &Batch) -> Result<PooledTrunk, LearnerError> {
        let size = |e: &dyn std::fmt::Display| LearnerError::Size(e.to_string());
        let trunk = self.trunks.take(&self.spec(batch.len()));
        let trunk = trunk.map_err(|e| size(&e))?;
        let side = self.spec.size;
        let (found, needed) = (
            batch.pixels.len(),
            batch.len() * self.spec.in_channels * side * side,
        );
        if found != needed {
            return Err(size(&format!(
                "{} images of {} have {found} values, the network takes {needed}",
                batch.len(),
                batch.shape
            )));
        }
        Ok(trunk)
    }
}

impl Classifier for Net {
    fn scores(&self, batch: &Batch, wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        head::check_competing(batch, self.classes)?;
        let features = self.features(batch)?;
        let (weight, bias) = self.head_tensors();
        let mut logits = vec![0.0; batch.len() * self.classes];
        head::logits_on_kernels(
            &self.head(batch.len()),
            Level::detect(),
            (&features, weight, bias),
            (batch, wanted),
            &mut logits,
        );
        Ok(logits)
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        let mut trunk = self.trunk(batch)?;
        let mut features = vec![0.0; batch.len() * self.spec.features()];
        trunk.forward_eval(
            &batch.pixels,
            &self.trunk_tensors(),
            &self.running.views(),
            &mut features,
        );
        Ok(features)
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn has_threads(&self) -> bool {
        true
    }
}

impl KernelResNet {
    /// The network with the initial values that the Burn module has for this stream; square images only. Passes use
    /// `threads` threads, on which results do not depend.
    ///
    /// # Errors
    /// [`LearnerError::Size`] for images that the kernels do not take.
    pub fn new<C: TrunkConfig>(
        config: &C,
        stream: &mut SeedStream,
        dropout: Dropout,
        threads: usize,
    ) -> Result<Self, LearnerError> {
        let device = Device::flex().autodiff();
        let network = config.network(stream, &device);
        let start = NetworkLearner::new(network, Dropout::off(), &device);
        let (image, spec) = (config.image(), config.trunk());
        if image.height != image.width {
            return Err(LearnerError::Size(format!(
                "images of {image} are not square"
            )));
        }
        spec.validate()
            .map_err(|e| LearnerError::Size(e.to_string()))?;
        let net = Net {
            running: Running::new(spec.norms()),
            spec,
            classes: config.classes(),
            layout: start.layout().clone(),
            parameters: start.parameters().to_vec(),
            trunks: TrunkPool::new(threads),
        };
        let config = *config;
        let burn = move || -> Box<dyn Learner> {
            let network = config.network(&mut Seeds::new(0).stream("init"), &device);
            Box::new(NetworkLearner::new(network, Dropout::off(), &device))
        };
        Ok(Self {
            net: Arc::new(net),
            burn: Box::new(burn),
            dropout,
            batches: 0,
            pass: Pass::default(),
        })
    }

    /// The network, to be changed: the last pass is no longer its own.
    fn net_mut(&mut self) -> &mut Net {
        self.pass.forget();
        Arc::make_mut(&mut self.net)
    }

    /// The trunk's forward pass in training, whose statistics are taken in and whose features are left in the pass.
    fn train(&mut self, batch: &Batch, trunk: &mut PooledTrunk) {
        let spec = trunk.spec().clone();
        let masks: Option<Vec<Vec<f32>>> = spec
            .dropout_shapes()
            .iter()
            .map(|shape| self.dropout.mask(shape.iter().product()))
            .collect();
        let masks: Option<Vec<&[f32]>> = masks
            .as_ref()
            .map(|masks| masks.iter().map(Vec::as_slice).collect());
        let mut stats = vec![BatchStats::default(); spec.norms().len()];
        trunk.forward_train(
            &batch.pixels,
            &self.net.trunk_tensors(),
            masks.as_deref(),
            &mut stats,
            &mut self.pass.features,
        );
        Arc::make_mut(&mut self.net).running.absorb(&stats);
        self.batches += 1;
    }
}

impl Learner for KernelResNet {
    of_net!();
    counted!();

    fn forward<'a>(
        &'a mut self,
        batch: &'a Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'a>, LearnerError> {
        // Gives its trunk back, which the new pass then takes.
        self.pass.forget();
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        head::check_competing(batch, self.net.classes)?;
        let mut trunk = self.net.trunk(batch)?;
        let head = self.net.head(batch.len());
        self.pass.features.resize(batch.len() * head.features, 0.0);
        if mode == Mode::Evaluate {
            trunk.forward_frozen(
                &batch.pixels,
                &self.net.trunk_tensors(),
                &self.net.running.views(),
                &mut self.pass.features,
            );
        } else {
            self.train(batch, &mut trunk);
        }
        let Self { net, pass, .. } = self;
        pass.logits.resize(batch.len() * net.classes, 0.0);
        let (weight, bias) = net.head_tensors();
        head::logits_on_kernels(
            &head,
            Level::detect(),
            (&pass.features, weight, bias),
            (batch, wanted),
            &mut pass.logits,
        );
        pass.batch = batch.len();
        pass.trunk = (mode != Mode::Observe).then_some(trunk);
        Ok(Logits::of(&pass.logits, net.classes, wanted, batch))
    }

    fn features(&mut self) -> Result<&[f32], LearnerError> {
        match self.pass.batch {
            0 => Err(LearnerError::NoForward),
            _ => Ok(&self.pass.features),
        }
    }

    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError> {
        let Self { net, pass, .. } = self;
        if pass.trunk.is_some() {
            check_gradient(d_logits.len(), pass.logits.len())?;
        }
        let mut trunk = pass.trunk.take().ok_or(LearnerError::NoForward)?;
        // Every value is written below.
        gradient.resize(net.layout.len(), 0.0);
        pass.d_features.resize(pass.features.len(), 0.0);
        let mut parts = split_mut(&net.layout, gradient);
        let tensors = net.trunk_tensors();
        let (of_trunk, of_head) = parts.split_at_mut(tensors.len());
        if let [d_weight, d_bias] = of_head {
            let inputs = (pass.features.as_slice(), net.head_tensors().0);
            let head = net.head(pass.batch);
            head.backward(inputs, d_logits, &mut pass.d_features, d_weight, d_bias);
        }
        trunk.backward(&tensors, &pass.d_features, of_trunk);
        Ok(())
    }

    /// By the Burn module: the kernels keep nothing of what goes on inside of the trunk.
    fn layer_inputs(&self, batch: &Batch, rows: usize) -> Result<Vec<LayerInputs>, LearnerError> {
        let mut twin = (self.burn)();
        twin.load(&self.weights()?)?;
        twin.layer_inputs(batch, rows)
    }

    fn tensors(&self) -> Vec<FloatTensor> {
        let parameters = FloatTensor::of_layout(&self.net.layout, &self.net.parameters);
        let buffers = self.net.running.tensors(&self.net.layout);
        parameters.chain(buffers).collect()
    }

    fn set_tensors(&mut self, values: Vec<Vec<f32>>) {
        let net = self.net_mut();
        let mut values = values.into_iter();
        let parameters = values.by_ref().take(net.layout.slots().len());
        net.parameters = parameters.flatten().collect();
        net.running.set(values);
    }
}
