//! Moves between layouts: phases of a plane for stride 2, planes to channels-last and back, pooling.

use crate::layout::{Grid, Layout, Shape};
use crate::simd::Level;
use crate::transpose::{Matrix, transpose_slice};

/// Splits one plane on `fine` into its four phases on `coarse = fine.halved()`: phase `2 py + px` holds the pixels
/// `(2y + py, 2x + px)`. Pixels that an odd size lacks stay zero, as do all borders.
fn split(fine: &Grid, coarse: &Grid, plane: &[f32], phases: &mut [f32]) {
    for (phase, to) in phases.chunks_exact_mut(coarse.plane).enumerate() {
        let (py, px) = (phase / 2, phase % 2);
        let (rows, columns) = ((fine.h - py).div_ceil(2), (fine.w - px).div_ceil(2));
        for y in 0..rows {
            let row = &plane[fine.origin + fine.at(2 * y + py, 0)..][..=fine.w];
            let to = &mut to[coarse.origin + coarse.at(y, 0)..][..columns];
            // The border makes a pair of an odd row's last pixel.
            for (to, pair) in to.iter_mut().zip(row[px..].chunks_exact(2)) {
                *to = pair[0];
            }
        }
    }
}

/// The inverse of [`split`]; rubbish at the borders of the phases is not looked at.
fn merge(fine: &Grid, coarse: &Grid, phases: &[f32], plane: &mut [f32]) {
    for y in 0..fine.h {
        let at =
            |px: usize| coarse.origin + coarse.at(y / 2, 0) + (2 * (y % 2) + px) * coarse.plane;
        let row = &mut plane[fine.origin + fine.at(y, 0)..][..fine.w];
        let (even, odd) = (&phases[at(0)..][..coarse.w], &phases[at(1)..][..coarse.w]);
        let mut pairs = row.chunks_exact_mut(2);
        for ((pair, &e), &o) in (&mut pairs).zip(even).zip(odd) {
            pair[0] = e;
            pair[1] = o;
        }
        if let [single] = pairs.into_remainder() {
            *single = even[coarse.w - 1];
        }
    }
}

/// Splits an image of planes of `shape` into its phases: four planes of `coarse` per channel.
pub(crate) fn split_image(shape: &Shape, image: &[f32], coarse: &Shape, phases: &mut [f32]) {
    let planes = image.chunks_exact(shape.grid.plane);
    for (plane, phases) in planes.zip(phases.chunks_exact_mut(4 * coarse.grid.plane)) {
        split(&shape.grid, &coarse.grid, plane, phases);
    }
}

/// Puts the phases of an image, four planes of `coarse` per channel, together as planes of `shape`.
pub(crate) fn merge_image(coarse: &Shape, phases: &[f32], shape: &Shape, image: &mut [f32]) {
    let planes = image.chunks_exact_mut(shape.grid.plane);
    for (phases, plane) in phases.chunks_exact(4 * coarse.grid.plane).zip(planes) {
        merge(&shape.grid, &coarse.grid, phases, plane);
    }
}

/// Copies the pixels of one image from planes to channels-last.
pub(crate) fn to_last(level: Level, planes: &Shape, from: &[f32], last: &Shape, to: &mut [f32]) {
    debug_assert!(planes.layout == Layout::Planes && last.layout == Layout::Last);
    let (rows, columns) = (planes.channels, planes.grid.w);
    let m = Matrix {
        rows,
        columns,
        from_row: planes.grid.plane,
        to_row: last.stored,
    };
    for y in 0..planes.grid.h {
        transpose_slice(
            level,
            &m,
            &from[planes.at(0, y, 0)..],
            &mut to[last.at(0, y, 0)..],
        );
    }
}

/// Copies the pixels of one image from channels-last to planes.
pub(crate) fn to_planes(level: Level, last: &Shape, from: &[f32], planes: &Shape, to: &mut [f32]) {
    debug_assert!(planes.layout == Layout::Planes && last.layout == Layout::Last);
    let (rows, columns) = (planes.grid.w, planes.channels);
    let m = Matrix {
        rows,
        columns,
        from_row: last.stored,
        to_row: planes.grid.plane,
    };
    for y in 0..planes.grid.h {
        transpose_slice(
            level,
            &m,
            &from[last.at(0, y, 0)..],
            &mut to[planes.at(0, y, 0)..],
        );
    }
}

/// Averages over `windows * windows` windows of a channels-last image, into `[channels, windows, windows]`.
pub(crate) fn average(
    shape: &Shape,
    (windows, side): (usize, usize),
    image: &[f32],
    features: &mut [f32],
) {
    let scale = 1.0 / (side * side) as f32;
    let mut sums = vec![0.0; shape.channels];
    for window in 0..windows * windows {
        let (wy, wx) = (window / windows, window % windows);
        sums.fill(0.0);
        for y in 0..side {
            for x in 0..side {
                let pixel = &image[shape.at(0, wy * side + y, wx * side + x)..];
                for (sum, v) in sums.iter_mut().zip(pixel) {
                    *sum += v;
                }
            }
        }
        let features = features[window..].iter_mut().step_by(windows * windows);
        for (feature, sum) in features.zip(&sums) {
            *feature = sum * scale;
        }
    }
}

/// The gradient of [`average`]: overwrites every pixel of the image.
pub(crate) fn average_grad(
    shape: &Shape,
    (windows, side): (usize, usize),
    features: &[f32],
    image: &mut [f32],
) {
    let scale = 1.0 / (side * side) as f32;
    for y in 0..shape.grid.h {
        for x in 0..shape.grid.w {
            let (wy, wx) = (y / side, x / side);
            let pixel = &mut image[shape.at(0, y, x)..][..shape.channels];
            if wy < windows && wx < windows {
                for (c, v) in pixel.iter_mut().enumerate() {
                    *v = features[(c * windows + wy) * windows + wx] * scale;
                }
            } else {
                pixel.fill(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{merge, split, to_last, to_planes};
    use crate::layout::{Grid, Layout, Shape};
    use crate::simd::Level;

    #[test]
    fn moves_are_inverses() {
        for (h, w) in [(8, 8), (7, 5), (21, 11), (1, 3)] {
            let fine = Grid::new(h, w);
            let coarse = fine.halved();
            let shape = Shape::new(fine.clone(), Layout::Planes, 3);
            let logical: Vec<f32> = (0..3 * h * w).map(|i| i as f32 + 1.0).collect();
            let mut planes = vec![0.0; shape.image];
            shape.fill_image(&logical, &mut planes);
            let mut back = vec![0.0; shape.image];
            for c in 0..3 {
                let mut phases = vec![0.0; 4 * coarse.plane];
                let range = c * fine.plane..(c + 1) * fine.plane;
                split(&fine, &coarse, &planes[range.clone()], &mut phases);
                merge(&fine, &coarse, &phases, &mut back[range]);
            }
            assert_eq!(planes, back);
            let last = Shape::new(fine, Layout::Last, 3);
            let (mut there, mut direct) = (vec![0.0; last.image], vec![0.0; last.image]);
            to_last(Level::detect(), &shape, &planes, &last, &mut there);
            last.fill_image(&logical, &mut direct);
            assert_eq!(there, direct);
            back.fill(0.0);
            to_planes(Level::detect(), &last, &there, &shape, &mut back);
            assert_eq!(planes, back);
        }
    }
}
