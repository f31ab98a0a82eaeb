//! What follows a convolution: bias, `ReLU`, dropout and max pooling in one pass over its output, and the way back.
//!
//! Channels-last images, so the loops go over channels and become vectors. Of every two by two values the pass notes which
//! was the largest (0 to 3, in reading order), or [`NONE`] where it is zero: that is all the way back has to know.

use crate::Loop;

/// In the place of a winner: `ReLU` or dropout left nothing, so no gradient passes.
const NONE: f32 = 4.0;

/// Sizes of a pass over one image.
#[derive(Clone, Copy)]
pub(super) struct Pooling {
    /// Rows and columns of the result.
    pub pooled: (usize, usize),
    /// Channels as stored.
    pub stored: usize,
    /// Floats from a row of the convolution's output to the next.
    pub row: usize,
    /// Floats from a row of the result to the next.
    pub to_row: usize,
}

/// Forward over one image.
pub(super) struct Forward<'a> {
    pub sizes: Pooling,
    /// The convolution's output, from its first pixel on.
    pub y: &'a [f32],
    /// `[stored]`: what values are multiplied by before the bias is added; empty without norms, with which there is no dropout.
    pub scale: &'a [f32],
    /// `[stored]`.
    pub bias: &'a [f32],
    /// Multipliers, where the values of `y` are; empty without dropout.
    pub mask: &'a [f32],
    /// The result, from its first pixel on.
    pub to: &'a mut [f32],
    /// `[pooled, stored]`.
    pub winners: &'a mut [f32],
}

/// After bias and `ReLU`, a value that is not a number staying one.
#[inline(always)]
fn rectified(y: f32, bias: f32) -> f32 {
    let value = y + bias;
    if value < 0.0 { 0.0 } else { value }
}

impl Loop for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Pooling {
            pooled: (rows, columns),
            stored: s,
            row,
            to_row,
        } = self.sizes;
        let bias = &self.bias[..s];
        for r in 0..rows {
            let to = &mut self.to[r * to_row..][..columns * s];
            let winners = &mut self.winners[r * columns * s..][..columns * s];
            let pairs = to.chunks_exact_mut(s).zip(winners.chunks_exact_mut(s));
            for (c, (to, winners)) in pairs.enumerate() {
                let at = 2 * r * row + 2 * c * s;
                let (top, bottom) = (&self.y[at..][..2 * s], &self.y[at + row..][..2 * s]);
                let (y0, y1) = top.split_at(s);
                let (y2, y3) = bottom.split_at(s);
                let places = [y0, y1, y2, y3];
                if !self.scale.is_empty() {
                    let scale = &self.scale[..s];
                    for i in 0..s {
                        let value = |j: usize| rectified(places[j][i] * scale[i], bias[i]);
                        (to[i], winners[i]) = largest(value);
                    }
                } else if self.mask.is_empty() {
                    for i in 0..s {
                        let value = |j: usize| rectified(places[j][i], bias[i]);
                        (to[i], winners[i]) = largest(value);
                    }
                } else {
                    let (top, bottom) =
                        (&self.mask[at..][..2 * s], &self.mask[at + row..][..2 * s]);
                    let (m0, m1) = top.split_at(s);
                    let (m2, m3) = bottom.split_at(s);
                    let masks = [m0, m1, m2, m3];
                    for i in 0..s {
                        let value = |j: usize| rectified(places[j][i], bias[i]) * masks[j][i];
                        (to[i], winners[i]) = largest(value);
                    }
                }
            }
        }
    }
}

/// The largest of four values, the first of equal ones, and its number; what is not a number is larger than all.
#[inline(always)]
fn largest(value: impl Fn(usize) -> f32) -> (f32, f32) {
    let (mut best, mut winner) = (value(0), 0.0);
    for j in 1..4 {
        let next = value(j);
        let better = next > best || next.is_nan();
        best = if better { next } else { best };
        winner = if better { j as f32 } else { winner };
    }
    (best, if best == 0.0 { NONE } else { winner })
}

/// Backward over one image.
pub(super) struct Backward<'a> {
    pub sizes: Pooling,
    /// Gradient of the result, `[pooled, stored]`.
    pub d: &'a [f32],
    /// What dropout multiplied the values by that it kept.
    pub scale: f32,
    /// `[pooled, stored]`, of the forward pass.
    pub winners: &'a [f32],
    /// Gradient of the convolution's output, from its first pixel on: written where windows are.
    pub dy: &'a mut [f32],
    /// `[stored]`: the gradient of the bias is added.
    pub d_bias: &'a mut [f32],
}

