//! Named arrays in a safetensors file.
//!
//! Owns the one way in which such a file is written, arrays one after another to any writer, so that a snapshot of hundreds
//! of megabytes needs no second copy in memory, and reading a snapshot's arrays back from bytes that may be anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

pub use safetensors::tensor::Dtype;
use safetensors::tensor::SafeTensors;
use serde_json::json;

use super::OptimError;

/// An array of one of the types that snapshots are made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Block<'a> {
    /// Single precision.
    F32(Cow<'a, [f32]>),
    /// Double precision.
    F64(Cow<'a, [f64]>),
    /// Whole numbers.
    U64(Cow<'a, [u64]>),
}

impl Block<'_> {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::U64(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
            Self::U64(_) => Dtype::U64,
        }
    }

    fn bytes(&self) -> usize {
        self.len() * if matches!(self, Self::F32(_)) { 4 } else { 8 }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::F32(values) => write_values(out, values, f32::to_le_bytes),
            Self::F64(values) => write_values(out, values, f64::to_le_bytes),
            Self::U64(values) => write_values(out, values, u64::to_le_bytes),
        }
    }
}

fn write_values<T: Copy, const N: usize>(
    out: &mut impl Write,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(8192 * N);
    for part in values.chunks(8192) {
        buffer.clear();
        buffer.extend(part.iter().flat_map(|&x| bytes(x)));
        out.write_all(&buffer)?;
    }
    Ok(())
}

/// An array's entry in the header of a safetensors file.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its shape, `[]` for a single number.
    pub shape: &'a [usize],
    /// Its size.
    pub bytes: usize,
}

/// Writes a safetensors file up to its arrays, whose bytes must follow without gaps in the order of `entries`. Readers
/// that insist on alignment want arrays of wider numbers first.
///
/// # Errors
/// What the writer says.
pub fn write_header<'a>(
    out: &mut impl Write,
    metadata: &BTreeMap<String, String>,
    entries: impl IntoIterator<Item = Entry<'a>>,
) -> io::Result<()> {
    let mut header = format!("{{\"__metadata__\":{}", json!(metadata));
    let mut end = 0;
    for entry in entries {
        let start = end;
        end += entry.bytes;
        let (name, dtype, shape) = (json!(entry.name), json!(entry.dtype), json!(entry.shape));
        let _ = write!(
            header,
            ",{name}:{{\"dtype\":{dtype},\"shape\":{shape},\"data_offsets\":[{start},{end}]}}"
        );
    }
    header.push('}');
    let mut header = header.into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}

/// Writes a safetensors file of these arrays, in this order.
///
/// # Errors
/// What the writer says.
pub fn write_blocks(
    out: &mut impl Write,
    metadata: &BTreeMap<String, String>,
    blocks: &[(String, Block<'_>)],
) -> io::Result<()> {
    let shapes: Vec<[usize; 1]> = blocks.iter().map(|(_, block)| [block.len()]).collect();
    let entries = blocks
        .iter()
        .zip(&shapes)
        .map(|((name, block), shape)| Entry {
            name,
            dtype: block.dtype(),
            shape,
            bytes: block.bytes(),
        });
    write_header(out, metadata, entries)?;
    blocks.iter().try_for_each(|(_, block)| block.write(out))
}

/// Metadata and arrays of a safetensors file.
pub type Blocks = (BTreeMap<String, String>, Vec<(String, Block<'static>)>);

/// Reads such a file.
///
/// # Errors
/// [`OptimError::Format`] for bytes that are no such file, or arrays of other types.
pub fn read_blocks(bytes: &[u8]) -> Result<Blocks, OptimError> {
    let format = |e: safetensors::SafeTensorError| OptimError::Format(e.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let file = SafeTensors::deserialize(bytes).map_err(format)?;
    let mut blocks = Vec::new();
    for (name, view) in file.tensors() {
        let data = view.data();
        let block = match view.dtype() {
            Dtype::F32 => Block::F32(values(data, f32::from_le_bytes)),
            Dtype::F64 => Block::F64(values(data, f64::from_le_bytes)),
            Dtype::U64 => Block::U64(values(data, u64::from_le_bytes)),
            other => {
                let reason = format!("array `{name}` has the type {other:?}");
                return Err(OptimError::Format(reason));
            }
        };
        blocks.push((name, block));
    }
    Ok((metadata.into_iter().collect(), blocks))
}

fn values<T: Copy, const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> T) -> Cow<'static, [T]> {
    let (chunks, _) = data.as_chunks::<N>();
    Cow::Owned(chunks.iter().map(|&c| value(c)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            singles in prop::collection::vec(any::<f32>().prop_filter("equal to itself", |x| !x.is_nan()), 0..20_000),
            whole in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let metadata = BTreeMap::from([("k".to_string(), "v \" ü".to_string())]);
            let mut blocks = vec![
                ("b".to_string(), Block::U64(Cow::Owned(whole))),
                ("a".to_string(), Block::F32(Cow::Owned(singles))),
                ("c".to_string(), Block::F64(Cow::Owned(vec![0.1, -0.0]))),
            ];
            let mut bytes = Vec::new();
            write_blocks(&mut bytes, &metadata, &blocks).unwrap();
            let (read, mut back) = read_blocks(&bytes).unwrap();
            back.sort_by(|a, b| a.0.cmp(&b.0));
            blocks.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(read, metadata);
            prop_assert_eq!(back, blocks);
        }

        /// What the format's own library writes, to the last byte, if the order is the one that it chooses.
        #[test]
        fn the_header_is_the_library_s(
            shapes in prop::collection::btree_map("[a-z.\"\\\\é]{1,12}", prop::collection::vec(0_usize..4, 0..4), 0..6),
        ) {
            let arrays: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
                .into_iter()
                .map(|(name, shape)| {
                    let bytes = 4 * shape.iter().product::<usize>();
                    (name, shape, vec![7; bytes])
                })
                .collect();
            let views = arrays.iter().map(|(name, shape, data)| {
                let view = safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), data);
                (name, view.unwrap())
            });
            let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
            let wanted = safetensors::serialize(views, Some(metadata.clone().into_iter().collect()));
            let mut bytes = Vec::new();
            let entries = arrays.iter().map(|(name, shape, data)| Entry {
                name,
                dtype: Dtype::F32,
                shape,
                bytes: data.len(),
            });
            write_header(&mut bytes, &metadata, entries).unwrap();
            bytes.extend(arrays.iter().flat_map(|(_, _, data)| data));
            prop_assert_eq!(bytes, wanted.unwrap());
        }

        #[test]
        fn any_bytes_give_an_error_or_a_value(bytes in prop::collection::vec(any::<u8>(), 0..300), header in ".{0,200}") {
            let _ = read_blocks(&bytes);
            let mut file = (header.len() as u64).to_le_bytes().to_vec();
            file.extend(header.as_bytes());
            file.extend(&bytes);
            let _ = read_blocks(&file);
        }
    }
}
