//! Fully connected layers with ReLU: forward pass and both gradients, on plain slices.
//!
//! Weights lie `[outputs, inputs]`, as PyTorch has them, and are read as they lie. The forward pass takes dot products
//! along the inputs for a tile of outputs by examples; both backward passes have vectors over the inputs, the one to the
//! weights summing over examples, the one to the inputs over outputs. Every value is summed in one order whatever the
//! tile, so it does not depend on the rest of the batch.

use super::simd::{Level, Simd, dispatch};
use super::transpose::{Matrix, transpose_slice};

/// Sizes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Examples.
    pub batch: usize,
    /// Values of an example before the layer.
    pub inputs: usize,
    /// And after it.
    pub outputs: usize,
}

impl Dense {
    fn check(&self, x: &[f32], w: &[f32], y: &[f32]) {
        // A product that saturates is no slice's length.
        let len = |rows: usize, width: usize| rows.saturating_mul(width);
        assert_eq!(x.len(), len(self.batch, self.inputs), "[batch, inputs]");
        assert_eq!(w.len(), len(self.outputs, self.inputs), "[outputs, inputs]");
        assert_eq!(y.len(), len(self.batch, self.outputs), "[batch, outputs]");
    }

    /// `y = max(x Wᵀ + b, 0)`.
    ///
    /// # Shapes
    /// `x` `[batch, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`, `y` `[batch, outputs]`.
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn forward_relu(
        &self,
        level: Level,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        y: &mut [f32],
    ) {
        self.check(x, weight, y);
        assert_eq!(bias.len(), self.outputs, "[outputs]");
        // SAFETY: the lengths checked above are those that the kernel asks for; only `y` is written, which is borrowed
        // mutably.
        unsafe {
            forward(
                level,
                *self,
                x.as_ptr(),
                weight.as_ptr(),
                bias.as_ptr(),
                y.as_mut_ptr(),
            );
        }
    }

    /// Gradients of weight and bias from that of the layer before its ReLU: `dW = gᵀ x`, `db = Σ g`, both overwritten.
    ///
    /// # Shapes
    /// `g` `[batch, outputs]`, `x` `[batch, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    ///
    /// # Panics
    /// As [`Self::forward_relu`].
    pub fn weight_gradient(
        &self,
        level: Level,
        g: &[f32],
        x: &[f32],
        weight: &mut [f32],
        bias: &mut [f32],
    ) {
        self.check(x, weight, g);
        assert_eq!(bias.len(), self.outputs, "[outputs]");
        bias.fill(0.0);
        for row in g.chunks_exact(self.outputs.max(1)) {
            for (b, g) in bias.iter_mut().zip(row) {
                *b += g;
            }
        }
        // An output's gradients next to each other: a tile takes those of all examples.
        let mut turned = vec![0.0; g.len()];
        let m = Matrix {
            rows: self.batch,
            columns: self.outputs,
            from_row: self.outputs,
            to_row: self.batch,
        };
        transpose_slice(level, &m, g, &mut turned);
        // SAFETY: the lengths checked above: the sum runs over the examples `t`, whose rows of `inputs` floats are those of
        // `x`; row `r` of `weight` has the coefficients `turned[r][t]`; only `weight` is written, which is borrowed mutably.
        unsafe {
            let sum = Combination {
                terms: self.batch,
                between_terms: 1,
                between_rows: self.batch,
                width: self.inputs,
            };
            let (g, x) = (turned.as_ptr(), x.as_ptr());
            combine(level, sum, self.outputs, g, x, weight.as_mut_ptr());
        }
    }

