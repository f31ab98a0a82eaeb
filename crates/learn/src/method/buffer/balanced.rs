//! The balanced memory: as many examples of one class as of another (Prabhu, Torr, Dokania, ECCV 2020, algorithm 1).

use super::{Slot, from_list, to_list};
use crate::seed::SeedStream;
use crate::stream::Task;

/// Tasks may share classes: what is balanced are the classes of every task, so that a shared class does not keep later tasks out.
///
/// A memory of `capacity` examples in which no class has more than its share while another wants room: an example of a
/// class with less than `capacity / classes` examples takes the place of a random one of the largest class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balanced {
    capacity: usize,
    items: Vec<(Slot, usize)>,
}

impl Balanced {
    /// An empty memory.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let items = Vec::with_capacity(capacity);
        Self { capacity, items }
    }

    /// Takes an example of this class in, or passes it over.
    pub fn add(&mut self, slot: Slot, class: usize, stream: &mut SeedStream) {
        if self.items.len() < self.capacity {
            self.items.push((slot, class));
            return;
        }
        let group = |slot: &Slot, class: usize| (slot.task, class);
        let new = group(&slot, class);
        let mut counts = std::collections::BTreeMap::from([(new, 0_usize)]);
        for (slot, class) in &self.items {
            *counts.entry(group(slot, *class)).or_default() += 1;
        }
        let share = self.capacity as f64 / counts.len() as f64;
        let own = counts.get(&new).copied().unwrap_or(0);
        // The first of the largest classes, so that the choice is one and the same everywhere.
        let largest = counts
            .iter()
            .max_by_key(|(class, n)| (**n, std::cmp::Reverse(**class)));
        let Some((&largest, &count)) = largest else {
            return;
        };
        if own as f64 >= share || count == 0 || largest == new {
            return;
        }
        let chosen = stream.below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
        let of_largest = self
            .items
            .iter_mut()
            .filter(|(slot, class)| group(slot, *class) == largest);
        if let Some(item) = of_largest.into_iter().nth(chosen) {
            *item = (slot, class);
        }
    }

    /// What is remembered.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.items.iter().map(|(slot, _)| *slot)
    }

    /// Bytes of the remembered examples.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<(Slot, usize)>()
    }

    /// All of it as numbers: the classes, then the slots.
    pub(super) fn to_list(&self) -> Vec<u64> {
        let slots: Vec<Slot> = self.slots().collect();
        let classes = self.items.iter().map(|(_, class)| *class as u64);
        classes.chain(to_list(&slots)).collect()
    }

    /// A memory of such numbers; `None` if they cannot be of one of this size.
    pub(super) fn restored(&self, numbers: &[u64], tasks: &[Task]) -> Option<Self> {
        let capacity = self.capacity;
        let count = numbers.len() / 3;
        if !numbers.len().is_multiple_of(3) || count > capacity {
            return None;
        }
        let (classes, slots) = numbers.split_at_checked(count)?;
        let slots = from_list(slots, tasks)?;
        let mut memory = Self::new(capacity);
        for (slot, class) in slots.into_iter().zip(classes) {
            let class = usize::try_from(*class).ok()?;
            let task = tasks.get(slot.task as usize)?;
            if !task.train.classes().contains(&class) {
                return None;
            }
            memory.items.push((slot, class));
        }
        Some(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;
    use proptest::prelude::*;

    #[test]
    fn tasks_that_share_classes_share_the_memory() {
        let mut stream = Seeds::new(1).stream("balanced");
        let mut memory = Balanced::new(12);
        for task in 0..3 {
            for position in 0..50 {
                memory.add(Slot::new(task, position), position % 2, &mut stream);
            }
        }
        for task in 0..3 {
            let of_task = memory.slots().filter(|slot| slot.task == task);
            assert_eq!(of_task.count(), 4);
        }
    }

    proptest! {
        /// Whatever comes in which order: full as soon as it can be, and once every class had enough examples no two differ
        /// by more than one.
        #[test]
        fn classes_have_their_share(capacity in 1_usize..40, classes in 1_usize..8, seed in 0_u64..99) {
            let mut stream = Seeds::new(seed).stream("balanced");
            let mut memory = Balanced::new(capacity);
            for class in 0..classes {
                for position in 0..60 {
                    memory.add(Slot::new(class, position), class, &mut stream);
                    let seen = class * 60 + position + 1;
                    prop_assert_eq!(memory.items.len(), seen.min(capacity));
                }
            }
            let count = |class: usize| memory.items.iter().filter(|(_, c)| *c == class).count();
            let counts: Vec<usize> = (0..classes).map(count).collect();
            if capacity >= classes {
                let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                prop_assert!(high - low <= 1, "{counts:?}");
            }
        }
    }
}
