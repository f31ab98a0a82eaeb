//! The figures of a run that reports show, each declared once.
//!
//! Owns what a metric is called by programs (`key`), on the command line (`name`) and above a column (`heading`), how
//! many decimals it is printed with, and how it is had from a run and from a group. Tables, CSV, the page, bars, exports
//! and comparisons walk [`METRICS`] and [`COSTS`]; none of them lists the figures itself.

use super::group::{Group, Spread};
use crate::experiment::paper::published::Quantity;
use crate::metrics::Metrics;

/// A metric of the accuracy matrix.
pub struct MetricSpec {
    /// The key in `result.json`, in reports as JSON, and (with `_mean` and `_std`) in CSV.
    pub key: &'static str,
    /// The name that `tagcl compare --metric` takes.
    pub name: &'static str,
    /// Above a column.
    pub heading: &'static str,
    /// Along an axis or above a column of a page, with its unit.
    pub title: &'static str,
    /// What it is, in a clause.
    pub meaning: &'static str,
    /// Decimals.
    pub digits: usize,
    /// Whether a lower value is the better one.
    pub less_is_better: bool,
    /// The published quantity of the same definition.
    pub published: Option<Quantity>,
    /// Its value in a run.
    pub of: fn(&Metrics) -> Option<f64>,
    /// Its spread over a group, where groups have a field for it; the others are kept by key.
    field: Option<fn(&Group) -> Option<Spread>>,
}

impl MetricSpec {
    /// Its spread over a group.
    #[must_use]
    pub fn spread(&self, group: &Group) -> Option<Spread> {
        match self.field {
            Some(field) => field(group),
            None => group.further.get(self.key).copied(),
        }
    }
}

impl std::fmt::Debug for MetricSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for MetricSpec {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl serde::Serialize for MetricSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// Average accuracy.
pub static ACCURACY: MetricSpec = MetricSpec {
    key: "average_accuracy",
    name: "accuracy",
    heading: "accuracy %",
    title: "average accuracy (%)",
    meaning: "mean accuracy over all tasks at the end",
    digits: 2,
    less_is_better: false,
    published: Some(Quantity::Accuracy),
    of: |metrics| Some(metrics.average_accuracy),
    field: Some(|group| Some(group.average_accuracy)),
};

/// Forgetting as the paper defines it.
pub static FORGETTING: MetricSpec = MetricSpec {
    key: "forgetting",
    name: "forgetting",
    heading: "forgetting",
    title: "forgetting (fraction)",
    meaning: "highest earlier accuracy minus final, a fraction; negative where later tasks helped",
    digits: 3,
    less_is_better: true,
    published: None,
    of: |metrics| metrics.forgetting,
    field: Some(|group| group.forgetting),
};

/// Forgetting as the released code computes it.
pub static FORGETTING_RELEASED: MetricSpec = MetricSpec {
    key: "forgetting_released",
    name: "forgetting-released",
    heading: "released",
    title: "forgetting, released (fraction)",
    meaning: "the same where the final accuracy counts among the earlier, as in the released code and the published tables",
    digits: 3,
    less_is_better: true,
    published: Some(Quantity::Forgetting),
    of: |metrics| metrics.forgetting_released,
    field: Some(|group| group.forgetting_released),
};

/// Learning accuracy.
pub static LEARNING_ACCURACY: MetricSpec = MetricSpec {
    key: "learning_accuracy",
    name: "learning-accuracy",
    heading: "learning %",
    title: "learning accuracy (%)",
    meaning: "mean accuracy on each task right after it was trained",
    digits: 2,
    less_is_better: false,
    published: Some(Quantity::LearningAccuracy),
    of: |metrics| metrics.learning_accuracy,
    field: Some(|group| group.learning_accuracy),
};

/// Backward transfer.
pub static BACKWARD_TRANSFER: MetricSpec = MetricSpec {
    key: "backward_transfer",
    name: "backward-transfer",
    heading: "BWT",
    title: "backward transfer (points)",
    meaning: "backward transfer: final accuracy minus accuracy right after training, points",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.backward_transfer,
    field: Some(|group| group.backward_transfer),
};

/// Average incremental accuracy, what class-incremental papers often call average accuracy.
pub static AVERAGE_INCREMENTAL_ACCURACY: MetricSpec = MetricSpec {
    key: "average_incremental_accuracy",
    name: "average-incremental-accuracy",
    heading: "incremental %",
    title: "average incremental accuracy (%)",
    meaning: "mean over the ends of all tasks of the mean accuracy on the tasks so far",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.average_incremental_accuracy,
    field: None,
};

/// Accuracy over images.
pub static IMAGE_ACCURACY: MetricSpec = MetricSpec {
    key: "image_accuracy",
    name: "image-accuracy",
    heading: "images %",
    title: "accuracy over images (%)",
    meaning: "final accuracy over all images, where tasks have different numbers of them",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.image_accuracy,
    field: None,
};

/// Forward transfer.
pub static FORWARD_TRANSFER: MetricSpec = MetricSpec {
    key: "forward_transfer",
    name: "forward-transfer",
    heading: "FWT",
    title: "forward transfer (points)",
    meaning: "forward transfer: accuracy on a task just before it is learned, minus that before all training, points",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.forward_transfer,
    field: None,
};

/// Average anytime accuracy.
pub static ANYTIME_ACCURACY: MetricSpec = MetricSpec {
    key: "average_anytime_accuracy",
    name: "anytime-accuracy",
    heading: "anytime %",
    title: "average anytime accuracy (%)",
    meaning: "mean over all evaluations, within tasks too, of the mean accuracy on the tasks so far",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.average_anytime_accuracy,
    field: None,
};

/// The depth of the stability gap.
pub static MIN_ACCURACY: MetricSpec = MetricSpec {
    key: "min_accuracy",
    name: "min-acc",
    heading: "min-ACC %",
    title: "min-ACC (%)",
    meaning: "mean over earlier tasks of the lowest accuracy at any evaluation after they were learned",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.min_accuracy,
    field: None,
};

/// Worst-case accuracy.
pub static WORST_CASE_ACCURACY: MetricSpec = MetricSpec {
    key: "worst_case_accuracy",
    name: "worst-case-accuracy",
    heading: "worst case %",
    title: "worst-case accuracy (%)",
    meaning: "the last task's accuracy and min-ACC, weighed by tasks",
    digits: 2,
    less_is_better: false,
    published: None,
    of: |metrics| metrics.worst_case_accuracy,
    field: None,
};

/// All metrics, in the order of the columns.
pub static METRICS: &[&MetricSpec] = &[
    &ACCURACY,
    &FORGETTING,
    &FORGETTING_RELEASED,
    &LEARNING_ACCURACY,
    &BACKWARD_TRANSFER,
    &AVERAGE_INCREMENTAL_ACCURACY,
    &IMAGE_ACCURACY,
    &FORWARD_TRANSFER,
    &ANYTIME_ACCURACY,
    &MIN_ACCURACY,
    &WORST_CASE_ACCURACY,
];

/// Those whose spread over a group is kept by key.
pub fn further() -> impl Iterator<Item = &'static MetricSpec> {
    let all = METRICS.iter().copied();
    all.filter(|metric| metric.field.is_none())
}

