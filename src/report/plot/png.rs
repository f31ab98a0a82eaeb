//! Drawings as PNG.
//!
//! Owns the painting of each shape with `tiny-skia`; text is painted from the embedded font's outlines, whatever fonts
//! a machine has. The file format's few chunks are written here, on the deflate and checksum of `flate2`, which the data
//! formats need anyway.

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint as SkPaint, Path, PathBuilder, Pixmap, Rect,
    StrokeDash, Transform,
};

use super::colour::Paint;
use super::font::{Font, Pen};
use super::painter::Painter;
use super::scene::{Anchor, Figure, Stroke, Text};
use super::spec::PlotError;

struct Canvas {
    pixels: Pixmap,
    scale: f32,
    /// Units that are cut off above.
    top: f32,
}

impl Figure {
    /// The plot as a PNG file of `scale` pixels a unit (2 gives 192 dots an inch).
    ///
    /// # Errors
    /// [`PlotError::Picture`] where the picture is too large or cannot be encoded.
    pub fn png(&self, scale: f64) -> Result<Vec<u8>, PlotError> {
        let refused = |reason: String| PlotError::Picture {
            name: self.name.clone(),
            format: "PNG",
            reason,
        };
        let (w, h) = ((self.width * scale).ceil(), (self.height * scale).ceil());
        let mut pixels = Pixmap::new(w as u32, h as u32)
            .ok_or_else(|| refused(format!("{w} × {h} pixels are no picture")))?;
        pixels.fill(Color::WHITE);
        let mut canvas = Canvas {
            pixels,
            scale: scale as f32,
            top: self.top as f32,
        };
        canvas.shapes(&self.shapes);
        encode(&canvas.pixels, scale).map_err(|e| refused(e.to_string()))
    }
}

/// An opaque picture as a PNG file: eight bits a channel, RGB, with its resolution.
fn encode(pixels: &Pixmap, scale: f64) -> std::io::Result<Vec<u8>> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::from(pixels.width().to_be_bytes());
    header.extend(pixels.height().to_be_bytes());
    // Bit depth 8, colour type RGB, deflate, adaptive filters, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut file, *b"IHDR", &header);
    let per_metre = (scale * 96.0 / 0.0254).round() as u32;
    let mut resolution = Vec::from(per_metre.to_be_bytes());
    resolution.extend(per_metre.to_be_bytes());
    resolution.push(1);
    chunk(&mut file, *b"pHYs", &resolution);
    let mut data = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in pixels.data().chunks_exact(4 * pixels.width() as usize) {
        // Filter 0, none: plots are flat areas, which deflate alone packs well.
        let mut line = vec![0];
        line.extend(row.chunks_exact(4).flat_map(|pixel| pixel.iter().take(3)));
        data.write_all(&line)?;
    }
    chunk(&mut file, *b"IDAT", &data.finish()?);
    chunk(&mut file, *b"IEND", &[]);
    Ok(file)
}

/// Length, kind, data and checksum.
fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    file.extend(crc.sum().to_be_bytes());
}

fn sk(paint: Paint, opacity: f64) -> SkPaint<'static> {
    let [r, g, b] = paint.rgb().0;
    let mut out = SkPaint::default();
    out.set_color_rgba8(r, g, b, (255.0 * opacity.clamp(0.0, 1.0)).round() as u8);
    out
}

fn path(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        if i == 0 {
            builder.move_to(*x as f32, *y as f32);
        } else {
            builder.line_to(*x as f32, *y as f32);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

impl Canvas {
    fn transform(&self) -> Transform {
        Transform::from_scale(self.scale, self.scale).pre_translate(0.0, -self.top)
    }

    fn fill_path(&mut self, path: Option<Path>, paint: Paint, opacity: f64) {
        if let Some(path) = path {
            let (paint, transform) = (sk(paint, opacity), self.transform());
            self.pixels
                .fill_path(&path, &paint, FillRule::Winding, transform, None);
        }
    }

    fn stroke_path(&mut self, path: Option<Path>, stroke: &Stroke) {
        let Some(path) = path else { return };
        let dash: Vec<f32> = stroke.dash.iter().map(|x| *x as f32).collect();
        let how = tiny_skia::Stroke {
            width: stroke.width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            dash: StrokeDash::new(dash, 0.0),
            ..tiny_skia::Stroke::default()
        };
        let (paint, transform) = (sk(stroke.paint, 1.0), self.transform());
        self.pixels
            .stroke_path(&path, &paint, &how, transform, None);
    }
}

impl Painter for Canvas {
    fn rect(&mut self, [x, y, w, h]: [f64; 4], paint: Paint, opacity: f64, crisp: bool) {
        if let Some(rect) = Rect::from_xywh(x as f32, y as f32, w as f32, h as f32) {
            let (mut paint, transform) = (sk(paint, opacity), self.transform());
            paint.anti_alias = !crisp;
            self.pixels.fill_rect(rect, &paint, transform, None);
        }
    }

    fn fill(&mut self, points: &[(f64, f64)], paint: Paint, opacity: f64) {
        self.fill_path(path(points, true), paint, opacity);
    }

    fn stroke(&mut self, points: &[(f64, f64)], closed: bool, stroke: &Stroke) {
        self.stroke_path(path(points, closed), stroke);
    }

    fn disc(&mut self, (x, y): (f64, f64), r: f64, inside: Paint, edge: &Stroke) {
        let circle = || PathBuilder::from_circle(x as f32, y as f32, r as f32);
        self.fill_path(circle(), inside, 1.0);
        self.stroke_path(circle(), edge);
    }

    fn text(&mut self, text: &Text) {
        let font = Font::new(text.size, text.bold);
        let mut builder = PathBuilder::new();
        font.outline(&text.words, &mut builder);
        let Some(path) = builder.finish() else { return };
        let width = font.width(&text.words);
        let shift = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let turn = if text.upwards { -90.0 } else { 0.0 };
        let transform = self
            .transform()
            .pre_translate(text.x as f32, text.y as f32)
            .pre_rotate(turn)
            .pre_translate(shift as f32, 0.0);
        let paint = sk(text.paint, 1.0);
        self.pixels
            .fill_path(&path, &paint, FillRule::Winding, transform, None);
    }
}

impl Pen for PathBuilder {
    fn move_to(&mut self, x: f64, y: f64) {
        self.move_to(x as f32, y as f32);
    }
    fn line_to(&mut self, x: f64, y: f64) {
        self.line_to(x as f32, y as f32);
    }
    fn quad_to(&mut self, x1: f64, y1: f64, x: f64, y: f64) {
        self.quad_to(x1 as f32, y1 as f32, x as f32, y as f32);
    }
    fn cubic_to(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, x: f64, y: f64) {
        self.cubic_to(
            x1 as f32, y1 as f32, x2 as f32, y2 as f32, x as f32, y as f32,
        );
    }
    fn close(&mut self) {
        self.close();
    }
}
