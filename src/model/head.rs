//! The head: how the classes of all tasks share one output layer.
//!
//! Owns the rule that an example's logits compete only with those of its own task. The released code writes −1e11 over
//! the other logits; here a batch of one task takes its slice of the logits and a mixed batch (replay) adds a large
//! negative number outside each example's slice, so that those classes have probability and gradient exactly zero.

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Evaluation;

/// Far below any logit, yet its sums stay finite.
const MASKED: f32 = -1e30;

/// Mean cross-entropy of the labels, each among the classes of its own slice.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`, `slices`: one a row; `labels[i]` lies in `slices[i]`
/// - output: `[1]`
#[must_use]
pub fn task_loss(logits: Tensor<2>, labels: &[usize], slices: &[Range<usize>]) -> Tensor<1> {
    let device = logits.device();
    let [rows, classes] = logits.dims();
    let one_slice = slices
        .first()
        .filter(|first| slices.iter().all(|s| s == *first));
    let (logits, offset) = match one_slice {
        Some(slice) => (logits.narrow(1, slice.start, slice.len()), slice.start),
        None => (logits + outside_mask(classes, slices, &device), 0),
    };
    let targets: Vec<i64> = labels
        .iter()
        .map(|&label| (label - offset) as i64)
        .collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [rows, 1]), &device);
    log_softmax(logits, 1).gather(1, targets).mean().neg()
}

/// As [`task_loss`], but a label may lie outside its slice: `log Σ_{c in slice} e^{z_c} − z_label`, averaged.
///
/// Inside the slice that is the cross-entropy. Outside, its gradient at the logits is the softmax over the slice minus
/// the label's one-hot vector: what the released code differentiates when it masks by overwriting logits behind
/// autograd's back.
#[must_use]
pub fn competing_loss(logits: Tensor<2>, labels: &[usize], slices: &[Range<usize>]) -> Tensor<1> {
    let device = logits.device();
    let [rows, classes] = logits.dims();
    let targets: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [rows, 1]), &device);
    let own = logits.clone().gather(1, targets);
    let masked = logits + outside_mask(classes, slices, &device);
    let max = masked.clone().detach().max_dim(1);
    let sum = (masked - max.clone()).exp().sum_dim(1).log() + max;
    (sum - own).mean()
}

fn outside_mask(classes: usize, slices: &[Range<usize>], device: &Device) -> Tensor<2> {
    let mut mask = vec![MASKED; slices.len() * classes];
    for (row, slice) in mask.chunks_mut(classes).zip(slices) {
        row[slice.clone()].fill(0.0);
    }
    Tensor::from_data(TensorData::new(mask, [slices.len(), classes]), device)
}

/// Cross-entropy of one example and whether its label has the highest logit of its slice.
///
/// Ties go to the lower class, as `argmax` does in PyTorch. A label outside the slice counts as wrong.
#[must_use]
pub fn judge(logits: &[f32], label: usize, slice: Range<usize>) -> (f64, bool) {
    let start = slice.start;
    let competing = logits.get(slice).unwrap_or_default();
    let mut best = 0;
    for (i, logit) in competing.iter().enumerate() {
        if *logit > competing[best] {
            best = i;
        }
    }
    let Some(own) = label.checked_sub(start).and_then(|i| competing.get(i)) else {
        return (f64::INFINITY, false);
    };
    let max = f64::from(competing[best]);
    let sum: f64 = competing.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    (max + sum.ln() - f64::from(*own), best + start == label)
}

/// [`judge`]s every row of logits `[batch, classes]`.
#[must_use]
pub fn judge_rows(
    logits: &[f32],
    classes: usize,
    labels: &[usize],
    slices: &[Range<usize>],
) -> Evaluation {
    let mut result = Evaluation::default();
    for ((row, &label), slice) in logits.chunks(classes.max(1)).zip(labels).zip(slices) {
        let (loss, correct) = judge(row, label, slice.clone());
        result.add(&Evaluation {
            correct: usize::from(correct),
            total: 1,
            loss_sum: loss,
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(device: &Device) -> Tensor<2> {
        Tensor::from_data([[0.1_f32, 2.0, -1.0, 0.5], [0.3, -0.2, 0.9, 1.1]], device).require_grad()
    }

    fn gradient(labels: &[usize], slices: &[Range<usize>]) -> (f32, Vec<f32>) {
        let logits = logits(&Device::flex().autodiff());
        let loss = task_loss(logits.clone(), labels, slices);
        let gradient = logits.grad(&loss.backward()).unwrap();
        (
            loss.into_scalar(),
            gradient.into_data().try_into_vec().unwrap(),
        )
    }

    #[test]
    fn other_tasks_classes_have_exactly_zero_gradient() {
        let (_, one) = gradient(&[2, 3], &[2..4, 2..4]);
        assert_eq!([one[0], one[1], one[4], one[5]], [0.0; 4]);
        assert!(one[2] != 0.0 && one[7] != 0.0);
        let (_, mixed) = gradient(&[1, 3], &[0..2, 2..4]);
        assert_eq!([mixed[2], mixed[3], mixed[4], mixed[5]], [0.0; 4]);
    }

    #[test]
    fn a_label_outside_the_slice_gives_softmax_minus_one_hot() {
        let logits = logits(&Device::flex().autodiff());
        let loss = competing_loss(logits.clone(), &[0, 3], &[2..4, 2..4]);
        let gradient = logits.grad(&loss.backward()).unwrap();
        let gradient: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
        let softmax = |a: f32, b: f32| a.exp() / (a.exp() + b.exp());
        let expected = [
            -0.5,
            0.0,
            0.5 * softmax(-1.0, 0.5),
            0.5 * softmax(0.5, -1.0),
            0.0,
            0.0,
            0.5 * softmax(0.9, 1.1),
            0.5 * (softmax(1.1, 0.9) - 1.0),
        ];
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn masks_and_slices_agree_with_the_single_example() {
        let (loss, _) = gradient(&[1, 3], &[0..2, 2..4]);
        let a = judge(&[0.1, 2.0, -1.0, 0.5], 1, 0..2);
        let b = judge(&[0.3, -0.2, 0.9, 1.1], 3, 2..4);
        assert!((f64::from(loss) - a.0.midpoint(b.0)).abs() < 1e-6);
        assert!(a.1 && b.1);
        assert!(!judge(&[1.0, 1.0], 1, 0..2).1);
        assert_eq!(judge(&[1.0, 1.0], 5, 0..2), (f64::INFINITY, false));
    }
}
