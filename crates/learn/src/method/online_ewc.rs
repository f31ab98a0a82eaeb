//! Online EWC (Schwarz, Luketina, Czarnecki, Grabska-Barwinska, Teh, Pascanu, Hadsell, "Progress & Compress", ICML 2018,
//! section on online EWC).
//!
//! EWC with one Fisher information that runs over the tasks and one anchor, the newest parameters:
//!
//! ```text
//! F ← γ F + f,    penalty ½ λ Σ_i F_i (θ_i − θ*_i)²
//! ```
//!
//! f is the task's own Fisher information. γ < 1 forgets old tasks gracefully; γ = 1 weighs them all alike. EWC's sum over tasks
//! ([`super::Ewc`], [`super::Fisher::Corrected`]) is not this at γ = 1: its anchor is the F-weighted mean of all.
//!
//! Departures and readings:
//! 1. The paper's penalty has `γ F`, as the old F is also decayed where it is used. A constant γ stands before all of it then,
//!    and is left to λ.
//! 2. The paper also speaks of normalising every task's f; here it is as it comes.
//! 3. f is EWC's estimate ([`super::fisher`]): single examples in evaluation mode, with the labels of `fisher_labels`.
//! 4. After the last task nothing is estimated.

use super::ewc::LAMBDA;
use super::fisher::{Estimate, FISHER_LABELS, FISHER_SAMPLES, FisherLabels};
use super::quadratic::Quadratic;
use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{RealRange, SettingsSpec, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// Online EWC's settings.
    pub struct OnlineEwcConfig {
        /// The weight of the penalty, λ.
        lambda: f64 as LAMBDA;
        /// Online EWC's γ: what is left of the old importance when a task's own is added.
        fisher_decay: f64 = fixed(1.0), range RealRange::SHARE;
        /// Training examples of a task that the estimate uses.
        fisher_samples: usize as FISHER_SAMPLES;
        /// Labels of the estimate.
        fisher_labels: FisherLabels as FISHER_LABELS;
    }
}

/// Online elastic weight consolidation.
pub(super) static ONLINE_EWC: MethodSpec = MethodSpec {
    name: "online-ewc",
    paper_name: "Online EWC",
    description: "EWC with one running importance and one anchor, whatever the number of tasks.",
    source: "Schwarz et al., ICML 2018",
    settings: SettingsSpec::of::<OnlineEwcConfig>("online_ewc"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["lambda"],
    passes: |_| Passes::ONE,
    build: |own, context| {
        let own = typed::<OnlineEwcConfig>(own)?.clone();
        Ok(Box::new(OnlineEwc::new(own, context.seeds)))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct OnlineEwc {
    config: OnlineEwcConfig,
    seeds: Seeds,
    /// Empty until a task has ended.
    past: Quadratic,
}

impl OnlineEwc {
    /// Online EWC without any finished task.
    #[must_use]
    pub fn new(config: OnlineEwcConfig, seeds: Seeds) -> Self {
        Self {
            config,
            seeds,
            past: Quadratic::default(),
        }
    }
}

impl Method for OnlineEwc {
    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let loss = batch_gradient(learner, step.batch, gradient)?;
        self.past
            .add_gradient(self.config.lambda, learner.parameters(), gradient);
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
        let estimate = Estimate {
            samples: self.config.fisher_samples,
            labels: self.config.fisher_labels,
            seeds: self.seeds,
        };
        let mut fisher = estimate.of_examples(end.t, task, learner)?;
        for (new, old) in fisher.iter_mut().zip(&self.past.importance) {
            *new = (self.config.fisher_decay * f64::from(*old) + f64::from(*new)) as f32;
        }
        self.past.put(fisher, learner.parameters());
        Ok(())
    }

    fn state(&self) -> State<'_> {
        self.past.with_state(State::new("online-ewc"), "fisher")
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("online-ewc")?;
        self.past = Quadratic::restored(&mut state, "fisher", learner.layout().len())?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.past.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{damaged_snapshots_are_refused, walk};
    use crate::method::{Ewc, EwcConfig, Fisher, Penalty, Plain};

    fn online(lambda: f64, fisher_decay: f64, fisher_labels: FisherLabels) -> OnlineEwc {
        let config = OnlineEwcConfig {
            lambda,
            fisher_decay,
            fisher_samples: 20,
            fisher_labels,
        };
        OnlineEwc::new(config, Seeds::new(2))
    }

    fn ewc(lambda: f64, fisher_labels: FisherLabels) -> Ewc {
        let config = EwcConfig {
            lambda,
            fisher: Fisher::Corrected,
            fisher_samples: 20,
            fisher_labels,
            penalty: Penalty::Half,
        };
        Ewc::new(config, Seeds::new(2))
    }

    #[test]
    fn without_weight_it_is_plain_and_over_two_tasks_it_is_ewc() {
        let plain = walk(&mut Plain, 3, 4);
        assert_eq!(walk(&mut online(0.0, 1.0, FisherLabels::True), 3, 4), plain);
        for labels in [
            FisherLabels::True,
            FisherLabels::Sampled,
            FisherLabels::Predicted,
        ] {
            let found = walk(&mut online(0.5, 0.3, labels), 2, 4);
            assert_eq!(found, walk(&mut ewc(0.5, labels), 2, 4));
            assert_ne!(found.0[..], plain.0[..found.0.len()]);
        }
        let three = walk(&mut online(0.5, 1.0, FisherLabels::True), 3, 4);
        assert_ne!(three, walk(&mut ewc(0.5, FisherLabels::True), 3, 4));
    }

    /// With a weight of 0 the parameters go the same way whatever the decay, so the estimates of the tasks are the same.
    #[test]
    fn the_importance_decays_and_the_anchor_is_the_newest() {
        let after = |decay: f64, tasks: usize| {
            let mut method = online(0.0, decay, FisherLabels::True);
            let parameters = walk(&mut method, tasks, 3).1;
            (method.past, parameters)
        };
        let (one, two) = (after(1.0, 1).0, after(1.0, 2));
        assert_eq!(two.0.anchor, two.1);
        let half = after(0.5, 2).0;
        let mut decayed = 0;
        for ((first, both), half) in one
            .importance
            .iter()
            .zip(&two.0.importance)
            .zip(&half.importance)
        {
            assert!((both - half - 0.5 * first).abs() <= 1e-6 * (1.0 + both.abs()));
            decayed += usize::from(*first > 0.0);
        }
        assert!(decayed > 0);
    }

    #[test]
    fn damaged_snapshots() {
        let labels = FisherLabels::Sampled;
        let mut method = online(0.5, 0.9, labels);
        walk(&mut method, 2, 3);
        assert_eq!(method.memory_bytes(), 8 * method.past.anchor.len());
        damaged_snapshots_are_refused(&method, &mut || Box::new(online(0.5, 0.9, labels)));
    }
}
