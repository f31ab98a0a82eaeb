//! `result.json`: what a finished run leaves behind.
//!
//! Owns its schema. Everything but `cost` and `provenance` is a function of `config`.

use serde::{Deserialize, Serialize};

use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::provenance::Provenance;
use crate::metrics::{Further, Metrics, TaskMatrix, Within};
use crate::optim::{AlphaRecord, Layout};
use crate::stream::Task;

/// Version of the schema; grows when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// One run's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Version of this schema.
    pub schema: u32,
    /// Id of the run.
    pub run_id: String,
    /// Everything the rest depends on.
    pub config: RunConfig,
    /// All metrics, recomputable from `accuracy_matrix`.
    pub metrics: Metrics,
    /// Percent correct on tasks 1..=i after task i; under the schedules cyclic and joint one row, the
    /// final evaluation on all tasks.
    pub accuracy_matrix: TaskMatrix,
    /// Mean cross-entropy in nats, in the same rows.
    pub loss_matrix: TaskMatrix,
    /// Images of each task on which accuracy is measured; empty in results from before this was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured_images: Vec<usize>,
    /// Percent correct on tasks to come: row i after i tasks (row 0 before training), from task i + 1 on; empty unless
    /// `evaluate_future`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead_matrix: Vec<Vec<f64>>,
    /// Evaluations within tasks, tasks and steps as they came; empty unless `evaluate_every`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Within>,
    /// What was taken of the file of initial weights; absent without one, and in results from before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeights>,
    /// What each task's logits stand for, in the order of the tasks; empty in results from before this was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_classes: Vec<TaskClasses>,
    /// TAG's correlations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<AlphaResult>,
    /// Time and memory.
    pub cost: Cost,
    /// Build and machine.
    pub provenance: Provenance,
}

/// How far a stored metric may be from the one recomputed: far below what is printed, far above rounding.
const METRIC_TOLERANCE: f64 = 1e-6;

/// What a result file must have. Fields that later versions add are passed over.
#[derive(Deserialize)]
struct Stored<A> {
    schema: Option<u64>,
    run_id: String,
    config: RunConfig,
    metrics: Metrics,
    accuracy_matrix: Vec<Vec<f64>>,
    loss_matrix: Vec<Vec<f64>>,
    #[serde(default)]
    measured_images: Vec<usize>,
    #[serde(default)]
    ahead_matrix: Vec<Vec<f64>>,
    #[serde(default)]
    within: Vec<Within>,
    initial_weights: Option<InitialWeights>,
    #[serde(default)]
    task_classes: Vec<TaskClasses>,
    alpha: Option<A>,
    cost: Cost,
    provenance: Provenance,
}

/// A result file's content. The one judgement of what a result is: whoever reads results reads them here.
///
/// # Errors
/// A sentence: not JSON, of another schema, a matrix of the wrong shape, a value that cannot be, or metrics that are not
/// the matrix's.
pub fn parse(bytes: &[u8]) -> Result<RunResult, String> {
    let (result, alpha) = checked::<AlphaResult>(bytes)?;
    Ok(RunResult { alpha, ..result })
}

/// The same without α, which is nine tenths of a result: it is passed over.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_without_alpha(bytes: &[u8]) -> Result<RunResult, String> {
    checked::<serde::de::IgnoredAny>(bytes).map(|(result, _)| result)
}

