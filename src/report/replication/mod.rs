//! The page of all published figures with ours (`docs/replication.md`).
//!
//! Owns what stands on it: every row of the paper, of its authors' logs and of the neighbouring programs with the runs whose
//! settings are those in force behind it, whatever their seeds, the comparison of each figure, the command that repeats
//! the row (`commands`), and what could not be run. The page depends on collected results alone ([`Record`]), so a test
//! makes `docs/replication.md` anew from `docs/replication/results.jsonl` and compares.

mod commands;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use super::against::{QuantityComparison, Verdict, compare_quantity};
use super::collected::{CollectedError, Record, merge};
use super::command::seed_list;
use super::format::{FormatError, FormatSpec};
use super::metric::of_quantity;
use super::summary::Report;
use crate::experiment::paper::published::{self, Quantity, Row, Values};
use commands::Commands;

/// `replication`.
pub static REPLICATION: FormatSpec = FormatSpec {
    name: "replication",
    description: "Every published figure with ours, as Markdown",
    whole: false,
    reads_collected: true,
    ending: "md",
    write: |report, _| {
        let records = records(report).map_err(|e| FormatError(e.to_string()))?;
        let page = Page::new(&records, report.margin)?;
        Ok(page.markdown())
    },
};

/// Benchmarks that could not be run with the data at hand, and why. The page names one as long as it has no result.
static OUT_OF_REACH: &[(&str, &str)] = &[
    (
        "split-cub",
        "its runs start from torchvision's ResNet-18 weights of ImageNet, and neither that file nor the photographs of \
         CUB-200-2011 were at hand; with both, `--init FILE` and `--data DIR` are all that the commands need",
    ),
    (
        "5-dataset",
        "one of its five data sets is SVHN, whose files were not at hand; runs with a stand-in in its place are marked as \
         such in their results (`provenance.data_note`) and are not compared",
    ),
];

/// All results of a report, those of run folders and those of files, each run once.
fn records(report: &Report) -> Result<Vec<Record>, CollectedError> {
    if let Some(twice) = report.duplicates.iter().find(|twice| !twice.identical) {
        return Err(CollectedError::differing_folders(twice));
    }
    let mut records = report.collected.clone();
    merge(&mut records, report.runs.iter().filter_map(Record::of))?;
    Ok(records)
}

/// One published figure.
struct Figure {
    quantity: Quantity,
    published: Values,
    /// With ours; `None` where it was not run.
    compared: Option<QuantityComparison>,
}

/// One row of the paper or of another program.
struct Line {
    row: &'static Row,
    /// Its label, with what tells it from others of the same label.
    title: String,
    /// What runs it.
    command: String,
    seeds: String,
    kernels: String,
    figures: Vec<Figure>,
}

impl Line {
    fn is_run(&self) -> bool {
        self.figures.iter().any(|figure| figure.compared.is_some())
    }
}

/// The rows of one data set of the paper, or of one experiment of another program.
struct Section {
    title: String,
    benchmark: &'static str,
    lines: Vec<Line>,
}

/// Figures by what became of them.
#[derive(Clone, Copy, Default)]
struct Counts {
    all: usize,
    equivalent: usize,
    different: usize,
    inconclusive: usize,
    no_test: usize,
    not_run: usize,
}

impl Counts {
    fn of<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Self {
        let mut counts = Self::default();
        for figure in lines.into_iter().flat_map(|line| &line.figures) {
            counts.all += 1;
            *match figure.compared.as_ref().map(|found| found.verdict) {
                Some(Verdict::Equivalent) => &mut counts.equivalent,
                Some(Verdict::Different) => &mut counts.different,
                Some(Verdict::Inconclusive) => &mut counts.inconclusive,
                Some(Verdict::NoTest) => &mut counts.no_test,
                None => &mut counts.not_run,
            } += 1;
        }
        counts
    }
}

/// Everything on the page.
struct Page {
    margin: f64,
    runs: usize,
    paper: Vec<Section>,
    neighbours: Vec<Section>,
}

