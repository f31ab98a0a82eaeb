//! Forgetting by task: what each task lost from its best.

use super::axis::Axis;
use super::by_task::series;
use super::data::{Data, Entry, band, count, marks, parts, sentences};
use super::label::file_name;
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::spec::PlotSpec;
use super::stats::{forgetting_by_task, over_runs};

/// `forgetting`.
pub(super) static FORGETTING: PlotSpec = PlotSpec {
    name: "forgetting",
    description: "best earlier accuracy minus final accuracy, by task",
    paper: "",
    of_one_group: false,
    lacking: "no run of two or more tasks was evaluated after each of them",
    draw: |data| Ok(forgetting(data)),
};

/// The best earlier accuracy minus the final one, for each task but the last.
fn forgetting(data: &Data<'_>) -> Vec<Figure> {
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
                    name: file_name(&format!("forgetting-{}{part}", first.benchmark())),
                    title: format!("Forgetting by task: {}{part}", first.stream),
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
                    x: Axis::tasks(1, config.learned_tasks().saturating_sub(1)),
                    y_values: vec![0.0],
                    y_most: None,
                    series: chunk.iter().map(|(_, s)| s.clone()).collect(),
                    digits: 2,
                }
                .figure(),
            );
        }
    }
    figures
}
