//! The linear head: logits from features, and the gradients from those at the logits.
//!
//! `logits = features weight^T + bias`. The forward pass takes dot products for a tile of examples by classes; each of
//! them is summed in one order whatever the tile and the instructions (sixteen partial sums, multiplied and added
//! without fusing), so a logit depends neither on which others are computed nor on the machine. The backward pass
//! leaves out logits without gradient, so that it costs what the loss looked at and not what the head could tell apart.

use std::ops::Range;

use super::simd::{Level, Simd, dispatch};

/// Sizes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpec {
    /// Examples.
    pub batch: usize,
    /// Features per example.
    pub features: usize,
    /// Classes of the whole head.
    pub classes: usize,
}

/// Partial sums of a dot product.
const CHAINS: usize = 16;

impl HeadSpec {
    fn check(&self, features: &[f32], weight: &[f32], bias: usize, logits: &[f32]) {
        // A product that saturates is no slice's length.
        let len = |rows: usize, width: usize| rows.saturating_mul(width);
        assert_eq!(
            features.len(),
            len(self.batch, self.features),
            "features [batch, features]"
        );
        assert_eq!(
            weight.len(),
            len(self.classes, self.features),
            "weight [classes, features]"
        );
        assert_eq!(bias, self.classes, "bias [classes]");
        assert_eq!(
            logits.len(),
            len(self.batch, self.classes),
            "logits [batch, classes]"
        );
    }

    /// Writes the logits of some examples and classes; others are left as they are.
    ///
    /// # Shapes
    /// `features` `[batch, features]`, `weight` `[classes, features]`, `bias` `[classes]`, `logits` `[batch, classes]`.
    ///
    /// # Panics
    /// If a slice does not have its length, a range is beyond the batch or the classes.
    pub fn logits(
        &self,
        level: Level,
        (features, weight, bias): (&[f32], &[f32], &[f32]),
        examples: Range<usize>,
        classes: Range<usize>,
        logits: &mut [f32],
    ) {
        self.check(features, weight, bias.len(), logits);
        assert!(
            examples.start <= examples.end && examples.end <= self.batch,
            "examples {examples:?} of {}",
            self.batch
        );
        assert!(
            classes.start <= classes.end && classes.end <= self.classes,
            "classes {classes:?} of {}",
            self.classes
        );
        let block = Block {
            examples: examples.len(),
            classes: classes.len(),
            features: self.features,
            stride: self.classes,
        };
        let first = examples.start * self.classes + classes.start;
        // SAFETY: the slices have the lengths checked above, so from the block's first example and class on there are
        // its examples' features, its classes' weights and biases, and, a stride apart, its logits.
        unsafe {
            product(
                level,
                block,
                features.as_ptr().add(examples.start * self.features),
                weight.as_ptr().add(classes.start * self.features),
                bias.as_ptr().add(classes.start),
                logits.as_mut_ptr().add(first),
            );
        }
    }

    /// Gradients of features, weight and bias from that of the logits, all overwritten; example by example and class by
    /// class, those without gradient left out.
    ///
    /// # Shapes
    /// `features` and `d_features` `[batch, features]`, `weight` and `d_weight` `[classes, features]`, `d_logits`
    /// `[batch, classes]`, `d_bias` `[classes]`.
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn backward(
        &self,
        (features, weight): (&[f32], &[f32]),
        d_logits: &[f32],
        d_features: &mut [f32],
        d_weight: &mut [f32],
        d_bias: &mut [f32],
    ) {
        self.check(features, weight, d_bias.len(), d_logits);
        self.check(d_features, d_weight, d_bias.len(), d_logits);
        for gradient in [&mut *d_features, &mut *d_weight, &mut *d_bias] {
            gradient.fill(0.0);
        }
        let width = self.features;
        for (i, row) in d_logits.chunks_exact(self.classes.max(1)).enumerate() {
            let x = &features[i * width..][..width];
            let dx = &mut d_features[i * width..][..width];
            for (c, &d) in row.iter().enumerate() {
                if d == 0.0 {
                    continue;
                }
                d_bias[c] += d;
                let w = &weight[c * width..][..width];
                let dw = &mut d_weight[c * width..][..width];
                for (((dx, w), dw), x) in dx.iter_mut().zip(w).zip(dw).zip(x) {
                    *dx += d * w;
                    *dw += d * x;
                }
            }
        }
    }
}

