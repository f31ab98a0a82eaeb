//! What stands behind the table: commands, settings, runs, data, failures.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::table::{published, published_beside, spread};
use crate::report::against::Comparison;
use crate::report::command::command;
use crate::report::group;
use crate::report::identity::{data_sets, settings};
use crate::report::load::Run;
use crate::report::metric::{METRICS, of_quantity};
use crate::report::summary::Report;

/// A configuration's details, before its plots are known.
pub(super) struct Group {
    number: usize,
    title: Markup,
    text: Markup,
}

impl Group {
    /// Bytes of the text.
    pub(super) fn size(&self) -> usize {
        self.text.0.len() + self.title.0.len() + 120
    }

    /// With the plots that belong to it.
    pub(super) fn render(self, plots: &[Markup]) -> Markup {
        html! {
            details #{ "g" (self.number) } {
                summary { (self.title) }
                (self.text)
                @if !plots.is_empty() {
                    div.pair { @for plot in plots { (plot) } }
                }
            }
        }
    }
}

/// One a configuration, in the order of the table.
pub(super) fn groups(report: &Report, labels: &[String]) -> Vec<Group> {
    let groups = report.groups.iter().enumerate();
    groups
        .map(|(number, group)| {
            let runs = group.members.iter().filter_map(|i| report.runs.get(*i));
            Group {
                number,
                title: title(group, labels.get(number).map_or("", String::as_str)),
                text: text(
                    group,
                    &runs.collect::<Vec<_>>(),
                    published_beside(report, number),
                ),
            }
        })
        .collect()
}

fn title(group: &group::Group, label: &str) -> Markup {
    html! {
        (label) " "
        span.sum {
            (group.config.benchmark.paper_name()) ", " (spread(group.average_accuracy, group.n, 2)) "%, n = " (group.n)
        }
    }
}

fn text(group: &group::Group, runs: &[&Run], found: Option<&Comparison>) -> Markup {
    html! {
        h3 { "Command" }
        @match command(&group.config, &group.seeds) {
            Ok(text) => {
                div.cmd { pre { code { (text) } } }
                @if text.contains(" DIR") || text.contains(" FILE") {
                    p.note {
                        "DIR: the folder of the data sets"
                        @if let Some(sum) = &group.config.init_sha256 { "; FILE: initial weights with SHA-256 " code { (sum) } }
                        "."
                    }
                }
            }
            Err(error) => p.warn { (error.to_string()) ". Its config.toml says what was run." },
        }
        @if !group.marks.is_empty() {
            p { "To know before comparing: " (group.marks.join("; ")) "." }
        }
        (published_text(found))
        h3 { "Settings" }
        dl.set {
            @for (key, value) in settings(&group.config) {
                div { dt { (key) } dd { (value.short()) } }
            }
        }
        h3 { "Runs" }
        div.scroll tabindex="0" role="region" aria-label="Runs of this configuration" {
            table {
                thead { tr {
                    th scope="col" { "seed" }
                    @for metric in METRICS { th scope="col" { (metric.heading) } }
                    @for title in ["seconds", "peak memory", "started (UTC)", "build", "machine", "run folder"] {
                        th scope="col" { (title) }
                    }
                } }
                tbody { @for run in runs { (run_row(run)) } }
            }
        }
    }
}

/// The published figures, where they stand and what is known of them.
fn published_text(found: Option<&Comparison>) -> Markup {
    html! {
        @if let Some(found) = found {
            h3 { "Published" }
            p { (found.row.dataset) ", " (found.row.label) ": " (found.source) }
            ul {
                @for quantity in &found.quantities {
                    @let metric = of_quantity(quantity.quantity);
                    @let digits = metric.digits;
                    li { (metric.title) " " (spread(quantity.ours, quantity.n, digits)) ", " (published(quantity, digits).join(", ")) }
                }
                @for note in &found.notes { li { (note) } }
            }
        }
    }
}

