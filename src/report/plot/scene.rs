//! A drawing: shapes in the order they are painted.
//!
//! Owns the few shapes that the plots need. A drawing is written as SVG (`svg`) or PDF (`pdf`) or painted (`png`); all see the same
//! shapes, so none can show what another does not. Lengths are in units of 1/96 inch, y grows downwards.

use super::colour::{Marker, Paint, Rgb};
use super::font::Font;

/// Where a text stands relative to its x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line's look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    pub(super) paint: Paint,
    pub(super) width: f64,
    pub(super) dash: &'static [f64],
}

/// One line of text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub(super) x: f64,
    /// Base line.
    pub(super) y: f64,
    pub(super) words: String,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) anchor: Anchor,
    pub(super) paint: Paint,
    /// Turned by 90° to the left around (x, y).
    pub(super) upwards: bool,
}

/// A table of coloured cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cells {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Width and height of a cell.
    pub(super) cell: (f64, f64),
    /// Rows from the top.
    pub(super) rows: Vec<Vec<Option<Cell>>>,
    /// What a row and a column are, as in `task 3`; for the values shown on hovering.
    pub(super) row_names: Vec<String>,
    pub(super) column_names: Vec<String>,
    /// Decimals of the values shown.
    pub(super) digits: usize,
}

/// A cell: its value and its colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) value: f64,
    /// None for a value outside the colour scale.
    pub(super) colour: Option<Rgb>,
}

/// What is painted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Rect {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        fill: Paint,
        opacity: f64,
        tip: Option<String>,
    },
    /// A line through points, or an area inside them.
    Line {
        points: Vec<(f64, f64)>,
        stroke: Stroke,
    },
    Area {
        points: Vec<(f64, f64)>,
        fill: Paint,
        opacity: f64,
    },
    Marker {
        x: f64,
        y: f64,
        marker: Marker,
        size: f64,
        paint: Paint,
        /// Filled with the paper's colour.
        hollow: bool,
        tip: Option<String>,
    },
    Text(Text),
    Cells(Cells),
    /// Shapes of one series, by its number among the report's groups: the page can hide them together.
    Series {
        group: usize,
        shapes: Vec<Shape>,
    },
}

/// One plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// File name without its extension.
    pub name: String,
    /// Title, also painted.
    pub title: String,
    /// What the plot shows, for those who cannot see it.
    pub description: String,
    /// The group whose plot it is, if it is one group's.
    pub(super) group: Option<usize>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Where the page begins; above 0 where the heading is left out.
    pub(super) top: f64,
    pub(super) heading: Heading,
    pub(super) shapes: Vec<Shape>,
}

/// The title and notes: how many of the first shapes, and how far down they go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heading {
    pub(super) shapes: usize,
    pub(super) bottom: f64,
}

impl Figure {
    /// The plot without its title and notes, for a paper whose caption has them.
    #[must_use]
    pub fn without_heading(mut self) -> Self {
        self.shapes
            .drain(..self.heading.shapes.min(self.shapes.len()));
        self.heading.shapes = 0;
        self.top = self.heading.bottom;
        self.height -= self.top;
        self
    }

    /// Pixels a unit that make the plot so many pixels wide.
    #[must_use]
    pub fn scale_to(&self, pixels: f64) -> f64 {
        pixels / self.width
    }

    /// The report's groups that the plot shows, by number.
    #[must_use]
    pub fn groups(&self) -> Vec<usize> {
        let mut groups: Vec<usize> = self
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Series { group, .. } => Some(*group),
                _ => None,
            })
            .collect();
        groups.extend(self.group);
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

impl Text {
    /// Text in ink that starts at (x, y).
    pub(super) fn new(x: f64, y: f64, size: f64, text: impl Into<String>) -> Self {
        Self {
            x,
            y,
            words: text.into(),
            size,
            bold: false,
            anchor: Anchor::Start,
            paint: Paint::Ink,
            upwards: false,
        }
    }

    pub(super) fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    pub(super) fn bold(mut self) -> Self {
        self.bold = true;
        self
    }

    pub(super) fn paint(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }

    pub(super) fn upwards(mut self) -> Self {
        self.upwards = true;
        self
    }

    pub(super) fn shape(self) -> Shape {
        Shape::Text(self)
    }
}

/// Width of a line of regular text.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    Font::new(size, false).width(text)
}

/// Words in lines no wider than `width`; a longer word has a line of its own.
pub(super) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// The outline of a marker around (0, 0), of radius about `r`: closed, or strokes.
pub(super) fn outline(marker: Marker, r: f64) -> Outline {
    let square = |r: f64| vec![(-r, -r), (r, -r), (r, r), (-r, r)];
    match marker {
        Marker::Circle => Outline::Circle,
        Marker::Square => Outline::Closed(square(0.88 * r)),
        Marker::Diamond => {
            let r = 1.25 * r;
            Outline::Closed(vec![(0.0, -r), (r, 0.0), (0.0, r), (-r, 0.0)])
        }
        Marker::Up => Outline::Closed(vec![
            (0.0, -1.2 * r),
            (1.15 * r, 0.85 * r),
            (-1.15 * r, 0.85 * r),
        ]),
        Marker::Down => Outline::Closed(vec![
            (0.0, 1.2 * r),
            (1.15 * r, -0.85 * r),
            (-1.15 * r, -0.85 * r),
        ]),
        Marker::Cross => Outline::Strokes(vec![[(-r, -r), (r, r)], [(-r, r), (r, -r)]]),
        Marker::Plus => {
            let r = 1.25 * r;
            Outline::Strokes(vec![[(-r, 0.0), (r, 0.0)], [(0.0, -r), (0.0, r)]])
        }
    }
}

/// See [`outline`].
pub(super) enum Outline {
    Circle,
    Closed(Vec<(f64, f64)>),
    Strokes(Vec<[(f64, f64); 2]>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wrap_at_words_and_lose_none() {
        let text = "one two three four fivefivefivefivefivefive six";
        let lines = wrap(text, 10.0, 60.0);
        assert!(lines.len() > 2);
        assert_eq!(lines.join(" "), text);
        for line in lines {
            assert!(
                text_width(&line, 10.0) <= 60.0 || !line.contains(' '),
                "{line}"
            );
        }
        assert!(wrap("", 10.0, 60.0).is_empty());
    }
}
