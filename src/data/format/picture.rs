//! JPEG, PNG and WebP files: bytes in, pixels of one shape out.
//!
//! The format is told by the first bytes, not by a name. What an image says of its orientation (EXIF) is obeyed, 16-bit
//! samples become 8-bit, alpha is dropped (as Pillow's `convert("RGB")` does), grey and colour become each other where
//! the target asks for it: grey is the luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B, as in Pillow, torchvision and
//! OpenCV. Sizes and memory are bounded before anything is decoded.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};

use super::recognise;
use crate::data::error::DataError;
use crate::data::image_set::ImageShape;
use crate::data::resample::bilinear;

/// The formats that are read.
const READ: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];
/// Bound on an image's width and height.
pub const MAX_SIDE: u32 = 16_384;
/// Bound on the memory that decoding one image may take: 512 MiB.
pub const MAX_DECODED_BYTES: u64 = 512 << 20;
/// Bound on an image file.
pub const MAX_PICTURE_BYTES: u64 = 256 << 20;

/// How an image gets its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resize {
    /// It must have it already.
    Exact,
    /// Bilinear between the four nearest pixels, as OpenCV's `resize` does: no smoothing before shrinking.
    Bilinear,
    /// Bilinear with smoothing where it shrinks, as Pillow and torchvision do.
    Smooth,
}

/// Decodes one image to `shape`, `[C, H, W]` with 1 or 3 channels.
///
/// # Errors
///
/// [`DataError::Picture`] for bytes that are no image or one over the bounds, [`DataError::Mismatch`] for another size
/// under [`Resize::Exact`] or a number of channels other than 1 or 3.
pub fn decode(
    bytes: &[u8],
    shape: ImageShape,
    resize: Resize,
    file: &str,
) -> Result<Vec<u8>, DataError> {
    let picture = open(bytes).map_err(|error| not_a_picture(bytes, file, &error))?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let fits = (width, height) == (shape.width, shape.height);
    if !fits && resize == Resize::Exact {
        let expected = format!("{} wide and {} high", shape.width, shape.height);
        return Err(DataError::mismatch(
            file,
            "image size",
            expected,
            format!("{width} wide and {height} high"),
        ));
    }
    let picture = match (
        resize,
        u32::try_from(shape.width),
        u32::try_from(shape.height),
    ) {
        (Resize::Smooth, Ok(wide), Ok(high)) if !fits => {
            eight_bits(picture, shape.channels).resize_exact(wide, high, FilterType::Triangle)
        }
        _ => picture,
    };
    let size = (picture.width() as usize, picture.height() as usize);
    let planes = match shape.channels {
        1 => grey(picture).into_raw(),
        3 => planes(&picture.into_rgb8().into_raw(), 3),
        other => {
            return Err(DataError::mismatch(
                file,
                "channels asked for",
                "1 or 3",
                other.to_string(),
            ));
        }
    };
    if size == (shape.width, shape.height) {
        return Ok(planes);
    }
    Ok(bilinear(
        &planes,
        ImageShape::new(shape.channels, size.1, size.0),
        (shape.height, shape.width),
    ))
}

/// Width and height of an image, after what it says of its orientation, without its pixels.
///
/// # Errors
///
/// [`DataError::Picture`].
pub fn dimensions(bytes: &[u8], file: &str) -> Result<(usize, usize), DataError> {
    let (width, height) = open(bytes)
        .map(|picture| (picture.width(), picture.height()))
        .map_err(|error| not_a_picture(bytes, file, &error))?;
    Ok((width as usize, height as usize))
}

/// What the bytes are, where that is known; else what the decoder says.
fn not_a_picture(bytes: &[u8], file: &str, error: &image::ImageError) -> DataError {
    let known = image::guess_format(bytes).is_ok_and(|format| READ.contains(&format));
    let start = bytes.get(..512).unwrap_or(bytes);
    let reason = match recognise(start).filter(|_| !known) {
        Some(what) => what.to_owned(),
        None => error.to_string(),
    };
    DataError::Picture {
        file: file.to_owned(),
        reason,
    }
}

/// Grey as it is; colour by Pillow's rounding of Rec. 601 (`L24` in its `Convert.c`).
fn grey(picture: DynamicImage) -> GrayImage {
    if !picture.color().has_color() {
        return picture.into_luma8();
    }
    let picture = picture.into_rgb8();
    let mut grey = GrayImage::new(picture.width(), picture.height());
    for (to, from) in grey.pixels_mut().zip(picture.pixels()) {
        let [red, green, blue] = from.0.map(u32::from);
        let [_, luma, _, _] = (red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000).to_be_bytes();
        to.0 = [luma];
    }
    grey
}

fn open(bytes: &[u8]) -> Result<DynamicImage, image::ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// The same picture with 8-bit samples and without alpha, so that resizing mixes only what stays.
fn eight_bits(picture: DynamicImage, channels: usize) -> DynamicImage {
    if channels == 1 {
        DynamicImage::ImageLuma8(grey(picture))
    } else {
        DynamicImage::ImageRgb8(picture.into_rgb8())
    }
}

/// `[H, W, C]` to `[C, H, W]`.
pub(crate) fn planes(interleaved: &[u8], channels: usize) -> Vec<u8> {
    (0..channels)
        .flat_map(|channel| interleaved.iter().skip(channel).step_by(channels).copied())
        .collect()
}

#[cfg(test)]
mod tests;