impl Page {
    fn new(records: &[Record], margin: f64) -> Result<Self, FormatError> {
        let mut of_row: BTreeMap<*const Row, Vec<&Record>> = BTreeMap::new();
        for record in records {
            for row in record.rows() {
                of_row.entry(&raw const *row).or_default().push(record);
            }
        }
        let commands = Commands::new();
        let sections = |rows: Vec<&'static Row>| -> Result<Vec<Section>, FormatError> {
            let mut sections: Vec<Section> = Vec::new();
            for (row, title) in rows.iter().zip(titles(&rows)) {
                let found = of_row
                    .get(&(&raw const **row))
                    .map_or(&[][..], Vec::as_slice);
                let line = line(row, title, found, &commands, margin)?;
                match sections.iter_mut().find(|s| s.title == row.dataset) {
                    Some(section) => section.lines.push(line),
                    None => sections.push(Section {
                        title: row.dataset.clone(),
                        benchmark: row.benchmark().map_or("", |spec| spec.name),
                        lines: vec![line],
                    }),
                }
            }
            Ok(sections)
        };
        Ok(Self {
            margin,
            runs: records.len(),
            paper: sections(published::rows().collect())?,
            neighbours: sections(published::neighbours().collect())?,
        })
    }
}

fn line(
    row: &'static Row,
    title: String,
    records: &[&Record],
    commands: &Commands,
    margin: f64,
) -> Result<Line, FormatError> {
    let images: BTreeSet<&str> = records.iter().map(|r| r.data_sha256.as_str()).collect();
    if images.len() > 1 {
        let images: Vec<&str> = images.into_iter().collect();
        return Err(FormatError(format!(
            "{} {}: results on images with the checksums {} are not mixed; leave out those that do not count",
            row.dataset,
            row.label,
            images.join(" and ")
        )));
    }
    let figures = Quantity::ALL.into_iter().filter_map(|quantity| {
        let published = row.values(quantity)?;
        let metric = of_quantity(quantity);
        let ours: Option<Vec<f64>> = records.iter().map(|r| (metric.of)(&r.metrics)).collect();
        let compared = ours.and_then(|ours| compare_quantity(quantity, &ours, &published, margin));
        Some(Figure {
            quantity,
            published,
            compared,
        })
    });
    let mut seeds: Vec<u64> = records.iter().map(|record| record.config.seed).collect();
    seeds.sort_unstable();
    let kernels: BTreeSet<&str> = records.iter().map(|r| r.kernels.as_str()).collect();
    Ok(Line {
        row,
        title,
        command: commands.of(row, &seeds),
        seeds: seed_list(&seeds),
        kernels: kernels.into_iter().collect::<Vec<_>>().join(" and "),
        figures: figures.collect(),
    })
}

/// What the rows of a data set are called: by their labels, the epochs where they are not one, and, for those that still
/// share a name, the settings in which they differ, or else their sources.
fn titles(rows: &[&'static Row]) -> Vec<String> {
    let plain = |row: &Row| match row.setting("epochs") {
        None | Some("1") => row.label.clone(),
        Some(epochs) => format!("{}, {epochs} epochs", row.label),
    };
    let same = |a: &Row, b: &Row| a.dataset == b.dataset && plain(a) == plain(b);
    let title = |row: &&'static Row| {
        let namesakes: Vec<&&Row> = rows.iter().filter(|other| same(row, other)).collect();
        let own = row.settings().filter(|(key, value)| {
            let differs = |other: &&&Row| other.setting(key) != Some(value);
            namesakes.iter().any(differs)
        });
        let own: Vec<String> = own.map(|(key, value)| format!("{key} {value}")).collect();
        match (namesakes.len(), own.is_empty()) {
            (1, _) => plain(row),
            (_, false) => format!("{}, {}", plain(row), own.join(", ")),
            (_, true) => format!("{}, {}", plain(row), row.source()),
        }
    };
    rows.iter().map(title).collect()
}

#[cfg(test)]
mod tests;
