//! The closed lists that settings of runs choose from.

use crate::settings::{Kind, Refusal, Value};
use crate::stream::Scaling;

/// Which images a benchmark's data set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataChoice {
    /// The whole data set, from the data folder.
    Full,
    /// The sample that ships with the program.
    Embedded,
}

/// What is typed is `embedded` or a folder; where the folder lies is no part of a configuration.
impl Kind for DataChoice {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        match text {
            "" => Err(Refusal::Range),
            "embedded" => Ok(Self::Embedded),
            _ => Ok(Self::Full),
        }
    }
    fn words((): &()) -> String {
        "a folder, or embedded".to_string()
    }
    fn value(&self) -> Option<Value> {
        let name = match self {
            Self::Full => "full",
            Self::Embedded => "embedded",
        };
        Some(Value::Text(name.to_string()))
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        [Self::Full, Self::Embedded]
            .into_iter()
            .find(|choice| choice.value().as_ref() == value)
    }
}

/// Where the head comes from in a run with a file of initial weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitHead {
    /// From the file, as everything else.
    File,
    /// Made anew from the run's seed: the file was trained on other classes.
    Fresh,
}

/// In which order a run sees the tasks' examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Task after task, each once: continual learning.
    Sequential,
    /// Task after task, six times over: what the released code calls multi-task.
    Cyclic,
    /// All tasks' examples shuffled together: multi-task training in the usual sense.
    Joint,
    /// Task after task, each together with all before it: the same network goes on over what has come so far.
    Cumulative,
}

impl Schedule {
    /// How often the tasks are gone through.
    #[must_use]
    pub fn rounds(self) -> usize {
        match self {
            Self::Cyclic => 6,
            Self::Sequential | Self::Joint | Self::Cumulative => 1,
        }
    }

    /// Whether tasks come one after another, each once, so that there is something to measure after every one.
    #[must_use]
    pub fn comes_task_by_task(self) -> bool {
        match self {
            Self::Sequential | Self::Cumulative => true,
            Self::Cyclic | Self::Joint => false,
        }
    }
}

/// On which images a run is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluate {
    /// The test images.
    Test,
    /// The validation images, which are training images set aside: for choosing hyper-parameters.
    Validation,
}

/// Beginnings of names of parameters, as typed with commas between them: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes(pub Vec<String>);

impl Kind for Prefixes {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        let mut all: Vec<String> = text
            .split(',')
            .map(|part| part.trim().to_string())
            .collect();
        all.sort_unstable();
        all.dedup();
        // An empty beginning is every name's.
        if all.iter().any(String::is_empty) {
            return Err(Refusal::Range);
        }
        Ok(Self(all))
    }
    fn words((): &()) -> String {
        "beginnings of names of parameters, separated by commas".to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.0.join(",")))
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        match value? {
            Value::Text(text) => Self::parse("freeze", text, &()).ok(),
            _ => None,
        }
    }
}

/// How photographs become inputs of a network that was trained on `ImageNet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputScaling {
    /// As the released code: bytes less a mean in the wrong order of channels, never divided by 255, then doubled less
    /// one; from about −250 to 300.
    Released,
    /// `ImageNet`'s mean and standard deviation, as the network expects.
    ImageNet,
}

impl InputScaling {
    pub(super) fn scaling(self) -> Scaling {
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

crate::choices!(InitHead { "file" => File, "fresh" => Fresh });
crate::choices!(Schedule {
    "sequential" => Sequential,
    "cyclic" => Cyclic,
    "joint" => Joint,
    "cumulative" => Cumulative,
});
crate::choices!(Evaluate { "test" => Test, "validation" => Validation });
crate::choices!(InputScaling { "released" => Released, "imagenet" => ImageNet });
