//! SLDA: deep streaming linear discriminant analysis (Hayes and Kanan; CVPR Workshops 2020, arXiv 1909.01520).
//!
//! Keeps the running mean of every class and one covariance within all classes, and judges by
//! `Λ μ · x − ½ μ·Λ μ` with `Λ = [(1 − ε) Σ + ε I]⁻¹` (equation 3 and its text). In one pass, without a gradient.
//!
//! Readings:
//! 1. An example's deviation from its class's mean enters the covariance times `n/(n + 1)`, n being the examples of its own
//!    class before it (Welford's update), where equation 2 has all examples before it: so one pass gives the covariance of all
//!    the data exactly, in whatever order, and a class's first example has no part in it.
//! 2. The covariance is divided by the number of examples, and begins at zero; the authors' code may begin with that of a
//!    first part of the data.
//! 3. `Λ` is not formed: a Cholesky factor solves for `Λ μ` in double precision.

use std::sync::{Arc, OnceLock};

use super::cholesky::{add_squares, factor, solve};
use super::closed_form::{ClassMeans, Linear, LinearJudge, matrix, observe};
use super::{Method, MethodContext, MethodSpec, Passes, Step};
use crate::model::{Classifier, Learner, LearnerError};
use crate::optim::{Layout, State};
use crate::settings::{RealRange, SettingsSpec, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// SLDA's settings.
    pub struct SldaConfig {
        /// Share of the identity in SLDA's covariance.
        slda_shrinkage: f64 = fixed(1e-4), range RealRange::SHARE;
    }
}

/// Streaming linear discriminant analysis.
pub(super) static SLDA: MethodSpec = MethodSpec {
    name: "slda",
    paper_name: "SLDA",
    description: "Linear discriminant analysis of features, in one pass and without gradients.",
    source: "Hayes and Kanan, CVPR Workshops 2020",
    settings: SettingsSpec::of::<SldaConfig>("slda"),
    remembers_tasks: true,
    closed_form: true,
    weights: &[],
    passes: |_| Passes {
        first: 1.0 / 3.0,
        later: 1.0 / 3.0,
    },
    build: |own, context| Ok(Box::new(Slda::new(typed::<SldaConfig>(own)?, context))),
};

/// The method.
#[derive(Debug)]
pub struct Slda {
    shrinkage: f64,
    width: usize,
    means: ClassMeans,
    /// Sum of squared deviations from the classes' means, `[features, features]`: the lower triangle.
    scatter: Vec<f64>,
    /// `None` where there is no solution.
    linear: OnceLock<Option<Arc<Linear>>>,
}

impl Slda {
    /// Without examples.
    #[must_use]
    pub fn new(config: &SldaConfig, context: &MethodContext) -> Self {
        let width = context.features;
        Self {
            shrinkage: config.slda_shrinkage,
            width,
            means: ClassMeans::new(context.head_classes, width),
            scatter: vec![0.0; width * width],
            linear: OnceLock::new(),
        }
    }

    /// Takes examples in: `rows` `[batch, features]`, a class each.
    fn learn(&mut self, rows: &[f32], classes: &[usize]) {
        self.linear = OnceLock::new();
        let mut off = vec![0.0; rows.len()];
        let width = self.width.max(1);
        let pairs = rows.chunks_exact(width).zip(off.chunks_exact_mut(width));
        for ((row, off), &class) in pairs.zip(classes) {
            let count = self.means.learn(class, row, off) as f64;
            // Squared, this is n/(n + 1) with the n examples before.
            let weight = ((count - 1.0).max(0.0) / count.max(1.0)).sqrt();
            for x in off {
                *x *= weight;
            }
        }
        add_squares(&mut self.scatter, self.width, &off, 0, 1.0);
    }

    fn solve(&self) -> Option<Linear> {
        let n = self.width;
        let scale = (1.0 - self.shrinkage) / self.means.total().max(1) as f64;
        let mut covariance: Vec<f64> = self.scatter.iter().map(|x| scale * x).collect();
        for i in 0..n {
            covariance[i * n + i] += self.shrinkage;
        }
        let solvable = factor(&mut covariance, n);
        let rows = self.means.known().map(|(class, mean)| {
            let mut weights = mean.to_vec();
            solve(&covariance, n, &mut weights);
            let square: f64 = weights.iter().zip(mean).map(|(w, m)| w * m).sum();
            (class, weights, -0.5 * square)
        });
        solvable.then(|| Linear {
            rows: rows.collect(),
        })
    }
}

