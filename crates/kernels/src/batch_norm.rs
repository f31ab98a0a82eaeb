//! Batch normalisation of dense images, with what often follows it: a residual addition and `ReLU`, forward and backward.
//!
//! Everything about a channel is done by one task while its planes are in the cache: mean, variance, then the output;
//! in the backward pass the two sums, then the gradient. A plane's values are added in single precision, lane by lane,
//! and planes in double precision.

use super::norm::EPSILON;
use super::simd::{Level, Simd, dispatch};
use super::workers::{Shareable, Workers};

/// Sizes of a tensor `[batch, channels, pixels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NormSpec {
    /// Images.
    pub batch: usize,
    /// Channels, each of which is normalised by itself.
    pub channels: usize,
    /// Height times width.
    pub pixels: usize,
    /// Whether `ReLU` follows.
    pub relu: bool,
}

/// What a batch looked like, by channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: Vec<f32>,
    /// Biased variance, by which the batch is normalised.
    pub variance: Vec<f32>,
}

/// Gradients, given that of the output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NormGradients {
    /// Of the input.
    pub x: Vec<f32>,
    /// Of the weight.
    pub weight: Vec<f32>,
    /// Of the bias.
    pub bias: Vec<f32>,
    /// Of what was added before `ReLU`; empty if nothing was.
    pub residual: Vec<f32>,
}

/// `y = a x + b`, perhaps plus another plane, perhaps through `ReLU`.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    a: f32,
    b: f32,
    relu: bool,
}

/// Calls `vector(offset)` for whole vectors of a plane and `single(offset)` for the rest.
#[inline(always)]
fn each<S: Simd>(len: usize, mut vector: impl FnMut(usize), mut single: impl FnMut(usize)) {
    let whole = len - len % S::LANES;
    (0..whole).step_by(S::LANES).for_each(&mut vector);
    (whole..len).for_each(&mut single);
}

#[inline(always)]
unsafe fn total_any<S: Simd>(x: &[f32], mean: f32, squares: bool, out: &mut f32) {
    // SAFETY: `each` gives vectors offsets that end inside `x`, and singles offsets below its length; nothing else is read.
    unsafe {
        let (at, centre) = (x.as_ptr(), S::splat(mean));
        let mut sums = S::splat(0.0);
        let mut rest = 0.0;
        each::<S>(
            x.len(),
            |i| {
                let d = S::sub(S::load(at.add(i)), centre);
                sums = if squares {
                    S::fma(d, d, sums)
                } else {
                    S::add(d, sums)
                };
            },
            |i| {
                let d = *at.add(i) - mean;
                rest += if squares { d * d } else { d };
            },
        );
        *out = S::sum(sums) + rest;
    }
}

#[inline(always)]
unsafe fn line_any<S: Simd>(line: Line, x: &[f32], residual: *const f32, y: *mut f32) {
    // SAFETY: `each` gives vectors offsets that end inside `x` and singles offsets below its length; by contract `y`, and
    // `residual` where it is looked at, have that length, and only `y` is written.
    unsafe {
        let (at, a, b) = (x.as_ptr(), S::splat(line.a), S::splat(line.b));
        let add = !residual.is_null();
        each::<S>(
            x.len(),
            |i| {
                let mut v = S::fma(a, S::load(at.add(i)), b);
                if add {
                    v = S::add(v, S::load(residual.add(i)));
                }
                S::store(y.add(i), if line.relu { S::relu(v) } else { v });
            },
            |i| {
                let mut v = line.a * *at.add(i) + line.b;
                if add {
                    v += *residual.add(i);
                }
                *y.add(i) = if line.relu { v.max(0.0) } else { v };
            },
        );
    }
}

/// The gradient after `ReLU`, and `x` less its mean, of whole vectors and of single values.
#[inline(always)]
unsafe fn sums_any<S: Simd>(x: &[f32], mean: f32, dy: &[f32], y: *const f32, out: &mut [f32; 2]) {
    // SAFETY: `each` gives vectors offsets that end inside `x` and singles offsets below its length; by contract `dy`, and
    // `y` where it is looked at, have that length.
    unsafe {
        let (at, d, centre) = (x.as_ptr(), dy.as_ptr(), S::splat(mean));
        let relu = !y.is_null();
        let (mut sum, mut product) = (S::splat(0.0), S::splat(0.0));
        let mut rest = [0.0; 2];
        each::<S>(
            x.len(),
            |i| {
                let mut g = S::load(d.add(i));
                if relu {
                    g = S::where_positive(S::load(y.add(i)), g);
                }
                sum = S::add(g, sum);
                product = S::fma(g, S::sub(S::load(at.add(i)), centre), product);
            },
            |i| {
                let passed = !relu || *y.add(i) > 0.0;
                let g = if passed { *d.add(i) } else { 0.0 };
                rest[0] += g;
                rest[1] += g * (*at.add(i) - mean);
            },
        );
        *out = [S::sum(sum) + rest[0], S::sum(product) + rest[1]];
    }
}

