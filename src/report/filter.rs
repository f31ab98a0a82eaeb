//! Which runs a report is of.
//!
//! Owns conditions of the form `key=value` over configurations, with the keys of configuration files.

use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{SettingError, entries};
use crate::method::MethodSpec;
use crate::optim::OptimizerSpec;
use crate::settings::{parse_name, unknown};

use super::identity::{Value, columns};

/// Conditions that a run must satisfy, all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Key and the values of which it must have one.
    conditions: Vec<(String, Vec<String>)>,
}

impl Filter {
    /// Adds the condition that a setting has one of these values, separated by commas.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] for a key or name that does not exist.
    pub fn require(&mut self, key: &str, values: &str) -> Result<(), SettingError> {
        let key = key.trim().replace('-', "_");
        let of_runs = entries().iter().filter(|entry| !entry.executes);
        let known = of_runs
            .map(|entry| entry.setting.key())
            .filter(|name| *name != "seeds")
            .chain(["seed"]);
        if !known.clone().any(|name| name == key) {
            return Err(unknown("setting to filter by", &key, known));
        }
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_string()).collect();
        for value in &values {
            match key.as_str() {
                "method" => drop(parse_name::<MethodSpec>(value)?),
                "optimizer" => drop(parse_name::<OptimizerSpec>(value)?),
                _ => {}
            }
        }
        self.conditions.push((key, values));
        Ok(())
    }

    /// Adds `key=value`.
    ///
    /// # Errors
    /// [`SettingError`], also for text without `=`.
    pub fn require_text(&mut self, condition: &str) -> Result<(), SettingError> {
        let Some((key, value)) = condition.split_once('=') else {
            return Err(SettingError::Missing {
                key: "a filter",
                remedy: format!("`{condition}` is no key=value, such as lr=0.1"),
            });
        };
        self.require(key, value)
    }

    /// Whether a configuration satisfies all conditions. Numbers are compared as numbers: `0.10` is `0.1`. A benchmark of
    /// one's own has the name in its file.
    #[must_use]
    pub fn accepts(&self, config: &RunConfig) -> bool {
        if self.conditions.is_empty() {
            return true;
        }
        let mut all = columns(config);
        all.push(("seed", Value::Whole(config.seed)));
        self.conditions.iter().all(|(key, values)| {
            let found = all.iter().find(|(k, _)| k == key);
            found.is_some_and(|(_, found)| values.iter().any(|value| found.is(value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::config;

    #[test]
    fn conditions_are_all_to_be_met_by_one_of_their_values() {
        let mut filter = Filter::default();
        filter.require("optimizer", "sgd, adam").unwrap();
        filter.require_text("lr=0.10").unwrap();
        assert!(filter.accepts(&config(&[("lr", "0.1")], 1)));
        assert!(!filter.accepts(&config(&[("lr", "0.2")], 1)));
        assert!(!filter.accepts(&config(&[("optimizer", "rmsprop"), ("lr", "0.1")], 1)));
        filter.require("seed", "2").unwrap();
        assert!(!filter.accepts(&config(&[("lr", "0.1")], 1)));
        assert!(filter.accepts(&config(&[("lr", "0.1")], 2)));
    }

    #[test]
    fn a_setting_that_does_not_exist_is_an_error_and_one_that_is_absent_is_not_met() {
        let mut filter = Filter::default();
        let error = filter
            .require("learning_rate", "1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("learning_rate") && error.contains("known"),
            "{error}"
        );
        assert!(
            filter
                .require("method", "erx")
                .unwrap_err()
                .to_string()
                .contains("erx")
        );
        assert!(
            filter
                .require_text("lr")
                .unwrap_err()
                .to_string()
                .contains("key=value")
        );
        filter.require("b", "5.0").unwrap();
        assert!(!filter.accepts(&config(&[], 1)));
        assert!(filter.accepts(&config(&[("optimizer", "tag-rmsprop")], 1)));
    }
}
