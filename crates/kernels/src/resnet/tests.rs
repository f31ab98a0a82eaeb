//! The trunk against its reference, between instruction sets, between numbers of threads, and between uses.

use super::reference::Pass;
use super::{BatchStats, BlockKind, Ends, Trunk, TrunkPool, TrunkSpec};
use crate::simd::Level;
use crate::workers::Workers;
use std::sync::Arc;

/// Numbers in -0.5..0.5 from a seed.
fn noise(seed: u64, len: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from((state >> 40) as f32 / (1u64 << 24) as f32) - 0.5
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn single(v: &[f64]) -> Vec<f32> {
    v.iter().map(|v| *v as f32).collect()
}

/// Inputs of one pass, exactly representable in `f32`.
struct Case {
    spec: TrunkSpec,
    x: Vec<f64>,
    params: Vec<Vec<f64>>,
    masks: Option<Vec<Vec<f64>>>,
    d_features: Vec<f64>,
}

impl Case {
    fn new(spec: TrunkSpec, dropout: bool, seed: u64) -> Self {
        let exact = |v: Vec<f64>| single(&v).into_iter().map(f64::from).collect::<Vec<f64>>();
        let mut salt = seed * 1000;
        let mut fresh = |len: usize| {
            salt += 1;
            noise(salt, len)
        };
        let params = spec
            .parameters()
            .iter()
            .map(|shape| {
                let raw = fresh(shape.iter().product());
                let fan = shape[1..].iter().product::<usize>();
                exact(match shape.len() {
                    1 => raw.iter().map(|v| 0.7 + v).collect(),
                    _ => raw.iter().map(|v| v * 3.0 / (fan as f64).sqrt()).collect(),
                })
            })
            .collect();
        let masks = dropout.then(|| {
            let multiplier = |v: &f64| if *v > -0.25 { 4.0 / 3.0 } else { 0.0 };
            let mut one =
                |s: &[usize; 4]| fresh(s.iter().product()).iter().map(multiplier).collect();
            spec.dropout_shapes()
                .iter()
                .map(|s| exact(one(s)))
                .collect()
        });
        let x = exact(fresh(spec.batch * spec.in_channels * spec.size * spec.size));
        let d_features = exact(fresh(spec.batch * spec.features()));
        Self {
            spec,
            x,
            params,
            masks,
            d_features,
        }
    }

    /// Features and gradients with running statistics by the kernels.
    fn run_frozen(
        &self,
        trunk: &mut Trunk,
        running: &[(Vec<f64>, Vec<f64>)],
    ) -> (Vec<f32>, Vec<Vec<f32>>) {
        let params: Vec<Vec<f32>> = self.params.iter().map(|p| single(p)).collect();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let running: Vec<(Vec<f32>, Vec<f32>)> = running
            .iter()
            .map(|r| (single(&r.0), single(&r.1)))
            .collect();
        let running: Vec<(&[f32], &[f32])> = running
            .iter()
            .map(|r| (r.0.as_slice(), r.1.as_slice()))
            .collect();
        let mut features = vec![f32::NAN; self.spec.batch * self.spec.features()];
        trunk.forward_frozen(&single(&self.x), &params, &running, &mut features);
        let mut grads: Vec<Vec<f32>> = params.iter().map(|p| vec![f32::NAN; p.len()]).collect();
        let mut views: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
        trunk.backward(&params, &single(&self.d_features), &mut views);
        (features, grads)
    }

    /// Running statistics of every norm, unlike those of any batch.
    fn running(&self) -> Vec<(Vec<f64>, Vec<f64>)> {
        let rounded = |v: f64| f64::from(v as f32);
        let one = |(i, &c): (usize, &usize)| {
            let variance = noise(90 + i as u64, c);
            (
                noise(50 + i as u64, c).into_iter().map(rounded).collect(),
                variance
                    .into_iter()
                    .map(|v| rounded(v.abs() + 0.2))
                    .collect(),
            )
        };
        self.spec.norms().iter().enumerate().map(one).collect()
    }

    /// Features, statistics and gradients by the kernels.
    fn run(&self, trunk: &mut Trunk) -> (Vec<f32>, Vec<BatchStats>, Vec<Vec<f32>>) {
        let params: Vec<Vec<f32>> = self.params.iter().map(|p| single(p)).collect();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let masks: Option<Vec<Vec<f32>>> = self
            .masks
            .as_ref()
            .map(|m| m.iter().map(|m| single(m)).collect());
        let masks: Option<Vec<&[f32]>> = masks
            .as_ref()
            .map(|m| m.iter().map(Vec::as_slice).collect());
        let mut stats = vec![BatchStats::default(); self.spec.norms().len()];
        let mut features = vec![f32::NAN; self.spec.batch * self.spec.features()];
        trunk.forward_train(
            &single(&self.x),
            &params,
            masks.as_deref(),
            &mut stats,
            &mut features,
        );
        let mut grads: Vec<Vec<f32>> = params.iter().map(|p| vec![f32::NAN; p.len()]).collect();
        let mut views: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
        trunk.backward(&params, &single(&self.d_features), &mut views);
        (features, stats, grads)
    }

    fn evaluate(&self, trunk: &mut Trunk, running: &[(Vec<f64>, Vec<f64>)]) -> Vec<f32> {
        let params: Vec<Vec<f32>> = self.params.iter().map(|p| single(p)).collect();
        let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
        let running: Vec<(Vec<f32>, Vec<f32>)> = running
            .iter()
            .map(|r| (single(&r.0), single(&r.1)))
            .collect();
        let running: Vec<(&[f32], &[f32])> = running
            .iter()
            .map(|r| (r.0.as_slice(), r.1.as_slice()))
            .collect();
        let mut features = vec![f32::NAN; self.spec.batch * self.spec.features()];
        trunk.forward_eval(&single(&self.x), &params, &running, &mut features);
        features
    }

    fn reference(&self) -> Pass {
        Pass::forward(
            &self.spec,
            self.x.clone(),
            &self.params,
            self.masks.as_deref(),
            None,
        )
    }
}

/// Norm of the difference relative to the reference's norm; single numbers may be off by a hundred times that.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let squares: f64 = expected.iter().map(|e| e * e).sum();
    let differences = || {
        found
            .iter()
            .zip(expected)
            .map(|(f, e)| (f64::from(*f) - e).powi(2))
    };
    let worst =
        differences().fold(0.0, f64::max) / (squares / expected.len() as f64).max(1e-24) / 1e4;
    (differences().sum::<f64>() / squares.max(1e-24))
        .max(worst)
        .sqrt()
}

