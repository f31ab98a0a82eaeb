//! The update against the formula in `f64`.

use super::{BLOCK, Base, Dots, Step, TagPlan, weight};
use crate::past::{Past, Stored};
use crate::{Level, Workers};

fn noise(seed: usize, len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (((i + 1) * (seed * 2 + 7919) * 31) % 2003) as f32 / 1001.5 - 1.0)
        .collect()
}

/// The weights `[past task + 1][segment]` of these products, the current task's own in the last row.
fn weights(dots: &Dots, b: f64, global: bool) -> Vec<Vec<f32>> {
    let segments = dots.squares.len();
    let cosines = if global {
        let all = dots.global_cosines().into_iter();
        all.map(|cosine| vec![cosine; segments]).collect()
    } else {
        dots.cosines()
    };
    let own = if cosines.is_empty() { 0.0 } else { 1.0 };
    let rows = cosines.into_iter().chain([vec![own; segments]]);
    rows.map(|row| row.into_iter().map(|cosine| weight(b, cosine)).collect())
        .collect()
}

#[test]
fn weights_stay_in_their_bounds() {
    for (cosine, same) in [(1.0 + 1e-9, 1.0), (-1.0 - 1e-9, -1.0)] {
        assert_eq!(weight(5.0, cosine).to_bits(), weight(5.0, same).to_bits());
    }
    assert_eq!(weight(5.0, 1.0), (-5.0_f64).exp() as f32);
    assert_eq!(weight(5.0, 0.0), 1.0);
}

fn unit(v: &mut [f32]) {
    let norm = v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    for v in v {
        *v = (f64::from(*v) / norm) as f32;
    }
}

