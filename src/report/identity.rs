//! What a run is: the stream that it learns, its settings as typed columns, and what its benchmark is called.
//!
//! Owns the answers to three questions that groups, comparisons, plots, tables, filters and commands all ask, so that
//! they cannot differ: which runs may be compared ([`Stream`]: exactly those whose streams are equal), by which settings
//! two runs differ ([`columns`]), and which stages a set of groups has ([`stages`]). What a run is *called* is in
//! [`names`](super::names).

use serde::Serialize;

use crate::experiment::plan::config::{DataChoice, RunConfig};
use crate::experiment::plan::settings::keys;
use crate::settings::parse_choice;
pub use crate::settings::{Value, short_checksum};
use crate::stream::Scenario;

/// Every setting that a run has, by key, in the order of the settings; without its seed.
#[must_use]
pub fn columns(config: &RunConfig) -> Vec<(&'static str, Value)> {
    let mut all = config.columns();
    // A benchmark of one's own is called by its own name.
    if let Some((_, name)) = all.iter_mut().find(|(key, _)| *key == "benchmark") {
        *name = Value::Text(config.benchmark.name().to_string());
    }
    all
}

/// The keys that any of these has, in the order of the settings.
#[must_use]
pub fn keys_of(all: &[Vec<(&'static str, Value)>]) -> Vec<&'static str> {
    keys()
        .filter(|key| all.iter().flatten().any(|(own, _)| own == key))
        .collect()
}

/// The columns of a run but for those that every table shows anyway, and those of its method that say nothing: choices that came
/// later and have their first meaning, and a size of the memory in whose place another was given.
#[must_use]
pub fn settings(config: &RunConfig) -> Vec<(&'static str, Value)> {
    let mut all = columns(config);
    let of_method = config.method_settings.fields();
    let says_nothing = |key: &str| {
        let mut own = of_method.iter();
        own.any(|field| field.setting.key() == key && field.in_results().is_none())
    };
    let sized = |key: &str| all.iter().any(|(other, _)| *other == key);
    let superseded = sized("memory_total") || sized("memory_per_task");
    all.retain(|(key, _)| {
        let shown_anyway = ["benchmark", "method", "optimizer"].contains(key);
        let in_vain = superseded && *key == "memory_per_class";
        !(shown_anyway || in_vain || says_nothing(key))
    });
    all
}

/// Keys that make the stream itself another one, with the value that goes without saying.
const STREAM: [(&str, &str); 13] = [
    ("scenario", ""),
    ("tasks", ""),
    ("first_tasks", ""),
    ("samples_per_task", ""),
    ("data", "full"),
    ("fraction", "1"),
    ("test_fraction", "1"),
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
            benchmark: config.benchmark.name().to_string(),
            definition_sha256: config
                .benchmark
                .custom()
                .map(|c| c.definition_sha256.clone()),
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
                ("scenario", name) => parse_choice::<Scenario>("scenario", name)
                    .map_or(name.to_string(), |scenario| scenario.words().to_string()),
                ("tasks", "1") => "1 task".to_string(),
                ("tasks", tasks) => format!("{tasks} tasks"),
                ("first_tasks", first) => format!("the first {first} of them"),
                (_, value) if value == usual => continue,
                ("data", "embedded") => "embedded sample".to_string(),
                ("fraction", _) => format!("{}% of the training images", percent()),
                ("test_fraction", _) => format!("measured on {}% of the images", percent()),
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
    if config.benchmark.custom().is_some() {
        return config.benchmark.name().to_string();
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
