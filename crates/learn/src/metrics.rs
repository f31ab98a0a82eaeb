//! Metrics: one accuracy matrix in, every figure of the field out.
//!
//! Owns the definitions, each under its exact name, since papers use the same words for different sums. With
//! `R[i][j]` the accuracy on task j after training task i (percent, tasks from 0, j ≤ i):
//!
//! | metric | definition | unit |
//! |---|---|---|
//! | average accuracy | mean over j of `R[T−1][j]` | percent |
//! | learning accuracy | mean over j of `R[j][j]` | percent |
//! | forgetting | mean over j < T−1 of `max_{i<T−1} R[i][j] − R[T−1][j]` (TAG paper, p. 15) | fraction |
//! | forgetting, released | the same with the maximum over i ≤ T−1, hence ≥ 0 (the released code, and the tables) | fraction |
//! | backward transfer | mean over j < T−1 of `R[T−1][j] − R[j][j]` (p. 18) | percent |

use serde::{Deserialize, Serialize};

/// Accuracies (or losses) on the tasks seen so far, one row after each task; row i has i + 1 values. Training that sees
/// the tasks in no order has one row with the final values on all tasks ([`TaskMatrix::only_final`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskMatrix {
    rows: Vec<Vec<f64>>,
}

/// A row that does not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "row {row} of the matrix must have {expected} finite values (tasks 1..={expected}), not {found}"
)]
pub struct MatrixError {
    row: usize,
    expected: usize,
    found: usize,
}

impl TaskMatrix {
    /// A matrix from its rows.
    ///
    /// # Errors
    /// [`MatrixError`] unless row i has i + 1 finite values.
    pub fn new(rows: Vec<Vec<f64>>) -> Result<Self, MatrixError> {
        let mut matrix = Self::default();
        for row in rows {
            matrix.push(row)?;
        }
        Ok(matrix)
    }

    /// Appends the values measured after the next task.
    ///
    /// # Errors
    /// [`MatrixError`] unless there is one finite value for every task seen so far.
    pub fn push(&mut self, row: Vec<f64>) -> Result<(), MatrixError> {
        let expected = self.rows.len() + 1;
        let found = row.iter().filter(|x| x.is_finite()).count();
        if row.len() != expected || found != expected {
            return Err(MatrixError {
                row: expected,
                expected,
                found,
            });
        }
        self.rows.push(row);
        Ok(())
    }

    /// The matrix of training without an order of tasks: one row, the final values on all tasks.
    ///
    /// # Errors
    /// [`MatrixError`] unless all values are finite.
    pub fn only_final(row: Vec<f64>) -> Result<Self, MatrixError> {
        let finite = row.iter().filter(|x| x.is_finite()).count();
        if finite != row.len() || row.is_empty() {
            return Err(MatrixError {
                row: 1,
                expected: row.len(),
                found: finite,
            });
        }
        Ok(Self { rows: vec![row] })
    }

    /// True where only the end was measured, so that nothing can be said of forgetting.
    #[must_use]
    pub fn is_only_final(&self) -> bool {
        matches!(self.rows.as_slice(), [row] if row.len() > 1)
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }
}

/// All metrics of one run. Those that compare times are absent where only the end was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Percent.
    pub average_accuracy: f64,
    /// Fraction; negative where later tasks improved earlier ones. 0 for a single task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<f64>,
    /// Fraction, ≥ 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgetting_released: Option<f64>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_accuracy: Option<f64>,
    /// Percentage points. 0 for a single task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward_transfer: Option<f64>,
}

