//! What every plot is drawn from: the runs, and their groups by stream of tasks.
//!
//! Owns which groups stand in one plot, what they are called there, and the sentences below a title.

use crate::report::group::Group;
use crate::report::load::Run;
use crate::report::names::{distinct_names, in_paper, stages};

/// Series in one plot at most; further ones go to a further plot.
const MOST_SERIES: usize = 14;

/// The runs, and their groups with what every plot needs of them.
pub(super) struct Data<'a> {
    pub(super) runs: &'a [Run],
    /// Groups by stream of tasks, in order of appearance.
    pub(super) streams: Vec<Vec<Entry<'a>>>,
}

/// A group in a plot.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    /// Its number in the report.
    pub(super) number: usize,
    /// Its number among the groups of its stream, which gives its colour.
    pub(super) rank: usize,
    pub(super) group: &'a Group,
    pub(super) label: String,
    /// Its stream in words: `Split-CIFAR100, 20 tasks`.
    pub(super) stream: String,
}

impl Entry<'_> {
    /// The benchmark's name, for names of files.
    pub(super) fn benchmark(&self) -> &str {
        &self.group.stream.benchmark
    }
}

impl<'a> Data<'a> {
    pub(super) fn new(runs: &'a [Run], groups: &'a [Group]) -> Self {
        let all: Vec<&Group> = groups.iter().collect();
        let streams = stages(&all).into_iter().map(|stage| {
            let members = || {
                stage
                    .members
                    .iter()
                    .filter_map(|i| Some((*i, groups.get(*i)?)))
            };
            let labels = labels(&members().map(|(_, group)| group).collect::<Vec<_>>());
            let entries = members().zip(labels).enumerate();
            entries
                .map(|(rank, ((number, group), label))| Entry {
                    number,
                    rank,
                    group,
                    label,
                    stream: stage.title_in_paper.clone(),
                })
                .collect()
        });
        Self {
            runs,
            streams: streams.collect(),
        }
    }

    /// The runs of a group.
    pub(super) fn members(&self, entry: &Entry<'_>) -> Vec<&'a Run> {
        let members = entry.group.members.iter();
        members.filter_map(|i| self.runs.get(*i)).collect()
    }
}

/// `n = 3`, or `n = 2 to 5`.
pub(super) fn count(entries: &[&Entry<'_>]) -> String {
    let ns = || entries.iter().map(|e| e.group.n);
    match (ns().min(), ns().max()) {
        (Some(a), Some(b)) if a != b => format!("n = {a} to {b} seeds"),
        (Some(1), _) => "one seed".to_string(),
        (Some(a), _) => format!("n = {a} seeds"),
        _ => String::new(),
    }
}

/// What the bands are, where there are any.
pub(super) fn band(entries: &[&Entry<'_>]) -> &'static str {
    if entries.iter().any(|e| e.group.n > 1) {
        ", band: ± one population std"
    } else {
        ""
    }
}

/// What limits the comparison of the groups shown; with a group's name where it is not true of all.
pub(super) fn marks(entries: &[&Entry<'_>]) -> String {
    let mut all: Vec<String> = Vec::new();
    for entry in entries {
        // What the title says already is no remark.
        let marks = entry.group.marks.iter();
        for mark in marks.filter(|mark| !entry.stream.contains(mark.as_str())) {
            let common = entries.iter().all(|e| e.group.marks.contains(mark));
            let text = if common {
                mark.clone()
            } else {
                format!("{}: {mark}", entry.label)
            };
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    // A heading is no place for a long list; the tables have all of it.
    let more = all.len().saturating_sub(5);
    all.truncate(5);
    if more > 0 {
        all.push(format!("{more} more remarks in the table"));
    }
    all.join("; ")
}

/// Sentences with full stops between them; empty ones are left out.
pub(super) fn sentences(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        let mut letters = part.trim_end_matches('.').chars();
        text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        text.push_str(letters.as_str());
        text.push('.');
    }
    text
}

/// Parts of at most [`MOST_SERIES`] entries, of about equal size, with ` (1 of 2)` for the title.
pub(super) fn parts<T>(entries: &[T]) -> Vec<(&[T], String)> {
    if entries.is_empty() {
        return Vec::new();
    }
    let count = entries.len().div_ceil(MOST_SERIES);
    let size = entries.len().div_ceil(count);
    let chunks = entries.chunks(size).enumerate();
    chunks
        .map(|(i, chunk)| {
            let part = if count > 1 {
                format!(" ({} of {count})", i + 1)
            } else {
                String::new()
            };
            (chunk, part)
        })
        .collect()
}

/// What groups on one stream are called in plots and on the page: the paper's names.
pub(in crate::report) fn labels(groups: &[&Group]) -> Vec<String> {
    distinct_names(groups, in_paper, &[])
}
