//! The training loop: tasks in order, epochs, batches, evaluation after every task.
//!
//! Owns the order of things in a run and nothing of what they compute: the stream makes batches, the method makes
//! gradients, the optimizer makes updates, the learner evaluates. Its result is a function of the configuration and the
//! data alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::RunError;
use super::benchmark::{MethodName, ModelName, OptimizerName};
use super::config::{RunConfig, Schedule};
use super::provenance::{Provenance, peak_rss_bytes};
use super::result::{AlphaResult, Cost, RunResult, SCHEMA};
use super::settings::SettingError;
use crate::data::{Dataset, ImageSet};
use crate::method::{Agem, Er, Ewc, Method, Plain, Slot, Step, gather};
use crate::metrics::{Metrics, TaskMatrix};
use crate::model::{
    Dropout, KernelResNet, Learner, MlpConfig, NetworkLearner, ReducedResNetConfig, stock_kernels,
};
use crate::optim::{Naive, NaiveKind, Optimizer, Tag};
use crate::seed::Seeds;
use crate::stream::{Batch, TaskStream};

/// Images per evaluation batch, as in the released code.
const EVALUATION_BATCH: usize = 256;

/// A data set in memory, shared by all runs of a process.
#[derive(Clone, Debug)]
pub struct SharedData {
    /// Training images.
    pub train: Arc<ImageSet>,
    /// Test images.
    pub test: Arc<ImageSet>,
    /// Checksum of both.
    pub sha256: String,
    /// What the source says of them.
    pub note: Option<String>,
}

impl SharedData {
    /// Takes a data set over.
    #[must_use]
    pub fn new(data: Dataset) -> Self {
        let sha256 = data.sha256();
        Self {
            train: Arc::new(data.train),
            test: Arc::new(data.test),
            sha256,
            note: data.note,
        }
    }
}

/// What happens in a run, for progress displays and event logs.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins.
    RunBegan {
        /// Tasks in the stream.
        tasks: usize,
        /// Training steps in all.
        steps: usize,
    },
    /// A training step was taken.
    Step {
        /// Task, from 1.
        task: usize,
        /// Steps so far in the run.
        step: usize,
        /// Loss of its batch.
        loss: f32,
    },
    /// An epoch ended.
    EpochEnded {
        /// Task, from 1.
        task: usize,
        /// Epoch, from 1.
        epoch: usize,
        /// Mean training loss over the epoch.
        loss: f64,
    },
    /// All tasks so far were evaluated.
    Evaluated {
        /// Task just learned, from 1.
        task: usize,
        /// Percent correct on tasks 1..=task.
        accuracies: Vec<f64>,
        /// Mean losses on tasks 1..=task.
        losses: Vec<f64>,
    },
}

impl Event {
    /// The event as a line of `events.jsonl`; `None` for steps, which are too many.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::RunBegan { tasks, steps } => {
                json!({"event": "run-began", "tasks": tasks, "steps": steps})
            }
            Self::Step { .. } => return None,
            Self::EpochEnded { task, epoch, loss } => {
                json!({"event": "epoch-ended", "task": task, "epoch": epoch, "loss": loss})
            }
            Self::Evaluated {
                task,
                accuracies,
                losses,
            } => {
                json!({"event": "evaluated", "task": task, "accuracies": accuracies, "losses": losses})
            }
        })
    }
}

/// What a run needs besides its configuration.
pub struct RunInput<'a> {
    /// The images.
    pub data: &'a SharedData,
    /// Initial weights, as a safetensors file.
    pub init: Option<&'a [u8]>,
    /// Threads inside the run; the result does not depend on it.
    pub threads: usize,
    /// Set to stop at the next step.
    pub stop: &'a AtomicBool,
}

/// A finished run.
pub struct Outcome {
    /// For `result.json`.
    pub result: RunResult,
    /// For `model.safetensors`.
    pub weights: Vec<u8>,
}

