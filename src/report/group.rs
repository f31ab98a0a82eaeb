//! Groups: the runs of one configuration over its seeds, and what tells groups apart.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::identity::{Stream, Value, keys_of, settings, short_checksum};
use super::load::{Run, Unfinished};
use super::metric::further;
use crate::experiment::plan::config::{Evaluate, RunConfig, Schedule};
use crate::metrics::mean_std;

/// Mean and population standard deviation of one figure over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Population standard deviation, as in the paper's tables.
    pub std: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mean, std) = mean_std(&values.collect::<Vec<_>>()).unwrap_or((f64::NAN, f64::NAN));
        Self { mean, std }
    }

    /// The spread of a figure that runs may lack; absent where any does.
    fn of_all(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Option<Vec<f64>> = values.collect();
        values.map(|values| Self::of(values.into_iter()))
    }
}

/// What a run of a group takes, on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupCost {
    /// Seconds in training steps.
    pub train_s: Spread,
    /// Seconds in evaluation.
    pub eval_s: Spread,
    /// Training steps.
    pub steps: f64,
    /// Training examples, replayed ones not counted.
    pub samples: f64,
    /// Replayed examples.
    pub replayed_samples: f64,
    /// Bytes of the optimizer's arrays at the end.
    pub optimizer_state_bytes: f64,
    /// Bytes held by the method at the end.
    pub replay_bytes: f64,
    /// Largest resident memory among the runs' processes, which counts all runs of a process; absent where unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
}

/// The runs of one configuration over its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The configuration of the first run.
    pub config: RunConfig,
    /// The stream that its runs learned; only groups of equal streams may be compared.
    pub stream: Stream,
    /// Seeds, in the order of the results.
    pub seeds: Vec<u64>,
    /// Number of runs.
    pub n: usize,
    /// Percent.
    pub average_accuracy: Spread,
    /// Fraction; the maximum over earlier tasks' ends, as the paper defines it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<Spread>,
    /// Fraction; the maximum over all times, as the released code computes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgetting_released: Option<Spread>,
    /// Percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_accuracy: Option<Spread>,
    /// Percentage points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward_transfer: Option<Spread>,
    /// The metrics that came later, by key ([`METRICS`](super::metric::METRICS)), where all runs have them.
    #[serde(flatten)]
    pub further: BTreeMap<&'static str, Spread>,
    /// Seconds a run.
    pub wall_s: Spread,
    /// Time and memory of a run.
    pub cost: GroupCost,
    /// Seeds of this configuration without a result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfinished_seeds: Vec<u64>,
    /// What a reader must know before comparing: samples, fractions, missing seeds.
    pub marks: Vec<String>,
    /// What computed its runs (levels of the kernels, each once), on which numbers depend beside the configuration.
    #[serde(skip)]
    pub kernels: Vec<String>,
    /// Which of the grouped runs it is made of, by index.
    #[serde(skip)]
    pub members: Vec<usize>,
}

impl Group {
    /// One figure of each of the group's runs, in the order of its seeds; absent where a run lacks it.
    pub fn values(&self, runs: &[Run], figure: impl Fn(&Run) -> Option<f64>) -> Option<Vec<f64>> {
        self.members
            .iter()
            .map(|i| runs.get(*i).and_then(&figure))
            .collect()
    }
}

/// Groups runs that differ only in their seeds, in the order of their first appearance. Runs on other images or labels
/// are another group, and both say so. Seeds of a configuration that have no result are noted in its first group.
#[must_use]
pub fn group_runs(runs: &[Run], unfinished: &[Unfinished]) -> Vec<Group> {
    let mut position = std::collections::HashMap::new();
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let key = run.config.group_hash();
        let at = *position
            .entry((key.clone(), run.provenance.data_sha256.as_str()))
            .or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, members)) => members.push(i),
            None => groups.push((key, vec![i])),
        }
    }
    let mut missing: std::collections::HashMap<String, Vec<u64>> = std::collections::HashMap::new();
    for config in unfinished.iter().filter_map(|run| run.config.as_ref()) {
        let seeds = missing.entry(config.group_hash()).or_default();
        seeds.push(config.seed);
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .filter_map(|(key, mut members)| {
            members.sort_by_key(|i| runs.get(*i).map(|run| run.config.seed));
            let missing = missing.remove(&key).unwrap_or_default();
            summarise(runs, members, missing)
        })
        .collect();
    mark_other_data(&mut groups);
    groups
}

