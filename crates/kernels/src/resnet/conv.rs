//! One convolution of the trunk: which kernel computes it, with which offsets, tables and packed weights.
//!
//! Over planes, a convolution runs per image, so that the elementwise pass that follows finds the image in the cache.
//! Channels-last, it runs over the whole batch, so that a group's weights stay in the cache. Both passes write rubbish
//! or nothing at borders; see [`crate::layout`]. At levels with fewer multiplications, 3x3 convolutions of stride 1 and the
//! gradients of their inputs go by [`crate::winograd`], where that pays by [`crate::winograd::rows`]. `make` holds how they are made.

mod make;

use crate::conv_channels::{self, ChannelConv, PixelTable};
use crate::conv_pixels::{self, Ahead, PixelConv};
use crate::grad_channels::{self, ChannelGrad};
use crate::grad_pixels::{self, Piece, PixelGrad};
use crate::layout::{Buffer, Grid};
use crate::simd::Level;
use crate::winograd::rows::Rows;
use crate::winograd::{Rooms, Winograd};
use crate::workers::{Shareable, Workers};
use std::ops::Range;
use std::slice::from_raw_parts as slice;

/// One part of the gradient of the input: all of it, or at stride 2 one phase.
struct Part<T> {
    /// The weights' taps that reach it, and their offsets in the output's gradient.
    which: Vec<usize>,
    taps: Vec<isize>,
    place: T,
    packed: Buffer,
}

enum Kind {
    Planes {
        /// As in `Last`.
        winograd: Option<Box<[Rows; 2]>>,
        /// Grid of the output.
        grid: Grid,
        /// Floats between channels and between images of the input (phases at stride 2).
        x_plane: usize,
        x_image: usize,
        dy_image: usize,
        /// Place: offset of the part's plane in a channel of the input.
        parts: Vec<Part<usize>>,
    },
    Last {
        /// Forward and for the gradient of the input, at levels with fewer multiplications.
        winograd: Option<Box<[Winograd; 2]>>,
        /// Input x, output y; serves the weight gradient too.
        table: PixelTable,
        /// Stored channels of input and output.
        x_stored: usize,
        y_stored: usize,
        /// Place: input dy, output dx.
        parts: Vec<Part<PixelTable>>,
    },
}

/// A convolution with its packed weights.
pub(crate) struct Conv {
    level: Level,
    /// Images of the buffers.
    batch: usize,
    /// Output channels, input channels, taps (9 or 1).
    pub dims: (usize, usize, usize),
    taps: Vec<isize>,
    packed: Buffer,
    /// Packed weights that are still to be transformed.
    raw: Buffer,
    kind: Kind,
    /// Partial sums of the weight gradient, and the floats of it per task.
    scratch: Buffer,
    /// What the weight gradient with fewer multiplications needs instead.
    rooms: Rooms,
}

/// Memory for the packed weights of one convolution at a time: for up to four parts of the backward pass, for the
/// forward pass, and for weights that are still to be transformed; and for the gradient of its weights.
pub(crate) struct PackedMemory([Buffer; 6], Rooms);

impl PackedMemory {
    /// Nothing yet; it grows to the largest convolution.
    pub(crate) fn new() -> Self {
        Self([0; 6].map(Buffer::zeros), Rooms::new())
    }
}

/// Tasks into which a channels-last job cuts the pixels of each group.
const PIXEL_TASKS: usize = 4;
/// Tasks into which a weight gradient cuts the inputs of each group of outputs.
const INPUT_TASKS: usize = 2;

impl Conv {
    /// Exchanges the memory for packed weights: before packing for `memory`, after use to give it back.
    ///
    /// Convolutions that follow each other share one memory, which therefore stays in the cache. Packed into memory
    /// that was last used a step ago, weights would go through to the third-level cache.
    pub(crate) fn exchange(&mut self, memory: &mut PackedMemory) {
        fn packed<T>(parts: &mut [Part<T>], memory: &mut [Buffer]) {
            for (part, memory) in parts.iter_mut().zip(memory) {
                std::mem::swap(&mut part.packed, memory);
            }
        }
        std::mem::swap(&mut self.packed, &mut memory.0[4]);
        std::mem::swap(&mut self.raw, &mut memory.0[5]);
        std::mem::swap(&mut self.rooms, &mut memory.1);
        match &mut self.kind {
            Kind::Planes { parts, .. } => packed(parts, &mut memory.0[..4]),
            Kind::Last { parts, .. } => packed(parts, &mut memory.0[..4]),
        }
    }

