//! Sums of rows with coefficients: what both backward passes of a layer are.
//!
//! Blocks of terms and columns stay in the first-level cache while all rows take them, in tiles that fill the registers. Every
//! value's terms are added in their order. What of a row fills no vector goes column by column, a vector of it being the same
//! place of several rows.

use crate::loops::Loop;
use crate::simd::{Level, Simd, dispatch};

impl Combination {
    /// Columns of a row that whole vectors take.
    pub(super) fn whole(width: usize, level: Level) -> usize {
        width / level.lanes() * level.lanes()
    }

    /// All rows: `c` `[rows, terms]` has the coefficients, `turned`, which rows of whole vectors do without, the same as
    /// `[terms, rows]`.
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub(super) fn run(
        self,
        level: Level,
        (c, turned): (&[f32], &[f32]),
        from: &[f32],
        to: &mut [f32],
    ) {
        let Self { terms, width } = self;
        if width == 0 {
            return;
        }
        let rows = to.len() / width;
        let len = |rows: usize, width: usize| rows.saturating_mul(width);
        assert_eq!(to.len(), len(rows, width), "[rows, width]");
        assert_eq!(from.len(), len(terms, width), "[terms, width]");
        assert_eq!(c.len(), len(rows, terms), "[rows, terms]");
        // SAFETY: the lengths that the kernel asks for were just checked; only `to` is written, which is borrowed mutably.
        unsafe {
            combine(
                level,
                self,
                rows,
                c.as_ptr(),
                from.as_ptr(),
                to.as_mut_ptr(),
            );
        }
        let whole = Self::whole(width, level);
        if whole < width && rows > 0 {
            assert_eq!(turned.len(), c.len(), "[terms, rows]");
            let mut sums = vec![0.0; (width - whole) * rows];
            level.run(Rest {
                whole,
                width,
                rows,
                turned,
                from,
                sums: &mut sums,
            });
            for (r, row) in to.chunks_exact_mut(width).enumerate() {
                for (value, sums) in row[whole..].iter_mut().zip(sums.chunks_exact(rows)) {
                    *value = sums[r];
                }
            }
        }
    }
}

/// The columns from `whole` on: `sums` `[columns, rows]`.
struct Rest<'a> {
    whole: usize,
    width: usize,
    rows: usize,
    turned: &'a [f32],
    from: &'a [f32],
    sums: &'a mut [f32],
}

impl Loop for Rest<'_> {
    #[inline(always)]
    fn run(self) {
        let terms = self.from.chunks_exact(self.width);
        for (from, c) in terms.zip(self.turned.chunks_exact(self.rows)) {
            let columns = self.sums.chunks_exact_mut(self.rows);
            for (value, sums) in from[self.whole..].iter().zip(columns) {
                for (sum, c) in sums.iter_mut().zip(c) {
                    *sum += c * value;
                }
            }
        }
    }
}

dispatch! {
    /// The whole vectors of all rows of a combination.
    ///
    /// # Safety
    /// `from` has `k.terms` rows and `to`, which is nobody else's, `rows` rows of `k.width` floats, and `c` `rows` rows of
    /// `k.terms`.
    combine = combine_generic(k: Combination, rows: usize, c: *const f32, from: *const f32, to: *mut f32)
}

/// `to[r] = Σ_t c[r, t] · from[t]`, rows of `width`: the coefficients of a row next to each other.
#[derive(Clone, Copy)]
pub(super) struct Combination {
    pub terms: usize,
    pub width: usize,
}

/// Terms that are added before the next columns.
const TERMS: usize = 64;
/// Floats of the terms that are taken together: they stay in the first-level cache while all rows take them.
const TOGETHER: usize = TERMS * 80;
/// From so many rows on, the terms' vectors are first copied next to each other. Rows of a power of two are a multiple of the
/// cache's sets apart, and would push each other out.
const COPIED_FROM: usize = 12;

