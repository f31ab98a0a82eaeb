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

use super::buffer::{Reservoir, ReservoirRule, Slot, choose, from_list, gather, to_list};
use super::{Method, MethodContext, MethodSpec, Passes, Step, batch_gradient, invalid, list};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::seed::{SeedStream, Seeds};
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
    seeds: Seeds,
    /// The present task, which names the streams.
    task: usize,
    /// Which examples are replayed.
    replay: SeedStream,
    /// Which examples are remembered.
    memorise: SeedStream,
    memory: Reservoir<Slot>,
    replayed: usize,
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
            seeds,
            task: 0,
            replay: seeds.stream("replay/0"),
            memorise: seeds.stream("reservoir/0"),
            replayed: 0,
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
        self.task = t;
        self.replay = self.seeds.stream(&format!("replay/{t}"));
        self.memorise = self.seeds.stream(&format!("reservoir/{t}"));
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
            let chosen = choose(eligible, self.batch_size, &mut self.replay);
            if let Some(remembered) = gather(step.tasks, &chosen) {
                self.replayed += remembered.len();
                batch_gradient(learner, &remembered, &mut self.extra)?;
                for (g, extra) in gradient.iter_mut().zip(&self.extra) {
                    *g += extra;
                }
            }
        }
        let seen = step.positions.iter().map(|&p| Slot::new(step.t, p));
        self.memory.add(seen, &mut self.memorise);
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("er")
            .with_counter("task", self.task)
            .with_counter("seen", self.memory.seen())
            .with_counter("replayed", self.replayed);
        let streams = [self.replay.position(), self.memorise.position()];
        state.put_list("streams", streams.to_vec());
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
        let (task, seen) = (state.counter("task")?, state.counter("seen")?);
        let replayed = state.counter("replayed")?;
        let [replay, memorise] = list(&mut state, "streams")?;
        let slots = from_list(&state.take_list("memory")?, tasks);
        if !slots.is_some_and(|slots| self.memory.restore(slots, seen)) {
            return Err(invalid("memory"));
        }
        (self.task, self.replayed) = (task, replayed);
        self.replay = self.seeds.stream(&format!("replay/{task}"));
        self.replay.seek(replay);
        self.memorise = self.seeds.stream(&format!("reservoir/{task}"));
        self.memorise.seek(memorise);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    fn replayed_samples(&self) -> usize {
        self.replayed
    }
}
