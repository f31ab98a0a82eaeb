//! What methods without gradients share: statistics of features in one pass, and a linear judge that they give.
//!
//! They see each training example once, as the network's head sees it, and keep sums. The network is not trained, so its
//! features stay those that it began with: the inputs themselves where it is nothing but a head (`linear`, `cosine`), those
//! of a pretrained network where there are initial weights. There is nothing for an optimizer to step along.

use std::sync::Arc;

use super::{Step, invalid};
use crate::model::{Classifier, Learner, LearnerError, Mode, Wanted, cross_entropy};
use crate::optim::State;
use crate::stream::Batch;

/// How far below the others the score of a class is of which nothing was seen.
const FAR: f64 = 1e6;

/// The features of a step's batch, `[batch, features]`, with the loss of the network as it is; the gradient is zero.
pub(super) fn observe(
    learner: &mut dyn Learner,
    step: &Step<'_>,
    gradient: &mut Vec<f32>,
) -> Result<(f32, Vec<f32>), LearnerError> {
    let batch = step.batch;
    gradient.clear();
    gradient.resize(learner.parameters().len(), 0.0);
    let logits = learner.forward(batch, Mode::Evaluate, Wanted::Competing)?;
    let (loss, _) = cross_entropy(logits, &batch.labels, &batch.competing)?;
    Ok((loss, learner.features()?.to_vec()))
}

/// Running means of classes in double precision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClassMeans {
    width: usize,
    counts: Vec<u64>,
    /// `[classes, width]`; zeros for a class without examples.
    means: Vec<f64>,
}

impl ClassMeans {
    pub(super) fn new(classes: usize, width: usize) -> Self {
        Self {
            width,
            counts: vec![0; classes],
            means: vec![0.0; classes * width],
        }
    }

    /// Takes an example in; writes what it was off the class's mean before into `off` and gives the number of the class's
    /// examples with it.
    pub(super) fn learn(&mut self, class: usize, row: &[f32], off: &mut [f64]) -> u64 {
        let start = class * self.width;
        let mean = self.means.get_mut(start..start + self.width);
        let (Some(mean), Some(count)) = (mean, self.counts.get_mut(class)) else {
            return 0;
        };
        *count += 1;
        for ((mean, x), off) in mean.iter_mut().zip(row).zip(off) {
            *off = f64::from(*x) - *mean;
            *mean += *off / *count as f64;
        }
        *count
    }

    /// The mean of every class that has examples.
    pub(super) fn known(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let rows = self.means.chunks_exact(self.width.max(1));
        let rows = rows.zip(&self.counts).enumerate();
        rows.filter_map(|(class, (mean, count))| (*count > 0).then_some((class, mean)))
    }

    /// Examples so far.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<u64>() + self.means.capacity() * size_of::<f64>()
    }

    pub(super) fn put(&self, state: &mut State<'_>) {
        state.put_list("counts", self.counts.clone());
        state.put_sums("means", self.means.clone());
    }

    /// Those of a snapshot, for as many classes and features.
    pub(super) fn taken(&self, state: &mut State<'_>) -> Result<Self, LearnerError> {
        let counts = state.take_list("counts")?;
        let means = state.take_sums("means", self.means.len())?;
        if counts.len() != self.counts.len() || means.iter().any(|mean| !mean.is_finite()) {
            return Err(invalid("counts"));
        }
        Ok(Self {
            width: self.width,
            counts,
            means,
        })
    }
}

/// Linear scores of features: `w · x + b` for every class of which something was seen.
#[derive(Debug, Default)]
pub(super) struct Linear {
    /// Class, weights and bias.
    pub(super) rows: Vec<(usize, Vec<f64>, f64)>,
}

/// What is made of features before they are scored.
pub(super) trait Lift: Send + Sync {
    /// `[batch, features]` to `[batch, ...]`.
    fn lift(&self, features: Vec<f32>) -> Vec<f32>;
}

/// A judge by linear scores of the network's features.
pub(super) struct LinearJudge {
    pub(super) network: Box<dyn Classifier>,
    pub(super) lift: Option<Arc<dyn Lift>>,
    /// `None` where they could not be computed.
    pub(super) linear: Option<Arc<Linear>>,
}

