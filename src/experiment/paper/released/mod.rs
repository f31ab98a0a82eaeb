//! The commands of the released scripts, as data, and what they mean here.
//!
//! Owns the passage from a command line of the authors' program to our settings and back, so that it can be checked
//! that nothing was lost: every one of the 180 commands gives a list of runs, and the list gives the command again.

mod grids;

pub use grids::ReleasedGrid;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::experiment::plan::config::{RunConfig, Schedule};
use crate::settings::Value;

/// One command of a script.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// File in the authors' repository.
    pub script: String,
    /// Line in it.
    pub line: usize,
    /// Name of the method, as in the paper's tables.
    pub label: String,
    /// Arguments without their hyphens. `$2` is the script's second argument.
    pub args: BTreeMap<String, String>,
}

/// All 180 commands, in the order of the scripts' lines.
///
/// # Panics
/// Never: the data is part of the program and a test reads it.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "compiled-in data that a test reads; there is no input to blame"
)]
pub fn commands() -> Vec<Command> {
    serde_json::from_str(include_str!("commands.json")).expect("compiled-in commands")
}

/// A command that cannot be expressed in settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("released command at {place}: --{argument} {value} has no meaning here")]
pub struct UnknownArgument {
    /// Script and line.
    pub place: String,
    /// The argument.
    pub argument: String,
    /// Its value.
    pub value: String,
}

/// Names of the released program beside ours.
const BENCHMARKS: [(&str, &str); 4] = [
    ("cifar100", "split-cifar100"),
    ("mini_imagenet", "split-mini-imagenet"),
    ("cub", "split-cub"),
    ("5data", "5-dataset"),
];

/// Arguments whose value is taken over as it is.
const SAME: [(&str, &str); 7] = [
    ("tasks", "tasks"),
    ("lr", "lr"),
    ("dropout", "dropout"),
    ("batch-size", "batch_size"),
    ("b", "b"),
    ("lambd", "lambda"),
    ("mem-size", "memory_per_class"),
];

/// Optimizer names of the released program (`--opt`, and `--tag-opt` after `tag`).
const OPTIMIZERS: [(&str, &str, &str); 3] = [
    ("rms", "rmsprop", "tag-rmsprop"),
    ("adagrad", "adagrad", "tag-adagrad"),
    ("adam", "adam", "tag-adam"),
];

/// Methods that the released program names in `--opt`, under the same names here.
const METHODS: [&str; 3] = ["ewc", "agem", "er"];

impl Command {
    /// Script and line.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.script, self.line)
    }

    /// An argument's value.
    #[must_use]
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args.get(name).map(String::as_str)
    }

    /// The grid that the command searches, if it does.
    #[must_use]
    pub fn grid(&self) -> Option<ReleasedGrid> {
        ReleasedGrid::parse(self.arg("hyp-gs")?)
    }

    /// The settings that the command means, without those that its grid sets; `epochs` is the script's second argument.
    ///
    /// # Errors
    /// [`UnknownArgument`] for an argument that is in none of the scripts.
    pub fn settings(&self, epochs: usize) -> Result<Vec<(&'static str, String)>, UnknownArgument> {
        let mut pairs = vec![("profile", "released".to_string())];
        let axes = self.grid().map_or(&[][..], ReleasedGrid::axes);
        let cyclic = self.arg("multi") == Some("1");
        for (name, value) in &self.args {
            let unknown = || UnknownArgument {
                place: self.place(),
                argument: name.clone(),
                value: value.clone(),
            };
            let pair = match name.as_str() {
                "dataset" => {
                    let names = BENCHMARKS.iter().find(|(released, _)| released == value);
                    let (_, benchmark) = names.ok_or_else(unknown)?;
                    ("benchmark", (*benchmark).to_string())
                }
                "epochs-per-task" if value == "$2" => ("epochs", epochs.to_string()),
                "epochs-per-task" => ("epochs", value.clone()),
                "runs" => ("seeds", format!("1-{value}")),
                "gamma" if cyclic && value.parse() == Ok(1.0) => continue,
                "gamma" => ("gamma", value.clone()),
                "multi" if cyclic => ("schedule", "cyclic".to_string()),
                "opt" => {
                    let (method, optimizer) =
                        self.method_and_optimizer(value).ok_or_else(unknown)?;
                    pairs.push(("method", method.to_string()));
                    ("optimizer", optimizer.to_string())
                }
                // Taken with `opt`, which it belongs to.
                "tag-opt" if self.args.contains_key("opt") => continue,
                "hyp-gs" if self.grid().is_some() => continue,
                name => {
                    let same = SAME.iter().find(|(released, _)| *released == name);
                    let (_, key) = same.ok_or_else(unknown)?;
                    (*key, value.clone())
                }
            };
            if !axes.iter().any(|(key, _)| *key == pair.0) {
                pairs.push(pair);
            }
        }
        Ok(pairs)
    }

    fn method_and_optimizer(&self, opt: &str) -> Option<(&'static str, &'static str)> {
        let known = |name: &str| METHODS.into_iter().find(|method| *method == name);
        let (optimizer, method) = match opt.split_once('-') {
            Some((optimizer, method)) => (Some(optimizer), Some(known(method)?)),
            None => match known(opt) {
                Some(method) => (None, Some(method)),
                None => (Some(opt), None),
            },
        };
        let find = |name: &str| OPTIMIZERS.iter().find(|(released, ..)| *released == name);
        let optimizer = match optimizer {
            None => "sgd",
            Some("tag") => find(self.arg("tag-opt")?)?.2,
            Some(name) => find(name)?.1,
        };
        Some((method.unwrap_or("plain"), optimizer))
    }
}

