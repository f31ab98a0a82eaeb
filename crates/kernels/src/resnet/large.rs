//! The stem of [`Ends::Large`](super::Ends::Large): a 7x7 convolution of stride 2, norm, `ReLU` and max pooling, forward and
//! backward.
//!
//! Images of few channels would leave most of a channels-last vector empty. They lie here as rows of pixels with their channels side
//! by side, so that what a row of the kernel sees is one run of `7 * channels` floats: for the channels-last kernels, a
//! convolution of that many input channels with seven taps, one a row. No gradient goes to the images.
//!
//! What the convolution makes is as large as all later activations of an image together. It is kept; what norm and `ReLU` make
//! of it is not: pooling takes it on the way and notes which place of a window won.

use super::spec::TrunkSpec;
use super::state::{Norm, Statistics};
use crate::Loop;
use crate::conv_channels::{self, Layer, PixelTable, groups, pack};
use crate::grad_channels::{self, ChannelGrad, INPUTS};
use crate::layout::{Buffer, Layout, Shape, round_up};
use crate::norm::{self, Strips};
use crate::norm_grad::{self, Gate, NormGrad};
use crate::profile::timed;
use crate::simd::Level;
use crate::workers::Workers;

/// Side of the kernel, and of the border around an image.
const SIDE: usize = 7;
const BORDER: usize = SIDE / 2;
/// Side of a pooling window.
const WINDOW: usize = 3;
/// In the place of a winner: nothing of the window was positive.
const NONE: f32 = (WINDOW * WINDOW) as f32;

/// The stem without the numbers of a batch.
pub(crate) struct LargeStem {
    level: Level,
    channels: usize,
    /// Side of the images, floats of a bordered row and of an image.
    size: usize,
    row: usize,
    image: usize,
    /// What the convolution makes, and what is left of it.
    half: Shape,
    mask: Buffer,
    pooled: Shape,
    taps: Vec<isize>,
    table: PixelTable,
    packed: Buffer,
}

impl LargeStem {
    pub(super) fn new(spec: &TrunkSpec, level: Level) -> Self {
        let row = (spec.size + 2 * BORDER) * spec.in_channels;
        let half = Shape::new(
            crate::layout::Grid::new(spec.size, spec.size).halved(),
            Layout::Last,
            spec.widths[0],
        );
        let mut stem = Self {
            level,
            channels: spec.in_channels,
            size: spec.size,
            row,
            image: (spec.size + 2 * BORDER) * row,
            mask: half.grid.mask(),
            half,
            pooled: spec.shape(0),
            taps: (0..SIDE).map(|y| (y * row) as isize).collect(),
            table: PixelTable::new(std::iter::empty()),
            packed: Buffer::zeros(0),
        };
        stem.table = stem.table(1);
        stem
    }

    /// From the windows of so many images to the places of what they become.
    fn table(&self, images: usize) -> PixelTable {
        let (h, w) = (self.half.grid.h, self.half.grid.w);
        PixelTable::new((0..images * h * w).map(|i| {
            let (n, y, x) = (i / (h * w), i / w % h, i % w);
            let from = n * self.image + 2 * y * self.row + 2 * x * self.channels;
            (from, n * self.half.image + self.half.at(0, y, x))
        }))
    }

    /// Floats that a run of the kernel's row sees.
    fn inputs(&self) -> usize {
        SIDE * self.channels
    }

    /// Buffers for one bordered image, for what the convolution makes of it, and for the winners.
    pub(super) fn buffers(&self) -> [Buffer; 3] {
        [self.image, self.half.image, self.winners()].map(Buffer::zeros)
    }

    /// Floats of an image's winners.
    fn winners(&self) -> usize {
        self.pooled.grid.pixels() * self.pooled.stored
    }

    /// The weights' index `[out, column * channels + channel, row]` of `[out, channel, row, column]`.
    fn turned(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (channels, square) = (self.channels, SIDE * SIDE);
        (0..self.half.channels * channels * square).map(move |i| {
            let (o, rest) = (i / (channels * square), i % (channels * square));
            let (c, y, x) = (rest / square, rest % square / SIDE, rest % SIDE);
            (i, (o * SIDE * channels + x * channels + c) * SIDE + y)
        })
    }

