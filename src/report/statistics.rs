//! Tests between two sets of runs.
//!
//! Owns the formulas, each under its exact name; `tests/golden/statistics.json` has SciPy's values for them. Everything
//! works on few runs (five are usual), so the normal approximation is used nowhere.
//!
//! | what | definition |
//! |---|---|
//! | Welch's t | difference of means over `√(s₁²/n₁ + s₂²/n₂)`, Welch–Satterthwaite degrees of freedom |
//! | paired t | mean over standard error of the differences, `n − 1` degrees of freedom |
//! | equivalence (TOST) | the larger p of the one-sided tests of `difference ≤ −margin` and `difference ≥ margin` (Schuirmann 1987) |
//! | Holm | step-down adjusted p-values (Holm 1979) |
//! | Cohen's d, `d_z` | difference over the root of the mean variance; mean over standard deviation of the paired differences |
//! | Hedges' correction | factor `Γ(ν/2) / (√(ν/2) Γ((ν−1)/2))` (Hedges 1981, exact) |

use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::function::gamma::ln_gamma;

/// Differences below this share of the numbers themselves (of 1 for smaller ones, which are fractions) come from the
/// order of additions: one image more or less changes a metric a thousand times more.
const ROUNDING: f64 = 1e-10;

/// Whether a difference between numbers of the size of `size` is no difference.
#[must_use]
pub fn is_rounding(difference: f64, size: f64) -> bool {
    difference.abs() <= ROUNDING * size.abs().max(1.0)
}

/// Size, mean and variance of values; at least two of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub(super) n: f64,
    pub(super) mean: f64,
    /// With divisor `n − 1`.
    pub(super) variance: f64,
}

impl Sample {
    /// The sample of values; `None` for fewer than two or for values that are not finite. Values that rounding alone
    /// tells apart have no variance.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let first = values.first()?;
        if values.iter().all(|x| is_rounding(x - first, *first)) {
            return Self::checked(n, *first, 0.0);
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        Self::checked(n, mean, squares / (n - 1.0))
    }

    /// The sample behind a printed mean and *population* standard deviation over `n` runs; `None` for fewer than two
    /// runs, for a negative deviation, and for numbers that are not finite.
    #[must_use]
    pub fn of_summary(mean: f64, population_std: f64, n: usize) -> Option<Self> {
        let n = n as f64;
        let variance = population_std.powi(2) * n / (n - 1.0);
        Self::checked(n, mean, variance).filter(|_| population_std >= 0.0)
    }

    fn checked(n: f64, mean: f64, variance: f64) -> Option<Self> {
        let fits = n >= 2.0 && mean.is_finite() && variance.is_finite();
        fits.then_some(Self { n, mean, variance })
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }
}

/// A difference, its standard error and degrees of freedom: what every t-test is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// First minus second.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom, above 0.
    pub degrees_of_freedom: f64,
}

/// Welch's comparison of two independent samples.
#[must_use]
pub fn welch(a: &Sample, b: &Sample) -> Difference {
    let (va, vb) = (a.variance / a.n, b.variance / b.n);
    let sum = va + vb;
    let degrees = sum.powi(2) / (va.powi(2) / (a.n - 1.0) + vb.powi(2) / (b.n - 1.0));
    Difference {
        difference: difference(a.mean, b.mean),
        standard_error: sum.sqrt(),
        // Both variances are 0: every number of degrees gives the same.
        degrees_of_freedom: if degrees.is_finite() {
            degrees
        } else {
            a.n + b.n - 2.0
        },
    }
}

/// The comparison of values that belong together pair by pair; `None` unless there are two pairs or more.
#[must_use]
pub fn paired(a: &[f64], b: &[f64]) -> Option<Difference> {
    let sample = Sample::of(&differences(a, b)?)?;
    Some(Difference {
        difference: sample.mean,
        standard_error: (sample.variance / sample.n).sqrt(),
        degrees_of_freedom: sample.n - 1.0,
    })
}

fn differences(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    (a.len() == b.len()).then(|| a.iter().zip(b).map(|(a, b)| difference(*a, *b)).collect())
}

