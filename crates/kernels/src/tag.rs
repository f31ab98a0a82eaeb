//! TAG's update over a whole model held as flat vectors.
//!
//! With the current task's first and second moments m and v, past tasks' `m_t` (stored normalised) and `v_t`, and a
//! similarity `s_t = cos(m, m_t)` per tensor (or over the whole model), one step is
//!
//! ```text
//! alpha_t = exp(-b s_t),  own weight = exp(-b)  (1 while there is no past)
//! theta  -= lr * numerator / (sqrt(sum_t alpha_t v_t + own v) / c + eps)
//! ```
//!
//! The floor of its time is reading `m_t` and `v_t` once each, so the vectors are walked in blocks that stay in the cache:
//! [`TagPlan::moments_and_dots`] updates a block of m and v and takes its products with all past tasks;
//! [`TagPlan::apply`] sums a block of all `v_t` and moves the parameters. Between the two the caller turns the products
//! into weights, with [`weight`] of the cosines or in any other way. Blocks of several past tasks are walked together
//! (`past::Parts`), or memory has too few of them under way at a time.

use super::past::{Element, Parts, Past, TOGETHER, in_parts};
use super::simd::{Level, Simd, dispatch};
use super::workers::{Shareable, Workers};
use std::ops::Range;

mod walk;

/// Floats of a block: 16 KiB, so that a lane of a product sums at most some hundred terms in `f32`. An interpreter has time for
/// few, and is to see several blocks.
const BLOCK: usize = if cfg!(miri) { 64 } else { 4096 };

/// How far ahead, in bytes, past vectors are asked for: the processor, which finds streams by itself, loses them at the ends of
/// blocks and pages.
const AHEAD: usize = 2048;

/// The optimizer under TAG.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base {
    /// v = beta2 v + (1 - beta2) g^2, numerator g.
    RmsProp {
        /// Decay of v.
        beta2: f32,
    },
    /// v = v + g^2, numerator g.
    Adagrad,
    /// v as in `RmsProp`, numerator m / (1 - beta1^k), root divided by sqrt(1 - beta2^k).
    Adam {
        /// Decay of v.
        beta2: f32,
    },
}

/// The numbers of one [`TagPlan::apply`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub lr: f32,
    /// Added to the root, or to what is under it.
    pub epsilon: f32,
    /// Whether epsilon is under the root.
    pub epsilon_inside: bool,
    /// Use m rather than the gradient as numerator.
    pub momentum: bool,
    /// What the numerator is divided by: 1 - beta1^k for Adam, else 1.
    pub numerator_correction: f32,
    /// What the root is divided by: sqrt(1 - beta2^k) for Adam, else 1.
    pub root_correction: f32,
}

impl Step {
    /// The step number `k` (from 1) of the current task.
    #[must_use]
    pub fn new(base: Base, beta1: f32, k: u64, lr: f32, epsilon: f32) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(k as f64);
        let (numerator, root) = match base {
            Base::Adam { beta2 } => (correction(beta1) as f32, correction(beta2).sqrt() as f32),
            _ => (1.0, 1.0),
        };
        Self {
            lr,
            epsilon,
            epsilon_inside: false,
            momentum: matches!(base, Base::Adam { .. }),
            numerator_correction: numerator,
            root_correction: root,
        }
    }
}

/// Products of the current first moment, per segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dots {
    /// Of m with itself, per segment.
    pub squares: Vec<f64>,
    /// Of m with every `m_t`, `[past task][segment]`.
    pub products: Vec<Vec<f64>>,
}

impl Dots {
    /// Similarities `[past task][segment]` with each segment by itself: 0 where m is zero, or `m_t` is.
    #[must_use]
    pub fn cosines(&self) -> Vec<Vec<f64>> {
        let cosine = |(dot, square): (&f64, &f64)| {
            if *square > 0.0 {
                dot / square.sqrt()
            } else {
                0.0
            }
        };
        self.products
            .iter()
            .map(|row| row.iter().zip(&self.squares).map(cosine).collect())
            .collect()
    }

