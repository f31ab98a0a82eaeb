use image::{ExtendedColorType, ImageEncoder as _, ImageFormat};
use proptest::prelude::*;

use super::*;
use crate::data::testing::noise;

const COLOUR: ImageShape = ImageShape::new(3, 2, 3);
const GREY: ImageShape = ImageShape::new(1, 2, 3);

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn rgb() -> DynamicImage {
    let buffer = image::RgbImage::from_raw(3, 2, (0..18).map(|i| i * 10).collect()).unwrap();
    DynamicImage::ImageRgb8(buffer)
}

#[test]
fn formats_and_sample_types_become_bytes() {
    let expected: Vec<u8> = planes(&(0..18).map(|i| i * 10).collect::<Vec<_>>(), 3);
    for (picture, format) in [
        (rgb(), ImageFormat::Png),
        (rgb(), ImageFormat::WebP),
        (
            DynamicImage::ImageRgba8(rgb().into_rgba8()),
            ImageFormat::Png,
        ),
        (
            DynamicImage::ImageRgb16(rgb().into_rgb16()),
            ImageFormat::Png,
        ),
    ] {
        let bytes = encode(&picture, format);
        assert_eq!(
            decode(&bytes, COLOUR, Resize::Exact, "f").unwrap(),
            expected,
            "{format:?}"
        );
    }
    let jpeg = decode(
        &encode(&rgb(), ImageFormat::Jpeg),
        COLOUR,
        Resize::Exact,
        "f",
    )
    .unwrap();
    assert_eq!(jpeg.len(), 18);
    let grey = image::GrayImage::from_raw(3, 2, vec![0, 50, 100, 150, 200, 250]).unwrap();
    let bytes = encode(&DynamicImage::ImageLuma8(grey), ImageFormat::Png);
    assert_eq!(
        decode(&bytes, GREY, Resize::Exact, "f").unwrap(),
        [0, 50, 100, 150, 200, 250]
    );
    assert_eq!(
        decode(&bytes, COLOUR, Resize::Exact, "f").unwrap(),
        [0, 50, 100, 150, 200, 250].repeat(3)
    );
}

/// Colours and what Pillow 13.0 makes of them with `convert("L")`.
const GREYS: [([u8; 3], u8); 10] = [
    ([255, 0, 0], 76),
    ([0, 255, 0], 150),
    ([0, 0, 255], 29),
    ([255, 255, 255], 255),
    ([1, 2, 3], 2),
    ([200, 100, 50], 124),
    ([17, 230, 99], 151),
    ([128, 128, 128], 128),
    ([0, 0, 4], 0),
    ([254, 1, 255], 106),
];

#[test]
fn colour_becomes_grey_as_in_pillow() {
    let raw: Vec<u8> = GREYS.iter().flat_map(|(colour, _)| *colour).collect();
    let colour = DynamicImage::ImageRgb8(image::RgbImage::from_raw(10, 1, raw).unwrap());
    let expected: Vec<u8> = GREYS.iter().map(|(_, grey)| *grey).collect();
    let row = ImageShape::new(1, 1, 10);
    let alpha = DynamicImage::ImageRgba8(image::RgbaImage::from_fn(10, 1, |x, _| {
        let [r, g, b] = GREYS[x as usize].0;
        image::Rgba([r, g, b, x as u8 * 20])
    }));
    for (picture, format) in [
        (colour.clone(), ImageFormat::Png),
        (colour, ImageFormat::WebP),
        (alpha, ImageFormat::Png),
    ] {
        let bytes = encode(&picture, format);
        assert_eq!(decode(&bytes, row, Resize::Exact, "f").unwrap(), expected);
    }
    // Grey with alpha stays as grey as it is.
    let pale = image::GrayAlphaImage::from_fn(10, 1, |x, _| image::LumaA([x as u8 * 25, 7]));
    let bytes = encode(&DynamicImage::ImageLumaA8(pale), ImageFormat::Png);
    let same: Vec<u8> = (0..10).map(|x| x * 25).collect();
    assert_eq!(decode(&bytes, row, Resize::Exact, "f").unwrap(), same);
    // Smoothing mixes the greys.
    let two = image::RgbImage::from_raw(2, 1, [[255, 0, 0], [255, 0, 0]].concat()).unwrap();
    let bytes = encode(&DynamicImage::ImageRgb8(two), ImageFormat::Png);
    let one = ImageShape::new(1, 1, 1);
    assert_eq!(decode(&bytes, one, Resize::Smooth, "f").unwrap(), [76]);
}

