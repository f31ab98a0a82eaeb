//! CIFAR-10 and CIFAR-100 in their binary layout.
//!
//! A file is a row of records without a header: CIFAR-10, 1 byte label and 3,072 bytes pixels
//! (3,073 in all); CIFAR-100, 1 byte coarse label, 1 byte fine label and 3,072 bytes pixels (3,074).
//! Pixels are `[3, 32, 32]`: the red plane first, rows from the top.
//! Format: <https://www.cs.toronto.edu/~kriz/cifar.html>, section "Binary version".

use std::io::{self, Read, Write};

use super::compress::Unpacked;
use super::{MAX_FILE_BYTES, read_up_to};
use crate::data::error::DataError;
use crate::data::image_set::{ImageSet, ImageShape, check_labels};

/// Shape of every CIFAR image.
pub const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

/// Bytes of pixels a record.
pub const PIXELS: usize = 3 * 32 * 32;

/// Which data set, and which of CIFAR-100's two labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CifarKind {
    /// CIFAR-10: 10 classes.
    Cifar10,
    /// CIFAR-100 with its fine labels: 100 classes. The usual choice.
    Cifar100Fine,
    /// CIFAR-100 with its coarse labels: 20 superclasses.
    Cifar100Coarse,
}

impl CifarKind {
    /// Number of classes: 10, 100 or 20.
    #[must_use]
    pub const fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100Fine => 100,
            Self::Cifar100Coarse => 20,
        }
    }

    /// Bytes before the pixels of a record: 1 or 2.
    #[must_use]
    pub const fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100Fine | Self::Cifar100Coarse => 2,
        }
    }

    /// Bytes a record: 3,073 or 3,074.
    #[must_use]
    pub const fn record_bytes(self) -> usize {
        self.label_bytes() + PIXELS
    }

    /// Of the bytes before the pixels, which one is the label.
    const fn label_at(self) -> usize {
        match self {
            Self::Cifar10 | Self::Cifar100Coarse => 0,
            Self::Cifar100Fine => 1,
        }
    }
}

/// Reads a file of records, plain or compressed, to its end: `[N, 3, 32, 32]`, N ≥ 1.
///
/// # Errors
///
/// [`DataError::PartialRecord`] if the length is no multiple of the record size,
/// [`DataError::NoImages`] if it is empty, [`DataError::LabelOutOfRange`],
/// [`DataError::TooLarge`] or [`DataError::Unreadable`].
pub fn read<R: Read>(reader: R, kind: CifarKind, file: &str) -> Result<ImageSet, DataError> {
    let mut reader = Unpacked::new(reader).map_err(DataError::unreadable(file))?;
    let size = kind.record_bytes();
    let mut record = vec![0; size];
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    loop {
        let found = read_up_to(&mut reader, &mut record).map_err(DataError::unreadable(file))?;
        let total = (labels.len() * size + found) as u64;
        if found == 0 {
            break;
        }
        if found < size {
            return Err(DataError::PartialRecord {
                file: file.to_owned(),
                found: total,
                record: size as u64,
                remainder: found as u64,
            });
        }
        if total > MAX_FILE_BYTES {
            return Err(DataError::TooLarge {
                file: file.to_owned(),
                what: "unpacked size in bytes",
                found: total,
                limit: MAX_FILE_BYTES,
            });
        }
        let (head, body) = record.split_at(kind.label_bytes());
        labels.push(
            head.get(kind.label_at())
                .map_or(u16::MAX, |&label| u16::from(label)),
        );
        pixels.extend_from_slice(body);
    }
    if labels.is_empty() {
        return Err(DataError::NoImages {
            what: file.to_owned(),
        });
    }
    check_labels(
        file,
        labels.iter().map(|&label| i64::from(label)),
        kind.classes(),
    )?;
    pixels.shrink_to_fit();
    ImageSet::new(SHAPE, pixels, labels, kind.classes())
}

/// Writes what [`read`] reads; the other one of CIFAR-100's two labels is written as 0.
///
/// # Errors
///
/// What `writer` answers; `InvalidInput` if the set has another shape or a label above 255.
pub fn write<W: Write>(mut writer: W, set: &ImageSet, kind: CifarKind) -> io::Result<()> {
    let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
    if set.shape() != SHAPE {
        return Err(invalid("CIFAR images are 3x32x32"));
    }
    for (image, &label) in set.pixels().chunks_exact(PIXELS).zip(set.labels()) {
        let label = u8::try_from(label).map_err(|_| invalid("CIFAR labels are bytes"))?;
        let head = match kind {
            CifarKind::Cifar10 => &[label][..],
            CifarKind::Cifar100Fine => &[0, label],
            CifarKind::Cifar100Coarse => &[label, 0],
        };
        writer.write_all(head)?;
        writer.write_all(image)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{cifar_set, gzip};
    use proptest::prelude::*;

    const KINDS: [CifarKind; 3] = [
        CifarKind::Cifar10,
        CifarKind::Cifar100Fine,
        CifarKind::Cifar100Coarse,
    ];

    fn bytes_of(set: &ImageSet, kind: CifarKind) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, set, kind).unwrap();
        bytes
    }

    #[test]
    fn labels_stand_where_documented() {
        let mut bytes = vec![7, 42];
        bytes.extend((0..PIXELS).map(|i| (i % 251) as u8));
        let fine = read(&bytes[..], CifarKind::Cifar100Fine, "f").unwrap();
        assert_eq!((fine.labels(), fine.classes()), (&[42][..], 100));
        assert_eq!(fine.pixels(), &bytes[2..]);
        let coarse = read(&bytes[..], CifarKind::Cifar100Coarse, "f").unwrap();
        assert_eq!((coarse.labels(), coarse.classes()), (&[7][..], 20));
    }

    #[test]
    fn every_other_length_is_an_error() {
        for kind in KINDS {
            let whole = bytes_of(&cifar_set(2, kind.classes(), 1), kind);
            for length in 0..whole.len() {
                let result = read(&whole[..length], kind, "f");
                if length == 0 {
                    assert!(matches!(result, Err(DataError::NoImages { .. })));
                } else if length == kind.record_bytes() {
                    assert_eq!(result.unwrap().len(), 1);
                } else {
                    assert!(
                        matches!(result, Err(DataError::PartialRecord { .. })),
                        "{length}"
                    );
                }
            }
        }
    }

    #[test]
    fn label_out_of_range() {
        let kind = CifarKind::Cifar100Fine;
        let mut bytes = bytes_of(&cifar_set(3, 100, 1), kind);
        bytes[kind.record_bytes() * 2 + 1] = 100;
        assert!(matches!(
            read(&bytes[..], kind, "f"),
            Err(DataError::LabelOutOfRange {
                index: 2,
                value: 100,
                limit: 100,
                ..
            })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn read_of_write_is_identity(count in 1_usize..5, seed in any::<u64>(), kind in prop::sample::select(&KINDS[..])) {
            let set = cifar_set(count, kind.classes(), seed);
            let bytes = bytes_of(&set, kind);
            prop_assert_eq!(&read(&bytes[..], kind, "f").unwrap(), &set);
            prop_assert_eq!(&read(&gzip(&bytes)[..], kind, "f").unwrap(), &set);
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..7000), kind in prop::sample::select(&KINDS[..])) {
            let _ = read(&bytes[..], kind, "f");
        }
    }
}
