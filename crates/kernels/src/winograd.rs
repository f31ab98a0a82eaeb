//! Convolutions of 3x3 windows over channels-last images with fewer multiplications: Winograd's F(2x2, 3x3).
//!
//! Two by two outputs take 16 products a channel instead of 36: `y = A' [(G g G') * (B' d B)] A`, with the four by four inputs
//! `d` of these outputs and the weights `g` (Lavin & Gray, CVPR 2016, section 4.1). The products at one place of the transformed
//! inputs, over all channels, are a matrix product, which the channels-last kernel computes as a convolution of one tap.
//! Results differ from a direct convolution's by rounding, so levels that take this one have names of their own. `grad` has the
//! gradient of the weights, `rows` the convolutions over planes.

mod grad;
pub(crate) mod rows;

pub(crate) use grad::{Rooms, taps_of};

use crate::conv_channels::{self, Layer, PixelTable, groups};
use crate::layout::{ALIGN, Buffer, Shape};
use crate::simd::{Level, Simd, dispatch};
use crate::workers::{Shareable, Workers, lock};
use std::ops::Range;
use std::sync::Mutex;

/// Side of the inputs of two by two outputs, and their places.
const SIDE: usize = 4;
pub(crate) const PLACES: usize = SIDE * SIDE;
/// Taps of a direct convolution.
pub(crate) const TAPS: usize = 9;
/// Floats of a block's transformed inputs and outputs, about: they stay in the second-level cache.
const BLOCK: usize = 64 * 1024;
/// Windows of a block are a multiple of this, so that the tiles of the products are whole.
const MULTIPLE: usize = 40;
/// Floats between the weights of two places: a multiple of 4096 bytes apart, all would meet in the same lines of the cache.
const GAP: usize = 3 * ALIGN;
/// An output beyond the image.
const NOWHERE: u32 = u32::MAX;

/// Offsets in an image of the 16 inputs, and of the four outputs.
type Window = ([u32; PLACES], [u32; 4]);

/// A convolution of stride 1 and padding 1 between images of the same plane, without its weights.
pub(crate) struct Winograd {
    level: Level,
    x: Shape,
    y: Shape,
    windows: Vec<Window>,
    /// Windows of a block, and the table of its products.
    block: usize,
    table: PixelTable,
    /// Transformed inputs and outputs of blocks, for as many tasks as there were at a time.
    rooms: Mutex<Vec<[Buffer; 2]>>,
}

impl Winograd {
    pub(crate) fn new(level: Level, x: &Shape, y: &Shape) -> Self {
        assert_eq!(x.grid, y.grid, "images of the same plane");
        let block = (BLOCK / (PLACES * (x.stored + y.stored))).max(1);
        let block = block.next_multiple_of(MULTIPLE);
        Self {
            level,
            windows: windows(x, y),
            block,
            table: PixelTable::new((0..block).map(|i| (i * x.stored, i * y.stored))),
            x: x.clone(),
            y: y.clone(),
            rooms: Mutex::default(),
        }
    }

    /// Floats of an image of the input.
    pub(crate) fn image(&self) -> usize {
        self.x.image
    }

    /// Floats from the weights of a place to those of the next.
    fn weights_of_place(&self) -> usize {
        self.x.channels * self.y.stored + GAP
    }

    /// Transforms the weights: `raw` is `[group][input][taps][lanes of the group]` as the channels-last kernel's are, `packed`
    /// becomes as many by place.
    pub(crate) fn pack(&self, raw: &[f32], packed: &mut Buffer) {
        let (inputs, stored) = (self.x.channels, self.y.stored);
        let raw = &raw[..inputs * TAPS * stored];
        let place = self.weights_of_place();
        let packed = packed.room(PLACES * place);
        let mut first = 0;
        for group in groups(self.level, stored) {
            let weights = Weights {
                rows: inputs,
                width: group * self.level.lanes(),
                place,
            };
            let raw = &raw[first * TAPS * inputs..][..weights.rows * TAPS * weights.width];
            let packed = &mut packed[first * inputs..];
            assert!(packed.len() >= (PLACES - 1) * weights.place + weights.rows * weights.width);
            // SAFETY: `raw` has the group's rows of taps, and `packed` its rows at every place, as was checked; it is borrowed
            // mutably. A group's width is a number of whole vectors.
            unsafe { transform(self.level, &weights, raw.as_ptr(), packed.as_mut_ptr()) };
            first += weights.width;
        }
    }

