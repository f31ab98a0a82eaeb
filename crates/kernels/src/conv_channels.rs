//! Convolutions over channels-last images: a vector is a piece of the output channels of one pixel.
//!
//! Up to three vectors of channels times some pixels (of any images) fill the accumulators; weights are read once, in
//! order, as vectors, and the input as broadcasts. Pixels are addressed through tables of offsets, so stride 2 and the
//! phases of its backward pass need nothing special, and short rows cost nothing.

use super::layout::Buffer;
use super::simd::{Level, Simd, dispatch};
use super::transpose::{Matrix, transpose_slice};

/// Offsets of the pixels of a batch: in the input (before any tap) and in the output, both of channel 0.
pub(crate) struct PixelTable {
    /// Both tables repeat their last entry [`PixelTable::SLACK`] times, so that a tile may run over the end: it then
    /// computes the last pixel more than once and writes the same value again.
    pub input: Vec<u32>,
    pub output: Vec<u32>,
    /// Pixels without the repeats.
    pub count: usize,
    /// The least entry of the input, and the largest of both.
    least: usize,
    most: (usize, usize),
}

impl PixelTable {
    /// At least the pixels of a tile, less one.
    const SLACK: usize = 16;

    pub(crate) fn new(pixels: impl Iterator<Item = (usize, usize)>) -> Self {
        let entry = |n: usize| {
            assert!(
                u32::try_from(n).is_ok(),
                "an activation buffer holds 2^32 floats or more"
            );
            n as u32
        };
        let (mut input, mut output): (Vec<u32>, Vec<u32>) =
            pixels.map(|(i, o)| (entry(i), entry(o))).unzip();
        let count = input.len();
        let most = |table: &[u32]| table.iter().copied().max().unwrap_or(0) as usize;
        let (least, most) = (
            input.iter().copied().min().unwrap_or(0) as usize,
            (most(&input), most(&output)),
        );
        for table in [&mut input, &mut output] {
            if let Some(&last) = table.last() {
                table.resize(count + Self::SLACK, last);
            }
        }
        Self {
            input,
            output,
            count,
            least,
            most,
        }
    }

    /// Whether `x[input + tap..][..channels]` is inside of as many floats for every pixel and tap.
    pub(crate) fn reads(&self, taps: &[isize], channels: usize, floats: usize) -> bool {
        let inside = |tap: &isize| {
            let most = self.most.0.checked_add_signed(*tap);
            let most = most.and_then(|most| most.checked_add(channels));
            self.least.checked_add_signed(*tap).is_some() && most.is_some_and(|most| most <= floats)
        };
        self.count == 0 || taps.iter().all(inside)
    }

    /// Whether `channels` floats at every pixel's output are inside of as many.
    pub(crate) fn has_outputs(&self, channels: usize, floats: usize) -> bool {
        self.count == 0 || self.most.1.saturating_add(channels) <= floats
    }
}

/// How the vectors of the output channels are grouped at a level, for `stored` channels (a multiple of 16).
pub(crate) fn groups(level: Level, stored: usize) -> Vec<usize> {
    let vectors = stored / level.lanes();
    if level.lanes() == 16 {
        // Threes as long as twos can take the rest.
        let twos = match vectors % 3 {
            _ if vectors == 1 => return vec![1],
            0 => 0,
            1 => 2,
            _ => 1,
        };
        let mut groups = vec![3; (vectors - 2 * twos) / 3];
        groups.extend(vec![2; twos]);
        groups
    } else {
        vec![2; vectors / 2]
    }
}

/// Steps of the inner loop by which weights are asked for in advance: they stream from the second-level cache.
const AHEAD: usize = 6;

/// Writes weights `[co, ci, t]` in the order in which [`conv`] reads them:
/// `[group][inputs][taps][lanes of the group]`, zero beyond the last output channel.
pub(crate) fn pack(
    level: Level,
    weights: &[f32],
    (co, ci, t): (usize, usize, usize),
    stored: usize,
    packed: &mut Buffer,
) {
    let rows = ci * t;
    let packed = packed.room(rows * stored);
    let mut first = 0;
    for group in groups(level, stored) {
        let width = group * level.lanes();
        let real = co.saturating_sub(first).min(width);
        let head = &mut packed[first * rows..][..rows * width];
        if real < width {
            head.chunks_exact_mut(width)
                .for_each(|row| row[real..].fill(0.0));
        }
        let m = Matrix {
            rows: real,
            columns: rows,
            from_row: rows,
            to_row: width,
        };
        transpose_slice(
            level,
            &m,
            &weights[(first * rows).min(weights.len())..],
            head,
        );
        first += width;
    }
}