impl Method for Slda {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let (loss, rows) = observe(learner, step, gradient)?;
        self.learn(&rows, &step.batch.labels);
        Ok(loss)
    }

    fn classifier(&self, learner: &dyn Learner) -> Box<dyn Classifier> {
        let linear = self.linear.get_or_init(|| self.solve().map(Arc::new));
        Box::new(LinearJudge {
            network: learner.frozen(),
            lift: None,
            linear: linear.clone(),
        })
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("slda");
        self.means.put(&mut state);
        state.put_sums("scatter", self.scatter.clone());
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("slda")?;
        let means = self.means.taken(&mut state)?;
        let scatter = matrix(&mut state, "scatter", self.scatter.len())?;
        (self.means, self.scatter, self.linear) = (means, scatter, OnceLock::new());
        Ok(())
    }

    fn growing_bytes(&self, _layout: &Layout, _tasks: usize) -> u64 {
        2 * self.memory_bytes() as u64
    }

    fn memory_bytes(&self) -> usize {
        self.means.bytes() + self.scatter.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{closed_form_context, damaged_snapshots_are_refused, walk};
    use super::*;
    use proptest::prelude::*;

    const CONFIG: SldaConfig = SldaConfig {
        slda_shrinkage: 1e-2,
    };

    fn fresh(features: usize) -> Slda {
        let context = MethodContext {
            features,
            ..closed_form_context()
        };
        Slda::new(&CONFIG, &context)
    }

    #[test]
    fn snapshots_go_back_and_damaged_ones_are_refused() {
        let mut slda = Slda::new(&CONFIG, &closed_form_context());
        let (gradients, _) = walk(&mut slda, 2, 3);
        assert!(gradients.iter().flatten().all(|g| *g == 0.0));
        damaged_snapshots_are_refused(&slda, &mut || {
            Box::new(Slda::new(&CONFIG, &closed_form_context()))
        });
    }

    proptest! {
        /// One pass over batches of any size is the analysis of all examples at once, and another order gives the same.
        #[test]
        fn a_pass_is_the_analysis_of_all_the_data(
            rows in prop::collection::vec((0_usize..3, prop::collection::vec(-5.0_f32..5.0, 3)), 2..60),
            batch in 1_usize..9,
            seed: u64,
        ) {
            let of = |rows: &[(usize, Vec<f32>)]| {
                let mut slda = fresh(3);
                for part in rows.chunks(batch) {
                    let values: Vec<f32> = part.iter().flat_map(|(_, row)| row.clone()).collect();
                    let classes: Vec<usize> = part.iter().map(|(class, _)| *class).collect();
                    slda.learn(&values, &classes);
                }
                slda
            };
            let mut turned = rows.clone();
            crate::seed::Seeds::new(seed).stream("order").shuffle(&mut turned);
            let (one, other) = (of(&rows), of(&turned));
            // Σ_c Σ_i (x − μ_c)(x − μ_c)ᵀ, of exact means.
            let mut scatter = [0.0; 9];
            for class in 0..3 {
                let own: Vec<&Vec<f32>> = rows.iter().filter(|(c, _)| *c == class).map(|(_, row)| row).collect();
                let mean = |j: usize| own.iter().map(|row| f64::from(row[j])).sum::<f64>() / own.len().max(1) as f64;
                for row in &own {
                    for i in 0..3 {
                        for j in 0..=i {
                            scatter[3 * i + j] += (f64::from(row[i]) - mean(i)) * (f64::from(row[j]) - mean(j));
                        }
                    }
                }
            }
            for ((found, turned), exact) in one.scatter.iter().zip(&other.scatter).zip(scatter) {
                prop_assert!((found - exact).abs() < 1e-9 && (turned - exact).abs() < 1e-9, "{found} {turned} {exact}");
            }
            // The weights solve [(1 − ε) Σ + ε I] w = μ.
            let linear = one.solve().unwrap();
            let means: Vec<_> = one.means.known().collect();
            let at = |i: usize, j: usize| {
                let sum = scatter[3 * i.max(j) + i.min(j)];
                (1.0 - 1e-2) * sum / rows.len() as f64 + if i == j { 1e-2 } else { 0.0 }
            };
            for ((class, weights, bias), (known, mean)) in linear.rows.iter().zip(means) {
                prop_assert_eq!(*class, known);
                for (i, mean) in mean.iter().enumerate() {
                    let found: f64 = (0..3).map(|j| at(i, j) * weights[j]).sum();
                    prop_assert!((found - mean).abs() < 1e-8);
                }
                let square: f64 = weights.iter().zip(mean).map(|(w, m)| w * m).sum();
                prop_assert!((bias + square / 2.0).abs() < 1e-12 * square.abs().max(1.0));
            }
        }
    }
}
