//! Gradients of convolution weights over planes.
//!
//! `dw[o][k] = sum over images and positions of dy[o][p] * x[channel(k)][p + tap(k)]`: some shifted input vectors times
//! some output-gradient vectors fill the accumulators, which keep one partial sum per lane. Lanes are added up once,
//! at the end of the batch. Border positions contribute nothing because `dy` is zero there.
//!
//! The batch is walked in groups of about a thousand positions (several small images, or a piece of a large one), so
//! that the four planes of `dy` stay in the first-level cache while all `k` pass by; between groups the accumulators
//! wait in memory.

use super::simd::{Level, Simd, dispatch};

/// Output channels of a tile; widths are multiples of it.
pub(crate) const OUTPUTS: usize = 4;
/// Positions of a group, about.
const GROUP: usize = 1024;

/// A piece of the run of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    image: usize,
    start: usize,
    len: usize,
}

/// Cuts the runs of a batch into groups; `run_padded` is a multiple of 16.
pub(crate) fn groups(images: usize, run_padded: usize) -> Vec<Vec<Piece>> {
    if run_padded > GROUP * 3 / 2 {
        let parts = run_padded.div_ceil(GROUP);
        let step = super::layout::round_up(run_padded.div_ceil(parts), super::layout::ALIGN);
        let pieces = (0..images).flat_map(|image| {
            (0..run_padded).step_by(step).map(move |start| Piece {
                image,
                start,
                len: step.min(run_padded - start),
            })
        });
        return pieces.map(|p| vec![p]).collect();
    }
    let per = (GROUP * 5 / 4 / run_padded).max(1);
    (0..images)
        .step_by(per)
        .map(|first| {
            (first..images.min(first + per))
                .map(|image| Piece {
                    image,
                    start: 0,
                    len: run_padded,
                })
                .collect()
        })
        .collect()
}

/// The weight gradient of one convolution.
#[derive(Clone, Copy)]
pub(crate) struct PixelGrad<'a> {
    /// Inputs: channels, floats between two channels and between two images, taps' offsets.
    pub ci: usize,
    pub x_plane: usize,
    pub x_image: usize,
    pub taps: &'a [isize],
    /// Output gradients: floats between two channels and between two images.
    pub dy_plane: usize,
    pub dy_image: usize,
    pub groups: &'a [Vec<Piece>],
    /// Whether these are the batch's first groups, and its last.
    pub ends: (bool, bool),
    /// The range of `k = channel * taps + tap` to compute.
    pub from: usize,
    pub to: usize,
}

/// Inputs of a tile at a level.
fn inputs(level: Level) -> usize {
    if level.lanes() == 16 { 6 } else { 3 }
}

/// Floats of scratch that one call needs.
pub(crate) fn scratch(level: Level, from: usize, to: usize) -> usize {
    (to - from).div_ceil(inputs(level)) * inputs(level) * OUTPUTS * level.lanes()
}

#[inline(always)]
unsafe fn tile<S: Simd, const K: usize>(
    g: &PixelGrad,
    k: usize,
    pieces: &[Piece],
    x: *const f32,
    dy: *const f32,
    scratch: *mut f32,
    (first, last): (bool, bool),
    grads: *mut f32,
) {
    // SAFETY: `k` is cut to the last input, so every address is `x` at a real channel and tap, or `dy` at one of its OUTPUTS
    // channels; pieces are of the images and positions that `grads` was promised, in multiples of 16. `scratch` has K *
    // OUTPUTS vectors for this tile, and the gradient the places of `k` below `to`.
    unsafe {
        let t = g.taps.len();
        let end = g.ci * t - 1;
        let mut xs = [x; K];
        for (i, at) in xs.iter_mut().enumerate() {
            // Beyond the last input, the last one again; its sums are not used.
            let k = (k + i).min(end);
            *at = x.add(k / t * g.x_plane).offset(g.taps[k % t]);
        }
        let mut acc = [[S::splat(0.0); K]; OUTPUTS];
        if !first {
            for (o, acc) in acc.iter_mut().enumerate() {
                for (i, acc) in acc.iter_mut().enumerate() {
                    *acc = S::load(scratch.add((o * K + i) * S::LANES));
                }
            }
        }
        for piece in pieces {
            let at = piece.image * g.x_image + piece.start;
            let dy = dy.add(piece.image * g.dy_image + piece.start);
            let mut p = 0;
            while p < piece.len {
                let mut v = [S::splat(0.0); K];
                for (v, x) in v.iter_mut().zip(xs) {
                    *v = S::load(x.add(at + p));
                }
                // The next channel; beyond the last one there may be none, and nothing is read.
                S::prefetch(xs[0].wrapping_add(at + p + g.x_plane));
                for (o, acc) in acc.iter_mut().enumerate() {
                    let d = S::load(dy.add(o * g.dy_plane + p));
                    for (acc, v) in acc.iter_mut().zip(v) {
                        *acc = S::fma(v, d, *acc);
                    }
                }
                p += S::LANES;
            }
        }
        for (o, acc) in acc.iter().enumerate() {
            for (i, acc) in acc.iter().enumerate() {
                S::store(scratch.add((o * K + i) * S::LANES), *acc);
            }
        }
        if last {
            // From memory, so that the loops above, and they alone, decide how the accumulators are kept.
            for n in 0..K * OUTPUTS {
                let (o, i) = (n / K, n % K);
                if k + i < g.to {
                    *grads.add(o * (end + 1) + k + i) = S::sum(S::load(scratch.add(n * S::LANES)));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn walk<S: Simd, const K: usize>(
    g: &PixelGrad,
    x: *const f32,
    dy: *const f32,
    scratch: *mut f32,
    grads: *mut f32,
) {
    // SAFETY: the contract of `grads`; tiles are as many as `scratch` counts, and tile `i` has K * OUTPUTS vectors from its
    // place on.
    unsafe {
        for (n, pieces) in g.groups.iter().enumerate() {
            let ends = (g.ends.0 && n == 0, g.ends.1 && n + 1 == g.groups.len());
            for (i, k) in (g.from..g.to).step_by(K).enumerate() {
                tile::<S, K>(
                    g,
                    k,
                    pieces,
                    x,
                    dy,
                    scratch.add(i * K * OUTPUTS * S::LANES),
                    ends,
                    grads,
                );
            }
        }
    }
}

#[inline(always)]
unsafe fn generic<S: Simd>(
    g: &PixelGrad,
    x: *const f32,
    dy: *const f32,
    scratch: *mut f32,
    grads: *mut f32,
) {
    // SAFETY: the contract of `grads` is that of both arms, whose inputs are those of `inputs`, by which `scratch` counts.
    unsafe {
        if S::LANES == 16 {
            walk::<S, 6>(g, x, dy, scratch, grads);
        } else {
            walk::<S, 3>(g, x, dy, scratch, grads);
        }
    }
}

dispatch! {
    /// Writes `grads[o * ci * taps + k]` for the [`OUTPUTS`] channels at `dy` and `k` in `from..to`.
    ///
    /// # Safety
    /// `x` (first pixel of channel 0 of image 0) plus any channel, image, tap and position of the groups is readable,
    /// and so is `dy` for its channels; `scratch` holds [`scratch`] floats; `grads` is writable at the places named.
    /// Scratch and gradients are nobody else's.
    grads = generic(g: &PixelGrad, x: *const f32, dy: *const f32, scratch: *mut f32, grads: *mut f32)
}
