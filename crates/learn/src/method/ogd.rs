//! OGD: orthogonal gradient descent (Farajtabar, Azizan, Mott, Li; AISTATS 2020).
//!
//! At the end of a task the gradients of the network's own logits are kept, of some of the task's examples. Later gradients are
//! projected onto what is orthogonal to all of them, so that a small step leaves those logits as they are, to first order:
//!
//! ```text
//! S ← orthonormal basis of S and ∇f_c(x; θ*);      g ← g − Σ_{v ∈ S} ⟨g, v⟩ v
//! ```
//!
//! Departures and readings:
//! 1. Which logits of an example is [`OgdConfig::ogd_logits`]: that of its label (the paper's OGD-GTL), every one that competes (OGD-ALL), or their mean (OGD-AVE).
//! 2. The optimizer sees the projected gradient. Steps are orthogonal to the basis with SGD alone, which is the paper's: a momentum
//!    carries steps over from the task before, and RMSProp, Adam and TAG turn the gradient's direction.
//! 3. Gradients are taken in evaluation mode, of single examples drawn from the whole task.
//! 4. A gradient of which less than 10⁻⁵ is left outside of the basis adds nothing to it: that is all that single precision
//!    tells apart, and so the basis never has more vectors than the network has parameters.
//! 5. After the last task nothing is kept.
//! 6. The running statistics of batch norms go on with every batch, which no projection prevents.

use super::basis::Basis;
use super::fisher::drawn;
use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient, invalid};
use crate::model::{Learner, LearnerError, Mode, Wanted};
use crate::optim::{Layout, State};
use crate::seed::Seeds;
use crate::settings::{SettingsSpec, WholeRange, fixed, typed};
use crate::stream::{Classes, Task};

/// Of which logits of an example the gradient is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OgdLogits {
    /// Of its label's.
    #[default]
    GroundTruth,
    /// Of each that competes.
    All,
    /// Of the mean of those that compete.
    Mean,
}

crate::choices!(OgdLogits { "gtl" => GroundTruth, "all" => All, "ave" => Mean });

crate::settings! {
    /// OGD's settings.
    pub struct OgdConfig {
        /// Training examples of every task whose gradients OGD keeps (all, if it has fewer), each of the network's size.
        ogd_samples: usize = fixed(200), range WholeRange::FROM_ONE;
        /// Of which logits OGD keeps the gradient: of the label's (gtl), of each that competes (all), or of their mean (ave).
        ogd_logits: OgdLogits = fixed(OgdLogits::GroundTruth);
    }
}

