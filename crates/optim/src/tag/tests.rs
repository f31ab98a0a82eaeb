//! TAG: resuming, zero gradients, misuse, memory.

use super::*;

fn layout() -> Layout {
    Layout::new([("a".to_string(), vec![40]), ("b".to_string(), vec![3])])
}

fn gradient(task: usize, step: usize) -> Vec<f32> {
    (0..43)
        .map(|i| ((i * 7 + task * 13 + step * 5) as f32 * 0.37).sin())
        .collect()
}

fn run(tag: &mut Tag, theta: &mut [f32], task: usize, steps: std::ops::Range<usize>) {
    for k in steps {
        tag.step(theta, &gradient(task, k), 0.01).unwrap();
    }
}

#[test]
fn a_record_taken_inside_a_task_continues_to_the_same_bits() {
    use AlphaRule as R;
    use PastMoments::{Bf16, F32};
    let bases = [
        (TagBase::RmsProp, R::Cosine, F32),
        (TagBase::RmsProp, R::Cosine, Bf16),
        (TagBase::Adagrad, R::Cosine, F32),
        (TagBase::Adam, R::Cosine, Bf16),
    ];
    let rules = [
        (TagBase::RmsProp, R::One, Bf16),
        (TagBase::RmsProp, R::Age, F32),
        (TagBase::RmsProp, R::Gradients, F32),
        (TagBase::RmsProp, R::Gradients, Bf16),
    ];
    for (base, alpha, past_moments) in bases.into_iter().chain(rules) {
        let config = TagConfig {
            base,
            alpha,
            past_moments,
            stored_gradients: 3,
            ..TagConfig::default()
        };
        let mut a = Tag::new(config, layout()).unwrap();
        let mut theta = vec![0.1; 43];
        a.begin_task();
        run(&mut a, &mut theta, 0, 0..3);
        a.begin_task();
        run(&mut a, &mut theta, 1, 0..2);
        let mut b = Tag::new(config, layout()).unwrap();
        b.restore(State::from_bytes(&a.state().to_bytes().unwrap()).unwrap())
            .unwrap();
        let mut other = theta.clone();
        run(&mut a, &mut theta, 1, 2..4);
        run(&mut b, &mut other, 1, 2..4);
        assert_eq!(theta, other);
        assert_eq!(a.state(), b.state());
    }
}

#[test]
fn a_zero_gradient_never_gives_nan() {
    let mut tag = Tag::new(TagConfig::default(), layout()).unwrap();
    let mut theta = vec![0.5; 43];
    for _ in 0..3 {
        tag.begin_task();
        tag.step(&mut theta, &[0.0; 43], 0.01).unwrap();
    }
    assert_eq!(theta, vec![0.5; 43]);
    // Past tasks' α is e^0, the present one's e^-b.
    assert_eq!(tag.newest_alphas()[..4], [1.0; 4]);
    assert_eq!(tag.newest_alphas()[4], (-5.0_f64).exp() as f32);
}

#[test]
fn the_own_weight_may_have_a_b_of_its_own() {
    for memory in [TagMemory::Exact, TagMemory::Flat, TagMemory::Clusters] {
        let alphas = |own_b| {
            let config = TagConfig {
                own_b,
                memory,
                ..TagConfig::default()
            };
            let mut tag = Tag::new(config, layout()).unwrap();
            let mut theta = vec![0.5; 43];
            tag.begin_task();
            run(&mut tag, &mut theta, 0, 0..2);
            assert_eq!(tag.newest_alphas(), [1.0; 2]);
            // A gradient that is like the first task's whatever came between.
            tag.begin_task();
            run(&mut tag, &mut theta, 0, 0..5);
            tag.newest_alphas().to_vec()
        };
        let (usual, other) = (alphas(None), alphas(Some(2.0)));
        assert_eq!(usual[..2], other[..2]);
        assert_eq!(usual[2..], [(-5.0_f64).exp() as f32; 2]);
        assert_eq!(other[2..], [(-2.0_f64).exp() as f32; 2]);
    }
    let config = TagConfig {
        own_b: Some(-1.0),
        ..TagConfig::default()
    };
    assert!(Tag::new(config, layout()).is_err());
}

#[test]
fn misuse_is_an_error() {
    let mut tag = Tag::new(TagConfig::default(), layout()).unwrap();
    assert!(matches!(
        tag.step(&mut [0.0; 43], &[0.0; 43], 0.1),
        Err(OptimError::NoTask)
    ));
    tag.begin_task();
    assert!(matches!(
        tag.step(&mut [0.0; 43], &[0.0; 42], 0.1),
        Err(OptimError::Length { .. })
    ));
    for b in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(
            Tag::new(
                TagConfig {
                    b,
                    ..TagConfig::default()
                },
                layout()
            )
            .is_err()
        );
    }
}

#[test]
fn memory_is_taken_task_by_task() {
    let mut tag = Tag::new(TagConfig::default(), layout()).unwrap();
    assert_eq!(tag.state_bytes(), 0);
    tag.begin_task();
    assert_eq!(tag.state_bytes(), 2 * 43 * 4);
    tag.end_task();
    tag.begin_task();
    assert_eq!((tag.past_tasks(), tag.state_bytes()), (1, 4 * 43 * 4));
}

#[test]
fn half_precision_halves_the_past_and_hardly_moves_the_step() {
    let run = |past_moments| {
        let config = TagConfig {
            past_moments,
            ..TagConfig::default()
        };
        let mut tag = Tag::new(config, layout()).unwrap();
        let mut theta = vec![0.1; 43];
        for task in 0..3 {
            tag.begin_task();
            run(&mut tag, &mut theta, task, 0..4);
        }
        tag.end_task();
        (theta, tag.state_bytes())
    };
    let (single, half) = (run(PastMoments::F32), run(PastMoments::Bf16));
    assert_eq!((single.1, half.1), (6 * 43 * 4, 6 * 43 * 2));
    assert_ne!(single.0, half.0);
    for (a, b) in single.0.iter().zip(&half.0) {
        // Eight steps of at most about 0.1 follow a stored past, each off by at most 1 part in 100.
        assert!((a - b).abs() < 8e-3, "{a} {b}");
    }
}
