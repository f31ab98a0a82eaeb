//! mini-ImageNet split by class. The released loader leaves out a last batch that is not full.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};
use crate::data::ImageShape;
use crate::data::source::mini_imagenet::MINI_IMAGENET;

/// The benchmark.
pub(super) static SPLIT_MINI_IMAGENET: BenchmarkSpec = BenchmarkSpec {
    name: "split-mini-imagenet",
    paper_name: "Split-miniImageNet",
    description: "mini-ImageNet split by class; 20 tasks of 5 classes at 84x84.",
    kind: BenchmarkKind::Split,
    sources: &[&MINI_IMAGENET],
    classes: 100,
    shape: ImageShape::new(3, 84, 84),
    inputs: InputRange::Signed,
    tasks: 20,
    model: "reduced-resnet18",
    defaults: &[],
    released_defaults: &[("drop_last", "true")],
    model_defaults: &[],
    rates: Rates {
        plain: &[
            ("sgd", 0.05),
            ("rmsprop", 0.001),
            ("adagrad", 0.01),
            ("adam", 0.001),
            ("tag-rmsprop", 0.000_1),
            ("tag-adagrad", 0.001),
            ("tag-adam", 0.000_25),
        ],
        pairs: Rates::PAPER_PAIRS,
        exceptions: &[
            // SGD with A-GEM had a rate of its own.
            ("agem", "sgd", 0.1),
        ],
        multi_task: &[("sgd", 0.01)],
        stable_sgd: Some(StableSgd {
            lr: 0.1,
            gamma: 0.9,
            dropout: 0.0,
        }),
        ..Rates::NONE
    },
};
