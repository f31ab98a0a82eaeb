//! Parsers: readers in, checked values out. No paths, no network, no knowledge of data sets.
//!
//! Common rules. A size in a header is a claim: it is checked for overflow and against the bounds
//! below, and then memory grows only as bytes really arrive. Every parser reads to the end of its
//! input and refuses what is left over, which also makes the checksums of gzip and xz count.
//! `file` arguments are names for error messages only.

pub mod archive;
pub mod cifar;
pub mod cifar_python;
pub mod compress;
pub mod idx;
pub mod mat;
pub mod mini_imagenet;
pub mod npz;
pub mod pickle;
pub mod picture;
pub mod torch;

use std::io::{self, Read};

use super::error::DataError;

/// Bound on one unpacked data file: 2 GiB. The largest file of the known data sets, the
/// mini-ImageNet training pickle, has about 0.8 GB (1.2 GB in some encodings).
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// Reads until `buffer` is full or the input ends; returns the number of bytes read.
pub(crate) fn read_up_to<R: Read + ?Sized>(reader: &mut R, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The whole input, if it has at most `limit` bytes; grows as bytes arrive.
///
/// # Errors
///
/// [`DataError::Unreadable`] if reading fails, [`DataError::TooLarge`] if there is more.
pub(crate) fn read_bounded<R: Read + ?Sized>(
    reader: &mut R,
    limit: u64,
    file: &str,
) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let count = reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(DataError::unreadable(file))?;
    if count as u64 > limit {
        return Err(DataError::TooLarge {
            file: file.to_owned(),
            what: "unpacked size in bytes",
            found: count as u64,
            limit,
        });
    }
    Ok(bytes)
}

/// Exactly `expected` further bytes, of `before + expected` in all, and then the end.
///
/// # Errors
///
/// [`DataError::Truncated`], [`DataError::TrailingBytes`] or [`DataError::Unreadable`].
pub(crate) fn read_rest<R: Read>(
    reader: &mut R,
    before: u64,
    expected: u64,
    file: &str,
) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let found = reader
        .by_ref()
        .take(expected)
        .read_to_end(&mut bytes)
        .map_err(DataError::unreadable(file))? as u64;
    let total = before.saturating_add(expected);
    if found < expected {
        return Err(DataError::Truncated {
            file: file.to_owned(),
            found: before + found,
            expected: total,
        });
    }
    let extra = io::copy(&mut reader.take(MAX_FILE_BYTES), &mut io::sink())
        .map_err(DataError::unreadable(file))?;
    if extra > 0 {
        return Err(DataError::TrailingBytes {
            file: file.to_owned(),
            found: total + extra,
            expected: total,
        });
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}