impl Metrics {
    /// Metrics of a matrix of accuracies in percent; `None` for an empty one.
    #[must_use]
    pub fn of(accuracy: &TaskMatrix) -> Option<Self> {
        let rows = accuracy.rows();
        let (last, earlier) = rows.split_last()?;
        if accuracy.is_only_final() {
            return Some(Self {
                average_accuracy: mean(last.iter().copied()),
                forgetting: None,
                forgetting_released: None,
                learning_accuracy: None,
                backward_transfer: None,
            });
        }
        let tasks = last.len();
        let own: Vec<f64> = rows.iter().filter_map(|row| row.last().copied()).collect();
        let best_before = |j: usize| {
            earlier
                .iter()
                .filter_map(|row| row.get(j).copied())
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let past = || last.iter().take(tasks - 1).enumerate();
        Some(Self {
            average_accuracy: mean(last.iter().copied()),
            learning_accuracy: Some(mean(own.iter().copied())),
            forgetting: Some(mean(past().map(|(j, now)| best_before(j) - now)) / 100.0),
            forgetting_released: Some(
                mean(past().map(|(j, now)| best_before(j).max(*now) - now)) / 100.0,
            ),
            backward_transfer: Some(mean(past().zip(&own).map(|((_, now), own)| now - own))),
        })
    }
}

/// Mean of the values; 0 without any.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0_f64), |(sum, count), x| (sum + x, count + 1.0));
    sum / count.max(1.0)
}

/// Mean and population standard deviation, as the paper's tables print them; `None` without values.
#[must_use]
pub fn mean_std(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let mean = mean(values.iter().copied());
    let variance = self::mean(values.iter().map(|x| (x - mean).powi(2)));
    Some((mean, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Random matrices of accuracies.
    fn matrix() -> impl Strategy<Value = TaskMatrix> {
        (1_usize..8)
            .prop_flat_map(|tasks| {
                (1..=tasks)
                    .map(|n| prop::collection::vec(0.0..100.0_f64, n))
                    .collect::<Vec<_>>()
            })
            .prop_map(|rows| TaskMatrix::new(rows).unwrap())
    }

    proptest! {
        #[test]
        fn identities_hold_for_any_matrix(matrix in matrix()) {
            let m = Metrics::of(&matrix).unwrap();
            // A stored matrix is the matrix: floats survive the file to the last bit.
            let text = serde_json::to_string(&matrix).unwrap();
            prop_assert_eq!(&serde_json::from_str::<TaskMatrix>(&text).unwrap(), &matrix);
            let tasks = matrix.rows().len() as f64;
            let (forgetting, released) = (m.forgetting.unwrap(), m.forgetting_released.unwrap());
            let (learning, transfer) = (m.learning_accuracy.unwrap(), m.backward_transfer.unwrap());
            prop_assert!(released >= 0.0);
            prop_assert!(released >= forgetting - 1e-12);
            // A - LA is the backward transfer spread over all tasks instead of all but the last.
            let spread = transfer * (tasks - 1.0) / tasks;
            prop_assert!((m.average_accuracy - learning - spread).abs() < 1e-9);
            // Forgetting is measured from the best, so it is at least the loss since learning.
            prop_assert!(forgetting * 100.0 >= -transfer - 1e-9);
        }
    }

    #[test]
    fn rows_of_the_wrong_length_are_refused() {
        assert!(TaskMatrix::new(vec![vec![1.0], vec![1.0]]).is_err());
        assert!(TaskMatrix::new(vec![vec![f64::NAN]]).is_err());
        assert_eq!(Metrics::of(&TaskMatrix::default()), None);
    }

    #[test]
    fn one_task_forgets_nothing() {
        let m = Metrics::of(&TaskMatrix::new(vec![vec![80.0]]).unwrap()).unwrap();
        assert_eq!(
            (m.average_accuracy, m.forgetting, m.backward_transfer),
            (80.0, Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn the_end_alone_says_nothing_of_forgetting() {
        let m = Metrics::of(&TaskMatrix::only_final(vec![80.0, 60.0]).unwrap()).unwrap();
        assert_eq!((m.average_accuracy, m.forgetting), (70.0, None));
        let json = serde_json::to_string(&m).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), m);
        assert!(TaskMatrix::only_final(vec![f64::NAN]).is_err());
    }

    #[test]
    fn the_standard_deviation_is_the_populations() {
        assert_eq!(mean_std(&[1.0, 3.0]), Some((2.0, 1.0)));
        assert_eq!(mean_std(&[]), None);
    }
}
