//! `result.json`: what a finished run leaves behind.
//!
//! Owns its schema. Everything but `cost` and `provenance` is a function of `config`.

use serde::{Deserialize, Serialize};

use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::provenance::Provenance;
use crate::metrics::{Metrics, TaskMatrix};
use crate::optim::{AlphaRecord, Layout};

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
    /// Percent correct on tasks 1..=i after task i; under a schedule other than sequential one row, the final
    /// evaluation on all tasks.
    pub accuracy_matrix: TaskMatrix,
    /// Mean cross-entropy in nats, in the same rows.
    pub loss_matrix: TaskMatrix,
    /// TAG's correlations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<AlphaResult>,
    /// Time and memory.
    pub cost: Cost,
    /// Build and machine.
    pub provenance: Provenance,
}

/// Mean α(t,τ) over the steps of task t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlphaResult {
    /// `mean[t][tau]`, τ ≤ t, over the tensors.
    pub mean: Vec<Vec<f64>>,
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
        Self {
            mean: table(&|t, tau| record.mean(t, tau)),
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
