//! `tagcl sweep`: grids, selection on validation images, winners on the test images.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::json;

use super::CliError;
use super::args::SweepArgs;
use super::batch::Place;
use super::beforehand::{DataState, Sizes};
use super::cluster::engine;
use super::execute::{initial_weights, require_data};
use super::printer::Printer;
use super::run::plan_with_init;
use crate::experiment::RunError;
use crate::experiment::plan::config::{DataChoice, RunConfig};
use crate::experiment::plan::settings::Plan;
use crate::experiment::run::store::write_atomically;
use crate::experiment::search::cost::Costs;
use crate::experiment::search::selection::{Final, Found, SearchError, Tried, search, stages};
use crate::experiment::search::sweep::{Sweep, SweepError, words};

impl From<SweepError> for CliError {
    fn from(error: SweepError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<SearchError> for CliError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Sweep(error) => error.into(),
            SearchError::Run(error) => error.into(),
            SearchError::Interrupted => Self::Interrupted,
            SearchError::NotJudged { .. } | SearchError::NothingLeft { .. } => {
                Self::Failed(error.to_string())
            }
        }
    }
}

/// The table of a sweep, in its folder.
const TABLE: &str = "sweep.json";

pub(super) fn sweep(args: &SweepArgs, printer: &Printer) -> Result<(), CliError> {
    let path = &args.file;
    let text = std::fs::read_to_string(path)
        .map_err(|e| CliError::Usage(format!("cannot read {}: {e}", path.display())))?;
    let sweep = Sweep::from_toml(&text, &path.display().to_string())?;
    let mut batch = args.batch.clone();
    batch.out.get_or_insert_with(|| {
        let stem = path
            .file_stem()
            .map_or_else(|| "sweep".into(), PathBuf::from);
        Path::new("runs").join(stem)
    });
    run(&sweep, &batch, &[], printer)
}

