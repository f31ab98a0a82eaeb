//! CSV (RFC 4180), one line a group, with every setting, full precision, and the published figures beside it.
//!
//! Runs without a usable result have lines of their own: the column `status` tells them apart.

use std::collections::BTreeSet;

use super::Exporter;
use super::grid::brief;
use crate::experiment::paper::published::{Agreement, Quantity};
use crate::report::against::{Comparison, QuantityComparison};
use crate::report::group::{Group, Spread, settings};
use crate::report::summary::Report;
use crate::settings::Named as _;

/// One line a group.
#[derive(Clone, Copy, Debug)]
pub struct Csv;

/// A field: quoted where it has a comma, a quote or a line break.
#[must_use]
pub fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

fn line(fields: impl IntoIterator<Item = String>) -> String {
    let mut line = fields
        .into_iter()
        .map(|f| field(&f))
        .collect::<Vec<_>>()
        .join(",");
    line.push('\n');
    line
}

fn number(value: Option<f64>) -> String {
    value
        .filter(|x| x.is_finite())
        .map_or(String::new(), |x| x.to_string())
}

fn spread(spread: Option<Spread>) -> [String; 2] {
    [
        number(spread.map(|s| s.mean)),
        number(spread.map(|s| s.std)),
    ]
}

const NAMES: [&str; 7] = [
    "status",
    "benchmark",
    "method",
    "optimizer",
    "n",
    "seeds",
    "marks",
];
const METRICS: [&str; 12] = [
    "average_accuracy_mean",
    "average_accuracy_std",
    "forgetting_mean",
    "forgetting_std",
    "forgetting_released_mean",
    "forgetting_released_std",
    "learning_accuracy_mean",
    "learning_accuracy_std",
    "backward_transfer_mean",
    "backward_transfer_std",
    "wall_s_mean",
    "wall_s_std",
];
const COST: [&str; 8] = [
    "train_s_mean",
    "eval_s_mean",
    "steps",
    "samples",
    "replayed_samples",
    "optimizer_state_bytes",
    "replay_bytes",
    "peak_rss_bytes",
];
const QUANTITIES: [(&str, Quantity); 3] = [
    ("accuracy", Quantity::Accuracy),
    ("forgetting", Quantity::Forgetting),
    ("learning_accuracy", Quantity::LearningAccuracy),
];
const PUBLISHED: [&str; 9] = [
    "mean",
    "std",
    "n",
    "difference",
    "low",
    "high",
    "p",
    "equivalence_p",
    "verdict",
];

impl Exporter for Csv {
    fn export(&self, report: &Report) -> String {
        let all: Vec<Vec<(String, String)>> =
            report.groups.iter().map(|g| settings(&g.config)).collect();
        let keys: BTreeSet<&String> = all.iter().flatten().map(|(key, _)| key).collect();
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut header = owned(&NAMES);
        header.extend(keys.iter().map(ToString::to_string));
        header.extend(owned(&METRICS));
        header.extend(owned(&COST));
        header.extend(owned(&[
            "published",
            "published_settings",
            "published_source",
            "published_notes",
        ]));
        for (quantity, _) in QUANTITIES {
            header.extend(
                PUBLISHED
                    .iter()
                    .map(|name| format!("published_{quantity}_{name}")),
            );
        }
        header.extend(owned(&["path", "reason"]));
        let width = header.len();
        let mut text = line(header);
        for (i, (group, own)) in report.groups.iter().zip(&all).enumerate() {
            // A second published row of the same settings has a line of its own, with another status.
            let mut rows: Vec<Option<&Comparison>> = report
                .comparisons
                .iter()
                .filter(|c| c.group == i)
                .map(Some)
                .collect();
            if rows.is_empty() {
                rows.push(None);
            }
            for (nth, comparison) in rows.into_iter().enumerate() {
                let status = if nth == 0 { "done" } else { "also-published" };
                let mut fields = names(group, status);
                fields.extend(keys.iter().map(|key| {
                    let found = own.iter().find(|(k, _)| k == *key);
                    found.map_or(String::new(), |(_, value)| value.clone())
                }));
                fields.extend(metrics(group));
                fields.extend(published(comparison));
                text.push_str(&line(padded(fields, width, "", "")));
            }
        }
        for run in &report.unfinished {
            let reason = format!(
                "{}: {}; {} tasks done",
                brief(run.config.as_ref()),
                run.last_event.as_deref().unwrap_or("no event"),
                run.tasks_done
            );
            let path = run.folder.display().to_string();
            text.push_str(&line(padded(
                vec!["unfinished".to_string()],
                width,
                &path,
                &reason,
            )));
        }
        for damaged in &report.damaged {
            let path = damaged.path.display().to_string();
            text.push_str(&line(padded(
                vec!["damaged".to_string()],
                width,
                &path,
                &damaged.reason,
            )));
        }
        for duplicate in &report.duplicates {
            let path = duplicate.folder.display().to_string();
            let same = if duplicate.identical { "same" } else { "other" };
            let reason = format!("{} counts; {same} accuracies", duplicate.first.display());
            text.push_str(&line(padded(
                vec!["duplicate".to_string()],
                width,
                &path,
                &reason,
            )));
        }
        text
    }
}