    /// Some windows of a batch, at most a block, by place: `B' d B` of inputs, `A dy A'` of the gradients of outputs.
    ///
    /// # Panics
    /// If these are not the images of these windows, or the places not a block's.
    fn spread_images(&self, which: Images, range: &Range<usize>, images: &[f32], v: &mut [f32]) {
        let shape = self.shape(which);
        assert!(
            images.len() / shape.image * self.windows.len() >= range.end,
            "images of the windows"
        );
        assert!(
            range.len() <= self.block && v.len() >= PLACES * self.block * shape.stored,
            "places of a block"
        );
        // SAFETY: these are the images of these windows, which are not more than a block, and `v`, borrowed mutably, has a row of
        // every place for each window of a block: both were just checked.
        unsafe {
            spread(
                self.level,
                self,
                which,
                range,
                images.as_ptr(),
                v.as_mut_ptr(),
            );
        }
    }

    fn shape(&self, which: Images) -> &Shape {
        match which {
            Images::Inputs => &self.x,
            Images::Outputs => &self.y,
        }
    }

    /// Convolves the first images of a batch, zero at borders, with packed weights, or adds to what is there.
    ///
    /// # Safety
    /// `y` holds so many images of its shape, which nobody else touches.
    ///
    /// # Panics
    /// If `x` does not hold so many images of its own.
    pub(crate) unsafe fn run(
        &self,
        (workers, images): (&Workers, usize),
        packed: &[f32],
        x: &[f32],
        y: Shareable,
        add: bool,
    ) {
        let (inputs, from, to) = (self.x.channels, self.x.stored, self.y.stored);
        let all = images * self.windows.len();
        workers.run(all.div_ceil(self.block), &|block| {
            let range = block * self.block..all.min((block + 1) * self.block);
            let mut room = lock(&self.rooms)
                .pop()
                .unwrap_or_else(|| [0; 2].map(Buffer::zeros));
            let [v, m] = &mut room;
            let (v, m) = (
                v.room(PLACES * self.block * from),
                m.room(PLACES * self.block * to),
            );
            let layer = Layer {
                ci: inputs,
                taps: &[0],
                table: &self.table,
                pixels: range.len(),
            };
            self.spread_images(Images::Inputs, &range, x, v);
            let places = v.chunks_exact(self.block * from);
            let places = places.zip(m.chunks_exact_mut(self.block * to));
            for ((v, m), weights) in places.zip(packed.chunks_exact(self.weights_of_place())) {
                conv_channels::whole(self.level, &layer, to, (v, weights), m);
            }
            // SAFETY: by contract `y` holds the images whose windows the range counts; outputs of different windows are
            // different pixels, of which this task's are nobody else's. `m` has a row of every place for each window of a block.
            unsafe { outputs_of(self.level, self, &range, m.as_ptr(), y.at(0), add) };
            lock(&self.rooms).push(room);
        });
    }
}

/// The windows of an image, in rows.
fn windows(x: &Shape, y: &Shape) -> Vec<Window> {
    let (h, w) = (x.grid.h, x.grid.w);
    // Rows and columns are counted from the corner of the border before the first pixel.
    let at = |shape: &Shape, r: usize, c: usize| {
        let corner = shape.origin - (shape.grid.pitch + 1) * shape.stored;
        let offset = corner + (r * shape.grid.pitch + c) * shape.stored;
        u32::try_from(offset).unwrap_or(NOWHERE)
    };
    let of = |r: usize, c: usize| -> Window {
        let input = |k: usize| match (r + k / SIDE, c + k % SIDE) {
            // Zero, as the corner is.
            (r, c) if r > h || c > w => at(x, 0, 0),
            (r, c) => at(x, r, c),
        };
        let output = |k: usize| match (r + k / 2, c + k % 2) {
            (r, c) if r < h && c < w => at(y, r + 1, c + 1),
            _ => NOWHERE,
        };
        (std::array::from_fn(input), std::array::from_fn(output))
    };
    let rows = (0..h).step_by(2);
    rows.flat_map(|r| (0..w).step_by(2).map(move |c| of(r, c)))
        .collect()
}

