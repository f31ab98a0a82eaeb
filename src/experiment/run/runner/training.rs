//! A run under way, as a state machine.
//!
//! Owns the order in which stream, method, optimizer and learner meet. [`Run::advance`] does one thing and moves the
//! [`Place`]; between two calls, the run *is* its [`Progress`] and the states of learner, optimizer and method. So a
//! checkpoint is those four, taken between any two calls, and a resumed run does what the first one would have done.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::build::{build_method, build_optimizer, start_learner};
use super::checks::{check_batches, check_optimizer, knobs, no_raw_gradient};
use super::place::{Phase, Place, Visit, visits};
use super::{Event, Outcome, RunInput};
use crate::experiment::RunError;
use crate::experiment::plan::config::{Evaluate, RunConfig};
use crate::experiment::run::checkpoint::{Checkpoint, Unusable};
use crate::experiment::run::provenance::{Provenance, peak_rss_bytes};
use crate::experiment::run::result::{
    AlphaResult, Cost, InitialWeights, RunResult, SCHEMA, TaskClasses,
};
use crate::method::{Method, Slot, Step, TaskEnd, gather};
use crate::metrics::{Further, Metrics, TaskMatrix, Within};
use crate::model::{Learner, LearnerError, Tap, describe_weights};
use crate::optim::Optimizer;
use crate::stream::{Batch, Samples, Task, TaskStream};

/// What a run has come to, but for what learner, optimizer and method hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    pub(super) place: Place,
    pub(super) accuracy: TaskMatrix,
    pub(super) loss: TaskMatrix,
    /// Percent correct on tasks to come: before training, and after every task.
    #[serde(default)]
    pub(super) ahead: Vec<Vec<f64>>,
    /// Evaluations within tasks.
    #[serde(default)]
    pub(super) within: Vec<Within>,
    /// Seconds add up over interruptions.
    cost: Cost,
    /// Lines of `events.jsonl` that the run has written.
    lines: usize,
    /// When the first process began, in UTC.
    started: String,
    /// How often the run went on from a checkpoint.
    resumed: usize,
}

/// Passes events on and counts those that are logged.
pub(super) type Observer<'a> = dyn FnMut(&Event) -> Result<(), RunError> + 'a;

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) input: &'a RunInput<'a>,
    pub(super) stream: TaskStream,
    /// What each task is measured on.
    pub(super) measured: Vec<Samples>,
    pub(super) visits: Vec<Visit>,
    pub(super) learner: Box<dyn Learner>,
    initial_weights: Option<InitialWeights>,
    optimizer: Box<dyn Optimizer>,
    pub(super) method: Box<dyn Method>,
    pub(super) progress: Progress,
    provenance: Provenance,
    /// When this process began, and the run's seconds before.
    began: (Instant, f64),
    /// The present epoch's order, made anew whenever it is of another place.
    order: Option<((usize, usize), Vec<Slot>)>,
    gradient: Vec<f32>,
    /// The batch's own gradient, for optimizers that want it.
    raw: Vec<f32>,
}

/// The images on which a task's accuracy is measured.
fn measured(config: &RunConfig, task: &Task) -> Samples {
    let images = match (config.evaluate, &task.validation) {
        (Evaluate::Validation, Some(held)) => held,
        _ => &task.test,
    };
    images.share(config.test_fraction)
}

/// The tasks that have come by the visit of this number: what a method may see.
fn seen<'a>(visits: &[Visit], number: usize, tasks: &'a [Task]) -> &'a [Task] {
    let so_far = visits.get(..=number).unwrap_or(visits).iter();
    let newest = so_far.map(|visit| visit.task()).max();
    let count = newest.map_or(0, |newest| newest + 1);
    tasks.get(..count).unwrap_or(tasks)
}

/// What comes after a step, and the evaluation after it.
pub(super) fn next_phase(config: &RunConfig, place: &Place, examples: usize) -> Phase {
    if place.batch >= config.steps_of(examples) {
        Phase::EndEpoch
    } else {
        Phase::Step
    }
}

