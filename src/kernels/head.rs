//! The linear head over a class slice per example, and its loss.
//!
//! `logits = features weight^T + bias`, of which example `i` sees only the classes of its slice; softmax and
//! cross-entropy are taken inside the slice. Gradients are exactly zero for classes outside every slice.

use std::ops::Range;

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

/// Gradients of the mean loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadGrads {
    /// `[batch, features]`
    pub features: Vec<f32>,
    /// `[classes, features]`
    pub weight: Vec<f32>,
    /// `[classes]`
    pub bias: Vec<f32>,
}

impl HeadSpec {
    /// Logits `[batch, classes]`; 0 outside an example's slice.
    ///
    /// # Shapes
    /// `features` `[batch, features]`, `weight` `[classes, features]`, `bias` `[classes]`, one slice per example.
    ///
    /// # Panics
    /// If a slice does not have its length, or a class slice is empty or beyond the classes.
    #[must_use]
    pub fn logits(
        &self,
        features: &[f32],
        weight: &[f32],
        bias: &[f32],
        slices: &[Range<usize>],
    ) -> Vec<f32> {
        assert_eq!(
            features.len(),
            self.batch * self.features,
            "features [batch, features]"
        );
        assert_eq!(
            weight.len(),
            self.classes * self.features,
            "weight [classes, features]"
        );
        assert_eq!(bias.len(), self.classes, "bias [classes]");
        assert_eq!(slices.len(), self.batch, "one class slice per example");
        let mut logits = vec![0.0; self.batch * self.classes];
        for (i, slice) in slices.iter().enumerate() {
            assert!(
                slice.start < slice.end && slice.end <= self.classes,
                "class slice {slice:?} of {}",
                self.classes
            );
            let x = &features[i * self.features..][..self.features];
            for c in slice.clone() {
                logits[i * self.classes + c] =
                    dot(x, &weight[c * self.features..][..self.features]) + bias[c];
            }
        }
        logits
    }

    /// Mean cross-entropy inside the slices, and its gradients.
    ///
    /// # Shapes
    /// As for [`Self::logits`]; one label per example, a class of its slice.
    ///
    /// # Panics
    /// As [`Self::logits`], and if a label is outside its slice.
    #[must_use]
    pub fn loss(
        &self,
        features: &[f32],
        weight: &[f32],
        bias: &[f32],
        slices: &[Range<usize>],
        labels: &[usize],
    ) -> (f32, HeadGrads) {
        let mut d = self.logits(features, weight, bias, slices);
        assert_eq!(labels.len(), self.batch, "one label per example");
        let mut grads = HeadGrads {
            features: vec![0.0; self.batch * self.features],
            weight: vec![0.0; weight.len()],
            bias: vec![0.0; bias.len()],
        };
        let mut loss = 0.0_f64;
        let scale = 1.0 / self.batch as f32;
        for (i, (slice, label)) in slices.iter().zip(labels).enumerate() {
            assert!(
                slice.contains(label),
                "label {label} outside its class slice {slice:?}"
            );
            let row = &mut d[i * self.classes..][..self.classes];
            let (x, dx) = (
                &features[i * self.features..],
                &mut grads.features[i * self.features..][..self.features],
            );
            loss -= f64::from(log_softmax(&mut row[slice.clone()], label - slice.start));
            for c in slice.clone() {
                let d = (row[c] - if c == *label { 1.0 } else { 0.0 }) * scale;
                grads.bias[c] += d;
                let (w, dw) = (
                    &weight[c * self.features..],
                    &mut grads.weight[c * self.features..][..self.features],
                );
                for (((dx, w), dw), x) in dx.iter_mut().zip(w).zip(dw).zip(x) {
                    *dx += d * w;
                    *dw += d * x;
                }
            }
        }
        ((loss / self.batch as f64) as f32, grads)
    }
}

/// Turns logits into probabilities; returns the logarithm of that of `label`.
fn log_softmax(row: &mut [f32], label: usize) -> f32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let picked = row[label] - top;
    let mut sum = 0.0;
    for v in row.iter_mut() {
        *v = (*v - top).exp();
        sum += *v;
    }
    for v in row.iter_mut() {
        *v /= sum;
    }
    picked - sum.ln()
}

/// Sixteen partial sums, so that it vectorises.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a16, b16) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a16
        .remainder()
        .iter()
        .zip(b16.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a16.zip(b16) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::HeadSpec;

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| (((i + 1) * (seed * 2 + 7919) * 31) % 2003) as f32 / 1001.5 - 1.0)
            .collect()
    }

    #[test]
    fn gradients_match_finite_differences_and_vanish_outside() {
        let spec = HeadSpec {
            batch: 4,
            features: 21,
            classes: 9,
        };
        let (x, w, b) = (noise(1, 84), noise(2, 189), noise(3, 9));
        let (slices, labels) = (vec![2..5, 2..5, 5..7, 2..5], vec![2, 4, 6, 3]);
        let (loss, grads) = spec.loss(&x, &w, &b, &slices, &labels);
        let reference = |x: &[f32], w: &[f32], b: &[f32]| -> f64 {
            let mut total = 0.0;
            for i in 0..4 {
                let logit = |c: usize| -> f64 {
                    (0..21)
                        .map(|f| f64::from(x[i * 21 + f]) * f64::from(w[c * 21 + f]))
                        .sum::<f64>()
                        + f64::from(b[c])
                };
                let sum: f64 = slices[i].clone().map(|c| logit(c).exp()).sum();
                total += (sum.ln() - logit(labels[i])) / 4.0;
            }
            total
        };
        assert!((f64::from(loss) - reference(&x, &w, &b)).abs() < 1e-6);
        let h = 1.0 / 1024.0;
        let slope = |which: usize, i: usize| {
            let at = |sign: f32| {
                let mut all = [x.clone(), w.clone(), b.clone()];
                all[which][i] += sign * h;
                reference(&all[0], &all[1], &all[2])
            };
            (at(1.0) - at(-1.0)) / (2.0 * f64::from(h))
        };
        for (which, grad) in [&grads.features, &grads.weight, &grads.bias]
            .into_iter()
            .enumerate()
        {
            for (i, g) in grad.iter().enumerate() {
                assert!(
                    (slope(which, i) - f64::from(*g)).abs() < 1e-4,
                    "{which} {i}"
                );
            }
        }
        for c in [0, 1, 7, 8] {
            assert!(grads.bias[c] == 0.0 && grads.weight[c * 21..][..21].iter().all(|g| *g == 0.0));
        }
    }

    #[test]
    #[should_panic(expected = "outside its class slice")]
    fn labels_must_be_in_their_slice() {
        let spec = HeadSpec {
            batch: 1,
            features: 2,
            classes: 4,
        };
        let _ = spec.loss(
            &[0.0; 2],
            &[0.0; 8],
            &[0.0; 4],
            std::slice::from_ref(&(0..2)),
            &[2],
        );
    }
}