    /// Similarities `[past task]` over the whole model; the stored `m_t` must be normalised over the whole model.
    #[must_use]
    pub fn global_cosines(&self) -> Vec<f64> {
        let norm = self.squares.iter().sum::<f64>().sqrt();
        let cosine = |row: &Vec<f64>| {
            if norm > 0.0 {
                row.iter().sum::<f64>() / norm
            } else {
                0.0
            }
        };
        self.products.iter().map(cosine).collect()
    }
}

/// The weight `exp(-b cos)` of a past task. Rounding may carry a cosine a little beyond 1; the weight stays within
/// `[exp(-b), exp(b)]`.
#[must_use]
pub fn weight(b: f64, cosine: f64) -> f32 {
    (-b * cosine.clamp(-1.0, 1.0)).exp() as f32
}

/// How a model's vectors are cut: segments (tensors) and blocks of them.
#[derive(Clone, Debug)]
pub struct TagPlan {
    level: Level,
    len: usize,
    segments: Vec<Range<usize>>,
    /// Segment and range of every block, in order.
    blocks: Vec<(usize, Range<usize>)>,
}

/// The update of the moments: `m = beta1 m + (1 - beta1) g`, `v = keep v + add g^2`.
#[derive(Clone, Copy)]
pub(crate) struct Decay {
    beta1: f32,
    keep: f32,
    add: f32,
}

impl Decay {
    fn of(base: Base, beta1: f32) -> Self {
        let (keep, add) = match base {
            Base::Adagrad => (1.0, 1.0),
            Base::RmsProp { beta2 } | Base::Adam { beta2 } => (beta2, 1.0 - beta2),
        };
        Self { beta1, keep, add }
    }
}

impl TagPlan {
    /// A plan for vectors of which `segments` are the tensors.
    ///
    /// # Panics
    /// If the segments do not follow each other from 0 without gaps.
    #[must_use]
    pub fn new(segments: Vec<Range<usize>>) -> Self {
        Self::with(segments, Level::detect())
    }

