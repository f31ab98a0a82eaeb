//! Accuracy at every evaluation, those within tasks among them: how deep learning falls when a task begins.

use super::axis::Axis;
use super::by_task::series;
use super::data::{Data, Entry, band, count, marks, parts, sentences};
use super::label::file_name;
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::spec::PlotSpec;
use super::stats::{mean, over_runs};
use crate::report::load::Run;

/// `anytime`.
pub(super) static ANYTIME: PlotSpec = PlotSpec {
    name: "anytime",
    description: "average accuracy over the tasks seen, at every evaluation, also within tasks (`evaluate_every`)",
    paper: "–",
    of_one_group: false,
    lacking: "no run was evaluated within tasks; give --evaluate-every",
    draw: |data| Ok(anytime(data)),
};

/// Mean accuracy over the tasks so far at every evaluation of a run, in their order; none without evaluations within tasks.
fn in_order(run: &Run) -> Vec<f64> {
    if run.within.is_empty() {
        return Vec::new();
    }
    let ends = run.accuracy_matrix.rows().iter().enumerate();
    let rows = ends.flat_map(|(task, row)| {
        let within = run.within.iter().filter(move |one| one.task == task);
        within.map(|one| &one.accuracies).chain([row])
    });
    rows.filter_map(|row| mean(row)).collect()
}

fn anytime(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let all = entries.iter().filter_map(|entry| {
            let runs: Vec<Vec<f64>> = data.members(entry).into_iter().map(in_order).collect();
            Some((
                entry,
                series(entry, over_runs(&runs), 1, "evaluation", true)?,
            ))
        });
        let all: Vec<(&Entry<'_>, Series)> = all.collect();
        for (chunk, part) in parts(&all) {
            let shown: Vec<&Entry<'_>> = chunk.iter().map(|(entry, _)| *entry).collect();
            let Some(first) = shown.first() else { continue };
            let last = chunk.iter().map(|(_, s)| s.points.len()).max();
            let lowest: Vec<String> = chunk
                .iter()
                .filter_map(|(_, s)| {
                    let means = s.points.iter().map(|(_, point)| point.mean);
                    let lowest = means.min_by(f64::total_cmp)?;
                    Some(format!("{} {lowest:.1}", s.label))
                })
                .collect();
            let name = format!("anytime-{}{part}", first.benchmark());
            figures.push(
                LinePlot {
                    name: file_name(&name),
                    title: format!("Accuracy at every evaluation: {}{part}", first.stream),
                    note: sentences(&[
                        &format!(
                            "Mean over the tasks seen so far, within tasks and at their ends; {}{}",
                            count(&shown),
                            band(&shown)
                        ),
                        &marks(&shown),
                    ]),
                    description: format!(
                        "Line plot. Lowest average accuracy in percent: {}.",
                        lowest.join("; ")
                    ),
                    x_title: "evaluations",
                    y_title: "average accuracy (%)",
                    x: Axis::tasks(1, last.unwrap_or(1)),
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
