//! `tagcl replicate`: the paper's tables and figures.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use super::CliError;
use super::args::ReplicateArgs;
use super::batch::Place;
use super::beforehand::{DataState, Sizes};
use super::cluster::engine;
use super::execute::{initial_weights, require_data, summary};
use super::printer::Printer;
use super::run::plan_with_init;
use super::sweep;
use crate::experiment::paper::replicate::{
    PaperStream, ROTATED_MNIST, Replication, Row, all_rows, neighbours, only, rows,
};
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{Plan, PlannedRun};
use crate::experiment::search::cost::{Costs, Estimate};
use crate::experiment::search::sweep::{Selection, Sweep};
use crate::settings::parse_name;

/// What everything that the paper has of data sets is called.
const ALL: &str = "all";
/// What the runs of other programs are called as a whole.
pub(super) const NEIGHBOURS: &str = "neighbours";

/// A row with its runs.
struct Planned {
    row: Row,
    runs: Vec<PlannedRun>,
}

pub(super) fn replicate(args: &ReplicateArgs, printer: &Printer) -> Result<(), CliError> {
    let rows = wanted_rows(args)?;
    if !args.batch.dry_run {
        for row in &rows {
            for note in &row.notes {
                printer.note(&format!("{}: {note}", name(row, &rows)));
            }
        }
    }
    let rows = match grid_search(args, &rows)? {
        Some(sweep) => return sweep::run(&sweep, &args.batch, &overrides(args), printer),
        None => rows,
    };
    let mut typed = args.batch.typed();
    typed.extend(overrides(args));
    let (mut planned, mut seen) = (Vec::new(), BTreeSet::new());
    let (mut how, mut said) = (None, BTreeSet::new());
    for row in rows {
        let (plan, init) = plan_with_init(row.settings_with(&typed)?)?;
        if let Some(bytes) = &init {
            let configs = plan.runs.iter().map(|run| &run.config);
            for line in initial_weights(configs, bytes)? {
                if said.insert(line.clone()) {
                    printer.note(&line);
                }
            }
        }
        // One configuration may stand in several tables.
        let runs = plan
            .runs
            .iter()
            .filter(|run| seen.insert(run.config.run_id()))
            .cloned();
        planned.push(Planned {
            row,
            runs: runs.collect(),
        });
        how.get_or_insert((plan, init));
    }
    let Some((plan, _)) = how else {
        return Ok(());
    };
    if args.batch.dry_run {
        return dry_run(&planned, &plan, args.batch.json, printer);
    }
    let runs: Vec<PlannedRun> = planned.into_iter().flat_map(|p| p.runs).collect();
    require_data(runs.iter().map(|run| &run.config), plan.data.as_deref())?;
    let place = Place::of(&plan, &args.batch);
    let statuses = engine(&place, &args.batch, printer)?.execute(&args.what, &runs)?;
    summary(&runs, &statuses, &place.out, args.batch.json, printer).map(|_| ())
}

/// The settings that the command line gives beside those of every list of runs.
fn overrides(args: &ReplicateArgs) -> Vec<(&'static str, String)> {
    let typed = [
        ("seeds", &args.seeds),
        ("fraction", &args.fraction),
        ("test_fraction", &args.test_fraction),
        ("init", &args.init),
    ];
    let typed = typed
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)));
    let angles = args.exact_angles.then(|| ("angles", "exact".to_string()));
    typed.chain(angles).collect()
}

/// The search of these rows, if they are of the appendix on hyper-parameters: every method competes with itself.
fn grid_search(args: &ReplicateArgs, rows: &[Row]) -> Result<Option<Sweep>, CliError> {
    if rows.iter().all(|row| row.grid.is_none()) {
        return Ok(None);
    }
    let selection = Selection {
        validation: "0.1".to_string(),
        seeds: args.seeds.clone().unwrap_or_else(|| "1-5".to_string()),
        halving: None,
    };
    Ok(Some(Sweep::of_rows(rows, selection)?))
}

fn wanted_rows(args: &ReplicateArgs) -> Result<Vec<Row>, CliError> {
    if args.datasets.len() > 1 && args.what != ALL {
        return Err(CliError::Usage(format!(
            "{} takes one data set, not {}; several are for {ALL}: tagcl replicate {ALL} {}",
            args.what,
            args.datasets.len(),
            args.datasets.join(" ")
        )));
    }
    if args.what == NEIGHBOURS {
        if args.epochs.is_some() {
            return Err(CliError::Usage(format!(
                "--epochs has no effect on {NEIGHBOURS}: it is only for baselines and all; leave it out"
            )));
        }
        let program = args.datasets.first().map(String::as_str);
        return Ok(only(neighbours(program)?, &args.only)?);
    }
    let streams = streams(args)?;
    if let Some(epochs) = args.epochs {
        if !["baselines", ALL].contains(&args.what.as_str()) {
            return Err(CliError::Usage(format!(
                "--epochs has no effect on {}: it is only for baselines and all; leave it out",
                args.what
            )));
        }
        if epochs == 0 {
            return Err(CliError::Usage(
                "--epochs must be a whole number from 1".to_string(),
            ));
        }
    }
    let mut found = Vec::new();
    for stream in streams {
        found.extend(if args.what == ALL {
            let both = [1, 5];
            let epochs = args.epochs.as_ref();
            all_rows(stream, epochs.map_or(&both[..], std::slice::from_ref))?
        } else {
            let what = parse_name::<Replication>(&args.what)?;
            rows(what, stream, args.epochs.unwrap_or(1))?
        });
    }
    Ok(only(found, &args.only)?)
}

