//! `tagcl show`: one run, with what no table has room for: which classes are in which task, and which logit is which class.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::CliError;
use super::args::ShowRunArgs;
use super::printer::Printer;
use crate::experiment::run::result::{RunResult, TaskClasses, parse_without_alpha};
use crate::experiment::run::store::RESULT;
use crate::report::identity::settings;
use crate::report::metric::METRICS;

pub(super) fn show_run(args: &ShowRunArgs, printer: &Printer) -> Result<(), CliError> {
    let folder = args.run.is_dir();
    let path = if folder {
        args.run.join(RESULT)
    } else {
        args.run.clone()
    };
    let shown = path.display();
    let bytes = std::fs::read(&path).map_err(|error| {
        let remedy = match (folder, error.kind()) {
            (true, std::io::ErrorKind::NotFound) => {
                "; give the folder of one finished run (tagcl status DIR --all shows them)"
            }
            _ => "",
        };
        CliError::Failed(format!("cannot read {shown}: {error}{remedy}"))
    })?;
    let result =
        parse_without_alpha(&bytes).map_err(|e| CliError::Failed(format!("{shown}: {e}")))?;
    if args.json {
        let value = serde_json::to_string_pretty(&result);
        printer.data(&value.map_err(|e| CliError::Failed(format!("{shown}: {e}")))?);
    } else {
        printer.data(&text(&result));
    }
    Ok(())
}

fn text(result: &RunResult) -> String {
    let (config, machine) = (&result.config, &result.provenance);
    let words: Vec<String> = settings(config)
        .into_iter()
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    let metrics: Vec<String> = METRICS
        .iter()
        .filter_map(|metric| {
            let value = (metric.of)(&result.metrics)?;
            Some(format!("{} {value:.*}", metric.title, metric.digits))
        })
        .collect();
    let mut lines = vec![
        result.run_id.clone(),
        format!(
            "  {}: {} with {}, seed {}",
            config.benchmark.name(),
            config.method.name,
            config.optimizer.name,
            config.seed
        ),
        format!("  {}", words.join(", ")),
        format!("  {}", metrics.join("; ")),
        format!(
            "  {:.1} s, of which {:.1} s in {} training steps and {:.1} s in evaluation; tagcl {}, {} kernels, {} thread(s), {}",
            result.cost.wall_s,
            result.cost.train_s,
            result.cost.steps,
            result.cost.eval_s,
            machine.version,
            machine.kernels,
            machine.threads,
            machine.cpu
        ),
        format!("  images and labels: sha256 {}", machine.data_sha256),
    ];
    lines.extend(
        machine
            .data_note
            .as_ref()
            .map(|note| format!("  data: {note}")),
    );
    if let Some(taken) = &result.initial_weights {
        let mut line = format!("  initial weights: {} tensors from the file", taken.tensors);
        for more in [taken.source.clone().unwrap_or_default(), taken.left_out()] {
            if !more.is_empty() {
                line = format!("{line}; {more}");
            }
        }
        lines.push(line);
    }
    lines.push(tasks(result));
    lines.join("\n")
}

/// A line a task: its logits, its accuracy when it was learned and at the end, and its classes in the logits' order.
fn tasks(result: &RunResult) -> String {
    if result.task_classes.is_empty() {
        return "  tasks: the result is from before classes were recorded".to_string();
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "task",
        "logits",
        "learned %",
        "at the end %",
        "classes, in the order of the logits",
    ]);
    let rows = result.accuracy_matrix.rows();
    let sequential = !result.accuracy_matrix.is_only_final();
    let figure = |value: Option<&f64>| {
        let text = value.map_or("–".to_string(), |x| format!("{x:.2}"));
        Cell::new(text).set_alignment(CellAlignment::Right)
    };
    for (t, task) in result.task_classes.iter().enumerate() {
        let learned = rows
            .get(t)
            .filter(|_| sequential)
            .and_then(|row| row.get(t));
        table.add_row([
            Cell::new(t + 1),
            Cell::new(logits(task)),
            figure(learned),
            figure(rows.last().and_then(|row| row.get(t))),
            Cell::new(names(task)),
        ]);
    }
    table.to_string()
}

fn logits(task: &TaskClasses) -> String {
    let first = task.first_logit;
    match task.classes.len() {
        0 | 1 => first.to_string(),
        n => format!("{first}–{}", first + n - 1),
    }
}

/// `apple (0), bear (3)`, with the class's number in the data set where it is not the name.
fn names(task: &TaskClasses) -> String {
    let named = task.names.iter().zip(&task.classes).map(|(name, class)| {
        let number = class.to_string();
        if *name == number {
            number
        } else {
            format!("{name} ({class})")
        }
    });
    named.collect::<Vec<_>>().join(", ")
}
