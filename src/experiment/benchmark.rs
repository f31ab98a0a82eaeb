//! The names that a configuration may use.
//!
//! Owns the names of benchmarks, models, methods and optimizers, each with a one-line description that `tagcl list`
//! prints. Hyper-parameters of the released scripts are in [`super::published`], data sets in [`super::sources`].

use crate::data::ImageShape;

/// A closed list of names, each with a description.
pub trait Named: Copy + PartialEq + 'static {
    /// What the setting is called in messages (`benchmark`, `optimizer`).
    const WHAT: &'static str;
    /// All values, in the order they are listed.
    const ALL: &'static [Self];
    /// The name in settings.
    fn name(self) -> &'static str;
    /// One sentence.
    fn description(self) -> &'static str;

    /// The value of this name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|x| x.name() == name)
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $name:literal: $description:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $(#[doc = $description] #[serde(rename = $name)] $variant,)*
        }
        impl Named for $type {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
            fn description(self) -> &'static str {
                match self { $(Self::$variant => $description),* }
            }
        }
    };
}

named! {
    /// Which stream of tasks.
    Benchmark, "benchmark", {
        SplitCifar100 = "split-cifar100": "CIFAR-100 split by class; 20 tasks of 5 classes in the paper.",
        SplitCifar10 = "split-cifar10": "CIFAR-10 split by class; 5 tasks of 2 classes.",
        SplitMnist = "split-mnist": "MNIST split by class; 5 tasks of 2 digits.",
        SplitFashionMnist = "split-fashion-mnist": "Fashion-MNIST split by class; 5 tasks of 2 classes.",
        SplitMiniImageNet = "split-mini-imagenet": "mini-ImageNet split by class; 20 tasks of 5 classes at 84x84.",
        SplitCub = "split-cub": "CUB-200-2011 (birds) split by class; 20 tasks of 10 classes at 224x224.",
        FiveDataset = "5-dataset": "CIFAR-10, MNIST, SVHN, notMNIST and Fashion-MNIST, one after the other, at 32x32 in colour.",
        Custom = "custom": "A benchmark of one's own, named by the path of its TOML file (docs/own-data.md).",
        RotatedMnist = "rotated-mnist": "MNIST turned by another angle in every task; 10 tasks (Figure 5a of the paper).",
        PermutedMnist = "permuted-mnist": "MNIST under another pixel permutation in every task; 10 tasks.",
    }
}

named! {
    /// Which network.
    ModelName, "model", {
        Mlp = "mlp": "Two hidden layers with ReLU and dropout (256 wide in the paper).",
        ReducedResNet18 = "reduced-resnet18": "The paper's ResNet-18 with a fifth of the channels and one convolution a block.",
        ResNet18 = "resnet18": "The full ResNet-18, named as torchvision names it; for Split-CUB, from pretrained weights (--init).",
        AlexNet = "alexnet": "The released code's AlexNet for CIFAR-100 in 10 tasks: three convolutions, dropout of its own.",
        LeNet = "lenet": "The released code's LeNet: two normalised 5x5 convolutions and one hidden layer.",
    }
}

named! {
    /// Which method turns a batch into a gradient.
    MethodName, "method", {
        Plain = "plain": "The gradient of the present batch and nothing else.",
        Ewc = "ewc": "Elastic weight consolidation: a penalty for changing what mattered to earlier tasks.",
        Agem = "agem": "Averaged gradient episodic memory: steps that oppose remembered examples are projected.",
        Er = "er": "Experience replay: remembered examples are trained on with every batch.",
    }
}

named! {
    /// Which optimizer turns a gradient into an update.
    OptimizerName, "optimizer", {
        Sgd = "sgd": "Stochastic gradient descent, with momentum where told so.",
        RmsProp = "rmsprop": "RMSProp with PyTorch's defaults; state kept across tasks.",
        Adagrad = "adagrad": "Adagrad with PyTorch's defaults; state kept across tasks.",
        Adam = "adam": "Adam with PyTorch's defaults; state kept across tasks.",
        TagRmsProp = "tag-rmsprop": "TAG with RMSProp's second moment: the paper's main method.",
        TagAdagrad = "tag-adagrad": "TAG with Adagrad's accumulated squares.",
        TagAdam = "tag-adam": "TAG with Adam's moments and bias correction.",
    }
}

impl OptimizerName {
    /// True for the three TAG optimizers.
    #[must_use]
    pub fn is_tag(self) -> bool {
        matches!(self, Self::TagRmsProp | Self::TagAdagrad | Self::TagAdam)
    }
}

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

impl Benchmark {
    /// How it cuts it.
    #[must_use]
    pub fn kind(self) -> BenchmarkKind {
        match self {
            Self::RotatedMnist => BenchmarkKind::Rotated,
            Self::PermutedMnist => BenchmarkKind::Permuted,
            _ => BenchmarkKind::Split,
        }
    }

    /// Classes of the complete data set and shape of its images. Those of a custom benchmark stand in its file: a
    /// configuration's are [`super::config::RunConfig::images`].
    #[must_use]
    pub fn images(self) -> (usize, ImageShape) {
        match self {
            Self::SplitCifar100 => (100, ImageShape::new(3, 32, 32)),
            Self::SplitCifar10 => (10, ImageShape::new(3, 32, 32)),
            Self::SplitMiniImageNet => (100, ImageShape::new(3, 84, 84)),
            Self::SplitCub => (200, ImageShape::new(3, 224, 224)),
            Self::FiveDataset => (50, ImageShape::new(3, 32, 32)),
            Self::Custom => (0, ImageShape::new(0, 0, 0)),
            _ => (10, ImageShape::new(1, 28, 28)),
        }
    }

    /// Number of tasks unless told otherwise.
    #[must_use]
    pub fn tasks(self) -> usize {
        match self {
            Self::SplitCifar100 | Self::SplitMiniImageNet | Self::SplitCub => 20,
            Self::RotatedMnist | Self::PermutedMnist => 10,
            _ => 5,
        }
    }

    /// Network unless told otherwise.
    #[must_use]
    pub fn model(self) -> ModelName {
        match self {
            Self::SplitCifar100
            | Self::SplitCifar10
            | Self::SplitMiniImageNet
            | Self::FiveDataset => ModelName::ReducedResNet18,
            Self::SplitCub => ModelName::ResNet18,
            _ => ModelName::Mlp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        fn check<N: Named + std::fmt::Debug>() {
            for &value in N::ALL {
                assert_eq!(N::parse(value.name()), Some(value));
                assert!(value.description().ends_with('.'));
            }
        }
        check::<Benchmark>();
        check::<ModelName>();
        check::<MethodName>();
        check::<OptimizerName>();
        assert_eq!(Benchmark::parse("split-cifar"), None);
    }

    #[test]
    fn every_benchmark_divides_into_its_tasks() {
        for &benchmark in Benchmark::ALL {
            if benchmark.kind() == BenchmarkKind::Split {
                assert_eq!(benchmark.images().0 % benchmark.tasks(), 0);
            }
        }
    }
}
