//! `tagcl export`: results for other programs.

use super::CliError;
use super::args::ExportArgs;
use super::printer::Printer;
use super::report::{filter, load_all, name_damaged};
use crate::report::files::{EXPORTS, ExportError};

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) fn export(args: &ExportArgs, printer: &Printer) -> Result<(), CliError> {
    let targets = &args.targets.0;
    if targets.is_empty() {
        let flags = EXPORTS
            .iter()
            .map(|export| format!("--{} {}", export.name, export.target));
        return Err(CliError::Usage(format!(
            "nothing to export: give {}",
            flags.collect::<Vec<_>>().join(" or ")
        )));
    }
    let loaded = load_all(std::slice::from_ref(&args.folder), &filter(&args.filter)?)?;
    name_damaged(&loaded, printer);
    let runs = &loaded.runs;
    if runs.is_empty() {
        return Err(CliError::Failed(format!(
            "nothing to export: no run in {} has a result that can be read (tagcl report lists them)",
            args.folder.display()
        )));
    }
    for (export, path) in targets {
        let taken = (export.write)(&loaded, path)?;
        printer.note(&format!(
            "{} {} ({taken} of {} runs)",
            export.done,
            path.display(),
            runs.len()
        ));
    }
    let left = loaded.unfinished.len() + loaded.damaged.len() + loaded.duplicates.len();
    printer.note(&format!(
        "{} runs read; {left} folders without a usable result of their own (tagcl report lists them)",
        runs.len()
    ));
    Ok(())
}
