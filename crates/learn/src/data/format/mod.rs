//! Parsers: readers in, checked values out. No paths, no network, no knowledge of data sets.
//!
//! Common rules. A size in a header is a claim: it is checked for overflow and against the bounds
//! below, and then memory grows only as bytes really arrive. Every parser reads to the end of its
//! input and refuses what is left over, which also makes the checksums of gzip and xz count.
//! `file` arguments are names for error messages only.

pub mod archive;
pub mod array;
pub mod cifar;
pub mod cifar_python;
pub mod compress;
pub mod features;
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

/// What stands in the place of a file that was not fetched, where a file starts so: for messages. Two hundred bytes are
/// enough; the text ends with the remedy where there is one.
#[must_use]
pub fn placeholder(start: &[u8]) -> Option<&'static str> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = text.trim_ascii_start();
    let starts = |tag: &[u8]| {
        text.get(..tag.len())
            .is_some_and(|first| first.eq_ignore_ascii_case(tag))
    };
    if start.is_empty() {
        Some("an empty file")
    } else if starts(b"version https://git-lfs.github.com/spec/") {
        Some("a Git LFS pointer (`git lfs pull` fetches the file)")
    } else if starts(b"/annex/objects/") {
        Some("a git-annex pointer (`git annex get` fetches the file)")
    } else if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") {
        Some("an HTML page (download the file itself, not the page about it)")
    } else if starts(b"<?xml") || starts(b"<error") {
        Some("an XML text, perhaps a server's message (download the file again)")
    } else {
        None
    }
}

/// What a file is that starts with these bytes, where that is none of the formats that it was taken for: for messages,
/// as [`placeholder`].
#[must_use]
pub fn recognise(start: &[u8]) -> Option<&'static str> {
    /// First bytes, and what starts so.
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "gzip data (`gunzip` unpacks it)"),
        (b"\xfd7zXZ\0", "xz data (`unxz` unpacks it)"),
        (b"BZh", "bzip2 data (`bunzip2` unpacks it)"),
        (b"\x28\xb5\x2f\xfd", "zstd data (`unzstd` unpacks it)"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!", "a RAR archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PK\x05\x06", "an empty zip archive"),
        (b"GIF8", "a GIF image"),
        (b"BM", "a BMP image"),
        (b"II*\0", "a TIFF image"),
        (b"MM\0*", "a TIFF image"),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"8BPS", "a Photoshop file"),
        (b"%PDF", "a PDF document"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"MATLAB", "a MAT-file"),
        (b"\x7fELF", "a program"),
        (b"\x80\x02", "a Python pickle"),
        (b"\x80\x03", "a Python pickle"),
        (b"\x80\x04", "a Python pickle"),
        (b"\x80\x05", "a Python pickle"),
    ];
    if let Some(what) = placeholder(start) {
        return Some(what);
    }
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(what);
    }
    if start.get(4..8) == Some(b"ftyp") {
        return Some("an AVIF, HEIC or MP4 file");
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    let text = start.trim_ascii_start();
    if text.starts_with(b"<svg") {
        return Some("an SVG drawing");
    }
    if text.starts_with(b"{") || text.starts_with(b"[") {
        return Some("JSON or other text");
    }
    // A few zeros may be anything; a file of nothing else was never filled.
    if start.len() >= 64 && start.iter().all(|&byte| byte == 0) {
        return Some("a file of zeros (its download was cut)");
    }
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    (start.len() >= 8 && start.iter().all(printable)).then_some("a text")
}

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

#[cfg(test)]
mod tests {
    use super::recognise;
    use crate::data::testing::{gzip, noise, tar, xz};

    #[test]
    fn what_was_saved_in_a_files_place_is_recognised() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        for (bytes, words) in [
            (&b""[..], "empty"),
            (lfs, "Git LFS pointer"),
            (b"/annex/objects/SHA256E-s3--9.pth\n", "git-annex"),
            (b"\n  <!DOCTYPE HTML><html>", "HTML"),
            (b"\xef\xbb\xbf<html lang=en>", "HTML"),
            (b"<?xml version=\"1.0\"?><Error>", "XML"),
            (b"{\"message\": \"Not Found\"}", "JSON"),
            (b"404: Not Found", "text"),
            (&gzip(b"x"), "gzip"),
            (&xz(b"x"), "xz"),
            (&tar(&[("a", b"b")]), "tar"),
            (b"GIF89a", "GIF"),
            (b"BM\x36\0", "BMP"),
            (b"\0\0\0\x1cftypheic", "HEIC"),
            (&[0; 100], "zeros"),
        ] {
            let found = recognise(bytes).unwrap_or_default();
            assert!(found.contains(words), "{words}: {found}");
        }
        assert_eq!(recognise(&noise(100, 1)), None);
        assert_eq!(recognise(&[0, 0, 8, 3]), None);
    }
}
