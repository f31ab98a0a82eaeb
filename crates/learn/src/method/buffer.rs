//! Episodic memories: which earlier examples are remembered, and batches of them.
//!
//! Owns the ring buffer (the newest M examples of every class, A-GEM) and the reservoir (a uniform sample of the whole
//! stream, ER). An example is remembered as task and position, eight bytes: its pixels are in the image set that the
//! stream shares anyway. A program that may not keep its training data would have to copy them. What else a method keeps
//! of an example (the logits that it had, say) is part of the reservoir's items.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::list;
use crate::model::LearnerError;
use crate::optim::State;
use crate::seed::{SeedStream, Seeds};
use crate::settings::{Setting, Stored, WholeRange, fixed};
use crate::stream::{Batch, Task};

/// The size of a memory, where it grows with the classes: a setting of every method that has such a memory.
pub(super) static MEMORY_PER_CLASS: Setting<usize> = Setting {
    key: "memory_per_class",
    doc: "Examples a class that the method remembers.",
    range: WholeRange::FROM_ZERO,
    default: fixed(1),
    only: None,
    stored: Stored::Plain,
};

crate::choices!(ReservoirRule { "uniform" => Uniform, "batch" => Batch });

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

/// The newest examples of every class of every task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    per_class: usize,
    /// By task and class of the head (tasks may share classes): the examples, and where the next one goes.
    classes: BTreeMap<(usize, usize), (Vec<Slot>, usize)>,
}

impl Ring {
    /// An empty ring buffer of `per_class` examples a class.
    #[must_use]
    pub fn new(per_class: usize) -> Self {
        Self {
            per_class,
            classes: BTreeMap::new(),
        }
    }

    /// Takes an example in; the oldest of its class in its task gives way.
    pub fn add(&mut self, task: usize, position: usize, class: usize) {
        if self.per_class == 0 {
            return;
        }
        let per_class = self.per_class;
        let (slots, next) = self
            .classes
            .entry((task, class))
            .or_insert_with(|| (Vec::with_capacity(per_class), 0));
        let slot = Slot::new(task, position);
        match slots.get_mut(*next) {
            Some(old) => *old = slot,
            None => slots.push(slot),
        }
        *next = (*next + 1) % per_class;
    }

    /// All of it as numbers: of every class its number, where its next example goes, how many it has, and these.
    pub(super) fn to_list(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        for ((_, class), (slots, next)) in &self.classes {
            numbers.extend([*class as u64, *next as u64, slots.len() as u64]);
            numbers.extend(to_list(slots));
        }
        numbers
    }

    /// A ring of such numbers; `None` if they cannot be of a ring buffer of these tasks and this size.
    pub(super) fn from_list(per_class: usize, numbers: &[u64], tasks: &[Task]) -> Option<Self> {
        let mut ring = Self::new(per_class);
        let mut rest = numbers;
        while let Some(([class, next, len], tail)) = rest.split_first_chunk::<3>() {
            let (class, next) = (usize::try_from(*class).ok()?, usize::try_from(*next).ok()?);
            let len = usize::try_from(*len).ok()?;
            let (own, tail) = tail.split_at_checked(len.checked_mul(2)?)?;
            rest = tail;
            let known = tasks
                .iter()
                .any(|task| task.train.classes().contains(&class));
            // Until it is full the next example goes to the end.
            if !known
                || len == 0
                || len > per_class
                || next >= per_class
                || (len < per_class && next != len)
            {
                return None;
            }
            let mut slots = Vec::with_capacity(per_class);
            slots.extend(from_list(own, tasks)?);
            let task = slots.first()?.task;
            if slots.iter().any(|slot| slot.task != task) {
                return None;
            }
            ring.classes.insert((task as usize, class), (slots, next));
        }
        rest.is_empty().then_some(ring)
    }

    /// What is remembered of the tasks before `t`, class by class.
    #[must_use]
    pub fn before(&self, t: usize) -> Vec<Slot> {
        let all = self.classes.values().flat_map(|(slots, _)| slots);
        all.copied()
            .filter(|slot| (slot.task as usize) < t)
            .collect()
    }

    /// Bytes of the remembered examples.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots = self.classes.values().map(|(slots, _)| slots.capacity());
        slots.sum::<usize>() * size_of::<Slot>()
    }
}

/// With which probability the n-th example enters a full reservoir of k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReservoirRule {
    /// `k / n`: after every example, each so far is remembered with the same probability (Vitter 1985, algorithm R).
    #[default]
    Uniform,
    /// `k / m` with m the examples seen before the batch, as the released code does: the batch's own are not counted.
    Batch,
}

