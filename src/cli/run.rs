//! `tagcl run`: one configuration, one or more seeds.

use super::CliError;
use super::args::RunArgs;
use super::beforehand::{DataState, Memory, Sizes, jobs};
use super::execute::{Execution, execute, initial_weights};
use super::printer::Printer;
use super::setting_flags::ENVIRONMENT;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{Origin, Plan, Settings};
use crate::experiment::run::runner::sha256;
use crate::experiment::search::cost::{Costs, Estimate};

pub(super) fn run(args: &RunArgs, printer: &Printer) -> Result<(), CliError> {
    if args.device != "cpu" {
        return Err(CliError::Usage(format!(
            "unknown device `{}`; known: cpu",
            args.device
        )));
    }
    let (plan, init) = plan_with_init(settings(args)?)?;
    if args.dry_run {
        if let Some(bytes) = &init {
            for line in initial_weights(plan.runs.iter().map(|run| &run.config), bytes)? {
                printer.note(&line);
            }
        }
        return dry_run(&plan, args.json, printer);
    }
    let how = Execution {
        out: &plan.out,
        data: plan.data.as_deref(),
        init: init.as_deref(),
        jobs: plan.jobs,
        threads: plan.threads,
        checkpoint_every: plan.checkpoint_every,
        json: args.json,
    };
    execute(&plan.runs, &how, printer).map(|_| ())
}

/// The plan, with the file of initial weights read and its checksum in every configuration.
pub(super) fn plan_with_init(mut settings: Settings) -> Result<(Plan, Option<Vec<u8>>), CliError> {
    let plan = settings.plan()?;
    let Some(path) = &plan.init else {
        return Ok((plan, None));
    };
    let bytes = std::fs::read(path)
        .map_err(|e| CliError::Failed(format!("cannot read {}: {e}", path.display())))?;
    settings.set("init_sha256", &sha256(&bytes), Origin::CommandLine)?;
    Ok((settings.plan()?, Some(bytes)))
}

fn settings(args: &RunArgs) -> Result<Settings, CliError> {
    let mut settings = match &args.config {
        None => Settings::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| CliError::Usage(format!("cannot read {}: {e}", path.display())))?;
            Settings::from_toml(&text, &path.display().to_string())?
        }
    };
    for (key, variable) in ENVIRONMENT {
        // An empty variable is how shells write one that is not set.
        if let Some(value) = std::env::var(variable)
            .ok()
            .filter(|value| !value.is_empty())
        {
            settings.set(key, &value, Origin::Environment(variable))?;
        }
    }
    for (key, value) in &args.settings.0 {
        settings.set(key, value, Origin::CommandLine)?;
    }
    Ok(settings)
}

fn dry_run(plan: &Plan, json: bool, printer: &Printer) -> Result<(), CliError> {
    let Some(first) = plan.runs.first() else {
        return Ok(());
    };
    let found = Sizes::new(plan.data.as_deref(), printer);
    let sizes = |config: &RunConfig| found.of(config);
    let data = DataState::of(&first.config, plan.data.as_deref());
    if !json {
        printer.data(&plan.toml);
    }
    printer.note("measuring a few steps on this machine ...");
    let cost = Costs::new(&sizes).of(&first.config)?;
    let runs = plan.runs.len();
    let memory = Memory::of(&cost, jobs(plan.jobs, plan.threads).min(runs));
    if json {
        let ids: Vec<_> = plan.runs.iter().map(|r| r.config.run_id()).collect();
        let value = serde_json::json!({
            "runs": ids,
            "config": first.config,
            "cost_per_run": cost,
            "data": data.to_json(),
            "memory": memory,
        });
        printer.data(&format!("{value:#}"));
    } else {
        let Estimate {
            parameters,
            steps,
            evaluated_images,
            optimizer_state_bytes,
            seconds,
            ..
        } = cost;
        let megabytes = optimizer_state_bytes as f64 / 1e6;
        printer.data(&format!(
            "# {runs} run(s) into {}; each: {parameters} parameters, {steps} training steps, \
             {evaluated_images} images evaluated,\n# {megabytes:.1} MB of optimizer state at the end, about {:.0} s \
             on one core of this machine (timed over a few steps)\n# {memory}\n# {data}",
            plan.out.display(),
            seconds.ceil()
        ));
    }
    if let Some(warning) = memory.warning() {
        printer.note(&format!("warning: {warning}"));
    }
    data.must_be_there()
}
