//! A Burn network as a [`Learner`].
//!
//! Owns the bridge to Burn's autodiff: the graph of a forward pass waits for the gradient at its logits, which enters
//! as the loss `Σ logits · d`, whose gradient at the logits is `d` exactly.

use std::collections::HashMap;

use super::learner::{check_gradient, counted};
use super::weights::FloatTensor;
use super::{
    Classifier, Counters, Dropout, LayerInputs, Learner, LearnerError, Logits, Mode, Network,
    Notes, Wanted, head,
};
use crate::optim::{Layout, OptimError, floats, read_gradients, read_parameters, write_parameters};
use crate::stream::Batch;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

/// A Burn network as a [`Learner`].
pub struct NetworkLearner<N: Network> {
    /// Always there between calls; taken out while the module is rebuilt.
    network: Option<N>,
    layout: Layout,
    parameters: Vec<f32>,
    dropout: Dropout,
    device: Device,
    batches: i64,
    pass: Option<Pass>,
}

/// The last forward pass.
struct Pass {
    /// Logits with their graph, until the backward pass; none where the pass only observed.
    graph: Option<Tensor<2>>,
    logits: Vec<f32>,
    classes: usize,
    /// Without a graph; their values once somebody has asked.
    features: Tensor<2>,
    values: Option<Vec<f32>>,
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
            pass: None,
        }
    }

    /// The network as it is now.
    ///
    /// # Panics
    /// Never: the network is absent only inside calls that rebuild it.
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

    /// Puts new values of float tensors in, by path.
    fn replace(&mut self, values: HashMap<String, Vec<f32>>) {
        self.pass = None;
        if let Some(network) = self.network.take() {
            let path = Vec::new();
            let network = network.map(&mut Replace { path, values });
            self.parameters = read_parameters(&network);
            self.network = Some(network);
        }
    }

    /// Freezes or thaws the norms.
    fn freeze(&mut self, frozen: bool) {
        self.network = self.network.take().map(|n| n.with_frozen_norms(frozen));
    }
}

fn images(batch: &Batch, device: &Device) -> Result<Tensor<4>, LearnerError> {
    let shape = [
        batch.len(),
        batch.shape.channels,
        batch.shape.height,
        batch.shape.width,
    ];
    let (found, needed) = (batch.pixels.len(), shape.iter().product::<usize>());
    if found != needed {
        return Err(LearnerError::Size(format!(
            "{} images of {} have {needed} values, not {found}",
            batch.len(),
            batch.shape
        )));
    }
    Ok(Tensor::from_data(
        TensorData::new(batch.pixels.clone(), shape),
        device,
    ))
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
        self.pass = None;
        change(&mut self.parameters)?;
        if let Some(network) = self.network.take() {
            self.network = Some(write_parameters(network, &self.parameters)?);
        }
        Ok(())
    }

    /// All logits, whatever is wanted: they are one matrix product here.
    fn forward<'a>(
        &'a mut self,
        batch: &'a Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'a>, LearnerError> {
        self.pass = None;
        if batch.is_empty() {
            return Err(LearnerError::EmptyBatch);
        }
        let positions = N::norm_positions(batch.shape);
        if mode != Mode::Evaluate && positions.is_some_and(|positions| positions * batch.len() == 1)
        {
            return Err(LearnerError::OneValue { image: batch.shape });
        }
        head::check_competing(batch, self.network().head().outputs())?;
        let images = images(batch, &self.device)?;
        let features = if mode == Mode::Evaluate {
            self.freeze(true);
            let features = self.network().features(images, &mut Dropout::off());
            self.freeze(false);
            features
        } else {
            let mut dropout = std::mem::replace(&mut self.dropout, Dropout::off());
            let features = self.network().features(images, &mut dropout);
            self.dropout = dropout;
            self.batches += 1;
            features
        };
        let logits = self.network().head().forward(features.clone());
        let pass = self.pass.insert(Pass {
            classes: logits.dims()[1],
            logits: floats(logits.clone().into_data()),
            graph: (mode != Mode::Observe).then_some(logits),
            features: features.inner(),
            values: None,
        });
        Ok(Logits::of(&pass.logits, pass.classes, wanted, batch))
    }

    fn features(&mut self) -> Result<&[f32], LearnerError> {
        let pass = self.pass.as_mut().ok_or(LearnerError::NoForward)?;
        let values = || floats(pass.features.clone().into_data());
        Ok(pass.values.get_or_insert_with(values))
    }

    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError> {
        let pass = self.pass.as_mut().ok_or(LearnerError::NoForward)?;
        if pass.graph.is_some() {
            check_gradient(d_logits.len(), pass.logits.len())?;
        }
        let logits = pass.graph.take().ok_or(LearnerError::NoForward)?;
        let d = TensorData::new(d_logits.to_vec(), logits.dims());
        let loss = (logits * Tensor::from_data(d, &self.device)).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), self.network());
        *gradient = read_gradients(self.network(), gradients);
        Ok(())
    }

    fn layer_inputs(&self, batch: &Batch, rows: usize) -> Result<Vec<LayerInputs>, LearnerError> {
        let network = self.network().valid();
        let images = images(batch, &self.device.clone().inner())?;
        let mut notes = Notes::rows(rows);
        let features = network.pass(images, &mut Dropout::off(), &mut notes);
        notes.head(network.head(), &features);
        Ok(notes.named(&network, N::released_name))
    }

    fn frozen(&self) -> Box<dyn Classifier> {
        Box::new(Frozen {
            network: self.network().valid(),
            device: self.device.clone().inner(),
        })
    }

    fn tensors(&self) -> Vec<FloatTensor> {
        float_tensors(&self.network().valid(), N::released_name)
    }

    fn set_tensors(&mut self, values: Vec<Vec<f32>>) {
        let tensors = float_tensors(self.network(), str::to_string).into_iter();
        let values = tensors.map(|tensor| tensor.name).zip(values);
        self.replace(values.collect());
    }

    counted!();

    fn idle_norms(&self) -> &'static [(&'static str, usize)] {
        N::idle_norms()
    }
}

/// A network without autodiff.
struct Frozen<N: Network> {
    network: N,
    device: Device,
}

impl<N: Network> Classifier for Frozen<N> {
    /// All of them, as in training.
    fn scores(&self, batch: &Batch, _wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        head::check_competing(batch, self.classes())?;
        let images = images(batch, &self.device)?;
        let logits = self.network.forward(images, &mut Dropout::off());
        Ok(floats(logits.into_data()))
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        let images = images(batch, &self.device)?;
        let features = self.network.features(images, &mut Dropout::off());
        Ok(floats(features.into_data()))
    }

    fn classes(&self) -> usize {
        self.network.head().outputs()
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
