//! Results as files for other programs, a file a format.

pub mod evaluations;
pub mod npy;
pub mod results;
pub mod spec;
pub mod tensorboard;

pub use spec::{ExportError, ExportSpec};

/// All exports, in the order in which they are listed and written.
pub static EXPORTS: &[&ExportSpec] = &[
    &tensorboard::TENSORBOARD,
    &evaluations::CSV,
    &npy::NPY,
    &results::RESULTS,
];
