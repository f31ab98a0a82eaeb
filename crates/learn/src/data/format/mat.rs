//! MAT-files of version 5 (MATLAB 5 to 7.2): plain or compressed numeric arrays.
//!
//! A file is a header of 128 bytes and a list of elements, each a tag (type, size) and its bytes. A variable is a
//! `miMATRIX` element (flags, sizes, name, numbers), as a rule inside a `miCOMPRESSED` one. Numeric arrays are read;
//! cells, structures, text, sparse and complex arrays are skipped. Only little-endian files are read: every MATLAB of
//! the last thirty years writes them.
//!
//! Format: "MAT-File Format", `MathWorks`, <https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf>.

use flate2::read::ZlibDecoder;

use super::{MAX_FILE_BYTES, read_bounded, read_up_to};
use crate::data::error::DataError;
use crate::data::image_set::{ImageSet, ImageShape, check_labels};

const HEADER: usize = 128;
/// Bound on the elements of a file and the parts of a matrix.
const MAX_ELEMENTS: usize = 4096;

/// How the numbers of a variable are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Signed bytes.
    I8,
    /// Bytes.
    U8,
    /// Signed 16-bit numbers.
    I16,
    /// 16-bit numbers.
    U16,
    /// Signed 32-bit numbers.
    I32,
    /// 32-bit numbers.
    U32,
    /// Signed 64-bit numbers, `NumPy`'s own integers.
    I64,
    /// 64-bit numbers.
    U64,
    /// Floats.
    F32,
    /// Doubles.
    F64,
}

impl Storage {
    fn of(kind: u32) -> Option<Self> {
        Some(match kind {
            1 => Self::I8,
            2 => Self::U8,
            3 => Self::I16,
            4 => Self::U16,
            5 => Self::I32,
            6 => Self::U32,
            7 => Self::F32,
            9 => Self::F64,
            12 => Self::I64,
            13 => Self::U64,
            _ => return None,
        })
    }

    const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }
}

/// A numeric array; its numbers are in column-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Sizes; their product is the number of numbers (checked).
    pub sizes: Vec<usize>,
    /// How the numbers are stored (MATLAB stores doubles that are small integers as bytes).
    pub storage: Storage,
    /// The numbers' little-endian bytes.
    pub bytes: Vec<u8>,
}

impl Variable {
    /// The numbers, where all are integers.
    #[must_use]
    pub fn integers(&self) -> Option<Vec<i64>> {
        fn whole(x: f64) -> Option<i64> {
            (x.fract() == 0.0 && x.abs() < 9e15).then_some(x as i64)
        }
        macro_rules! numbers {
            ($type:ty, $convert:expr) => {{
                let (chunks, _) = self.bytes.as_chunks::<{ size_of::<$type>() }>();
                chunks
                    .iter()
                    .map(|c| $convert(<$type>::from_le_bytes(*c)))
                    .collect()
            }};
        }
        match self.storage {
            Storage::I8 => numbers!(i8, |x| Some(i64::from(x))),
            Storage::U8 => numbers!(u8, |x| Some(i64::from(x))),
            Storage::I16 => numbers!(i16, |x| Some(i64::from(x))),
            Storage::U16 => numbers!(u16, |x| Some(i64::from(x))),
            Storage::I32 => numbers!(i32, |x| Some(i64::from(x))),
            Storage::U32 => numbers!(u32, |x| Some(i64::from(x))),
            Storage::I64 => numbers!(i64, Some),
            Storage::U64 => numbers!(u64, |x: u64| i64::try_from(x).ok()),
            Storage::F32 => numbers!(f32, |x| whole(f64::from(x))),
            Storage::F64 => numbers!(f64, whole),
        }
    }
}

