//! The table of results, its filters and its marks.

use maud::{Markup, html};

use super::Page;
use crate::experiment::paper::published::{Agreement, Quantity};
use crate::report::against::{Comparison, QuantityComparison};
use crate::report::group::{Group, SettingColumn, Spread};
use crate::settings::Named as _;

/// A column of figures: its title, what it means, its value and its decimals.
struct Column {
    title: &'static str,
    meaning: &'static str,
    of: fn(&Group) -> Option<Spread>,
    digits: usize,
    published: Option<Quantity>,
}

const COLUMNS: [Column; 5] = [
    Column {
        title: "Accuracy %",
        meaning: "mean accuracy over all tasks at the end",
        of: |group| Some(group.average_accuracy),
        digits: 2,
        published: Some(Quantity::Accuracy),
    },
    Column {
        title: "Forgetting",
        meaning: "highest earlier accuracy minus final, a fraction; negative where later tasks helped",
        of: |group| group.forgetting,
        digits: 3,
        published: Some(Quantity::Forgetting),
    },
    Column {
        title: "Learning acc. %",
        meaning: "mean accuracy on each task right after it was trained",
        of: |group| group.learning_accuracy,
        digits: 2,
        published: Some(Quantity::LearningAccuracy),
    },
    Column {
        title: "Backward transfer",
        meaning: "final accuracy minus accuracy right after training, points",
        of: |group| group.backward_transfer,
        digits: 2,
        published: None,
    },
    Column {
        title: "s/run",
        meaning: "wall-clock seconds of a run",
        of: |group| Some(group.wall_s),
        digits: 1,
        published: None,
    },
];

/// A spread as text, one run without its spread.
pub(super) fn spread(value: Spread, n: usize, digits: usize) -> String {
    if n > 1 {
        format!("{:.digits$} ± {:.digits$}", value.mean, value.std).replace('-', "−")
    } else {
        format!("{:.digits$}", value.mean).replace('-', "−")
    }
}

/// Headings, filters, table.
pub(super) fn section(page: &Page<'_>, labels: &[String]) -> Markup {
    let settings = &page.report.settings;
    let marks = all_marks(&page.report.groups);
    html! {
        section aria-labelledby="results-title" {
            h2 #results-title { "Results" }
            @if page.report.unfinished.len() + page.report.damaged.len() > 0 {
                p.warn {
                    "Without a result: " (page.report.unfinished.len()) ". Unreadable: " (page.report.damaged.len())
                    ". See " a href="#problems" { "failed and missing" } "."
                }
            }
            @if page.report.groups.is_empty() {
                p { "There are no finished runs." }
            } @else {
                (filters(page))
                div.scroll tabindex="0" role="region" aria-labelledby="caption" {
                    table #results {
                        caption #caption { "Mean ± population standard deviation over n seeds" }
                        thead { tr {
                            (heading("Configuration", false))
                            (heading("Benchmark", false))
                            (heading("n", true))
                            @for column in &COLUMNS { (heading(column.title, true)) }
                            (heading("Method", false))
                            (heading("Optimizer", false))
                            @for column in settings { (heading(&column.key, false)) }
                        } }
                        tbody {
                            @for (i, group) in page.report.groups.iter().enumerate() {
                                (row(page, (i, group), labels.get(i).map_or("", String::as_str), &marks))
                            }
                        }
                    }
                }
                (meanings(page))
                @if !marks.is_empty() {
                    ol.note {
                        @for mark in &marks { li { (mark) } }
                    }
                }
            }
        }
    }
}

/// What the columns mean.
fn meanings(page: &Page<'_>) -> Markup {
    html! {
        p.note {
            @for column in &COLUMNS { (column.title) ": " (column.meaning) ". " }
            @if !page.report.comparisons.is_empty() {
                "Published: the figure of the TAG paper or its logs for the same settings. Δ: ours minus published, with "
                "its 95% Welch interval (forgetting: as the released code computes it). Verdict: equivalent within "
                (page.report.margin) " points, different, or inconclusive."
            }
        }
    }
}

