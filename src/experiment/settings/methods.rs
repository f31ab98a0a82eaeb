//! Settings of single methods and optimizers, and the checks between settings.
//!
//! Owns what a profile means: every difference between the released code and the mended methods is a key of its own,
//! and its default here depends on the profile.

use std::time::Duration;

use super::{SettingError, Settings};
use crate::experiment::benchmark::{Benchmark, MethodName, OptimizerName};
use crate::experiment::checkpoint::{self, Interval, interval};
use crate::experiment::config::{Evaluate, Schedule, TagSettings};
use crate::method::{AgemConfig, ErConfig, EwcConfig, Fisher, Penalty, ReservoirRule};
use crate::optim::{AlphaRule, AlphaScope, BiasCorrection, Epsilon, PastMoments};

/// Whole numbers from 1.
const FROM_ONE: std::ops::RangeInclusive<usize> = 1..=1_000_000;

/// Method and optimizer settings of a configuration; at most one is there.
pub(super) struct MethodSettings {
    pub(super) ewc: Option<EwcConfig>,
    pub(super) agem: Option<AgemConfig>,
    pub(super) er: Option<ErConfig>,
}

impl Settings {
    /// Refuses keys of methods that are not in use.
    pub(super) fn check_method_keys(
        &self,
        method: MethodName,
        optimizer: OptimizerName,
    ) -> Result<(), SettingError> {
        let tag_keys = [
            "b",
            "alpha",
            "stored_gradients",
            "alpha_scope",
            "epsilon",
            "bias_correction",
            "past_moments",
        ];
        self.only_for(&tag_keys, optimizer.is_tag(), "the TAG optimizers")?;
        let sgd = optimizer == OptimizerName::Sgd;
        self.only_for(&["momentum"], sgd, "the sgd optimizer")?;
        let ewc_keys = ["lambda", "fisher", "fisher_samples", "penalty"];
        let replays = matches!(method, MethodName::Agem | MethodName::Er);
        self.only_for(&ewc_keys, method == MethodName::Ewc, "the ewc method")?;
        self.only_for(&["memory_per_class"], replays, "the agem and er methods")?;
        self.only_for(
            &["forwards_twice"],
            method == MethodName::Agem,
            "the agem method",
        )?;
        self.only_for(
            &["replay_current", "reservoir"],
            method == MethodName::Er,
            "the er method",
        )
    }

    pub(super) fn method_settings(
        &self,
        benchmark: Benchmark,
        method: MethodName,
        released: bool,
    ) -> Result<MethodSettings, SettingError> {
        Ok(MethodSettings {
            ewc: match method {
                MethodName::Ewc => Some(self.ewc(benchmark, released)?),
                _ => None,
            },
            agem: match method {
                MethodName::Agem => Some(AgemConfig {
                    memory_per_class: self.memory_per_class()?,
                    forwards_twice: self.truth("forwards_twice", released)?,
                }),
                _ => None,
            },
            er: match method {
                MethodName::Er => Some(self.er(released)?),
                _ => None,
            },
        })
    }

    /// How often a run's state is saved; no part of its configuration.
    pub(super) fn checkpoint_every(&self) -> Result<Option<Duration>, SettingError> {
        let Some(text) = self.text("checkpoint_every") else {
            return Ok(Some(checkpoint::EVERY));
        };
        let interval: Result<Interval, _> = text.parse();
        let interval = interval.map_err(|_| self.range("checkpoint_every", interval::RANGE))?;
        Ok(interval.0)
    }

    pub(super) fn truth(&self, key: &'static str, default: bool) -> Result<bool, SettingError> {
        self.choice(key, default, &[("true", true), ("false", false)])
    }

    fn memory_per_class(&self) -> Result<usize, SettingError> {
        let range = "a whole number from 0 to 1000000";
        self.whole("memory_per_class", 1, 0..=1_000_000, range)
    }

    fn ewc(&self, benchmark: Benchmark, released: bool) -> Result<EwcConfig, SettingError> {
        let fishers = [
            ("corrected", Fisher::Corrected),
            ("released", Fisher::Released),
        ];
        let penalties = [("half", Penalty::Half), ("released", Penalty::Released)];
        let (fisher, penalty) = if released {
            (Fisher::Released, Penalty::Released)
        } else {
            (Fisher::Corrected, Penalty::Half)
        };
        Ok(EwcConfig {
            lambda: self.real(
                "lambda",
                benchmark.published_lambda(),
                |x| x >= 0.0,
                "a number from 0",
            )?,
            fisher: self.choice("fisher", fisher, &fishers)?,
            fisher_samples: self.whole("fisher_samples", 200, FROM_ONE, "a whole number from 1")?,
            penalty: self.choice("penalty", penalty, &penalties)?,
        })
    }

