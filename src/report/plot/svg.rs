//! Drawings as SVG.
//!
//! Owns the writing and its escapes. Two dialects: a file for itself, with fixed colours, a title in every mark (which
//! viewers show on hovering) and the embedded font's outlines for letters, so that it looks the same with whatever fonts a
//! machine or a converter has; and one that stands in the HTML report, whose colours are the page's variables, whose
//! values are in attributes for the page's script, and whose text is text in the page's font.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::colour::Paint;
use super::font::{Font, Pen};
use super::scene::{Anchor, Cells, Figure, Outline, Shape, Stroke, Text, outline};

/// Text as XML character data or attribute value. Control characters, which XML forbids, become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A number with at most two decimals. Numbers that are none are drawn at 0.
pub(super) fn number(x: f64) -> String {
    if !x.is_finite() {
        return "0".to_string();
    }
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "" | "-0" | "-" => "0".to_string(),
        text => text.to_string(),
    }
}

struct Writer {
    out: String,
    themed: bool,
    /// Outlines of the glyphs used so far, by face (bold or not) and number.
    glyphs: BTreeMap<(bool, u16), String>,
}

impl Figure {
    /// The plot as an SVG file.
    #[must_use]
    pub fn svg(&self) -> String {
        self.svg_at(1.0)
    }

    /// The plot as an SVG file that asks to be shown at `scale` pixels a unit.
    #[must_use]
    pub fn svg_at(&self, scale: f64) -> String {
        self.write(false, "", scale)
    }

    /// The plot for an HTML page that defines the theme's variables; `id` must be the page's own, of letters and digits.
    #[must_use]
    pub fn inline_svg(&self, id: &str) -> String {
        self.write(true, id, 1.0)
    }

    fn write(&self, themed: bool, id: &str, scale: f64) -> String {
        let (w, h, top) = (number(self.width), number(self.height), number(self.top));
        let mut writer = Writer {
            out: String::new(),
            themed,
            glyphs: BTreeMap::new(),
        };
        // A wide screen is used, without letters growing out of proportion.
        let most = number(1.45 * self.width);
        let out = &mut writer.out;
        if themed {
            let _ = write!(
                out,
                r#"<svg class="plot" viewBox="0 {top} {w} {h}" style="max-width:{most}px" role="img" tabindex="0" aria-labelledby="{id}t {id}d"><title id="{id}t">{}</title><desc id="{id}d">{}</desc>"#,
                escape(&self.title),
                escape(&self.description)
            );
        } else {
            let _ = write!(
                out,
                r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{}" height="{}" viewBox="0 {top} {w} {h}" role="img"><title>{}</title><desc>{}</desc>"#,
                number(scale * self.width),
                number(scale * self.height),
                escape(&self.title),
                escape(&self.description)
            );
            let _ = write!(
                out,
                r#"<rect y="{top}" width="{w}" height="{h}" fill="{}"/>"#,
                Paint::Paper.css(false)
            );
        }
        writer.shapes(&self.shapes);
        writer.definitions();
        writer.out.push_str("</svg>");
        if !themed {
            writer.out.push('\n');
        }
        writer.out
    }
}

fn path(points: &[(f64, f64)], closed: bool) -> String {
    let mut d = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(
            d,
            "{}{} {}",
            if i == 0 { "M" } else { "L" },
            number(*x),
            number(*y)
        );
    }
    if closed {
        d.push('Z');
    }
    d
}

impl Writer {
    fn css(&self, paint: Paint) -> String {
        paint.css(self.themed)
    }

