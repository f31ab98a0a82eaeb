//! One walk against two.

use super::*;
use crate::past::Stored;
use crate::simd::Level;

fn values(len: usize, salt: f32) -> Vec<f32> {
    (0..len).map(|i| (0.7 * i as f32 + salt).sin()).collect()
}

#[test]
fn one_walk_has_the_bits_of_two() {
    let (third, len) = (7 + 2 * BLOCK + 13, 7 + 2 * BLOCK + 101);
    let segments = vec![0..7, 7..third, third..len];
    let squares = |salt| -> Vec<f32> { values(len, salt).iter().map(|x| x * x).collect() };
    let past = [Stored::single(squares(3.0)), Stored::half(&squares(4.0))];
    let past: Vec<Past<'_>> = past.iter().map(Stored::view).collect();
    let alphas = [[1.0, 2.0, 0.5], [0.3, 1.0, 4.0], [0.01, 0.1, 1.0]].map(|row| row.to_vec());
    let bases = [
        Base::RmsProp { beta2: 0.99 },
        Base::Adagrad,
        Base::Adam { beta2: 0.999 },
    ];
    for level in Level::available_levels() {
        let plan = TagPlan::with(segments.clone(), level);
        for (base, threads) in bases.into_iter().flat_map(|b| [(b, 1), (b, 3)]) {
            // An interpreter has time for one of them.
            if cfg!(miri) && (threads, base) != (3, bases[0]) {
                continue;
            }
            let workers = Workers::new(threads);
            let (grad, theta) = (values(len, 1.0), values(len, 2.0));
            let step = Step::new(base, 0.9, 3, 0.1, 1e-8);
            let (m, v) = (values(len, 5.0), squares(6.0));
            let two = {
                let (mut theta, mut m, mut v) = (theta.clone(), m.clone(), v.clone());
                plan.moments_and_dots(&workers, base, 0.9, &grad, &mut m, &mut v, &[]);
                plan.apply(&workers, step, &alphas, &mut theta, &grad, &m, &v, &past);
                (theta, m, v)
            };
            let one = |with_first: bool| {
                let (mut theta, mut m, mut v) = (theta.clone(), m.clone(), v.clone());
                let first = with_first.then_some(m.as_mut_slice());
                let decays = (base, 0.9);
                plan.step(
                    &workers, decays, step, &alphas, &mut theta, &grad, first, &mut v, &past,
                );
                (theta, m, v)
            };
            assert_eq!(one(true), two, "{level:?} {base:?}");
            if !step.momentum {
                let (theta, _, v) = one(false);
                assert_eq!((theta, v), (two.0, two.2), "{level:?} {base:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "steps along its first moment")]
fn adam_needs_a_first_moment() {
    let plan = TagPlan::new(vec![0..1, 1..2]);
    let base = Base::Adam { beta2: 0.999 };
    let step = Step::new(base, 0.9, 1, 0.1, 1e-8);
    let alphas = [vec![1.0; 2]];
    let workers = Workers::new(1);
    plan.step(
        &workers,
        (base, 0.9),
        step,
        &alphas,
        &mut [0.0; 2],
        &[1.0; 2],
        None,
        &mut [0.0; 2],
        &[],
    );
}
