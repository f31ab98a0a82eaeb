//! The learning curve: average accuracy over the tasks seen so far, after each task.

use super::axis::Axis;
use super::by_task::series;
use super::data::{Data, Entry, band, count, marks, parts, sentences};
use super::label::file_name;
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::spec::PlotSpec;
use super::stats::{learning_curve, over_runs};

/// What is lacking where no run was evaluated on the way.
pub(super) const ONLY_FINAL: &str =
    "no run was evaluated after each task (joint and cyclic schedules only at the end)";

/// `curves`.
pub(super) static CURVES: PlotSpec = PlotSpec {
    name: "curves",
    description: "average accuracy over the tasks seen, after each task; band of one standard deviation",
    paper: "Figure 5a",
    of_one_group: false,
    lacking: ONLY_FINAL,
    draw: |data| Ok(curves(data)),
};

/// Average accuracy over the tasks seen so far, after each task.
fn curves(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let series: Vec<(&Entry<'_>, Series)> = entries
            .iter()
            .filter_map(|entry| Some((entry, curve(data, entry)?)))
            .collect();
        if !series.iter().any(|(_, s)| s.line || s.points.len() > 1)
            && entries.iter().all(|e| e.group.config.learned_tasks() > 1)
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
            let name = format!("curves-{}{part}", first.benchmark());
            figures.push(
                LinePlot {
                    name: file_name(&name),
                    title: format!("Average accuracy after each task: {}{part}", first.stream),
                    note,
                    description: format!(
                        "Line plot. Average accuracy in percent after the last task: {}.",
                        ends.join("; ")
                    ),
                    x_title: "tasks trained",
                    y_title: "average accuracy (%)",
                    x: Axis::tasks(1, config.learned_tasks()),
                    y_values: Vec::new(),
                    y_most: Some(100.0),
                    series: chunk.iter().map(|(_, s)| s.clone()).collect(),
                    digits: 2,
                }
                .figure(),
            );
        }
    }
    figures
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
        series(
            entry,
            last,
            entry.group.config.learned_tasks(),
            "after task",
            false,
        )
    } else {
        series(entry, points, 1, "after task", true)
    }
}