/// The numeric arrays of a file, in its order. Memory is bounded by [`MAX_FILE_BYTES`] unpacked, over all variables.
///
/// # Errors
///
/// [`DataError::BadMagic`] for another format, [`DataError::Mismatch`] for a broken element,
/// [`DataError::Unreadable`] for damaged compressed data, [`DataError::TooLarge`], [`DataError::Truncated`].
pub fn read(bytes: &[u8], file: &str) -> Result<Vec<Variable>, DataError> {
    read_within(bytes, file, MAX_FILE_BYTES)
}

fn read_within(bytes: &[u8], file: &str, limit: u64) -> Result<Vec<Variable>, DataError> {
    let (Some(header), Some(body)) = (bytes.get(..HEADER), bytes.get(HEADER..)) else {
        return Err(DataError::Truncated {
            file: file.to_owned(),
            found: bytes.len() as u64,
            expected: HEADER as u64,
        });
    };
    if header.get(124..128) != Some(b"\x00\x01IM") {
        let found = if header.starts_with(b"MATLAB 7.3") {
            "a file of version 7.3 (HDF5)".to_owned()
        } else {
            header
                .escape_ascii()
                .take(60)
                .collect::<Vec<_>>()
                .escape_ascii()
                .to_string()
        };
        return Err(DataError::BadMagic {
            file: file.to_owned(),
            expected: "a little-endian MAT-file of version 5 (in MATLAB: save(..., '-v7'))"
                .to_owned(),
            found,
        });
    }
    let mut parts = Parts {
        rest: body,
        offset: HEADER,
        file,
    };
    let (mut variables, mut left, mut count) = (Vec::new(), limit, 0);
    while let Some((kind, contents)) = parts.next_part(false)? {
        count += 1;
        if count > MAX_ELEMENTS {
            return Err(too_many(file, "elements of the file", count));
        }
        match kind {
            MI_MATRIX => variables.extend(matrix(contents, file)?),
            MI_COMPRESSED => {
                let unpacked = read_bounded(&mut ZlibDecoder::new(contents), left, file)?;
                left -= unpacked.len() as u64;
                let mut inner = Parts {
                    rest: &unpacked,
                    offset: 0,
                    file,
                };
                if let Some((MI_MATRIX, contents)) = inner.next_part(true)? {
                    variables.extend(matrix(contents, file)?);
                }
            }
            _ => {}
        }
    }
    Ok(variables)
}

const MI_INT8: u32 = 1;
const MI_INT32: u32 = 5;
const MI_UINT32: u32 = 6;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;

fn too_many(file: &str, what: &'static str, found: usize) -> DataError {
    DataError::TooLarge {
        file: file.to_owned(),
        what,
        found: found as u64,
        limit: MAX_ELEMENTS as u64,
    }
}

/// A sequence of tagged parts.
struct Parts<'a> {
    rest: &'a [u8],
    offset: usize,
    file: &'a str,
}

impl<'a> Parts<'a> {
    /// The next part's type and contents; inside a matrix every part is padded to eight bytes.
    fn next_part(&mut self, padded: bool) -> Result<Option<(u32, &'a [u8])>, DataError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let word = |at: usize| {
            let bytes = self.rest.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        let (kind, start, size): (u32, usize, usize) = match (word(0), word(4)) {
            // Up to four bytes stand in the tag itself, their number in its upper half.
            (Some(first), Some(_)) if first >> 16 != 0 => {
                (first & 0xffff, 4, (first >> 16) as usize)
            }
            (Some(first), Some(size)) => (first, 8, size as usize),
            _ => return Err(self.truncated(8)),
        };
        if start == 4 && size > 4 {
            let found = format!("{size} bytes");
            return Err(self.wrong("the size in a short tag", "at most 4 bytes", found));
        }
        let end = if start == 4 {
            8
        } else {
            start.saturating_add(size)
        };
        let Some(contents) = self.rest.get(start..start.saturating_add(size)) else {
            return Err(self.truncated(end));
        };
        let end = if padded && start == 8 {
            end.next_multiple_of(8)
        } else {
            end
        };
        // The last part of a matrix may lack its padding.
        self.rest = self.rest.get(end..).unwrap_or_default();
        self.offset = self.offset.saturating_add(end);
        Ok(Some((kind, contents)))
    }

