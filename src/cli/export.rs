//! `tagcl export`: results for other programs.

use super::CliError;
use super::args::ExportArgs;
use super::printer::Printer;
use super::report::{filter, load_all};
use crate::report::files::{
    ExportError, evaluations::write_evaluations, npy::write_matrices,
    tensorboard::write_tensorboard,
};

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) fn export(args: &ExportArgs, printer: &Printer) -> Result<(), CliError> {
    if args.tensorboard.is_none() && args.csv.is_none() && args.npy.is_none() {
        return Err(CliError::Usage(
            "nothing to export: give --tensorboard DIR, --csv FILE or --npy DIR".to_string(),
        ));
    }
    let loaded = load_all(std::slice::from_ref(&args.folder), &filter(&args.filter)?)?;
    let runs = &loaded.runs;
    if let Some(out) = &args.tensorboard {
        write_tensorboard(runs, out)?;
        printer.note(&format!(
            "TensorBoard: tensorboard --logdir {}",
            out.display()
        ));
    }
    if let Some(path) = &args.csv {
        write_evaluations(runs, path)?;
        printer.note(&format!("evaluations: {}", path.display()));
    }
    if let Some(out) = &args.npy {
        write_matrices(runs, out)?;
        printer.note(&format!("matrices: {}", out.display()));
    }
    let left = loaded.unfinished.len() + loaded.damaged.len() + loaded.duplicates.len();
    printer.note(&format!(
        "{} runs exported; {left} folders without a usable result of their own (tagcl report lists them)",
        runs.len()
    ));
    Ok(())
}
