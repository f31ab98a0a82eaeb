//! One stage: where the numbers of its images lie, the tables that lead the convolution kernels to them, and its weights as
//! these kernels read them.
//!
//! Images lie channels-last, channels in multiples of 16. The first stage's few channels would leave most of a vector empty:
//! there, a pixel holds everything that its window sees, one column a tap and channel, and the convolution is a matrix product.

use super::pool::Pooling;
use super::spec::Sizes;
use crate::conv_channels::{self, Layer, PixelTable, groups, pack, pack_transposed};
use crate::grad_channels::{self, ChannelGrad, INPUTS};
use crate::layout::{ALIGN, Buffer, round_up};
use crate::simd::Level;
use crate::transpose::{Matrix, transpose_slice};

/// Images of one channels-last form: rows of pixels with a border.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Pixels around an image.
    pub border: usize,
    /// Pixels from a row to the next.
    pub pitch: usize,
    /// Floats of a pixel.
    pub stored: usize,
    /// Floats of an image.
    pub image: usize,
}

impl Form {
    fn new((rows, columns): (usize, usize), border: usize, channels: usize) -> Self {
        let (pitch, stored) = (columns + 2 * border, round_up(channels, ALIGN));
        Self {
            border,
            pitch,
            stored,
            image: (rows + 2 * border) * pitch * stored,
        }
    }

    /// Offset in an image of the position (`y`, `x`), counted from the border's corner.
    fn at(&self, y: usize, x: usize) -> usize {
        (y * self.pitch + x) * self.stored
    }

    /// Offset in an image of its first pixel.
    pub(super) fn origin(&self) -> usize {
        self.at(self.border, self.border)
    }
}

/// The tables for some images.
struct Tables {
    /// From the input to the convolution's output.
    forward: PixelTable,
    /// From the input to the gradient of the output.
    weights: PixelTable,
    /// From the gradient of the output to that of the input; none for the first stage.
    inputs: Option<PixelTable>,
}

