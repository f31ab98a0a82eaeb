//! Contact sheets: a data set at a glance, as a PNG.

use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

use super::error::DataError;
use super::image_set::{ImageSet, ImageShape};
use super::resample::bilinear;

/// Images larger than this are shown smaller.
const MOST: usize = 96;
/// Up to this many classes have a row each; more share one grid, with one image each.
const ROWS: usize = 20;
const COLUMNS: usize = 20;
const GAP: usize = 2;
const BACKGROUND: u8 = 128;

/// Pixels of a sheet, RGB in row order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[H, W, 3]`.
    pub pixels: Vec<u8>,
}

/// The first images of every class: a row of 20 a class, or one image a class, row by row, where more than 20
/// classes have images. Classes without images have no place.
#[must_use]
pub fn contact_sheet(set: &ImageSet) -> Sheet {
    let there = set
        .class_counts()
        .iter()
        .filter(|&&count| count > 0)
        .count();
    let per_class = if there > ROWS { 1 } else { COLUMNS };
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); set.classes()];
    for (index, &label) in set.labels().iter().enumerate() {
        if let Some(images) = of_class
            .get_mut(usize::from(label))
            .filter(|images| images.len() < per_class)
        {
            images.push(index);
        }
    }
    of_class.retain(|images| !images.is_empty());
    let shape = set.shape();
    let largest = shape.height.max(shape.width);
    let scaled = |side: usize| {
        if largest > MOST {
            (side * MOST / largest).max(1)
        } else {
            side
        }
    };
    let (tall, wide) = (scaled(shape.height), scaled(shape.width));
    let rows = if per_class == 1 {
        there.div_ceil(COLUMNS)
    } else {
        there
    };
    let (width, height) = (COLUMNS * (wide + GAP) + GAP, rows * (tall + GAP) + GAP);
    let mut sheet = Sheet {
        width,
        height,
        pixels: vec![BACKGROUND; width * height * 3],
    };
    for (class, images) in of_class.iter().enumerate() {
        for (place, &index) in images.iter().enumerate() {
            let (row, column) = if per_class == 1 {
                (class / COLUMNS, class % COLUMNS)
            } else {
                (class, place)
            };
            let image = bilinear(set.image(index).unwrap_or_default(), shape, (tall, wide));
            let at = (GAP + row * (tall + GAP), GAP + column * (wide + GAP));
            sheet.put(&image, ImageShape::new(shape.channels, tall, wide), at);
        }
    }
    sheet
}

impl Sheet {
    /// Draws planes with their upper left corner at (row, column).
    fn put(&mut self, planes: &[u8], shape: ImageShape, (top, left): (usize, usize)) {
        let plane = shape.height * shape.width;
        for y in 0..shape.height {
            for x in 0..shape.width {
                for c in 0..3 {
                    let from =
                        c.min(shape.channels.saturating_sub(1)) * plane + y * shape.width + x;
                    let to = ((top + y) * self.width + left + x) * 3 + c;
                    if let (Some(to), Some(&from)) = (self.pixels.get_mut(to), planes.get(from)) {
                        *to = from;
                    }
                }
            }
        }
    }

    /// Writes the sheet as a PNG file.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`].
    pub fn write_png(&self, path: &Path) -> Result<(), DataError> {
        let mut bytes = Cursor::new(Vec::new());
        let size = (
            u32::try_from(self.width).unwrap_or(0),
            u32::try_from(self.height).unwrap_or(0),
        );
        PngEncoder::new(&mut bytes)
            .write_image(&self.pixels, size.0, size.1, ExtendedColorType::Rgb8)
            .map_err(|error| DataError::io("encode", path)(std::io::Error::other(error)))?;
        std::fs::write(path, bytes.into_inner()).map_err(DataError::io("write", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_rows_and_many_classes_a_grid() {
        let shape = ImageShape::new(1, 2, 3);
        let set = |labels: Vec<u16>, classes| {
            let pixels = labels.iter().flat_map(|&l| [l as u8; 6]).collect();
            ImageSet::new(shape, pixels, labels, classes).unwrap()
        };
        let few = contact_sheet(&set(vec![2, 0, 2], 3));
        assert_eq!((few.width, few.height), (20 * 5 + 2, 2 * 4 + 2));
        let pixel = |sheet: &Sheet, y: usize, x: usize| sheet.pixels[(y * sheet.width + x) * 3];
        assert_eq!(pixel(&few, 2, 2), 0);
        // Class 1 has no images, class 2 has two.
        assert_eq!(
            (pixel(&few, 6, 2), pixel(&few, 6, 7), pixel(&few, 6, 12)),
            (2, 2, 128)
        );
        let many = contact_sheet(&set((0..25).collect(), 25));
        assert_eq!((many.width, many.height), (102, 10));
        assert_eq!(pixel(&many, 6, 2 + 4 * 5), 24);
        let large = ImageSet::new(ImageShape::new(3, 10, 192), vec![7; 5760], vec![0], 1).unwrap();
        assert_eq!(contact_sheet(&large).height, 5 + 4);
    }
}
