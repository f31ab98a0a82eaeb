//! A run's resolved configuration and its identity.
//!
//! Owns [`RunConfig`], in which every choice is made and nothing is optional that matters: two runs with equal
//! configurations give equal results, so the run's id is a hash of it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::benchmark::{
    Benchmark, BenchmarkKind, MethodName, ModelName, Named as _, OptimizerName,
};
use super::custom::CustomBenchmark;
use crate::data::ImageShape;
use crate::method::{AgemConfig, ErConfig, EwcConfig};
use crate::optim::{
    AlphaRule, AlphaScope, BiasCorrection, Epsilon, PastMoments, TagBase, TagConfig,
};
use crate::stream::{Angles, ClassOrder, Scaling, StreamKind, StreamSpec};

/// Which images a benchmark's data set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataChoice {
    /// The whole data set, from the data folder.
    Full,
    /// The sample that ships with the program.
    Embedded,
}

/// Which set of defaults: the released code's behaviour or the mended one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As the released code behaves, for comparison with the published tables.
    Released,
    /// Defects mended, the method unchanged.
    Corrected,
}

/// Where the head comes from in a run with a file of initial weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitHead {
    /// From the file, as everything else.
    #[default]
    File,
    /// Made anew from the run's seed: the file was trained on other classes.
    Fresh,
}

/// In which order a run sees the tasks' examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Task after task, each once: continual learning.
    #[default]
    Sequential,
    /// Task after task, six times over: what the released code calls multi-task.
    Cyclic,
    /// All tasks' examples shuffled together: multi-task training in the usual sense.
    Joint,
}

impl Schedule {
    /// How often the tasks are gone through.
    #[must_use]
    pub fn rounds(self) -> usize {
        match self {
            Self::Cyclic => 6,
            Self::Sequential | Self::Joint => 1,
        }
    }
}

/// On which images a run is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evaluate {
    /// The test images.
    #[default]
    Test,
    /// The validation images, which are training images set aside: for choosing hyper-parameters.
    Validation,
}

/// How photographs become inputs of a network that was trained on `ImageNet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputScaling {
    /// As the released code: bytes less a mean in the wrong order of channels, never divided by 255, then doubled less
    /// one; from about −250 to 300.
    Released,
    /// `ImageNet`'s mean and standard deviation, as the network expects.
    #[serde(rename = "imagenet")]
    ImageNet,
}

impl InputScaling {
    fn scaling(self) -> Scaling {
        let (scale, shift) = match self {
            // 2·(x − mean) − 1 with the mean of blue, green, red taken off red, green, blue.
            Self::Released => (
                [2.0; 3],
                [103.94, 116.78, 123.68].map(|mean| -2.0 * mean - 1.0),
            ),
            Self::ImageNet => {
                let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
                let of = |f: &dyn Fn(f32, f32) -> f32| std::array::from_fn(|c| f(mean[c], std[c]));
                (
                    of(&|_, std| 1.0 / (255.0 * std)),
                    of(&|mean, std| -mean / std),
                )
            }
        };
        Scaling::Affine { scale, shift }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// TAG's settings in a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagSettings {
    /// Weight of the correlation.
    pub b: f64,
    /// How α is found. Left out of files where it is the paper's rule.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alpha: AlphaRule,
    /// B of TAG-G.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_gradients: Option<usize>,
    /// Over what α is taken.
    pub alpha_scope: AlphaScope,
    /// Where ε stands.
    pub epsilon: Epsilon,
    /// Step count of Adam's bias correction.
    pub bias_correction: BiasCorrection,
    /// Precision of past tasks' stored moments.
    #[serde(default)]
    pub past_moments: PastMoments,
}

/// Everything that a run's result depends on.
///
/// Settings that came later are left out of files (and of the hash) where they have their first meaning, so that ids
/// of runs stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Stream of tasks.
    pub benchmark: Benchmark,
    /// What a benchmark of one's own is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomBenchmark>,
    /// Whole data set or sample.
    pub data: DataChoice,
    /// Number of tasks.
    pub tasks: usize,
    /// Number of classes with images, where only a part of the data set is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// How photographs of CUB become inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_scaling: Option<InputScaling>,
    /// Whether a last batch that is not full is left out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drop_last: bool,
    /// Order of the classes (split streams).
    pub class_order: Option<ClassOrder>,
    /// Angles (rotated streams).
    pub angles: Option<Angles>,
    /// Share of the training images set aside for validation.
    pub validation: f64,
    /// On which images accuracies are measured.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evaluate: Evaluate,
    /// Share of the training images used.
    pub fraction: f64,
    /// Network.
    pub model: ModelName,
    /// Width of the hidden layers (MLP).
    pub hidden: Option<usize>,
    /// Dropout probability.
    pub dropout: f64,
    /// SHA-256 of the file of initial weights, if one was given.
    pub init_sha256: Option<String>,
    /// Where the head comes from, if a file of initial weights was given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init_head: InitHead,
    /// Method.
    pub method: MethodName,
    /// Optimizer.
    pub optimizer: OptimizerName,
    /// Learning rate of the first task before decay.
    pub lr: f64,
    /// Factor on the learning rate from task to task.
    pub gamma: f64,
    /// Task whose learning rate is `lr` unchanged: 0 as released (task 1 already has `lr·gamma`) or 1.
    pub gamma_from: usize,
    /// Momentum of SGD, in `[0, 1)`; from rest in every task.
    #[serde(default, skip_serializing_if = "is_default")]
    pub momentum: f64,
    /// TAG's own settings.
    pub tag: Option<TagSettings>,
    /// EWC's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ewc: Option<EwcConfig>,
    /// A-GEM's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agem: Option<AgemConfig>,
    /// ER's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub er: Option<ErConfig>,
    /// In which order the tasks' examples come.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// Epochs without a lower validation loss after which a task ends early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Epochs per task, at most.
    pub epochs: usize,
    /// Examples per training step.
    pub batch_size: usize,
    /// Which defaults were in force.
    pub profile: Profile,
    /// The run's seed.
    pub seed: u64,
}

