//! TAG's step where its weights are known before it, in one walk.
//!
//! Where nothing of this step decides on the weights, the moments of a block, the weighted sum and the parameters follow
//! each other while the block is in the cache; and a base that takes no first moment needs none. The results have the bits
//! of [`TagPlan::moments_and_dots`] and [`TagPlan::apply`] after each other.

use super::{BLOCK, Base, Decay, Step, TagPlan, descend, moments, vectors};
use crate::past::Past;
use crate::simd::{Simd, dispatch};
use crate::workers::{Shareable, Workers};

impl TagPlan {
    /// Updates `v`, and `m` where there is one, with the gradient, then moves the parameters. `alphas` as for
    /// [`TagPlan::apply`].
    ///
    /// # Panics
    /// If a slice does not have the plan's length, `alphas` not one row more than there are past vectors, or the base
    /// steps along a first moment and there is none.
    pub fn step(
        &self,
        workers: &Workers,
        (base, beta1): (Base, f32),
        step: Step,
        alphas: &[Vec<f32>],
        theta: &mut [f32],
        grad: &[f32],
        m: Option<&mut [f32]>,
        v: &mut [f32],
        past_v: &[Past<'_>],
    ) {
        self.check("theta", &*theta);
        self.check("grad", grad);
        self.check("v", &*v);
        if let Some(m) = &m {
            self.check("m", &**m);
        }
        assert!(
            m.is_some() || !step.momentum,
            "this base steps along its first moment"
        );
        self.check_weights(alphas, past_v);
        let decay = Decay::of(base, beta1);
        let (theta, v) = (Shareable::new(theta), Shareable::new(v));
        let m = m.map(Shareable::new);
        workers.run(self.blocks.len(), &|i| {
            let (segment, r) = self.blocks[i].clone();
            let mut sum = [0.0_f32; BLOCK];
            let sum = &mut sum[..r.len()];
            let gradient = &grad[r.clone()];
            // SAFETY: blocks are disjoint ranges below the length that all vectors have (`with`, `check`), and block `i` of
            // theta, `v` and `m` is this task's; once a block of `v` and `m` is written it is only read.
            unsafe {
                let v = v.at(r.start);
                let mut square = 0.0;
                let numerator = if let Some(m) = &m {
                    let (g, m) = (gradient.as_ptr(), m.at(r.start));
                    moments(self.level, &decay, r.len(), g, m, v, &raw mut square);
                    std::slice::from_raw_parts(m.cast_const(), r.len())
                } else {
                    second(self.level, &decay, r.len(), gradient.as_ptr(), v);
                    gradient
                };
                let v = std::slice::from_raw_parts(v.cast_const(), r.len());
                self.weigh_all(alphas, segment, &r, v, past_v, sum);
                let numerator = if step.momentum { numerator } else { gradient };
                descend(self.level, &step, sum, numerator, theta.at(r.start));
            }
        });
    }
}

#[inline(always)]
unsafe fn second_any<S: Simd>(d: &Decay, len: usize, g: *const f32, v: *mut f32) {
    // SAFETY: `vectors` gives offsets from which a vector ends within `len`, and the rest is below it: by contract both have
    // `len` floats.
    unsafe {
        let (keep, add) = (S::splat(d.keep), S::splat(d.add));
        let rest = vectors::<S>(len, |i| {
            let gi = S::load(g.add(i));
            let vi = S::fma(keep, S::load(v.add(i)), S::mul(add, S::mul(gi, gi)));
            S::store(v.add(i), vi);
        });
        for i in rest..len {
            let gi = *g.add(i);
            *v.add(i) = d.keep * *v.add(i) + d.add * (gi * gi);
        }
    }
}

dispatch! {
    /// The second moment alone.
    ///
    /// # Safety
    /// `g` and `v` have `len` floats; `v` is nobody else's.
    second = second_any(d: &Decay, len: usize, g: *const f32, v: *mut f32)
}

#[cfg(test)]
mod tests;