/// Sizes of a group's weights: input channels, floats of a row, floats from a place to the next.
#[derive(Clone, Copy)]
pub(crate) struct Weights {
    rows: usize,
    width: usize,
    place: usize,
}

/// `G g` of three values.
macro_rules! weights {
    ($g:expr) => {{
        let (g, half) = ($g, S::splat(0.5));
        let ends = S::add(g[0], g[2]);
        let sum = S::mul(half, S::add(ends, g[1]));
        let difference = S::mul(half, S::sub(ends, g[1]));
        [g[0], sum, difference, g[2]]
    }};
}

/// What is taken apart by place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Images {
    Inputs,
    Outputs,
}

/// `B' d` of four values.
macro_rules! inputs {
    ($d:expr) => {{
        let d = $d;
        [
            S::sub(d[0], d[2]),
            S::add(d[1], d[2]),
            S::sub(d[2], d[1]),
            S::sub(d[1], d[3]),
        ]
    }};
}

/// `A` times two values.
macro_rules! outputs {
    ($y:expr) => {{
        let y = $y;
        let minus = S::sub(S::splat(0.0), y[1]);
        [y[0], S::add(y[0], y[1]), S::sub(y[0], y[1]), minus]
    }};
}

/// `A' m` of four values.
macro_rules! gather {
    ($m:expr) => {{
        let m = $m;
        [
            S::add(S::add(m[0], m[1]), m[2]),
            S::sub(S::sub(m[1], m[2]), m[3]),
        ]
    }};
}

#[inline(always)]
unsafe fn transform_in<S: Simd>(w: &Weights, raw: *const f32, packed: *mut f32) {
    // SAFETY: rows and vectors of a row are counted by the sizes, for which both slices were promised.
    unsafe {
        for row in 0..w.rows {
            for at in (0..w.width).step_by(S::LANES) {
                let raw = raw.add(row * TAPS * w.width + at);
                let rows: [[S::V; SIDE]; 3] = std::array::from_fn(|x| {
                    let tap = |y: usize| S::load(raw.add((3 * y + x) * w.width));
                    weights!([tap(0), tap(1), tap(2)])
                });
                let [left, middle, right] = rows;
                let columns = left.into_iter().zip(middle).zip(right);
                for (y, ((a, b), c)) in columns.enumerate() {
                    let values = weights!([a, b, c]);
                    for (x, value) in values.into_iter().enumerate() {
                        let to = (SIDE * y + x) * w.place + row * w.width + at;
                        S::store(packed.add(to), value);
                    }
                }
            }
        }
    }
}

dispatch! {
    /// `G g G'` of the weights of a group.
    ///
    /// # Safety
    /// `raw` holds `rows * 9 * width` floats, `packed` a row of `rows * width` every `place` floats, 16 of them, and is nobody
    /// else's; `width` is a multiple of the level's lanes.
    transform = transform_in(w: &Weights, raw: *const f32, packed: *mut f32)
}

