//! What is to be run.
//!
//! Owns a run's resolved configuration and identity ([`config`]) and the passage to it from what was typed ([`settings`]).

pub mod config;
pub mod settings;