/// A block of logits.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    examples: usize,
    classes: usize,
    features: usize,
    /// Floats between two examples' logits.
    stride: usize,
}

dispatch! {
    /// # Safety
    /// `x` has `examples` and `w` `classes` rows of `features` floats, `bias` `classes` floats, `out` `examples` rows of
    /// `classes` floats that begin `stride` apart.
    product = product_generic(b: Block, x: *const f32, w: *const f32, bias: *const f32, out: *mut f32)
}

#[inline(always)]
unsafe fn product_generic<S: Simd>(
    b: Block,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    out: *mut f32,
) {
    // SAFETY: a tile of `size` examples or classes is taken where so many are left, else one, so tiles stay below
    // `b.examples` and `b.classes`; their rows, biases and logits are those that the contract of `product` names.
    unsafe {
        // Registers: 4 by 4 sums of one vector, or 2 by 2 of two.
        let wide = S::LANES == CHAINS;
        let size = if wide { 4 } else { 2 };
        let mut i = 0;
        while i < b.examples {
            let tall = b.examples - i >= size;
            let mut c = 0;
            while c < b.classes {
                let broad = b.classes - c >= size;
                let (x, w) = (x.add(i * b.features), w.add(c * b.features));
                let (bias, out) = (bias.add(c), out.add(i * b.stride + c));
                match (tall, broad, wide) {
                    (true, true, true) => tile::<S, 4, 4>(b, x, w, bias, out),
                    (true, true, false) => tile::<S, 2, 2>(b, x, w, bias, out),
                    (true, false, true) => tile::<S, 4, 1>(b, x, w, bias, out),
                    (true, false, false) => tile::<S, 2, 1>(b, x, w, bias, out),
                    (false, true, true) => tile::<S, 1, 4>(b, x, w, bias, out),
                    (false, true, false) => tile::<S, 1, 2>(b, x, w, bias, out),
                    (false, false, _) => tile::<S, 1, 1>(b, x, w, bias, out),
                }
                c += if broad { size } else { 1 };
            }
            i += if tall { size } else { 1 };
        }
    }
}

