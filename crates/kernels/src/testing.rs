//! Numbers for tests.

/// Cases of a property test: of `all`, an interpreter has time for few.
pub(crate) const fn cases(all: u32) -> u32 {
    if cfg!(miri) { 3 } else { all }
}

/// A stream of uniform numbers (`SplitMix64`).
pub(crate) struct Noise(u64);

impl Noise {
    /// The stream of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In `(−bound, bound)`.
    pub(crate) fn symmetric(&mut self, bound: f32) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = (z >> 40) as f32 / (1_u32 << 24) as f32;
        (2.0 * unit - 1.0) * bound
    }
}
