//! Whole runs side by side: how much more two jobs do than one.
//!
//! ```text
//! cargo bench --bench throughput                       rotated MNIST from the embedded sample
//! cargo bench --bench throughput -- 3 --benchmark split-cifar100 --data DIR --fraction 0.05 --optimizer tag-rmsprop
//! ```
//!
//! Runs the program on two seeds, one after the other and side by side, in turn: the number of rounds, then what
//! `tagcl run` is to be told. Prints seconds by round, and the ratio of the medians.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints and may fail"
)]

use std::process::{Command, Stdio};
use std::time::Instant;

const USUAL: &str =
    "--benchmark rotated-mnist --data embedded --fraction 0.5 --optimizer tag-rmsprop --lr 0.001";

/// Seconds that two seeds take.
fn seconds(arguments: &[String], jobs: usize) -> f64 {
    let out = tempfile::tempdir().unwrap();
    let jobs = jobs.to_string();
    let began = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_tagcl"))
        .arg("run")
        .args(arguments)
        .args([
            "--seeds",
            "1-2",
            "--checkpoint-every",
            "off",
            "--jobs",
            &jobs,
            "--out",
        ])
        .arg(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "tagcl run: {status}");
    began.elapsed().as_secs_f64()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut given = std::env::args().skip(1).filter(|a| a != "--bench");
    let rounds: usize = given.next().map_or(3, |n| n.parse().unwrap());
    let mut arguments: Vec<String> = given.collect();
    if arguments.is_empty() {
        arguments = USUAL.split_whitespace().map(str::to_string).collect();
    }
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (jobs, times) in [1, 2].into_iter().zip(&mut times) {
            times.push(seconds(&arguments, jobs));
        }
        let [one, two] = times.each_ref().map(|times| times[round - 1]);
        println!("round {round}: {one:.1} s one after the other, {two:.1} s side by side");
    }
    let [one, two] = times.each_ref().map(|times| median(times));
    println!("two jobs do {:.2} times the work of one", one / two);
}