/// A sample of all examples seen. An item is what is kept of an example: its [`Slot`], or more.
#[derive(Clone, Debug)]
pub struct Reservoir<T> {
    capacity: usize,
    rule: ReservoirRule,
    items: Vec<T>,
    seen: usize,
}

impl<T> Reservoir<T> {
    /// An empty reservoir.
    #[must_use]
    pub fn new(capacity: usize, rule: ReservoirRule) -> Self {
        Self {
            capacity,
            rule,
            items: Vec::with_capacity(capacity),
            seen: 0,
        }
    }

    /// Takes a batch in.
    pub fn add(&mut self, batch: impl IntoIterator<Item = T>, stream: &mut SeedStream) {
        if self.capacity == 0 {
            return;
        }
        let mut batch = batch.into_iter();
        let room = self.capacity - self.items.len();
        self.items.extend(batch.by_ref().take(room));
        self.seen = self.seen.max(self.items.len());
        let before = self.seen;
        for item in batch {
            self.seen += 1;
            let limit = match self.rule {
                ReservoirRule::Uniform => self.seen,
                ReservoirRule::Batch => before,
            };
            let index = stream.below(u32::try_from(limit).unwrap_or(u32::MAX));
            if let Some(old) = self.items.get_mut(index as usize) {
                *old = item;
            }
        }
    }

    /// How many examples have come by.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Takes items and count back; `false`, and nothing changes, if they cannot be this reservoir's.
    pub(super) fn restore(&mut self, items: Vec<T>, seen: usize) -> bool {
        if items.len() != self.capacity.min(seen) {
            return false;
        }
        self.items.clear();
        self.items.extend(items);
        self.seen = seen;
        true
    }

    /// What is remembered.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Bytes of the items themselves, without what they point to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    #[test]
    fn the_reservoir_is_uniform() {
        // 12 slots, 60 examples in batches of 5, 4,000 seeds: each example is expected 800 times.
        let mut counts = [0_u32; 60];
        for seed in 0..4000 {
            let mut stream = Seeds::new(seed).stream("test");
            let mut reservoir = Reservoir::new(12, ReservoirRule::Uniform);
            for batch in (0..60).collect::<Vec<_>>().chunks(5) {
                reservoir.add(batch.iter().copied(), &mut stream);
            }
            assert_eq!(reservoir.items().len(), 12);
            for example in reservoir.items() {
                counts[*example] += 1;
            }
        }
        // Each count has the variance n p (1 - p); 59 degrees of freedom: 98.3 has probability 0.001.
        let chi: f64 = counts
            .iter()
            .map(|&n| (f64::from(n) - 800.0).powi(2) / 800.0)
            .sum::<f64>()
            / (1.0 - 0.2)
            * 59.0
            / 60.0;
        assert!(chi < 98.3, "chi-squared {chi}");
    }

    #[test]
    fn the_released_reservoir_prefers_new_examples_a_little() {
        let mut late = 0;
        for seed in 0..2000 {
            let mut stream = Seeds::new(seed).stream("test");
            let mut reservoir = Reservoir::new(5, ReservoirRule::Batch);
            for batch in (0..10).collect::<Vec<_>>().chunks(5) {
                reservoir.add(batch.iter().copied(), &mut stream);
            }
            late += reservoir.items().iter().filter(|e| **e >= 5).count();
        }
        // All five of the second batch are drawn into the five slots, later ones over earlier ones:
        // 5 (1 - (4/5)^5) = 3.36 remain, where a uniform reservoir would keep 2.5.
        assert!((late as f64 / 2000.0 - 3.36).abs() < 0.06, "{late}");
    }

    #[test]
    fn the_ring_keeps_the_newest_of_each_class() {
        let mut ring = Ring::new(2);
        for (position, class) in [(0, 7), (1, 8), (2, 7), (3, 7)] {
            ring.add(0, position, class);
        }
        ring.add(1, 9, 12);
        let positions: Vec<u32> = ring.before(1).iter().map(|s| s.position).collect();
        assert_eq!(positions, [3, 2, 1]);
        assert_eq!(ring.before(2).len(), 4);
        assert_eq!(ring.bytes(), 3 * 2 * size_of::<Slot>());
        let mut none = Ring::new(0);
        none.add(0, 0, 0);
        assert_eq!((none.before(1).len(), none.bytes()), (0, 0));
    }

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
