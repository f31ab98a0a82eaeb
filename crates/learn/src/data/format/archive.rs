//! Members of a tar archive (plain, gzip or xz), read straight from it: nothing is unpacked to disk.
//!
//! A reader of our own, not a general tar library, because it has to keep three promises: memory
//! for names is bounded whatever a header says, the unpacked stream is bounded as a whole, and
//! member paths are only ever compared, never used as paths. It knows POSIX ustar, GNU long names
//! and base-256 sizes, and the pax fields `path` and `size`; other pax fields and entry types are
//! skipped.

use std::io::{self, Read};

use super::compress::Unpacked;
use super::{read_bounded, read_up_to};
use crate::data::error::DataError;

/// Bound on an unpacked archive as a whole: 8 GiB. A decompression bomb stops there.
pub const MAX_ARCHIVE_BYTES: u64 = 8 << 30;

/// Bound on the extra header of one entry (long name, pax fields): 64 KiB.
pub const MAX_EXTRA_BYTES: u64 = 64 << 10;

const BLOCK: u64 = 512;

/// Calls `visit` with path and contents of every regular file, in the order of the archive, and
/// reads the archive to its end, so that its checksum is checked. What `visit` leaves unread is
/// skipped. A path is as the archive writes it: it may hold `..` or start with `/`.
///
/// # Errors
///
/// [`DataError::BadArchive`], [`DataError::Truncated`], [`DataError::TooLarge`],
/// [`DataError::Unreadable`], or what `visit` returns.
pub fn each_member<R: Read>(
    reader: R,
    file: &str,
    visit: impl FnMut(&str, &mut dyn Read) -> Result<(), DataError>,
) -> Result<(), DataError> {
    walk(reader, file, MAX_ARCHIVE_BYTES, visit)
}

/// The one member whose path ends in `suffix` (whole components), of at most `limit` bytes.
///
/// # Errors
///
/// [`DataError::ArchiveMember`] if there is no such member or more than one, and as
/// [`each_member`].
pub fn read_member<R: Read>(
    reader: R,
    file: &str,
    suffix: &str,
    limit: u64,
) -> Result<Vec<u8>, DataError> {
    let mut contents = None;
    let mut found = 0;
    each_member(reader, file, |path, member| {
        if path_ends_with(path, suffix) {
            found += 1;
            if found == 1 {
                contents = Some(read_bounded(member, limit, &member_name(file, path))?);
            }
        }
        Ok(())
    })?;
    contents
        .filter(|_| found == 1)
        .ok_or_else(|| DataError::ArchiveMember {
            file: file.to_owned(),
            member: suffix.to_owned(),
            found,
        })
}

/// Whether `path` is `suffix` or ends in `/suffix`.
#[must_use]
pub fn path_ends_with(path: &str, suffix: &str) -> bool {
    path.strip_suffix(suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// How errors name a member.
#[must_use]
pub fn member_name(file: &str, path: &str) -> String {
    format!("{file}: {path}")
}

/// What follows a header.
enum Kind {
    File,
    /// The path of the next entry.
    GnuLongName,
    /// Fields of the next entry.
    Pax,
    /// Something about later entries that does not matter here.
    Extension,
    /// A link, a folder, a device.
    Other,
}

fn walk<R: Read>(
    reader: R,
    file: &str,
    limit: u64,
    mut visit: impl FnMut(&str, &mut dyn Read) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let unpacked = Unpacked::new(reader).map_err(DataError::unreadable(file))?;
    let mut stream = Stream {
        inner: unpacked,
        offset: 0,
        limit,
        file,
    };
    let mut extra = Extra::default();
    while let Some(header) = Header::read(&mut stream)? {
        let size = match header.kind {
            Kind::GnuLongName | Kind::Pax | Kind::Extension => header.size,
            Kind::File | Kind::Other => extra.size.take().unwrap_or(header.size),
        };
        let padding = (BLOCK - size % BLOCK) % BLOCK;
        match header.kind {
            Kind::GnuLongName | Kind::Pax if size > MAX_EXTRA_BYTES => {
                return Err(DataError::TooLarge {
                    file: file.to_owned(),
                    what: "extra header of an entry in bytes",
                    found: size,
                    limit: MAX_EXTRA_BYTES,
                });
            }
            Kind::GnuLongName => {
                let bytes = stream.read_extra(size)?;
                extra.path = Some(text_until_nul(&bytes));
            }
            Kind::Pax => {
                let bytes = stream.read_extra(size)?;
                extra.read_pax(&bytes, &stream, header.offset)?;
            }
            Kind::File => {
                let path = extra.path.take().unwrap_or(header.path);
                let end = stream.offset.saturating_add(size);
                let name = member_name(file, &path);
                let mut member = Member {
                    stream: &mut stream,
                    left: size,
                };
                visit(&path, &mut member)?;
                io::copy(&mut member, &mut io::sink()).map_err(DataError::unreadable(&name))?;
                if member.left > 0 {
                    return Err(stream.truncated(end));
                }
            }
            Kind::Extension => stream.skip(size)?,
            Kind::Other => {
                extra = Extra::default();
                stream.skip(size)?;
            }
        }
        stream.skip(padding)?;
    }
    // The rest is zeros in a good archive; reading it makes the decoder check its checksum.
    io::copy(&mut stream, &mut io::sink()).map_err(DataError::unreadable(file))?;
    Ok(())
}

/// The unpacked archive, counted and bounded.
struct Stream<'a, R: Read> {
    inner: Unpacked<R>,
    offset: u64,
    limit: u64,
    file: &'a str,
}

impl<R: Read> Read for Stream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.offset += count as u64;
        if self.offset > self.limit {
            return Err(io::Error::other(format!(
                "the archive unpacks to more than {} bytes, the bound for an archive",
                self.limit
            )));
        }
        Ok(count)
    }
}