    fn truncated(&self, needed: usize) -> DataError {
        DataError::Truncated {
            file: self.file.to_owned(),
            found: (self.offset + self.rest.len()) as u64,
            expected: self.offset.saturating_add(needed) as u64,
        }
    }

    fn wrong(&self, field: &str, expected: &str, found: String) -> DataError {
        DataError::mismatch(
            self.file,
            format!("{field} at byte {}", self.offset),
            expected,
            found,
        )
    }

    /// The next part, which must be of this type.
    fn expect(&mut self, kind: u32, what: &str) -> Result<&'a [u8], DataError> {
        match self.next_part(true)? {
            Some((found, contents)) if found == kind => Ok(contents),
            Some((found, _)) => {
                Err(self.wrong(what, &format!("type {kind}"), format!("type {found}")))
            }
            None => Err(self.truncated(8)),
        }
    }
}

/// A matrix; `None` for classes other than plain real numbers.
fn matrix(contents: &[u8], file: &str) -> Result<Option<Variable>, DataError> {
    let mut parts = Parts {
        rest: contents,
        offset: 0,
        file,
    };
    let flags = parts.expect(MI_UINT32, "a variable's flags")?;
    let (class, flags) = (
        flags.first().copied().unwrap_or(0),
        flags.get(1).copied().unwrap_or(0),
    );
    let sizes = parts.expect(MI_INT32, "a variable's sizes")?;
    let name = parts.expect(MI_INT8, "a variable's name")?;
    let name =
        String::from_utf8_lossy(name.get(..name.len().min(64)).unwrap_or_default()).into_owned();
    // Classes 6 to 15 are numbers; bit 3 of the flags says complex.
    if !(6..=15).contains(&class) || flags & 8 != 0 {
        return Ok(None);
    }
    let (sizes, _) = sizes.as_chunks::<4>();
    if sizes.len() > 32 {
        return Err(too_many(file, "dimensions of a variable", sizes.len()));
    }
    let sizes: Option<Vec<usize>> = sizes
        .iter()
        .map(|s| i32::from_le_bytes(*s).try_into().ok())
        .collect();
    let Some(sizes) = sizes else {
        let found = "a negative one".to_owned();
        return Err(DataError::mismatch(
            file,
            format!("sizes of variable {name}"),
            "numbers from 0",
            found,
        ));
    };
    let Some((kind, numbers)) = parts.next_part(true)? else {
        return Err(parts.truncated(8));
    };
    let Some(storage) = Storage::of(kind) else {
        let found = format!("type {kind}");
        let expected = "8 to 64-bit integers, floats or doubles";
        return Err(DataError::mismatch(
            file,
            format!("numbers of variable {name}"),
            expected,
            found,
        ));
    };
    let needed = sizes
        .iter()
        .try_fold(storage.size(), |product, &size| product.checked_mul(size));
    if needed != Some(numbers.len()) {
        let expected = format!(
            "as many as sizes {sizes:?} need at {} bytes a number",
            storage.size()
        );
        let found = format!("{} bytes", numbers.len());
        return Err(DataError::mismatch(
            file,
            format!("bytes of variable {name}"),
            expected,
            found,
        ));
    }
    Ok(Some(Variable {
        name,
        sizes,
        storage,
        bytes: numbers.to_vec(),
    }))
}