/// The numbers of `dx = g a + (x - mean) b + c`.
#[derive(Clone, Copy)]
pub(crate) struct Slope {
    mean: f32,
    a: f32,
    b: f32,
    c: f32,
}

#[inline(always)]
unsafe fn slope_any<S: Simd>(
    slope: Slope,
    x: &[f32],
    dy: &[f32],
    y: *const f32,
    dx: *mut f32,
    residual: *mut f32,
) {
    // SAFETY: `each` gives vectors offsets that end inside `x` and singles offsets below its length; by contract `dy` and
    // `dx`, and `y` and `residual` where they are looked at, have that length, and only `dx` and `residual` are written.
    unsafe {
        let (at, d) = (x.as_ptr(), dy.as_ptr());
        let (relu, keep) = (!y.is_null(), !residual.is_null());
        let (mean, a) = (S::splat(slope.mean), S::splat(slope.a));
        let (b, c) = (S::splat(slope.b), S::splat(slope.c));
        each::<S>(
            x.len(),
            |i| {
                let mut g = S::load(d.add(i));
                if relu {
                    g = S::where_positive(S::load(y.add(i)), g);
                }
                if keep {
                    S::store(residual.add(i), g);
                }
                let centred = S::sub(S::load(at.add(i)), mean);
                S::store(dx.add(i), S::fma(g, a, S::fma(centred, b, c)));
            },
            |i| {
                let passed = !relu || *y.add(i) > 0.0;
                let g = if passed { *d.add(i) } else { 0.0 };
                if keep {
                    *residual.add(i) = g;
                }
                *dx.add(i) = g * slope.a + ((*at.add(i) - slope.mean) * slope.b + slope.c);
            },
        );
    }
}

dispatch! {
    /// Sum of `x - mean`, or of its squares.
    ///
    /// # Safety
    /// None but the level's.
    total = total_any(x: &[f32], mean: f32, squares: bool, out: &mut f32)
}
dispatch! {
    /// # Safety
    /// `y`, and `residual` unless it is null, have the length of `x`; `y` is nobody else's.
    line = line_any(line: Line, x: &[f32], residual: *const f32, y: *mut f32)
}
dispatch! {
    /// Sums of the gradient and of its product with `x - mean`; where `y` is not null, of where `y` is positive.
    ///
    /// # Safety
    /// `dy`, and `y` unless it is null, have the length of `x`.
    sums = sums_any(x: &[f32], mean: f32, dy: &[f32], y: *const f32, out: &mut [f32; 2])
}
dispatch! {
    /// # Safety
    /// `dy` and `dx`, and `y` and `residual` unless they are null, have the length of `x`; what is written is nobody
    /// else's.
    slope = slope_any(slope: Slope, x: &[f32], dy: &[f32], y: *const f32, dx: *mut f32, residual: *mut f32)
}

impl NormSpec {
    fn len(&self) -> usize {
        self.batch
            .saturating_mul(self.channels)
            .saturating_mul(self.pixels)
    }

    /// Where the planes of a channel begin.
    fn planes(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let (channels, pixels) = (self.channels, self.pixels);
        (0..self.batch).map(move |n| (n * channels + channel) * pixels)
    }

    fn check(&self, what: &str, slice: &[f32]) {
        assert_eq!(slice.len(), self.len(), "{what} of {self:?}");
    }

    fn check_channels(&self, what: &str, slice: &[f32]) {
        assert_eq!(slice.len(), self.channels, "{what} of {self:?}");
    }

    fn inverse(variance: f32) -> f64 {
        1.0 / (f64::from(variance) + EPSILON).sqrt()
    }

