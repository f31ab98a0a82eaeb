//! The HTML report as a file.

use std::path::{Path, PathBuf};

use super::CliError;
use crate::experiment::store::write_atomically;
use crate::report::group_runs;
use crate::report::html::Page;
use crate::report::load::Loaded;

/// Writes the page of what was loaded from `folders`.
pub(super) fn write_page(
    folders: &[PathBuf],
    loaded: &Loaded,
    file: &Path,
) -> Result<(), CliError> {
    let names: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    let page = Page {
        source: &names.join(", "),
        loaded,
        groups: &group_runs(&loaded.runs, &loaded.unfinished),
    };
    let text = page.render().map_err(|e| CliError::Failed(e.to_string()))?;
    Ok(write_atomically(file, text.as_bytes())?)
}
