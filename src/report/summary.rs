//! The report: everything that its formats print.

use serde::Serialize;

use super::against::{Comparison, compare_with_published};
use super::group::{Group, SettingColumn, differing_settings, group_runs};
use super::load::{Damaged, Duplicate, Loaded, Run, Unfinished};
use crate::settings::Named;

/// Points of accuracy within which two results count as equivalent, unless told otherwise.
pub const MARGIN: f64 = 2.0;

/// Version of the JSON format; grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// Results by group, beside the published ones, with everything that is missing.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this structure.
    pub format: u32,
    /// Margin of the equivalence tests, in points of accuracy.
    pub margin: f64,
    /// Groups by benchmark, method and optimizer, in the order in which `tagcl list` has them.
    pub groups: Vec<Group>,
    /// Settings by which the groups differ.
    pub settings: Vec<SettingColumn>,
    /// Groups beside the authors' figures.
    pub comparisons: Vec<Comparison>,
    /// All finished runs.
    pub runs: Vec<Run>,
    /// Runs without a result.
    pub unfinished: Vec<Unfinished>,
    /// What could not be read.
    pub damaged: Vec<Damaged>,
    /// Runs that were there twice.
    pub duplicates: Vec<Duplicate>,
}

impl Report {
    /// The report of what was loaded, with a margin of equivalence in points of accuracy.
    #[must_use]
    pub fn new(loaded: Loaded, margin: f64) -> Self {
        let mut groups = group_runs(&loaded.runs, &loaded.unfinished);
        groups.sort_by_key(order);
        Self {
            format: FORMAT,
            margin,
            settings: differing_settings(&groups),
            comparisons: compare_with_published(&groups, &loaded.runs, margin),
            groups,
            runs: loaded.runs,
            unfinished: loaded.unfinished,
            damaged: loaded.damaged,
            duplicates: loaded.duplicates,
        }
    }

    /// Footnotes in the order of the groups, each once, and every group's numbers among them (from 1).
    #[must_use]
    pub fn footnotes(&self) -> (Vec<String>, Vec<Vec<usize>>) {
        let mut notes: Vec<String> = Vec::new();
        let mut number = |mark: &String| {
            let at = notes.iter().position(|note| note == mark);
            at.unwrap_or_else(|| {
                notes.push(mark.clone());
                notes.len() - 1
            }) + 1
        };
        let numbers = self
            .groups
            .iter()
            .map(|group| group.marks.iter().map(&mut number).collect())
            .collect();
        (notes, numbers)
    }
}

/// Position of a group among others: by the lists that its names come from.
pub(super) fn order(group: &Group) -> (usize, usize, usize, usize) {
    fn position<N: Named + PartialEq>(spec: &N) -> usize {
        let position = N::all().iter().position(|other| *other == spec);
        position.unwrap_or(usize::MAX)
    }
    let config = &group.config;
    (
        position(config.benchmark.spec()),
        config.schedule as usize,
        position(config.method),
        position(config.optimizer),
    )
}
