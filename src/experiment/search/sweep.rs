//! Sweeps: files that say which configurations are tried.
//!
//! Owns the format of a sweep file (`docs/experiments.md`) and its expansion to a list of candidates. Values are decimals as
//! they were written; a range is stepped in exact decimal arithmetic, so that 0.1 to 0.3 by 0.1 ends at 0.3. What would try
//! a configuration twice, or far too many, is an error before anything is run.

mod axis;
mod error;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::experiment::paper::released::ReleasedGrid;
use crate::experiment::paper::replicate::Row;
use crate::experiment::plan::settings::{Origin, PlannedRun, SettingError, Settings};

use axis::{axis, decimal, holds, key, must_hold, pairs, product, scalar, seeds_text};
pub use error::SweepError;

/// A sweep has no more candidates than this unless its file says so (`max_candidates`).
pub const CAP: usize = 10_000;

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
        words(&self.values)
    }
}

/// Settings as `lr=0.1 b=5`.
#[must_use]
pub fn words(values: &[(String, String)]) -> String {
    let words: Vec<String> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
    words.join(" ")
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
        for (number, when) in file.when.iter().enumerate() {
            let condition = pairs("[[when]] if", &when.condition)?;
            must_hold(
                &format!("[[when]] {}", number + 1),
                &condition,
                &base,
                &points,
            )?;
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
        let all = points.clone();
        for (number, table) in file.exclude.iter().enumerate() {
            let condition = pairs("[[exclude]]", table)?;
            must_hold(
                &format!("[[exclude]] {}", number + 1),
                &condition,
                &base,
                &all,
            )?;
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
