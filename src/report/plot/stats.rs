//! Tables of a group: mean and population standard deviation over its seeds, element by element.

use crate::experiment::run::result::AlphaResult;
use crate::metrics::mean_std;

/// Mean and population standard deviation of one place; what is not there in every run is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) mean: f64,
    pub(super) std: f64,
    pub(super) n: usize,
}

impl Point {
    /// `63.7 ± 1.0`, or the value alone for one run.
    pub(super) fn text(self, digits: usize) -> String {
        let mean = format!("{:.digits$}", self.mean);
        if self.n > 1 {
            format!("{mean} ± {:.digits$}", self.std)
        } else {
            mean
        }
    }
}

/// Over runs, place by place; runs of unequal length are cut to the shortest.
pub(super) fn over_runs(runs: &[Vec<f64>]) -> Vec<Point> {
    let length = runs.iter().map(Vec::len).min().unwrap_or(0);
    (0..length)
        .filter_map(|i| {
            let values: Vec<f64> = runs.iter().filter_map(|run| run.get(i)).copied().collect();
            let (mean, std) = mean_std(&values)?;
            Some(Point {
                mean,
                std,
                n: values.len(),
            })
        })
        .collect()
}

/// The same for tables, row by row.
pub(super) fn over_tables(runs: &[&[Vec<f64>]]) -> Vec<Vec<Point>> {
    let rows = runs.iter().map(|run| run.len()).min().unwrap_or(0);
    (0..rows)
        .map(|i| {
            let rows: Vec<Vec<f64>> = runs.iter().filter_map(|run| run.get(i)).cloned().collect();
            over_runs(&rows)
        })
        .collect()
}

/// Mean of a row; `None` for an empty one.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Average accuracy over the tasks seen, after each task.
pub(super) fn learning_curve(rows: &[Vec<f64>]) -> Vec<f64> {
    rows.iter().filter_map(|row| mean(row)).collect()
}

/// For each task but the last: the best accuracy before the end minus the final one, in points.
pub(super) fn forgetting_by_task(rows: &[Vec<f64>]) -> Vec<f64> {
    let Some((last, earlier)) = rows.split_last() else {
        return Vec::new();
    };
    last.iter()
        .take(earlier.len())
        .enumerate()
        .map(|(j, end)| {
            let best = earlier.iter().filter_map(|row| row.get(j)).copied();
            best.fold(f64::NEG_INFINITY, f64::max) - end
        })
        .collect()
}

/// Mean of α over the past tasks τ < t, for t = 2, 3, ...
pub(super) fn past_mean(table: &[Vec<f64>]) -> Vec<f64> {
    table
        .iter()
        .enumerate()
        .skip(1)
        .filter_map(|(t, row)| mean(row.get(..t)?))
        .collect()
}

/// Rows of values, `[t][tau]`.
pub(super) type Table = Vec<Vec<f64>>;

/// α as tables of means over runs; tensors that not all runs have are left out.
pub(super) fn mean_alpha(runs: &[AlphaResult]) -> (Table, Vec<(String, Table)>) {
    let table = |tables: Vec<&[Vec<f64>]>| -> Vec<Vec<f64>> {
        over_tables(&tables)
            .into_iter()
            .map(|row| row.into_iter().map(|p| p.mean).collect())
            .collect()
    };
    let all = table(runs.iter().map(|run| run.mean.as_slice()).collect());
    let names = runs.first().map_or(&[][..], |run| &run.per_tensor);
    let tensors = names.iter().filter_map(|first| {
        let same: Option<Vec<&[Vec<f64>]>> = runs
            .iter()
            .map(|run| {
                let found = run.per_tensor.iter().find(|t| t.tensor == first.tensor);
                found.map(|t| t.mean.as_slice())
            })
            .collect();
        Some((first.tensor.clone(), table(same?)))
    });
    (all, tensors.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_and_forgetting_of_a_small_matrix() {
        let rows = vec![vec![80.0], vec![60.0, 90.0], vec![70.0, 80.0, 60.0]];
        assert_eq!(learning_curve(&rows), [80.0, 75.0, 70.0]);
        assert_eq!(forgetting_by_task(&rows), [10.0, 10.0]);
        let metrics = crate::metrics::Metrics::of(&crate::metrics::TaskMatrix::new(rows).unwrap());
        assert_eq!(metrics.unwrap().forgetting, Some(0.1));
        assert!(forgetting_by_task(&[]).is_empty());
        assert!(forgetting_by_task(&[vec![5.0]]).is_empty());
    }

    #[test]
    fn means_stop_at_the_shortest_run() {
        let points = over_runs(&[vec![1.0, 2.0], vec![3.0]]);
        assert_eq!(
            points,
            [Point {
                mean: 2.0,
                std: 1.0,
                n: 2
            }]
        );
        assert_eq!(points[0].text(1), "2.0 ± 1.0");
        assert!(over_runs(&[]).is_empty());
    }

    #[test]
    fn the_past_of_alpha_leaves_the_present_task_out() {
        assert_eq!(
            past_mean(&[vec![9.0], vec![2.0, 0.1], vec![1.0, 3.0, 0.1]]),
            [2.0, 2.0]
        );
    }
}