    fn opacity(opacity: f64) -> String {
        if opacity < 1.0 {
            format!(r#" fill-opacity="{}""#, number(opacity))
        } else {
            String::new()
        }
    }

    /// The end of an element whose start tag is still open, with its value for hovering.
    fn finish(&mut self, element: &str, tip: Option<&String>) {
        match tip {
            None => self.out.push_str("/>"),
            Some(tip) if self.themed => {
                let _ = write!(self.out, r#" data-tip="{}"/>"#, escape(tip));
            }
            Some(tip) => {
                let _ = write!(self.out, "><title>{}</title></{element}>", escape(tip));
            }
        }
    }

    fn shapes(&mut self, shapes: &[Shape]) {
        for shape in shapes {
            self.shape(shape);
        }
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Rect {
                x,
                y,
                width,
                height,
                fill,
                opacity,
                tip,
            } => {
                let _ = write!(
                    self.out,
                    r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{}"{}"#,
                    number(*x),
                    number(*y),
                    number(*width),
                    number(*height),
                    self.css(*fill),
                    Self::opacity(*opacity)
                );
                self.finish("rect", tip.as_ref());
            }
            Shape::Line { points, stroke } => {
                let d = path(points, false);
                let stroke = self.stroke(stroke);
                let _ = write!(self.out, r#"<path d="{d}" fill="none"{stroke}/>"#);
            }
            Shape::Area {
                points,
                fill,
                opacity,
            } => {
                let (d, fill) = (path(points, true), self.css(*fill));
                let opacity = Self::opacity(*opacity);
                let _ = write!(self.out, r#"<path d="{d}" fill="{fill}"{opacity}/>"#);
            }
            Shape::Marker { .. } => self.marker(shape),
            Shape::Text(text) => self.text(text),
            Shape::Cells(cells) if self.themed => self.cells_inline(cells),
            Shape::Cells(cells) => self.cells(cells),
            Shape::Series { group, shapes } => {
                if self.themed {
                    let _ = write!(self.out, r#"<g data-group="{group}">"#);
                } else {
                    self.out.push_str("<g>");
                }
                self.shapes(shapes);
                self.out.push_str("</g>");
            }
        }
    }

    fn stroke(&self, stroke: &Stroke) -> String {
        let mut text = format!(
            r#" stroke="{}" stroke-width="{}""#,
            self.css(stroke.paint),
            number(stroke.width)
        );
        if !stroke.dash.is_empty() {
            let dash: Vec<_> = stroke.dash.iter().map(|x| number(*x)).collect();
            let _ = write!(text, r#" stroke-dasharray="{}""#, dash.join(" "));
        }
        text
    }

    fn marker(&mut self, shape: &Shape) {
        let Shape::Marker {
            x,
            y,
            marker,
            size,
            paint,
            hollow,
            tip,
        } = shape
        else {
            return;
        };
        let colour = self.css(*paint);
        let fill = if *hollow {
            self.css(Paint::Paper)
        } else {
            colour.clone()
        };
        let at = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
            points.iter().map(|(a, b)| (x + a, y + b)).collect()
        };
        match outline(*marker, *size) {
            Outline::Circle => {
                let _ = write!(
                    self.out,
                    r#"<circle cx="{}" cy="{}" r="{}" fill="{fill}" stroke="{colour}""#,
                    number(*x),
                    number(*y),
                    number(*size)
                );
                self.finish("circle", tip.as_ref());
            }
            Outline::Closed(points) => {
                let d = path(&at(&points), true);
                let _ = write!(self.out, r#"<path d="{d}" fill="{fill}" stroke="{colour}""#);
                self.finish("path", tip.as_ref());
            }
            Outline::Strokes(lines) => {
                let d: String = lines.iter().map(|line| path(&at(line), false)).collect();
                let _ = write!(
                    self.out,
                    r#"<path d="{d}" fill="none" stroke="{colour}" stroke-width="2""#
                );
                self.finish("path", tip.as_ref());
            }
        }
    }

    /// The outlines of all glyphs used.
    fn definitions(&mut self) {
        if self.glyphs.is_empty() {
            return;
        }
        self.out.push_str("<defs>");
        for ((bold, glyph), d) in &self.glyphs {
            let face = if *bold { 'b' } else { 'r' };
            let _ = write!(self.out, r#"<path id="{face}{glyph}" d="{d}"/>"#);
        }
        self.out.push_str("</defs>");
    }

    /// A line of text as outlines, with its words for those who cannot see them.
    fn outlines(&mut self, text: &Text) {
        let font = Font::new(text.size, text.bold);
        let width = font.width(&text.words);
        let shift = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let (units, glyphs) = font.glyphs(&text.words);
        let turn = if text.upwards { " rotate(-90)" } else { "" };
        let _ = write!(
            self.out,
            r#"<g aria-label="{}" fill="{}" transform="translate({} {}){turn} translate({} 0) scale({:.6})">"#,
            escape(&text.words),
            self.css(text.paint),
            number(text.x),
            number(text.y),
            number(shift),
            1.0 / units,
        );
        let face = if text.bold { 'b' } else { 'r' };
        for (glyph, x) in glyphs {
            let d = self.glyphs.entry((text.bold, glyph)).or_insert_with(|| {
                let mut pen = Outliner(String::new());
                font.outline_of(glyph, &mut pen);
                pen.0
            });
            // A space has no outline.
            if !d.is_empty() {
                let _ = write!(
                    self.out,
                    r##"<use xlink:href="#{face}{glyph}" x="{}"/>"##,
                    number(x)
                );
            }
        }
        self.out.push_str("</g>");
    }

    fn text(&mut self, text: &Text) {
        if !self.themed {
            self.outlines(text);
            return;
        }
        let (x, y) = (number(text.x), number(text.y));
        let _ = write!(
            self.out,
            r#"<text x="{x}" y="{y}" font-size="{}""#,
            number(text.size)
        );
        match text.anchor {
            Anchor::Start => {}
            Anchor::Middle => self.out.push_str(r#" text-anchor="middle""#),
            Anchor::End => self.out.push_str(r#" text-anchor="end""#),
        }
        if text.bold {
            self.out.push_str(r#" font-weight="bold""#);
        }
        if text.upwards {
            let _ = write!(self.out, r#" transform="rotate(-90 {x} {y})""#);
        }
        let _ = write!(
            self.out,
            r#" fill="{}">{}</text>"#,
            self.css(text.paint),
            escape(&text.words)
        );
    }

    /// One rectangle a cell, with its value as its title.
    fn cells(&mut self, cells: &Cells) {
        self.out.push_str(r#"<g shape-rendering="crispEdges">"#);
        cells.each(|rect, cell, tip| {
            let fill = cell.colour.map_or(Paint::Empty, Paint::Rgb).css(false);
            let [x, y, w, h] = rect.map(number);
            let _ = write!(
                self.out,
                r#"<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{fill}"><title>{}</title></rect>"#,
                escape(&tip)
            );
        });
        self.out.push_str("</g>");
    }

    /// One path a colour in units of cells, and the values in an attribute: a fifth of the bytes.
    fn cells_inline(&mut self, cells: &Cells) {
        let mut paths: BTreeMap<String, String> = BTreeMap::new();
        for (i, row) in cells.rows.iter().enumerate() {
            for (j, cell) in row.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let fill = cell.colour.map_or(Paint::Empty, Paint::Rgb).css(true);
                let _ = write!(paths.entry(fill).or_default(), "M{j} {i}h1v1h-1");
            }
        }
        let value = |cell: &Option<super::scene::Cell>| {
            cell.map_or(String::new(), |c| format!("{:.*}", cells.digits, c.value))
        };
        let rows: Vec<String> = cells
            .rows
            .iter()
            .map(|row| row.iter().map(value).collect::<Vec<_>>().join(","))
            .collect();
        let (w, h) = cells.cell;
        let _ = write!(
            self.out,
            r#"<g class="cells" transform="translate({} {}) scale({w} {h})" shape-rendering="crispEdges" data-values="{}" data-rows="{}" data-columns="{}">"#,
            number(cells.x),
            number(cells.y),
            rows.join(";"),
            escape(&cells.row_names.join("|")),
            escape(&cells.column_names.join("|")),
        );
        for (fill, d) in paths {
            let _ = write!(self.out, r#"<path fill="{fill}" d="{d}"/>"#);
        }
        self.out.push_str("</g>");
    }
}

/// Outlines as the data of a path.
struct Outliner(String);

impl Pen for Outliner {
    fn move_to(&mut self, x: f64, y: f64) {
        let _ = write!(self.0, "M{} {}", number(x), number(y));
    }
    fn line_to(&mut self, x: f64, y: f64) {
        let _ = write!(self.0, "L{} {}", number(x), number(y));
    }
    fn quad_to(&mut self, x1: f64, y1: f64, x: f64, y: f64) {
        let [x1, y1, x, y] = [x1, y1, x, y].map(number);
        let _ = write!(self.0, "Q{x1} {y1} {x} {y}");
    }
    fn cubic_to(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, x: f64, y: f64) {
        let [x1, y1, x2, y2, x, y] = [x1, y1, x2, y2, x, y].map(number);
        let _ = write!(self.0, "C{x1} {y1} {x2} {y2} {x} {y}");
    }
    fn close(&mut self) {
        self.0.push('Z');
    }
}

impl Cells {
    /// Every cell with its rectangle (x, y, width, height) and its value in words.
    pub(super) fn each(&self, mut f: impl FnMut([f64; 4], super::scene::Cell, String)) {
        let (w, h) = self.cell;
        let name = |names: &[String], i: usize| names.get(i).cloned().unwrap_or_default();
        for (i, row) in self.rows.iter().enumerate() {
            for (j, cell) in row.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let rect = [self.x + j as f64 * w, self.y + i as f64 * h, w, h];
                let tip = format!(
                    "{}, {}: {:.*}",
                    name(&self.row_names, i),
                    name(&self.column_names, j),
                    self.digits,
                    cell.value
                );
                f(rect, *cell, tip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (-0.001, "0"),
            (1.5, "1.5"),
            (-2.25, "-2.25"),
            (100.0, "100"),
            (1.0 / 3.0, "0.33"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ];
        for (x, text) in cases {
            assert_eq!(number(x), text, "{x}");
        }
    }

    #[test]
    fn nothing_escapes_the_escape() {
        assert_eq!(
            escape("<script>\"a\" & 'b'</script>\u{0}\u{1b}"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;\u{fffd}\u{fffd}"
        );
    }
}