    /// A norm of what the convolution makes.
    pub(super) fn norm(&self) -> Norm {
        Norm::new(&self.half)
    }

    /// Takes the weights `[out, channels, 7, 7]`.
    pub(super) fn pack(&mut self, weights: &[f32]) {
        let mut turned = vec![0.0; weights.len()];
        for (from, to) in self.turned() {
            turned[to] = weights[from];
        }
        let dims = (self.half.channels, self.inputs(), SIDE);
        let stored = self.half.stored;
        pack(self.level, &turned, dims, stored, &mut self.packed);
    }

    /// Lays out a dense image `[channels, size, size]`; the border stays as it is.
    fn fill(&self, image: &[f32], to: &mut [f32]) {
        let rows = image.chunks_exact(self.size).enumerate();
        for (i, row) in rows {
            let (c, y) = (i / self.size, i % self.size);
            let to = &mut to[(y + BORDER) * self.row + BORDER * self.channels + c..];
            for (to, v) in to.iter_mut().step_by(self.channels).zip(row) {
                *to = *v;
            }
        }
    }

    /// Lays an image out in `x` and convolves it.
    pub(super) fn convolve(&self, image: &[f32], x: &mut [f32], r: &mut [f32]) {
        self.fill(image, x);
        let layer = Layer {
            ci: self.inputs(),
            taps: &self.taps,
            table: &self.table,
            pixels: self.table.count,
        };
        let inputs = (&*x, self.packed.as_ref());
        conv_channels::whole(self.level, &layer, self.half.stored, inputs, r);
    }

    /// Norm, `ReLU` and pooling of what the convolution made of an image.
    pub(super) fn pool(&self, norm: &Norm, r: &[f32], y: &mut [f32], winners: &mut [f32]) {
        self.level.run(Pool {
            stem: self,
            norm,
            r,
            y,
            winners,
        });
    }

    fn strips(&self) -> Strips<'_> {
        Strips::new(&self.half, self.mask.as_ref())
    }

    /// # Panics
    /// If these are not an image of what the convolution makes, sums per channel, and a norm of its channels.
    fn check(&self, image: usize, sums: usize, norm: &Norm) {
        assert!(
            image == self.half.image
                && sums == 2 * self.half.stored
                && norm.a.len() == self.half.stored
                && norm.ka.len() == self.half.stored
        );
    }

    /// The moments of what the convolution made of an image.
    fn moments(&self, norm: &Norm, r: &mut [f32], parts: &mut [f32]) {
        self.check(r.len(), parts.len(), norm);
        // SAFETY: `r` is an image of the strips' shape and `parts` two arrays of its stored channels, as was checked; both are
        // borrowed mutably.
        unsafe {
            norm::activate(
                self.level,
                &self.strips(),
                false,
                r.as_mut_ptr(),
                parts.as_mut_ptr(),
            );
        }
    }

    /// From the gradient of what pooling left of an image to that of the norm's output, and the norm's sums.
    fn unpool(
        &self,
        norm: &Norm,
        (d_pooled, winners): (&[f32], &[f32]),
        r: &[f32],
        (d, parts): (&mut [f32], &mut [f32]),
    ) {
        self.check(d.len(), parts.len(), norm);
        assert_eq!(r.len(), d.len());
        self.level.run(Unpool {
            stem: self,
            d: d_pooled,
            winners,
            to: &mut *d,
        });
        let grad = NormGrad::of(norm);
        // SAFETY: `d` and `r` are images of the strips' shape, `parts` two arrays of its stored channels and the norm's arrays as
        // long as these, as was checked; `parts` is borrowed mutably.
        unsafe {
            norm_grad::sums(
                self.level,
                &self.strips(),
                &grad,
                d.as_ptr(),
                r.as_ptr(),
                std::ptr::null(),
                parts.as_mut_ptr(),
            );
        }
    }

    /// From the gradient of the norm's output to that of its input, of an image in place.
    fn through(&self, norm: &Norm, r: &[f32], d: &mut [f32]) {
        self.check(d.len(), 2 * self.half.stored, norm);
        assert_eq!(r.len(), d.len());
        let (grad, gate) = (NormGrad::of(norm), Gate::Passed);
        let d = d.as_mut_ptr();
        // SAFETY: `d`, borrowed mutably, and `r` are images of the strips' shape, and the norm's arrays as long as its stored
        // channels, as was checked.
        unsafe { norm_grad::input_grad(self.level, &self.strips(), &grad, gate, d, r.as_ptr(), d) }
    }
}