fn spec(batch: usize, in_channels: usize, size: usize, widths: [usize; 4]) -> TrunkSpec {
    TrunkSpec {
        batch,
        in_channels,
        size,
        widths,
        kind: BlockKind::One,
        ends: Ends::Small,
    }
}

/// The same with two convolutions a block.
fn two(spec: &TrunkSpec) -> TrunkSpec {
    TrunkSpec {
        kind: BlockKind::Two,
        ..spec.clone()
    }
}

/// The same between large ends.
fn large(spec: &TrunkSpec) -> TrunkSpec {
    TrunkSpec {
        ends: Ends::Large,
        ..two(spec)
    }
}

/// The cases for which an interpreter has time.
fn interpreted(batch: usize) -> [Case; 2] {
    let spec = spec(batch, 1, 9, [4, 4, 4, 4]);
    [
        Case::new(spec.clone(), true, 14),
        Case::new(two(&spec), false, 15),
    ]
}

/// Odd sizes, single images, both halves of every choice of blocking. (Where a norm sees very few values, its
/// gradient is ill-conditioned, so the smallest cases have several images.)
fn cases() -> Vec<Case> {
    let [one, second] = interpreted(1);
    if cfg!(miri) {
        return vec![one, second];
    }
    vec![
        Case::new(spec(3, 3, 9, [4, 8, 12, 16]), false, 1),
        one,
        Case::new(spec(11, 1, 8, [12, 20, 36, 52]), true, 2),
        Case::new(spec(1, 3, 37, [20, 40, 80, 160]), false, 3),
        Case::new(spec(2, 2, 33, [8, 4, 20, 12]), true, 4),
        Case::new(spec(7, 3, 16, [4, 4, 4, 4]), false, 5),
        Case::new(spec(3, 3, 32, [20, 40, 80, 160]), false, 6),
        Case::new(two(&spec(3, 3, 9, [4, 8, 12, 16])), false, 21),
        Case::new(two(&spec(11, 1, 8, [12, 20, 36, 52])), false, 22),
        Case::new(two(&spec(1, 3, 37, [20, 40, 80, 160])), false, 23),
        Case::new(two(&spec(2, 2, 33, [8, 4, 20, 12])), false, 24),
        Case::new(two(&spec(7, 3, 16, [4, 4, 4, 4])), false, 25),
        Case::new(two(&spec(3, 3, 32, [20, 40, 80, 160])), false, 26),
        // With planes wide enough for sums of rows.
        Case::new(spec(4, 1, 16, [8, 4, 4, 4]), false, 17),
        Case::new(large(&spec(2, 1, 36, [4; 4])), false, 16),
        Case::new(large(&spec(3, 3, 64, [32, 48, 64, 80])), false, 31),
        Case::new(large(&spec(5, 2, 47, [20, 12, 36, 8])), false, 32),
    ]
}

