//! Past tasks' moments as they are stored: single precision, or the upper half of it (bfloat16).
//!
//! Half the bytes is half the time of TAG's update, which is bound by reading them. A bfloat16 has the range of an `f32`
//! and 8 bits of its significand, so a stored value is off by at most 1 part in 256; it is read as an `f32` by a shift, and
//! everything is computed in `f32`.

use super::simd::Simd;
use std::borrow::Cow;
use std::ops::Range;

/// A stored vector.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// `f32`.
    Single(Vec<f32>),
    /// The upper 16 bits of an `f32`.
    Half(Vec<u16>),
}

/// A view of a [`Stored`] vector.
#[derive(Clone, Copy, Debug)]
pub enum Past<'a> {
    /// `f32`.
    Single(&'a [f32]),
    /// The upper 16 bits of an `f32`.
    Half(&'a [u16]),
}

/// The nearest bfloat16, ties to even; NaN stays NaN.
fn narrow(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    let round = 0x7fff + (bits >> 16 & 1);
    (bits.wrapping_add(round) >> 16) as u16
}

/// One of the two nearest bfloat16s, the nearer one the likelier, by 16 random bits; NaN stays NaN.
///
/// In the mean over the bits it is `x` itself. Rounding to the nearest instead would lose every addend below 1 part in 512
/// of a growing sum, which would stand still.
fn narrow_randomly(x: f32, bits: u16) -> u16 {
    if !x.is_finite() {
        return narrow(x);
    }
    (x.to_bits().wrapping_add(u32::from(bits)) >> 16) as u16
}

/// 16 bits that look random, of a place and a number.
fn bits_of(place: usize, number: u64) -> u16 {
    let mut z = (place as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(number.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 48) as u16
}

fn widen(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

impl Stored {
    /// Takes a vector as it is.
    #[must_use]
    pub fn single(values: Vec<f32>) -> Self {
        Self::Single(values)
    }

    /// Rounds a vector to the nearest bfloat16s.
    #[must_use]
    pub fn half(values: &[f32]) -> Self {
        Self::Half(values.iter().map(|&x| narrow(x)).collect())
    }

    /// The sum, in the precision of the first. In half precision it is rounded at random by bits that depend on the place
    /// and `number` alone, so that a sum of many addends neither drifts nor stands still and is the same whenever it is
    /// made again.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn plus(&self, other: &Self, number: u64) -> Self {
        let len = other.view().len();
        assert_eq!(self.view().len(), len, "sums are of equal lengths");
        let addends = other.values();
        match self {
            Self::Single(values) => {
                let sums = values.iter().zip(addends.iter());
                Self::Single(sums.map(|(a, b)| a + b).collect())
            }
            Self::Half(values) => {
                let sums = values.iter().zip(addends.iter()).enumerate();
                let sum = |(i, (a, b)): (usize, (&u16, &f32))| {
                    narrow_randomly(widen(*a) + b, bits_of(i, number))
                };
                Self::Half(sums.map(sum).collect())
            }
        }
    }

    /// The stored values, exactly.
    #[must_use]
    pub fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Single(values) => Cow::Borrowed(values),
            Self::Half(values) => Cow::Owned(values.iter().map(|&x| widen(x)).collect()),
        }
    }

    /// A view of all of it.
    #[must_use]
    pub fn view(&self) -> Past<'_> {
        match self {
            Self::Single(values) => Past::Single(values),
            Self::Half(values) => Past::Half(values),
        }
    }

    /// Bytes of the values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Single(values) => size_of_val(values.as_slice()),
            Self::Half(values) => size_of_val(values.as_slice()),
        }
    }
}

impl<'a> From<&'a [f32]> for Past<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Single(values)
    }
}

impl Past<'_> {
    /// Number of values.
    #[must_use]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Half(values) => values.len(),
        }
    }
}

/// Past vectors that are walked together: with fewer, memory has too few answers under way; with more, the running sums of
/// their products would not fit into 16 registers.
pub(crate) const TOGETHER: usize = 3;

/// The same part of one to [`TOGETHER`] vectors of one precision, and how many there are; the others are empty.
pub(crate) enum Parts<'a> {
    /// `f32`.
    Single([&'a [f32]; TOGETHER], usize),
    /// The upper 16 bits of an `f32`.
    Half([&'a [u16]; TOGETHER], usize),
}

/// The part `r` of all vectors, in order, each group with the number of its first. None is left alone that need not be: of
/// four, two are taken at a time.
pub(crate) fn in_parts<'a>(
    past: &'a [Past<'_>],
    r: &Range<usize>,
) -> impl Iterator<Item = (usize, Parts<'a>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &past[at..];
        let most = if rest.len() == TOGETHER + 1 {
            2
        } else {
            TOGETHER
        };
        let (parts, n) = match rest.first()? {
            Past::Single(_) => {
                let (parts, n) = f32::parts(rest, r, most);
                (Parts::Single(parts, n), n)
            }
            Past::Half(_) => {
                let (parts, n) = u16::parts(rest, r, most);
                (Parts::Half(parts, n), n)
            }
        };
        at += n;
        Some((at - n, parts))
    })
}

