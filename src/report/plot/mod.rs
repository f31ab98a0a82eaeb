//! Plots of results, as SVG and PNG.
//!
//! Owns what each kind of plot shows. Everything is drawn from runs and their groups; groups on the same stream of tasks
//! stand in one plot, others in plots of their own. What a plot needs and the results lack is an error that says so.
//!
//! | kind | shows | in the paper |
//! |---|---|---|
//! | `curves` | average accuracy after each task, a band of one standard deviation over seeds | Figure 5a |
//! | `matrix` | accuracy on every task after every task, a heat map a group | |
//! | `forgetting` | best earlier accuracy minus final accuracy, by task | |
//! | `alpha` | α(t,τ) over t, and as a heat map | Figures 2, 3, 6 to 9 |
//! | `alpha-layers` | mean α over past tasks, by parameter tensor and task | Figures 2, 3, 6 to 9 |
//! | `bars` | accuracy, forgetting and learning accuracy by group | Figures 1, 4 |
//! | `cost` | accuracy against time | |
//! | `sensitivity` | accuracy against each setting of a sweep | |

mod alpha;
mod axis;
mod bars;
mod colour;
mod cost;
mod curves;
mod font;
pub(super) mod label;
mod layout;
mod matrix;
mod png;
mod scene;
mod sensitivity;
mod stats;
mod svg;

pub use scene::Figure;

use super::group::Group;
use super::load::Run;

/// Series in one plot at most; further ones go to a further plot.
const MOST_SERIES: usize = 14;

/// What to plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlotKind {
    /// Average accuracy after each task.
    Curves,
    /// Accuracy on every task after every task.
    Matrix,
    /// Forgetting by task.
    Forgetting,
    /// α(t,τ).
    Alpha,
    /// α by parameter tensor.
    AlphaLayers,
    /// Metrics by group.
    Bars,
    /// Accuracy against time.
    Cost,
    /// Accuracy against the settings of a sweep.
    Sensitivity,
}

impl PlotKind {
    /// All kinds, in the order of the table above.
    pub const ALL: [Self; 8] = [
        Self::Curves,
        Self::Matrix,
        Self::Forgetting,
        Self::Alpha,
        Self::AlphaLayers,
        Self::Bars,
        Self::Cost,
        Self::Sensitivity,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Curves => "curves",
            Self::Matrix => "matrix",
            Self::Forgetting => "forgetting",
            Self::Alpha => "alpha",
            Self::AlphaLayers => "alpha-layers",
            Self::Bars => "bars",
            Self::Cost => "cost",
            Self::Sensitivity => "sensitivity",
        }
    }
}

/// A plot that cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The results lack what the plot shows.
    #[error("no {kind} plot: {lacking}")]
    Lacking {
        /// The kind's name.
        kind: &'static str,
        /// What is lacking, and the remedy.
        lacking: String,
    },
    /// A result's α cannot be read.
    #[error("{0}")]
    Alpha(String),
    /// A picture cannot be made.
    #[error("the plot {name} cannot be written as PNG: {reason}")]
    Png {
        /// The plot.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Draws all plots of a kind.
///
/// # Errors
/// [`PlotError::Lacking`] where no group has what the plot shows, [`PlotError::Alpha`] for unreadable results.
pub fn plots(kind: PlotKind, runs: &[Run], groups: &[Group]) -> Result<Vec<Figure>, PlotError> {
    let lacking = |lacking: &str| PlotError::Lacking {
        kind: kind.name(),
        lacking: lacking.to_string(),
    };
    if groups.is_empty() {
        return Err(lacking(
            "there are no finished runs; loosen the filters or wait for a result.json",
        ));
    }
    let data = Data::new(runs, groups);
    let (figures, without) = match kind {
        PlotKind::Curves => (
            curves::curves(&data),
            "no run was evaluated after each task (joint and cyclic schedules only at the end)",
        ),
        PlotKind::Matrix => (
            matrix::matrices(&data),
            "no run was evaluated after each task (joint and cyclic schedules only at the end)",
        ),
        PlotKind::Forgetting => (
            curves::forgetting(&data),
            "no run of two or more tasks was evaluated after each of them",
        ),
        PlotKind::Alpha => (alpha::by_task(&data)?, alpha::LACKING),
        PlotKind::AlphaLayers => (alpha::by_layer(&data)?, alpha::LACKING),
        PlotKind::Bars => (bars::bars(&data), "no group has an accuracy"),
        PlotKind::Cost => (cost::cost(&data), "no run has a measured time"),
        PlotKind::Sensitivity => (
            sensitivity::sensitivity(&data),
            "no numeric setting takes two or more values under the same benchmark, method and optimizer; \
             run a sweep, such as --lr 0.01, 0.03 and 0.1",
        ),
    };
    if figures.is_empty() {
        return Err(lacking(without));
    }
    Ok(unique_names(figures))
}

/// The runs, and their groups with what every plot needs of them.
struct Data<'a> {
    runs: &'a [Run],
    /// Groups by stream of tasks, in order of appearance.
    streams: Vec<Vec<Entry<'a>>>,
}

