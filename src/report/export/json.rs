//! JSON: the whole report, with every run's configuration, metrics, cost and provenance.

use super::Exporter;
use crate::report::summary::Report;

/// The [`Report`] as it is; matrices stay in the run folders.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl Exporter for Json {
    #[expect(
        clippy::expect_used,
        reason = "numbers, names and paths; paths are lossy where not UTF-8"
    )]
    fn export(&self, report: &Report) -> String {
        let mut text =
            serde_json::to_string_pretty(report).expect("the report has no map keys but text");
        text.push('\n');
        text
    }
}