/// `E` examples by `C` classes.
#[inline(always)]
unsafe fn tile<S: Simd, const E: usize, const C: usize>(
    b: Block,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    out: *mut f32,
) {
    // SAFETY: the caller promises `E` rows of `x` and `C` of `w` of `b.features` floats, of which sixteens are read below
    // `whole`, `C` biases, and `E` by `C` places `b.stride` apart; a sum's vectors fill its sixteen floats exactly.
    unsafe {
        let vectors = CHAINS / S::LANES;
        let whole = b.features / CHAINS * CHAINS;
        let mut sums = [[[S::splat(0.0); 2]; C]; E];
        for f in (0..whole).step_by(CHAINS) {
            for v in 0..vectors {
                let at = f + v * S::LANES;
                let mut weights = [S::splat(0.0); C];
                for (c, weight) in weights.iter_mut().enumerate() {
                    *weight = S::load(w.add(c * b.features + at));
                }
                for (e, row) in sums.iter_mut().enumerate() {
                    let value = S::load(x.add(e * b.features + at));
                    for (sum, weight) in row.iter_mut().zip(weights) {
                        sum[v] = S::add(sum[v], S::mul(value, weight));
                    }
                }
            }
        }
        for (e, row) in sums.iter().enumerate() {
            for (c, sum) in row.iter().enumerate() {
                let mut lanes = [0.0_f32; CHAINS];
                for (v, sum) in sum.iter().enumerate().take(vectors) {
                    S::store(lanes.as_mut_ptr().add(v * S::LANES), *sum);
                }
                let rest: f32 = (whole..b.features)
                    .map(|f| *x.add(e * b.features + f) * *w.add(c * b.features + f))
                    .sum();
                *out.add(e * b.stride + c) = lanes.iter().sum::<f32>() + rest + *bias.add(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::cases;

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| (((i + 1) * (seed * 2 + 7919) * 31) % 2003) as f32 / 1001.5 - 1.0)
            .collect()
    }

    /// The order of summing that every level keeps.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0_f32; CHAINS];
        let (a16, b16) = (a.chunks_exact(CHAINS), b.chunks_exact(CHAINS));
        let rest = a16.remainder().iter().zip(b16.remainder());
        let rest: f32 = rest.map(|(a, b)| a * b).sum();
        for (a, b) in a16.zip(b16) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        sums.iter().sum::<f32>() + rest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(80)))]
        /// Bit for bit the plain sums, at every level, for any part of the head; the rest is left alone.
        #[test]
        fn logits_are_plain_sums_in_one_order(
            batch in 1_usize..11, features in 1_usize..70, classes in 1_usize..19,
            part in (0_usize..11, 0_usize..11, 0_usize..19, 0_usize..19),
        ) {
            let spec = HeadSpec { batch, features, classes };
            let (x, w, bias) = (noise(1, batch * features), noise(2, classes * features), noise(3, classes));
            let between = |a: usize, b: usize, most: usize| (a % most).min(b % most)..(a % most).max(b % most) + 1;
            let (examples, chosen) = (between(part.0, part.1, batch), between(part.2, part.3, classes));
            for level in Level::available_levels() {
                let mut logits = vec![-7.0; batch * classes];
                spec.logits(level, (&x, &w, &bias), examples.clone(), chosen.clone(), &mut logits);
                for (at, found) in logits.iter().enumerate() {
                    let (i, c) = (at / classes, at % classes);
                    let expected = if examples.contains(&i) && chosen.contains(&c) {
                        dot(&x[i * features..][..features], &w[c * features..][..features]) + bias[c]
                    } else {
                        -7.0
                    };
                    prop_assert_eq!(found.to_bits(), expected.to_bits());
                }
            }
        }

        /// `Σ d · logits` is linear in each of features, weight and bias, so differences of it are exact but for
        /// rounding.
        #[test]
        fn gradients_match_differences(
            batch in 1_usize..6, features in 1_usize..40, classes in 1_usize..9, blank in 0_usize..9,
        ) {
            let spec = HeadSpec { batch, features, classes };
            let inputs = [noise(1, batch * features), noise(2, classes * features), noise(3, classes)];
            let mut d = noise(4, batch * classes);
            d.iter_mut().skip(blank % classes).step_by(classes).for_each(|d| *d = 0.0);
            let [mut dx, mut dw, mut db] = inputs.clone().map(|input| vec![f32::NAN; input.len()]);
            spec.backward((&inputs[0], &inputs[1]), &d, &mut dx, &mut dw, &mut db);
            let value = |inputs: &[Vec<f32>; 3]| -> f64 {
                (0..batch * classes).map(|at| {
                    let (i, c) = (at / classes, at % classes);
                    let (x, w) = (&inputs[0][i * features..][..features], &inputs[1][c * features..][..features]);
                    let dot: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    f64::from(d[at]) * (dot + f64::from(inputs[2][c]))
                }).sum()
            };
            let here = value(&inputs);
            for (which, gradient) in [&dx, &dw, &db].into_iter().enumerate() {
                for (at, found) in gradient.iter().enumerate() {
                    let mut moved = inputs.clone();
                    moved[which][at] += 1.0;
                    let h = f64::from(moved[which][at]) - f64::from(inputs[which][at]);
                    prop_assert!(((value(&moved) - here) / h - f64::from(*found)).abs() < 1e-4);
                }
            }
            let without = blank % classes;
            prop_assert_eq!(db[without].to_bits(), 0);
            prop_assert!(dw[without * features..][..features].iter().all(|g| g.to_bits() == 0));
        }
    }

    /// Sizes whose product is 0 in the numbers of the machine.
    #[test]
    #[should_panic(expected = "features [batch, features]")]
    fn sizes_do_not_wrap() {
        let spec = HeadSpec {
            batch: 1 << (usize::BITS - 1),
            features: 2,
            classes: 0,
        };
        spec.logits(Level::portable(), (&[], &[], &[]), 0..1, 0..0, &mut []);
    }

    #[test]
    #[should_panic(expected = "classes 2..5 of 4")]
    fn classes_are_checked() {
        let spec = HeadSpec {
            batch: 1,
            features: 2,
            classes: 4,
        };
        let (x, w, b) = ([0.0; 2], [0.0; 8], [0.0; 4]);
        spec.logits(Level::portable(), (&x, &w, &b), 0..1, 2..5, &mut [0.0; 4]);
    }
}
