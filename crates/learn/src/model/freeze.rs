//! A learner part of whose parameters are not trained.
//!
//! Owns the one way in which parameters are frozen, whoever would change them: their gradient is zero for every method, so
//! that no projection, penalty or moment sees them, and whatever an optimizer or a method does to the parameters, theirs
//! are put back, to the last bit. Buffers (running statistics of norms) are no parameters and go on.

use std::ops::Range;

use super::learner::passes_on;
use super::weights::FloatTensor;
use super::{Classifier, Counters, LayerInputs, Learner, LearnerError, Logits, Mode, Wanted};
use crate::optim::{Layout, OptimError};
use crate::stream::Batch;

/// Passes everything on to a learner but what would change its frozen parameters.
pub struct Freeze {
    inner: Box<dyn Learner>,
    ranges: Vec<Range<usize>>,
    kept: Vec<f32>,
}

impl Freeze {
    /// Freezes the parameters whose names begin with one of these.
    ///
    /// # Errors
    /// [`LearnerError::Frozen`] for a beginning that no name has, and if nothing would be left to train.
    pub fn new(inner: Box<dyn Learner>, prefixes: &[String]) -> Result<Self, LearnerError> {
        let slots = inner.layout().slots();
        let wrong = |problem: String| {
            let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
            LearnerError::Frozen {
                problem,
                names: names.join(", "),
            }
        };
        for prefix in prefixes {
            if !slots.iter().any(|slot| slot.name.starts_with(prefix)) {
                return Err(wrong(format!("no parameter's name begins with `{prefix}`")));
            }
        }
        let is_frozen = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let frozen = slots.iter().filter(|slot| is_frozen(&slot.name));
        let ranges: Vec<_> = frozen.map(|slot| slot.range.clone()).collect();
        if ranges.len() == slots.len() {
            return Err(wrong(
                "every parameter would be frozen, and none trained".to_string(),
            ));
        }
        let kept = ranges.iter().map(Range::len).sum();
        Ok(Self {
            inner,
            ranges,
            kept: Vec::with_capacity(kept),
        })
    }
}

impl Learner for Freeze {
    passes_on!();

    fn update(
        &mut self,
        change: &mut dyn FnMut(&mut [f32]) -> Result<(), OptimError>,
    ) -> Result<(), LearnerError> {
        let Self {
            inner,
            ranges,
            kept,
        } = self;
        inner.update(&mut |theta| {
            kept.clear();
            let parts = ranges.iter().filter_map(|range| theta.get(range.clone()));
            parts.for_each(|part| kept.extend_from_slice(part));
            let changed = change(theta);
            let mut rest = kept.as_slice();
            for range in &*ranges {
                let Some((part, more)) = rest.split_at_checked(range.len()) else {
                    break;
                };
                rest = more;
                if let Some(theta) = theta.get_mut(range.clone()) {
                    theta.copy_from_slice(part);
                }
            }
            changed
        })
    }

    fn forward<'a>(
        &'a mut self,
        batch: &'a Batch,
        mode: Mode,
        wanted: Wanted,
    ) -> Result<Logits<'a>, LearnerError> {
        self.inner.forward(batch, mode, wanted)
    }

    fn backward(&mut self, d_logits: &[f32], gradient: &mut Vec<f32>) -> Result<(), LearnerError> {
        self.inner.backward(d_logits, gradient)?;
        for range in &self.ranges {
            if let Some(part) = gradient.get_mut(range.clone()) {
                part.fill(0.0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CLASSES, batch};
    use super::*;
    use crate::data::ImageShape;
    use crate::model::{Dropout, KernelFeedForward, MlpConfig, cross_entropy};
    use crate::optim::OPTIMIZERS;
    use crate::seed::Seeds;
    use crate::settings::{Resolver, Texts};

    fn mlp() -> Box<dyn Learner> {
        let config = MlpConfig {
            inputs: 25,
            hidden: 7,
            classes: CLASSES,
        };
        let mut init = Seeds::new(1).stream("init");
        Box::new(KernelFeedForward::mlp(&config, &mut init, Dropout::off()))
    }

    /// Every optimizer of the table, three tasks: what is frozen keeps its bits, and the rest moves.
    #[test]
    fn frozen_parameters_keep_their_bits_under_every_optimizer() {
        let nothing = Texts::default();
        for spec in OPTIMIZERS {
            let prefixes = ["W1".to_string(), "W2.b".to_string()];
            let mut learner = Freeze::new(mlp(), &prefixes).unwrap();
            let before = learner.parameters().to_vec();
            let own = (spec.settings.resolve)(&Resolver::new(&nothing)).unwrap();
            let mut optimizer = (spec.build)(&own, learner.layout()).unwrap();
            let mut gradient = Vec::new();
            for task in 0..3 {
                optimizer.begin_task();
                for step in 0..4 {
                    let batch = batch(5, ImageShape::new(1, 5, 5), true, 4 * task + step);
                    let logits = learner
                        .forward(&batch, Mode::Train, Wanted::Competing)
                        .unwrap();
                    let (_, d) = cross_entropy(logits, &batch.labels, &batch.competing).unwrap();
                    learner.backward(&d, &mut gradient).unwrap();
                    learner
                        .update(&mut |theta| optimizer.step(theta, &gradient, 0.01))
                        .unwrap();
                }
                optimizer.end_task();
            }
            let after = learner.parameters();
            for slot in learner.layout().slots() {
                let frozen = prefixes.iter().any(|prefix| slot.name.starts_with(prefix));
                let [old, new] = [&before, after].map(|all| {
                    let values = all[slot.range.clone()].iter();
                    values.map(|x| x.to_bits()).collect::<Vec<_>>()
                });
                assert_eq!(old == new, frozen, "{}: {}", spec.name, slot.name);
            }
            assert!(after.iter().all(|x| x.is_finite()), "{}", spec.name);
        }
    }

    #[test]
    fn whatever_changes_the_parameters_they_are_put_back() {
        let mut learner = Freeze::new(mlp(), &["W3.weight".to_string()]).unwrap();
        let before = learner.parameters().to_vec();
        learner
            .update(&mut |theta| {
                theta.fill(9.0);
                Ok(())
            })
            .unwrap();
        for slot in learner.layout().slots() {
            let now = &learner.parameters()[slot.range.clone()];
            if slot.name == "W3.weight" {
                assert_eq!(now, &before[slot.range.clone()]);
            } else {
                assert!(now.iter().all(|x| *x == 9.0));
            }
        }
        let failed = learner.update(&mut |theta| {
            theta.fill(1.0);
            Err(OptimError::NoTask)
        });
        assert!(failed.is_err());
        let slot = learner
            .layout()
            .slots()
            .iter()
            .find(|slot| slot.name == "W3.weight");
        let range = slot.unwrap().range.clone();
        assert_eq!(learner.parameters()[range.clone()], before[range]);
    }

    #[test]
    fn a_beginning_without_a_parameter_is_refused() {
        for (prefixes, words) in [
            (&["layer1"][..], "begins with `layer1`"),
            (&["W1", "w2"], "begins with `w2`"),
            (&["W"], "every parameter would be frozen"),
        ] {
            let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
            let error = Freeze::new(mlp(), &prefixes).err().unwrap().to_string();
            assert!(
                error.contains(words) && error.contains("W1.weight, W1.bias, W2"),
                "{error}"
            );
        }
    }
}