/// The stem with what a batch leaves for the backward pass.
pub(crate) struct LargePass {
    stem: LargeStem,
    batch: usize,
    /// Bordered images; what the convolution makes; the gradient of that; winners; sums.
    x: Buffer,
    r: Buffer,
    d: Buffer,
    winners: Buffer,
    parts: Buffer,
    /// [`LargeStem::table`] of the batch.
    table: PixelTable,
}

/// Pieces of the images of some buffers, for the task of an image.
fn pieces<const N: usize>(
    buffers: [(&mut [f32], usize); N],
    images: usize,
) -> impl Iterator<Item = [&mut [f32]; N]> {
    let mut pieces = buffers.map(|(buffer, len)| buffer.chunks_exact_mut(len));
    (0..images).map(move |_| pieces.each_mut().map(|p| p.next().unwrap_or_default()))
}

impl LargePass {
    pub(super) fn new(spec: &TrunkSpec, level: Level) -> Self {
        let (stem, n) = (LargeStem::new(spec, level), spec.batch);
        // The last run of inputs is read in whole vectors of the gradient's.
        let slack = round_up(stem.inputs(), INPUTS) - stem.inputs();
        Self {
            batch: n,
            x: Buffer::zeros(n * stem.image + slack),
            r: stem.half.buffer(n),
            d: stem.half.buffer(n),
            winners: Buffer::zeros(n * stem.winners()),
            parts: Buffer::zeros(n * 2 * stem.half.stored),
            table: stem.table(n),
            stem,
        }
    }

    /// A norm of what the convolution makes.
    pub(super) fn norm(&self) -> Norm {
        self.stem.norm()
    }

