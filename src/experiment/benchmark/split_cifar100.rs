//! CIFAR-100 split by class: the stream of the paper's Table 1 and of most of its figures.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};
use crate::data::ImageShape;
use crate::data::source::cifar100::CIFAR100;

/// The benchmark.
pub(super) static SPLIT_CIFAR100: BenchmarkSpec = BenchmarkSpec {
    name: "split-cifar100",
    paper_name: "Split-CIFAR100",
    description: "CIFAR-100 split by class; 20 tasks of 5 classes in the paper.",
    kind: BenchmarkKind::Split,
    sources: &[&CIFAR100],
    classes: 100,
    shape: ImageShape::new(3, 32, 32),
    inputs: InputRange::Unit,
    tasks: 20,
    model: "reduced-resnet18",
    defaults: &[],
    released_defaults: &[],
    model_defaults: &[("alexnet", "tasks", "10")],
    rates: Rates {
        plain: &[
            ("sgd", 0.1),
            ("rmsprop", 0.005),
            ("adagrad", 0.01),
            ("adam", 0.005),
            ("tag-rmsprop", 0.000_25),
            ("tag-adagrad", 0.005),
            ("tag-adam", 0.000_5),
        ],
        pairs: Rates::PAPER_PAIRS,
        other_models: &[
            // replicate_experiment_gpm.sh, whose figures were never reported.
            ("alexnet", "plain", "sgd", 0.1),
            ("alexnet", "agem", "sgd", 0.1),
            ("alexnet", "er", "sgd", 0.1),
            ("alexnet", "plain", "rmsprop", 0.001),
            ("alexnet", "plain", "tag-rmsprop", 0.000_05),
        ],
        multi_task: &[("sgd", 0.01)],
        stable_sgd: Some(StableSgd {
            lr: 0.1,
            gamma: 0.9,
            dropout: 0.1,
        }),
        ..Rates::NONE
    },
};
