//! `tagcl list`: the names that configurations may use.

use super::args::{ListArgs, Listed};
use super::printer::Printer;
use crate::experiment::benchmark::{Benchmark, MethodName, ModelName, Named, OptimizerName};

pub(super) fn list(args: &ListArgs, printer: &Printer) {
    match args.what {
        Listed::Benchmarks => print::<Benchmark>(args.json, printer),
        Listed::Methods => print::<MethodName>(args.json, printer),
        Listed::Optimizers => print::<OptimizerName>(args.json, printer),
        Listed::Models => print::<ModelName>(args.json, printer),
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