impl RunConfig {
    /// The run's folder name: readable parts, then eight hexadecimal digits of the configuration's hash.
    #[must_use]
    pub fn run_id(&self) -> String {
        format!(
            "{}-{}-{}-s{}-{}",
            self.benchmark_name(),
            self.method.name(),
            self.optimizer.name(),
            self.seed,
            &self.hash()[..8]
        )
    }

    /// Name of the group of runs that differ only in their seeds.
    #[must_use]
    pub fn group_hash(&self) -> String {
        Self {
            seed: 0,
            ..self.clone()
        }
        .hash()
    }

    #[expect(clippy::expect_used, reason = "numbers and names always serialise")]
    fn hash(&self) -> String {
        let text = serde_json::to_string(self).expect("numbers and names");
        crate::data::image_set::hex(&Sha256::digest(text))
    }

    /// The stream this run learns.
    #[must_use]
    pub fn stream(&self) -> StreamSpec {
        let kind = match self.benchmark.kind() {
            BenchmarkKind::Split => StreamKind::Split(self.class_order.unwrap_or_default()),
            BenchmarkKind::Rotated => StreamKind::Rotated(self.angles.unwrap_or_default()),
            BenchmarkKind::Permuted => StreamKind::Permuted,
        };
        let (tasks, validation, fraction) = (self.tasks, self.validation, self.fraction);
        StreamSpec {
            kind,
            tasks,
            validation,
            fraction,
            scaling: match (self.input_scaling, self.benchmark) {
                _ if self.custom.is_some() => self
                    .custom
                    .as_ref()
                    .map_or(Scaling::Unit, CustomBenchmark::scaling),
                (Some(own), _) => own.scaling(),
                (None, Benchmark::SplitMiniImageNet) => Scaling::Signed,
                _ => Scaling::Unit,
            },
        }
    }

    /// Classes of the data and shape of its images.
    #[must_use]
    pub fn images(&self) -> (usize, ImageShape) {
        let (classes, shape) = match &self.custom {
            Some(custom) => (custom.classes, custom.image_shape()),
            None => self.benchmark.images(),
        };
        (self.classes.unwrap_or(classes), shape)
    }

    /// The benchmark's name; of one's own, the name in its file.
    #[must_use]
    pub fn benchmark_name(&self) -> &str {
        self.custom
            .as_ref()
            .map_or(self.benchmark.name(), |custom| &custom.name)
    }

    /// Whether this run and another see the same images.
    #[must_use]
    pub fn has_images_of(&self, other: &Self) -> bool {
        let of = |config: &Self| (config.benchmark, config.data, config.classes);
        of(self) == of(other) && self.custom == other.custom
    }

    /// Batch `number` (from 0) of an epoch over these examples; `None` after the last.
    #[must_use]
    pub fn batch<'a, T>(&self, order: &'a [T], number: usize) -> Option<&'a [T]> {
        let batch = order.chunks(self.batch_size).nth(number)?;
        (!self.drop_last || batch.len() == self.batch_size).then_some(batch)
    }

    /// Training steps of an epoch over this many examples.
    #[must_use]
    pub fn steps_of(&self, examples: usize) -> usize {
        if self.drop_last {
            examples / self.batch_size
        } else {
            examples.div_ceil(self.batch_size)
        }
    }

    /// The learning rate of task `t` (from 0).
    #[must_use]
    pub fn learning_rate(&self, t: usize) -> f64 {
        let exponent = (t + 1).saturating_sub(self.gamma_from);
        self.lr * self.gamma.powi(i32::try_from(exponent).unwrap_or(i32::MAX))
    }

    /// TAG's configuration, for the TAG optimizers.
    #[must_use]
    pub fn tag_config(&self) -> Option<TagConfig> {
        let base = match self.optimizer {
            OptimizerName::TagRmsProp => TagBase::RmsProp,
            OptimizerName::TagAdagrad => TagBase::Adagrad,
            OptimizerName::TagAdam => TagBase::Adam,
            _ => return None,
        };
        let tag = self.tag.as_ref()?;
        let (scope, epsilon, bias_correction) = (tag.alpha_scope, tag.epsilon, tag.bias_correction);
        Some(TagConfig {
            base,
            b: tag.b,
            alpha: tag.alpha,
            stored_gradients: tag.stored_gradients.unwrap_or(1),
            scope,
            epsilon,
            bias_correction,
            past_moments: tag.past_moments,
        })
    }
}
