//! Bars: every metric of every group, with its spread over seeds.

use super::axis::{Axis, LABEL, TICK, rule};
use super::colour::{Marker, Paint};
use super::data::{Data, Entry, count, marks, sentences};
use super::label::file_name;
use super::layout::{MARGIN, heading, whisker};
use super::scene::{Anchor, Figure, Shape, Text, text_width};
use super::spec::PlotSpec;
use crate::report::beside;
use crate::report::group::Spread;
use crate::report::metric::{ACCURACY, FORGETTING_RELEASED, LEARNING_ACCURACY, MetricSpec};

/// `bars`.
pub(super) static BARS: PlotSpec = PlotSpec {
    name: "bars",
    description: "accuracy, forgetting and learning accuracy by group, beside the published figures of the same settings",
    paper: "Figures 1, 4",
    of_one_group: false,
    lacking: "no group has an accuracy",
    draw: |data| Ok(bars(data)),
};

const ROW: f64 = 26.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 84.0;

/// A panel each; forgetting is the maximum over all times, as the published figures have it.
const PANELS: [&MetricSpec; 3] = [&ACCURACY, &FORGETTING_RELEASED, &LEARNING_ACCURACY];

/// The published mean and standard deviation of the same settings.
fn published(entry: &Entry<'_>, metric: &MetricSpec) -> Option<(f64, Option<f64>)> {
    let found = beside::published(&entry.group.config, metric.published?)?;
    Some((found.mean, found.std))
}

/// One figure a stream: a row a group, a panel a metric.
fn bars(data: &Data<'_>) -> Vec<Figure> {
    let figures = data.streams.iter().filter(|entries| !entries.is_empty());
    figures.map(|entries| figure(entries)).collect()
}

