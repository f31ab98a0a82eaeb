//! Transposition of small matrices, with which weights are packed and gradients unpacked and activations change their
//! layout: squares of 8x8 in registers, the rest one by one.

use super::simd::{Simd, dispatch};

/// A matrix `[rows, columns]` and the floats between two rows of it and of its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub from_row: usize,
    pub to_row: usize,
}

/// [`transpose`] for a kernel that already runs at its level.
///
/// # Safety
/// As for [`transpose`].
#[inline(always)]
pub(crate) unsafe fn transpose_in<S: Simd>(m: &Matrix, from: *const f32, to: *mut f32) {
    const SIDE: usize = 8;
    const BLOCK: usize = 64;
    let (rows, columns) = (m.rows / SIDE * SIDE, m.columns / SIDE * SIDE);
    // SAFETY: `rows` and `columns` are cut to whole squares, the rest goes by single elements with `r` below `m.rows` and `c`
    // below `m.columns`: all of them are elements that the contract names.
    unsafe {
        let one = |r: usize, c: usize| *to.add(c * m.to_row + r) = *from.add(r * m.from_row + c);
        // Along the longer rows, so that memory is walked in few lines; in blocks, so that short rows of the target,
        // which eight rows of the source fill by halves of cache lines, are complete before they leave the cache.
        if m.from_row > m.to_row {
            for block in (0..columns).step_by(BLOCK) {
                let end = columns.min(block + BLOCK);
                for r in (0..rows).step_by(SIDE) {
                    for c in (block..end).step_by(SIDE) {
                        let (from, to) = (from.add(r * m.from_row + c), to.add(c * m.to_row + r));
                        S::transpose(from, m.from_row, to, m.to_row);
                    }
                }
            }
        } else {
            for c in (0..columns).step_by(SIDE) {
                for r in (0..rows).step_by(SIDE) {
                    let (from, to) = (from.add(r * m.from_row + c), to.add(c * m.to_row + r));
                    S::transpose(from, m.from_row, to, m.to_row);
                }
            }
        }
        for r in rows..m.rows {
            (0..columns).for_each(|c| one(r, c));
        }
        for c in columns..m.columns {
            (0..m.rows).for_each(|r| one(r, c));
        }
    }
}

dispatch! {
    /// `to[c * to_row + r] = from[r * from_row + c]`.
    ///
    /// # Safety
    /// All elements of both matrices are readable and writable; those of `to` are nobody else's.
    transpose = transpose_in(m: &Matrix, from: *const f32, to: *mut f32)
}

/// [`transpose`] between slices.
///
/// # Panics
/// If a matrix does not fit in its slice.
pub(crate) fn transpose_slice(level: super::simd::Level, m: &Matrix, from: &[f32], to: &mut [f32]) {
    if m.rows == 0 || m.columns == 0 {
        return;
    }
    assert!(
        (m.rows - 1)
            .saturating_mul(m.from_row)
            .saturating_add(m.columns)
            <= from.len(),
        "source of a transposition"
    );
    assert!(
        (m.columns - 1)
            .saturating_mul(m.to_row)
            .saturating_add(m.rows)
            <= to.len(),
        "target of a transposition"
    );
    // SAFETY: the last element of either matrix, and so every one, lies in its slice, as was just checked; the target is
    // borrowed mutably.
    unsafe { transpose(level, m, from.as_ptr(), to.as_mut_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, transpose_slice};
    use crate::simd::Level;

    #[test]
    fn every_element_goes_to_its_place() {
        for level in Level::available_levels() {
            for (rows, columns) in [(1, 1), (8, 8), (7, 9), (20, 31), (16, 5), (48, 27)] {
                let m = Matrix {
                    rows,
                    columns,
                    from_row: columns + 3,
                    to_row: rows + 2,
                };
                let from: Vec<f32> = (0..rows * m.from_row).map(|i| i as f32).collect();
                let mut to = vec![-1.0; columns * m.to_row];
                transpose_slice(level, &m, &from, &mut to);
                for (i, v) in to.iter().enumerate() {
                    let (c, r) = (i / m.to_row, i % m.to_row);
                    let expected = if r < rows {
                        (r * m.from_row + c) as f32
                    } else {
                        -1.0
                    };
                    assert!(
                        v.to_bits() == expected.to_bits(),
                        "{level:?} {rows}x{columns}: {r}, {c}"
                    );
                }
            }
        }
    }
}
