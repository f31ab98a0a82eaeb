//! What can be typed after the commands that execute lists of runs.

use std::path::PathBuf;

use clap::Args;

/// Flags of `replicate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplicateArgs {
    /// naive (Figure 1), baselines (Tables 1, 4, 5), hybrid (Figure 4), replay (Table 6), grid-search (A.2), ablation
    /// (Table 7), rotated-mnist (Figure 5a), or all
    pub(in crate::cli) what: String,
    /// cifar, `mini_imagenet`, cub or 5data; not for rotated-mnist
    pub(in crate::cli) dataset: Option<String>,
    /// Epochs a task, for baselines: 1 (Table 1) or 5 (Table 5) [default: 1; with `all`: both]
    #[arg(long)]
    pub(in crate::cli) epochs: Option<usize>,
    /// Only these rows, by their labels (as --dry-run shows them)
    #[arg(long, value_delimiter = ',')]
    pub(in crate::cli) only: Vec<String>,
    /// Seeds, as 1-5 or 1,3,7 [default: 1-5, as published]
    #[arg(long)]
    pub(in crate::cli) seeds: Option<String>,
    /// Share of the training images used, in (0, 1]; for quick looks, marked in every output
    #[arg(long)]
    pub(in crate::cli) fraction: Option<String>,
    /// Rotated MNIST: turn by exactly 0° to 270° as in Figure 5a, not by the released code's random angles
    #[arg(long)]
    pub(in crate::cli) exact_angles: bool,
    /// Safetensors file of initial weights
    #[arg(long)]
    pub(in crate::cli) init: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) batch: BatchArgs,
}

/// Flags of all commands that execute lists of runs.
#[derive(Debug, Args)]
pub(in crate::cli) struct BatchArgs {
    /// Data folder, or `embedded` for the MNIST sample in the program
    #[arg(long, env = "TAGCL_DATA")]
    pub(in crate::cli) data: Option<String>,
    /// Folder for run folders
    #[arg(long, env = "TAGCL_OUT", default_value = "runs")]
    pub(in crate::cli) out: PathBuf,
    /// Runs side by side [default: one a core]
    #[arg(long)]
    pub(in crate::cli) jobs: Option<String>,
    /// Threads inside each run; results do not depend on it [default: 1]
    #[arg(long)]
    pub(in crate::cli) threads: Option<String>,
    /// Seconds between checkpoints of a run, or off; results do not depend on it [default: 60]
    #[arg(long)]
    pub(in crate::cli) checkpoint_every: Option<String>,
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
        set.chain([("out", self.out.display().to_string())])
            .collect()
    }
}
