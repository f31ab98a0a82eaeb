//! Single convolution layers on dense images, forward and backward.
//!
//! Owns the passage between `[batch, channels, height, width]` as everybody stores it and the bordered layouts in which
//! the kernels compute. Wide images stay planes, which are copied row by row, a few at a time so that they are still in the
//! cache when they are convolved; the rest goes channels-last. What the kernels do not take, [`ConvolutionSpec::takes`]
//! says, and the caller uses another implementation.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::conv_pixels::Ahead;
use super::layout::{Buffer, Grid, Layout, Shape};
use super::resnet::{Conv, weight_gradient};
use super::simd::Level;
use super::transpose::{Matrix, transpose_slice};
use super::workers::{Shareable, Workers};

/// Sizes of a convolution without bias: `size` x `size`, padded by half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionSpec {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// 1 or 3.
    pub size: usize,
    /// 1 or 2.
    pub stride: usize,
}

impl ConvolutionSpec {
    /// Images that are computed together at most; more are taken one group after another.
    const GROUP: usize = 16;
    /// Planes of a group that are in the cache together.
    const CHUNK: usize = 4;
    /// From this width on images stay planes.
    const WIDE: usize = 28;

    /// Whether the kernels compute this convolution.
    #[must_use]
    pub fn takes(&self) -> bool {
        const MOST: usize = 1 << 26;
        let sizes = [self.inputs, self.outputs, self.height, self.width];
        let positions =
            (self.height.saturating_add(3)).saturating_mul(self.width.saturating_add(2));
        // Channels-last, they are rounded up to 16.
        let channels = self.inputs.max(self.outputs).saturating_add(15);
        let image = channels.saturating_mul(positions);
        sizes.iter().all(|&n| n > 0)
            && image <= MOST
            && matches!((self.size, self.stride), (1 | 3, 1 | 2))
    }

    /// Rows and columns of the output.
    #[must_use]
    pub(crate) fn output(&self) -> (usize, usize) {
        (
            self.height.div_ceil(self.stride),
            self.width.div_ceil(self.stride),
        )
    }

    /// Numbers of an image before and after.
    fn images(&self) -> (usize, usize) {
        let (height, width) = self.output();
        (
            self.inputs * self.height * self.width,
            self.outputs * height * width,
        )
    }

    fn weights(&self) -> usize {
        self.outputs * self.inputs * self.size * self.size
    }

    fn layout(&self) -> Layout {
        // A kernel over planes takes channels by fours.
        let by_fours = self.inputs.is_multiple_of(4) && self.outputs.is_multiple_of(4);
        if self.stride == 1 && self.width >= Self::WIDE && by_fours {
            Layout::Planes
        } else {
            Layout::Last
        }
    }
}

/// A convolution with the buffers for a group of images.
struct Engine {
    spec: ConvolutionSpec,
    level: Level,
    batch: usize,
    conv: Conv,
    x_shape: Shape,
    y_shape: Shape,
    /// Inputs of the group.
    x: Buffer,
    /// Outputs and both gradients: of the group, or over planes of a chunk of it.
    y: Buffer,
    dy: Buffer,
    dx: Buffer,
}

/// Writes a dense image to its bordered place.
fn fill(level: Level, shape: &Shape, dense: &[f32], image: &mut [f32]) {
    if shape.layout == Layout::Planes {
        shape.fill_image(dense, image);
        return;
    }
    let (h, w) = (shape.grid.h, shape.grid.w);
    let m = Matrix {
        rows: shape.channels,
        columns: w,
        from_row: h * w,
        to_row: shape.stored,
    };
    for y in 0..h {
        transpose_slice(level, &m, &dense[y * w..], &mut image[shape.at(0, y, 0)..]);
    }
}

/// The inverse of [`fill`].
fn read(level: Level, shape: &Shape, image: &[f32], dense: &mut [f32]) {
    let (h, w) = (shape.grid.h, shape.grid.w);
    if shape.layout == Layout::Planes {
        for (row, to) in dense.chunks_exact_mut(w).enumerate() {
            to.copy_from_slice(&image[shape.at(row / h, row % h, 0)..][..w]);
        }
        return;
    }
    let m = Matrix {
        rows: w,
        columns: shape.channels,
        from_row: shape.stored,
        to_row: h * w,
    };
    for y in 0..h {
        transpose_slice(level, &m, &image[shape.at(0, y, 0)..], &mut dense[y * w..]);
    }
}

