//! What the line plots share: title, legend, series with bands.
//!
//! Owns the page of a plot. Widths follow the texts, so that nothing is cut off.

use super::axis::{Axis, Frame, LABEL, TICK};
use super::colour::{Paint, Style};
use super::scene::{Anchor, Figure, Heading, Shape, Stroke, Text, text_width, wrap};
use super::stats::Point;

const TITLE: f64 = 16.0;
const NOTE: f64 = 12.0;
pub(super) const MARGIN: f64 = 16.0;
/// Width of a legend's sample.
const SAMPLE: f64 = 34.0;
const LEGEND_ROW: f64 = 20.0;

/// A series of points with a name.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Number of the group in the report.
    pub(super) group: usize,
    pub(super) style: Style,
    pub(super) label: String,
    /// Values over x.
    pub(super) points: Vec<(f64, Point)>,
    /// What a point's x is, for hovering.
    pub(super) x_names: Vec<String>,
    /// Joined by a line, with a band of one standard deviation; else single points with whiskers.
    pub(super) line: bool,
}

/// Everything of a line plot.
pub(super) struct LinePlot<'a> {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) note: String,
    pub(super) description: String,
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    pub(super) x: Axis,
    /// Values that the y axis must show.
    pub(super) y_values: Vec<f64>,
    /// The largest value that there can be: a deviation ends there, too.
    pub(super) y_most: Option<f64>,
    pub(super) series: Vec<Series>,
    /// Decimals of the values shown on hovering.
    pub(super) digits: usize,
}

/// Title and notes at the top; returns where the rest begins, and what they take.
pub(super) fn heading(
    title: &str,
    note: &str,
    width: f64,
    shapes: &mut Vec<Shape>,
) -> (f64, Heading) {
    let mut y = MARGIN;
    for line in wrap(title, TITLE * 1.08, width - 2.0 * MARGIN) {
        y += TITLE + 2.0;
        shapes.push(Text::new(MARGIN, y, TITLE, line).bold().shape());
    }
    for line in wrap(note, NOTE, width - 2.0 * MARGIN) {
        y += NOTE + 5.0;
        shapes.push(Text::new(MARGIN, y, NOTE, line).paint(Paint::Muted).shape());
    }
    let (top, shapes) = (y + 16.0, shapes.len());
    // A little room stays above what comes first.
    let bottom = top - 12.0;
    (top, Heading { shapes, bottom })
}

/// Width of a legend of these labels.
pub(super) fn legend_width(labels: &[&str]) -> f64 {
    let text = labels
        .iter()
        .map(|l| text_width(l, TICK))
        .fold(0.0, f64::max);
    SAMPLE + 8.0 + text
}

/// A sample of each series with its name, one below the other.
fn legend(series: &[Series], order: &[usize], (x, y): (f64, f64), shapes: &mut Vec<Shape>) {
    for (row, series) in order.iter().filter_map(|i| series.get(*i)).enumerate() {
        let y = y + LEGEND_ROW * (row as f64 + 0.5);
        let mut entry = Vec::new();
        if series.line {
            entry.push(Shape::Line {
                points: vec![(x, y), (x + SAMPLE, y)],
                stroke: Stroke {
                    paint: series.style.paint,
                    width: 2.0,
                    dash: series.style.dash,
                },
            });
        }
        entry.push(marker(series.style, (x + SAMPLE / 2.0, y), 3.6, None));
        entry.push(
            Text::new(
                x + SAMPLE + 8.0,
                y + 0.35 * TICK,
                TICK,
                series.label.clone(),
            )
            .shape(),
        );
        shapes.push(Shape::Series {
            group: series.group,
            shapes: entry,
        });
    }
}

/// A point in a series' style.
pub(super) fn marker(style: Style, (x, y): (f64, f64), size: f64, tip: Option<String>) -> Shape {
    Shape::Marker {
        x,
        y,
        marker: style.marker,
        size,
        paint: style.paint,
        hollow: false,
        tip,
    }
}

/// A whisker with caps from `low` to `high`, at `across` of the other axis; `place` makes a point of a value along the
/// whisker and one across it.
pub(super) fn whisker(
    across: f64,
    (low, high): (f64, f64),
    paint: Paint,
    place: impl Fn(f64, f64) -> (f64, f64),
) -> Vec<Shape> {
    let stroke = Stroke {
        paint,
        width: 1.4,
        dash: &[],
    };
    let line = |a, b| Shape::Line {
        points: vec![a, b],
        stroke,
    };
    let cap = 3.5;
    vec![
        line(place(low, across), place(high, across)),
        line(place(low, across - cap), place(low, across + cap)),
        line(place(high, across - cap), place(high, across + cap)),
    ]
}

