//! Benchmarks: which stream of tasks a run learns, and the images it is cut from.
//!
//! Owns the table of benchmarks, a file each ([`BenchmarkSpec`] is the form), those described in files of one's own ([`custom`]),
//! the passage from either to images ([`sources`]), and [`Benchmark`], which answers the same questions of both.

pub mod custom;
mod five_dataset;
mod four_dataset;
mod permuted_mnist;
mod rotated_mnist;
pub mod sources;
mod spec;
mod split_cifar10;
mod split_cifar100;
mod split_cub;
mod split_fashion_mnist;
mod split_mini_imagenet;
mod split_mnist;

use std::path::Path;
use std::sync::Arc;

use crate::data::{DataName, ImageShape};
use crate::model::ModelSpec;
use crate::settings::{Kind, Refusal, SettingError, Value, find, parse_name};
use crate::stream::Scaling;
use custom::CustomBenchmark;
pub use spec::{BenchmarkKind, BenchmarkSpec, InputRange, Rates, StableSgd};

/// Every benchmark of the program, in the order in which they are listed.
pub static BENCHMARKS: &[&BenchmarkSpec] = &[
    &split_cifar100::SPLIT_CIFAR100,
    &split_cifar10::SPLIT_CIFAR10,
    &split_mnist::SPLIT_MNIST,
    &split_fashion_mnist::SPLIT_FASHION_MNIST,
    &split_mini_imagenet::SPLIT_MINI_IMAGENET,
    &split_cub::SPLIT_CUB,
    &five_dataset::FIVE_DATASET,
    &four_dataset::FOUR_DATASET,
    &CUSTOM,
    &rotated_mnist::ROTATED_MNIST,
    &permuted_mnist::PERMUTED_MNIST,
];

/// What stands in the table for benchmarks of one's own; what it lacks is in their files.
static CUSTOM: BenchmarkSpec = BenchmarkSpec {
    name: "custom",
    paper_name: "custom",
    description: "A benchmark of one's own, named by the path of its TOML file (docs/own-data.md).",
    kind: BenchmarkKind::Split,
    sources: &[],
    classes: 0,
    shape: ImageShape::new(0, 0, 0),
    inputs: InputRange::Unit,
    tasks: 5,
    model: "mlp",
    defaults: &[],
    released_defaults: &[],
    model_defaults: &[],
    rates: Rates::NONE,
};

/// A benchmark of the table, or of one's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    spec: &'static BenchmarkSpec,
    custom: Option<Arc<CustomBenchmark>>,
}

impl Benchmark {
    /// A benchmark of the table.
    #[must_use]
    pub fn of(spec: &'static BenchmarkSpec) -> Self {
        Self { spec, custom: None }
    }

    /// A benchmark of one's own.
    #[must_use]
    pub fn own(custom: CustomBenchmark) -> Self {
        Self {
            spec: &CUSTOM,
            custom: Some(Arc::new(custom)),
        }
    }

    /// What the table says of it.
    #[must_use]
    pub fn spec(&self) -> &'static BenchmarkSpec {
        self.spec
    }

    /// Its definition, if it is one of one's own.
    #[must_use]
    pub fn custom(&self) -> Option<&CustomBenchmark> {
        self.custom.as_deref()
    }

    /// Whether it stands in the table for benchmarks of one's own.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        *self.spec == CUSTOM
    }

    /// Its name; of one's own, the name in its file.
    #[must_use]
    pub fn name(&self) -> &str {
        self.custom().map_or(self.spec.name, |own| &own.name)
    }

    /// Its name in papers.
    #[must_use]
    pub fn paper_name(&self) -> &str {
        self.custom().map_or(self.spec.paper_name, |own| &own.name)
    }

    /// How it cuts its data.
    #[must_use]
    pub fn kind(&self) -> BenchmarkKind {
        self.spec.kind
    }

    /// Classes of the complete data and shape of its images.
    #[must_use]
    pub fn images(&self) -> (usize, ImageShape) {
        self.custom()
            .map_or((self.spec.classes, self.spec.shape), |own| {
                (own.classes, own.image_shape())
            })
    }

    /// How bytes become inputs, where no setting decides.
    #[must_use]
    pub fn scaling(&self) -> Scaling {
        let spec = self.spec.inputs.scaling();
        self.custom().map_or(spec, CustomBenchmark::scaling)
    }

    /// Number of tasks unless told otherwise.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.custom().map_or(self.spec.tasks, |own| own.tasks)
    }

    /// Network unless told otherwise.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] for a table that names a network which does not exist (a test reads it).
    pub fn model(&self) -> Result<&'static ModelSpec, SettingError> {
        match self.custom() {
            Some(own) => Ok(own.model),
            None => parse_name(self.spec.model),
        }
    }

    /// The data sets it is made of, in the order of their classes; none for one's own.
    #[must_use]
    pub fn sources(&self) -> &'static [DataName] {
        self.spec.sources
    }

    /// Official numbers of training and test images; 0 for one's own.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.spec.counts()
    }

    /// Defaults of its own for a run with this network, by key; the first of a key counts.
    #[must_use]
    pub fn defaults(&self, model: &ModelSpec, released: bool) -> Vec<(&'static str, &'static str)> {
        let spec = self.spec;
        let of_model = spec.model_defaults.iter();
        let of_model = of_model.filter(|(name, ..)| *name == model.name);
        let of_profile = if released {
            spec.released_defaults
        } else {
            &[]
        };
        of_model
            .map(|(_, key, value)| (*key, *value))
            .chain(model.defaults.iter().copied())
            .chain(of_profile.iter().copied())
            .chain(spec.defaults.iter().copied())
            .collect()
    }

    /// The learning rate of the released scripts for these three, where they have one.
    #[must_use]
    pub fn published_rate(&self, model: &ModelSpec, method: &str, optimizer: &str) -> Option<f64> {
        let rates = &self.spec.rates;
        let own = self.custom().map_or(self.spec.model, |own| own.model.name);
        if model.name == own {
            rates.of(method, optimizer)
        } else {
            rates.of_other(model.name, method, optimizer)
        }
    }

    /// The learning rate of the released scripts for what they call multi-task.
    #[must_use]
    pub fn published_multi_task_rate(&self, optimizer: &str) -> Option<f64> {
        let mut rates = self.spec.rates.multi_task.iter();
        rates
            .find(|(name, _)| *name == optimizer)
            .map(|(_, rate)| *rate)
    }
}