fn heading(title: &str, number: bool) -> Markup {
    html! {
        th scope="col" aria-sort="none" class=[number.then_some("num")] { button type="button" { (title) } }
    }
}

fn row(page: &Page<'_>, (number, group): (usize, &Group), label: &str, marks: &[String]) -> Markup {
    let settings: &[SettingColumn] = &page.report.settings;
    let beside = beside(page, number);
    let config = &group.config;
    let own: Vec<usize> = group
        .marks
        .iter()
        .filter_map(|mark| marks.iter().position(|m| m == mark))
        .collect();
    html! {
        tr data-group=(number) data-benchmark=(config.benchmark.name()) data-method=(config.method.name())
            data-optimizer=(config.optimizer.name()) {
            th scope="row" data-v=(label) {
                a href={ "#g" (number) } { (label) }
                @for mark in own { " " span.mark title=(marks.get(mark).map_or("", String::as_str)) { "[" (mark + 1) "]" } }
            }
            td { (config.benchmark.paper_name()) }
            td.num { (group.n) }
            @for column in &COLUMNS { (figure(group, column, beside)) }
            td { (config.method.name()) }
            td { (config.optimizer.name()) }
            @for column in settings {
                @let value = column.values.get(number).and_then(Option::as_deref);
                td data-v=(value.unwrap_or("")) { (value.map_or("–", shortened)) }
            }
        }
    }
}

/// A setting's value; a checksum only by its beginning.
pub(super) fn shortened(text: &str) -> &str {
    text.get(..12).filter(|_| text.len() > 40).unwrap_or(text)
}

/// The published row that stands beside a group: of the very settings, or else of those that were stated.
pub(super) fn beside<'a>(page: &Page<'a>, group: usize) -> Option<&'a Comparison> {
    let all = || page.report.comparisons.iter().filter(|c| c.group == group);
    all()
        .find(|c| c.agreement == Agreement::InForce)
        .or_else(|| all().next())
}

fn figure(group: &Group, column: &Column, beside: Option<&Comparison>) -> Markup {
    let Some(value) = (column.of)(group) else {
        return html! { td.num data-v="" { "–" } };
    };
    let digits = column.digits;
    html! {
        td.num data-v=(value.mean) {
            (spread(value, group.n, digits))
            @if let Some(beside) = beside {
                @for found in beside.quantities.iter().filter(|q| Some(q.quantity) == column.published) {
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
    let std = found
        .published_std
        .map_or(String::new(), |std| format!(" ± {std:.digits$}"));
    let interval = found.interval.map_or(String::new(), |(low, high)| {
        format!(" [{}, {}]", signed(low, digits), signed(high, digits))
    });
    [
        format!(
            "published {:.digits$}{std} (n {})",
            found.published_mean, found.published_n
        ),
        format!("Δ {}{interval}", signed(found.difference, digits)),
        found.verdict.name().to_string(),
    ]
}

/// `+1.20` or `−0.30`.
fn signed(x: f64, digits: usize) -> String {
    format!("{x:+.digits$}").replace('-', "−")
}

fn all_marks(groups: &[Group]) -> Vec<String> {
    let mut marks: Vec<String> = Vec::new();
    for mark in groups.iter().flat_map(|group| &group.marks) {
        if !marks.contains(mark) {
            marks.push(mark.clone());
        }
    }
    marks
}

fn filters(page: &Page<'_>) -> Markup {
    let values = |name: fn(&Group) -> &str| -> Vec<&str> {
        let mut values: Vec<&str> = Vec::new();
        for value in page.report.groups.iter().map(name) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    };
    let selects = [
        (
            "benchmark",
            "Benchmark",
            values(|g| g.config.benchmark.name()),
        ),
        ("method", "Method", values(|g| g.config.method.name())),
        (
            "optimizer",
            "Optimizer",
            values(|g| g.config.optimizer.name()),
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
