//! Groups against groups: tests across seeds, ranks over benchmarks, accuracy against cost.
//!
//! Owns which groups are compared and how. Two groups are compared on the same *stage* only
//! ([`Stream`](super::identity::Stream)). With one side, every group meets every other; with two, every
//! group of the first meets every group of the second, except that a group whose exact configuration the other side has
//! meets only that one. Runs are paired where both groups have the same seeds, since a seed fixes initial weights and
//! order of examples; otherwise Welch's test is used on all runs. P-values are corrected by Holm over all pairs shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::against::CONFIDENCE;
use super::group::{Group, Spread, group_runs, mark_other_data};
use super::load::{Damaged, Duplicate, Loaded, Run, Unfinished};
use super::metric::MetricSpec;
use super::names::{approach, distinct_names, stages};
use super::statistics::{
    Difference, Effect, Sample, holm, independent_effect, is_rounding, paired, paired_effect,
    ranks_from_highest, welch,
};
use super::summary::order;

/// One of the things compared: a folder, or a selection of its runs.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// As it was named.
    pub name: String,
    /// Its groups.
    pub groups: Vec<Group>,
    /// Its runs without a result.
    pub unfinished: Vec<Unfinished>,
    /// Its files that cannot be used.
    pub damaged: Vec<Damaged>,
    /// Its runs that are there twice.
    pub duplicates: Vec<Duplicate>,
    #[serde(skip)]
    runs: Vec<Run>,
}

impl Side {
    /// A side of what was loaded.
    #[must_use]
    pub fn new(name: String, loaded: Loaded) -> Self {
        let mut groups = group_runs(&loaded.runs, &loaded.unfinished);
        groups.sort_by(order);
        Self {
            name,
            groups,
            unfinished: loaded.unfinished,
            damaged: loaded.damaged,
            duplicates: loaded.duplicates,
            runs: loaded.runs,
        }
    }
}

/// Two groups, tested.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Where they met.
    pub stage: String,
    /// Name of the first group.
    pub a: String,
    /// Name of the second.
    pub b: String,
    /// Spread of the first.
    pub a_spread: Spread,
    /// Spread of the second.
    pub b_spread: Spread,
    /// Runs of the first.
    pub a_n: usize,
    /// Runs of the second.
    pub b_n: usize,
    /// First minus second.
    pub difference: f64,
    /// Whether runs were paired by seed; `None` if there are too few for any test.
    pub paired: Option<bool>,
    /// 95% interval of the difference.
    pub interval: Option<(f64, f64)>,
    /// Two-sided p, uncorrected.
    pub p: Option<f64>,
    /// Corrected by Holm over all pairs.
    pub p_holm: Option<f64>,
    /// With Hedges' correction.
    pub effect: Option<Effect>,
}

/// Place of one approach on all stages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// The approach.
    pub name: String,
    /// Its rank on each stage, 1 for the best; `None` where it was not run.
    pub ranks: Vec<Option<f64>>,
    /// Mean rank among the approaches that ran on every stage; `None` for those that did not.
    pub mean: Option<f64>,
}

/// Accuracy against cost of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostRow {
    /// Where it ran.
    pub stage: String,
    /// The group.
    pub name: String,
    /// Percent.
    pub accuracy: Spread,
    /// Runs.
    pub n: usize,
    /// Seconds of training a run, mean.
    pub train_s: f64,
    /// Milliseconds a step.
    pub ms_per_step: f64,
    /// Examples seen, replayed ones included.
    pub samples: f64,
    /// Bytes of optimizer and method at the end.
    pub state_bytes: f64,
    /// The process's peak.
    pub peak_rss_bytes: Option<u64>,
    /// No other group of the stage is at least as accurate in at most the time, and better in one of them.
    pub time_front: bool,
    /// The same with the bytes of optimizer and method instead of the time.
    pub memory_front: bool,
}

/// Everything `compare` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Comparisons {
    /// The metric.
    pub metric: &'static MetricSpec,
    /// The sides.
    pub sides: Vec<Side>,
    /// Stages, in the order of the columns of the ranking.
    pub stages: Vec<String>,
    /// Tests.
    pub pairs: Vec<Pair>,
    /// Ranks over stages, best first.
    pub ranking: Vec<Ranking>,
    /// Accuracy against cost, by stage and falling accuracy.
    pub cost: Vec<CostRow>,
    /// What a reader must know of the groups before comparing them, each with the group that it is about.
    pub remarks: Vec<String>,
}

/// A group with everything needed to compare it.
struct Entry<'a> {
    side: usize,
    group: &'a Group,
    runs: &'a [Run],
    stage: String,
    name: String,
    key: String,
}

impl Entry<'_> {
    fn values(&self, metric: &'static MetricSpec) -> Option<Vec<f64>> {
        self.group
            .values(self.runs, |run| (metric.of)(&run.metrics))
    }

    /// Whether two entries are the very same folders.
    fn is(&self, other: &Self) -> bool {
        let folders = |e: &Self| -> BTreeSet<std::path::PathBuf> {
            let folders = e.group.members.iter().filter_map(|i| e.runs.get(*i));
            folders.map(|run| run.folder.clone()).collect()
        };
        self.key == other.key && folders(self) == folders(other)
    }
}