/// The data sets that were named, each once.
fn streams(args: &ReplicateArgs) -> Result<Vec<&'static PaperStream>, CliError> {
    if args.datasets.is_empty() {
        if args.what == "rotated-mnist" {
            return Ok(vec![&ROTATED_MNIST]);
        }
        return Err(CliError::Usage(format!(
            "which data set? cifar, mini_imagenet, cub or 5data: tagcl replicate {} cifar",
            args.what
        )));
    }
    let mut streams: Vec<&'static PaperStream> = Vec::new();
    for name in &args.datasets {
        let stream = match PaperStream::parse_any(name) {
            Some(stream) => stream,
            None => parse_name(name)?,
        };
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    Ok(streams)
}

/// What a row is called: its label, behind its benchmark where rows of several data sets share labels.
fn name(row: &Row, rows: &[Row]) -> String {
    let benchmarks: BTreeSet<&str> = rows.iter().map(Row::benchmark).collect();
    let labels: BTreeSet<(&str, &str)> = rows.iter().map(|r| (&*r.label, r.benchmark())).collect();
    let distinct: BTreeSet<&str> = labels.iter().map(|(label, _)| *label).collect();
    if benchmarks.len() > 1 && distinct.len() < labels.len() {
        format!("{}, {}", row.benchmark(), row.label)
    } else {
        row.label.clone()
    }
}

fn dry_run(
    planned: &[Planned],
    plan: &Plan,
    json: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let found = Sizes::new(plan.data.as_deref(), printer);
    let sizes = |config: &RunConfig| found.of(config);
    let mut costs = Costs::new(&sizes);
    printer.note("measuring a few steps of each kind on this machine ...");
    let (mut total, mut count, mut listed) = (0.0, 0, Vec::new());
    let rows: Vec<Row> = planned.iter().map(|planned| planned.row.clone()).collect();
    let mut text = String::new();
    for Planned { row, runs } in planned {
        let Some(first) = runs.first() else {
            let name = name(row, &rows);
            let _ = writeln!(text, "{name}: as another row ({})", row.source);
            continue;
        };
        let Estimate { steps, seconds, .. } = costs.of(&first.config)?;
        total += seconds * runs.len() as f64;
        count += runs.len();
        let config = &first.config;
        let _ = writeln!(
            text,
            "{}: {} {}, lr {}, {} epoch(s), {} run(s) of {steps} steps, about {:.0} s each ({})",
            name(row, &rows),
            config.method.name,
            config.optimizer.name,
            config.lr,
            config.epochs,
            runs.len(),
            seconds.ceil(),
            row.source
        );
        for note in &row.notes {
            let _ = writeln!(text, "    {note}");
        }
        for run in runs {
            listed.push(json!({
                "label": row.label,
                "source": row.source,
                "run_id": run.config.run_id(),
                "seed": run.config.seed,
                "notes": row.notes,
                "steps": steps,
                "seconds": seconds,
                "config": run.config,
            }));
        }
    }
    let data = data_states(planned, plan);
    if json {
        let mut states: Vec<_> = data.iter().map(DataState::to_json).collect();
        let data_json = match states.len() {
            1 => states.remove(0),
            _ => json!(states),
        };
        printer.data(&format!(
            "{:#}",
            json!({"runs": listed, "seconds": total, "data": data_json})
        ));
        return data.iter().try_for_each(DataState::must_be_there);
    }
    let _ = writeln!(
        text,
        "{count} runs, about {:.1} hours on one core of this machine (measured over a few steps of each kind)",
        total / 3600.0
    );
    for state in &data {
        let _ = writeln!(text, "{state}");
    }
    printer.data(&text);
    data.iter().try_for_each(DataState::must_be_there)
}

/// Whether the images of all benchmarks are there, each answer once.
fn data_states(planned: &[Planned], plan: &Plan) -> Vec<DataState> {
    let (mut seen, mut said) = (BTreeSet::new(), BTreeSet::new());
    let firsts = planned.iter().filter_map(|planned| planned.runs.first());
    firsts
        .filter(|run| seen.insert(run.config.benchmark.name().to_string()))
        .map(|run| DataState::of(&run.config, plan.data.as_deref()))
        .filter(|state| said.insert(state.to_string()))
        .collect()
}