    /// Packs the weights `[co, ci, taps]` for [`Self::forward_image`] or [`Self::forward_batch`].
    pub(crate) fn pack_forward(&mut self, weights: &[f32]) {
        let all: Vec<usize> = (0..self.dims.2).collect();
        match &mut self.kind {
            Kind::Planes {
                winograd: Some(winograd),
                ..
            } => winograd[0].pack(weights),
            Kind::Planes { .. } => {
                conv_pixels::pack(
                    self.level,
                    weights,
                    self.dims,
                    &all,
                    false,
                    &mut self.packed,
                );
            }
            Kind::Last {
                y_stored, winograd, ..
            } => {
                let to = match winograd {
                    Some(_) => &mut self.raw,
                    None => &mut self.packed,
                };
                conv_channels::pack(self.level, weights, self.dims, *y_stored, to);
                if let Some(winograd) = winograd {
                    winograd[0].pack(self.raw.as_ref(), &mut self.packed);
                }
            }
        }
    }

    /// Packs the weights for the gradient of the input.
    pub(crate) fn pack_backward(&mut self, weights: &[f32]) {
        match &mut self.kind {
            Kind::Planes {
                winograd: Some(winograd),
                ..
            } => winograd[1].pack(weights),
            Kind::Planes { parts, .. } => {
                for part in parts {
                    conv_pixels::pack(
                        self.level,
                        weights,
                        self.dims,
                        &part.which,
                        true,
                        &mut part.packed,
                    );
                }
            }
            Kind::Last {
                parts,
                x_stored,
                winograd: Some(winograd),
                ..
            } => {
                let mirrored: Vec<usize> = (0..self.dims.2).rev().collect();
                let raw = &mut [(mirrored.as_slice(), &mut self.raw)];
                conv_channels::pack_transposed(self.level, weights, self.dims, *x_stored, raw);
                for part in parts {
                    winograd[1].pack(self.raw.as_ref(), &mut part.packed);
                }
            }
            Kind::Last {
                parts, x_stored, ..
            } => {
                let mut parts: Vec<_> = parts
                    .iter_mut()
                    .map(|part| (part.which.as_slice(), &mut part.packed))
                    .collect();
                conv_channels::pack_transposed(
                    self.level, weights, self.dims, *x_stored, &mut parts,
                );
            }
        }
    }

    /// One image over planes: `y = conv(x)`, borders of the run are rubbish.
    ///
    /// # Safety
    /// A plane convolution with packed weights; `x` and `y` are whole images of its shapes, `y` nobody else's.
    pub(crate) unsafe fn forward_image(&self, x: *const f32, y: *mut f32, ahead: Ahead) {
        let Kind::Planes {
            grid,
            x_plane,
            winograd,
            ..
        } = &self.kind
        else {
            unreachable!("a convolution over planes")
        };
        if let Some(winograd) = winograd {
            return run_rows(&winograd[0], x, y, false, ahead);
        }
        let conv = PixelConv {
            ci: self.dims.1,
            x_plane: *x_plane,
            taps: &self.taps,
            co: self.dims.0,
            out_plane: grid.plane,
            positions: grid.run_padded,
            add: false,
            ahead,
        };
        // SAFETY: by contract `x` and `y` are whole images, so they have all channels, `x_plane` and `plane` apart. From its
        // origin, a plane holds the padded run and any tap's shift of it on both sides (`Grid`), in every phase. The weights
        // are packed for these dimensions and the level.
        unsafe {
            conv_pixels::conv(
                self.level,
                &conv,
                x.add(grid.origin),
                self.packed.ptr(),
                y.add(grid.origin),
            );
        }
    }

