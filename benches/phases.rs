//! Where the time of a training step of the trunk goes: every phase of every stage, timed in place.
//!
//! ```text
//! cargo bench --bench phases --features kernel-profile                 batch 10, 32x32, one thread
//! cargo bench --bench phases --features kernel-profile -- 64 32        batch and side of the images
//! ```
//!
//! Medians over the steps, in milliseconds. The clock is read about a thousand times per step, which costs one or two
//! per cent; `benches/step.rs` has the times without.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints and may fail"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tagcl::kernels::profile;
use tagcl::kernels::resnet::{BatchStats, Trunk, TrunkSpec};
use tagcl::seed::Seeds;

/// Columns of the table: the stem is counted as a stage after the others.
const STAGES: [(&str, usize); 5] = [
    ("stem", 4),
    ("stage 1", 0),
    ("stage 2", 1),
    ("stage 3", 2),
    ("stage 4", 3),
];

/// How long to repeat the step.
const TIME: Duration = Duration::from_secs(3);

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .map(|a| a.parse().unwrap())
        .collect();
    let (batch, side) = match sizes[..] {
        [batch, side] => (batch, side),
        _ => (10, 32),
    };
    let spec = TrunkSpec::reduced(batch, side);
    let mut stream = Seeds::new(1).stream("bench");
    let parameters: Vec<Vec<f32>> = spec
        .parameters()
        .iter()
        .map(|shape| {
            let fan: usize = shape[1..].iter().product();
            let scale = 1.5 / (fan as f32).sqrt();
            let count = shape.iter().product::<usize>();
            match shape.len() {
                1 => vec![1.0; count],
                _ => (0..count).map(|_| stream.symmetric(scale)).collect(),
            }
        })
        .collect();
    let parameters: Vec<&[f32]> = parameters.iter().map(Vec::as_slice).collect();
    let x: Vec<f32> = (0..batch * 3 * side * side)
        .map(|_| stream.unit())
        .collect();
    let mut stats = vec![BatchStats::default(); spec.norms().len()];
    let mut features = vec![0.0; batch * spec.features()];
    let mut gradients: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut trunk = Trunk::new(spec, 1).unwrap();

    let mut rows: BTreeMap<&'static str, [Vec<f64>; 5]> = BTreeMap::new();
    let mut whole = Vec::new();
    let began = Instant::now();
    while began.elapsed() < TIME {
        let mut views: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        let step = Instant::now();
        trunk.forward_train(&x, &parameters, None, &mut stats, &mut features);
        trunk.backward(&parameters, &features, &mut views);
        whole.push(step.elapsed().as_secs_f64() * 1e3);
        for (stage, phase, time, _) in profile::take() {
            rows.entry(phase).or_default()[stage].push(time.as_secs_f64() * 1e3);
        }
    }

    println!(
        "medians in ms of {} steps, batch {batch}, {side}x{side}, one thread\n",
        whole.len()
    );
    let heads: Vec<&str> = STAGES.iter().map(|s| s.0).collect();
    println!("| phase | {} | sum |", heads.join(" | "));
    println!("|---|{}", "---|".repeat(STAGES.len() + 1));
    let mut total = 0.0;
    for (phase, times) in &mut rows {
        let times = STAGES.map(|(_, stage)| median(&mut times[stage]));
        let sum: f64 = times.iter().sum();
        total += sum;
        let cells: Vec<String> = times.iter().map(|t| format!("{t:.2}")).collect();
        println!("| {phase} | {} | {sum:.2} |", cells.join(" | "));
    }
    println!(
        "\nsum of the phases {total:.2}; the step {:.2}",
        median(&mut whole)
    );
}