/// Two in an interpreter, which sees whether they meet.
const THREADS: usize = if cfg!(miri) { 2 } else { 1 };

/// The levels of this machine, with direct convolutions and with fewer multiplications, for which an interpreter has no time:
/// `AddressSanitizer` (`tools/check_memory.sh`) looks at these.
fn levels() -> Vec<Level> {
    if cfg!(miri) {
        return Level::available_levels();
    }
    let direct = Level::available_levels().into_iter();
    direct
        .flat_map(|level| [level, level.with_winograd()])
        .collect()
}

#[test]
fn training_matches_the_reference() {
    for case in cases() {
        let reference = case.reference();
        let expected = reference.backward(&case.d_features);
        for level in levels() {
            let workers = Arc::new(Workers::new(THREADS));
            let mut trunk = Trunk::with(case.spec.clone(), level, workers).expect("valid");
            let (features, stats, grads) = case.run(&mut trunk);
            let name = format!("{:?} {level:?}", case.spec);
            let e = error(&features, &reference.features);
            assert!(e < 2e-5, "{name}: features {e}");
            for (i, (found, (mean, variance, count))) in
                stats.iter().zip(&reference.stats).enumerate()
            {
                let unbiased = *count as f64 / (*count as f64 - 1.0);
                let variance: Vec<f64> = variance.iter().map(|v| v * unbiased).collect();
                let e = error(&found.mean, mean).max(error(&found.variance, &variance));
                assert!(e < 2e-5, "{name}: statistics {i}: {e}");
            }
            for (i, (found, expected)) in grads.iter().zip(&expected).enumerate() {
                let e = error(found, expected);
                // A sum that rounds to the other side of a `ReLU` alone makes some 1e-4.
                assert!(e < 5e-4, "{name}: gradient {i} of {}: {e}", grads.len());
            }
        }
    }
}

