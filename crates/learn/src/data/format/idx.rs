//! The idx format of MNIST and Fashion-MNIST: images (`idx3`, unsigned bytes) and labels (`idx1`).
//!
//! Layout, all numbers 32-bit big-endian: `00 00 08 03`, N, H, W, then N·H·W pixels; or
//! `00 00 08 01`, N, then N labels. Input may be plain or gzip (or xz): magic bytes tell.
//! Format: <http://yann.lecun.com/exdb/mnist/>, section "File formats".

use std::io::{self, Read, Write};

use super::compress::Unpacked;
use super::{MAX_FILE_BYTES, read_rest, read_up_to};
use crate::data::error::DataError;
use crate::data::image_set::{ImageSet, ImageShape, check_labels, hex};

const IMAGES_MAGIC: [u8; 4] = [0, 0, 8, 3];
const LABELS_MAGIC: [u8; 4] = [0, 0, 8, 1];

/// Images of one idx3 file; at least one, none of them empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images, N.
    pub count: usize,
    /// Rows, H.
    pub height: usize,
    /// Columns, W.
    pub width: usize,
    /// `[N, H, W]`.
    pub pixels: Vec<u8>,
}

/// Reads an idx3 file of unsigned bytes, plain or compressed, to its end.
///
/// # Errors
///
/// [`DataError::BadMagic`], [`DataError::Truncated`], [`DataError::TrailingBytes`],
/// [`DataError::NoImages`], [`DataError::TooLarge`] or [`DataError::Unreadable`].
pub fn read_images<R: Read>(reader: R, file: &str) -> Result<IdxImages, DataError> {
    let mut reader = Unpacked::new(reader).map_err(DataError::unreadable(file))?;
    let [count, height, width] = read_header(
        &mut reader,
        IMAGES_MAGIC,
        "an idx file of images (magic 00000803)",
        file,
    )?;
    let total = u64::from(count)
        .checked_mul(u64::from(height))
        .and_then(|product| product.checked_mul(u64::from(width)))
        .unwrap_or(u64::MAX);
    if total == 0 {
        return Err(DataError::NoImages {
            what: file.to_owned(),
        });
    }
    check_size(total, file)?;
    let pixels = read_rest(&mut reader, 16, total, file)?;
    Ok(IdxImages {
        count: to_usize(count),
        height: to_usize(height),
        width: to_usize(width),
        pixels,
    })
}

/// The number of images that the header of an idx3 file states; `None` for another file.
pub fn stated_count(mut reader: &mut dyn Read) -> Option<u64> {
    let [count, _, _] = read_header(&mut reader, IMAGES_MAGIC, "", "").ok()?;
    Some(u64::from(count))
}

/// Reads an idx1 file of unsigned bytes, plain or compressed, to its end: labels, `[N]`, N ≥ 1.
///
/// # Errors
///
/// As [`read_images`].
pub fn read_labels<R: Read>(reader: R, file: &str) -> Result<Vec<u8>, DataError> {
    let mut reader = Unpacked::new(reader).map_err(DataError::unreadable(file))?;
    let [count] = read_header(
        &mut reader,
        LABELS_MAGIC,
        "an idx file of labels (magic 00000801)",
        file,
    )?;
    if count == 0 {
        return Err(DataError::NoImages {
            what: file.to_owned(),
        });
    }
    check_size(u64::from(count), file)?;
    read_rest(&mut reader, 8, u64::from(count), file)
}

/// One image set, `[N, 1, H, W]`, from the two files; `labels_file` names the labels in errors.
///
/// # Errors
///
/// [`DataError::Mismatch`] if the counts differ, [`DataError::LabelOutOfRange`] if a label is not
/// below `classes`.
pub fn image_set(
    images: IdxImages,
    labels: &[u8],
    classes: usize,
    labels_file: &str,
) -> Result<ImageSet, DataError> {
    if images.count != labels.len() {
        return Err(DataError::mismatch(
            labels_file,
            "number of labels",
            format!("{} (the number of images)", images.count),
            labels.len().to_string(),
        ));
    }
    check_labels(
        labels_file,
        labels.iter().map(|&label| i64::from(label)),
        classes,
    )?;
    let labels = labels.iter().map(|&label| u16::from(label)).collect();
    ImageSet::new(
        ImageShape::new(1, images.height, images.width),
        images.pixels,
        labels,
        classes,
    )
}

