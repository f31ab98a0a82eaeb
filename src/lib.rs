//! Continual learning with TAG.
pub mod data;
pub mod metrics;
pub mod method;
pub mod model;
pub mod optim;
pub mod seed;
pub mod stream;
