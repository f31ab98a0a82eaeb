//! Convolutions over planes: a vector is a piece of the run (neighbouring pixels), one output channel per register.
//!
//! Two vectors of positions times a block of output channels fill the accumulators; the weights of the block are read
//! once, in order, as broadcasts, and a tap of the kernel is an unaligned load at a fixed offset. The same kernel does
//!
//! * the forward 3x3 convolution (nine taps) and the 1x1 shortcut (one tap);
//! * stride 2, over an input split beforehand into its four phases, where each tap is a phase and a shift;
//! * the gradient of the input: taps negated and weights transposed; at stride 2, each phase of the input is a
//!   convolution of its own with one, two, two or four of the nine taps.

use super::layout::{ALIGN, Buffer};
use super::simd::{Level, Simd, dispatch};

/// Cache lines asked for in advance per input channel of a tile.
const LINES: usize = 5;

/// Memory that will be needed soon, to be brought into the second-level cache while a convolution computes, which
/// itself asks little of the memory. Up to four places, each with its length in floats; any address is allowed.
///
/// A tile asks for lines that follow each other, without conditions: the convolution keeps both of the processor's
/// multipliers busy, and every other instruction may take the place of a multiplication.
#[derive(Clone, Copy)]
pub(crate) struct Ahead([(*const f32, usize); 4]);

impl Ahead {
    pub(crate) const NOTHING: Self = Self([(std::ptr::null(), 0); 4]);

    /// Adds a place; a fifth is ignored.
    pub(crate) fn and(mut self, start: *const f32, len: usize) -> Self {
        if let Some(free) = self.0.iter_mut().find(|place| place.1 == 0) {
            *free = (start, len);
        }
        self
    }

    /// Parts of the places, for a convolution that is computed in several steps.
    pub(crate) fn only(&self, places: std::ops::Range<usize>) -> Self {
        self.0[places]
            .iter()
            .fold(Self::NOTHING, |all, place| all.and(place.0, place.1))
    }

    /// Where tile `tile`, which asks for `len` floats, begins.
    #[inline(always)]
    fn of_tile(&self, mut tile: usize, len: usize) -> Option<*const f32> {
        for place in &self.0 {
            let tiles = place.1.div_ceil(len);
            if tile < tiles {
                return Some(place.0.wrapping_add(tile * len));
            }
            tile -= tiles;
        }
        None
    }
}

/// One convolution over planes of one grid.
#[derive(Clone, Copy)]
pub(crate) struct PixelConv<'a> {
    /// Input channels and the floats between two of them.
    pub ci: usize,
    pub x_plane: usize,
    /// Offset of every tap from the output's position.
    pub taps: &'a [isize],
    /// Output channels (a multiple of 4) and the floats between two of them.
    pub co: usize,
    pub out_plane: usize,
    /// Positions to compute: a multiple of 16.
    pub positions: usize,
    /// Add to the output rather than overwrite it.
    pub add: bool,
    pub ahead: Ahead,
}

/// Output channels that share the accumulators, of `co` (a multiple of 4), at a level.
pub(crate) fn block(level: Level, co: usize) -> usize {
    let candidates: &[usize] = if level.lanes() == 16 {
        &[10, 12, 8]
    } else {
        &[5]
    };
    candidates
        .iter()
        .copied()
        .find(|b| co.is_multiple_of(*b))
        .unwrap_or(4)
}

/// Writes weights `[co, ci, t]` in the order in which [`conv`] reads them: `[co / block][ci][taps][block]`.
///
/// `taps` names the taps to keep, of `t`. With `transposed`, `ci` and `co` of the *weights* swap roles: the result is
/// for the convolution from `co` channels to `ci`.
pub(crate) fn pack(
    level: Level,
    weights: &[f32],
    (co, ci, t): (usize, usize, usize),
    taps: &[usize],
    transposed: bool,
    packed: &mut Buffer,
) {
    let (outputs, inputs) = if transposed { (ci, co) } else { (co, ci) };
    let (out_step, in_step) = if transposed { (t, ci * t) } else { (ci * t, t) };
    let block = block(level, outputs);
    let packed = packed.room(outputs * inputs * taps.len());
    let mut rows = packed.chunks_exact_mut(block);
    for o in (0..outputs).step_by(block) {
        for i in 0..inputs {
            for (&tap, row) in taps.iter().zip(&mut rows) {
                for (b, to) in row.iter_mut().enumerate() {
                    *to = weights[(o + b) * out_step + i * in_step + tap];
                }
            }
        }
    }
}

