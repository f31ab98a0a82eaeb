//! The report: everything that its formats print.

use std::cmp::Ordering;

use serde::Serialize;

use super::against::{Comparison, compare_with_published};
use super::collected::Record;
use super::group::{Group, SettingColumn, differing_settings, group_runs};
use super::identity::{Stage, settings};
use super::load::{Damaged, Duplicate, Loaded, Run, Unfinished};
use super::names::stages;
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
    /// Where the results come from, as the reader would write it.
    #[serde(skip)]
    pub source: String,
    /// Margin of the equivalence tests, in points of accuracy.
    pub margin: f64,
    /// Groups by benchmark, method and optimizer, in the order in which `tagcl list` has them, then by their settings.
    pub groups: Vec<Group>,
    /// The streams of tasks, with the groups on each and the settings by which those differ.
    pub stages: Vec<ReportStage>,
    /// Settings by which the groups differ.
    pub settings: Vec<SettingColumn>,
    /// Groups beside the authors' figures.
    pub comparisons: Vec<Comparison>,
    /// All finished runs.
    pub runs: Vec<Run>,
    /// Results out of files of collected ones, which have no more than their figures.
    #[serde(skip)]
    pub collected: Vec<Record>,
    /// Runs without a result.
    pub unfinished: Vec<Unfinished>,
    /// What could not be read.
    pub damaged: Vec<Damaged>,
    /// Runs that were there twice.
    pub duplicates: Vec<Duplicate>,
}

/// The groups on one stream of tasks.
#[derive(Clone, Debug, Serialize)]
pub struct ReportStage {
    /// Title and members.
    #[serde(flatten)]
    pub stage: Stage,
    /// Settings by which its groups differ, a value a member.
    pub settings: Vec<SettingColumn>,
}

impl Report {
    /// The report of what was loaded, with a margin of equivalence in points of accuracy.
    #[must_use]
    pub fn new(loaded: Loaded, margin: f64) -> Self {
        let mut groups = group_runs(&loaded.runs, &loaded.unfinished);
        groups.sort_by(order);
        let all: Vec<&Group> = groups.iter().collect();
        let stages = stages(&all).into_iter().map(|stage| {
            let members = stage.members.iter().filter_map(|i| all.get(*i).copied());
            ReportStage {
                settings: differing_settings(&members.collect::<Vec<_>>()),
                stage,
            }
        });
        Self {
            format: FORMAT,
            source: String::new(),
            margin,
            stages: stages.collect(),
            settings: differing_settings(&all),
            comparisons: compare_with_published(&groups, &loaded.runs, margin),
            groups,
            runs: loaded.runs,
            collected: Vec::new(),
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

/// Order of groups: by the lists that their names come from, streams together, then by their settings, numbers by size.
pub(super) fn order(a: &Group, b: &Group) -> Ordering {
    fn position<N: Named + PartialEq>(spec: &N) -> usize {
        let position = N::all().iter().position(|other| *other == spec);
        position.unwrap_or(usize::MAX)
    }
    let of = |group: &Group| {
        let config = &group.config;
        (
            position(config.benchmark.spec()),
            group.stream.peculiarities(),
            group.stream.clone(),
            config.schedule as usize,
            position(config.method),
            position(config.optimizer),
        )
    };
    of(a).cmp(&of(b)).then_with(|| {
        let (a, b) = (settings(&a.config), settings(&b.config));
        let pairs = a.iter().zip(&b);
        let differ = pairs.map(|((k, x), (l, y))| k.cmp(l).then_with(|| x.order(y)));
        differ.fold(Ordering::Equal, Ordering::then)
    })
}
