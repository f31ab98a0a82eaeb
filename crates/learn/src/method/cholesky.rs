//! Symmetric matrices in double precision: sums of squares of rows, and the solution of positive definite systems.
//!
//! Owns the little linear algebra that methods without gradients need. Matrices are `[n, n]`, row-major, and of symmetric ones
//! the lower triangle counts. Sums run in one order on every machine, so that results do not depend on the processor.

/// Rows and columns of a tile: 16 sums stay in the registers of any processor.
const TILE: usize = 4;
/// Columns that are eliminated together.
const BLOCK: usize = 64;

/// Rows `[count, n]` as panels of [`TILE`] columns, one after another: `[panel][row][TILE]`, zeros beyond the last column.
fn panels(rows: &[f64], n: usize) -> Vec<f64> {
    let count = rows.len() / n.max(1);
    let mut packed = vec![0.0; n.div_ceil(TILE) * count * TILE];
    for (panel, to) in packed.chunks_exact_mut((count * TILE).max(1)).enumerate() {
        for (row, to) in rows.chunks_exact(n.max(1)).zip(to.chunks_exact_mut(TILE)) {
            let from = row.get(panel * TILE..).unwrap_or_default();
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        }
    }
    packed
}

/// `c += sign · Σ rowᵀ row` in the lower triangle from `from` on.
///
/// # Shapes
/// `c` `[n, n]`, `rows` `[count, n]`.
pub(super) fn add_squares(c: &mut [f64], n: usize, rows: &[f64], from: usize, sign: f64) {
    let count = rows.len() / n.max(1);
    let packed = panels(rows, n);
    let panel = |tile: usize| {
        let size = count * TILE;
        packed
            .get(tile * size..(tile + 1) * size)
            .unwrap_or_default()
    };
    for i in from / TILE..n.div_ceil(TILE) {
        for j in from / TILE..=i {
            let mut sums = [[0.0_f64; TILE]; TILE];
            let (left, _) = panel(i).as_chunks::<TILE>();
            let (right, _) = panel(j).as_chunks::<TILE>();
            for (left, right) in left.iter().zip(right) {
                for (sums, x) in sums.iter_mut().zip(left) {
                    for (sum, y) in sums.iter_mut().zip(right) {
                        *sum += x * y;
                    }
                }
            }
            for (row, sums) in (i * TILE..n).zip(sums) {
                for (column, sum) in (j * TILE..n).zip(sums) {
                    if row >= from && column >= from && column <= row {
                        c[row * n + column] += sign * sum;
                    }
                }
            }
        }
    }
}

/// Turns the lower triangle of a positive definite matrix into that of its Cholesky factor `L`, `L Lᵀ` being the matrix;
/// false, with the content lost, if it is not positive definite to double precision.
pub(super) fn factor(a: &mut [f64], n: usize) -> bool {
    for first in (0..n).step_by(BLOCK) {
        let end = (first + BLOCK).min(n);
        for row in first..n {
            let (above, own) = a.split_at_mut(row * n);
            for column in first..=row.min(end - 1) {
                let of_column = match column {
                    _ if column == row => None,
                    _ => Some(&above[column * n..column * n + n]),
                };
                let sum: f64 = match of_column {
                    Some(of_column) => (first..column).map(|k| own[k] * of_column[k]).sum(),
                    None => (first..column).map(|k| own[k] * own[k]).sum(),
                };
                let rest = own[column] - sum;
                own[column] = match of_column {
                    Some(of_column) => rest / of_column[column],
                    // Written so that what is no number is refused, too.
                    None if rest > 0.0 && rest.is_finite() => rest.sqrt(),
                    None => return false,
                };
            }
        }
        let mut eliminated = vec![0.0; (end - first) * n];
        for (k, row) in eliminated.chunks_exact_mut(n).enumerate() {
            for (i, value) in row.iter_mut().enumerate().skip(end) {
                *value = a[i * n + first + k];
            }
        }
        add_squares(a, n, &eliminated, end, -1.0);
    }
    true
}

/// `x` of `L Lᵀ x = b`, in the place of `b`; `l` is of [`factor`].
pub(super) fn solve(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let row = &l[i * n..i * n + i];
        let sum: f64 = row.iter().zip(&*b).map(|(l, x)| l * x).sum();
        b[i] = (b[i] - sum) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let x = b[i] / l[i * n + i];
        b[i] = x;
        let row = &l[i * n..i * n + i];
        for (b, l) in b.iter_mut().zip(row) {
            *b -= l * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `Σ rowᵀ row`, the slow way.
    fn squares(rows: &[f64], n: usize) -> Vec<f64> {
        let mut c = vec![0.0; n * n];
        for row in rows.chunks_exact(n) {
            for i in 0..n {
                for j in 0..n {
                    c[i * n + j] += row[i] * row[j];
                }
            }
        }
        c
    }

    proptest! {
        #[test]
        fn sums_of_squares_are_those_of_the_definition(
            (n, rows) in (1_usize..20, 0_usize..9).prop_flat_map(|(n, count)| (Just(n), prop::collection::vec(-3.0_f64..3.0, n * count)))
        ) {
            let (slow, mut fast) = (squares(&rows, n), vec![0.0; n * n]);
            add_squares(&mut fast, n, &rows, 0, 1.0);
            for i in 0..n {
                for j in 0..n {
                    let expected = if j <= i { slow[i * n + j] } else { 0.0 };
                    prop_assert!((fast[i * n + j] - expected).abs() < 1e-10);
                }
            }
        }

        #[test]
        fn what_is_solved_gives_the_right_side_again(
            (n, rows, b) in (1_usize..150).prop_flat_map(|n| (Just(n), prop::collection::vec(-1.0_f64..1.0, n * 8), prop::collection::vec(-1.0_f64..1.0, n)))
        ) {
            let mut a = squares(&rows, n);
            for i in 0..n {
                a[i * n + i] += 0.5;
            }
            let (mut l, mut x) = (a.clone(), b.clone());
            prop_assert!(factor(&mut l, n));
            solve(&l, n, &mut x);
            for (row, b) in a.chunks_exact(n).zip(&b) {
                let found: f64 = row.iter().zip(&x).map(|(a, x)| a * x).sum();
                prop_assert!((found - b).abs() < 1e-9, "{found} {b}");
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        assert!(!factor(&mut [1.0, 0.0, 2.0, 1.0], 2));
        assert!(!factor(&mut [0.0], 1));
        assert!(!factor(&mut [f64::NAN], 1) && !factor(&mut [f64::INFINITY], 1));
        assert!(factor(&mut [], 0));
    }
}
