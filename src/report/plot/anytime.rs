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

/// Mean accuracy over the tasks so far at every evaluation of a run, in their order, and how many tasks were trained by then: those
/// within a task share it evenly. None without evaluations within tasks.
fn in_order(run: &Run) -> Vec<(f64, f64)> {
    if run.within.is_empty() {
        return Vec::new();
    }
    let ends = run.accuracy_matrix.rows().iter().enumerate();
    let points = ends.flat_map(|(task, row)| {
        let within = run.within.iter().filter(|one| one.task == task);
        let rows: Vec<&Vec<f64>> = within.map(|one| &one.accuracies).chain([row]).collect();
        let steps = rows.len() as f64;
        let rows = rows.into_iter().enumerate();
        rows.filter_map(move |(i, row)| Some((task as f64 + (i + 1) as f64 / steps, mean(row)?)))
            .collect::<Vec<_>>()
    });
    points.collect()
}

/// A group's line: the places are those of its first run, whose seeds change no number of steps.
fn line(entry: &Entry<'_>, runs: &[&Run]) -> Option<Series> {
    let runs: Vec<Vec<(f64, f64)>> = runs.iter().map(|run| in_order(run)).collect();
    let values: Vec<Vec<f64>> = runs
        .iter()
        .map(|run| run.iter().map(|(_, y)| *y).collect())
        .collect();
    let mut series = series(entry, over_runs(&values), 1, "evaluation", true)?;
    for (point, (x, _)) in series.points.iter_mut().zip(runs.first()?) {
        point.0 = *x;
    }
    Some(series)
}

fn anytime(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let all = entries
            .iter()
            .filter_map(|entry| Some((entry, line(entry, &data.members(entry))?)));
        let all: Vec<(&Entry<'_>, Series)> = all.collect();
        for (chunk, part) in parts(&all) {
            let shown: Vec<&Entry<'_>> = chunk.iter().map(|(entry, _)| *entry).collect();
            let Some(first) = shown.first() else { continue };
            let last = chunk.iter().filter_map(|(_, s)| s.points.last());
            let last = last.fold(1.0_f64, |most, (x, _)| most.max(*x));
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
                            "Mean over the tasks seen so far, the present one among them, within tasks and at their ends; {}{}",
                            count(&shown),
                            band(&shown)
                        ),
                        &marks(&shown),
                    ]),
                    description: format!(
                        "Line plot. Lowest average accuracy in percent: {}.",
                        lowest.join("; ")
                    ),
                    x_title: "tasks trained",
                    y_title: "average accuracy (%)",
                    x: Axis::within_tasks(last.ceil() as usize),
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
