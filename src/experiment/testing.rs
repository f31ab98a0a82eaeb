//! Runs and results for tests that need no training.

use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{Origin, PlannedRun, Settings};
use crate::experiment::run::provenance::Provenance;
use crate::experiment::run::result::{Cost, RunResult, SCHEMA};
use crate::metrics::{Metrics, TaskMatrix};

/// A run of rotated MNIST with these settings.
pub(crate) fn planned(pairs: &[(&str, &str)]) -> PlannedRun {
    let mut settings = Settings::default();
    let base = [
        ("benchmark", "rotated-mnist"),
        ("data", "embedded"),
        ("tasks", "2"),
    ];
    for (key, value) in base.iter().chain(pairs) {
        settings.set(key, value, Origin::CommandLine).unwrap();
    }
    settings.plan().unwrap().runs.remove(0)
}

/// Its result, with this average accuracy on both tasks.
pub(crate) fn finished(config: &RunConfig, accuracy: f64) -> RunResult {
    let matrix = TaskMatrix::new(vec![vec![accuracy], vec![accuracy, accuracy]]).unwrap();
    RunResult {
        schema: SCHEMA,
        run_id: config.run_id(),
        config: config.clone(),
        metrics: Metrics::of(&matrix).unwrap(),
        accuracy_matrix: matrix.clone(),
        loss_matrix: matrix,
        measured_images: Vec::new(),
        ahead_matrix: Vec::new(),
        within: Vec::new(),
        initial_weights: None,
        task_classes: Vec::new(),
        alpha: None,
        cost: Cost::default(),
        provenance: Provenance::now("", None, 1),
    }
}