/// Writes what [`read_images`] reads. `images` must be consistent; it is not checked here.
///
/// # Errors
///
/// What `writer` answers; `InvalidInput` if a size needs more than 32 bits.
pub fn write_images<W: Write>(mut writer: W, images: &IdxImages) -> io::Result<()> {
    writer.write_all(&IMAGES_MAGIC)?;
    for size in [images.count, images.height, images.width] {
        writer.write_all(&to_u32(size)?.to_be_bytes())?;
    }
    writer.write_all(&images.pixels)
}

/// Writes what [`read_labels`] reads.
///
/// # Errors
///
/// As [`write_images`].
pub fn write_labels<W: Write>(mut writer: W, labels: &[u8]) -> io::Result<()> {
    writer.write_all(&LABELS_MAGIC)?;
    writer.write_all(&to_u32(labels.len())?.to_be_bytes())?;
    writer.write_all(labels)
}

/// The sizes after the magic number.
fn read_header<R: Read, const N: usize>(
    reader: &mut R,
    magic: [u8; 4],
    expected: &str,
    file: &str,
) -> Result<[u32; N], DataError> {
    let mut found_magic = [0; 4];
    let mut found = read_up_to(reader, &mut found_magic).map_err(DataError::unreadable(file))?;
    let truncated = |found: usize| DataError::Truncated {
        file: file.to_owned(),
        found: found as u64,
        expected: 4 + 4 * N as u64,
    };
    if found < 4 {
        return Err(truncated(found));
    }
    if found_magic != magic {
        return Err(DataError::BadMagic {
            file: file.to_owned(),
            expected: expected.to_owned(),
            found: hex(&found_magic),
        });
    }
    let mut sizes = [0; N];
    for size in &mut sizes {
        let mut bytes = [0; 4];
        let count = read_up_to(reader, &mut bytes).map_err(DataError::unreadable(file))?;
        found += count;
        if count < 4 {
            return Err(truncated(found));
        }
        *size = u32::from_be_bytes(bytes);
    }
    Ok(sizes)
}

