//! Lines over tasks: the learning curve, and what each task lost.

use super::axis::Axis;
use super::colour::Style;
use super::label::{file_name, stream};
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::stats::{Point, forgetting_by_task, learning_curve, over_runs};
use super::{Data, Entry, band, count, marks, parts, sentences};

/// Average accuracy over the tasks seen so far, after each task.
pub(super) fn curves(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let series: Vec<(&Entry<'_>, Series)> = entries
            .iter()
            .filter_map(|entry| Some((entry, curve(data, entry)?)))
            .collect();
        if !series.iter().any(|(_, s)| s.line || s.points.len() > 1)
            && entries.iter().all(|e| e.group.config.tasks > 1)
        {
            continue;
        }
        for (chunk, part) in parts(&series) {
            let shown: Vec<&Entry<'_>> = chunk.iter().map(|(entry, _)| *entry).collect();
            let Some(first) = shown.first() else { continue };
            let config = &first.group.config;
            let only_final = chunk.iter().any(|(_, s)| !s.line);
            let note = sentences(&[
                &format!(
                    "Mean over the tasks seen so far; {}{}",
                    count(&shown),
                    band(&shown)
                ),
                if only_final {
                    "Single points: evaluated only at the end"
                } else {
                    ""
                },
                &marks(&shown),
            ]);
            let ends: Vec<String> = chunk
                .iter()
                .filter_map(|(_, s)| Some(format!("{} {}", s.label, s.points.last()?.1.text(1))))
                .collect();
            let name = format!("curves-{}{part}", stream(config));
            figures.push(
                LinePlot {
                    name: file_name(&name),
                    title: format!("Average accuracy after each task: {}{part}", stream(config)),
                    note,
                    description: format!(
                        "Line plot. Average accuracy in percent after the last task: {}.",
                        ends.join("; ")
                    ),
                    x_title: "tasks trained",
                    y_title: "average accuracy (%)",
                    x: Axis::tasks(1, config.tasks),
                    y_values: Vec::new(),
                    series: chunk.iter().map(|(_, s)| s.clone()).collect(),
                    digits: 2,
                }
                .figure(),
            );
        }
    }
    figures
}

fn series(
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

fn curve(data: &Data<'_>, entry: &Entry<'_>) -> Option<Series> {
    let members = data.members(entry);
    let only_final = members
        .iter()
        .any(|run| run.accuracy_matrix.is_only_final());
    let runs: Vec<Vec<f64>> = members
        .iter()
        .map(|run| learning_curve(run.accuracy_matrix.rows()))
        .collect();
    let points = over_runs(&runs);
    if only_final {
        let last = points.last().copied().into_iter().collect();
        series(entry, last, entry.group.config.tasks, "after task", false)
    } else {
        series(entry, points, 1, "after task", true)
    }
}

/// The best earlier accuracy minus the final one, for each task but the last.
pub(super) fn forgetting(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let series: Vec<(&Entry<'_>, Series)> = entries
            .iter()
            .filter_map(|entry| {
                let runs: Vec<Vec<f64>> = data
                    .members(entry)
                    .iter()
                    .map(|run| forgetting_by_task(run.accuracy_matrix.rows()))
                    .collect();
                Some((entry, series(entry, over_runs(&runs), 1, "task", true)?))
            })
            .collect();
        for (chunk, part) in parts(&series) {
            let shown: Vec<&Entry<'_>> = chunk.iter().map(|(entry, _)| *entry).collect();
            let Some(first) = shown.first() else { continue };
            let config = &first.group.config;
            let means: Vec<String> = chunk
                .iter()
                .filter_map(|(e, s)| {
                    Some(format!(
                        "{} {:.1}",
                        s.label,
                        100.0 * e.group.forgetting?.mean
                    ))
                })
                .collect();
            figures.push(
                LinePlot {
                    name: file_name(&format!("forgetting-{}{part}", stream(config))),
                    title: format!("Forgetting by task: {}{part}", stream(config)),
                    note: sentences(&[
                        &format!(
                            "Highest accuracy before the end minus accuracy at the end; {}{}",
                            count(&shown),
                            band(&shown)
                        ),
                        &marks(&shown),
                    ]),
                    description: format!(
                        "Line plot over tasks. Mean forgetting in percentage points: {}.",
                        means.join("; ")
                    ),
                    x_title: "task",
                    y_title: "forgetting (points)",
                    x: Axis::tasks(1, config.tasks.saturating_sub(1)),
                    y_values: vec![0.0],
                    series: chunk.iter().map(|(_, s)| s.clone()).collect(),
                    digits: 2,
                }
                .figure(),
            );
        }
    }
    figures
}
