//! The flat memory against its formula, and what it holds.

use super::*;
use crate::{AlphaRule, Optimizer, Tag, TagBase, TagMemory};

fn layout() -> Layout {
    let tensors = [
        ("conv.weight", vec![2, 2, 3, 3]),
        ("conv.bias", vec![2]),
        ("norm.weight", vec![2]),
        ("norm.bias", vec![2]),
        ("linear.weight", vec![3, 5]),
        ("linear.bias", vec![3]),
        ("scale", vec![2]),
    ];
    Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape)))
}

fn flat(base: TagBase) -> TagConfig {
    TagConfig {
        base,
        memory: TagMemory::Flat,
        ..TagConfig::default()
    }
}

fn gradient(task: usize, step: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7 + task * 13 + step * 5) as f32 * 0.37).sin();
    (0..layout().len()).map(value).collect()
}

#[test]
fn kinds_of_tensors_have_their_own_scales() {
    let scales = PastScales {
        norm: 2.0,
        convolution: 3.0,
        linear: 5.0,
    };
    let config = TagConfig {
        past_scales: scales,
        ..flat(TagBase::RmsProp)
    };
    let mut tag = Tag::new(config, layout()).unwrap();
    let mut theta = vec![0.0; layout().len()];
    tag.begin_task();
    tag.step(&mut theta, &gradient(0, 0), 0.1).unwrap();
    assert_eq!(tag.newest_alphas(), [1.0; 7]);
    tag.begin_task();
    tag.step(&mut theta, &gradient(1, 0), 0.1).unwrap();
    let own = (-5.0_f64).exp() as f32;
    let expected = [[3.0, 3.0, 2.0, 2.0, 5.0, 5.0, 2.0], [own; 7]].concat();
    assert_eq!(tag.newest_alphas(), expected);
}

/// Tasks of orthogonal first moments have α = 1 exactly, so there the flat memory is TAG itself but for the order of sums.
#[test]
fn orthogonal_tasks_are_exact() {
    for base in [TagBase::RmsProp, TagBase::Adagrad, TagBase::Adam] {
        let layout = Layout::new([("a".to_string(), vec![64])]);
        let run = |memory| {
            let config = TagConfig {
                memory,
                ..flat(base)
            };
            let mut tag = Tag::new(config, layout.clone()).unwrap();
            let mut theta = vec![0.3; 64];
            for task in 0..4 {
                tag.begin_task();
                for step in 0..5 {
                    let mut gradient = vec![0.0; 64];
                    for i in 0..16 {
                        gradient[16 * task + i] = ((i + step) as f32).sin() + 1.5;
                    }
                    tag.step(&mut theta, &gradient, 0.01).unwrap();
                }
            }
            theta
        };
        assert_eq!(run(TagMemory::Flat), run(TagMemory::Exact), "{base:?}");
    }
}

#[test]
fn tag_1_is_flat_to_rounding() {
    let run = |memory| {
        let config = TagConfig {
            alpha: AlphaRule::One,
            memory,
            ..TagConfig::default()
        };
        let mut tag = Tag::new(config, layout()).unwrap();
        let mut theta = vec![0.3; layout().len()];
        for task in 0..6 {
            tag.begin_task();
            for step in 0..4 {
                tag.step(&mut theta, &gradient(task, step), 0.01).unwrap();
            }
        }
        theta
    };
    for (a, b) in run(TagMemory::Flat).iter().zip(run(TagMemory::Exact)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn memory_is_two_vectors_at_any_number_of_tasks_and_three_over_adam() {
    for (base, vectors) in [
        (TagBase::RmsProp, 2),
        (TagBase::Adagrad, 2),
        (TagBase::Adam, 3),
    ] {
        let mut tag = Tag::new(flat(base), layout()).unwrap();
        let mut theta = vec![0.0; layout().len()];
        for task in 0..100 {
            tag.begin_task();
            tag.step(&mut theta, &gradient(task, 0), 0.01).unwrap();
            let floats = vectors - usize::from(task == 0);
            assert_eq!(tag.state_bytes(), floats * layout().len() * 4);
        }
        assert_eq!(tag.past_tasks(), 99);
        assert!(tag.alpha().is_none());
    }
}

#[test]
fn rules_that_need_more_than_a_sum_are_refused_and_so_are_scales_that_are_no_factors() {
    for alpha in [AlphaRule::Age, AlphaRule::Gradients] {
        let config = TagConfig {
            alpha,
            ..flat(TagBase::RmsProp)
        };
        let error = Tag::new(config, layout()).err().unwrap();
        assert!(
            matches!(error, OptimError::Combination { value: "flat", .. }),
            "{error}"
        );
    }
    for scale in [-1.0, f64::NAN] {
        let mut config = flat(TagBase::RmsProp);
        config.past_scales.linear = scale;
        let error = Tag::new(config, layout()).err().unwrap();
        assert!(
            matches!(
                error,
                OptimError::HyperParameter {
                    name: "tag_scale_linear",
                    ..
                }
            ),
            "{error}"
        );
    }
}