/// Groups whose benchmark another group has with other images or labels say so.
pub(super) fn mark_other_data(groups: &mut [Group]) {
    let streams: std::collections::BTreeSet<Stream> =
        groups.iter().map(|group| group.stream.clone()).collect();
    for group in groups {
        let stream = &group.stream;
        if streams
            .iter()
            .any(|other| other.differs_in_data_alone(stream))
        {
            let mark = format!(
                "images and labels with SHA-256 {}...: not comparable with runs on others",
                short_checksum(&stream.data_sha256)
            );
            if !group.marks.contains(&mark) {
                group.marks.push(mark);
            }
        }
    }
}

fn summarise(runs: &[Run], members: Vec<usize>, mut missing: Vec<u64>) -> Option<Group> {
    let of: Vec<&Run> = members.iter().filter_map(|i| runs.get(*i)).collect();
    let first = of.first()?;
    let spread = |figure: &dyn Fn(&Run) -> f64| Spread::of(of.iter().map(|r| figure(r)));
    let spread_of_all =
        |figure: &dyn Fn(&Run) -> Option<f64>| Spread::of_all(of.iter().map(|r| figure(r)));
    let mean = |figure: &dyn Fn(&Run) -> usize| spread(&|r| figure(r) as f64).mean;
    missing.sort_unstable();
    missing.dedup();
    let mut marks = marks(&of);
    if !missing.is_empty() {
        let seeds: Vec<String> = missing.iter().map(ToString::to_string).collect();
        marks.push(format!("no result for seed {}", seeds.join(", ")));
    }
    Some(Group {
        config: first.config.clone(),
        stream: Stream::of(&first.config, &first.provenance.data_sha256),
        seeds: of.iter().map(|r| r.config.seed).collect(),
        n: of.len(),
        average_accuracy: spread(&|r| r.metrics.average_accuracy),
        forgetting: spread_of_all(&|r| r.metrics.forgetting),
        forgetting_released: spread_of_all(&|r| r.metrics.forgetting_released),
        learning_accuracy: spread_of_all(&|r| r.metrics.learning_accuracy),
        backward_transfer: spread_of_all(&|r| r.metrics.backward_transfer),
        further: further()
            .filter_map(|metric| {
                let spread = spread_of_all(&|r| (metric.of)(&r.metrics))?;
                Some((metric.key, spread))
            })
            .collect(),
        wall_s: spread(&|r| r.cost.wall_s),
        cost: GroupCost {
            train_s: spread(&|r| r.cost.train_s),
            eval_s: spread(&|r| r.cost.eval_s),
            steps: mean(&|r| r.cost.steps),
            samples: mean(&|r| r.cost.samples),
            replayed_samples: mean(&|r| r.cost.replayed_samples),
            optimizer_state_bytes: mean(&|r| r.cost.optimizer_state_bytes),
            replay_bytes: mean(&|r| r.cost.replay_bytes),
            peak_rss_bytes: of
                .iter()
                .map(|r| r.cost.peak_rss_bytes)
                .collect::<Option<Vec<u64>>>()
                .and_then(|all| all.into_iter().max()),
        },
        unfinished_seeds: missing,
        kernels: {
            let all = of.iter().map(|r| r.provenance.kernels.clone());
            let known: BTreeSet<String> = all.filter(|level| !level.is_empty()).collect();
            known.into_iter().collect()
        },
        marks,
        members,
    })
}

/// What limits comparison: another order of the examples, a fraction, a sample.
fn marks(of: &[&Run]) -> Vec<String> {
    let mut marks = Vec::new();
    let Some(config) = of.first().map(|run| &run.config) else {
        return marks;
    };
    match config.schedule {
        Schedule::Sequential => {}
        Schedule::Cyclic => {
            marks.push("tasks in six cyclic rounds, evaluated at the end".to_string());
        }
        Schedule::Joint => {
            marks.push("all tasks trained jointly, evaluated at the end".to_string());
        }
        Schedule::Cumulative => {
            marks.push("each task trained together with all before it".to_string());
        }
    }
    if config.evaluate == Evaluate::Validation {
        marks.push("accuracy on validation images, to choose hyper-parameters".to_string());
    }
    if config.fraction < 1.0 {
        marks.push(format!(
            "{}% of the training images",
            percent(config.fraction)
        ));
    }
    if config.test_fraction < 1.0 {
        let of = match config.evaluate {
            Evaluate::Test => "test",
            Evaluate::Validation => "validation",
        };
        let share = percent(config.test_fraction);
        marks.push(format!("measured on {share}% of the {of} images"));
    }
    if config.validation > 0.0 {
        let share = percent(config.validation);
        marks.push(format!(
            "{share}% of the training images set aside for validation"
        ));
    }
    // Samples and incomplete data sets say so in their note.
    for note in of
        .iter()
        .filter_map(|run| run.provenance.data_note.as_ref())
    {
        if !marks.contains(note) {
            marks.push(note.clone());
        }
    }
    marks
}

