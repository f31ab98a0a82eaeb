//! The tables that the text and Markdown formats have in common, as cells of text.

use std::fmt::Write as _;

use crate::experiment::paper::published::Quantity;
use crate::experiment::plan::config::RunConfig;
use crate::report::against::QuantityComparison;
use crate::report::group::Spread;
use crate::report::names;
use crate::report::summary::Report;
use crate::settings::Named as _;

/// A table with a title above and notes below it.
pub(super) struct Grid {
    pub(super) title: String,
    /// Columns from the left that are words; the rest are numbers.
    pub(super) words: usize,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) notes: Vec<String>,
}

/// `62.79 ± 0.29`, or the value alone where a deviation would mean nothing.
pub(in crate::report) fn pair(spread: Option<Spread>, n: usize, digits: usize) -> String {
    match spread {
        None => "–".to_string(),
        Some(spread) if n < 2 => format!("{:.digits$}", spread.mean),
        Some(spread) => format!("{:.digits$} ± {:.digits$}", spread.mean, spread.std),
    }
}

/// Bytes in decimal megabytes.
pub(super) fn megabytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// Decimals of a quantity in its own unit.
pub(super) fn digits(quantity: Quantity) -> usize {
    match quantity {
        Quantity::Forgetting => 3,
        Quantity::Accuracy | Quantity::LearningAccuracy => 2,
    }
}

/// What a quantity is called.
pub(super) fn quantity_name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Accuracy => "accuracy %",
        Quantity::Forgetting => "forgetting (released)",
        Quantity::LearningAccuracy => "learning acc. %",
    }
}

pub(super) fn published(quantity: &QuantityComparison) -> String {
    let digits = digits(quantity.quantity);
    match quantity.published_std {
        Some(std) => format!("{:.digits$} ± {std:.digits$}", quantity.published_mean),
        None => format!("{:.digits$}", quantity.published_mean),
    }
}

pub(super) fn interval(quantity: &QuantityComparison) -> String {
    let digits = digits(quantity.quantity);
    match quantity.interval {
        Some((low, high)) => format!("[{low:+.digits$}, {high:+.digits$}]"),
        None => "–".to_string(),
    }
}

/// All tables of a report that have a row.
pub(super) fn grids(report: &Report) -> Vec<Grid> {
    let all = [
        results(report),
        cost(report),
        against(report),
        unfinished(report),
        damaged(report),
        duplicates(report),
    ];
    all.into_iter()
        .filter(|grid| !grid.rows.is_empty())
        .collect()
}

/// The names of a group, with the numbers of its footnotes.
fn names_of(report: &Report, config: &RunConfig, notes: &[usize]) -> [String; 3] {
    let elsewhere: Vec<&str> = report.settings.iter().map(|c| c.key.as_str()).collect();
    let mut benchmark = config.benchmark.name().to_string();
    for note in notes {
        let _ = write!(benchmark, " [{note}]");
    }
    [
        benchmark,
        names::method(config, &elsewhere),
        names::optimizer(config, &elsewhere),
    ]
}

fn header(names: &[&str], settings: impl Iterator<Item = String>, figures: &[&str]) -> Vec<String> {
    let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut header = text(names);
    header.extend(settings);
    header.extend(text(figures));
    header
}

fn results(report: &Report) -> Grid {
    let (footnotes, numbers) = report.footnotes();
    let settings = || report.settings.iter();
    let rows = report.groups.iter().zip(&numbers).enumerate();
    let rows = rows.map(|(i, (group, notes))| {
        let mut row = names_of(report, &group.config, notes).to_vec();
        row.extend(settings().map(|column| {
            let value = column.values.get(i).cloned().flatten();
            value.unwrap_or_else(|| "–".to_string())
        }));
        let n = group.n;
        row.extend([
            n.to_string(),
            pair(Some(group.average_accuracy), n, 2),
            pair(group.forgetting, n, 3),
            pair(group.forgetting_released, n, 3),
            pair(group.learning_accuracy, n, 2),
            pair(group.backward_transfer, n, 2),
        ]);
        row
    });
    let mut notes = vec![
        "mean ± population std over n seeds; forgetting is a fraction: highest earlier accuracy minus final; \
         \"released\" counts the final one among the earlier, as the released code and the published tables do; \
         BWT is backward transfer in points"
            .to_string(),
    ];
    notes.extend(
        footnotes
            .iter()
            .enumerate()
            .map(|(i, note)| format!("[{}] {note}", i + 1)),
    );
    Grid {
        title: "Results".to_string(),
        words: 3,
        header: header(
            &["benchmark", "method", "optimizer"],
            settings().map(|column| column.key.clone()),
            &[
                "n",
                "accuracy %",
                "forgetting",
                "forg. released",
                "learning acc. %",
                "BWT",
            ],
        ),
        rows: rows.collect(),
        notes,
    }
}

