//! 5-dataset for those who lack SVHN: a stream of its own, which no published figure is compared with.

use super::BenchmarkSpec;
use super::five_dataset::FIVE;
use crate::data::source::cifar10::CIFAR10;
use crate::data::source::fashion_mnist::FASHION_MNIST;
use crate::data::source::mnist::MNIST;
use crate::data::source::notmnist::NOTMNIST;

/// The benchmark.
pub(super) static FOUR_DATASET: BenchmarkSpec = BenchmarkSpec {
    name: "4-dataset",
    paper_name: "4-dataset",
    description: "5-dataset without SVHN, with its settings: CIFAR-10, MNIST, notMNIST and Fashion-MNIST. Not the paper's.",
    sources: &[&CIFAR10, &MNIST, &NOTMNIST, &FASHION_MNIST],
    classes: 40,
    tasks: 4,
    ..FIVE
};
