//! CUB-200-2011 split by class. The released loader leaves out a last batch that is not full.

use super::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};
use crate::data::ImageShape;
use crate::data::source::cub::CUB;

/// The benchmark.
pub(super) static SPLIT_CUB: BenchmarkSpec = BenchmarkSpec {
    name: "split-cub",
    paper_name: "Split-CUB",
    description: "CUB-200-2011 (birds) split by class; 20 tasks of 10 classes at 224x224.",
    kind: BenchmarkKind::Split,
    sources: &[&CUB],
    classes: 200,
    shape: ImageShape::new(3, 224, 224),
    inputs: InputRange::Set,
    tasks: 20,
    model: "resnet18",
    defaults: &[],
    released_defaults: &[("drop_last", "true")],
    model_defaults: &[],
    rates: Rates {
        plain: &[
            ("sgd", 0.01),
            ("rmsprop", 0.000_1),
            ("adagrad", 0.000_5),
            ("adam", 0.000_1),
            // As in the scripts; the runs behind the paper's tables had a floor of 5e-5.
            ("tag-rmsprop", 0.000_025),
            ("tag-adagrad", 0.000_5),
            ("tag-adam", 0.000_1),
        ],
        pairs: Rates::PAPER_PAIRS,
        multi_task: &[("sgd", 0.01)],
        stable_sgd: Some(StableSgd {
            lr: 0.05,
            gamma: 0.9,
            dropout: 0.0,
        }),
        ..Rates::NONE
    },
};
