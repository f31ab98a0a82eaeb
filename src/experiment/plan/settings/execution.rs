//! Settings of how runs are executed: no result depends on them.

use std::path::PathBuf;

use super::interval::{self, Interval};
use crate::settings::{Kind, Refusal, Setting, Stored, Value, WholeRange, computed, fixed};

crate::settings! {
    /// How runs are executed.
    pub struct ExecutionSettings {
        /// File of initial weights: safetensors or a PyTorch checkpoint (.pth).
        init: Option<PathBuf> = computed(|_| Ok(None)), range "the path of a file";
        /// Folder for run folders.
        out: PathBuf = computed(|_| Ok(PathBuf::from("runs"))), range "the path of a folder";
        /// Runs side by side [default: one a core].
        jobs: Option<usize> = fixed(None), range WholeRange(1, 4096);
        /// Threads inside each run.
        threads: usize = fixed(1), range WholeRange(1, 4096);
        /// Seconds between checkpoints of a run, or off.
        checkpoint_every: Interval = fixed(Interval::USUAL);
    }
}

impl Kind for Interval {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        text.parse().map_err(|_| Refusal::Range)
    }
    fn words((): &()) -> String {
        interval::RANGE.to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        value?.to_string().parse().ok()
    }
}

/// Seeds of runs, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedList(pub Vec<u64>);

impl SeedList {
    /// The setting: one run a seed.
    pub const SETTING: &'static Setting<Self> = &SEEDS;
}

static SEEDS: Setting<SeedList> = Setting {
    key: "seeds",
    doc: "Seeds: one run each.",
    range: (),
    default: computed(|_| Ok(SeedList(vec![1]))),
    only: None,
    stored: Stored::Plain,
};

impl Kind for SeedList {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        parse_seeds(text).map(Self).map_err(|_| Refusal::Range)
    }
    fn words((): &()) -> String {
        "seeds as 1-5 or 1,3,7, each once, at most 10,000".to_string()
    }
    fn value(&self) -> Option<Value> {
        let seeds: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Some(Value::Text(seeds.join(",")))
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        parse_seeds(&value?.to_string()).ok().map(Self)
    }
}

/// Seeds as they are typed: `1-3,7`.
#[must_use]
pub fn seeds_text(seeds: &[u64]) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for &seed in seeds {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(seed) => *last = seed,
            _ => parts.push((seed, seed)),
        }
    }
    let words = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
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
