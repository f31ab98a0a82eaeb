//! The optimizers that know nothing of tasks: SGD, RMSProp, Adagrad and Adam.
//!
//! Owns their updates, with PyTorch's defaults (which differ from Burn's) and with PyTorch's order of operations, since
//! the published baselines ran there. Their state goes on from task to task, as in the released code; only SGD's momentum
//! begins anew with every task, because the code that had it rebuilt the optimizer there.

use super::{Layout, OptimError, Optimizer, OptimizerSpec, State, check_length};
use crate::settings::{Own, RealRange, SettingsSpec, Stored, fixed, typed};

crate::settings! {
    /// SGD's settings.
    pub struct SgdSettings {
        /// SGD's momentum; from rest in every task.
        momentum: f64 = fixed(0.0), range RealRange::UNIT, stored Stored::Unless("0");
    }
}

crate::choices!(SecondMoment { "changed" => Changed, "raw" => Raw });

/// Which gradient an adaptive optimizer's second moment sees, where a method changes that of the batch (projects it, adds a
/// penalty's or that of replayed examples).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondMoment {
    /// The one that is stepped along, as everywhere.
    #[default]
    Changed,
    /// The batch's own (arXiv 2604.22407): a method that takes a direction out does not make steps along it longer.
    Raw,
}

crate::settings! {
    /// The settings of optimizers with a second moment.
    pub struct AdaptiveSettings {
        /// Which gradient the second moment sees: the one that is stepped along, or the batch's own before the method changed it.
        second_moment: SecondMoment = fixed(SecondMoment::Changed), stored Stored::Unless("changed");
    }
}

/// Stochastic gradient descent.
pub static SGD: OptimizerSpec = OptimizerSpec {
    name: "sgd",
    paper_name: "SGD",
    description: "Stochastic gradient descent, with momentum where told so.",
    source: "with dropout, gamma and momentum: Stable SGD, Mirzadeh et al., NeurIPS 2020",
    settings: SettingsSpec::inline::<SgdSettings>(),
    remembers_tasks: false,
    state_bytes: |own, layout, _| {
        let momentum = own
            .get::<SgdSettings>()
            .is_some_and(|own| own.momentum > 0.0);
        size_of::<f32>() * usize::from(momentum) * layout.len()
    },
    build: |own, layout| {
        let momentum = typed::<SgdSettings>(own)?.momentum;
        Ok(Box::new(Naive::sgd(layout.len(), momentum)?))
    },
};

/// RMSProp.
pub(super) static RMSPROP: OptimizerSpec = OptimizerSpec {
    name: "rmsprop",
    paper_name: "RMSProp",
    description: "RMSProp with PyTorch's defaults; state kept across tasks.",
    source: "Tieleman and Hinton, 2012",
    settings: SettingsSpec::inline::<AdaptiveSettings>(),
    remembers_tasks: false,
    state_bytes: |_, layout, _| size_of::<f32>() * layout.len(),
    build: |own, layout| naive(NaiveKind::RmsProp, own, layout),
};

/// Adagrad.
pub(super) static ADAGRAD: OptimizerSpec = OptimizerSpec {
    name: "adagrad",
    paper_name: "Adagrad",
    description: "Adagrad with PyTorch's defaults; state kept across tasks.",
    source: "Duchi et al., JMLR 2011",
    settings: SettingsSpec::inline::<AdaptiveSettings>(),
    remembers_tasks: false,
    state_bytes: |_, layout, _| size_of::<f32>() * layout.len(),
    build: |own, layout| naive(NaiveKind::Adagrad, own, layout),
};

/// Adam.
pub(super) static ADAM: OptimizerSpec = OptimizerSpec {
    name: "adam",
    paper_name: "Adam",
    description: "Adam with PyTorch's defaults; state kept across tasks.",
    source: "Kingma and Ba, ICLR 2015",
    settings: SettingsSpec::inline::<AdaptiveSettings>(),
    remembers_tasks: false,
    state_bytes: |_, layout, _| 2 * size_of::<f32>() * layout.len(),
    build: |own, layout| naive(NaiveKind::Adam, own, layout),
};

fn naive(kind: NaiveKind, own: &Own, layout: &Layout) -> Result<Box<dyn Optimizer>, OptimError> {
    let mut naive = Naive::new(kind, layout.len());
    naive.second_moment = typed::<AdaptiveSettings>(own)?.second_moment;
    Ok(Box::new(naive))
}

