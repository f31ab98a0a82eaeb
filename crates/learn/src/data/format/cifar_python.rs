//! CIFAR-10 and CIFAR-100 in their Python layout: pickled dicts.
//!
//! A batch holds `data`, an array of unsigned bytes `[N, 3072]` in the pixel order of the binary
//! layout, and a list of N labels under `labels` (CIFAR-10), `fine_labels` or `coarse_labels`
//! (CIFAR-100). `meta` holds lists of class names.
//! Format: <https://www.cs.toronto.edu/~kriz/cifar.html>, section "Python version".

use super::cifar::{CifarKind, PIXELS, SHAPE};
use super::pickle::{Dtype, Pickle, Ref, Value};
use crate::data::error::DataError;
use crate::data::image_set::{ImageSet, check_labels};

impl CifarKind {
    /// The key of the labels in a pickled batch.
    const fn labels_key(self) -> &'static str {
        match self {
            Self::Cifar10 => "labels",
            Self::Cifar100Fine => "fine_labels",
            Self::Cifar100Coarse => "coarse_labels",
        }
    }
}

/// Reads one pickled batch: `[N, 3, 32, 32]`, N ≥ 1.
///
/// # Errors
///
/// As [`Pickle::parse`]; [`DataError::Mismatch`] if keys, types or sizes are not as documented,
/// [`DataError::NoImages`], [`DataError::LabelOutOfRange`].
pub fn read(bytes: &[u8], kind: CifarKind, file: &str) -> Result<ImageSet, DataError> {
    let pickle = Pickle::parse(bytes, file)?;
    let data = field(&pickle, "data", file)?;
    let expected = format!("an array of unsigned bytes [N, {PIXELS}] in row order");
    let Some(Value::Array(array)) = pickle.get(data) else {
        return Err(DataError::mismatch(
            file,
            "data",
            expected,
            pickle.kind(data),
        ));
    };
    let rows = match *array.shape.as_slice() {
        [rows, PIXELS] if array.dtype == Dtype::U8 && !array.fortran_order => rows,
        _ => {
            return Err(DataError::mismatch(
                file,
                "data",
                expected,
                format!(
                    "{}{} {:?}{}",
                    array.dtype.kind,
                    array.dtype.size,
                    array.shape,
                    if array.fortran_order {
                        " in column order"
                    } else {
                        ""
                    }
                ),
            ));
        }
    };
    let labels = field(&pickle, kind.labels_key(), file)?;
    let Some(Value::List(items)) = pickle.get(labels) else {
        return Err(DataError::mismatch(
            file,
            kind.labels_key(),
            "a list of ints",
            pickle.kind(labels),
        ));
    };
    if items.len() != rows {
        return Err(DataError::mismatch(
            file,
            kind.labels_key(),
            format!("{rows} labels (the number of images)"),
            items.len().to_string(),
        ));
    }
    if rows == 0 {
        return Err(DataError::NoImages {
            what: file.to_owned(),
        });
    }
    // Anything but an int becomes -1, which is out of range.
    let values = || {
        items.iter().map(|&item| match pickle.get(item) {
            Some(&Value::Int(value)) => value,
            _ => -1,
        })
    };
    check_labels(file, values(), kind.classes())?;
    let labels = values()
        .map(|value| u16::try_from(value).unwrap_or(u16::MAX))
        .collect();
    let pixels = pickle.array_bytes(array).unwrap_or_default().to_vec();
    ImageSet::new(SHAPE, pixels, labels, kind.classes())
}

/// Reads class names from a pickled `meta`: the list of strings under `key` (`label_names`,
/// `fine_label_names` or `coarse_label_names`).
///
/// # Errors
///
/// As [`Pickle::parse`]; [`DataError::Mismatch`] if there is no such list of text.
pub fn read_names(bytes: &[u8], key: &str, file: &str) -> Result<Vec<String>, DataError> {
    let pickle = Pickle::parse(bytes, file)?;
    let names = field(&pickle, key, file)?;
    let Some(Value::List(items)) = pickle.get(names) else {
        return Err(DataError::mismatch(
            file,
            key,
            "a list of strings",
            pickle.kind(names),
        ));
    };
    items
        .iter()
        .map(|&item| match pickle.get(item) {
            Some(Value::Str(text)) => Ok((*text).to_owned()),
            Some(Value::Bytes(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            _ => Err(DataError::mismatch(
                file,
                key,
                "a list of strings",
                pickle.kind(item),
            )),
        })
        .collect()
}

fn field(pickle: &Pickle<'_>, key: &str, file: &str) -> Result<Ref, DataError> {
    pickle.lookup(pickle.root(), key).ok_or_else(|| {
        DataError::mismatch(
            file,
            "contents",
            format!("a dict with the key {key}"),
            format!("{} without it", pickle.kind(pickle.root())),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{cifar_set, python2_batch};
    use proptest::prelude::*;

    #[test]
    fn python2_batches() {
        for kind in [
            CifarKind::Cifar10,
            CifarKind::Cifar100Fine,
            CifarKind::Cifar100Coarse,
        ] {
            let set = cifar_set(3, kind.classes(), 5);
            let bytes = python2_batch(&set, kind.labels_key());
            assert_eq!(read(&bytes, kind, "f").unwrap(), set);
        }
    }

    #[test]
    fn wrong_contents() {
        let set = cifar_set(2, 100, 5);
        let bytes = python2_batch(&set, "fine_labels");
        let error = read(&bytes, CifarKind::Cifar10, "f").unwrap_err();
        assert!(
            error.to_string().contains("a dict with the key labels"),
            "{error}"
        );
        let bytes = python2_batch(&set, "labels");
        let high = set.labels().iter().any(|&label| label >= 10);
        assert!(
            high && matches!(
                read(&bytes, CifarKind::Cifar10, "f"),
                Err(DataError::LabelOutOfRange { limit: 10, .. })
            )
        );
        let names = b"\x80\x02}U\x04dataK\x01s.";
        assert!(matches!(
            read(names, CifarKind::Cifar10, "f"),
            Err(DataError::Mismatch { .. })
        ));
    }

    #[test]
    fn truncated_at_every_length() {
        let bytes = python2_batch(&cifar_set(1, 10, 5), "labels");
        for length in 0..bytes.len() {
            assert!(
                read(&bytes[..length], CifarKind::Cifar10, "f").is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn names() {
        let bytes = b"\x80\x02}U\x10fine_label_names](U\x05appleX\x04\0\0\0bearU\0es.";
        assert_eq!(
            read_names(bytes, "fine_label_names", "f").unwrap(),
            ["apple", "bear", ""]
        );
        assert!(read_names(bytes, "label_names", "f").is_err());
        assert!(read_names(b"\x80\x02}U\x01k]K\x01as.", "k", "f").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_change_of_one_byte(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut bytes = python2_batch(&cifar_set(1, 10, 5), "labels");
            // Mostly hit the structure, not the pixels.
            let at = at.index(120);
            bytes[at] ^= flip;
            let _ = read(&bytes, CifarKind::Cifar10, "f");
        }
    }
}