/// The fields, empty ones up to the last two, and those.
fn padded(mut fields: Vec<String>, width: usize, path: &str, reason: &str) -> Vec<String> {
    fields.resize(width.saturating_sub(2), String::new());
    fields.extend([path.to_string(), reason.to_string()]);
    fields
}

fn names(group: &Group, status: &str) -> Vec<String> {
    let seeds: Vec<String> = group.seeds.iter().map(ToString::to_string).collect();
    vec![
        status.to_string(),
        group.config.benchmark.name().to_string(),
        group.config.method.name().to_string(),
        group.config.optimizer.name().to_string(),
        group.n.to_string(),
        seeds.join(" "),
        group.marks.join("; "),
    ]
}

fn metrics(group: &Group) -> Vec<String> {
    let cost = &group.cost;
    let spreads = [
        Some(group.average_accuracy),
        group.forgetting,
        group.forgetting_released,
        group.learning_accuracy,
        group.backward_transfer,
        Some(group.wall_s),
    ];
    let mut fields: Vec<String> = spreads.into_iter().flat_map(spread).collect();
    let costs = [
        cost.train_s.mean,
        cost.eval_s.mean,
        cost.steps,
        cost.samples,
        cost.replayed_samples,
        cost.optimizer_state_bytes,
        cost.replay_bytes,
    ];
    fields.extend(costs.into_iter().map(|x| number(Some(x))));
    fields.push(
        cost.peak_rss_bytes
            .map_or(String::new(), |bytes| bytes.to_string()),
    );
    fields
}

fn published(comparison: Option<&Comparison>) -> Vec<String> {
    let Some(comparison) = comparison else {
        return Vec::new();
    };
    let agreement = match comparison.agreement {
        Agreement::InForce => "in force",
        Agreement::OnlyStated => "only stated",
    };
    let mut fields = vec![
        comparison.row.label.clone(),
        agreement.to_string(),
        comparison.source.clone(),
        comparison.notes.join("; "),
    ];
    for (_, quantity) in QUANTITIES {
        let found = comparison
            .quantities
            .iter()
            .find(|q| q.quantity == quantity);
        fields.extend(found.map_or_else(|| vec![String::new(); PUBLISHED.len()], of_quantity));
    }
    fields
}

fn of_quantity(quantity: &QuantityComparison) -> Vec<String> {
    vec![
        number(Some(quantity.published_mean)),
        number(quantity.published_std),
        quantity.published_n.to_string(),
        number(Some(quantity.difference)),
        number(quantity.interval.map(|(low, _)| low)),
        number(quantity.interval.map(|(_, high)| high)),
        number(quantity.p),
        number(quantity.equivalence_p),
        quantity.verdict.name().to_string(),
    ]
}
