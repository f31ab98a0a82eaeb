//! Settings of the program: what was typed or written, where, and what it means.
//!
//! Owns [`Settings`] (texts by key, from file, environment and command line), the table of all declarations, and the
//! passage to configurations of runs and back. The declarations themselves stand beside what they set. A key that is
//! unknown, or that has no effect under the other settings, is an error: a typo must not cost a night of training.

mod execution;
mod interval;
mod plan;
pub mod reference;
mod table;
mod write;

pub use crate::settings::{Origin, SettingError, nearest};
pub use execution::{ExecutionSettings, SeedList, parse_seeds, seeds_text};
pub use interval::Interval;
pub use plan::{DATA_FOLDER, Plan, PlannedRun, parse_config_toml};
pub use table::{Entry, entries, keys};
pub use write::texts;

use crate::experiment::plan::config::RunConfig;
use crate::settings::{Texts, unknown};

/// Values by key, each with its origin.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    texts: Texts,
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
        // Settings that may be typed as a list.
        let lists = [SeedList::SETTING.key, RunConfig::freeze().key];
        let mut settings = Self::default();
        for (key, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Array(items) if lists.contains(&&*key) => {
                    let text = |item: &toml::Value| {
                        item.as_str()
                            .map_or_else(|| item.to_string(), str::to_string)
                    };
                    let items: Vec<String> = items.iter().map(text).collect();
                    items.join(",")
                }
                other => other.to_string(),
            };
            settings.set(&key, &text, Origin::File(path.to_string()))?;
        }
        Ok(settings)
    }

    /// Settings of pairs, all of one origin.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] for a key that does not exist.
    pub fn of<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        origin: &Origin,
    ) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        for (key, value) in pairs {
            settings.set(key, value, origin.clone())?;
        }
        Ok(settings)
    }

    /// Sets a key unless a stronger origin has set it already.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] for a key that does not exist.
    pub fn set(&mut self, key: &str, value: &str, origin: Origin) -> Result<(), SettingError> {
        let known = keys().find(|name| *name == key);
        let key = known.ok_or_else(|| unknown("key", key, keys()))?;
        self.texts.set(key, value, origin);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
