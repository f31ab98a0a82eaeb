//! Continual learning with TAG.
pub mod data;
#[cfg(feature = "cli")]
pub mod experiment;
pub mod method;
pub mod metrics;
pub mod model;
pub mod optim;
pub mod seed;
pub mod stream;
