//! Tables as heat maps, and how tasks are labelled along them.

use super::axis::{Axis, LABEL, TICK, bounds};
use super::colour::{Paint, Rgb, viridis};
use super::layout::{MARGIN, colour_bar, heading};
use super::scene::{Anchor, Cell, Cells, Figure, Shape, Text, text_width};

/// A heat map and what stands around it.
pub(super) struct HeatMap<'a> {
    pub(super) name: String,
    /// Number of the group in the report.
    pub(super) group: usize,
    pub(super) title: String,
    pub(super) note: String,
    pub(super) description: String,
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    pub(super) colour_title: &'a str,
    /// Values by row from the top; absent cells stay empty.
    pub(super) rows: Vec<Vec<Option<f64>>>,
    /// Cells outside the colour scale.
    pub(super) grey: fn(usize, usize) -> bool,
    pub(super) row_labels: Vec<String>,
    pub(super) column_labels: Vec<String>,
    pub(super) row_names: Vec<String>,
    pub(super) column_names: Vec<String>,
    /// Width and height of a cell.
    pub(super) cell: (f64, f64),
    /// Decimals of the values painted into the cells, if they fit.
    pub(super) painted: Option<usize>,
    /// Decimals of the values shown on hovering.
    pub(super) digits: usize,
    /// A colour scale by powers.
    pub(super) log: bool,
}

impl HeatMap<'_> {
    /// The drawing.
    pub(super) fn figure(self) -> Figure {
        let shown = || {
            let cells = self
                .rows
                .iter()
                .enumerate()
                .flat_map(|(i, row)| row.iter().enumerate().map(move |(j, v)| (i, j, v)));
            cells
                .filter(|(i, j, _)| !(self.grey)(*i, *j))
                .filter_map(|(_, _, v)| *v)
        };
        let positive = bounds(shown()).0 > 0.0;
        let axis = if self.log && positive {
            Axis::log(&shown().collect::<Vec<_>>(), &[])
        } else {
            Axis::around(shown(), 6)
        };
        let colour = |value: f64| viridis(axis.place(value));
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let (w, h) = self.cell;
        let (wide, high) = (w * columns as f64, h * self.rows.len() as f64);
        let label_width = self
            .row_labels
            .iter()
            .map(|l| text_width(l, TICK))
            .fold(0.0, f64::max);
        let left = MARGIN + LABEL + 12.0 + label_width + 6.0;
        // What the colour bar takes.
        let width = (left + wide + 120.0).max(460.0);
        let mut shapes = Vec::new();
        let (top, heading) = heading(&self.title, &self.note, width, &mut shapes);
        let cells = Cells {
            x: left,
            y: top,
            cell: self.cell,
            rows: self
                .rows
                .iter()
                .enumerate()
                .map(|(i, row)| {
                    let cell = |(j, value): (usize, &Option<f64>)| {
                        value.map(|value| Cell {
                            value,
                            colour: (!(self.grey)(i, j)).then(|| colour(value)),
                        })
                    };
                    row.iter().enumerate().map(cell).collect()
                })
                .collect(),
            row_names: self.row_names,
            column_names: self.column_names,
            digits: self.digits,
        };
        if let Some(digits) = self.painted {
            paint_values(&cells, digits, &mut shapes);
        } else {
            shapes.push(Shape::Cells(cells));
        }
        for (i, label) in self.row_labels.iter().enumerate() {
            let y = top + (i as f64 + 0.5) * h + 0.35 * TICK.min(h);
            let label = Text::new(left - 6.0, y, TICK.min(h), label.clone());
            shapes.push(label.anchor(Anchor::End).shape());
        }
        for (j, label) in self.column_labels.iter().enumerate() {
            let label = Text::new(
                left + (j as f64 + 0.5) * w,
                top + high + 5.0 + TICK,
                TICK,
                label.clone(),
            );
            shapes.push(label.anchor(Anchor::Middle).shape());
        }
        let x_title = Text::new(
            left + wide / 2.0,
            top + high + 26.0 + LABEL,
            LABEL,
            self.x_title,
        );
        shapes.push(x_title.anchor(Anchor::Middle).shape());
        let y_title = Text::new(MARGIN + LABEL, top + high / 2.0, LABEL, self.y_title);
        shapes.push(y_title.anchor(Anchor::Middle).upwards().shape());
        let bar = (left + wide + 20.0, top, high);
        let right = colour_bar(&axis, bar, self.colour_title, viridis, &mut shapes);
        Figure {
            name: self.name,
            title: self.title,
            description: self.description,
            group: Some(self.group),
            width: width.max(right + MARGIN),
            height: top + high + 26.0 + LABEL + MARGIN,
            top: 0.0,
            heading,
            shapes,
        }
    }
}

/// The cells, and their values in black or white on them.
fn paint_values(cells: &Cells, digits: usize, shapes: &mut Vec<Shape>) {
    let mut texts = Vec::new();
    cells.each(|[x, y, w, h], cell, _| {
        let size = (0.42 * w).min(0.5 * h).min(11.0);
        // Off the scale, off the map: the value is shown on hovering.
        let Some(on) = cell.colour else { return };
        let text = format!("{:.digits$}", cell.value);
        let text = Text::new(x + w / 2.0, y + h / 2.0 + 0.35 * size, size, text);
        let Rgb(colour) = on.text_on();
        texts.push(
            text.anchor(Anchor::Middle)
                .paint(Paint::Rgb(Rgb(colour)))
                .shape(),
        );
    });
    shapes.push(Shape::Cells(cells.clone()));
    shapes.extend(texts);
}

/// Labels of n tasks, every one or every few.
pub(super) fn task_labels(tasks: usize) -> Vec<String> {
    let every = if tasks > 60 {
        10
    } else if tasks > 25 {
        5
    } else {
        1
    };
    let label = |t: usize| {
        if every == 1 || t.is_multiple_of(every) {
            t.to_string()
        } else {
            String::new()
        }
    };
    (1..=tasks).map(label).collect()
}

/// `after task 1`, `after task 2`, ...
pub(super) fn named(what: &str, tasks: usize) -> Vec<String> {
    (1..=tasks).map(|t| format!("{what} {t}")).collect()
}

/// Side of a task's cell.
pub(super) fn side(tasks: usize) -> f64 {
    (480.0 / tasks.max(1) as f64).clamp(8.0, 36.0)
}
