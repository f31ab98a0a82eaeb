//! Accuracy against the settings of a sweep.
//!
//! Owns finding what was swept: among groups of one stream, method and optimizer, every numeric setting with two or more
//! values has a plot. The other settings that differ there give a line each.

use std::collections::BTreeSet;

use super::axis::{Axis, bounds, short};
use super::colour::Style;
use super::data::{Data, Entry, band, count, marks, parts, sentences};
use super::label::file_name;
use super::layout::{LinePlot, Series};
use super::scene::Figure;
use super::spec::PlotSpec;
use super::stats::Point;
use crate::method::PLAIN;
use crate::report::group::{Group, SettingColumn, differing_settings};
use crate::report::identity::{Value, settings};
use crate::report::names::in_paper;

/// `sensitivity`.
pub(super) static SENSITIVITY: PlotSpec = PlotSpec {
    name: "sensitivity",
    description: "accuracy against every numeric setting of a sweep",
    paper: "",
    of_one_group: false,
    lacking: "no numeric setting takes two or more values under the same benchmark, method and optimizer; run a sweep, \
              such as --lr 0.01, 0.03 and 0.1",
    draw: |data| Ok(sensitivity(data)),
};

/// One figure for every stream, method, optimizer and numeric setting with two or more values.
fn sensitivity(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entries in &data.streams {
        let of = |entry: &Entry<'_>| {
            let config = &entry.group.config;
            (config.method.name, config.optimizer.name)
        };
        let mut pairs = Vec::new();
        for entry in entries {
            if !pairs.contains(&of(entry)) {
                pairs.push(of(entry));
            }
        }
        for pair in pairs {
            let pair: Vec<&Entry<'_>> = entries.iter().filter(|e| of(e) == pair).collect();
            let groups: Vec<&Group> = pair.iter().map(|e| e.group).collect();
            for column in differing_settings(&groups) {
                let with = pair.iter().filter(|entry| number(entry, column.key));
                let with: Vec<&Entry<'_>> = with.copied().collect();
                let groups: Vec<&Group> = with.iter().map(|e| e.group).collect();
                let columns = differing_settings(&groups);
                if let Some(column) = columns.iter().find(|own| own.key == column.key) {
                    figures.extend(plot(&title(&groups), &with, &columns, column));
                }
            }
        }
    }
    figures
}

/// Whether a setting has a number there.
fn number(entry: &Entry<'_>, key: &str) -> bool {
    let own = settings(&entry.group.config);
    own.iter()
        .any(|(name, value)| *name == key && value.number().is_some_and(f64::is_finite))
}

/// What groups of one method and optimizer are called: as the paper has it, if that is one name.
fn title(groups: &[&Group]) -> String {
    let names: BTreeSet<String> = groups.iter().map(|group| in_paper(&group.config)).collect();
    let config = groups.first().map(|group| &group.config);
    match (names.first(), config) {
        (Some(name), _) if names.len() == 1 => name.clone(),
        (_, Some(config)) if *config.method == PLAIN => config.optimizer.paper_name.to_string(),
        (_, Some(config)) => {
            format!(
                "{} with {}",
                config.method.paper_name, config.optimizer.paper_name
            )
        }
        _ => String::new(),
    }
}

fn numbers(column: &SettingColumn) -> Option<Vec<f64>> {
    let value = |value: &Option<Value>| value.as_ref()?.number().filter(|x| x.is_finite());
    column.values.iter().map(value).collect()
}

/// The groups of each combination of the other settings, where they are two or more.
fn lines(
    name: &str,
    count: usize,
    columns: &[SettingColumn],
    column: &SettingColumn,
) -> Vec<(String, Vec<usize>)> {
    let others = |i: usize| -> String {
        let others = columns.iter().filter(|c| c.key != column.key);
        let values = others.filter_map(|c| {
            let differ = c.values.iter().any(|v| Some(v) != c.values.first());
            let value = c.values.get(i)?.as_ref()?;
            differ.then(|| format!("{} {}", c.key, value.short()))
        });
        let text = values.collect::<Vec<_>>().join(", ");
        if text.is_empty() {
            name.to_string()
        } else {
            text
        }
    };
    let mut lines: Vec<(String, Vec<usize>)> = Vec::new();
    for i in 0..count {
        let other = others(i);
        match lines.iter_mut().find(|(label, _)| *label == other) {
            Some((_, members)) => members.push(i),
            None => lines.push((other, vec![i])),
        }
    }
    lines.retain(|(_, members)| members.len() > 1);
    lines
}

fn plot(
    name: &str,
    entries: &[&Entry<'_>],
    columns: &[SettingColumn],
    column: &SettingColumn,
) -> Vec<Figure> {
    let Some(xs) = numbers(column) else {
        return Vec::new();
    };
    let mut ticks = xs.clone();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let (low, high) = bounds(xs.iter().copied());
    if ticks.len() < 2 {
        return Vec::new();
    }
    let lines = lines(name, entries.len(), columns, column);
    let Some(first) = entries.first() else {
        return Vec::new();
    };
    let stream = &first.stream;
    let log = low > 0.0 && high / low >= 5.0;
    let mut figures = Vec::new();
    for (chunk, part) in parts(&lines) {
        let series = chunk.iter().enumerate().map(|(rank, (label, members))| {
            let mut members = members.clone();
            members.sort_by(|a, b| {
                xs.get(*a)
                    .unwrap_or(&0.0)
                    .total_cmp(xs.get(*b).unwrap_or(&0.0))
            });
            let points = members.iter().filter_map(|i| {
                let group = entries.get(*i)?.group;
                let point = Point {
                    mean: group.average_accuracy.mean,
                    std: group.average_accuracy.std,
                    n: group.n,
                };
                Some((*xs.get(*i)?, point))
            });
            let points: Vec<(f64, Point)> = points.collect();
            Series {
                group: members
                    .first()
                    .and_then(|i| entries.get(*i))
                    .map_or(0, |e| e.number),
                style: Style::of(rank),
                label: label.clone(),
                x_names: points
                    .iter()
                    .map(|(x, _)| format!("{} {}", column.key, short(*x)))
                    .collect(),
                points,
                line: true,
            }
        });
        let series: Vec<Series> = series.collect();
        let best = series
            .iter()
            .flat_map(|s| &s.points)
            .max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        let best = best.map_or(String::new(), |(x, p)| {
            format!("best: {} {} with {}%", column.key, short(*x), p.text(1))
        });
        let x = match (log, ticks.len() <= 10) {
            (true, true) => Axis::log(&ticks, &ticks),
            (true, false) => Axis::log(&ticks, &[]),
            (false, _) => Axis::around(xs.iter().copied(), 7),
        };
        let key = column.key;
        figures.push(
            LinePlot {
                name: file_name(&format!(
                    "sensitivity-{}-{name}-{}{part}",
                    first.benchmark(),
                    column.key
                )),
                title: format!("Accuracy against {key}: {name}, {stream}{part}"),
                note: sentences(&[
                    &format!(
                        "Average accuracy after the last task; {}{}",
                        count(entries),
                        band(entries)
                    ),
                    &marks(entries),
                ]),
                description: format!("Line plot; {best}."),
                x_title: key,
                y_title: "average accuracy (%)",
                x,
                y_values: Vec::new(),
                y_most: Some(100.0),
                series,
                digits: 2,
            }
            .figure(),
        );
    }
    figures
}
