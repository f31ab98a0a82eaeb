//! The one place of these tests that knows the library: settings and the released commands, as text.

use tagcl::experiment::benchmark::Named as _;
use tagcl::experiment::released::{self, ReleasedGrid};
use tagcl::experiment::replicate::{Dataset, What, rows};
use tagcl::experiment::settings::{Origin, Settings};

/// One run that settings mean.
pub struct Planned {
    pub run_id: String,
    /// The text of its `config.toml`.
    pub toml: String,
    /// Its configuration as in `result.json`.
    pub json: serde_json::Value,
}

/// Settings by key.
pub type Pairs = Vec<(String, String)>;

/// A list of runs under a name.
pub struct Listed {
    pub name: String,
    /// The file that its settings come from.
    pub source: String,
    /// The settings of every point of its grid; of one point without a grid.
    pub points: Vec<Pairs>,
}

/// The runs that settings mean, or why they are refused. They come from a file of this name or from the command line.
pub fn plan(pairs: &[(&str, &str)], file: Option<&str>) -> Result<Vec<Planned>, String> {
    let mut settings = Settings::default();
    for (key, value) in pairs {
        let origin = file.map_or(Origin::CommandLine, |name| Origin::File(name.to_string()));
        (settings.set(key, value, origin)).map_err(|e| e.to_string())?;
    }
    planned(&settings)
}

/// The runs that a `config.toml` means.
pub fn read_back(toml: &str) -> Result<Vec<Planned>, String> {
    planned(&Settings::from_toml(toml, "config.toml").map_err(|e| e.to_string())?)
}

/// The 180 commands of the released scripts in their order, with the script's second argument.
pub fn released_commands(epochs: usize) -> Vec<Listed> {
    let listed = |command: &released::Command| Listed {
        name: command.label.clone(),
        source: command.place(),
        points: points(command.settings(epochs).unwrap(), command.grid()),
    };
    released::commands().iter().map(listed).collect()
}

/// The rows of every replication, named by replication, data set, epochs and label.
pub fn replications() -> Vec<Listed> {
    let mut all = Vec::new();
    for what in What::ALL {
        let epochs: &[usize] = if what == What::Baselines {
            &[1, 5]
        } else {
            &[1]
        };
        for dataset in Dataset::ALL {
            for &epochs in epochs {
                // Not every table has every data set.
                for row in rows(what, dataset, epochs).unwrap_or_default() {
                    let (what, dataset) = (what.name(), dataset.name());
                    all.push(Listed {
                        name: format!("{what} {dataset} epochs {epochs}: {}", row.label),
                        source: row.source,
                        points: points(row.settings, row.grid),
                    });
                }
            }
        }
    }
    all
}

fn planned(settings: &Settings) -> Result<Vec<Planned>, String> {
    let plan = settings.plan().map_err(|e| e.to_string())?;
    let runs = plan.runs.into_iter().map(|run| Planned {
        run_id: run.config.run_id(),
        json: serde_json::to_value(&run.config).unwrap(),
        toml: run.toml,
    });
    Ok(runs.collect())
}

fn points(own: Vec<(&'static str, String)>, grid: Option<ReleasedGrid>) -> Vec<Pairs> {
    let own: Pairs = own.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    let benchmark = own.iter().find(|(key, _)| key == "benchmark");
    let benchmark = benchmark.map_or(String::new(), |(_, name)| name.clone());
    let axes = grid.into_iter().flat_map(|grid| grid.axes_on(&benchmark));
    axes.fold(vec![own.clone()], |points, (key, values)| {
        let with = |point: &Pairs, value: &str| {
            let one = (key.to_string(), value.to_string());
            point.iter().cloned().chain([one]).collect()
        };
        let points = points.iter();
        points
            .flat_map(|point| values.iter().map(|value| with(point, value)))
            .collect()
    })
}