fn run_row(run: &Run) -> Markup {
    let metrics = &run.metrics;
    let provenance = &run.provenance;
    let optional = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_string(), |x| format!("{x:.digits$}"))
    };
    let memory = run.cost.peak_rss_bytes;
    html! {
        tr {
            th scope="row" { (run.config.seed) }
            @for metric in METRICS { td.num { (optional((metric.of)(metrics), metric.digits)) } }
            td.num { (format!("{:.1}", run.cost.wall_s)) }
            td.num { (memory.map_or("–".to_string(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6))) }
            td { (provenance.started) }
            td { (provenance.version) @if let Some(commit) = &provenance.commit { " (" (commit) ")" } }
            td {
                (provenance.cpu) ", " (provenance.kernels) " kernels, " (provenance.threads)
                @if provenance.threads == 1 { " thread" } @else { " threads" }
            }
            td { code { (run.folder.file_name().map_or_else(|| run.run_id.clone(), |name| name.to_string_lossy().into_owned())) } }
        }
    }
}

/// The data sets' checksums, with what they say of themselves.
pub(super) fn data(report: &Report) -> Markup {
    let mut sets: BTreeMap<(String, &str, &str), usize> = BTreeMap::new();
    for run in &report.runs {
        let note = run.provenance.data_note.as_deref().unwrap_or("");
        let key = (
            data_sets(&run.config),
            run.provenance.data_sha256.as_str(),
            note,
        );
        *sets.entry(key).or_default() += 1;
    }
    html! {
        section aria-labelledby="data" {
            h2 #data { "Data" }
            @if sets.is_empty() {
                p { "No run, no data." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Data sets" {
                    table {
                        caption { "SHA-256 of the images and labels as the runs read them." }
                        thead { tr {
                            th scope="col" { "Data set" } th scope="col" { "SHA-256" } th scope="col" { "Note" } th scope="col" { "Runs" }
                        } }
                        tbody {
                            @for ((name, sum, note), runs) in &sets {
                                tr { th scope="row" { (name) } td { code { (sum) } } td { (note) } td.num { (runs) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What has no result, or one that cannot be used.
pub(super) fn problems(report: &Report) -> Markup {
    let none =
        report.unfinished.is_empty() && report.damaged.is_empty() && report.duplicates.is_empty();
    html! {
        section aria-labelledby="problems" {
            h2 #problems { "Failed and missing" }
            @if none {
                p { "Nothing: every run folder has a readable result." }
            }
            @if !report.unfinished.is_empty() {
                h3 { "Without a result" }
                p.note { "Failed, interrupted or still running; the same command goes on with them." }
                div.scroll tabindex="0" role="region" aria-label="Runs without a result" {
                    table {
                        thead { tr {
                            th scope="col" { "Folder" } th scope="col" { "Tasks done" } th scope="col" { "Last event" }
                            th scope="col" { "At (UTC)" } th scope="col" { "Command" }
                        } }
                        tbody {
                            @for run in &report.unfinished {
                                tr {
                                    th scope="row" { code { (run.folder.display()) } }
                                    td.num {
                                        (run.tasks_done)
                                        @if let Some(config) = &run.config { " of " (config.learned_tasks()) }
                                    }
                                    td { (run.last_event.as_deref().unwrap_or("none")) }
                                    td { (run.last_time.as_deref().unwrap_or("–")) }
                                    td {
                                        @match run.config.as_ref().map(|config| command(config, &[config.seed])) {
                                            Some(Ok(text)) => code { (text) },
                                            Some(Err(error)) => (error.to_string()),
                                            None => "its configuration cannot be read",
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if !report.damaged.is_empty() {
                h3 { "Unreadable" }
                ul { @for damaged in &report.damaged { li { code { (damaged.path.display()) } ": " (damaged.reason) } } }
            }
            @if !report.duplicates.is_empty() {
                h3 { "Twice" }
                p.note { "Of the same configuration and seed only the first counts." }
                ul {
                    @for duplicate in &report.duplicates {
                        li {
                            code { (duplicate.folder.display()) } " as " code { (duplicate.first.display()) } ": "
                            @if duplicate.identical { "the same accuracies" }
                            @else { "other accuracies, so from another build or processor" }
                        }
                    }
                }
            }
        }
    }
}
