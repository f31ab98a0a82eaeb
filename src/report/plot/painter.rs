//! Painting a drawing by a few means, for the formats that have no shapes of their own.
//!
//! Owns how each shape, and each marker, comes down to areas, lines, discs and text; a format says how it paints these.

use super::colour::Paint;
use super::scene::{Cells, Outline, Shape, Stroke, Text, outline};

/// What a format can paint.
pub(super) trait Painter {
    /// A rectangle `[x, y, width, height]`; one of many side by side is crisp, without soft edges.
    fn rect(&mut self, rect: [f64; 4], paint: Paint, opacity: f64, crisp: bool);
    /// The area inside points.
    fn fill(&mut self, points: &[(f64, f64)], paint: Paint, opacity: f64);
    /// A line through points.
    fn stroke(&mut self, points: &[(f64, f64)], closed: bool, stroke: &Stroke);
    /// A disc of radius `r` with its edge.
    fn disc(&mut self, centre: (f64, f64), r: f64, inside: Paint, edge: &Stroke);
    /// A line of text.
    fn text(&mut self, text: &Text);

    /// Shapes in their order.
    fn shapes(&mut self, shapes: &[Shape]) {
        for shape in shapes {
            self.shape(shape);
        }
    }

    /// One shape.
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Rect {
                x,
                y,
                width,
                height,
                fill,
                opacity,
                ..
            } => self.rect([*x, *y, *width, *height], *fill, *opacity, false),
            Shape::Line { points, stroke } => self.stroke(points, false, stroke),
            Shape::Area {
                points,
                fill,
                opacity,
            } => self.fill(points, *fill, *opacity),
            Shape::Marker { .. } => self.marker(shape),
            Shape::Text(text) => self.text(text),
            Shape::Cells(cells) => self.cells(cells),
            Shape::Series { shapes, .. } => self.shapes(shapes),
        }
    }

    /// A table of coloured cells.
    fn cells(&mut self, cells: &Cells) {
        cells.each(|rect, cell, _| {
            let paint = cell.colour.map_or(Paint::Empty, Paint::Rgb);
            self.rect(rect, paint, 1.0, true);
        });
    }

    /// A marker; nothing for other shapes.
    fn marker(&mut self, shape: &Shape) {
        let Shape::Marker {
            x,
            y,
            marker,
            size,
            paint,
            hollow,
            ..
        } = shape
        else {
            return;
        };
        let inside = if *hollow { Paint::Paper } else { *paint };
        let stroke = |width| Stroke {
            paint: *paint,
            width,
            dash: &[],
        };
        let at = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            points.iter().map(|(a, b)| (x + a, y + b)).collect()
        };
        match outline(*marker, *size) {
            Outline::Circle => self.disc((*x, *y), *size, inside, &stroke(1.0)),
            Outline::Closed(points) => {
                let points = at(&points);
                self.fill(&points, inside, 1.0);
                self.stroke(&points, true, &stroke(1.0));
            }
            Outline::Strokes(lines) => {
                for line in lines {
                    self.stroke(&at(&line), false, &stroke(2.0));
                }
            }
        }
    }
}
