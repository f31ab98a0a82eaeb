//! Sweeps: files that say which configurations are tried.
//!
//! Owns the format of a sweep file (`docs/experiments.md`) and its expansion to a list of candidates. Values are decimals as
//! they were written; a range is stepped in exact decimal arithmetic, so that 0.1 to 0.3 by 0.1 ends at 0.3. What would try
//! a configuration twice, or far too many, is an error before anything is run.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Deserialize;

use super::released::ReleasedGrid;
use super::replicate::Row;
use super::settings::{KEYS, Origin, PlannedRun, SettingError, Settings, nearest};

/// A sweep has no more candidates than this unless its file says so (`max_candidates`).
pub const CAP: usize = 10_000;

/// A sweep file that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// No TOML, or not of this form.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// What the parser says.
        reason: String,
    },
    /// A key that is no setting, or may not be swept.
    #[error("{place}: `{key}` cannot stand here: {reason}")]
    Key {
        /// Part of the file.
        place: String,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Values that cannot be.
    #[error("{place}: {key}: {reason}")]
    Values {
        /// Part of the file.
        place: String,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// One configuration twice.
    #[error("two candidates are the same: {first} and {second}; remove one, or exclude it")]
    Duplicate {
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// Too many.
    #[error("{found} candidates are more than {cap}; narrow the grid, or set max_candidates")]
    TooMany {
        /// How many at least.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// None at all.
    #[error("the sweep has no candidates: give [grid], [[combinations]] or released_grid")]
    Empty,
    /// A setting of a candidate.
    #[error("candidate {candidate}: {error}")]
    Setting {
        /// Its values.
        candidate: String,
        /// What is wrong.
        error: SettingError,
    },
}

/// A point of the search: settings that differ between candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Candidates of one group compete for one place; the group's name is shown.
    pub group: String,
    /// Settings that it shares with its group, beside the sweep's.
    pub fixed: Vec<(String, String)>,
    /// Settings by key, as text.
    pub values: Vec<(String, String)>,
}

impl Candidate {
    /// `lr=0.1 b=5`.
    #[must_use]
    pub fn words(&self) -> String {
        let words: Vec<String> = self
            .values
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        words.join(" ")
    }
}

/// How candidates are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Share of the training images that judge, as text.
    pub validation: String,
    /// Seeds of the search.
    pub seeds: String,
    /// Successive halving, if there are rounds.
    pub halving: Option<Halving>,
}

/// Successive halving: all candidates on a share of the images, the best part of them on more.
#[derive(Clone, Debug, PartialEq)]
pub struct Halving {
    /// One in so many goes on, and sees so many times the images.
    pub factor: usize,
    /// Share of the images in the first round.
    pub first_fraction: Decimal,
}

/// A sweep, read and expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Settings of all candidates.
    pub base: Vec<(String, String)>,
    /// Where they come from.
    pub origin: Origin,
    /// What is tried.
    pub candidates: Vec<Candidate>,
    /// Seeds of the winners' runs, or of all runs where nothing is selected.
    pub seeds: String,
    /// Selection, if candidates compete.
    pub selection: Option<Selection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    base: toml::Table,
    #[serde(default)]
    grid: toml::Table,
    #[serde(default)]
    combinations: Vec<toml::Table>,
    #[serde(default)]
    when: Vec<When>,
    #[serde(default)]
    exclude: Vec<toml::Table>,
    released_grid: Option<String>,
    seeds: Option<toml::Value>,
    select: Option<Select>,
    max_candidates: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    #[serde(rename = "if")]
    condition: toml::Table,
    grid: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Select {
    validation: Option<toml::Value>,
    seeds: Option<toml::Value>,
    #[serde(default)]
    by: Vec<String>,
    halving: Option<HalvingFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HalvingFile {
    factor: Option<usize>,
    first_fraction: toml::Value,
}

/// Keys that say how runs are executed, not what they are; and seeds, which have their own place.
const NOT_SWEPT: [&str; 9] = [
    "seeds",
    "out",
    "jobs",
    "threads",
    "data",
    "init",
    "init_sha256",
    "validation",
    "evaluate",
];

fn key(place: &str, key: &str) -> Result<(), SweepError> {
    let refuse = |reason: String| {
        let (place, key) = (place.to_string(), key.to_string());
        Err(SweepError::Key { place, key, reason })
    };
    let names = || KEYS.iter().map(|(name, _)| *name);
    if !names().any(|name| name == key) {
        let near = nearest(key, names());
        let hint = near.map_or(String::new(), |near| format!(", did you mean `{near}`?"));
        return refuse(format!("it is no setting{hint}"));
    }
    let executes = ["out", "jobs", "threads"].contains(&key);
    if key == "seeds" {
        return refuse("seeds stand at the top of the file, and under [select]".to_string());
    }
    if executes || (place != "[base]" && NOT_SWEPT.contains(&key)) {
        return refuse("it is given on the command line or in [base]".to_string());
    }
    if key == "evaluate" {
        return refuse("[select] sets it".to_string());
    }
    Ok(())
}

/// A scalar as text: decimals as they were written.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Boolean(_) => Some(value.to_string()),
        // The shortest text that is this number, which is what was written but for trailing zeros.
        toml::Value::Float(number) => {
            let plain = number.to_string();
            Some(if plain.len() > 12 {
                format!("{number:e}")
            } else {
                plain
            })
        }
        _ => None,
    }
}

