//! Searches: which candidate of a sweep is best.
//!
//! Owns the order of stages: candidates are judged on validation images only (a share of the training images that they are
//! not trained on), by rounds of successive halving if asked for; the winner of every group is then trained on all training
//! images and evaluated on the test images, over the sweep's seeds. Every configuration that was tried stays in the table.
//! A winner is chosen only among candidates that were all judged: each has its results, or failed by itself, which says
//! something of it. A candidate whose process was killed, whose disk was full or whose data are missing was not judged, and
//! nobody wins until it is. How runs are executed is somebody else's business, so that all of this is tested without training.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::search::sweep::{Candidate, Sweep, SweepError, words};
use crate::experiment::{Fault, RunError};
use crate::metrics::mean_std;

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The sweep is none.
    #[error("{0}")]
    Sweep(#[from] SweepError),
    /// The engine cannot execute anything.
    #[error("{0}")]
    Run(#[from] RunError),
    /// Told to stop; what is finished stays.
    #[error("interrupted")]
    Interrupted,
    /// Candidates that were not judged: another could win only for want of them.
    #[error(
        "nothing is chosen: {} of {all} candidates{} {} no result, through no fault of {}: {}; the same command goes on from \
         here, and runs only what is missing",
        missing.len(),
        of_group(group),
        if missing.len() == 1 { "has" } else { "have" },
        if missing.len() == 1 { "its own" } else { "their own" },
        listed(missing)
    )]
    NotJudged {
        /// The group.
        group: String,
        /// Candidates of the group in this round.
        all: usize,
        /// Those without a result, with the reason.
        missing: Vec<(String, String)>,
    },
    /// Nothing to choose from.
    #[error("every candidate{} failed; the first: {reason}", of_group(group))]
    NothingLeft {
        /// The group.
        group: String,
        /// Why its first candidate failed.
        reason: String,
    },
}

fn of_group(group: &str) -> String {
    match group {
        "" => String::new(),
        group => format!(" of {group}"),
    }
}

/// The first few candidates with their reasons.
fn listed(missing: &[(String, String)]) -> String {
    const SHOWN: usize = 5;
    let mut words: Vec<String> = (missing.iter().take(SHOWN))
        .map(|(candidate, reason)| format!("{candidate} ({reason})"))
        .collect();
    let more = missing.len().saturating_sub(SHOWN);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

/// Executes a list of runs; the answers are in the order of the list.
pub trait Engine {
    /// `stage` is for displays.
    ///
    /// # Errors
    /// [`RunError`] if nothing could be executed at all.
    fn execute(&mut self, stage: &str, runs: &[PlannedRun]) -> Result<Vec<Status>, RunError>;
}

/// A configuration that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// Candidates of one group compete.
    pub group: String,
    /// Its settings, by key.
    pub values: Vec<(String, String)>,
    /// Round of the search, from 1.
    pub round: usize,
    /// Share of the training images that it saw, of those that the sweep gives.
    pub fraction: String,
    /// Runs that finished.
    pub n: usize,
    /// Mean of the average accuracy over seeds, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Its population standard deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// Where accuracies were measured: `validation` or `test`.
    pub measured_on: &'static str,
    /// Whether it went on to the next round, or won.
    pub chosen: bool,
    /// Why a run of it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why a run of it has no result though it did not fail by itself: the candidate is not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What a sweep has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Every configuration that was tried, in every round.
    pub tried: Vec<Tried>,
    /// The winners' runs (all runs, where nothing is selected), on the test images.
    pub final_runs: Vec<Final>,
}

/// A configuration on the test images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Final {
    /// Its group.
    pub group: String,
    /// Its settings, by key.
    pub values: Vec<(String, String)>,
    /// Ids of its runs.
    pub run_ids: Vec<String>,
    /// Runs that finished.
    pub n: usize,
    /// Mean of the average accuracy over seeds, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Its population standard deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// Mean forgetting over seeds, a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<f64>,
    /// Why a run of it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why a run of it has no result though it did not fail by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A round of the search: what share of the images, how many candidates of each group go on.
#[derive(Clone, Debug, PartialEq)]
struct Round {
    fraction: Decimal,
    /// One in so many; 0 for the last round, where one wins.
    keep_one_in: usize,
}

/// The rounds of a search, from the first.
fn rounds(sweep: &Sweep) -> Vec<Round> {
    let mut rounds = Vec::new();
    if let Some(halving) = sweep.selection.as_ref().and_then(|s| s.halving.as_ref()) {
        let mut fraction = halving.first_fraction;
        while fraction < Decimal::ONE {
            rounds.push(Round {
                fraction,
                keep_one_in: halving.factor,
            });
            fraction *= Decimal::from(halving.factor);
        }
    }
    rounds.push(Round {
        fraction: Decimal::ONE,
        keep_one_in: 0,
    });
    rounds
}

