//! Features that a network gave, in an NPZ archive or a safetensors file: `[N, D]` floats beside `[N]` integers.
//!
//! Owns what such a pair must be, whichever of the two files it lies in. The file is known by its content, not its name.

use safetensors::tensor::{Dtype, SafeTensors};

use super::array::{Array, Number};
use super::{npz, recognise};
use crate::data::error::DataError;
use crate::data::image_set::ImageSet;

const REMEDY: &str = "save it with numpy.savez(FILE, train_features=..., train_labels=..., test_features=..., \
                      test_labels=...) or safetensors.numpy.save_file, or name the arrays that are there by arrays = \
                      [train features, train labels, test features, test labels]";

/// Which labels a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// 0 to so many, which is left out.
    Below(usize),
    /// These, in the order of the classes.
    Named(Vec<i64>),
}

impl Labels {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        match self {
            Self::Below(count) => *count,
            Self::Named(labels) => labels.len(),
        }
    }

    fn class(&self, label: i64) -> Option<u16> {
        let class = match self {
            Self::Below(count) => usize::try_from(label).ok().filter(|label| label < count),
            Self::Named(labels) => labels.iter().position(|&known| known == label),
        };
        class.and_then(|class| u16::try_from(class).ok())
    }

    fn words(&self) -> String {
        match self {
            Self::Below(count) => {
                format!(
                    "class_count = {count} allows 0 to {}",
                    count.saturating_sub(1)
                )
            }
            Self::Named(labels) => {
                let few: Vec<String> = labels.iter().take(20).map(ToString::to_string).collect();
                let more = if labels.len() > few.len() {
                    ", ..."
                } else {
                    ""
                };
                format!("class_labels are {}{more}", few.join(", "))
            }
        }
    }
}

/// One array of either file.
fn read_array(bytes: &[u8], name: &str, file: &str) -> Result<Array, DataError> {
    if bytes.starts_with(b"PK") {
        return npz::read_numbers(bytes, name, file, REMEDY);
    }
    let damaged = |error: &dyn std::fmt::Display| {
        let start = bytes.get(..512).unwrap_or(bytes);
        let what = match recognise(start).filter(|_| bytes.get(8) != Some(&b'{')) {
            Some(what) => what.to_owned(),
            None => error.to_string(),
        };
        let problem =
            format!("it is neither an NPZ archive nor an undamaged safetensors file ({what})");
        DataError::unfit(file, problem, REMEDY)
    };
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
    let Ok(view) = tensors.tensor(name) else {
        let mut there: Vec<String> = tensors
            .names()
            .iter()
            .map(|name| format!("{name:.60}"))
            .collect();
        there.sort_unstable();
        let more = if there.len() > 20 { ", ..." } else { "" };
        there.truncate(20);
        let problem = format!(
            "it has no tensor `{name}`; it has [{}{more}]",
            there.join(", ")
        );
        return Err(DataError::unfit(file, problem, REMEDY));
    };
    let (number, size) = match view.dtype() {
        Dtype::U8 => (Number::Unsigned, 1),
        Dtype::U16 => (Number::Unsigned, 2),
        Dtype::U32 => (Number::Unsigned, 4),
        Dtype::U64 => (Number::Unsigned, 8),
        Dtype::I8 => (Number::Signed, 1),
        Dtype::I16 => (Number::Signed, 2),
        Dtype::I32 => (Number::Signed, 4),
        Dtype::I64 => (Number::Signed, 8),
        Dtype::F16 => (Number::Float, 2),
        Dtype::F32 => (Number::Float, 4),
        Dtype::F64 => (Number::Float, 8),
        Dtype::BF16 => (Number::Brain, 2),
        other => {
            let problem = format!("its numbers are of the type {other:?}");
            let remedy = "save features as floats of 16, 32 or 64 bits and labels as integers";
            return Err(DataError::unfit(format!("{file}: {name}"), problem, remedy));
        }
    };
    Ok(Array {
        number,
        size,
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    })
}

/// Features `x` (floats, `[N, width]`) with labels `y` (integers, `[N]` or `[N, 1]`).
///
/// # Errors
///
/// [`DataError::Unfit`] for a damaged file, an array that is missing or of another type or shape, and for a label that is no
/// class; [`DataError::NotFinite`]; [`DataError::NoImages`] without a row.
pub fn read_features(
    bytes: &[u8],
    (x, y): (&str, &str),
    width: usize,
    labels: &Labels,
    file: &str,
) -> Result<ImageSet, DataError> {
    let (features, numbers) = (read_array(bytes, x, file)?, read_array(bytes, y, file)?);
    let of = |name: &str| format!("{file}: {name}");
    if !features.number.is_float() {
        let (wanted, remedy) = ("floats", "save x.astype(numpy.float32)");
        return Err(features.of_another_type(&of(x), wanted, remedy));
    }
    if numbers.number.is_float() {
        let (wanted, remedy) = ("integers", "save y.astype(numpy.int64)");
        return Err(numbers.of_another_type(&of(y), wanted, remedy));
    }
    let count = match *features.shape.as_slice() {
        [count, found] if found == width => count,
        [_, found] => {
            let problem = format!("its rows have {found} features, and [features] width = {width}");
            let remedy = "training and test features are of one network and have one width: set it to theirs";
            return Err(DataError::unfit(of(x), problem, remedy));
        }
        _ => {
            let problem = format!("its shape is {:?}, not [rows, features]", features.shape);
            return Err(DataError::unfit(
                of(x),
                problem,
                "save x.reshape(len(x), -1)",
            ));
        }
    };
    if !matches!(numbers.shape.as_slice(), &[n] | &[n, 1] if n == count) {
        let problem = format!(
            "its shape is {:?}, {count} rows of {x} need {count} labels",
            numbers.shape
        );
        let remedy = match *numbers.shape.as_slice() {
            [n, classes] if n == count && classes > 1 => "save y.argmax(axis=1)",
            _ => "save one label a row, in the same order",
        };
        return Err(DataError::unfit(of(y), problem, remedy));
    }
    let mut found = Vec::with_capacity(count);
    for (row, label) in numbers.integers().into_iter().enumerate() {
        let Some(class) = labels.class(label) else {
            let problem = format!(
                "the label in row {row} (from 0) is {label}, and {}",
                labels.words()
            );
            let remedy = "set class_count, or class_labels = [...] with every label that occurs, to what is there";
            return Err(DataError::unfit(of(y), problem, remedy));
        };
        found.push(class);
    }
    match ImageSet::of_features(width, features.floats(), found, labels.classes()) {
        Err(DataError::NotFinite {
            row, column, value, ..
        }) => Err(DataError::NotFinite {
            what: of(x),
            row,
            column,
            value,
        }),
        Err(DataError::NoImages { .. }) => Err(DataError::NoImages { what: of(x) }),
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests;
