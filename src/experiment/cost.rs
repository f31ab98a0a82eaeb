//! What a run will cost, before it is run.
//!
//! Owns the estimate that `--dry-run` prints: exact counts of steps, images and bytes, and a time measured on this
//! machine over a few steps on empty images.

use std::time::Instant;

use super::RunError;
use super::config::RunConfig;
use super::runner::{build_learner, build_optimizer};
use crate::method::batch_gradient;
use crate::stream::{Batch, StreamKind};

/// An estimate of one run.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Parameters of the network.
    pub parameters: usize,
    /// Training steps.
    pub steps: usize,
    /// Test images evaluated, over all evaluations.
    pub evaluated_images: usize,
    /// Bytes of the optimizer's arrays at the end.
    pub optimizer_state_bytes: usize,
    /// Seconds on one core of this machine.
    pub seconds: f64,
}

/// Estimates a run on data sets of these sizes.
///
/// # Errors
/// [`RunError`] if network or optimizer cannot be made.
pub fn estimate(config: &RunConfig, train: usize, test: usize) -> Result<Estimate, RunError> {
    let (classes, shape) = config.images();
    let split = matches!(config.stream().kind, StreamKind::Split(_));
    let per_task = |images: usize| if split { images / config.tasks } else { images };
    let head = if split {
        classes
    } else {
        classes * config.tasks
    };
    let kept = per_task(train) as f64 * (1.0 - config.validation) * config.fraction;
    let steps = config.steps_of(kept.round() as usize) * config.epochs * config.tasks;
    let evaluated_images = per_task(test) * config.tasks * (config.tasks + 1) / 2;

    let mut config = config.clone();
    config.init_sha256 = None;
    let mut learner = build_learner(&config, head, None, 1)?;
    let parameters = learner.layout().len();
    let mut optimizer = build_optimizer(&config, learner.as_ref())?;
    let size = config.batch_size.min(512);
    let batch = Batch {
        pixels: vec![0.5; size * shape.channels * shape.height * shape.width],
        shape,
        labels: vec![0; size],
        competing: vec![(0..head / config.tasks).into(); size],
    };
    // A TAG step grows with the past tasks: half of them is the mean. Fifty are enough to see the growth.
    let past = if config.optimizer.is_tag() {
        (config.tasks / 2).min(50)
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
    // A forward pass is about a third of forward and backward.
    let per_image = step / size as f64;
    let seconds = per_image * config.batch_size as f64 * steps as f64
        + per_image / 3.0 * evaluated_images as f64;
    let vectors = match config.optimizer {
        o if o.is_tag() => 2 * config.tasks,
        super::benchmark::OptimizerName::Sgd => usize::from(config.momentum > 0.0),
        super::benchmark::OptimizerName::Adam => 2,
        _ => 1,
    };
    let number = config.tag_config().unwrap_or_default().past_moments.bytes();
    let optimizer_state_bytes = vectors * parameters * number;
    Ok(Estimate {
        parameters,
        steps,
        evaluated_images,
        optimizer_state_bytes,
        seconds,
    })
}