fn checked<A: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<(RunResult, Option<A>), String> {
    #[derive(Deserialize)]
    struct Version {
        schema: Option<u64>,
    }
    let stored: Stored<A> = serde_json::from_slice(bytes).map_err(|error| {
        // Another schema explains what is missing better than the first missing field.
        match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { schema }) if schema != Some(u64::from(SCHEMA)) => other_schema(schema),
            _ => format!("not a result file: {error}"),
        }
    })?;
    if stored.schema != Some(u64::from(SCHEMA)) {
        return Err(other_schema(stored.schema));
    }
    let tasks = stored.config.learned_tasks();
    let percent = |x: f64| (0.0..=100.0).contains(&x);
    let accuracy_matrix = matrix(
        "accuracy_matrix",
        stored.accuracy_matrix,
        tasks,
        percent,
        "0 to 100",
    )?;
    let loss_matrix = matrix(
        "loss_matrix",
        stored.loss_matrix,
        tasks,
        |x| x >= 0.0,
        "at least 0",
    )?;
    let further = Further {
        images: &stored.measured_images,
        ahead: &stored.ahead_matrix,
        within: &stored.within,
    };
    if let Some(what) = further.contradiction(tasks) {
        return Err(what);
    }
    let metrics = Metrics::of_all(&accuracy_matrix, &further).ok_or("accuracy_matrix is empty")?;
    if let Some(name) = difference(&metrics, &stored.metrics) {
        return Err(format!("metrics.{name} is not that of accuracy_matrix"));
    }
    let cost = &stored.cost;
    for (name, seconds) in [
        ("wall_s", cost.wall_s),
        ("train_s", cost.train_s),
        ("eval_s", cost.eval_s),
    ] {
        if !(seconds >= 0.0 && seconds.is_finite()) {
            return Err(format!("cost.{name} is {seconds}; times are at least 0"));
        }
    }
    let result = RunResult {
        schema: SCHEMA,
        run_id: stored.run_id,
        config: stored.config,
        metrics,
        accuracy_matrix,
        loss_matrix,
        measured_images: stored.measured_images,
        ahead_matrix: stored.ahead_matrix,
        within: stored.within,
        initial_weights: stored.initial_weights,
        task_classes: stored.task_classes,
        alpha: None,
        cost: stored.cost,
        provenance: stored.provenance,
    };
    Ok((result, stored.alpha))
}

fn other_schema(schema: Option<u64>) -> String {
    let found = schema.map_or("none".to_string(), |found| found.to_string());
    format!("schema {found}, where this version reads schema {SCHEMA}")
}

/// A matrix with one row a task, or with the final row alone, of values that can be.
fn matrix(
    name: &str,
    rows: Vec<Vec<f64>>,
    tasks: usize,
    can_be: impl Fn(f64) -> bool,
    range: &str,
) -> Result<TaskMatrix, String> {
    let only_final = rows.len() == 1 && tasks > 1;
    let last = rows.last().map_or(0, Vec::len);
    let matrix = if only_final {
        TaskMatrix::only_final(rows.into_iter().next().unwrap_or_default())
    } else {
        TaskMatrix::new(rows)
    };
    let matrix = matrix.map_err(|e| format!("{name}: {e}"))?;
    if last != tasks {
        return Err(format!("{name}: {last} tasks at the end, not {tasks}"));
    }
    for (i, row) in matrix.rows().iter().enumerate() {
        if let Some(value) = row.iter().find(|x| !can_be(**x)) {
            return Err(format!(
                "{name}: row {} has {value}; values are {range}",
                i + 1
            ));
        }
    }
    Ok(matrix)
}

/// The name of the first stored metric that is not the one recomputed. A file may lack a metric that came later, but not
/// have one that does not exist.
fn difference(computed: &Metrics, stored: &Metrics) -> Option<String> {
    let values = |metrics| serde_json::to_value(metrics).unwrap_or_default();
    let (computed, stored) = (values(computed), values(stored));
    let mut stored = stored.as_object()?.iter();
    let found = stored.find(|(key, stored)| {
        let pair = computed
            .get(key.as_str())
            .and_then(serde_json::Value::as_f64)
            .zip(stored.as_f64());
        !pair.is_some_and(|(a, b)| (a - b).abs() <= METRIC_TOLERANCE)
    });
    found.map(|(key, _)| key.clone())
}

/// What the logits of one task stand for: logit `first_logit + i` is the data set's class `classes[i]`, called `names[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskClasses {
    /// Number of the task's first logit, from 0; its others follow.
    pub first_logit: usize,
    /// Class of the data set behind each logit, from 0.
    pub classes: Vec<usize>,
    /// What that class is called; its number where it has no name.
    pub names: Vec<String>,
}

