//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "modules of one binary")]

mod changed_data;
mod cli_models;
mod cli_refusals;
mod cli_runs;
mod download;
mod extension;
#[cfg(target_os = "linux")]
mod faults;
mod features;
mod golden_models;
mod golden_optimizers;
mod initial_weights;
mod methods;
mod of_a_run;
#[cfg(unix)]
mod outputs;
mod plots;
mod program;
mod real_data;
mod replicate;
mod reports;
mod resume;
mod sweep;
#[cfg(target_os = "linux")]
mod sweep_faults;
mod unchanged;
mod unsafe_code;