/// The arguments of the released program for these runs: one configuration over its seeds, or all points of a grid.
/// `None` for runs that the released program cannot do, or that are no such list.
#[must_use]
pub fn arguments(runs: &[RunConfig]) -> Option<BTreeMap<String, String>> {
    let first = runs.first()?;
    let mut points: Vec<RunConfig> = Vec::new();
    for run in runs {
        let point = RunConfig {
            seed: 0,
            ..run.clone()
        };
        if !points.contains(&point) {
            points.push(point);
        }
    }
    let seeds = runs.len() / points.len();
    let expected: Vec<u64> = (1..=seeds as u64).collect();
    for chunk in runs.chunks(seeds) {
        if !chunk
            .iter()
            .map(|run| run.seed)
            .eq(expected.iter().copied())
        {
            return None;
        }
    }
    let mut args = arguments_of(first)?;
    args.insert("runs".to_string(), seeds.to_string());
    if points.len() > 1 {
        let grid = ReleasedGrid::ALL
            .into_iter()
            .find(|grid| is_grid(*grid, &points))?;
        args.insert("hyp-gs".to_string(), grid.name().to_string());
        for (key, _) in grid.axes() {
            let released = SAME.iter().find(|(_, ours)| ours == key);
            args.remove(released.map_or(*key, |(released, _)| released));
        }
    }
    Some(args)
}

/// True if the points are the grid's, in its order.
fn is_grid(grid: ReleasedGrid, points: &[RunConfig]) -> bool {
    let value = |config: &RunConfig, key: &str| config.value(key)?.number();
    let mut expected: Vec<Vec<(&str, f64)>> = vec![Vec::new()];
    let benchmark = points.first().map_or("", |point| point.benchmark.name());
    for (key, values) in grid.axes_on(benchmark) {
        expected = expected
            .iter()
            .flat_map(|point| {
                values.iter().map(|text| {
                    let mut point = point.clone();
                    point.push((*key, text.parse().unwrap_or(f64::NAN)));
                    point
                })
            })
            .collect();
    }
    expected.len() == points.len()
        && expected.iter().zip(points).all(|(expected, point)| {
            expected
                .iter()
                .all(|(key, wanted)| value(point, key) == Some(*wanted))
        })
}

fn arguments_of(config: &RunConfig) -> Option<BTreeMap<String, String>> {
    let own = |key: &str| -> Option<String> { config.value(key).map(|value| value.to_string()) };
    if config
        .value("momentum")
        .is_some_and(|m| m != Value::Real(0.0))
    {
        return None;
    }
    let mut args = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        args.insert(name.to_string(), value);
    };
    let benchmark = config.benchmark.name();
    let (dataset, _) = BENCHMARKS.iter().find(|(_, ours)| *ours == benchmark)?;
    set("dataset", (*dataset).to_string());
    set("tasks", config.tasks.to_string());
    set("epochs-per-task", config.epochs.to_string());
    set("batch-size", config.batch_size.to_string());
    set("lr", config.lr.to_string());
    set("gamma", config.gamma.to_string());
    set("dropout", config.dropout.to_string());
    match config.schedule {
        Schedule::Sequential => {}
        Schedule::Cyclic => set("multi", "1".to_string()),
        Schedule::Joint | Schedule::Cumulative => return None,
    }
    let method = METHODS.into_iter().find(|name| *name == config.method.name);
    let named = OPTIMIZERS.iter().find_map(|(released, plain, tag)| {
        let name = config.optimizer.name;
        (name == *plain || name == *tag).then_some((*released, name == *tag))
    });
    let optimizer = match named {
        None => None,
        Some((name, false)) => Some(name),
        Some((name, true)) => {
            set("tag-opt", name.to_string());
            set("b", own("b")?);
            Some("tag")
        }
    };
    match (optimizer, method) {
        (None, None) => {}
        (Some(name), None) | (None, Some(name)) => set("opt", name.to_string()),
        (Some(optimizer), Some(method)) => set("opt", format!("{optimizer}-{method}")),
    }
    for (released, ours) in [("lambd", "lambda"), ("mem-size", "memory_per_class")] {
        if let Some(value) = own(ours) {
            set(released, value);
        }
    }
    Some(args)
}

#[cfg(test)]
mod tests;
