//! The head in evaluation and in training loops written with Burn: how the classes of all tasks share one output layer.
//!
//! Owns how the head's kernel is asked for the logits that somebody wants, and the rule that an example's logits compete only with those of its own set of classes. The released code writes
//! −1e11 over the other logits; [`task_loss`] takes the one range of a batch out of the logits, or adds a large negative
//! number outside each example's set, so that those classes have probability and gradient exactly zero.

use std::ops::Range;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Evaluation, LearnerError, Logits, Wanted};
use crate::kernels::Level;
use crate::kernels::head::HeadSpec;
use crate::stream::{Batch, Classes};

/// Far below any logit, yet its sums stay finite.
const MASKED: f32 = -1e30;

/// Mean cross-entropy of the labels, each among the classes that compete for it: [`super::cross_entropy`] as a tensor of
/// Burn's graph.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`, `competing`: one a row; `labels[i]` is in `competing[i]`
/// - output: `[1]`
#[must_use]
pub fn task_loss(logits: Tensor<2>, labels: &[usize], competing: &[Classes]) -> Tensor<1> {
    let device = logits.device();
    let [rows, classes] = logits.dims();
    let same = |first: &&Classes| competing.iter().all(|set| set == *first);
    let one_range = competing.first().filter(same).map(Classes::runs);
    let (logits, offset) = match one_range {
        Some([run]) => (logits.narrow(1, run.start, run.len()), run.start),
        _ => (logits + outside_mask(classes, competing, &device), 0),
    };
    let targets: Vec<i64> = labels
        .iter()
        .map(|&label| (label - offset) as i64)
        .collect();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [rows, 1]), &device);
    log_softmax(logits, 1).gather(1, targets).mean().neg()
}

fn outside_mask(classes: usize, competing: &[Classes], device: &Device) -> Tensor<2> {
    let mut mask = vec![MASKED; competing.len() * classes];
    for (row, set) in mask.chunks_mut(classes).zip(competing) {
        for run in set.runs() {
            row[run.clone()].fill(0.0);
        }
    }
    Tensor::from_data(TensorData::new(mask, [competing.len(), classes]), device)
}

/// The competing class with the highest logit; `None` without classes, or with some that `logits` does not have.
///
/// Ties go to the lower class, as `argmax` does in PyTorch.
#[must_use]
pub fn likeliest(logits: &[f32], competing: &Classes) -> Option<usize> {
    if competing.end() > logits.len() {
        return None;
    }
    let mut classes = competing.iter();
    let mut best = classes.next()?;
    for class in classes {
        if logits[class] > logits[best] {
            best = class;
        }
    }
    Some(best)
}

/// Cross-entropy of one example and whether its label has the highest logit of the competing classes.
///
/// Ties are broken as by [`likeliest`]. A label that does not compete, or classes that `logits` does not have, count as
/// wrong, at an infinite loss.
#[must_use]
pub fn judge(logits: &[f32], label: usize, competing: &Classes) -> (f64, bool) {
    let wrong = (f64::INFINITY, false);
    if competing.end() > logits.len() || !competing.contains(label) {
        return wrong;
    }
    let Some(best) = likeliest(logits, competing) else {
        return wrong;
    };
    let max = f64::from(logits[best]);
    let powers = competing.iter().map(|c| (f64::from(logits[c]) - max).exp());
    let sum: f64 = powers.sum();
    (max + sum.ln() - f64::from(logits[label]), best == label)
}

/// Refuses a batch without one set of competing classes an example, or with classes that the head does not have.
pub(super) fn check_competing(batch: &Batch, classes: usize) -> Result<(), LearnerError> {
    if batch.competing.len() != batch.len() {
        return Err(LearnerError::Length {
            what: "sets of competing classes",
            expected: batch.len(),
            found: batch.competing.len(),
        });
    }
    match batch.competing.iter().find(|set| set.end() > classes) {
        Some(set) => Err(LearnerError::Classes {
            set: set.clone(),
            head: classes,
        }),
        None => Ok(()),
    }
}

