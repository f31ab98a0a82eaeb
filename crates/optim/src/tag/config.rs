//! TAG's choices and hyper-parameters.

use serde::{Deserialize, Serialize};

use super::settings::{MEMORY_AND_ALPHA, SKETCH_SIZES};
use crate::kernels::past::Stored;
use crate::kernels::tag::{Base, weight};
use crate::settings::Choice as _;
use crate::{AlphaRule, AlphaScope, OptimError};

/// Which adaptive method TAG accumulates like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagBase {
    /// `V ← 0.99 V + 0.01 g²`; the step follows g (eq. 3).
    RmsProp,
    /// `V ← V + g²`; the step follows g (eq. 5).
    Adagrad,
    /// `V ← 0.999 V + 0.001 g²`; the step follows M, with bias correction (eq. 6).
    Adam,
}

/// Where ε = 1e-8 is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Epsilon {
    /// `√x + ε`, as the released code does.
    #[default]
    Outside,
    /// `√(x + ε)`, as eqs. (1)-(6) are printed.
    Inside,
}

/// What the step count n of Adam's bias correction counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasCorrection {
    /// The steps of the task, over all its epochs, like the moments themselves.
    #[default]
    PerTask,
    /// The steps of the epoch, as the released code does although its moments go on.
    PerEpoch,
}

impl TagBase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RmsProp => "tag-rmsprop",
            Self::Adagrad => "tag-adagrad",
            Self::Adam => "tag-adam",
        }
    }

    pub(super) fn kernel(self) -> Base {
        match self {
            Self::RmsProp => Base::RmsProp { beta2: 0.99 },
            Self::Adagrad => Base::Adagrad,
            Self::Adam => Base::Adam { beta2: 0.999 },
        }
    }
}

/// What TAG keeps of finished tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagMemory {
    /// Both moments of every task, as the method is defined.
    #[default]
    Exact,
    /// One running sum of the second moments, weighed as if no two tasks correlated: α(t,τ) = 1 for all τ < t.
    Flat,
    /// A few clusters of tasks, each with the sum of its second moments and a sketch of its directions.
    Clusters,
}

/// Which clusters merge when there is one too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterMerge {
    /// The pair of the least Ward cost.
    #[default]
    Ward,
    /// The two with the oldest tasks.
    Oldest,
}

/// How many numbers of a tensor's direction are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SketchSize {
    /// So many, a power of two; tensors of fewer numbers are kept as they are.
    Numbers(usize),
    /// All of them.
    Exact,
}

impl SketchSize {
    /// At most so many; `None` for all.
    pub(super) fn numbers(self) -> Option<usize> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            Self::Exact => None,
        }
    }
}

/// The hyper-parameters of [`TagMemory::Clusters`].
///
/// | field | default | range | meaning |
/// |---|---|---|---|
/// | `count` | 3 | ≥ 1 | K: how many clusters at most |
/// | `sketch` | 256 | a power of two, or exact | numbers of a tensor's direction |
/// | `refresh` | 10 | ≥ 1 | steps from one α to the next |
/// | `first_refresh` | 5 | ≥ 1 | step of a task at which its first α is found |
/// | `merge` | ward | | which clusters merge |
/// | `debias` | true | | divide out what the sketch's noise adds to α in the mean |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// K.
    pub count: usize,
    /// Numbers of a tensor's direction.
    pub sketch: SketchSize,
    /// Steps from one α to the next.
    pub refresh: usize,
    /// The first such step of a task, from 1.
    pub first_refresh: usize,
    /// Which clusters merge.
    pub merge: ClusterMerge,
    /// Whether the sketch's bias is divided out.
    pub debias: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            count: 3,
            sketch: SketchSize::Numbers(256),
            refresh: 10,
            first_refresh: 5,
            merge: ClusterMerge::default(),
            debias: true,
        }
    }
}

/// What the sum of past second moments is multiplied by under [`TagMemory::Flat`], by kind of tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastScales {
    /// Vectors with no matrix or convolution beside them under the same name: gains and offsets of norms.
    pub norm: f64,
    /// Tensors of three and more axes, and their biases.
    pub convolution: f64,
    /// Matrices, and their biases.
    pub linear: f64,
}

impl Default for PastScales {
    fn default() -> Self {
        Self {
            norm: 1.0,
            convolution: 1.0,
            linear: 1.0,
        }
    }
}

/// How past tasks' moments are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PastMoments {
    /// Single precision, as the released code does.
    #[default]
    F32,
    /// bfloat16, rounded once when a task ends: half the memory, and half the reading that bounds a step's time.
    Bf16,
}

impl PastMoments {
    /// Bytes of a stored number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    pub(super) fn store(self, values: Vec<f32>) -> Stored {
        match self {
            Self::F32 => Stored::single(values),
            Self::Bf16 => Stored::half(&values),
        }
    }
}

