//! TAG's correlations by task: α(t,τ).
//!
//! Its values are means over the steps of task t. The present task's own (τ = t), which is e^−b by definition, is not
//! coloured: it would press all others into one end of the scale.

use super::axis::Axis;
use super::colour::{Paint, Style};
use super::data::{Data, Entry, band, count, marks, sentences};
use super::heat_map::{HeatMap, named, side, task_labels};
use super::label::file_name;
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::spec::{PlotError, PlotSpec};
use super::stats::{Point, mean_alpha, over_runs, past_mean};
use crate::experiment::run::result::AlphaResult;

/// What is lacking where there is no such plot.
pub(super) const NO_ALPHA: &str = "no run recorded α of two or more tasks; only the TAG optimizers do (--optimizer tag-rmsprop), and not those whose \
     memory has none (--tag-memory flat)";

/// `alpha`.
pub(super) static ALPHA: PlotSpec = PlotSpec {
    name: "alpha",
    description: "TAG's α(t,τ): its course over t, and as a heat map",
    paper: "Figures 2, 3, 6-9",
    of_one_group: true,
    lacking: NO_ALPHA,
    draw: by_task,
};

/// The recorded α of a group's runs.
pub(super) fn of_group(data: &Data<'_>, entry: &Entry<'_>) -> Result<Vec<AlphaResult>, PlotError> {
    if entry.group.config.value("alpha").is_none() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for run in data.members(entry) {
        let alpha = run.alpha().map_err(PlotError::Alpha)?;
        all.extend(alpha.filter(|alpha| alpha.mean.len() > 1));
    }
    Ok(all)
}

/// What the note says where tasks share their α; of a single run also who shares it with whom at the end, tasks from 1.
pub(super) fn shared(runs: &[AlphaResult]) -> String {
    let mut clusters = runs.iter().filter_map(|run| run.clusters.as_ref()?.last());
    let Some(last) = clusters.next() else {
        return String::new();
    };
    let text = "Tasks of one cluster share their α";
    if runs.len() > 1 {
        return text.to_string();
    }
    let lists: Vec<String> = last
        .iter()
        .map(|members| {
            let members: Vec<String> = members.iter().map(|task| (task + 1).to_string()).collect();
            format!("{{{}}}", members.join(", "))
        })
        .collect();
    format!("{text}; at the last task {}", lists.join(" "))
}

/// For each group with α: its course over t, and all of it as a heat map.
fn by_task(data: &Data<'_>) -> Result<Vec<Figure>, PlotError> {
    let mut figures = Vec::new();
    for entry in data.streams.iter().flatten() {
        let runs = of_group(data, entry)?;
        if !runs.is_empty() {
            figures.push(evolution(entry, &runs));
            figures.push(heat_map(entry, &runs));
        }
    }
    Ok(figures)
}

fn evolution(entry: &Entry<'_>, runs: &[AlphaResult]) -> Figure {
    let pick = |f: &dyn Fn(usize, &[f64]) -> Option<f64>| -> Vec<Point> {
        let runs: Vec<Vec<f64>> = runs
            .iter()
            .map(|run| {
                let rows = run.mean.iter().enumerate().skip(1);
                rows.filter_map(|(t, row)| f(t, row.get(..t)?)).collect()
            })
            .collect();
        over_runs(&runs)
    };
    let lines: [(&str, Vec<Point>); 5] = [
        (
            "highest over τ < t",
            pick(&|_, past| past.iter().copied().reduce(f64::max)),
        ),
        ("mean over τ < t", pick(&|_, past| super::stats::mean(past))),
        (
            "lowest over τ < t",
            pick(&|_, past| past.iter().copied().reduce(f64::min)),
        ),
        (
            "τ = t − 1, the task before",
            pick(&|t, past| past.get(t - 1).copied()),
        ),
        (
            "τ = 1, the first task",
            pick(&|_, past| past.first().copied()),
        ),
    ];
    let tasks = runs.iter().map(|run| run.mean.len()).min().unwrap_or(0);
    let mean = lines.get(1).and_then(|(_, points)| {
        let values: Vec<f64> = points.iter().map(|p| p.mean).collect();
        super::stats::mean(&values)
    });
    let series = lines
        .into_iter()
        .enumerate()
        .map(|(i, (label, points))| Series {
            group: entry.number,
            style: Style {
                // The mean in ink; its bounds in the same grey-blue.
                paint: match i {
                    1 => Paint::Ink,
                    0 | 2 => Paint::Series(5),
                    other => Paint::Series(other - 3),
                },
                ..Style::of(i)
            },
            label: label.to_string(),
            x_names: (2..=tasks).map(|t| format!("task t = {t}")).collect(),
            points: (2..=tasks).map(|t| t as f64).zip(points).collect(),
            line: true,
        });
    LinePlot {
        name: file_name(&format!(
            "alpha-course-{}-{}",
            entry.benchmark(),
            entry.label
        )),
        title: format!("α(t, τ) over the tasks: {}, {}", entry.label, entry.stream),
        note: sentences(&[
            &format!(
                "Mean over tensors and the steps of task t; {}{}",
                count(&[entry]),
                band(&[entry])
            ),
            &shared(runs),
            &marks(&[entry]),
        ]),
        description: format!(
            "Line plot of TAG's correlation over the tasks. Mean over all past tasks: {:.2}.",
            mean.unwrap_or(f64::NAN)
        ),
        x_title: "task t",
        y_title: "α(t, τ)",
        x: Axis::tasks(2, tasks),
        y_values: vec![1.0],
        y_most: None,
        series: series.collect(),
        digits: 3,
    }
    .figure()
}

fn heat_map(entry: &Entry<'_>, runs: &[AlphaResult]) -> Figure {
    let (table, _) = mean_alpha(runs);
    let tasks = table.len();
    let values: Vec<f64> = past_mean(&table);
    let mean = super::stats::mean(&values).unwrap_or(f64::NAN);
    HeatMap {
        group: entry.number,
        name: file_name(&format!("alpha-{}-{}", entry.benchmark(), entry.label)),
        title: format!("α(t, τ): {}, {}", entry.label, entry.stream),
        note: sentences(&[
            &format!("Mean over tensors and the steps of task t; {}", count(&[entry])),
            "Grey: the present task's own, not on the scale",
            &shared(runs),
            &marks(&[entry]),
        ]),
        description: format!("Heat map of TAG's correlation by present and past task. Mean over past tasks: {mean:.2}."),
        x_title: "past task τ",
        y_title: "present task t",
        colour_title: "α(t, τ), logarithmic",
        rows: table.into_iter().map(|row| row.into_iter().map(Some).collect()).collect(),
        grey: |t, tau| t == tau,
        row_labels: task_labels(tasks),
        column_labels: task_labels(tasks),
        row_names: named("t =", tasks),
        column_names: named("τ =", tasks),
        cell: (side(tasks), side(tasks)),
        painted: (tasks <= 20).then_some(1),
        digits: 3,
        log: true,
    }
    .figure()
}
