//! Every released command becomes a list of runs, and the list the command again.

use super::*;
use crate::experiment::benchmark::BenchmarkSpec;
use crate::experiment::plan::settings::{Origin, Settings};
use crate::settings::find;

/// The runs of a command with its grid, if it has one, in the grid's order.
fn runs_of(command: &Command, epochs: usize) -> Vec<RunConfig> {
    let own = command.settings(epochs).unwrap();
    let benchmark = own
        .iter()
        .find(|(key, _)| *key == "benchmark")
        .unwrap()
        .1
        .clone();
    let mut points: Vec<Vec<(&str, String)>> = vec![own];
    for (key, values) in command
        .grid()
        .into_iter()
        .flat_map(|grid| grid.axes_on(&benchmark))
    {
        points = points
            .iter()
            .flat_map(|point| {
                values.iter().map(|value| {
                    let mut point = point.clone();
                    point.push((*key, (*value).to_string()));
                    point
                })
            })
            .collect();
    }
    let plan = |pairs: &Vec<(&str, String)>| {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            settings
                .set(key, value, Origin::File(command.place()))
                .unwrap();
        }
        let plan = settings
            .plan()
            .unwrap_or_else(|e| panic!("{}: {e}", command.place()));
        plan.runs.into_iter().map(|run| run.config)
    };
    points.iter().flat_map(plan).collect()
}

/// Numbers as numbers, so that 0.000025 equals 2.5e-5; the script's argument as its value.
fn normal(args: &BTreeMap<String, String>, epochs: usize) -> BTreeMap<String, Result<f64, String>> {
    let value = |text: &String| match text.as_str() {
        "$2" => Ok(epochs as f64),
        text => text.parse().map_err(|_| text.to_string()),
    };
    args.iter().map(|(k, v)| (k.clone(), value(v))).collect()
}

#[test]
fn all_180_commands_become_runs_and_commands_again() {
    let commands = commands();
    assert_eq!(commands.len(), 180);
    let mut there = 0;
    for command in &commands {
        let benchmark = command.settings(1).unwrap();
        let (_, benchmark) = benchmark
            .iter()
            .find(|(key, _)| *key == "benchmark")
            .unwrap();
        if find::<BenchmarkSpec>(benchmark).is_none() {
            continue;
        }
        for epochs in [1, 5] {
            let runs = runs_of(command, epochs);
            let points = match command.grid() {
                None => 1,
                Some(ReleasedGrid::Lr) => 4,
                Some(ReleasedGrid::Tag) => 24,
                Some(ReleasedGrid::Ewc) => 12,
                // Without dropout, which that network ignores.
                Some(ReleasedGrid::Stable) if command.arg("dataset") == Some("cub") => 15,
                Some(ReleasedGrid::Stable) => 60,
            };
            assert_eq!(runs.len(), 5 * points, "{}", command.place());
            let mut expected = command.args.clone();
            // What a grid sets, the command need not: these values have no effect there.
            for argument in match command.grid() {
                Some(ReleasedGrid::Tag) => &["b"][..],
                Some(ReleasedGrid::Ewc) => &["lambd"],
                Some(ReleasedGrid::Stable) => &["gamma", "dropout"],
                Some(ReleasedGrid::Lr) | None => &[],
            } {
                expected.remove(*argument);
            }
            let back = arguments(&runs).unwrap_or_else(|| panic!("{}", command.place()));
            assert_eq!(
                normal(&back, epochs),
                normal(&expected, epochs),
                "{}",
                command.place()
            );
        }
        there += 1;
    }
    let benchmarks = BENCHMARKS
        .iter()
        .filter(|(_, name)| find::<BenchmarkSpec>(name).is_some());
    assert_eq!(there, 45 * benchmarks.count());
}

#[test]
fn a_change_of_any_argument_changes_the_runs() {
    for command in commands()
        .iter()
        .filter(|c| c.arg("dataset") == Some("cifar100"))
    {
        let runs = runs_of(command, 1);
        for argument in [
            "tasks",
            "lr",
            "gamma",
            "dropout",
            "batch-size",
            "b",
            "lambd",
            "mem-size",
            "runs",
        ] {
            let mut other = command.clone();
            let Some(value) = other.args.get_mut(argument) else {
                continue;
            };
            let set_by_grid = match command.grid() {
                Some(ReleasedGrid::Tag) => argument == "b",
                Some(ReleasedGrid::Ewc) => argument == "lambd",
                Some(ReleasedGrid::Stable) => ["gamma", "dropout"].contains(&argument),
                _ => false,
            };
            let cyclic = argument == "gamma" && command.arg("multi").is_some();
            if set_by_grid || cyclic {
                continue;
            }
            *value = match argument {
                "tasks" => "10",
                "gamma" | "dropout" => "0.55",
                "lr" => "0.007",
                _ => "3",
            }
            .to_string();
            assert_ne!(runs_of(&other, 1), runs, "{} --{argument}", command.place());
        }
    }
}

#[test]
fn an_argument_that_no_script_has_is_an_error() {
    let mut command = commands().remove(0);
    command.args.insert("hiddens".to_string(), "7".to_string());
    let error = command.settings(1).unwrap_err().to_string();
    assert!(
        error.contains("naive.sh:7") && error.contains("--hiddens 7"),
        "{error}"
    );
    let mut command = commands().remove(0);
    command.args.insert("opt".to_string(), "ogd".to_string());
    assert!(command.settings(1).is_err());
}
