//! What the program knows of a method.
//!
//! Owns the form in which one says so, beside its own code: names, source, settings, cost, and how it is built. The table
//! is [`METHODS`](super::METHODS).

use super::Method;
use crate::seed::Seeds;
use crate::settings::{Named, Own, SettingError, SettingsSpec};
use crate::stream::Scenario;

/// What a method is built from, beside its settings.
#[derive(Clone, Copy, Debug)]
pub struct MethodContext {
    /// Examples per training step.
    pub batch_size: usize,
    /// Classes of the data set.
    pub classes: usize,
    /// Classes of the head.
    pub head_classes: usize,
    /// Values that the head sees of an example.
    pub features: usize,
    /// Number of tasks.
    pub tasks: usize,
    /// Classes of all tasks together; one that several tasks share counts for each.
    pub all_classes: usize,
    /// What is known of an example's task.
    pub scenario: Scenario,
    /// The run's seeds.
    pub seeds: Seeds,
}

/// Forward and backward passes over a batch that a step takes; a forward pass alone counts a third.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passes {
    /// In the first task.
    pub first: f64,
    /// In every later one.
    pub later: f64,
}

impl Passes {
    /// One, as without any method.
    pub const ONE: Self = Self {
        first: 1.0,
        later: 1.0,
    };
}

/// Makes a method of its settings.
pub type Build = fn(&Own, &MethodContext) -> Result<Box<dyn Method>, SettingError>;

/// A method as the program's settings, lists, tables and estimates see it.
pub struct MethodSpec {
    /// Name in settings.
    pub name: &'static str,
    /// Name in papers.
    pub paper_name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// Its own settings.
    pub settings: SettingsSpec,
    /// Whether it keeps something of every task, so that tasks must come one after another.
    pub remembers_tasks: bool,
    /// Whether it learns without gradients, from the features of one pass over the data: there is no second epoch, and optimizer
    /// and learning rate have no part in it.
    pub closed_form: bool,
    /// Settings that weigh its own part of the loss: with them too large, training diverges.
    pub weights: &'static [&'static str],
    /// What a step costs.
    pub passes: fn(&Own) -> Passes,
    /// Makes one.
    pub build: Build,
}

impl Named for MethodSpec {
    const WHAT: &'static str = "method";
    fn all() -> &'static [&'static Self] {
        super::METHODS
    }
    fn name(&self) -> &'static str {
        self.name
    }
    fn description(&self) -> &'static str {
        self.description
    }
}

crate::by_name!(MethodSpec);
