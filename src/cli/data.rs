//! `tagcl data`: what is there, what is missing, putting it in place, checking it.

use std::path::Path;

use super::CliError;
use super::args::{DataArgs, DataCommand};
use super::data_progress::DataProgress;
use super::printer::Printer;
use super::show::{parse, show, to_json};
use crate::data::fetch::FetchOptions;
use crate::data::{self, DataName, VerifyReport};

pub(super) fn data(args: &DataArgs, printer: &Printer) -> Result<(), CliError> {
    match &args.command {
        DataCommand::List { data, json } => {
            list(data, *json, printer);
            Ok(())
        }
        DataCommand::Get {
            name,
            from,
            sha256,
            data,
        } => get(
            parse(name)?,
            from.as_deref(),
            sha256.as_deref(),
            data,
            printer,
        ),
        DataCommand::Import { name, path, data } => {
            let report = data::import(parse(name)?, path, data)?;
            let verb = if report.already_present {
                "already there, identical"
            } else {
                "imported"
            };
            printer.note(&format!("{name}: {verb}: {}", report.path.display()));
            print_report(&report.verified, printer);
            Ok(())
        }
        DataCommand::Show(args) => show(args, printer),
        DataCommand::Verify { name, data, json } => {
            let report = data::verify(parse(name)?, data)?;
            if *json {
                printer.data(&to_json(&report));
            } else {
                print_report(&report, printer);
            }
            if report.is_ok() {
                return Ok(());
            }
            Err(CliError::Failed(format!(
                "{name}: {}",
                report.problems.join("; ")
            )))
        }
    }
}

fn get(
    name: DataName,
    place: Option<&str>,
    sha256: Option<&str>,
    folder: &Path,
    printer: &Printer,
) -> Result<(), CliError> {
    printer.note(&format!("{name}: {}", name.description));
    printer.note(&format!("licence: {}", name.licence));
    let watch = DataProgress::new(printer);
    let from = place.map(|place| data::Elsewhere { place, sha256 });
    let report = data::get(name, folder, from, &FetchOptions::new(&watch))?;
    drop(watch);
    let verb = if report.already_present {
        "already there, nothing was done"
    } else {
        "downloaded and checked"
    };
    printer.data(&format!(
        "{name}: {verb}: {}",
        report.located.path.display()
    ));
    Ok(())
}

fn list(folder: &Path, json: bool, printer: &Printer) {
    let statuses = data::status(folder);
    if json {
        printer.data(&to_json(&statuses));
        return;
    }
    printer.data(&format!("data folder: {}", folder.display()));
    for status in statuses {
        let place = match &status.located {
            Some(l) => format!("{} ({:.1} MB)", l.path.display(), l.bytes as f64 / 1e6),
            None => "absent".to_string(),
        };
        let place = match status.images_at_most {
            Some(images) => {
                let (train, test) = status.name.counts();
                format!("{place}, NOT COMPLETE: {images} of {} images", train + test)
            }
            None => place,
        };
        printer.data(&format!("\n{}: {place}", status.name));
        printer.data(&format!("  {}", status.description));
        printer.data(&format!("  licence: {}", status.licence));
        if let Some(advice) = &status.advice {
            printer.data(&format!("  {advice}"));
        }
    }
    for sample in data::DATA_SETS.iter().filter_map(|name| name.sample) {
        printer.data(&format!(
            "\n{}: in the program (--data embedded)",
            sample.name
        ));
        printer.data(&format!("  licence: {}", sample.licence));
    }
}

fn print_report(report: &VerifyReport, printer: &Printer) {
    printer.data(&format!("{} in {}", report.name, report.path.display()));
    for file in &report.files {
        printer.data(&format!(
            "  {}  {:>11} bytes  sha256 {}",
            file.file, file.bytes, file.sha256
        ));
    }
    for (part, set) in [("train", &report.train), ("test", &report.test)] {
        let (least, most) = (set.class_counts.iter().min(), set.class_counts.iter().max());
        let means: Vec<String> = set
            .channel_means
            .iter()
            .map(|m| format!("{m:.4}"))
            .collect();
        printer.data(&format!(
            "  {part}: {} images (official: {}), {} classes of {} to {}, channel means {}",
            set.images,
            set.expected_images,
            set.class_counts.len(),
            least.unwrap_or(&0),
            most.unwrap_or(&0),
            means.join(" ")
        ));
    }
    printer.data(&format!("  sha256 of images and labels: {}", report.sha256));
    printer.data(&format!(
        "  images and labels are {}",
        report.content.text()
    ));
    if let Some(note) = &report.note {
        printer.data(&format!("  note: {note}"));
    }
    for problem in &report.problems {
        printer.data(&format!("  PROBLEM: {problem}"));
    }
}