/// TAG's hyper-parameters.
///
/// | field | default | range | meaning |
/// |---|---|---|---|
/// | `base` | RMSProp | | the adaptive method |
/// | `b` | 5 | finite, ≥ 0 | weight of the correlation: higher prevents more forgetting |
/// | `own_b` | b | finite, ≥ 0 | b of the present task's own weight e^−b |
/// | `alpha` | cosine | | how α is found |
/// | `stored_gradients` | 1 | ≥ 1 | B of TAG-G: gradients of each task that make its direction |
/// | `scope` | tensor | | over what α is taken |
/// | `epsilon` | outside | | where ε = 1e-8 stands |
/// | `bias_correction` | per task | | Adam's step count |
/// | `past_moments` | f32 | | precision of past tasks' stored moments |
/// | `memory` | exact | | what is kept of past tasks |
/// | `clusters` | | see [`ClusterConfig`] | numbers of the clusters |
/// | `past_scales` | 1 | finite, ≥ 0 | factors of the flat memory's sum, by kind of tensor |
///
/// β₁ is 0.9; β₂ is 0.99, and 0.999 for Adam (p. 16).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TagConfig {
    /// The adaptive method.
    pub base: TagBase,
    /// Weight of the correlation.
    pub b: f64,
    /// The own weight's b, where that is another one.
    pub own_b: Option<f64>,
    /// How α is found.
    pub alpha: AlphaRule,
    /// Number of gradients of each task that TAG-G's direction is the mean of.
    pub stored_gradients: usize,
    /// Over what α is taken.
    pub scope: AlphaScope,
    /// Where ε stands.
    pub epsilon: Epsilon,
    /// Adam's step count.
    pub bias_correction: BiasCorrection,
    /// Precision of past tasks' stored moments.
    pub past_moments: PastMoments,
    /// What is kept of past tasks.
    pub memory: TagMemory,
    /// Numbers of the clusters.
    pub clusters: ClusterConfig,
    /// Factors of the flat memory's sum.
    pub past_scales: PastScales,
}

impl Default for TagConfig {
    fn default() -> Self {
        Self {
            base: TagBase::RmsProp,
            b: 5.0,
            own_b: None,
            alpha: AlphaRule::default(),
            stored_gradients: 1,
            scope: AlphaScope::default(),
            epsilon: Epsilon::default(),
            bias_correction: BiasCorrection::default(),
            past_moments: PastMoments::default(),
            memory: TagMemory::default(),
            clusters: ClusterConfig::default(),
            past_scales: PastScales::default(),
        }
    }
}

impl TagConfig {
    /// Refuses what is out of range and what does not go together.
    pub(super) fn check(&self) -> Result<(), OptimError> {
        let real = |name, value: f64| {
            if value.is_finite() && value >= 0.0 {
                return Ok(());
            }
            let range = "a finite number ≥ 0";
            Err(OptimError::HyperParameter { name, value, range })
        };
        real("b", self.b)?;
        real("tag_own_b", self.own_b.unwrap_or(self.b))?;
        let whole = |name, value: usize| {
            let error = OptimError::HyperParameter {
                name,
                value: 0.0,
                range: "a whole number from 1",
            };
            if value == 0 { Err(error) } else { Ok(()) }
        };
        whole("stored_gradients", self.stored_gradients)?;
        let combines = match self.memory {
            TagMemory::Exact => true,
            TagMemory::Flat => matches!(self.alpha, AlphaRule::Cosine | AlphaRule::One),
            TagMemory::Clusters => self.alpha == AlphaRule::Cosine,
        };
        if !combines {
            return Err(OptimError::Combination {
                name: "tag_memory",
                value: self.memory.name(),
                other: "alpha",
                other_value: self.alpha.name(),
                only_for: MEMORY_AND_ALPHA,
            });
        }
        let scales = self.past_scales;
        real("tag_scale_norm", scales.norm)?;
        real("tag_scale_convolution", scales.convolution)?;
        real("tag_scale_linear", scales.linear)?;
        let clusters = &self.clusters;
        whole("tag_clusters", clusters.count)?;
        whole("tag_refresh", clusters.refresh)?;
        whole("tag_first_refresh", clusters.first_refresh)?;
        match clusters.sketch {
            SketchSize::Numbers(size) if !size.is_power_of_two() => {
                Err(OptimError::HyperParameter {
                    name: "tag_sketch",
                    value: size as f64,
                    range: SKETCH_SIZES,
                })
            }
            _ => Ok(()),
        }
    }

    /// What a record of this optimizer is called.
    pub(super) fn kind(&self) -> String {
        let base = match self.memory {
            TagMemory::Exact => self.base.name().to_string(),
            memory => format!("{}-{}", self.base.name(), memory.name()),
        };
        match self.alpha {
            AlphaRule::Cosine => base,
            AlphaRule::One => format!("{base}-one"),
            AlphaRule::Age => format!("{base}-age"),
            AlphaRule::Gradients => format!("{base}-gradients-{}", self.stored_gradients),
        }
    }

    /// The present task's own weight after the first task.
    pub(super) fn own_weight(&self) -> f32 {
        if self.alpha.is_correlation() {
            weight(self.own_b.unwrap_or(self.b), 1.0)
        } else {
            1.0
        }
    }
}
