//! The font of the plots: widths for the layout, outlines for files.
//!
//! Owns the two embedded faces, which have Arial's widths. Files have their outlines and the page embeds them, so a label
//! measured here fits wherever it is drawn.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId};

/// The faces for the HTML page, which embeds them: regular, bold.
pub(in crate::report) fn files() -> [&'static [u8]; 2] {
    [REGULAR, BOLD]
}

static REGULAR: &[u8] = include_bytes!("../../../assets/fonts/arimo-subset.ttf");
static BOLD: &[u8] = include_bytes!("../../../assets/fonts/arimo-bold-subset.ttf");

#[expect(clippy::expect_used, reason = "the bytes are part of the program")]
fn face(bytes: &'static [u8]) -> Face<'static> {
    Face::parse(bytes, 0).expect("the embedded font")
}

static FACES: LazyLock<[Face<'static>; 2]> = LazyLock::new(|| [face(REGULAR), face(BOLD)]);

/// A face and how large its unit is at a font size.
pub(super) struct Font {
    face: &'static Face<'static>,
    scale: f64,
}

impl Font {
    /// The face at `size` units of the figure.
    pub(super) fn new(size: f64, bold: bool) -> Self {
        let [regular, heavy] = &*FACES;
        let face = if bold { heavy } else { regular };
        let scale = size / f64::from(face.units_per_em());
        Self { face, scale }
    }

    /// Characters that the font lacks take the place of its empty box.
    fn glyph(&self, c: char) -> GlyphId {
        self.face.glyph_index(c).unwrap_or(GlyphId(0))
    }

    fn advance(&self, glyph: GlyphId) -> f64 {
        f64::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)) * self.scale
    }

    /// Font units a unit of the figure's lengths, and the glyphs of a line with where each begins, in font units.
    pub(super) fn glyphs(&self, text: &str) -> (f64, Vec<(u16, f64)>) {
        let mut x = 0.0;
        let place = |c| {
            let glyph = self.glyph(c);
            let at = x;
            x += self.advance(glyph) / self.scale;
            (glyph.0, at)
        };
        (1.0 / self.scale, text.chars().map(place).collect())
    }

    /// Hands a glyph's contours to `pen` in font units, y downwards.
    pub(super) fn outline_of(&self, glyph: u16, pen: &mut dyn Pen) {
        let (x, scale) = (0.0, 1.0);
        self.face
            .outline_glyph(GlyphId(glyph), &mut Scaled { pen, x, scale });
    }

    /// Width of a line of text.
    pub(super) fn width(&self, text: &str) -> f64 {
        text.chars().map(|c| self.advance(self.glyph(c))).sum()
    }

    /// Hands every contour's segments to `pen`, with the text's origin at (0, 0) and y downwards.
    pub(super) fn outline(&self, text: &str, pen: &mut dyn Pen) {
        let mut x = 0.0;
        for c in text.chars() {
            let glyph = self.glyph(c);
            let scale = self.scale;
            self.face
                .outline_glyph(glyph, &mut Scaled { pen, x, scale });
            x += self.advance(glyph);
        }
    }
}

/// Receives outlines.
pub(super) trait Pen {
    fn move_to(&mut self, x: f64, y: f64);
    fn line_to(&mut self, x: f64, y: f64);
    fn quad_to(&mut self, x1: f64, y1: f64, x: f64, y: f64);
    fn cubic_to(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, x: f64, y: f64);
    fn close(&mut self);
}

struct Scaled<'a> {
    pen: &'a mut dyn Pen,
    x: f64,
    scale: f64,
}

impl Scaled<'_> {
    fn at(&self, x: f32, y: f32) -> (f64, f64) {
        (
            self.x + f64::from(x) * self.scale,
            -f64::from(y) * self.scale,
        )
    }
}

impl ttf_parser::OutlineBuilder for Scaled<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.pen.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.pen.line_to(x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.pen.quad_to(x1, y1, x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.pen.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.pen.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_arials() {
        // Arial's advance widths are 1366/2048 em for A and 569/2048 em for a space.
        let font = Font::new(2048.0, false);
        assert!((font.width("A") - 1366.0).abs() < 1e-9);
        assert!((font.width("A A") - (2.0 * 1366.0 + 569.0)).abs() < 1e-9);
        assert!(Font::new(10.0, true).width("task") > Font::new(10.0, false).width("task"));
    }

    #[test]
    fn every_sign_that_plots_use_is_there() {
        for bold in [false, true] {
            let font = Font::new(10.0, bold);
            for c in "aZ09%±–—−×·…°αγλτβ≤≥≈→²µ".chars() {
                assert_ne!(font.glyph(c), GlyphId(0), "{c}");
            }
        }
    }
}
