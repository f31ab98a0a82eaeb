//! Reports: many results, one table.
//!
//! Owns everything between result files and what people read: loading ([`load`]), groups over seeds ([`mod@group`]), the
//! authors' figures ([`published`]) and how ours compare ([`against`]), the report as a whole ([`summary`]) in every
//! format ([`export`]) and as a page ([`html`]), plots ([`plot`]), tests between groups ([`mod@compare`],
//! [`statistics`]), and files for other programs ([`files`]).
//! Everything is computed from result files, so that old runs can be reported anew.

pub mod against;
mod beside;
pub mod command;
pub mod compare;
pub mod compare_text;
pub mod export;
pub mod files;
pub mod filter;
pub mod group;
pub mod html;
pub mod load;
pub mod names;
pub mod plot;
pub mod statistics;
pub mod summary;
mod table;

#[cfg(test)]
mod testing;

pub use group::{Group, SettingColumn, Spread, differing_settings, group_runs};
pub use table::text_table;

use crate::experiment::run::result::RunResult;

/// Groups results that differ only in their seeds, in the order of their first appearance.
#[must_use]
pub fn group(results: &[RunResult]) -> Vec<Group> {
    let runs: Vec<load::Run> = results.iter().map(load::Run::from).collect();
    group_runs(&runs, &[])
}
