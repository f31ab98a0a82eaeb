//! Continual learning with TAG.
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
#[cfg(feature = "cli")]
pub mod experiment;
#[allow(
    unsafe_code,
    reason = "the one module of hand-written kernels; each block argues its safety"
)]
pub mod kernels;
pub mod method;
pub mod metrics;
pub mod model;
pub mod optim;
#[cfg(feature = "cli")]
pub mod report;
pub mod seed;
pub mod stream;