/// The wanted logits on the kernels.
///
/// # Shapes
/// As [`HeadSpec::logits`].
pub(super) fn logits_on_kernels(
    head: &HeadSpec,
    level: Level,
    (features, weight, bias): (&[f32], &[f32], &[f32]),
    (batch, wanted): (&Batch, Wanted),
    logits: &mut [f32],
) {
    let mut block = |examples: Range<usize>, classes: Range<usize>| {
        head.logits(level, (features, weight, bias), examples, classes, logits);
    };
    match wanted {
        Wanted::Nothing => {}
        Wanted::All => block(0..head.batch, 0..head.classes),
        Wanted::Competing => {
            let mut first = 0;
            for same in batch.competing.chunk_by(|a, b| a == b) {
                let examples = first..first + same.len();
                first = examples.end;
                for run in same.first().map_or(&[][..], Classes::runs) {
                    block(examples.clone(), run.clone());
                }
            }
        }
    }
}

/// [`judge`]s every row of logits.
#[must_use]
pub fn judge_rows(logits: Logits<'_>, labels: &[usize], competing: &[Classes]) -> Evaluation {
    let mut result = Evaluation::default();
    for ((row, &label), classes) in logits.rows().zip(labels).zip(competing) {
        let (loss, correct) = judge(row, label, classes);
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
    use crate::model::cross_entropy;

    fn logits(device: &Device) -> Tensor<2> {
        Tensor::from_data([[0.1_f32, 2.0, -1.0, 0.5], [0.3, -0.2, 0.9, 1.1]], device).require_grad()
    }

    fn gradient(labels: &[usize], competing: &[Classes]) -> (f32, Vec<f32>) {
        let logits = logits(&Device::flex().autodiff());
        let loss = task_loss(logits.clone(), labels, competing);
        let gradient = logits.grad(&loss.backward()).unwrap();
        (
            loss.into_scalar(),
            gradient.into_data().try_into_vec().unwrap(),
        )
    }

    #[test]
    fn other_tasks_classes_have_exactly_zero_gradient() {
        let (_, one) = gradient(&[2, 3], &[2..4, 2..4].map(Classes::from));
        assert_eq!([one[0], one[1], one[4], one[5]], [0.0; 4]);
        assert!(one[2] != 0.0 && one[7] != 0.0);
        let (_, mixed) = gradient(&[1, 3], &[0..2, 2..4].map(Classes::from));
        assert_eq!([mixed[2], mixed[3], mixed[4], mixed[5]], [0.0; 4]);
    }

    #[test]
    fn the_loss_on_slices_is_that_on_tensors() {
        let values = [0.1_f32, 2.0, -1.0, 0.5, 0.3, -0.2, 0.9, 1.1];
        for competing in [
            [2..4, 2..4].map(Classes::from),
            [0..2, 2..4].map(Classes::from),
            [[0, 2, 3], [1, 3, 3]].map(Classes::from_iter),
        ] {
            let labels = competing.clone().map(|set| set.end() - 1);
            let (loss, tensors) = gradient(&labels, &competing);
            let slices = cross_entropy(Logits::new(&values, 4), &labels, &competing).unwrap();
            assert!((loss - slices.0).abs() < 1e-6);
            for (a, b) in tensors.iter().zip(&slices.1) {
                assert!((a - b).abs() < 1e-6, "{tensors:?} {slices:?}");
            }
        }
    }

    #[test]
    fn masks_and_ranges_agree_with_the_single_example() {
        let (loss, _) = gradient(&[1, 3], &[0..2, 2..4].map(Classes::from));
        let a = judge(&[0.1, 2.0, -1.0, 0.5], 1, &(0..2).into());
        let b = judge(&[0.3, -0.2, 0.9, 1.1], 3, &(2..4).into());
        assert!((f64::from(loss) - a.0.midpoint(b.0)).abs() < 1e-6);
        assert!(a.1 && b.1);
        assert!(!judge(&[1.0, 1.0], 1, &(0..2).into()).1);
        let wrong = (f64::INFINITY, false);
        assert_eq!(judge(&[1.0, 1.0], 5, &(0..2).into()), wrong);
        assert_eq!(judge(&[1.0, 1.0], 1, &(0..3).into()), wrong);
    }
}