    /// Normalises a batch by its own statistics.
    ///
    /// # Shapes
    /// * `x`, `residual` and output: `[batch, channels, pixels]`
    /// * `weight`, `bias`: `[channels]`
    ///
    /// # Panics
    /// If a slice does not have its length, or the batch is empty.
    #[must_use]
    pub(crate) fn forward(
        &self,
        workers: &Workers,
        level: Level,
        x: &[f32],
        (weight, bias): (&[f32], &[f32]),
        residual: Option<&[f32]>,
    ) -> (Vec<f32>, Moments) {
        self.check("x", x);
        assert!(self.len() > 0, "an empty batch has no statistics");
        self.check_channels("weight", weight);
        self.check_channels("bias", bias);
        if let Some(residual) = residual {
            self.check("residual", residual);
        }
        let mut y = vec![0.0; self.len()];
        let zeros = || vec![0.0; self.channels];
        let mut moments = Moments {
            mean: zeros(),
            variance: zeros(),
        };
        let (out, means, variances) = (
            Shareable::new(&mut y),
            Shareable::new(&mut moments.mean),
            Shareable::new(&mut moments.variance),
        );
        let count = (self.batch * self.pixels) as f64;
        workers.run(self.channels, &|c| {
            let plane = |at: usize| &x[at..][..self.pixels];
            let over = |mean: f32, squares: bool| -> f64 {
                let one = |at: usize| {
                    let mut sum = 0.0;
                    // SAFETY: the kernel asks for nothing but its references.
                    unsafe { total(level, plane(at), mean, squares, &mut sum) };
                    f64::from(sum)
                };
                self.planes(c).map(one).sum::<f64>() / count
            };
            let mean = over(0.0, false) as f32;
            let variance = over(mean, true) as f32;
            let a = f64::from(weight[c]) * Self::inverse(variance);
            let coefficients = Line {
                a: a as f32,
                b: (f64::from(bias[c]) - a * f64::from(mean)) as f32,
                relu: self.relu,
            };
            // SAFETY: `planes` gives the beginnings of the channel's planes of `pixels` values, which `x`, the residual and
            // `y` all have, as was checked above or made so; what is written is the channel's, which is this task's alone.
            unsafe {
                for at in self.planes(c) {
                    let residual = residual.map_or(std::ptr::null(), |r| r[at..].as_ptr());
                    line(level, coefficients, plane(at), residual, out.at(at));
                }
                *means.at(c) = mean;
                *variances.at(c) = variance;
            }
        });
        (y, moments)
    }

