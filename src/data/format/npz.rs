//! NPZ archives: `NumPy` arrays in a zip file, as `numpy.savez` and `savez_compressed` write them.
//!
//! Zip format: PKWARE's APPNOTE; array format: `numpy/lib/format.py`. Members are stored or deflated; their CRC is
//! checked. Arrays of plain integers are read; nothing that would need pickle is.

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipVerification, crc32};

use super::{MAX_FILE_BYTES, read_bounded};
use crate::data::error::DataError;
use crate::data::format::picture::planes;
use crate::data::image_set::{ImageSet, ImageShape, check_labels};

/// Bound on the members of an archive.
const MAX_MEMBERS: usize = 4096;
/// Bound on an array's header.
const MAX_HEADER: usize = 1 << 16;

/// An array of integers in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Whether the numbers are signed.
    pub signed: bool,
    /// Bytes a number: 1, 2, 4 or 8.
    pub size: usize,
    /// Sizes; their product times `size` is the number of bytes (checked).
    pub shape: Vec<usize>,
    /// Little-endian numbers.
    pub bytes: Vec<u8>,
}

fn bad(file: &str, field: &str, expected: &str, found: impl Into<String>) -> DataError {
    DataError::mismatch(file, field, expected, found)
}

/// The array of this name (without `.npy`). Memory is bounded by [`MAX_FILE_BYTES`] unpacked.
///
/// # Errors
///
/// [`DataError::Mismatch`] for a damaged archive, a missing member or an array of another type,
/// [`DataError::Unreadable`], [`DataError::TooLarge`].
pub fn read_array(bytes: &[u8], name: &str, file: &str) -> Result<Array, DataError> {
    let damaged = |error: rawzip::Error| {
        bad(
            file,
            "zip archive",
            "an undamaged NPZ archive",
            error.to_string(),
        )
    };
    let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
    let wanted = format!("{name}.npy");
    let mut found = None;
    let (mut entries, mut count) = (archive.entries(), 0);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        count += 1;
        if count > MAX_MEMBERS {
            return Err(bad(file, "members", "at most 4096", count.to_string()));
        }
        if entry.file_path().as_ref() == wanted.as_bytes() {
            found = Some((entry.compression_method(), entry.wayfinder()));
        }
    }
    let Some((method, wayfinder)) = found else {
        return Err(bad(
            file,
            "members",
            &format!("an array {name}"),
            format!("{count} others"),
        ));
    };
    let entry = archive.get_entry(wayfinder).map_err(damaged)?;
    let unpacked = match method {
        CompressionMethod::STORE => read_bounded(&mut entry.data(), MAX_FILE_BYTES, file)?,
        CompressionMethod::DEFLATE => {
            read_bounded(&mut DeflateDecoder::new(entry.data()), MAX_FILE_BYTES, file)?
        }
        other => {
            return Err(bad(
                file,
                &wanted,
                "stored or deflated",
                format!("{other:?}"),
            ));
        }
    };
    let found = ZipVerification {
        crc: crc32(&unpacked),
        uncompressed_size: unpacked.len() as u64,
    };
    entry.claim_verifier().valid(found).map_err(damaged)?;
    parse(unpacked, &format!("{file}: {wanted}"))
}