/// Number of runs of each stage at most: every round, then the final runs.
///
/// # Errors
/// [`SweepError`] if a candidate is no configuration.
pub fn stages(
    sweep: &Sweep,
    typed: &[(&str, String)],
) -> Result<Vec<(String, Vec<PlannedRun>)>, SweepError> {
    let mut stages = Vec::new();
    if sweep.selection.is_some() {
        let mut left: Vec<&Candidate> = sweep.candidates.iter().collect();
        for (number, round) in rounds(sweep).iter().enumerate() {
            let mut runs = Vec::new();
            for candidate in &left {
                runs.extend(sweep.plan(
                    candidate,
                    &search_settings(sweep, candidate, round)?,
                    typed,
                )?);
            }
            stages.push((format!("search, round {}", number + 1), runs));
            let mut next = Vec::new();
            for group in groups(sweep) {
                let members: Vec<&Candidate> =
                    left.iter().filter(|c| c.group == group).copied().collect();
                let kept = kept(members.len(), round);
                next.extend(members.into_iter().take(kept));
            }
            left = next;
        }
        let mut runs = Vec::new();
        for winner in left {
            runs.extend(sweep.plan(winner, &[], typed)?);
        }
        stages.push(("winners".to_string(), runs));
    } else {
        let mut runs = Vec::new();
        for candidate in &sweep.candidates {
            runs.extend(sweep.plan(candidate, &[], typed)?);
        }
        stages.push(("all".to_string(), runs));
    }
    Ok(stages)
}

fn kept(members: usize, round: &Round) -> usize {
    match round.keep_one_in {
        0 => 1,
        factor => members.div_ceil(factor),
    }
}

/// Groups in order of their first candidate.
fn groups(sweep: &Sweep) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for candidate in &sweep.candidates {
        if !groups.contains(&candidate.group) {
            groups.push(candidate.group.clone());
        }
    }
    groups
}

/// Settings of a search run: judged on validation images, on a share of the sweep's images.
fn search_settings(
    sweep: &Sweep,
    candidate: &Candidate,
    round: &Round,
) -> Result<Vec<(&'static str, String)>, SweepError> {
    let Some(selection) = &sweep.selection else {
        return Ok(Vec::new());
    };
    let mut settings = vec![
        ("validation", selection.validation.clone()),
        ("evaluate", "validation".to_string()),
        ("seeds", selection.seeds.clone()),
    ];
    if round.fraction < Decimal::ONE {
        let all = candidate.values.iter().chain(&sweep.base);
        let given = all.into_iter().find(|(key, _)| key == "fraction");
        let given = given.map_or(Ok(Decimal::ONE), |(_, text)| text.parse());
        let given = given.map_err(|_| SweepError::Values {
            place: "[base]".to_string(),
            key: "fraction".to_string(),
            reason: "a decimal is needed for successive halving".to_string(),
        })?;
        settings.push(("fraction", (given * round.fraction).normalize().to_string()));
    }
    Ok(settings)
}

/// Mean and standard deviation of runs that finished, and the first failure.
struct Summary {
    n: usize,
    accuracy: Option<(f64, f64)>,
    forgetting: Option<f64>,
    failed: Option<String>,
    missing: Option<String>,
}

fn summarise<'a>(statuses: impl Iterator<Item = &'a Status>) -> Result<Summary, SearchError> {
    let (mut accuracies, mut forgetting) = (Vec::new(), Vec::new());
    let (mut failed, mut missing) = (None, None);
    for status in statuses {
        match status {
            Status::Done(result) | Status::Found(result) => {
                accuracies.push(result.metrics.average_accuracy);
                forgetting.extend(result.metrics.forgetting);
            }
            Status::Failed(error) => {
                let why = match error.fault() {
                    Fault::Own => &mut failed,
                    Fault::Passing | Fault::Lasting => &mut missing,
                };
                why.get_or_insert(error.to_string());
            }
            Status::Interrupted => return Err(SearchError::Interrupted),
        }
    }
    Ok(Summary {
        n: accuracies.len(),
        accuracy: mean_std(&accuracies),
        forgetting: mean_std(&forgetting).map(|(mean, _)| mean),
        failed,
        missing,
    })
}