/// `V` vectors of positions times `B` output channels.
///
/// # Safety
/// `x` plus any tap, `out`: see [`conv`].
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize, const B: usize, const AHEAD: bool>(
    c: &PixelConv,
    mut ahead: *const f32,
    x: *const f32,
    mut w: *const f32,
    out: *mut f32,
) {
    // SAFETY: `x` and `out` are at a position from which V vectors end within the positions, and `out` at the first of B
    // channels. So `x[i * x_plane + tap]` and the V vectors from there, and the outputs, are among those that `conv` was
    // promised; `w` advances by B per channel and tap, over the block's weights. What is prefetched is not read.
    unsafe {
        let mut acc = [[S::splat(0.0); V]; B];
        if c.add {
            for (b, acc) in acc.iter_mut().enumerate() {
                for (v, acc) in acc.iter_mut().enumerate() {
                    *acc = S::load(out.add(b * c.out_plane + v * S::LANES));
                }
            }
        }
        for i in 0..c.ci {
            let plane = x.add(i * c.x_plane);
            if AHEAD {
                for line in 0..LINES {
                    S::prefetch_far(ahead.wrapping_add(line * ALIGN));
                }
                ahead = ahead.wrapping_add(LINES * ALIGN);
            }
            for &tap in c.taps {
                let at = plane.offset(tap);
                let mut xs = [S::splat(0.0); V];
                for (v, x) in xs.iter_mut().enumerate() {
                    *x = S::load(at.add(v * S::LANES));
                }
                for (b, acc) in acc.iter_mut().enumerate() {
                    let weight = S::splat(*w.add(b));
                    for (acc, x) in acc.iter_mut().zip(xs) {
                        *acc = S::fma(x, weight, *acc);
                    }
                }
                w = w.add(B);
            }
        }
        for (b, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                S::store(out.add(b * c.out_plane + v * S::LANES), *acc);
            }
        }
    }
}

#[inline(always)]
unsafe fn blocks<S: Simd, const B: usize>(
    c: &PixelConv,
    x: *const f32,
    w: *const f32,
    out: *mut f32,
) {
    // SAFETY: B divides `co` (the arms of `generic`), so block `o` has B channels, `out_plane` apart, and its weights; two
    // vectors are taken while two are left, and one after them: positions are a multiple of every level's lanes.
    unsafe {
        let mut tiles = 0_usize;
        for o in 0..c.co / B {
            let w = w.add(o * B * c.ci * c.taps.len());
            let out = out.add(o * B * c.out_plane);
            let mut p = 0;
            while p + 2 * S::LANES <= c.positions {
                let ahead = c.ahead.of_tile(tiles, c.ci * LINES * ALIGN);
                tiles += 1;
                match ahead {
                    Some(at) => tile::<S, 2, B, true>(c, at, x.add(p), w, out.add(p)),
                    None => tile::<S, 2, B, false>(c, x, x.add(p), w, out.add(p)),
                }
                p += 2 * S::LANES;
            }
            if p < c.positions {
                tile::<S, 1, B, false>(c, x, x.add(p), w, out.add(p));
            }
        }
    }
}

#[inline(always)]
unsafe fn generic<S: Simd>(c: &PixelConv, x: *const f32, w: *const f32, out: *mut f32) {
    // SAFETY: the contract of `conv` is that of every arm, and each has the block that `block` gave when the weights were
    // packed, which divides `co`.
    unsafe {
        if S::LANES == 16 {
            if c.co.is_multiple_of(10) {
                blocks::<S, 10>(c, x, w, out);
            } else if c.co.is_multiple_of(12) {
                blocks::<S, 12>(c, x, w, out);
            } else if c.co.is_multiple_of(8) {
                blocks::<S, 8>(c, x, w, out);
            } else {
                blocks::<S, 4>(c, x, w, out);
            }
        } else if c.co.is_multiple_of(5) {
            blocks::<S, 5>(c, x, w, out);
        } else {
            blocks::<S, 4>(c, x, w, out);
        }
    }
}

dispatch! {
    /// `out[o][p] (+)= sum over i, t of w[o][i][t] * x[i][p + taps[t]]` for `p` in `0..positions` of one image.
    ///
    /// # Safety
    /// For every input channel `i`, tap and `p < positions`, `x[i * x_plane + p + tap]` is readable;
    /// `w` holds `co * ci * taps.len()` floats packed for this level; for every output channel `o`,
    /// `out[o * out_plane..][..positions]` is writable and nobody else's.
    conv = generic(c: &PixelConv, x: *const f32, w: *const f32, out: *mut f32)
}
