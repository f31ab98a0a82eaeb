//! The elementwise passes between convolutions, forward: batch norm, `ReLU`, residual addition and dropout, fused,
//! with the sums that the next pass needs. The backward passes are in [`super::norm_grad`].
//!
//! Every pass works on one image and is written once for both layouts: a *strip* is a channel (planes) or a vector of
//! channels (channels last), and a step of it is a vector of positions or one position. Per-channel numbers come from
//! arrays of [`Shape::stored`] floats, sums go to such arrays, one set per image, to be added up in the order of the
//! images and in `f64` ([`combine_moments`]); so nothing depends on threads.
//!
//! With batch statistics over n values per channel (biased variance, as used to normalise):
//! `y = a r + b`, `a = weight / sqrt(var + eps)`, `b = bias - a mean`.

use super::layout::{Layout, Shape};
use super::simd::{Simd, dispatch};

/// What a batch norm adds to the variance under the root: `PyTorch`'s default.
pub const EPSILON: f64 = 1e-5;

/// Runs a body for every step of a strip, four at a time, with the step `$i` and a constant `$k` that names one of
/// [`CHAINS`] accumulators, so that additions do not wait for each other.
macro_rules! each_step {
    ($steps:expr, $i:ident, $k:ident, $body:block) => {
        let steps: usize = $steps;
        let mut next = 0;
        while next + CHAINS <= steps {
            each_step!(@one next, $i, $k, 0, $body);
            each_step!(@one next + 1, $i, $k, 1, $body);
            each_step!(@one next + 2, $i, $k, 2, $body);
            each_step!(@one next + 3, $i, $k, 3, $body);
            next += CHAINS;
        }
        while next < steps {
            each_step!(@one next, $i, $k, 0, $body);
            next += 1;
        }
    };
    (@one $step:expr, $i:ident, $k:ident, $chain:literal, $body:block) => {{
        const $k: usize = $chain;
        let $i: usize = $step;
        $body
    }};
}

pub(crate) use each_step;

/// Accumulators of a sum.
pub(crate) const CHAINS: usize = 4;

/// # Safety
/// The caller runs with the instructions of `S`.
#[inline(always)]
pub(crate) unsafe fn total<S: Simd>(sums: [S::V; CHAINS]) -> S::V {
    // SAFETY: nothing is addressed, and the caller runs with the instructions of `S`, as everywhere in a kernel.
    unsafe { S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])) }
}

/// The strips of one image.
#[derive(Clone, Copy)]
pub(crate) struct Strips<'a> {
    pub(crate) last: bool,
    /// Offset of the first pixel's channel 0, floats between strips (planes), channels as stored (last).
    origin: usize,
    plane: usize,
    pub(crate) stored: usize,
    /// Positions: padded run (planes) or run (last).
    positions: usize,
    /// Real pixels.
    pixels: usize,
    /// Ones at pixels, zeros at borders.
    mask: &'a [f32],
}

impl<'a> Strips<'a> {
    /// `mask` is the grid's.
    pub(crate) fn new(shape: &Shape, mask: &'a [f32]) -> Self {
        assert_eq!(mask.len(), shape.grid.run_padded, "mask of another grid");
        let last = shape.layout == Layout::Last;
        Self {
            last,
            origin: shape.origin,
            plane: shape.grid.plane,
            stored: shape.stored,
            positions: if last {
                shape.grid.run
            } else {
                shape.grid.run_padded
            },
            pixels: shape.grid.pixels(),
            mask,
        }
    }

    #[inline(always)]
    pub(crate) fn count<S: Simd, const LAST: bool>(&self) -> usize {
        if LAST {
            self.stored / S::LANES
        } else {
            self.stored
        }
    }

