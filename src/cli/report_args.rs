//! What can be typed after the commands that read result folders.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which runs.
#[derive(Debug, Args)]
pub(in crate::cli) struct FilterArgs {
    /// Only runs on these benchmarks (commas between several)
    #[arg(long)]
    pub(in crate::cli) benchmark: Option<String>,
    /// Only runs of these methods
    #[arg(long)]
    pub(in crate::cli) method: Option<String>,
    /// Only runs of these optimizers
    #[arg(long)]
    pub(in crate::cli) optimizer: Option<String>,
    /// Only runs with this setting, as KEY=VALUE or KEY=VALUE,VALUE (keys of configuration files, and `seed`)
    #[arg(long = "where", value_name = "CONDITION")]
    pub(in crate::cli) conditions: Vec<String>,
}

/// Flags of `report`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(in crate::cli) struct ReportArgs {
    /// Folders of run folders, however deep
    #[arg(required = true)]
    pub(in crate::cli) folders: Vec<PathBuf>,
    /// Format
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(in crate::cli) format: ReportFormat,
    /// Print as JSON; the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(in crate::cli) json: bool,
    /// Write to this file instead of standard output
    #[arg(long)]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Write one self-contained HTML page to this file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "json", "output"])]
    pub(in crate::cli) html: Option<PathBuf>,
    /// Points of accuracy within which ours and the published figures count as equivalent (forgetting: a hundredth)
    #[arg(long, default_value_t = crate::report::summary::MARGIN)]
    pub(in crate::cli) margin: f64,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}

/// Formats of `report`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ReportFormat {
    /// Tables for a terminal
    Text,
    /// Tables for a README or an issue
    Markdown,
    /// Tables for a paper (booktabs)
    Latex,
    /// One line a group, full precision
    Csv,
    /// Everything
    Json,
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompareArgs {
    /// Folder of run folders, or a selection of its runs: DIR:KEY=VALUE,KEY=VALUE
    pub(in crate::cli) a: String,
    /// The other one; without it the groups of the first are compared with one another
    pub(in crate::cli) b: Option<String>,
    /// accuracy, forgetting, learning-accuracy or backward-transfer
    #[arg(long, default_value = "accuracy")]
    pub(in crate::cli) metric: String,
    /// Print as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// Folder of run folders, however deep
    pub(in crate::cli) folder: PathBuf,
    /// Write TensorBoard event files here, a folder a run
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) tensorboard: Option<PathBuf>,
    /// Write every evaluation of every run to this CSV file
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) csv: Option<PathBuf>,
    /// Write the matrices of every run as NumPy arrays here, a folder a run
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) npy: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}
