//! The gradient of a convolution's weights with fewer multiplications.
//!
//! Of `y = A' [(G g G') * (B' d B)] A` the gradient is `dg = G' [sum of (B' d B) * (A dy A')] G`, the sum over all windows of the
//! batch: at each of the 16 places a matrix product over the windows, 16 products a channel and two by two outputs instead of
//! 36, which [`crate::grad_channels`] computes. Windows go by in blocks, some at a time, so that what is transformed stays in
//! the cache; between them the sums wait in memory.

use super::{Images, PLACES, SIDE, TAPS, Winograd};
use crate::conv_channels::{PixelTable, groups};
use crate::grad_channels::{self, ChannelGrad, INPUTS, Places};
use crate::layout::Buffer;
use crate::simd::Simd;
use crate::workers::{Shareable, Workers};

/// Blocks that are transformed before their products are taken.
const BLOCKS: usize = 8;
/// Tasks into which the input channels of a group of output channels are cut.
const PARTS: usize = 2;

/// Transformed inputs, transformed gradients, and the sums of their products.
pub(crate) struct Rooms([Buffer; 3]);

impl Rooms {
    /// Nothing yet; they grow to the largest convolution.
    pub(crate) fn new() -> Self {
        Self([0; 3].map(Buffer::zeros))
    }
}

impl Winograd {
    /// The gradient `[out, in, 9]` of the weights of the convolution from `x` to `y`, of the first images of a batch.
    ///
    /// # Panics
    /// If a slice does not hold what it should.
    pub(crate) fn weight_grad(
        &self,
        (workers, images): (&Workers, usize),
        (x, dy): (&[f32], &[f32]),
        rooms: &mut Rooms,
        grads: &mut [f32],
    ) {
        let (stored, outputs) = (self.x.stored, self.y.stored);
        let (ci, co) = (self.x.channels, self.y.channels);
        assert_eq!(grads.len(), co * ci * TAPS, "the whole gradient");
        let all = images * self.windows.len();
        let together = BLOCKS.min(all.div_ceil(self.block));
        let (from, to) = (PLACES * self.block * stored, PLACES * self.block * outputs);
        let table = PixelTable::new((0..together * self.block).map(|window| {
            let (block, k) = (window / self.block, window % self.block);
            (block * from + k * stored, block * to + k * outputs)
        }));
        let groups = groups(self.level, outputs);
        let lanes = self.level.lanes();
        let part = ci.div_ceil(PARTS).next_multiple_of(INPUTS);
        let widest = groups.iter().copied().max().unwrap_or(0);
        let room = grad_channels::scratch_of_places(part, widest, lanes);
        let tasks = groups.len() * PARTS;
        let Rooms([v, d, sums]) = rooms;
        let (v, d) = (v.room(together * from), d.room(together * to));
        let sums = Shareable::new(sums.room(tasks * room));
        let grads = Shareable::new(grads);
        for first in (0..all).step_by(together * self.block) {
            let last = all.min(first + together * self.block);
            let blocks = v.chunks_exact_mut(from).zip(d.chunks_exact_mut(to));
            let blocks = (first..last).step_by(self.block).zip(blocks);
            workers.each(blocks, |_, (first, (v, d))| {
                let range = first..last.min(first + self.block);
                self.spread_images(Images::Inputs, &range, x, v);
                self.spread_images(Images::Outputs, &range, dy, d);
            });
            let places = Places {
                x: self.block * stored,
                dy: self.block * outputs,
                windows: last - first,
                ends: (first == 0, last == all),
            };
            let (v, d) = (&*v, &*d);
            workers.run(tasks, &|task| {
                let (group, i) = (task / PARTS, task % PARTS);
                let first = groups[..group].iter().sum::<usize>() * lanes;
                let grad = ChannelGrad {
                    taps: &[],
                    table: &table,
                    from: (part * i).min(ci.next_multiple_of(INPUTS)),
                    to: (part * (i + 1)).min(ci.next_multiple_of(INPUTS)),
                    ci,
                    group: groups[group],
                    first,
                    real: co.saturating_sub(first).min(groups[group] * lanes),
                    places: Some(places),
                };
                // SAFETY: the table's entries are windows of as many blocks as `v` and `d` hold, with all stored channels at
                // every place, and of its windows the first are named. Each task has the scratch of a part and the widest
                // group, and of the gradient, whose length was checked, its group's rows and its part's inputs to itself.
                unsafe {
                    let (sums, rows) = (sums.at(task * room), grads.at(first.min(co) * ci * TAPS));
                    grad_channels::grads(self.level, &grad, v.as_ptr(), d.as_ptr(), sums, rows);
                }
            });
        }
    }
}

/// `G'` times four values.
macro_rules! gather {
    ($m:expr) => {{
        let (m, half) = ($m, S::splat(0.5));
        let sum = S::mul(half, S::add(m[1], m[2]));
        let difference = S::mul(half, S::sub(m[1], m[2]));
        [S::add(m[0], sum), difference, S::add(sum, m[3])]
    }};
}