/// Compares the groups of one side with one another, or those of two sides.
#[must_use]
pub fn compare(mut sides: Vec<Side>, metric: &'static MetricSpec) -> Comparisons {
    mark_between(&mut sides);
    let (entries, stages) = entries(&sides);
    let remarks = entries.iter().flat_map(|e| {
        let of = |mark: &String| format!("{}, {}: {mark}", e.stage, e.name);
        e.group.marks.iter().map(of)
    });
    let remarks = remarks.collect();
    let mut pairs = pairs(&entries, sides.len(), metric);
    correct(&mut pairs);
    let ranking = ranking(&entries, &stages, metric);
    let cost = cost(&entries, &stages);
    Comparisons {
        metric,
        sides,
        stages,
        pairs,
        ranking,
        cost,
        remarks,
    }
}

/// A side's groups say that they are on other data than the other side's, too.
fn mark_between(sides: &mut [Side]) {
    let mut all: Vec<Group> = sides.iter().flat_map(|side| side.groups.clone()).collect();
    mark_other_data(&mut all);
    let mut marked = all.into_iter();
    for group in sides.iter_mut().flat_map(|side| &mut side.groups) {
        if let Some(with_marks) = marked.next() {
            *group = with_marks;
        }
    }
}

/// Every group of every side with its name and its stage, and the stages' titles.
fn entries(sides: &[Side]) -> (Vec<Entry<'_>>, Vec<String>) {
    let groups: Vec<&Group> = sides.iter().flat_map(|side| &side.groups).collect();
    let names = distinct_names(&groups, approach, &[]);
    let stages = stages(&groups);
    let owners = sides.iter().enumerate();
    let owners = owners.flat_map(|(number, side)| side.groups.iter().map(move |_| (number, side)));
    let all = groups.iter().zip(names).zip(owners).enumerate();
    let entries = all.map(|(i, ((group, name), (number, side)))| Entry {
        side: number,
        group,
        runs: &side.runs,
        stage: stages
            .iter()
            .find(|stage| stage.members.contains(&i))
            .map_or(String::new(), |stage| stage.title.clone()),
        // Sides are named by letters where a name would not tell them apart.
        name: match (sides.len(), number) {
            (1, _) => name,
            (_, 0) => format!("A: {name}"),
            _ => format!("B: {name}"),
        },
        key: format!("{}-{}", group.config.group_hash(), group.stream.data_sha256),
    });
    let entries = entries.collect();
    (
        entries,
        stages.into_iter().map(|stage| stage.title).collect(),
    )
}

