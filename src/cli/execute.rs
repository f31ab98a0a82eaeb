//! Executing a list of runs for a person: data, pool, progress, interruption, summary.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::CliError;
use super::beforehand::{jobs, too_large};
use super::data_progress::{DataProgress, cache_folder};
use super::printer::Printer;
use super::progress::Progress;
use super::signals::interruption;
use crate::data::{self, DataError};
use crate::experiment::benchmark::sources::load_images;
use crate::experiment::engine::pool::Pool;
use crate::experiment::plan::config::{DataChoice, InitHead, RunConfig};
use crate::experiment::plan::settings::{DATA_FOLDER, PlannedRun};
use crate::experiment::run::execution::Status;
use crate::experiment::run::result::RunResult;
use crate::experiment::run::runner::{SharedData, check_initial_weights};
use crate::experiment::run::store::RunFolder;
use crate::report::{Group, group, text_table};

/// How to execute.
pub(super) struct Execution<'a> {
    pub(super) out: &'a Path,
    pub(super) data: Option<&'a Path>,
    pub(super) init: Option<&'a [u8]>,
    pub(super) jobs: Option<usize>,
    pub(super) threads: usize,
    pub(super) checkpoint_every: Option<Duration>,
    pub(super) json: bool,
}

/// The images of a configuration. Decoded photographs are kept in `TAGCL_CACHE`, or in the data folder.
pub(super) fn load(
    config: &RunConfig,
    folder: Option<&Path>,
    printer: &Printer,
) -> Result<SharedData, CliError> {
    let sources = config.benchmark.sources();
    // The cache of a benchmark of one's own lies beside its file.
    let own = config
        .benchmark
        .custom()
        .and_then(|custom| custom.path.parent());
    let folder = match (config.data, own.or(folder)) {
        (DataChoice::Embedded, _) => Path::new(""),
        (DataChoice::Full, Some(folder)) => folder,
        (DataChoice::Full, None) => Path::new(DATA_FOLDER),
    };
    let cache = cache_folder(folder);
    let watch = DataProgress::new(printer);
    let options = data::LoadOptions {
        cache: Some(&cache),
        watch: &watch,
    };
    let data = load_images(config, folder, options).map_err(|error| match (&error, sources) {
        (DataError::Missing { .. }, [name]) if name.sample.is_some() => CliError::Failed(format!(
            "{error} Or take the sample in the program with --data embedded."
        )),
        _ => error.into(),
    })?;
    if let Some(note) = &data.note {
        printer.note(&format!("data: {note}"));
    }
    Ok(SharedData::new(data))
}

/// Refuses a list of runs of which a data set is not where it is looked for, before the first of them.
pub(super) fn require_data<'a>(
    runs: impl IntoIterator<Item = &'a RunConfig>,
    folder: Option<&Path>,
) -> Result<(), CliError> {
    let folder = folder.unwrap_or(Path::new(DATA_FOLDER));
    let mut seen = BTreeSet::new();
    for config in runs {
        let named = config.data == DataChoice::Full && config.benchmark.custom().is_none();
        for name in config.benchmark.sources().iter().filter(|_| named) {
            if seen.insert(name.to_string()) {
                data::locate(name, folder)?;
            }
        }
    }
    Ok(())
}

/// Executes the runs, prints the summary, and fails if any run did.
pub(super) fn execute(
    runs: &[PlannedRun],
    how: &Execution<'_>,
    printer: &Printer,
) -> Result<Vec<Group>, CliError> {
    let Some(first) = runs.first() else {
        return Ok(Vec::new());
    };
    std::fs::create_dir_all(how.out)
        .map_err(|e| CliError::Failed(format!("cannot create {}: {e}", how.out.display())))?;
    let stop = interruption()?;
    if let Some(bytes) = how.init {
        for line in initial_weights(runs.iter().map(|run| &run.config), bytes)? {
            printer.note(&line);
        }
    } else if first.config.model.fresh_head {
        let model = first.config.model.name;
        printer.note(&format!(
            "{model} starts from random weights; the published figures start from ImageNet's: \
             --init FILE takes torchvision's checkpoint"
        ));
    }
    let data = load(&first.config, how.data, printer)?;
    let jobs = jobs(how.jobs, how.threads);
    if let Some(warning) = too_large(&first.config, 0, jobs.min(runs.len()))? {
        printer.note(&format!("warning: {warning}"));
    }
    let pool = Pool {
        out: how.out,
        data: &data,
        init: how.init,
        jobs,
        threads: how.threads,
        checkpoint_every: how.checkpoint_every,
        stop: &stop,
    };
    let progress = Progress::new(printer, runs.len());
    let statuses = pool.execute(runs, &progress);
    summary(runs, &statuses, how.out, how.json, printer)
}

