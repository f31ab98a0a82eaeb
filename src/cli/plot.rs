//! `tagcl plot`: plots of result folders as files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::CliError;
use super::args::FilterArgs;
use super::printer::Printer;
use super::report::{filter, load_all};
use crate::experiment::run::store::write_atomically;
use crate::report::plot::{Figure, PlotError, PlotKind, plots};
use crate::report::summary::{MARGIN, Report};

#[derive(Debug, Args)]
pub(super) struct PlotArgs {
    /// Folders of run folders, however deep
    #[arg(required = true)]
    pub(super) folders: Vec<PathBuf>,
    /// What to plot; several with commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(super) what: Vec<What>,
    /// Folder for the plots
    #[arg(long)]
    pub(super) out: PathBuf,
    /// File format
    #[arg(long, value_enum, default_value = "svg")]
    pub(super) format: Format,
    /// Pixels a unit of 1/96 inch, for PNG: 2 gives 192 dots an inch
    #[arg(long, default_value = "2", value_parser = scale)]
    pub(super) scale: f64,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

fn scale(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok();
    value
        .filter(|x| (0.25..=8.0).contains(x))
        .ok_or_else(|| "it must be a number from 0.25 to 8".to_string())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Svg,
    Png,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Average accuracy after each task
    Curves,
    /// Accuracy on every task after every task
    Matrix,
    /// Forgetting by task
    Forgetting,
    /// TAG's α(t,τ): course and heat map
    Alpha,
    /// TAG's α by parameter tensor
    AlphaLayers,
    /// Metrics by group
    Bars,
    /// Accuracy against time
    Cost,
    /// Accuracy against each setting of a sweep
    Sensitivity,
    /// All of these that the results have data for
    All,
}

impl What {
    fn kind(self) -> Option<PlotKind> {
        Some(match self {
            Self::Curves => PlotKind::Curves,
            Self::Matrix => PlotKind::Matrix,
            Self::Forgetting => PlotKind::Forgetting,
            Self::Alpha => PlotKind::Alpha,
            Self::AlphaLayers => PlotKind::AlphaLayers,
            Self::Bars => PlotKind::Bars,
            Self::Cost => PlotKind::Cost,
            Self::Sensitivity => PlotKind::Sensitivity,
            Self::All => return None,
        })
    }
}

pub(super) fn plot(args: &PlotArgs, printer: &Printer) -> Result<(), CliError> {
    let loaded = load_all(&args.folders, &filter(&args.filter)?)?;
    for damaged in &loaded.damaged {
        printer.note(&format!(
            "left out: {}: {}",
            damaged.path.display(),
            damaged.reason
        ));
    }
    let report = Report::new(loaded, MARGIN);
    let mut figures: Vec<Figure> = Vec::new();
    let all = args.what.contains(&What::All);
    let kinds: Vec<PlotKind> = if all {
        PlotKind::ALL.to_vec()
    } else {
        args.what.iter().filter_map(|what| what.kind()).collect()
    };
    let mut lacking = None;
    for kind in kinds {
        match plots(kind, &report.runs, &report.groups) {
            Ok(drawn) => figures.extend(drawn),
            // Of all plots, those that the results have data for.
            Err(error @ PlotError::Lacking { .. }) if all => {
                printer.note(&error.to_string());
                lacking = Some(error);
            }
            Err(error) => return Err(CliError::Failed(error.to_string())),
        }
    }
    if let (true, Some(error)) = (figures.is_empty(), lacking) {
        return Err(CliError::Failed(error.to_string()));
    }
    std::fs::create_dir_all(&args.out)
        .map_err(|e| CliError::Failed(format!("cannot create {}: {e}", args.out.display())))?;
    for figure in &figures {
        let (extension, bytes) = match args.format {
            Format::Svg => ("svg", figure.svg().into_bytes()),
            Format::Png => {
                let bytes = figure
                    .png(args.scale)
                    .map_err(|e| CliError::Failed(e.to_string()))?;
                ("png", bytes)
            }
        };
        let path = args.out.join(format!("{}.{extension}", figure.name));
        write_atomically(&path, &bytes)?;
        printer.data(&path.display().to_string());
    }
    Ok(())
}
