//! Accuracy against time.

use super::axis::{Axis, bounds};
use super::colour::Style;
use super::data::{Data, Entry, count, marks, parts, sentences};
use super::label::file_name;
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::spec::PlotSpec;
use super::stats::Point;

/// `cost`.
pub(super) static COST: PlotSpec = PlotSpec {
    name: "cost",
    description: "accuracy against time",
    paper: "",
    of_one_group: false,
    lacking: "no run has a measured time",
    draw: |data| Ok(cost(data)),
};

/// One point a group; time on a logarithmic axis where it spans more than a factor of five.
fn cost(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let timed: Vec<&Entry<'_>> = entries
            .iter()
            .filter(|e| e.group.wall_s.mean > 0.0)
            .collect();
        for (shown, part) in parts(&timed) {
            let Some(first) = shown.first() else { continue };
            let times: Vec<f64> = shown.iter().map(|e| e.group.wall_s.mean).collect();
            let (low, high) = bounds(times.iter().copied());
            let x = if high / low > 5.0 {
                Axis::log(&times, &[])
            } else {
                Axis::around(times.iter().copied().chain([0.0]), 7)
            };
            let series = shown.iter().map(|entry| {
                let (accuracy, time) = (entry.group.average_accuracy, entry.group.wall_s);
                Series {
                    group: entry.number,
                    style: Style::of(entry.rank),
                    label: entry.label.clone(),
                    points: vec![(
                        time.mean,
                        Point {
                            mean: accuracy.mean,
                            std: accuracy.std,
                            n: entry.group.n,
                        },
                    )],
                    x_names: vec![format!("{:.1} s a run", time.mean)],
                    line: false,
                }
            });
            let values: Vec<String> = shown
                .iter()
                .map(|e| {
                    format!(
                        "{} {:.1} s, {:.1}%",
                        e.label, e.group.wall_s.mean, e.group.average_accuracy.mean
                    )
                })
                .collect();
            figures.push(
                LinePlot {
                    name: file_name(&format!("cost-{}{part}", first.benchmark())),
                    title: format!("Accuracy against time: {}{part}", first.stream),
                    note: sentences(&[
                        &format!(
                            "Wall-clock seconds of a whole run, evaluation included; {}",
                            count(shown)
                        ),
                        "Times compare only between runs of one machine under one load",
                        &marks(shown),
                    ]),
                    description: format!(
                        "Points. Time and average accuracy: {}.",
                        values.join("; ")
                    ),
                    x_title: "seconds a run",
                    y_title: "average accuracy (%)",
                    x,
                    y_values: Vec::new(),
                    y_most: Some(100.0),
                    series: series.collect(),
                    digits: 2,
                }
                .figure(),
            );
        }
    }
    figures
}