/// See the module's head.
pub(super) struct Stage {
    pub sizes: Sizes,
    level: Level,
    /// Whether pixels hold what their windows see.
    columns: bool,
    /// What the convolution reads: bordered by the padding, or columns.
    pub x: Form,
    /// What it writes.
    pub y: Form,
    /// The gradient of what it writes, bordered so that every window of the transposed convolution is inside.
    pub dy: Form,
    /// The gradient of its input, without a border.
    pub dx: Form,
    /// Channels as the convolution counts them, with the offsets of its taps.
    channels: usize,
    taps: Vec<isize>,
    back_taps: Vec<isize>,
    /// By the number of images, less one.
    tables: Vec<Tables>,
    packed: Buffer,
    packed_back: Buffer,
    /// `[stored]`: what the convolution's output is multiplied by, and what is then added; without norms 1 and the bias. Zero
    /// beyond the channels.
    pub scale: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Stage {
    /// For up to `images` images at a time.
    pub(super) fn new(sizes: Sizes, columns: bool, images: usize, level: Level) -> Self {
        let size = sizes.spec.size;
        let x = if columns {
            Form::new(sizes.after, 0, sizes.inputs * sizes.taps())
        } else {
            Form::new(sizes.before, sizes.spec.padding, sizes.inputs)
        };
        let around = size - 1 - sizes.spec.padding;
        let y = Form::new(sizes.after, 0, sizes.spec.channels);
        let dy = Form::new(sizes.after, around, sizes.spec.channels);
        let dx = Form::new(sizes.before, 0, sizes.inputs);
        let of = |form: Form, back: bool| -> Vec<isize> {
            let tap = |i: usize| {
                let (a, b) = (i / size, i % size);
                let (a, b) = if back {
                    (size - 1 - a, size - 1 - b)
                } else {
                    (a, b)
                };
                form.at(a, b) as isize
            };
            (0..sizes.taps()).map(tap).collect()
        };
        let mut stage = Self {
            channels: if columns {
                sizes.inputs * sizes.taps()
            } else {
                sizes.inputs
            },
            taps: if columns { vec![0] } else { of(x, false) },
            back_taps: of(dy, true),
            tables: Vec::new(),
            packed: Buffer::zeros(0),
            packed_back: Buffer::zeros(0),
            scale: vec![1.0; y.stored],
            bias: vec![0.0; y.stored],
            sizes,
            level,
            columns,
            x,
            y,
            dy,
            dx,
        };
        stage.tables = (1..=images).map(|n| stage.tables(n)).collect();
        stage
    }

    fn tables(&self, images: usize) -> Tables {
        let over = |(rows, columns): (usize, usize)| {
            (0..images * rows * columns).map(move |i| {
                let (image, pixel) = (i / (rows * columns), i % (rows * columns));
                (image, pixel / columns, pixel % columns)
            })
        };
        let Self { x, y, dy, dx, .. } = *self;
        let after = self.sizes.after;
        Tables {
            forward: PixelTable::new(
                over(after).map(|(i, r, c)| (i * x.image + x.at(r, c), i * y.image + y.at(r, c))),
            ),
            weights: PixelTable::new(over(after).map(|(i, r, c)| {
                let to = dy.at(r + dy.border, c + dy.border);
                (i * x.image + x.at(r, c), i * dy.image + to)
            })),
            inputs: (!self.columns).then(|| {
                PixelTable::new(
                    over(self.sizes.before)
                        .map(|(i, r, c)| (i * dy.image + dy.at(r, c), i * dx.image + dx.at(r, c))),
                )
            }),
        }
    }

    /// The tables for so many images.
    ///
    /// # Panics
    /// If the stage is for fewer, or there are none.
    fn tables_of(&self, images: usize) -> &Tables {
        assert!(
            (1..=self.tables.len()).contains(&images),
            "{images} images at a time"
        );
        &self.tables[images - 1]
    }

    /// How the pass after the convolution goes; `to_row` floats from a row of the result to the next.
    pub(super) fn pooling(&self, row: usize, to_row: usize) -> Pooling {
        Pooling {
            pooled: self.sizes.pooled,
            stored: self.y.stored,
            row,
            to_row,
        }
    }

    /// Floats of an image after pooling.
    pub(super) fn pooled(&self) -> usize {
        self.sizes.pooled.0 * self.sizes.pooled.1 * self.y.stored
    }

    /// Takes the weight and the bias for the next passes.
    pub(super) fn take(&mut self, weight: &[f32], bias: &[f32], backward: bool) {
        let Sizes { spec, inputs, .. } = self.sizes;
        let taps = self.taps.len();
        let (level, shape) = (self.level, (spec.channels, self.channels, taps));
        pack(level, weight, shape, self.y.stored, &mut self.packed);
        if backward && !self.columns {
            let all: Vec<usize> = (0..taps).collect();
            let parts = &mut [(&all[..], &mut self.packed_back)];
            let shape = (spec.channels, inputs, taps);
            pack_transposed(level, weight, shape, self.dx.stored, parts);
        }
        self.bias[..bias.len()].copy_from_slice(bias);
    }

    /// Lays out a dense image `[inputs, rows, columns]` as the first stage reads it; `room` is for its columns before they
    /// are turned.
    pub(super) fn lay_out(&self, image: &[f32], room: &mut Vec<f32>, to: &mut [f32]) {
        let Sizes {
            spec,
            inputs,
            before: (rows, columns),
            after: (after_rows, after_columns),
            ..
        } = self.sizes;
        let pixels = after_rows * after_columns;
        // Zero where a window sees the border.
        room.clear();
        room.resize(inputs * self.sizes.taps() * pixels, 0.0);
        let windows = room.chunks_exact_mut(pixels).enumerate();
        for (i, to) in windows {
            let (channel, tap) = (i / self.sizes.taps(), i % self.sizes.taps());
            let (a, b) = (tap / spec.size, tap % spec.size);
            let plane = &image[channel * rows * columns..][..rows * columns];
            // The columns of the output whose window's tap is inside of the row.
            let first = spec.padding.saturating_sub(b);
            let last = (columns + spec.padding)
                .saturating_sub(b)
                .min(after_columns);
            for (r, to) in to.chunks_exact_mut(after_columns).enumerate() {
                let row = (r + a).wrapping_sub(spec.padding);
                if row < rows && first < last {
                    let from = &plane[row * columns + first + b - spec.padding..];
                    to[first..last].copy_from_slice(&from[..last - first]);
                }
            }
        }
        let turned = Matrix {
            rows: inputs * self.sizes.taps(),
            columns: pixels,
            from_row: pixels,
            to_row: self.x.stored,
        };
        transpose_slice(self.level, &turned, room, to);
    }

    /// The convolution of some images, without its bias.
    ///
    /// # Panics
    /// If a buffer is too small, or there are more images than the stage is for.
    pub(super) fn convolve(&self, images: usize, x: &[f32], y: &mut [f32]) {
        self.products(images, false, x, y);
    }

    /// The gradient of the images before a convolution from that of its output, in the form of `dy` with zeros around.
    ///
    /// # Panics
    /// As [`Self::convolve`], and for the first stage.
    pub(super) fn input_gradient(&self, images: usize, dy: &[f32], dx: &mut [f32]) {
        self.products(images, true, dy, dx);
    }

    /// The convolution, or where it goes `back` the transposed one, of all groups of output channels.
    fn products(&self, images: usize, back: bool, x: &[f32], y: &mut [f32]) {
        let tables = self.tables_of(images);
        let (channels, taps, from, to) = if back {
            (self.sizes.spec.channels, &self.back_taps, self.dy, self.dx)
        } else {
            (self.channels, &self.taps, self.x, self.y)
        };
        let (table, packed) = if back {
            let Some(table) = &tables.inputs else {
                unreachable!("the first stage's images have no gradient")
            };
            (table, &self.packed_back)
        } else {
            (&tables.forward, &self.packed)
        };
        let layer = Layer {
            ci: channels,
            taps,
            table,
            pixels: table.count,
        };
        let inputs = (&x[..images * from.image], packed.as_ref());
        conv_channels::whole(self.level, &layer, to.stored, inputs, y);
    }

    /// The gradient of the weight over some images, overwritten; `dy` in its form with zeros around.
    ///
    /// # Panics
    /// As [`Self::convolve`].
    pub(super) fn weight_gradient(
        &self,
        images: usize,
        (x, dy): (&[f32], &[f32]),
        room: &mut Vec<f32>,
        to: &mut [f32],
    ) {
        assert_eq!(to.len(), self.sizes.weights());
        let tables = self.tables_of(images);
        let mut first = 0;
        for group in groups(self.level, self.dy.stored) {
            let width = group * self.level.lanes();
            let g = ChannelGrad {
                taps: &self.taps,
                table: &tables.weights,
                from: 0,
                to: round_up(self.channels, INPUTS),
                ci: self.channels,
                group,
                first,
                real: self.sizes.spec.channels.saturating_sub(first).min(width),
                places: None,
            };
            let row = self.channels * self.taps.len();
            let rows = &mut to[first * row..][..g.real * row];
            grad_channels::whole(self.level, &g, (x, dy), room, rows);
            first += width;
        }
    }
}