/// The network of a configuration for a head of `classes`, freshly initialised from the run's seeds.
///
/// # Errors
/// [`RunError`] if the initial weights do not fit.
pub fn build_learner(
    config: &RunConfig,
    classes: usize,
    init: Option<&[u8]>,
    threads: usize,
) -> Result<Box<dyn Learner>, RunError> {
    let device = Device::flex().autodiff();
    let seeds = Seeds::new(config.seed);
    let mut stream = seeds.stream("init");
    let dropout = Dropout::new(config.dropout as f32, seeds.stream("dropout"));
    let image = config.images().1;
    let mut learner: Box<dyn Learner> = match config.model {
        ModelName::Mlp => {
            let inputs = image.channels * image.height * image.width;
            let mlp = MlpConfig {
                inputs,
                hidden: config.hidden.unwrap_or(256),
                classes,
            };
            Box::new(NetworkLearner::new(
                mlp.init(&mut stream, &device),
                dropout,
                &device,
            ))
        }
        ModelName::ReducedResNet18 => {
            let resnet = ReducedResNetConfig {
                image,
                width: 20,
                classes,
            };
            if stock_kernels() {
                Box::new(NetworkLearner::new(
                    resnet.init(&mut stream, &device),
                    dropout,
                    &device,
                ))
            } else {
                Box::new(KernelResNet::new(&resnet, &mut stream, dropout, threads)?)
            }
        }
    };
    if let Some(expected) = &config.init_sha256 {
        let bytes = init.ok_or_else(|| SettingError::Missing {
            key: "init",
            remedy: format!("give the file of initial weights with checksum {expected}"),
        })?;
        let found = sha256(bytes);
        if found != *expected {
            let remedy = format!("its checksum must be {expected}, but the file given has {found}");
            return Err(SettingError::Missing {
                key: "init",
                remedy,
            }
            .into());
        }
        learner.load(bytes)?;
    }
    Ok(learner)
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    crate::data::image_set::hex(&Sha256::digest(bytes))
}

/// The optimizer of a configuration for this learner.
///
/// # Errors
/// [`RunError::Optimizer`] for hyper-parameters out of range.
pub fn build_optimizer(
    config: &RunConfig,
    learner: &dyn Learner,
) -> Result<Box<dyn Optimizer>, RunError> {
    let kind = match config.optimizer {
        OptimizerName::Sgd => {
            let parameters = learner.layout().len();
            return Ok(Box::new(Naive::sgd(parameters, config.momentum)?));
        }
        OptimizerName::RmsProp => NaiveKind::RmsProp,
        OptimizerName::Adagrad => NaiveKind::Adagrad,
        OptimizerName::Adam => NaiveKind::Adam,
        OptimizerName::TagRmsProp | OptimizerName::TagAdagrad | OptimizerName::TagAdam => {
            let tag = config.tag_config().ok_or_else(|| SettingError::Missing {
                key: "optimizer",
                remedy: "the configuration lacks TAG's settings".to_string(),
            })?;
            return Ok(Box::new(Tag::new(tag, learner.layout().clone())?));
        }
    };
    Ok(Box::new(Naive::new(kind, learner.layout().len())))
}

/// The method of a configuration. A method whose settings are missing is a configuration that was not made by
/// [`super::settings`].
fn build_method(config: &RunConfig) -> Result<Box<dyn Method>, RunError> {
    let seeds = Seeds::new(config.seed);
    let (batch, classes) = (config.batch_size, config.images().0);
    let missing = || {
        RunError::Setting(SettingError::Missing {
            key: "method",
            remedy: format!(
                "the configuration lacks the settings of {:?}",
                config.method
            ),
        })
    };
    Ok(match config.method {
        MethodName::Plain => Box::new(Plain),
        MethodName::Ewc => Box::new(Ewc::new(config.ewc.ok_or_else(missing)?, seeds)),
        MethodName::Agem => {
            let own = config.agem.ok_or_else(missing)?;
            Box::new(Agem::new(own, batch, seeds))
        }
        MethodName::Er => {
            let own = config.er.ok_or_else(missing)?;
            Box::new(Er::new(own, classes, batch, seeds))
        }
    })
}

