//! `tagcl list`: the names that configurations may use.

use super::args::{ListArgs, Listed};
use super::printer::Printer;
use crate::experiment::benchmark::{Benchmark, MethodName, ModelName, Named, OptimizerName};
use crate::experiment::registry::{Documented, HyperParameter};

pub(super) fn list(args: &ListArgs, printer: &Printer) {
    match args.what {
        Listed::Benchmarks => print::<Benchmark>(args.json, printer),
        Listed::Methods => print_documented::<MethodName>(args.json, printer),
        Listed::Optimizers => print_documented::<OptimizerName>(args.json, printer),
        Listed::Models => print::<ModelName>(args.json, printer),
    }
}

/// Names with source and hyper-parameters.
fn print_documented<N: Named + Documented>(json: bool, printer: &Printer) {
    if json {
        let rows: Vec<_> = N::ALL
            .iter()
            .map(|x| {
                serde_json::json!({
                    "name": x.name(),
                    "description": x.description(),
                    "paper": x.paper(),
                    "hyper_parameters": x.hyper_parameters(),
                })
            })
            .collect();
        printer.data(&format!("{:#}", serde_json::Value::Array(rows)));
        return;
    }
    for x in N::ALL {
        printer.data(&format!("{}  {}", x.name(), x.description()));
        if !x.paper().is_empty() {
            printer.data(&format!("    {}", x.paper()));
        }
        for HyperParameter {
            name,
            default,
            range,
        } in x.hyper_parameters()
        {
            printer.data(&format!("    {name} [{default}]: {range}"));
        }
    }
}

fn print<N: Named>(json: bool, printer: &Printer) {
    if json {
        let rows: Vec<_> = N::ALL
            .iter()
            .map(|x| serde_json::json!({"name": x.name(), "description": x.description()}))
            .collect();
        printer.data(&format!("{:#}", serde_json::Value::Array(rows)));
        return;
    }
    let width = N::ALL.iter().map(|x| x.name().len()).max().unwrap_or(0);
    for x in N::ALL {
        printer.data(&format!("{:width$}  {}", x.name(), x.description()));
    }
}
