//! Reports: many results, one table.
//!
//! Owns everything between result files and what people read: loading ([`load`]), groups over seeds ([`mod@group`]), the
//! authors' figures ([`published`]). Everything is computed from result files, so that old runs can be reported anew.

mod beside;
pub mod command;
pub mod group;
pub mod html;
pub mod load;
pub mod plot;
pub mod published;
mod table;

#[cfg(test)]
mod testing;

pub use group::{Group, SettingColumn, Spread, differing_settings, group_runs};
pub use table::text_table;

use crate::experiment::result::RunResult;

/// Groups results that differ only in their seeds, in the order of their first appearance.
#[must_use]
pub fn group(results: &[RunResult]) -> Vec<Group> {
    let runs: Vec<load::Run> = results.iter().map(load::Run::from).collect();
    group_runs(&runs, &[])
}
