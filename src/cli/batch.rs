//! Executing lists of runs by an engine: worker processes here, or a cluster's scheduler.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::CliError;
use super::args::{BatchArgs, Engines};
use super::beforehand::{Sizes, jobs, too_large};
use super::printer::Printer;
use super::progress::Progress;
use super::signals::interruption;
use crate::experiment::RunError;
use crate::experiment::engine::manifest::{self, Header, ManifestError};
use crate::experiment::engine::processes::{Images, Processes, Program};
use crate::experiment::plan::settings::Interval;
use crate::experiment::plan::settings::{Plan, PlannedRun};
use crate::experiment::run::execution::Status;
use crate::experiment::search::selection::Engine;

impl From<ManifestError> for CliError {
    fn from(error: ManifestError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What lists of runs share.
pub(super) struct Place {
    pub(super) out: PathBuf,
    pub(super) data: Option<PathBuf>,
    pub(super) init: Option<PathBuf>,
    pub(super) jobs: Option<usize>,
    pub(super) threads: usize,
    pub(super) retries: usize,
    pub(super) checkpoint_every: Interval,
}

impl Place {
    pub(super) fn of(plan: &Plan, args: &BatchArgs) -> Self {
        Self {
            out: plan.out.clone(),
            data: plan.data.clone(),
            init: plan.init.clone(),
            jobs: plan.jobs,
            threads: plan.threads,
            checkpoint_every: Interval(plan.checkpoint_every),
            retries: args.retries.unwrap_or(match args.engine {
                Engines::Local => 0,
                Engines::Slurm => 2,
            }),
        }
    }
}

/// Worker processes on this machine.
pub(super) struct Local<'a> {
    place: &'a Place,
    stop: Arc<AtomicBool>,
    printer: &'a Printer,
}

impl<'a> Local<'a> {
    pub(super) fn new(place: &'a Place, printer: &'a Printer) -> Result<Self, CliError> {
        let stop = interruption()?;
        Ok(Self {
            place,
            stop,
            printer,
        })
    }
}

/// Writes the manifest of these runs into their folder.
pub(super) fn write_manifest(place: &Place, runs: &[PlannedRun]) -> Result<PathBuf, RunError> {
    std::fs::create_dir_all(&place.out).map_err(|source| RunError::Io {
        action: "create",
        path: place.out.clone(),
        source,
    })?;
    let header = Header::new(
        place.data.as_deref().map(absolute),
        place.init.as_deref().map(absolute),
        place.threads,
        place.checkpoint_every,
    );
    manifest::write(&place.out, &header, runs).map_err(|error| match error {
        ManifestError::Write(error) => error,
        other => RunError::lasting(other),
    })
}

/// A path that means the same in another folder.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

impl Engine for Local<'_> {
    fn execute(&mut self, stage: &str, runs: &[PlannedRun]) -> Result<Vec<Status>, RunError> {
        write_manifest(self.place, runs)?;
        let jobs = jobs(self.place.jobs, self.place.threads);
        let (count, out) = (runs.len(), self.place.out.display());
        self.printer.note(&format!(
            "{stage}: {count} runs into {out}, {jobs} side by side"
        ));
        if let Some(first) = runs.first() {
            let (config, side_by_side) = (&first.config, jobs.min(count));
            let found = Sizes::new(self.place.data.as_deref(), self.printer);
            let (train, test) = found.of(config)?;
            let shape = config.images().1;
            let image_bytes = (train + test) * shape.channels * shape.height * shape.width;
            // Every worker reads them.
            if let Some(warning) = too_large(config, image_bytes * side_by_side, side_by_side)? {
                self.printer.note(&format!("warning: {warning}"));
            }
        }
        let mut arguments: Vec<OsString> = vec!["worker".into(), "--out".into()];
        arguments.push(self.place.out.clone().into());
        arguments.extend(["--threads".into(), self.place.threads.to_string().into()]);
        let every = self.place.checkpoint_every.to_string();
        arguments.extend(["--checkpoint-every".into(), every.into()]);
        for (flag, path) in [("--data", &self.place.data), ("--init", &self.place.init)] {
            if let Some(path) = path {
                arguments.extend([flag.into(), path.clone().into()]);
            }
        }
        let pool = Processes {
            out: self.place.out.clone(),
            jobs,
            retries: self.place.retries,
            stop: &self.stop,
            spawn: &Program { arguments },
            images: Images::default(),
        };
        let progress = Progress::new(self.printer, runs.len());
        Ok(pool.execute(runs, &progress))
    }
}
