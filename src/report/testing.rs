//! Runs for tests, made of a matrix and a few settings.

use std::fs;
use std::path::Path;

use super::load::Run;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{Origin, Settings};
use crate::experiment::run::provenance::Provenance;
use crate::experiment::run::result::{Cost, RunResult, SCHEMA};
use crate::metrics::{Metrics, TaskMatrix};

/// The configuration of settings on Split-CIFAR100 with two tasks, released profile, unless they say otherwise.
pub(super) fn config(settings: &[(&str, &str)], seed: u64) -> RunConfig {
    let mut all = Settings::default();
    let base = [
        ("benchmark", "split-cifar100"),
        ("tasks", "2"),
        ("profile", "released"),
    ];
    for (key, value) in base {
        all.set(key, value, Origin::Default("test")).unwrap();
    }
    for (key, value) in settings {
        all.set(key, value, Origin::CommandLine).unwrap();
    }
    let mut config = all.plan().unwrap().runs[0].config.clone();
    config.seed = seed;
    config
}

/// A result with this accuracy on both tasks at the end, and `drop` points more on the first one before.
pub(super) fn result(config: RunConfig, accuracy: f64, drop: f64) -> RunResult {
    let tasks = config.tasks;
    let row = |i: usize| {
        let value = |j: usize| if j < i { accuracy } else { accuracy + drop };
        let mut row: Vec<f64> = (0..=i).map(value).collect();
        if i + 1 == tasks
            && let Some(last) = row.last_mut()
        {
            *last = accuracy;
        }
        row
    };
    let accuracy_matrix = TaskMatrix::new((0..tasks).map(row).collect()).unwrap();
    let loss_matrix = TaskMatrix::new((0..tasks).map(|i| vec![0.5; i + 1]).collect()).unwrap();
    RunResult {
        schema: SCHEMA,
        run_id: config.run_id(),
        metrics: Metrics::of(&accuracy_matrix).unwrap(),
        measured_images: Vec::new(),
        ahead_matrix: Vec::new(),
        within: Vec::new(),
        accuracy_matrix,
        loss_matrix,
        initial_weights: None,
        task_classes: Vec::new(),
        alpha: None,
        cost: Cost {
            wall_s: 12.5,
            train_s: 10.0,
            eval_s: 2.5,
            steps: 5000,
            samples: 50_000,
            replayed_samples: 0,
            optimizer_state_bytes: 2_000_000,
            replay_bytes: 0,
            peak_rss_bytes: Some(300_000_000),
        },
        provenance: Provenance {
            version: "0.1.0".to_string(),
            commit: None,
            data_sha256: "ab".repeat(32),
            data_note: None,
            device: "cpu".to_string(),
            kernels: "portable".to_string(),
            threads: 1,
            cpu: "test".to_string(),
            started: "2026-01-01T00:00:00Z".to_string(),
            resumed: 0,
        },
        config,
    }
}

/// The run of such a result.
pub(super) fn run(config: RunConfig, accuracy: f64, drop: f64) -> Run {
    Run::from(result(config, accuracy, drop))
}

/// Writes a result into its run folder below `out`.
pub(super) fn write(out: &Path, result: &RunResult) {
    let folder = out.join(&result.run_id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("result.json"),
        serde_json::to_string_pretty(result).unwrap(),
    )
    .unwrap();
}
