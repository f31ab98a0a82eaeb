//! Five data sets of ten classes, a task each.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};
use crate::data::ImageShape;
use crate::data::source::cifar10::CIFAR10;
use crate::data::source::fashion_mnist::FASHION_MNIST;
use crate::data::source::mnist::MNIST;
use crate::data::source::notmnist::NOTMNIST;
use crate::data::source::svhn::SVHN;

/// The benchmark.
pub(super) static FIVE_DATASET: BenchmarkSpec = FIVE;

/// The same, as what others differ from.
pub(super) const FIVE: BenchmarkSpec = BenchmarkSpec {
    name: "5-dataset",
    paper_name: "5-dataset",
    description: "CIFAR-10, MNIST, SVHN, notMNIST and Fashion-MNIST, one after the other, at 32x32 in colour.",
    kind: BenchmarkKind::Split,
    sources: &[&CIFAR10, &MNIST, &SVHN, &NOTMNIST, &FASHION_MNIST],
    classes: 50,
    shape: ImageShape::new(3, 32, 32),
    inputs: InputRange::Unit,
    tasks: 5,
    model: "reduced-resnet18",
    defaults: &[("b", "7"), ("lambda", "100"), ("batch_size", "64")],
    released_defaults: &[],
    model_defaults: &[],
    rates: Rates {
        plain: &[
            ("sgd", 0.1),
            ("rmsprop", 0.001),
            ("adagrad", 0.005),
            ("adam", 0.001),
            ("tag-rmsprop", 0.000_5),
            ("tag-adagrad", 0.005),
            ("tag-adam", 0.000_5),
        ],
        pairs: Rates::PAPER_PAIRS,
        multi_task: &[("sgd", 0.05)],
        stable_sgd: Some(StableSgd {
            lr: 0.1,
            gamma: 0.7,
            dropout: 0.0,
        }),
        ..Rates::NONE
    },
};
