//! Which runs a report or plot is about.

use clap::Args;

use super::CliError;
use crate::experiment::benchmark::Named as _;
use crate::experiment::config::RunConfig;
use crate::experiment::settings::{KEYS, nearest};
use crate::report::group::settings;
use crate::report::load::Loaded;

/// Conditions on the configuration; all must hold.
#[derive(Debug, Default, Args)]
pub(super) struct Filter {
    /// Only runs with this setting, as in optimizer=tag-rmsprop; several values with |, several conditions by repeating
    #[arg(long = "only", value_name = "KEY=VALUE")]
    pub(super) only: Vec<String>,
}

impl Filter {
    /// Drops the runs that do not satisfy all conditions.
    pub(super) fn apply(&self, loaded: &mut Loaded) -> Result<(), CliError> {
        let mut conditions: Vec<(&str, Vec<&str>)> = Vec::new();
        for text in &self.only {
            let Some((key, values)) = text.split_once('=') else {
                return Err(CliError::Usage(format!(
                    "--only {text}: it must be KEY=VALUE, as in --only optimizer=tag-rmsprop"
                )));
            };
            let key = key.trim();
            let known = || KEYS.iter().map(|(name, _)| *name);
            if !known().any(|name| name == key || (key == "seed" && name == "seeds")) {
                let near = nearest(key, known())
                    .map_or(String::new(), |n| format!(", did you mean `{n}`?"));
                return Err(CliError::Usage(format!(
                    "--only {text}: unknown key `{key}`{near}"
                )));
            }
            conditions.push((key, values.split('|').map(str::trim).collect()));
        }
        let before = loaded.runs.len();
        loaded.keep(|config| {
            conditions
                .iter()
                .all(|(key, values)| holds(config, key, values))
        });
        if before > 0 && loaded.runs.is_empty() {
            return Err(CliError::Usage(format!(
                "none of the {before} finished runs satisfies --only {}",
                self.only.join(" --only ")
            )));
        }
        Ok(())
    }
}

fn holds(config: &RunConfig, key: &str, values: &[&str]) -> bool {
    let found = match key {
        "benchmark" => config.benchmark.name().to_string(),
        "method" => config.method.name().to_string(),
        "optimizer" => config.optimizer.name().to_string(),
        "seed" | "seeds" => config.seed.to_string(),
        key => match settings(config).into_iter().find(|(k, _)| k == key) {
            Some((_, value)) => value,
            None => return false,
        },
    };
    values.iter().any(|value| {
        *value == found
            || matches!((value.parse::<f64>(), found.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
    })
}
