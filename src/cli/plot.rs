//! `tagcl plot`: plots of result folders as files.

use super::CliError;
use super::args::{ALL_PLOTS, PictureFormat, PlotArgs};
use super::printer::Printer;
use super::report::{filter, load_all, name_damaged};
use crate::report::plot::{Figure, PLOTS, PlotError, plots};
use crate::report::summary::{MARGIN, Report};

pub(super) fn plot(args: &PlotArgs, printer: &Printer) -> Result<(), CliError> {
    let loaded = load_all(&args.folders, &filter(&args.filter)?)?;
    name_damaged(&loaded, printer);
    let report = Report::new(loaded, MARGIN);
    let mut figures: Vec<Figure> = Vec::new();
    let all = args.what.iter().any(|what| what == ALL_PLOTS);
    let kinds = PLOTS
        .iter()
        .filter(|kind| all || args.what.iter().any(|what| what == kind.name));
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
    for figure in figures {
        let figure = if args.no_title {
            figure.without_heading()
        } else {
            figure
        };
        let scale = |usual: f64| {
            args.width
                .map_or(usual, |pixels| figure.scale_to(pixels.into()))
        };
        let (extension, bytes) = match args.format {
            PictureFormat::Svg => ("svg", figure.svg_at(scale(1.0)).into_bytes()),
            PictureFormat::Png => {
                let bytes = figure
                    .png(scale(args.scale))
                    .map_err(|e| CliError::Failed(e.to_string()))?;
                ("png", bytes)
            }
            PictureFormat::Pdf => {
                let bytes = figure.pdf(scale(1.0));
                ("pdf", bytes.map_err(|e| CliError::Failed(e.to_string()))?)
            }
        };
        let path = args.out.join(format!("{}.{extension}", figure.name));
        crate::files::write(&path, &bytes)?;
        printer.data(&path.display().to_string());
    }
    Ok(())
}