/// One `.npy` file.
fn parse(mut bytes: Vec<u8>, file: &str) -> Result<Array, DataError> {
    let mut rest = bytes.as_slice();
    let mut take = |count: usize| {
        let (head, tail) = rest
            .split_at_checked(count)
            .ok_or_else(|| bad(file, "header", "more bytes", "its end"))?;
        rest = tail;
        Ok::<_, DataError>(head)
    };
    let start = take(8)?;
    if start.get(..6) != Some(b"\x93NUMPY") {
        return Err(bad(
            file,
            "magic",
            "\\x93NUMPY",
            start.escape_ascii().to_string(),
        ));
    }
    let length = match start.get(6) {
        Some(1) => take(2)?
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum * 256 + usize::from(byte)),
        Some(2 | 3) => take(4)?
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum * 256 + usize::from(byte)),
        other => return Err(bad(file, "version", "1 to 3", format!("{other:?}"))),
    };
    if length > MAX_HEADER {
        return Err(bad(
            file,
            "header size",
            "at most 65536",
            length.to_string(),
        ));
    }
    let header = String::from_utf8_lossy(take(length)?).into_owned();
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let wrong = |field: &str, expected: &str| {
        bad(
            file,
            field,
            expected,
            header.chars().take(120).collect::<String>(),
        )
    };
    let descr = value("descr")
        .and_then(|rest| rest.strip_prefix('\'')?.split_once('\''))
        .map(|(descr, _)| descr);
    let (signed, size) = match descr.map(|descr| descr.trim_start_matches(['<', '|', '='])) {
        Some("u1") => (false, 1),
        Some("u2") => (false, 2),
        Some("u4") => (false, 4),
        Some("u8") => (false, 8),
        Some("i1") => (true, 1),
        Some("i2") => (true, 2),
        Some("i4") => (true, 4),
        Some("i8") => (true, 8),
        _ => return Err(wrong("descr", "little-endian integers")),
    };
    if !value("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
        return Err(wrong("fortran_order", "False"));
    }
    let list = value("shape")
        .and_then(|rest| rest.strip_prefix('(')?.split_once(')'))
        .map(|(list, _)| list);
    let sizes: Option<Vec<usize>> = list.and_then(|list| {
        let parts = list
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts.map(|part| part.parse().ok()).collect()
    });
    let Some(shape) = sizes.filter(|sizes| sizes.len() <= 8) else {
        return Err(wrong("shape", "at most 8 sizes"));
    };
    let needed = shape
        .iter()
        .try_fold(size, |product: usize, &side| product.checked_mul(side));
    if needed != Some(rest.len()) {
        return Err(bad(
            file,
            "bytes",
            &format!("as many as sizes {shape:?} of {size} bytes need"),
            rest.len().to_string(),
        ));
    }
    let start = bytes.len() - rest.len();
    bytes.drain(..start);
    Ok(Array {
        signed,
        size,
        shape,
        bytes,
    })
}

impl Array {
    /// The numbers; those beyond 63 bits are −1.
    fn integers(&self) -> Vec<i64> {
        let number = |bytes: &[u8]| {
            let negative = self.signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
            let fill = if negative { u64::MAX } else { 0 };
            let value = bytes
                .iter()
                .rev()
                .fold(fill, |sum, &byte| sum << 8 | u64::from(byte));
            if negative {
                value as i64
            } else {
                i64::try_from(value).unwrap_or(-1)
            }
        };
        self.bytes
            .chunks_exact(self.size.max(1))
            .map(number)
            .collect()
    }
}

/// Images `x` (bytes, `[N, H, W]` or `[N, H, W, C]` with 1 or 3 channels) with labels `y` (`[N]` or `[N, 1]`).
///
/// # Errors
///
/// As [`read_array`]; [`DataError::Mismatch`] for other shapes, [`DataError::LabelOutOfRange`], [`DataError::NoImages`].
pub fn read_images(
    bytes: &[u8],
    (x, y): (&str, &str),
    classes: usize,
    file: &str,
) -> Result<ImageSet, DataError> {
    let (images, labels) = (read_array(bytes, x, file)?, read_array(bytes, y, file)?);
    let shape = match *images.shape.as_slice() {
        [count, height, width] => Some((count, height, width, 1)),
        [count, height, width, channels @ (1 | 3)] => Some((count, height, width, channels)),
        _ => None,
    };
    let Some((count, height, width, channels)) =
        shape.filter(|_| images.size == 1 && !images.signed)
    else {
        return Err(bad(
            file,
            x,
            "bytes [N, H, W] or [N, H, W, 1 or 3]",
            format!("{:?} of {} bytes", images.shape, images.size),
        ));
    };
    if !matches!(labels.shape.as_slice(), &[n] | &[n, 1] if n == count) {
        return Err(bad(
            file,
            y,
            &format!("{count} integers, one an image"),
            format!("{:?}", labels.shape),
        ));
    }
    let numbers = labels.integers();
    check_labels(file, numbers.iter().copied(), classes)?;
    let shape = ImageShape::new(channels, height, width);
    let pixels = if channels == 1 {
        images.bytes
    } else {
        let size = shape.bytes().unwrap_or(0).max(1);
        images
            .bytes
            .chunks_exact(size)
            .flat_map(|image| planes(image, channels))
            .collect()
    };
    ImageSet::new(
        shape,
        pixels,
        numbers.iter().map(|&n| n as u16).collect(),
        classes,
    )
}

