//! Our groups against the authors' figures.
//!
//! Owns the comparison: which published rows a group has, the difference with its 95% Welch interval, and a verdict. The
//! verdict comes from an equivalence test, since "no significant difference" is what too few runs always show:
//! *equivalent* if the difference is within the margin (TOST, 5%), else *different* if Welch's test finds one (5%), else
//! *inconclusive*. The seeds of the two programs draw different numbers, so nothing is paired.

use serde::{Serialize, Serializer};

use super::group::{Group, Spread};
use super::load::Run;
use super::metric::of_quantity;
use super::power::{SeedsNeeded, seeds_needed};
use super::statistics::{Sample, welch};
use crate::experiment::paper::published::{Agreement, Quantity, Row, Values, matching};
use crate::metrics::mean_std;

/// Level of all tests.
const LEVEL: f64 = 0.05;
/// Confidence of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// What can be said of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Surely within the margin.
    Equivalent,
    /// Surely not 0, and not surely within the margin.
    Different,
    /// Neither: more runs are needed.
    Inconclusive,
    /// Fewer than two runs on one side, or no published spread: no test is possible.
    NoTest,
}

impl Verdict {
    /// As tables print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Different => "different",
            Self::Inconclusive => "inconclusive",
            Self::NoTest => "no test",
        }
    }
}

/// One quantity, ours and theirs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuantityComparison {
    /// Which one.
    pub quantity: Quantity,
    /// Over our runs.
    pub ours: Spread,
    /// Number of our runs.
    pub n: usize,
    /// Mean of the published values.
    pub published_mean: f64,
    /// Their population standard deviation, if there is one.
    pub published_std: Option<f64>,
    /// Number of published runs.
    pub published_n: usize,
    /// Whether the published values are known run by run, rather than as a rounded mean and deviation.
    pub published_runs: bool,
    /// Ours minus theirs.
    pub difference: f64,
    /// Its 95% Welch interval.
    pub interval: Option<(f64, f64)>,
    /// Two-sided p of Welch's test.
    pub p: Option<f64>,
    /// P of the equivalence test.
    pub equivalence_p: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// Where it is inconclusive: how many runs of ours, those at hand among them, would probably settle it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds_needed: Option<SeedsNeeded>,
}

impl QuantityComparison {
    /// The published value: `62.79 ± 0.29`, or the mean alone.
    #[must_use]
    pub fn published_text(&self, digits: usize) -> String {
        match self.published_std {
            Some(std) => format!("{:.digits$} ± {std:.digits$}", self.published_mean),
            None => format!("{:.digits$}", self.published_mean),
        }
    }

    /// The verdict, where it is inconclusive with the seeds that would settle it: `inconclusive, ~17 seeds`.
    #[must_use]
    pub fn verdict_text(&self) -> String {
        let name = self.verdict.name();
        match self.seeds_needed {
            None => name.to_string(),
            Some(SeedsNeeded::About(n)) => format!("{name}, ~{n} seeds"),
            Some(SeedsNeeded::MoreThan(n)) => format!("{name}, > {n} seeds"),
            Some(SeedsNeeded::NoNumber) => format!("{name}, at any n"),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn row_as_text<S: Serializer>(row: &&'static Row, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{} {}", row.dataset, row.label))
}

/// A group beside a published row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Index of the group.
    pub group: usize,
    /// The published row.
    #[serde(serialize_with = "row_as_text")]
    pub row: &'static Row,
    /// Where the figures stand.
    pub source: String,
    /// Whether the group's settings are those behind the figure.
    pub agreement: Agreement,
    /// What is known of the figure.
    pub notes: Vec<String>,
    /// Accuracy, forgetting, learning accuracy: those that were published.
    pub quantities: Vec<QuantityComparison>,
}

/// A quantity of one of our runs, in the unit and by the definition of the published figure.
#[must_use]
pub fn quantity_of(run: &Run, quantity: Quantity) -> Option<f64> {
    (of_quantity(quantity).of)(&run.metrics)
}

/// Every group beside every published row that has its configuration.
///
/// The margin is in points of accuracy; forgetting, a fraction, has a hundredth of it. Runs on incomplete or stand-in
/// data, which say so in their note, are not compared.
#[must_use]
pub fn compare_with_published(groups: &[Group], runs: &[Run], margin: f64) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let members = || group.members.iter().filter_map(|i| runs.get(*i));
        if members().any(|run| run.provenance.data_note.is_some()) {
            continue;
        }
        for (row, agreement) in matching(&group.config) {
            let quantities = Quantity::ALL.into_iter().filter_map(|quantity| {
                let ours: Option<Vec<f64>> =
                    members().map(|run| quantity_of(run, quantity)).collect();
                compare_quantity(quantity, &ours?, &row.values(quantity)?, margin)
            });
            comparisons.push(Comparison {
                group: index,
                row,
                source: row.source(),
                agreement,
                notes: notes(row, agreement),
                quantities: quantities.collect(),
            });
        }
    }
    comparisons
}

fn notes(row: &Row, agreement: Agreement) -> Vec<String> {
    let mut notes = row.notes.clone();
    if agreement == Agreement::OnlyStated {
        notes.insert(
            0,
            "THE PUBLISHED FIGURE COMES FROM OTHER SETTINGS than those stated and used here"
                .to_string(),
        );
    }
    notes
}

