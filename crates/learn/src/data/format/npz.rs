//! NPZ archives: `NumPy` arrays in a zip file, as `numpy.savez` and `savez_compressed` write them.
//!
//! Zip format: PKWARE's APPNOTE; array format: `numpy/lib/format.py`. Members are stored or deflated; their CRC is
//! checked. Arrays of plain integers and floats are read; nothing that would need pickle is.

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipVerification, crc32};

use super::array::{Array, Number};
use super::{MAX_FILE_BYTES, read_bounded, recognise};
use crate::data::error::DataError;
use crate::data::format::picture::planes;
use crate::data::image_set::{ImageSet, ImageShape, check_labels};

/// Bound on the members of an archive.
const MAX_MEMBERS: usize = 4096;
/// Bound on an array's header.
const MAX_HEADER: usize = 1 << 16;

/// What is said of a file that cannot be read at all.
const AGAIN: &str = "write it again with numpy.savez or numpy.savez_compressed";

fn damaged(file: &str, problem: impl std::fmt::Display) -> DataError {
    DataError::unfit(
        file,
        format!("it is no undamaged NPZ archive ({problem})"),
        AGAIN,
    )
}

/// What is said of integers that are none.
const INTEGERS: &str = "save images as bytes, x.astype(numpy.uint8) with values of 0 to 255, and labels as integers, \
                        y.astype(numpy.int64)";

/// The array of integers of this name (without `.npy`). Memory is bounded by [`MAX_FILE_BYTES`] unpacked.
///
/// # Errors
///
/// [`DataError::Unfit`] for a damaged archive, a missing member (with those that are there) or an array of another
/// type, [`DataError::Unreadable`], [`DataError::TooLarge`].
pub fn read_array(bytes: &[u8], name: &str, file: &str) -> Result<Array, DataError> {
    let remedy = "save it with numpy.savez(FILE, x_train=..., y_train=..., x_test=..., y_test=...)";
    let array = read_numbers(bytes, name, file, remedy)?;
    if array.number.is_float() {
        return Err(array.of_another_type(&format!("{file}: {name}.npy"), "integers", INTEGERS));
    }
    Ok(array)
}

/// The array of this name (without `.npy`), integers or floats; `remedy` is for files that lack it.
///
/// # Errors
///
/// As [`read_array`].
pub fn read_numbers(
    bytes: &[u8],
    name: &str,
    file: &str,
    remedy: &str,
) -> Result<Array, DataError> {
    let zip = |error: rawzip::Error| match recognise(bytes.get(..512).unwrap_or(bytes)) {
        Some(what) if !bytes.starts_with(b"PK") => damaged(file, what),
        _ => damaged(file, error),
    };
    let archive = ZipArchive::from_slice(bytes).map_err(zip)?;
    let wanted = format!("{name}.npy");
    let (mut found, mut there) = (None, Vec::new());
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(zip)? {
        if there.len() == MAX_MEMBERS {
            return Err(damaged(file, format!("more than {MAX_MEMBERS} members")));
        }
        let path = entry.file_path();
        if path.as_ref() == wanted.as_bytes() {
            found = Some((entry.compression_method(), entry.wayfinder()));
        }
        let path = String::from_utf8_lossy(path.as_ref());
        there.push(format!(
            "{:.60}",
            path.strip_suffix(".npy").unwrap_or(&path)
        ));
    }
    let Some((method, wayfinder)) = found else {
        let more = if there.len() > 20 { ", ..." } else { "" };
        there.truncate(20);
        let problem = format!(
            "it has no array `{name}`; it has [{}{more}]",
            there.join(", ")
        );
        return Err(DataError::unfit(file, problem, remedy));
    };
    let entry = archive.get_entry(wayfinder).map_err(zip)?;
    let unpacked = match method {
        CompressionMethod::STORE => read_bounded(&mut entry.data(), MAX_FILE_BYTES, file)?,
        CompressionMethod::DEFLATE => {
            read_bounded(&mut DeflateDecoder::new(entry.data()), MAX_FILE_BYTES, file)?
        }
        other => return Err(damaged(file, format!("{wanted} is packed by {other:?}"))),
    };
    let found = ZipVerification {
        crc: crc32(&unpacked),
        uncompressed_size: unpacked.len() as u64,
    };
    entry.claim_verifier().valid(found).map_err(zip)?;
    parse(unpacked, &format!("{file}: {wanted}"))
}

