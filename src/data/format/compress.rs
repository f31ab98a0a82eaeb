//! Decompression chosen by the magic bytes of the stream, not by the file's name.
//!
//! gzip, xz and plain data look the same to the parsers. The xz decoder's memory is bounded,
//! because an xz header may ask for a dictionary of 4 GiB.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

use super::read_up_to;

/// Bound on the memory of the xz decoder, in KiB: 128 MiB, twice what `xz -9` needs.
pub const XZ_MEMORY_KIB: u32 = 128 << 10;

/// Magic bytes of a gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Magic bytes of an xz stream.
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A reader of the unpacked bytes of a plain, gzip or xz stream.
pub struct Unpacked<R: Read>(Inner<R>);

enum Inner<R: Read> {
    Plain(Source<R>),
    Gzip(Box<Gzip<Source<R>>>),
    Xz(Box<XzReader<Source<R>>>),
}

impl<R: Read> Unpacked<R> {
    /// Looks at the first bytes of `reader` and chooses the decoder.
    ///
    /// # Errors
    ///
    /// What reading those bytes answers. Errors in the compressed data come with later reads.
    pub fn new(mut reader: R) -> io::Result<Self> {
        let mut magic = vec![0; XZ.len()];
        let found = read_up_to(&mut reader, &mut magic)?;
        magic.truncate(found);
        let is_gzip = magic.starts_with(&GZIP);
        let is_xz = magic.starts_with(&XZ);
        let source = BufReader::with_capacity(1 << 16, Cursor::new(magic).chain(reader));
        Ok(Self(if is_gzip {
            Inner::Gzip(Box::new(Gzip(Some(GzDecoder::new(source)))))
        } else if is_xz {
            Inner::Xz(Box::new(XzReader::new_mem_limit(
                source,
                true,
                XZ_MEMORY_KIB,
            )))
        } else {
            Inner::Plain(source)
        }))
    }

    /// Whether the stream was compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        !matches!(self.0, Inner::Plain(_))
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Plain(reader) => reader.read(buffer),
            Inner::Gzip(reader) => reader.read(buffer),
            Inner::Xz(reader) => reader.read(buffer),
        }
    }
}

/// gzip streams one behind the other. Zero bytes may follow each, as `gzip` and Python's `gzip` allow: tapes and block
/// devices pad with them. `None` after the end.
struct Gzip<B>(Option<GzDecoder<B>>);

impl<B: io::BufRead> Read for Gzip<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = self.0.as_mut().filter(|_| !buffer.is_empty()) {
            let count = decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            // The stream is over and its checksum was right.
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else {
                break;
            };
            loop {
                let ahead = rest.fill_buf()?;
                let zeros = ahead.iter().take_while(|&&byte| byte == 0).count();
                if zeros == 0 {
                    if !ahead.is_empty() {
                        self.0 = Some(GzDecoder::new(rest));
                    }
                    break;
                }
                rest.consume(zeros);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{gzip, xz};
    use super::*;
    use proptest::prelude::*;

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Unpacked::new(bytes)?.take(1 << 20).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn magic_decides() {
        for plain in [&b""[..], b"x", b"\x1f", b"some longer text"] {
            assert_eq!(unpack(plain).unwrap(), plain);
            assert_eq!(unpack(&gzip(plain)).unwrap(), plain);
            assert_eq!(unpack(&xz(plain)).unwrap(), plain);
        }
        assert!(Unpacked::new(&gzip(b"a")[..]).unwrap().is_compressed());
        assert!(!Unpacked::new(&b"a"[..]).unwrap().is_compressed());
    }

    #[test]
    fn truncated_streams_are_errors() {
        for packed in [gzip(b"some text"), xz(b"some text")] {
            for length in 6..packed.len() {
                assert!(
                    unpack(&packed[..length]).is_err(),
                    "{length} of {}",
                    packed.len()
                );
            }
        }
    }

    /// What Python's `gzip.decompress` does with the same bytes.
    #[test]
    fn zeros_may_follow_and_nothing_else() {
        let (one, two) = (gzip(b"one "), gzip(b"two"));
        let zeros = vec![0; 70_000];
        for (parts, expected) in [
            ([&one[..], &zeros[..1], &[]], "one "),
            ([&one, &zeros, &[]], "one "),
            ([&one, &two, &[]], "one two"),
            ([&one, &zeros, &two], "one two"),
            (
                [&[one.clone(), two.clone()].concat(), &zeros, &[]],
                "one two",
            ),
        ] {
            assert_eq!(unpack(&parts.concat()).unwrap(), expected.as_bytes());
        }
        for tail in [&b"x"[..], b"\0x", b"\x1f", &two[..5]] {
            assert!(unpack(&[&one, tail].concat()).is_err(), "{tail:?}");
        }
    }

    #[test]
    fn damaged_streams_are_errors() {
        for packed in [gzip(&[7; 1000]), xz(&[7; 1000])] {
            let mut damaged = packed.clone();
            let middle = packed.len() - 10;
            damaged[middle] ^= 0x55;
            assert!(unpack(&damaged).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_after_the_magic(kind in 0..3, tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = match kind {
                0 => GZIP.to_vec(),
                1 => XZ.to_vec(),
                _ => vec![],
            };
            bytes.extend(tail);
            let _ = unpack(&bytes);
        }

        #[test]
        fn any_change_of_one_byte(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            for mut packed in [gzip(&[3; 400]), xz(&[3; 400])] {
                let at = at.index(packed.len());
                packed[at] ^= flip;
                let _ = unpack(&packed);
            }
        }
    }
}
