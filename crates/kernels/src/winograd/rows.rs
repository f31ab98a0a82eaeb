//! Convolutions of 3x3 windows over planes with fewer multiplications: Winograd's F(2, 3) down the columns.
//!
//! Two outputs below each other take four products a channel and column of the window instead of six. Of every four rows of the input, two
//! of which the next four share, four sums of two rows are made; each is convolved with three weights along the row, and of the
//! four results come two rows of the output. A vector stays a piece of a row, so that planes of few channels gain where
//! [`super::Winograd`] would leave vectors empty. See there for what such levels are.

use crate::conv_pixels::{self, Ahead, PixelConv};
use crate::layout::{ALIGN, Buffer, Grid};
use crate::simd::{Level, Simd, dispatch};
use crate::workers::lock;
use std::sync::Mutex;

/// Rows of the input that two rows of the output see.
const SIDE: usize = 4;

/// A convolution of stride 1 and padding 1 between images on the same grid, forward or the gradient of its input.
pub(crate) struct Rows {
    level: Level,
    grid: Grid,
    /// Of every second row.
    half: Grid,
    /// Weights `[out, in, 3, 3]`: output channels, input channels; whether the convolution goes back from out to in.
    dims: (usize, usize),
    back: bool,
    packed: [Buffer; SIDE],
    /// Sums of rows and what is made of them, for as many tasks as there were at a time.
    rooms: Mutex<Vec<[Buffer; 2]>>,
}

impl Rows {
    pub(crate) fn new(level: Level, grid: &Grid, dims: (usize, usize), back: bool) -> Self {
        Self {
            level,
            grid: grid.clone(),
            half: Grid::new(grid.h.div_ceil(2), grid.w),
            dims,
            back,
            packed: [0; SIDE].map(Buffer::zeros),
            rooms: Mutex::default(),
        }
    }

    /// Whether it takes less time than a direct convolution: sums of rows cost as much as several channels do, rows are taken in
    /// pieces, and where vectors are 16 floats what is saved is lost on the way to and from memory.
    pub(crate) fn pays(level: Level, grid: &Grid, channels: usize) -> bool {
        level.lanes() < ALIGN && channels >= 8 && grid.pitch >= ALIGN
    }

    /// Channels of the input and of the output.
    fn channels(&self) -> (usize, usize) {
        let (out, input) = self.dims;
        if self.back {
            (out, input)
        } else {
            (input, out)
        }
    }

    /// Floats of an image of the input and of the output.
    pub(crate) fn images(&self) -> [usize; 2] {
        let (from, to) = self.channels();
        [from, to].map(|channels| channels * self.grid.plane)
    }

    /// Takes the weights.
    pub(crate) fn pack(&mut self, weights: &[f32]) {
        let (out, input) = self.dims;
        let mut sums = [0; SIDE].map(|_| Vec::with_capacity(out * input * 3));
        for g in weights.chunks_exact(9) {
            for x in 0..3 {
                // Back, the window is turned over.
                let [mut a, b, mut c] = [g[x], g[3 + x], g[6 + x]];
                if self.back {
                    std::mem::swap(&mut a, &mut c);
                }
                let values = [a, 0.5 * (a + c + b), 0.5 * (a + c - b), c];
                sums.iter_mut().zip(values).for_each(|(s, v)| s.push(v));
            }
        }
        let dims = (out, input, 3);
        for (packed, sums) in self.packed.iter_mut().zip(&sums) {
            conv_pixels::pack(self.level, sums, dims, &[0, 1, 2], self.back, packed);
        }
    }

    /// Convolves an image, zero at its borders, or adds to what is there; borders of the run become rubbish.
    ///
    /// # Panics
    /// If these are not images of the grid with the convolution's channels.
    pub(crate) fn run(&self, x: &[f32], y: &mut [f32], add: bool, ahead: Ahead) {
        let (ci, co) = self.channels();
        let half = self.half.plane;
        assert_eq!([x.len(), y.len()], self.images(), "images of the grid");
        let mut room = lock(&self.rooms).pop();
        let [v, m] = room.get_or_insert_with(|| {
            // Borders of the sums stay zero.
            [ci, co].map(|channels| Buffer::zeros(SIDE * channels * half))
        });
        let taps = if self.back { [1, 0, -1] } else { [-1, 0, 1] };
        let mut row = vec![0.0; if add { self.grid.pitch } else { 0 }];
        let old = if add {
            row.as_mut_ptr()
        } else {
            std::ptr::null_mut()
        };
        let (origin, weights) = (self.half.origin, ci * co * taps.len());
        assert!(
            self.packed.iter().all(|p| p.as_ref().len() >= weights),
            "weights"
        );
        // SAFETY: `x` and `y` are as many planes as channels, as was checked, `v` and `m` four times as many of the half grid, by
        // their making; `old` is null or a row, and rows are no shorter than a vector (`pays`). From its origin, a plane holds
        // the padded run and any tap's shift of it on both sides (`Grid`). The weights are packed for these channels and taps
        // at this level; what is written is borrowed mutably.
        unsafe {
            let (v, m) = (v.as_mut().as_mut_ptr(), m.as_mut().as_mut_ptr());
            spread(self.level, self, x.as_ptr(), v);
            for (place, packed) in self.packed.iter().enumerate() {
                let conv = PixelConv {
                    ci,
                    x_plane: half,
                    taps: &taps,
                    co,
                    out_plane: half,
                    positions: self.half.run_padded,
                    add: false,
                    ahead: ahead.only(place..place + 1),
                };
                let (v, m) = (
                    v.add(place * ci * half + origin),
                    m.add(place * co * half + origin),
                );
                conv_pixels::conv(self.level, &conv, v, packed.ptr(), m);
            }
            gather(self.level, self, m, y.as_mut_ptr(), old);
        }
        lock(&self.rooms).extend(room);
    }
}

