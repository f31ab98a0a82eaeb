//! From settings to runs.
//!
//! Owns the order in which a plan is made and the checks that concern several settings at once; every setting's own
//! range, default and condition is in its declaration.

use std::path::PathBuf;
use std::time::Duration;

use super::execution::{ExecutionSettings, SeedList, seeds_text};
use super::table::entries;
use super::{SettingError, Settings};
use crate::experiment::benchmark::BenchmarkKind;
use crate::experiment::benchmark::custom::CustomBenchmark;
use crate::experiment::plan::config::{DataChoice, RunConfig, Schedule};
use crate::model::ModelSpec;
use crate::optim::SGD;
use crate::settings::{Kind as _, Named as _, Profile, Resolver, SettingsOf as _, Value};
use crate::stream::{ClassOrder, Scenario};

/// Where data sets lie unless somebody says otherwise.
pub const DATA_FOLDER: &str = "data";

/// A list of runs and how to execute them.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// One configuration a seed.
    pub runs: Vec<PlannedRun>,
    /// All of them as TOML: that of each, with all seeds.
    pub toml: String,
    /// The data folder ([`DATA_FOLDER`] unless it was named); `None` for the embedded sample.
    pub data: Option<PathBuf>,
    /// Initial weights.
    pub init: Option<PathBuf>,
    /// Folder for run folders.
    pub out: PathBuf,
    /// Runs side by side; `None` for one a core.
    pub jobs: Option<usize>,
    /// Threads inside a run.
    pub threads: usize,
    /// How often a run's state is saved; `None` for never.
    pub checkpoint_every: Option<Duration>,
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// What is run.
    pub config: RunConfig,
    /// The configuration as TOML, each value with its origin.
    pub toml: String,
}

impl Settings {
    /// The runs that these settings mean.
    ///
    /// # Errors
    /// [`SettingError`] naming the key.
    pub fn plan(&self) -> Result<Plan, SettingError> {
        let r = self.resolver()?;
        let SeedList(seeds) = r.get(SeedList::SETTING)?;
        let first = self.config(&r, seeds.first().copied().unwrap_or(1))?;
        let execution = ExecutionSettings::resolve(&r)?;
        let toml = self.to_toml(&r, &first, &seeds_text(&seeds))?;
        let runs = seeds.into_iter().map(|seed| {
            let config = RunConfig {
                seed,
                ..first.clone()
            };
            let toml = self.to_toml(&r, &config, &config.seed.to_string())?;
            Ok(PlannedRun { config, toml })
        });
        let embedded = first.data == DataChoice::Embedded;
        let data = PathBuf::from(r.text("data").unwrap_or(DATA_FOLDER));
        Ok(Plan {
            runs: runs.collect::<Result<_, SettingError>>()?,
            toml,
            data: (!embedded).then_some(data),
            init: execution.init,
            out: execution.out,
            jobs: execution.jobs,
            threads: execution.threads,
            checkpoint_every: execution.checkpoint_every.0,
        })
    }

    /// The settings' values, with the defaults of benchmark and network in force.
    pub(super) fn resolver(&self) -> Result<Resolver<'_>, SettingError> {
        let r = Resolver::new(&self.texts);
        let released = r.profile()? == Profile::Released;
        let (benchmark, model) = (r.get(RunConfig::benchmark())?, r.get(RunConfig::model())?);
        r.override_defaults(benchmark.defaults(model, released));
        Ok(r)
    }

    fn config(&self, r: &Resolver<'_>, seed: u64) -> Result<RunConfig, SettingError> {
        let (optimizer, method) = (r.get(RunConfig::optimizer())?, r.get(RunConfig::method())?);
        for (key, origin) in self.texts.iter() {
            let entry = entries().iter().find(|entry| entry.setting.key() == key);
            let idle = entry.filter(|entry| {
                entry.is_own()
                    && !entry.optimizers.contains(&optimizer)
                    && !entry.methods.contains(&method)
            });
            if let Some(entry) = idle {
                return Err(SettingError::NoEffect {
                    key,
                    origin: origin.to_string(),
                    only_for: entry.owners(),
                });
            }
        }
        check_schedule(r)?;
        let optimizer_settings = (optimizer.settings.resolve)(r)?;
        let method_settings = (method.settings.resolve)(r)?;
        let config = RunConfig::resolve(r, optimizer_settings, method_settings, seed)?;
        check(r, &config)?;
        Ok(config)
    }
}

/// Without an order of tasks there is nothing to remember, so only what knows no tasks can do without one.
fn check_schedule(r: &Resolver<'_>) -> Result<(), SettingError> {
    let (optimizer, method) = (r.get(RunConfig::optimizer())?, r.get(RunConfig::method())?);
    let remembers = optimizer.remembers_tasks || method.remembers_tasks;
    if r.get(RunConfig::schedule())? != Schedule::Sequential && remembers {
        return Err(range(
            r,
            "schedule",
            "sequential for methods and optimizers that remember tasks",
        ));
    }
    Ok(())
}

fn range(r: &Resolver<'_>, key: &'static str, range: impl Into<String>) -> SettingError {
    SettingError::Range {
        key,
        found: r.text(key).unwrap_or_default().to_string(),
        origin: r.origin(key),
        range: range.into(),
    }
}

