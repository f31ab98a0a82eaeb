//! MNIST under rotations: Figure 5a.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};
use crate::data::ImageShape;
use crate::data::source::mnist::MNIST;

/// The benchmark.
pub(super) static ROTATED_MNIST: BenchmarkSpec = BenchmarkSpec {
    name: "rotated-mnist",
    paper_name: "Rotated MNIST",
    description: "MNIST turned by another angle in every task; 10 tasks (Figure 5a of the paper).",
    kind: BenchmarkKind::Rotated,
    sources: &[&MNIST],
    classes: 10,
    shape: ImageShape::new(1, 28, 28),
    inputs: InputRange::Unit,
    tasks: 10,
    model: "mlp",
    defaults: &[],
    released_defaults: &[],
    model_defaults: &[],
    rates: Rates {
        plain: &[
            ("sgd", 0.1),
            ("rmsprop", 0.000_25),
            ("tag-rmsprop", 0.000_25),
        ],
        pairs: &[(&["agem", "er"], &["sgd"])],
        stable_sgd: Some(StableSgd {
            lr: 0.01,
            gamma: 0.9,
            dropout: 0.0,
        }),
        ..Rates::NONE
    },
};
