//! What can be typed after the commands that read result folders.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgMatches, Args, FromArgMatches, ValueEnum};

use crate::report::FORMATS;
use crate::report::files::{EXPORTS, ExportSpec};
use crate::report::metric::{ACCURACY, METRICS};
use crate::report::plot::PLOTS;

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

/// A name out of a table, with every entry's description in the help.
pub(in crate::cli) fn one_of(
    entries: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> PossibleValuesParser {
    let values = entries.into_iter();
    PossibleValuesParser::new(values.map(|(name, help)| PossibleValue::new(name).help(help)))
}

fn formats() -> PossibleValuesParser {
    one_of(
        FORMATS
            .iter()
            .map(|format| (format.name, format.description)),
    )
}

/// Flags of `report`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(in crate::cli) struct ReportArgs {
    /// Folders of run folders, however deep; with --format replication also files of collected results
    #[arg(required = true)]
    pub(in crate::cli) folders: Vec<PathBuf>,
    /// Format
    #[arg(long, value_parser = formats(), default_value = "text")]
    pub(in crate::cli) format: String,
    /// Print as JSON; the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(in crate::cli) json: bool,
    /// Write to this file instead of standard output
    #[arg(long)]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Write one self-contained page to this file; the same as --format html --output FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "json", "output"])]
    pub(in crate::cli) html: Option<PathBuf>,
    /// Points of accuracy within which ours and the published figures count as equivalent (forgetting: a hundredth)
    #[arg(long, default_value_t = crate::report::summary::MARGIN)]
    pub(in crate::cli) margin: f64,
    /// Columns of text [default: the terminal's, else 100]
    #[arg(long, value_parser = clap::value_parser!(u16).range(40..=1000))]
    pub(in crate::cli) width: Option<u16>,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}

/// What `plot --what` means by all plots.
pub(in crate::cli) const ALL_PLOTS: &str = "all";

fn plots() -> PossibleValuesParser {
    let all = (ALL_PLOTS, "all of these that the results have data for");
    one_of(
        PLOTS
            .iter()
            .map(|plot| (plot.name, plot.description))
            .chain([all]),
    )
}

fn scale(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok();
    value
        .filter(|x| (0.25..=8.0).contains(x))
        .ok_or_else(|| "it must be a number from 0.25 to 8".to_string())
}

/// Flags of `plot`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlotArgs {
    /// Folders of run folders, however deep
    #[arg(required = true)]
    pub(in crate::cli) folders: Vec<PathBuf>,
    /// What to plot; several with commas
    #[arg(long, value_parser = plots(), value_delimiter = ',', default_value = ALL_PLOTS)]
    pub(in crate::cli) what: Vec<String>,
    /// Folder for the plots
    #[arg(long)]
    pub(in crate::cli) out: PathBuf,
    /// File format
    #[arg(long, value_enum, default_value = "svg")]
    pub(in crate::cli) format: PictureFormat,
    /// Pixels a unit of 1/96 inch, for PNG: 2 gives 192 dots an inch
    #[arg(long, default_value = "2", value_parser = scale)]
    pub(in crate::cli) scale: f64,
    /// Make every plot so many pixels wide (of 1/96 inch in SVG and PDF), letters included
    #[arg(long, value_name = "PIXELS", conflicts_with = "scale", value_parser = clap::value_parser!(u16).range(100..=10_000))]
    pub(in crate::cli) width: Option<u16>,
    /// Leave out title and notes, for a paper whose caption has them
    #[arg(long)]
    pub(in crate::cli) no_title: bool,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}

/// How plots are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PictureFormat {
    Svg,
    Png,
    /// For papers
    Pdf,
}

fn metrics() -> PossibleValuesParser {
    one_of(METRICS.iter().map(|metric| (metric.name, metric.meaning)))
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompareArgs {
    /// Folder of run folders, or a selection of its runs: DIR:KEY=VALUE,KEY=VALUE
    pub(in crate::cli) a: String,
    /// The other one; without it the groups of the first are compared with one another
    pub(in crate::cli) b: Option<String>,
    /// What is compared
    #[arg(long, value_parser = metrics(), default_value = ACCURACY.name)]
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
    /// Where to write what
    #[command(flatten)]
    pub(in crate::cli) targets: ExportTargets,
    #[command(flatten)]
    pub(in crate::cli) filter: FilterArgs,
}

/// The exports that were asked for, each with its folder or file.
#[derive(Debug, Default)]
pub(in crate::cli) struct ExportTargets(pub(in crate::cli) Vec<(&'static ExportSpec, PathBuf)>);

impl Args for ExportTargets {
    fn augment_args(command: clap::Command) -> clap::Command {
        EXPORTS.iter().fold(command, |command, export| {
            command.arg(
                Arg::new(export.name)
                    .long(export.name)
                    .value_name(export.target)
                    .help(export.description)
                    .value_parser(clap::value_parser!(PathBuf)),
            )
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ExportTargets {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let target = |export: &&'static ExportSpec| {
            let path = matches.get_one::<PathBuf>(export.name)?;
            Some((*export, path.clone()))
        };
        Ok(Self(EXPORTS.iter().filter_map(target).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
