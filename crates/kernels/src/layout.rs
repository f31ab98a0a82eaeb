//! How activations lie in memory between the kernels.
//!
//! Two layouts, both with zero borders so that a 3x3 convolution needs neither copies nor conditions:
//!
//! * **Planes** (wide images, few channels): `[image][channel][position]`. A vector holds neighbouring positions.
//! * **Last** (narrow images, many channels): `[image][position][channel]`, channels rounded up to 16 with zeros.
//!   A vector holds neighbouring channels, so nothing is lost on rows shorter than a vector.
//!
//! Positions are those of a [`Grid`]: rows of `w` pixels and *one* zero, which serves as the right border of its row
//! and the left border of the next, with a zero row above and below. The `h * (w + 1)` positions from the first pixel
//! to the last border are the *run*: a kernel over planes treats it as one line, and a shift by a tap of the kernel is
//! a fixed offset. What a convolution writes at the border positions is rubbish, which the next elementwise pass
//! masks to zero; borders outside the run are never written and stay zero for the buffer's life.

use super::workers::Shareable;

/// Vectors of all levels divide this, so that the layout does not depend on the level.
pub(crate) const ALIGN: usize = 16;

/// `n` rounded up to a multiple of `to`.
pub(crate) const fn round_up(n: usize, to: usize) -> usize {
    n.div_ceil(to) * to
}

/// Positions of one bordered image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Rows and columns of pixels.
    pub h: usize,
    pub w: usize,
    /// Positions per row, `w + 1`.
    pub pitch: usize,
    /// Positions from the first pixel to the last border of the last row, `h * pitch`.
    pub run: usize,
    /// `run` rounded up to whole vectors; what planes compute.
    pub run_padded: usize,
    /// Position of the first pixel in a plane; a multiple of [`ALIGN`], at least `pitch + 1`.
    pub origin: usize,
    /// Floats of a plane: a tap's shift of any vector of the padded run lies inside.
    pub plane: usize,
}

impl Grid {
    pub(crate) fn new(h: usize, w: usize) -> Self {
        let pitch = w + 1;
        let run = h * pitch;
        let run_padded = round_up(run, ALIGN);
        let origin = round_up(pitch + 1, ALIGN);
        Self {
            h,
            w,
            pitch,
            run,
            run_padded,
            origin,
            plane: round_up(origin + run_padded + pitch + 1, ALIGN),
        }
    }

    /// The grid of a 3x3 convolution of stride 2 and padding 1 over this one.
    pub(crate) fn halved(&self) -> Self {
        Self::new(self.h.div_ceil(2), self.w.div_ceil(2))
    }

    /// Offset from the first pixel of pixel (`y`, `x`), in positions.
    pub(crate) fn at(&self, y: usize, x: usize) -> usize {
        y * self.pitch + x
    }

    /// All ones (as bits) at pixels, zero at borders; `run_padded` entries.
    pub(crate) fn mask(&self) -> Buffer {
        let mut mask = Buffer::zeros(self.run_padded);
        for y in 0..self.h {
            mask.as_mut()[y * self.pitch..][..self.w].fill(f32::from_bits(u32::MAX));
        }
        mask
    }

    pub(crate) fn pixels(&self) -> usize {
        self.h * self.w
    }
}

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Planes,
    Last,
}

/// A bordered image of several channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub grid: Grid,
    pub layout: Layout,
    pub channels: usize,
    /// Channels as stored: `channels`, or with `Last` rounded up to [`ALIGN`].
    pub stored: usize,
    /// Floats per image.
    pub image: usize,
    /// Offset of channel 0 of the first pixel in an image.
    pub origin: usize,
}

impl Shape {
    pub(crate) fn new(grid: Grid, layout: Layout, channels: usize) -> Self {
        match layout {
            Layout::Planes => Self {
                image: channels * grid.plane,
                origin: grid.origin,
                stored: channels,
                grid,
                layout,
                channels,
            },
            Layout::Last => {
                let stored = round_up(channels, ALIGN);
                // One row of borders above and below, and the border before the first and after the last row.
                let positions = grid.run + 2 * (grid.pitch + 1);
                let origin = (grid.pitch + 1) * stored;
                Self {
                    image: positions * stored,
                    origin,
                    grid,
                    layout,
                    channels,
                    stored,
                }
            }
        }
    }

    /// Offset in an image of a pixel's channel.
    pub(crate) fn at(&self, c: usize, y: usize, x: usize) -> usize {
        match self.layout {
            Layout::Planes => self.origin + c * self.grid.plane + self.grid.at(y, x),
            Layout::Last => self.origin + self.grid.at(y, x) * self.stored + c,
        }
    }

    /// A zeroed buffer for `images` images.
    pub(crate) fn buffer(&self, images: usize) -> Buffer {
        Buffer::zeros(images * self.image)
    }

    /// Writes the logical `[channels, h, w]` of one image into its bordered place.
    pub(crate) fn fill_image(&self, logical: &[f32], image: &mut [f32]) {
        let (h, w) = (self.grid.h, self.grid.w);
        for c in 0..self.channels {
            for y in 0..h {
                let row = &logical[(c * h + y) * w..][..w];
                match self.layout {
                    Layout::Planes => image[self.at(c, y, 0)..][..w].copy_from_slice(row),
                    Layout::Last => {
                        let to = self.at(c, y, 0);
                        for (x, &v) in row.iter().enumerate() {
                            image[to + x * self.stored] = v;
                        }
                    }
                }
            }
        }
    }
}

/// One cache line of floats.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; ALIGN]);

/// Zeroed floats that begin at a cache line.
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    pub(crate) fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line([0.0; ALIGN]); len.div_ceil(ALIGN)],
            len,
        }
    }

    /// The first `len` floats, which hold anything, of a buffer that grows if it is too small.
    pub(crate) fn room(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            *self = Self::zeros(len);
        }
        &mut self.as_mut()[..len]
    }

    pub(crate) fn as_ref(&self) -> &[f32] {
        // SAFETY: `lines` owns at least `len` initialised floats, and an array of floats has no padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [f32] {
        // SAFETY: `lines` owns at least `len` initialised floats, an array of floats has no padding, and for as long as the
        // result lives the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// The floats, for tasks that write disjoint parts of them. Not by way of [`Self::as_mut`]: what is made of that
    /// reference dies with the next one, this address with the buffer.
    pub(crate) fn shareable(&mut self) -> Shareable {
        Shareable::of(self.lines.as_mut_ptr().cast())
    }

    pub(crate) fn ptr(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::{Grid, Layout, Shape};

    #[test]
    fn taps_stay_inside_and_hit_borders() {
        for (h, w) in [(1, 1), (2, 3), (4, 4), (11, 11), (32, 32), (21, 84)] {
            let g = Grid::new(h, w);
            let reach = g.pitch + 1;
            assert!(g.origin >= reach && g.origin + g.run_padded + reach <= g.plane);
            let mask = g.mask();
            assert_eq!(
                mask.as_ref().iter().filter(|m| m.to_bits() != 0).count(),
                g.pixels()
            );
            let last = Shape::new(g.clone(), Layout::Last, 20);
            assert!(last.origin >= reach * last.stored);
            assert!(last.at(last.stored - 1, h - 1, w - 1) + reach * last.stored < last.image);
        }
    }
}
