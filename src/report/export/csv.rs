//! CSV (RFC 4180), one line a group, with every setting, full precision, and the published figures beside it.
//!
//! Runs without a usable result have lines of their own: the column `status` tells them apart.

use crate::experiment::paper::published::Agreement;
use crate::report::against::{Comparison, QuantityComparison};
use crate::report::format::FormatSpec;
use crate::report::group::{Group, Spread};
use crate::report::identity::{Value, columns, keys_of};
use crate::report::metric::{COSTS, METRICS};
use crate::report::names;
use crate::report::summary::Report;

/// `csv`.
pub static CSV: FormatSpec = FormatSpec {
    name: "csv",
    description: "One line a group, full precision",
    whole: true,
    reads_collected: false,
    ending: "csv",
    write: |report, _| Ok(write(report)),
};

/// A field: quoted where it has a comma, a quote or a line break.
#[must_use]
pub fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

/// A line of fields.
#[must_use]
pub fn line(fields: impl IntoIterator<Item = String>) -> String {
    let fields = fields.into_iter().map(|f| field(&f));
    fields.collect::<Vec<_>>().join(",") + "\n"
}

/// The values of these keys; empty where a setting does not exist.
#[must_use]
pub fn values_of(own: &[(&'static str, Value)], keys: &[&str]) -> Vec<String> {
    let value = |key: &&str| {
        let found = own.iter().find(|(k, _)| k == key);
        found.map_or(String::new(), |(_, value)| value.to_string())
    };
    keys.iter().map(value).collect()
}

fn number(value: Option<f64>) -> String {
    value
        .filter(|x| x.is_finite())
        .map_or(String::new(), |x| x.to_string())
}

/// A column: its heading, and its value in a line.
struct Column<T: ?Sized> {
    heading: String,
    of: Box<dyn Fn(&T) -> String>,
}

fn column<T: ?Sized>(heading: impl Into<String>, of: impl Fn(&T) -> String + 'static) -> Column<T> {
    Column {
        heading: heading.into(),
        of: Box::new(of),
    }
}

/// What a group is, before its settings.
fn names() -> Vec<Column<Group>> {
    let list = |items: &[String], separator: &str| items.join(separator);
    vec![
        column("n", |g: &Group| g.n.to_string()),
        column("seeds", move |g: &Group| {
            list(
                &g.seeds.iter().map(ToString::to_string).collect::<Vec<_>>(),
                " ",
            )
        }),
        column("marks", move |g: &Group| list(&g.marks, "; ")),
        column("data_sha256", |g: &Group| g.stream.data_sha256.clone()),
    ]
}

/// Mean and standard deviation of a figure.
fn spread(key: &str, of: impl Fn(&Group) -> Option<Spread> + Copy + 'static) -> [Column<Group>; 2] {
    [
        column(format!("{key}_mean"), move |g| {
            number(of(g).map(|s| s.mean))
        }),
        column(format!("{key}_std"), move |g| number(of(g).map(|s| s.std))),
    ]
}

fn figures() -> Vec<Column<Group>> {
    let metrics = METRICS.iter().copied();
    let metrics = metrics.flat_map(|metric| spread(metric.key, |g| metric.spread(g)));
    let mut all: Vec<Column<Group>> = metrics.collect();
    all.extend(spread("wall_s", |g| Some(g.wall_s)));
    all.extend(
        COSTS
            .iter()
            .map(|cost| column(cost.key, |g| number((cost.of)(g)))),
    );
    all
}

type OfQuantity = fn(&QuantityComparison) -> String;

fn published() -> Vec<Column<Comparison>> {
    let mut all: Vec<Column<Comparison>> = vec![
        column("published", |c: &Comparison| c.row.label.clone()),
        column("published_settings", |c: &Comparison| {
            match c.agreement {
                Agreement::InForce => "in force",
                Agreement::OnlyStated => "only stated",
            }
            .to_string()
        }),
        column("published_source", |c: &Comparison| c.source.clone()),
        column("published_notes", |c: &Comparison| c.notes.join("; ")),
    ];
    let of_quantity: [(&str, OfQuantity); 10] = [
        ("mean", |q| number(Some(q.published_mean))),
        ("std", |q| number(q.published_std)),
        ("n", |q| q.published_n.to_string()),
        ("difference", |q| number(Some(q.difference))),
        ("low", |q| number(q.interval.map(|(low, _)| low))),
        ("high", |q| number(q.interval.map(|(_, high)| high))),
        ("p", |q| number(q.p)),
        ("equivalence_p", |q| number(q.equivalence_p)),
        ("verdict", |q| q.verdict.name().to_string()),
        ("seeds_needed", |q| {
            q.seeds_needed.map_or(String::new(), |n| n.to_string())
        }),
    ];
    for metric in METRICS {
        let Some(quantity) = metric.published else {
            continue;
        };
        for (name, of) in of_quantity {
            let value = move |c: &Comparison| {
                let found = c.quantities.iter().find(|q| q.quantity == quantity);
                found.map_or(String::new(), of)
            };
            all.push(column(
                format!("published_{}_{name}", quantity.name()),
                value,
            ));
        }
    }
    all
}

fn write(report: &Report) -> String {
    let all: Vec<_> = report.groups.iter().map(|g| columns(&g.config)).collect();
    let keys = keys_of(&all);
    let (names, figures, published) = (names(), figures(), published());
    let mut header = vec!["status".to_string()];
    header.extend(keys.iter().map(ToString::to_string));
    header.extend(names.iter().chain(&figures).map(|c| c.heading.clone()));
    header.extend(published.iter().map(|c| c.heading.clone()));
    header.extend(["path".to_string(), "reason".to_string()]);
    let width = header.len();
    let mut text = line(header);
    for (i, (group, own)) in report.groups.iter().zip(&all).enumerate() {
        // A second published row of the same settings has a line of its own, with another status.
        let beside = report.comparisons.iter().filter(|c| c.group == i);
        let mut rows: Vec<Option<&Comparison>> = beside.map(Some).collect();
        if rows.is_empty() {
            rows.push(None);
        }
        for (nth, comparison) in rows.into_iter().enumerate() {
            let status = if nth == 0 { "done" } else { "also-published" };
            let mut fields = vec![status.to_string()];
            fields.extend(values_of(own, &keys));
            fields.extend(names.iter().chain(&figures).map(|c| (c.of)(group)));
            if let Some(comparison) = comparison {
                fields.extend(published.iter().map(|c| (c.of)(comparison)));
            }
            text.push_str(&line(padded(fields, width, "", "")));
        }
    }
    for (status, path, reason) in without_result(report) {
        let fields = vec![status.to_string()];
        text.push_str(&line(padded(fields, width, &path, &reason)));
    }
    text
}

/// Status, path and reason of everything that has no usable result.
fn without_result(report: &Report) -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    for run in &report.unfinished {
        let reason = format!(
            "{}: {}; {} tasks done",
            names::run(run.config.as_ref()),
            run.last_event.as_deref().unwrap_or("no event"),
            run.tasks_done
        );
        all.push(("unfinished", run.folder.display().to_string(), reason));
    }
    for damaged in &report.damaged {
        all.push((
            "damaged",
            damaged.path.display().to_string(),
            damaged.reason.clone(),
        ));
    }
    for duplicate in &report.duplicates {
        let same = if duplicate.identical { "same" } else { "other" };
        let reason = format!("{} counts; {same} accuracies", duplicate.first.display());
        all.push(("duplicate", duplicate.folder.display().to_string(), reason));
    }
    all
}

/// The fields, empty ones up to the last two, and those.
fn padded(mut fields: Vec<String>, width: usize, path: &str, reason: &str) -> Vec<String> {
    fields.resize(width.saturating_sub(2), String::new());
    fields.extend([path.to_string(), reason.to_string()]);
    fields
}
