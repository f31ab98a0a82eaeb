//! NCM: the nearest class mean (Mensink, Verbeek, Perronnin, Csurka; TPAMI 2013).
//!
//! Keeps the running mean of every class's features and gives an example to the class whose mean is nearest. In one pass,
//! without a gradient, and nothing of it depends on the order of the examples (but for rounding).
//!
//! Readings:
//! 1. Euclidean distance of the features as they are. The metric that the paper learns would need all classes at once.

use std::sync::{Arc, OnceLock};

use super::closed_form::{ClassMeans, Linear, LinearJudge, observe};
use super::{Method, MethodContext, MethodSpec, Passes, Step};
use crate::model::{Classifier, Learner, LearnerError};
use crate::optim::{Layout, State};
use crate::settings::{NoSettings, SettingsSpec};
use crate::stream::Task;

/// The nearest class mean.
pub(super) static NCM: MethodSpec = MethodSpec {
    name: "ncm",
    paper_name: "NCM",
    description: "The nearest mean of a class's features, in one pass and without gradients.",
    source: "Mensink et al., TPAMI 2013",
    settings: SettingsSpec::inline::<NoSettings>(),
    remembers_tasks: true,
    closed_form: true,
    weights: &[],
    passes: |_| Passes {
        first: 1.0 / 3.0,
        later: 1.0 / 3.0,
    },
    build: |_, context| Ok(Box::new(Ncm::new(context))),
};

/// The method.
#[derive(Debug)]
pub struct Ncm {
    means: ClassMeans,
    off: Vec<f64>,
    linear: OnceLock<Arc<Linear>>,
}

impl Ncm {
    /// Without examples.
    #[must_use]
    pub fn new(context: &MethodContext) -> Self {
        Self {
            means: ClassMeans::new(context.head_classes, context.features),
            off: vec![0.0; context.features],
            linear: OnceLock::new(),
        }
    }

    /// Takes an example in.
    fn learn(&mut self, class: usize, row: &[f32]) {
        self.means.learn(class, row, &mut self.off);
    }

    /// `2 μ·x − |μ|²`: what the negative squared distance has of the class.
    fn solve(&self) -> Linear {
        let rows = self.means.known().map(|(class, mean)| {
            let square: f64 = mean.iter().map(|x| x * x).sum();
            (class, mean.iter().map(|x| 2.0 * x).collect(), -square)
        });
        Linear {
            rows: rows.collect(),
        }
    }
}

impl Method for Ncm {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let (loss, rows) = observe(learner, step, gradient)?;
        self.linear = OnceLock::new();
        let rows = rows.chunks_exact(self.off.len().max(1));
        for (row, &class) in rows.zip(&step.batch.labels) {
            self.learn(class, row);
        }
        Ok(loss)
    }

    fn classifier(&self, learner: &dyn Learner) -> Box<dyn Classifier> {
        let linear = self.linear.get_or_init(|| Arc::new(self.solve()));
        Box::new(LinearJudge {
            network: learner.frozen(),
            lift: None,
            linear: Some(Arc::clone(linear)),
        })
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("ncm");
        self.means.put(&mut state);
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("ncm")?;
        self.means = self.means.taken(&mut state)?;
        self.linear = OnceLock::new();
        Ok(())
    }

    fn growing_bytes(&self, _layout: &Layout, _tasks: usize) -> u64 {
        2 * self.memory_bytes() as u64
    }

    fn memory_bytes(&self) -> usize {
        self.means.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{closed_form_context, damaged_snapshots_are_refused, walk};
    use super::*;

    #[test]
    fn snapshots_go_back_and_damaged_ones_are_refused() {
        let mut ncm = Ncm::new(&closed_form_context());
        let (gradients, _) = walk(&mut ncm, 2, 3);
        assert!(gradients.iter().flatten().all(|g| *g == 0.0));
        assert_eq!(ncm.means.total(), 24);
        damaged_snapshots_are_refused(&ncm, &mut || Box::new(Ncm::new(&closed_form_context())));
    }

    #[test]
    fn the_scores_order_classes_as_distances_do() {
        let context = MethodContext {
            features: 2,
            ..closed_form_context()
        };
        let mut ncm = Ncm::new(&context);
        for (class, row) in [
            (0, [1.0, 0.0]),
            (0, [3.0, 0.0]),
            (4, [-1.0, 2.0]),
            (7, [0.0, -5.0]),
        ] {
            ncm.learn(class, &row);
        }
        let x = [0.4, 0.3];
        let linear = ncm.solve();
        let of = |class: usize| {
            let (_, weights, bias) = linear.rows.iter().find(|(c, ..)| *c == class).unwrap();
            weights[0] * x[0] + weights[1] * x[1] + bias - (x[0] * x[0] + x[1] * x[1])
        };
        for (class, mean) in [(0, [2.0, 0.0]), (4, [-1.0, 2.0]), (7, [0.0, -5.0])] {
            let distance = (x[0] - mean[0]).powi(2) + (x[1] - mean[1]).powi(2);
            assert!((of(class) + distance).abs() < 1e-12);
        }
        assert_eq!(linear.rows.len(), 3);
    }
}