/// What `numpy/lib/format.py` writes before the numbers.
struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let value = |key: &str| {
            let (_, rest) = text.split_once(&format!("'{key}':"))?;
            Some(rest.trim_start())
        };
        // Structured types are lists; they are named as they are.
        let descr = value("descr")?;
        let descr = match descr.strip_prefix('\'') {
            Some(rest) => rest.split_once('\'')?.0,
            None => descr,
        };
        let fortran_order = match value("fortran_order")? {
            rest if rest.starts_with("False") => false,
            rest if rest.starts_with("True") => true,
            _ => return None,
        };
        let (list, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
        // Python 2 wrote its long integers with an L.
        let sizes = list
            .split(',')
            .map(|part| part.trim().trim_end_matches('L'));
        let sizes = sizes.filter(|part| !part.is_empty());
        let shape: Vec<usize> = sizes.map(|part| part.parse().ok()).collect::<Option<_>>()?;
        (shape.len() <= 8).then_some(Self {
            descr,
            fortran_order,
            shape,
        })
    }

    /// What the numbers are, and their size; `None` for anything but integers and floats.
    fn numbers(&self) -> Option<(Number, usize)> {
        let of = self.descr.trim_start_matches(['<', '|', '=', '>']);
        let number = match of.as_bytes().first()? {
            b'u' => Number::Unsigned,
            b'i' => Number::Signed,
            b'f' => Number::Float,
            _ => return None,
        };
        match (number, of.get(1..)?) {
            (Number::Float, "1") => None,
            (_, "1") => Some((number, 1)),
            (_, "2") => Some((number, 2)),
            (_, "4") => Some((number, 4)),
            (_, "8") => Some((number, 8)),
            _ => None,
        }
    }
}

/// One `.npy` file.
fn parse(mut bytes: Vec<u8>, file: &str) -> Result<Array, DataError> {
    let wrong =
        |problem: &str| DataError::unfit(file, format!("it is no NumPy array: {problem}"), AGAIN);
    let mut rest = bytes.as_slice();
    let mut take = |count: usize| {
        let (head, tail) = rest
            .split_at_checked(count)
            .ok_or_else(|| wrong("its header is cut"))?;
        rest = tail;
        Ok::<_, DataError>(head)
    };
    let start = take(8)?;
    if start.get(..6) != Some(b"\x93NUMPY") {
        return Err(wrong(&format!("it starts with {}", start.escape_ascii())));
    }
    let length = match start.get(6) {
        Some(1) => take(2)?,
        Some(2 | 3) => take(4)?,
        other => {
            return Err(wrong(&format!(
                "its format version is {other:?}, not 1 to 3"
            )));
        }
    };
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, &byte| sum * 256 + usize::from(byte));
    if length > MAX_HEADER {
        return Err(wrong(&format!(
            "its header has {length} bytes, more than {MAX_HEADER}"
        )));
    }
    let text = String::from_utf8_lossy(take(length)?).into_owned();
    let Some(header) = Header::read(&text) else {
        return Err(wrong(&format!(
            "its header is {:?}",
            format!("{text:.120}")
        )));
    };
    let Some((number, size)) = header.numbers() else {
        let problem = format!(
            "its numbers are of the type {:?}, not integers or floats of 16, 32 or 64 bits",
            format!("{:.40}", header.descr)
        );
        let remedy = format!("{INTEGERS}, and features as floats, x.astype(numpy.float32)");
        return Err(DataError::unfit(file, problem, remedy));
    };
    let Header {
        fortran_order,
        shape,
        ..
    } = &header;
    let needed = shape
        .iter()
        .try_fold(size, |product: usize, &side| product.checked_mul(side));
    if needed != Some(rest.len()) {
        let found = rest.len();
        return Err(wrong(&format!(
            "sizes {shape:?} of {size} bytes do not make its {found} bytes"
        )));
    }
    let start = bytes.len() - rest.len();
    let (shape, fortran_order) = (shape.clone(), *fortran_order);
    let big_endian = header.descr.starts_with('>');
    bytes.drain(..start);
    if big_endian {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if fortran_order {
        bytes = row_major(&bytes, size, &shape);
    }
    Ok(Array {
        number,
        size,
        shape,
        bytes,
    })
}