/// `G' m G`: of sums `[place, inputs, width]` those by tap, `[inputs, tap, width]`.
///
/// # Safety
/// `sums` holds a row for every input and place, `to` one for every input and tap, which is nobody else's; `width` is a multiple
/// of the lanes.
#[inline(always)]
pub(crate) unsafe fn taps_of<S: Simd>(
    (inputs, width): (usize, usize),
    sums: *const f32,
    to: *mut f32,
) {
    // SAFETY: rows and vectors of a row are counted by the sizes, for which both were promised.
    unsafe {
        for i in 0..inputs {
            for at in (0..width).step_by(S::LANES) {
                let mut rows = [[S::splat(0.0); 3]; SIDE];
                for (r, row) in rows.iter_mut().enumerate() {
                    let mut places = [S::splat(0.0); SIDE];
                    for (k, sum) in places.iter_mut().enumerate() {
                        *sum = S::load(sums.add(((SIDE * r + k) * inputs + i) * width + at));
                    }
                    *row = gather!(places);
                }
                let [a, b, c, d] = rows;
                for x in 0..3 {
                    let values = gather!([a[x], b[x], c[x], d[x]]);
                    for (y, value) in values.into_iter().enumerate() {
                        S::store(to.add((TAPS * i + 3 * y + x) * width + at), value);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rooms, TAPS, Winograd};
    use crate::layout::{Grid, Layout, Shape};
    use crate::simd::Level;
    use crate::testing::Noise;
    use crate::workers::Workers;

    /// `dw[o][i][tap] = sum over images and pixels of x[pixel + tap][i] * dy[pixel][o]`, in double precision.
    fn plain(images: usize, (x, y): (&Shape, &Shape), (px, py): (&[f32], &[f32])) -> Vec<f64> {
        let (h, w) = (y.grid.h, y.grid.w);
        let mut sums = vec![0.0; y.channels * x.channels * TAPS];
        for (k, sum) in sums.iter_mut().enumerate() {
            let (o, i, tap) = (k / TAPS / x.channels, k / TAPS % x.channels, k % TAPS);
            for p in 0..images * h * w {
                let (image, r, c) = (p / (h * w), p / w % h, p % w);
                let (r_in, c_in) = (r + tap / 3, c + tap % 3);
                if (1..=h).contains(&r_in) && (1..=w).contains(&c_in) {
                    let from = px[image * x.image + x.at(i, r_in - 1, c_in - 1)];
                    let to = py[image * y.image + y.at(o, r, c)];
                    *sum += f64::from(from) * f64::from(to);
                }
            }
        }
        sums
    }

    /// Windows in one round and in several, of which the last is not full; odd sides, and channels that fill no vector; any
    /// number of threads; rooms that another gradient has left.
    #[test]
    fn weights_get_the_sum_over_all_windows() {
        let mut noise = Noise::new(7);
        let mut rooms = Rooms::new();
        let sizes = [
            (2, 3, 3, 4, 3),
            (20, 40, 5, 6, 11),
            (9, 16, 4, 4, 3),
            (3, 17, 7, 5, 8),
        ];
        // An interpreter has time for the smallest.
        let sizes = &sizes[..if cfg!(miri) { 1 } else { sizes.len() }];
        for &(ci, co, h, w, images) in sizes {
            let of = |channels| Shape::new(Grid::new(h, w), Layout::Last, channels);
            let (x, y) = (of(ci), of(co));
            let mut fill = |shape: &Shape| {
                let mut all = vec![0.0; images * shape.image];
                for image in all.chunks_exact_mut(shape.image) {
                    let logical: Vec<f32> = (0..shape.channels * h * w)
                        .map(|_| noise.symmetric(1.0))
                        .collect();
                    shape.fill_image(&logical, image);
                }
                all
            };
            let (px, py) = (fill(&x), fill(&y));
            let expected = plain(images, (&x, &y), (&px, &py));
            for level in Level::available_levels() {
                let mut winograd = Winograd::new(level.with_winograd(), &x, &y);
                let whole = winograd.block;
                for block in [1, 5, whole]
                    .into_iter()
                    .take(if cfg!(miri) { 1 } else { 3 })
                {
                    winograd.block = block;
                    let of = |threads: usize, rooms: &mut Rooms| {
                        let mut found = vec![f32::NAN; expected.len()];
                        let workers = Workers::new(threads);
                        winograd.weight_grad((&workers, images), (&px, &py), rooms, &mut found);
                        found
                    };
                    let found = of(1, &mut rooms);
                    for (k, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let apart = (f64::from(*found) - expected).abs();
                        assert!(apart < 2e-4, "{level:?} {block} {k}: {found} {expected}");
                    }
                    let two = of(2, &mut rooms);
                    assert!(
                        found
                            .iter()
                            .zip(&two)
                            .all(|(a, b)| a.to_bits() == b.to_bits()),
                        "{level:?}, two threads"
                    );
                }
            }
        }
    }
}
