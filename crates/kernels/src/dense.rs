//! Fully connected layers with ReLU: forward pass and both gradients, on plain slices.
//!
//! Weights lie `[outputs, inputs]`, as PyTorch has them, and are read as they lie. The forward pass takes dot products
//! along the inputs for a tile of outputs by examples; both backward passes have vectors over the inputs, the one to the
//! weights summing over examples, the one to the inputs over outputs. Every value is summed in one order whatever the
//! tile, so it does not depend on the rest of the batch.

mod combine;

use super::loops::Loop;
use super::simd::{Level, Simd, dispatch};
use super::transpose::{Matrix, transpose_slice};
use combine::Combination;

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
        unsafe { forward(level, *self, x.as_ptr(), weight.as_ptr(), y.as_mut_ptr()) }
        let whole = Combination::whole(self.inputs, level);
        let rest = self.inputs - whole;
        let mut turned = vec![0.0; rest * self.outputs];
        if rest > 0 {
            for (o, row) in weight.chunks_exact(self.inputs).enumerate() {
                for (i, w) in row[whole..].iter().enumerate() {
                    turned[i * self.outputs + o] = *w;
                }
            }
        }
        level.run(Finish {
            layer: *self,
            whole,
            x,
            turned: &turned,
            bias,
            y,
        });
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
        let turned = self.turned(level, g);
        let sum = Combination {
            terms: self.batch,
            width: self.inputs,
        };
        sum.run(level, (&turned, g), x, weight);
    }

    /// An output's gradients next to each other: `[outputs, batch]`.
    fn turned(&self, level: Level, g: &[f32]) -> Vec<f32> {
        let mut turned = vec![0.0; g.len()];
        let m = Matrix {
            rows: self.batch,
            columns: self.outputs,
            from_row: self.outputs,
            to_row: self.batch,
        };
        transpose_slice(level, &m, g, &mut turned);
        turned
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
        let turned = if Combination::whole(self.inputs, level) < self.inputs {
            self.turned(level, g)
        } else {
            Vec::new()
        };
        let sum = Combination {
            terms: self.outputs,
            width: self.inputs,
        };
        sum.run(level, (g, &turned), weight, dx);
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
    /// `x` has `d.batch` and `w` `d.outputs` rows of `d.inputs` floats, and `y`, which is nobody else's, `d.batch` rows of
    /// `d.outputs`.
    forward = forward_generic(d: Dense, x: *const f32, w: *const f32, y: *mut f32)
}

/// Floats of the examples that stay in the first-level cache while the outputs of a block pass by, whose weights stay in the
/// second-level cache while all examples do.
const EXAMPLES: usize = 4 * 1024;
const WEIGHTS: usize = 96 * 1024;

/// Products over the whole vectors of the inputs.
#[inline(always)]
unsafe fn forward_generic<S: Simd>(d: Dense, x: *const f32, w: *const f32, y: *mut f32) {
    /// A tile of `$O` outputs by `$B` examples.
    macro_rules! tile {
        ($O:literal, $B:literal, $o:ident, $b:ident) => {{
            let (x, w) = (x.add($b * d.inputs), w.add($o * d.inputs));
            forward_tile::<S, $O, $B>(d, x, w, y.add($b * d.outputs + $o));
            $B
        }};
    }
    // SAFETY: tiles take as many outputs and examples as are left of a block, at most, and blocks of those that there are: rows
    // of `w` below `outputs`, rows of `x` below `batch`; their crossings in `y` are writable. All this is the contract of
    // `forward`.
    unsafe {
        let wide = if S::LANES == 16 { 5 } else { 3 };
        let row = d.inputs.max(1);
        let (many, few) = (
            (WEIGHTS / row / 4).max(1) * 4,
            (EXAMPLES / row / wide).max(1) * wide,
        );
        for outputs in (0..d.outputs).step_by(many) {
            let outputs = outputs..d.outputs.min(outputs + many);
            for examples in (0..d.batch).step_by(few) {
                let end = d.batch.min(examples + few);
                let mut o = outputs.start;
                while o < outputs.end {
                    let tall = outputs.end - o >= 4;
                    let mut b = examples;
                    while b < end {
                        b += match (tall, end - b) {
                            (true, 5..) if S::LANES == 16 => tile!(4, 5, o, b),
                            (true, 3..) if S::LANES == 8 => tile!(4, 3, o, b),
                            (true, 2..) => tile!(4, 2, o, b),
                            (true, _) => tile!(4, 1, o, b),
                            (false, _) => tile!(1, 1, o, b),
                        };
                    }
                    o += if tall { 4 } else { 1 };
                }
            }
        }
    }
}

/// `O` outputs by `B` examples.
#[inline(always)]
unsafe fn forward_tile<S: Simd, const O: usize, const B: usize>(
    d: Dense,
    x: *const f32,
    w: *const f32,
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
        for b in 0..B {
            let y = y.add(b * d.outputs);
            if let [p, q, r, s] = &sums[..] {
                S::sums([p[b], q[b], r[b], s[b]], y);
            } else {
                for (o, row) in sums.iter().enumerate() {
                    *y.add(o) = S::sum(row[b]);
                }
            }
        }
    }
}

/// What of an example fills no vector, the bias, and the ReLU.
struct Finish<'a> {
    layer: Dense,
    whole: usize,
    x: &'a [f32],
    /// Weights of the inputs from `whole` on: `[inputs, outputs]`.
    turned: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl Loop for Finish<'_> {
    #[inline(always)]
    fn run(self) {
        let d = self.layer;
        let rows = self.y.chunks_exact_mut(d.outputs.max(1));
        for (b, y) in rows.enumerate() {
            let x = &self.x[b * d.inputs + self.whole..(b + 1) * d.inputs];
            for (x, weights) in x.iter().zip(self.turned.chunks_exact(d.outputs)) {
                for (y, w) in y.iter_mut().zip(weights) {
                    *y += w * x;
                }
            }
            for (y, bias) in y.iter_mut().zip(self.bias) {
                let total = *y + bias;
                *y = if total > 0.0 { total } else { 0.0 };
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

    /// Whatever stood there, in whole vectors and beyond them; and a layer without inputs is its bias.
    #[test]
    fn gradients_of_no_example_are_zero() {
        for level in Level::available_levels() {
            let of = |batch, inputs| Dense {
                batch,
                inputs,
                outputs: 5,
            };
            let (mut dw, mut db) = ([7.0; 19 * 5], [7.0; 5]);
            of(0, 19).weight_gradient(level, &[], &[], &mut dw, &mut db);
            assert!(dw.iter().chain(&db).all(|g| *g == 0.0), "{level:?}");
            of(2, 0).weight_gradient(level, &[1.0; 10], &[], &mut [], &mut db);
            of(2, 0).input_gradient(level, &[1.0; 10], &[], &mut []);
            assert_eq!(db, [2.0; 5]);
            let mut y = [7.0; 10];
            of(2, 0).forward_relu(level, &[], &[], &[-1.0, 0.0, 1.0, 2.0, 3.0], &mut y);
            assert_eq!(y[..5], [0.0, 0.0, 1.0, 2.0, 3.0]);
        }
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