/// Where the pieces of a row of `pitch` floats begin: the last one ends with the row, so what it shares with the one before is
/// made twice.
#[inline(always)]
fn pieces<S: Simd>(pitch: usize) -> impl Iterator<Item = usize> {
    (0..pitch.div_ceil(S::LANES)).map(move |i| (i * S::LANES).min(pitch - S::LANES))
}

#[inline(always)]
unsafe fn spread_in<S: Simd>(r: &Rows, x: *const f32, v: *mut f32) {
    // SAFETY: rows are those of the image, and the zeros above and below, which a plane holds; the one after these is not taken.
    // Pieces end with their rows, which are longer than a vector (`pays`); a plane of the half grid has `half.h` of them.
    unsafe {
        let (grid, half, channels) = (&r.grid, &r.half, r.channels().0);
        let (pitch, place) = (grid.pitch, channels * half.plane);
        for c in 0..channels {
            let x = x.add(c * grid.plane + grid.origin - pitch);
            let v = v.add(c * half.plane + half.origin);
            for t in 0..half.h {
                // The zeros below the image do for what is below them.
                let rows: [usize; SIDE] = std::array::from_fn(|k| (2 * t + k).min(grid.h + 1));
                for at in pieces::<S>(pitch) {
                    let d = rows.map(|row| S::load(x.add(row * pitch + at)));
                    let sums = [
                        S::sub(d[0], d[2]),
                        S::add(d[1], d[2]),
                        S::sub(d[2], d[1]),
                        S::sub(d[1], d[3]),
                    ];
                    for (p, sum) in sums.into_iter().enumerate() {
                        S::store(v.add(p * place + t * pitch + at), sum);
                    }
                }
            }
        }
    }
}

dispatch! {
    /// Sums of rows: `[SIDE, channels, plane]` of the half grid.
    ///
    /// # Safety
    /// `x` holds planes of the grid, `v` four times as many of the half grid, and is nobody else's; rows are no shorter than a
    /// vector.
    spread = spread_in(r: &Rows, x: *const f32, v: *mut f32)
}

#[inline(always)]
unsafe fn gather_in<S: Simd>(r: &Rows, m: *const f32, y: *mut f32, old: *mut f32) {
    // SAFETY: as in `spread_in`; rows of the output are those of the image, of which an odd number ends with a first one. `old`,
    // where it is given, has a row.
    unsafe {
        let (grid, half, channels) = (&r.grid, &r.half, r.channels().1);
        let (pitch, place) = (grid.pitch, channels * half.plane);
        for c in 0..channels {
            let m = m.add(c * half.plane + half.origin);
            let y = y.add(c * grid.plane + grid.origin);
            for row in 0..grid.h {
                let (m, y) = (m.add(row / 2 * pitch), y.add(row * pitch));
                // A piece that is made twice is to be added once.
                if !old.is_null() {
                    std::ptr::copy_nonoverlapping(y, old, pitch);
                }
                for at in pieces::<S>(pitch) {
                    let m = |p: usize| S::load(m.add(p * place + at));
                    let mut value = match row % 2 {
                        0 => S::add(S::add(m(0), m(1)), m(2)),
                        _ => S::sub(S::sub(m(1), m(2)), m(3)),
                    };
                    if !old.is_null() {
                        value = S::add(S::load(old.add(at)), value);
                    }
                    S::store(y.add(at), value);
                }
            }
        }
    }
}

dispatch! {
    /// Rows of the output of what was made of the sums; added to what is there, if there is a row `old` to keep it in.
    ///
    /// # Safety
    /// `m` holds four times as many planes of the half grid as `y`, which is nobody else's, of the grid; `old` is a row or null;
    /// rows are no shorter than a vector.
    gather = gather_in(r: &Rows, m: *const f32, y: *mut f32, old: *mut f32)
}