/// Numbers of `size` bytes, the first index running fastest, as numbers whose last index does.
fn row_major(bytes: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = size;
    for side in shape {
        strides.push(stride);
        stride = stride.saturating_mul(*side);
    }
    let mut position = vec![0; shape.len()];
    let mut out = Vec::with_capacity(bytes.len());
    while out.len() < bytes.len() {
        let at: usize = position
            .iter()
            .zip(&strides)
            .map(|(i, stride)| i * stride)
            .sum();
        // Every position lies inside; were one not to, the loop must still end.
        let Some(number) = bytes.get(at..at + size) else {
            break;
        };
        out.extend_from_slice(number);
        for (i, &side) in position.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < side {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// Images `x` (bytes, `[N, H, W]` or `[N, H, W, C]` with 1 or 3 channels) with labels `y` (`[N]` or `[N, 1]`).
///
/// # Errors
///
/// As [`read_array`]; [`DataError::Unfit`] for other shapes and types, [`DataError::LabelOutOfRange`], [`DataError::NoImages`].
pub fn read_images(
    bytes: &[u8],
    (x, y): (&str, &str),
    classes: usize,
    file: &str,
) -> Result<ImageSet, DataError> {
    let (images, labels) = (read_array(bytes, x, file)?, read_array(bytes, y, file)?);
    let of = |name: &str| format!("{file}: {name}.npy");
    let signed = images.number == Number::Signed;
    if images.size != 1 || signed {
        let problem = format!(
            "its numbers are {}integers of {} bits, not bytes",
            if signed { "signed " } else { "" },
            8 * images.size
        );
        return Err(DataError::unfit(
            of(x),
            problem,
            "save x.astype(numpy.uint8), with values of 0 to 255",
        ));
    }
    let shape = match *images.shape.as_slice() {
        [count, height, width] => Ok((count, height, width, 1)),
        [count, height, width, channels @ (1 | 3)] => Ok((count, height, width, channels)),
        [_, 1 | 3, _, _] => Err("put the channels last: save x.transpose(0, 2, 3, 1)"),
        [_, _, _, 4] => Err("take the transparency off: save x[..., :3]"),
        _ => Err("save images as [N, H, W] or [N, H, W, 1 or 3], with x.reshape(...)"),
    };
    let (count, height, width, channels) = shape.map_err(|remedy| {
        DataError::unfit(of(x), format!("its shape is {:?}", images.shape), remedy)
    })?;
    if !matches!(labels.shape.as_slice(), &[n] | &[n, 1] if n == count) {
        let problem = format!(
            "its shape is {:?}, {count} images need {count} labels",
            labels.shape
        );
        let remedy = match *labels.shape.as_slice() {
            [n, _] if n == count => {
                "where a row marks its class with a 1, save numpy.argmax(y, axis=1)"
            }
            _ => "save one number an image, in the order of the images",
        };
        return Err(DataError::unfit(of(y), problem, remedy));
    }
    let numbers = labels.integers();
    check_labels(&of(y), numbers.iter().copied(), classes)?;
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

/// An archive of stored members: name with its ending, type, shape as Python writes it, and bytes.
#[cfg(test)]
pub(crate) fn write_archive<'a>(
    members: impl IntoIterator<Item = (String, &'a str, String, &'a [u8])>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, descr, shape, data) in members {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut npy = b"\x93NUMPY\x01\0".to_vec();
        npy.extend((header.len() as u16).to_le_bytes());
        npy.extend(header.bytes());
        npy.extend(data);
        let (mut entry, config) = writer.new_file(&name).start().unwrap();
        let mut out = config.wrap(&mut entry);
        std::io::Write::write_all(&mut out, &npy).unwrap();
        let (_, descriptor) = out.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let labels: Vec<u8> = [1_i64, 0].iter().flat_map(|l| l.to_le_bytes()).collect();
    let images: Vec<u8> = (0..12).collect();
    let members: [(&str, &str, &str, &[u8]); 3] = [
        ("x.npy", "|u1", "(2, 1, 2, 3)", &images),
        ("g.npy", "|u1", "(2, 2, 1)", &[9, 8, 7, 6]),
        ("y.npy", "<i8", "(2,)", &labels),
    ];
    let members = members
        .iter()
        .map(|&(name, descr, shape, data)| (name.to_owned(), descr, shape.to_owned(), data));
    write_archive(members)
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
            (("x", "no"), 2, "no array `no`; it has [x, g, y]"),
            (
                ("y", "y"),
                2,
                "64 bits, not bytes; save x.astype(numpy.uint8)",
            ),
            (("x", "x"), 2, "2 images need 2 labels"),
            (("x", "y"), 1, "label of image 0 is 1"),
        ] {
            let error = read_images(&sample(), names, classes, "f")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(words) && !error.contains("download"),
                "{error}"
            );
        }
    }

    /// A `.npy` file with this header and so many bytes.
    fn array(header: &str, count: u8) -> Result<Array, DataError> {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(0..count);
        parse(bytes, "f")
    }

    /// As `numpy.load` reads the same bytes (NumPy 2.4.6; 1.26 for the header of Python 2).
    #[test]
    fn every_order_and_size_of_integers() {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
        };
        let python2 = array(&header("|u1", "False", "(2L, 3L)"), 6).unwrap();
        assert_eq!(
            (python2.shape, python2.bytes),
            (vec![2, 3], vec![0, 1, 2, 3, 4, 5])
        );
        let one = array(&header("|u1", "False", "(6L,)"), 6).unwrap();
        assert_eq!(one.shape, [6]);
        let columns = array(&header("|u1", "True", "(2, 3)"), 6).unwrap();
        assert_eq!(columns.bytes, [0, 2, 4, 1, 3, 5]);
        let big = array(&header(">i2", "False", "(3,)"), 6).unwrap();
        assert_eq!(big.integers(), [1, 0x203, 0x405]);
        for (descr, shape, words) in [
            ("<f16", "(2,)", "\"<f16\", not integers or floats of"),
            ("<c8", "(2,)", "\"<c8\""),
            ("|f1", "(2,)", "\"|f1\""),
            ("|u", "(2,)", "\"|u\""),
            ("|O", "(2,)", "\"|O\""),
            ("|b1", "(8,)", "\"|b1\""),
            ("|u1", "(2, x)", "its header is"),
            ("|u1", "(-2,)", "its header is"),
            ("|u1", "(3, 3)", "do not make its 8 bytes"),
        ] {
            let error = array(&header(descr, "False", shape), 8)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(words) && !error.contains("download"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_archive_is_named() {
        for (bytes, words) in [
            (&b""[..], "an empty file"),
            (b"\x93NUMPY\x01\0v", "a NumPy array (.npy)"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"PK\x03\x04", "no undamaged NPZ archive"),
        ] {
            let error = read_array(bytes, "x", "f.npz").unwrap_err().to_string();
            assert!(
                error.contains(words) && !error.contains("download"),
                "{error}"
            );
        }
    }

    #[test]
    fn zeros_behind_an_archive_are_no_damage() {
        let bytes = [sample(), vec![0; 1000]].concat();
        assert!(read_images(&bytes, ("x", "y"), 2, "f").is_ok());
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
