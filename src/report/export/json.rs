//! JSON: the whole report, with every run's configuration, metrics, cost and provenance. Matrices stay in the run folders.

use crate::report::format::{FormatError, FormatSpec};

/// `json`.
pub static JSON: FormatSpec = FormatSpec {
    name: "json",
    description: "Everything",
    whole: true,
    reads_collected: false,
    ending: "json",
    write: |report, _| {
        let text = serde_json::to_string_pretty(report).map_err(|e| FormatError(e.to_string()))?;
        Ok(text + "\n")
    },
};
