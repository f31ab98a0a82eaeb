//! From settings to runs.
//!
//! Owns the defaults, the ranges and the conditions under which a setting means something, and the way back: a configuration
//! as the TOML file that gives it again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{KEYS, Origin, SettingError, Settings, parse_name, parse_seeds};
use crate::experiment::benchmark::{
    Benchmark, BenchmarkKind, MethodName, ModelName, Named as _, OptimizerName,
};
use crate::experiment::config::{DataChoice, InitHead, InputScaling, Profile, RunConfig, Schedule};
use crate::experiment::custom::CustomBenchmark;
use crate::stream::{Angles, ClassOrder};

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

impl Settings {
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
        if Path::new(text)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
        {
            let custom = CustomBenchmark::read(Path::new(text))?;
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
            && !matches!(benchmark.sources(), [name] if name.sample.is_some())
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