/// Which update, with its hyper-parameters fixed to PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NaiveKind {
    /// `θ − η g`; with momentum μ, `u ← μ u + g` and `θ − η u`.
    Sgd,
    /// Decay 0.99, ε 1e-8 outside the root, no momentum, not centred.
    RmsProp,
    /// Sum of squares from 0, ε 1e-10 outside the root, no decay of the learning rate.
    Adagrad,
    /// β₁ 0.9, β₂ 0.999, ε 1e-8 outside the root, bias correction over all steps.
    Adam,
}

impl NaiveKind {
    fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::RmsProp => "rmsprop",
            Self::Adagrad => "adagrad",
            Self::Adam => "adam",
        }
    }
}

/// One of SGD, RMSProp, Adagrad, Adam over a model of a known number of parameters.
#[derive(Clone, Debug)]
pub struct Naive {
    kind: NaiveKind,
    parameters: usize,
    momentum: f32,
    second_moment: SecondMoment,
    steps: usize,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Naive {
    /// A fresh optimizer for a model with this many parameters.
    #[must_use]
    pub fn new(kind: NaiveKind, parameters: usize) -> Self {
        let first = if kind == NaiveKind::Adam {
            vec![0.0; parameters]
        } else {
            Vec::new()
        };
        let second = if kind == NaiveKind::Sgd {
            Vec::new()
        } else {
            vec![0.0; parameters]
        };
        Self {
            kind,
            parameters,
            momentum: 0.0,
            second_moment: SecondMoment::Changed,
            steps: 0,
            first,
            second,
        }
    }

    /// SGD with momentum μ in `[0, 1)`, PyTorch's form (no dampening, not Nesterov's), from rest in every task.
    ///
    /// # Errors
    /// [`OptimError::HyperParameter`] for μ out of range.
    pub fn sgd(parameters: usize, momentum: f64) -> Result<Self, OptimError> {
        if !(0.0..1.0).contains(&momentum) {
            return Err(OptimError::HyperParameter {
                name: "momentum",
                value: momentum,
                range: "at least 0 and below 1",
            });
        }
        let mut sgd = Self::new(NaiveKind::Sgd, parameters);
        if momentum > 0.0 {
            sgd.momentum = momentum as f32;
            sgd.first = vec![0.0; parameters];
        }
        Ok(sgd)
    }
}

impl Optimizer for Naive {
    fn begin_task(&mut self) {
        if self.kind == NaiveKind::Sgd {
            self.first.fill(0.0);
        }
    }

    fn step(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
    ) -> Result<(), OptimError> {
        self.step_beside(parameters, gradient, gradient, learning_rate)
    }

    fn wants_raw_gradient(&self) -> bool {
        self.second_moment == SecondMoment::Raw
    }

    fn step_beside(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        raw: &[f32],
        learning_rate: f32,
    ) -> Result<(), OptimError> {
        check_length("the parameter vector", parameters.len(), self.parameters)?;
        check_length("the gradient", gradient.len(), self.parameters)?;
        check_length("the batch's gradient", raw.len(), self.parameters)?;
        self.steps += 1;
        let lr = learning_rate;
        let pairs = parameters.iter_mut().zip(gradient);
        match self.kind {
            NaiveKind::Sgd if self.momentum > 0.0 => {
                for ((p, g), u) in pairs.zip(&mut self.first) {
                    *u = self.momentum * *u + g;
                    *p -= lr * *u;
                }
            }
            NaiveKind::Sgd => {
                for (p, g) in pairs {
                    *p -= lr * g;
                }
            }
            NaiveKind::RmsProp => {
                for (((p, g), r), v) in pairs.zip(raw).zip(&mut self.second) {
                    *v = 0.99 * *v + 0.01 * r * r;
                    *p -= lr * g / (v.sqrt() + 1e-8);
                }
            }
            NaiveKind::Adagrad => {
                for (((p, g), r), v) in pairs.zip(raw).zip(&mut self.second) {
                    *v += r * r;
                    *p -= lr * g / (v.sqrt() + 1e-10);
                }
            }
            NaiveKind::Adam => {
                let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
                let step_size = (f64::from(lr) / (1.0 - 0.9_f64.powi(exponent))) as f32;
                let root_correction = (1.0 - 0.999_f64.powi(exponent)).sqrt() as f32;
                let moments = self.first.iter_mut().zip(&mut self.second);
                for (((p, g), r), (m, v)) in pairs.zip(raw).zip(moments) {
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * r * r;
                    *p -= step_size * *m / (v.sqrt() / root_correction + 1e-8);
                }
            }
        }
        Ok(())
    }

    fn end_task(&mut self) {}

    fn state(&self) -> State<'_> {
        let mut state = State::new(self.kind.name()).with_counter("steps", self.steps);
        state.put("first", self.first.as_slice());
        state.put("second", self.second.as_slice());
        state
    }