/// Values of ours against the published ones, with a margin in points; `None` for no values.
pub(super) fn compare_quantity(
    quantity: Quantity,
    ours: &[f64],
    theirs: &Values,
    margin: f64,
) -> Option<QuantityComparison> {
    let margin = match quantity {
        Quantity::Forgetting => margin / 100.0,
        Quantity::Accuracy | Quantity::LearningAccuracy => margin,
    };
    let (mean, std) = mean_std(ours)?;
    let (published_mean, published_std, published_n) = theirs.summary()?;
    let sample = match theirs {
        Values::Runs(values) => Sample::of(values),
        Values::Summary(figure, n) => figure
            .std
            .and_then(|std| Sample::of_summary(figure.mean, std, *n)),
    };
    let samples = Sample::of(ours).zip(sample);
    let test = samples.map(|(ours, theirs)| welch(&ours, &theirs));
    let equivalence_p = test.map(|test| test.equivalence_p(margin));
    let p = test.map(|test| test.p());
    let verdict = match (equivalence_p, p) {
        (Some(equivalence), _) if equivalence < LEVEL => Verdict::Equivalent,
        (_, Some(p)) if p < LEVEL => Verdict::Different,
        (Some(_), Some(_)) => Verdict::Inconclusive,
        _ => Verdict::NoTest,
    };
    let inconclusive = samples.filter(|_| verdict == Verdict::Inconclusive);
    Some(QuantityComparison {
        quantity,
        ours: Spread { mean, std },
        n: ours.len(),
        published_mean,
        published_std,
        published_n,
        published_runs: matches!(theirs, Values::Runs(_)),
        difference: mean - published_mean,
        interval: test.map(|test| test.interval(CONFIDENCE)),
        p,
        equivalence_p,
        verdict,
        seeds_needed: inconclusive
            .map(|(ours, theirs)| seeds_needed(&ours, &theirs, margin, LEVEL)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::group_runs;
    use crate::report::testing::{config, run};

    fn tag(accuracies: &[f64]) -> Vec<Run> {
        let settings = [("optimizer", "tag-rmsprop"), ("tasks", "20")];
        let runs = accuracies.iter().enumerate();
        runs.map(|(i, accuracy)| run(config(&settings, i as u64), *accuracy, 10.0))
            .collect()
    }

    fn accuracy(accuracies: &[f64], margin: f64) -> QuantityComparison {
        let runs = tag(accuracies);
        let comparisons = compare_with_published(&group_runs(&runs, &[]), &runs, margin);
        assert_eq!(comparisons.len(), 1);
        assert_eq!(comparisons[0].quantities.len(), 3);
        comparisons[0].quantities[0].clone()
    }

    #[test]
    fn the_interval_is_that_of_scipy() {
        // scipy.stats.ttest_ind([63.86, 64.92, 62.38], the five logged accuracies, equal_var=False)
        let comparison = accuracy(&[63.86, 64.92, 62.38], 2.0);
        assert!((comparison.published_mean - 62.786).abs() < 1e-3);
        assert!(
            (comparison.difference - 0.934).abs() < 1e-3,
            "{comparison:?}"
        );
        let (low, high) = comparison.interval.unwrap();
        assert!(low < 0.0 && high > 2.0, "{low} {high}");
        assert_eq!(comparison.verdict, Verdict::Inconclusive);
        let Some(SeedsNeeded::About(n)) = comparison.seeds_needed else {
            panic!("{comparison:?}");
        };
        assert_eq!(
            comparison.verdict_text(),
            format!("inconclusive, ~{n} seeds")
        );
    }

    #[test]
    fn verdicts_follow_from_the_tests() {
        assert_eq!(
            accuracy(&[62.7, 62.9, 62.8, 62.6], 2.0).verdict,
            Verdict::Equivalent
        );
        assert_eq!(
            accuracy(&[62.7, 62.9, 62.8, 62.6], 0.1).verdict,
            Verdict::Inconclusive
        );
        assert_eq!(
            accuracy(&[50.0, 51.0, 50.5], 2.0).verdict,
            Verdict::Different
        );
        // Surely different, and surely by less than the margin: within it is what was asked.
        let near = accuracy(&[63.8, 63.81, 63.79, 63.8, 63.8], 2.0);
        assert!(near.p.unwrap() < 0.05);
        assert_eq!(near.verdict, Verdict::Equivalent);
    }

    #[test]
    fn one_run_has_a_difference_and_no_verdict() {
        let comparison = accuracy(&[63.0], 2.0);
        assert_eq!((comparison.interval, comparison.p), (None, None));
        assert_eq!(comparison.verdict, Verdict::NoTest);
        assert_eq!(comparison.verdict_text(), "no test");
        assert!((comparison.difference - 0.214).abs() < 1e-3);
    }

    #[test]
    fn stand_in_data_are_not_compared() {
        let mut runs = tag(&[63.0, 64.0]);
        runs[1].provenance.data_note = Some("half of it".to_string());
        assert_eq!(
            compare_with_published(&group_runs(&runs, &[]), &runs, 2.0),
            []
        );
    }

    #[test]
    fn figures_of_other_settings_say_so() {
        let settings = [("optimizer", "adagrad"), ("tasks", "20"), ("lr", "0.005")];
        let runs = [
            run(config(&settings, 1), 50.0, 10.0),
            run(config(&settings, 2), 51.0, 10.0),
        ];
        let comparisons = compare_with_published(&group_runs(&runs, &[]), &runs, 2.0);
        assert!(comparisons[0].notes[0].contains("OTHER SETTINGS"));
    }
}
