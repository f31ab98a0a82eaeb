//! Settings: what was typed or written, where, and what it means.
//!
//! Owns the list of keys (the same in TOML files and, with hyphens, on the command line), the order of precedence
//! (command line over environment over file over defaults) and the passage to configurations of runs. A key that is unknown, or
//! that has no effect under the other settings, is an error: a typo must not cost a night of training.

mod error;
mod keys;
mod methods;
mod plan;

use std::collections::BTreeMap;
use std::fmt;

use super::benchmark::Named;

use error::unknown;
pub use error::{SettingError, nearest, parse_name};
pub use keys::KEYS;
pub use plan::{Plan, PlannedRun, parse_config_toml};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default(&'static str),
    /// A configuration file.
    File(String),
    /// An environment variable.
    Environment(&'static str),
    /// The command line.
    CommandLine,
    /// A search, which sets what its stages need.
    Search,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(why) => f.write_str(why),
            Self::File(path) => write!(f, "from {path}"),
            Self::Environment(name) => write!(f, "from {name}"),
            Self::CommandLine => f.write_str("from the command line"),
            Self::Search => f.write_str("set by the search"),
        }
    }
}

/// Values by key, each with its origin.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

/// Seeds as `1-5`, `1,3,7` or both; in order, without duplicates, at most 10,000.
///
/// # Errors
/// A sentence that names the part in question.
pub fn parse_seeds(text: &str) -> Result<Vec<u64>, String> {
    const MOST: u64 = 10_000;
    let mut seeds = Vec::new();
    for part in text.split(',').map(str::trim) {
        let number = |s: &str| {
            s.trim()
                .parse::<u64>()
                .map_err(|_| format!("`{part}` is no seed or range"))
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if last < first || last - first >= MOST || seeds.len() as u64 + (last - first) >= MOST {
            return Err(format!("`{part}` is no range of at most {MOST} seeds"));
        }
        for seed in first..=last {
            if seeds.contains(&seed) {
                return Err(format!("seed {seed} appears twice"));
            }
            seeds.push(seed);
        }
    }
    Ok(seeds)
}

impl Settings {
    /// Settings of a TOML file.
    ///
    /// # Errors
    /// [`SettingError::Toml`], or [`SettingError::Unknown`] for a key that does not exist.
    pub fn from_toml(text: &str, path: &str) -> Result<Self, SettingError> {
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| SettingError::Toml {
                path: path.to_string(),
                reason: e.to_string(),
            })?;
        let mut settings = Self::default();
        for (key, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Array(items) if key == "seeds" => items
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
                other => other.to_string(),
            };
            settings.set(&key, &text, Origin::File(path.to_string()))?;
        }
        Ok(settings)
    }

    /// Sets a key unless a stronger origin has set it already.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] for a key that does not exist.
    pub fn set(&mut self, key: &str, value: &str, origin: Origin) -> Result<(), SettingError> {
        let Some((key, _)) = KEYS.iter().find(|(name, _)| *name == key) else {
            return Err(unknown("key", key, KEYS.iter().map(|(name, _)| *name)));
        };
        if self.values.get(key).is_none_or(|(_, old)| *old <= origin) {
            self.values.insert(key, (value.to_string(), origin));
        }
        Ok(())
    }

    fn text(&self, key: &'static str) -> Option<&str> {
        self.values.get(key).map(|(text, _)| text.as_str())
    }

    fn is_set(&self, key: &'static str) -> bool {
        self.values.contains_key(key)
    }

    fn range(&self, key: &'static str, range: &'static str) -> SettingError {
        let (found, origin) = match self.values.get(key) {
            Some((text, origin)) => (text.clone(), origin.to_string()),
            None => (String::new(), String::new()),
        };
        SettingError::Range {
            key,
            found,
            origin,
            range,
        }
    }

    fn real(
        &self,
        key: &'static str,
        default: f64,
        fits: impl Fn(f64) -> bool,
        range: &'static str,
    ) -> Result<f64, SettingError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let value = text
            .parse::<f64>()
            .ok()
            .filter(|x| x.is_finite() && fits(*x));
        value.ok_or_else(|| self.range(key, range))
    }

    fn whole(
        &self,
        key: &'static str,
        default: usize,
        limits: std::ops::RangeInclusive<usize>,
        range: &'static str,
    ) -> Result<usize, SettingError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let value = text.parse::<usize>().ok().filter(|x| limits.contains(x));
        value.ok_or_else(|| self.range(key, range))
    }

    fn name<N: Named>(&self, key: &'static str) -> Result<Option<N>, SettingError> {
        self.text(key).map(parse_name).transpose()
    }

    fn choice<T: Copy>(
        &self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> Result<T, SettingError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let found = choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        found.ok_or_else(|| unknown(key, text, choices.iter().map(|(name, _)| *name)))
    }

    fn only_for(
        &self,
        keys: &[&'static str],
        applies: bool,
        only_for: &'static str,
    ) -> Result<(), SettingError> {
        for &key in keys {
            if let (false, Some((_, origin))) = (applies, self.values.get(key)) {
                return Err(SettingError::NoEffect {
                    key,
                    origin: origin.to_string(),
                    only_for,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
