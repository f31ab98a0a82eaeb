//! Gradients of convolution weights over channels-last images.
//!
//! A matrix product per tap: `dw[k][o] = sum over pixels of x[pixel + tap][channel] * dy[pixel][o]`. Some vectors of
//! output channels times eight broadcast input channels (four, where there are 16 registers) fill the accumulators, and no
//! lanes have to be added up. For every eight input channels, the pixels are walked in chunks that stay in the first-level cache while all taps pass
//! by; between chunks the accumulators wait in memory, from where they are finally transposed to the order of the
//! weights while they are still in that cache.
//!
//! Of transformed images ([`crate::winograd`]), whose places stand where else the taps do, more input channels go together: a
//! place's pixels serve them all. Their sums wait in the second-level cache, and become the nine taps' on the way to the weights.

use super::conv_channels::PixelTable;
use super::layout::{ALIGN, round_up};
use super::simd::{Level, Simd, dispatch};
use super::transpose::{Matrix, transpose_in};
use super::winograd::{self, PLACES, TAPS};

/// Input channels that go through the pixels together; divides the stored channels.
pub(crate) const INPUTS: usize = 8;
/// Half of them, whose accumulators 16 registers hold.
const HALF: usize = INPUTS / 2;
/// Blocks of [`INPUTS`] that go together where the images are transformed.
const TOGETHER: usize = 5;
/// Pixels of a chunk, at most.
const CHUNK: usize = 128;

/// Floats of scratch for the sums of some input channels by place, of which parts of the windows take turns.
pub(crate) fn scratch_of_places(inputs: usize, group: usize, lanes: usize) -> usize {
    (inputs.next_multiple_of(INPUTS) * PLACES + INPUTS * TAPS) * group * lanes
}

/// Floats of scratch that one call needs.
pub(crate) const fn scratch(taps: usize, group: usize, lanes: usize) -> usize {
    INPUTS * taps * group * lanes
}

/// The weight gradient of one convolution, for one group of output channels and some input channels.
#[derive(Clone, Copy)]
pub(crate) struct ChannelGrad<'a> {
    pub taps: &'a [isize],
    /// `input` addresses x, `output` addresses dy.
    pub table: &'a PixelTable,
    /// Input channels to compute, multiples of [`INPUTS`] (the last may lie beyond `ci`, in stored zeros).
    pub from: usize,
    pub to: usize,
    /// Real input channels, for the order of the weights.
    pub ci: usize,
    /// Vectors of the group, its first channel and how many of its channels are real.
    pub group: usize,
    pub first: usize,
    pub real: usize,
    /// Transformed images in the place of images and taps: pixels of the table are windows.
    pub places: Option<Places>,
}

/// Transformed images, of which a part may be there at a time.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    /// Floats from a place to the next, of x and of dy.
    pub x: usize,
    pub dy: usize,
    /// The first windows of the table.
    pub windows: usize,
    /// Whether they are the first of all, and the last.
    pub ends: (bool, bool),
}

/// What of a gradient's sums goes when and where.
struct Order {
    /// Taps or places of a pixel, and taps of the weights.
    t: usize,
    taps: usize,
    /// Blocks of inputs that go together; the pixels; whether the first and the last of all are among them.
    together: usize,
    pixels: usize,
    ends: (bool, bool),
    /// Floats between the sums of two inputs, and of two taps or places.
    row: usize,
    step: usize,
}

impl ChannelGrad<'_> {
    /// With `width` output channels.
    #[inline(always)]
    fn order(&self, width: usize) -> Order {
        let t = self.taps.len();
        match self.places {
            Some(p) => Order {
                t: PLACES,
                taps: TAPS,
                together: TOGETHER,
                pixels: p.windows,
                ends: p.ends,
                row: width,
                step: INPUTS * width,
            },
            None => Order {
                t,
                taps: t,
                together: 1,
                pixels: self.table.count,
                ends: (true, true),
                row: t * width,
                step: width,
            },
        }
    }

    /// Taps or places: offsets in x and in dy.
    #[inline(always)]
    fn offsets(&self, k: usize) -> (isize, usize) {
        match self.places {
            Some(places) => ((k * places.x) as isize, k * places.dy),
            None => (self.taps[k], 0),
        }
    }
}

