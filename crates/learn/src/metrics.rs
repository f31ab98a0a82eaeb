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
//! | average incremental accuracy | mean over i of the mean over j ≤ i of `R[i][j]` (Rebuffi et al. 2017, p. 6) | percent |
//! | image accuracy | as average accuracy, each task weighed by its number of images | percent |
//! | forward transfer | mean over j > 0 of `R[j−1][j] − R₀[j]`, R₀ before training (Lopez-Paz and Ranzato 2017, p. 3) | percent |
//! | average anytime accuracy | mean over all evaluations, those within tasks among them, of the mean over the tasks so far (Caccia et al. 2022, eq. 6) | percent |
//! | min-ACC | mean over j < T−1 of the lowest accuracy on task j at any evaluation after it was learned (De Lange et al. 2023, eq. 3) | percent |
//! | worst-case accuracy | `R[T−1][T−1] / T + (1 − 1/T) · min-ACC` (De Lange et al. 2023, eq. 4) | percent |
//!
//! The last four need evaluations that a run makes only if it is told to ([`Further`]); without them they are absent.

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
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_incremental_accuracy: Option<f64>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_accuracy: Option<f64>,
    /// Percentage points; absent for a single task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_transfer: Option<f64>,
    /// Percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_anytime_accuracy: Option<f64>,
    /// Percent; absent for a single task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_accuracy: Option<f64>,
    /// Percent; absent for a single task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case_accuracy: Option<f64>,
}

/// An evaluation while a task is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// The task that is learned, from 0.
    pub task: usize,
    /// Steps of it that were taken.
    pub step: usize,
    /// Percent correct on the tasks so far, the present one among them.
    pub accuracies: Vec<f64>,
}

/// What a run may have measured beside the matrix of tasks that have come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Further<'a> {
    /// Images of each task that are measured; empty where that is not known.
    pub images: &'a [usize],
    /// Percent correct on the tasks still to come: row i after i tasks (row 0 before any), from task i on. Empty if not measured.
    pub ahead: &'a [Vec<f64>],
    /// Evaluations within tasks, in their order. Empty if there were none.
    pub within: &'a [Within],
}

impl Further<'_> {
    /// What is wrong with it for a run of this many tasks; `None` if nothing is.
    #[must_use]
    pub fn contradiction(&self, tasks: usize) -> Option<String> {
        let percent = |x: &f64| (0.0..=100.0).contains(x);
        if !self.images.is_empty() && self.images.len() != tasks {
            return Some(format!(
                "{} numbers of images for {tasks} tasks",
                self.images.len()
            ));
        }
        let ahead = self.ahead.iter().enumerate();
        let odd = |(i, row): (usize, &Vec<f64>)| row.len() + i != tasks || !row.iter().all(percent);
        if !(self.ahead.is_empty() || self.ahead.len() == tasks) || ahead.clone().any(odd) {
            return Some(format!("the rows ahead are not those of {tasks} tasks"));
        }
        let odd = |one: &Within| {
            one.task >= tasks
                || one.accuracies.len() != one.task + 1
                || !one.accuracies.iter().all(percent)
        };
        let within = self.within.iter().position(odd);
        within.map(|i| format!("evaluation {} within a task cannot be", i + 1))
    }
}

impl Metrics {
    /// Metrics of a matrix of accuracies in percent; `None` for an empty one.
    #[must_use]
    pub fn of(accuracy: &TaskMatrix) -> Option<Self> {
        Self::of_all(accuracy, &Further::default())
    }