    /// Everything up to the pooled images, which go to `y`.
    pub(super) fn forward(
        &mut self,
        workers: &Workers,
        images: &[f32],
        params: [&[f32]; 3],
        (norm, statistics): (&mut Norm, &mut Statistics<'_>),
        y: &mut [f32],
    ) {
        let [weights, weight, bias] = params;
        let stem = &mut self.stem;
        timed(4, "fwd pack", || stem.pack(weights));
        let stem = &*stem;
        let (image, half, sums) = (stem.image, stem.half.image, 2 * stem.half.stored);
        let per_image = stem.channels * stem.size * stem.size;
        {
            let buffers = [
                (self.x.as_mut(), image),
                (self.r.as_mut(), half),
                (self.parts.as_mut(), sums),
            ];
            let norm = &*norm;
            workers.each(pieces(buffers, self.batch), |i, [x, r, parts]| {
                let image = &images[i * per_image..][..per_image];
                timed(4, "fwd conv", || stem.convolve(image, x, r));
                timed(4, "fwd activate", || stem.moments(norm, r, parts));
            });
        }
        let parts = (self.parts.as_ref(), stem.half.grid.pixels());
        statistics.set(0, norm, parts, (weight, bias));
        let buffers = [
            (y, stem.pooled.image),
            (self.winners.as_mut(), stem.winners()),
        ];
        let (norm, r) = (&*norm, self.r.as_ref());
        workers.each(pieces(buffers, self.batch), |i, [y, winners]| {
            let r = &r[i * half..][..half];
            timed(4, "fwd pool", || stem.pool(norm, r, y, winners));
        });
    }

    /// The gradients of the weights, of the norm's weight and its bias from that of the pooled images.
    pub(super) fn backward(
        &mut self,
        workers: &Workers,
        norm: &mut Norm,
        d_pooled: &[f32],
        [kernel, weight, bias]: [&mut [f32]; 3],
    ) {
        let stem = &self.stem;
        let (half, sums) = (stem.half.image, 2 * stem.half.stored);
        let (r, winners) = (self.r.as_ref(), self.winners.as_ref());
        {
            let buffers = [(self.d.as_mut(), half), (self.parts.as_mut(), sums)];
            let norm = &*norm;
            workers.each(pieces(buffers, self.batch), |i, [d, parts]| {
                let d_pooled = &d_pooled[i * stem.pooled.image..][..stem.pooled.image];
                let winners = &winners[i * stem.winners()..][..stem.winners()];
                let r = &r[i * half..][..half];
                timed(4, "bwd pool", || {
                    stem.unpool(norm, (d_pooled, winners), r, (d, parts));
                });
            });
        }
        norm.set_gradient(self.parts.as_ref(), stem.half.grid.pixels(), weight, bias);
        {
            let norm = &*norm;
            let tasks = pieces([(self.d.as_mut(), half)], self.batch);
            workers.each(tasks, |i, [d]| {
                let r = &r[i * half..][..half];
                timed(4, "bwd norm 1", || stem.through(norm, r, d));
            });
        }
        timed(4, "bwd weights", || self.weight_gradient(workers, kernel));
    }

    /// The weights' gradient `[out, channels, 7, 7]`, a group of output channels a task.
    fn weight_gradient(&self, workers: &Workers, kernel: &mut [f32]) {
        let (stem, level) = (&self.stem, self.stem.level);
        let (inputs, out) = (stem.inputs(), stem.half.channels);
        let row = inputs * SIDE;
        let mut turned = vec![0.0; kernel.len()];
        let (mut rest, mut first, mut tasks) = (turned.as_mut_slice(), 0, Vec::new());
        for group in groups(level, stem.half.stored) {
            let real = out.saturating_sub(first).min(group * level.lanes());
            let (rows, after) = rest.split_at_mut(real * row);
            let g = ChannelGrad {
                taps: &stem.taps,
                table: &self.table,
                from: 0,
                to: round_up(inputs, INPUTS),
                ci: inputs,
                group,
                first,
                real,
                places: None,
            };
            tasks.push((g, rows));
            (rest, first) = (after, first + group * level.lanes());
        }
        let images = (self.x.as_ref(), self.d.as_ref());
        workers.each(tasks.into_iter(), |_, (g, rows)| {
            grad_channels::whole(level, &g, images, &mut Vec::new(), rows);
        });
        for (to, from) in stem.turned() {
            kernel[to] = turned[from];
        }
    }
}

/// The places `(y, x)` of a window's rows and columns along one side, with their number in it; those outside are left out.
fn places(window: usize, side: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..WINDOW).filter_map(move |k| {
        let place = (2 * window + k).checked_sub(WINDOW / 2)?;
        (place < side).then_some((k, place))
    })
}

/// Norm, `ReLU` and pooling of one image.
struct Pool<'a> {
    stem: &'a LargeStem,
    norm: &'a Norm,
    /// What the convolution made; what is left of it; `[pixels, stored]`, which place of a window that was.
    r: &'a [f32],
    y: &'a mut [f32],
    winners: &'a mut [f32],
}

impl Loop for Pool<'_> {
    #[inline(always)]
    fn run(self) {
        let (half, pooled) = (&self.stem.half, &self.stem.pooled);
        let (s, grid) = (half.stored, &pooled.grid);
        let (a, b) = (&self.norm.a[..s], &self.norm.b[..s]);
        for row in 0..grid.h {
            for column in 0..grid.w {
                let best = &mut self.y[pooled.at(0, row, column)..][..s];
                let winners = &mut self.winners[(row * grid.w + column) * s..][..s];
                best.fill(0.0);
                winners.fill(NONE);
                for (ky, y) in places(row, half.grid.h) {
                    for (kx, x) in places(column, half.grid.w) {
                        let (place, r) = ((WINDOW * ky + kx) as f32, &self.r[half.at(0, y, x)..]);
                        let r = &r[..s];
                        for i in 0..s {
                            let value = a[i] * r[i] + b[i];
                            // The first of equal ones; what is not a number stays.
                            let better = value > best[i] || value.is_nan();
                            best[i] = if better { value } else { best[i] };
                            winners[i] = if better { place } else { winners[i] };
                        }
                    }
                }
            }
        }
    }
}

