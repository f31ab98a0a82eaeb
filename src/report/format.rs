//! What a format of reports is: the description of itself that its file gives.

use super::summary::Report;

/// A format of reports. Everything that the program knows of it stands in its file; the command line, its help and the
/// tests walk [`FORMATS`](super::FORMATS).
pub struct FormatSpec {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is for, in one line.
    pub description: &'static str,
    /// Whether it holds everything of a report, what is missing and limits comparison included; else it is for one purpose.
    pub whole: bool,
    /// Whether it needs no more of a run than files of collected results have.
    pub reads_collected: bool,
    /// How its files end.
    pub ending: &'static str,
    /// The report as a whole file's content.
    pub write: fn(&Report, &Page) -> Result<String, FormatError>,
}

/// What a report is printed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Columns of text; wider tables are continued below.
    pub width: usize,
}

impl Default for Page {
    /// As wide as text is on paper and in most windows.
    fn default() -> Self {
        Self { width: 100 }
    }
}

/// A report that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);