fn figure(entries: &[Entry<'_>]) -> Figure {
    let all: Vec<&Entry<'_>> = entries.iter().collect();
    let name = all.first().map_or(String::new(), |e| e.stream.clone());
    let benchmark = all.first().map_or("", |e| e.benchmark());
    let label_width = entries
        .iter()
        .map(|e| text_width(&e.label, TICK))
        .fold(0.0, f64::max);
    let left = MARGIN + label_width + 10.0;
    let width = left + 3.0 * PANEL + 2.0 * GAP + GAP + MARGIN;
    let mut shapes = Vec::new();
    let any_published = entries
        .iter()
        .any(|e| PANELS.iter().any(|m| published(e, m).is_some()));
    let note = sentences(&[
        &format!(
            "Mean with a whisker of ± one population std; {}",
            count(&all)
        ),
        "Forgetting: highest accuracy at any time minus final, as the TAG paper's tables have it",
        if any_published {
            "Hollow diamonds: the paper's or its logs' figure for the same settings"
        } else {
            ""
        },
        &marks(&all),
    ]);
    let title = format!("Results: {name}");
    let (top, heading) = heading(&title, &note, width, &mut shapes);
    let bottom = top + ROW * entries.len() as f64;
    for (row, entry) in entries.iter().enumerate() {
        let y = top + ROW * (row as f64 + 0.5);
        let label = Text::new(left - 8.0, y + 0.35 * TICK, TICK, entry.label.clone());
        shapes.push(Shape::Series {
            group: entry.number,
            shapes: vec![label.anchor(Anchor::End).shape()],
        });
    }
    for (i, metric) in PANELS.iter().enumerate() {
        let x = left + i as f64 * (PANEL + GAP);
        panel(entries, metric, (x, top, bottom), &mut shapes);
    }
    let values: Vec<String> = entries
        .iter()
        .map(|e| format!("{} {:.1}", e.label, e.group.average_accuracy.mean))
        .collect();
    Figure {
        name: file_name(&format!("bars-{benchmark}")),
        title,
        description: format!("Bars. Average accuracy in percent: {}.", values.join("; ")),
        group: None,
        width,
        height: bottom + 26.0 + LABEL + MARGIN,
        top: 0.0,
        heading,
        shapes,
    }
}

fn panel(
    entries: &[Entry<'_>],
    metric: &MetricSpec,
    (left, top, bottom): (f64, f64, f64),
    shapes: &mut Vec<Shape>,
) {
    let own = entries
        .iter()
        .filter_map(|entry| metric.spread(entry.group))
        .map(|v| (v.mean, v.std));
    let others = entries.iter().filter_map(|e| published(e, metric));
    let others = others.map(|(mean, std)| (mean, std.unwrap_or(0.0)));
    let ends = own
        .chain(others)
        .flat_map(|(mean, std)| [mean - std, mean + std]);
    let axis = Axis::around(ends.chain([0.0]), 4);
    let place = |value: f64| left + PANEL * axis.place(value);
    for (value, label) in &axis.ticks {
        let x = place(*value);
        shapes.push(rule((x, top), (x, bottom), Paint::Grid));
        let label = Text::new(x, bottom + 5.0 + TICK, TICK, label.clone());
        shapes.push(label.anchor(Anchor::Middle).shape());
    }
    for (row, entry) in entries.iter().enumerate() {
        let y = top + ROW * (row as f64 + 0.5);
        let mut bar = Vec::new();
        match metric.spread(entry.group) {
            None => bar.push(
                Text::new(place(0.0) + 4.0, y + 0.35 * TICK, TICK, "not measured")
                    .paint(Paint::Muted)
                    .shape(),
            ),
            Some(value) => draw(entry, metric, value, y, &place, &mut bar),
        }
        shapes.push(Shape::Series {
            group: entry.number,
            shapes: bar,
        });
    }
    let zero = place(0.0);
    shapes.push(rule((zero, top), (zero, bottom), Paint::Ink));
    let title = Text::new(
        left + PANEL / 2.0,
        bottom + 26.0 + LABEL,
        LABEL,
        metric.title,
    );
    shapes.push(title.anchor(Anchor::Middle).shape());
}

fn draw(
    entry: &Entry<'_>,
    metric: &MetricSpec,
    value: Spread,
    y: f64,
    place: &dyn Fn(f64) -> f64,
    shapes: &mut Vec<Shape>,
) {
    // A decimal less than in tables: the bars are narrow.
    let digits = if metric.digits == 2 { 1 } else { metric.digits };
    let (zero, end) = (place(0.0), place(value.mean));
    let several = entry.group.n > 1;
    // Whiskers of both kinds side by side.
    let own_y = if published(entry, metric).is_some() {
        y - 0.12 * ROW
    } else {
        y
    };
    let text = if several {
        format!("{:.digits$} ± {:.digits$}", value.mean, value.std)
    } else {
        format!("{:.digits$}", value.mean)
    };
    shapes.push(Shape::Rect {
        x: zero.min(end),
        y: y - 0.31 * ROW,
        width: (end - zero).abs(),
        height: 0.62 * ROW,
        fill: if entry.group.config.value("alpha").is_some() {
            Paint::Series(0)
        } else {
            Paint::Series(5)
        },
        opacity: 0.8,
        tip: Some(format!("{}, {}: {text}", entry.label, metric.title)),
    });
    let mut furthest = end.max(zero);
    if several {
        let (low, high) = (place(value.mean - value.std), place(value.mean + value.std));
        shapes.extend(whisker(own_y, (low, high), Paint::Ink, |x, y| (x, y)));
        furthest = furthest.max(high);
    }
    if let Some((mean, std)) = published(entry, metric) {
        let y = y + 0.22 * ROW;
        let std_text = std.map_or(String::new(), |std| format!(" ± {std:.digits$}"));
        if let Some(std) = std.filter(|std| *std > 0.0) {
            let (low, high) = (place(mean - std), place(mean + std));
            shapes.extend(whisker(y, (low, high), Paint::Series(1), |x, y| (x, y)));
            furthest = furthest.max(high);
        }
        furthest = furthest.max(place(mean) + 5.0);
        shapes.push(Shape::Marker {
            x: place(mean),
            y,
            marker: Marker::Diamond,
            size: 3.6,
            paint: Paint::Series(1),
            hollow: true,
            tip: Some(format!(
                "{}, {}, published: {mean:.digits$}{std_text}",
                entry.label, metric.title
            )),
        });
    }
    shapes.push(Text::new(furthest + 6.0, y + 0.35 * 11.0, 11.0, text).shape());
}
