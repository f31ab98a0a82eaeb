//! What can be typed. Values stay text here: [`crate::experiment::settings`] checks them, wherever they come from.

use std::path::PathBuf;

pub(super) use super::batch_args::*;
pub(super) use super::report_args::*;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Continual learning with TAG: train on task streams, compare optimizers and methods.
#[derive(Debug, Parser)]
#[command(name = "tagcl", version, about, arg_required_else_help = true)]
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

/// Flags of `run`; each is also a key of the TOML file, with underscores.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(super) struct RunArgs {
    /// TOML file of settings; flags beat it
    pub(super) config: Option<PathBuf>,
    /// Stream of tasks (tagcl list benchmarks), or the path of a TOML file that describes one
    #[arg(long)]
    pub(super) benchmark: Option<String>,
    /// Data folder, or `embedded` for the MNIST sample in the program [env: `TAGCL_DATA`]
    #[arg(long)]
    pub(super) data: Option<String>,
    /// Number of tasks
    #[arg(long)]
    pub(super) tasks: Option<String>,
    /// Number of classes that have images, for a run on part of a data set
    #[arg(long)]
    pub(super) classes: Option<String>,
    /// How CUB's photographs become inputs: released, imagenet
    #[arg(long)]
    pub(super) input_scaling: Option<String>,
    /// Order of the classes of a split stream: fixed, seeded
    #[arg(long)]
    pub(super) class_order: Option<String>,
    /// Angles of a rotated stream: exact, released
    #[arg(long)]
    pub(super) angles: Option<String>,
    /// Share of the training images set aside for validation, in [0, 1)
    #[arg(long)]
    pub(super) validation: Option<String>,
    /// Images on which accuracies are measured: test, validation
    #[arg(long)]
    pub(super) evaluate: Option<String>,
    /// Share of the training images used, in (0, 1]; for quick looks, marked in every output
    #[arg(long)]
    pub(super) fraction: Option<String>,
    /// Network (tagcl list models)
    #[arg(long)]
    pub(super) model: Option<String>,
    /// Width of the MLP's hidden layers
    #[arg(long)]
    pub(super) hidden: Option<String>,
    /// Dropout probability, in [0, 1)
    #[arg(long)]
    pub(super) dropout: Option<String>,
    /// File of initial weights: safetensors or a `PyTorch` checkpoint (.pth)
    #[arg(long)]
    pub(super) init: Option<String>,
    /// Where the head of a run with initial weights comes from: file, fresh
    #[arg(long)]
    pub(super) init_head: Option<String>,
    /// Method (tagcl list methods)
    #[arg(long)]
    pub(super) method: Option<String>,
    /// Optimizer (tagcl list optimizers)
    #[arg(long)]
    pub(super) optimizer: Option<String>,
    /// Learning rate [default: the published one for benchmark, method and optimizer]
    #[arg(long)]
    pub(super) lr: Option<String>,
    /// Factor on the learning rate from task to task, in (0, 1]
    #[arg(long)]
    pub(super) gamma: Option<String>,
    /// Task whose learning rate is --lr itself: 0 or 1
    #[arg(long)]
    pub(super) gamma_from: Option<String>,
    /// SGD's momentum, in [0, 1); from rest in every task
    #[arg(long)]
    pub(super) momentum: Option<String>,
    /// TAG's weight of the correlation
    #[arg(long)]
    pub(super) b: Option<String>,
    /// TAG's rule for α: cosine, one (TAG-1), age (TAG-age), gradients (TAG-G)
    #[arg(long)]
    pub(super) alpha: Option<String>,
    /// B of TAG-G: gradients of each task that make its direction
    #[arg(long)]
    pub(super) stored_gradients: Option<String>,
    /// Over what TAG's α is taken: tensor, global
    #[arg(long)]
    pub(super) alpha_scope: Option<String>,
    /// Where TAG adds 1e-8: outside or inside the root
    #[arg(long)]
    pub(super) epsilon: Option<String>,
    /// What TAG-Adam's step count counts: per-task, per-epoch
    #[arg(long)]
    pub(super) bias_correction: Option<String>,
    /// Precision of past tasks' moments in TAG's memory: f32, bf16
    #[arg(long)]
    pub(super) past_moments: Option<String>,
    /// EWC's weight of the penalty
    #[arg(long)]
    pub(super) lambda: Option<String>,
    /// EWC's estimate of importance: corrected, released
    #[arg(long)]
    pub(super) fisher: Option<String>,
    /// Training examples of a task that EWC's estimate uses
    #[arg(long)]
    pub(super) fisher_samples: Option<String>,
    /// EWC's penalty: half (½λ, as published), released (λ, gradient cut to norm 100)
    #[arg(long)]
    pub(super) penalty: Option<String>,
    /// Examples a class that A-GEM and ER remember
    #[arg(long)]
    pub(super) memory_per_class: Option<String>,
    /// Whether A-GEM forwards every batch twice: true (as released), false
    #[arg(long)]
    pub(super) forwards_twice: Option<String>,
    /// Whether ER may replay the present task: true (as released), false
    #[arg(long)]
    pub(super) replay_current: Option<String>,
    /// How ER's memory samples the stream: uniform, batch (as released)
    #[arg(long)]
    pub(super) reservoir: Option<String>,
    /// Order of the examples: sequential, cyclic (the released multi-task), joint
    #[arg(long)]
    pub(super) schedule: Option<String>,
    /// Epochs without a lower validation loss after which a task ends
    #[arg(long)]
    pub(super) patience: Option<String>,
    /// Epochs per task, at most
    #[arg(long)]
    pub(super) epochs: Option<String>,
    /// Examples per training step
    #[arg(long)]
    pub(super) batch_size: Option<String>,
    /// Whether a last batch that is not full is left out: true, false
    #[arg(long)]
    pub(super) drop_last: Option<String>,
    /// Defaults: released (as the released code behaves), corrected
    #[arg(long)]
    pub(super) profile: Option<String>,
    /// Seeds, as 1-5 or 1,3,7
    #[arg(long)]
    pub(super) seeds: Option<String>,
    /// Folder for run folders [default: runs] [env: `TAGCL_OUT`]
    #[arg(long)]
    pub(super) out: Option<String>,
    /// Runs side by side [default: one a core]
    #[arg(long)]
    pub(super) jobs: Option<String>,
    /// Threads inside each run; results do not depend on it [default: 1]
    #[arg(long)]
    pub(super) threads: Option<String>,
    /// Seconds between checkpoints of a run, or off; results do not depend on it [default: 60]
    #[arg(long)]
    pub(super) checkpoint_every: Option<String>,
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

