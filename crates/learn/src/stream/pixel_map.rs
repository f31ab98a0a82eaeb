//! Where each pixel of a transformed image comes from: rotations and permutations as one index list.
//!
//! Owns the geometry of rotated MNIST, which follows torchvision's `rotate` (that is Pillow's, nearest neighbour, fill
//! 0), and the angles of rotated streams by rule: the released code's (NumPy's Mersenne Twister with seed 0), Stable SGD's
//! and GEM's.

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

    /// The values of the transformed plane, in order.
    pub(super) fn of<'a, T: Copy + Default>(
        &'a self,
        plane: &'a [T],
    ) -> impl ExactSizeIterator<Item = T> + 'a {
        let sources = self.sources.iter();
        sources.map(|&source| plane.get(source as usize).copied().unwrap_or_default())
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
    backward_angles(tasks, rotation_step(tasks), 0)
}

/// Stable SGD's angles: `10 (t−1) − 10 U(0,1)` with NumPy's generator at this seed (its lower 32 bits).
#[must_use]
pub fn stable_sgd_angles(tasks: usize, seed: u64) -> Vec<f64> {
    backward_angles(tasks, 10.0, seed as u32)
}

/// GEM's angles: half a turn cut into as many bins as there are tasks, one angle of each (Lopez-Paz and Ranzato 2017, p. 6).
#[must_use]
pub fn gem_angles(tasks: usize, stream: &mut SeedStream) -> Vec<f64> {
    let bin = 180.0 / tasks.max(1) as f64;
    (0..tasks)
        .map(|t| (t as f64 + f64::from(stream.unit())) * bin)
        .collect()
}

/// `t·step − U(0,1)·step` for t from 0, with NumPy's generator at this seed.
fn backward_angles(tasks: usize, step: f64, seed: u32) -> Vec<f64> {
    let mut generator = Mt::new(seed);
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
        map.of(plane).collect()
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
    fn angles_of_the_neighbours_are_in_their_ranges() {
        for (t, angle) in stable_sgd_angles(20, 1234).into_iter().enumerate() {
            let t = t as f64;
            assert!(angle <= 10.0 * t && angle > 10.0 * (t - 1.0), "{angle}");
        }
        // `numpy.random.RandomState(1234).random_sample()` is 0.1915194503788923.
        assert!((stable_sgd_angles(1, 1234)[0] + 1.915_194_503_788_923).abs() < 1e-12);
        let mut stream = Seeds::new(3).stream("angles");
        for (t, angle) in gem_angles(10, &mut stream).into_iter().enumerate() {
            assert!((18.0 * t as f64..18.0 * (t + 1) as f64).contains(&angle));
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