/// The number of images that the first variable of a file of images states, from its first bytes; `None` for another
/// file.
pub fn stated_images(reader: &mut dyn std::io::Read) -> Option<u64> {
    let mut start = [0; 4096];
    let found = read_up_to(reader, &mut start).ok()?;
    let body = start.get(HEADER..found)?;
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let mut unpacked = [0; 256];
    let matrix = if word(body, 0)? == MI_COMPRESSED {
        let mut decoder = ZlibDecoder::new(body.get(8..)?);
        // The stream is cut, so that reading may end early.
        let mut filled = 0;
        while let Some(rest) = unpacked.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match std::io::Read::read(&mut decoder, rest) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        unpacked.get(..filled)?
    } else {
        body
    };
    let mut parts = Parts {
        rest: matrix.get(8..)?,
        offset: 0,
        file: "",
    };
    parts.expect(MI_UINT32, "a variable's flags").ok()?;
    let sizes = parts.expect(MI_INT32, "a variable's sizes").ok()?;
    let last = match sizes.len() / 4 {
        3 => return Some(1),
        4 => word(sizes, 12)?,
        _ => return None,
    };
    Some(u64::from(last))
}

/// A file of images as SVHN has it: `X`, bytes `[H, W, C, N]`, and `y`, N labels from 1 to `classes`, where `classes`
/// stands for class 0 (the digit 0 is labelled 10).
///
/// # Errors
///
/// As [`read()`]; [`DataError::Mismatch`] if a variable is missing or of another shape, [`DataError::LabelOutOfRange`].
pub fn read_images(bytes: &[u8], classes: usize, file: &str) -> Result<ImageSet, DataError> {
    let variables = read(bytes, file)?;
    let find = |name: &str| {
        variables.iter().find(|v| v.name == name).ok_or_else(|| {
            let names: Vec<_> = variables.iter().take(20).map(|v| v.name.as_str()).collect();
            let expected = format!("the variable {name}");
            DataError::mismatch(
                file,
                "contents",
                expected,
                format!("the variables [{}]", names.join(", ")),
            )
        })
    };
    let (x, y) = (find("X")?, find("y")?);
    // MATLAB drops a last size of 1.
    let sizes = match (x.sizes.as_slice(), x.storage) {
        (&[h, w, c], Storage::U8) => Some((h, w, c, 1)),
        (&[h, w, c, n], Storage::U8) => Some((h, w, c, n)),
        _ => None,
    };
    let Some((height, width, channels, count)) =
        sizes.filter(|&(h, w, c, n)| h * w * c * n == x.bytes.len())
    else {
        let found = format!("{:?} {:?}", x.storage, x.sizes);
        return Err(DataError::mismatch(
            file,
            "X",
            "bytes [height, width, channels, images]",
            found,
        ));
    };
    let labels = y
        .integers()
        .filter(|labels| labels.len() == count)
        .ok_or_else(|| {
            let found = format!("{:?} {:?}", y.storage, y.sizes);
            DataError::mismatch(file, "y", format!("{count} integers, one an image"), found)
        })?;
    let to_class = |&label: &i64| match usize::try_from(label) {
        Ok(label) if label == classes => 0,
        Ok(0) => -1,
        _ => label,
    };
    check_labels(file, labels.iter().map(to_class), classes)?;
    let labels = labels
        .iter()
        .map(|l| u16::try_from(to_class(l)).unwrap_or(0))
        .collect();
    let mut pixels = vec![0; x.bytes.len()];
    let plane = height * width;
    // Column-major to row-major, plane by plane.
    if plane > 0 {
        for (from, to) in x
            .bytes
            .chunks_exact(plane)
            .zip(pixels.chunks_exact_mut(plane))
        {
            for (column, values) in from.chunks_exact(height).enumerate() {
                for (row, &value) in values.iter().enumerate() {
                    if let Some(pixel) = to.get_mut(row * width + column) {
                        *pixel = value;
                    }
                }
            }
        }
    }
    ImageSet::new(
        ImageShape::new(channels, height, width),
        pixels,
        labels,
        classes,
    )
}

/// A small valid file.
#[cfg(test)]
pub(crate) fn sample(packed: bool) -> Vec<u8> {
    tests::small(packed)
}

#[cfg(test)]
mod tests;