/// [`read`]s all images of a buffer.
///
/// # Safety
/// `from` holds `batch` images of the shape, and `dense`, which nobody else touches, as many of `len` floats.
unsafe fn read_all(
    workers: &Workers,
    batch: usize,
    (level, shape): (Level, &Shape),
    from: Shareable,
    (dense, len): (Shareable, usize),
) {
    workers.run(batch, &|i| {
        // SAFETY: by contract `from` holds `batch` images of the shape and `dense` as many of `len`, of which `i` is this
        // task's in both.
        unsafe {
            let from = from.slice(i * shape.image, shape.image);
            read(level, shape, from, dense.slice(i * len, len));
        }
    });
}

impl Engine {
    fn new(spec: ConvolutionSpec, batch: usize, level: Level) -> Self {
        let (taps, layout) = (spec.size * spec.size, spec.layout());
        let (out_h, out_w) = spec.output();
        let x_shape = Shape::new(Grid::new(spec.height, spec.width), layout, spec.inputs);
        let y_shape = Shape::new(Grid::new(out_h, out_w), layout, spec.outputs);
        let (conv, held) = match layout {
            Layout::Planes => {
                let conv = Conv::planes(level, spec.inputs, &y_shape, taps, 1, batch);
                (conv, batch.min(ConvolutionSpec::CHUNK))
            }
            Layout::Last => {
                let conv = Conv::last(level, &x_shape, &y_shape, taps, spec.stride, batch);
                (conv, batch)
            }
        };
        Self {
            x: x_shape.buffer(batch),
            y: y_shape.buffer(held),
            dy: y_shape.buffer(held),
            dx: x_shape.buffer(held),
            spec,
            level,
            batch,
            conv,
            x_shape,
            y_shape,
        }
    }