/// The sums of one tap for `I` of the input channels: `I · V` accumulators, `V` vectors and a broadcast value are what the
/// registers must hold. They begin, or go on from the sums that are there, in rows of `row` floats.
#[inline(always)]
unsafe fn tile<S: Simd, const V: usize, const I: usize>(
    (table, from, to, begin): (&PixelTable, usize, usize, bool),
    (x, shift): (*const f32, isize),
    dy: *const f32,
    (sums, row): (*mut f32, usize),
) {
    // SAFETY: `to` is at most the table's count, so its entries are those of real pixels. `shift` is a tap and the first of
    // `I` stored channels, so `x[entry + shift..][..I]`, and the group's V vectors of `dy`, are among those that
    // `grads` was promised. Row `i` of the sums, `row` floats long, has V vectors from where this tap's begin.
    unsafe {
        let mut acc = [[S::splat(0.0); V]; I];
        if !begin {
            for (i, acc) in acc.iter_mut().enumerate() {
                for (v, acc) in acc.iter_mut().enumerate() {
                    *acc = S::load(sums.add(i * row + v * S::LANES));
                }
            }
        }
        let (ins, outs) = (table.input.as_ptr(), table.output.as_ptr());
        for q in from..to {
            // One offset, so that no address but the final one is made: `x + shift` alone may lie before the buffer.
            let x = x.offset(*ins.add(q) as isize + shift);
            // For the next inputs; beyond the last pixel's there may be none, and nothing is read.
            S::prefetch(x.wrapping_add(ALIGN));
            let d = dy.add(*outs.add(q) as usize);
            let mut ds = [S::splat(0.0); V];
            for (v, ds) in ds.iter_mut().enumerate() {
                *ds = S::load(d.add(v * S::LANES));
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let x = S::splat(*x.add(i));
                for (acc, d) in acc.iter_mut().zip(ds) {
                    *acc = S::fma(x, d, *acc);
                }
            }
        }
        for (i, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                S::store(sums.add(i * row + v * S::LANES), *acc);
            }
        }
    }
}

#[inline(always)]
unsafe fn walk<S: Simd, const V: usize>(
    g: &ChannelGrad,
    x: *const f32,
    dy: *const f32,
    scratch: *mut f32,
    grads: *mut f32,
) {
    // SAFETY: chunks end at the table's count, and channels are taken by INPUTS from a multiple of it below `ci`, which the
    // stored channels, a multiple of 16, hold. Of the scratch, INPUTS rows of a vector group per tap are used; of places, as
    // many rows as channels per place, and behind them INPUTS rows per tap. What is transposed into the gradient are the rows of real
    // inputs and the columns of real outputs, which are inside it.
    unsafe {
        let width = V * S::LANES;
        let o = g.order(width);
        let dy = dy.add(g.first);
        let (all, end) = (g.ci * o.taps, g.to.min(g.ci));
        let chunk = o.pixels.div_ceil(o.pixels.div_ceil(CHUNK).max(1)).max(1);
        let block = INPUTS * o.t * width;
        let turned = scratch.wrapping_add((g.to - g.from).div_ceil(INPUTS) * block);
        for c in (g.from..end).step_by(INPUTS * o.together) {
            let blocks = (end - c).div_ceil(INPUTS).min(o.together);
            // Where sums wait for the next windows, all have a place of their own.
            let first = if o.ends == (true, true) {
                0
            } else {
                c - g.from
            };
            let sums = scratch.add(first * o.t * width);
            // The gradients' lines, which come from far away, are asked for while their sums are taken; the last may lie
            // beyond the end, hence the wrapping form.
            for row in 0..if o.ends.1 { g.real } else { 0 } {
                let to = grads.wrapping_add(row * all + c * o.taps);
                for line in 0..(blocks * INPUTS * o.taps).div_ceil(ALIGN) {
                    S::prefetch_far(to.wrapping_add(ALIGN * line));
                }
            }
            let mut from = 0;
            while from < o.pixels {
                let to = o.pixels.min(from + chunk);
                let part = (g.table, from, to, o.ends.0 && from == 0);
                for k in 0..o.t {
                    let (shift, out) = g.offsets(k);
                    for b in 0..blocks {
                        let (shift, dy) = (shift + (c + b * INPUTS) as isize, dy.add(out));
                        let sums = sums.add(b * block + k * o.step);
                        if S::LANES == 16 {
                            tile::<S, V, INPUTS>(part, (x, shift), dy, (sums, o.row));
                        } else {
                            tile::<S, V, HALF>(part, (x, shift), dy, (sums, o.row));
                            let (shift, sums) = (shift + HALF as isize, sums.add(HALF * o.row));
                            tile::<S, V, HALF>(part, (x, shift), dy, (sums, o.row));
                        }
                    }
                }
                from = to;
            }
            for b in 0..if o.ends.1 { blocks } else { 0 } {
                let (c, mut sums) = (c + b * INPUTS, sums.add(b * block));
                if g.places.is_some() {
                    winograd::taps_of::<S>((INPUTS, width), sums, turned);
                    sums = turned;
                }
                let m = Matrix {
                    rows: (g.ci - c).min(INPUTS) * o.taps,
                    columns: g.real,
                    from_row: width,
                    to_row: all,
                };
                transpose_in::<S>(&m, sums, grads.add(c * o.taps));
            }
        }
    }
}

