//! The tables of a report, as cells of text: what the formats for people have in common.
//!
//! One block a stream of tasks. A block shows the settings by which its groups differ and no others; what they share
//! beyond the plain form of a method stands in a note.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::against::Comparison;
use crate::report::grid::{Grid, Row, cells, interval, pair};
use crate::report::group::Group;
use crate::report::metric::{
    ACCURACY, AVERAGE_INCREMENTAL_ACCURACY, BACKWARD_TRANSFER, COSTS, FORGETTING,
    FORGETTING_RELEASED, IMAGE_ACCURACY, LEARNING_ACCURACY, METRICS, MetricSpec, of_quantity,
};
use crate::report::names;
use crate::report::summary::{Report, ReportStage};
use crate::stream::Scenario;

/// All tables of a report that have a row.
pub(super) fn tables(report: &Report) -> Vec<Grid> {
    let mut all: Vec<Grid> = Vec::new();
    let stages = || report.stages.iter();
    all.extend(explained(
        report,
        stages()
            .map(|stage| results(report, stage, METRICS))
            .collect(),
    ));
    all.extend(stages().map(|stage| cost(report, stage)));
    if let Some(last) = all.last_mut() {
        last.notes.push(
            "means over the runs; MB are 10⁶ bytes; the peak is the process's, with all runs that it executed side by \
             side or before"
                .to_string(),
        );
    }
    all.extend(against(report));
    all.extend(missing(report));
    all.retain(|grid| !grid.rows.is_empty());
    all
}

/// The results alone, with the time of a run: what is printed after runs.
pub(in crate::report) fn summary(report: &Report) -> Vec<Grid> {
    let with_time = |stage: &ReportStage| {
        let mut grid = results(report, stage, &[&ACCURACY, &FORGETTING, &LEARNING_ACCURACY]);
        grid.header.push("s/run".to_string());
        let rows = grid.rows.iter_mut().zip(members(report, stage));
        for (row, (_, group)) in rows {
            if let Row::Cells(cells) = row {
                cells.push(format!("{:.1}", group.wall_s.mean));
            }
        }
        grid
    };
    explained(report, report.stages.iter().map(with_time).collect())
}

/// The last of several tables of results says what their columns are.
fn explained(report: &Report, mut grids: Vec<Grid>) -> Vec<Grid> {
    if let Some(last) = grids.last_mut() {
        let shown = |heading: &str| last.header.iter().any(|own| own == heading);
        let mut note = String::from(
            "mean ± population std over n seeds; forgetting is a fraction: highest earlier accuracy minus final",
        );
        if shown(FORGETTING_RELEASED.heading) {
            note.push_str(
                "; released: the final one counts among the earlier, as in the released code and the published tables",
            );
        }
        if shown(BACKWARD_TRANSFER.heading) {
            note.push_str("; BWT is backward transfer in points");
        }
        last.notes.push(note);
        let levels: BTreeSet<&str> = report
            .groups
            .iter()
            .flat_map(|group| group.kernels.iter().map(String::as_str))
            .collect();
        if !levels.is_empty() {
            let levels = levels.into_iter().collect::<Vec<_>>().join(", ");
            last.notes.push(format!(
                "computed by kernels of the level {levels}: figures of another level differ as those of another seed do"
            ));
        }
    }
    grids
}

/// The groups of a stage with their numbers in the report.
fn members<'a>(
    report: &'a Report,
    stage: &'a ReportStage,
) -> impl Iterator<Item = (usize, &'a Group)> {
    let members = stage.stage.members.iter();
    members.filter_map(|i| Some((*i, report.groups.get(*i)?)))
}

/// What a row is: method and optimizer with the numbers of their remarks, then the settings that differ.
fn keys(report: &Report, stage: &ReportStage) -> (Vec<String>, Vec<Vec<String>>) {
    let mut header = cells(&["method", "optimizer"]);
    header.extend(stage.settings.iter().map(|column| column.key.to_string()));
    let (_, numbers) = report.footnotes();
    let shared = shared_marks(report, stage);
    let rows = members(report, stage).enumerate().map(|(nth, (i, group))| {
        let own = numbers.get(i).into_iter().flatten();
        let own: Vec<String> = own
            .filter(|number| !shared.contains(number))
            .map(|number| format!(" [{number}]"))
            .collect();
        let mut row = vec![
            group.config.method.name.to_string(),
            format!("{}{}", group.config.optimizer.name, own.concat()),
        ];
        row.extend(stage.settings.iter().map(|column| column.text(nth)));
        row
    });
    (header, rows.collect())
}