/// Chosen by a name of the table, or by the path of a TOML file, which is read.
impl Kind for Benchmark {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        let path = Path::new(text);
        let is_file = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        let read = || -> Result<Self, SettingError> {
            if is_file {
                return Ok(Self::own(CustomBenchmark::read(path)?));
            }
            let spec: &'static BenchmarkSpec = parse_name(text)?;
            if *spec == CUSTOM {
                return Err(SettingError::Conflict {
                    key: "benchmark",
                    problem: "a benchmark of one's own is named by the path of its TOML file, not \
                              `custom`"
                        .to_string(),
                });
            }
            Ok(Self::of(spec))
        };
        read().map_err(Refusal::Error)
    }
    fn words((): &()) -> String {
        "a name that `tagcl list benchmarks` shows, or the path of a TOML file".to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.spec.name.to_string()))
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        match value? {
            Value::Text(name) => find(name).map(Self::of),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::METHODS;
    use crate::optim::OPTIMIZERS;
    use crate::settings::Named;

    #[test]
    fn names_are_unique_and_every_entry_says_what_it_is() {
        fn check<N: Named + PartialEq + std::fmt::Debug>() {
            for spec in N::all() {
                assert_eq!(find::<N>(spec.name()), Some(*spec));
                assert!(spec.description().ends_with('.'), "{spec:?}");
                let same = N::all().iter().filter(|other| other.name() == spec.name());
                assert_eq!(same.count(), 1, "{spec:?}");
            }
        }
        check::<BenchmarkSpec>();
        check::<ModelSpec>();
        check::<crate::method::MethodSpec>();
        check::<crate::optim::OptimizerSpec>();
        assert_eq!(find::<BenchmarkSpec>("split-cifar"), None);
    }

    #[test]
    fn every_benchmark_divides_into_its_tasks_and_its_network_takes_its_images() {
        for spec in BENCHMARKS {
            if spec.kind == BenchmarkKind::Split {
                assert_eq!(spec.classes % spec.tasks, 0);
            }
            let benchmark = Benchmark::of(spec);
            let model = benchmark.model().unwrap();
            assert!(benchmark.is_custom() || (model.check)(spec.shape).is_ok());
        }
    }

    #[test]
    fn tables_name_what_exists() {
        let is_model = |name: &str| find::<ModelSpec>(name).is_some();
        let is_method = |name: &str| METHODS.iter().any(|spec| spec.name == name);
        let is_optimizer = |name: &str| OPTIMIZERS.iter().any(|spec| spec.name == name);
        for spec in BENCHMARKS {
            let rates = &spec.rates;
            assert!(rates.plain.iter().all(|(name, _)| is_optimizer(name)));
            assert!(rates.multi_task.iter().all(|(name, _)| is_optimizer(name)));
            for (methods, optimizers) in rates.pairs {
                assert!(methods.iter().all(|name| is_method(name)));
                assert!(optimizers.iter().all(|name| is_optimizer(name)));
            }
            for (method, optimizer, _) in rates.exceptions {
                assert!(is_method(method) && is_optimizer(optimizer));
            }
            for (model, method, optimizer, _) in rates.other_models {
                assert!(is_model(model) && is_method(method) && is_optimizer(optimizer));
            }
            assert!(spec.model_defaults.iter().all(|(name, ..)| is_model(name)));
        }
    }

    #[test]
    fn the_four_streams_of_the_paper_have_every_rate() {
        for name in [
            "split-cifar100",
            "split-mini-imagenet",
            "split-cub",
            "5-dataset",
        ] {
            let rates = &find::<BenchmarkSpec>(name).unwrap().rates;
            for optimizer in OPTIMIZERS {
                assert!(rates.of("plain", optimizer.name).is_some());
            }
            for method in ["ewc", "agem", "er"] {
                for optimizer in ["sgd", "rmsprop", "tag-rmsprop"] {
                    assert!(rates.of(method, optimizer).is_some());
                }
                assert_eq!(rates.of(method, "adam"), None);
            }
            assert!(rates.stable_sgd.is_some());
            assert_eq!(rates.multi_task.len(), 1);
        }
        let mini = &find::<BenchmarkSpec>("split-mini-imagenet").unwrap().rates;
        assert_eq!(mini.of("agem", "sgd"), Some(0.1));
        assert_eq!(mini.of("er", "sgd"), Some(0.05));
        let mnist = &find::<BenchmarkSpec>("split-mnist").unwrap().rates;
        assert_eq!(mnist.of("plain", "sgd"), None);
    }
}
