//! The optimizers that know nothing of tasks: SGD, RMSProp, Adagrad and Adam.
//!
//! Owns their updates, with PyTorch's defaults (which differ from Burn's) and with PyTorch's order of operations, since
//! the published baselines ran there. Their state goes on from task to task, as in the released code.

use super::{OptimError, Optimizer, State, check_length};

/// Which update, with its hyper-parameters fixed to PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NaiveKind {
    /// `θ − η g`.
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
            steps: 0,
            first,
            second,
        }
    }
}

impl Optimizer for Naive {
    fn begin_task(&mut self) {}

    fn step(
        &mut self,
        parameters: &mut [f32],
        gradient: &[f32],
        learning_rate: f32,
    ) -> Result<(), OptimError> {
        check_length("the parameter vector", parameters.len(), self.parameters)?;
        check_length("the gradient", gradient.len(), self.parameters)?;
        self.steps += 1;
        let lr = learning_rate;
        let pairs = parameters.iter_mut().zip(gradient);
        match self.kind {
            NaiveKind::Sgd => {
                for (p, g) in pairs {
                    *p -= lr * g;
                }
            }
            NaiveKind::RmsProp => {
                for ((p, g), v) in pairs.zip(&mut self.second) {
                    *v = 0.99 * *v + 0.01 * g * g;
                    *p -= lr * g / (v.sqrt() + 1e-8);
                }
            }
            NaiveKind::Adagrad => {
                for ((p, g), v) in pairs.zip(&mut self.second) {
                    *v += g * g;
                    *p -= lr * g / (v.sqrt() + 1e-10);
                }
            }
            NaiveKind::Adam => {
                let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
                let step_size = (f64::from(lr) / (1.0 - 0.9_f64.powi(exponent))) as f32;
                let root_correction = (1.0 - 0.999_f64.powi(exponent)).sqrt() as f32;
                for (((p, g), m), v) in pairs.zip(&mut self.first).zip(&mut self.second) {
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * g * g;
                    *p -= step_size * *m / (v.sqrt() / root_correction + 1e-8);
                }
            }
        }
        Ok(())
    }

    fn end_task(&mut self) {}

    fn state(&self) -> State {
        let mut state = State::new(self.kind.name()).with_counter("steps", self.steps);
        state.put("first", &self.first);
        state.put("second", &self.second);
        state
    }

    fn restore(&mut self, mut state: State) -> Result<(), OptimError> {
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
