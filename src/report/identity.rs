//! What a run is: the stream that it learns, its settings as typed columns, and what its benchmark is called.
//!
//! Owns the answers to three questions that groups, comparisons, plots, tables, filters and commands all ask, so that
//! they cannot differ: which runs may be compared ([`Stream`]: exactly those whose streams are equal), by which settings
//! two runs differ ([`columns`]), and which stages a set of groups has ([`stages`]). What a run is *called* is in
//! [`names`](super::names).

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::experiment::config::{DataChoice, RunConfig};
use crate::experiment::settings::KEYS;

/// Keys that say how runs are executed, or what else is no property of a run.
const NO_COLUMNS: [&str; 6] = [
    "seeds",
    "out",
    "jobs",
    "threads",
    "init",
    "checkpoint_every",
];

/// Digits of a checksum that people are shown.
pub const DIGITS: usize = 8;

/// A setting's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A name, or a checksum.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl Serialize for Value {
    /// As text, as settings are typed.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Value {
    fn of(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Bool(flag) => Some(Self::Flag(*flag)),
            serde_json::Value::Number(number) => number.as_f64().map(Self::Number),
            serde_json::Value::String(text) => Some(Self::Text(text.clone())),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Flag(_) | Self::Text(_) => None,
        }
    }

    /// As people are shown it: checksums by their first digits.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Text(text) => short_checksum(text).to_string(),
            other => other.to_string(),
        }
    }

    /// Whether a text as typed means this value; numbers are compared as numbers, and a checksum by its beginning.
    #[must_use]
    pub fn is(&self, typed: &str) -> bool {
        match self {
            Self::Flag(flag) => typed.parse() == Ok(*flag),
            Self::Number(number) => typed.parse::<f64>().is_ok_and(|typed| typed == *number),
            Self::Text(text) => {
                text == typed || (typed.len() >= DIGITS && short_checksum(text) == typed)
            }
        }
    }

    /// Numbers by size, texts by letter, values of different kinds by kind.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let kind = |value: &Self| match value {
            Self::Flag(_) => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
        };
        match (self, other) {
            (Self::Flag(a), Self::Flag(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => kind(self).cmp(&kind(other)),
        }
    }
}

/// A checksum's first digits; any other text as it is.
#[must_use]
pub fn short_checksum(text: &str) -> &str {
    let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.get(..DIGITS).filter(|_| hex).unwrap_or(text)
}

/// Every setting that a run has, by key, in the order of the settings; without its seed.
///
/// The one place that knows where a configuration keeps them.
#[must_use]
pub fn columns(config: &RunConfig) -> Vec<(&'static str, Value)> {
    let whole = serde_json::to_value(config).unwrap_or_default();
    // A benchmark of one's own describes itself under keys of its own, which are no settings of the run.
    let parts: Vec<&serde_json::Value> = whole
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, part)| part.is_object() && *key != "custom")
        .map(|(_, part)| part)
        .collect();
    let value = |key: &str| -> Option<Value> {
        if key == "benchmark" {
            return Some(Value::Text(config.benchmark_name().to_string()));
        }
        let found = whole
            .get(key)
            .or_else(|| parts.iter().find_map(|part| part.get(key)))
            .and_then(Value::of);
        found.or_else(|| Some(Value::Text(first_meaning(config, key)?.to_string())))
    };
    KEYS.iter()
        .map(|(key, _)| *key)
        .filter(|key| !NO_COLUMNS.contains(key))
        .filter_map(|key| Some((key, value(key)?)))
        .collect()
}