    /// Gradient of the layer's inputs from that of the layer before its ReLU: `dx = g W`, overwritten.
    ///
    /// # Shapes
    /// `g` `[batch, outputs]`, `weight` `[outputs, inputs]`, `dx` `[batch, inputs]`.
    ///
    /// # Panics
    /// As [`Self::forward_relu`].
    pub fn input_gradient(&self, level: Level, g: &[f32], weight: &[f32], dx: &mut [f32]) {
        self.check(dx, weight, g);
        // SAFETY: the lengths checked above: the sum runs over the outputs `t`, whose rows of `inputs` floats are those of
        // `weight`; row `r` of `dx` has the coefficients `g[r][t]`; only `dx` is written, which is borrowed mutably.
        unsafe {
            let sum = Combination {
                terms: self.outputs,
                between_terms: 1,
                between_rows: self.outputs,
                width: self.inputs,
            };
            let (g, weight) = (g.as_ptr(), weight.as_ptr());
            combine(level, sum, self.batch, g, weight, dx.as_mut_ptr());
        }
    }
}

/// Passes a gradient back through dropout and ReLU: 0 where the layer's output `y` (after both) is 0, times the mask
/// elsewhere.
///
/// # Panics
/// If the lengths differ.
pub fn relu_gradient(g: &mut [f32], y: &[f32], mask: Option<&[f32]>) {
    assert_eq!(g.len(), y.len(), "one gradient a value");
    for (g, y) in g.iter_mut().zip(y) {
        *g = if *y > 0.0 { *g } else { 0.0 };
    }
    if let Some(mask) = mask {
        assert_eq!(g.len(), mask.len(), "one mask a value");
        for (g, m) in g.iter_mut().zip(mask) {
            *g *= m;
        }
    }
}

dispatch! {
    /// # Safety
    /// `x` has `d.batch` and `w` `d.outputs` rows of `d.inputs` floats, `bias` `d.outputs` floats, and `y`, which is
    /// nobody else's, `d.batch` rows of `d.outputs`.
    forward = forward_generic(d: Dense, x: *const f32, w: *const f32, bias: *const f32, y: *mut f32)
}
dispatch! {
    /// All rows of a combination.
    ///
    /// # Safety
    /// `from` has `k.terms` rows and `to`, which is nobody else's, `rows` rows of `k.width` floats; for every row `r` of
    /// `to` and `t` of `from`, `c[r * k.between_rows + t * k.between_terms]` is readable.
    combine = combine_generic(k: Combination, rows: usize, c: *const f32, from: *const f32, to: *mut f32)
}

/// Calls `$tile::<S, A, B>` over a grid of `$rows` by `$columns` in tiles of 4 by 5 (where there are 32 registers), 4 by
/// 2, and at the edges 4 by 1 and 1 by 1.
macro_rules! tiles {
    ($S:ident, $rows:expr, $columns:expr, |$r:ident, $c:ident| $tile:ident($($arg:expr),*)) => {{
        let mut $r = 0;
        while $r < $rows {
            let tall = $rows - $r >= 4;
            let mut $c = 0;
            while $c < $columns {
                let left = $columns - $c;
                if tall && left >= 5 && $S::LANES == 16 {
                    $tile::<$S, 4, 5>($($arg),*);
                    $c += 5;
                } else if tall && left >= 2 {
                    $tile::<$S, 4, 2>($($arg),*);
                    $c += 2;
                } else if tall {
                    $tile::<$S, 4, 1>($($arg),*);
                    $c += 1;
                } else {
                    $tile::<$S, 1, 1>($($arg),*);
                    $c += 1;
                }
            }
            $r += if tall { 4 } else { 1 };
        }
    }};
}

#[inline(always)]
unsafe fn forward_generic<S: Simd>(
    d: Dense,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
) {
    // SAFETY: `tiles!` takes as many rows and columns as are left, at most: outputs below `outputs`, whose rows of `w` and
    // numbers of `bias` there are, and examples below `batch`, whose rows of `x` there are; their crossings in `y` are
    // writable. All this is the contract of `forward`.
    unsafe {
        tiles!(S, d.outputs, d.batch, |o, b| forward_tile(
            d,
            x.add(b * d.inputs),
            w.add(o * d.inputs),
            bias.add(o),
            y.add(b * d.outputs + o)
        ));
    }
}