/// Runs (or, with `--dry-run`, lists) a sweep; `typed` beats the sweep's own settings.
pub(super) fn run(
    sweep: &Sweep,
    batch: &super::args::BatchArgs,
    typed: &[(&'static str, String)],
    printer: &Printer,
) -> Result<(), CliError> {
    let mut typed = typed.to_vec();
    typed.extend(batch.typed());
    let Some(first) = sweep.candidates.first() else {
        return Err(SweepError::Empty.into());
    };
    let settings = sweep.settings(first, &[], &typed)?;
    let (plan, init) = plan_with_init(settings)?;
    if let Some(bytes) = &init {
        let config = plan
            .runs
            .first()
            .and_then(|run| run.config.init_sha256.clone());
        typed.extend(config.map(|sum| ("init_sha256", sum)));
        let stages = stages(sweep, &typed)?;
        let runs = stages.iter().flat_map(|(_, runs)| runs);
        for line in initial_weights(runs.map(|run| &run.config), bytes)? {
            printer.note(&line);
        }
    }
    if batch.dry_run {
        return dry_run(sweep, &typed, &plan, batch.json, printer);
    }
    let all = stages(sweep, &typed)?;
    let all = all.iter().flat_map(|(_, runs)| runs).map(|run| &run.config);
    require_data(all, plan.data.as_deref())?;
    let place = Place::of(&plan, batch);
    let mut engine = engine(&place, batch, printer)?;
    let table = place.out.join(TABLE);
    let marks = plan
        .runs
        .first()
        .map(|run| marks(&run.config))
        .unwrap_or_default();
    let mut keep = |tried: &[Tried]| write(&table, tried, &[], &marks);
    let found = search(sweep, &typed, engine.as_mut(), &mut keep)?;
    write(&table, &found.tried, &found.final_runs, &marks)?;
    if batch.json {
        printer.data(&format!(
            "{:#}",
            to_json(&found.tried, &found.final_runs, &marks)
        ));
    } else {
        printer.data(&show(&found, &marks));
    }
    printer.note(&format!("table: {}", table.display()));
    let failed = found
        .final_runs
        .iter()
        .filter_map(|f| Some((f, f.failed.as_ref().or(f.missing.as_ref())?)));
    let mut any = 0;
    for (row, reason) in failed {
        any += 1;
        printer.note(&format!("failed: {}: {reason}", words(&row.values)));
    }
    if any > 0 {
        let all = found.final_runs.len();
        return Err(CliError::Runs { failed: any, all });
    }
    Ok(())
}

/// What a reader must know before comparing: a share of the images, a sample.
fn marks(config: &RunConfig) -> Vec<String> {
    let mut marks = Vec::new();
    if config.fraction < 1.0 {
        marks.push(format!(
            "{}% of the training images",
            100.0 * config.fraction
        ));
    }
    if config.test_fraction < 1.0 {
        let share = 100.0 * config.test_fraction;
        marks.push(format!(
            "measured on {share}% of the test (or validation) images"
        ));
    }
    if config.data == DataChoice::Embedded {
        marks.push("the embedded sample, not the whole data set".to_string());
    }
    marks
}

fn to_json(tried: &[Tried], final_runs: &[Final], marks: &[String]) -> serde_json::Value {
    json!({"tried": tried, "final_runs": final_runs, "marks": marks})
}

fn write(
    path: &Path,
    tried: &[Tried],
    final_runs: &[Final],
    marks: &[String],
) -> Result<(), RunError> {
    let mut text = format!("{:#}", to_json(tried, final_runs, marks));
    text.push('\n');
    write_atomically(path, text.as_bytes())
}

/// Whether rows have groups: without `by` all compete in one that has no name.
fn grouped<'a>(mut groups: impl Iterator<Item = &'a str>) -> bool {
    groups.any(|group| !group.is_empty())
}

/// Tables of what was tried and of the winners; no times, so that they are the same wherever the runs were.
fn show(found: &Found, marks: &[String]) -> String {
    let mut text = String::new();
    let figure = |cell: String| Cell::new(cell).set_alignment(CellAlignment::Right);
    let accuracy = |mean: Option<f64>, std: Option<f64>, n: usize, lost: [&Option<String>; 2]| {
        let [failed, missing] = lost.map(Option::is_some);
        match (mean, std) {
            _ if missing => "no result".to_string(),
            _ if failed => "failed".to_string(),
            // One value has no spread.
            (Some(mean), _) if n < 2 => format!("{mean:.2}"),
            (Some(mean), Some(std)) => format!("{mean:.2} ± {std:.2}"),
            _ => "–".to_string(),
        }
    };
    if !found.tried.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let group = grouped(found.tried.iter().map(|row| row.group.as_str()));
        let header = ["round", "images"]
            .into_iter()
            .chain(group.then_some("group"));
        table.set_header(header.chain(["tried", "n", "validation accuracy %", ""]));
        for row in &found.tried {
            let first = [Cell::new(row.round), Cell::new(&row.fraction)].into_iter();
            let first = first.chain(group.then(|| Cell::new(&row.group)));
            table.add_row(first.chain([
                Cell::new(words(&row.values)),
                figure(row.n.to_string()),
                figure(accuracy(
                    row.accuracy,
                    row.std,
                    row.n,
                    [&row.failed, &row.missing],
                )),
                Cell::new(if row.chosen { "chosen" } else { "" }),
            ]));
        }
        let _ = writeln!(text, "{table}\n");
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let group = grouped(found.final_runs.iter().map(|row| row.group.as_str()));
    let header = group.then_some("group").into_iter();
    table.set_header(header.chain(["settings", "n", "test accuracy %", "forgetting"]));
    for row in &found.final_runs {
        let first = group.then(|| Cell::new(&row.group)).into_iter();
        table.add_row(
            first.chain([
                Cell::new(words(&row.values)),
                figure(row.n.to_string()),
                figure(accuracy(
                    row.accuracy,
                    row.std,
                    row.n,
                    [&row.failed, &row.missing],
                )),
                figure(
                    row.forgetting
                        .map_or_else(|| "–".to_string(), |f| format!("{f:.3}")),
                ),
            ]),
        );
    }
    let _ = writeln!(text, "{table}");
    text.push_str(
        "mean ± population std over n seeds; what was chosen was chosen on validation images only\n",
    );
    for mark in marks {
        let _ = writeln!(text, "{mark}");
    }
    text
}

fn dry_run(
    sweep: &Sweep,
    typed: &[(&'static str, String)],
    plan: &Plan,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let found = Sizes::new(plan.data.as_deref(), printer);
    let sizes = |config: &RunConfig| found.of(config);
    let mut costs = Costs::new(&sizes);
    printer.note("measuring a few steps of each kind on this machine ...");
    let (mut text, mut total, mut listed) = (String::new(), 0.0, Vec::new());
    for candidate in &sweep.candidates {
        let _ = writeln!(text, "{} {}", candidate.group, candidate.words());
    }
    for (stage, runs) in stages(sweep, typed)? {
        let mut seconds = 0.0;
        for run in &runs {
            seconds += costs.of(&run.config)?.seconds;
        }
        total += seconds;
        let _ = writeln!(
            text,
            "{stage}: {} runs, about {:.0} s on one core",
            runs.len(),
            seconds.ceil()
        );
        let ids: Vec<String> = runs.iter().map(|run| run.config.run_id()).collect();
        listed.push(json!({"stage": stage, "runs": ids, "seconds": seconds}));
    }
    let _ = writeln!(
        text,
        "{} candidates, about {:.1} hours on one core of this machine; which go on is known only then",
        sweep.candidates.len(),
        total / 3600.0
    );
    let first = plan.runs.first();
    let data = first.map(|run| DataState::of(&run.config, plan.data.as_deref()));
    if let Some(data) = &data {
        let _ = writeln!(text, "{data}");
    }
    if json {
        let candidates = sweep
            .candidates
            .iter()
            .map(|c| json!({"group": c.group, "values": c.values}));
        let candidates: Vec<_> = candidates.collect();
        printer.data(&format!(
            "{:#}",
            json!({
                "candidates": candidates,
                "stages": listed,
                "seconds": total,
                "data": data.as_ref().map(DataState::to_json),
            })
        ));
    } else {
        printer.data(&text);
    }
    data.map_or(Ok(()), |data| data.must_be_there())
}
