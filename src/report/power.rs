//! How many runs settle a comparison that is inconclusive.
//!
//! Owns one question: published figures are fixed, more seeds of ours can be run; with how many in all would the two
//! one-sided Welch tests call the difference equivalent, or Welch's test call it different?
//!
//! For n runs of ours with the observed mean and standard deviation s as their true ones, their mean is normal with
//! variance s²/n around the observed one, and their variance, independent of it, is s² χ²ₙ₋₁/(n−1). The published sample
//! (variance s₂², n₂ runs) stays as it is. With SE² = s²χ²ₙ₋₁/((n−1)n) + s₂²/n₂ and Welch–Satterthwaite's ν of these, the
//! tests conclude where the difference D is within margin − t₀.₉₅(ν)·SE of 0, or beyond t₀.₉₇₅(ν)·SE; the probability of
//! that is a normal one for given χ², and its mean is taken over `NODES` equally likely χ² (by Wilson and Hilferty's
//! cube, 1931). Against simulated runs that is right to 0.02.
//!
//! What it cannot know: the observed difference and deviation are themselves estimates from a few runs, so the number
//! says what to plan with, not what will happen. All runs are taken as drawn anew, though some are there already. Nor does
//! it correct for looking again after every seed: choose n first, run it, then read the verdict.

use std::fmt;

use serde::{Serialize, Serializer};
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::statistics::{Sample, difference, t_quantile, welch};

/// Probability with which the tests shall conclude.
const PROBABILITY: f64 = 0.8;
/// Numbers of runs above this are not told apart.
const LARGEST: usize = 1000;
/// Values of χ² that stand for its distribution.
const NODES: usize = 15;

/// Runs of ours, in all, that settle a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedsNeeded {
    /// The smallest number that does with probability 0.8; above 50 to 2 %.
    About(usize),
    /// Some number, larger than this.
    MoreThan(usize),
    /// None: what the published runs leave uncertain is too much.
    NoNumber,
}

impl fmt::Display for SeedsNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::About(n) => write!(f, "{n}"),
            Self::MoreThan(n) => write!(f, "more than {n}"),
            Self::NoNumber => f.write_str("no number"),
        }
    }
}

/// A number, or text where there is none.
impl Serialize for SeedsNeeded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::About(n) => serializer.serialize_u64(*n as u64),
            other => serializer.collect_str(other),
        }
    }
}

/// How many runs in all, more than there are, would settle the comparison with `theirs` with probability 0.8: margin in
/// the unit of the values, level of each test (0.05).
#[must_use]
pub fn seeds_needed(ours: &Sample, theirs: &Sample, margin: f64, level: f64) -> SeedsNeeded {
    let mut n = (ours.n as usize).saturating_add(1);
    while n <= LARGEST {
        if probability_of_verdict(ours, theirs, n, margin, level) >= PROBABILITY {
            return SeedsNeeded::About(n);
        }
        n += (n / 50).max(1);
    }
    // With ever more runs ours is a number, and their mean's standard error all that is uncertain.
    let se = (theirs.variance / theirs.n).sqrt();
    let bounds = Bounds::of(se, theirs.n - 1.0, margin, level);
    if bounds.conclude(difference(ours.mean, theirs.mean)) {
        SeedsNeeded::MoreThan(LARGEST)
    } else {
        SeedsNeeded::NoNumber
    }
}

/// The probability that `n` runs (3 or more) like ours have a verdict, equivalent or different.
#[must_use]
pub fn probability_of_verdict(
    ours: &Sample,
    theirs: &Sample,
    n: usize,
    margin: f64,
    level: f64,
) -> f64 {
    let n = n as f64;
    let centre = difference(ours.mean, theirs.mean);
    let spread = (ours.variance / n).sqrt();
    // The width of the normal scale on which the cube root of χ²/ν lies.
    let width = 2.0 / (9.0 * (n - 1.0));
    let given = |node: usize| {
        let z = normal_quantile((node as f64 + 0.5) / NODES as f64);
        let share = (1.0 - width + z * width.sqrt()).max(0.0).powi(3);
        let drawn = Sample {
            n,
            mean: ours.mean,
            variance: ours.variance * share,
        };
        let test = welch(&drawn, theirs);
        let bounds = Bounds::of(test.standard_error, test.degrees_of_freedom, margin, level);
        bounds.probability(centre, spread)
    };
    (0..NODES).map(given).sum::<f64>() / NODES as f64
}

/// Where the tests conclude, given a standard error.
struct Bounds {
    /// A difference nearer to 0 is equivalent; negative where none is.
    equivalent: f64,
    /// One farther from 0 is different.
    different: f64,
}

impl Bounds {
    fn of(standard_error: f64, degrees: f64, margin: f64, level: f64) -> Self {
        Self {
            equivalent: margin - t_quantile(1.0 - level, degrees) * standard_error,
            different: t_quantile(1.0 - level / 2.0, degrees) * standard_error,
        }
    }

    fn conclude(&self, difference: f64) -> bool {
        difference.abs() < self.equivalent || difference.abs() > self.different
    }

