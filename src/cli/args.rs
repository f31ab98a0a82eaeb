//! What can be typed. Values stay text here: [`crate::experiment::plan::settings`] checks them, wherever they come from.

use std::path::PathBuf;

pub(super) use super::batch_args::*;
pub(super) use super::report_args::*;
use super::setting_flags::SettingFlags;
use crate::experiment::plan::settings::DATA_FOLDER;
use crate::experiment::run::provenance::kernels;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Version, commit and what computes: numbers depend on the kernels' level beside the configuration.
fn version() -> String {
    let commit = option_env!("TAGCL_COMMIT").map_or(String::new(), |commit| format!("{commit}, "));
    format!(
        "{} ({commit}kernels: {})",
        env!("CARGO_PKG_VERSION"),
        kernels()
    )
}

/// Continual learning with TAG: train on task streams, compare optimizers and methods.
#[derive(Debug, Parser)]
#[command(name = "tagcl", version = version(), about, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// See the method work: all optimizers on rotated MNIST, from data that ships with the program (about a minute)
    Demo(DemoArgs),
    /// Train one configuration on a stream of tasks, over one or more seeds
    Run(Box<RunArgs>),
    /// Run the experiments of the paper with the hyper-parameters behind its published numbers
    Replicate(Box<ReplicateArgs>),
    /// Try many configurations and choose among them
    Sweep(Box<SweepArgs>),
    /// Show which runs of a folder are done, running, waiting or failed
    Status(StatusArgs),
    /// What one run is and came to: settings, tasks with their classes and logits, initial weights, machine
    Show(ShowRunArgs),
    /// Tables of results, beside the published figures
    Report(ReportArgs),
    /// Test groups of runs against one another; ranks; accuracy against cost
    Compare(CompareArgs),
    /// Draw results: learning curves, heat maps, TAG's α, bars, costs, sensitivities
    Plot(PlotArgs),
    /// Results as files for TensorBoard, NumPy and data frames
    Export(ExportArgs),
    /// Execute one run of a manifest, by its number: a task of an array job
    RunManifest(RunManifestArgs),
    /// Execute runs that a parent process sends
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Show, import or check data sets
    Data(DataArgs),
    /// List what can be named in a configuration
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder for run folders
    #[arg(long, default_value = "runs/demo")]
    pub(super) out: PathBuf,
    /// Runs side by side [default: one a core]
    #[arg(long)]
    pub(super) jobs: Option<String>,
    /// Print results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What `run` takes.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct RunArgs {
    /// TOML file of settings; flags beat it
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) settings: SettingFlags,
    /// Device: cpu
    #[arg(long, default_value = "cpu")]
    pub(super) device: String,
    /// Print the resolved configuration and its estimated cost; run nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What `show` takes.
#[derive(Debug, Args)]
pub(super) struct ShowRunArgs {
    /// A run's folder, or its result.json
    pub(super) run: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DataArgs {
    #[command(subcommand)]
    pub(super) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Show the data sets, where they are and what is missing
    List {
        /// Data folder
        #[arg(long, env = "TAGCL_DATA", default_value = DATA_FOLDER)]
        data: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a data set into the data folder, after checking it
    Get {
        /// Data set
        name: String,
        /// Take it from this URL, file or folder instead of its official place
        #[arg(long)]
        from: Option<String>,
        /// SHA-256 that the file must have; a URL needs one
        #[arg(long, requires = "from")]
        sha256: Option<String>,
        /// Data folder
        #[arg(long, env = "TAGCL_DATA", default_value = DATA_FOLDER)]
        data: PathBuf,
    },
    /// Put a local archive or folder into the data folder, after checking it
    Import {
        /// Data set
        name: String,
        /// Archive or folder
        path: PathBuf,
        /// Data folder
        #[arg(long, env = "TAGCL_DATA", default_value = DATA_FOLDER)]
        data: PathBuf,
    },
    /// Show counts, channel means and images of a data set
    Show(ShowArgs),
    /// Recompute counts and checksums of a data set
    Verify {
        /// Data set
        name: String,
        /// Data folder
        #[arg(long, env = "TAGCL_DATA", default_value = DATA_FOLDER)]
        data: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `data show` takes.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Data set, a benchmark (5-dataset), or the path of a TOML file that describes one
    pub(super) name: String,
    /// Write a contact sheet of the training images to this file
    #[arg(long)]
    pub(super) png: Option<PathBuf>,
    /// Data folder
    #[arg(long, env = "TAGCL_DATA", default_value = DATA_FOLDER)]
    pub(super) data: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    pub(super) what: Listed,
    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print the reference page of all settings (docs/settings.md)
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Listed {
    Benchmarks,
    Methods,
    Optimizers,
    Models,
    Settings,
}
