//! `tagcl data show`: a data set in numbers and as a contact sheet.

use super::CliError;
use super::args::ShowArgs;
use super::data_progress::{DataProgress, cache_folder};
use super::printer::Printer;
use crate::data::contact::contact_sheet;
use crate::data::{self, Dataset, ImageSet};
use crate::experiment::benchmark::BenchmarkSpec;
use crate::experiment::benchmark::custom::CustomBenchmark;
use crate::experiment::benchmark::sources::load_benchmark;
use crate::settings::find;

/// The data set of this name.
pub(super) fn parse(name: &str) -> Result<data::DataName, CliError> {
    name.parse()
        .map_err(|e: data::DataError| CliError::Usage(e.to_string()))
}

/// As JSON for people and programs.
pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What is printed of one half.
#[derive(serde::Serialize)]
struct Half {
    images: usize,
    class_counts: Vec<usize>,
    channel_means: Vec<f64>,
    sha256: String,
}

impl Half {
    fn of(set: &ImageSet) -> Self {
        Self {
            images: set.len(),
            class_counts: set.class_counts(),
            channel_means: set.channel_means(),
            sha256: set.sha256(),
        }
    }
}

pub(super) fn show(args: &ShowArgs, printer: &Printer) -> Result<(), CliError> {
    let data = {
        let cache = cache_folder(&args.data);
        let watch = DataProgress::new(printer);
        let options = data::LoadOptions {
            cache: Some(&cache),
            watch: &watch,
        };
        let path = std::path::Path::new(&args.name);
        match find::<BenchmarkSpec>(&args.name) {
            _ if path.extension().is_some_and(|ending| ending == "toml") => {
                let custom = CustomBenchmark::read(path)
                    .map_err(|error| CliError::Usage(error.to_string()))?;
                let cache = cache_folder(custom.path.parent().unwrap_or(&args.data));
                custom.load(data::LoadOptions {
                    cache: Some(&cache),
                    ..options
                })?
            }
            Some(benchmark) => load_benchmark(benchmark, &args.data, options)?,
            None => data::load_with(parse(&args.name)?, &args.data, options)?,
        }
    };
    if args.png.is_some() && data.train.features().is_some() {
        return Err(CliError::Usage(format!(
            "{} gives features, which are no images to look at: leave --png out",
            data.name
        )));
    }
    if let Some(path) = &args.png {
        contact_sheet(&data.train).write_png(path)?;
        printer.note(&format!(
            "contact sheet of the training images: {}",
            path.display()
        ));
    }
    print(&data, args.json, printer);
    Ok(())
}

fn print(data: &Dataset, json: bool, printer: &Printer) {
    let halves = [
        ("train", Half::of(&data.train)),
        ("test", Half::of(&data.test)),
    ];
    if json {
        let [(_, train), (_, test)] = halves;
        printer.data(&to_json(&serde_json::json!({
            "name": data.name,
            "shape": data.train.shape(),
            "classes": data.train.classes(),
            "train": train,
            "test": test,
            "sha256": data.sha256(),
            "note": data.note,
        })));
        return;
    }
    let (shape, classes) = (data.train.shape(), data.train.classes());
    let (what, means_of) = match data.train.features() {
        None => (
            format!("images of {shape} (channels, height, width)"),
            "images, channel means",
        ),
        Some(_) => (format!("vectors of {} features", shape.width), "rows, mean"),
    };
    printer.data(&format!("{}: {what}, {classes} classes", data.name));
    let a_class = means_of.split(',').next().unwrap_or_default();
    for (name, half) in halves {
        let means: Vec<_> = half
            .channel_means
            .iter()
            .map(|mean| format!("{mean:.4}"))
            .collect();
        printer.data(&format!(
            "  {name}: {} {means_of} {}, {a_class} a class:",
            half.images,
            means.join(" ")
        ));
        for counts in half.class_counts.chunks(20) {
            let counts: Vec<_> = counts.iter().map(ToString::to_string).collect();
            printer.data(&format!("    {}", counts.join(" ")));
        }
    }
    printer.data(&format!("  sha256 of images and labels: {}", data.sha256()));
    if let Some(note) = &data.note {
        printer.data(&format!("  note: {note}"));
    }
}
