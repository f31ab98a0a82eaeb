//! Drawings as PDF, for papers.
//!
//! Owns the translation of each shape into the operators of a page; the file around them is `pdf-writer`'s. Text is filled
//! from the embedded font's outlines, as in the other formats, so that no reader needs a font. Nothing of the moment is
//! written, neither date nor identifier: the same drawing gives the same bytes.

use std::collections::BTreeSet;
use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};
use pdf_writer::types::LineJoinStyle;
use pdf_writer::{Content, Filter, Name, Pdf, Rect, Ref, TextStr};

use super::colour::Paint;
use super::font::{Font, Pen};
use super::painter::Painter;
use super::scene::{Anchor, Figure, Stroke, Text};
use super::spec::PlotError;

/// Points in a unit of 1/96 inch.
const POINTS: f64 = 0.75;
/// How far a circle's control points stand from its quarters, in radii.
const QUARTER: f64 = 0.552_284_75;

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
const INFO: Ref = Ref::new(5);
/// The first of the states of opacity.
const OPACITIES: i32 = 6;

struct Page {
    content: Content,
    /// Opacities in use, in percent.
    opacities: BTreeSet<u8>,
}

impl Figure {
    /// The plot as a PDF file of one page, `scale` times the size that SVG has.
    ///
    /// # Errors
    /// [`PlotError::Picture`] where the page cannot be encoded.
    pub fn pdf(&self, scale: f64) -> Result<Vec<u8>, PlotError> {
        let points = POINTS * scale;
        let (width, height) = (self.width * points, self.height * points);
        let mut page = Page {
            content: Content::new(),
            opacities: BTreeSet::new(),
        };
        // From here on lengths are units and y grows downwards.
        let down = height + self.top * points;
        let flip = [points, 0.0, 0.0, -points, 0.0, down].map(|x| x as f32);
        page.content.transform(flip);
        page.content.set_line_join(LineJoinStyle::RoundJoin);
        page.shapes(&self.shapes);
        let written = self.file(page, width as f32, height as f32);
        written.map_err(|e| PlotError::Picture {
            name: self.name.clone(),
            format: "PDF",
            reason: e.to_string(),
        })
    }

    fn file(&self, page: Page, width: f32, height: f32) -> std::io::Result<Vec<u8>> {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(page.content.finish().as_slice())?;
        let packed = packed.finish()?;
        let mut pdf = Pdf::new();
        pdf.catalog(CATALOG).pages(PAGES);
        pdf.pages(PAGES).kids([PAGE]).count(1);
        pdf.document_info(INFO)
            .title(TextStr(&self.title))
            .subject(TextStr(&self.description))
            .creator(TextStr("tagcl"));
        let states = page.opacities.iter().zip(OPACITIES..);
        let mut sheet = pdf.page(PAGE);
        sheet
            .parent(PAGES)
            .media_box(Rect::new(0.0, 0.0, width, height))
            .contents(CONTENT);
        let mut resources = sheet.resources();
        let mut named = resources.ext_g_states();
        for (percent, id) in states.clone() {
            named.pair(Name(opacity_name(*percent).as_bytes()), Ref::new(id));
        }
        drop(named);
        drop(resources);
        drop(sheet);
        for (percent, id) in states {
            pdf.ext_graphics(Ref::new(id))
                .non_stroking_alpha(f32::from(*percent) / 100.0);
        }
        pdf.stream(CONTENT, &packed).filter(Filter::FlateDecode);
        Ok(pdf.finish())
    }
}

fn opacity_name(percent: u8) -> String {
    format!("o{percent}")
}

fn colour(paint: Paint) -> [f32; 3] {
    paint.rgb().0.map(|part| f32::from(part) / 255.0)
}

impl Page {
    fn paint(&mut self, paint: Paint, opacity: f64) {
        let percent = (100.0 * opacity.clamp(0.0, 1.0)).round() as u8;
        self.opacities.insert(percent);
        let [r, g, b] = colour(paint);
        self.content
            .set_parameters(Name(opacity_name(percent).as_bytes()))
            .set_fill_rgb(r, g, b);
    }