fn cost(report: &Report) -> Grid {
    let (_, numbers) = report.footnotes();
    let differs = |i: usize| {
        report.settings.iter().map(move |column| {
            let value = column.values.get(i).cloned().flatten();
            value.unwrap_or_else(|| "–".to_string())
        })
    };
    let rows = report.groups.iter().zip(&numbers).enumerate();
    let rows = rows.map(|(i, (group, notes))| {
        let cost = &group.cost;
        let mut row = names_of(report, &group.config, notes).to_vec();
        row.extend(differs(i));
        row.extend([
            pair(Some(group.wall_s), group.n, 1),
            format!("{:.1}", cost.train_s.mean),
            format!("{:.1}", cost.eval_s.mean),
            format!("{:.2}", 1e3 * cost.train_s.mean / cost.steps.max(1.0)),
            format!("{:.0}", cost.samples),
            format!("{:.0}", cost.replayed_samples),
            megabytes(cost.optimizer_state_bytes),
            megabytes(cost.replay_bytes),
            cost.peak_rss_bytes
                .map_or("–".to_string(), |bytes| megabytes(bytes as f64)),
        ]);
        row
    });
    Grid {
        title: "Cost of a run".to_string(),
        words: 3,
        header: header(
            &["benchmark", "method", "optimizer"],
            report.settings.iter().map(|column| column.key.clone()),
            &[
                "s", "training s", "evaluation s", "ms/step", "samples", "replayed", "optimizer MB", "replay MB",
                "peak MB",
            ],
        ),
        rows: rows.collect(),
        notes: vec![
            "means over the runs; MB are 10⁶ bytes; the peak is the process's, with all runs that it executed side by \
             side or before"
                .to_string(),
        ],
    }
}

fn against(report: &Report) -> Grid {
    let mut rows = Vec::new();
    let mut footnotes: Vec<String> = Vec::new();
    for comparison in &report.comparisons {
        let Some(group) = report.groups.get(comparison.group) else {
            continue;
        };
        let mut marks = String::new();
        let places = std::iter::once(format!("from {}", comparison.source));
        for note in places.chain(comparison.notes.iter().cloned()) {
            let at = footnotes.iter().position(|known| *known == note);
            let at = at.unwrap_or_else(|| {
                footnotes.push(note);
                footnotes.len() - 1
            });
            let _ = write!(marks, " [{}]", at + 1);
        }
        for quantity in &comparison.quantities {
            let digits = digits(quantity.quantity);
            rows.push(vec![
                comparison.row.dataset.clone(),
                format!("{}{marks}", comparison.row.label),
                quantity_name(quantity.quantity).to_string(),
                quantity.verdict.name().to_string(),
                pair(Some(quantity.ours), group.n, digits),
                quantity.n.to_string(),
                published(quantity),
                quantity.published_n.to_string(),
                format!("{:+.digits$}", quantity.difference),
                interval(quantity),
            ]);
        }
    }
    let margin = report.margin;
    let mut notes = vec![format!(
        "difference: ours minus published, with its 95% Welch interval; equivalent: surely (5%) within ±{margin} points \
         (forgetting: ±{}), by two one-sided Welch tests; different: surely not 0; no test: fewer than two runs, or no \
         published spread",
        margin / 100.0
    )];
    notes.extend(
        footnotes
            .iter()
            .enumerate()
            .map(|(i, note)| format!("[{}] {note}", i + 1)),
    );
    Grid {
        title: "Against the authors' figures".to_string(),
        words: 4,
        header: header(
            &["benchmark", "published row", "quantity", "verdict"],
            std::iter::empty(),
            &["ours", "n", "published", "n", "difference", "95% interval"],
        ),
        rows,
        notes,
    }
}

/// Names of a configuration in one cell.
pub(super) fn brief(config: Option<&RunConfig>) -> String {
    config.map_or("configuration unreadable".to_string(), |config| {
        format!(
            "{} {} {} lr {} seed {}",
            config.benchmark.name(),
            config.method.name(),
            config.optimizer.name(),
            config.lr,
            config.seed
        )
    })
}

fn unfinished(report: &Report) -> Grid {
    let rows = report.unfinished.iter().map(|run| {
        let tasks = run
            .config
            .as_ref()
            .map_or("?".to_string(), |c| c.tasks.to_string());
        vec![
            run.folder.display().to_string(),
            brief(run.config.as_ref()),
            run.last_event
                .clone()
                .unwrap_or_else(|| "no event".to_string()),
            run.last_time.clone().unwrap_or_else(|| "–".to_string()),
            format!("{} of {tasks}", run.tasks_done),
        ]
    });
    Grid {
        title: "Runs without a result (failed, interrupted or still running)".to_string(),
        words: 4,
        header: header(
            &["folder", "run", "last event", "at"],
            std::iter::empty(),
            &["tasks done"],
        ),
        rows: rows.collect(),
        notes: Vec::new(),
    }
}

fn damaged(report: &Report) -> Grid {
    let rows = report.damaged.iter();
    Grid {
        title: "Files that cannot be used".to_string(),
        words: 2,
        header: header(&["file", "why"], std::iter::empty(), &[]),
        rows: rows
            .map(|damaged| vec![damaged.path.display().to_string(), damaged.reason.clone()])
            .collect(),
        notes: Vec::new(),
    }
}

fn duplicates(report: &Report) -> Grid {
    let rows = report.duplicates.iter().map(|duplicate| {
        let same = if duplicate.identical {
            "same accuracies"
        } else {
            "OTHER ACCURACIES: another build or processor"
        };
        vec![
            duplicate.folder.display().to_string(),
            duplicate.first.display().to_string(),
            same.to_string(),
        ]
    });
    Grid {
        title: "Runs that are there twice (only the first counts)".to_string(),
        words: 3,
        header: header(&["folder", "counted", "compared"], std::iter::empty(), &[]),
        rows: rows.collect(),
        notes: Vec::new(),
    }
}
