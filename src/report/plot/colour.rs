//! Colours: what a series looks like, and what a number looks like.
//!
//! Owns the palettes. Series take the colours of Okabe and Ito ("Color Universal Design", 2008; all but the yellow,
//! which white paper swallows), and a marker and a line style with them, so that nothing rests on colour alone. Numbers
//! take viridis (van der Walt and Smith, 2015), whose lightness grows evenly, so that it survives a grey printer.

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) [u8; 3]);

impl Rgb {
    /// `#rrggbb`.
    pub(super) fn hex(self) -> String {
        let Self([r, g, b]) = self;
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// Relative luminance of WCAG 2, from 0 (black) to 1 (white).
    pub(super) fn luminance(self) -> f64 {
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.040_45 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        let Self([r, g, b]) = self;
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    /// Black or white, whichever is easier to read on this colour.
    pub(super) fn text_on(self) -> Self {
        if self.luminance() > 0.179 {
            Self([0, 0, 0])
        } else {
            Self([255, 255, 255])
        }
    }
}

/// What something is painted with. All but `Rgb` follow the page's light or dark theme in the HTML report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Paint {
    /// Text and axes.
    Ink,
    /// Secondary text.
    Muted,
    /// Grid lines.
    Grid,
    /// The background.
    Paper,
    /// A series' colour.
    Series(usize),
    /// Cells without a value.
    Empty,
    /// A fixed colour.
    Rgb(Rgb),
}

const SERIES: [Rgb; 7] = [
    Rgb([0x00, 0x72, 0xb2]),
    Rgb([0xd5, 0x5e, 0x00]),
    Rgb([0x00, 0x9e, 0x73]),
    Rgb([0xcc, 0x79, 0xa7]),
    Rgb([0xe6, 0x9f, 0x00]),
    Rgb([0x56, 0xb4, 0xe9]),
    Rgb([0x22, 0x22, 0x22]),
];

impl Paint {
    /// On white paper.
    pub(super) fn rgb(self) -> Rgb {
        match self {
            Self::Ink => Rgb([0x1a, 0x1a, 0x1a]),
            Self::Muted => Rgb([0x59, 0x59, 0x59]),
            Self::Grid => Rgb([0xdd, 0xdd, 0xdd]),
            Self::Paper => Rgb([0xff, 0xff, 0xff]),
            Self::Series(n) => SERIES[n % SERIES.len()],
            Self::Empty => Rgb([0xe4, 0xe4, 0xe4]),
            Self::Rgb(rgb) => rgb,
        }
    }

    /// As an SVG attribute: fixed, or a variable of the page's theme.
    pub(super) fn css(self, themed: bool) -> String {
        let name = match self {
            Self::Ink => "ink".to_string(),
            Self::Muted => "muted".to_string(),
            Self::Grid => "grid".to_string(),
            Self::Paper => "paper".to_string(),
            Self::Empty => "empty".to_string(),
            Self::Series(n) => format!("s{}", n % SERIES.len()),
            Self::Rgb(rgb) => return rgb.hex(),
        };
        if themed {
            format!("var(--{name})")
        } else {
            self.rgb().hex()
        }
    }
}

/// Shape of a series' points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Cross,
    Plus,
}

/// Colour, marker and line of the n-th series; the first 49 all differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    pub(super) paint: Paint,
    pub(super) marker: Marker,
    pub(super) dash: &'static [f64],
}

/// Lines of the first seven series, the next seven, and so on.
const DASHES: [&[f64]; 4] = [&[], &[7.0, 3.5], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

impl Style {
    pub(super) fn of(n: usize) -> Self {
        use Marker as M;
        let markers = [
            M::Circle,
            M::Square,
            M::Up,
            M::Diamond,
            M::Down,
            M::Cross,
            M::Plus,
        ];
        let round = n / SERIES.len();
        Self {
            paint: Paint::Series(n),
            marker: markers[(n + round) % markers.len()],
            dash: DASHES[round % DASHES.len()],
        }
    }
}

/// Viridis at seventeen even places; linear between them, at most 6/255 a channel from the full table.
const VIRIDIS: [[u8; 3]; 17] = [
    [68, 1, 84],
    [72, 24, 106],
    [71, 45, 123],
    [66, 64, 134],
    [59, 82, 139],
    [51, 99, 141],
    [44, 114, 142],
    [38, 130, 142],
    [33, 145, 140],
    [31, 160, 136],
    [40, 174, 128],
    [63, 188, 115],
    [94, 201, 98],
    [132, 212, 75],
    [173, 220, 48],
    [216, 226, 25],
    [253, 231, 37],
];

/// The colour of a share from 0 to 1; others are cut to it, NaN to 0.
pub(super) fn viridis(share: f64) -> Rgb {
    let share = if share.is_nan() { 0.0 } else { share };
    let place = share.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let low = (place.floor() as usize).min(VIRIDIS.len() - 2);
    let rest = place - low as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + rest * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (VIRIDIS[low], VIRIDIS[low + 1]);
    Rgb([mix(a[0], b[0]), mix(a[1], b[1]), mix(a[2], b[2])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_differ() {
        let styles: Vec<_> = (0..28).map(Style::of).collect();
        for (i, a) in styles.iter().enumerate() {
            for b in &styles[i + 1..] {
                let same =
                    a.paint.rgb() == b.paint.rgb() && a.marker == b.marker && a.dash == b.dash;
                assert!(!same, "{a:?}");
            }
        }
    }

    #[test]
    fn viridis_grows_lighter_and_takes_any_number() {
        let steps: Vec<f64> = (0..=100)
            .map(|i| viridis(f64::from(i) / 100.0).luminance())
            .collect();
        assert!(steps.windows(2).all(|w| w[1] >= w[0] - 1e-3), "{steps:?}");
        assert_eq!(viridis(f64::NAN), viridis(0.0));
        assert_eq!(viridis(7.0), Rgb([253, 231, 37]));
        assert_eq!(viridis(-1.0), Rgb([68, 1, 84]));
    }

    #[test]
    fn text_on_any_colour_of_the_map_can_be_read() {
        for i in 0..=200 {
            let under = viridis(f64::from(i) / 200.0);
            let (a, b) = (under.luminance(), under.text_on().luminance());
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{contrast} at {i}");
        }
    }
}