/// First minus second; exactly 0 where rounding alone tells them apart.
#[must_use]
pub fn difference(a: f64, b: f64) -> f64 {
    if is_rounding(a - b, a.abs().max(b.abs())) {
        0.0
    } else {
        a - b
    }
}

impl Difference {
    /// Two-sided p-value of "there is no difference".
    #[must_use]
    pub fn p(&self) -> f64 {
        (2.0 * self.upper_tail(self.difference.abs())).min(1.0)
    }

    /// The interval that holds the difference with this confidence (0.95).
    #[must_use]
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let half = if self.standard_error > 0.0 {
            t_quantile(0.5 + confidence / 2.0, self.degrees_of_freedom) * self.standard_error
        } else {
            0.0
        };
        (self.difference - half, self.difference + half)
    }

    /// P-value of the equivalence test: small where the difference is surely within `margin` of 0 on either side.
    #[must_use]
    pub fn equivalence_p(&self, margin: f64) -> f64 {
        let above_lower = self.upper_tail(self.difference + margin);
        let below_upper = self.upper_tail(margin - self.difference);
        above_lower.max(below_upper)
    }

    /// Probability that an estimate of nothing exceeds `x`.
    fn upper_tail(&self, x: f64) -> f64 {
        if self.standard_error > 0.0 {
            return t_upper_tail(x / self.standard_error, self.degrees_of_freedom);
        }
        // Without any spread an estimate is exact.
        match x.total_cmp(&0.0) {
            std::cmp::Ordering::Greater => 0.0,
            _ if x == 0.0 => 0.5,
            _ => 1.0,
        }
    }
}

/// P(T > t) of Student's distribution.
#[must_use]
pub fn t_upper_tail(t: f64, degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom).map_or(f64::NAN, |student| student.sf(t))
}

/// The value below which Student's distribution has this probability, in (0, 1).
#[must_use]
pub fn t_quantile(probability: f64, degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom)
        .map_or(f64::NAN, |student| student.inverse_cdf(probability))
}

/// Holm's adjusted p-values, in the order of the given ones.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut adjusted = vec![1.0; p.len()];
    let mut highest = 0.0_f64;
    for (rank, (i, value)) in order.into_iter().enumerate() {
        highest = highest.max(value * (p.len() - rank) as f64).min(1.0);
        if let Some(slot) = adjusted.get_mut(i) {
            *slot = highest;
        }
    }
    adjusted
}

/// Which effect size a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Mean over standard deviation of paired differences, corrected.
    GZ,
    /// Difference of means over the root of the mean variance, corrected.
    GAv,
}

/// An effect size with Hedges' correction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Which one.
    pub kind: EffectKind,
    /// In standard deviations.
    pub value: f64,
}

/// Cohen's `d_z` of pairs, corrected; `None` for fewer than three pairs or without any spread.
#[must_use]
pub fn paired_effect(a: &[f64], b: &[f64]) -> Option<Effect> {
    let sample = Sample::of(&differences(a, b)?)?;
    effect(EffectKind::GZ, sample.mean, sample.variance, sample.n - 1.0)
}

/// Cohen's d of independent samples over the root of their mean variance, corrected; `None` without any spread.
#[must_use]
pub fn independent_effect(a: &Sample, b: &Sample) -> Option<Effect> {
    let variance = f64::midpoint(a.variance, b.variance);
    effect(
        EffectKind::GAv,
        difference(a.mean, b.mean),
        variance,
        a.n + b.n - 2.0,
    )
}

fn effect(kind: EffectKind, difference: f64, variance: f64, degrees: f64) -> Option<Effect> {
    let value = hedges_correction(degrees) * difference / variance.sqrt();
    (degrees >= 2.0 && variance > 0.0).then_some(Effect { kind, value })
}

/// Hedges' exact factor against the upward bias of small samples.
#[must_use]
pub fn hedges_correction(degrees_of_freedom: f64) -> f64 {
    let half = degrees_of_freedom / 2.0;
    (ln_gamma(half) - ln_gamma(half - 0.5)).exp() / half.sqrt()
}

