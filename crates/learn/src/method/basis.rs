//! An orthonormal basis that grows, and what lies outside of it: what OGD, GPM and SGP share.
//!
//! Owns Gram and Schmidt's procedure on vectors in single precision, with all sums in double. Sums run over blocks and lanes
//! whose sizes are fixed, so results do not depend on the processor.

use crate::model::LearnerError;

use super::invalid;

/// Values of a block: several vectors of the basis pass over a block that stays in the first cache.
const BLOCK: usize = 2048;
/// Sums that run side by side.
const LANES: usize = 8;
/// A candidate of which less than this share is left lies in the basis, as far as single precision tells.
const NEGLIGIBLE: f64 = 1e-5;

/// Orthonormal vectors of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Basis {
    len: usize,
    count: usize,
    /// `[count, len]`.
    values: Vec<f32>,
}

/// Scalar product in double precision, in [`LANES`] sums.
fn dot(a: &[f32], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f64 = rest.map(|(x, y)| f64::from(*x) * y).sum();
    for (a, b) in a.zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(*x) * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl Basis {
    /// No vectors yet, of this length.
    pub(super) fn new(len: usize) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    /// How many vectors there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Values of a vector.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The vectors.
    pub(super) fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.len.max(1))
    }

    /// All of them, end to end.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The products with the basis.
    ///
    /// # Shapes
    /// - `vector`: `[len]`
    /// - output: `[count]`
    pub(super) fn products(&self, vector: &[f64]) -> Vec<f64> {
        let mut products = vec![0.0; self.count];
        for (number, block) in vector.chunks(BLOCK).enumerate() {
            let start = number * BLOCK;
            for (product, own) in products.iter_mut().zip(self.vectors()) {
                *product += dot(own.get(start..).unwrap_or_default(), block);
            }
        }
        products
    }

    /// Takes out what of the vector lies in the basis.
    pub(super) fn reduce(&self, vector: &mut [f64]) {
        let products = self.products(vector);
        for (number, block) in vector.chunks_mut(BLOCK).enumerate() {
            let start = number * BLOCK;
            for (product, own) in products.iter().zip(self.vectors()) {
                for (x, own) in block.iter_mut().zip(own.get(start..).unwrap_or_default()) {
                    *x -= product * f64::from(*own);
                }
            }
        }
    }

    /// Takes out what of a gradient lies in the basis; without vectors no bit changes.
    pub(super) fn remove_from(&self, gradient: &mut [f32]) {
        if self.count == 0 {
            return;
        }
        let mut vector: Vec<f64> = gradient.iter().map(|g| f64::from(*g)).collect();
        self.reduce(&mut vector);
        for (g, x) in gradient.iter_mut().zip(vector) {
            *g = x as f32;
        }
    }

    /// Makes the basis span one more vector; whether it did not do so before, as far as single precision tells. What is not
    /// finite is no direction.
    ///
    /// What is left of a candidate is reduced a second time, since the first leaves rounding that is large beside a small rest.
    pub(super) fn extend(&mut self, mut candidate: Vec<f64>) -> bool {
        let before = length(&candidate);
        if candidate.len() != self.len || self.count >= self.len {
            return false;
        }
        self.reduce(&mut candidate);
        self.reduce(&mut candidate);
        let left = length(&candidate);
        // Not-a-number is not greater, either.
        if !(left > NEGLIGIBLE * before && left.is_finite()) {
            return false;
        }
        self.values
            .extend(candidate.iter().map(|x| (x / left) as f32));
        self.count += 1;
        true
    }

    /// A basis of these vectors, end to end.
    pub(super) fn restored(
        len: usize,
        count: usize,
        values: Vec<f32>,
    ) -> Result<Self, LearnerError> {
        if count > len || count.checked_mul(len) != Some(values.len()) {
            return Err(invalid("basis"));
        }
        let mut basis = Self { len, count, values };
        basis.shrink();
        Ok(basis)
    }

    /// Gives back memory that is kept for further vectors.
    pub(super) fn shrink(&mut self) {
        self.values.shrink_to_fit();
    }

    /// Bytes of the vectors.
    pub(super) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The basis is orthonormal to single precision.
    pub(in crate::method) fn assert_orthonormal(basis: &Basis) {
        for (i, a) in basis.vectors().enumerate() {
            let a: Vec<f64> = a.iter().map(|x| f64::from(*x)).collect();
            for (j, product) in basis.products(&a).into_iter().enumerate() {
                let expected = f64::from(u8::from(i == j));
                assert!((product - expected).abs() < 1e-5, "{i} {j}: {product}");
            }
        }
    }

    fn vectors(count: usize, len: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(prop::collection::vec(-1.0_f64..1.0, len), count)
    }

    proptest! {
        /// Nearly parallel candidates, and more of them than there are dimensions.
        #[test]
        fn a_basis_is_orthonormal_and_spans_its_candidates(
            all in (1_usize..12).prop_flat_map(|len| vectors(2 * len, len)),
            nearness in -4.0_f64..0.0,
        ) {
            let mut basis = Basis::new(all[0].len());
            let first = all[0].clone();
            for own in &all {
                let near = own.iter().zip(&first).map(|(x, y)| y + 10_f64.powf(nearness) * x);
                let near: Vec<f64> = near.collect();
                let size = length(&near);
                basis.extend(near.clone());
                let mut rest: Vec<f32> = near.iter().map(|x| *x as f32).collect();
                basis.remove_from(&mut rest);
                let rest = rest.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
                prop_assert!(f64::from(rest) <= 3e-5 * size, "{rest} {size}");
            }
            prop_assert!(basis.count() <= basis.len());
            assert_orthonormal(&basis);
        }

        /// Over blocks and lanes: what is left has no part in the basis, and what was taken lies in it.
        #[test]
        fn what_is_left_of_a_gradient_is_orthogonal(
            len in 1_usize..5000,
            count in 0_usize..5,
            seed in 0_u32..1000,
        ) {
            let value = |i: usize, k: usize| f64::from((i * 31 + k * 977 + seed as usize) as u32 % 1009).sin();
            let mut basis = Basis::new(len);
            for k in 0..count {
                basis.extend((0..len).map(|i| value(i, k)).collect());
            }
            let mut gradient: Vec<f32> = (0..len).map(|i| value(i, 77) as f32).collect();
            let exact: Vec<f64> = gradient.iter().map(|x| f64::from(*x)).collect();
            let before = basis.products(&exact);
            basis.remove_from(&mut gradient);
            let left: Vec<f64> = gradient.iter().map(|x| f64::from(*x)).collect();
            let size = length(&exact);
            for product in basis.products(&left) {
                prop_assert!(product.abs() <= 1e-6 * size);
            }
            for (i, left) in left.iter().enumerate() {
                let taken: f64 = before.iter().zip(basis.vectors()).map(|(p, v)| p * f64::from(v[i])).sum();
                prop_assert!((exact[i] - taken - left).abs() <= 1e-6 * size.max(1.0));
            }
        }
    }

    #[test]
    fn what_is_no_direction_is_left_out() {
        let mut basis = Basis::new(2);
        for candidate in [
            [0.0, 0.0],
            [f64::NAN, 1.0],
            [f64::INFINITY, 1.0],
            [1e-3, 0.0],
            [5.0, 1e-6],
        ] {
            basis.extend(candidate.to_vec());
        }
        assert_eq!(basis.values(), [1.0, 0.0]);
        assert!(basis.extend(vec![3.0, 4.0]) && !basis.extend(vec![3.0, 4.0]));
        assert_eq!(basis.count(), 2);
        assert!(!basis.extend(vec![1.0]));
        let mut gradient = [-0.0_f32, 1.0];
        Basis::new(2).remove_from(&mut gradient);
        assert!(gradient[0].is_sign_negative());
    }
}
