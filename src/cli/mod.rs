//! The program: arguments in, runs executed, tables out.
//!
//! Owns everything a person sees. Data goes to standard output, everything else to standard error; exit codes are 0
//! (done), 1 (a run failed), 2 (bad usage or configuration) and 130 (interrupted; the same command goes on).

mod args;
mod batch;
mod batch_args;
mod beforehand;
mod cluster;
mod compare;
mod data;
mod data_progress;
mod demo;
mod execute;
mod export;
mod list;
mod plot;
mod printer;
mod progress;
mod replicate;
mod report;
mod report_args;
mod run;
mod run_manifest;
mod setting_flags;
mod show;
mod show_run;
mod signals;
mod status;
mod sweep;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use crate::experiment::RunError;
use crate::experiment::engine::pages;
use crate::experiment::paper::replicate::ReplicateError;
use crate::experiment::plan::settings::SettingError;
use crate::kernels::Level;
use args::{Cli, Command};
use printer::Printer;

/// Why the program ends with a code other than 0.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Bad usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// Something needed cannot be had.
    #[error("{0}")]
    Failed(String),
    /// Some runs failed; they were reported one by one.
    #[error("{failed} of {all} runs failed")]
    Runs {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
    /// The user asked to stop.
    #[error("interrupted; finished runs are kept, and the same command goes on where it stopped")]
    Interrupted,
}

impl From<SettingError> for CliError {
    fn from(error: SettingError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<ReplicateError> for CliError {
    fn from(error: ReplicateError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Setting(_) | RunError::Stream(_) => Self::Usage(error.to_string()),
            RunError::Interrupted => Self::Interrupted,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<crate::files::WriteError> for CliError {
    fn from(error: crate::files::WriteError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::data::DataError> for CliError {
    fn from(error: crate::data::DataError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the program on the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version come this way, too.
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return match error.print() {
                Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(1),
                _ => ExitCode::from(code),
            };
        }
    };
    let printer = Printer::new();
    if let Err(error) = Level::wanted() {
        let variable = Level::VARIABLE;
        printer.note(&format!(
            "error: {variable}: {error}; name one of these, or unset it"
        ));
        return ExitCode::from(2);
    }
    let closed = cli.command.only_prints() && crate::kernels::standard_output::was_closed();
    // The program that is started in this one's place could not tell that its output was closed.
    if cli.command.trains() && !closed {
        pages::restart();
    }
    let done = match cli.command {
        Command::Demo(args) => demo::demo(&args, &printer),
        Command::Run(args) => run::run(&args, &printer),
        Command::Replicate(args) => replicate::replicate(&args, &printer),
        Command::Sweep(args) => sweep::sweep(&args, &printer),
        Command::Status(args) => status::status(&args, &printer),
        Command::RunManifest(args) => run_manifest::run_manifest(&args, &printer),
        Command::Worker(args) => worker::worker(&args, &printer),
        Command::Show(args) => show_run::show_run(&args, &printer),
        Command::Report(args) => report::report(&args, &printer),
        Command::Compare(args) => compare::run(&args, &printer),
        Command::Export(args) => export::export(&args, &printer),
        Command::Plot(args) => plot::plot(&args, &printer),
        Command::Data(args) => data::data(&args, &printer),
        Command::List(args) => {
            list::list(&args, &printer);
            Ok(())
        }
    };
    let code = match &done {
        Ok(()) => 0,
        Err(CliError::Usage(_)) => 2,
        Err(CliError::Failed(_) | CliError::Runs { .. }) => 1,
        Err(CliError::Interrupted) => 130,
    };
    if let Err(error) = done {
        printer.note(&format!("error: {error}"));
        return ExitCode::from(code);
    }
    let lost = if closed {
        Some("it is closed".to_string())
    } else {
        printer.finish().err().map(|error| error.to_string())
    };
    let Some(why) = lost else {
        return ExitCode::SUCCESS;
    };
    Printer::new().note(&format!("error: cannot write to standard output: {why}"));
    ExitCode::from(1)
}

impl Command {
    /// Whether what it prints is all that it is for, so that it has failed where nobody can read it.
    fn only_prints(&self) -> bool {
        match self {
            Self::Report(args) => args.output.is_none() && args.html.is_none(),
            Self::Run(args) => args.dry_run,
            Self::Replicate(args) => args.batch.dry_run,
            Self::Sweep(args) => args.batch.dry_run,
            Self::Status(_) | Self::Show(_) | Self::Compare(_) | Self::Data(_) | Self::List(_) => {
                true
            }
            Self::Demo(_)
            | Self::RunManifest(_)
            | Self::Worker(_)
            | Self::Export(_)
            | Self::Plot(_) => false,
        }
    }

    /// Whether it takes training steps, be it to estimate their cost.
    fn trains(&self) -> bool {
        match self {
            Self::Demo(_)
            | Self::Run(_)
            | Self::Replicate(_)
            | Self::Sweep(_)
            | Self::RunManifest(_)
            | Self::Worker(_) => true,
            Self::Status(_)
            | Self::Show(_)
            | Self::Report(_)
            | Self::Compare(_)
            | Self::Plot(_)
            | Self::Export(_)
            | Self::Data(_)
            | Self::List(_) => false,
        }
    }
}
