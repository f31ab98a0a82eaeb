//! `tagcl run-manifest`: one run of a manifest, by its number; what a task of any array engine executes.

use super::CliError;
use super::args::RunManifestArgs;
use super::execute::{Execution, execute};
use super::printer::Printer;
use crate::experiment::engine::manifest;

pub(super) fn run_manifest(args: &RunManifestArgs, printer: &Printer) -> Result<(), CliError> {
    let (header, run) = manifest::read_run(&args.manifest, args.index)?;
    let here = args.manifest.parent().unwrap_or_else(|| ".".as_ref());
    let init = match args.init.as_ref().or(header.init.as_ref()) {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|e| CliError::Failed(format!("cannot read {}: {e}", path.display())))?,
        ),
    };
    let how = Execution {
        out: args.out.as_deref().unwrap_or(here),
        data: args.data.as_deref().or(header.data.as_deref()),
        init: init.as_deref(),
        jobs: Some(1),
        threads: args.threads.unwrap_or(header.threads).max(1),
        checkpoint_every: args.checkpoint_every.unwrap_or(header.checkpoint_every).0,
        json: args.json,
    };
    execute(&[run], &how, printer).map(|_| ())
}
