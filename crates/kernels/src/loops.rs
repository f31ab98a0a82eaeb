//! Loops of plain Rust, compiled for the instructions that the machine has.
//!
//! Owns the passage from a loop over slices that a caller wrote to the same loop under each instruction set. The compiler makes
//! the vectors; it neither reorders sums nor fuses multiplications with additions of its own accord, so such a loop has the same
//! bits at every level.

use crate::simd::{Instructions, Level};

/// A loop with the slices that it goes over. `run` should be `#[inline(always)]`, or it is compiled for the least that a
/// machine may have.
pub trait Loop {
    /// Goes over them.
    fn run(self);
}

impl Level {
    /// Runs a loop with this level's instructions.
    pub fn run(self, work: impl Loop) {
        match self.instructions() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: detection, which alone makes a level, has found the features that `avx512` is compiled for.
            Instructions::Avx512 => unsafe { avx512(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above, those of `avx2`.
            Instructions::Avx2 => unsafe { avx2(work) },
            // NEON is in all that its target compiles.
            Instructions::Neon | Instructions::Portable => work.run(),
            #[cfg(not(target_arch = "x86_64"))]
            Instructions::Avx512 | Instructions::Avx2 => work.run(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn avx512(work: impl Loop) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(work: impl Loop) {
    work.run();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x ← x + b²`, which a fused multiplication would change.
    struct Multiply<'a>(&'a mut [f32], &'a [f32]);

    impl Loop for Multiply<'_> {
        #[inline(always)]
        fn run(self) {
            for (x, b) in self.0.iter_mut().zip(self.1) {
                *x += *b * *b;
            }
        }
    }

    #[test]
    fn every_level_has_the_same_bits() {
        let b: Vec<f32> = (0..1003).map(|i| (i as f32).sin()).collect();
        let mut plain = b.clone();
        Multiply(&mut plain, &b).run();
        for level in Level::available_levels() {
            let mut found = b.clone();
            level.run(Multiply(&mut found, &b));
            assert_eq!(found, plain, "{level:?}");
        }
    }
}
