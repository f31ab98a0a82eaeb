//! Fashion-MNIST split by class.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates};
use crate::data::ImageShape;
use crate::data::source::fashion_mnist::FASHION_MNIST;

/// The benchmark.
pub(super) static SPLIT_FASHION_MNIST: BenchmarkSpec = BenchmarkSpec {
    name: "split-fashion-mnist",
    paper_name: "Split-Fashion-MNIST",
    description: "Fashion-MNIST split by class; 5 tasks of 2 classes.",
    kind: BenchmarkKind::Split,
    sources: &[&FASHION_MNIST],
    classes: 10,
    shape: ImageShape::new(1, 28, 28),
    inputs: InputRange::Unit,
    tasks: 5,
    model: "mlp",
    defaults: &[],
    released_defaults: &[],
    model_defaults: &[],
    rates: Rates::NONE,
};