/// A group in a plot.
#[derive(Clone)]
struct Entry<'a> {
    /// Its number in the report.
    number: usize,
    /// Its number among the groups of its stream, which gives its colour.
    rank: usize,
    group: &'a Group,
    label: String,
}

impl<'a> Data<'a> {
    fn new(runs: &'a [Run], groups: &'a [Group]) -> Self {
        let mut streams: Vec<Vec<(usize, &Group)>> = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let same = |stream: &&mut Vec<(usize, &Group)>| {
                stream
                    .first()
                    .is_some_and(|(_, first)| label::same_stream(&first.config, &group.config))
            };
            match streams.iter_mut().find(same) {
                Some(stream) => stream.push((number, group)),
                None => streams.push(vec![(number, group)]),
            }
        }
        let streams = streams.into_iter().map(|stream| {
            let all: Vec<&Group> = stream.iter().map(|(_, group)| *group).collect();
            let labels = label::labels(&all);
            let entries = stream.into_iter().zip(labels).enumerate();
            entries
                .map(|(rank, ((number, group), label))| Entry {
                    number,
                    rank,
                    group,
                    label,
                })
                .collect()
        });
        Self {
            runs,
            streams: streams.collect(),
        }
    }

    /// The runs of a group.
    fn members(&self, entry: &Entry<'_>) -> Vec<&'a Run> {
        let members = entry.group.members.iter();
        members.filter_map(|i| self.runs.get(*i)).collect()
    }
}

/// `n = 3`, or `n = 2 to 5`.
fn count(entries: &[&Entry<'_>]) -> String {
    let ns = || entries.iter().map(|e| e.group.n);
    match (ns().min(), ns().max()) {
        (Some(a), Some(b)) if a != b => format!("n = {a} to {b} seeds"),
        (Some(1), _) => "one seed".to_string(),
        (Some(a), _) => format!("n = {a} seeds"),
        _ => String::new(),
    }
}

/// What the bands are, where there are any.
fn band(entries: &[&Entry<'_>]) -> &'static str {
    if entries.iter().any(|e| e.group.n > 1) {
        ", band: ± one population std"
    } else {
        ""
    }
}

/// What limits the comparison of the groups shown; with a group's name where it is not true of all.
fn marks(entries: &[&Entry<'_>]) -> String {
    let mut all: Vec<String> = Vec::new();
    for entry in entries {
        for mark in &entry.group.marks {
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
fn sentences(parts: &[&str]) -> String {
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
fn parts<T>(entries: &[T]) -> Vec<(&[T], String)> {
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

/// Numbers names that would be the same file.
fn unique_names(mut figures: Vec<Figure>) -> Vec<Figure> {
    let mut seen = std::collections::HashMap::new();
    for figure in &mut figures {
        let count = seen.entry(figure.name.clone()).or_insert(0_usize);
        *count += 1;
        if *count > 1 {
            figure.name = format!("{}-{count}", figure.name);
        }
    }
    figures
}

#[cfg(test)]
mod tests;
