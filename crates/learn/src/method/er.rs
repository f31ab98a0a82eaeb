//! ER: experience replay with a reservoir (Chaudhry, Rohrbach, Elhoseiny, Ajanthan, Dokania, Torr, Ranzato; 2019,
//! "On tiny episodic memories in continual learning").
//!
//! Every step adds the gradient of a batch of remembered examples to that of the batch (their losses are summed, so the
//! step may be twice as long). The memory holds M × classes examples of the whole stream, chosen by reservoir sampling;
//! it replays from the second task on.
//!
//! Settings of the profiles: the released code may replay examples of the present task
//! ([`ErConfig::replay_current`]), where the TAG paper says that it does not (p. 16), and its reservoir does not count
//! a batch's own examples ([`ReservoirRule::Batch`]).

use super::buffer::{Memory, MemoryKind, MemorySize, Rehearsal, ReservoirRule, rehearses};
use super::{Method, MethodContext, MethodSpec, Passes, Step, add, batch_gradient};
use crate::model::{Learner, LearnerError};
use crate::settings::{SettingError, SettingsSpec, Stored, by_profile, fixed, typed};
use crate::stream::Batch;

crate::settings! {
    /// ER's settings. The memory has M times as many slots as the data set has classes.
    pub struct ErConfig {
        /// M: slots of the memory for every class of the data set.
        memory_per_class: usize as super::buffer::MEMORY_PER_CLASS;
        /// Which examples are remembered.
        memory: MemoryKind as super::buffer::MEMORY_RESERVOIR;
        /// Examples a task, instead of a number a class.
        memory_per_task: Option<usize> as super::buffer::MEMORY_PER_TASK;
        /// Examples in all, instead of a number a class.
        memory_total: Option<usize> as super::buffer::MEMORY_TOTAL;
        /// Whether ER may replay the present task, as the released code does.
        replay_current: bool = by_profile(false, true);
        /// How ER's memory samples the stream: uniform, batch (as released).
        reservoir: ReservoirRule = by_profile(ReservoirRule::Uniform, ReservoirRule::Batch);
        /// Whether ER replays in the first task, too (where it may replay the present task).
        replay_first: bool = fixed(false), stored Stored::Unless("false");
        /// How the two losses become one: their sum, or the mean over the examples of both, which pass the network together.
        replay_loss: ReplayLoss = fixed(ReplayLoss::Sum), stored Stored::Unless("sum");
    }
}

/// How the losses of a batch and of what is replayed become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayLoss {
    /// Their sum; each passes the network by itself.
    Sum,
    /// The mean over the examples of both, which pass the network as one batch.
    Joint,
}

crate::choices!(ReplayLoss { "sum" => Sum, "joint" => Joint });

/// Experience replay.
pub(super) static ER: MethodSpec = MethodSpec {
    name: "er",
    paper_name: "ER",
    description: "Experience replay: remembered examples are trained on with every batch.",
    source: "Chaudhry et al., arXiv 1902.10486, 2019",
    settings: SettingsSpec::of::<ErConfig>("er"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    passes: |own| {
        let first = own.get::<ErConfig>().is_some_and(|own| own.replay_first);
        Passes {
            first: if first { 2.0 } else { 1.0 },
            later: 2.0,
        }
    },
    build: |own, context| {
        let own = typed::<ErConfig>(own)?.clone();
        Ok(Box::new(Er::new(own, context)?))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Er {
    config: ErConfig,
    rehearsal: Rehearsal,
    extra: Vec<f32>,
}

impl Er {
    /// ER with replay batches as large as training batches.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] for a memory that cannot be.
    pub fn new(config: ErConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let size = MemorySize::of(
            config.memory_per_class,
            config.memory_per_task,
            config.memory_total,
        )?;
        let memory = Memory::new(config.memory, size, config.reservoir, context)?;
        Ok(Self {
            config,
            rehearsal: Rehearsal::new(memory, context),
            extra: Vec::new(),
        })
    }

    /// What is replayed beside a batch of task `t`.
    fn replayed(&mut self, step: &Step<'_>) -> Option<Batch> {
        if step.t == 0 && !self.config.replay_first {
            return None;
        }
        let below = if self.config.replay_current {
            usize::MAX
        } else {
            step.t
        };
        let count = self.rehearsal.batch_size;
        let batch = self.rehearsal.draw(step.tasks, below, count)?;
        self.rehearsal.count(batch.len());
        Some(batch)
    }
}

impl Method for Er {
    rehearses!("er");

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let loss = match (self.config.replay_loss, self.replayed(step)) {
            (_, None) => batch_gradient(learner, step.batch, gradient)?,
            (ReplayLoss::Joint, Some(remembered)) => {
                let mut both = step.batch.clone();
                both.append(remembered);
                batch_gradient(learner, &both, gradient)?
            }
            (ReplayLoss::Sum, Some(remembered)) => {
                // The batch first, then the memory: the order in which batch-norm's statistics take them in.
                let loss = batch_gradient(learner, step.batch, gradient)?;
                batch_gradient(learner, &remembered, &mut self.extra)?;
                add(gradient, 1.0, &self.extra);
                loss
            }
        };
        self.rehearsal.remember(step);
        Ok(loss)
    }
}
