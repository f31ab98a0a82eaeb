//! Where each pixel of a transformed image comes from: rotations and permutations as one index list.
//!
//! Owns the geometry of rotated MNIST, which follows torchvision's `rotate` (that is Pillow's, nearest neighbour, fill
//! 0), and the angles of the released code, whose random part is NumPy's Mersenne Twister with seed 0.

use rand_mt::Mt;

use crate::data::ImageShape;
use crate::seed::SeedStream;

/// Marks a pixel that comes from outside the image and is 0.
const OUTSIDE: u32 = u32::MAX;

/// For every pixel of a plane, the pixel it is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelMap {
    sources: Vec<u32>,
}

impl PixelMap {
    /// Counter-clockwise rotation by `degrees` about the image's centre, nearest neighbour, 0 outside.
    #[must_use]
    pub fn rotation(shape: ImageShape, degrees: f64) -> Self {
        let (width, height) = (shape.width as f64, shape.height as f64);
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (sin, cos) = (snap(sin), snap(cos));
        let sources = (0..shape.height * shape.width)
            .map(|i| {
                let x = (i % shape.width) as f64 + 0.5 - width / 2.0;
                let y = (i / shape.width) as f64 + 0.5 - height / 2.0;
                // The inverse map, in image coordinates (y points down).
                let from_x = (cos * x - sin * y + width / 2.0).floor();
                let from_y = (sin * x + cos * y + height / 2.0).floor();
                if (0.0..width).contains(&from_x) && (0.0..height).contains(&from_y) {
                    from_y as u32 * shape.width as u32 + from_x as u32
                } else {
                    OUTSIDE
                }
            })
            .collect();
        Self { sources }
    }

    /// A random permutation of the plane's pixels.
    #[must_use]
    pub fn permutation(shape: ImageShape, stream: &mut SeedStream) -> Self {
        let mut sources: Vec<u32> = (0..(shape.height * shape.width) as u32).collect();
        stream.shuffle(&mut sources);
        Self { sources }
    }

    /// Calls `put` with every value of the transformed plane, in order.
    pub(super) fn apply(&self, plane: &[u8], mut put: impl FnMut(u8)) {
        for &source in &self.sources {
            put(plane.get(source as usize).copied().unwrap_or(0));
        }
    }
}

/// Sine and cosine of right angles are exact, as Pillow rounds them too.
fn snap(x: f64) -> f64 {
    if (x - x.round()).abs() < 1e-15 {
        x.round()
    } else {
        x
    }
}

/// Degrees from one task to the next for a stream of this many tasks, as in the released code: the whole circle for
/// few tasks, 30 for nine and ten, 10 beyond.
#[must_use]
pub fn rotation_step(tasks: usize) -> f64 {
    match tasks {
        0 | 1 => 360.0,
        2 => 180.0,
        3 => 120.0,
        4 => 90.0,
        5 | 6 => 60.0,
        7 | 8 => 45.0,
        9 | 10 => 30.0,
        _ => 10.0,
    }
}

/// The released code's angles: `(t−1)·r − U(0,1)·r` with NumPy's generator seeded with 0.
#[must_use]
pub fn released_angles(tasks: usize) -> Vec<f64> {
    let step = rotation_step(tasks);
    let mut generator = Mt::new(0);
    (0..tasks)
        .map(|t| {
            let (a, b) = (generator.next_u32() >> 5, generator.next_u32() >> 6);
            let unit = (f64::from(a) * 67_108_864.0 + f64::from(b)) / 9_007_199_254_740_992.0;
            t as f64 * step - unit * step
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    fn apply(map: &PixelMap, plane: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        map.apply(plane, |x| out.push(x));
        out
    }

    #[test]
    fn angles_are_the_released_ones() {
        // REFERENCE: -16.5, 8.5, 41.9, 73.7, 107.3, 130.6, 166.9, 183.2, 211.1, 258.5.
        let expected = [
            -16.5, 8.5, 41.9, 73.7, 107.3, 130.6, 166.9, 183.2, 211.1, 258.5,
        ];
        for (angle, expected) in released_angles(10).iter().zip(expected) {
            assert!((angle - expected).abs() < 0.051, "{angle} {expected}");
        }
    }

    #[test]
    fn right_angles_are_exact_and_turn_counter_clockwise() {
        let shape = ImageShape::new(1, 3, 3);
        let plane = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(apply(&PixelMap::rotation(shape, 0.0), &plane), plane);
        assert_eq!(
            apply(&PixelMap::rotation(shape, 90.0), &plane),
            [3, 6, 9, 2, 5, 8, 1, 4, 7]
        );
        assert_eq!(
            apply(&PixelMap::rotation(shape, 180.0), &plane),
            [9, 8, 7, 6, 5, 4, 3, 2, 1]
        );
        assert_eq!(
            apply(&PixelMap::rotation(shape, -90.0), &plane),
            [7, 4, 1, 8, 5, 2, 9, 6, 3]
        );
    }

    #[test]
    fn corners_of_a_slanted_image_are_empty() {
        let turned = apply(
            &PixelMap::rotation(ImageShape::new(1, 5, 5), 45.0),
            &[9; 25],
        );
        assert_eq!((turned[0], turned[4], turned[12]), (0, 0, 9));
    }

    #[test]
    fn permutations_keep_every_pixel() {
        let mut stream = Seeds::new(1).stream("permutation/2");
        let map = PixelMap::permutation(ImageShape::new(1, 4, 4), &mut stream);
        let plane: Vec<u8> = (0..16).collect();
        let mut out = apply(&map, &plane);
        assert_ne!(out, plane);
        out.sort_unstable();
        assert_eq!(out, plane);
    }
}
