//! Fully connected layers with ReLU: forward pass and both gradients, on plain slices.
//!
//! Weights lie `[outputs, inputs]`, as PyTorch has them, and are read as they lie. The forward pass takes dot products
//! along the inputs for a tile of outputs by examples; both backward passes have vectors over the inputs, the one to the
//! weights summing over examples, the one to the inputs over outputs. Every value is summed in one order whatever the
//! tile, so it does not depend on the rest of the batch.

use super::simd::{Level, Simd, dispatch};

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
        // SAFETY: the lengths checked above: the sum runs over the examples `t`, whose rows of `inputs` floats are those of
        // `x`; row `r` of `weight` has the coefficients `g[t][r]`; only `weight` is written, which is borrowed mutably.
        unsafe {
            let sum = Combination {
                terms: self.batch,
                between_terms: self.outputs,
                between_rows: 1,
                width: self.inputs,
            };
            let (g, x) = (g.as_ptr(), x.as_ptr());
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

#[inline(always)]
unsafe fn combine_generic<S: Simd>(
    k: Combination,
    rows: usize,
    c: *const f32,
    from: *const f32,
    to: *mut f32,
) {
    // SAFETY: `tiles!` takes as many rows and vectors as are left, at most, so all vectors end inside rows of `width` floats;
    // the rest of a row goes by value. Rows and coefficients are those of the contract of `combine`.
    unsafe {
        let vectors = k.width / S::LANES;
        tiles!(S, rows, vectors, |r, v| combine_tile(
            k,
            c.add(r * k.between_rows),
            from.add(v * S::LANES),
            to.add(r * k.width + v * S::LANES)
        ));
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

/// `R` rows by `V` vectors.
#[inline(always)]
unsafe fn combine_tile<S: Simd, const R: usize, const V: usize>(
    k: Combination,
    c: *const f32,
    from: *const f32,
    to: *mut f32,
) {
    // SAFETY: the caller promises `R` rows with `V` vectors at `to`, as much at every row of `from`, and the
    // coefficients.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        for t in 0..k.terms {
            let mut values = [S::splat(0.0); V];
            for (v, value) in values.iter_mut().enumerate() {
                *value = S::load(from.add(t * k.width + v * S::LANES));
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let factor = S::splat(*c.add(r * k.between_rows + t * k.between_terms));
                for (sum, value) in row.iter_mut().zip(values) {
                    *sum = S::fma(factor, value, *sum);
                }
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                S::store(to.add(r * k.width + v * S::LANES), *sum);
            }
        }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(60)))]
        /// Every level against sums in double precision; sizes below, at and above tiles and vectors.
        #[test]
        fn all_passes_match_plain_sums(batch in 1_usize..14, inputs in 1_usize..70, outputs in 1_usize..14) {
            let d = Dense { batch, inputs, outputs };
            let (x, w) = (noise(1, batch * inputs), noise(2, outputs * inputs));
            let (bias, g) = (noise(3, outputs), noise(4, batch * outputs));
            let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
            for level in Level::available_levels() {
                let mut y = vec![f32::NAN; batch * outputs];
                d.forward_relu(level, &x, &w, &bias, &mut y);
                near(&y, (0..batch * outputs).map(|at| {
                    let (b, o) = (at / outputs, at % outputs);
                    let sum: f64 = (0..inputs).map(|i| product(x[b * inputs + i], w[o * inputs + i])).sum();
                    (sum + f64::from(bias[o])).max(0.0)
                }), inputs as f64);
                let (mut dw, mut db) = (vec![f32::NAN; w.len()], vec![f32::NAN; outputs]);
                d.weight_gradient(level, &g, &x, &mut dw, &mut db);
                near(&dw, (0..w.len()).map(|at| {
                    let (o, i) = (at / inputs, at % inputs);
                    (0..batch).map(|b| product(g[b * outputs + o], x[b * inputs + i])).sum()
                }), batch as f64);
                near(&db, (0..outputs).map(|o| (0..batch).map(|b| f64::from(g[b * outputs + o])).sum()), batch as f64);
                let mut dx = vec![f32::NAN; x.len()];
                d.input_gradient(level, &g, &w, &mut dx);
                near(&dx, (0..x.len()).map(|at| {
                    let (b, i) = (at / inputs, at % inputs);
                    (0..outputs).map(|o| product(g[b * outputs + o], w[o * inputs + i])).sum()
                }), outputs as f64);
            }
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