/// Seeds as text, from a string or a list.
fn seeds_text(value: &toml::Value) -> String {
    match value {
        toml::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            items.join(",")
        }
        other => scalar(other).unwrap_or_else(|| other.to_string()),
    }
}

/// An exact decimal; also `1e-4`.
fn decimal(text: &str) -> Option<Decimal> {
    let parsed = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text)
    } else {
        text.parse()
    };
    parsed.ok()
}

/// A table of settings as pairs.
fn pairs(place: &str, table: &toml::Table) -> Result<Vec<(String, String)>, SweepError> {
    let pair = |(name, value): (&String, &toml::Value)| {
        key(place, name)?;
        let text = scalar(value).ok_or_else(|| SweepError::Values {
            place: place.to_string(),
            key: name.clone(),
            reason: "one value is needed here, not a list or table".to_string(),
        })?;
        Ok((name.clone(), text))
    };
    table.iter().map(pair).collect()
}

/// The values of one axis: a list, or `{ from, to, step }`, or `{ from, to, times }`.
fn axis(
    place: &str,
    name: &str,
    value: &toml::Value,
    cap: usize,
) -> Result<Vec<String>, SweepError> {
    key(place, name)?;
    let refuse = |reason: &str| SweepError::Values {
        place: place.to_string(),
        key: name.to_string(),
        reason: reason.to_string(),
    };
    let values = match value {
        toml::Value::Array(items) => items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| refuse("values must be numbers or names")))
            .collect::<Result<Vec<_>, _>>()?,
        toml::Value::Table(range) => steps(range, cap).map_err(|reason| refuse(&reason))?,
        _ => {
            return Err(refuse(
                "a list of values or a range { from, to, step } is needed",
            ));
        }
    };
    if values.is_empty() {
        return Err(refuse("the list is empty"));
    }
    // 0.1 and 0.10 are one value; names are compared as they are.
    let plain = |text: &String| decimal(text).map_or(text.clone(), |d| d.normalize().to_string());
    let distinct: BTreeSet<String> = values.iter().map(plain).collect();
    if distinct.len() < values.len() {
        return Err(refuse("a value stands twice"));
    }
    Ok(values)
}

/// A range, both ends included, in exact decimals.
fn steps(range: &toml::Table, cap: usize) -> Result<Vec<String>, String> {
    let get = |name: &str| -> Result<Option<Decimal>, String> {
        let Some(value) = range.get(name) else {
            return Ok(None);
        };
        let number = scalar(value).and_then(|text| decimal(&text));
        number
            .map(Some)
            .ok_or_else(|| format!("`{name}` is no decimal number"))
    };
    if let Some(other) = range
        .keys()
        .find(|k| !["from", "to", "step", "times"].contains(&k.as_str()))
    {
        return Err(format!(
            "a range has from, to, and step or times, not `{other}`"
        ));
    }
    let (Some(from), Some(to)) = (get("from")?, get("to")?) else {
        return Err("a range needs from and to".to_string());
    };
    let next: Box<dyn Fn(Decimal) -> Option<Decimal>> = match (get("step")?, get("times")?) {
        (Some(step), None) if step > Decimal::ZERO => Box::new(move |x| x.checked_add(step)),
        (None, Some(times)) if times > Decimal::ONE && from > Decimal::ZERO => {
            Box::new(move |x| x.checked_mul(times))
        }
        (Some(_), None) => return Err("step must be above 0".to_string()),
        (None, Some(_)) => return Err("times must be above 1, and from above 0".to_string()),
        _ => return Err("a range needs step or times, one of them".to_string()),
    };
    if from > to {
        return Err("from is above to".to_string());
    }
    let (mut values, mut at) = (Vec::new(), from);
    while at <= to {
        values.push(at.normalize().to_string());
        if values.len() > cap {
            return Err(format!("more than {cap} values"));
        }
        match next(at) {
            Some(following) => at = following,
            None => break,
        }
    }
    Ok(values)
}

