//! The table of results, its filters and its marks.

use maud::{Markup, html};

use crate::experiment::paper::published::Agreement;
use crate::report::against::{Comparison, QuantityComparison};
use crate::report::grid::pair;
use crate::report::group::{Group, SettingColumn, Spread};
use crate::report::identity::Value;
use crate::report::metric::{METRICS, MetricSpec};
use crate::report::summary::{Report, ReportStage};

/// A spread as text, with the sign that typography has.
pub(super) fn spread(value: Spread, n: usize, digits: usize) -> String {
    pair(Some(value), n, digits).replace('-', "−")
}

/// Headings, filters, a table a stage.
pub(super) fn section(report: &Report, labels: &[String]) -> Markup {
    let (footnotes, numbers) = report.footnotes();
    html! {
        section aria-labelledby="results-title" {
            h2 #results-title { "Results" }
            @if report.unfinished.len() + report.damaged.len() > 0 {
                p.warn {
                    "Without a result: " (report.unfinished.len()) ". Unreadable: " (report.damaged.len())
                    ". See " a href="#problems" { "failed and missing" } "."
                }
            }
            @if report.groups.is_empty() {
                p { "There are no finished runs." }
            } @else {
                (filters(report))
                div #results {
                    @for (nth, stage) in report.stages.iter().enumerate() {
                        (table(report, (nth, stage), labels, &numbers))
                    }
                }
                (meanings(report))
                @if !footnotes.is_empty() {
                    ol.note {
                        @for mark in &footnotes { li { (mark) } }
                    }
                }
            }
        }
    }
}

/// What a table's rows have beside their name and figures: only what differs among them.
struct Beside<'a> {
    method: bool,
    optimizer: bool,
    settings: Vec<&'a SettingColumn>,
}

impl<'a> Beside<'a> {
    fn of(stage: &'a ReportStage, groups: &[&Group]) -> Self {
        let differ = |name: fn(&Group) -> &'static str| {
            groups
                .windows(2)
                .any(|pair| matches!(pair, [a, b] if name(a) != name(b)))
        };
        let settings = stage.settings.iter();
        let settings = settings.filter(|column| {
            column
                .values
                .iter()
                .any(|value| Some(value) != column.values.first())
        });
        Self {
            method: differ(|group| group.config.method.name),
            optimizer: differ(|group| group.config.optimizer.name),
            settings: settings.collect(),
        }
    }
}

/// The groups of one stage.
fn table(
    report: &Report,
    (nth, stage): (usize, &ReportStage),
    labels: &[String],
    numbers: &[Vec<usize>],
) -> Markup {
    let members: Vec<(usize, &Group)> = stage
        .stage
        .members
        .iter()
        .filter_map(|i| Some((*i, report.groups.get(*i)?)))
        .collect();
    let groups: Vec<&Group> = members.iter().map(|(_, group)| *group).collect();
    let beside = Beside::of(stage, &groups);
    // What is true of all stands at the title, not in every row.
    let mut of_rows = members.iter().filter_map(|(i, _)| numbers.get(*i));
    let first = of_rows.next().cloned().unwrap_or_default();
    let shared: Vec<usize> = of_rows.fold(first, |shared, own| {
        shared
            .into_iter()
            .filter(|number| own.contains(number))
            .collect()
    });
    html! {
        div.stage {
            h3 #{ "stage" (nth) } {
                (stage.stage.title_in_paper)
                @for number in &shared { " " span.mark { "[" (number) "]" } }
            }
            div.scroll tabindex="0" role="region" aria-labelledby={ "stage" (nth) } {
                table.results {
                    caption { "Mean ± population standard deviation over n seeds" }
                    thead { tr {
                        (heading("Configuration", false))
                        (heading("n", true))
                        @for metric in METRICS { (heading(metric.heading, true)) }
                        (heading("s/run", true))
                        @if beside.method { (heading("method", false)) }
                        @if beside.optimizer { (heading("optimizer", false)) }
                        @for column in &beside.settings { (heading(column.key, false)) }
                    } }
                    tbody {
                        @for (nth, (i, group)) in members.iter().enumerate() {
                            (row(report, (*i, group), (nth, &beside), labels.get(*i), (numbers.get(*i), &shared)))
                        }
                    }
                }
            }
        }
    }
}

/// What the columns mean.
fn meanings(report: &Report) -> Markup {
    html! {
        p.note {
            @for metric in METRICS { b { (metric.heading) } ": " (metric.meaning) ". " }
            @if !report.comparisons.is_empty() {
                "Published: the figure of the TAG paper or its logs for the same settings. Δ: ours minus published, with "
                "its 95% Welch interval. Verdict: equivalent within " (report.margin) " points, different, or inconclusive."
            }
        }
    }
}