/// A number as it is stored.
pub(crate) trait Element: Copy {
    /// The vector, if it is of these.
    fn of<'a>(past: &Past<'a>) -> Option<&'a [Self]>;
    /// # Safety
    /// As [`Simd::load`], for a vector of these.
    unsafe fn load<S: Simd>(p: *const Self) -> S::V;
    fn single(self) -> f32;

    /// The part `r` of the vectors at the front that are of these, `most` at most, and their number.
    fn parts<'a>(
        past: &[Past<'a>],
        r: &Range<usize>,
        most: usize,
    ) -> ([&'a [Self]; TOGETHER], usize) {
        let mut parts = [&[][..]; TOGETHER];
        let mut n = 0;
        for (part, values) in parts
            .iter_mut()
            .zip(past.iter().map_while(Self::of))
            .take(most)
        {
            *part = &values[r.clone()];
            n += 1;
        }
        (parts, n)
    }
}

impl Element for f32 {
    fn of<'a>(past: &Past<'a>) -> Option<&'a [Self]> {
        match past {
            Past::Single(values) => Some(values),
            Past::Half(_) => None,
        }
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: by contract a vector of floats is readable at `p`, and the caller runs with the instructions of `S`.
        unsafe { S::load(p) }
    }
    #[inline(always)]
    fn single(self) -> f32 {
        self
    }
}

impl Element for u16 {
    fn of<'a>(past: &Past<'a>) -> Option<&'a [Self]> {
        match past {
            Past::Half(values) => Some(values),
            Past::Single(_) => None,
        }
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::V {
        // SAFETY: by contract a vector of halves is readable at `p`, and the caller runs with the instructions of `S`.
        unsafe { S::load_half(p) }
    }
    #[inline(always)]
    fn single(self) -> f32 {
        widen(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Stored, narrow, narrow_randomly, widen};

    #[test]
    #[cfg_attr(miri, ignore = "all 65536 roundings, without unsafe code")]
    fn random_rounding_keeps_what_is_exact_and_the_mean_of_what_is_not() {
        for x in [0.0, -0.0, 1.0, -2.5, f32::INFINITY, f32::NEG_INFINITY] {
            for bits in [0, 1, 0x7fff, 0xffff] {
                assert_eq!(widen(narrow_randomly(x, bits)), x);
            }
        }
        assert!(widen(narrow_randomly(f32::NAN, 0xffff)).is_nan());
        let x = 1.0 + 0.3 / 128.0;
        let ups = (0..=u16::MAX).filter(|&bits| widen(narrow_randomly(x, bits)) > 1.0);
        let share = ups.count() as f32 / 65536.0;
        assert!((share - 0.3).abs() < 1e-4, "{share}");
    }

    /// Rounded to the nearest, the sum would stand still at 256 of 2000.
    #[test]
    #[cfg_attr(miri, ignore = "millions of additions, without unsafe code")]
    fn a_long_sum_in_half_precision_neither_stands_still_nor_drifts() {
        let ones = Stored::half(&[1.0; 1000]);
        let sum = (0..1999).fold(ones.clone(), |sum, n| sum.plus(&ones, n));
        assert_eq!(sum.bytes(), 2000);
        let values = sum.values();
        let mean = values.iter().sum::<f32>() / 1000.0;
        assert!((mean - 2000.0).abs() < 10.0, "{mean}");
        assert!(values.iter().all(|x| (x - 2000.0).abs() < 400.0));
        let again = (0..1999).fold(ones.clone(), |sum, n| sum.plus(&ones, n));
        assert_eq!(again, sum);
        let single = Stored::single(vec![1.0]).plus(&Stored::half(&[2.0]), 7);
        assert_eq!(single, Stored::single(vec![3.0]));
    }

    #[test]
    fn narrowing_rounds_to_the_nearest_and_widening_is_exact() {
        for (x, y) in [
            (0.0, 0.0),
            (-0.0, -0.0),
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (1.0 + 1.1 / 256.0, 1.0 + 2.0 / 256.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::MAX, f32::INFINITY),
        ] {
            assert_eq!(widen(narrow(x)).to_bits(), f32::to_bits(y), "{x}");
        }
        assert!(widen(narrow(f32::NAN)).is_nan());
        assert!(widen(narrow(f32::from_bits(0x7f80_0001))).is_nan());
        let stored = Stored::half(&[0.1, -3.7, 1e-20]);
        assert_eq!(Stored::half(&stored.values()), stored);
        assert_eq!(stored.bytes(), 6);
    }
}
