//! Settings: what was typed or written, where, and what it means.
//!
//! Owns the list of keys (the same in TOML files and, with hyphens, on the command line), the order of precedence
//! (command line over environment over file over defaults) and the passage to [`RunConfig`]s. A key that is unknown, or
//! that has no effect under the other settings, is an error: a typo must not cost a night of training.

mod methods;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::benchmark::{Benchmark, BenchmarkKind, MethodName, ModelName, Named, OptimizerName};
use super::config::{DataChoice, InitHead, InputScaling, Profile, RunConfig, Schedule};
use super::custom::CustomBenchmark;
use crate::stream::{Angles, ClassOrder};

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No such key or value.
    #[error("unknown {what} `{found}`{}; known: {known}", nearest.as_ref().map_or(String::new(), |n| format!(", did you mean `{n}`?")))]
    Unknown {
        /// `key`, `benchmark`, ...
        what: String,
        /// What was written.
        found: String,
        /// The nearest known name, if any is near.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{key} = {found} ({origin}) is out of range: it must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// What was written.
        found: String,
        /// Who wrote it.
        origin: String,
        /// The range in words.
        range: &'static str,
    },
    /// A key that has no effect here.
    #[error("{key} ({origin}) has no effect here: it is only for {only_for}; leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// Who wrote it.
        origin: String,
        /// What it is for.
        only_for: &'static str,
    },
    /// No default exists.
    #[error("{key} is not set and has no default here: {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A network that does not take the benchmark's images.
    #[error(
        "model = {model} does not fit the benchmark: {problem}; choose another with --model (tagcl list models)"
    )]
    Images {
        /// The network.
        model: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The file of a benchmark of one's own.
    #[error("{0}")]
    Custom(#[from] super::custom::CustomError),
    /// A stream that cannot be made.
    #[error("{0}")]
    Stream(#[from] crate::stream::StreamError),
    /// The file is no TOML.
    #[error("{path}: not a readable TOML file: {reason}")]
    Toml {
        /// Which file.
        path: String,
        /// What the parser says, with the line.
        reason: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default(&'static str),
    /// A configuration file.
    File(String),
    /// An environment variable.
    Environment(&'static str),
    /// The command line.
    CommandLine,
    /// A search, which sets what its stages need.
    Search,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(why) => f.write_str(why),
            Self::File(path) => write!(f, "from {path}"),
            Self::Environment(name) => write!(f, "from {name}"),
            Self::CommandLine => f.write_str("from the command line"),
            Self::Search => f.write_str("set by the search"),
        }
    }
}

/// All keys, with what they mean.
pub const KEYS: &[(&str, &str)] = &[
    (
        "benchmark",
        "stream of tasks (tagcl list benchmarks), or the path of a TOML file that describes one",
    ),
    (
        "data",
        "data folder, or `embedded` for the MNIST sample that ships with the program",
    ),
    ("tasks", "number of tasks"),
    (
        "classes",
        "number of classes that have images, for a run on part of a data set",
    ),
    (
        "input_scaling",
        "how CUB's photographs become inputs: released, imagenet (mean and standard deviation)",
    ),
    (
        "class_order",
        "order of the classes of a split stream: fixed, seeded",
    ),
    ("angles", "angles of a rotated stream: exact, released"),
    (
        "validation",
        "share of the training images set aside, in [0, 1)",
    ),
    (
        "evaluate",
        "images on which accuracies are measured: test, validation (to choose hyper-parameters)",
    ),
    (
        "fraction",
        "share of the training images used, in (0, 1]; for quick looks",
    ),
    ("model", "network (tagcl list models)"),
    ("hidden", "width of the MLP's hidden layers"),
    ("dropout", "dropout probability, in [0, 1)"),
    (
        "init",
        "file of initial weights: safetensors or a PyTorch checkpoint (.pth)",
    ),
    (
        "init_sha256",
        "checksum that the file of initial weights must have",
    ),
    (
        "init_head",
        "where the head of a run with initial weights comes from: file, fresh (resnet18's default)",
    ),
    ("method", "method (tagcl list methods)"),
    ("optimizer", "optimizer (tagcl list optimizers)"),
    ("lr", "learning rate"),
    (
        "gamma",
        "factor on the learning rate from task to task, in (0, 1]",
    ),
    (
        "gamma_from",
        "task whose learning rate is lr itself: 0 (as released, task 1 has lr·gamma) or 1",
    ),
    (
        "momentum",
        "SGD's momentum, in [0, 1); from rest in every task",
    ),
    ("b", "TAG's weight of the correlation"),
    (
        "alpha",
        "TAG's rule for α: cosine (the method), one (TAG-1), age (TAG-age), gradients (TAG-G)",
    ),
    (
        "stored_gradients",
        "B of TAG-G: gradients of each task that make its direction",
    ),
    ("alpha_scope", "over what TAG's α is taken: tensor, global"),
    ("epsilon", "where TAG adds 1e-8: outside or inside the root"),
    (
        "bias_correction",
        "what TAG-Adam's step count counts: per-task, per-epoch",
    ),
    (
        "past_moments",
        "precision of past tasks' moments in TAG's memory: f32, bf16",
    ),
    ("lambda", "EWC's weight of the penalty"),
    (
        "fisher",
        "EWC's estimate of importance: corrected, released",
    ),
    (
        "fisher_samples",
        "training examples of a task that EWC's estimate uses",
    ),
    (
        "penalty",
        "EWC's penalty: half (½λ, as published), released (λ, gradient cut to norm 100)",
    ),
    (
        "memory_per_class",
        "examples a class that A-GEM and ER remember",
    ),
    (
        "forwards_twice",
        "whether A-GEM forwards every batch twice: true (as released), false",
    ),
    (
        "replay_current",
        "whether ER may replay the present task: true (as released), false",
    ),
    (
        "reservoir",
        "how ER's memory samples the stream: uniform, batch (as released)",
    ),
    (
        "schedule",
        "order of the examples: sequential, cyclic (the released multi-task), joint",
    ),
    (
        "patience",
        "epochs without a lower validation loss after which a task ends",
    ),
    ("epochs", "epochs per task, at most"),
    ("batch_size", "examples per training step"),
    (
        "drop_last",
        "whether a last batch that is not full is left out: true, false",
    ),
    (
        "profile",
        "defaults: released (as the released code behaves) or corrected",
    ),
    ("seeds", "seeds, as 1-5 or 1,3,7"),
    ("out", "folder for run folders"),
    ("jobs", "runs side by side"),
    ("threads", "threads inside a run"),
    (
        "checkpoint_every",
        "seconds between checkpoints of a run, or off",
    ),
];

/// Values by key, each with its origin.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
}

/// A list of runs and how to execute them.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// One configuration a seed.
    pub runs: Vec<PlannedRun>,
    /// The data folder; `None` for the embedded sample.
    pub data: Option<PathBuf>,
    /// True where a data folder is needed but none was named.
    pub data_missing: bool,
    /// Initial weights.
    pub init: Option<PathBuf>,
    /// Folder for run folders.
    pub out: PathBuf,
    /// Runs side by side; `None` for one a core.
    pub jobs: Option<usize>,
    /// Threads inside a run.
    pub threads: usize,
    /// How often a run's state is saved; `None` for never.
    pub checkpoint_every: Option<Duration>,
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// What is run.
    pub config: RunConfig,
    /// The configuration as TOML, each value with its origin.
    pub toml: String,
}

/// The nearest of `known` to what was written, if it is near enough to be a slip.
#[must_use]
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
        .map(|(_, name)| name.to_string())
}

