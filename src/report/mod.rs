//! Reports: many results, one table.
//!
//! Owns the grouping of runs that differ only in their seeds and the summary of each group. Everything is computed from
//! [`RunResult`]s, so old result folders can be reported anew.

mod table;

pub use table::text_table;

use serde::Serialize;

use crate::experiment::config::{RunConfig, Schedule};
use crate::experiment::result::RunResult;
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

/// The runs of one configuration over its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The configuration of the first run.
    pub config: RunConfig,
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
    /// Seconds a run.
    pub wall_s: Spread,
    /// What a reader must know before comparing: samples, fractions.
    pub marks: Vec<String>,
}

/// Groups results that differ only in their seeds, in the order of their first appearance.
#[must_use]
pub fn group(results: &[RunResult]) -> Vec<Group> {
    let mut groups: Vec<(String, Vec<&RunResult>)> = Vec::new();
    for result in results {
        let key = result.config.group_hash();
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, members)) => members.push(result),
            None => groups.push((key, vec![result])),
        }
    }
    groups
        .iter()
        .filter_map(|(_, members)| summarise(members))
        .collect()
}

fn summarise(members: &[&RunResult]) -> Option<Group> {
    let first = members.first()?;
    let spread = |figure: &dyn Fn(&RunResult) -> f64| Spread::of(members.iter().map(|r| figure(r)));
    let spread_of_all = |figure: &dyn Fn(&RunResult) -> Option<f64>| {
        Spread::of_all(members.iter().map(|r| figure(r)))
    };
    let mut marks = Vec::new();
    match first.config.schedule {
        Schedule::Sequential => {}
        Schedule::Cyclic => {
            marks.push("tasks in six cyclic rounds, evaluated at the end".to_string());
        }
        Schedule::Joint => {
            marks.push("all tasks trained jointly, evaluated at the end".to_string());
        }
    }
    if first.config.fraction < 1.0 {
        marks.push(format!(
            "{}% of the training images",
            100.0 * first.config.fraction
        ));
    }
    // Samples and incomplete data sets say so in their note.
    marks.extend(first.provenance.data_note.clone());
    Some(Group {
        config: first.config.clone(),
        seeds: members.iter().map(|r| r.config.seed).collect(),
        n: members.len(),
        average_accuracy: spread(&|r| r.metrics.average_accuracy),
        forgetting: spread_of_all(&|r| r.metrics.forgetting),
        forgetting_released: spread_of_all(&|r| r.metrics.forgetting_released),
        learning_accuracy: spread_of_all(&|r| r.metrics.learning_accuracy),
        backward_transfer: spread_of_all(&|r| r.metrics.backward_transfer),
        wall_s: spread(&|r| r.cost.wall_s),
        marks,
    })
}
