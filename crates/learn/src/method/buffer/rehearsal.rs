//! A memory with what is drawn from it: the part that methods with replay have in common.

use super::{Draws, Memory, Slot, choose, gather};
use crate::method::{MethodContext, Step};
use crate::model::LearnerError;
use crate::optim::State;
use crate::seed::SeedStream;
use crate::stream::{Batch, Task};

/// Remembered examples, the streams that choose among them, and the usual size of a draw.
#[derive(Clone, Debug)]
pub(in crate::method) struct Rehearsal {
    /// Examples of a replay batch: as many as of a training batch.
    pub(in crate::method) batch_size: usize,
    draws: Draws,
    memory: Memory,
}

impl Rehearsal {
    /// An empty one.
    pub(in crate::method) fn new(memory: Memory, context: &MethodContext) -> Self {
        Self {
            batch_size: context.batch_size,
            draws: Draws::new(context.seeds, 0),
            memory,
        }
    }

    /// Goes on to the streams of task `t`.
    pub(in crate::method) fn begin_task(&mut self, t: usize) {
        self.draws.begin_task(t);
    }

    /// What is remembered.
    pub(in crate::method) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The stream that replay draws from.
    pub(in crate::method) fn stream(&mut self) -> &mut SeedStream {
        &mut self.draws.replay
    }

    /// Up to `count` of the remembered examples of tasks before `below`, without replacement; none without any.
    pub(in crate::method) fn draw(
        &mut self,
        tasks: &[Task],
        below: usize,
        count: usize,
    ) -> Option<Batch> {
        let chosen = choose(self.memory.before(below), count, &mut self.draws.replay);
        gather(tasks, &chosen)
    }

    /// So many examples were replayed.
    pub(in crate::method) fn count(&mut self, examples: usize) {
        self.draws.replayed += examples;
    }

    /// Takes a step's batch in.
    pub(in crate::method) fn remember(&mut self, step: &Step<'_>) {
        let seen = step.positions.iter().map(|&p| Slot::new(step.t, p));
        let seen = seen.zip(step.batch.labels.iter().copied());
        self.memory.add(seen, &mut self.draws.memorise);
    }

    /// The snapshot with all of it.
    pub(in crate::method) fn with_state<'a>(&self, state: State<'a>) -> State<'a> {
        self.memory.with_state(self.draws.with_state(state))
    }

    /// Takes all of it out of a snapshot; nothing changes after an error.
    pub(in crate::method) fn restore(
        &mut self,
        state: &mut State<'_>,
        tasks: &[Task],
    ) -> Result<(), LearnerError> {
        let memory = self.memory.restored(state, tasks)?;
        self.draws = self.draws.restored(state)?;
        self.memory = memory;
        Ok(())
    }

    /// Bytes of the remembered examples.
    pub(in crate::method) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Examples replayed so far.
    pub(in crate::method) fn replayed(&self) -> usize {
        self.draws.replayed
    }
}

/// The part of [`Method`](crate::method::Method) that is its field `rehearsal` alone: the streams of a task, the snapshot of this
/// kind, and what the memory holds.
macro_rules! rehearses {
    ($kind:literal) => {
        fn begin_task(
            &mut self,
            t: usize,
            _tasks: &[$crate::stream::Task],
            _learner: &mut dyn $crate::model::Learner,
        ) -> Result<(), $crate::model::LearnerError> {
            self.rehearsal.begin_task(t);
            Ok(())
        }

        fn state(&self) -> $crate::optim::State<'_> {
            self.rehearsal.with_state($crate::optim::State::new($kind))
        }

        fn restore(
            &mut self,
            mut state: $crate::optim::State<'_>,
            tasks: &[$crate::stream::Task],
            _learner: &mut dyn $crate::model::Learner,
        ) -> Result<(), $crate::model::LearnerError> {
            state.expect_kind($kind)?;
            self.rehearsal.restore(&mut state, tasks)
        }

        fn memory_bytes(&self) -> usize {
            self.rehearsal.bytes()
        }

        fn replayed_samples(&self) -> usize {
            self.rehearsal.replayed()
        }
    };
}
pub(in crate::method) use rehearses;
