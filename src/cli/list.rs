//! `tagcl list`: the names that configurations may use, and the settings.

use super::args::{ListArgs, Listed};
use super::printer::Printer;
use crate::experiment::benchmark::BenchmarkSpec;
use crate::experiment::plan::settings::entries;
use crate::experiment::plan::settings::reference::{Described, describe, markdown, of_owner};
use crate::method::MethodSpec;
use crate::model::ModelSpec;
use crate::optim::OptimizerSpec;
use crate::settings::Named;

pub(super) fn list(args: &ListArgs, printer: &Printer) {
    if args.markdown && args.what == Listed::Settings {
        printer.data(markdown().trim_end());
        return;
    }
    match args.what {
        Listed::Benchmarks => print::<BenchmarkSpec>(args.json, printer, None),
        Listed::Methods => print::<MethodSpec>(args.json, printer, Some(|spec| spec.source)),
        Listed::Optimizers => print::<OptimizerSpec>(args.json, printer, Some(|spec| spec.source)),
        Listed::Models => print::<ModelSpec>(args.json, printer, None),
        Listed::Settings => settings(args.json, printer),
    }
}

/// Names and descriptions; with source and own settings of what has a source.
fn print<N: Named>(json: bool, printer: &Printer, source: Option<fn(&N) -> &'static str>) {
    if json {
        let row = |spec: &&N| {
            let mut row =
                serde_json::json!({"name": spec.name(), "description": spec.description()});
            if let (Some(source), Some(row)) = (source, row.as_object_mut()) {
                row.insert("paper".to_string(), source(spec).into());
                let own = of_owner(spec.name());
                row.insert("hyper_parameters".to_string(), serde_json::json!(own));
            }
            row
        };
        let rows: Vec<_> = N::all().iter().map(row).collect();
        printer.data(&format!("{:#}", serde_json::Value::Array(rows)));
        return;
    }
    let width = N::all().iter().map(|spec| spec.name().len()).max();
    let width = width.filter(|_| source.is_none()).unwrap_or(0);
    for spec in N::all() {
        printer.data(&format!("{:width$}  {}", spec.name(), spec.description()));
        let Some(source) = source else { continue };
        if !source(spec).is_empty() {
            printer.data(&format!("    {}", source(spec)));
        }
        for own in of_owner(spec.name()) {
            printer.data(&format!("    {}", line(&own)));
        }
    }
}

fn line(own: &Described) -> String {
    format!("{} [{}]: {}", own.name, own.default, own.range)
}

fn settings(json: bool, printer: &Printer) {
    let all: Vec<Described> = entries().iter().map(describe).collect();
    if json {
        printer.data(&format!("{:#}", serde_json::json!(all)));
        return;
    }
    for own in all {
        printer.data(&line(&own));
        printer.data(&format!("    {}", own.description));
        if !own.only_for.is_empty() {
            printer.data(&format!("    only for {}", own.only_for));
        }
    }
}
