//! Reservoir sampling: a sample of all examples seen.

use serde::{Deserialize, Serialize};

use crate::seed::SeedStream;

crate::choices!(ReservoirRule { "uniform" => Uniform, "batch" => Batch });

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

/// A sample of all examples seen. An item is what is kept of an example: its [`Slot`](super::Slot), or more.
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
    pub(in crate::method) fn restore(&mut self, items: Vec<T>, seen: usize) -> bool {
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
}