    /// [`Self::new`] with given instructions.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub(crate) fn with(segments: Vec<Range<usize>>, level: Level) -> Self {
        let mut len = 0;
        let mut blocks = Vec::new();
        for (i, s) in segments.iter().enumerate() {
            assert!(
                s.start == len && s.end >= s.start,
                "segment {i} is {s:?} but must begin at {len}"
            );
            len = s.end;
            blocks.extend(
                s.clone()
                    .step_by(BLOCK)
                    .map(|start| (i, start..s.end.min(start + BLOCK))),
            );
        }
        Self {
            level,
            len,
            segments,
            blocks,
        }
    }

    fn check<'a>(&self, what: &str, vector: impl Into<Past<'a>>) {
        let len = vector.into().len();
        assert_eq!(len, self.len, "{what} has another length than the plan");
    }

    /// Updates m and v with the gradient and returns the products of the new m with itself and every `past_m[t]`.
    ///
    /// # Panics
    /// If a slice does not have the plan's length.
    pub fn moments_and_dots(
        &self,
        workers: &Workers,
        base: Base,
        beta1: f32,
        grad: &[f32],
        m: &mut [f32],
        v: &mut [f32],
        past_m: &[Past<'_>],
    ) -> Dots {
        self.check("grad", grad);
        self.check("m", &*m);
        self.check("v", &*v);
        for past in past_m {
            self.check("past_m", *past);
        }
        let decay = Decay::of(base, beta1);
        let row = past_m.len() + 1;
        let mut sums = vec![0.0_f32; self.blocks.len() * row];
        let (m, v, out) = (
            Shareable::new(m),
            Shareable::new(v),
            Shareable::new(&mut sums),
        );
        workers.run(self.blocks.len(), &|i| {
            let r = self.blocks[i].1.clone();
            // SAFETY: blocks are disjoint ranges below the length that all vectors have (`with`, `check`), and block `i` of `m`
            // and `v` is this task's, as is row `i` of the sums, which has a place for the square and one per past task.
            unsafe {
                let (m, v) = (m.at(r.start), v.at(r.start));
                moments(
                    self.level,
                    &decay,
                    r.len(),
                    grad[r.clone()].as_ptr(),
                    m,
                    v,
                    out.at(i * row),
                );
                let m = std::slice::from_raw_parts(m.cast_const(), r.len());
                for (t, parts) in in_parts(past_m, &r) {
                    let out = out.at(i * row + 1 + t);
                    match parts {
                        Parts::Single(parts, n) => dots(self.level, m, &parts[..n], out),
                        Parts::Half(parts, n) => dots_half(self.level, m, &parts[..n], out),
                    }
                }
            }
        });
        let mut dots = Dots {
            squares: vec![0.0; self.segments.len()],
            products: vec![vec![0.0; self.segments.len()]; past_m.len()],
        };
        for ((segment, _), sums) in self.blocks.iter().zip(sums.chunks_exact(row)) {
            dots.squares[*segment] += f64::from(sums[0]);
            for (row, sum) in dots.products.iter_mut().zip(&sums[1..]) {
                row[*segment] += f64::from(*sum);
            }
        }
        dots
    }

    /// Moves the parameters. `alphas[t][segment]` weighs `past_v[t]`, its last row the current `v`.
    ///
    /// # Panics
    /// If a slice does not have the plan's length, or `alphas` not one row more than there are past tasks.
    pub fn apply(
        &self,
        workers: &Workers,
        step: Step,
        alphas: &[Vec<f32>],
        theta: &mut [f32],
        grad: &[f32],
        m: &[f32],
        v: &[f32],
        past_v: &[Past<'_>],
    ) {
        self.check("theta", &*theta);
        self.check("grad", grad);
        self.check("m", m);
        self.check("v", v);
        self.check_weights(alphas, past_v);
        let theta = Shareable::new(theta);
        workers.run(self.blocks.len(), &|i| {
            let (segment, r) = self.blocks[i].clone();
            let mut sum = [0.0_f32; BLOCK];
            let sum = &mut sum[..r.len()];
            let numerator = if step.momentum { m } else { grad };
            // SAFETY: blocks are disjoint ranges below the length that all vectors have (`with`, `check`), and block `i` of
            // theta is this task's. `sum` is this task's own, of the block's length.
            unsafe {
                self.weigh_all(alphas, segment, &r, &v[r.clone()], past_v, sum);
                descend(
                    self.level,
                    &step,
                    sum,
                    &numerator[r.clone()],
                    theta.at(r.start),
                );
            }
        });
    }

    fn check_weights(&self, alphas: &[Vec<f32>], past_v: &[Past<'_>]) {
        for past in past_v {
            self.check("past_v", *past);
        }
        assert_eq!(
            alphas.len(),
            past_v.len() + 1,
            "one row of alphas per past task, and the current one's"
        );
        assert!(
            alphas.iter().all(|row| row.len() == self.segments.len()),
            "one alpha per segment"
        );
    }

    /// The weighted sum of block `r`, of which `v` is the current task's part.
    ///
    /// # Panics
    /// If `sum` or `v` does not have the length of `r`, or a past vector ends before it.
    fn weigh_all(
        &self,
        alphas: &[Vec<f32>],
        segment: usize,
        r: &Range<usize>,
        v: &[f32],
        past_v: &[Past<'_>],
        sum: &mut [f32],
    ) {
        assert!(sum.len() == r.len() && v.len() == r.len(), "block {r:?}");
        let sums = sum.as_mut_ptr();
        let own = alphas[past_v.len()][segment];
        // SAFETY: `sum` has the length of `v`, as was just checked, and of the past vectors' parts, which are cut to `r`; it is
        // borrowed mutably.
        unsafe {
            weigh(self.level, [own; TOGETHER], &[v], sums, true);
            for (t, parts) in in_parts(past_v, r) {
                let rows = &alphas[t..past_v.len()];
                let weights = std::array::from_fn(|k| rows.get(k).map_or(0.0, |row| row[segment]));
                match parts {
                    Parts::Single(parts, n) => weigh(self.level, weights, &parts[..n], sums, false),
                    Parts::Half(parts, n) => {
                        weigh_half(self.level, weights, &parts[..n], sums, false);
                    }
                }
            }
        }
    }
}

/// Calls `body(offset)` for whole vectors of `len`, and returns where the rest begins.
#[inline(always)]
fn vectors<S: Simd>(len: usize, mut body: impl FnMut(usize)) -> usize {
    let whole = len - len % S::LANES;
    let mut i = 0;
    while i < whole {
        body(i);
        i += S::LANES;
    }
    whole
}

#[inline(always)]
unsafe fn moments_any<S: Simd>(
    d: &Decay,
    len: usize,
    g: *const f32,
    m: *mut f32,
    v: *mut f32,
    square: *mut f32,
) {
    // SAFETY: `vectors` gives offsets from which a vector ends within `len`, and the rest is below it: by contract all three
    // have `len` floats. `square` is one float.
    unsafe {
        let (b, c) = (S::splat(d.beta1), S::splat(1.0 - d.beta1));
        let (keep, add) = (S::splat(d.keep), S::splat(d.add));
        let mut sum = S::splat(0.0);
        let rest = vectors::<S>(len, |i| {
            let gi = S::load(g.add(i));
            let mi = S::fma(b, S::load(m.add(i)), S::mul(c, gi));
            S::store(m.add(i), mi);
            S::store(
                v.add(i),
                S::fma(keep, S::load(v.add(i)), S::mul(add, S::mul(gi, gi))),
            );
            sum = S::fma(mi, mi, sum);
        });
        let mut total = S::sum(sum);
        for i in rest..len {
            let gi = *g.add(i);
            let mi = d.beta1 * *m.add(i) + (1.0 - d.beta1) * gi;
            *m.add(i) = mi;
            *v.add(i) = d.keep * *v.add(i) + d.add * (gi * gi);
            total += mi * mi;
        }
        *square = total;
    }
}

/// Products of `a` with one, two or three parts. Of every product alone: four running sums of vectors, one of which takes what is
/// left of four, then the rest by numbers.
#[inline(always)]
unsafe fn dots_of<S: Simd, E: Element, const TWO: bool, const THREE: bool>(
    a: &[f32],
    parts: &[&[E]],
    out: *mut f32,
) {
    let parts = &parts[..together(TWO, THREE)];
    debug_assert!(parts.iter().all(|part| part.len() == a.len()));
    let (len, a) = (a.len(), a.as_ptr());
    // SAFETY: four vectors, one, or one number are read where so many are left of the common length. `out` has a float for each
    // part. What is asked for in advance, perhaps beyond the end, is not read.
    unsafe {
        let mut sums = [[S::splat(0.0); 4]; TOGETHER];
        let mut i = 0;
        while i + 4 * S::LANES <= len {
            for k in 0..4 {
                let at = i + k * S::LANES;
                let x = S::load(a.add(at));
                for (sums, b) in sums.iter_mut().zip(parts) {
                    let b = b.as_ptr().add(at);
                    S::prefetch(b.wrapping_byte_add(AHEAD).cast());
                    sums[k] = S::fma(x, E::load::<S>(b), sums[k]);
                }
            }
            i += 4 * S::LANES;
        }
        while i + S::LANES <= len {
            for (sums, b) in sums.iter_mut().zip(parts) {
                sums[0] = S::fma(S::load(a.add(i)), E::load::<S>(b.as_ptr().add(i)), sums[0]);
            }
            i += S::LANES;
        }
        for (t, (sums, b)) in sums.into_iter().zip(parts).enumerate() {
            let mut total = S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])));
            for i in i..len {
                total += *a.add(i) * (*b.as_ptr().add(i)).single();
            }
            *out.add(t) = total;
        }
    }
}

