//! Clusters against TAG itself, and what they hold.

use proptest::prelude::*;

use super::*;
use crate::{
    AlphaRule, ClusterConfig, Optimizer, PastMoments, SketchSize, Tag, TagBase, TagMemory,
};

/// Five tensors; two longer than a sketch of 16 numbers.
fn layout() -> Layout {
    let tensors = [
        ("conv.weight", vec![3, 2, 3, 3]),
        ("norm.weight", vec![3]),
        ("norm.bias", vec![3]),
        ("linear.weight", vec![4, 7]),
        ("linear.bias", vec![4]),
    ];
    Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape)))
}

fn random(mut z: u64) -> f32 {
    z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 27;
    (z >> 40) as f32 / 8_388_608.0 - 1.0
}

/// Gradients of a run: a part that all tasks share by a sign of their own, and noise.
fn gradient(seed: u64, task: usize, step: usize) -> Vec<f32> {
    let at =
        |i: usize, task: u64, step: u64| random(seed << 40 | task << 24 | step << 12 | i as u64);
    let sign = at(4000, task as u64, 4000);
    (0..layout().len())
        .map(|i| sign * at(i, 999, 999) + 0.7 * at(i, task as u64, step as u64))
        .collect()
}

fn clusters(clusters: ClusterConfig) -> TagConfig {
    TagConfig {
        memory: TagMemory::Clusters,
        past_moments: PastMoments::Bf16,
        clusters,
        ..TagConfig::default()
    }
}

fn small() -> ClusterConfig {
    ClusterConfig {
        count: 2,
        sketch: SketchSize::Numbers(16),
        refresh: 3,
        first_refresh: 2,
        ..ClusterConfig::default()
    }
}

fn run(config: TagConfig, seed: u64, tasks: usize, steps: usize) -> (Tag, Vec<f32>) {
    let mut tag = Tag::new(config, layout()).unwrap();
    let mut theta: Vec<f32> = (0..layout().len()).map(|i| random(i as u64)).collect();
    for task in 0..tasks {
        tag.begin_task();
        for step in 0..steps {
            tag.step(&mut theta, &gradient(seed, task, step), 0.01)
                .unwrap();
        }
    }
    (tag, theta)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A cluster a task, whole directions, α at every step: TAG itself to rounding.
    #[test]
    fn enough_exact_clusters_are_tag_itself(
        seed in 0_u64..1 << 20,
        base in prop::sample::select(&[TagBase::RmsProp, TagBase::Adagrad, TagBase::Adam][..]),
        scope in prop::sample::select(&[AlphaScope::Tensor, AlphaScope::Global][..]),
        sketch in prop::sample::select(&[SketchSize::Exact, SketchSize::Numbers(64)][..]),
        (tasks, more, steps) in (1_usize..6, 0_usize..3, 1_usize..7),
        (b, debias) in (0.0..7.0, any::<bool>()),
    ) {
        let config = TagConfig { base, b, scope, ..TagConfig::default() };
        let exact = run(config, seed, tasks, steps);
        let config = TagConfig {
            memory: TagMemory::Clusters,
            clusters: ClusterConfig {
                count: tasks + more,
                sketch,
                refresh: 1,
                first_refresh: 1,
                debias,
                ..ClusterConfig::default()
            },
            ..config
        };
        let found = run(config, seed, tasks, steps);
        for (a, b) in found.1.iter().zip(&exact.1) {
            prop_assert!((a - b).abs() < 5e-6, "{} {}", a, b);
        }
        for (t, tau) in (0..tasks).flat_map(|t| (0..=t).map(move |tau| (t, tau))) {
            let mean = |tag: &Tag| tag.alpha().unwrap().mean(t, tau).unwrap();
            let (a, b) = (mean(&found.0), mean(&exact.0));
            prop_assert!((a / b - 1.0).abs() < 1e-4, "α({},{}): {} {}", t, tau, a, b);
        }
        let each: Vec<Vec<usize>> = (0..tasks - 1).map(|task| vec![task]).collect();
        prop_assert_eq!(found.0.alpha().unwrap().clusters(tasks - 1).unwrap(), each);
    }
}