/// Numbers of the remarks that are true of every group of a stage.
fn shared_marks(report: &Report, stage: &ReportStage) -> Vec<usize> {
    let (_, numbers) = report.footnotes();
    let mut of = members(report, stage).filter_map(|(i, _)| numbers.get(i));
    let first = of.next().cloned().unwrap_or_default();
    of.fold(first, |shared, own| {
        shared
            .into_iter()
            .filter(|number| own.contains(number))
            .collect()
    })
}

/// Remarks, and what all groups of a stage share beyond the plain form of their method.
fn remarks(report: &Report, stage: &ReportStage) -> Vec<String> {
    let (footnotes, numbers) = report.footnotes();
    let shared = shared_marks(report, stage);
    let mut used: Vec<usize> = members(report, stage)
        .filter_map(|(i, _)| numbers.get(i))
        .flatten()
        .copied()
        .collect();
    used.sort_unstable();
    used.dedup();
    let mut notes: Vec<String> = Vec::new();
    let mut common: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (_, group) in members(report, stage) {
        for (key, value) in names::variant(&group.config) {
            let shown = stage.settings.iter().any(|column| column.key == key);
            let methods = common
                .entry(format!("{key} {}", value.short()))
                .or_default();
            if !shown && !methods.contains(&group.config.method.name) {
                methods.push(group.config.method.name);
            }
        }
    }
    common.retain(|_, methods| !methods.is_empty());
    let common: Vec<String> = common
        .into_iter()
        .map(|(setting, methods)| format!("{setting} ({})", methods.join(", ")))
        .collect();
    if !common.is_empty() {
        notes.push(format!("with {}", common.join(", ")));
    }
    for number in used {
        let Some(note) = number.checked_sub(1).and_then(|i| footnotes.get(i)) else {
            continue;
        };
        if !shared.contains(&number) {
            notes.push(format!("[{number}] {note}"));
        } else if !stage.stage.title.contains(note.as_str()) {
            notes.push(note.clone());
        }
    }
    notes
}