/// Writes weights `[co, ci, t]` as [`pack`] does, but for convolutions from `co` to `ci` channels, of which each has
/// some of the taps: a part is the taps to keep and the place for its weights.
pub(crate) fn pack_transposed(
    level: Level,
    weights: &[f32],
    (co, ci, t): (usize, usize, usize),
    stored: usize,
    parts: &mut [(&[usize], &mut Buffer)],
) {
    let groups = groups(level, stored);
    let mut parts: Vec<_> = parts
        .iter_mut()
        .map(|(taps, packed)| (*taps, packed.room(co * taps.len() * stored)))
        .collect();
    // The taps of one of the `co` channels.
    let mut one = vec![0.0; t * stored];
    let m = Matrix {
        rows: ci,
        columns: t,
        from_row: t,
        to_row: stored,
    };
    // Channel by channel, so that the weights are read in order.
    for (o, from) in weights.chunks_exact(ci * t).enumerate() {
        transpose_slice(level, &m, from, &mut one);
        for (taps, packed) in &mut parts {
            let rows = taps.len();
            let mut first = 0;
            for group in &groups {
                let width = group * level.lanes();
                let to = &mut packed[(first * co + o * width) * rows..][..rows * width];
                for (to, tap) in to.chunks_exact_mut(width).zip(taps.iter()) {
                    to.copy_from_slice(&one[tap * stored + first..][..width]);
                }
                first += width;
            }
        }
    }
}

/// One convolution over channels-last images.
#[derive(Clone, Copy)]
pub(crate) struct ChannelConv<'a> {
    /// Input channels that count (stored ones beyond are not read).
    pub ci: usize,
    /// Offset of every tap from the table's input, in floats.
    pub taps: &'a [isize],
    pub table: &'a PixelTable,
    /// Pixels of the table to compute.
    pub from: usize,
    pub to: usize,
    /// Vectors of the group of output channels, one of [`groups`], and its first channel.
    pub group: usize,
    pub first: usize,
    /// Add to the output rather than overwrite it.
    pub add: bool,
}

#[inline(always)]
unsafe fn tile<S: Simd, const V: usize, const P: usize>(
    c: &ChannelConv,
    pixel: usize,
    x: *const f32,
    mut w: *const f32,
    out: *mut f32,
) {
    // SAFETY: `pixel` is below the table's count and P at most SLACK, so the tables have the entries, which are those of real
    // pixels. For these, every tap and input channel, the contract of `conv` makes the input readable and the group's V
    // vectors of the output writable. `w` advances by V vectors per channel and tap, over the floats that were promised.
    unsafe {
        let (ins, outs) = (
            c.table.input.as_ptr().add(pixel),
            c.table.output.as_ptr().add(pixel),
        );
        let mut xs = [x; P];
        for (p, at) in xs.iter_mut().enumerate() {
            *at = x.add(*ins.add(p) as usize);
        }
        let mut acc = [[S::splat(0.0); V]; P];
        if c.add {
            for (p, acc) in acc.iter_mut().enumerate() {
                for (v, acc) in acc.iter_mut().enumerate() {
                    *acc = S::load(out.add(*outs.add(p) as usize + v * S::LANES));
                }
            }
        }
        for i in 0..c.ci {
            for &tap in c.taps {
                let offset = tap + i as isize;
                let mut ws = [S::splat(0.0); V];
                for (v, weight) in ws.iter_mut().enumerate() {
                    *weight = S::load(w.add(v * S::LANES));
                    S::prefetch(w.wrapping_add((AHEAD * V + v) * S::LANES));
                }
                for (acc, x) in acc.iter_mut().zip(xs) {
                    let x = S::splat(*x.offset(offset));
                    for (acc, weight) in acc.iter_mut().zip(ws) {
                        *acc = S::fma(x, weight, *acc);
                    }
                }
                w = w.add(V * S::LANES);
            }
        }
        for (p, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                S::store(out.add(*outs.add(p) as usize + v * S::LANES), *acc);
            }
        }
    }
}

