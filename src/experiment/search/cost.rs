//! What runs will cost, before they are run.
//!
//! Owns the one estimate that every `--dry-run` prints: exact counts of steps, images and bytes, and a time measured on this
//! machine over a few steps on made-up images: passes over a batch, updates and evaluation each by themselves, since a method
//! may take several passes and one update a step. A batch is made of bytes each time, as in a run, and what an update gives is
//! looked at: with a small network that is much of a step. A network that takes long is measured on small batches and with few past
//! tasks, and the line through two measurements gives the rest: an answer comes within seconds, and in little memory.
//! Configurations that differ in nothing that costs time (seed, learning rate, b, ...) are measured once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::data::ImageSet;
use crate::experiment::RunError;
use crate::experiment::benchmark::custom::CustomBenchmark;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::provenance::peak_rss_bytes;
use crate::experiment::run::runner::{build_learner, build_optimizer, visits};
use crate::method::{PLAIN, batch_gradient};
use crate::model::{Learner, Wanted};
use crate::optim::{Layout, Optimizer};
use crate::settings::NoSettings;
use crate::stream::{Samples, StreamError, StreamKind, StreamSpec, TaskStream};

/// Most past tasks whose growth is measured.
const MEASURED_TASKS: usize = 50;
/// Bytes of past moments that a measurement may hold.
const MEASURED_BYTES: usize = 256 << 20;
/// A batch is not doubled after one that took so long, in seconds.
const PATIENCE: f64 = 0.4;
/// How long one operation is repeated, in seconds: long beside a tick of the scheduler.
const REPEATED: f64 = 0.1;
/// Images that are evaluated at once.
const EVALUATED: usize = 256;

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
    /// Bytes that a run holds at the end, at least: parameters, gradients, the optimizer's arrays, activations of a batch.
    pub run_bytes: usize,
    /// Bytes of the images, which the runs of one process share.
    pub image_bytes: usize,
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
    /// Bytes of all arrays at the end, the optimizer's among them.
    array_bytes: usize,
    /// Seconds for a batch made, and passed forward and backward.
    pass_s: f64,
    /// Seconds for an update, with half of the tasks to remember, and a look at what it gives.
    update_s: f64,
    /// Seconds for the evaluation of an image, its making included.
    image_s: f64,
    /// Bytes of the activations of a batch, as far as memory grew.
    activation_bytes: usize,
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
    let kept = (kept.round() as usize).min(config.samples_per_task.unwrap_or(usize::MAX));
    let visits = visits(config.schedule, learned);
    let batches = visits
        .iter()
        .map(|visit| config.steps_of(kept * visit.tasks().len()));
    let steps = batches.sum::<usize>() * config.epochs;
    let evaluations = if config.schedule.comes_task_by_task() {
        learned * (learned + 1) / 2
    } else {
        learned
    };
    let measured_on = (per_task(test) as f64 * config.test_fraction).ceil() as usize;
    let evaluated_images = measured_on * evaluations;
    let passes = (config.method.passes)(&config.method_settings);
    let later = 1.0 - 1.0 / learned as f64;
    let passes = passes.first * (1.0 - later) + passes.later * later;
    let train_s = (measured.pass_s * passes + measured.update_s) * steps as f64;
    let eval_s = measured.image_s * evaluated_images as f64;
    let shape = config.images().1;
    Estimate {
        parameters: measured.parameters,
        steps,
        evaluated_images,
        optimizer_state_bytes: measured.optimizer_state_bytes,
        run_bytes: measured.array_bytes + measured.activation_bytes,
        image_bytes: (train + test) * shape.channels * shape.height * shape.width,
        train_s,
        eval_s,
        seconds: train_s + eval_s,
    }
}

fn optimizer_bytes(config: &RunConfig, layout: &Layout) -> usize {
    (config.optimizer.state_bytes)(&config.optimizer_settings, layout, config.learned_tasks())
}

/// Bytes that a run's arrays take at the end, of those that are known: parameters, a gradient (two where a step has several
/// passes), and the optimizer's.
fn array_bytes(config: &RunConfig, layout: &Layout) -> usize {
    let passes = (config.method.passes)(&config.method_settings);
    let vectors = if passes.later > 1.0 { 3 } else { 2 };
    let own = (vectors * size_of::<f32>()).saturating_mul(layout.len());
    own.saturating_add(optimizer_bytes(config, layout))
}

/// Bytes that a run takes at least, without measuring anything.
///
/// # Errors
/// [`RunError`] if the network cannot be made.
pub fn least_bytes(config: &RunConfig) -> Result<usize, RunError> {
    let learner = fresh_learner(config)?;
    Ok(array_bytes(config, learner.layout()))
}

fn fresh_learner(config: &RunConfig) -> Result<Box<dyn Learner>, RunError> {
    let mut config = config.clone();
    config.init_sha256 = None;
    let head = config.stream().head_classes(config.images().0);
    build_learner(&config, head, None, 1)
}