impl<'a> Run<'a> {
    /// A run at its beginning.
    pub(super) fn new(config: &'a RunConfig, input: &'a RunInput<'a>) -> Result<Self, RunError> {
        let began = (Instant::now(), 0.0);
        let data = input.data;
        let provenance = Provenance::now(&data.sha256, data.note.as_deref(), input.threads);
        let seeds = config.stream_seeds();
        let stream = TaskStream::from_sets(&config.stream(), &data.train, &data.test, seeds)?;
        let visits = visits(config.schedule, stream.tasks().len());
        check_batches(config, &visits, &stream)?;
        let (learner, initial_weights) =
            start_learner(config, stream.classes(), input.init, input.threads)?;
        let optimizer = build_optimizer(config, learner.as_ref())?;
        let method = build_method(config, learner.as_ref())?;
        check_optimizer(config, method.as_ref())?;
        let progress = Progress {
            started: provenance.started.clone(),
            ..Progress::default()
        };
        let measured = stream.tasks().iter().map(|task| measured(config, task));
        let mut run = Self {
            config,
            input,
            measured: measured.collect(),
            stream,
            visits,
            learner,
            initial_weights,
            optimizer,
            method,
            progress,
            provenance,
            began,
            order: None,
            gradient: Vec::new(),
            raw: Vec::new(),
        };
        run.arrive(0);
        Ok(run)
    }

    /// The tasks of the visit of this number have come: what competes for an example changes in class-incremental learning.
    fn arrive(&mut self, number: usize) {
        let Some(visit) = self.visits.get(number).copied() else {
            return;
        };
        let come = seen(&self.visits, number, self.stream.tasks()).len();
        let present = match visit {
            Visit::Task { t, .. } => Some(t),
            Visit::Union { .. } => None,
        };
        self.stream.arrive(present, come);
        for (images, task) in self.measured.iter_mut().zip(self.stream.tasks()) {
            images.set_competing(task.test.competing().clone());
        }
    }

    /// Most bytes that a checkpoint of this run may have, generously: parameters and moments, α, what a memory can have
    /// seen, what a method gathers task by task, and the rest.
    pub(super) fn checkpoint_limit(&self) -> u64 {
        let layout = self.learner.layout();
        let (values, tensors) = (layout.len() as u64, layout.slots().len() as u64);
        let tasks = self.stream.tasks().len() as u64 + 1;
        let examples: usize = self.stream.tasks().iter().map(|t| t.train.len()).sum();
        let seen = (examples as u64).saturating_mul(self.config.epochs as u64);
        let moments = (2 * tasks + 16).saturating_mul(4 * values);
        let matrices = (8 * tensors + 64).saturating_mul(tasks * tasks);
        (1_u64 << 26)
            .saturating_add(moments)
            .saturating_add(matrices)
            .saturating_add(seen.saturating_mul(64))
            .saturating_add(self.method.growing_bytes(layout, self.stream.tasks().len()))
    }