fn heading(title: &str, number: bool) -> Markup {
    html! {
        th scope="col" aria-sort="none" class=[number.then_some("num")] { button type="button" { (title) } }
    }
}

fn row(
    report: &Report,
    (number, group): (usize, &Group),
    (nth, beside): (usize, &Beside<'_>),
    label: Option<&String>,
    (marks, shared): (Option<&Vec<usize>>, &[usize]),
) -> Markup {
    let published = published_beside(report, number);
    let config = &group.config;
    let label = label.map_or("", String::as_str);
    html! {
        tr data-group=(number) data-benchmark=(group.stream.benchmark) data-method=(config.method.name)
            data-optimizer=(config.optimizer.name) {
            th scope="row" data-v=(label) {
                a href={ "#g" (number) } { (label) }
                @for (mark, text) in marks.into_iter().flatten().zip(&group.marks).filter(|(mark, _)| !shared.contains(mark)) { " " span.mark title=(text) { "[" (mark) "]" } }
            }
            td.num data-h="n" { (group.n) }
            @for metric in METRICS { (figure(group, metric, published)) }
            td.num data-h="s/run" data-v=(group.wall_s.mean) { (spread(group.wall_s, group.n, 1)) }
            @if beside.method { td data-h="method" { (config.method.name) } }
            @if beside.optimizer { td data-h="optimizer" { (config.optimizer.name) } }
            @for column in &beside.settings {
                @let value = column.values.get(nth).and_then(Option::as_ref);
                td data-h=(column.key) data-v=(value.map_or(String::new(), Value::to_string)) { (value.map_or(String::new(), Value::short)) }
            }
        }
    }
}

/// The published row that stands beside a group: of the very settings, or else of those that were stated.
pub(super) fn published_beside(report: &Report, group: usize) -> Option<&Comparison> {
    let all = || report.comparisons.iter().filter(|c| c.group == group);
    all()
        .find(|c| c.agreement == Agreement::InForce)
        .or_else(|| all().next())
}

fn figure(group: &Group, metric: &MetricSpec, beside: Option<&Comparison>) -> Markup {
    let Some(value) = metric.spread(group) else {
        return html! { td.num data-h=(metric.heading) data-v="" { "–" } };
    };
    let digits = metric.digits;
    html! {
        td.num data-h=(metric.heading) data-v=(value.mean) {
            (spread(value, group.n, digits))
            @if let Some(beside) = beside {
                @for found in beside.quantities.iter().filter(|q| Some(q.quantity) == metric.published) {
                    span.pub title=(beside.source) {
                        @for line in published(found, digits) { (line) br; }
                        @if beside.agreement == Agreement::OnlyStated { "from other settings" }
                    }
                }
            }
        }
    }
}

/// `published 62.79 ± 0.29 (n 5)`, `Δ +0.93 [−1.76, +3.62]`, `inconclusive`.
pub(super) fn published(found: &QuantityComparison, digits: usize) -> [String; 3] {
    let interval = found.interval.map_or(String::new(), |(low, high)| {
        format!(" [{}, {}]", signed(low, digits), signed(high, digits))
    });
    [
        format!(
            "published {} (n {})",
            found.published_text(digits),
            found.published_n
        ),
        format!("Δ {}{interval}", signed(found.difference, digits)),
        found.verdict_text(),
    ]
}

/// `+1.20` or `−0.30`.
fn signed(x: f64, digits: usize) -> String {
    format!("{x:+.digits$}").replace('-', "−")
}

fn filters(report: &Report) -> Markup {
    let values = |name: fn(&Group) -> &str| -> Vec<&str> {
        let mut values: Vec<&str> = Vec::new();
        for value in report.groups.iter().map(name) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    };
    let selects = [
        ("benchmark", "Benchmark", values(|g| &g.stream.benchmark)),
        ("method", "Method", values(|g| g.config.method.name)),
        (
            "optimizer",
            "Optimizer",
            values(|g| g.config.optimizer.name),
        ),
    ];
    html! {
        form #filters .filters role="search" aria-label="Filter the results" hidden {
            @for (name, title, values) in selects {
                label {
                    (title)
                    select name=(name) {
                        option value="" { "all" }
                        @for value in values { option value=(value) { (value) } }
                    }
                }
            }
            label { "Text" input type="search" placeholder="any words of a row" autocomplete="off"; }
            button type="reset" { "Show all" }
            span #count role="status" {}
        }
    }
}