impl Loop for Backward<'_> {
    #[inline(always)]
    fn run(self) {
        let Pooling {
            pooled: (rows, columns),
            stored: s,
            row,
            ..
        } = self.sizes;
        let d_bias = &mut self.d_bias[..s];
        for r in 0..rows {
            let (top, bottom) = self.dy[2 * r * row..].split_at_mut(row);
            for c in 0..columns {
                let at = (r * columns + c) * s;
                let (d, winners) = (&self.d[at..][..s], &self.winners[at..][..s]);
                let (d0, d1) = top[2 * c * s..][..2 * s].split_at_mut(s);
                let (d2, d3) = bottom[2 * c * s..][..2 * s].split_at_mut(s);
                for i in 0..s {
                    let (winner, g) = (winners[i], d[i] * self.scale);
                    let of = |j: f32| if winner == j { g } else { 0.0 };
                    (d0[i], d1[i], d2[i], d3[i]) = (of(0.0), of(1.0), of(2.0), of(3.0));
                    d_bias[i] += if winner < NONE { g } else { 0.0 };
                }
            }
        }
    }
}

/// Mean of every channel of an image `[pixels, stored]`, and the sum of squared differences from it.
pub(super) struct Moments<'a> {
    pub y: &'a [f32],
    /// `[stored]`, overwritten, as `m2` is.
    pub mean: &'a mut [f32],
    pub m2: &'a mut [f32],
}

impl Loop for Moments<'_> {
    #[inline(always)]
    fn run(self) {
        let s = self.mean.len();
        let (mean, m2) = (&mut self.mean[..s], &mut self.m2[..s]);
        let pixels = self.y.len() / s;
        mean.fill(0.0);
        for y in self.y.chunks_exact(s) {
            for i in 0..s {
                mean[i] += y[i];
            }
        }
        for mean in mean.iter_mut() {
            *mean /= pixels as f32;
        }
        m2.fill(0.0);
        for y in self.y.chunks_exact(s) {
            for i in 0..s {
                let difference = y[i] - mean[i];
                m2[i] += difference * difference;
            }
        }
    }
}

/// Sums over one image of the gradient before a norm's `ReLU` and pooling, which only winners have, and of its product with the
/// normalised values.
pub(super) struct Products<'a> {
    pub sizes: Pooling,
    /// What the norm read.
    pub y: &'a [f32],
    /// Gradient of the result, `[pooled, stored]`, as the winners.
    pub d: &'a [f32],
    pub winners: &'a [f32],
    /// Mean and inverse standard deviation, `[stored]`.
    pub norm: (&'a [f32], &'a [f32]),
    /// `[stored]` at least, overwritten, as the products are.
    pub sum: &'a mut [f32],
    pub product: &'a mut [f32],
}

impl Loop for Products<'_> {
    #[inline(always)]
    fn run(self) {
        let Pooling {
            pooled: (rows, columns),
            stored: s,
            row,
            ..
        } = self.sizes;
        let (mean, inverse) = (&self.norm.0[..s], &self.norm.1[..s]);
        let (sum, product) = (&mut self.sum[..s], &mut self.product[..s]);
        sum.fill(0.0);
        product.fill(0.0);
        for r in 0..rows {
            for c in 0..columns {
                let (at, from) = ((r * columns + c) * s, 2 * r * row + 2 * c * s);
                let (d, winners) = (&self.d[at..][..s], &self.winners[at..][..s]);
                let (y0, y1) = self.y[from..][..2 * s].split_at(s);
                let (y2, y3) = self.y[from + row..][..2 * s].split_at(s);
                for i in 0..s {
                    let winner = winners[i];
                    let top = if winner == 1.0 { y1[i] } else { y0[i] };
                    let bottom = if winner == 3.0 { y3[i] } else { y2[i] };
                    let y = if winner < 2.0 { top } else { bottom };
                    let g = if winner < NONE { d[i] } else { 0.0 };
                    sum[i] += g;
                    product[i] += g * ((y - mean[i]) * inverse[i]);
                }
            }
        }
    }
}