    fn restore(&mut self, mut state: State<'_>) -> Result<(), OptimError> {
        state.expect_kind(self.kind.name())?;
        let steps = state.counter("steps")?;
        let first = state.take("first", self.first.len())?;
        let second = state.take("second", self.second.len())?;
        (self.steps, self.first, self.second) = (steps, first, second);
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        (self.first.len() + self.second.len()) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RMSProp's first step by hand: the numerator is the changed gradient's, the root the batch's own.
    #[test]
    fn the_second_moment_may_see_the_batch_alone() {
        for (kind, root) in [(NaiveKind::RmsProp, 0.1_f32), (NaiveKind::Adagrad, 1.0)] {
            let mut naive = Naive::new(kind, 2);
            let mut theta = [1.0, 1.0];
            let (changed, raw) = ([0.5, 0.0], [2.0, 4.0]);
            naive.step_beside(&mut theta, &changed, &raw, 0.1).unwrap();
            let first = 1.0 - 0.1 * 0.5 / (root * 2.0);
            assert!(
                (theta[0] - first).abs() < 1e-6 && theta[1] == 1.0,
                "{theta:?}"
            );
            assert!((naive.second[1] - (root * 4.0).powi(2)).abs() < 1e-5);
        }
        let (mut one, mut other) = ([0.3, -0.2], [0.3, -0.2]);
        let mut adam = [
            Naive::new(NaiveKind::Adam, 2),
            Naive::new(NaiveKind::Adam, 2),
        ];
        adam[0].step(&mut one, &[0.5, 0.1], 0.01).unwrap();
        adam[1]
            .step_beside(&mut other, &[0.5, 0.1], &[0.5, 0.1], 0.01)
            .unwrap();
        assert_eq!(one, other);
    }

    const KINDS: [NaiveKind; 4] = [
        NaiveKind::Sgd,
        NaiveKind::RmsProp,
        NaiveKind::Adagrad,
        NaiveKind::Adam,
    ];

    #[test]
    fn a_restored_optimizer_takes_the_same_next_step() {
        for kind in KINDS {
            let mut a = Naive::new(kind, 3);
            let mut theta = vec![0.5, -1.0, 2.0];
            for _ in 0..3 {
                a.step(&mut theta, &[0.1, -0.2, 0.3], 0.01).unwrap();
            }
            let mut b = Naive::new(kind, 3);
            b.restore(State::from_bytes(&a.state().to_bytes().unwrap()).unwrap())
                .unwrap();
            let mut other = theta.clone();
            a.step(&mut theta, &[0.3, 0.1, -0.1], 0.01).unwrap();
            b.step(&mut other, &[0.3, 0.1, -0.1], 0.01).unwrap();
            assert_eq!(theta, other, "{kind:?}");
        }
    }

    #[test]
    fn momentum_adds_up_within_a_task_and_starts_from_rest_in_the_next() {
        let mut sgd = Naive::sgd(1, 0.5).unwrap();
        let mut theta = [0.0];
        let mut move_by = |sgd: &mut Naive, g: f32| {
            let before = theta[0];
            sgd.step(&mut theta, &[g], 1.0).unwrap();
            before - theta[0]
        };
        sgd.begin_task();
        assert_eq!(
            [1.0, 1.0, 0.0].map(|g| move_by(&mut sgd, g)),
            [1.0, 1.5, 0.75]
        );
        let mut restored = Naive::sgd(1, 0.5).unwrap();
        restored.restore(sgd.state()).unwrap();
        assert_eq!(move_by(&mut restored, 0.0), 0.375);
        sgd.end_task();
        sgd.begin_task();
        assert_eq!(move_by(&mut sgd, 1.0), 1.0);
        assert_eq!(sgd.state_bytes(), 4);
        assert!(sgd.restore(Naive::new(NaiveKind::Sgd, 1).state()).is_err());
        assert!(Naive::sgd(1, 1.0).is_err() && Naive::sgd(1, f64::NAN).is_err());
    }

    #[test]
    fn foreign_vectors_and_records_are_refused() {
        let mut adam = Naive::new(NaiveKind::Adam, 3);
        assert!(matches!(
            adam.step(&mut [0.0; 2], &[0.0; 2], 0.1),
            Err(OptimError::Length { .. })
        ));
        assert!(
            adam.restore(Naive::new(NaiveKind::Adam, 4).state())
                .is_err()
        );
        assert!(adam.restore(Naive::new(NaiveKind::Sgd, 3).state()).is_err());
    }
}