#[inline(always)]
unsafe fn generic<S: Simd>(
    g: &ChannelGrad,
    x: *const f32,
    dy: *const f32,
    scratch: *mut f32,
    grads: *mut f32,
) {
    // SAFETY: the contract of `grads` is that of every arm, and the arms are the vectors that `conv_channels::groups` gives.
    unsafe {
        match g.group {
            3 => walk::<S, 3>(g, x, dy, scratch, grads),
            2 => walk::<S, 2>(g, x, dy, scratch, grads),
            _ => walk::<S, 1>(g, x, dy, scratch, grads),
        }
    }
}

dispatch! {
    /// Writes the gradients `[real, ci, taps]` of the output channels of the group, of the input channels in `from..to`; of
    /// places when their last windows are there.
    ///
    /// # Safety
    /// For every pixel of the table, `x[input + tap + channel]` and the group's vectors at `dy[output + first]` are
    /// readable; of places, for each of them; `scratch` holds [`scratch`] floats, of places [`scratch_of_places`],
    /// untouched since the windows before; `grads` are the rows of the group, of which the channels named are
    /// nobody else's.
    grads = generic(g: &ChannelGrad, x: *const f32, dy: *const f32, scratch: *mut f32, grads: *mut f32)
}

/// [`grads`] of all input channels over slices: `rows` are those of the group.
///
/// # Panics
/// If a slice does not hold what the layer addresses, or is of another length.
pub(crate) fn whole(
    level: Level,
    g: &ChannelGrad<'_>,
    (x, dy): (&[f32], &[f32]),
    room: &mut Vec<f32>,
    rows: &mut [f32],
) {
    let (lanes, taps) = (level.lanes(), g.taps.len());
    assert!(
        (g.from, g.to) == (0, round_up(g.ci, INPUTS)) && g.places.is_none(),
        "all inputs, and no places"
    );
    assert!(
        (1..=3).contains(&g.group) && g.real <= g.group * lanes,
        "a group of channels"
    );
    assert_eq!(rows.len(), g.real * g.ci * taps, "the group's rows");
    assert!(
        g.table.reads(g.taps, g.to, x.len())
            && g.table.has_outputs(g.first + g.group * lanes, dy.len()),
        "images of other sizes than the table's"
    );
    room.resize(scratch(taps, g.group, lanes), 0.0);
    // SAFETY: `reads` has found all inputs, rounded up, of every pixel and tap inside of `x`, `has_outputs` the group's vectors
    // inside of `dy`; the room is that of one call, and `rows`, which is borrowed mutably, has the length of the group's.
    unsafe {
        grads(
            level,
            g,
            x.as_ptr(),
            dy.as_ptr(),
            room.as_mut_ptr(),
            rows.as_mut_ptr(),
        );
    }
}
