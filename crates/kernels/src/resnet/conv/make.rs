//! How convolutions are made: which taps reach which pixels, over planes and channels-last, forward and for the gradients.

use super::{Conv, INPUT_TASKS, Kind, Part};
use crate::conv_channels::{self, PixelTable};
use crate::layout::{Buffer, Shape};
use crate::simd::Level;
use crate::winograd::rows::Rows;
use crate::winograd::{Rooms, Winograd};
use crate::{grad_channels, grad_pixels};

/// Row and column of a tap of a 3x3 kernel, relative to the centre; a 1x1 kernel has only the centre.
fn shift(tap: usize, taps: usize) -> (isize, isize) {
    if taps == 1 {
        (0, 0)
    } else {
        ((tap / 3) as isize - 1, (tap % 3) as isize - 1)
    }
}

/// The taps with which a pixel of phase (`py`, `px`) contributes to outputs of a stride-2 convolution, and where: rows
/// and columns from the output at the same coarse position.
fn phase_taps(taps: usize, py: usize, px: usize) -> Vec<(usize, isize, isize)> {
    (0..taps)
        .filter_map(|tap| {
            let (dy, dx) = shift(tap, taps);
            // Output o reads input 2o + d: so an even input row has d = 0, an odd one d = 1 (same row) or -1 (next).
            ((dy != 0) == (py == 1) && (dx != 0) == (px == 1)).then_some((
                tap,
                isize::from(dy < 0),
                isize::from(dx < 0),
            ))
        })
        .collect()
}

const PHASES: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

impl Conv {
    /// Over planes, from `x` to `y` channels on `y`'s grid; at stride 2 the input is split into phases.
    pub(crate) fn planes(
        level: Level,
        ci: usize,
        y: &Shape,
        taps: usize,
        stride: usize,
        batch: usize,
    ) -> Self {
        let grid = y.grid.clone();
        let winograd = level.winograd() && taps == 9 && stride == 1;
        let pitch = grid.pitch as isize;
        let phases = if stride == 2 { 4 } else { 1 };
        let offset = |tap: usize| {
            let (dy, dx) = shift(tap, taps);
            if stride == 1 {
                return dy * pitch + dx;
            }
            let phase = 2 * usize::from(dy != 0) + usize::from(dx != 0);
            (phase * grid.plane) as isize + dy.min(0) * pitch + dx.min(0)
        };
        let parts = if stride == 1 {
            let back = (0..taps).map(|t| -offset(t)).collect();
            vec![Part {
                which: (0..taps).collect(),
                taps: back,
                place: 0,
                packed: Buffer::zeros(0),
            }]
        } else {
            PHASES
                .iter()
                .enumerate()
                .map(|(phase, &(py, px))| {
                    let reach = phase_taps(taps, py, px);
                    Part {
                        which: reach.iter().map(|r| r.0).collect(),
                        taps: reach.iter().map(|r| r.1 * pitch + r.2).collect(),
                        place: phase * grid.plane,
                        packed: Buffer::zeros(0),
                    }
                })
                .filter(|p| !p.which.is_empty())
                .collect()
        };
        let dims = (y.channels, ci, taps);
        let tasks = y.channels / grad_pixels::OUTPUTS * INPUT_TASKS;
        let each = grad_pixels::scratch(level, 0, (ci * taps).div_ceil(INPUT_TASKS));
        Self {
            level,
            batch,
            dims,
            taps: (0..taps).map(offset).collect(),
            packed: Buffer::zeros(0),
            raw: Buffer::zeros(0),
            rooms: Rooms::new(),
            scratch: Buffer::zeros(tasks * each),
            kind: Kind::Planes {
                winograd: (winograd && Rows::pays(level, &grid, ci)).then(|| {
                    let of = |back| Rows::new(level, &grid, (y.channels, ci), back);
                    Box::new([of(false), of(true)])
                }),
                x_plane: phases * grid.plane,
                x_image: phases * grid.plane * ci,
                dy_image: y.image,
                parts,
                grid,
            },
        }
    }

    /// Channels-last, from `x` to `y`.
    pub(crate) fn last(
        level: Level,
        x: &Shape,
        y: &Shape,
        taps: usize,
        stride: usize,
        batch: usize,
    ) -> Self {
        let pixels = move |h: usize, w: usize| {
            (0..batch).flat_map(move |n| (0..h).flat_map(move |r| (0..w).map(move |c| (n, r, c))))
        };
        let offset = |shape: &Shape, dy: isize, dx: isize| {
            (dy * shape.grid.pitch as isize + dx) * shape.stored as isize
        };
        let at = |shape: &Shape, n: usize, r: usize, c: usize| n * shape.image + shape.at(0, r, c);
        let table = PixelTable::new(
            pixels(y.grid.h, y.grid.w)
                .map(|(n, r, c)| (at(x, n, stride * r, stride * c), at(y, n, r, c))),
        );
        let phases: &[(usize, usize)] = if stride == 2 { &PHASES } else { &PHASES[..1] };
        let parts = phases
            .iter()
            .filter_map(|&(py, px)| {
                let reach = if stride == 2 {
                    phase_taps(taps, py, px)
                } else {
                    (0..taps)
                        .map(|t| (t, -shift(t, taps).0, -shift(t, taps).1))
                        .collect()
                };
                let (h, w) = (
                    (x.grid.h - py).div_ceil(stride),
                    (x.grid.w - px).div_ceil(stride),
                );
                if reach.is_empty() || h * w == 0 {
                    return None;
                }
                Some(Part {
                    which: reach.iter().map(|r| r.0).collect(),
                    taps: reach.iter().map(|r| offset(y, r.1, r.2)).collect(),
                    place: PixelTable::new(pixels(h, w).map(|(n, r, c)| {
                        (at(y, n, r, c), at(x, n, stride * r + py, stride * c + px))
                    })),
                    packed: Buffer::zeros(0),
                })
            })
            .collect();
        Self {
            level,
            batch,
            dims: (y.channels, x.channels, taps),
            taps: (0..taps)
                .map(|t| offset(x, shift(t, taps).0, shift(t, taps).1))
                .collect(),
            packed: Buffer::zeros(0),
            raw: Buffer::zeros(0),
            rooms: Rooms::new(),
            scratch: Buffer::zeros(
                conv_channels::groups(level, y.stored).len()
                    * INPUT_TASKS
                    * grad_channels::scratch(taps, 3, level.lanes()),
            ),
            kind: Kind::Last {
                winograd: (level.winograd() && taps == 9 && stride == 1).then(|| {
                    let [forward, backward] = [(x, y), (y, x)];
                    let of = |(x, y): (&Shape, &Shape)| Winograd::new(level, x, y);
                    Box::new([of(forward), of(backward)])
                }),
                table,
                x_stored: x.stored,
                y_stored: y.stored,
                parts,
            },
        }
    }
}
