//! Eigenvalues and eigenvectors of symmetric matrices, in double precision.
//!
//! Owns Householder's reduction to three diagonals and the QL iteration with implicit shifts (Golub and Van Loan, *Matrix
//! Computations*, 8.3). A crate would do it, too; the one that does (`nalgebra`) changes features that Burn shares, so that all of
//! Burn would be built anew for these two loops. Sums run in an order of their own and no function of the system's library takes part, so
//! results do not depend on the machine.

/// Sums that run side by side.
const LANES: usize = 8;
/// Rounds of an eigenvalue; two or three are usual.
const ROUNDS: usize = 60;

/// Scalar product, in [`LANES`] sums.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f64 = rest.map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `x ← x + factor · y`.
pub(super) fn add(x: &mut [f64], factor: f64, y: &[f64]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += factor * y;
    }
}

/// Three diagonals, and the orthogonal matrix that led there.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// Beside the diagonal; one value less, and a 0.
    beside: Vec<f64>,
    /// Rows are the columns of Q in `A = Q T Qᵀ`.
    vectors: Vec<Vec<f64>>,
}

impl Tridiagonal {
    fn of(mut matrix: Vec<Vec<f64>>) -> Self {
        let n = matrix.len();
        let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
        let mut mirrors: Vec<(f64, Vec<f64>)> = Vec::new();
        for k in 0..n {
            diagonal[k] = matrix[k][k];
            let mut v = matrix[k][k + 1..].to_vec();
            let size = dot(&v, &v).sqrt();
            let Some(first) = v.first_mut() else { break };
            if size == 0.0 {
                mirrors.push((0.0, v));
                continue;
            }
            let image = if *first > 0.0 { -size } else { size };
            beside[k] = image;
            *first -= image;
            let factor = 2.0 / dot(&v, &v);
            // A ← (1 − f v vᵀ) A (1 − f v vᵀ) on what is left.
            let rest = &mut matrix[k + 1..];
            let mut w: Vec<f64> = rest
                .iter()
                .map(|row| factor * dot(&row[k + 1..], &v))
                .collect();
            let along = -0.5 * factor * dot(&w, &v);
            add(&mut w, along, &v);
            for (i, row) in rest.iter_mut().enumerate() {
                add(&mut row[k + 1..], -v[i], &w);
                add(&mut row[k + 1..], -w[i], &v);
            }
            mirrors.push((factor, v));
        }
        let mut vectors = vec![vec![0.0; n]; n];
        for (i, row) in vectors.iter_mut().enumerate() {
            row[i] = 1.0;
        }
        for (k, (factor, v)) in mirrors.iter().enumerate().rev() {
            for row in &mut vectors {
                let along = -factor * dot(&row[k + 1..], v);
                add(&mut row[k + 1..], along, v);
            }
        }
        Self {
            diagonal,
            beside,
            vectors,
        }
    }

    /// Makes the value beside the diagonal at `l` vanish; `None` where that finds no end.
    fn solve(&mut self, l: usize, negligible: f64) -> Option<()> {
        let n = self.diagonal.len();
        for _ in 0..ROUNDS {
            let m = (l..n).find(|&m| m + 1 == n || self.beside[m].abs() <= negligible)?;
            if m == l {
                self.beside[l] = 0.0;
                return Some(());
            }
            self.round(l, m);
        }
        None
    }

    /// One QL step with Wilkinson's shift, on the block from `l` to `m`.
    fn round(&mut self, l: usize, m: usize) {
        let (d, e) = (&mut self.diagonal, &mut self.beside);
        let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
        let root = (half * half + 1.0).sqrt();
        let mut g = d[m] - d[l] + e[l] / (half + if half < 0.0 { -root } else { root });
        let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
        for i in (l..m).rev() {
            let (f, b) = (s * e[i], c * e[i]);
            let r = (f * f + g * g).sqrt();
            e[i + 1] = r;
            if r == 0.0 {
                d[i + 1] -= p;
                e[m] = 0.0;
                return;
            }
            (s, c) = (f / r, g / r);
            g = d[i + 1] - p;
            let r = (d[i] - g) * s + 2.0 * c * b;
            p = s * r;
            d[i + 1] = g + p;
            g = c * r - b;
            if let [lower, upper] = &mut self.vectors[i..i + 2] {
                turn(lower, upper, c, s);
            }
        }
        d[l] -= p;
        e[l] = g;
        e[m] = 0.0;
    }
}