fn check_size(total: u64, file: &str) -> Result<(), DataError> {
    if total > MAX_FILE_BYTES {
        return Err(DataError::TooLarge {
            file: file.to_owned(),
            what: "the size in bytes that the header asks for",
            found: total,
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(())
}

/// Lossless where `usize` has at least 32 bits, as on every supported platform.
fn to_usize(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn to_u32(size: usize) -> io::Result<u32> {
    u32::try_from(size).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{gzip, xz};
    use proptest::prelude::*;

    fn images(count: usize, height: usize, width: usize) -> IdxImages {
        let pixels = (0..count * height * width)
            .map(|i| (i * 37 % 256) as u8)
            .collect();
        IdxImages {
            count,
            height,
            width,
            pixels,
        }
    }

    fn image_bytes(images: &IdxImages) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_images(&mut bytes, images).unwrap();
        bytes
    }

    fn label_bytes(labels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_labels(&mut bytes, labels).unwrap();
        bytes
    }

    #[test]
    fn reads_the_documented_layout() {
        let bytes = [
            0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6,
        ];
        let images = read_images(&bytes[..], "f").unwrap();
        assert_eq!((images.count, images.height, images.width), (2, 1, 3));
        assert_eq!(images.pixels, [1, 2, 3, 4, 5, 6]);
        let labels = read_labels(&[0, 0, 8, 1, 0, 0, 0, 2, 9, 0][..], "f").unwrap();
        assert_eq!(labels, [9, 0]);
        let set = image_set(images, &labels, 10, "f").unwrap();
        assert_eq!(set.shape(), ImageShape::new(1, 1, 3));
    }

    #[test]
    fn truncated_at_every_length() {
        let whole = image_bytes(&images(3, 2, 2));
        for length in 0..whole.len() {
            let error = read_images(&whole[..length], "f").unwrap_err();
            let found = length as u64;
            assert!(
                matches!(error, DataError::Truncated { found: f, .. } if f == found),
                "{length}: {error}"
            );
        }
        let whole = label_bytes(&[1, 2, 3]);
        for length in 0..whole.len() {
            let error = read_labels(&whole[..length], "f").unwrap_err();
            assert!(
                matches!(error, DataError::Truncated { .. }),
                "{length}: {error}"
            );
        }
        let packed = gzip(&whole);
        for length in 0..packed.len() {
            assert!(read_labels(&packed[..length], "f").is_err(), "{length}");
        }
    }

    #[test]
    fn wrong_magic_and_type() {
        let whole = image_bytes(&images(1, 1, 1));
        assert!(matches!(
            read_labels(&whole[..], "f"),
            Err(DataError::BadMagic { .. })
        ));
        for at in 0..4 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let error = read_images(&bytes[..], "f").unwrap_err();
            assert!(matches!(error, DataError::BadMagic { .. }), "{error}");
        }
        // 0x0d: floats
        let error = read_images(&[0, 0, 0x0d, 3][..], "f").unwrap_err();
        assert!(error.to_string().contains("00000d03"), "{error}");
    }

    #[test]
    fn trailing_bytes() {
        let mut bytes = image_bytes(&images(1, 2, 2));
        bytes.extend([0; 5]);
        assert!(matches!(
            read_images(&bytes[..], "f"),
            Err(DataError::TrailingBytes {
                found: 25,
                expected: 20,
                ..
            })
        ));
    }

    #[test]
    fn nothing_in_it() {
        for (count, height, width) in [(0, 28, 28), (5, 0, 28), (5, 28, 0)] {
            let bytes = image_bytes(&images(count, height, width));
            assert!(matches!(
                read_images(&bytes[..], "f"),
                Err(DataError::NoImages { .. })
            ));
        }
        let bytes = label_bytes(&[]);
        assert!(matches!(
            read_labels(&bytes[..], "f"),
            Err(DataError::NoImages { .. })
        ));
    }

    #[test]
    fn huge_claims_cost_nothing() {
        let header = |sizes: [u32; 3]| {
            let mut bytes = IMAGES_MAGIC.to_vec();
            bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
            bytes
        };
        for sizes in [[u32::MAX; 3], [u32::MAX, u32::MAX, 1], [u32::MAX, 28, 28]] {
            let error = read_images(&header(sizes)[..], "f").unwrap_err();
            assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
        }
        let error = read_images(&header([2_000_000, 28, 28])[..], "f").unwrap_err();
        assert!(
            matches!(error, DataError::Truncated { found: 16, .. }),
            "{error}"
        );
        let error = read_labels(&[0, 0, 8, 1, 0x7f, 0xff, 0xff, 0xff, 1][..], "f").unwrap_err();
        assert!(
            matches!(error, DataError::Truncated { found: 9, .. }),
            "{error}"
        );
    }

    #[test]
    fn labels_must_fit() {
        let set = image_set(images(2, 1, 1), &[0, 10], 10, "labels");
        assert!(matches!(
            set,
            Err(DataError::LabelOutOfRange {
                index: 1,
                value: 10,
                limit: 10,
                ..
            })
        ));
        let set = image_set(images(2, 1, 1), &[0], 10, "labels");
        assert!(matches!(set, Err(DataError::Mismatch { .. })));
    }

    proptest! {
        #[test]
        fn read_of_write_is_identity(count in 1_usize..5, height in 1_usize..5, width in 1_usize..5, seed in any::<u8>()) {
            let mut images = images(count, height, width);
            images.pixels.iter_mut().for_each(|pixel| *pixel ^= seed);
            let bytes = image_bytes(&images);
            for form in [gzip(&bytes), xz(&bytes), bytes] {
                prop_assert_eq!(&read_images(&form[..], "f").unwrap(), &images);
            }
            let labels = vec![seed; count];
            let bytes = label_bytes(&labels);
            for form in [gzip(&bytes), bytes] {
                prop_assert_eq!(&read_labels(&form[..], "f").unwrap(), &labels);
            }
        }

        #[test]
        fn any_bytes(magic in any::<bool>(), tail in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = if magic { IMAGES_MAGIC.to_vec() } else { vec![] };
            bytes.extend(tail);
            let _ = read_images(&bytes[..], "f");
            let _ = read_labels(&bytes[..], "f");
            let small: Vec<u8> = bytes.iter().map(|byte| byte & 3).collect();
            let _ = read_images(&small[..], "f");
        }
    }
}