    /// What a checkpoint of the run here and now holds.
    pub(super) fn checkpoint(&self) -> Checkpoint<'_, Progress> {
        Checkpoint {
            progress: Progress {
                cost: self.cost(),
                ..self.progress.clone()
            },
            learner: self.learner.state(),
            optimizer: self.optimizer.state(),
            method: self.method.state(),
        }
    }

    /// Puts a run at its beginning where a checkpoint says. After an error nothing may be trusted.
    pub(super) fn restore(
        &mut self,
        checkpoint: Checkpoint<'static, Progress>,
    ) -> Result<(), Unusable> {
        let contradicts = |what: &str| Unusable::Content(format!("{what} cannot be of this run"));
        let progress = checkpoint.progress;
        let tasks = self.stream.tasks();
        let batches = |visit: Visit| self.config.steps_of(visit.examples(tasks));
        let place = &progress.place;
        if let Some(what) = place.contradiction(self.config, &self.visits, tasks.len(), batches) {
            return Err(contradicts(what));
        }
        let evaluated = if self.config.schedule.comes_task_by_task() {
            place.visit
        } else {
            0
        };
        let tasks_of_run = tasks.len();
        let further = Further {
            within: &progress.within,
            ..Further::default()
        };
        let rows = progress.ahead.iter().enumerate();
        let odd = |(i, row): (usize, &Vec<f64>)| row.len() + i != tasks_of_run;
        if further.contradiction(tasks_of_run).is_some() || rows.clone().any(odd) {
            return Err(contradicts("its further evaluations"));
        }
        for matrix in [&progress.accuracy, &progress.loss] {
            let sound = TaskMatrix::new(matrix.rows().to_vec()).is_ok();
            if !sound || matrix.rows().len() != evaluated {
                return Err(contradicts("its matrix"));
            }
        }
        let content = |e: &dyn std::fmt::Display| Unusable::Content(e.to_string());
        let visit = place.visit;
        self.arrive(visit);
        let seen = seen(&self.visits, visit, self.stream.tasks());
        self.optimizer
            .restore(checkpoint.optimizer)
            .map_err(|e| content(&e))?;
        self.learner
            .restore(checkpoint.learner)
            .map_err(|e| content(&e))?;
        self.method
            .restore(checkpoint.method, seen, self.learner.as_mut())
            .map_err(|e| content(&e))?;
        self.began.1 = progress.cost.wall_s;
        self.progress = progress;
        self.progress.resumed += 1;
        Ok(())
    }

    pub(super) fn is_finished(&self) -> bool {
        self.progress.place.phase == Phase::Finished || self.visits.is_empty()
    }

    /// The event that this process begins with.
    pub(super) fn beginning(&self) -> Event {
        let tasks = self.stream.tasks();
        let visits = self.visits.iter();
        let batches = visits.map(|visit| self.config.steps_of(visit.examples(tasks)));
        let (steps, tasks) = (batches.sum::<usize>() * self.config.epochs, tasks.len());
        if self.progress.resumed == 0 {
            return Event::RunBegan { tasks, steps };
        }
        let place = &self.progress.place;
        let visit = self.visits.get(place.visit);
        Event::Resumed {
            tasks,
            steps,
            step: self.progress.cost.steps,
            task: visit.map_or(0, |visit| visit.task()) + 1,
            epoch: (place.epoch + 1).min(self.config.epochs),
            lines: self.progress.lines,
        }
    }

    /// Tells an event that is the run's own.
    pub(super) fn tell(
        &mut self,
        event: &Event,
        observer: &mut Observer<'_>,
    ) -> Result<(), RunError> {
        let line = event.to_json();
        if line.is_some_and(|line| Event::is_of_the_run(&line)) {
            self.progress.lines += 1;
        }
        observer(event)
    }

    /// Does what comes next.
    pub(super) fn advance(&mut self, observer: &mut Observer<'_>) -> Result<(), RunError> {
        let began = Instant::now();
        let phase = self.progress.place.phase;
        let Some(visit) = self.visits.get(self.progress.place.visit).copied() else {
            return Ok(());
        };
        match phase {
            Phase::BeginVisit if self.is_before_training() => self.evaluate_before_training()?,
            Phase::BeginVisit => self.begin_visit(visit)?,
            Phase::BeginEpoch => self.begin_epoch(visit),
            Phase::Step => self.step(visit, observer)?,
            Phase::Within => self.evaluate_within(visit)?,
            Phase::EndEpoch => self.end_epoch(visit, observer)?,
            Phase::EndVisit => self.end_visit(visit)?,
            Phase::Evaluate => self.evaluate(visit, observer)?,
            Phase::Finished => {}
        }
        let cost = &mut self.progress.cost;
        let seconds = match phase {
            Phase::Evaluate | Phase::Within => &mut cost.eval_s,
            _ => &mut cost.train_s,
        };
        *seconds += began.elapsed().as_secs_f64();
        Ok(())
    }

    fn begin_visit(&mut self, visit: Visit) -> Result<(), RunError> {
        self.arrive(self.progress.place.visit);
        if let Visit::Task { t, .. } = visit {
            let tasks = seen(&self.visits, self.progress.place.visit, self.stream.tasks());
            self.method.begin_task(t, tasks, self.learner.as_mut())?;
            if self.method.forgets_updates() {
                self.optimizer = build_optimizer(self.config, self.learner.as_ref())?;
            }
        }
        self.optimizer.begin_task();
        self.progress.place.phase = match self.config.epochs {
            0 => Phase::EndVisit,
            _ => Phase::BeginEpoch,
        };
        Ok(())
    }

    fn begin_epoch(&mut self, visit: Visit) {
        self.optimizer.begin_epoch();
        let place = &mut self.progress.place;
        (place.batch, place.loss_sum) = (0, 0.0);
        place.phase = match visit.examples(self.stream.tasks()) {
            0 => Phase::EndEpoch,
            _ => Phase::Step,
        };
    }

    /// The next batch: where its examples lie in the present task (nowhere, in a union), and the images.
    fn batch(&mut self, visit: Visit) -> Option<(Vec<usize>, Batch)> {
        let place = &self.progress.place;
        let (tasks, here) = (self.stream.tasks(), (place.visit, place.epoch));
        let order = match &mut self.order {
            Some((there, order)) if *there == here => order,
            stale => {
                let order = visit.order(self.config, tasks, place.epoch);
                &mut stale.insert((here, order)).1
            }
        };
        let slots = self.config.batch(order, place.batch)?;
        match visit {
            Visit::Task { t, .. } => {
                let positions: Vec<usize> = slots.iter().map(|s| s.position as usize).collect();
                let batch = tasks.get(t)?.train.batch(&positions);
                Some((positions, batch))
            }
            Visit::Union { .. } => Some((Vec::new(), gather(tasks, slots)?)),
        }
    }

    /// One training step.
    fn step(&mut self, visit: Visit, observer: &mut Observer<'_>) -> Result<(), RunError> {
        let Some((positions, batch)) = self.batch(visit) else {
            self.progress.place.phase = Phase::EndEpoch;
            return Ok(());
        };
        let t = visit.task();
        let lr = self.learning_rate(t);
        let number = self.progress.place.step + 1;
        let not_finite = |what: String| RunError::NonFinite {
            task: t + 1,
            step: number,
            what,
            knobs: knobs(self.config, lr),
        };
        let step = Step {
            tasks: seen(&self.visits, self.progress.place.visit, self.stream.tasks()),
            t,
            positions: &positions,
            batch: &batch,
            learning_rate: lr,
        };
        let (gradient, raw) = (&mut self.gradient, &mut self.raw);
        let loss = if self.optimizer.wants_raw_gradient() {
            let mut tap = Tap::new(self.learner.as_mut(), &batch, raw);
            let loss = self.method.gradient(&mut tap, &step, gradient)?;
            if !(tap.heard() && self.method.passes_batch_alone()) {
                return Err(no_raw_gradient(self.config).into());
            }
            loss
        } else {
            self.method
                .gradient(self.learner.as_mut(), &step, gradient)?
        };
        if !loss.is_finite() {
            return Err(not_finite("the loss".to_string()));
        }
        let optimizer = &mut self.optimizer;
        self.learner.update(&mut |theta| {
            if optimizer.wants_raw_gradient() {
                return optimizer.step_beside(theta, gradient, raw, lr as f32);
            }
            optimizer.step(theta, gradient, lr as f32)
        })?;
        if let Some(slot) = self
            .learner
            .layout()
            .first_non_finite(self.learner.parameters())
        {
            return Err(not_finite(format!("the parameter tensor `{}`", slot.name)));
        }
        self.method.after_update(self.learner.as_mut(), &step)?;
        let (place, cost) = (&mut self.progress.place, &mut self.progress.cost);
        cost.steps += 1;
        cost.samples += batch.len();
        place.step = number;
        place.batch += 1;
        place.loss_sum += f64::from(loss);
        place.phase = if self.config.evaluates_after(number) {
            Phase::Within
        } else {
            next_phase(self.config, place, visit.examples(self.stream.tasks()))
        };
        let event = Event::Step {
            task: t + 1,
            step: cost.steps,
            loss,
        };
        self.tell(&event, observer)
    }

    fn learning_rate(&self, t: usize) -> f64 {
        if self.config.schedule.comes_task_by_task() {
            self.config.learning_rate(t)
        } else {
            self.config.lr
        }
    }

    fn end_epoch(&mut self, visit: Visit, observer: &mut Observer<'_>) -> Result<(), RunError> {
        let t = visit.task();
        let validation_loss = self.judged_loss(t)?;
        let place = &self.progress.place;
        let event = Event::EpochEnded {
            task: t + 1,
            epoch: place.epoch + 1,
            loss: place.loss_sum / (place.batch as f64).max(1.0),
            validation_loss,
        };
        self.tell(&event, observer)?;
        let place = &mut self.progress.place;
        let judged = validation_loss.zip(self.config.patience);
        let stop = judged.is_some_and(|(loss, patience)| place.stopping.says_stop(patience, loss));
        place.epoch += 1;
        place.phase = if stop || place.epoch >= self.config.epochs {
            Phase::EndVisit
        } else {
            Phase::BeginEpoch
        };
        Ok(())
    }

    fn end_visit(&mut self, visit: Visit) -> Result<(), RunError> {
        if let Visit::Task { t, .. } = visit {
            let tasks = self.stream.tasks();
            let next = tasks.get(t + 1);
            let end = TaskEnd {
                tasks: seen(&self.visits, self.progress.place.visit, tasks),
                t,
                next_classes: next.map(|next| next.train.classes().into()),
            };
            self.method.end_task(&end, self.learner.as_mut())?;
        }
        self.optimizer.end_task();
        let next = self.progress.place.visit + 1;
        if self.config.schedule.comes_task_by_task() || next == self.visits.len() {
            self.progress.place.phase = Phase::Evaluate;
        } else {
            self.progress.place = Place::beginning_of(next);
        }
        Ok(())
    }

    /// The cost so far, over all processes.
    fn cost(&self) -> Cost {
        let (began, before) = self.began;
        Cost {
            wall_s: before + began.elapsed().as_secs_f64(),
            optimizer_state_bytes: self.optimizer.state_bytes(),
            replay_bytes: self.method.memory_bytes(),
            replayed_samples: self.method.replayed_samples(),
            peak_rss_bytes: peak_rss_bytes().max(self.progress.cost.peak_rss_bytes),
            ..self.progress.cost.clone()
        }
    }

    /// What is left behind.
    pub(super) fn finish(self) -> Result<Outcome, RunError> {
        let cost = self.cost();
        let run_id = self.config.run_id();
        let task_classes = TaskClasses::of(self.stream.tasks(), &self.input.data.class_names);
        let classes = serde_json::to_string(&task_classes).unwrap_or_default();
        let about = [("task_classes", &*classes)];
        let weights = self.learner.weights();
        let weights = weights
            .and_then(|file| describe_weights(&file, &about))
            .map_err(LearnerError::from)?;
        let measured_images: Vec<usize> = self.measured.iter().map(Samples::len).collect();
        let further = Further {
            images: &measured_images,
            ahead: &self.progress.ahead,
            within: &self.progress.within,
        };
        let metrics = Metrics::of_all(&self.progress.accuracy, &further)
            .ok_or(RunError::Stream(crate::stream::StreamError::NoTasks))?;
        let result = RunResult {
            schema: SCHEMA,
            run_id,
            config: self.config.clone(),
            metrics,
            accuracy_matrix: self.progress.accuracy,
            loss_matrix: self.progress.loss,
            measured_images,
            ahead_matrix: self.progress.ahead,
            within: self.progress.within,
            initial_weights: self.initial_weights,
            task_classes,
            alpha: self
                .optimizer
                .alpha()
                .map(|record| AlphaResult::of(record, self.learner.layout())),
            cost,
            provenance: Provenance {
                started: self.progress.started,
                resumed: self.progress.resumed,
                ..self.provenance
            },
        };
        Ok(Outcome { result, weights })
    }
}
