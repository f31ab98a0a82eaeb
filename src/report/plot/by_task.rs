//! Series over tasks, as the learning curve and forgetting have them.

use super::colour::Style;
use super::data::Entry;
use super::layout::Series;
use super::stats::Point;

/// A group's points, the first at `first_task`; `None` without any. `name` is what a task is on hovering: `after task`.
pub(super) fn series(
    entry: &Entry<'_>,
    points: Vec<Point>,
    first_task: usize,
    name: &str,
    line: bool,
) -> Option<Series> {
    if points.is_empty() {
        return None;
    }
    let xs = first_task..first_task + points.len();
    Some(Series {
        group: entry.number,
        style: Style::of(entry.rank),
        label: entry.label.clone(),
        x_names: xs.clone().map(|t| format!("{name} {t}")).collect(),
        points: xs.map(|t| t as f64).zip(points).collect(),
        line,
    })
}
