//! The way back: a configuration as the TOML file that gives it again, and as the flags that do.

use std::fmt::Write as _;

use super::{SeedList, SettingError, Settings, table::entries};
use crate::experiment::plan::config::{DataChoice, RunConfig};
use crate::settings::{Field, Origin, Resolver, Stored, Value};

impl Settings {
    /// The configuration as a TOML file that gives the same configuration again, over these seeds, each value with its origin.
    pub(super) fn to_toml(
        &self,
        r: &Resolver<'_>,
        config: &RunConfig,
        seeds: &str,
    ) -> Result<String, SettingError> {
        let mut text =
            String::from("# Resolved configuration of one run; `tagcl run` takes this file.\n");
        let fields = config.all_fields();
        for key in entries().iter().map(|entry| entry.setting.key()) {
            let found = match key {
                _ if key == SeedList::SETTING.key => Some(Value::Text(seeds.to_string())),
                "data" if config.data == DataChoice::Full => None,
                "benchmark" if config.benchmark.custom().is_some() => typed_benchmark(config),
                _ => match fields.iter().find(|field| field.setting.key() == key) {
                    Some(field) => written(r, field)?,
                    None => None,
                },
            };
            if let Some(found) = found {
                let default = match key {
                    "lr" => Origin::Default("published for this benchmark"),
                    _ => Origin::Default("default"),
                };
                let origin = self.texts.get(key).map_or(&default, |(_, origin)| origin);
                let _ = writeln!(text, "{key} = {}  # {origin}", found.toml());
            }
        }
        Ok(text)
    }
}

/// What chooses the benchmark again: a name, or the path of its file.
fn typed_benchmark(config: &RunConfig) -> Option<Value> {
    let path = config
        .benchmark
        .custom()
        .map(|own| own.path.display().to_string());
    path.map(Value::Text)
}

/// The value, unless writing it would say nothing: its first meaning, or a default without effect (which would be refused).
fn written(r: &Resolver<'_>, field: &Field) -> Result<Option<Value>, SettingError> {
    let Some(value) = &field.value else {
        return Ok(None);
    };
    let setting = field.setting;
    let first = matches!(setting.stored(), Stored::Unless(first) if value.to_string() == first);
    let idle = !setting.applies(r)? && setting.default_value(r)?.as_ref() == Some(value);
    Ok((!first && !idle).then(|| value.clone()))
}

/// Every setting that the configuration depends on, as text by key; the data folder and the file of weights, which are no
/// part of it, are left out.
#[must_use]
pub fn texts(config: &RunConfig) -> Vec<(&'static str, String)> {
    let fields = config.all_fields().into_iter();
    fields
        .filter_map(|field| {
            let key = field.setting.key();
            let value = match key {
                "data" if config.data == DataChoice::Full => None,
                "benchmark" if config.benchmark.custom().is_some() => typed_benchmark(config),
                _ => field.value,
            };
            Some((key, value?.to_string()))
        })
        .collect()
}