    /// The gradients of [`Self::forward`]: `y` is its output, which tells where `ReLU` passed.
    ///
    /// # Shapes
    /// As [`Self::forward`]; `dy` and `y` as its output.
    ///
    /// # Panics
    /// If a slice does not have its length.
    #[must_use]
    pub(crate) fn backward(
        &self,
        workers: &Workers,
        level: Level,
        (x, y, dy): (&[f32], &[f32], &[f32]),
        weight: &[f32],
        moments: &Moments,
        with_residual: bool,
    ) -> NormGradients {
        self.check("x", x);
        self.check("y", y);
        self.check("dy", dy);
        self.check_channels("weight", weight);
        self.check_channels("mean", &moments.mean);
        self.check_channels("variance", &moments.variance);
        let mut found = NormGradients {
            x: vec![0.0; self.len()],
            weight: vec![0.0; self.channels],
            bias: vec![0.0; self.channels],
            residual: vec![0.0; if with_residual { self.len() } else { 0 }],
        };
        let (dx, d_weight, d_bias) = (
            Shareable::new(&mut found.x),
            Shareable::new(&mut found.weight),
            Shareable::new(&mut found.bias),
        );
        let d_residual = with_residual.then(|| Shareable::new(&mut found.residual));
        let count = (self.batch * self.pixels) as f64;
        workers.run(self.channels, &|c| {
            let plane = |slice: &'_ [f32], at: usize| slice[at..][..self.pixels].as_ptr();
            let gate = |at: usize| {
                if self.relu {
                    plane(y, at)
                } else {
                    std::ptr::null()
                }
            };
            let mean = moments.mean[c];
            let mut both = [0.0_f64; 2];
            for at in self.planes(c) {
                let mut part = [0.0; 2];
                let (x, dy) = (&x[at..][..self.pixels], &dy[at..][..self.pixels]);
                // SAFETY: all three are planes of `pixels` values, the gate unless it is null.
                unsafe { sums(level, x, mean, dy, gate(at), &mut part) };
                both[0] += f64::from(part[0]);
                both[1] += f64::from(part[1]);
            }
            let inverse = Self::inverse(moments.variance[c]);
            let scale = f64::from(weight[c]) * inverse;
            let coefficients = Slope {
                mean,
                a: scale as f32,
                b: (-scale * inverse * inverse * both[1] / count) as f32,
                c: (-scale * both[0] / count) as f32,
            };
            // SAFETY: `planes` gives the beginnings of the channel's planes of `pixels` values, which `x`, `dy`, `y` and both
            // gradients have, as was checked above or made so; what is written is the channel's, which is this task's alone.
            unsafe {
                for at in self.planes(c) {
                    let (x, dy) = (&x[at..][..self.pixels], &dy[at..][..self.pixels]);
                    let residual = d_residual.map_or(std::ptr::null_mut(), |d| d.at(at));
                    slope(level, coefficients, x, dy, gate(at), dx.at(at), residual);
                }
                *d_weight.at(c) = (both[1] * inverse) as f32;
                *d_bias.at(c) = both[0] as f32;
            }
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    /// The output by its definition, in double precision.
    fn by_definition(
        spec: &NormSpec,
        x: &[f64],
        weight: &[f64],
        bias: &[f64],
        residual: &[f64],
    ) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        let count = (spec.batch * spec.pixels) as f64;
        for c in 0..spec.channels {
            let places: Vec<usize> = spec.planes(c).flat_map(|at| at..at + spec.pixels).collect();
            let mean = places.iter().map(|&i| x[i]).sum::<f64>() / count;
            let variance = places.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / count;
            for i in places {
                let normal = (x[i] - mean) / (variance + EPSILON).sqrt();
                let value = normal * weight[c] + bias[c] + residual[i];
                y[i] = if spec.relu { value.max(0.0) } else { value };
            }
        }
        y
    }

    #[test]
    fn output_and_gradients_are_those_of_the_definition() {
        let mut stream = Noise::new(5);
        for (batch, channels, pixels, relu, with_residual) in [
            (3, 2, 37, true, true),
            (1, 3, 16, false, false),
            (4, 1, 5, true, false),
            (2, 2, 33, false, true),
            (1, 2, 9, true, true),
        ] {
            if cfg!(miri) && batch * channels * pixels > 20 {
                continue;
            }
            let spec = NormSpec {
                batch,
                channels,
                pixels,
                relu,
            };
            let mut values = |n: usize, shift: f32| -> Vec<f32> {
                (0..n).map(|_| stream.symmetric(1.0) + shift).collect()
            };
            let len = spec.len();
            let (x, dy, residual) = (values(len, 3.0), values(len, 0.0), values(len, 0.2));
            let (weight, bias) = (values(channels, 1.5), values(channels, 0.1));
            let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
            let added = if with_residual {
                wide(&residual)
            } else {
                vec![0.0; len]
            };
            // Of the loss Σ dy y, at a change of one number of one of the four.
            let loss = |which: usize, i: usize, step: f64| {
                let mut all = [wide(&x), wide(&weight), wide(&bias), added.clone()];
                all[which][i] += step;
                let y = by_definition(&spec, &all[0], &all[1], &all[2], &all[3]);
                y.iter()
                    .zip(&dy)
                    .map(|(y, d)| y * f64::from(*d))
                    .sum::<f64>()
            };
            let expected = by_definition(&spec, &wide(&x), &wide(&weight), &wide(&bias), &added);
            for level in Level::available_levels() {
                let what = format!("{level:?} {spec:?}");
                let residual = with_residual.then_some(residual.as_slice());
                let mut bits = Vec::new();
                for threads in [1, 3] {
                    let workers = Workers::new(threads);
                    let (y, moments) =
                        spec.forward(&workers, level, &x, (&weight, &bias), residual);
                    let grads = spec.backward(
                        &workers,
                        level,
                        (&x, &y, &dy),
                        &weight,
                        &moments,
                        with_residual,
                    );
                    bits.push((y, grads));
                }
                assert_eq!(bits[0], bits[1], "{what}");
                let (y, grads) = &bits[0];
                for (y, e) in y.iter().zip(&expected) {
                    assert!((f64::from(*y) - e).abs() < 2e-5, "{y} for {e}: {what}");
                }
                let all = [&grads.x, &grads.weight, &grads.bias, &grads.residual];
                assert_eq!(all[3].len(), if with_residual { len } else { 0 });
                for (which, found) in all.into_iter().enumerate() {
                    for (i, g) in found.iter().enumerate() {
                        let step = 1e-6;
                        let slope = (loss(which, i, step) - loss(which, i, -step)) / (2.0 * step);
                        // A value within the step of ReLU's bend would be off by half its gradient; none is.
                        assert!(
                            (f64::from(*g) - slope).abs() < 1e-4 * slope.abs().max(1.0),
                            "gradient {which} at {i}: {g} for {slope}: {what}"
                        );
                    }
                }
            }
        }
    }
}
