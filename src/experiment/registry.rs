//! What can be said of every method and optimizer: source and hyper-parameters.
//!
//! Owns the one line per hyper-parameter (name, default, range) that `tagcl list` prints beside the description. The
//! checks of the same ranges are in [`super::settings`].

use super::benchmark::{MethodName, OptimizerName};

/// A hyper-parameter in words; its name is a key of [`super::settings::KEYS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HyperParameter {
    /// Key.
    pub name: &'static str,
    /// Default; `corrected / released` where it depends on the profile.
    pub default: &'static str,
    /// Allowed values.
    pub range: &'static str,
}

const fn hyper(name: &'static str, default: &'static str, range: &'static str) -> HyperParameter {
    HyperParameter {
        name,
        default,
        range,
    }
}

const MEMORY: HyperParameter = hyper("memory_per_class", "1", "whole number from 0");
const RATE: HyperParameter = hyper("lr", "published for the benchmark", "above 0");
const SGD: &[HyperParameter] = &[
    RATE,
    hyper("gamma", "1", "above 0, at most 1"),
    hyper("gamma_from", "1 / 0", "0 or 1"),
    hyper("momentum", "0", "at least 0, below 1"),
];
const NAIVE: &[HyperParameter] = &[
    RATE,
    hyper("gamma", "1", "above 0, at most 1"),
    hyper("gamma_from", "1 / 0", "0 or 1"),
];
const TAG: &[HyperParameter] = &[
    RATE,
    hyper("gamma", "1", "above 0, at most 1"),
    hyper("gamma_from", "1 / 0", "0 or 1"),
    hyper("b", "5; 7 on 5-dataset", "0 to 80"),
    hyper("alpha", "cosine", "cosine, one, age, gradients"),
    hyper(
        "stored_gradients",
        "1",
        "whole number from 1; alpha = gradients",
    ),
    hyper("alpha_scope", "tensor", "tensor, global"),
    hyper("epsilon", "outside", "outside, inside"),
    hyper(
        "bias_correction",
        "per-task / per-epoch",
        "per-task, per-epoch",
    ),
];

/// What a listed name can say of itself.
pub trait Documented {
    /// Where it was published.
    fn paper(self) -> &'static str;
    /// Its hyper-parameters.
    fn hyper_parameters(self) -> &'static [HyperParameter];
}

impl Documented for MethodName {
    fn paper(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Ewc => "Kirkpatrick et al., PNAS 2017",
            Self::Agem => "Chaudhry et al., ICLR 2019",
            Self::Er => "Chaudhry et al., arXiv 1902.10486, 2019",
        }
    }

    fn hyper_parameters(self) -> &'static [HyperParameter] {
        match self {
            Self::Plain => &[],
            Self::Ewc => {
                const {
                    &[
                        hyper("lambda", "1; 100 on 5-dataset", "number from 0"),
                        hyper("fisher", "corrected / released", "corrected, released"),
                        hyper("fisher_samples", "200", "whole number from 1"),
                        hyper("penalty", "half / released", "half, released"),
                    ]
                }
            }
            Self::Agem => {
                const {
                    &[
                        MEMORY,
                        hyper("forwards_twice", "false / true", "true, false"),
                    ]
                }
            }
            Self::Er => {
                const {
                    &[
                        MEMORY,
                        hyper("replay_current", "false / true", "true, false"),
                        hyper("reservoir", "uniform / batch", "uniform, batch"),
                    ]
                }
            }
        }
    }
}

impl Documented for OptimizerName {
    fn paper(self) -> &'static str {
        match self {
            Self::Sgd => {
                "with dropout, gamma and momentum: Stable SGD, Mirzadeh et al., NeurIPS 2020"
            }
            Self::RmsProp => "Tieleman and Hinton, 2012",
            Self::Adagrad => "Duchi et al., JMLR 2011",
            Self::Adam => "Kingma and Ba, ICLR 2015",
            _ => "Malviya et al., CoLLAs 2022",
        }
    }

    fn hyper_parameters(self) -> &'static [HyperParameter] {
        match self {
            _ if self.is_tag() => TAG,
            Self::Sgd => SGD,
            _ => NAIVE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::benchmark::Named as _;
    use crate::experiment::settings::KEYS;

    #[test]
    fn every_hyper_parameter_is_a_key() {
        let methods = MethodName::ALL.iter().map(|m| m.hyper_parameters());
        let optimizers = OptimizerName::ALL.iter().map(|o| o.hyper_parameters());
        for hyper in methods.chain(optimizers).flatten() {
            assert!(
                KEYS.iter().any(|(key, _)| *key == hyper.name),
                "{}",
                hyper.name
            );
        }
    }
}
