//! What a list of runs will cost.
//!
//! Owns the sum of [`super::cost`]'s estimates over many runs: configurations that differ in nothing that costs time
//! (seed, learning rate, b, ...) are measured once.

use std::collections::BTreeMap;

use serde::Serialize;

use super::RunError;
use super::benchmark::MethodName;
use super::config::RunConfig;
use super::cost::{Estimate, estimate};

/// The cost of one run as far as it is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunBudget {
    /// Training steps.
    pub steps: usize,
    /// Seconds on one core of this machine, measured over a few steps and scaled by the method's passes.
    pub seconds: f64,
}

/// Training and test images of a configuration's data.
pub type Sizes<'a> = dyn Fn(&RunConfig) -> Result<(usize, usize), RunError> + 'a;

/// Estimates runs, remembering what it has measured.
pub struct Budgets<'a> {
    sizes: &'a Sizes<'a>,
    known: BTreeMap<String, Estimate>,
}

impl<'a> Budgets<'a> {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(sizes: &'a Sizes<'a>) -> Self {
        let known = BTreeMap::new();
        Self { sizes, known }
    }

    /// One run's cost.
    ///
    /// # Errors
    /// [`RunError`] if network or optimizer cannot be made.
    pub fn of(&mut self, config: &RunConfig) -> Result<RunBudget, RunError> {
        let key = cost_key(config);
        let measured = if let Some(known) = self.known.get(&key) {
            *known
        } else {
            let (train, test) = (self.sizes)(config)?;
            let new = estimate(config, train, test)?;
            self.known.insert(key, new);
            new
        };
        let rounds = config.schedule.rounds();
        Ok(RunBudget {
            steps: measured.steps * rounds,
            seconds: measured.seconds * passes(config) * rounds as f64,
        })
    }
}

/// Forward and backward passes a step beside plain training, from the second task on: replayed examples, A-GEM's
/// reference gradient and its second forward pass (a third of a pass).
fn passes(config: &RunConfig) -> f64 {
    let later = 1.0 - 1.0 / config.tasks as f64;
    match config.method {
        MethodName::Plain | MethodName::Ewc => 1.0,
        MethodName::Er => 1.0 + later,
        MethodName::Agem => {
            let again = config.agem.is_some_and(|agem| agem.forwards_twice);
            1.0 + later + if again { 1.0 / 3.0 } else { 0.0 }
        }
    }
}

/// Text that is equal for configurations of equal cost.
fn cost_key(config: &RunConfig) -> String {
    let mut same = config.clone();
    (same.seed, same.lr, same.gamma, same.momentum) = (0, 1.0, 1.0, 0.0);
    (same.method, same.ewc, same.agem, same.er) = (MethodName::Plain, None, None, None);
    if let Some(tag) = &mut same.tag {
        tag.b = 1.0;
    }
    serde_json::to_string(&same).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::experiment::settings::{Origin, Settings};

    fn config(pairs: &[(&str, &str)]) -> RunConfig {
        let mut settings = Settings::default();
        let base = [
            ("benchmark", "rotated-mnist"),
            ("hidden", "4"),
            ("lr", "0.1"),
        ];
        for (key, value) in base.iter().chain(pairs) {
            settings.set(key, value, Origin::CommandLine).unwrap();
        }
        settings.plan().unwrap().runs.remove(0).config
    }

    #[test]
    fn equal_costs_are_measured_once_and_methods_count() {
        let asked = Cell::new(0);
        let sizes = |_: &RunConfig| {
            asked.set(asked.get() + 1);
            Ok((100, 20))
        };
        let mut budgets = Budgets::new(&sizes);
        let plain = budgets.of(&config(&[("seeds", "1")])).unwrap();
        assert_eq!(plain.steps, 100);
        let same = budgets
            .of(&config(&[("seeds", "2"), ("lr", "0.5")]))
            .unwrap();
        let er = budgets.of(&config(&[("method", "er")])).unwrap();
        assert_eq!((asked.get(), same), (1, plain));
        assert!((er.seconds / plain.seconds - 1.9).abs() < 1e-9);
        let cyclic = budgets.of(&config(&[("schedule", "cyclic")])).unwrap();
        assert_eq!(cyclic.steps, 600);
        budgets.of(&config(&[("batch_size", "20")])).unwrap();
        assert_eq!(asked.get(), 3);
    }
}