/// The way back: the gradient goes to the winners.
struct Unpool<'a> {
    stem: &'a LargeStem,
    d: &'a [f32],
    winners: &'a [f32],
    /// Overwritten.
    to: &'a mut [f32],
}

impl Loop for Unpool<'_> {
    #[inline(always)]
    fn run(self) {
        let (half, pooled) = (&self.stem.half, &self.stem.pooled);
        let (s, grid) = (half.stored, &pooled.grid);
        self.to.fill(0.0);
        for row in 0..grid.h {
            for column in 0..grid.w {
                let d = &self.d[pooled.at(0, row, column)..][..s];
                let winners = &self.winners[(row * grid.w + column) * s..][..s];
                for (ky, y) in places(row, half.grid.h) {
                    for (kx, x) in places(column, half.grid.w) {
                        let place = (WINDOW * ky + kx) as f32;
                        let to = &mut self.to[half.at(0, y, x)..][..s];
                        for i in 0..s {
                            to[i] += if winners[i] == place { d[i] } else { 0.0 };
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window in a corner and one in the middle, of a channel each way that a window can go.
    #[test]
    fn windows_keep_their_largest_value_and_send_its_gradient_back() {
        let spec = TrunkSpec {
            widths: [4; 4],
            ..TrunkSpec::full(1, 32)
        };
        for level in Level::available_levels() {
            let stem = LargeStem::new(&spec, level);
            let [_, mut r, mut winners] = stem.buffers();
            let mut norm = Norm::new(&stem.half);
            norm.a[..4].copy_from_slice(&[1.0, -2.0, 1.0, 1.0]);
            norm.b[1] = 1.0;
            // At (2, 2) are 5 and -3 (which becomes 7), at (1, 1) a tie of the first and not a number.
            for (y, x, c, v) in [
                (2, 2, 0, 5.0),
                (1, 1, 0, 5.0),
                (2, 2, 1, -3.0),
                (1, 1, 3, f32::NAN),
                (0, 0, 2, -9.0),
            ] {
                r.as_mut()[stem.half.at(c, y, x)] = v;
            }
            let mut y = stem.pooled.buffer(1);
            stem.pool(&norm, r.as_ref(), y.as_mut(), winners.as_mut());
            let value = |row, column, c| y.as_ref()[stem.pooled.at(c, row, column)];
            let winner = |pixel: usize, c| winners.as_ref()[pixel * stem.pooled.stored + c];
            // Window (1, 1) sees rows and columns 1 to 3; (0, 0) none before the image.
            assert_eq!((value(1, 1, 0), winner(9, 0)), (5.0, 0.0));
            assert_eq!((value(1, 1, 1), winner(9, 1)), (7.0, 4.0));
            assert_eq!((value(0, 0, 0), winner(0, 0)), (5.0, 8.0));
            assert_eq!((value(0, 0, 2), winner(0, 2)), (0.0, NONE));
            assert!(value(0, 0, 3).is_nan() && value(1, 1, 3).is_nan());
            // Of channel 1, all else is 1, and the first of a window wins.
            assert_eq!((value(5, 5, 1), winner(45, 1)), (1.0, 0.0));
            let mut d = stem.pooled.buffer(1);
            for (row, column, c, v) in [(1, 1, 0, 10.0), (0, 0, 0, 1.0), (0, 0, 2, 3.0)] {
                d.as_mut()[stem.pooled.at(c, row, column)] = v;
            }
            let mut back = stem.half.buffer(1);
            back.as_mut().fill(f32::NAN);
            level.run(Unpool {
                stem: &stem,
                d: d.as_ref(),
                winners: winners.as_ref(),
                to: back.as_mut(),
            });
            let at = stem.half.at(0, 1, 1);
            assert_eq!(back.as_ref()[at], 11.0);
            assert_eq!(back.as_ref().iter().sum::<f32>(), 11.0);
        }
    }
}