impl TaskClasses {
    /// Those of the tasks of a stream, over a data set whose classes are called so.
    #[must_use]
    pub fn of(tasks: &[Task], class_names: &[String]) -> Vec<Self> {
        let name = |class: &usize| {
            let named = class_names.get(*class).cloned();
            named.unwrap_or_else(|| class.to_string())
        };
        let one = |task: &Task| Self {
            first_logit: task.train.classes().start,
            names: task.data_classes.iter().map(name).collect(),
            classes: task.data_classes.clone(),
        };
        tasks.iter().map(one).collect()
    }
}

/// What a run took of its file of initial weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitialWeights {
    /// Tensors of the network that came from the file: all of them, or all but the head.
    pub tensors: usize,
    /// Where in the file they were (the dictionary of a checkpoint, what stands before every name); absent for names that
    /// are the network's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Names of the file's tensors that the network lacks, sorted.
    pub left_over: Vec<String>,
}

impl InitialWeights {
    /// What was left out, in words; empty for nothing.
    #[must_use]
    pub fn left_out(&self) -> String {
        match self.left_over.len() {
            0 => String::new(),
            n => format!("{n} left out: {}", named(&self.left_over)),
        }
    }
}

/// The first of these names, and how many more there are.
pub(super) fn named(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Mean α(t,τ) over the steps of task t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlphaResult {
    /// `mean[t][tau]`, τ ≤ t, over the tensors.
    pub mean: Vec<Vec<f64>>,
    /// `clusters[t]`: the past tasks τ, as in `mean`, of each cluster during task t; those of one cluster have one α.
    /// Absent where every task stands for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<Vec<Vec<usize>>>>,
    /// The same for each parameter tensor.
    pub per_tensor: Vec<TensorAlpha>,
}

/// α of one parameter tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorAlpha {
    /// The tensor's name.
    pub tensor: String,
    /// `mean[t][tau]`, τ ≤ t.
    pub mean: Vec<Vec<f64>>,
}

impl AlphaResult {
    /// The record as tables, to six decimals.
    #[must_use]
    pub fn of(record: &AlphaRecord, layout: &Layout) -> Self {
        let table = |value: &dyn Fn(usize, usize) -> Option<f64>| {
            (0..record.tasks())
                .map(|t| {
                    (0..=t)
                        .filter_map(|tau| value(t, tau))
                        .map(|x| (x * 1e6).round() / 1e6)
                        .collect()
                })
                .collect()
        };
        let per_tensor = layout
            .slots()
            .iter()
            .enumerate()
            .map(|(n, slot)| TensorAlpha {
                tensor: slot.name.clone(),
                mean: table(&|t, tau| record.of_tensor(t, tau, n)),
            });
        let clusters = (0..record.tasks()).map(|t| record.clusters(t).map(<[_]>::to_vec));
        Self {
            mean: table(&|t, tau| record.mean(t, tau)),
            clusters: clusters
                .collect::<Option<Vec<_>>>()
                .filter(|all| !all.is_empty()),
            per_tensor: per_tensor.collect(),
        }
    }
}

/// What a run took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds from start to end, over all processes that worked on the run; what was lost to a kill is not in it.
    pub wall_s: f64,
    /// Seconds in training steps.
    pub train_s: f64,
    /// Seconds in evaluation.
    pub eval_s: f64,
    /// Training steps.
    pub steps: usize,
    /// Training examples seen, replayed ones not counted.
    pub samples: usize,
    /// Replayed examples seen.
    pub replayed_samples: usize,
    /// Bytes of the optimizer's arrays at the end.
    pub optimizer_state_bytes: usize,
    /// Bytes held by the method at the end.
    pub replay_bytes: usize,
    /// Largest resident memory of the process, with all runs it executed until then; absent where unknown.
    pub peak_rss_bytes: Option<u64>,
}