    /// The group's images in the pieces that the buffers of outputs and gradients hold.
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let batch = self.batch;
        let step = match self.x_shape.layout {
            Layout::Planes => ConvolutionSpec::CHUNK,
            Layout::Last => batch,
        };
        (0..batch)
            .step_by(step)
            .map(move |first| first..batch.min(first + step))
    }

    /// `y = conv(x)` of the whole group.
    fn forward(&mut self, workers: &Workers, x: &[f32], weights: &[f32], y: &mut [f32]) {
        let (x_len, y_len) = self.spec.images();
        self.conv.pack_forward(weights);
        let (level, conv) = (self.level, &self.conv);
        let (x_shape, y_shape) = (&self.x_shape, &self.y_shape);
        let (xs, ys, out) = (self.x.shareable(), self.y.shareable(), Shareable::new(y));
        let dense = |i: usize| &x[i * x_len..][..x_len];
        match x_shape.layout {
            Layout::Planes => {
                for images in self.pieces() {
                    workers.run(images.len(), &|k| {
                        let i = images.start + k;
                        // SAFETY: `xs` holds the group's images, `ys` those of a piece, `out` the group's dense ones
                        // (`new`, and the caller's check); image `i`, and place `k` of the piece, are this task's. The
                        // convolution is over these planes, and packed.
                        unsafe {
                            let from = xs.slice(i * x_shape.image, x_shape.image);
                            fill(level, x_shape, dense(i), from);
                            let to = ys.slice(k * y_shape.image, y_shape.image);
                            conv.forward_image(from.as_ptr(), to.as_mut_ptr(), Ahead::NOTHING);
                            read(level, y_shape, to, out.slice(i * y_len, y_len));
                        }
                    });
                }
            }
            Layout::Last => {
                workers.run(self.batch, &|i| {
                    // SAFETY: `xs` holds the group's images, of which `i` is this task's.
                    let to = unsafe { xs.slice(i * x_shape.image, x_shape.image) };
                    fill(level, x_shape, dense(i), to);
                });
                // SAFETY: the convolution is channels-last for these shapes, and packed; both buffers hold the group.
                // `out` is the caller's slice of the group's dense images.
                unsafe {
                    conv.forward_batch(workers, self.batch, xs.at(0), ys);
                    read_all(workers, self.batch, (level, y_shape), ys, (out, y_len));
                }
            }
        }
    }

    /// Gradients of the group: of the input, if it is wanted, and of the weights.
    fn backward(
        &mut self,
        workers: &Workers,
        (x, dy): (&[f32], &[f32]),
        weights: &[f32],
        dx: Option<&mut [f32]>,
        dw: &mut [f32],
    ) {
        let (x_len, y_len) = self.spec.images();
        if dx.is_some() {
            self.conv.pack_backward(weights);
        }
        let pieces = self.pieces();
        let (level, batch) = (self.level, self.batch);
        let (x_shape, y_shape) = (&self.x_shape, &self.y_shape);
        let (xs, dys, dxs) = (self.x.shareable(), self.dy.shareable(), self.dx.shareable());
        let out = dx.map(Shareable::new);
        for images in pieces {
            let conv = &self.conv;
            workers.run(images.len(), &|k| {
                let i = images.start + k;
                // SAFETY: `xs` and `out` hold the group's images, `dys` and `dxs` those of a piece; image `i`, and place `k`
                // of the piece, are this task's. Over planes, the convolution is one over these, and packed.
                unsafe {
                    let to = xs.slice(i * x_shape.image, x_shape.image);
                    fill(level, x_shape, &x[i * x_len..][..x_len], to);
                    let from = dys.slice(k * y_shape.image, y_shape.image);
                    fill(level, y_shape, &dy[i * y_len..][..y_len], from);
                    if let (Layout::Planes, Some(out)) = (x_shape.layout, out) {
                        let to = dxs.slice(k * x_shape.image, x_shape.image);
                        let (from, at) = (from.as_ptr(), to.as_mut_ptr());
                        conv.backward_image(from, at, false, Ahead::NOTHING);
                        read(level, x_shape, to, out.slice(i * x_len, x_len));
                    }
                }
            });
            if let (Layout::Last, Some(out)) = (x_shape.layout, out) {
                // SAFETY: channels-last, a piece is the whole group, which both buffers hold; the convolution is one for
                // these shapes, and packed.
                // `out` is the caller's slice of the group's dense images.
                unsafe {
                    conv.backward_batch(workers, dys.at(0), dxs, false);
                    read_all(workers, batch, (level, x_shape), dxs, (out, x_len));
                }
            }
            // SAFETY: `xs` holds the group and `dys` the piece from its beginning on, which is zero at borders: `fill` alone
            // writes to it, and writes pixels.
            unsafe { weight_gradient(workers, &mut self.conv, &images, (xs, dys), dw) };
        }
    }
}

/// Hands out convolutions, whose buffers are used again.
pub(crate) struct ConvolutionPool {
    level: Level,
    workers: Workers,
    idle: Mutex<Vec<Engine>>,
}

impl ConvolutionPool {
    /// Convolutions waiting at most; beyond that, the one that has waited longest is freed.
    const IDLE: usize = 32;

    /// An empty pool on the best instructions of this machine.
    #[must_use]
    pub(crate) fn new(threads: usize) -> Arc<Self> {
        Self::with(Level::detect(), threads)
    }

    /// [`Self::new`] with given instructions.
    #[must_use]
    pub(crate) fn with(level: Level, threads: usize) -> Arc<Self> {
        Arc::new(Self {
            level,
            workers: Workers::new(threads),
            idle: Mutex::new(Vec::new()),
        })
    }

    fn with_engine<R>(
        &self,
        spec: &ConvolutionSpec,
        batch: usize,
        work: impl FnOnce(&mut Engine) -> R,
    ) -> R {
        let lock = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = {
            let mut idle = lock();
            let found = idle
                .iter()
                .rposition(|e| e.spec == *spec && e.batch == batch);
            found.map(|i| idle.remove(i))
        };
        let mut engine = waiting.unwrap_or_else(|| Engine::new(*spec, batch, self.level));
        let result = work(&mut engine);
        let mut idle = lock();
        idle.push(engine);
        if idle.len() > Self::IDLE {
            idle.remove(0);
        }
        result
    }

