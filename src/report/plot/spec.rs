//! What a kind of plot is: the description of itself that its file gives.

use super::data::Data;
use super::scene::Figure;

/// A kind of plot. Everything that the program knows of it stands in its file; the command line, its help, the HTML
/// report and the tests walk [`PLOTS`](super::PLOTS).
pub struct PlotSpec {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub description: &'static str,
    /// The figures of the paper that show the same; empty if there is none.
    pub paper: &'static str,
    /// Whether every plot of the kind belongs to one group, rather than comparing several.
    pub of_one_group: bool,
    /// What the results lack where nothing can be drawn, with the remedy.
    pub(super) lacking: &'static str,
    /// Draws all plots of the kind; none where the results lack what they show.
    pub(super) draw: fn(&Data<'_>) -> Result<Vec<Figure>, PlotError>,
}

/// A plot that cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The results lack what the plot shows.
    #[error("no {kind} plot: {lacking}")]
    Lacking {
        /// The kind's name.
        kind: &'static str,
        /// What is lacking, and the remedy.
        lacking: String,
    },
    /// A result's α cannot be read.
    #[error("{0}")]
    Alpha(String),
    /// A picture cannot be made.
    #[error("the plot {name} cannot be written as {format}: {reason}")]
    Picture {
        /// The plot.
        name: String,
        /// The file format.
        format: &'static str,
        /// Why.
        reason: String,
    },
}
