//! What runs will cost, before they are run.
//!
//! Owns the one estimate that every `--dry-run` prints: exact counts of steps, images and bytes, and a time measured on this
//! machine over a few steps on empty images. Configurations that differ in nothing that costs time (seed, learning rate,
//! b, ...) are measured once.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::experiment::RunError;
use crate::experiment::plan::config::{RunConfig, Schedule};
use crate::experiment::run::runner::{build_learner, build_optimizer};
use crate::method::{PLAIN, batch_gradient};
use crate::settings::NoSettings;
use crate::stream::{Batch, StreamKind};

/// Most past tasks whose growth is measured.
const MEASURED_TASKS: usize = 50;

/// The cost of one run as far as it is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Parameters of the network.
    pub parameters: usize,
    /// Training steps.
    pub steps: usize,
    /// Test images evaluated, over all evaluations.
    pub evaluated_images: usize,
    /// Bytes of the optimizer's arrays at the end.
    pub optimizer_state_bytes: usize,
    /// Seconds of training on one core of this machine.
    pub train_s: f64,
    /// Seconds of evaluation.
    pub eval_s: f64,
    /// Seconds in all.
    pub seconds: f64,
}

/// What was measured of one network with one optimizer.
#[derive(Clone, Copy)]
struct Measured {
    parameters: usize,
    /// Bytes that the optimizer holds at the end.
    optimizer_state_bytes: usize,
    /// Seconds for one image forward and backward, with its share of the update.
    image_s: f64,
}

/// Training and test images of a configuration's data.
pub type Sizes<'a> = dyn Fn(&RunConfig) -> Result<(usize, usize), RunError> + 'a;

/// Estimates runs, remembering what it has measured.
pub struct Costs<'a> {
    sizes: &'a Sizes<'a>,
    known: BTreeMap<String, Measured>,
}

impl<'a> Costs<'a> {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(sizes: &'a Sizes<'a>) -> Self {
        let known = BTreeMap::new();
        Self { sizes, known }
    }

    /// One run's cost.
    ///
    /// # Errors
    /// [`RunError`] if network or optimizer cannot be made.
    pub fn of(&mut self, config: &RunConfig) -> Result<Estimate, RunError> {
        let key = cost_key(config);
        let measured = if let Some(known) = self.known.get(&key) {
            *known
        } else {
            let new = measure(config)?;
            self.known.insert(key, new);
            new
        };
        let (train, test) = (self.sizes)(config)?;
        Ok(estimate(config, measured, train, test))
    }
}

fn is_split(config: &RunConfig) -> bool {
    matches!(config.stream().kind, StreamKind::Split(_))
}

/// The counts, and the measured time scaled by them.
fn estimate(config: &RunConfig, measured: Measured, train: usize, test: usize) -> Estimate {
    let (split, learned) = (is_split(config), config.learned_tasks());
    let per_task = |images: usize| if split { images / config.tasks } else { images };
    let kept = per_task(train) as f64 * (1.0 - config.validation) * config.fraction;
    let epochs = config.epochs * config.schedule.rounds();
    let steps = config.steps_of(kept.round() as usize) * epochs * learned;
    let evaluations = match config.schedule {
        Schedule::Sequential => learned * (learned + 1) / 2,
        Schedule::Cyclic | Schedule::Joint => learned,
    };
    let measured_on = (per_task(test) as f64 * config.test_fraction).ceil() as usize;
    let evaluated_images = measured_on * evaluations;
    let passes = (config.method.passes)(&config.method_settings);
    let later = 1.0 - 1.0 / learned as f64;
    let passes = passes.first * (1.0 - later) + passes.later * later;
    let train_s = measured.image_s * config.batch_size as f64 * steps as f64 * passes;
    // A forward pass is about a third of forward and backward.
    let eval_s = measured.image_s / 3.0 * evaluated_images as f64;
    Estimate {
        parameters: measured.parameters,
        steps,
        evaluated_images,
        optimizer_state_bytes: measured.optimizer_state_bytes,
        train_s,
        eval_s,
        seconds: train_s + eval_s,
    }
}

fn measure(config: &RunConfig) -> Result<Measured, RunError> {
    let (classes, shape) = config.images();
    let head = if is_split(config) {
        classes
    } else {
        classes * config.tasks
    };
    let mut config = config.clone();
    config.init_sha256 = None;
    let mut learner = build_learner(&config, head, None, 1)?;
    let parameters = learner.layout().len();
    let mut optimizer = build_optimizer(&config, learner.as_ref())?;
    let bytes = config.optimizer.state_bytes;
    let optimizer_state_bytes = bytes(&config.optimizer_settings, learner.layout(), config.learned_tasks());
    let size = config.batch_size.min(512);
    let batch = Batch {
        pixels: vec![0.5; size * shape.channels * shape.height * shape.width],
        shape,
        labels: vec![0; size],
        competing: vec![(0..head / config.tasks).into(); size],
    };
    // A step that remembers tasks grows with them: half of them is the mean.
    let past = if config.optimizer.remembers_tasks {
        (config.learned_tasks() / 2).min(MEASURED_TASKS)
    } else {
        0
    };
    for _ in 0..past {
        optimizer.begin_task();
        optimizer.end_task();
    }
    optimizer.begin_task();
    let (mut times, mut gradient) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let began = Instant::now();
        batch_gradient(learner.as_mut(), &batch, &mut gradient)?;
        learner.update(&mut |theta| optimizer.step(theta, &gradient, 1e-6))?;
        times.push(began.elapsed().as_secs_f64());
    }
    let step = times.iter().skip(1).copied().fold(f64::INFINITY, f64::min);
    Ok(Measured {
        parameters,
        optimizer_state_bytes,
        image_s: step / size as f64,
    })
}

