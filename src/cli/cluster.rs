//! Lists of runs on a cluster: Slurm as an engine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::CliError;
use super::args::{BatchArgs, Engines};
use super::batch::{Local, Place, absolute, write_manifest};
use super::printer::Printer;
use super::signals::interruption;
use crate::experiment::RunError;
use crate::experiment::engine::slurm::{Installed, Slurm, SlurmError};
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::search::selection::Engine;

/// The engine that was asked for.
pub(super) fn engine<'a>(
    place: &'a Place,
    args: &'a BatchArgs,
    printer: &'a Printer,
) -> Result<Box<dyn Engine + 'a>, CliError> {
    match args.engine {
        Engines::Local => {
            if args.time_limit.is_some() || !args.slurm_arg.is_empty() {
                return Err(CliError::Usage(
                    "--time-limit and --slurm-arg have no effect here: they are only for --engine slurm"
                        .to_string(),
                ));
            }
            Ok(Box::new(Local::new(place, printer)?))
        }
        Engines::Slurm => {
            if args.jobs.is_some() {
                return Err(CliError::Usage(
                    "--jobs has no effect here: how many tasks run side by side is the scheduler's; leave it out"
                        .to_string(),
                ));
            }
            let stop = interruption()?;
            Ok(Box::new(OnSlurm {
                place,
                args,
                stop,
                printer,
            }))
        }
    }
}

struct OnSlurm<'a> {
    place: &'a Place,
    args: &'a BatchArgs,
    stop: Arc<AtomicBool>,
    printer: &'a Printer,
}

impl Engine for OnSlurm<'_> {
    fn execute(&mut self, stage: &str, runs: &[PlannedRun]) -> Result<Vec<Status>, RunError> {
        let manifest = absolute(&write_manifest(self.place, runs)?);
        let program = std::env::current_exe().map_err(|source| RunError::Io {
            action: "find",
            path: "this program".into(),
            source,
        })?;
        let out = absolute(&self.place.out);
        let (count, printer) = (runs.len(), self.printer);
        printer.note(&format!(
            "{stage}: {count} runs by Slurm, manifest {}",
            manifest.display()
        ));
        let slurm = Slurm {
            out: &out,
            manifest: &manifest,
            program: &program,
            time_limit: self.args.time_limit.as_deref(),
            arguments: &self.args.slurm_arg,
            threads: self.place.threads,
            retries: self.place.retries,
            poll: Duration::from_secs_f64(self.args.poll.clamp(0.1, 3600.0)),
            stop: &self.stop,
        };
        let statuses = slurm.execute(runs, &mut Installed, &mut |text| printer.note(text));
        statuses.map_err(|error| match error {
            SlurmError::Run(error) => error,
            other => RunError::lasting(other),
        })
    }
}
