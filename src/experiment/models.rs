//! From a model's name to a network.
//!
//! Owns what the program knows of each network: which images it takes, the name of its head, whether it has a dropout
//! to set, which defaults of the released scripts go with it, and how it is built, on the CPU kernels where there are
//! some.

use burn::tensor::Device;

use super::benchmark::{Benchmark, MethodName, ModelName, Named as _, OptimizerName};
use super::config::RunConfig;
use super::settings::SettingError;
use crate::data::ImageShape;
use crate::model::{
    AlexNetConfig, Dropout, KernelMlp, KernelResNet, LeNetConfig, Learner, LearnerError, MlpConfig,
    Network, NetworkLearner, ReducedResNetConfig, ResNet18Config, stock_kernels,
};
use crate::seed::Seeds;

/// Channels of the first stage of the reduced ResNet-18.
const REDUCED_WIDTH: usize = 20;

impl ModelName {
    /// Name of the layer that is the head, in files of weights.
    #[must_use]
    pub fn head(self) -> &'static str {
        match self {
            Self::Mlp => "W3",
            Self::ReducedResNet18 | Self::AlexNet => "linear",
            Self::ResNet18 => "fc",
            Self::LeNet => "last",
        }
    }

    /// Whether the setting `dropout` means anything to it: AlexNet's dropout is fixed, the ResNet-18 and LeNet have
    /// none in the released code.
    #[must_use]
    pub fn takes_dropout(self) -> bool {
        matches!(self, Self::Mlp | Self::ReducedResNet18)
    }

    /// Whether initial weights bring all but the head unless told otherwise: the ResNet-18 starts from weights for other
    /// classes.
    #[must_use]
    pub fn makes_head_anew(self) -> bool {
        self == Self::ResNet18
    }

    /// Examples per training step unless told otherwise.
    #[must_use]
    pub fn batch_size(self, benchmark: Benchmark) -> usize {
        if self == Self::AlexNet {
            64
        } else {
            benchmark.published_batch_size()
        }
    }

    /// Tasks unless told otherwise: the released code uses AlexNet for CIFAR-100 in ten.
    #[must_use]
    pub fn tasks(self, benchmark: Benchmark) -> usize {
        match (self, benchmark) {
            (Self::AlexNet, Benchmark::SplitCifar100) => 10,
            _ => benchmark.tasks(),
        }
    }

    /// The learning rate of the released scripts for this network on this benchmark, where they have one.
    #[must_use]
    pub fn published_lr(
        self,
        benchmark: Benchmark,
        method: MethodName,
        optimizer: OptimizerName,
    ) -> Option<f64> {
        use MethodName as M;
        use OptimizerName as O;
        if self == benchmark.model() {
            return benchmark.published_lr(method, optimizer);
        }
        // replicate_experiment_gpm.sh, whose figures were never reported.
        match (self, benchmark, method, optimizer) {
            (Self::AlexNet, Benchmark::SplitCifar100, M::Plain | M::Agem | M::Er, O::Sgd) => {
                Some(0.1)
            }
            (Self::AlexNet, Benchmark::SplitCifar100, M::Plain, O::RmsProp) => Some(0.001),
            (Self::AlexNet, Benchmark::SplitCifar100, M::Plain, O::TagRmsProp) => Some(0.000_05),
            _ => None,
        }
    }

    /// Checks that it takes images of this shape.
    ///
    /// # Errors
    /// [`SettingError::Images`].
    pub fn check_images(self, image: ImageShape) -> Result<(), SettingError> {
        let classes = 1;
        let checked = match self {
            Self::Mlp => Ok(()),
            Self::ReducedResNet18 => ReducedResNetConfig {
                image,
                width: REDUCED_WIDTH,
                classes,
            }
            .validate(),
            Self::ResNet18 => ResNet18Config { image, classes }.validate(),
            Self::AlexNet => AlexNetConfig { image, classes }.validate(),
            Self::LeNet => LeNetConfig { image, classes }.validate(),
        };
        checked.map_err(|e| SettingError::Images {
            model: self.name(),
            problem: e.to_string(),
        })
    }
}