/// What concerns several settings at once.
fn check(r: &Resolver<'_>, config: &RunConfig) -> Result<(), SettingError> {
    if let Some(custom) = config.benchmark.custom()
        && custom.tasks_are_fixed
        && config.tasks != custom.tasks
    {
        let words = "the number that the benchmark's file gives; leave it out";
        return Err(range(r, "tasks", words));
    }
    let is_uneven = |own: &CustomBenchmark| own.sizes().is_some();
    if config.class_order == Some(ClassOrder::Seeded)
        && config.benchmark.custom().is_some_and(is_uneven)
    {
        let words = "fixed where the benchmark's file says which classes make a task, in lists of different lengths; leave it out";
        return Err(range(r, "class_order", words));
    }
    if config.scenario == Scenario::Class && config.benchmark.kind() == BenchmarkKind::Rotated {
        let words = "task or domain for a rotated stream: turned images of two tasks can be the same image, so no network can \
                     say of which task's classes it is";
        return Err(range(r, "scenario", words));
    }
    if config.lr_floor > config.lr {
        let words = format!("at most the learning rate, which is {}", config.lr);
        return Err(range(r, "lr_floor", words));
    }
    if config.first_tasks.is_some_and(|first| first > config.tasks) {
        let words = format!(
            "a whole number from 1 to {}, the tasks of the stream",
            config.tasks
        );
        return Err(range(r, "first_tasks", words));
    }
    let (most, _) = config.benchmark.images();
    if config.classes.is_some_and(|classes| classes > most) {
        let words = format!("a whole number from 1 to {most}, the classes of the data set");
        return Err(range(r, "classes", words));
    }
    let (classes, shape) = config.images();
    config.stream().check_classes(classes)?;
    check_features(config)?;
    check_closed_form(r, config)?;
    (config.model.check)(shape).map_err(|problem| SettingError::Conflict {
        key: "model",
        problem: format!(
            "{} does not fit the benchmark: {problem}; choose another with --model (tagcl list models)",
            config.model.name
        ),
    })?;
    if config.data == DataChoice::Embedded
        && !matches!(config.benchmark.sources(), [name] if name.sample.is_some())
    {
        return Err(range(
            r,
            "data",
            "a data folder: only MNIST has an embedded sample",
        ));
    }
    Ok(())
}

/// Refuses what has no effect on a method without gradients: more than one pass, and everything about steps.
fn check_closed_form(r: &Resolver<'_>, config: &RunConfig) -> Result<(), SettingError> {
    if !config.method.closed_form {
        return Ok(());
    }
    let idle = |value: Option<Value>, key: &str| {
        value.is_some_and(|value| config.value(key) != Some(value))
    };
    for (key, first, words) in [
        (
            "epochs",
            Some(Value::Whole(1)),
            "1 for a method that learns from one pass over the data; leave it out",
        ),
        (
            "optimizer",
            (&SGD).value(),
            "sgd for a method without a gradient for an optimizer to step along; leave it out",
        ),
        (
            "momentum",
            Some(Value::Real(0.0)),
            "0 for a method without gradients; leave it out",
        ),
        (
            "gamma",
            Some(Value::Real(1.0)),
            "1 for a method without gradients; leave it out",
        ),
        (
            "lr_floor",
            Some(Value::Real(0.0)),
            "0 for a method without gradients; leave it out",
        ),
    ] {
        if idle(first, key) {
            return Err(range(r, key, words));
        }
    }
    Ok(())
}

/// Refuses networks that need images where the benchmark gives features.
fn check_features(config: &RunConfig) -> Result<(), SettingError> {
    let custom = config.benchmark.custom();
    if config.model.vectors || !custom.is_some_and(CustomBenchmark::has_features) {
        return Ok(());
    }
    let fitting = ModelSpec::all().iter().filter(|model| model.vectors);
    let fitting: Vec<&str> = fitting.map(|model| model.name).collect();
    Err(SettingError::Conflict {
        key: "model",
        problem: format!(
            "{} takes images, and {} gives features, which have neither rows nor columns; choose one of {}",
            config.model.name,
            config.benchmark.name(),
            fitting.join(", ")
        ),
    })
}

impl PlannedRun {
    /// A run that came through a file or a pipe. There, a benchmark of one's own loses the place of its file, which stands in
    /// the TOML.
    ///
    /// # Errors
    /// [`SettingError`] if that file cannot be read or means something else by now.
    pub fn received(config: RunConfig, toml: String) -> Result<Self, SettingError> {
        if !config.benchmark.is_custom() {
            return Ok(Self { config, toml });
        }
        let found = parse_config_toml(&toml)?;
        if found == config {
            let config = found;
            return Ok(Self { config, toml });
        }
        let file =
            (found.benchmark.custom()).map_or(String::new(), |own| own.path.display().to_string());
        Err(SettingError::Subject(format!(
            "{file} was changed since the run was planned; start the command again"
        )))
    }
}

/// Reads a run folder's `config.toml` back.
///
/// # Errors
/// [`SettingError`] if it is not what [`Settings::plan`] writes.
pub fn parse_config_toml(text: &str) -> Result<RunConfig, SettingError> {
    let plan = Settings::from_toml(text, "config.toml")?.plan()?;
    let first = plan.runs.into_iter().next();
    first
        .map(|run| run.config)
        .ok_or_else(|| SettingError::Missing {
            key: "seeds",
            remedy: "the file names no seed".to_string(),
        })
}