/// Every way to take one value from each axis, the first axis slowest.
fn product(
    points: &[Vec<(String, String)>],
    axes: &[(String, Vec<String>)],
    cap: usize,
) -> Result<Vec<Vec<(String, String)>>, SweepError> {
    let factors = axes.iter().map(|(_, values)| values.len());
    let found = factors.fold(points.len(), usize::saturating_mul);
    if found > cap {
        return Err(SweepError::TooMany { found, cap });
    }
    let mut points = points.to_vec();
    for (key, values) in axes {
        points = points
            .iter()
            .flat_map(|point| {
                values.iter().map(|value| {
                    let mut point = point.clone();
                    point.retain(|(k, _)| k != key);
                    point.push((key.clone(), value.clone()));
                    point
                })
            })
            .collect();
    }
    Ok(points)
}

/// True if all these settings have these values.
fn holds(
    condition: &[(String, String)],
    base: &[(String, String)],
    point: &[(String, String)],
) -> bool {
    condition.iter().all(|(key, wanted)| {
        let here = point.iter().chain(base).find(|(k, _)| k == key);
        here.is_some_and(|(_, value)| {
            value == wanted
                || matches!((decimal(value), decimal(wanted)), (Some(a), Some(b)) if a == b)
        })
    })
}

impl Sweep {
    /// Reads a sweep file; `path` is for messages.
    ///
    /// # Errors
    /// [`SweepError`].
    pub fn from_toml(text: &str, path: &str) -> Result<Self, SweepError> {
        let file: File = toml::from_str(text).map_err(|e| SweepError::File {
            path: path.to_string(),
            reason: e.to_string(),
        })?;
        let cap = file.max_candidates.unwrap_or(CAP);
        let base = pairs("[base]", &file.base)?;
        let mut points = vec![Vec::new()];
        if !file.combinations.is_empty() {
            let listed = file.combinations.iter();
            points = listed
                .map(|t| pairs("[[combinations]]", t))
                .collect::<Result<_, _>>()?;
        }
        let mut axes = Vec::new();
        for (name, value) in &file.grid {
            axes.push((name.clone(), axis("[grid]", name, value, cap)?));
        }
        if let Some(name) = &file.released_grid {
            let benchmark = base.iter().find(|(key, _)| key == "benchmark");
            axes.extend(released_axes(name, benchmark.map_or("", |(_, name)| name))?);
        }
        if axes.is_empty() && file.combinations.is_empty() && file.when.is_empty() {
            return Err(SweepError::Empty);
        }
        points = product(&points, &axes, cap)?;
        for when in &file.when {
            let condition = pairs("[[when]] if", &when.condition)?;
            let mut axes = Vec::new();
            for (name, value) in &when.grid {
                axes.push((name.clone(), axis("[[when]] grid", name, value, cap)?));
            }
            let mut next = Vec::new();
            for point in points {
                if holds(&condition, &base, &point) {
                    next.extend(product(&[point], &axes, cap)?);
                } else {
                    next.push(point);
                }
                if next.len() > cap {
                    return Err(SweepError::TooMany {
                        found: next.len(),
                        cap,
                    });
                }
            }
            points = next;
        }
        for table in &file.exclude {
            let condition = pairs("[[exclude]]", table)?;
            points.retain(|point| !holds(&condition, &base, point));
        }
        if points.is_empty() {
            return Err(SweepError::Empty);
        }
        let selection = file.select.as_ref().map(selection).transpose()?;
        let by = file.select.map(|select| select.by).unwrap_or_default();
        for name in &by {
            key("[select] by", name)?;
        }
        let group = |point: &[(String, String)]| {
            let value = |name: &String| {
                let found = point.iter().chain(&base).find(|(k, _)| k == name);
                found.map_or(String::new(), |(_, value)| value.clone())
            };
            by.iter().map(value).collect::<Vec<_>>().join(" ")
        };
        let candidates = points.into_iter().map(|values| Candidate {
            group: group(&values),
            fixed: Vec::new(),
            values,
        });
        let sweep = Self {
            candidates: candidates.collect(),
            base,
            origin: Origin::File(path.to_string()),
            seeds: file
                .seeds
                .as_ref()
                .map_or_else(|| "1".to_string(), seeds_text),
            selection,
        };
        sweep.check()?;
        Ok(sweep)
    }

    /// The search of released grid rows: the candidates of a row are its group.
    ///
    /// # Errors
    /// [`SweepError`].
    pub fn of_rows(rows: &[Row], selection: Selection) -> Result<Self, SweepError> {
        let mut candidates = Vec::new();
        for row in rows {
            let axes = row
                .grid
                .map_or_else(Vec::new, |grid| axes_of(grid, row.benchmark()));
            let own = row.settings.iter().filter(|(key, _)| *key != "seeds");
            let own: Vec<_> = own
                .map(|(key, value)| ((*key).to_string(), value.clone()))
                .collect();
            for values in product(&[Vec::new()], &axes, CAP)? {
                candidates.push(Candidate {
                    group: row.label.clone(),
                    fixed: own.clone(),
                    values,
                });
            }
        }
        let sweep = Self {
            base: Vec::new(),
            origin: Origin::File("the released scripts".to_string()),
            candidates,
            seeds: selection.seeds.clone(),
            selection: Some(selection),
        };
        sweep.check()?;
        Ok(sweep)
    }

