//! The ring buffer: the newest examples of every class of every task.

use std::collections::BTreeMap;

use super::{Slot, from_list, to_list};
use crate::stream::Task;

/// The newest examples of every class of every task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    per_class: usize,
    /// Whether the classes of a task share one ring.
    by_task: bool,
    /// By task and class of the head (tasks may share classes): the examples, and where the next one goes.
    classes: BTreeMap<(usize, usize), (Vec<Slot>, usize)>,
}

impl Ring {
    /// An empty ring buffer of `per_class` examples a class.
    #[must_use]
    pub fn new(per_class: usize) -> Self {
        Self {
            per_class,
            by_task: false,
            classes: BTreeMap::new(),
        }
    }

    /// An empty ring buffer of `per_task` examples a task, whatever their classes.
    #[must_use]
    pub fn by_task(per_task: usize) -> Self {
        Self {
            by_task: true,
            ..Self::new(per_task)
        }
    }

    /// Takes an example in; the oldest of its class in its task gives way.
    pub fn add(&mut self, task: usize, position: usize, class: usize) {
        if self.per_class == 0 {
            return;
        }
        let per_class = self.per_class;
        let class = if self.by_task { 0 } else { class };
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
    pub(super) fn restored(&self, numbers: &[u64], tasks: &[Task]) -> Option<Self> {
        let per_class = self.per_class;
        let mut ring = Self {
            classes: BTreeMap::new(),
            ..*self
        };
        let mut rest = numbers;
        while let Some(([class, next, len], tail)) = rest.split_first_chunk::<3>() {
            let (class, next) = (usize::try_from(*class).ok()?, usize::try_from(*next).ok()?);
            let len = usize::try_from(*len).ok()?;
            let (own, tail) = tail.split_at_checked(len.checked_mul(2)?)?;
            rest = tail;
            let mut all = tasks.iter().map(|task| task.train.classes());
            let known = self.by_task && class == 0 || all.any(|own| own.contains(&class));
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

    /// What is remembered, task by task and class by class.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        let all = self.classes.values().flat_map(|(slots, _)| slots);
        all.copied().collect()
    }

    /// Bytes of the remembered examples.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots = self.classes.values().map(|(slots, _)| slots.capacity());
        slots.sum::<usize>() * size_of::<Slot>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_of_each_class() {
        let mut ring = Ring::new(2);
        for (position, class) in [(0, 7), (1, 8), (2, 7), (3, 7)] {
            ring.add(0, position, class);
        }
        ring.add(1, 9, 12);
        let positions: Vec<u32> = ring.slots().iter().map(|s| s.position).collect();
        assert_eq!(positions, [3, 2, 1, 9]);
        assert_eq!(ring.bytes(), 3 * 2 * size_of::<Slot>());
        let mut none = Ring::new(0);
        none.add(0, 0, 0);
        assert_eq!((none.slots().len(), none.bytes()), (0, 0));
        // Tasks that share classes have rings of their own, and classes of a task may share one.
        let mut shared = Ring::new(1);
        let mut by_task = Ring::by_task(2);
        for ring in [&mut shared, &mut by_task] {
            for (task, position, class) in [(0, 1, 0), (0, 2, 1), (0, 3, 1), (1, 4, 0)] {
                ring.add(task, position, class);
            }
        }
        let positions = |ring: &Ring| ring.slots().iter().map(|s| s.position).collect::<Vec<_>>();
        assert_eq!(
            (positions(&shared), positions(&by_task)),
            (vec![1, 3, 4], vec![3, 2, 4])
        );
    }
}
