//! `tagcl compare`: tests, ranks and cost of groups of runs.

use std::path::{Path, PathBuf};

use super::CliError;
use super::args::CompareArgs;
use super::printer::Printer;
use super::report::{filter, load_all};
use crate::report::compare::{Side, compare};
use crate::report::compare_text::text;
use crate::report::metric::METRICS;

/// A folder, or a folder and conditions: `runs:method=er,optimizer=sgd`.
fn selection(operand: &str) -> (PathBuf, Vec<String>) {
    if !Path::new(operand).exists()
        && let Some((folder, conditions)) = operand.rsplit_once(':')
        && conditions.contains('=')
    {
        // A comma before `key=` ends a condition; others separate values of one.
        let mut list: Vec<String> = Vec::new();
        for part in conditions.split(',') {
            match list.last_mut() {
                Some(last) if !part.contains('=') => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => list.push(part.to_string()),
            }
        }
        return (PathBuf::from(folder), list);
    }
    (PathBuf::from(operand), Vec::new())
}

pub(super) fn run(args: &CompareArgs, printer: &Printer) -> Result<(), CliError> {
    let Some(metric) = METRICS.iter().find(|metric| metric.name == args.metric) else {
        return Err(CliError::Usage(format!("unknown metric `{}`", args.metric)));
    };
    let mut sides = Vec::new();
    for operand in std::iter::once(&args.a).chain(&args.b) {
        let (folder, conditions) = selection(operand);
        let mut filter = filter(&args.filter)?;
        for condition in &conditions {
            filter.require_text(condition)?;
        }
        let loaded = load_all(&[folder], &filter)?;
        if loaded.runs.is_empty() {
            return Err(CliError::Failed(format!(
                "{operand} has no run with a result"
            )));
        }
        sides.push(Side::new(operand.clone(), loaded));
    }
    let comparisons = compare(sides, metric);
    if args.json {
        let json = serde_json::to_string_pretty(&comparisons)
            .map_err(|e| CliError::Failed(format!("cannot print as JSON: {e}")))?;
        printer.data(&json);
    } else {
        printer.data(&text(&comparisons, &printer.page()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_folders_with_or_without_conditions() {
        let of = |operand: &str| {
            let (folder, conditions) = selection(operand);
            (folder.display().to_string(), conditions.join("; "))
        };
        assert_eq!(of("runs"), ("runs".to_string(), String::new()));
        assert_eq!(
            of("runs:optimizer=sgd,adam,lr=0.1"),
            ("runs".to_string(), "optimizer=sgd,adam; lr=0.1".to_string())
        );
        assert_eq!(of("a:b"), ("a:b".to_string(), String::new()));
    }
}
