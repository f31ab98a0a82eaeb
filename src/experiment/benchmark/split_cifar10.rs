//! CIFAR-10 split by class.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates};
use crate::data::ImageShape;
use crate::data::source::cifar10::CIFAR10;

/// The benchmark.
pub(super) static SPLIT_CIFAR10: BenchmarkSpec = BenchmarkSpec {
    name: "split-cifar10",
    paper_name: "Split-CIFAR10",
    description: "CIFAR-10 split by class; 5 tasks of 2 classes.",
    kind: BenchmarkKind::Split,
    sources: &[&CIFAR10],
    classes: 10,
    shape: ImageShape::new(3, 32, 32),
    inputs: InputRange::Unit,
    tasks: 5,
    model: "reduced-resnet18",
    defaults: &[],
    released_defaults: &[],
    model_defaults: &[],
    rates: Rates::NONE,
};
