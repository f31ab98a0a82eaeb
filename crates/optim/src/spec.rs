//! What the program knows of an optimizer.
//!
//! Owns the form in which one says so, beside its own code: names, source, settings, memory, and how it is built. The
//! table is [`OPTIMIZERS`](super::OPTIMIZERS).

use super::{Layout, OptimError, Optimizer};
use crate::settings::{Named, Own, SettingsSpec};

/// Makes an optimizer of its settings for a model of this layout.
pub type Build = fn(&Own, &Layout) -> Result<Box<dyn Optimizer>, OptimError>;

/// An optimizer as the program's settings, lists, tables and estimates see it.
pub struct OptimizerSpec {
    /// Name in settings.
    pub name: &'static str,
    /// Name in the TAG paper's tables, or one in their manner.
    pub paper_name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Its own settings.
    pub settings: SettingsSpec,
    /// Whether it keeps something of every task, so that tasks must come one after another.
    pub remembers_tasks: bool,
    /// Bytes that it holds of a model of this layout when so many tasks have ended.
    pub state_bytes: fn(&Own, &Layout, usize) -> usize,
    /// Makes one for a model of this layout.
    pub build: Build,
}

impl Named for OptimizerSpec {
    const WHAT: &'static str = "optimizer";
    fn all() -> &'static [&'static Self] {
        super::OPTIMIZERS
    }
    fn name(&self) -> &'static str {
        self.name
    }
    fn description(&self) -> &'static str {
        self.description
    }
}

crate::by_name!(OptimizerSpec);