/// How many parts there are, which the compiler knows.
const fn together(two: bool, three: bool) -> usize {
    1 + two as usize + three as usize
}

/// Adds one part after the other, so that the bits are those of any other grouping.
#[inline(always)]
unsafe fn weigh_of<S: Simd, E: Element, const TWO: bool, const THREE: bool>(
    weights: [f32; TOGETHER],
    parts: &[&[E]],
    sum: *mut f32,
    first: bool,
) {
    let parts = &parts[..together(TWO, THREE)];
    // SAFETY: `vectors` gives offsets from which a vector ends within the length of the parts, which is that of `sum` by
    // contract, and the rest is below it. What is asked for in advance, perhaps beyond the end, is not read.
    unsafe {
        let rest = vectors::<S>(parts[0].len(), |i| {
            let mut total = if first {
                S::splat(0.0)
            } else {
                S::load(sum.add(i))
            };
            for (weight, part) in weights.iter().zip(parts) {
                let part = part.as_ptr().add(i);
                S::prefetch(part.wrapping_byte_add(AHEAD).cast());
                total = S::fma(S::splat(*weight), E::load::<S>(part), total);
            }
            S::store(sum.add(i), total);
        });
        for i in rest..parts[0].len() {
            let mut total = if first { 0.0 } else { *sum.add(i) };
            for (weight, part) in weights.iter().zip(parts) {
                total += weight * (*part.as_ptr().add(i)).single();
            }
            *sum.add(i) = total;
        }
    }
}