impl<R: Read> Stream<'_, R> {
    fn truncated(&self, expected: u64) -> DataError {
        DataError::Truncated {
            file: self.file.to_owned(),
            found: self.offset,
            expected,
        }
    }

    fn read_extra(&mut self, size: u64) -> Result<Vec<u8>, DataError> {
        let end = self.offset.saturating_add(size);
        let mut bytes = Vec::new();
        let file = self.file;
        self.by_ref()
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(DataError::unreadable(file))?;
        if (bytes.len() as u64) < size {
            Err(self.truncated(end))
        } else {
            Ok(bytes)
        }
    }

    fn skip(&mut self, size: u64) -> Result<(), DataError> {
        let end = self.offset.saturating_add(size);
        let file = self.file;
        let skipped = io::copy(&mut self.by_ref().take(size), &mut io::sink())
            .map_err(DataError::unreadable(file))?;
        if skipped < size {
            Err(self.truncated(end))
        } else {
            Ok(())
        }
    }
}

/// The contents of one member.
struct Member<'s, 'a, R: Read> {
    stream: &'s mut Stream<'a, R>,
    left: u64,
}

impl<R: Read> Read for Member<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = match buffer.get_mut(..most) {
            Some(part) if most > 0 => self.stream.read(part)?,
            _ => 0,
        };
        self.left -= count as u64;
        Ok(count)
    }
}

/// What extra headers say of the next entry.
#[derive(Default)]
struct Extra {
    path: Option<String>,
    size: Option<u64>,
}

impl Extra {
    /// Pax records: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record in decimal.
    fn read_pax<R: Read>(
        &mut self,
        mut bytes: &[u8],
        stream: &Stream<'_, R>,
        offset: u64,
    ) -> Result<(), DataError> {
        let bad = |found: &[u8]| DataError::BadArchive {
            file: stream.file.to_owned(),
            offset,
            field: "a pax record",
            expected: "LENGTH KEY=VALUE".to_owned(),
            found: found.escape_ascii().take(60).map(char::from).collect(),
        };
        while bytes.first().is_some_and(|&byte| byte != 0) {
            let (record, rest) = split_pax(bytes).ok_or_else(|| bad(bytes))?;
            if let Some(value) = record.strip_prefix(b"path=") {
                self.path = Some(text_until_nul(value));
            } else if let Some(value) = record.strip_prefix(b"size=") {
                let size = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                self.size = Some(size.ok_or_else(|| bad(record))?);
            }
            bytes = rest;
        }
        Ok(())
    }
}

/// The first record, `KEY=VALUE`, and what follows it.
fn split_pax(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(bytes.get(..space)?)
        .ok()?
        .parse()
        .ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    Some((record, bytes.get(length..)?))
}

/// A header block of 512 bytes.
struct Header {
    offset: u64,
    path: String,
    size: u64,
    kind: Kind,
}

impl Header {
    /// The next header; `None` at the end of the archive (a block of zeros, or no more bytes).
    fn read<R: Read>(stream: &mut Stream<'_, R>) -> Result<Option<Self>, DataError> {
        let offset = stream.offset;
        let file = stream.file;
        let mut block = [0_u8; 512];
        let found = read_up_to(stream, &mut block).map_err(DataError::unreadable(file))?;
        if found == 0 && offset > 0 || found == block.len() && block == [0; 512] {
            return Ok(None);
        }
        if found < block.len() {
            return Err(stream.truncated(offset + BLOCK));
        }
        let bad = |field, expected: &str, found: String| DataError::BadArchive {
            file: file.to_owned(),
            offset,
            field,
            expected: expected.to_owned(),
            found,
        };
        let field = |range: std::ops::Range<usize>| block.get(range).unwrap_or_default();
        // The checksum counts its own eight bytes as spaces.
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum::<u64>()
            - field(148..156)
                .iter()
                .map(|&byte| u64::from(byte))
                .sum::<u64>()
            + 8 * 32;
        let stated = number(field(148..156));
        if stated != Some(sum) {
            return Err(bad(
                "header checksum",
                &sum.to_string(),
                stated.map_or_else(|| "no number".to_owned(), |value| value.to_string()),
            ));
        }
        let size = number(field(124..136)).ok_or_else(|| {
            bad(
                "size",
                "an octal number",
                field(124..136).escape_ascii().to_string(),
            )
        })?;
        let mut path = text_until_nul(field(0..100));
        let prefix = text_until_nul(field(345..500));
        if field(257..263) == b"ustar\0" && !prefix.is_empty() {
            path = format!("{prefix}/{path}");
        }
        let kind = match block.get(156) {
            Some(b'0' | b'\0' | b'7') if !path.ends_with('/') => Kind::File,
            Some(b'L') => Kind::GnuLongName,
            Some(b'x') => Kind::Pax,
            Some(b'K' | b'g' | b'X') => Kind::Extension,
            _ => Kind::Other,
        };
        // Links and folders have no contents, whatever their size field says.
        let size = if matches!(block.get(156), Some(b'1'..=b'6')) {
            0
        } else {
            size
        };
        Ok(Some(Self {
            offset,
            path,
            size,
            kind,
        }))
    }
}

/// A numeric field: octal text between blanks and NULs, or base-256 if its first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = u64::from(first & 0x7f);
        return rest.iter().try_fold(start, |value, &byte| {
            value.checked_mul(256)?.checked_add(u64::from(byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    if digits.is_empty() {
        Some(0)
    } else {
        u64::from_str_radix(digits, 8).ok()
    }
}

fn text_until_nul(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests;