/// The network of a configuration for a head of `classes`, freshly initialised from the run's seeds.
///
/// # Errors
/// [`LearnerError::Size`] for images that it does not take.
pub fn network(
    config: &RunConfig,
    classes: usize,
    threads: usize,
) -> Result<Box<dyn Learner>, LearnerError> {
    let device = Device::flex().autodiff();
    let seeds = Seeds::new(config.seed);
    let mut init = seeds.stream("init");
    let masks = seeds.stream("dropout");
    let image = config.images().1;
    Ok(match config.model {
        ModelName::Mlp => {
            let mlp = MlpConfig {
                inputs: image.channels * image.height * image.width,
                hidden: config.hidden.unwrap_or(256),
                classes,
            };
            let dropout = Dropout::new(config.dropout as f32, masks);
            if stock_kernels() {
                boxed(mlp.init(&mut init, &device), dropout, &device)
            } else {
                Box::new(KernelMlp::new(&mlp, &mut init, dropout))
            }
        }
        ModelName::ReducedResNet18 => {
            let resnet = ReducedResNetConfig {
                image,
                width: REDUCED_WIDTH,
                classes,
            };
            let dropout = Dropout::new(config.dropout as f32, masks);
            if stock_kernels() {
                boxed(resnet.init(&mut init, &device), dropout, &device)
            } else {
                Box::new(KernelResNet::new(&resnet, &mut init, dropout, threads)?)
            }
        }
        ModelName::ResNet18 => {
            let resnet = ResNet18Config { image, classes };
            resnet.validate()?;
            boxed(resnet.init(&mut init, &device), Dropout::off(), &device)
        }
        ModelName::AlexNet => {
            let network = AlexNetConfig { image, classes }.init(&mut init, &device)?;
            boxed(network, Dropout::by_layer(masks), &device)
        }
        ModelName::LeNet => {
            let lenet = LeNetConfig { image, classes };
            lenet.validate()?;
            boxed(lenet.init(&mut init, &device), Dropout::off(), &device)
        }
    })
}

fn boxed<N: Network>(network: N, dropout: Dropout, device: &Device) -> Box<dyn Learner> {
    Box::new(NetworkLearner::new(network, dropout, device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::benchmark::Named;
    use crate::experiment::settings::{Origin, Settings};

    #[test]
    fn every_model_has_the_head_it_says() {
        for &model in ModelName::ALL {
            let mut settings = Settings::default();
            let pairs = [
                ("benchmark", "split-cifar100"),
                ("model", model.name()),
                ("lr", "0.1"),
            ];
            for (key, value) in pairs {
                settings.set(key, value, Origin::CommandLine).unwrap();
            }
            let config = settings.plan().unwrap().runs.remove(0).config;
            let learner = network(&config, 7, 1).unwrap();
            let [.., weight, bias] = learner.layout().slots() else {
                panic!("{} has no head", model.name())
            };
            assert_eq!(weight.name, format!("{}.weight", model.head()));
            assert_eq!(bias.name, format!("{}.bias", model.head()));
            assert_eq!((weight.shape[0], bias.shape[0]), (7, 7));
        }
    }

    #[test]
    fn images_that_do_not_fit_are_named_with_the_remedy() {
        let small = ImageShape::new(1, 11, 11);
        for model in [
            ModelName::ResNet18,
            ModelName::AlexNet,
            ModelName::ReducedResNet18,
        ] {
            let error = model.check_images(small).unwrap_err().to_string();
            assert!(
                error.contains(model.name()) && error.contains("1x11x11"),
                "{error}"
            );
            assert!(error.contains("--model"), "{error}");
        }
        assert!(ModelName::LeNet.check_images(small).is_ok());
        assert!(ModelName::Mlp.check_images(small).is_ok());
        for &benchmark in Benchmark::ALL {
            assert!(benchmark.model().check_images(benchmark.images().1).is_ok());
        }
    }
}
