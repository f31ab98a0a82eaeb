//! A configuration in result files.
//!
//! Owns the order of its keys, of which a run's id is a hash, and reading it back with every value checked.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::{BEFORE_OWN, Benchmark, RunConfig};
use crate::experiment::benchmark::custom::CustomBenchmark;
use crate::method::MethodSpec;
use crate::optim::OptimizerSpec;
use crate::settings::{Field, Own, Section, SettingError, SettingsSpec, Value, unknown};

/// Holds the definition of a benchmark of one's own.
const CUSTOM: &str = "custom";
const SEED: &str = "seed";
/// A section that files have, empty, for optimizers without it: it stood there before optimizers had sections.
const ALWAYS: &str = "tag";
/// A key that stands after another than the one it is listed after.
const MOVED: (&str, &str) = ("drop_last", "input_scaling");

/// Settings in an object of their own.
struct Object(Vec<(&'static str, Option<Value>)>);

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for RunConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields();
        let mut moved = None;
        let mut map = to.serialize_map(None)?;
        for field in &fields {
            let key = field.setting.key();
            if key == MOVED.0 {
                continue;
            }
            if let Some((key, value)) = field.in_results() {
                map.serialize_entry(key, &value)?;
            }
            if key == "benchmark"
                && let Some(custom) = self.benchmark.custom()
            {
                map.serialize_entry(CUSTOM, custom)?;
            }
            if key == MOVED.1 {
                moved = fields.iter().find(|field| field.setting.key() == MOVED.0);
            }
            if let Some((key, value)) = moved.take().and_then(Field::in_results) {
                map.serialize_entry(key, &value)?;
            }
            if key == BEFORE_OWN {
                let optimizer = self.optimizer.settings.section;
                write_own(&mut map, optimizer, &self.optimizer_settings)?;
                if optimizer != Section::Named(ALWAYS) {
                    map.serialize_entry(ALWAYS, &())?;
                }
                write_own(
                    &mut map,
                    self.method.settings.section,
                    &self.method_settings,
                )?;
            }
        }
        map.serialize_entry(SEED, &self.seed)?;
        map.end()
    }
}

fn write_own<M: serde::ser::SerializeMap>(
    map: &mut M,
    section: Section,
    own: &Own,
) -> Result<(), M::Error> {
    let fields = own.fields();
    let written = fields.iter().filter_map(Field::in_results);
    match section {
        Section::Inline => {
            for (key, value) in written {
                map.serialize_entry(key, &value)?;
            }
            Ok(())
        }
        Section::Named(name) => {
            let own = written.map(|(key, value)| (key, value.cloned()));
            map.serialize_entry(name, &Object(own.collect()))
        }
    }
}

impl<'de> Deserialize<'de> for RunConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Json>::deserialize(from)?;
        read(&map).map_err(D::Error::custom)
    }
}

fn stored(key: &str, problem: impl Into<String>) -> SettingError {
    SettingError::Stored {
        key: key.to_string(),
        problem: problem.into(),
    }
}

/// The values of an object by key; `null` is an absent one.
fn values(map: &BTreeMap<String, Json>) -> BTreeMap<&str, Value> {
    map.iter()
        .filter_map(|(key, json)| Some((key.as_str(), Value::deserialize(json).ok()?)))
        .collect()
}

fn read(map: &BTreeMap<String, Json>) -> Result<RunConfig, SettingError> {
    let top = values(map);
    let find = |key: &str| top.get(key).cloned();
    let optimizer = RunConfig::optimizer().from_stored(find("optimizer").as_ref())?;
    let method = RunConfig::method().from_stored(find("method").as_ref())?;
    check_keys(map, optimizer, method)?;
    let seed = map.get(SEED).and_then(Json::as_u64);
    let seed = seed.ok_or_else(|| stored(SEED, "is missing or no whole number"))?;
    let optimizer_settings = read_own(map, &optimizer.settings)?;
    let method_settings = read_own(map, &method.settings)?;
    let mut config = RunConfig::from_stored(&find, optimizer_settings, method_settings, seed)?;
    if let Some(custom) = map.get(CUSTOM) {
        let custom: CustomBenchmark = serde_json::from_value(custom.clone())
            .map_err(|error| stored(CUSTOM, format!("cannot be read: {error}")))?;
        config.benchmark = Benchmark::own(custom);
    } else if config.benchmark.is_custom() {
        return Err(stored(CUSTOM, "is missing"));
    }
    Ok(config)
}

fn read_own(map: &BTreeMap<String, Json>, spec: &SettingsSpec) -> Result<Own, SettingError> {
    let Section::Named(name) = spec.section else {
        let top = values(map);
        return (spec.from_stored)(&|key| top.get(key).cloned());
    };
    let Some(Json::Object(own)) = map.get(name) else {
        return Err(stored(name, "is missing"));
    };
    let own: BTreeMap<String, Json> = own.clone().into_iter().collect();
    if let Some(key) = own.keys().find(|key| !spec.has(key)) {
        return Err(stored(
            &format!("{name}.{key}"),
            "is none that this version knows",
        ));
    }
    let own = values(&own);
    (spec.from_stored)(&|key| own.get(key).cloned())
}

/// A key that nothing reads would be a setting silently lost, and so would a list where a value is expected.
fn check_keys(
    map: &BTreeMap<String, Json>,
    optimizer: &OptimizerSpec,
    method: &MethodSpec,
) -> Result<(), SettingError> {
    let mut single: Vec<&str> = RunConfig::declared().iter().map(|s| s.key()).collect();
    let mut objects = vec![CUSTOM];
    for spec in [&optimizer.settings, &method.settings] {
        match spec.section {
            Section::Inline => single.extend((spec.declared)().iter().map(|s| s.key())),
            Section::Named(name) => objects.push(name),
        }
    }
    for (key, value) in map {
        let key = key.as_str();
        let composite = value.is_object() || value.is_array();
        if key == SEED || objects.contains(&key) || (key == ALWAYS && value.is_null()) {
            continue;
        }
        if !single.contains(&key) {
            return Err(unknown(
                "field",
                key,
                single.into_iter().chain(objects).chain([SEED]),
            ));
        }
        if composite {
            return Err(stored(
                key,
                "is a list or an object, but must be a single value",
            ));
        }
    }
    Ok(())
}