#[test]
fn alpha_is_that_of_no_correlation_until_the_first_refresh_and_stands_still_between_two() {
    let (mut tag, mut theta) = run(clusters(small()), 1, 3, 4);
    tag.begin_task();
    let mut rows = Vec::new();
    for step in 0..8 {
        tag.step(&mut theta, &gradient(1, 3, step), 0.01).unwrap();
        rows.push(tag.newest_alphas().to_vec());
    }
    let own = (-5.0_f64).exp() as f32;
    assert_eq!(rows[0], [vec![1.0; 10], vec![own; 5]].concat());
    assert!(rows[1][..10].iter().all(|alpha| *alpha != 1.0));
    assert!(rows[1] == rows[2] && rows[2] == rows[3] && rows[3] != rows[4]);
    assert!(rows[4] == rows[6] && rows[6] != rows[7]);
    assert_eq!(rows[7][10..], [own; 5]);
}

#[test]
fn the_pair_that_loses_least_merges_and_its_sums_add_up() {
    // Tasks 0 and 2 have one direction, task 1 the opposite one, task 3 another.
    let mut tag = Tag::new(
        TagConfig {
            past_moments: PastMoments::F32,
            ..clusters(ClusterConfig {
                sketch: SketchSize::Exact,
                ..small()
            })
        },
        layout(),
    )
    .unwrap();
    let mut theta = vec![0.0; layout().len()];
    let along = gradient(7, 0, 0);
    let other = gradient(8, 5, 5);
    for scale in [1.0, -1.0, 2.0, 0.0] {
        tag.begin_task();
        let gradient: Vec<f32> = if scale == 0.0 {
            other.clone()
        } else {
            along.iter().map(|g| g * scale).collect()
        };
        tag.step(&mut theta, &gradient, 0.01).unwrap();
    }
    let record = tag.alpha().unwrap();
    assert_eq!(record.clusters(3).unwrap(), [vec![0, 2], vec![1]]);
    let seconds: Vec<f32> = match &tag.memory {
        super::super::Memory::Clusters(memory) => memory.all[0].sum.values().to_vec(),
        _ => unreachable!(),
    };
    for (sum, g) in seconds.iter().zip(&along) {
        let expected = 0.01 * (g * g + 4.0 * g * g);
        assert!((sum - expected).abs() < 1e-6, "{sum} {expected}");
    }
    // Half of a cluster's cosine is each member's.
    tag.begin_task();
    for _ in 0..2 {
        tag.step(&mut theta, &along, 0.0).unwrap();
    }
    let alphas = tag.newest_alphas();
    assert!((alphas[0] - (-5.0_f32).exp()).abs() < 1e-5, "{}", alphas[0]);
}

#[test]
fn the_oldest_merge_where_so_configured() {
    let config = ClusterConfig {
        merge: ClusterMerge::Oldest,
        ..small()
    };
    let (tag, _) = run(clusters(config), 2, 5, 2);
    let record = tag.alpha().unwrap();
    assert_eq!(record.clusters(3).unwrap(), [vec![0, 1], vec![2]]);
    assert_eq!(record.clusters(4).unwrap(), [vec![0, 1, 2], vec![3]]);
}

/// On a model whose sketches are small beside it, as they are beside networks.
#[test]
fn memory_does_not_grow_with_the_tasks() {
    let shapes = [("a", vec![64, 300]), ("b", vec![100]), ("c", vec![9000])];
    let layout = Layout::new(shapes.map(|(name, shape)| (name.to_string(), shape)));
    let config = clusters(ClusterConfig::default());
    let mut tag = Tag::new(config, layout.clone()).unwrap();
    let mut theta = vec![0.0; layout.len()];
    let mut bytes = Vec::new();
    for task in 0..100 {
        tag.begin_task();
        let gradient: Vec<f32> = (0..layout.len())
            .map(|i| random((task * 100_000 + i) as u64))
            .collect();
        tag.step(&mut theta, &gradient, 0.01).unwrap();
        bytes.push(tag.state_bytes());
    }
    assert_eq!(tag.past_tasks(), 99);
    assert!(bytes[3..].iter().all(|b| *b == bytes[3]), "{bytes:?}");
    assert!(bytes[99] <= 4 * 4 * layout.len(), "{}", bytes[99]);
    assert_eq!(
        bytes_after(&config, &layout, 99),
        bytes[99] - 2 * 4 * layout.len()
    );
}