#[inline(always)]
unsafe fn descend_any<S: Simd>(step: &Step, sum: &[f32], numerator: &[f32], theta: *mut f32) {
    // SAFETY: `vectors` gives offsets from which a vector ends within the length of `sum`, which is that of `numerator` and
    // `theta` by contract, and the rest is below it.
    unsafe {
        let (len, sum, n) = (sum.len(), sum.as_ptr(), numerator.as_ptr());
        let (under, beside) = if step.epsilon_inside {
            (step.epsilon, 0.0)
        } else {
            (0.0, step.epsilon)
        };
        let (rate, root) = (
            step.lr / step.numerator_correction,
            1.0 / step.root_correction,
        );
        let (r, q, u, e) = (
            S::splat(rate),
            S::splat(root),
            S::splat(under),
            S::splat(beside),
        );
        let rest = vectors::<S>(len, |i| {
            let denominator = S::fma(S::sqrt(S::add(S::load(sum.add(i)), u)), q, e);
            let step = S::div(S::mul(r, S::load(n.add(i))), denominator);
            S::store(theta.add(i), S::sub(S::load(theta.add(i)), step));
        });
        for i in rest..len {
            *theta.add(i) -= rate * *n.add(i) / ((*sum.add(i) + under).sqrt() * root + beside);
        }
    }
}

dispatch! {
    /// # Safety
    /// `g`, `m` and `v` have `len` floats, of which `m`, `v` and `square` are nobody else's.
    moments = moments_any(d: &Decay, len: usize, g: *const f32, m: *mut f32, v: *mut f32, square: *mut f32)
}
dispatch! {
    /// The products of `a` with one to [`TOGETHER`] vectors.
    ///
    /// # Safety
    /// All have the length of `a`; `out` has a place for each and is nobody else's.
    dots = dots_of<f32>[parts.len() > 1, parts.len() > 2](a: &[f32], parts: &[&[f32]], out: *mut f32)
}
dispatch! {
    /// [`dots`] with vectors in half precision.
    ///
    /// # Safety
    /// As [`dots`].
    dots_half = dots_of<u16>[parts.len() > 1, parts.len() > 2](a: &[f32], parts: &[&[u16]], out: *mut f32)
}
dispatch! {
    /// `sum = w p`, or `sum += w p` if it is not the first, of one to [`TOGETHER`] vectors `p` and their weights.
    ///
    /// # Safety
    /// `sum` and all vectors have the same length, and `sum` is nobody else's.
    weigh = weigh_of<f32>[parts.len() > 1, parts.len() > 2](weights: [f32; TOGETHER], parts: &[&[f32]], sum: *mut f32, first: bool)
}
dispatch! {
    /// [`weigh`] with vectors in half precision.
    ///
    /// # Safety
    /// As [`weigh`].
    weigh_half = weigh_of<u16>[parts.len() > 1, parts.len() > 2](weights: [f32; TOGETHER], parts: &[&[u16]], sum: *mut f32, first: bool)
}
dispatch! {
    /// # Safety
    /// All have the length of `sum`; `theta` is nobody else's.
    descend = descend_any(step: &Step, sum: &[f32], numerator: &[f32], theta: *mut f32)
}

#[cfg(test)]
mod tests;