    /// Where a strip begins in the image, the steps it has, and the floats between two steps.
    #[inline(always)]
    pub(crate) fn strip<S: Simd, const LAST: bool>(&self, g: usize) -> (usize, usize, usize) {
        if LAST {
            (self.origin + g * S::LANES, self.positions, self.stored)
        } else {
            (
                self.origin + g * self.plane,
                self.positions / S::LANES,
                S::LANES,
            )
        }
    }

    /// Ones at the pixels of a step, zeros at its borders.
    ///
    /// # Safety
    /// `step` is below the steps of a strip; the caller runs with the instructions of `S`.
    #[inline(always)]
    pub(crate) unsafe fn mask<S: Simd, const LAST: bool>(&self, step: usize) -> S::V {
        // SAFETY: the mask has `run_padded` entries (`new`). Steps of a strip are positions of the run, or vectors of the
        // padded run, which is a multiple of every level's lanes.
        unsafe {
            let mask = self.mask.as_ptr();
            if LAST {
                S::splat(*mask.add(step))
            } else {
                S::load(mask.add(step * S::LANES))
            }
        }
    }
}

/// A strip's numbers from a per-channel array.
///
/// # Safety
/// The array has `stored` entries and `g` is below the count of strips; the caller runs with the instructions of `S`.
#[inline(always)]
pub(crate) unsafe fn get<S: Simd, const LAST: bool>(array: *const f32, g: usize) -> S::V {
    // SAFETY: the array has `stored` entries, as many as strips, or as lanes of all strips, of which `g` is one.
    unsafe {
        if LAST {
            S::load(array.add(g * S::LANES))
        } else {
            S::splat(*array.add(g))
        }
    }
}

/// A strip's sum into a per-channel array.
///
/// # Safety
/// As [`get`]; the array is nobody else's.
#[inline(always)]
pub(crate) unsafe fn put<S: Simd, const LAST: bool>(array: *mut f32, g: usize, sum: S::V) {
    // SAFETY: the array has `stored` entries, as many as strips, or as lanes of all strips, of which `g` is one.
    unsafe {
        if LAST {
            S::store(array.add(g * S::LANES), sum);
        } else {
            *array.add(g) = S::sum(sum);
        }
    }
}

/// Mean, and sum of squared distances from it, of one strip of `x`.
///
/// # Safety
/// As for the pass that calls it: `x` is an image of the strips' shape, `out` two arrays of `stored`, nobody else's; `g` is
/// below the count of strips.
#[inline(always)]
unsafe fn moments<S: Simd, const LAST: bool>(
    s: &Strips,
    g: usize,
    x: *const f32,
    sum: [S::V; CHAINS],
    out: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; `x` is such an image, `out` has two arrays of `stored`.
    unsafe {
        put::<S, LAST>(
            out,
            g,
            S::mul(total::<S>(sum), S::splat(1.0 / s.pixels as f32)),
        );
        let mean = get::<S, LAST>(out, g);
        let (at, steps, stride) = s.strip::<S, LAST>(g);
        let mut squares = [S::splat(0.0); CHAINS];
        each_step!(steps, i, K, {
            let d = S::and(
                S::sub(S::load(x.add(at + i * stride)), mean),
                s.mask::<S, LAST>(i),
            );
            squares[K] = S::fma(d, d, squares[K]);
        });
        put::<S, LAST>(out.add(s.stored), g, total::<S>(squares));
    }
}

#[inline(always)]
unsafe fn activate_in<S: Simd, const LAST: bool>(
    s: &Strips,
    relu: bool,
    x: *mut f32,
    out: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; `x` is such an image, `out` has two arrays of `stored`, and both are ours by contract.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let mut sum = [S::splat(0.0); CHAINS];
            each_step!(steps, i, K, {
                let p = x.add(at + i * stride);
                let mut v = S::and(S::load(p), s.mask::<S, LAST>(i));
                if relu {
                    v = S::relu(v);
                }
                S::store(p, v);
                sum[K] = S::add(sum[K], v);
            });
            moments::<S, LAST>(s, g, x, sum, out);
        }
    }
}