impl LinearJudge {
    /// The scores of an example, less the highest of them, so that single precision is finest where classes are near.
    fn score(linear: &Linear, row: &[f32], scores: &mut [f32]) {
        let dots = linear.rows.iter().map(|(_, weights, bias)| {
            let pairs = weights.iter().zip(row);
            pairs.map(|(w, x)| w * f64::from(*x)).sum::<f64>() + bias
        });
        let dots: Vec<f64> = dots.collect();
        let highest = dots.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = dots.iter().map(|x| x - highest).fold(0.0, f64::min);
        scores.fill((lowest - FAR.max(-lowest)) as f32);
        for ((class, ..), dot) in linear.rows.iter().zip(dots) {
            if let Some(score) = scores.get_mut(*class) {
                *score = (dot - highest) as f32;
            }
        }
    }
}

impl Classifier for LinearJudge {
    fn scores(&self, batch: &Batch, _wanted: Wanted) -> Result<Vec<f32>, LearnerError> {
        let linear = self.linear.as_ref().ok_or(LearnerError::NoSolution)?;
        let features = self.network.features(batch)?;
        let rows = match &self.lift {
            Some(lift) => lift.lift(features),
            None => features,
        };
        let width = (rows.len() / batch.len().max(1)).max(1);
        let classes = self.classes().max(1);
        let mut scores = vec![0.0; batch.len() * classes];
        for (row, scores) in rows
            .chunks_exact(width)
            .zip(scores.chunks_exact_mut(classes))
        {
            Self::score(linear, row, scores);
        }
        Ok(scores)
    }

    fn features(&self, batch: &Batch) -> Result<Vec<f32>, LearnerError> {
        self.network.features(batch)
    }

    fn classes(&self) -> usize {
        self.network.classes()
    }

    fn has_threads(&self) -> bool {
        self.network.has_threads()
    }
}

/// A snapshot's matrix of finite numbers.
pub(super) fn matrix(
    state: &mut State<'_>,
    name: &str,
    len: usize,
) -> Result<Vec<f64>, LearnerError> {
    let values = state.take_sums(name, len)?;
    if values.iter().any(|x| !x.is_finite()) {
        return Err(invalid(name));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_class_never_seen_is_below_all_others() {
        let rows = vec![(0, vec![1.0], 0.0), (2, vec![-1e9], 3.0)];
        let linear = Linear { rows };
        let mut scores = [0.0; 4];
        LinearJudge::score(&linear, &[5.0], &mut scores);
        assert_eq!(scores[0], 0.0);
        assert!(scores[2] < -1e9 && scores[1] < scores[2] && scores[3] == scores[1]);
        LinearJudge::score(&Linear::default(), &[5.0], &mut scores);
        assert!(scores.iter().all(|x| x.is_finite() && *x == scores[0]));
    }

    proptest! {
        #[test]
        fn means_do_not_depend_on_the_order(
            rows in prop::collection::vec((0_usize..3, prop::collection::vec(-10.0_f32..10.0, 2)), 1..40),
            seed: u64,
        ) {
            let mut turned = rows.clone();
            crate::seed::Seeds::new(seed).stream("order").shuffle(&mut turned);
            let of = |rows: &[(usize, Vec<f32>)]| {
                let mut means = ClassMeans::new(3, 2);
                let mut off = [0.0; 2];
                for (class, row) in rows {
                    means.learn(*class, row, &mut off);
                }
                means
            };
            let (one, other) = (of(&rows), of(&turned));
            prop_assert_eq!(&one.counts, &other.counts);
            for (class, mean) in one.known() {
                let own: Vec<_> = rows.iter().filter(|(c, _)| *c == class).collect();
                for (j, mean) in mean.iter().enumerate() {
                    let exact = own.iter().map(|(_, row)| f64::from(row[j])).sum::<f64>() / own.len() as f64;
                    prop_assert!((mean - exact).abs() < 1e-12);
                    prop_assert!((mean - other.means[class * 2 + j]).abs() < 1e-12);
                }
            }
        }
    }
}
