//! MNIST under pixel permutations.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};
use crate::data::ImageShape;
use crate::data::source::mnist::MNIST;

/// The benchmark.
pub(super) static PERMUTED_MNIST: BenchmarkSpec = BenchmarkSpec {
    name: "permuted-mnist",
    paper_name: "Permuted MNIST",
    description: "MNIST under another pixel permutation in every task; 10 tasks.",
    kind: BenchmarkKind::Permuted,
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
            ("sgd", 0.01),
            ("rmsprop", 0.000_075),
            ("tag-rmsprop", 0.000_075),
        ],
        pairs: &[(&["agem", "er"], &["sgd"])],
        stable_sgd: Some(StableSgd {
            lr: 0.1,
            gamma: 0.55,
            dropout: 0.0,
        }),
        ..Rates::NONE
    },
};
