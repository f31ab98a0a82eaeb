//! MNIST split by class.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates};
use crate::data::ImageShape;
use crate::data::source::mnist::MNIST;

/// The benchmark.
pub(super) static SPLIT_MNIST: BenchmarkSpec = BenchmarkSpec {
    name: "split-mnist",
    paper_name: "Split-MNIST",
    description: "MNIST split by class; 5 tasks of 2 digits.",
    kind: BenchmarkKind::Split,
    sources: &[&MNIST],
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