/// Examples of the task in the middle of the stream, as the stream makes them of bytes (or features) that are made up: one of
/// every class.
fn made_up(config: &RunConfig) -> Result<Samples, RunError> {
    let (classes, shape) = config.images();
    let values = classes * shape.channels * shape.height * shape.width;
    let labels = (0..classes).filter_map(|class| u16::try_from(class).ok());
    let labels: Vec<u16> = labels.collect();
    let bytes = (0..values).map(|i| (i * i % 251) as u8);
    let custom = config.benchmark.custom();
    let set = if custom.is_some_and(CustomBenchmark::has_features) {
        let features = bytes.map(|x| f32::from(x) / 251.0).collect();
        ImageSet::of_features(shape.width, features, labels, classes)?
    } else {
        ImageSet::new(shape, bytes.collect(), labels, classes)?
    };
    let spec = StreamSpec {
        validation: 0.0,
        fraction: 1.0,
        samples_per_task: None,
        ..config.stream()
    };
    let set = Arc::new(set);
    let mut stream = TaskStream::from_sets(&spec, &set, &set, config.stream_seeds())?;
    let middle = stream.tasks().len() / 2;
    stream.arrive(Some(middle), middle + 1);
    let middle = stream.tasks().get(middle).ok_or(StreamError::NoTasks)?;
    Ok(middle.train.clone())
}

fn measure(config: &RunConfig) -> Result<Measured, RunError> {
    let (examples, mut learner) = (made_up(config)?, fresh_learner(config)?);
    let parameters = learner.layout().len();
    let batch = |size: usize| {
        let positions = (0..size).map(|i| i % examples.len().max(1));
        examples.batch(&positions.collect::<Vec<_>>())
    };

    let mut gradient = Vec::new();
    let (mut sizes, mut grown) = (Vec::new(), 0);
    let mut size = config.batch_size.min(4);
    loop {
        let before = peak_rss_bytes();
        let took = time(|| {
            batch_gradient(learner.as_mut(), &batch(size), &mut gradient)?;
            Ok(())
        })?;
        let growth = peak_rss_bytes()
            .zip(before)
            .map(|(now, then)| now.saturating_sub(then));
        // Memory grows by what a doubled batch has more.
        grown += growth.unwrap_or(0);
        sizes.push((size as f64, took));
        if size == config.batch_size || took > PATIENCE {
            break;
        }
        size = (2 * size).min(config.batch_size);
    }
    let target = config.batch_size as f64;
    let pass_s = line(&sizes, target);
    let activation_bytes = grown as f64 * target / size as f64;

    let update_s = measure_update(config, learner.as_mut(), &gradient)?;

    let many = (REPEATED / (pass_s / target).max(1e-9)).clamp(1.0, EVALUATED as f64) as usize;
    let classifier = learner.frozen();
    let took = time(|| {
        classifier.scores(&batch(many), Wanted::Competing)?;
        Ok(())
    })?;
    Ok(Measured {
        parameters,
        optimizer_state_bytes: optimizer_bytes(config, learner.layout()),
        array_bytes: array_bytes(config, learner.layout()),
        pass_s,
        update_s,
        image_s: took / many as f64,
        activation_bytes: activation_bytes as usize,
    })
}

/// An update, and the look at what it gave that every step of a run takes.
fn update(
    learner: &mut dyn Learner,
    optimizer: &mut dyn Optimizer,
    gradient: &[f32],
) -> Result<(), RunError> {
    learner.update(&mut |theta| optimizer.step(theta, gradient, 1e-6))?;
    let odd = learner.layout().first_non_finite(learner.parameters());
    std::hint::black_box(odd);
    Ok(())
}

/// Seconds for an update in the middle of the stream. A step that remembers tasks grows with them: half of them is the mean. Every
/// task has an update: memory that was never written is one page over and over, which is quicker to read.
fn measure_update(
    config: &RunConfig,
    learner: &mut dyn Learner,
    gradient: &[f32],
) -> Result<f64, RunError> {
    let mut optimizer = build_optimizer(config, learner)?;
    let parameters = gradient.len().max(1);
    let past = if config.optimizer.remembers_tasks {
        config.learned_tasks() / 2
    } else {
        0
    };
    let fits = (MEASURED_BYTES / (2 * size_of::<f32>() * parameters)).clamp(1, MEASURED_TASKS);
    let mut known = Vec::new();
    let mut begun = 0;
    // Without any past task, and with as many as may be.
    for wanted in [0, past.min(fits)] {
        while begun < wanted {
            optimizer.begin_task();
            update(learner, optimizer.as_mut(), gradient)?;
            optimizer.end_task();
            begun += 1;
        }
        if known.last().is_some_and(|(at, _)| *at == begun as f64) {
            break;
        }
        optimizer.begin_task();
        let took = time(|| update(learner, optimizer.as_mut(), gradient))?;
        optimizer.end_task();
        known.push((begun as f64, took));
        begun += 1;
    }
    Ok(line(&known, past as f64))
}

