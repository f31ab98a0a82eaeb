//! Reports: many results, one table.
//!
//! Owns everything between result files and what people read: loading ([`load`]), what a run is ([`identity`]) and what it
//! is called ([`names`]), groups over seeds ([`mod@group`]) and their figures ([`metric`]), the authors' figures
//! ([`published`](crate::experiment::paper::published)) and how ours compare ([`against`]), the report as a whole ([`summary`]) in every format ([`FORMATS`]),
//! plots ([`plot`]), tests between groups ([`mod@compare`], [`statistics`]) and how many seeds settle one ([`power`]), what is kept
//! of results beside the program ([`collected`]) with the page made of it ([`replication`]), and files for other programs ([`files`]).
//! Everything is computed from result files, so that old runs can be reported anew.

pub mod against;
mod beside;
pub mod collected;
pub mod command;
pub mod compare;
pub mod compare_text;
pub mod export;
pub mod files;
pub mod filter;
pub mod format;
mod grid;
pub mod group;
pub mod html;
pub mod identity;
pub mod load;
pub mod metric;
pub mod names;
pub mod plot;
pub mod power;
pub mod replication;
pub mod statistics;
pub mod summary;

#[cfg(test)]
mod testing;

pub use group::{Group, SettingColumn, Spread, differing_settings, group_runs};

use crate::experiment::run::result::RunResult;

/// All formats of reports, in the order in which they are listed.
pub static FORMATS: &[&format::FormatSpec] = &[
    &export::text::TEXT,
    &export::markdown::MARKDOWN,
    &export::latex::LATEX,
    &export::csv::CSV,
    &export::json::JSON,
    &html::HTML,
    &replication::REPLICATION,
];

/// Groups results that differ only in their seeds, in the order of their first appearance.
#[must_use]
pub fn group(results: &[RunResult]) -> Vec<Group> {
    let runs: Vec<load::Run> = results.iter().cloned().map(load::Run::from).collect();
    group_runs(&runs, &[])
}

/// The results of runs as tables for a terminal, with the time of a run.
#[must_use]
pub fn text_table(results: &[RunResult], page: &format::Page) -> String {
    let runs = results.iter().cloned().map(load::Run::from).collect();
    let loaded = load::Loaded {
        runs,
        ..load::Loaded::default()
    };
    let report = summary::Report::new(loaded, summary::MARGIN);
    export::text::render(&export::tables::summary(&report), page.width)
}