#[inline(always)]
unsafe fn spread_in<S: Simd, const INPUTS: bool>(
    w: &Winograd,
    which: Images,
    range: &Range<usize>,
    from: *const f32,
    v: *mut f32,
) {
    // SAFETY: a window's inputs are pixels of its image or its border, its outputs pixels of its own or nowhere, `stored` floats
    // each, in whole vectors; the windows of the range are those of images that are there by contract. Of the block's places,
    // each has a row for every window.
    unsafe {
        let shape = w.shape(which);
        let (stored, place) = (shape.stored, w.block * shape.stored);
        for (k, i) in range.clone().enumerate() {
            let (image, window) = (i / w.windows.len(), i % w.windows.len());
            let (from, (inputs, outputs)) = (from.add(image * shape.image), &w.windows[window]);
            for c in (0..stored).step_by(S::LANES) {
                let mut rows = [[S::splat(0.0); SIDE]; SIDE];
                if INPUTS {
                    for (r, row) in rows.iter_mut().enumerate() {
                        let mut pixels = [S::splat(0.0); SIDE];
                        for (k, pixel) in pixels.iter_mut().enumerate() {
                            *pixel = S::load(from.add(inputs[SIDE * r + k] as usize + c));
                        }
                        *row = inputs!(pixels);
                    }
                } else {
                    for (r, row) in rows.iter_mut().take(2).enumerate() {
                        let mut pixels = [S::splat(0.0); 2];
                        for (k, pixel) in pixels.iter_mut().enumerate() {
                            if outputs[2 * r + k] != NOWHERE {
                                *pixel = S::load(from.add(outputs[2 * r + k] as usize + c));
                            }
                        }
                        *row = outputs!(pixels);
                    }
                }
                let ([first, second, third, last], v) = (rows, v.add(k * stored + c));
                for x in 0..SIDE {
                    let values = if INPUTS {
                        inputs!([first[x], second[x], third[x], last[x]])
                    } else {
                        outputs!([first[x], second[x]])
                    };
                    for (r, value) in values.into_iter().enumerate() {
                        S::store(v.add((SIDE * r + x) * place), value);
                    }
                }
            }
        }
    }
}

dispatch! {
    /// Some windows of a batch by place: see [`Winograd::spread_images`].
    ///
    /// # Safety
    /// `from` holds the images of these windows, which are not more than a block, and `v` the places of a block; it is nobody
    /// else's.
    spread = spread_in[which == Images::Inputs](w: &Winograd, which: Images, range: &Range<usize>, from: *const f32, v: *mut f32)
}

#[inline(always)]
unsafe fn outputs_in<S: Simd>(
    w: &Winograd,
    range: &Range<usize>,
    m: *const f32,
    y: *mut f32,
    add: bool,
) {
    // SAFETY: a window's outputs are pixels of its image, `stored` floats each, in whole vectors; the windows of the range are
    // those of images that are there by contract, and their outputs this call's. Of the block's places, each has a row for
    // every window.
    unsafe {
        let (stored, place) = (w.y.stored, w.block * w.y.stored);
        for (k, i) in range.clone().enumerate() {
            let (image, window) = (i / w.windows.len(), i % w.windows.len());
            let (y, outputs) = (y.add(image * w.y.image), &w.windows[window].1);
            for c in (0..stored).step_by(S::LANES) {
                let m = m.add(k * stored + c);
                let rows: [[S::V; 2]; SIDE] = std::array::from_fn(|r| {
                    let value = |k: usize| S::load(m.add((SIDE * r + k) * place));
                    gather!([value(0), value(1), value(2), value(3)])
                });
                for column in 0..2 {
                    let values = gather!(rows.map(|row| row[column]));
                    for (r, value) in values.into_iter().enumerate() {
                        let at = outputs[2 * r + column];
                        if at == NOWHERE {
                            continue;
                        }
                        let y = y.add(at as usize + c);
                        let value = if add {
                            S::add(S::load(y), value)
                        } else {
                            value
                        };
                        S::store(y, value);
                    }
                }
            }
        }
    }
}

dispatch! {
    /// `A' m A` of some windows of a batch, to their pixels.
    ///
    /// # Safety
    /// `m` holds the places of a block, `y` the images of these windows, which are not more than a block; their outputs are
    /// nobody else's.
    outputs_of = outputs_in(w: &Winograd, range: &Range<usize>, m: *const f32, y: *mut f32, add: bool)
}