    /// `conv(x)`.
    ///
    /// # Shapes
    /// * `x`: `[batch, inputs, height, width]`
    /// * `weights`: `[outputs, inputs, size, size]`
    /// * output: `[batch, outputs, ⌈height / stride⌉, ⌈width / stride⌉]`
    ///
    /// # Panics
    /// If a slice does not have its length, or the kernels do not take the convolution.
    #[must_use]
    pub(crate) fn forward(
        &self,
        spec: &ConvolutionSpec,
        batch: usize,
        x: &[f32],
        weights: &[f32],
    ) -> Vec<f32> {
        let (x_len, y_len) = spec.images();
        assert!(spec.takes(), "{spec:?} is not for these kernels");
        assert_eq!(x.len(), batch * x_len, "x of {spec:?}");
        assert_eq!(weights.len(), spec.weights(), "weights of {spec:?}");
        let mut y = vec![0.0; batch * y_len];
        let groups = x
            .chunks(ConvolutionSpec::GROUP * x_len)
            .zip(y.chunks_mut(ConvolutionSpec::GROUP * y_len));
        for (x, y) in groups {
            self.with_engine(spec, x.len() / x_len, |engine| {
                engine.forward(&self.workers, x, weights, y);
            });
        }
        y
    }

    /// Gradients of the input (empty if it is not wanted) and of the weights, given that of the output.
    ///
    /// # Shapes
    /// As [`Self::forward`]; `dy` as its output.
    ///
    /// # Panics
    /// As [`Self::forward`].
    #[must_use]
    pub(crate) fn backward(
        &self,
        spec: &ConvolutionSpec,
        batch: usize,
        (x, dy): (&[f32], &[f32]),
        weights: &[f32],
        wants_dx: bool,
    ) -> (Vec<f32>, Vec<f32>) {
        let (x_len, y_len) = spec.images();
        assert!(spec.takes(), "{spec:?} is not for these kernels");
        assert_eq!(x.len(), batch * x_len, "x of {spec:?}");
        assert_eq!(dy.len(), batch * y_len, "dy of {spec:?}");
        assert_eq!(weights.len(), spec.weights(), "weights of {spec:?}");
        let mut dx = vec![0.0; if wants_dx { x.len() } else { 0 }];
        let mut dw = vec![0.0; weights.len()];
        let mut part = Vec::new();
        let step = ConvolutionSpec::GROUP;
        for first in (0..batch).step_by(step) {
            let images = first..batch.min(first + step);
            let of = |len: usize| images.start * len..images.end * len;
            let dx = wants_dx.then(|| &mut dx[of(x_len)]);
            // The first group writes its place; the others are added.
            let to = if first == 0 {
                &mut dw
            } else {
                part.resize(weights.len(), 0.0);
                &mut part
            };
            self.with_engine(spec, images.len(), |engine| {
                let pass = (&x[of(x_len)], &dy[of(y_len)]);
                engine.backward(&self.workers, pass, weights, dx, to);
            });
            if first > 0 {
                dw.iter_mut()
                    .zip(&part)
                    .for_each(|(sum, part)| *sum += part);
            }
        }
        (dx, dw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    /// Forward pass and both gradients by their definition, in double precision.
    fn by_definition(
        spec: &ConvolutionSpec,
        batch: usize,
        (x, dy): (&[f32], &[f32]),
        w: &[f32],
    ) -> [Vec<f64>; 3] {
        let (out_h, out_w) = spec.output();
        let (h, width, ci, co, k) = (
            spec.height,
            spec.width,
            spec.inputs,
            spec.outputs,
            spec.size,
        );
        let mut y = vec![0.0; dy.len()];
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
        for (n, o, r, c) in (0..batch * co * out_h * out_w).map(|i| {
            let (rest, c) = (i / out_w, i % out_w);
            let (rest, r) = (rest / out_h, rest % out_h);
            (rest / co, rest % co, r, c)
        }) {
            let at = ((n * co + o) * out_h + r) * out_w + c;
            for (i, a, b) in (0..ci * k * k).map(|j| (j / k / k, j / k % k, j % k)) {
                let (row, column) = (
                    (spec.stride * r + a).wrapping_sub(k / 2),
                    (spec.stride * c + b).wrapping_sub(k / 2),
                );
                if row < h && column < width {
                    let from = ((n * ci + i) * h + row) * width + column;
                    let tap = ((o * ci + i) * k + a) * k + b;
                    y[at] += f64::from(x[from]) * f64::from(w[tap]);
                    dx[from] += f64::from(dy[at]) * f64::from(w[tap]);
                    dw[tap] += f64::from(dy[at]) * f64::from(x[from]);
                }
            }
        }
        [y, dx, dw]
    }

    fn close(what: &str, found: &[f32], expected: &[f64]) {
        let scale = expected.iter().fold(1e-6_f64, |m, x| m.max(x.abs()));
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!(
                (f64::from(*f) - e).abs() <= 2e-6 * scale,
                "{what} at {i}: {f} for {e} (largest {scale})"
            );
        }
        assert_eq!(found.len(), expected.len(), "{what}");
    }

    #[test]
    fn every_layout_size_and_stride_is_the_definition() {
        let mut stream = Noise::new(3);
        let cases = [
            // Planes, with a last piece that is not full; groups; one image.
            (6, [4, 8], (28, 29), 3, 1),
            (1, [8, 4], (3, 33), 3, 1),
            (18, [4, 4], (2, 28), 1, 1),
            // Channels-last, even and odd sizes.
            (3, [5, 7], (9, 10), 3, 1),
            (18, [3, 17], (7, 7), 3, 2),
            (2, [16, 33], (8, 5), 3, 2),
            (2, [3, 20], (30, 28), 1, 2),
            (1, [1, 1], (1, 1), 3, 1),
        ];
        // Both layouts and strides.
        let interpreted = [(2, [4, 4], (1, 28), 3, 1), (1, [2, 3], (3, 3), 3, 2)];
        let cases = if cfg!(miri) {
            &interpreted[..]
        } else {
            &cases[..]
        };
        for level in Level::available_levels() {
            for &(batch, [inputs, outputs], (height, width), size, stride) in cases {
                let spec = ConvolutionSpec {
                    inputs,
                    outputs,
                    height,
                    width,
                    size,
                    stride,
                };
                let what = format!("{level:?} {batch} {spec:?}");
                assert!(spec.takes(), "{what}");
                let (x_len, y_len) = spec.images();
                let mut values =
                    |n: usize| -> Vec<f32> { (0..n).map(|_| stream.symmetric(1.0)).collect() };
                let (x, dy, w) = (
                    values(batch * x_len),
                    values(batch * y_len),
                    values(spec.weights()),
                );
                let [y, dx, dw] = by_definition(&spec, batch, (&x, &dy), &w);
                let pools = [1, 3].map(|threads| ConvolutionPool::with(level, threads));
                let mut bits = Vec::new();
                // Twice: buffers remember nothing.
                let all = [&pools[0], &pools[0], &pools[1]];
                for pool in if cfg!(miri) { &all[2..] } else { &all } {
                    let found = pool.forward(&spec, batch, &x, &w);
                    close(&format!("y, {what}"), &found, &y);
                    let (found_dx, found_dw) = pool.backward(&spec, batch, (&x, &dy), &w, true);
                    close(&format!("dx, {what}"), &found_dx, &dx);
                    close(&format!("dw, {what}"), &found_dw, &dw);
                    let (none, same) = pool.backward(&spec, batch, (&x, &dy), &w, false);
                    assert!(none.is_empty() && same == found_dw, "{what}");
                    bits.push((found, found_dx, found_dw));
                }
                assert!(bits.windows(2).all(|b| b[0] == b[1]), "{what}");
            }
        }
    }

    #[test]
    fn other_convolutions_are_refused() {
        let spec = ConvolutionSpec {
            inputs: 3,
            outputs: 64,
            height: 224,
            width: 224,
            size: 3,
            stride: 1,
        };
        assert!(spec.takes());
        assert!(!ConvolutionSpec { size: 7, ..spec }.takes());
        assert!(!ConvolutionSpec { stride: 3, ..spec }.takes());
        assert!(!ConvolutionSpec { inputs: 0, ..spec }.takes());
        let wide = ConvolutionSpec {
            width: 1 << 40,
            ..spec
        };
        assert!(!wide.takes());
        // One channel is stored as sixteen.
        let single = ConvolutionSpec {
            inputs: 1,
            outputs: 1,
            height: 2048,
            width: 2048,
            ..spec
        };
        assert!(!single.takes());
        let endless = ConvolutionSpec {
            inputs: usize::MAX,
            height: usize::MAX,
            ..spec
        };
        assert!(!endless.takes());
    }
}