impl LinePlot<'_> {
    /// The drawing: plot area left, legend right, ordered by the last value as the lines end.
    pub(super) fn figure(self) -> Figure {
        let labels: Vec<&str> = self.series.iter().map(|s| s.label.as_str()).collect();
        let (plot_width, plot_height): (f64, f64) = (560.0, 360.0);
        let left = MARGIN + 62.0;
        let legend_left = left + plot_width + 18.0;
        let width = legend_left + legend_width(&labels) + MARGIN;
        let mut shapes = Vec::new();
        let (top, heading) = heading(&self.title, &self.note, width, &mut shapes);
        let most = self.y_most.unwrap_or(f64::INFINITY);
        let with_bands = self.series.iter().flat_map(|s| &s.points);
        let values = with_bands
            .flat_map(|(_, p)| [p.mean - p.std, upper(p, most)])
            .chain(self.y_values.iter().copied());
        let height = plot_height.max(LEGEND_ROW * self.series.len() as f64);
        let frame = Frame {
            left,
            top,
            width: plot_width,
            height,
            x: self.x,
            y: Axis::around(values, 7),
        };
        frame.draw(self.x_title, self.y_title, &mut shapes);
        for series in &self.series {
            shapes.push(Shape::Series {
                group: series.group,
                shapes: draw_series(series, &frame, most, self.digits, true),
            });
        }
        for series in &self.series {
            shapes.push(Shape::Series {
                group: series.group,
                shapes: draw_series(series, &frame, most, self.digits, false),
            });
        }
        let last = |i: &usize| {
            let series = self.series.get(*i);
            series
                .and_then(|s| s.points.last())
                .map_or(f64::NEG_INFINITY, |(_, p)| p.mean)
        };
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by(|a, b| last(b).total_cmp(&last(a)));
        legend(&self.series, &order, (legend_left, top), &mut shapes);
        Figure {
            name: self.name,
            title: self.title,
            description: self.description,
            group: None,
            width,
            height: frame.bottom() + 26.0 + LABEL + MARGIN,
            top: 0.0,
            heading,
            shapes,
        }
    }
}

/// The upper end of a point's deviation.
fn upper(point: &Point, most: f64) -> f64 {
    (point.mean + point.std).min(most.max(point.mean))
}

/// The bands of a series, or its lines and points: bands go below all lines.
fn draw_series(
    series: &Series,
    frame: &Frame,
    most: f64,
    digits: usize,
    bands: bool,
) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let paint = series.style.paint;
    let spread = series.points.iter().any(|(_, p)| p.n > 1 && p.std > 0.0);
    if bands {
        if series.line && spread && series.points.len() > 1 {
            let upper = series
                .points
                .iter()
                .map(|(x, p)| frame.at(*x, upper(p, most)));
            let lower = series
                .points
                .iter()
                .rev()
                .map(|(x, p)| frame.at(*x, p.mean - p.std));
            shapes.push(Shape::Area {
                points: upper.chain(lower).collect(),
                fill: paint,
                opacity: 0.16,
            });
        }
        return shapes;
    }
    if series.line && series.points.len() > 1 {
        shapes.push(Shape::Line {
            points: series
                .points
                .iter()
                .map(|(x, p)| frame.at(*x, p.mean))
                .collect(),
            stroke: Stroke {
                paint,
                width: 2.0,
                dash: series.style.dash,
            },
        });
    }
    for (i, (x, point)) in series.points.iter().enumerate() {
        let at = frame.at(*x, point.mean);
        if !series.line && point.n > 1 && point.std > 0.0 {
            let (low, high) = (
                frame.at(*x, point.mean - point.std).1,
                frame.at(*x, upper(point, most)).1,
            );
            shapes.extend(whisker(at.0, (low, high), paint, |y, x| (x, y)));
        }
        let x_name = series.x_names.get(i).map_or("", String::as_str);
        let tip = format!("{}, {x_name}: {}", series.label, point.text(digits));
        let size = if series.line { 3.2 } else { 4.6 };
        shapes.push(marker(series.style, at, size, Some(tip)));
    }
    shapes
}

/// A scale of colours beside a heat map.
pub(super) fn colour_bar(
    axis: &Axis,
    (x, top, height): (f64, f64, f64),
    title: &str,
    colour: impl Fn(f64) -> super::colour::Rgb,
    shapes: &mut Vec<Shape>,
) -> f64 {
    let steps = 64;
    let step = height / f64::from(steps);
    for i in 0..steps {
        let share = (f64::from(i) + 0.5) / f64::from(steps);
        shapes.push(Shape::Rect {
            x,
            y: top + height - f64::from(i + 1) * step,
            width: 14.0,
            // A little more than a step: no light seams.
            height: if i == 0 { step } else { step + 0.5 },
            fill: Paint::Rgb(colour(share)),
            opacity: 1.0,
            tip: None,
        });
    }
    let mut widest: f64 = 0.0;
    for (value, label) in &axis.ticks {
        let y = top + height * (1.0 - axis.place(*value));
        shapes.push(super::axis::rule((x + 14.0, y), (x + 18.0, y), Paint::Ink));
        widest = widest.max(text_width(label, TICK));
        shapes.push(Text::new(x + 22.0, y + 0.35 * TICK, TICK, label.clone()).shape());
    }
    let x = x + 22.0 + widest + 18.0;
    let title = Text::new(x, top + height / 2.0, LABEL, title);
    shapes.push(title.anchor(Anchor::Middle).upwards().shape());
    x + 6.0
}
