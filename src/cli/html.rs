//! The HTML report as a file.

use std::path::{Path, PathBuf};

use clap::Args;

use super::CliError;
use super::filter::Filter;
use super::printer::Printer;
use crate::experiment::store::write_atomically;
use crate::report::Group;
use crate::report::html::Page;
use crate::report::load::{Loaded, load};

#[derive(Debug, Args)]
pub(super) struct HtmlArgs {
    /// Folder of run folders
    pub(super) dir: PathBuf,
    /// File for the report: one self-contained HTML page
    #[arg(long)]
    pub(super) html: PathBuf,
    #[command(flatten)]
    pub(super) filter: Filter,
}

pub(super) fn report(args: &HtmlArgs, printer: &Printer) -> Result<(), CliError> {
    let mut loaded = load(&args.dir).map_err(|e| CliError::Failed(e.to_string()))?;
    args.filter.apply(&mut loaded)?;
    let groups = crate::report::group_runs(&loaded.runs, &loaded.unfinished);
    write_page(&args.dir, &loaded, &groups, &args.html)?;
    printer.data(&args.html.display().to_string());
    Ok(())
}

/// Writes the page of what was loaded from `dir`.
pub(super) fn write_page(
    dir: &Path,
    loaded: &Loaded,
    groups: &[Group],
    file: &Path,
) -> Result<(), CliError> {
    let page = Page {
        source: &dir.display().to_string(),
        loaded,
        groups,
    };
    let text = page.render().map_err(|e| CliError::Failed(e.to_string()))?;
    Ok(write_atomically(file, text.as_bytes())?)
}