/// Text that is equal for configurations whose steps take equally long.
fn cost_key(config: &RunConfig) -> String {
    let own = |own: &crate::settings::Own| -> Vec<String> {
        let fields = own.fields().into_iter();
        let kept = fields.filter(|field| field.setting.key() != "b");
        kept.filter_map(|field| Some(format!("{}={}", field.setting.key(), field.value?)))
            .collect()
    };
    let same = RunConfig {
        seed: 0,
        lr: 1.0,
        gamma: 1.0,
        method: &PLAIN,
        method_settings: NoSettings {}.into(),
        optimizer_settings: NoSettings {}.into(),
        ..config.clone()
    };
    let columns = same.columns().into_iter();
    let columns: Vec<String> = columns
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let (name, shape) = (config.benchmark.name(), config.images());
    format!(
        "{name} {shape:?} {columns:?} {:?}",
        own(&config.optimizer_settings)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::experiment::plan::settings::{Origin, Settings};

    fn config(pairs: &[(&str, &str)]) -> RunConfig {
        let base = [
            ("benchmark", "rotated-mnist"),
            ("hidden", "4"),
            ("lr", "0.1"),
        ];
        let pairs = base.iter().chain(pairs).copied();
        let settings = Settings::of(pairs, &Origin::CommandLine).unwrap();
        settings.plan().unwrap().runs.remove(0).config
    }

    #[test]
    fn equal_costs_are_measured_once_and_methods_and_rounds_count() {
        let asked = Cell::new(0);
        let sizes = |_: &RunConfig| {
            asked.set(asked.get() + 1);
            Ok((100, 20))
        };
        let mut costs = Costs::new(&sizes);
        let plain = costs.of(&config(&[("seeds", "1")])).unwrap();
        assert_eq!(plain.steps, 100);
        let same = costs.of(&config(&[("seeds", "2"), ("lr", "0.5")])).unwrap();
        let er = costs.of(&config(&[("method", "er")])).unwrap();
        assert_eq!((costs.known.len(), same), (1, plain));
        assert!((er.train_s / plain.train_s - 1.9).abs() < 1e-9);
        assert_eq!(er.eval_s, plain.eval_s);
        let cyclic = costs.of(&config(&[("schedule", "cyclic")])).unwrap();
        assert_eq!((cyclic.steps, cyclic.evaluated_images), (600, 200));
        assert_eq!(plain.evaluated_images, 1100);
        costs.of(&config(&[("batch_size", "20")])).unwrap();
        assert_eq!(costs.known.len(), 3);
    }

    #[test]
    fn the_bytes_are_those_that_the_optimizer_holds_at_the_end() {
        let sizes = |_: &RunConfig| Ok((100, 20));
        let tasks = 3;
        for optimizer in crate::optim::OPTIMIZERS {
            let rules: &[&[(&str, &str)]] = if optimizer.settings.has("alpha") {
                &[
                    &[("alpha", "cosine")],
                    &[("alpha", "one")],
                    &[("alpha", "age"), ("past_moments", "bf16")],
                    &[("alpha", "gradients")],
                    &[("tag_memory", "flat")],
                    &[("tag_memory", "flat"), ("alpha", "one")],
                    &[("tag_memory", "clusters"), ("tag_clusters", "2")],
                ]
            } else {
                &[&[]]
            };
            for rule in rules {
                let mut pairs = vec![("optimizer", optimizer.name), ("tasks", "3")];
                pairs.extend_from_slice(rule);
                let config = config(&pairs);
                let learner = build_learner(&config, 30, None, 1).unwrap();
                let mut held = build_optimizer(&config, learner.as_ref()).unwrap();
                for _ in 0..tasks {
                    held.begin_task();
                    let mut theta = learner.parameters().to_vec();
                    let gradient = vec![0.1; theta.len()];
                    held.step(&mut theta, &gradient, 0.1).unwrap();
                    held.end_task();
                }
                let estimate = Costs::new(&sizes).of(&config).unwrap();
                assert_eq!(
                    estimate.optimizer_state_bytes,
                    held.state_bytes(),
                    "{pairs:?}"
                );
            }
        }
    }
}
