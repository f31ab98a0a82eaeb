//! What the program knows of a benchmark.
//!
//! Owns the form in which one says so, a file each: names, how its data become tasks, defaults, and the hyper-parameters of
//! the released scripts. Sources of the latter: `scripts/*.sh` of the paper's repository at 187d4df, and
//! `replicate_experiment_mnist.sh` at f6afd10 for the MNIST streams. A benchmark without a script has none, and a run on it
//! must be told its learning rate.

use crate::data::{DataName, ImageShape};
use crate::settings::Named;
use crate::stream::Scaling;

/// How a benchmark cuts its data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchmarkKind {
    /// By class.
    Split,
    /// By angle.
    Rotated,
    /// By permutation.
    Permuted,
}

/// How bytes become inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputRange {
    /// `[0, 1]`.
    Unit,
    /// `[−1, 1]`.
    Signed,
    /// As the setting `input_scaling` says.
    Set,
}

impl InputRange {
    /// The scaling, where no setting decides.
    #[must_use]
    pub fn scaling(self) -> Scaling {
        match self {
            Self::Unit | Self::Set => Scaling::Unit,
            Self::Signed => Scaling::Signed,
        }
    }
}

/// The settings of Stable SGD: SGD with a learning rate that falls from task to task, and dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StableSgd {
    /// Learning rate.
    pub lr: f64,
    /// Factor on it from task to task.
    pub gamma: f64,
    /// Dropout probability.
    pub dropout: f64,
}

/// Learning rates of the released scripts.
#[derive(Debug)]
pub struct Rates {
    /// Without a method, by optimizer.
    pub plain: &'static [(&'static str, f64)],
    /// Pairs of methods and optimizers that had a script; each ran at its optimizer's own rate.
    pub pairs: &'static [(&'static [&'static str], &'static [&'static str])],
    /// Method, optimizer and rate where that was not so.
    pub exceptions: &'static [(&'static str, &'static str, f64)],
    /// Network, method, optimizer and rate for networks other than the benchmark's own.
    pub other_models: &'static [(&'static str, &'static str, &'static str, f64)],
    /// What the scripts call multi-task, by optimizer.
    pub multi_task: &'static [(&'static str, f64)],
    /// Stable SGD.
    pub stable_sgd: Option<StableSgd>,
}

impl Rates {
    /// None.
    pub const NONE: Self = Self {
        plain: &[],
        pairs: &[],
        exceptions: &[],
        other_models: &[],
        multi_task: &[],
        stable_sgd: None,
    };

    /// The methods and optimizers that the scripts of the paper's four streams pair.
    pub const PAPER_PAIRS: &'static [(&'static [&'static str], &'static [&'static str])] =
        &[(&["ewc", "agem", "er"], &["sgd", "rmsprop", "tag-rmsprop"])];

    /// The rate of these three on the benchmark's own network, where there was a script.
    #[must_use]
    pub fn of(&self, method: &str, optimizer: &str) -> Option<f64> {
        let mut exceptions = self.exceptions.iter();
        if let Some((.., rate)) = exceptions.find(|(m, o, _)| (*m, *o) == (method, optimizer)) {
            return Some(*rate);
        }
        let mut pairs = self.pairs.iter();
        let paired = |(methods, optimizers): &(&[&str], &[&str])| {
            methods.contains(&method) && optimizers.contains(&optimizer)
        };
        let was_run = method == "plain" || pairs.any(paired);
        let rate = self.plain.iter().find(|(name, _)| *name == optimizer);
        rate.filter(|_| was_run).map(|(_, rate)| *rate)
    }

    /// The rate on another network, where there was a script.
    #[must_use]
    pub fn of_other(&self, model: &str, method: &str, optimizer: &str) -> Option<f64> {
        let mut all = self.other_models.iter();
        let found = all.find(|(a, b, c, _)| (*a, *b, *c) == (model, method, optimizer));
        found.map(|(.., rate)| *rate)
    }
}

/// A benchmark as the program's settings, lists, tables and estimates see it.
pub struct BenchmarkSpec {
    /// Name in settings.
    pub name: &'static str,
    /// Name in papers.
    pub paper_name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// How it cuts its data set.
    pub kind: BenchmarkKind,
    /// The data sets that it is made of, in the order of their classes.
    pub sources: &'static [DataName],
    /// Classes of the complete data set.
    pub classes: usize,
    /// Shape of its images.
    pub shape: ImageShape,
    /// How bytes become inputs.
    pub inputs: InputRange,
    /// Number of tasks unless told otherwise.
    pub tasks: usize,
    /// Network unless told otherwise, by name.
    pub model: &'static str,
    /// Settings that it has other defaults for.
    pub defaults: &'static [(&'static str, &'static str)],
    /// The same under the released profile.
    pub released_defaults: &'static [(&'static str, &'static str)],
    /// The same with a network of this name.
    pub model_defaults: &'static [(&'static str, &'static str, &'static str)],
    /// Learning rates of the released scripts.
    pub rates: Rates,
}

impl Named for BenchmarkSpec {
    const WHAT: &'static str = "benchmark";
    fn all() -> &'static [&'static Self] {
        super::BENCHMARKS
    }
    fn name(&self) -> &'static str {
        self.name
    }
    fn description(&self) -> &'static str {
        self.description
    }
}

crate::by_name!(BenchmarkSpec);