/// Prints what has become of runs, and fails if any did.
pub(super) fn summary(
    runs: &[PlannedRun],
    statuses: &[Status],
    out: &Path,
    json: bool,
    printer: &Printer,
) -> Result<Vec<Group>, CliError> {
    let results: Vec<RunResult> = statuses
        .iter()
        .filter_map(|status| match status {
            Status::Done(result) | Status::Found(result) => Some((**result).clone()),
            _ => None,
        })
        .collect();
    let groups = group(&results);
    if json {
        printer.data(&format!("{:#}", to_json(runs, statuses, &groups, out)));
    } else if !groups.is_empty() {
        printer.data(&text_table(&results, &printer.page()));
    }
    printer.note(&format!("results: {}", out.display()));
    let failed: Vec<_> = runs
        .iter()
        .zip(statuses)
        .filter_map(|(run, status)| match status {
            Status::Failed(error) => Some((run.config.run_id(), error)),
            _ => None,
        })
        .collect();
    for (id, error) in &failed {
        printer.note(&format!("failed: {id}: {error}"));
    }
    if statuses.iter().any(|s| matches!(s, Status::Interrupted)) {
        return Err(CliError::Interrupted);
    }
    if failed.is_empty() {
        Ok(groups)
    } else {
        Err(CliError::Runs {
            failed: failed.len(),
            all: runs.len(),
        })
    }
}

/// Checks a file of initial weights against every network of these runs, and says what of it is taken: a line a network.
pub(super) fn initial_weights<'a>(
    runs: impl IntoIterator<Item = &'a RunConfig>,
    bytes: &[u8],
) -> Result<Vec<String>, CliError> {
    let (mut seen, mut lines) = (BTreeSet::new(), Vec::new());
    for config in runs {
        let model = config.model.name;
        let (images, strict) = (config.images(), config.init_strict);
        let network = (
            config.hidden,
            config.stream().head_classes(images.0),
            images.1,
        );
        if !seen.insert(format!(
            "{model} {network:?} {:?} {strict}",
            config.init_head
        )) {
            continue;
        }
        let taken = check_initial_weights(config, Some(bytes))
            .map_err(|e| CliError::Failed(format!("--init: {e}")))?;
        let Some(taken) = taken else { continue };
        let head = config.model.head;
        let fate = match config.init_head {
            InitHead::File => format!("its head `{head}` included"),
            InitHead::Fresh => format!("its head `{head}` is made anew for the stream's classes"),
        };
        let mut line = format!(
            "initial weights: {} tensors of {model}, {fate}",
            taken.tensors
        );
        if let Some(source) = &taken.source {
            let _ = write!(line, "; from {source}");
        }
        if !taken.left_over.is_empty() {
            let _ = write!(line, "; {}", taken.left_out());
        }
        lines.push(line);
    }
    Ok(lines)
}

fn to_json(
    runs: &[PlannedRun],
    statuses: &[Status],
    groups: &[Group],
    out: &Path,
) -> serde_json::Value {
    let rows: Vec<_> = runs
        .iter()
        .zip(statuses)
        .map(|(run, status)| {
            let id = run.config.run_id();
            let folder = RunFolder::new(out, &id);
            let (status, result, error) = match status {
                Status::Done(r) => ("done", Some(r), None),
                Status::Found(r) => ("found", Some(r), None),
                Status::Failed(e) => ("failed", None, Some(e.to_string())),
                Status::Interrupted => ("interrupted", None, None),
            };
            json!({
                "run_id": id,
                "seed": run.config.seed,
                "status": status,
                "folder": folder.path(),
                "metrics": result.map(|r| r.metrics),
                "error": error,
            })
        })
        .collect();
    json!({"runs": rows, "summary": groups})
}