/// Runs a sweep. `typed` settings beat the sweep's; `progress` hears of the table after every round.
///
/// # Errors
/// [`SearchError`].
pub fn search(
    sweep: &Sweep,
    typed: &[(&str, String)],
    engine: &mut dyn Engine,
    progress: &mut dyn FnMut(&[Tried]) -> Result<(), RunError>,
) -> Result<Found, SearchError> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut left: Vec<&Candidate> = sweep.candidates.iter().collect();
    if sweep.selection.is_some() {
        let rounds = rounds(sweep);
        let last = rounds.len();
        for (number, round) in rounds.iter().enumerate() {
            let first = tried.len();
            try_all(sweep, typed, &left, (number + 1, round), engine, &mut tried)?;
            let new = tried.get_mut(first..).unwrap_or_default();
            let mut next = Vec::new();
            for group in groups(sweep) {
                if let Err(error) = choose(&group, new, round) {
                    // What was tried is worth keeping though nothing is chosen.
                    for row in new.iter_mut() {
                        row.chosen = false;
                    }
                    progress(&tried)?;
                    return Err(error);
                }
            }
            for (candidate, tried) in left.iter().zip(new.iter()) {
                if tried.chosen {
                    next.push(*candidate);
                }
            }
            left = next;
            progress(&tried)?;
            debug_assert!(number + 1 < last || left.len() == groups(sweep).len());
        }
    }
    let mut runs = Vec::new();
    let mut counts = Vec::new();
    for winner in &left {
        let own = sweep.plan(winner, &[], typed)?;
        counts.push(own.len());
        runs.extend(own);
    }
    let stage = if sweep.selection.is_some() {
        "winners"
    } else {
        "all"
    };
    let statuses = engine.execute(stage, &runs)?;
    let mut final_runs = Vec::new();
    let (mut statuses, mut runs) = (statuses.iter(), runs.iter());
    for (winner, count) in left.iter().zip(counts) {
        let summary = summarise(statuses.by_ref().take(count))?;
        final_runs.push(Final {
            group: winner.group.clone(),
            values: winner.values.clone(),
            run_ids: runs
                .by_ref()
                .take(count)
                .map(|run| run.config.run_id())
                .collect(),
            n: summary.n,
            accuracy: summary.accuracy.map(|(mean, _)| mean),
            std: summary.accuracy.map(|(_, std)| std),
            forgetting: summary.forgetting,
            failed: summary.failed,
            missing: summary.missing,
        });
    }
    Ok(Found { tried, final_runs })
}

/// Executes one round and appends a row for every candidate.
fn try_all(
    sweep: &Sweep,
    typed: &[(&str, String)],
    left: &[&Candidate],
    (number, round): (usize, &Round),
    engine: &mut dyn Engine,
    tried: &mut Vec<Tried>,
) -> Result<(), SearchError> {
    let (mut runs, mut counts) = (Vec::new(), Vec::new());
    for candidate in left {
        let own = sweep.plan(candidate, &search_settings(sweep, candidate, round)?, typed)?;
        counts.push(own.len());
        runs.extend(own);
    }
    let statuses = engine.execute(&format!("search, round {number}"), &runs)?;
    let mut statuses = statuses.iter();
    for (candidate, count) in left.iter().zip(counts) {
        let summary = summarise(statuses.by_ref().take(count))?;
        tried.push(Tried {
            group: candidate.group.clone(),
            values: candidate.values.clone(),
            round: number,
            fraction: round.fraction.normalize().to_string(),
            n: summary.n,
            accuracy: summary.accuracy.map(|(mean, _)| mean),
            std: summary.accuracy.map(|(_, std)| std),
            measured_on: "validation",
            chosen: false,
            failed: summary.failed,
            missing: summary.missing,
        });
    }
    Ok(())
}

/// Marks the best candidates of a group; of equals the first. A candidate of which a run failed by itself cannot be chosen:
/// its mean would be over other seeds. One without a result for another reason keeps any from being chosen.
fn choose(group: &str, tried: &mut [Tried], round: &Round) -> Result<(), SearchError> {
    let mut members: Vec<&mut Tried> = tried.iter_mut().filter(|t| t.group == group).collect();
    let kept = kept(members.len(), round);
    let missing: Vec<_> = (members.iter())
        .filter_map(|t| Some((words(&t.values), t.missing.clone()?)))
        .collect();
    if !missing.is_empty() {
        let (group, all) = (group.to_string(), members.len());
        return Err(SearchError::NotJudged {
            group,
            all,
            missing,
        });
    }
    let failed = members.iter().find_map(|t| t.failed.clone());
    members.retain(|t| t.failed.is_none() && t.accuracy.is_some());
    if members.is_empty() {
        return Err(SearchError::NothingLeft {
            group: group.to_string(),
            reason: failed.unwrap_or_default(),
        });
    }
    // A stable sort keeps the order of equals.
    members.sort_by(|a, b| {
        b.accuracy
            .unwrap_or_default()
            .total_cmp(&a.accuracy.unwrap_or_default())
    });
    for member in members.into_iter().take(kept) {
        member.chosen = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