/// Parses one of a closed list of names.
///
/// # Errors
/// [`SettingError::Unknown`] with the nearest name and all of them.
pub fn parse_name<N: Named>(found: &str) -> Result<N, SettingError> {
    N::parse(found).ok_or_else(|| unknown(N::WHAT, found, N::ALL.iter().map(|x| x.name())))
}

fn unknown<'a>(
    what: &str,
    found: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> SettingError {
    SettingError::Unknown {
        what: what.to_string(),
        found: found.to_string(),
        nearest: nearest(found, known.clone()),
        known: known.collect::<Vec<_>>().join(", "),
    }
}

/// Seeds as `1-5`, `1,3,7` or both; in order, without duplicates, at most 10,000.
///
/// # Errors
/// A sentence that names the part in question.
pub fn parse_seeds(text: &str) -> Result<Vec<u64>, String> {
    const MOST: u64 = 10_000;
    let mut seeds = Vec::new();
    for part in text.split(',').map(str::trim) {
        let number = |s: &str| {
            s.trim()
                .parse::<u64>()
                .map_err(|_| format!("`{part}` is no seed or range"))
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if last < first || last - first >= MOST || seeds.len() as u64 + (last - first) >= MOST {
            return Err(format!("`{part}` is no range of at most {MOST} seeds"));
        }
        for seed in first..=last {
            if seeds.contains(&seed) {
                return Err(format!("seed {seed} appears twice"));
            }
            seeds.push(seed);
        }
    }
    Ok(seeds)
}

impl Settings {
    /// Settings of a TOML file.
    ///
    /// # Errors
    /// [`SettingError::Toml`], or [`SettingError::Unknown`] for a key that does not exist.
    pub fn from_toml(text: &str, path: &str) -> Result<Self, SettingError> {
        let table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| SettingError::Toml {
                path: path.to_string(),
                reason: e.to_string(),
            })?;
        let mut settings = Self::default();
        for (key, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Array(items) if key == "seeds" => items
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
                other => other.to_string(),
            };
            settings.set(&key, &text, Origin::File(path.to_string()))?;
        }
        Ok(settings)
    }

    /// Sets a key unless a stronger origin has set it already.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] for a key that does not exist.
    pub fn set(&mut self, key: &str, value: &str, origin: Origin) -> Result<(), SettingError> {
        let Some((key, _)) = KEYS.iter().find(|(name, _)| *name == key) else {
            return Err(unknown("key", key, KEYS.iter().map(|(name, _)| *name)));
        };
        if self.values.get(key).is_none_or(|(_, old)| *old <= origin) {
            self.values.insert(key, (value.to_string(), origin));
        }
        Ok(())
    }

    fn text(&self, key: &'static str) -> Option<&str> {
        self.values.get(key).map(|(text, _)| text.as_str())
    }

    fn is_set(&self, key: &'static str) -> bool {
        self.values.contains_key(key)
    }

    fn range(&self, key: &'static str, range: &'static str) -> SettingError {
        let (found, origin) = match self.values.get(key) {
            Some((text, origin)) => (text.clone(), origin.to_string()),
            None => (String::new(), String::new()),
        };
        SettingError::Range {
            key,
            found,
            origin,
            range,
        }
    }

    fn real(
        &self,
        key: &'static str,
        default: f64,
        fits: impl Fn(f64) -> bool,
        range: &'static str,
    ) -> Result<f64, SettingError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let value = text
            .parse::<f64>()
            .ok()
            .filter(|x| x.is_finite() && fits(*x));
        value.ok_or_else(|| self.range(key, range))
    }

    fn whole(
        &self,
        key: &'static str,
        default: usize,
        limits: std::ops::RangeInclusive<usize>,
        range: &'static str,
    ) -> Result<usize, SettingError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let value = text.parse::<usize>().ok().filter(|x| limits.contains(x));
        value.ok_or_else(|| self.range(key, range))
    }

    fn name<N: Named>(&self, key: &'static str) -> Result<Option<N>, SettingError> {
        self.text(key).map(parse_name).transpose()
    }

    fn choice<T: Copy>(
        &self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> Result<T, SettingError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let found = choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        found.ok_or_else(|| unknown(key, text, choices.iter().map(|(name, _)| *name)))
    }

    fn only_for(
        &self,
        keys: &[&'static str],
        applies: bool,
        only_for: &'static str,
    ) -> Result<(), SettingError> {
        for &key in keys {
            if let (false, Some((_, origin))) = (applies, self.values.get(key)) {
                return Err(SettingError::NoEffect {
                    key,
                    origin: origin.to_string(),
                    only_for,
                });
            }
        }
        Ok(())
    }

    /// The runs that these settings mean.
    ///
    /// # Errors
    /// [`SettingError`] naming the key.
    pub fn plan(&self) -> Result<Plan, SettingError> {
        let seeds = parse_seeds(self.text("seeds").unwrap_or("1"))
            .map_err(|_| self.range("seeds", "seeds as 1-5 or 1,3,7, each once, at most 10,000"))?;
        let first = self.config(seeds.first().copied().unwrap_or(1))?;
        let runs = seeds.into_iter().map(|seed| {
            let config = RunConfig {
                seed,
                ..first.clone()
            };
            let toml = self.to_toml(&config);
            PlannedRun { config, toml }
        });
        let embedded = first.data == DataChoice::Embedded;
        let cores = 1..=4096;
        Ok(Plan {
            runs: runs.collect(),
            data: self.text("data").filter(|_| !embedded).map(PathBuf::from),
            data_missing: self.text("data").is_none(),
            init: self.text("init").map(PathBuf::from),
            out: PathBuf::from(self.text("out").unwrap_or("runs")),
            jobs: match self.text("jobs") {
                Some(_) => {
                    Some(self.whole("jobs", 1, cores.clone(), "a whole number from 1 to 4096")?)
                }
                None => None,
            },
            threads: self.whole("threads", 1, cores, "a whole number from 1 to 4096")?,
            checkpoint_every: self.checkpoint_every()?,
        })
    }

    /// The benchmark: built in, or described in a file.
    fn benchmark(&self) -> Result<(Benchmark, Option<CustomBenchmark>), SettingError> {
        let missing = |remedy: &str| SettingError::Missing {
            key: "benchmark",
            remedy: remedy.to_string(),
        };
        let text = self
            .text("benchmark")
            .ok_or_else(|| missing("give --benchmark NAME (tagcl list benchmarks shows them)"))?;
        if std::path::Path::new(text)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
        {
            let custom = CustomBenchmark::read(std::path::Path::new(text))?;
            if custom.tasks_are_fixed
                && self.is_set("tasks")
                && self.text("tasks") != Some(&*custom.tasks.to_string())
            {
                return Err(self.range(
                    "tasks",
                    "the number that the benchmark's file gives; leave it out",
                ));
            }
            return Ok((Benchmark::Custom, Some(custom)));
        }
        match parse_name(text)? {
            Benchmark::Custom => Err(missing(
                "a benchmark of one's own is named by the path of its TOML file",
            )),
            benchmark => Ok((benchmark, None)),
        }
    }

    #[allow(
        clippy::too_many_lines,
        reason = "one line a setting, in the order of the configuration"
    )]
    fn config(&self, seed: u64) -> Result<RunConfig, SettingError> {
        let (benchmark, custom) = self.benchmark()?;
        let profiles = [
            ("released", Profile::Released),
            ("corrected", Profile::Corrected),
        ];
        let profile = self.choice("profile", Profile::Corrected, &profiles)?;
        let released = profile == Profile::Released;
        let model = self.name("model")?.unwrap_or(
            custom
                .as_ref()
                .map_or(benchmark.model(), |custom| custom.model),
        );
        let method = self.name("method")?.unwrap_or(MethodName::Plain);
        let optimizer = self.name("optimizer")?.unwrap_or(OptimizerName::Sgd);
        let kind = benchmark.kind();
        self.only_for(
            &["class_order", "classes"],
            kind == BenchmarkKind::Split,
            "benchmarks split by class",
        )?;
        self.only_for(
            &["angles"],
            kind == BenchmarkKind::Rotated,
            "rotated benchmarks",
        )?;
        let is_cub = benchmark == Benchmark::SplitCub;
        self.only_for(&["input_scaling"], is_cub, "split-cub")?;
        self.only_for(&["hidden"], model == ModelName::Mlp, "the mlp model")?;
        let dropouts = "models whose dropout can be set (mlp, reduced-resnet18)";
        // A network without dropout may be told so; the released code takes any for its ResNet-18, and ignores it.
        let none = self.text("dropout").is_some_and(|p| p.parse() == Ok(0.0));
        let ignored = released && model == ModelName::ResNet18;
        let said = model.takes_dropout() || ignored || (none && model != ModelName::AlexNet);
        self.only_for(&["dropout"], said, dropouts)?;
        let initialised = self.is_set("init") || self.is_set("init_sha256");
        self.only_for(&["init_head"], initialised, "runs with initial weights")?;
        self.check_method_keys(method, optimizer)?;
        let schedule = self.schedule(method, optimizer)?;
        let orders = [("fixed", ClassOrder::Fixed), ("seeded", ClassOrder::Seeded)];
        let angles = [("exact", Angles::Exact), ("released", Angles::Released)];
        let angles_default = if released {
            Angles::Released
        } else {
            Angles::Exact
        };
        let positive = "a number above 0";
        let published = match schedule {
            Schedule::Sequential => model.published_lr(benchmark, method, optimizer),
            _ => benchmark.published_multi_task_lr(optimizer),
        };
        let lr = match (self.text("lr"), published) {
            (None, None) => {
                let (optimizer, benchmark) = (optimizer.name(), benchmark.name());
                let remedy = format!(
                    "no learning rate was published for {} with {optimizer} on {benchmark}; give --lr",
                    method.name()
                );
                return Err(SettingError::Missing { key: "lr", remedy });
            }
            (_, published) => {
                self.real("lr", published.unwrap_or_default(), |x| x > 0.0, positive)?
            }
        };
        let unit = |x: f64| (0.0..1.0).contains(&x);
        let share = |x: f64| x > 0.0 && x <= 1.0;
        let many = 1..=1_000_000;
        let own = self.method_settings(benchmark, method, released)?;
        let validation = self.real("validation", 0.0, unit, "at least 0 and below 1")?;
        let epochs = self.whole("epochs", 1, many.clone(), "a whole number from 1")?;
        let config = RunConfig {
            benchmark,
            custom: custom.clone(),
            data: if self.text("data") == Some("embedded") {
                DataChoice::Embedded
            } else {
                DataChoice::Full
            },
            tasks: self.whole(
                "tasks",
                custom
                    .as_ref()
                    .map_or(model.tasks(benchmark), |custom| custom.tasks),
                1..=1000,
                "a whole number from 1 to 1000",
            )?,
            classes: match self.text("classes") {
                Some(_) => {
                    let most = custom
                        .as_ref()
                        .map_or(benchmark.images().0, |custom| custom.classes);
                    let key = "classes";
                    Some(self.whole(
                        key,
                        1,
                        1..=most,
                        "a whole number from 1 to those of the data set",
                    )?)
                }
                None => None,
            },
            input_scaling: if is_cub {
                let scalings = [
                    ("released", InputScaling::Released),
                    ("imagenet", InputScaling::ImageNet),
                ];
                let default = if released {
                    InputScaling::Released
                } else {
                    InputScaling::ImageNet
                };
                Some(self.choice("input_scaling", default, &scalings)?)
            } else {
                None
            },
            drop_last: self.truth("drop_last", released && benchmark.published_drop_last())?,
            class_order: match kind {
                BenchmarkKind::Split => {
                    Some(self.choice("class_order", ClassOrder::Fixed, &orders)?)
                }
                _ => None,
            },
            angles: match kind {
                BenchmarkKind::Rotated => Some(self.choice("angles", angles_default, &angles)?),
                _ => None,
            },
            validation,
            evaluate: self.evaluate(validation)?,
            fraction: self.real("fraction", 1.0, share, "above 0 and at most 1")?,
            model,
            hidden: match model {
                ModelName::Mlp => {
                    Some(self.whole("hidden", 256, 1..=65_536, "a whole number from 1 to 65536")?)
                }
                _ => None,
            },
            dropout: self.real("dropout", 0.0, unit, "at least 0 and below 1")?,
            init_sha256: self.text("init_sha256").map(str::to_string),
            init_head: if initialised {
                self.init_head(model)?
            } else {
                InitHead::File
            },
            method,
            optimizer,
            lr,
            gamma: self.real("gamma", 1.0, share, "above 0 and at most 1")?,
            gamma_from: self.whole("gamma_from", usize::from(!released), 0..=1, "0 or 1")?,
            momentum: self.real("momentum", 0.0, unit, "at least 0 and below 1")?,
            tag: if optimizer.is_tag() {
                Some(self.tag(benchmark, released)?)
            } else {
                None
            },
            ewc: own.ewc,
            agem: own.agem,
            er: own.er,
            schedule,
            patience: self.patience(epochs, validation, schedule, released)?,
            epochs,
            batch_size: self.whole(
                "batch_size",
                model.batch_size(benchmark),
                many,
                "a whole number from 1",
            )?,
            profile,
            seed,
        };
        config.stream().check_classes(config.images().0)?;
        model.check_images(config.images().1)?;
        if config.data == DataChoice::Embedded
            && benchmark.sources() != [crate::data::DataName::Mnist]
        {
            return Err(self.range("data", "a data folder: only MNIST has an embedded sample"));
        }
        Ok(config)
    }

    fn init_head(&self, model: ModelName) -> Result<InitHead, SettingError> {
        let default = if model.makes_head_anew() {
            InitHead::Fresh
        } else {
            InitHead::File
        };
        let choices = [("file", InitHead::File), ("fresh", InitHead::Fresh)];
        self.choice("init_head", default, &choices)
    }

    /// The configuration as a TOML file that gives the same configuration again, each value with its origin.
    fn to_toml(&self, config: &RunConfig) -> String {
        let mut text =
            String::from("# Resolved configuration of one run; `tagcl run` takes this file.\n");
        let value = serde_json::to_value(config).unwrap_or_default();
        let own = ["tag", "ewc", "agem", "er"].map(|part| value.get(part));
        for (key, _) in KEYS {
            let found = match *key {
                "seeds" => Some(config.seed.to_string().into()),
                "data" if config.data == DataChoice::Full => None,
                "benchmark" if config.custom.is_some() => config
                    .custom
                    .as_ref()
                    .map(|custom| custom.path.display().to_string().into()),
                // Left out of the configuration where false, which need not be the default.
                "drop_last" => Some(config.drop_last.into()),
                // Of no meaning under rules without a correlation; they would be refused.
                "b" | "alpha_scope"
                    if config
                        .tag
                        .as_ref()
                        .is_some_and(|tag| !tag.alpha.is_correlation()) =>
                {
                    None
                }
                "gamma" | "gamma_from" if config.schedule != Schedule::Sequential => None,
                "dropout" if !config.model.takes_dropout() => None,
                // Left out of the configuration where it is `file`, which is not every model's default.
                "init_head" if config.init_sha256.is_some() => {
                    serde_json::to_value(config.init_head).ok()
                }
                key => value
                    .get(key)
                    .or_else(|| own.iter().flatten().find_map(|part| part.get(key)))
                    .filter(|v| !v.is_null())
                    .cloned(),
            };
            if let Some(found) = found {
                let default = match *key {
                    "lr" => Origin::Default("published for this benchmark"),
                    _ => Origin::Default("default"),
                };
                let origin = self.values.get(key).map_or(&default, |(_, origin)| origin);
                let _ = writeln!(text, "{key} = {found}  # {origin}");
            }
        }
        text
    }
}

/// Reads a run folder's `config.toml` back.
///
/// # Errors
/// [`SettingError`] if it is not what [`Settings::plan`] writes.
pub fn parse_config_toml(text: &str) -> Result<RunConfig, SettingError> {
    let plan = Settings::from_toml(text, "config.toml")?.plan()?;
    plan.runs
        .into_iter()
        .next()
        .map(|run| run.config)
        .ok_or_else(|| SettingError::Missing {
            key: "seeds",
            remedy: "the file names no seed".to_string(),
        })
}

#[cfg(test)]
mod tests;