#[inline(always)]
unsafe fn tiles<S: Simd, const V: usize, const P: usize>(
    c: &ChannelConv,
    x: *const f32,
    w: *const f32,
    out: *mut f32,
) {
    // SAFETY: a tile starts at a pixel below `to`, which is at most the table's count; the rest is the contract of `conv`,
    // and the output's channels of this group begin at `first`.
    unsafe {
        let out = out.add(c.first);
        let mut pixel = c.from;
        while pixel < c.to {
            tile::<S, V, P>(c, pixel, x, w, out);
            pixel += P;
        }
    }
}

/// Pixels of a tile, for the choice of where to cut: ranges should be multiples of it.
pub(crate) fn tile_pixels(level: Level, group: usize) -> usize {
    match (level.lanes(), group) {
        (16, 3) => 8,
        (16, 2) => 10,
        (16, _) => 16,
        _ => 6,
    }
}

#[inline(always)]
unsafe fn generic<S: Simd>(c: &ChannelConv, x: *const f32, w: *const f32, out: *mut f32) {
    // SAFETY: the contract of `conv` is that of every arm; the arms' vectors are those of `groups`, for which the weights are
    // packed, and their pixels those of `tile_pixels`, none more than SLACK.
    unsafe {
        match (S::LANES, c.group) {
            (16, 3) => tiles::<S, 3, 8>(c, x, w, out),
            (16, 2) => tiles::<S, 2, 10>(c, x, w, out),
            (16, _) => tiles::<S, 1, 16>(c, x, w, out),
            _ => tiles::<S, 2, 6>(c, x, w, out),
        }
    }
}

dispatch! {
    /// `out[output[q] + first + o] (+)= sum over i, t of w[i][t][o] * x[input[q] + taps[t] + i]` for the pixels `q` of
    /// the table in `from..to` and the channels `o` of the group. Runs over `to` by less than a tile: the caller cuts
    /// at multiples of [`tile_pixels`] or at the end.
    ///
    /// # Safety
    /// `to <= table.count`; for every pixel of the table, tap and `i < ci`, the input is readable; `w` holds
    /// `ci * taps.len() * group * lanes` floats packed for this level; the outputs are writable and nobody else's.
    conv = generic(c: &ChannelConv, x: *const f32, w: *const f32, out: *mut f32)
}

/// What [`whole`] computes: input channels, offsets of the taps, the first pixels of a table.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub ci: usize,
    pub taps: &'a [isize],
    pub table: &'a PixelTable,
    pub pixels: usize,
}

/// A convolution of pixels and all `stored` output channels, with weights of [`pack`] at this level.
///
/// # Panics
/// If a slice does not hold what the layer addresses.
pub(crate) fn whole(
    level: Level,
    layer: &Layer<'_>,
    stored: usize,
    (x, packed): (&[f32], &[f32]),
    y: &mut [f32],
) {
    let Layer {
        ci,
        taps,
        table,
        pixels,
    } = *layer;
    assert!(pixels <= table.count, "pixels beyond the table's");
    assert!(
        table.reads(taps, ci, x.len()) && table.has_outputs(stored, y.len()),
        "images of other sizes than the table's"
    );
    let rows = ci * taps.len();
    let mut first = 0;
    for group in groups(level, stored) {
        let c = ChannelConv {
            ci,
            taps,
            table,
            from: 0,
            to: pixels,
            group,
            first,
            add: false,
        };
        let width = group * level.lanes();
        let w = &packed[first * rows..][..width * rows];
        // SAFETY: `reads` has found every pixel's channels at every tap inside of `x`, `has_outputs` all stored channels, of
        // which the group's are some, inside of `y`, which is borrowed mutably; `w` is as long as the group's weights.
        unsafe { conv(level, &c, x.as_ptr(), w.as_ptr(), y.as_mut_ptr()) };
        first += width;
    }
}

#[cfg(test)]
mod tests {
    use super::PixelTable;

    #[test]
    fn a_table_knows_what_it_reaches() {
        let table = PixelTable::new([(10, 0), (40, 32), (20, 16)].into_iter());
        assert!(table.reads(&[-10, 3], 4, 47));
        assert!(!table.reads(&[-10, 3], 4, 46) && !table.reads(&[-11], 1, 100));
        assert!(!table.reads(&[isize::MAX], 1, 100) && !table.reads(&[0], usize::MAX, 100));
        assert!(table.has_outputs(16, 48) && !table.has_outputs(16, 47));
        let nothing = PixelTable::new(std::iter::empty());
        assert!(nothing.reads(&[-5], 3, 0) && nothing.has_outputs(16, 0));
    }
}