    fn path(&mut self, points: &[(f64, f64)], closed: bool) {
        for (i, (x, y)) in points.iter().enumerate() {
            if i == 0 {
                self.content.move_to(*x as f32, *y as f32);
            } else {
                self.content.line_to(*x as f32, *y as f32);
            }
        }
        if closed && !points.is_empty() {
            self.content.close_path();
        }
    }

    fn pen(&mut self, stroke: &Stroke) {
        let [r, g, b] = colour(stroke.paint);
        self.content
            .set_stroke_rgb(r, g, b)
            .set_line_width(stroke.width as f32)
            .set_dash_pattern(stroke.dash.iter().map(|x| *x as f32), 0.0);
    }

    fn circle(&mut self, x: f64, y: f64, r: f64) {
        let (k, mut pen) = (QUARTER * r, Outliner::new(&mut self.content));
        pen.move_to(x + r, y);
        pen.cubic_to(x + r, y + k, x + k, y + r, x, y + r);
        pen.cubic_to(x - k, y + r, x - r, y + k, x - r, y);
        pen.cubic_to(x - r, y - k, x - k, y - r, x, y - r);
        pen.cubic_to(x + k, y - r, x + r, y - k, x + r, y);
        pen.close();
    }
}

impl Painter for Page {
    fn rect(&mut self, [x, y, w, h]: [f64; 4], paint: Paint, opacity: f64, _: bool) {
        self.paint(paint, opacity);
        self.content
            .rect(x as f32, y as f32, w as f32, h as f32)
            .fill_nonzero();
    }

    fn fill(&mut self, points: &[(f64, f64)], paint: Paint, opacity: f64) {
        if points.len() > 2 {
            self.paint(paint, opacity);
            self.path(points, true);
            self.content.fill_nonzero();
        }
    }

    fn stroke(&mut self, points: &[(f64, f64)], closed: bool, stroke: &Stroke) {
        if points.len() > 1 {
            self.pen(stroke);
            self.path(points, closed);
            self.content.stroke();
        }
    }

    fn disc(&mut self, (x, y): (f64, f64), r: f64, inside: Paint, edge: &Stroke) {
        self.paint(inside, 1.0);
        self.pen(edge);
        self.circle(x, y, r);
        self.content.fill_nonzero_and_stroke();
    }

    fn text(&mut self, text: &Text) {
        let font = Font::new(text.size, text.bold);
        let width = font.width(&text.words);
        let shift = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        self.paint(text.paint, 1.0);
        self.content.save_state();
        let place = if text.upwards {
            [0.0, -1.0, 1.0, 0.0, text.x, text.y - shift]
        } else {
            [1.0, 0.0, 0.0, 1.0, text.x + shift, text.y]
        };
        self.content.transform(place.map(|x| x as f32));
        font.outline(&text.words, &mut Outliner::new(&mut self.content));
        self.content.fill_nonzero().restore_state();
    }
}

/// Writes outlines as operators.
struct Outliner<'a> {
    content: &'a mut Content,
    /// Where the pen stands.
    at: (f64, f64),
}

impl<'a> Outliner<'a> {
    fn new(content: &'a mut Content) -> Self {
        let at = (0.0, 0.0);
        Self { content, at }
    }
}

impl Pen for Outliner<'_> {
    fn move_to(&mut self, x: f64, y: f64) {
        self.content.move_to(x as f32, y as f32);
        self.at = (x, y);
    }
    fn line_to(&mut self, x: f64, y: f64) {
        self.content.line_to(x as f32, y as f32);
        self.at = (x, y);
    }
    /// PDF has cubic curves only; this one is the cubic whose control points are at two thirds of the way to the middle one.
    fn quad_to(&mut self, x1: f64, y1: f64, x: f64, y: f64) {
        let third = |from: f64, to: f64| from + (to - from) * 2.0 / 3.0;
        let (x0, y0) = self.at;
        self.cubic_to(
            third(x0, x1),
            third(y0, y1),
            third(x, x1),
            third(y, y1),
            x,
            y,
        );
    }
    fn cubic_to(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, x: f64, y: f64) {
        self.at = (x, y);
        let [x1, y1, x2, y2, x, y] = [x1, y1, x2, y2, x, y].map(|x| x as f32);
        self.content.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.content.close_path();
    }
}
