//! What can be typed after the commands that execute lists of runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::experiment::plan::settings::Interval;

/// Heading of flags that no result depends on.
const EXECUTION: &str = "Execution (no result depends on it)";
/// Heading of flags for a cluster.
const SLURM: &str = "With --engine slurm";

/// Flags of `replicate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplicateArgs {
    /// naive (Figure 1), baselines (Tables 1, 4, 5), hybrid (Figure 4), replay (Table 6), grid-search (A.2), ablation
    /// (Table 7), rotated-mnist (Figure 5a), or all; or neighbours (what other programs gave on the same data)
    pub(in crate::cli) what: String,
    /// cifar, `mini_imagenet`, cub or 5data, for all one or several of these and rot-mnist; not for rotated-mnist; of neighbours
    /// a program: mammoth, mir, gem, stable
    #[arg(value_name = "DATASET")]
    pub(in crate::cli) datasets: Vec<String>,
    /// Epochs a task, for baselines: 1 (Table 1) or 5 (Table 5) [default: 1; with `all`: both]
    #[arg(long)]
    pub(in crate::cli) epochs: Option<usize>,
    /// Only these rows, by their labels (as --dry-run shows them), separated by commas; may be repeated
    #[arg(long, value_name = "LABELS")]
    pub(in crate::cli) only: Vec<String>,
    /// Seeds, as 1-5 or 1,3,7 [default: 1-5, as published]
    #[arg(long)]
    pub(in crate::cli) seeds: Option<String>,
    /// Share of the training images used, in (0, 1]; for quick looks, marked in every output
    #[arg(long)]
    pub(in crate::cli) fraction: Option<String>,
    /// Share of the test images on which accuracy is measured, in (0, 1]; for quick looks, marked in every output
    #[arg(long)]
    pub(in crate::cli) test_fraction: Option<String>,
    /// Rotated MNIST: turn by exactly 0° to 270° as in Figure 5a, not by the released code's random angles
    #[arg(long)]
    pub(in crate::cli) exact_angles: bool,
    /// Safetensors file of initial weights
    #[arg(long)]
    pub(in crate::cli) init: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) batch: BatchArgs,
}

/// Flags of `sweep`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SweepArgs {
    /// TOML file that says what is tried
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) batch: BatchArgs,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// Folder that is searched for run folders, with all folders in it
    pub(in crate::cli) dir: PathBuf,
    /// Show every run, not only those that run or have failed
    #[arg(long)]
    pub(in crate::cli) all: bool,
    /// Show it again and again until nothing runs or waits
    #[arg(long)]
    pub(in crate::cli) watch: bool,
    /// Seconds between two looks of --watch
    #[arg(long, default_value_t = 2.0)]
    pub(in crate::cli) interval: f64,
    /// Print as JSON (with --watch a line a change)
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// What executes runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Engines {
    /// Worker processes on this machine
    Local,
    /// Job arrays of a Slurm cluster
    Slurm,
}

/// Flags of `run-manifest`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunManifestArgs {
    /// The manifest (`manifest-*.jsonl`)
    pub(in crate::cli) manifest: PathBuf,
    /// Number of the run, from 0
    pub(in crate::cli) index: usize,
    /// Data folder [default: the manifest's]
    #[arg(long, env = "TAGCL_DATA")]
    pub(in crate::cli) data: Option<PathBuf>,
    /// Safetensors file of initial weights [default: the manifest's]
    #[arg(long)]
    pub(in crate::cli) init: Option<PathBuf>,
    /// Folder for run folders [default: the manifest's own]
    #[arg(long)]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Threads inside the run [default: the manifest's]
    #[arg(long)]
    pub(in crate::cli) threads: Option<usize>,
    /// Seconds between checkpoints of the run, or off [default: the manifest's]
    #[arg(long)]
    pub(in crate::cli) checkpoint_every: Option<Interval>,
    /// Print the result as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Flags of a worker process.
#[derive(Debug, Args)]
pub(in crate::cli) struct WorkerArgs {
    /// Folder for run folders
    #[arg(long)]
    pub(in crate::cli) out: PathBuf,
    /// Data folder
    #[arg(long)]
    pub(in crate::cli) data: Option<PathBuf>,
    /// Safetensors file of initial weights
    #[arg(long)]
    pub(in crate::cli) init: Option<PathBuf>,
    /// Threads inside each run
    #[arg(long, default_value_t = 1)]
    pub(in crate::cli) threads: usize,
    /// Seconds between checkpoints of a run, or off
    #[arg(long, default_value = "60")]
    pub(in crate::cli) checkpoint_every: Interval,
}

/// Flags of all commands that execute lists of runs.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct BatchArgs {
    /// Data folder, or `embedded` for the MNIST sample in the program
    #[arg(long, env = "TAGCL_DATA", help_heading = EXECUTION)]
    pub(in crate::cli) data: Option<String>,
    /// Folder for run folders [default: runs; of a sweep runs/NAME after its file]
    #[arg(long, env = "TAGCL_OUT", help_heading = EXECUTION)]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Runs side by side [default: one a core]
    #[arg(long, help_heading = EXECUTION)]
    pub(in crate::cli) jobs: Option<String>,
    /// Threads inside each run; results do not depend on it [default: 1]
    #[arg(long, help_heading = EXECUTION)]
    pub(in crate::cli) threads: Option<String>,
    /// Seconds between checkpoints of a run, or off; results do not depend on it [default: 60]
    #[arg(long, help_heading = EXECUTION)]
    pub(in crate::cli) checkpoint_every: Option<String>,
    /// Further attempts for a run whose process died or that met an error of the system [default: 0; with slurm 2]
    #[arg(long, help_heading = EXECUTION)]
    pub(in crate::cli) retries: Option<usize>,
    /// What executes the runs
    #[arg(long, value_enum, default_value_t = Engines::Local, help_heading = EXECUTION)]
    pub(in crate::cli) engine: Engines,
    /// Time limit of a task, in Slurm's notation [default: the partition's]
    #[arg(long, help_heading = SLURM)]
    pub(in crate::cli) time_limit: Option<String>,
    /// Argument for sbatch, as --slurm-arg=--partition=cpu; may be repeated
    #[arg(long, allow_hyphen_values = true, help_heading = SLURM)]
    pub(in crate::cli) slurm_arg: Vec<String>,
    /// Seconds between two looks at the queue
    #[arg(long, default_value_t = 10.0, help_heading = SLURM)]
    pub(in crate::cli) poll: f64,
    /// List the runs and estimate their cost; run nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print results as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

impl BatchArgs {
    /// The settings that were typed, by key.
    pub(in crate::cli) fn typed(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("data", &self.data),
            ("jobs", &self.jobs),
            ("threads", &self.threads),
            ("checkpoint_every", &self.checkpoint_every),
        ];
        let set = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)));
        let out = self
            .out
            .as_ref()
            .map(|out| ("out", out.display().to_string()));
        set.chain(out).collect()
    }
}