/// A share in percent without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

/// A setting that differs between groups, with its value in each of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingColumn {
    /// The key, as in configuration files.
    pub key: &'static str,
    /// One value a group; `None` where the setting does not exist.
    #[serde(serialize_with = "as_texts")]
    pub values: Vec<Option<Value>>,
}

fn as_texts<S: serde::Serializer>(values: &[Option<Value>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(
        values
            .iter()
            .map(|value| value.as_ref().map(Value::to_string)),
    )
}

impl SettingColumn {
    /// A group's value as tables show it.
    #[must_use]
    pub fn text(&self, group: usize) -> String {
        let value = self.values.get(group).and_then(Option::as_ref);
        value.map_or("–".to_string(), Value::short)
    }
}

/// The settings by which groups differ, beyond benchmark, method and optimizer; the learning rate comes first, and
/// always.
///
/// A setting that exists for some methods only (TAG's b) differs if its values do, or if one of two groups of the same
/// benchmark, method and optimizer has it and no choice that differs says why (`tag_sketch` goes with `tag_memory =
/// clusters`).
#[must_use]
pub fn differing_settings(groups: &[&Group]) -> Vec<SettingColumn> {
    let all: Vec<_> = groups.iter().map(|g| settings(&g.config)).collect();
    let mut keys: Vec<&'static str> = vec!["lr"];
    keys.extend(keys_of(&all).into_iter().filter(|key| *key != "lr"));
    let columns = keys.iter().map(|&key| {
        let value = |of: &Vec<(&'static str, Value)>| {
            let found = of.iter().find(|(k, _)| *k == key);
            found.map(|(_, value)| value.clone())
        };
        SettingColumn {
            key,
            values: all.iter().map(value).collect(),
        }
    });
    let (varied, constant): (Vec<_>, Vec<_>) = columns.partition(|column| varies(&column.values));
    let kept: Vec<&'static str> =
        varied
            .iter()
            .chain(constant.iter().filter(|column| {
                column.key == "lr" || unexplained(groups, &column.values, &varied)
            }))
            .map(|column| column.key)
            .collect();
    let mut all: Vec<SettingColumn> = varied.into_iter().chain(constant).collect();
    all.retain(|column| kept.contains(&column.key));
    all.sort_by_key(|column| keys.iter().position(|key| *key == column.key));
    all
}

/// What says, on one benchmark, which settings a group has.
fn kind(group: &Group) -> (&str, &str, &str) {
    let config = &group.config;
    (
        &group.stream.benchmark,
        config.method.name,
        config.optimizer.name,
    )
}

/// Whether groups that have the setting have it with more than one value.
fn varies(values: &[Option<Value>]) -> bool {
    let mut present = values.iter().flatten();
    let first = present.next();
    present.any(|value| Some(value) != first)
}

/// Whether of two groups of one kind only one has the setting, and no choice that both have made tells them apart.
fn unexplained(groups: &[&Group], values: &[Option<Value>], varied: &[SettingColumn]) -> bool {
    let told_apart = |a: usize, b: usize| {
        varied.iter().any(|column| {
            let value = |group: usize| column.values.get(group).and_then(Option::as_ref);
            let choices = (value(a), value(b));
            matches!(choices, (Some(Value::Text(one)), Some(Value::Text(other))) if one != other)
        })
    };
    let all: Vec<_> = groups.iter().zip(values).enumerate().collect();
    let having = all.iter().filter(|(_, (_, value))| value.is_some());
    let lacking = || all.iter().filter(|(_, (_, value))| value.is_none());
    having.into_iter().any(|(a, (group, _))| {
        lacking().any(|(b, (other, _))| kind(group) == kind(other) && !told_apart(*a, *b))
    })
}

#[cfg(test)]
mod tests;