    /// The same with what else was measured.
    #[must_use]
    pub fn of_all(accuracy: &TaskMatrix, further: &Further<'_>) -> Option<Self> {
        let rows = accuracy.rows();
        let (last, earlier) = rows.split_last()?;
        let only_final = Self {
            average_accuracy: mean(last.iter().copied()),
            forgetting: None,
            forgetting_released: None,
            learning_accuracy: None,
            backward_transfer: None,
            average_incremental_accuracy: None,
            image_accuracy: image_accuracy(last, further.images),
            forward_transfer: None,
            average_anytime_accuracy: None,
            min_accuracy: None,
            worst_case_accuracy: None,
        };
        if accuracy.is_only_final() {
            return Some(only_final);
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
        let within = further.within;
        let min_accuracy = min_accuracy(rows, within);
        let share = 1.0 / tasks as f64;
        Some(Self {
            learning_accuracy: Some(mean(own.iter().copied())),
            forgetting: Some(mean(past().map(|(j, now)| best_before(j) - now)) / 100.0),
            forgetting_released: Some(
                mean(past().map(|(j, now)| best_before(j).max(*now) - now)) / 100.0,
            ),
            backward_transfer: Some(mean(past().zip(&own).map(|((_, now), own)| now - own))),
            average_incremental_accuracy: Some(mean(
                rows.iter().map(|row| mean(row.iter().copied())),
            )),
            forward_transfer: forward_transfer(further.ahead),
            average_anytime_accuracy: anytime_accuracy(rows, within),
            min_accuracy,
            worst_case_accuracy: min_accuracy
                .zip(own.last())
                .map(|(least, own)| share * own + (1.0 - share) * least),
            ..only_final
        })
    }
}

/// The mean of a row, each task weighed by its images.
fn image_accuracy(row: &[f64], images: &[usize]) -> Option<f64> {
    let all: usize = images.iter().sum();
    if images.len() != row.len() || all == 0 {
        return None;
    }
    let pairs = row.iter().zip(images);
    Some(pairs.map(|(accuracy, n)| accuracy * *n as f64).sum::<f64>() / all as f64)
}

/// What a task gains from those before it, before it is learned itself.
fn forward_transfer(ahead: &[Vec<f64>]) -> Option<f64> {
    let (before, rows) = ahead.split_first()?;
    if rows.is_empty() {
        return None;
    }
    // The row after j tasks begins with task j.
    let gains = rows.iter().zip(before.iter().skip(1));
    let gains = gains.filter_map(|(row, random)| Some(row.first()? - random));
    Some(mean(gains))
}

/// The mean over all evaluations of the mean over the tasks so far; `None` without any within tasks.
fn anytime_accuracy(rows: &[Vec<f64>], within: &[Within]) -> Option<f64> {
    if within.is_empty() {
        return None;
    }
    let within = within.iter().map(|one| &one.accuracies);
    Some(mean(
        rows.iter()
            .chain(within)
            .map(|row| mean(row.iter().copied())),
    ))
}

/// The mean over all tasks but the last of the lowest accuracy that was measured after they were learned.
fn min_accuracy(rows: &[Vec<f64>], within: &[Within]) -> Option<f64> {
    let past = rows.len().checked_sub(1).filter(|past| *past > 0)?;
    if within.is_empty() {
        return None;
    }
    let least = |j: usize| {
        let after = within
            .iter()
            .filter(|one| one.task > j)
            .map(|one| &one.accuracies);
        let ends = rows.iter().skip(j + 1);
        let all = after.chain(ends).filter_map(|row| row.get(j).copied());
        all.fold(f64::INFINITY, f64::min)
    };
    Some(mean((0..past).map(least)))
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

    /// Three tasks whose every number is known.
    #[test]
    fn further_metrics_are_their_definitions() {
        let rows = vec![vec![90.0], vec![70.0, 80.0], vec![60.0, 75.0, 95.0]];
        let matrix = TaskMatrix::new(rows).unwrap();
        let ahead = vec![vec![10.0, 12.0, 9.0], vec![20.0, 30.0], vec![15.0]];
        let at = |task, step, accuracies: &[f64]| Within {
            task,
            step,
            accuracies: accuracies.to_vec(),
        };
        let within = [
            at(0, 5, &[50.0]),
            at(1, 5, &[40.0, 60.0]),
            at(2, 5, &[65.0, 50.0, 80.0]),
        ];
        let further = Further {
            images: &[100, 100, 200],
            ahead: &ahead,
            within: &within,
        };
        assert_eq!(further.contradiction(3), None);
        let m = Metrics::of_all(&matrix, &further).unwrap();
        let near = |found: Option<f64>, expected: f64| {
            assert!(
                (found.unwrap() - expected).abs() < 1e-9,
                "{found:?} {expected}"
            );
        };
        near(
            m.average_incremental_accuracy,
            (90.0 + 75.0 + 230.0 / 3.0) / 3.0,
        );
        near(m.image_accuracy, (60.0 + 75.0 + 2.0 * 95.0) / 4.0);
        near(m.forward_transfer, f64::midpoint(20.0 - 12.0, 15.0 - 9.0));
        near(
            m.average_anytime_accuracy,
            (90.0 + 75.0 + 230.0 / 3.0 + 50.0 + 50.0 + 65.0) / 6.0,
        );
        near(m.min_accuracy, f64::midpoint(40.0, 50.0));
        near(m.worst_case_accuracy, 95.0 / 3.0 + 2.0 / 3.0 * 45.0);
        let none = Metrics::of(&matrix).unwrap();
        assert_eq!(
            (
                none.forward_transfer,
                none.min_accuracy,
                none.image_accuracy
            ),
            (None, None, None)
        );
        for wrong in [
            Further {
                images: &[1],
                ..further.clone()
            },
            Further {
                ahead: &ahead[..2],
                ..further.clone()
            },
            Further {
                within: &[at(3, 1, &[1.0; 4])],
                ..further.clone()
            },
            Further {
                within: &[at(1, 1, &[1.0, 101.0])],
                ..further.clone()
            },
        ] {
            assert!(wrong.contradiction(3).is_some(), "{wrong:?}");
        }
    }
}
