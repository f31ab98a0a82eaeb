//! The elementwise passes between convolutions, backward; see [`super::norm`] for how a pass walks an image.
//!
//! With the normalised input `x^ = (r - mean) inv` of a norm over n values per channel, the gradient of its input is
//! `dr = a dy - a sum(dy)/n - a x^ sum(dy x^)/n`, linear in `dy` and `r`; so one pass takes the two sums and another
//! applies the formula, together with the `ReLU` next to the norm.

use super::norm::{CHAINS, Strips, each_step, get, put, total};
use super::simd::{Simd, dispatch};

/// One norm's backward pass, per channel.
#[derive(Clone, Copy)]
pub(crate) struct NormGrad {
    /// For the sums: the normalised input is `x^ = inv * r + shift`.
    pub inv: *const f32,
    pub shift: *const f32,
    /// The gradient of the norm's input is `ka * dy + kb * r + kc`.
    pub ka: *const f32,
    pub kb: *const f32,
    pub kc: *const f32,
    /// Dropout after the norm: an image of multipliers for `dy`, or null.
    pub dropout: *const f32,
}

#[inline(always)]
unsafe fn sums_in<S: Simd, const LAST: bool>(
    s: &Strips,
    n: &NormGrad,
    dy: *const f32,
    r: *const f32,
    gate: *const f32,
    out: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; all images, where they are looked at, are of that shape by contract, all per-channel arrays of `stored`,
    // and `out` has two of them.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (inv, shift) = (get::<S, LAST>(n.inv, g), get::<S, LAST>(n.shift, g));
            let mut sum = [S::splat(0.0); CHAINS];
            let mut product = [S::splat(0.0); CHAINS];
            each_step!(steps, i, K, {
                let p = at + i * stride;
                let mut d = S::and(S::load(dy.add(p)), s.mask::<S, LAST>(i));
                if !n.dropout.is_null() {
                    d = S::mul(d, S::load(n.dropout.add(p)));
                }
                if !gate.is_null() {
                    d = S::where_positive(S::load(gate.add(p)), d);
                }
                let x = S::fma(S::load(r.add(p)), inv, shift);
                sum[K] = S::add(sum[K], d);
                product[K] = S::fma(d, x, product[K]);
            });
            put::<S, LAST>(out, g, total::<S>(sum));
            put::<S, LAST>(out.add(s.stored), g, total::<S>(product));
        }
    }
}

dispatch! {
    /// Per channel, the sums of `dy` and of `dy x^` over one image, for the norm whose input was `r`. Where `gate` is
    /// given, `dy` counts only where `gate > 0` (a `ReLU` after the norm). `dy` may hold rubbish at borders.
    ///
    /// # Safety
    /// Images of the strips' shape (`gate` and the dropout or null), arrays of `stored` floats, `out` of `2 * stored`
    /// and nobody else's.
    sums = sums_in[s.last](s: &Strips, n: &NormGrad, dy: *const f32, r: *const f32, gate: *const f32, out: *mut f32)
}

/// Which `ReLU` goes with a norm whose gradient is taken by [`input_grad`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Before the norm, so that the norm's input `r` shows where it passed.
    Before,
    /// After the norm: this image, the `ReLU`'s output, shows it.
    After(*const f32),
    /// After the norm, and `dy` is zero already where it did not pass.
    Passed,
}

#[inline(always)]
unsafe fn input_grad_in<S: Simd, const LAST: bool, const DROP: bool>(
    s: &Strips,
    n: &NormGrad,
    gate: Gate,
    dy: *const f32,
    r: *const f32,
    out: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; all images, where they are looked at, are of that shape by contract, and all per-channel arrays of `stored`.
    // A step is read before it is written, so `out` may be `dy`.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (ka, kb, kc) = (
                get::<S, LAST>(n.ka, g),
                get::<S, LAST>(n.kb, g),
                get::<S, LAST>(n.kc, g),
            );
            for i in 0..steps {
                let p = at + i * stride;
                let mut d = S::load(dy.add(p));
                if DROP {
                    d = S::mul(d, S::load(n.dropout.add(p)));
                }
                let x = S::load(r.add(p));
                let d = match gate {
                    Gate::Before => S::where_positive(x, S::fma(d, ka, S::fma(x, kb, kc))),
                    Gate::After(y) => {
                        let d = S::where_positive(S::load(y.add(p)), d);
                        S::and(S::fma(d, ka, S::fma(x, kb, kc)), s.mask::<S, LAST>(i))
                    }
                    Gate::Passed => S::and(S::fma(d, ka, S::fma(x, kb, kc)), s.mask::<S, LAST>(i)),
                };
                S::store(out.add(p), d);
            }
        }
    }
}