#[inline(always)]
#[allow(
    clippy::large_stack_arrays,
    reason = "twenty kilobytes, for a kernel that calls nothing but its tiles"
)]
unsafe fn combine_generic<S: Simd>(
    k: Combination,
    rows: usize,
    c: *const f32,
    from: *const f32,
    to: *mut f32,
) {
    // SAFETY: blocks of terms and columns are cut from those that there are, so rows and coefficients are those of the contract
    // of `combine`, and all vectors end inside rows of `width` floats. The copies are in a room
    // of their size, since terms times floats are at most as many.
    unsafe {
        let vectors = k.width / S::LANES;
        let mut room = [0.0_f32; TOGETHER];
        let mut first = 0;
        while first < k.terms.max(1) {
            let terms = (k.terms - first).min(TERMS);
            let most = TOGETHER / S::LANES / terms.max(1);
            let mut v = 0;
            while v < vectors {
                let across = (vectors - v).min(most);
                let place = from.add(first * k.width + v * S::LANES);
                let mut block = Block {
                    terms,
                    between_rows: k.terms,
                    from: place,
                    stride: k.width,
                    width: k.width,
                    rows,
                    vectors: across,
                    add: first > 0,
                };
                if rows >= COPIED_FROM {
                    block.stride = across * S::LANES;
                    for t in 0..terms {
                        for i in (0..block.stride).step_by(S::LANES) {
                            let value = S::load(place.add(t * k.width + i));
                            S::store(room.as_mut_ptr().add(t * block.stride + i), value);
                        }
                    }
                    block.from = room.as_ptr();
                }
                let c = c.add(first);
                block_rows::<S>(&block, c, to.add(v * S::LANES));
                v += across;
            }
            first += TERMS;
        }
    }
}

/// Some terms of a combination for some vectors of all rows.
struct Block {
    terms: usize,
    between_rows: usize,
    /// The vectors of the first term, and the floats from a term to the next.
    from: *const f32,
    stride: usize,
    /// Floats from a row of the result to the next.
    width: usize,
    rows: usize,
    /// Vectors of a row.
    vectors: usize,
    /// Add to the rows rather than overwrite them.
    add: bool,
}

/// All rows of a block, in tiles that fill the registers.
#[inline(always)]
unsafe fn block_rows<S: Simd>(b: &Block, c: *const f32, to: *mut f32) {
    /// `$R` rows; gives `$R`.
    macro_rules! row {
        ($R:literal, $c:ident, $to:ident) => {{
            let mut v = 0;
            while v < b.vectors {
                v += match (S::LANES, b.vectors - v) {
                    (16, 5..) => block_tile::<S, 5, $R>(b, v, $c, $to),
                    (16, 3..) => block_tile::<S, 3, $R>(b, v, $c, $to),
                    (_, 2..) => block_tile::<S, 2, $R>(b, v, $c, $to),
                    _ => block_tile::<S, 1, $R>(b, v, $c, $to),
                };
            }
            $R
        }};
    }
    // SAFETY: tiles take as many rows and vectors as are left, at most, of the block's rows and terms, whose coefficients and
    // places the caller promises.
    unsafe {
        let mut r = 0;
        while r < b.rows {
            let (c, to) = (c.add(r * b.between_rows), to.add(r * b.width));
            r += match (S::LANES, b.rows - r) {
                (16, 5..=7 | 9..) => row!(5, c, to),
                (8, 6..) => row!(6, c, to),
                (_, 4..) => row!(4, c, to),
                (_, 2..) => row!(2, c, to),
                _ => row!(1, c, to),
            };
        }
    }
}

/// `R` rows by `V` vectors from vector `first` on: a value's terms are added in their order, whatever the block. Gives `V`.
#[inline(always)]
unsafe fn block_tile<S: Simd, const V: usize, const R: usize>(
    b: &Block,
    first: usize,
    c: *const f32,
    to: *mut f32,
) -> usize {
    // SAFETY: the caller promises `R` rows with `V` vectors at `to`, as much of every term, and the coefficients.
    unsafe {
        let (from, to) = (b.from.add(first * S::LANES), to.add(first * S::LANES));
        let mut sums = [[S::splat(0.0); V]; R];
        if b.add {
            for (r, row) in sums.iter_mut().enumerate() {
                for (v, sum) in row.iter_mut().enumerate() {
                    *sum = S::load(to.add(r * b.width + v * S::LANES));
                }
            }
        }
        for t in 0..b.terms {
            let mut values = [S::splat(0.0); V];
            for (v, value) in values.iter_mut().enumerate() {
                *value = S::load(from.add(t * b.stride + v * S::LANES));
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let factor = S::splat(*c.add(r * b.between_rows + t));
                for (sum, value) in row.iter_mut().zip(values) {
                    *sum = S::fma(factor, value, *sum);
                }
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                S::store(to.add(r * b.width + v * S::LANES), *sum);
            }
        }
        V
    }
}