fn pairs(entries: &[Entry<'_>], sides: usize, metric: &'static MetricSpec) -> Vec<Pair> {
    let keys_of = |side: usize| -> BTreeSet<&String> {
        entries
            .iter()
            .filter(|e| e.side == side)
            .map(|e| &e.key)
            .collect()
    };
    let (first, second) = (keys_of(0), keys_of(1));
    let both: BTreeSet<&String> = first.intersection(&second).copied().collect();
    let mut pairs = Vec::new();
    for (i, a) in entries.iter().enumerate() {
        for b in entries.iter().skip(i + 1) {
            let meet = if sides == 1 {
                true
            } else {
                // A configuration that both sides have meets itself and nothing else.
                let shared = both.contains(&a.key) || both.contains(&b.key);
                a.side != b.side && (a.key == b.key || !shared)
            };
            if meet && a.stage == b.stage && !a.is(b) {
                pairs.extend(test(a, b, metric));
            }
        }
    }
    pairs
}

/// `None` where one of the groups lacks the metric.
fn test(a: &Entry<'_>, b: &Entry<'_>, metric: &'static MetricSpec) -> Option<Pair> {
    let (values_a, values_b) = (a.values(metric)?, b.values(metric)?);
    let spread =
        |values: &[f64]| crate::metrics::mean_std(values).map(|(mean, std)| Spread { mean, std });
    let (a_spread, b_spread) = (spread(&values_a)?, spread(&values_b)?);
    // Members are in the order of their seeds, so equal lists of seeds pair the values.
    let same_seeds = a.group.seeds == b.group.seeds;
    let samples = Sample::of(&values_a).zip(Sample::of(&values_b));
    let (test, effect): (Option<Difference>, Option<Effect>) = if same_seeds {
        (
            paired(&values_a, &values_b),
            paired_effect(&values_a, &values_b),
        )
    } else {
        (
            samples.map(|(a, b)| welch(&a, &b)),
            samples.and_then(|(a, b)| independent_effect(&a, &b)),
        )
    };
    Some(Pair {
        stage: a.stage.clone(),
        a: a.name.clone(),
        b: b.name.clone(),
        a_spread,
        b_spread,
        a_n: values_a.len(),
        b_n: values_b.len(),
        difference: a_spread.mean - b_spread.mean,
        paired: test.map(|_| same_seeds),
        interval: test.map(|test| test.interval(CONFIDENCE)),
        p: test.map(|test| test.p()),
        p_holm: None,
        effect,
    })
}

fn correct(pairs: &mut [Pair]) {
    let p: Vec<f64> = pairs.iter().filter_map(|pair| pair.p).collect();
    let mut adjusted = holm(&p).into_iter();
    for pair in pairs.iter_mut().filter(|pair| pair.p.is_some()) {
        pair.p_holm = adjusted.next();
    }
}

fn ranking(entries: &[Entry<'_>], stages: &[String], metric: &'static MetricSpec) -> Vec<Ranking> {
    let mean = |entry: &Entry<'_>| {
        let (mean, _) = crate::metrics::mean_std(&entry.values(metric)?)?;
        Some(if metric.less_is_better { -mean } else { mean })
    };
    let ranks_of = |entries: &[&Entry<'_>]| -> BTreeMap<String, f64> {
        let with: Vec<(&String, f64)> = entries
            .iter()
            .filter_map(|entry| Some((&entry.name, mean(entry)?)))
            .collect();
        let values: Vec<f64> = with.iter().map(|(_, value)| *value).collect();
        let names = with.iter().map(|(name, _)| (*name).clone());
        names.zip(ranks_from_highest(&values)).collect()
    };
    let on = |stage: &String| -> Vec<&Entry<'_>> {
        entries
            .iter()
            .filter(|entry| entry.stage == *stage)
            .collect()
    };
    let per_stage: Vec<BTreeMap<String, f64>> = stages.iter().map(|s| ranks_of(&on(s))).collect();
    let names: BTreeSet<&String> = per_stage.iter().flat_map(BTreeMap::keys).collect();
    let everywhere: BTreeSet<&String> = names
        .iter()
        .copied()
        .filter(|name| per_stage.iter().all(|ranks| ranks.contains_key(*name)))
        .collect();
    // The mean is over ranks among those that ran everywhere: a rank among more means something else.
    let among: Vec<BTreeMap<String, f64>> = stages
        .iter()
        .map(|stage| {
            let kept: Vec<&Entry<'_>> = on(stage)
                .into_iter()
                .filter(|e| everywhere.contains(&e.name))
                .collect();
            ranks_of(&kept)
        })
        .collect();
    let mut ranking: Vec<Ranking> = names
        .into_iter()
        .map(|name| {
            let own: Option<Vec<f64>> =
                among.iter().map(|ranks| ranks.get(name).copied()).collect();
            Ranking {
                name: name.clone(),
                ranks: per_stage
                    .iter()
                    .map(|ranks| ranks.get(name).copied())
                    .collect(),
                mean: own.map(|ranks| ranks.iter().sum::<f64>() / ranks.len() as f64),
            }
        })
        .collect();
    let place = |r: &Ranking| r.mean.unwrap_or(f64::INFINITY);
    ranking.sort_by(|a, b| place(a).total_cmp(&place(b)));
    ranking
}

fn cost(entries: &[Entry<'_>], stages: &[String]) -> Vec<CostRow> {
    let mut rows = Vec::new();
    for stage in stages {
        let on: Vec<&Entry<'_>> = entries.iter().filter(|e| e.stage == *stage).collect();
        let state = |e: &Entry<'_>| e.group.cost.optimizer_state_bytes + e.group.cost.replay_bytes;
        let accuracy = |e: &Entry<'_>| e.group.average_accuracy.mean;
        let on_front = |e: &Entry<'_>, cost: &dyn Fn(&Entry<'_>) -> f64| {
            !on.iter().any(|other| {
                let gain = accuracy(other) - accuracy(e);
                let same = is_rounding(gain, accuracy(e));
                let no_worse = (same || gain > 0.0) && cost(other) <= cost(e);
                no_worse && (!same || cost(other) < cost(e))
            })
        };
        let mut of_stage: Vec<CostRow> = on
            .iter()
            .map(|e| {
                let cost = &e.group.cost;
                CostRow {
                    stage: stage.clone(),
                    name: e.name.clone(),
                    accuracy: e.group.average_accuracy,
                    n: e.group.n,
                    train_s: cost.train_s.mean,
                    ms_per_step: 1e3 * cost.train_s.mean / cost.steps.max(1.0),
                    samples: cost.samples + cost.replayed_samples,
                    state_bytes: state(e),
                    peak_rss_bytes: cost.peak_rss_bytes,
                    time_front: on_front(e, &|e| e.group.cost.train_s.mean),
                    memory_front: on_front(e, &state),
                }
            })
            .collect();
        of_stage.sort_by(|a, b| b.accuracy.mean.total_cmp(&a.accuracy.mean));
        rows.extend(of_stage);
    }
    rows
}

#[cfg(test)]
mod tests;