/// Ranks from 1 for the highest value; equal values share the mean of their ranks.
#[must_use]
pub fn ranks_from_highest(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|x| {
            let count = |fits: &dyn Fn(f64) -> bool| {
                values.iter().filter(|y| fits(difference(**y, *x))).count() as f64
            };
            let (higher, equal) = (count(&|d| d > 0.0), count(&|d| d == 0.0));
            higher + f64::midpoint(equal, 1.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1e-3)
    }

    /// Every case of the golden file, against SciPy.
    #[test]
    fn formulas_agree_with_scipy() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/statistics.json")).unwrap();
        let list = |value: &serde_json::Value| -> Vec<f64> {
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_f64().unwrap())
                .collect()
        };
        let check = |what: &str, ours: f64, theirs: &serde_json::Value| {
            let theirs = theirs.as_f64().unwrap();
            assert!(near(ours, theirs), "{what}: {ours} here, {theirs} by SciPy");
        };
        let tails = golden["tail"].as_array().unwrap();
        for case in tails {
            let (t, df) = (case["t"].as_f64().unwrap(), case["df"].as_f64().unwrap());
            check(&format!("tail {t} {df}"), t_upper_tail(t, df), &case["sf"]);
        }
        let quantiles = golden["quantile"].as_array().unwrap();
        for case in quantiles {
            let (p, df) = (case["p"].as_f64().unwrap(), case["df"].as_f64().unwrap());
            check(&format!("quantile {p} {df}"), t_quantile(p, df), &case["t"]);
        }
        let pairs = golden["samples"].as_array().unwrap();
        for case in pairs {
            let (a, b) = (list(&case["a"]), list(&case["b"]));
            let (sa, sb) = (Sample::of(&a).unwrap(), Sample::of(&b).unwrap());
            let difference = welch(&sa, &sb);
            let name = format!("{a:?} {b:?}");
            check(&name, difference.p(), &case["welch"]["p"]);
            check(&name, difference.degrees_of_freedom, &case["welch"]["df"]);
            let (low, high) = difference.interval(0.95);
            check(&name, low, &case["welch"]["low"]);
            check(&name, high, &case["welch"]["high"]);
            check(&name, difference.equivalence_p(2.0), &case["tost_2"]);
            let effect = independent_effect(&sa, &sb).unwrap();
            check(&name, effect.value, &case["g_av"]);
            if a.len() == b.len() {
                let difference = paired(&a, &b).unwrap();
                check(&name, difference.p(), &case["paired"]["p"]);
                let (low, high) = difference.interval(0.95);
                check(&name, low, &case["paired"]["low"]);
                check(&name, high, &case["paired"]["high"]);
                check(&name, paired_effect(&a, &b).unwrap().value, &case["g_z"]);
            }
        }
        let families = golden["holm"].as_array().unwrap();
        for case in families {
            for (ours, theirs) in holm(&list(&case["p"])).iter().zip(list(&case["adjusted"])) {
                assert!(near(*ours, theirs), "{ours} {theirs}");
            }
        }
        assert!(tails.len() > 50 && quantiles.len() > 20 && pairs.len() > 5 && families.len() > 2);
    }

    #[test]
    fn a_summary_is_the_sample_it_came_from() {
        let values = [61.0, 62.5, 60.2, 64.4];
        let (mean, std) = crate::metrics::mean_std(&values).unwrap();
        let (a, b) = (
            Sample::of(&values).unwrap(),
            Sample::of_summary(mean, std, 4).unwrap(),
        );
        assert!(near(a.mean, b.mean) && near(a.variance, b.variance));
    }

    #[test]
    fn too_few_values_have_no_test() {
        assert_eq!(Sample::of(&[1.0]), None);
        assert_eq!(Sample::of(&[1.0, f64::NAN]), None);
        assert_eq!(Sample::of_summary(1.0, f64::NAN, 5), None);
        assert_eq!(Sample::of_summary(1.0, 0.5, 1), None);
        assert_eq!(paired(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(paired_effect(&[1.0, 2.0], &[0.0, 5.0]), None);
    }

    #[test]
    fn without_spread_the_difference_is_exact() {
        let same = Sample::of(&[5.0, 5.0]).unwrap();
        let other = Sample::of(&[6.0, 6.0]).unwrap();
        let none = welch(&same, &same);
        assert_eq!(
            (none.p(), none.equivalence_p(2.0), none.interval(0.95)),
            (1.0, 0.0, (0.0, 0.0))
        );
        let one = welch(&other, &same);
        assert_eq!(
            (one.p(), one.equivalence_p(2.0), one.equivalence_p(0.5)),
            (0.0, 0.0, 1.0)
        );
        assert_eq!(independent_effect(&same, &other), None);
    }

    /// The same accuracies summed in another order: a spread and a difference at the level of rounding are none.
    #[test]
    fn rounding_is_no_effect() {
        let noisy = |x: f64, steps: i32| x + f64::from(steps) * x * f64::EPSILON;
        for x in [61.5, 100.0 / 3.0, 0.218, 1e-3] {
            let a = [x, noisy(x, 1), noisy(x, -1)];
            let b = [noisy(x, 2), x, noisy(x, 1)];
            let (sa, sb) = (Sample::of(&a).unwrap(), Sample::of(&b).unwrap());
            let independent = welch(&sa, &sb);
            let dependent = paired(&a, &b).unwrap();
            for test in [independent, dependent] {
                assert_eq!((test.difference, test.standard_error), (0.0, 0.0));
                assert_eq!((test.p(), test.interval(0.95)), (1.0, (0.0, 0.0)));
            }
            assert_eq!(independent_effect(&sa, &sb), None);
            assert_eq!(paired_effect(&a, &b), None);
            assert_eq!(ranks_from_highest(&a), [2.0; 3]);
        }
        // Forgetting of nothing: differences of accuracies that cancel, at 1e-16 around 0.
        let (a, b) = ([0.0, 1e-16, -2e-16], [1e-17, 0.0, 3e-16]);
        assert_eq!(paired(&a, &b).unwrap().p(), 1.0);
        // One image of 10000 on one of 20 tasks is an effect.
        let step = 100.0 / 10_000.0 / 20.0;
        let (a, b) = ([60.0, 60.0 + step], [60.0 + 2.0 * step, 60.0 + 3.0 * step]);
        assert!(paired(&a, &b).unwrap().difference < 0.0);
        assert!(independent_effect(&Sample::of(&a).unwrap(), &Sample::of(&b).unwrap()).is_some());
    }

    #[test]
    fn ranks_share_ties() {
        assert_eq!(
            ranks_from_highest(&[3.0, 9.0, 3.0, 1.0]),
            [2.5, 1.0, 2.5, 4.0]
        );
    }

    proptest! {
        #[test]
        fn test_and_interval_agree(
            a in prop::collection::vec(0.0..100.0_f64, 2..8),
            b in prop::collection::vec(0.0..100.0_f64, 2..8),
        ) {
            let (a, b) = (Sample::of(&a).unwrap(), Sample::of(&b).unwrap());
            let difference = welch(&a, &b);
            let (low, high) = difference.interval(0.95);
            let p = difference.p();
            prop_assert!((0.0..=1.0).contains(&p));
            if p < 0.05 - 1e-9 {
                prop_assert!(low > 0.0 || high < 0.0);
            }
            if p > 0.05 + 1e-9 {
                prop_assert!(low <= 0.0 && high >= 0.0);
            }
            // Equivalence at 5% says that the 90% interval lies within the margin.
            let (low, high) = difference.interval(0.9);
            let margin = low.abs().max(high.abs());
            prop_assert!(difference.equivalence_p(margin * 1.0001 + 1e-9) < 0.05 + 1e-6);
            prop_assert!((difference.p() - welch(&b, &a).p()).abs() < 1e-12);
        }

        #[test]
        fn holm_is_monotone_and_never_lowers(p in prop::collection::vec(0.0..1.0_f64, 1..20)) {
            let adjusted = holm(&p);
            for (i, (p, q)) in p.iter().zip(&adjusted).enumerate() {
                prop_assert!(q >= p && *q <= 1.0, "{}", i);
            }
            let mut both: Vec<_> = p.iter().zip(&adjusted).collect();
            both.sort_by(|x, y| x.0.total_cmp(y.0));
            prop_assert!(both.windows(2).all(|w| w[0].1 <= w[1].1));
        }
    }
}