dispatch! {
    /// The gradient before a norm and its `ReLU`, zero at borders: `out = ka dy + kb r + kc` where the `ReLU` passed.
    ///
    /// # Safety
    /// As for [`sums`]; `out` may be `dy`.
    input_grad = input_grad_in[s.last, !n.dropout.is_null()](s: &Strips, n: &NormGrad, gate: Gate, dy: *const f32, r: *const f32, out: *mut f32)
}

#[inline(always)]
unsafe fn pass_in<S: Simd, const LAST: bool>(s: &Strips, y: *const f32, d: *mut f32) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; both images are of that shape by contract.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            for i in 0..steps {
                let p = at + i * stride;
                let v = S::where_positive(S::load(y.add(p)), S::load(d.add(p)));
                S::store(d.add(p), v);
            }
        }
    }
}

dispatch! {
    /// The gradient before a `ReLU` whose output was `y`, in place, zero at borders, where `y` is zero.
    ///
    /// # Safety
    /// Images of the strips' shape; `d` nobody else's.
    pass = pass_in[s.last](s: &Strips, y: *const f32, d: *mut f32)
}

#[inline(always)]
unsafe fn through_in<S: Simd, const LAST: bool, const DROP: bool>(
    s: &Strips,
    n: [&NormGrad; 2],
    d: *mut f32,
    r: [*const f32; 2],
    out: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; all images, where they are looked at, are of that shape by contract, all per-channel arrays of `stored`,
    // and `out` has two of them.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (ka, kb, kc) = (
                get::<S, LAST>(n[1].ka, g),
                get::<S, LAST>(n[1].kb, g),
                get::<S, LAST>(n[1].kc, g),
            );
            let (inv, shift) = (get::<S, LAST>(n[0].inv, g), get::<S, LAST>(n[0].shift, g));
            let mut sum = [S::splat(0.0); CHAINS];
            let mut product = [S::splat(0.0); CHAINS];
            each_step!(steps, i, K, {
                let p = at + i * stride;
                let mut v = S::load(d.add(p));
                if DROP {
                    v = S::mul(v, S::load(n[1].dropout.add(p)));
                }
                let x = S::load(r[1].add(p));
                v = S::where_positive(x, S::fma(v, ka, S::fma(x, kb, kc)));
                S::store(d.add(p), v);
                if DROP {
                    v = S::mul(v, S::load(n[0].dropout.add(p)));
                }
                let x = S::fma(S::load(r[0].add(p)), inv, shift);
                sum[K] = S::add(sum[K], v);
                product[K] = S::fma(v, x, product[K]);
            });
            put::<S, LAST>(out, g, total::<S>(sum));
            put::<S, LAST>(out.add(s.stored), g, total::<S>(product));
        }
    }
}

dispatch! {
    /// From the gradient of a block's output to that of its sum, in place, and the sums of its first norm: the
    /// [`input_grad`] of norm 2 (`n[1]`, input `r[1]`) and the [`sums`] of norm 1 (`n[0]`, input `r[0]`) in one pass.
    /// Either both norms have dropout or none.
    ///
    /// # Safety
    /// As for [`sums`]; `d` and `out` nobody else's.
    through = through_in[s.last, !n[0].dropout.is_null()](s: &Strips, n: [&NormGrad; 2], d: *mut f32, r: [*const f32; 2], out: *mut f32)
}

/// The two sums of one channel over all images: `parts[image] = [first; stored][second; stored]`.
pub(crate) fn combine_sums(parts: &[f32], stored: usize, c: usize) -> (f64, f64) {
    parts
        .chunks_exact(2 * stored)
        .fold((0.0, 0.0), |(a, b), p| {
            (a + f64::from(p[c]), b + f64::from(p[stored + c]))
        })
}
