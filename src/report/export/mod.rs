//! The formats of a report that are text, a file each.
//!
//! Every format says the same: the groups with all metrics and their cost, what they differ in, what limits comparison
//! (fractions, samples, missing seeds), the authors' figures, and every run that has no usable result.

pub mod csv;
pub mod json;
pub mod latex;
pub mod markdown;
pub(super) mod tables;
pub mod text;

#[cfg(test)]
mod tests;