#[test]
fn another_format_is_called_by_its_name() {
    for (bytes, words) in [
        (&b"GIF89a\x01\0\x01\0"[..], "a GIF image"),
        (b"BM\x3a\0\0\0", "a BMP image"),
        (b"II*\0", "a TIFF image"),
        (b"", "an empty file"),
        (b"<html>", "an HTML page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a Git LFS pointer",
        ),
    ] {
        let error = decode(bytes, COLOUR, Resize::Smooth, "x.png")
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(dimensions(bytes, "x.png").is_err());
    }
    let mut cut = encode(&rgb(), ImageFormat::Png);
    cut.truncate(40);
    let error = decode(&cut, COLOUR, Resize::Smooth, "x.png")
        .unwrap_err()
        .to_string();
    assert!(!error.contains("a PNG image"), "{error}");
}

/// A PNG with an `eXIf` chunk that says "turn by a quarter".
#[test]
fn orientation_is_obeyed() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    encoder.set_exif_metadata(exif).unwrap();
    encoder
        .write_image(&[1, 2, 3, 4, 5, 6], 3, 2, ExtendedColorType::L8)
        .unwrap();
    // Rows 1 2 3 and 4 5 6, turned clockwise: 4 1, 5 2, 6 3.
    let turned = decode(
        &bytes.into_inner(),
        ImageShape::new(1, 3, 2),
        Resize::Exact,
        "f",
    )
    .unwrap();
    assert_eq!(turned, [4, 1, 5, 2, 6, 3]);
}

#[test]
fn sizes_are_made_or_refused() {
    let bytes = encode(&rgb(), ImageFormat::Png);
    let wide = ImageShape::new(3, 4, 9);
    let error = decode(&bytes, wide, Resize::Exact, "a.png")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a.png: image size should be 9 wide and 4 high, but is 3 wide and 2 high"),
        "{error}"
    );
    for resize in [Resize::Bilinear, Resize::Smooth] {
        assert_eq!(decode(&bytes, wide, resize, "f").unwrap().len(), 108);
    }
    // Shrinking with smoothing takes the mean, without it the middle.
    let row = image::GrayImage::from_raw(3, 1, vec![0, 90, 0]).unwrap();
    let bytes = encode(&DynamicImage::ImageLuma8(row), ImageFormat::Png);
    let one = ImageShape::new(1, 1, 1);
    assert_eq!(decode(&bytes, one, Resize::Bilinear, "f").unwrap(), [90]);
    let smooth = decode(&bytes, one, Resize::Smooth, "f").unwrap();
    assert!((25..60).contains(&smooth[0]), "{smooth:?}");
}

#[test]
fn what_is_no_image_is_named() {
    for bytes in [&b""[..], b"hello", b"\x89PNG\r\n\x1a\n", &noise(500, 3)] {
        let error = decode(bytes, COLOUR, Resize::Smooth, "dir/x.png").unwrap_err();
        assert!(
            error.to_string().starts_with("dir/x.png is no image"),
            "{error}"
        );
    }
}

/// A header that claims 16,000 by 16,000 pixels of 16 bits is refused before memory is asked for.
#[test]
fn a_huge_claim_is_refused() {
    let mut bytes = encode(
        &DynamicImage::ImageRgb16(rgb().into_rgb16()),
        ImageFormat::Png,
    );
    bytes[16..24].copy_from_slice(&[0, 0, 0x3e, 0x80, 0, 0, 0x3e, 0x80]);
    let error = decode(&bytes, COLOUR, Resize::Smooth, "f").unwrap_err();
    assert!(matches!(error, DataError::Picture { .. }), "{error}");
}

proptest! {
    #[test]
    fn any_damage_gives_a_value_or_an_error(position in 0_usize..2000, value: u8, cut in 0_usize..2000, kind in 0_usize..3) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][kind];
        let mut bytes = encode(&rgb(), format);
        let position = position % bytes.len();
        bytes[position] = value;
        let _ = decode(&bytes, COLOUR, Resize::Smooth, "f");
        bytes.truncate(cut);
        let _ = decode(&bytes, COLOUR, Resize::Bilinear, "f");
    }
}