    fn er(&self, released: bool) -> Result<ErConfig, SettingError> {
        let rules = [
            ("uniform", ReservoirRule::Uniform),
            ("batch", ReservoirRule::Batch),
        ];
        let rule = if released {
            ReservoirRule::Batch
        } else {
            ReservoirRule::Uniform
        };
        Ok(ErConfig {
            memory_per_class: self.memory_per_class()?,
            replay_current: self.truth("replay_current", released)?,
            reservoir: self.choice("reservoir", rule, &rules)?,
        })
    }

    /// The order of the examples. Without an order of tasks there is nothing to remember, so only plain training with an
    /// optimizer and a learning rate that know no tasks can do without one.
    pub(super) fn schedule(
        &self,
        method: MethodName,
        optimizer: OptimizerName,
    ) -> Result<Schedule, SettingError> {
        let schedules = [
            ("sequential", Schedule::Sequential),
            ("cyclic", Schedule::Cyclic),
            ("joint", Schedule::Joint),
        ];
        let schedule = self.choice("schedule", Schedule::Sequential, &schedules)?;
        let sequential = schedule == Schedule::Sequential;
        let plain = method == MethodName::Plain && !optimizer.is_tag();
        if !sequential && !plain {
            let range = "sequential for methods and optimizers that remember tasks";
            return Err(self.range("schedule", range));
        }
        self.only_for(
            &["gamma", "gamma_from"],
            sequential,
            "schedule = sequential",
        )?;
        Ok(schedule)
    }

    /// On which images a run is evaluated; on validation images only where some are set aside.
    pub(super) fn evaluate(&self, validation: f64) -> Result<Evaluate, SettingError> {
        let images = [
            ("test", Evaluate::Test),
            ("validation", Evaluate::Validation),
        ];
        self.only_for(&["evaluate"], validation > 0.0, "runs with validation > 0")?;
        self.choice("evaluate", Evaluate::Test, &images)
    }

    /// Epochs without progress on the validation images after which a task ends. The released code stops after five,
    /// where it trains for more than 20 epochs.
    pub(super) fn patience(
        &self,
        epochs: usize,
        validation: f64,
        schedule: Schedule,
        released: bool,
    ) -> Result<Option<usize>, SettingError> {
        let can = validation > 0.0 && schedule == Schedule::Sequential;
        self.only_for(
            &["patience"],
            can,
            "runs with validation > 0 and schedule = sequential",
        )?;
        if self.is_set("patience") {
            return Ok(Some(self.whole(
                "patience",
                1,
                FROM_ONE,
                "a whole number from 1",
            )?));
        }
        Ok((can && released && epochs > 20).then_some(5))
    }

    pub(super) fn tag(
        &self,
        benchmark: Benchmark,
        released: bool,
    ) -> Result<TagSettings, SettingError> {
        let corrections = [
            ("per-task", BiasCorrection::PerTask),
            ("per-epoch", BiasCorrection::PerEpoch),
        ];
        let correction = if released {
            BiasCorrection::PerEpoch
        } else {
            BiasCorrection::PerTask
        };
        let scopes = [
            ("tensor", AlphaScope::Tensor),
            ("global", AlphaScope::Global),
        ];
        let epsilons = [("outside", Epsilon::Outside), ("inside", Epsilon::Inside)];
        let moments = [("f32", PastMoments::F32), ("bf16", PastMoments::Bf16)];
        let rules = [
            ("cosine", AlphaRule::Cosine),
            ("one", AlphaRule::One),
            ("age", AlphaRule::Age),
            ("gradients", AlphaRule::Gradients),
        ];
        let alpha = self.choice("alpha", AlphaRule::Cosine, &rules)?;
        let gradients = alpha == AlphaRule::Gradients;
        self.only_for(&["stored_gradients"], gradients, "alpha = gradients")?;
        self.only_for(
            &["b", "alpha_scope"],
            alpha.is_correlation(),
            "alpha = cosine and alpha = gradients",
        )?;
        Ok(TagSettings {
            b: self.real(
                "b",
                benchmark.published_b(),
                |x| (0.0..=80.0).contains(&x),
                "a number from 0 to 80 (e^b must be a float)",
            )?,
            alpha,
            stored_gradients: if gradients {
                Some(self.whole("stored_gradients", 1, FROM_ONE, "a whole number from 1")?)
            } else {
                None
            },
            alpha_scope: self.choice("alpha_scope", AlphaScope::Tensor, &scopes)?,
            epsilon: self.choice("epsilon", Epsilon::Outside, &epsilons)?,
            bias_correction: self.choice("bias_correction", correction, &corrections)?,
            past_moments: self.choice("past_moments", PastMoments::F32, &moments)?,
        })
    }
}