/// `O` outputs by `B` examples.
#[inline(always)]
unsafe fn forward_tile<S: Simd, const O: usize, const B: usize>(
    d: Dense,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
) {
    // SAFETY: the caller promises `O` rows of `w` and `B` rows of `x` of `d.inputs` floats, of which vectors are read
    // below `whole`, and `O` by `B` places in `y`.
    unsafe {
        let whole = d.inputs / S::LANES * S::LANES;
        let mut sums = [[S::splat(0.0); B]; O];
        for i in (0..whole).step_by(S::LANES) {
            let mut values = [S::splat(0.0); B];
            for (b, v) in values.iter_mut().enumerate() {
                *v = S::load(x.add(b * d.inputs + i));
            }
            for (o, row) in sums.iter_mut().enumerate() {
                let weight = S::load(w.add(o * d.inputs + i));
                for (sum, v) in row.iter_mut().zip(values) {
                    *sum = S::fma(weight, v, *sum);
                }
            }
        }
        for (o, row) in sums.iter().enumerate() {
            for (b, sum) in row.iter().enumerate() {
                let mut total = S::sum(*sum);
                for i in whole..d.inputs {
                    total += *w.add(o * d.inputs + i) * *x.add(b * d.inputs + i);
                }
                total += *bias.add(o);
                *y.add(b * d.outputs + o) = if total > 0.0 { total } else { 0.0 };
            }
        }
    }
}

/// `to[r] = Σ_t c[r · between_rows + t · between_terms] · from[t]`, rows of `width`.
#[derive(Clone, Copy)]
pub(crate) struct Combination {
    terms: usize,
    between_terms: usize,
    between_rows: usize,
    width: usize,
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
    // of `combine`, and all vectors end inside rows of `width` floats; the rest of a row goes by value. The copies are in a room
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
                    between_terms: k.between_terms,
                    between_rows: k.between_rows,
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
                let c = c.add(first * k.between_terms);
                block_rows::<S>(&block, c, to.add(v * S::LANES));
                v += across;
            }
            first += TERMS;
        }
        for r in 0..rows {
            for i in vectors * S::LANES..k.width {
                let mut total = 0.0;
                for t in 0..k.terms {
                    total += *c.add(r * k.between_rows + t * k.between_terms)
                        * *from.add(t * k.width + i);
                }
                *to.add(r * k.width + i) = total;
            }
        }
    }
}

/// Some terms of a combination for some vectors of all rows.
struct Block {
    terms: usize,
    between_terms: usize,
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
                let factor = S::splat(*c.add(r * b.between_rows + t * b.between_terms));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::cases;

