//! Evaluations of a run under way: after tasks, before training, within tasks, and of validation losses.
//!
//! Owns what is measured when, one task at a time, so that a run can stop between two of them.

use super::Event;
use super::checks::knobs;
use super::place::{Phase, Place, Visit};
use super::training::{Observer, Run, next_phase};
use crate::experiment::RunError;
use crate::metrics::{TaskMatrix, Within};
use crate::model::evaluate;

/// Images per evaluation batch, as in the released code.
const EVALUATION_BATCH: usize = 256;

impl Run<'_> {
    /// The loss on the task's validation images, where it decides whether training of the task goes on.
    pub(super) fn judged_loss(&self, t: usize) -> Result<Option<f64>, RunError> {
        let task = self.stream.tasks().get(t);
        let held = task.and_then(|task| task.validation.as_ref());
        let (Some(held), Some(_)) = (held, self.config.patience) else {
            return Ok(None);
        };
        let threads = self.input.threads;
        let classifier = self.method.classifier(self.learner.as_ref());
        let evaluation = evaluate(&*classifier, held, EVALUATION_BATCH, threads)?;
        Ok(Some(evaluation.loss()))
    }

    /// Whether tasks are still to be evaluated before any of them is learned.
    pub(super) fn is_before_training(&self) -> bool {
        let first = self.progress.place.visit == 0;
        first && self.config.evaluate_future && self.progress.ahead.is_empty()
    }

    /// Percent correct and mean loss on the task that comes next in the present evaluation; none after the last.
    fn evaluate_next(&mut self) -> Result<(), RunError> {
        let place = &mut self.progress.place;
        if let Some(images) = self.measured.get(place.accuracies.len()) {
            let threads = self.input.threads;
            let classifier = self.method.classifier(self.learner.as_ref());
            let evaluation = evaluate(&*classifier, images, EVALUATION_BATCH, threads)?;
            place.accuracies.push(evaluation.accuracy());
            place.losses.push(evaluation.loss());
        }
        Ok(())
    }

    /// Evaluates the next of all tasks before training.
    pub(super) fn evaluate_before_training(&mut self) -> Result<(), RunError> {
        self.evaluate_next()?;
        let place = &mut self.progress.place;
        if place.accuracies.len() >= self.measured.len() {
            place.losses.clear();
            let row = std::mem::take(&mut place.accuracies);
            self.progress.ahead.push(row);
        }
        Ok(())
    }

    /// Evaluates the next of the tasks so far in the middle of one.
    pub(super) fn evaluate_within(&mut self, visit: Visit) -> Result<(), RunError> {
        self.evaluate_next()?;
        let task = visit.task();
        let place = &mut self.progress.place;
        if place.accuracies.len() > task {
            place.losses.clear();
            place.phase = next_phase(self.config, place, visit.examples(self.stream.tasks()));
            self.progress.within.push(Within {
                task,
                step: place.step,
                accuracies: std::mem::take(&mut place.accuracies),
            });
        }
        Ok(())
    }

    /// Evaluates the next of the tasks up to the present one (of all, where those to come are of interest); after the last the
    /// row is complete.
    pub(super) fn evaluate(
        &mut self,
        visit: Visit,
        observer: &mut Observer<'_>,
    ) -> Result<(), RunError> {
        let t = visit.task();
        self.evaluate_next()?;
        let place = &mut self.progress.place;
        if place.losses.last().is_some_and(|loss| !loss.is_finite()) {
            return Err(self.test_loss_not_finite(t));
        }
        let wanted = if self.config.evaluate_future {
            self.measured.len()
        } else {
            t + 1
        };
        if place.accuracies.len() < wanted {
            return Ok(());
        }
        let next = Place::beginning_of(place.visit + 1);
        let mut place = std::mem::replace(place, next);
        if self.progress.place.visit == self.visits.len() {
            self.progress.place.phase = Phase::Finished;
        } else if self.config.evaluate_future {
            self.progress.ahead.push(place.accuracies.split_off(t + 1));
            place.losses.truncate(t + 1);
        }
        let (accuracies, losses) = (place.accuracies, place.losses);
        self.record(&accuracies, &losses)
            .map_err(|_| self.test_loss_not_finite(t))?;
        let event = Event::Evaluated {
            task: t + 1,
            accuracies,
            losses,
        };
        self.tell(&event, observer)
    }

    fn record(
        &mut self,
        accuracies: &[f64],
        losses: &[f64],
    ) -> Result<(), crate::metrics::MatrixError> {
        if self.config.schedule.comes_task_by_task() {
            self.progress.accuracy.push(accuracies.to_vec())?;
            return self.progress.loss.push(losses.to_vec());
        }
        self.progress.accuracy = TaskMatrix::only_final(accuracies.to_vec())?;
        self.progress.loss = TaskMatrix::only_final(losses.to_vec())?;
        Ok(())
    }

    pub(super) fn test_loss_not_finite(&self, t: usize) -> RunError {
        RunError::NonFinite {
            task: t + 1,
            step: 0,
            what: "the loss on a test set".to_string(),
            knobs: knobs(self.config, self.config.learning_rate(t)),
        }
    }
}