dispatch! {
    /// `x = relu(x)` (or `x`), borders zeroed; `out` gets the image's per-channel means, then sums of squares about them.
    ///
    /// # Safety
    /// `x` is an image of the strips' shape, `out` holds `2 * stored` floats; both nobody else's.
    activate = activate_in[s.last](s: &Strips, relu: bool, x: *mut f32, out: *mut f32)
}

/// A norm applied: `y = a x + b` per channel, times the dropout multipliers if there are any.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    pub a: *const f32,
    pub b: *const f32,
    /// An image of multipliers, or null.
    pub dropout: *const f32,
}

impl Affine {
    /// No norm, for [`join`].
    pub(crate) const NONE: Self = Self {
        a: std::ptr::null(),
        b: std::ptr::null(),
        dropout: std::ptr::null(),
    };
}

#[inline(always)]
unsafe fn residual_in<S: Simd, const LAST: bool, const DROP: bool>(
    s: &Strips,
    n: &Affine,
    x: *const f32,
    shortcut: *const f32,
    y: *mut f32,
    out: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; `x`, the shortcut, `y` and, with DROP, the multipliers are such images by contract. `a` and `b` are arrays
    // of `stored`, `out` two of them.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (a, b) = (get::<S, LAST>(n.a, g), get::<S, LAST>(n.b, g));
            let mut sum = [S::splat(0.0); CHAINS];
            each_step!(steps, i, K, {
                let p = at + i * stride;
                let mut v = S::fma(S::load(x.add(p)), a, b);
                if DROP {
                    v = S::mul(v, S::load(n.dropout.add(p)));
                }
                v = S::and(
                    S::relu(S::add(v, S::load(shortcut.add(p)))),
                    s.mask::<S, LAST>(i),
                );
                S::store(y.add(p), v);
                sum[K] = S::add(sum[K], v);
            });
            moments::<S, LAST>(s, g, y, sum, out);
        }
    }
}

dispatch! {
    /// `y = relu(norm(x) + shortcut)`, borders zeroed; `out` as in [`activate`].
    ///
    /// # Safety
    /// Images of the strips' shape, arrays of `stored` floats; `y` and `out` nobody else's; `y` may be `x`.
    residual = residual_in[s.last, !n.dropout.is_null()](s: &Strips, n: &Affine, x: *const f32, shortcut: *const f32, y: *mut f32, out: *mut f32)
}

#[inline(always)]
unsafe fn relu_residual_in<S: Simd, const LAST: bool>(
    s: &Strips,
    n: [&Affine; 2],
    x: *const f32,
    shortcut: *const f32,
    y: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; all images, with DROP the multipliers too, are of that shape by contract, and all per-channel arrays of
    // `stored`. A step is read before it is written, so `y` may be one of the others.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (a1, b1) = (get::<S, LAST>(n[0].a, g), get::<S, LAST>(n[0].b, g));
            let (a2, b2) = (get::<S, LAST>(n[1].a, g), get::<S, LAST>(n[1].b, g));
            for i in 0..steps {
                let p = at + i * stride;
                let v = S::fma(S::relu(S::load(x.add(p))), a1, b1);
                let v = S::relu(S::add(v, S::load(shortcut.add(p))));
                S::store(y.add(p), S::and(S::fma(v, a2, b2), s.mask::<S, LAST>(i)));
            }
        }
    }
}

dispatch! {
    /// A block after its convolution, with both norms known: `y = norm2(relu(norm1(relu(x)) + shortcut))`, borders
    /// zeroed. Without dropout.
    ///
    /// # Safety
    /// Images of the strips' shape, arrays of `stored` floats; `y` nobody else's; it may be `x` or `shortcut`.
    relu_residual = relu_residual_in[s.last](s: &Strips, n: [&Affine; 2], x: *const f32, shortcut: *const f32, y: *mut f32)
}