/// The metric of a published quantity.
#[must_use]
pub fn of_quantity(quantity: Quantity) -> &'static MetricSpec {
    METRICS
        .iter()
        .find(|metric| metric.published == Some(quantity))
        .unwrap_or(&&ACCURACY)
}

/// What a run of a group takes, on average.
pub struct CostSpec {
    /// The key in CSV.
    pub key: &'static str,
    /// Above a column, with the unit; absent from tables where it is empty.
    pub heading: &'static str,
    /// The unit of tables in that of `of`.
    pub unit: f64,
    /// Decimals in tables.
    pub digits: usize,
    /// The mean over the group's runs, in the unit of the key.
    pub of: fn(&Group) -> Option<f64>,
}

/// All costs but the wall-clock time, which has a spread.
pub static COSTS: &[CostSpec] = &[
    CostSpec {
        key: "train_s_mean",
        heading: "training s",
        unit: 1.0,
        digits: 1,
        of: |group| Some(group.cost.train_s.mean),
    },
    CostSpec {
        key: "eval_s_mean",
        heading: "evaluation s",
        unit: 1.0,
        digits: 1,
        of: |group| Some(group.cost.eval_s.mean),
    },
    CostSpec {
        key: "steps",
        heading: "",
        unit: 1.0,
        digits: 0,
        of: |group| Some(group.cost.steps),
    },
    CostSpec {
        key: "ms_per_step",
        heading: "ms/step",
        unit: 1.0,
        digits: 2,
        of: |group| Some(1e3 * group.cost.train_s.mean / group.cost.steps.max(1.0)),
    },
    CostSpec {
        key: "samples",
        heading: "samples",
        unit: 1.0,
        digits: 0,
        of: |group| Some(group.cost.samples),
    },
    CostSpec {
        key: "replayed_samples",
        heading: "replayed",
        unit: 1.0,
        digits: 0,
        of: |group| Some(group.cost.replayed_samples),
    },
    CostSpec {
        key: "optimizer_state_bytes",
        heading: "optimizer MB",
        unit: 1e6,
        digits: 1,
        of: |group| Some(group.cost.optimizer_state_bytes),
    },
    CostSpec {
        key: "replay_bytes",
        heading: "replay MB",
        unit: 1e6,
        digits: 1,
        of: |group| Some(group.cost.replay_bytes),
    },
    CostSpec {
        key: "peak_rss_bytes",
        heading: "peak MB",
        unit: 1e6,
        digits: 1,
        of: |group| group.cost.peak_rss_bytes.map(|bytes| bytes as f64),
    },
];

impl CostSpec {
    /// As tables print it.
    #[must_use]
    pub fn text(&self, group: &Group) -> String {
        (self.of)(group).map_or("–".to_string(), |x| {
            format!("{:.*}", self.digits, x / self.unit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::group_runs;
    use crate::report::testing::{config, run};

    /// A metric that is declared but not the same in runs, groups and results would be reported wrongly in silence.
    #[test]
    fn a_metric_is_the_same_in_runs_groups_and_files() {
        let run = run(config(&[], 1), 60.0, 4.0);
        let stored = serde_json::to_value(run.metrics).unwrap();
        let group = &group_runs(std::slice::from_ref(&run), &[])[0];
        let as_json = serde_json::to_value(group).unwrap();
        let needs_more =
            |metric: &&&MetricSpec| metric.field.is_none() && (metric.of)(&run.metrics).is_none();
        let absent = METRICS.iter().filter(needs_more).count();
        assert_eq!(stored.as_object().unwrap().len(), METRICS.len() - absent);
        assert!(absent < further().count());
        for metric in METRICS {
            let value = (metric.of)(&run.metrics);
            assert_eq!(value, stored[metric.key].as_f64(), "{metric:?}");
            assert_eq!(metric.spread(group).map(|s| s.mean), value, "{metric:?}");
            assert_eq!(as_json[metric.key]["mean"].as_f64(), value, "{metric:?}");
        }
        for quantity in Quantity::ALL {
            assert_eq!(of_quantity(quantity).published, Some(quantity));
        }
    }
}