/// Orthogonal gradient descent.
pub(super) static OGD: MethodSpec = MethodSpec {
    name: "ogd",
    paper_name: "OGD",
    description: "Orthogonal gradient descent: steps are orthogonal to gradients of earlier tasks' logits.",
    source: "Farajtabar et al., AISTATS 2020",
    settings: SettingsSpec::of::<OgdConfig>("ogd"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    // Two operations a parameter and vector, beside three a parameter and example of a batch: with the vectors of half of ten
    // tasks, and batches of ten.
    passes: |own| Passes {
        first: 1.0,
        later: 1.0
            + own
                .get::<OgdConfig>()
                .map_or(0.0, |own| 5.0 * own.ogd_samples as f64 * 2.0 / 30.0),
    },
    build: |own, context| {
        let own = typed::<OgdConfig>(own)?.clone();
        Ok(Box::new(Ogd::new(own, context.seeds)))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Ogd {
    config: OgdConfig,
    seeds: Seeds,
    basis: Basis,
}

impl Ogd {
    /// OGD before any task.
    #[must_use]
    pub fn new(config: OgdConfig, seeds: Seeds) -> Self {
        Self {
            config,
            seeds,
            basis: Basis::default(),
        }
    }

    /// The gradients at the logits of one example whose gradients at the parameters are kept.
    fn directions(&self, label: usize, competing: &Classes, classes: usize) -> Vec<Vec<f32>> {
        let one = |chosen: &[usize]| {
            let mut direction = vec![0.0; classes];
            for class in chosen {
                if let Some(d) = direction.get_mut(*class) {
                    *d = 1.0 / chosen.len() as f32;
                }
            }
            direction
        };
        match self.config.ogd_logits {
            OgdLogits::GroundTruth => vec![one(&[label])],
            OgdLogits::All => competing.iter().map(|class| one(&[class])).collect(),
            OgdLogits::Mean => vec![one(&competing.iter().collect::<Vec<_>>())],
        }
    }
}

impl Method for Ogd {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let loss = batch_gradient(learner, step.batch, gradient)?;
        self.basis.remove_from(gradient);
        Ok(loss)
    }

    fn end_task(
        &mut self,
        end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let (Some(task), Some(_)) = (end.tasks.get(end.t), &end.next_classes) else {
            return Ok(());
        };
        if self.basis.count() == 0 {
            self.basis = Basis::new(learner.layout().len());
        }
        let stream = format!("ogd/{}", end.t);
        let (classes, mut gradient) = (learner.frozen().classes(), Vec::new());
        for position in drawn(self.seeds, &stream, self.config.ogd_samples, task) {
            let batch = task.train.batch(&[position]);
            let (Some(label), Some(competing)) = (batch.labels.first(), batch.competing.first())
            else {
                continue;
            };
            for direction in self.directions(*label, competing, classes) {
                learner.forward(&batch, Mode::Evaluate, Wanted::All)?;
                learner.backward(&direction, &mut gradient)?;
                self.basis
                    .extend(gradient.iter().map(|g| f64::from(*g)).collect());
            }
        }
        self.basis.shrink();
        Ok(())
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("ogd").with_counter("vectors", self.basis.count());
        state.put("basis", self.basis.values());
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("ogd")?;
        let (vectors, len) = (state.counter("vectors")?, learner.layout().len());
        let all = vectors.checked_mul(len).ok_or_else(|| invalid("vectors"))?;
        self.basis = Basis::restored(len, vectors, state.take("basis", all)?)?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.basis.bytes()
    }

    fn growing_bytes(&self, layout: &Layout, tasks: usize) -> u64 {
        let len = layout.len() as u64;
        let classes = layout.slots().last().map_or(0, |bias| bias.range.len());
        let each = match self.config.ogd_logits {
            OgdLogits::All => classes as u64,
            OgdLogits::GroundTruth | OgdLogits::Mean => 1,
        };
        let vectors = (self.config.ogd_samples as u64).saturating_mul(each);
        let vectors = vectors.saturating_mul(tasks as u64).min(len);
        vectors.saturating_mul(4 * len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Plain;
    use crate::method::basis::tests::assert_orthonormal;
    use crate::method::testing::{
        damaged_snapshots_are_refused, learner, stream_of, tasks, walk, walk_in,
    };
    use crate::stream::Scenario;

    fn ogd(ogd_samples: usize, ogd_logits: OgdLogits) -> Ogd {
        let config = OgdConfig {
            ogd_samples,
            ogd_logits,
        };
        Ogd::new(config, Seeds::new(2))
    }

    const LOGITS: [OgdLogits; 3] = [OgdLogits::GroundTruth, OgdLogits::All, OgdLogits::Mean];

    #[test]
    fn the_first_task_is_plain_and_later_gradients_are_orthogonal_to_the_basis() {
        for scenario in [Scenario::Task, Scenario::Domain, Scenario::Class] {
            let plain = walk_in(stream_of(scenario), &mut Plain, 2, 4).0;
            for logits in LOGITS {
                let mut method = ogd(5, logits);
                let gradients = walk_in(stream_of(scenario), &mut method, 2, 4).0;
                assert_eq!(gradients[..4], plain[..4]);
                assert_ne!(gradients[4..], plain[4..]);
                // After two tasks of the walk the basis is that of both: those of the first come first.
                let most = if logits == OgdLogits::All { 5 * 4 } else { 5 };
                let after_one = {
                    let mut method = ogd(5, logits);
                    walk_in(stream_of(scenario), &mut method, 1, 4);
                    method.basis
                };
                assert!(after_one.count() > 0 && after_one.count() <= most);
                assert_orthonormal(&method.basis);
                for gradient in &gradients[4..] {
                    let exact: Vec<f64> = gradient.iter().map(|g| f64::from(*g)).collect();
                    let size = exact.iter().map(|g| g * g).sum::<f64>().sqrt();
                    for product in after_one.products(&exact) {
                        assert!(product.abs() <= 1e-5 * size, "{product} {size}");
                    }
                }
            }
        }
    }

    /// Of the stored examples' logits the change falls with the square of the step: by less than any first order would.
    #[test]
    fn a_small_step_leaves_the_stored_logits_as_they_are_to_first_order() {
        let tasks = tasks();
        let (samples, seeds) = (6, Seeds::new(2));
        let mut learner = learner();
        let mut method = ogd(samples, OgdLogits::GroundTruth);
        let end = TaskEnd {
            tasks: &tasks[..1],
            t: 0,
            next_classes: Some((2..4).into()),
        };
        method.end_task(&end, &mut learner).unwrap();
        let stored = tasks[0]
            .train
            .batch(&drawn(seeds, "ogd/0", samples, &tasks[0]));
        // A gradient of the same classes on other examples, which plain training would move the stored logits with.
        let others = tasks[0].train.batch(&[0, 7, 12, 19]);
        let mut plain = Vec::new();
        batch_gradient(&mut learner, &others, &mut plain).unwrap();
        let mut projected = plain.clone();
        method.basis.remove_from(&mut projected);
        let start = learner.parameters().to_vec();
        let mut moved = |gradient: &[f32], rate: f32| {
            let mut logits = |by: f32| -> Vec<f64> {
                let mut put = |theta: &mut [f32]| {
                    for ((x, start), g) in theta.iter_mut().zip(&start).zip(gradient) {
                        *x = start - by * g;
                    }
                    Ok(())
                };
                learner.update(&mut put).unwrap();
                let logits = learner
                    .forward(&stored, Mode::Evaluate, Wanted::All)
                    .unwrap();
                let own = logits.rows().zip(&stored.labels);
                own.map(|(row, label)| f64::from(row[*label])).collect()
            };
            let (before, after) = (logits(0.0), logits(rate));
            let differences = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
            differences.fold(0.0, f64::max)
        };
        let size = |g: &[f32]| g.iter().map(|x| x * x).sum::<f32>().sqrt();
        let ratio = size(&plain) / size(&projected);
        // Steps of one length.
        let (along, beside) = (moved(&plain, 0.01), moved(&projected, 0.01 * ratio));
        assert!(beside < 0.02 * along, "{beside} {along}");
        assert!(along > 1e-3, "{along}");
    }

    #[test]
    fn nothing_is_kept_after_the_last_task_and_memory_is_that_of_the_vectors() {
        let parameters = learner().layout().len();
        let mut method = ogd(3, OgdLogits::GroundTruth);
        walk(&mut method, 5, 2);
        let count = method.basis.count();
        assert!((10..=12).contains(&count), "{count}");
        assert_eq!(method.memory_bytes(), 4 * parameters * count);
        for logits in LOGITS {
            let mut method = ogd(30, logits);
            walk(&mut method, 5, 2);
            let held = method.memory_bytes() as u64;
            let most = method.growing_bytes(learner().layout(), 5);
            assert!(held <= most, "{held} {most}");
            assert!(most <= 4 * (parameters * parameters) as u64);
        }
    }

    #[test]
    fn damaged_snapshots() {
        let mut method = ogd(4, OgdLogits::GroundTruth);
        walk(&mut method, 2, 3);
        damaged_snapshots_are_refused(&method, &mut || Box::new(ogd(4, OgdLogits::GroundTruth)));
    }
}