    /// One image over planes: `dx (+)= ` the gradient of the input, at stride 2 as phases.
    ///
    /// # Safety
    /// As for [`Self::forward_image`], with the backward weights packed; `dx` nobody else's.
    pub(crate) unsafe fn backward_image(
        &self,
        dy: *const f32,
        dx: *mut f32,
        add: bool,
        ahead: Ahead,
    ) {
        let Kind::Planes {
            grid,
            x_plane,
            parts,
            winograd,
            ..
        } = &self.kind
        else {
            unreachable!("a convolution over planes")
        };
        if let Some(winograd) = winograd {
            return run_rows(&winograd[1], dy, dx, add, ahead);
        }
        for (i, part) in parts.iter().enumerate() {
            let conv = PixelConv {
                ci: self.dims.0,
                x_plane: grid.plane,
                taps: &part.taps,
                co: self.dims.1,
                out_plane: *x_plane,
                positions: grid.run_padded,
                add,
                // At stride 2, the last parts are the longest.
                ahead: match (parts.len(), i) {
                    (1, _) => ahead,
                    (4, 1) => ahead.only(0..1),
                    (4, 2) => ahead.only(1..2),
                    (4, 3) => ahead.only(2..4),
                    _ => Ahead::NOTHING,
                },
            };
            // SAFETY: by contract `dy` and `dx` are whole images. From its origin, a plane of `dy` holds the padded run and any
            // tap's shift of it (`Grid`); in `dx`, the part's planes lie `x_plane` apart from its place on and hold the padded
            // run. The weights of the part are packed for these dimensions and the level.
            unsafe {
                let dx = dx.add(part.place + grid.origin);
                conv_pixels::conv(
                    self.level,
                    &conv,
                    dy.add(grid.origin),
                    part.packed.ptr(),
                    dx,
                );
            }
        }
    }

    /// Runs a channels-last convolution over the first `pixels` of a table, in tasks.
    fn run_table(
        &self,
        workers: &Workers,
        (table, pixels): (&PixelTable, usize),
        (taps, packed): (&[isize], &[f32]),
        (ci, stored): (usize, usize),
        (x, y, add): (*const f32, Shareable, bool),
    ) {
        let groups = conv_channels::groups(self.level, stored);
        let x = Shareable::reading(x);
        workers.run(groups.len() * PIXEL_TASKS, &|task| {
            let (g, part) = (task / PIXEL_TASKS, task % PIXEL_TASKS);
            let first: usize = groups[..g].iter().sum::<usize>() * self.level.lanes();
            let tile = conv_channels::tile_pixels(self.level, groups[g]);
            let cut = |part: usize| (pixels.div_ceil(tile) * part / PIXEL_TASKS * tile).min(pixels);
            let conv = ChannelConv {
                ci,
                taps,
                table,
                from: cut(part),
                to: cut(part + 1),
                group: groups[g],
                first,
                add,
            };
            let weights = packed[first * ci * taps.len()..].as_ptr();
            // SAFETY: by the callers' contracts the tables address pixels of the buffers, whose borders hold all taps
            // (`Shape`), and `packed` is what `taps` and `ci` ask for. A pixel that a tile computes beyond its range exists in the buffers, and since cuts are at whole tiles, only the last
            // range runs over, so every output is written by one task; a group's weights begin at its first channel.
            unsafe { conv_channels::conv(self.level, &conv, x.at(0), weights, y.at(0)) }
        });
    }

    /// All images, channels-last: `y = conv(x)`; borders are left alone.
    ///
    /// # Safety
    /// A channels-last convolution with packed weights; `x` and `y` are buffers of the whole batch; of `y`, images up
    /// to the end of the batch may be written.
    pub(crate) unsafe fn forward_batch(
        &self,
        workers: &Workers,
        images: usize,
        x: *const f32,
        y: Shareable,
    ) {
        let Kind::Last {
            table,
            y_stored,
            winograd,
            ..
        } = &self.kind
        else {
            unreachable!("a channels-last convolution")
        };
        if let Some(winograd) = winograd {
            let (batch, packed) = ((workers, images), self.packed.as_ref());
            run_windows(&winograd[0], batch, packed, (x, y, false));
            return;
        }
        let pixels = table.count / self.batch * images;
        self.run_table(
            workers,
            (table, pixels),
            (&self.taps, self.packed.as_ref()),
            (self.dims.1, *y_stored),
            (x, y, false),
        );
    }

