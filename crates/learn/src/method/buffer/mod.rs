//! Episodic memories: which earlier examples are remembered, and batches of them.
//!
//! Owns three ways to choose what is remembered: the ring (the newest M examples of every class, A-GEM), the reservoir (a
//! uniform sample of the whole stream, ER) and the balanced memory (as many examples of one class as of another, `GDumb`); and
//! [`Memory`], any of them behind the settings that size it. An example is remembered as task and position, eight bytes: its pixels are in the image set that the
//! stream shares anyway. A program that may not keep its training data would have to copy them. What else a method keeps
//! of an example (the logits that it had, say) is part of the reservoir's items.

mod balanced;
mod memory;
mod rehearsal;
mod reservoir;
mod ring;

pub use balanced::Balanced;
pub(super) use memory::{
    MEMORY_PER_CLASS, MEMORY_PER_TASK, MEMORY_RESERVOIR, MEMORY_RING, MEMORY_TOTAL,
    MEMORY_TOTAL_OF_ALL,
};
pub use memory::{Memory, MemoryKind, MemorySize};
pub(super) use rehearsal::{Rehearsal, rehearses};
pub use reservoir::{Reservoir, ReservoirRule};
pub use ring::Ring;

use super::list;
use crate::model::LearnerError;
use crate::optim::State;
use crate::seed::{SeedStream, Seeds};
use crate::stream::{Batch, Task};

/// A remembered example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Task, from 0.
    pub task: u32,
    /// Position in the task's training samples.
    pub position: u32,
}

impl Slot {
    /// The example at this position of this task.
    #[must_use]
    pub fn new(task: usize, position: usize) -> Self {
        Self {
            task: task as u32,
            position: position as u32,
        }
    }
}

/// What methods with a reservoir draw from: a stream for what is replayed and one for what is remembered, both named by
/// the task; and how much was replayed.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    seeds: Seeds,
    task: usize,
    /// Which examples are replayed.
    pub(super) replay: SeedStream,
    /// Which examples are remembered.
    pub(super) memorise: SeedStream,
    /// Examples replayed so far.
    pub(super) replayed: usize,
}

impl Draws {
    /// Those of a task of which nothing was drawn.
    pub(super) fn new(seeds: Seeds, task: usize) -> Self {
        Self {
            seeds,
            task,
            replay: seeds.stream(&format!("replay/{task}")),
            memorise: seeds.stream(&format!("reservoir/{task}")),
            replayed: 0,
        }
    }

    /// Goes on to the streams of another task.
    pub(super) fn begin_task(&mut self, task: usize) {
        let replayed = self.replayed;
        *self = Self {
            replayed,
            ..Self::new(self.seeds, task)
        };
    }

    /// The snapshot with these draws in it.
    pub(super) fn with_state<'a>(&self, state: State<'a>) -> State<'a> {
        let mut state = state
            .with_counter("task", self.task)
            .with_counter("replayed", self.replayed);
        let streams = [self.replay.position(), self.memorise.position()];
        state.put_list("streams", streams.to_vec());
        state
    }

    /// The draws of a snapshot.
    pub(super) fn restored(&self, state: &mut State<'_>) -> Result<Self, LearnerError> {
        let mut draws = Self::new(self.seeds, state.counter("task")?);
        draws.replayed = state.counter("replayed")?;
        let [replay, memorise] = list(state, "streams")?;
        draws.replay.seek(replay);
        draws.memorise.seek(memorise);
        Ok(draws)
    }
}

/// `count` of the items without replacement, every choice equally likely; all of them, in their order, where there are
/// no more than that.
pub(super) fn choose<T>(mut items: Vec<T>, count: usize, stream: &mut SeedStream) -> Vec<T> {
    if items.len() <= count {
        return items;
    }
    for i in 0..count {
        let j = i + stream.below((items.len() - i) as u32) as usize;
        items.swap(i, j);
    }
    items.truncate(count);
    items
}

/// The remembered examples as one batch, each competing among the classes of its own task; `None` without any.
#[must_use]
pub fn gather(tasks: &[Task], slots: &[Slot]) -> Option<Batch> {
    let mut batch: Option<Batch> = None;
    for slot in slots {
        let Some(task) = tasks.get(slot.task as usize) else {
            continue;
        };
        let one = task.train.batch(&[slot.position as usize]);
        match &mut batch {
            None => batch = Some(one),
            Some(batch) => batch.append(one),
        }
    }
    batch.filter(|batch| !batch.is_empty())
}

/// Slots as numbers: task and position in turn.
pub(super) fn to_list(slots: &[Slot]) -> Vec<u64> {
    let pairs = slots.iter();
    pairs
        .flat_map(|s| [u64::from(s.task), u64::from(s.position)])
        .collect()
}

/// Slots out of such numbers; `None` unless each is an example of these tasks.
pub(super) fn from_list(numbers: &[u64], tasks: &[Task]) -> Option<Vec<Slot>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    let slot = |&[task, position]: &[u64; 2]| {
        let task = usize::try_from(task).ok()?;
        let position = usize::try_from(position).ok()?;
        let there = position < tasks.get(task)?.train.len();
        there.then(|| Slot::new(task, position))
    };
    let slots = pairs.iter().map(slot).collect();
    if rest.is_empty() { slots } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    #[test]
    fn choices_are_uniform_and_without_replacement() {
        let items: Vec<Slot> = (0..6).map(|p| Slot::new(0, p)).collect();
        let mut stream = Seeds::new(1).stream("test");
        let mut counts = [0_u32; 6];
        for _ in 0..6000 {
            let mut chosen = choose(items.clone(), 3, &mut stream);
            for slot in &chosen {
                counts[slot.position as usize] += 1;
            }
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 3);
        }
        // Standard deviation of a count is 39.
        assert!(counts.iter().all(|&n| n.abs_diff(3000) < 160), "{counts:?}");
        assert_eq!(choose(items.clone(), 9, &mut stream), items);
    }
}