/// Executes one run in memory.
///
/// # Errors
/// [`RunError`]; [`RunError::Interrupted`] when told to stop.
pub fn train(
    config: &RunConfig,
    input: &RunInput<'_>,
    observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
) -> Result<Outcome, RunError> {
    let began = Instant::now();
    let provenance = Provenance::now(
        &input.data.sha256,
        input.data.note.as_deref(),
        input.threads,
    );
    let seeds = Seeds::new(config.seed);
    let stream =
        TaskStream::from_sets(&config.stream(), &input.data.train, &input.data.test, seeds)?;
    check_batches(config, &stream)?;
    let learner = build_learner(config, stream.classes(), input.init, input.threads)?;
    let optimizer = build_optimizer(config, learner.as_ref())?;
    let mut run = Run {
        config,
        input,
        stream,
        learner,
        optimizer,
        method: build_method(config)?,
        cost: Cost::default(),
        accuracy: TaskMatrix::default(),
        loss: TaskMatrix::default(),
    };
    let steps = run
        .stream
        .tasks()
        .iter()
        .map(|t| config.steps_of(t.train.len()))
        .sum::<usize>();
    let tasks = run.stream.tasks().len();
    observer(&Event::RunBegan {
        tasks,
        steps: steps * config.epochs * config.schedule.rounds(),
    })?;
    match config.schedule {
        Schedule::Sequential => {
            for t in 0..tasks {
                run.learn(t, 0, observer)?;
                run.evaluate(t, observer)?;
            }
        }
        Schedule::Cyclic => {
            for round in 0..config.schedule.rounds() {
                for t in 0..tasks {
                    run.learn(t, round, observer)?;
                }
            }
            run.evaluate(tasks.saturating_sub(1), observer)?;
        }
        Schedule::Joint => {
            run.learn_jointly(observer)?;
            run.evaluate(tasks.saturating_sub(1), observer)?;
        }
    }
    run.cost.wall_s = began.elapsed().as_secs_f64();
    run.finish(provenance)
}

/// Refuses tasks that would have no step because their only batch is not full.
fn check_batches(config: &RunConfig, stream: &TaskStream) -> Result<(), SettingError> {
    let smallest = stream.tasks().iter().map(|task| task.train.len()).min();
    if config.drop_last && smallest.is_some_and(|least| least < config.batch_size) {
        return Err(SettingError::Missing {
            key: "drop_last",
            remedy: format!(
                "a task has {} training images, less than a batch of {}, and batches that are not full are left out: \
                 set drop_last = false or a smaller batch_size",
                smallest.unwrap_or(0),
                config.batch_size
            ),
        });
    }
    Ok(())
}

/// Where in a run a training step is.
#[derive(Clone, Copy)]
struct Place {
    /// Task, from 0.
    t: usize,
    /// Step within the task, from 1.
    number: usize,
    /// Learning rate in force.
    lr: f64,
}

/// Ends a task when the validation loss has not fallen below its minimum for `patience` epochs.
struct EarlyStopping {
    patience: Option<usize>,
    best: f64,
    worse: usize,
}

impl EarlyStopping {
    fn new(patience: Option<usize>) -> Self {
        Self {
            patience,
            best: f64::INFINITY,
            worse: 0,
        }
    }

    fn says_stop(&mut self, loss: f64) -> bool {
        if loss < self.best {
            (self.best, self.worse) = (loss, 0);
        } else {
            self.worse += 1;
        }
        self.patience.is_some_and(|patience| self.worse >= patience)
    }
}

/// A run under way.
struct Run<'a> {
    config: &'a RunConfig,
    input: &'a RunInput<'a>,
    stream: TaskStream,
    learner: Box<dyn Learner>,
    optimizer: Box<dyn Optimizer>,
    method: Box<dyn Method>,
    cost: Cost,
    accuracy: TaskMatrix,
    loss: TaskMatrix,
}