    /// All images, channels-last: `dx (+)= ` the gradient of the input.
    ///
    /// # Safety
    /// As for [`Self::forward_batch`], with the backward weights packed.
    pub(crate) unsafe fn backward_batch(
        &self,
        workers: &Workers,
        dy: *const f32,
        dx: Shareable,
        add: bool,
    ) {
        let Kind::Last {
            x_stored,
            parts,
            winograd,
            ..
        } = &self.kind
        else {
            unreachable!("a channels-last convolution")
        };
        for part in parts {
            if let Some(winograd) = winograd {
                let (batch, packed) = ((workers, self.batch), part.packed.as_ref());
                // One part is the whole gradient at stride 1.
                run_windows(&winograd[1], batch, packed, (dy, dx, add));
                continue;
            }
            let table = &part.place;
            let weights = (part.taps.as_slice(), part.packed.as_ref());
            self.run_table(
                workers,
                (table, table.count),
                weights,
                (self.dims.0, *x_stored),
                (dy, dx, add),
            );
        }
    }

    /// The floats of the batch's input and of its output, where the weights' gradient is [`Self::weight_grad_at_once`].
    pub(crate) fn at_once(&self) -> Option<[usize; 2]> {
        match &self.kind {
            Kind::Last {
                winograd: Some(winograd),
                ..
            } => Some([0, 1].map(|i| self.batch * winograd[i].image())),
            _ => None,
        }
    }

    /// The weights' gradient `[co, ci, taps]` of the whole batch, where [`Self::at_once`] says so.
    ///
    /// # Panics
    /// If slices have other lengths.
    pub(crate) fn weight_grad_at_once(
        &mut self,
        workers: &Workers,
        images: (&[f32], &[f32]),
        grads: &mut [f32],
    ) {
        let Kind::Last {
            winograd: Some(winograd),
            ..
        } = &self.kind
        else {
            unreachable!("a convolution with fewer multiplications")
        };
        winograd[0].weight_grad((workers, self.batch), images, &mut self.rooms, grads);
    }

    /// Tasks of [`Self::weight_grad`].
    pub(crate) fn weight_tasks(&self) -> usize {
        INPUT_TASKS
            * match &self.kind {
                Kind::Planes { .. } => self.dims.0 / grad_pixels::OUTPUTS,
                Kind::Last { y_stored, .. } => conv_channels::groups(self.level, *y_stored).len(),
            }
    }

    /// The positions of some images in the order in which the weights' gradient over planes walks them.
    pub(crate) fn pieces(&self, images: usize) -> Vec<Vec<Piece>> {
        match &self.kind {
            Kind::Planes { grid, .. } => grad_pixels::groups(images, grid.run_padded),
            Kind::Last { .. } => Vec::new(),
        }
    }

