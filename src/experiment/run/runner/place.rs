//! Where a run is.
//!
//! Owns the order of things in a run as data: a run is a list of *visits* (a task once, or several tasks' examples together),
//! a visit is a sequence of phases, and a [`Place`] is one point of it. Training goes from place to place; what a
//! checkpoint stores of the order is the place and nothing else, since every shuffle comes from a seed named after it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::experiment::plan::config::{RunConfig, Schedule};
use crate::method::Slot;
use crate::stream::Task;

/// One time through some examples, `epochs` times over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// The examples of task `t` (from 0), in round `round` (from 0).
    Task { t: usize, round: usize },
    /// The examples of the first `come` tasks, shuffled together.
    Union { come: usize },
}

/// The visits of a run over this many tasks.
pub(crate) fn visits(schedule: Schedule, tasks: usize) -> Vec<Visit> {
    match schedule {
        Schedule::Joint => vec![Visit::Union { come: tasks }],
        Schedule::Cumulative => (1..=tasks).map(|come| Visit::Union { come }).collect(),
        Schedule::Sequential | Schedule::Cyclic => (0..schedule.rounds())
            .flat_map(|round| (0..tasks).map(move |t| Visit::Task { t, round }))
            .collect(),
    }
}

impl Visit {
    /// The task that events and errors name, from 0: the newest one.
    pub(super) fn task(self) -> usize {
        self.tasks().end.saturating_sub(1)
    }

    /// The tasks whose examples it has, from 0.
    pub(crate) fn tasks(self) -> Range<usize> {
        match self {
            Self::Task { t, .. } => t..t + 1,
            Self::Union { come } => 0..come,
        }
    }

    /// Number of examples.
    pub(super) fn examples(self, tasks: &[Task]) -> usize {
        let own = tasks.get(self.tasks()).unwrap_or_default();
        own.iter().map(|task| task.train.len()).sum()
    }

    /// The examples in the order of an epoch (from 0).
    pub(super) fn order(self, config: &RunConfig, tasks: &[Task], epoch: usize) -> Vec<Slot> {
        let own = self
            .tasks()
            .zip(tasks.get(self.tasks()).unwrap_or_default());
        let mut order: Vec<Slot> = own
            .flat_map(|(t, task)| (0..task.train.len()).map(move |i| Slot::new(t, i)))
            .collect();
        let name = match self {
            Self::Task { t, round } => format!("shuffle/{t}/{}", round * config.epochs + epoch),
            Self::Union { come } if come == tasks.len() => format!("shuffle/joint/{epoch}"),
            // As the newest task by itself: what comes first is the same whether or not it is gone over again.
            Self::Union { .. } => format!("shuffle/{}/{epoch}", self.task()),
        };
        let seeds = config.seeds_of(config.data_seed);
        seeds.stream(&name).shuffle(&mut order);
        order
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Method and optimizer hear that a task begins.
    #[default]
    BeginVisit,
    /// The optimizer hears that an epoch begins.
    BeginEpoch,
    /// A training step.
    Step,
    /// The next of the tasks so far is evaluated in the middle of one.
    Within,
    /// The epoch's mean loss is told, the validation loss is judged.
    EndEpoch,
    /// Method and optimizer hear that the task ends.
    EndVisit,
    /// The next of the tasks so far is evaluated.
    Evaluate,
    /// Nothing.
    Finished,
}

/// A point between two operations of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Visits finished.
    pub(super) visit: usize,
    /// What comes next in the present one.
    pub(super) phase: Phase,
    /// Epochs of the visit finished.
    pub(super) epoch: usize,
    /// Batches of the epoch taken.
    pub(super) batch: usize,
    /// Sum of their losses.
    pub(super) loss_sum: f64,
    /// Batches of the visit taken, over all its epochs.
    pub(super) step: usize,
    /// How the validation loss went during the visit.
    pub(super) stopping: EarlyStopping,
    /// Percent correct on the tasks evaluated so far after the visit.
    pub(super) accuracies: Vec<f64>,
    /// Mean loss on them.
    pub(super) losses: Vec<f64>,
}

