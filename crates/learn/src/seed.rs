//! Named random streams, all derived from one run seed.
//!
//! Owns every random number of the library. A consumer asks for a stream by name (`"init"`, `"shuffle/3/1"`), and the
//! stream's key is the hash of seed and name, so adding a consumer never shifts the numbers of another, and two runs
//! in one process never share state. The generator is `ChaCha8`: portable, so that a run repeats on another machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// The seed of one run, from which all its named streams come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    run: u64,
}

impl Seeds {
    /// Streams for the run with this seed.
    #[must_use]
    pub fn new(run: u64) -> Self {
        Self { run }
    }

    /// The seed itself.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.run
    }

    /// The stream of this name; the same name gives the same numbers again.
    #[must_use]
    pub fn stream(&self, name: &str) -> SeedStream {
        let digest = Sha256::digest(format!("tagcl/{}/{name}", self.run));
        SeedStream {
            rng: ChaCha8Rng::from_seed(digest.into()),
        }
    }
}

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct SeedStream {
    rng: ChaCha8Rng,
}

impl SeedStream {
    /// How many 32-bit words were drawn.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.rng.get_word_pos() as u64
    }

    /// Goes on from where this many 32-bit words were drawn.
    pub fn seek(&mut self, position: u64) {
        self.rng.set_word_pos(position.into());
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// The next numbers of [`Self::unit`].
    pub fn units(&mut self, to: &mut [f32]) {
        // Some hundred words at a time, which the generator makes several blocks at once.
        let mut bytes = [0; 4 * 256];
        for to in to.chunks_mut(256) {
            let bytes = &mut bytes[..4 * to.len()];
            self.rng.fill_bytes(bytes);
            for (to, word) in to.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *to = (u32::from_le_bytes(*word) >> 8) as f32 * (1.0 / 16_777_216.0);
            }
        }
    }

    /// Uniform in `[-bound, bound)`.
    pub fn symmetric(&mut self, bound: f32) -> f32 {
        (2.0 * self.unit() - 1.0) * bound
    }

    /// Standard normal (Box and Muller's method, of which one value is used).
    pub fn normal(&mut self) -> f32 {
        // In (0, 1], so that the logarithm is finite.
        let radius = 1.0 - f64::from(self.unit());
        let angle = std::f64::consts::TAU * f64::from(self.unit());
        ((-2.0 * radius.ln()).sqrt() * angle.cos()) as f32
    }

    /// Uniform in `0..limit` without bias (Lemire's rejection method); 0 where `limit` is 0 or 1.
    pub fn below(&mut self, limit: u32) -> u32 {
        if limit < 2 {
            return 0;
        }
        let threshold = limit.wrapping_neg() % limit;
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(limit);
            if wide as u32 >= threshold {
                return (wide >> 32) as u32;
            }
        }
    }

    /// Shuffles in place, every order equally likely (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u32 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_seed_and_name() {
        let draw = |seed, name: &str| {
            let mut s = Seeds::new(seed).stream(name);
            [s.next_u32(), s.next_u32()]
        };
        assert_eq!(draw(1, "init"), draw(1, "init"));
        assert_ne!(draw(1, "init"), draw(2, "init"));
        assert_ne!(draw(1, "init"), draw(1, "shuffle"));
    }

    #[test]
    fn a_stream_goes_on_from_any_position() {
        for drawn in [0, 1, 15, 16, 17, 64, 1000, 4097] {
            let mut a = Seeds::new(5).stream("test");
            for _ in 0..drawn {
                a.next_u32();
            }
            assert_eq!(a.position(), drawn);
            let mut b = Seeds::new(5).stream("test");
            b.seek(a.position());
            assert!((0..100).all(|_| a.next_u32() == b.next_u32()), "{drawn}");
        }
        Seeds::new(5).stream("test").seek(u64::MAX);
    }

    #[test]
    fn many_numbers_are_the_same_as_one_by_one() {
        let mut all = Seeds::new(5).stream("test");
        let mut each = all.clone();
        for len in [1, 255, 0, 256, 257, 15, 1000] {
            let mut found = vec![-1.0; len];
            all.units(&mut found);
            assert!(found.iter().all(|x| *x == each.unit()), "{len}");
            assert_eq!(all.position(), each.position(), "{len}");
            assert_eq!(all.next_u32(), each.next_u32(), "{len}");
        }
    }

    #[test]
    fn shuffles_are_uniform_over_the_orders_of_three() {
        let mut counts = std::collections::BTreeMap::new();
        let mut stream = Seeds::new(7).stream("test");
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            stream.shuffle(&mut items);
            *counts.entry(items).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // Chi-squared with 5 degrees of freedom: 20.5 has probability 0.001.
        let chi: f64 = counts
            .values()
            .map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0)
            .sum();
        assert!(chi < 20.5, "chi-squared {chi}");
    }

    #[test]
    fn normal_has_the_normal_moments() {
        let mut stream = Seeds::new(5).stream("test");
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(stream.normal())).collect();
        let moment = |k| values.iter().map(|x| x.powi(k)).sum::<f64>() / 1e5;
        // Standard deviations of these means: 0.0032, 0.0045, 0.012, 0.031.
        for (k, expected, bound) in [
            (1, 0.0, 0.013),
            (2, 1.0, 0.018),
            (3, 0.0, 0.05),
            (4, 3.0, 0.13),
        ] {
            assert!((moment(k) - expected).abs() < bound, "{k}: {}", moment(k));
        }
    }

    #[test]
    fn unit_stays_below_one_and_below_stays_in_range() {
        let mut stream = Seeds::new(3).stream("test");
        for limit in 1..200 {
            assert!(stream.below(limit) < limit);
            assert!((0.0..1.0).contains(&stream.unit()));
        }
    }
}