/// The value at `x` of the line through the last two points, which never falls; the only point, in proportion.
fn line(points: &[(f64, f64)], x: f64) -> f64 {
    match points {
        [.., (x0, y0), (x1, y1)] => y1 + ((y1 - y0) / (x1 - x0)).max(0.0) * (x - x1),
        [(x0, y)] if *x0 > 0.0 => y * x / x0,
        [(_, y)] => *y,
        [] => 0.0,
    }
}

/// Seconds of an operation on a core of its own: the mean of several, the first, which meets cold memory, left out; the only
/// one, where it took long.
fn time(mut operation: impl FnMut() -> Result<(), RunError>) -> Result<f64, RunError> {
    let began = Clock::now();
    operation()?;
    let first = began.elapsed();
    if first > PATIENCE {
        return Ok(first);
    }
    let (began, mut times) = (Clock::now(), 0);
    let enough = |began: &Clock| {
        began.elapsed() >= REPEATED || began.wall.elapsed().as_secs_f64() >= 5.0 * REPEATED
    };
    while times < 3 || !enough(&began) {
        operation()?;
        times += 1;
    }
    Ok(began.elapsed() / f64::from(times))
}

/// Time that this thread has had on a processor, where the system tells: what other programs take is not counted.
struct Clock {
    processor_ns: Option<u64>,
    wall: Instant,
}

impl Clock {
    fn now() -> Self {
        Self {
            processor_ns: processor_ns(),
            wall: Instant::now(),
        }
    }

    /// Seconds since.
    fn elapsed(&self) -> f64 {
        let had = processor_ns().zip(self.processor_ns);
        match had.map(|(now, then)| now.saturating_sub(then)) {
            // A system that does not count says 0.
            None | Some(0) => self.wall.elapsed().as_secs_f64(),
            Some(ns) => ns as f64 / 1e9,
        }
    }
}

/// Nanoseconds that this thread has run, to a tick of the scheduler (Linux).
fn processor_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Bytes of memory that the machine, or the container that the program runs in, has left; `None` where the system does not
/// tell.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let machine = line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024;
    let number = |name: &str| {
        let text = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let limit = number("memory.max").zip(number("memory.current"));
    let container = limit.map(|(most, now)| most.saturating_sub(now));
    Some(container.map_or(machine, |left| left.min(machine)))
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
        let measured = costs.known.values().next().unwrap();
        let pass = measured.pass_s * plain.steps as f64;
        assert!((er.train_s - plain.train_s - 0.9 * pass).abs() < 1e-9 * er.train_s);
        assert_eq!(er.eval_s, plain.eval_s);
        let cyclic = costs.of(&config(&[("schedule", "cyclic")])).unwrap();
        assert_eq!((cyclic.steps, cyclic.evaluated_images), (600, 200));
        assert_eq!(plain.evaluated_images, 1100);
        costs.of(&config(&[("batch_size", "20")])).unwrap();
        assert_eq!(costs.known.len(), 3);
        // Over ten tasks of a hundred images, in batches of ten that tasks share: 1 + 2 + ... + 10 tenths of them.
        let cumulative = costs.of(&config(&[("schedule", "cumulative")])).unwrap();
        assert_eq!((cumulative.steps, cumulative.evaluated_images), (550, 1100));
        let joint = costs
            .of(&config(&[("schedule", "joint"), ("samples_per_task", "7")]))
            .unwrap();
        assert_eq!((joint.steps, joint.evaluated_images), (7, 200));
    }

    /// What is measured is what a run takes: batches out of a stream, in every benchmark's shape and every scenario's competition.
    #[test]
    fn made_up_batches_are_of_the_stream() {
        // One of one's own is a file.
        let known = crate::experiment::benchmark::BENCHMARKS.iter();
        for benchmark in known.filter(|benchmark| benchmark.name != "custom") {
            for scenario in ["task", "class"] {
                let pairs = [
                    ("benchmark", benchmark.name),
                    ("scenario", scenario),
                    ("lr", "0.1"),
                ];
                let Ok(settings) = Settings::of(pairs, &Origin::CommandLine) else {
                    panic!("{pairs:?}")
                };
                // Nobody can say of which task a turned image is.
                let Ok(plan) = settings.plan() else {
                    assert_eq!((benchmark.name, scenario), ("rotated-mnist", "class"));
                    continue;
                };
                let config = &plan.runs[0].config;
                let examples = made_up(config).unwrap();
                let batch = examples.batch(&[0, 1]);
                let ((classes, shape), own) = (config.images(), examples.classes());
                assert_eq!(
                    batch.pixels.len(),
                    2 * shape.channels * shape.height * shape.width
                );
                // Of the middle task, in class-incremental learning with all before it.
                let middle = config.tasks / 2;
                let each = if is_split(config) {
                    classes / config.tasks
                } else {
                    classes
                };
                assert_eq!(
                    own,
                    middle * each..(middle + 1) * each,
                    "{}",
                    benchmark.name
                );
                let expected = if scenario == "task" {
                    own
                } else {
                    0..(middle + 1) * each
                };
                assert_eq!(batch.competing, vec![expected.into(); 2]);
                assert!(batch.pixels.iter().any(|x| *x != batch.pixels[0]));
            }
        }
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
