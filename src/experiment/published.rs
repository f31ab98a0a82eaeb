//! Hyper-parameters that the released scripts use for each benchmark.
//!
//! Sources: `scripts/*.sh` of the paper's repository at 187d4df, and `replicate_experiment_mnist.sh` at f6afd10 for the
//! MNIST streams. A benchmark without a script has none, and a run on it must be told its learning rate.

use super::benchmark::{Benchmark, MethodName, OptimizerName};

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

impl Benchmark {
    /// The learning rate of the released scripts, where they have one for these three.
    #[must_use]
    pub fn published_lr(self, method: MethodName, optimizer: OptimizerName) -> Option<f64> {
        use MethodName as M;
        use OptimizerName as O;
        // SGD with A-GEM and ER had a rate of its own on mini-ImageNet.
        if let (Self::SplitMiniImageNet, M::Agem, O::Sgd) = (self, method, optimizer) {
            return Some(0.1);
        }
        let plain = match (self, optimizer) {
            (Self::SplitCifar100, O::Sgd) => Some(0.1),
            (Self::SplitCifar100, O::RmsProp) => Some(0.005),
            (Self::SplitCifar100, O::Adagrad) => Some(0.01),
            (Self::SplitCifar100, O::Adam) => Some(0.005),
            (Self::SplitCifar100, O::TagRmsProp) => Some(0.000_25),
            (Self::SplitCifar100, O::TagAdagrad) => Some(0.005),
            (Self::SplitCifar100, O::TagAdam) => Some(0.000_5),
            (Self::SplitMiniImageNet, O::Sgd) => Some(0.05),
            (Self::SplitMiniImageNet, O::RmsProp) => Some(0.001),
            (Self::SplitMiniImageNet, O::Adagrad) => Some(0.01),
            (Self::SplitMiniImageNet, O::Adam) => Some(0.001),
            (Self::SplitMiniImageNet, O::TagRmsProp) => Some(0.000_1),
            (Self::SplitMiniImageNet, O::TagAdagrad) => Some(0.001),
            (Self::SplitMiniImageNet, O::TagAdam) => Some(0.000_25),
            (Self::SplitCub, O::Sgd) => Some(0.01),
            (Self::SplitCub, O::RmsProp) => Some(0.000_1),
            (Self::SplitCub, O::Adagrad) => Some(0.000_5),
            (Self::SplitCub, O::Adam) => Some(0.000_1),
            // As in the scripts; the runs behind the paper's tables had a floor of 5e-5.
            (Self::SplitCub, O::TagRmsProp) => Some(0.000_025),
            (Self::SplitCub, O::TagAdagrad) => Some(0.000_5),
            (Self::SplitCub, O::TagAdam) => Some(0.000_1),
            (Self::FiveDataset, O::Sgd) => Some(0.1),
            (Self::FiveDataset, O::RmsProp) => Some(0.001),
            (Self::FiveDataset, O::Adagrad) => Some(0.005),
            (Self::FiveDataset, O::Adam) => Some(0.001),
            (Self::FiveDataset, O::TagRmsProp) => Some(0.000_5),
            (Self::FiveDataset, O::TagAdagrad) => Some(0.005),
            (Self::FiveDataset, O::TagAdam) => Some(0.000_5),
            (Self::RotatedMnist, O::Sgd) => Some(0.1),
            (Self::RotatedMnist, O::RmsProp | O::TagRmsProp) => Some(0.000_25),
            (Self::PermutedMnist, O::Sgd) => Some(0.01),
            (Self::PermutedMnist, O::RmsProp | O::TagRmsProp) => Some(0.000_075),
            _ => None,
        };
        // A hybrid has its optimizer's own rate in every script; the MNIST streams had SGD with A-GEM and ER only.
        let was_run = method == M::Plain
            || match self {
                Self::RotatedMnist | Self::PermutedMnist => {
                    matches!((method, optimizer), (M::Agem | M::Er, O::Sgd))
                }
                _ => matches!(optimizer, O::Sgd | O::RmsProp | O::TagRmsProp),
            };
        plain.filter(|_| was_run)
    }

    /// The learning rate of the released scripts for what they call multi-task.
    #[must_use]
    pub fn published_multi_task_lr(self, optimizer: OptimizerName) -> Option<f64> {
        match (self, optimizer) {
            (
                Self::SplitCifar100 | Self::SplitMiniImageNet | Self::SplitCub,
                OptimizerName::Sgd,
            ) => Some(0.01),
            (Self::FiveDataset, OptimizerName::Sgd) => Some(0.05),
            _ => None,
        }
    }

    /// TAG's b: the published one, 5 where none was published.
    #[must_use]
    pub fn published_b(self) -> f64 {
        if self == Self::FiveDataset { 7.0 } else { 5.0 }
    }

    /// EWC's λ: the published one, 1 where none was published.
    #[must_use]
    pub fn published_lambda(self) -> f64 {
        if self == Self::FiveDataset {
            100.0
        } else {
            1.0
        }
    }

    /// Batch size: the published one, 10 where none was published.
    #[must_use]
    pub fn published_batch_size(self) -> usize {
        if self == Self::FiveDataset { 64 } else { 10 }
    }

    /// Whether the released loader leaves out a last batch that is not full.
    #[must_use]
    pub fn published_drop_last(self) -> bool {
        matches!(self, Self::SplitMiniImageNet | Self::SplitCub)
    }

    /// The settings of Stable SGD, where there is a script for it.
    #[must_use]
    pub fn published_stable_sgd(self) -> Option<StableSgd> {
        let (lr, gamma, dropout) = match self {
            Self::SplitCifar100 => (0.1, 0.9, 0.1),
            Self::SplitMiniImageNet => (0.1, 0.9, 0.0),
            Self::SplitCub => (0.05, 0.9, 0.0),
            Self::FiveDataset => (0.1, 0.7, 0.0),
            Self::RotatedMnist => (0.01, 0.9, 0.0),
            Self::PermutedMnist => (0.1, 0.55, 0.0),
            _ => return None,
        };
        Some(StableSgd { lr, gamma, dropout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::benchmark::Named as _;

    #[test]
    fn the_four_streams_of_the_paper_have_every_rate() {
        use Benchmark as B;
        for benchmark in [
            B::SplitCifar100,
            B::SplitMiniImageNet,
            B::SplitCub,
            B::FiveDataset,
        ] {
            for &optimizer in OptimizerName::ALL {
                assert!(
                    benchmark
                        .published_lr(MethodName::Plain, optimizer)
                        .is_some()
                );
            }
            for &method in MethodName::ALL {
                for optimizer in [
                    OptimizerName::Sgd,
                    OptimizerName::RmsProp,
                    OptimizerName::TagRmsProp,
                ] {
                    assert!(benchmark.published_lr(method, optimizer).is_some());
                }
                assert_eq!(
                    method == MethodName::Plain,
                    benchmark
                        .published_lr(method, OptimizerName::Adam)
                        .is_some()
                );
            }
            assert!(benchmark.published_stable_sgd().is_some());
            assert!(
                benchmark
                    .published_multi_task_lr(OptimizerName::Sgd)
                    .is_some()
            );
        }
        assert_eq!(
            B::SplitMiniImageNet.published_lr(MethodName::Agem, OptimizerName::Sgd),
            Some(0.1)
        );
        assert_eq!(
            B::SplitMiniImageNet.published_lr(MethodName::Er, OptimizerName::Sgd),
            Some(0.05)
        );
        assert_eq!(
            B::SplitMnist.published_lr(MethodName::Plain, OptimizerName::Sgd),
            None
        );
    }
}
