//! Running statistics of the norms of a network on the kernels.
//!
//! Owns how a batch's statistics enter them and under which names they are written: as Burn's modules do both.

use super::Norm;
use super::weights::FloatTensor;
use crate::kernels::resnet::BatchStats;
use crate::optim::Layout;

/// Mean and unbiased variance of every norm, in the order of the layout; none where there are no norms.
#[derive(Clone, Default)]
pub(super) struct Running(Vec<BatchStats>);

impl Running {
    /// Fresh ones for norms of so many channels.
    pub(super) fn new(channels: impl IntoIterator<Item = usize>) -> Self {
        let fresh = |channels: usize| BatchStats {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
        };
        Self(channels.into_iter().map(fresh).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Mean and variance of every norm.
    pub(super) fn views(&self) -> Vec<(&[f32], &[f32])> {
        let norms = self.0.iter();
        norms
            .map(|r| (r.mean.as_slice(), r.variance.as_slice()))
            .collect()
    }

    /// Takes what the norms saw of a batch in.
    pub(super) fn absorb(&mut self, stats: &[BatchStats]) {
        let momentum = Norm::MOMENTUM as f32;
        let blend = |running: &mut [f32], batch: &[f32]| {
            for (r, b) in running.iter_mut().zip(batch) {
                *r = *r * (1.0 - momentum) + b * momentum;
            }
        };
        for (running, batch) in self.0.iter_mut().zip(stats) {
            blend(&mut running.mean, &batch.mean);
            blend(&mut running.variance, &batch.variance);
        }
    }

    /// As tensors beside the norms of a layout, whose weights are the only ones that are vectors.
    pub(super) fn tensors<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = FloatTensor> {
        let slots = layout.slots().iter();
        let weights = slots.filter(|slot| slot.shape.len() == 1);
        let names = weights.filter_map(|slot| slot.name.strip_suffix(".weight"));
        let buffer = |name: &str, what: &str, values: &[f32]| FloatTensor {
            name: format!("{name}.{what}"),
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        names.zip(&self.0).flat_map(move |(name, r)| {
            [
                buffer(name, "running_mean", &r.mean),
                buffer(name, "running_var", &r.variance),
            ]
        })
    }

    /// Takes the values of [`Self::tensors`], in their order.
    pub(super) fn set(&mut self, values: impl Iterator<Item = Vec<f32>>) {
        let running = self.0.iter_mut();
        let running = running.flat_map(|r| [&mut r.mean, &mut r.variance]);
        for (running, values) in running.zip(values) {
            *running = values;
        }
    }
}