    fn noise(salt: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| (((i + 1) * (salt * 2 + 7919) * 31) % 2003) as f32 / 1001.5 - 1.0)
            .collect()
    }

    fn near(found: &[f32], expected: impl Iterator<Item = f64>, scale: f64) {
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference <= 1e-6 * scale, "{i}: {found} {expected}");
        }
    }

    fn matches_plain_sums(d: Dense) {
        let Dense {
            batch,
            inputs,
            outputs,
        } = d;
        let (x, w) = (noise(1, batch * inputs), noise(2, outputs * inputs));
        let (bias, g) = (noise(3, outputs), noise(4, batch * outputs));
        let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
        for level in Level::available_levels() {
            let mut y = vec![f32::NAN; batch * outputs];
            d.forward_relu(level, &x, &w, &bias, &mut y);
            near(
                &y,
                (0..batch * outputs).map(|at| {
                    let (b, o) = (at / outputs, at % outputs);
                    let sum: f64 = (0..inputs)
                        .map(|i| product(x[b * inputs + i], w[o * inputs + i]))
                        .sum();
                    (sum + f64::from(bias[o])).max(0.0)
                }),
                inputs as f64,
            );
            let (mut dw, mut db) = (vec![f32::NAN; w.len()], vec![f32::NAN; outputs]);
            d.weight_gradient(level, &g, &x, &mut dw, &mut db);
            near(
                &dw,
                (0..w.len()).map(|at| {
                    let (o, i) = (at / inputs, at % inputs);
                    (0..batch)
                        .map(|b| product(g[b * outputs + o], x[b * inputs + i]))
                        .sum()
                }),
                batch as f64,
            );
            near(
                &db,
                (0..outputs).map(|o| (0..batch).map(|b| f64::from(g[b * outputs + o])).sum()),
                batch as f64,
            );
            let mut dx = vec![f32::NAN; x.len()];
            d.input_gradient(level, &g, &w, &mut dx);
            near(
                &dx,
                (0..x.len()).map(|at| {
                    let (b, i) = (at / inputs, at % inputs);
                    (0..outputs)
                        .map(|o| product(g[b * outputs + o], w[o * inputs + i]))
                        .sum()
                }),
                outputs as f64,
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(12)))]
        /// More terms, rows and vectors than are taken together, and than are copied from.
        #[test]
        fn blocks_match_plain_sums(batch in 1_usize..150, inputs in 60_usize..200, outputs in 60_usize..150) {
            // An interpreter takes its time.
            let divisor = if cfg!(miri) { 8 } else { 1 };
            let [batch, inputs, outputs] = [batch, inputs, outputs].map(|n| n.div_ceil(divisor));
            matches_plain_sums(Dense { batch, inputs, outputs });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(60)))]
        /// Every level against sums in double precision; sizes below, at and above tiles and vectors.
        #[test]
        fn all_passes_match_plain_sums(batch in 1_usize..14, inputs in 1_usize..70, outputs in 1_usize..14) {
            matches_plain_sums(Dense { batch, inputs, outputs });
        }

        /// An example's output does not depend on which others are in the batch.
        #[test]
        fn examples_are_independent(batch in 2_usize..14, inputs in 1_usize..70, outputs in 1_usize..14) {
            let d = Dense { batch, inputs, outputs };
            let (x, w, bias) = (noise(1, batch * inputs), noise(2, outputs * inputs), noise(3, outputs));
            for level in Level::available_levels() {
                let (mut all, mut one) = (vec![0.0; batch * outputs], vec![0.0; outputs]);
                d.forward_relu(level, &x, &w, &bias, &mut all);
                let single = Dense { batch: 1, ..d };
                single.forward_relu(level, &x[(batch - 1) * inputs..], &w, &bias, &mut one);
                prop_assert_eq!(&all[(batch - 1) * outputs..], &one[..]);
            }
        }
    }

    #[test]
    fn gradients_stop_where_nothing_passed() {
        let mut g = [1.0, 2.0, 3.0, 4.0];
        relu_gradient(&mut g, &[0.5, 0.0, 1.0, 0.0], Some(&[2.0, 2.0, 2.0, 0.0]));
        assert_eq!(g, [2.0, 0.0, 6.0, 0.0]);
        relu_gradient(&mut g, &[1.0, 1.0, 0.0, 1.0], None);
        assert_eq!(g, [2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "[batch, inputs]")]
    fn lengths_are_checked() {
        let d = Dense {
            batch: 2,
            inputs: 3,
            outputs: 1,
        };
        d.forward_relu(
            Level::portable(),
            &[0.0; 5],
            &[0.0; 3],
            &[0.0],
            &mut [0.0; 2],
        );
    }

    /// Sizes whose product is 0 in the numbers of the machine.
    #[test]
    #[should_panic(expected = "[batch, inputs]")]
    fn sizes_do_not_wrap() {
        let d = Dense {
            batch: 1 << (usize::BITS - 1),
            inputs: 2,
            outputs: 0,
        };
        d.forward_relu(Level::portable(), &[], &[], &[], &mut []);
    }
}