/// A rotation of two vectors.
fn turn(lower: &mut [f64], upper: &mut [f64], c: f64, s: f64) {
    for (x, y) in lower.iter_mut().zip(upper) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

/// Eigenvalues with their eigenvectors of length 1, the largest value first; `None` for values that are not finite.
///
/// # Shapes
/// - `matrix`: `[n, n]`, symmetric
pub(super) fn symmetric(mut matrix: Vec<Vec<f64>>) -> Option<Vec<(f64, Vec<f64>)>> {
    let values = || matrix.iter().flatten();
    if !values().all(|x| x.is_finite()) {
        return None;
    }
    // On a scale of 1 no square of a value leaves the range of numbers.
    let scale = values().fold(0.0, |most: f64, x| most.max(x.abs()));
    if scale > 0.0 {
        for x in matrix.iter_mut().flatten() {
            *x /= scale;
        }
    }
    let mut found = Tridiagonal::of(matrix);
    let norm = found.diagonal.iter().chain(&found.beside);
    let norm = norm.fold(0.0, |most: f64, x| most.max(x.abs()));
    for l in 0..found.diagonal.len() {
        found.solve(l, f64::EPSILON * norm)?;
    }
    let values = found.diagonal.iter().map(|value| value * scale);
    let mut pairs: Vec<_> = values.zip(found.vectors).collect();
    pairs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(matrix: &[Vec<f64>]) -> Result<Vec<f64>, TestCaseError> {
        let pairs = symmetric(matrix.to_vec()).unwrap();
        let scale = matrix
            .iter()
            .flatten()
            .fold(1e-300, |most: f64, x| most.max(x.abs()));
        prop_assert_eq!(pairs.len(), matrix.len());
        for (i, (value, vector)) in pairs.iter().enumerate() {
            prop_assert!(i == 0 || pairs[i - 1].0 >= *value);
            for (row, x) in matrix.iter().zip(vector) {
                prop_assert!(
                    (dot(row, vector) - value * x).abs() < 1e-12 * scale * matrix.len() as f64
                );
            }
            for (j, (_, other)) in pairs.iter().enumerate() {
                let expected = f64::from(u8::from(i == j));
                prop_assert!((dot(vector, other) - expected).abs() < 1e-12 * matrix.len() as f64);
            }
        }
        Ok(pairs.into_iter().map(|(value, _)| value).collect())
    }

    proptest! {
        #[test]
        fn vectors_are_orthonormal_and_go_with_their_values(
            n in 0_usize..40,
            seed in 0_u64..1000,
            power in -100_i32..100,
        ) {
            let mut noise = crate::seed::Seeds::new(seed).stream("matrix");
            let mut matrix = vec![vec![0.0; n]; n];
            let places = (0..n).flat_map(|i| (0..=i).map(move |j| (i, j)));
            for (i, j) in places {
                // Many zeros, so that some blocks fall apart.
                let x = f64::from(noise.normal()) * f64::from(noise.below(3) / 2) * 10_f64.powi(power);
                (matrix[i][j], matrix[j][i]) = (x, x);
            }
            let trace: f64 = (0..n).map(|i| matrix[i][i]).sum();
            let sum: f64 = check(&matrix)?.iter().sum();
            prop_assert!((sum - trace).abs() <= 1e-11 * 10_f64.powi(power));
        }

        /// Of few dimensions, among many: most values are 0.
        #[test]
        fn products_of_low_rank(n in 1_usize..40, rank in 1_usize..4, seed in 0_u64..1000) {
            let mut noise = crate::seed::Seeds::new(seed).stream("matrix");
            let mut matrix = vec![vec![0.0; n]; n];
            for _ in 0..rank {
                let v: Vec<f64> = (0..n).map(|_| f64::from(noise.normal())).collect();
                for (row, x) in matrix.iter_mut().zip(&v) {
                    add(row, *x, &v);
                }
            }
            let values = check(&matrix)?;
            for value in values.iter().skip(rank) {
                prop_assert!(value.abs() < 1e-11 * values[0]);
            }
        }
    }

    #[test]
    fn by_hand() {
        let found = symmetric(vec![vec![2.0, 1.0], vec![1.0, 2.0]]).unwrap();
        assert!((found[0].0 - 3.0).abs() < 1e-14 && (found[1].0 - 1.0).abs() < 1e-14);
        let identity = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let found = symmetric(identity.clone()).unwrap();
        assert_eq!(found, [(1.0, vec![1.0, 0.0]), (1.0, vec![0.0, 1.0])]);
        assert_eq!(symmetric(vec![vec![0.0; 3]; 3]).unwrap()[2].0, 0.0);
        assert_eq!(symmetric(vec![vec![f64::NAN]]), None);
        assert_eq!(symmetric(Vec::new()), Some(Vec::new()));
    }
}