/// The part of the gradient of what a norm read that its statistics make: of every pixel of one image, overwritten.
pub(super) struct Through<'a> {
    /// What the norm read, and floats from a row to the next.
    pub y: (&'a [f32], usize),
    /// Its gradient, from its first pixel on.
    pub dy: (&'a mut [f32], usize),
    pub rows: usize,
    /// As for [`Products`].
    pub norm: (&'a [f32], &'a [f32]),
    /// What the norm multiplies by.
    pub scale: &'a [f32],
    /// Means over the batch of what [`Products`] sums.
    pub means: [&'a [f32]; 2],
}

impl Loop for Through<'_> {
    #[inline(always)]
    fn run(self) {
        let s = self.scale.len();
        let (mean, inverse) = (&self.norm.0[..s], &self.norm.1[..s]);
        let [sum, product] = self.means.map(|means| &means[..s]);
        for r in 0..self.rows {
            let y = &self.y.0[r * self.y.1..][..self.y.1];
            let dy = &mut self.dy.0[r * self.dy.1..][..self.y.1];
            for (y, dy) in y.chunks_exact(s).zip(dy.chunks_exact_mut(s)) {
                for i in 0..s {
                    let normalised = (y[i] - mean[i]) * inverse[i];
                    dy[i] = -self.scale[i] * (sum[i] + normalised * product[i]);
                }
            }
        }
    }
}

/// Adds the other part, which winners have, to the gradient of what a norm read.
pub(super) struct Largest<'a> {
    pub sizes: Pooling,
    /// As for [`Products`].
    pub d: &'a [f32],
    pub winners: &'a [f32],
    /// As for [`Through`].
    pub scale: &'a [f32],
    pub dy: &'a mut [f32],
}

impl Loop for Largest<'_> {
    #[inline(always)]
    fn run(self) {
        let Pooling {
            pooled: (rows, columns),
            stored: s,
            row,
            ..
        } = self.sizes;
        let scale = &self.scale[..s];
        for r in 0..rows {
            let (top, bottom) = self.dy[2 * r * row..].split_at_mut(row);
            for c in 0..columns {
                let at = (r * columns + c) * s;
                let (d, winners) = (&self.d[at..][..s], &self.winners[at..][..s]);
                let (d0, d1) = top[2 * c * s..][..2 * s].split_at_mut(s);
                let (d2, d3) = bottom[2 * c * s..][..2 * s].split_at_mut(s);
                for i in 0..s {
                    let (winner, g) = (winners[i], d[i] * scale[i]);
                    let of = |j: f32| if winner == j { g } else { 0.0 };
                    d0[i] += of(0.0);
                    d1[i] += of(1.0);
                    d2[i] += of(2.0);
                    d3[i] += of(3.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    /// Two windows of one channel; every way a window can go.
    #[test]
    fn windows_keep_their_largest_value_and_send_its_gradient_back() {
        let sizes = Pooling {
            pooled: (1, 4),
            stored: 1,
            row: 9,
            to_row: 4,
        };
        // Windows: the third wins; nothing is left; dropout takes the largest; not a number.
        let y = [
            1.0,
            2.0,
            -3.0,
            -1.0,
            9.0,
            1.0,
            1.0,
            f32::NAN,
            7.0, //
            5.0,
            0.0,
            -2.0,
            -5.0,
            3.0,
            2.0,
            3.0,
            2.0,
            7.0,
        ];
        let mut mask = [2.0; 18];
        mask[4] = 0.0;
        for level in Level::available_levels() {
            let (mut to, mut winners) = ([f32::NAN; 4], [f32::NAN; 4]);
            level.run(Forward {
                sizes,
                y: &y,
                scale: &[],
                bias: &[0.5],
                mask: &mask,
                to: &mut to,
                winners: &mut winners,
            });
            assert_eq!(to[..3], [11.0, 0.0, 7.0]);
            assert!(to[3].is_nan());
            assert_eq!(winners, [2.0, NONE, 2.0, 1.0]);
            let (mut dy, mut d_bias) = ([9.0; 18], [1.0]);
            level.run(Backward {
                sizes,
                d: &[1.0, 10.0, 100.0, 1000.0],
                scale: 2.0,
                winners: &winners,
                dy: &mut dy,
                d_bias: &mut d_bias,
            });
            let mut expected = [0.0; 18];
            (expected[9], expected[13], expected[7]) = (2.0, 200.0, 2000.0);
            // What no window covers is left as it is.
            (expected[8], expected[17]) = (9.0, 9.0);
            assert_eq!(dy, expected);
            assert_eq!(d_bias, [2203.0]);
        }
    }
}
