//! Bilinear resizing of whole planes, and grey to colour: what turns images of one shape into another.
//!
//! Our own because the released code's results depend on the rule: pixel centres at half positions, edges repeated, the
//! four nearest pixels and no smoothing (OpenCV's `INTER_LINEAR`; Pillow's `BILINEAR` is the same where images grow).
//! Those libraries round in fixed point, so single pixels differ from theirs by at most one level.

use super::error::DataError;
use super::image_set::{ImageSet, ImageShape};

/// Where an output position falls: the two nearest input positions and the share of the second.
fn taps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f64 / to as f64;
    let last = from.saturating_sub(1);
    (0..to)
        .map(|i| {
            let at = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
            let first = (at.floor() as usize).min(last);
            let share = if first == last {
                0.0
            } else {
                at - first as f64
            };
            (first, (first + 1).min(last), share as f32)
        })
        .collect()
}

/// Planes of `shape`, `[C, H, W]`, resized to `(height, width)`; rounded to the nearest byte.
#[must_use]
pub fn bilinear(planes: &[u8], shape: ImageShape, (height, width): (usize, usize)) -> Vec<u8> {
    let (rows, columns) = (taps(shape.height, height), taps(shape.width, width));
    let mut out = Vec::with_capacity(shape.channels * height * width);
    for plane in planes
        .chunks_exact((shape.height * shape.width).max(1))
        .take(shape.channels)
    {
        for &(top, bottom, down) in &rows {
            let row = |y: usize| {
                plane
                    .get(y * shape.width..(y + 1) * shape.width)
                    .unwrap_or_default()
            };
            let (top, bottom) = (row(top), row(bottom));
            for &(left, right, along) in &columns {
                let at = |row: &[u8], x: usize| f32::from(row.get(x).copied().unwrap_or_default());
                let above = at(top, left) + (at(top, right) - at(top, left)) * along;
                let below = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * along;
                out.push((above + (below - above) * down).round() as u8);
            }
        }
    }
    out
}

/// The set with images of another size and, for one channel to three, in grey as colour.
///
/// # Errors
///
/// [`DataError::Mismatch`] where channels would have to become fewer, or other than one to three, and for features, which
/// have no size to change.
pub fn reshape(set: &ImageSet, shape: ImageShape, what: &str) -> Result<ImageSet, DataError> {
    let old = set.shape();
    if old == shape {
        return Ok(set.clone());
    }
    if set.features().is_some() {
        return Err(DataError::mismatch(
            what,
            "features of an example",
            (shape.channels * shape.height * shape.width).to_string(),
            old.width.to_string(),
        ));
    }
    if old.channels != shape.channels && (old.channels, shape.channels) != (1, 3) {
        return Err(DataError::mismatch(
            what,
            "channels",
            shape.channels.to_string(),
            old.channels.to_string(),
        ));
    }
    let size = old.bytes().unwrap_or(0).max(1);
    let mut pixels = Vec::with_capacity(set.len() * shape.bytes().unwrap_or(0));
    for image in set.pixels().chunks_exact(size) {
        let resized = bilinear(image, old, (shape.height, shape.width));
        for _ in 0..shape.channels / old.channels.max(1) {
            pixels.extend_from_slice(&resized);
        }
    }
    ImageSet::new(shape, pixels, set.labels().to_vec(), set.classes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_is_the_same_image() {
        let planes: Vec<u8> = (0..24).collect();
        assert_eq!(bilinear(&planes, ImageShape::new(2, 3, 4), (3, 4)), planes);
    }

    #[test]
    fn halves_and_doubles_by_hand() {
        let row =
            |from: &[u8], width| bilinear(from, ImageShape::new(1, 1, from.len()), (1, width));
        assert_eq!(row(&[0, 100], 4), [0, 25, 75, 100]);
        assert_eq!(row(&[0, 100, 50, 70], 2), [50, 60]);
        // No smoothing: a factor of three takes the middle pixel.
        assert_eq!(row(&[9, 50, 9, 9, 70, 9], 2), [50, 70]);
        assert_eq!(row(&[7], 3), [7, 7, 7]);
    }

    #[test]
    fn grey_becomes_colour() {
        let set = ImageSet::new(ImageShape::new(1, 1, 2), vec![0, 100], vec![3], 4).unwrap();
        let colour = reshape(&set, ImageShape::new(3, 1, 4), "x").unwrap();
        assert_eq!(colour.image(0).unwrap(), [0, 25, 75, 100].repeat(3));
        assert_eq!(colour.labels(), [3]);
        assert!(reshape(&colour, ImageShape::new(1, 1, 2), "x").is_err());
    }

    /// Reference values: `tests/golden/make_resample.py`.
    #[test]
    fn opencv_and_pillow_agree_to_one_level() {
        #[derive(serde::Deserialize)]
        struct Case {
            library: String,
            height: usize,
            width: usize,
            to: (usize, usize),
            pixels: Vec<u8>,
            expected: Vec<u8>,
        }
        #[derive(serde::Deserialize)]
        struct Golden {
            cases: Vec<Case>,
        }
        let golden: Golden =
            serde_json::from_str(include_str!("../../../../tests/golden/resample.json")).unwrap();
        assert_eq!(golden.cases.len(), 10);
        for case in golden.cases {
            let shape = ImageShape::new(1, case.height, case.width);
            let found = bilinear(&case.pixels, shape, case.to);
            assert_eq!(found.len(), case.expected.len());
            let worst = found
                .iter()
                .zip(&case.expected)
                .map(|(a, b)| a.abs_diff(*b))
                .max();
            assert!(worst <= Some(1), "{} {shape}: {worst:?}", case.library);
        }
    }
}