/// One step of everything in `f64`; returns theta.
#[test]
#[allow(
    clippy::too_many_lines,
    clippy::single_range_in_vec_init,
    reason = "one case after another; a single segment is one of them"
)]
fn a_step_matches_the_formula() {
    let sizes = [7, 20, 3 * BLOCK + 5, 1, 400];
    let mut start = 0;
    let segments: Vec<_> = sizes
        .iter()
        .map(|s| {
            start += s;
            start - s..start
        })
        .collect();
    let len = start;
    for (base, global, inside) in [
        (Base::RmsProp { beta2: 0.99 }, false, false),
        (Base::Adagrad, false, true),
        (Base::Adam { beta2: 0.999 }, true, false),
    ] {
        for level in Level::available_levels() {
            for (past, half) in [(0, false), (1, false), (3, false), (1, true), (3, true)] {
                // An interpreter has time for one of them.
                if cfg!(miri) && (past, half) != (1, matches!(base, Base::Adam { .. })) {
                    continue;
                }
                let plan = TagPlan::with(segments.clone(), level);
                let grad = noise(1, len);
                let (mut m, mut v) = (
                    noise(2, len),
                    noise(3, len).iter().map(|v| v * v).collect::<Vec<_>>(),
                );
                // A tensor that has seen nothing: similarity 0.
                m[segments[0].clone()].fill(0.0);
                let mut grad = grad;
                grad[segments[0].clone()].fill(0.0);
                let mut theta = noise(4, len);
                let mut past_m: Vec<Vec<f32>> = (0..past).map(|t| noise(10 + t, len)).collect();
                let past_v: Vec<Vec<f32>> = (0..past)
                    .map(|t| noise(20 + t, len).iter().map(|v| v * v).collect())
                    .collect();
                for p in &mut past_m {
                    let parts = if global {
                        vec![0..len]
                    } else {
                        segments.clone()
                    };
                    for s in parts {
                        unit(&mut p[s]);
                    }
                }
                let (m0, v0, theta0) = (m.clone(), v.clone(), theta.clone());
                let store = |v: &Vec<f32>| {
                    if half {
                        Stored::half(v)
                    } else {
                        Stored::single(v.clone())
                    }
                };
                let pm: Vec<Stored> = past_m.iter().map(store).collect();
                let pv: Vec<Stored> = past_v.iter().map(store).collect();
                // The reference computes with what is stored.
                let past_m: Vec<Vec<f32>> = pm.iter().map(|p| p.values().into_owned()).collect();
                let past_v: Vec<Vec<f32>> = pv.iter().map(|p| p.values().into_owned()).collect();
                let pm: Vec<Past<'_>> = pm.iter().map(Stored::view).collect();
                let pv: Vec<Past<'_>> = pv.iter().map(Stored::view).collect();
                let workers = Workers::new(2);
                let dots = plan.moments_and_dots(&workers, base, 0.9, &grad, &mut m, &mut v, &pm);
                let alphas = weights(&dots, 5.0, global);
                let mut step = Step::new(base, 0.9, 3, 0.01, 1e-8);
                step.epsilon_inside = inside;
                plan.apply(&workers, step, &alphas, &mut theta, &grad, &m, &v, &pv);

                let (mut em, mut ev) = (vec![0.0_f64; len], vec![0.0_f64; len]);
                for i in 0..len {
                    let g = f64::from(grad[i]);
                    em[i] = 0.9 * f64::from(m0[i]) + 0.1 * g;
                    ev[i] = match base {
                        Base::Adagrad => f64::from(v0[i]) + g * g,
                        Base::RmsProp { beta2 } | Base::Adam { beta2 } => {
                            f64::from(beta2) * f64::from(v0[i]) + (1.0 - f64::from(beta2)) * g * g
                        }
                    };
                }
                let cosine = |t: usize, s: std::ops::Range<usize>| -> f64 {
                    let dot: f64 = s.clone().map(|i| em[i] * f64::from(past_m[t][i])).sum();
                    let norm = s.map(|i| em[i] * em[i]).sum::<f64>().sqrt();
                    if norm > 0.0 { dot / norm } else { 0.0 }
                };
                for (s, range) in segments.iter().enumerate() {
                    for (t, alphas) in alphas[..past].iter().enumerate() {
                        let c = cosine(t, if global { 0..len } else { range.clone() });
                        let found = f64::from(alphas[s]);
                        assert!(
                            (found / (-5.0 * c).exp() - 1.0).abs() < 1e-5,
                            "alpha {t} {s}: {found}, cosine {c}"
                        );
                    }
                    let own = if past == 0 { 1.0 } else { (-5.0_f64).exp() };
                    for i in range.clone() {
                        let past: f64 = (0..past)
                            .map(|t| f64::from(alphas[t][s]) * f64::from(past_v[t][i]))
                            .sum();
                        let (c1, c2) = match base {
                            Base::Adam { .. } => (1.0 - 0.9_f64.powi(3), 1.0 - 0.999_f64.powi(3)),
                            _ => (1.0, 1.0),
                        };
                        let n = if matches!(base, Base::Adam { .. }) {
                            em[i] / c1
                        } else {
                            f64::from(grad[i])
                        };
                        let w = past + own * ev[i];
                        let root = if inside {
                            (w + 1e-8).sqrt()
                        } else {
                            (w / c2).sqrt() + 1e-8
                        };
                        let expected = f64::from(theta0[i]) - 0.01 * n / root;
                        let e = (f64::from(theta[i]) - expected).abs();
                        assert!(
                            e < 1e-5 * (1.0 + (0.01 * n / root).abs()),
                            "{base:?} {level:?} theta {i}: {e}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let len = 5 * BLOCK + 77;
    let plan = TagPlan::new(vec![0..100, 100..len]);
    let past = [noise(5, len), noise(6, len)].map(|p| p.iter().map(|p| p * p).collect::<Vec<_>>());
    let past: Vec<Past<'_>> = past.iter().map(|p| p.as_slice().into()).collect();
    let run = |threads| {
        let workers = Workers::new(threads);
        let (mut m, mut v, mut theta) = (vec![0.0; len], vec![0.0; len], noise(1, len));
        let base = Base::RmsProp { beta2: 0.99 };
        let dots =
            plan.moments_and_dots(&workers, base, 0.9, &noise(2, len), &mut m, &mut v, &past);
        let step = Step::new(base, 0.9, 1, 0.01, 1e-8);
        plan.apply(
            &workers,
            step,
            &weights(&dots, 5.0, false),
            &mut theta,
            &noise(2, len),
            &m,
            &v,
            &past,
        );
        (dots, theta)
    };
    assert!(run(1) == run(3));
}

/// Vectors of another precision end a group, so every second one in half precision leaves each alone.
#[test]
fn vectors_together_have_the_bits_of_single_ones() {
    let len = 2 * BLOCK + 77;
    let workers = Workers::new(1);
    let base = Base::RmsProp { beta2: 0.99 };
    let most = if cfg!(miri) { 4 } else { 8 };
    let halves: Vec<Stored> = (0..most)
        .map(|t| Stored::half(&noise(10 + t, len).iter().map(|v| v * v).collect::<Vec<_>>()))
        .collect();
    let singles: Vec<Stored> = halves
        .iter()
        .map(|half| Stored::single(half.values().into_owned()))
        .collect();
    for level in Level::available_levels() {
        let plan = TagPlan::with(vec![0..100, 100..len], level);
        let run = |past: &[Past<'_>]| {
            let (mut m, mut v, mut theta) = (vec![0.1; len], vec![0.2; len], noise(1, len));
            let grad = noise(2, len);
            let dots = plan.moments_and_dots(&workers, base, 0.9, &grad, &mut m, &mut v, past);
            let step = Step::new(base, 0.9, 1, 0.01, 1e-8);
            let alphas = weights(&dots, 5.0, false);
            plan.apply(&workers, step, &alphas, &mut theta, &grad, &m, &v, past);
            (dots, theta)
        };
        for n in 0..=most {
            let together: Vec<_> = singles[..n].iter().map(Stored::view).collect();
            let halved: Vec<_> = halves[..n].iter().map(Stored::view).collect();
            let alone: Vec<_> = (0..n)
                .map(|t| if t % 2 == 0 { together[t] } else { halved[t] })
                .collect();
            let expected = run(&alone);
            assert!(run(&together) == expected, "{level:?}, {n} vectors");
            assert!(
                run(&halved) == expected,
                "{level:?}, {n} vectors in half precision"
            );
        }
    }
}

#[test]
#[should_panic(expected = "must begin at 5")]
fn gaps_are_refused() {
    let _ = TagPlan::new(vec![0..5, 6..8]);
}
