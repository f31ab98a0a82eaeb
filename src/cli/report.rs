//! `tagcl report`: tables of result folders.

use std::path::PathBuf;

use super::CliError;
use super::args::{FilterArgs, ReportArgs};
use super::printer::Printer;
use crate::report::FORMATS;
use crate::report::filter::Filter;
use crate::report::format::Page;
use crate::report::load::{Loaded, load};
use crate::report::summary::Report;

impl From<crate::report::load::LoadError> for CliError {
    fn from(error: crate::report::load::LoadError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::report::collected::CollectedError> for CliError {
    fn from(error: crate::report::collected::CollectedError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The conditions that were typed.
pub(super) fn filter(args: &FilterArgs) -> Result<Filter, CliError> {
    let mut filter = Filter::default();
    let named = [
        ("benchmark", &args.benchmark),
        ("method", &args.method),
        ("optimizer", &args.optimizer),
    ];
    for (key, values) in named {
        if let Some(values) = values {
            filter.require(key, values)?;
        }
    }
    for condition in &args.conditions {
        filter.require_text(condition)?;
    }
    Ok(filter)
}

/// The runs below folders that satisfy a filter; an error where nothing at all is found.
pub(super) fn load_all(folders: &[PathBuf], filter: &Filter) -> Result<Loaded, CliError> {
    let mut loaded = Loaded::default();
    for folder in folders {
        loaded.extend(load(folder)?);
    }
    let mut benchmarks: Vec<String> = loaded
        .configs()
        .map(|c| c.benchmark.name().to_string())
        .collect();
    benchmarks.sort_unstable();
    benchmarks.dedup();
    loaded.keep(|config| filter.accepts(config));
    if loaded.is_empty() {
        let names: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let found = if benchmarks.is_empty() {
            "a run folder has config.toml or result.json".to_string()
        } else {
            format!("those there are on {}", benchmarks.join(", "))
        };
        return Err(CliError::Failed(format!(
            "no run folders in {} (with these filters); {found}",
            names.join(", ")
        )));
    }
    Ok(loaded)
}

/// Says which files cannot be read, for commands whose output has no place for it.
pub(super) fn name_damaged(loaded: &Loaded, printer: &Printer) {
    for damaged in &loaded.damaged {
        let path = damaged.path.display();
        printer.note(&format!("left out: {path}: {}", damaged.reason));
    }
}

pub(super) fn report(args: &ReportArgs, printer: &Printer) -> Result<(), CliError> {
    let margin = args.margin;
    if !(margin > 0.0 && margin.is_finite()) {
        return Err(CliError::Usage(format!(
            "--margin {margin} is out of range: it must be a number of points above 0"
        )));
    }
    let filter = filter(&args.filter)?;
    let (files, folders): (Vec<PathBuf>, Vec<PathBuf>) = args
        .folders
        .iter()
        .cloned()
        .partition(|path| path.is_file());
    let mut collected = Vec::new();
    for file in &files {
        crate::report::collected::merge(&mut collected, crate::report::collected::read(file)?)?;
    }
    collected.retain(|record| filter.accepts(&record.config));
    let loaded = if folders.is_empty() {
        Loaded::default()
    } else {
        load_all(&folders, &filter)?
    };
    let only_damaged = loaded.runs.is_empty() && !loaded.damaged.is_empty();
    let mut report = Report::new(loaded, margin);
    report.collected = collected;
    let sources = args
        .folders
        .iter()
        .map(|folder| folder.display().to_string());
    report.source = sources.collect::<Vec<_>>().join(", ");
    let name = match (&args.html, args.json) {
        (Some(_), _) => "html",
        (None, true) => "json",
        (None, false) => &args.format,
    };
    let Some(format) = FORMATS.iter().find(|format| format.name == name) else {
        return Err(CliError::Usage(format!("unknown format `{name}`")));
    };
    if let Some(file) = files.first().filter(|_| !format.reads_collected) {
        let can = FORMATS.iter().filter(|format| format.reads_collected);
        let can: Vec<&str> = can.map(|format| format.name).collect();
        return Err(CliError::Usage(format!(
            "{} is a file, which only --format {} reads, if `tagcl export RUNS --results FILE` wrote it; give folders of run \
             folders for the others",
            file.display(),
            can.join(" or ")
        )));
    }
    let file = args.html.as_ref().or(args.output.as_ref());
    let page = match (args.width, file) {
        (Some(width), _) => Page {
            width: width.into(),
        },
        (None, None) => printer.page(),
        (None, Some(_)) => Page::default(),
    };
    let text = (format.write)(&report, &page).map_err(|e| CliError::Failed(e.to_string()))?;
    match file {
        None => printer.data(&text),
        Some(path) => {
            crate::files::write(path, text.as_bytes())?;
            printer.note(&format!("written: {}", path.display()));
        }
    }
    if only_damaged {
        return Err(CliError::Failed(
            "there is no result that can be read: the report names what is damaged".to_string(),
        ));
    }
    Ok(())
}