#[test]
fn a_record_of_clusters_continues_to_the_same_bits_between_tasks_and_inside_them() {
    for (tasks, inside) in [(0, 0), (1, 1), (3, 0), (4, 2), (5, 3)] {
        let config = clusters(small());
        let (mut a, mut theta) = run(config, 3, tasks, 4);
        a.end_task();
        if inside > 0 {
            a.begin_task();
        }
        for step in 0..inside {
            a.step(&mut theta, &gradient(3, tasks, step), 0.01).unwrap();
        }
        let mut b = Tag::new(config, layout()).unwrap();
        let bytes = a.state().to_bytes().unwrap();
        b.restore(State::from_bytes(&bytes).unwrap()).unwrap();
        assert_eq!(a.state(), b.state());
        let mut other = theta.clone();
        for (tag, theta) in [(&mut a, &mut theta), (&mut b, &mut other)] {
            if inside == 0 {
                tag.begin_task();
            }
            for step in inside..7 {
                tag.step(theta, &gradient(3, tasks, step), 0.01).unwrap();
            }
            tag.begin_task();
        }
        assert_eq!(theta, other);
        assert_eq!(a.state(), b.state());
    }
}

#[test]
fn records_that_cannot_be_are_refused() {
    let (tag, _) = run(clusters(small()), 4, 4, 2);
    let refused = |change: &dyn Fn(&mut State<'_>), config: TagConfig| {
        let mut state = tag.state();
        change(&mut state);
        let mut other = Tag::new(config, layout()).unwrap();
        other.restore(state).is_err()
    };
    let same = clusters(small());
    assert!(!refused(&|_| {}, same));
    assert!(refused(&|s| s.put_list("past.1.members", vec![7]), same));
    assert!(refused(&|s| s.put_list("past.0.members", Vec::new()), same));
    assert!(refused(&|s| s.put("weights", vec![1.0; 3]), same));
    assert!(refused(&|_| {}, TagConfig::default()));
    let other = |change: &dyn Fn(&mut ClusterConfig)| {
        let mut config = small();
        change(&mut config);
        clusters(config)
    };
    assert!(refused(&|_| {}, other(&|c| c.count = 3)));
    assert!(refused(
        &|_| {},
        other(&|c| c.sketch = SketchSize::Numbers(8))
    ));
}

#[test]
fn a_zero_gradient_gives_the_alpha_of_no_correlation() {
    let (mut tag, mut theta) = run(clusters(small()), 5, 3, 3);
    tag.begin_task();
    let before = theta.clone();
    let zeros = vec![0.0; layout().len()];
    for _ in 0..2 {
        tag.step(&mut theta, &zeros, 0.01).unwrap();
    }
    assert_eq!(
        (tag.newest_alphas()[..10].to_vec(), theta),
        (vec![1.0; 10], before)
    );
}

#[test]
fn the_bias_is_divided_out_of_sketched_tensors_alone() {
    let alphas = |debias| {
        let config = ClusterConfig { debias, ..small() };
        run(clusters(config), 6, 2, 2).0.newest_alphas().to_vec()
    };
    let (with, without) = (alphas(true), alphas(false));
    for (tensor, (with, without)) in with.iter().zip(&without).take(5).enumerate() {
        let sketched = [0, 3].contains(&tensor);
        // One member: e^(−b² spread ‖D‖²/2).
        assert_eq!(with < without, sketched, "{tensor}: {with} {without}");
    }
}

#[test]
fn other_rules_and_sizes_are_refused() {
    type Change = fn(&mut ClusterConfig);
    for alpha in [AlphaRule::One, AlphaRule::Age, AlphaRule::Gradients] {
        let config = TagConfig {
            alpha,
            ..clusters(small())
        };
        let error = Tag::new(config, layout()).err().unwrap();
        assert!(matches!(error, OptimError::Combination { .. }), "{error}");
    }
    let changes: [(&str, Change); 4] = [
        ("tag_clusters", |c| c.count = 0),
        ("tag_refresh", |c| c.refresh = 0),
        ("tag_first_refresh", |c| c.first_refresh = 0),
        ("tag_sketch", |c| c.sketch = SketchSize::Numbers(100)),
    ];
    for (key, change) in changes {
        let mut config = small();
        change(&mut config);
        let error = Tag::new(clusters(config), layout()).err().unwrap();
        assert!(
            matches!(error, OptimError::HyperParameter { name, .. } if name == key),
            "{error}"
        );
    }
}