impl Place {
    /// The beginning of a visit.
    pub(super) fn beginning_of(visit: usize) -> Self {
        Self {
            visit,
            ..Self::default()
        }
    }

    /// What makes the place one that this run cannot be at, if anything does. `batches` gives those of an epoch.
    pub(super) fn contradiction(
        &self,
        config: &RunConfig,
        visits: &[Visit],
        tasks: usize,
        batches: impl Fn(Visit) -> usize,
    ) -> Option<&'static str> {
        let Some(visit) = visits.get(self.visit) else {
            return Some("its visit");
        };
        let (batches, last_epoch) = (batches(*visit), config.epochs.saturating_sub(1));
        let (epoch, batch) = match self.phase {
            Phase::BeginVisit => (self.epoch == 0, self.batch == 0),
            Phase::BeginEpoch => (self.epoch <= last_epoch, true),
            Phase::Step => (self.epoch <= last_epoch, self.batch < batches),
            Phase::Within => (
                self.epoch <= last_epoch && config.evaluates_after(self.step),
                (1..=batches).contains(&self.batch),
            ),
            Phase::EndEpoch => (self.epoch <= last_epoch, self.batch == batches),
            Phase::EndVisit | Phase::Evaluate => (self.epoch <= config.epochs, true),
            Phase::Finished => return Some("its phase"),
        };
        let evaluated = self.accuracies.len();
        let evaluating = match self.phase {
            Phase::Evaluate if config.evaluate_future => evaluated < tasks,
            Phase::Evaluate | Phase::Within => evaluated <= visit.task(),
            // Before training.
            Phase::BeginVisit if config.evaluate_future && self.visit == 0 => evaluated <= tasks,
            _ => evaluated == 0,
        };
        if !(epoch && batch) {
            Some("its epoch or batch")
        } else if !(evaluating && evaluated == self.losses.len()) {
            Some("its evaluations")
        } else {
            None
        }
    }
}

/// Ends a task when the validation loss has not fallen below its minimum for some epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EarlyStopping {
    /// The lowest loss so far.
    best: Option<f64>,
    /// Epochs since.
    worse: usize,
}

impl EarlyStopping {
    /// Takes an epoch's loss in; whether `patience` epochs have brought nothing.
    pub(super) fn says_stop(&mut self, patience: usize, loss: f64) -> bool {
        if loss < self.best.unwrap_or(f64::INFINITY) {
            *self = Self {
                best: Some(loss),
                worse: 0,
            };
        } else {
            self.worse += 1;
        }
        self.worse >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_waits_for_as_many_epochs_as_it_has_patience() {
        let mut stopping = EarlyStopping::default();
        let answers = [3.0, 2.0, 2.5, 1.5, 1.5, 1.6].map(|loss| stopping.says_stop(2, loss));
        assert_eq!(answers, [false, false, false, false, false, true]);
        let mut lost = EarlyStopping::default();
        assert!(!lost.says_stop(2, f64::NAN) && lost.says_stop(2, f64::INFINITY));
        let text = serde_json::to_string(&stopping).unwrap();
        assert_eq!(
            serde_json::from_str::<EarlyStopping>(&text).unwrap(),
            stopping
        );
    }

    #[test]
    fn every_schedule_is_a_list_of_visits() {
        let task = |t, round| Visit::Task { t, round };
        assert_eq!(
            visits(Schedule::Sequential, 2),
            [task(0, 0), task(1, 0)],
            "each task once"
        );
        let cyclic = visits(Schedule::Cyclic, 2);
        assert_eq!((cyclic.len(), cyclic[3]), (12, task(1, 1)));
        let union = |come| Visit::Union { come };
        assert_eq!(visits(Schedule::Joint, 2), [union(2)]);
        assert_eq!(
            visits(Schedule::Cumulative, 3),
            [union(1), union(2), union(3)]
        );
        assert_eq!((union(2).task(), union(2).tasks()), (1, 0..2));
        assert_eq!((task(1, 1).task(), task(1, 1).tasks()), (1, 1..2));
    }
}