#[inline(always)]
unsafe fn apply_in<S: Simd, const LAST: bool, const DROP: bool>(
    s: &Strips,
    n: &Affine,
    relu: bool,
    x: *const f32,
    y: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; all images, with DROP the multipliers too, are of that shape by contract, and all per-channel arrays of
    // `stored`. A step is read before it is written, so `y` may be one of the others.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (a, b) = (get::<S, LAST>(n.a, g), get::<S, LAST>(n.b, g));
            for i in 0..steps {
                let p = at + i * stride;
                let mut v = S::fma(S::load(x.add(p)), a, b);
                if DROP {
                    v = S::mul(v, S::load(n.dropout.add(p)));
                }
                if relu {
                    v = S::relu(v);
                }
                S::store(y.add(p), S::and(v, s.mask::<S, LAST>(i)));
            }
        }
    }
}

dispatch! {
    /// `y = norm(x)`, or `relu(norm(x))`; borders zeroed.
    ///
    /// # Safety
    /// As for [`residual`].
    apply = apply_in[s.last, !n.dropout.is_null()](s: &Strips, n: &Affine, relu: bool, x: *const f32, y: *mut f32)
}

#[inline(always)]
unsafe fn join_in<S: Simd, const LAST: bool, const NORMED: bool>(
    s: &Strips,
    n: [&Affine; 2],
    x: *const f32,
    shortcut: *const f32,
    y: *mut f32,
) {
    // SAFETY: a strip's steps are whole vectors inside an image of the strips' shape (`Strips::new`, `strip`), and `g` is below their
    // count; all images are of that shape by contract, and all per-channel arrays that are looked at of `stored`. A step
    // is read before it is written, so `y` may be one of the others.
    unsafe {
        for g in 0..s.count::<S, LAST>() {
            let (at, steps, stride) = s.strip::<S, LAST>(g);
            let (a, b) = (get::<S, LAST>(n[0].a, g), get::<S, LAST>(n[0].b, g));
            let (c, d) = if NORMED {
                (get::<S, LAST>(n[1].a, g), get::<S, LAST>(n[1].b, g))
            } else {
                (S::splat(1.0), S::splat(0.0))
            };
            for i in 0..steps {
                let p = at + i * stride;
                let mut side = S::load(shortcut.add(p));
                if NORMED {
                    side = S::fma(side, c, d);
                }
                let v = S::relu(S::add(S::fma(S::load(x.add(p)), a, b), side));
                S::store(y.add(p), S::and(v, s.mask::<S, LAST>(i)));
            }
        }
    }
}

dispatch! {
    /// The end of a block of two convolutions: `y = relu(norm(x) + shortcut)`, the shortcut normalised, too, where the
    /// second norm has coefficients; borders zeroed. Without dropout.
    ///
    /// # Safety
    /// Images of the strips' shape, arrays of `stored` floats, or null both of the second norm's; `y` nobody else's; it
    /// may be `x` or `shortcut`.
    join = join_in[s.last, !n[1].a.is_null()](s: &Strips, n: [&Affine; 2], x: *const f32, shortcut: *const f32, y: *mut f32)
}

/// Mean and biased variance of one channel from every image's mean and sum of squares about it, each over `pixels`
/// values: `parts[image] = [means; stored][squares; stored]`.
pub(crate) fn combine_moments(parts: &[f32], stored: usize, pixels: usize, c: usize) -> (f64, f64) {
    let images = parts.len() / (2 * stored);
    let mean = parts
        .chunks_exact(2 * stored)
        .map(|p| f64::from(p[c]))
        .sum::<f64>()
        / images as f64;
    let squares: f64 = parts
        .chunks_exact(2 * stored)
        .map(|p| f64::from(p[stored + c]) + (f64::from(p[c]) - mean).powi(2) * pixels as f64)
        .sum();
    (mean, squares / (images * pixels) as f64)
}