#[test]
fn evaluation_matches_the_reference() {
    // Two images are two groups there, one for each thread.
    let cases = if cfg!(miri) {
        Vec::from(interpreted(2))
    } else {
        cases()
    };
    for case in cases {
        let case = Case {
            masks: None,
            ..case
        };
        let running = case.running();
        let reference = Pass::forward(
            &case.spec,
            case.x.clone(),
            &case.params,
            None,
            Some(&running),
        );
        for level in levels() {
            let workers = Arc::new(Workers::new(THREADS));
            let mut trunk = Trunk::with(case.spec.clone(), level, workers).expect("valid");
            let features = case.evaluate(&mut trunk, &running);
            let e = error(&features, &reference.features);
            assert!(e < 2e-5, "{:?} {level:?}: {e}", case.spec);
        }
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "the passes of the other tests, ten times, which takes an interpreter minutes"
)]
fn gradients_in_evaluation_match_the_reference() {
    for case in cases() {
        let case = Case {
            masks: None,
            ..case
        };
        let running = case.running();
        let reference = Pass::forward(
            &case.spec,
            case.x.clone(),
            &case.params,
            None,
            Some(&running),
        );
        let expected = reference.backward(&case.d_features);
        for level in levels() {
            let name = format!("{:?} {level:?}", case.spec);
            let fresh = |threads| {
                let workers = Arc::new(Workers::new(threads));
                Trunk::with(case.spec.clone(), level, workers).expect("valid")
            };
            let mut trunk = fresh(1);
            let (features, grads) = case.run_frozen(&mut trunk, &running);
            let evaluated = case.evaluate(&mut trunk, &running);
            assert!(features == evaluated, "{name}: one pass, two ways");
            for (i, (found, expected)) in grads.iter().zip(&expected).enumerate() {
                let e = error(found, expected);
                assert!(e < 5e-4, "{name}: gradient {i} of {}: {e}", grads.len());
            }
            assert!(
                case.run_frozen(&mut fresh(3), &running) == (features, grads),
                "{name}: threads"
            );
            // A pass in training after it finds nothing of it.
            assert!(
                case.run(&mut trunk) == case.run(&mut fresh(1)),
                "{name}: afterwards"
            );
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "arithmetic of the reference, which has no unsafe code")]
fn reference_gradient_matches_finite_differences() {
    let case = || Case::new(spec(3, 2, 8, [4, 4, 4, 4]), true, 7);
    let running = case().running();
    reference_differences(case(), None);
    reference_differences(case(), Some(&running));
    let case = || Case::new(two(&spec(3, 2, 8, [4, 4, 4, 4])), false, 17);
    let running = case().running();
    reference_differences(case(), None);
    reference_differences(case(), Some(&running));
}

fn reference_differences(mut case: Case, running: Option<&[(Vec<f64>, Vec<f64>)]>) {
    let pass = |case: &Case| {
        let masks = case.masks.as_deref();
        Pass::forward(&case.spec, case.x.clone(), &case.params, masks, running)
    };
    let grads = pass(&case).backward(&case.d_features);
    let loss = |case: &Case| -> f64 {
        let features = pass(case).features;
        features
            .iter()
            .zip(&case.d_features)
            .map(|(f, d)| f * d)
            .sum()
    };
    for (p, grad) in grads.iter().enumerate() {
        for i in (0..grad.len()).step_by(grad.len().div_ceil(3)) {
            let (value, h) = (case.params[p][i], 1e-6);
            case.params[p][i] = value + h;
            let up = loss(&case);
            case.params[p][i] = value - h;
            let down = loss(&case);
            case.params[p][i] = value;
            let slope = (up - down) / (2.0 * h);
            let scale = grad.iter().fold(1e-3_f64, |a, g| a.max(g.abs()));
            assert!(
                (slope - grad[i]).abs() < 1e-4 * scale,
                "parameter {p}[{i}]: {slope} and {}",
                grad[i]
            );
        }
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "the passes of the tests against the reference, which have two threads there"
)]
fn threads_do_not_change_a_bit() {
    let wide = spec(5, 3, 32, [20, 40, 80, 160]);
    for case in [
        Case::new(wide.clone(), true, 8),
        Case::new(two(&wide), false, 18),
        Case::new(large(&spec(5, 3, 47, [20, 12, 36, 8])), false, 19),
    ] {
        for level in levels() {
            let run = |threads| {
                let workers = Arc::new(Workers::new(threads));
                case.run(&mut Trunk::with(case.spec.clone(), level, workers).expect("valid"))
            };
            let expected = run(1);
            for threads in [2, 3] {
                assert!(run(threads) == expected, "{level:?}, {threads} threads");
            }
        }
    }
    let many = spec(37, 3, 8, [4, 8, 12, 16]);
    for case in [
        Case::new(many.clone(), false, 9),
        Case::new(two(&many), false, 19),
    ] {
        let running: Vec<_> = case
            .spec
            .norms()
            .iter()
            .map(|&c| (vec![0.1; c], vec![0.5; c]))
            .collect();
        let mut one = Trunk::new(case.spec.clone(), 1).expect("valid");
        let mut three = Trunk::new(case.spec.clone(), 3).expect("valid");
        assert!(case.evaluate(&mut one, &running) == case.evaluate(&mut three, &running));
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "the passes of the other tests, three times, which takes an interpreter minutes"
)]
fn buffers_remember_nothing() {
    let of_one = spec(4, 3, 21, [8, 12, 20, 24]);
    let of_two = two(&of_one);
    for (first, second) in [
        (
            Case::new(of_one.clone(), true, 10),
            Case::new(of_one, false, 11),
        ),
        (
            Case::new(of_two.clone(), false, 20),
            Case::new(of_two, false, 21),
        ),
    ] {
        let fresh = || Trunk::new(first.spec.clone(), 1).expect("valid");
        let mut used = fresh();
        let running: Vec<_> = first
            .spec
            .norms()
            .iter()
            .map(|&c| (vec![0.1; c], vec![0.5; c]))
            .collect();
        case_runs(&first, &mut used, &running);
        let expected = case_runs(&second, &mut fresh(), &running);
        assert!(case_runs(&second, &mut used, &running) == expected);
    }
}

type Results = ((Vec<f32>, Vec<BatchStats>, Vec<Vec<f32>>), Vec<f32>);

fn case_runs(case: &Case, trunk: &mut Trunk, running: &[(Vec<f64>, Vec<f64>)]) -> Results {
    (case.run(trunk), case.evaluate(trunk, running))
}

#[test]
fn a_pool_gives_every_open_pass_its_own_buffers() {
    let pool = TrunkPool::new(1);
    let spec = spec(2, 3, 8, [4, 4, 4, 4]);
    let a = pool.take(&spec).expect("valid");
    let b = pool.take(&spec).expect("valid");
    drop((a, b));
    assert!(pool.take(&TrunkSpec { size: 3, ..spec }).is_err());
}

#[test]
#[should_panic(expected = "a forward pass that keeps its activations before")]
fn backward_needs_a_forward() {
    let case = Case::new(spec(1, 1, 8, [4, 4, 4, 4]), false, 12);
    let mut trunk = Trunk::new(case.spec.clone(), 1).expect("valid");
    let params: Vec<Vec<f32>> = case.params.iter().map(|p| single(p)).collect();
    let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
    let mut grads: Vec<Vec<f32>> = params.iter().map(|p| p.to_vec()).collect();
    let mut views: Vec<&mut [f32]> = grads.iter_mut().map(Vec::as_mut_slice).collect();
    trunk.backward(&params, &single(&case.d_features), &mut views);
}

#[test]
fn trunks_can_be_saved_in_a_graph() {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<super::PooledTrunk>();
    sendable::<TrunkPool>();
}

/// The same lanes, sums in the same order, and fused products: of either, the bits are these.
#[test]
fn neon_rounds_as_avx2() {
    for level in levels() {
        let expected = match level.name() {
            "avx2" | "neon" => 2_841_895_841_074_500_421,
            "avx2-winograd" | "neon-winograd" => 11_935_479_279_187_079_529,
            _ => continue,
        };
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for case in cases() {
            let workers = Arc::new(Workers::new(1));
            let mut trunk = Trunk::with(case.spec.clone(), level, workers).expect("valid");
            let (features, _, gradients) = case.run(&mut trunk);
            for x in features.iter().chain(gradients.iter().flatten()) {
                digest = (digest ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3);
            }
        }
        assert_eq!(digest, expected, "{level:?}");
    }
}