    /// One task of the weights' gradient `[co, ci, taps]`, which is written with the last images of the batch.
    ///
    /// Over planes, `images` may be a part of the batch; all tasks of a part must have run before those of the next.
    /// Channels-last, it must be the whole batch.
    ///
    /// # Safety
    /// `x` is a buffer of the whole batch, `dy` one of the images, zero at borders; `pieces` are [`Self::pieces`] of
    /// the images; `scratch` is [`Self::scratch`], untouched since the part of the batch before, and `grads` the
    /// whole gradient; each task runs once at a time.
    pub(crate) unsafe fn weight_grad(
        &self,
        task: usize,
        (images, pieces): (&Range<usize>, &[Vec<Piece>]),
        x: *const f32,
        dy: *const f32,
        scratch: Shareable,
        grads: Shareable,
    ) {
        let (co, ci, t) = self.dims;
        let (block, part) = (task / INPUT_TASKS, task % INPUT_TASKS);
        match &self.kind {
            Kind::Planes {
                grid,
                x_plane,
                x_image,
                dy_image,
                ..
            } => {
                let step = (ci * t).div_ceil(INPUT_TASKS);
                let o = block * grad_pixels::OUTPUTS;
                let grad = PixelGrad {
                    ci,
                    x_plane: *x_plane,
                    x_image: *x_image,
                    taps: &self.taps,
                    dy_plane: grid.plane,
                    dy_image: *dy_image,
                    groups: pieces,
                    ends: (images.start == 0, images.end == self.batch),
                    from: (step * part).min(ci * t),
                    to: (step * (part + 1)).min(ci * t),
                };
                // SAFETY: by contract `x` holds the batch, from whose image `images.start` on the pieces count, and `dy` these
                // images; from its origin a plane holds the padded run and any tap's shift of it (`Grid`). The block's
                // channels are below `co`, which is a multiple of OUTPUTS. Every task has the scratch of `step` inputs, and
                // rows `o..` and inputs `from..to` of the gradient, to itself.
                unsafe {
                    let scratch = scratch.at(task * grad_pixels::scratch(self.level, 0, step));
                    let x = x.add(images.start * x_image + grid.origin);
                    let dy = dy.add(grid.origin + o * grid.plane);
                    grad_pixels::grads(self.level, &grad, x, dy, scratch, grads.at(o * ci * t));
                }
            }
            Kind::Last {
                table,
                x_stored,
                y_stored,
                ..
            } => {
                debug_assert_eq!(*images, 0..self.batch);
                let groups = conv_channels::groups(self.level, *y_stored);
                let lanes = self.level.lanes();
                let first = groups[..block].iter().sum::<usize>() * lanes;
                let width = groups[block] * lanes;
                let cut = |part: usize| {
                    x_stored / grad_channels::INPUTS * part / INPUT_TASKS * grad_channels::INPUTS
                };
                let grad = ChannelGrad {
                    taps: &self.taps,
                    table,
                    from: cut(part),
                    to: cut(part + 1),
                    ci,
                    group: groups[block],
                    first,
                    real: co.saturating_sub(first).min(width),
                    places: None,
                };
                // SAFETY: by contract `x` and `dy` hold the batch, whose pixels the table addresses; the borders of `x` hold
                // every tap (`Shape`), and stored channels are a multiple of what a group or a tile of inputs takes. Every
                // task has the scratch of the widest group, and the gradient's rows and inputs that it names, to itself.
                unsafe {
                    let scratch = scratch.at(task * grad_channels::scratch(t, 3, lanes));
                    let rows = grads.at(first * ci * t);
                    grad_channels::grads(self.level, &grad, x, dy, scratch, rows);
                }
            }
        }
    }

    /// The scratch for [`Self::weight_grad`].
    pub(crate) fn scratch(&mut self) -> Shareable {
        self.scratch.shareable()
    }
}

/// One image over planes, with fewer multiplications, for [`Conv::forward_image`] and [`Conv::backward_image`].
fn run_rows(rows: &Rows, x: *const f32, y: *mut f32, add: bool, ahead: Ahead) {
    let [from, to] = rows.images();
    // SAFETY: by the callers' contracts `x` and `y` are whole images of the convolution or its gradient, `y` nobody else's.
    let (x, y) = unsafe { (slice(x, from), Shareable::of(y).slice(0, to)) };
    rows.run(x, y, add, ahead);
}

/// Images of a batch, channels-last, with fewer multiplications, for [`Conv::forward_batch`] and [`Conv::backward_batch`].
fn run_windows(
    winograd: &Winograd,
    batch: (&Workers, usize),
    packed: &[f32],
    (x, y, add): (*const f32, Shareable, bool),
) {
    // SAFETY: by the callers' contracts `x` and `y` are buffers of so many images of the convolution or its gradient, `y` nobody
    // else's.
    unsafe {
        let x = slice(x, batch.1 * winograd.image());
        winograd.run(batch, packed, x, y, add);
    }
}
