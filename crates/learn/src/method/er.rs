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

use super::buffer::{Draws, Reservoir, ReservoirRule, Slot, choose, from_list, gather, to_list};
use super::{Method, MethodContext, MethodSpec, Passes, Step, batch_gradient, invalid};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::seed::Seeds;
use crate::settings::{SettingsSpec, by_profile, typed};
use crate::stream::Task;

crate::settings! {
    /// ER's settings. The memory has M times as many slots as the data set has classes.
    pub struct ErConfig {
        /// M: slots of the memory for every class of the data set.
        memory_per_class: usize as super::buffer::MEMORY_PER_CLASS;
        /// Whether ER may replay the present task, as the released code does.
        replay_current: bool = by_profile(false, true);
        /// How ER's memory samples the stream: uniform, batch (as released).
        reservoir: ReservoirRule = by_profile(ReservoirRule::Uniform, ReservoirRule::Batch);
    }
}

/// Experience replay.
pub(super) static ER: MethodSpec = MethodSpec {
    name: "er",
    paper_name: "ER",
    description: "Experience replay: remembered examples are trained on with every batch.",
    source: "Chaudhry et al., arXiv 1902.10486, 2019",
    settings: SettingsSpec::of::<ErConfig>("er"),
    remembers_tasks: true,
    weights: &[],
    passes: |_| Passes {
        first: 1.0,
        later: 2.0,
    },
    build: |own, context| {
        let own = typed::<ErConfig>(own)?.clone();
        let MethodContext {
            batch_size,
            classes,
            seeds,
            ..
        } = *context;
        Ok(Box::new(Er::new(own, classes, batch_size, seeds)))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Er {
    config: ErConfig,
    /// Examples of a replay batch.
    batch_size: usize,
    draws: Draws,
    memory: Reservoir<Slot>,
    extra: Vec<f32>,
}

impl Er {
    /// ER over a data set of `classes` classes, with replay batches of `batch_size` examples.
    #[must_use]
    pub fn new(config: ErConfig, classes: usize, batch_size: usize, seeds: Seeds) -> Self {
        Self {
            memory: Reservoir::new(config.memory_per_class * classes, config.reservoir),
            config,
            batch_size,
            draws: Draws::new(seeds, 0),
            extra: Vec::new(),
        }
    }
}

impl Method for Er {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.draws.begin_task(t);
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        // The batch first, then the memory: the order in which batch-norm's statistics take them in.
        let loss = batch_gradient(learner, step.batch, gradient)?;
        if step.t > 0 {
            let eligible = self.memory.items().iter().copied();
            let eligible = eligible
                .filter(|slot| self.config.replay_current || (slot.task as usize) < step.t)
                .collect();
            let chosen = choose(eligible, self.batch_size, &mut self.draws.replay);
            if let Some(remembered) = gather(step.tasks, &chosen) {
                self.draws.replayed += remembered.len();
                batch_gradient(learner, &remembered, &mut self.extra)?;
                for (g, extra) in gradient.iter_mut().zip(&self.extra) {
                    *g += extra;
                }
            }
        }
        let seen = step.positions.iter().map(|&p| Slot::new(step.t, p));
        self.memory.add(seen, &mut self.draws.memorise);
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let state = State::new("er").with_counter("seen", self.memory.seen());
        let mut state = self.draws.with_state(state);
        state.put_list("memory", to_list(self.memory.items()));
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("er")?;
        let seen = state.counter("seen")?;
        let draws = self.draws.restored(&mut state)?;
        let slots = from_list(&state.take_list("memory")?, tasks);
        if !slots.is_some_and(|slots| self.memory.restore(slots, seen)) {
            return Err(invalid("memory"));
        }
        self.draws = draws;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    fn replayed_samples(&self) -> usize {
        self.draws.replayed
    }
}
