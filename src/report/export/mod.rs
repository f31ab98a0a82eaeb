//! The formats of a report, a file each.
//!
//! Every format says the same: the groups with all metrics and their cost, what they differ in, what limits comparison
//! (fractions, samples, missing seeds), the authors' figures, and every run that has no usable result.

mod csv;
mod grid;
mod json;
mod latex;
mod markdown;
mod text;

#[cfg(test)]
mod tests;

pub use csv::{Csv, field as csv_field};
pub(super) use grid::pair;
pub use json::Json;
pub use latex::Latex;
pub use markdown::Markdown;
pub use text::Text;

use super::summary::Report;

/// A format of reports.
pub trait Exporter {
    /// The report as a whole file's content.
    fn export(&self, report: &Report) -> String;
}

/// Name and exporter of every format.
pub const FORMATS: &[(&str, &(dyn Exporter + Sync))] = &[
    ("text", &Text),
    ("markdown", &Markdown),
    ("latex", &Latex),
    ("csv", &Csv),
    ("json", &Json),
];