    /// The probability that a normal difference is where the tests conclude.
    fn probability(&self, centre: f64, spread: f64) -> f64 {
        let within = |bound: f64| {
            if bound <= 0.0 {
                return 0.0;
            }
            Normal::new(centre, spread).map_or_else(
                // Without any spread the difference is its centre.
                |_| f64::from(u8::from(centre.abs() < bound)),
                |normal| normal.cdf(bound) - normal.cdf(-bound),
            )
        };
        if self.equivalent >= self.different {
            return 1.0;
        }
        within(self.equivalent) + 1.0 - within(self.different)
    }
}

fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    const LEVEL: f64 = 0.05;

    fn sample(mean: f64, std: f64, n: f64) -> Sample {
        Sample {
            n,
            mean,
            variance: std * std,
        }
    }

    /// How often `n` normal runs like ours have a verdict by the tests themselves.
    fn simulated(ours: &Sample, theirs: &Sample, n: usize, margin: f64) -> f64 {
        const DRAWS: usize = 4000;
        let mut stream = Seeds::new(n as u64).stream("simulated runs");
        let mut uniform = || (f64::from(stream.next_u32()) + 0.5) / 4_294_967_296.0;
        let mut normal =
            || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let settled = (0..DRAWS).filter(|_| {
            let values: Vec<f64> = (0..n)
                .map(|_| ours.mean + ours.variance.sqrt() * normal())
                .collect();
            let test = welch(&Sample::of(&values).unwrap(), theirs);
            test.equivalence_p(margin) < LEVEL || test.p() < LEVEL
        });
        settled.count() as f64 / DRAWS as f64
    }

    /// Spreads as they are in the paper's tables, differences near 0, near the margin and beyond it.
    #[test]
    fn probabilities_are_those_of_simulated_runs() {
        for (ours, theirs) in [
            (sample(63.7, 1.3, 3.0), sample(62.8, 0.3, 5.0)),
            (sample(51.7, 3.5, 3.0), sample(49.0, 3.8, 5.0)),
            (sample(55.0, 0.7, 2.0), sample(51.0, 5.0, 5.0)),
            (sample(60.2, 0.7, 3.0), sample(59.1, 2.0, 5.0)),
        ] {
            for n in [3, 4, 6, 10, 25, 80] {
                let found = probability_of_verdict(&ours, &theirs, n, 2.0, LEVEL);
                let simulated = simulated(&ours, &theirs, n, 2.0);
                // Three standard errors of the simulation, and the 0.02 that the module promises.
                assert!(
                    (found - simulated).abs() < 0.02 + 0.024,
                    "{ours:?} {theirs:?} {n}: {found} computed, {simulated} simulated"
                );
            }
        }
    }

    #[test]
    fn the_number_is_the_first_that_settles_it() {
        let (ours, theirs) = (sample(63.7, 1.6, 3.0), sample(62.8, 0.4, 5.0));
        let SeedsNeeded::About(n) = seeds_needed(&ours, &theirs, 2.0, LEVEL) else {
            panic!();
        };
        assert!((5..50).contains(&n), "{n}");
        assert!(simulated(&ours, &theirs, n, 2.0) > 0.76);
        for fewer in 4..n {
            assert!(probability_of_verdict(&ours, &theirs, fewer, 2.0, LEVEL) < 0.8);
        }
        // A surely different one that chance hid needs few runs, a wider spread needs more.
        let hidden = seeds_needed(&sample(60.0, 4.0, 3.0), &theirs, 2.0, LEVEL);
        let wider = seeds_needed(&sample(60.0, 8.0, 3.0), &theirs, 2.0, LEVEL);
        let (SeedsNeeded::About(few), SeedsNeeded::About(more)) = (hidden, wider) else {
            panic!("{hidden:?} {wider:?}");
        };
        assert!(3 < few && few < more, "{few} {more}");
    }

    #[test]
    fn some_comparisons_take_very_many_and_some_no_number_settles() {
        // The published mean is uncertain by 2.2 points: no number of ours puts a difference of 1 within 2.
        let wide = sample(49.0, 5.0, 5.0);
        assert_eq!(
            seeds_needed(&sample(50.0, 1.0, 3.0), &wide, 2.0, LEVEL),
            SeedsNeeded::NoNumber
        );
        // Just within the margin of an almost certain figure.
        let sure = sample(50.0, 0.001, 5.0);
        let close = sample(50.004, 2.0, 3.0);
        assert_eq!(
            seeds_needed(&close, &sure, 0.006, LEVEL),
            SeedsNeeded::MoreThan(1000)
        );
        // Ours without any spread, and one more run than there are.
        let exact = sample(50.0, 0.0, 2.0);
        assert_eq!(
            seeds_needed(&exact, &sample(50.1, 0.2, 5.0), 2.0, LEVEL),
            SeedsNeeded::About(3)
        );
    }

    #[test]
    fn in_files_a_number_is_a_number() {
        let json = |needed: SeedsNeeded| serde_json::to_string(&needed).unwrap();
        assert_eq!(json(SeedsNeeded::About(17)), "17");
        assert_eq!(json(SeedsNeeded::MoreThan(1000)), "\"more than 1000\"");
        assert_eq!(json(SeedsNeeded::NoNumber), "\"no number\"");
    }
}
