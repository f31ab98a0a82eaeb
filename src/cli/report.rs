//! `tagcl report`: tables of result folders.

use std::path::{Path, PathBuf};

use super::CliError;
use super::args::{FilterArgs, ReportArgs, ReportFormat};
use super::printer::Printer;
use crate::experiment::run::store::write_atomically;
use crate::report::export::{Csv, Exporter, Json, Latex, Markdown, Text};
use crate::report::filter::Filter;
use crate::report::html::Page;
use crate::report::load::{Loaded, load};
use crate::report::summary::Report;

impl From<crate::report::load::LoadError> for CliError {
    fn from(error: crate::report::load::LoadError) -> Self {
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
    loaded.keep(|config| filter.accepts(config));
    if loaded.is_empty() {
        let names: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        return Err(CliError::Failed(format!(
            "no run folders in {} (with these filters); a run folder has config.toml or result.json",
            names.join(", ")
        )));
    }
    Ok(loaded)
}

pub(super) fn report(args: &ReportArgs, printer: &Printer) -> Result<(), CliError> {
    let margin = args.margin;
    if !(margin > 0.0 && margin.is_finite()) {
        return Err(CliError::Usage(format!(
            "--margin {margin} is out of range: it must be a number of points above 0"
        )));
    }
    let report = Report::new(load_all(&args.folders, &filter(&args.filter)?)?, margin);
    if let Some(path) = &args.html {
        let sources: Vec<String> = args
            .folders
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        let page = Page {
            source: &sources.join(", "),
            report: &report,
        };
        let text = page.render().map_err(|e| CliError::Failed(e.to_string()))?;
        return give(&text, Some(path), printer);
    }
    let format: &dyn Exporter = match args.format {
        _ if args.json => &Json,
        ReportFormat::Text => &Text,
        ReportFormat::Markdown => &Markdown,
        ReportFormat::Latex => &Latex,
        ReportFormat::Csv => &Csv,
        ReportFormat::Json => &Json,
    };
    give(&format.export(&report), args.output.as_deref(), printer)
}

/// To the file, or to standard output.
pub(super) fn give(text: &str, file: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    match file {
        None => printer.data(text),
        Some(path) => {
            write_atomically(path, text.as_bytes())?;
            printer.note(&format!("written: {}", path.display()));
        }
    }
    Ok(())
}