/// The keys that any of these has, in the order of the settings.
#[must_use]
pub fn keys_of(all: &[Vec<(&'static str, Value)>]) -> Vec<&'static str> {
    let keys = KEYS.iter().map(|(key, _)| *key);
    keys.filter(|key| all.iter().flatten().any(|(own, _)| own == key))
        .collect()
}

/// Settings that configurations leave out where they have their first meaning.
fn first_meaning(config: &RunConfig, key: &str) -> Option<&'static str> {
    match key {
        "alpha" if config.tag.is_some() => Some("cosine"),
        "schedule" => Some("sequential"),
        "evaluate" => Some("test"),
        _ => None,
    }
}

/// The columns of a run but for those that every table shows anyway.
#[must_use]
pub fn settings(config: &RunConfig) -> Vec<(&'static str, Value)> {
    let mut all = columns(config);
    all.retain(|(key, _)| !["benchmark", "method", "optimizer"].contains(key));
    all
}

/// Keys that make the stream itself another one, with the value that goes without saying.
const STREAM: [(&str, &str); 9] = [
    ("tasks", ""),
    ("data", "full"),
    ("fraction", "1"),
    ("validation", "0"),
    ("evaluate", "test"),
    ("classes", ""),
    ("class_order", "fixed"),
    ("angles", "exact"),
    ("input_scaling", ""),
];

/// Whether a setting is part of the stream, and so in its title.
#[must_use]
pub fn is_of_the_stream(key: &str) -> bool {
    STREAM.iter().any(|(own, _)| *own == key)
}

/// The stream of tasks that a run learns and is measured on, down to its images.
///
/// Two runs may be compared exactly if their streams are equal: same benchmark (of one's own: same definition), tasks,
/// classes and their order, share of the images, images that are measured, and checksum of images and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Stream {
    /// The benchmark under its own name.
    pub benchmark: String,
    /// SHA-256 of a benchmark of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition_sha256: Option<String>,
    /// Every setting of the stream that this benchmark has.
    pub settings: Vec<(&'static str, String)>,
    /// SHA-256 of all images and labels.
    pub data_sha256: String,
}

impl Stream {
    /// The stream of a configuration on data of this checksum.
    #[must_use]
    pub fn of(config: &RunConfig, data_sha256: &str) -> Self {
        let all = columns(config);
        let value = |key: &'static str| {
            let (_, value) = all.iter().find(|(k, _)| *k == key)?;
            Some((key, value.to_string()))
        };
        Self {
            benchmark: config.benchmark_name().to_string(),
            definition_sha256: config.custom.as_ref().map(|c| c.definition_sha256.clone()),
            settings: STREAM.iter().filter_map(|(key, _)| value(key)).collect(),
            data_sha256: data_sha256.to_string(),
        }
    }

    /// In words, under a name of the benchmark: `split-cifar100, 20 tasks, 10% of the training images`.
    #[must_use]
    pub fn words(&self, benchmark: &str) -> String {
        let mut words = vec![benchmark.to_string()];
        for ((key, value), usual) in self.settings.iter().filter_map(|setting| {
            let (_, usual) = STREAM.iter().find(|(key, _)| *key == setting.0)?;
            Some((setting, *usual))
        }) {
            let percent = || {
                let share = value.parse::<f64>().unwrap_or(f64::NAN);
                (share * 1e8).round() / 1e6
            };
            words.push(match (*key, value.as_str()) {
                ("tasks", "1") => "1 task".to_string(),
                ("tasks", tasks) => format!("{tasks} tasks"),
                (_, value) if value == usual => continue,
                ("data", "embedded") => "embedded sample".to_string(),
                ("fraction", _) => format!("{}% of the training images", percent()),
                ("validation", _) => format!("{}% set aside for validation", percent()),
                ("evaluate", "validation") => "measured on validation images".to_string(),
                ("classes", classes) => format!("{classes} classes"),
                (key, value) => format!("{key} {value}"),
            });
        }
        words.join(", ")
    }

    /// How many of its settings are not as usual.
    #[must_use]
    pub fn peculiarities(&self) -> usize {
        let settings = self.settings.iter();
        let peculiar = settings.filter(|setting| {
            let usual = STREAM.iter().find(|(key, _)| *key == setting.0);
            usual.is_some_and(|(_, usual)| !usual.is_empty() && setting.1 != *usual)
        });
        peculiar.count()
    }

    /// Whether two streams are told apart by their images and labels alone.
    #[must_use]
    pub fn differs_in_data_alone(&self, other: &Self) -> bool {
        let rest = |s: &Self| {
            let Self {
                benchmark,
                definition_sha256,
                settings,
                data_sha256: _,
            } = s.clone();
            (benchmark, definition_sha256, settings)
        };
        self.data_sha256 != other.data_sha256 && rest(self) == rest(other)
    }

    /// What tells this stream apart from the others of the same words: `, definition 1a2b3c4d`, `, data 1a2b3c4d`.
    fn distinction(&self, same_words: &[&Self]) -> String {
        let differ = |part: &dyn Fn(&Self) -> Option<String>| {
            same_words.iter().any(|other| part(other) != part(self))
        };
        let mut text = String::new();
        if let Some(sum) = &self.definition_sha256
            && differ(&|s| s.definition_sha256.clone())
        {
            text = format!("{text}, definition {}", short_checksum(sum));
        }
        let alone = same_words.iter().any(|s| s.differs_in_data_alone(self));
        if alone {
            text = format!("{text}, data {}", short_checksum(&self.data_sha256));
        }
        text
    }
}

/// A stream with what it is called among others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Its title, unlike any other's; the benchmark as the program names it.
    pub title: String,
    /// The same with the benchmark as papers name it.
    #[serde(skip)]
    pub title_in_paper: String,
    /// Which of the things whose streams were given are on it, by index.
    pub members: Vec<usize>,
}

/// The stages that streams make, in the order of their first appearance. `in_paper` is the paper's name of the benchmark.
#[must_use]
pub fn stages<'a>(streams: impl IntoIterator<Item = (&'a Stream, String)>) -> Vec<Stage> {
    let mut found: Vec<(&Stream, String, Vec<usize>)> = Vec::new();
    for (i, (stream, in_paper)) in streams.into_iter().enumerate() {
        match found.iter_mut().find(|(known, _, _)| *known == stream) {
            Some((_, _, members)) => members.push(i),
            None => found.push((stream, in_paper, vec![i])),
        }
    }
    let titles: Vec<String> = found
        .iter()
        .map(|(stream, _, _)| stream.words(&stream.benchmark))
        .collect();
    found
        .iter()
        .zip(&titles)
        .map(|((stream, in_paper, members), title)| {
            let same_words: Vec<&Stream> = found
                .iter()
                .zip(&titles)
                .filter(|(_, other)| *other == title)
                .map(|((stream, _, _), _)| *stream)
                .collect();
            let distinction = stream.distinction(&same_words);
            Stage {
                title: format!("{title}{distinction}"),
                title_in_paper: format!("{}{distinction}", stream.words(in_paper)),
                members: members.clone(),
            }
        })
        .collect()
}

/// The data sets of a run's stream, by name.
#[must_use]
pub fn data_sets(config: &RunConfig) -> String {
    if config.custom.is_some() {
        return config.benchmark_name().to_string();
    }
    if config.data == DataChoice::Embedded {
        return "mnist-sample".to_string();
    }
    let names = config.benchmark.sources().iter();
    names
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