impl RunArgs {
    /// The settings that were typed, by key.
    pub(super) fn typed(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("benchmark", &self.benchmark),
            ("data", &self.data),
            ("tasks", &self.tasks),
            ("classes", &self.classes),
            ("input_scaling", &self.input_scaling),
            ("class_order", &self.class_order),
            ("angles", &self.angles),
            ("validation", &self.validation),
            ("evaluate", &self.evaluate),
            ("fraction", &self.fraction),
            ("model", &self.model),
            ("hidden", &self.hidden),
            ("dropout", &self.dropout),
            ("init", &self.init),
            ("init_head", &self.init_head),
            ("method", &self.method),
            ("optimizer", &self.optimizer),
            ("lr", &self.lr),
            ("gamma", &self.gamma),
            ("gamma_from", &self.gamma_from),
            ("momentum", &self.momentum),
            ("b", &self.b),
            ("alpha", &self.alpha),
            ("alpha_scope", &self.alpha_scope),
            ("epsilon", &self.epsilon),
            ("bias_correction", &self.bias_correction),
            ("past_moments", &self.past_moments),
            ("stored_gradients", &self.stored_gradients),
            ("lambda", &self.lambda),
            ("fisher", &self.fisher),
            ("fisher_samples", &self.fisher_samples),
            ("penalty", &self.penalty),
            ("memory_per_class", &self.memory_per_class),
            ("forwards_twice", &self.forwards_twice),
            ("replay_current", &self.replay_current),
            ("reservoir", &self.reservoir),
            ("schedule", &self.schedule),
            ("patience", &self.patience),
            ("epochs", &self.epochs),
            ("batch_size", &self.batch_size),
            ("drop_last", &self.drop_last),
            ("profile", &self.profile),
            ("seeds", &self.seeds),
            ("out", &self.out),
            ("jobs", &self.jobs),
            ("threads", &self.threads),
            ("checkpoint_every", &self.checkpoint_every),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)))
            .collect()
    }
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
        #[arg(long, env = "TAGCL_DATA", default_value = "data")]
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
        #[arg(long, env = "TAGCL_DATA", default_value = "data")]
        data: PathBuf,
    },
    /// Put a local archive or folder into the data folder, after checking it
    Import {
        /// Data set
        name: String,
        /// Archive or folder
        path: PathBuf,
        /// Data folder
        #[arg(long, env = "TAGCL_DATA", default_value = "data")]
        data: PathBuf,
    },
    /// Show counts, channel means and images of a data set
    Show(ShowArgs),
    /// Recompute counts and checksums of a data set
    Verify {
        /// Data set
        name: String,
        /// Data folder
        #[arg(long, env = "TAGCL_DATA", default_value = "data")]
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
    #[arg(long, env = "TAGCL_DATA", default_value = "data")]
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Listed {
    Benchmarks,
    Methods,
    Optimizers,
    Models,
}
