//! Arrays of numbers, whatever file they came in.
//!
//! Owns what a parser of arrays ends in, the types of number that are known, and their passage to the two that the data
//! layer works with: 64-bit integers for labels, single precision for features.

use half::{bf16, f16};

use crate::data::error::DataError;

/// What an array's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Integers from 0.
    Unsigned,
    /// Integers.
    Signed,
    /// Floats of IEEE 754: 16, 32 or 64 bits.
    Float,
    /// Floats of 16 bits with the exponent of 32 (bfloat16).
    Brain,
}

impl Number {
    /// Whether they are floats.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Brain)
    }
}

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// What its numbers are.
    pub number: Number,
    /// Bytes a number: 1, 2, 4 or 8.
    pub size: usize,
    /// Sizes; their product times `size` is the number of bytes (checked by parsers).
    pub shape: Vec<usize>,
    /// Little-endian numbers.
    pub bytes: Vec<u8>,
}

impl Array {
    /// The integers; those beyond 63 bits are −1, floats none at all.
    #[must_use]
    pub fn integers(&self) -> Vec<i64> {
        if self.number.is_float() {
            return Vec::new();
        }
        let number = |bytes: &[u8]| {
            let negative =
                self.number == Number::Signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
            let fill = if negative { u64::MAX } else { 0 };
            let value = bytes
                .iter()
                .rev()
                .fold(fill, |sum, &byte| sum << 8 | u64::from(byte));
            if negative {
                value as i64
            } else {
                i64::try_from(value).unwrap_or(-1)
            }
        };
        self.bytes
            .chunks_exact(self.size.max(1))
            .map(number)
            .collect()
    }

    /// The floats in single precision, to the nearest; beyond its range they are infinite. Integers are none.
    #[must_use]
    pub fn floats(&self) -> Vec<f32> {
        match (self.number, self.size) {
            (Number::Float, 2) => decode(&self.bytes, |b| f16::from_le_bytes(b).to_f32()),
            (Number::Float, 4) => decode(&self.bytes, f32::from_le_bytes),
            (Number::Float, 8) => decode(&self.bytes, |b| f64::from_le_bytes(b) as f32),
            (Number::Brain, 2) => decode(&self.bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => Vec::new(),
        }
    }

    /// That its numbers are others than `wanted`.
    pub(crate) fn of_another_type(&self, array: &str, wanted: &str, remedy: &str) -> DataError {
        let kind = match self.number {
            Number::Unsigned => "unsigned integers",
            Number::Signed => "integers",
            Number::Float => "floats",
            Number::Brain => "bfloat16 floats",
        };
        let problem = format!(
            "its numbers are {kind} of {} bits, not {wanted}",
            8 * self.size
        );
        DataError::unfit(array, problem, remedy)
    }
}

fn decode<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| one(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(number: Number, size: usize, bytes: &[u8]) -> Array {
        Array {
            number,
            size,
            shape: vec![bytes.len() / size],
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        let signed = array(Number::Signed, 2, &[0xff, 0xff, 2, 1]);
        assert_eq!(signed.integers(), [-1, 258]);
        assert_eq!(
            array(Number::Unsigned, 2, &[0xff, 0xff]).integers(),
            [65_535]
        );
        assert!(signed.floats().is_empty());
    }

    #[test]
    fn floats_of_every_width_become_single() {
        let bytes = |x: f64| x.to_le_bytes();
        let wide = [bytes(0.1), bytes(-1e300), bytes(f64::NAN)].concat();
        let found = array(Number::Float, 8, &wide).floats();
        assert_eq!(found.get(..2), Some(&[0.1, f32::NEG_INFINITY][..]));
        assert!(found.iter().skip(2).all(|x| x.is_nan()) && found.len() == 3);
        let half = array(Number::Float, 2, &f16::from_f32(-1.5).to_le_bytes());
        assert_eq!(half.floats(), [-1.5]);
        let brain = array(Number::Brain, 2, &bf16::from_f32(3.0).to_le_bytes());
        assert_eq!(brain.floats(), [3.0]);
        let single = array(Number::Float, 4, &2.5_f32.to_le_bytes());
        assert_eq!((single.floats(), single.integers()), (vec![2.5], vec![]));
    }
}