#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }
    let mut bytes = Vec::new();
    let mut writer = rawzip::ZipArchiveWriter::new(&mut bytes);
    let labels: Vec<u8> = [1_i64, 0].iter().flat_map(|l| l.to_le_bytes()).collect();
    for (name, data) in [
        (
            "x.npy",
            npy(
                "|u1",
                "(2, 1, 2, 3)",
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            ),
        ),
        ("g.npy", npy("|u1", "(2, 2, 1)", &[9, 8, 7, 6])),
        ("y.npy", npy("<i8", "(2,)", &labels)),
    ] {
        let (mut entry, config) = writer.new_file(name).start().unwrap();
        let mut out = config.wrap(&mut entry);
        std::io::Write::write_all(&mut out, &data).unwrap();
        let (_, descriptor) = out.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn images_become_planes() {
        let colour = read_images(&sample(), ("x", "y"), 2, "f").unwrap();
        assert_eq!(
            (colour.shape(), colour.labels()),
            (ImageShape::new(3, 1, 2), &[1, 0][..])
        );
        assert_eq!(colour.image(0).unwrap(), [0, 3, 1, 4, 2, 5]);
        let grey = read_images(&sample(), ("g", "y"), 2, "f").unwrap();
        assert_eq!(grey.image(1).unwrap(), [7, 6]);
        for (names, classes, words) in [
            (("x", "no"), 2, "an array no"),
            (("y", "y"), 2, "bytes [N, H, W]"),
            (("x", "x"), 2, "2 integers"),
            (("x", "y"), 1, "label of image 0 is 1"),
        ] {
            let error = read_images(&sample(), names, classes, "f")
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    /// Archives that `NumPy` wrote: `savez` and `savez_compressed` of `arange(24).reshape(2, 2, 2, 3)` and `[3, 1]`.
    #[test]
    fn archives_of_numpy() {
        for bytes in [
            &include_bytes!("npz_samples/stored.npz")[..],
            include_bytes!("npz_samples/deflated.npz"),
        ] {
            let set = read_images(bytes, ("x_train", "y_train"), 4, "f").unwrap();
            assert_eq!(set.labels(), [3, 1]);
            assert_eq!(
                set.image(1).unwrap(),
                [12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23]
            );
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        let array = |signed, bytes: &[u8]| Array {
            signed,
            size: 2,
            shape: vec![bytes.len() / 2],
            bytes: bytes.to_vec(),
        };
        assert_eq!(array(true, &[0xff, 0xff, 2, 1]).integers(), [-1, 258]);
        assert_eq!(array(false, &[0xff, 0xff]).integers(), [65_535]);
    }

    proptest! {
        #[test]
        fn any_damage_gives_a_value_or_an_error(position in 0_usize..1000, value: u8, cut in 0_usize..1000) {
            let mut bytes = sample();
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = read_images(&bytes, ("x", "y"), 2, "f");
            bytes.truncate(cut);
            let _ = read_images(&bytes, ("x", "y"), 2, "f");
        }
    }
}