    /// Checks that every candidate is a configuration, and none stands twice.
    ///
    /// # Errors
    /// [`SweepError::Setting`] and [`SweepError::Duplicate`].
    pub fn check(&self) -> Result<(), SweepError> {
        let mut seen: BTreeMap<String, &Candidate> = BTreeMap::new();
        for candidate in &self.candidates {
            for run in self.plan(candidate, &[], &[])?.into_iter().take(1) {
                if let Some(first) = seen.insert(run.config.group_hash(), candidate) {
                    return Err(SweepError::Duplicate {
                        first: first.words(),
                        second: candidate.words(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The runs of a candidate: its settings over the sweep's, `stage` over both, and `typed` over all.
    ///
    /// # Errors
    /// [`SweepError::Setting`].
    pub fn plan(
        &self,
        candidate: &Candidate,
        stage: &[(&str, String)],
        typed: &[(&str, String)],
    ) -> Result<Vec<PlannedRun>, SweepError> {
        let refuse = |error| SweepError::Setting {
            candidate: candidate.words(),
            error,
        };
        self.settings(candidate, stage, typed)
            .and_then(|settings| settings.plan())
            .map(|plan| plan.runs)
            .map_err(refuse)
    }

    /// The settings that [`Self::plan`] plans.
    ///
    /// # Errors
    /// [`SettingError`].
    pub fn settings(
        &self,
        candidate: &Candidate,
        stage: &[(&str, String)],
        typed: &[(&str, String)],
    ) -> Result<Settings, SettingError> {
        let mut settings = Settings::default();
        settings.set("seeds", &self.seeds, self.origin.clone())?;
        for (key, value) in self
            .base
            .iter()
            .chain(&candidate.fixed)
            .chain(&candidate.values)
        {
            settings.set(key, value, self.origin.clone())?;
        }
        for (key, value) in typed {
            settings.set(key, value, Origin::CommandLine)?;
        }
        for (key, value) in stage {
            settings.set(key, value, Origin::Search)?;
        }
        Ok(settings)
    }
}

fn released_axes(name: &str, benchmark: &str) -> Result<Vec<(String, Vec<String>)>, SweepError> {
    let grid = ReleasedGrid::parse(name).ok_or_else(|| SweepError::Values {
        place: "released_grid".to_string(),
        key: name.to_string(),
        reason: "there are lr, tag, ewc and stable".to_string(),
    })?;
    Ok(axes_of(grid, benchmark))
}

fn axes_of(grid: ReleasedGrid, benchmark: &str) -> Vec<(String, Vec<String>)> {
    let axes = grid.axes_on(benchmark).map(|(key, values)| {
        let values = values.iter().map(ToString::to_string).collect();
        ((*key).to_string(), values)
    });
    axes.collect()
}

fn selection(select: &Select) -> Result<Selection, SweepError> {
    let refuse = |key: &str, reason: &str| SweepError::Values {
        place: "[select]".to_string(),
        key: key.to_string(),
        reason: reason.to_string(),
    };
    let halving = match &select.halving {
        None => None,
        Some(file) => {
            let number = scalar(&file.first_fraction).and_then(|text| decimal(&text));
            let first = number.filter(|x| *x > Decimal::ZERO && *x < Decimal::ONE);
            Some(Halving {
                factor: match file.factor.unwrap_or(3) {
                    factor @ 2..=100 => factor,
                    _ => {
                        return Err(refuse(
                            "halving.factor",
                            "a whole number from 2 to 100 is needed",
                        ));
                    }
                },
                first_fraction: first.ok_or_else(|| {
                    refuse(
                        "halving.first_fraction",
                        "a share between 0 and 1 is needed",
                    )
                })?,
            })
        }
    };
    let validation = match &select.validation {
        None => "0.1".to_string(),
        Some(value) => scalar(value).unwrap_or_else(|| value.to_string()),
    };
    if !validation
        .parse::<f64>()
        .is_ok_and(|share| share > 0.0 && share < 1.0)
    {
        return Err(refuse(
            "validation",
            "a share of the training images between 0 and 1 is needed",
        ));
    }
    Ok(Selection {
        validation,
        seeds: select
            .seeds
            .as_ref()
            .map_or_else(|| "1".to_string(), seeds_text),
        halving,
    })
}

#[cfg(test)]
mod tests;