impl Run<'_> {
    /// Trains on task `t` (from 0) in round `round` (from 0).
    fn learn(
        &mut self,
        t: usize,
        round: usize,
        observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let began = Instant::now();
        let examples = self.stream.tasks().get(t).map_or(0, |t| t.train.len());
        let lr = match self.config.schedule {
            Schedule::Sequential => self.config.learning_rate(t),
            _ => self.config.lr,
        };
        self.method.begin_task(t, self.learner.as_mut())?;
        self.optimizer.begin_task();
        let mut stopping = EarlyStopping::new(self.config.patience);
        let (mut number, mut gradient) = (0, Vec::new());
        for epoch in 0..self.config.epochs {
            self.optimizer.begin_epoch();
            let mut order: Vec<usize> = (0..examples).collect();
            let shuffle = round * self.config.epochs + epoch;
            Seeds::new(self.config.seed)
                .stream(&format!("shuffle/{t}/{shuffle}"))
                .shuffle(&mut order);
            let (mut loss_sum, mut batches) = (0.0, 0.0_f64);
            for positions in self.config.batches(&order) {
                number += 1;
                let Some(task) = self.stream.tasks().get(t) else {
                    return Ok(());
                };
                let batch = task.train.batch(positions);
                let place = Place { t, number, lr };
                let loss = self.step(place, positions, &batch, &mut gradient, observer)?;
                loss_sum += f64::from(loss);
                batches += 1.0;
            }
            observer(&Event::EpochEnded {
                task: t + 1,
                epoch: epoch + 1,
                loss: loss_sum / batches.max(1.0),
            })?;
            if self.validation_says_stop(t, &mut stopping)? {
                break;
            }
        }
        self.method
            .end_task(t, self.stream.tasks(), self.learner.as_mut())?;
        self.optimizer.end_task();
        self.cost.train_s += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// Trains on the shuffled union of all tasks; every example competes in its own task's slice of the head.
    fn learn_jointly(
        &mut self,
        observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let began = Instant::now();
        let tasks = self.stream.tasks().iter().enumerate();
        let union: Vec<Slot> = tasks
            .flat_map(|(t, task)| (0..task.train.len()).map(move |i| Slot::new(t, i)))
            .collect();
        let last = self.stream.tasks().len().saturating_sub(1);
        self.optimizer.begin_task();
        let (mut number, mut gradient) = (0, Vec::new());
        for epoch in 0..self.config.epochs {
            self.optimizer.begin_epoch();
            let mut order = union.clone();
            Seeds::new(self.config.seed)
                .stream(&format!("shuffle/joint/{epoch}"))
                .shuffle(&mut order);
            let (mut loss_sum, mut batches) = (0.0, 0.0_f64);
            for slots in self.config.batches(&order) {
                number += 1;
                let Some(batch) = gather(self.stream.tasks(), slots) else {
                    continue;
                };
                let place = Place {
                    t: last,
                    number,
                    lr: self.config.lr,
                };
                let loss = self.step(place, &[], &batch, &mut gradient, observer)?;
                loss_sum += f64::from(loss);
                batches += 1.0;
            }
            observer(&Event::EpochEnded {
                task: last + 1,
                epoch: epoch + 1,
                loss: loss_sum / batches.max(1.0),
            })?;
        }
        self.optimizer.end_task();
        self.cost.train_s += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// One training step; `positions` say where the batch lies in the present task, if it lies in one.
    fn step(
        &mut self,
        place: Place,
        positions: &[usize],
        batch: &Batch,
        gradient: &mut Vec<f32>,
        observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
    ) -> Result<f32, RunError> {
        let Place { t, number, lr } = place;
        if self.input.stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        let not_finite = |what: String| RunError::NonFinite {
            task: t + 1,
            step: number,
            what,
            lr,
        };
        let step = Step {
            tasks: self.stream.tasks(),
            t,
            positions,
            batch,
        };
        let loss = self
            .method
            .gradient(self.learner.as_mut(), &step, gradient)?;
        if !loss.is_finite() {
            return Err(not_finite("the loss".to_string()));
        }
        let optimizer = &mut self.optimizer;
        self.learner
            .update(&mut |theta| optimizer.step(theta, gradient, lr as f32))?;
        if let Some(slot) = self
            .learner
            .layout()
            .first_non_finite(self.learner.parameters())
        {
            return Err(not_finite(format!("the parameter tensor `{}`", slot.name)));
        }
        self.cost.steps += 1;
        self.cost.samples += batch.len();
        observer(&Event::Step {
            task: t + 1,
            step: self.cost.steps,
            loss,
        })?;
        Ok(loss)
    }

    /// Whether the loss on the task's validation images has stopped falling.
    fn validation_says_stop(
        &mut self,
        t: usize,
        stopping: &mut EarlyStopping,
    ) -> Result<bool, RunError> {
        let task = self.stream.tasks().get(t);
        let Some(held) = task.and_then(|task| task.validation.as_ref()) else {
            return Ok(false);
        };
        if stopping.patience.is_none() {
            return Ok(false);
        }
        let (learner, threads) = (&mut self.learner, self.input.threads);
        let evaluation = learner.evaluate(held, EVALUATION_BATCH, threads)?;
        Ok(stopping.says_stop(evaluation.loss()))
    }

    /// Evaluates all tasks up to `t`.
    fn evaluate(
        &mut self,
        t: usize,
        observer: &mut dyn FnMut(&Event) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let began = Instant::now();
        let (mut accuracies, mut losses) = (Vec::new(), Vec::new());
        for task in self.stream.tasks().iter().take(t + 1) {
            if self.input.stop.load(Ordering::Relaxed) {
                return Err(RunError::Interrupted);
            }
            let evaluation =
                self.learner
                    .evaluate(&task.test, EVALUATION_BATCH, self.input.threads)?;
            accuracies.push(evaluation.accuracy());
            losses.push(evaluation.loss());
        }
        self.cost.eval_s += began.elapsed().as_secs_f64();
        let not_finite = |_| {
            let what = "the loss on a test set".to_string();
            RunError::NonFinite {
                task: t + 1,
                step: 0,
                what,
                lr: self.config.learning_rate(t),
            }
        };
        if self.config.schedule == Schedule::Sequential {
            self.accuracy.push(accuracies.clone()).map_err(not_finite)?;
            self.loss.push(losses.clone()).map_err(not_finite)?;
        } else {
            self.accuracy = TaskMatrix::only_final(accuracies.clone()).map_err(not_finite)?;
            self.loss = TaskMatrix::only_final(losses.clone()).map_err(not_finite)?;
        }
        observer(&Event::Evaluated {
            task: t + 1,
            accuracies,
            losses,
        })
    }

    fn finish(mut self, provenance: Provenance) -> Result<Outcome, RunError> {
        self.cost.optimizer_state_bytes = self.optimizer.state_bytes();
        self.cost.replay_bytes = self.method.memory_bytes();
        self.cost.replayed_samples = self.method.replayed_samples();
        self.cost.peak_rss_bytes = peak_rss_bytes();
        let weights = self
            .learner
            .weights()
            .map_err(crate::model::LearnerError::from)?;
        let metrics = Metrics::of(&self.accuracy)
            .ok_or(RunError::Stream(crate::stream::StreamError::NoTasks))?;
        let result = RunResult {
            schema: SCHEMA,
            run_id: self.config.run_id(),
            config: self.config.clone(),
            metrics,
            accuracy_matrix: self.accuracy,
            loss_matrix: self.loss,
            alpha: self
                .optimizer
                .alpha()
                .map(|record| AlphaResult::of(record, self.learner.layout())),
            cost: self.cost,
            provenance,
        };
        Ok(Outcome { result, weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_waits_for_as_many_epochs_as_it_has_patience() {
        let mut stopping = EarlyStopping::new(Some(2));
        let answers = [3.0, 2.0, 2.5, 1.5, 1.5, 1.6].map(|loss| stopping.says_stop(loss));
        assert_eq!(answers, [false, false, false, false, false, true]);
        let mut never = EarlyStopping::new(None);
        assert!((0..100).all(|_| !never.says_stop(1.0)));
    }
}