fn results(report: &Report, stage: &ReportStage, metrics: &[&'static MetricSpec]) -> Grid {
    let text =
        |metric: &MetricSpec, group: &Group| pair(metric.spread(group), group.n, metric.digits);
    // Both kinds of forgetting are mostly the same; twice the same column says nothing.
    let twice = members(report, stage)
        .all(|(_, group)| text(&FORGETTING, group) == text(&FORGETTING_RELEASED, group));
    // So is accuracy over images where tasks have as many, and the incremental one is of interest without task identity only.
    // Equal in exact arithmetic means equal here but for the last bits, which can round either way.
    let by_images = members(report, stage).all(|(_, group)| {
        let [tasks, images] = [&ACCURACY, &IMAGE_ACCURACY].map(|metric| metric.spread(group));
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        tasks
            .zip(images)
            .map_or(tasks.is_none() == images.is_none(), |(a, b)| {
                near(a.mean, b.mean) && near(a.std, b.std)
            })
    });
    let classes = members(report, stage).any(|(_, group)| group.config.scenario == Scenario::Class);
    let metrics: Vec<&MetricSpec> = metrics
        .iter()
        .copied()
        .filter(|metric| !twice || *metric != &FORGETTING_RELEASED)
        .filter(|metric| !by_images || *metric != &IMAGE_ACCURACY)
        .filter(|metric| classes || *metric != &AVERAGE_INCREMENTAL_ACCURACY)
        .collect();
    let (mut header, keys) = keys(report, stage);
    let key_columns = header.len();
    header.push("n".to_string());
    header.extend(metrics.iter().map(|metric| metric.heading.to_string()));
    let rows = keys.into_iter().zip(members(report, stage));
    let rows = rows.map(|(mut row, (_, group))| {
        row.push(group.n.to_string());
        row.extend(metrics.iter().map(|metric| text(metric, group)));
        Row::Cells(row)
    });
    Grid {
        title: format!("Results: {}", stage.stage.title),
        keys: key_columns,
        words: 2,
        header,
        rows: rows.collect(),
        notes: remarks(report, stage),
    }
    .without_empty_columns()
}

fn cost(report: &Report, stage: &ReportStage) -> Grid {
    let shown = || COSTS.iter().filter(|cost| !cost.heading.is_empty());
    let (mut header, keys) = keys(report, stage);
    let key_columns = header.len();
    header.push("s".to_string());
    header.extend(shown().map(|cost| cost.heading.to_string()));
    let rows = keys.into_iter().zip(members(report, stage));
    let rows = rows.map(|(mut row, (_, group))| {
        row.push(pair(Some(group.wall_s), group.n, 1));
        row.extend(shown().map(|cost| cost.text(group)));
        Row::Cells(row)
    });
    Grid {
        title: format!("Cost of a run: {}", stage.stage.title),
        keys: key_columns,
        words: 2,
        header,
        rows: rows.collect(),
        notes: Vec::new(),
    }
    .without_empty_columns()
}

/// Our groups beside the published rows, a table a benchmark.
pub(super) fn against(report: &Report) -> Vec<Grid> {
    let mut datasets: Vec<&str> = Vec::new();
    for comparison in &report.comparisons {
        if !datasets.contains(&comparison.row.dataset.as_str()) {
            datasets.push(&comparison.row.dataset);
        }
    }
    let margin = report.margin;
    let tables = datasets.into_iter().map(|dataset| {
        let mut notes: Vec<String> = Vec::new();
        let of_dataset = report.comparisons.iter().filter(|c| c.row.dataset == dataset);
        let neighbour = of_dataset.clone().any(|c| c.row.is_of_a_neighbour());
        let whose = if neighbour { "another program's" } else { "the authors'" };
        let rows: Vec<Row> = of_dataset.flat_map(|c| compared(c, &mut notes)).collect();
        let mut all = vec![format!(
            "difference: ours minus published, with its 95% Welch interval; equivalent: surely (5%) within ±{margin} \
             points (forgetting: ±{}), by two one-sided Welch tests; different: surely not 0; inconclusive: neither, with \
             the seeds of ours in all that would settle it four times in five were the difference as it looks; no test: \
             fewer than two runs, or no published spread",
            margin / 100.0
        )];
        all.extend(notes);
        Grid {
            title: format!("Against {whose} figures: {dataset}"),
            keys: 1,
            words: 1,
            header: cells(&["", "ours", "published", "difference", "95% interval", "verdict"]),
            rows,
            notes: all,
        }
    });
    tables.collect()
}

/// A heading with the published row's name and a row a quantity.
fn compared(comparison: &Comparison, footnotes: &mut Vec<String>) -> Vec<Row> {
    let mut marks = String::new();
    let source = std::iter::once(format!("from {}", comparison.source));
    for note in source.chain(comparison.notes.iter().cloned()) {
        let known = footnotes
            .iter()
            .position(|known| known.ends_with(&format!("] {note}")));
        let number = known.unwrap_or_else(|| {
            footnotes.push(format!("[{}] {note}", footnotes.len() + 1));
            footnotes.len() - 1
        });
        marks = format!("{marks} [{}]", number + 1);
    }
    let ns = comparison.quantities.first();
    let ns = ns.map_or(String::new(), |q| {
        format!(" (n {}, published {})", q.n, q.published_n)
    });
    let mut rows = vec![Row::Heading(format!("{}{ns}{marks}", comparison.row.label))];
    rows.extend(comparison.quantities.iter().map(|q| {
        let metric = of_quantity(q.quantity);
        let digits = metric.digits;
        Row::Cells(vec![
            metric.heading.to_string(),
            pair(Some(q.ours), q.n, digits),
            q.published_text(digits),
            format!("{:+.digits$}", q.difference),
            interval(q.interval, digits),
            q.verdict_text(),
        ])
    }));
    rows
}

/// Everything without a usable result.
pub(super) fn missing(report: &Report) -> Vec<Grid> {
    let path = |path: &std::path::Path| path.display().to_string();
    let unfinished = report.unfinished.iter().flat_map(|run| {
        let tasks = run
            .config
            .as_ref()
            .map_or("?".to_string(), |c| c.learned_tasks().to_string());
        let last = run.last_event.clone();
        [
            Row::Heading(path(&run.folder)),
            Row::Cells(vec![
                names::run(run.config.as_ref()),
                last.unwrap_or_else(|| "no event".to_string()),
                run.last_time.clone().unwrap_or_else(|| "–".to_string()),
                format!("{} of {tasks}", run.tasks_done),
            ]),
        ]
    });
    let damaged = report
        .damaged
        .iter()
        .map(|damaged| Row::Cells(vec![path(&damaged.path), damaged.reason.clone()]));
    let duplicates = report.duplicates.iter().map(|duplicate| {
        let same = if duplicate.identical {
            "same accuracies"
        } else {
            "OTHER ACCURACIES: another build or processor"
        };
        Row::Cells(vec![
            path(&duplicate.folder),
            path(&duplicate.first),
            same.to_string(),
        ])
    });
    let grid = |title: &str, header: &[&str], rows: Vec<Row>| Grid {
        title: title.to_string(),
        keys: header.len(),
        words: header.len(),
        header: cells(header),
        rows,
        notes: Vec::new(),
    };
    vec![
        grid(
            "Runs without a result (failed, interrupted or still running)",
            &["run", "last event", "at", "tasks done"],
            unfinished.collect(),
        ),
        grid(
            "Files that cannot be used",
            &["file", "why"],
            damaged.collect(),
        ),
        grid(
            "Runs that are there twice (only the first counts)",
            &["folder", "counted", "compared"],
            duplicates.collect(),
        ),
    ]
}
