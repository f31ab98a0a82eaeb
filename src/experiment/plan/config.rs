//! A run's resolved configuration and its identity.
//!
//! Owns the declarations of the settings that every run has (those of single methods and optimizers stand beside them),
//! [`RunConfig`], in which every choice is made and nothing is optional that matters, and its form in files: two runs with
//! equal configurations give equal results, so the run's id is a hash of it.

mod choices;
mod files;

pub use choices::{DataChoice, Evaluate, InitHead, InputScaling, Prefixes, Schedule};

use sha2::{Digest as _, Sha256};

use crate::data::ImageShape;
use crate::experiment::benchmark::custom::CustomBenchmark;
use crate::experiment::benchmark::{Benchmark, BenchmarkKind, InputRange};
use crate::method::{MethodSpec, PLAIN};
use crate::model::{COSINE_SCALE, DropoutSetting, InitialValues, ModelSpec};
use crate::optim::{OptimizerSpec, SGD};
use crate::seed::Seeds;
use crate::settings::{
    Field, Own, Profile, RealRange, Resolver, SettingError, Stored, Value, WholeRange, by_profile,
    computed, fixed, only,
};
use crate::stream::{
    Angles, ClassOrder, Protocol, Scenario, StreamKind, StreamSeeds, StreamSpec, TrainingClasses,
};

/// Most epochs, examples a batch and the like.
const MANY: WholeRange = WholeRange::FROM_ONE;

fn kind(r: &Resolver<'_>) -> Result<BenchmarkKind, SettingError> {
    Ok(r.get(RunConfig::benchmark())?.kind())
}

fn is_split(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(kind(r)? == BenchmarkKind::Split)
}

fn is_sequential(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(RunConfig::schedule())? == Schedule::Sequential)
}

fn comes_task_by_task(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(RunConfig::schedule())?.comes_task_by_task())
}

/// In words, where [`Schedule::comes_task_by_task`].
const TASK_BY_TASK: &str = "schedule = sequential or cumulative";

fn has_validation(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(RunConfig::validation())? > 0.0)
}

/// Seeds of single purposes fit into 32 bits.
const SEED: WholeRange = WholeRange(0, u32::MAX as usize);

/// Whether a text for `dropout` is accepted by a network that cannot be set: a network without dropout may be told so, and
/// the released code takes any for its ResNet-18.
fn ignores_dropout(r: &Resolver<'_>, text: &str) -> Result<bool, SettingError> {
    let released = r.profile()? == Profile::Released;
    Ok(match r.get(RunConfig::model())?.dropout {
        DropoutSetting::Set => true,
        DropoutSetting::None => text.parse() == Ok(0.0),
        DropoutSetting::Ignored => released || text.parse() == Ok(0.0),
        DropoutSetting::Fixed => false,
    })
}

/// The learning rate where nothing is stepped along.
const NO_RATE: f64 = 1.0;

fn learns_by_gradients(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(!r.get(RunConfig::method())?.closed_form)
}

/// The published learning rate, for the network that it was published for.
fn published_rate(r: &Resolver<'_>) -> Result<f64, SettingError> {
    if !learns_by_gradients(r)? {
        return Ok(NO_RATE);
    }
    let benchmark = r.get(RunConfig::benchmark())?;
    let model = r.get(RunConfig::model())?;
    let (method, optimizer) = (r.get(RunConfig::method())?, r.get(RunConfig::optimizer())?);
    let rate = if is_sequential(r)? {
        benchmark.published_rate(model, method.name, optimizer.name)
    } else {
        benchmark.published_multi_task_rate(optimizer.name)
    };
    rate.ok_or_else(|| SettingError::Missing {
        key: "lr",
        remedy: format!(
            "no learning rate was published for {} with {} on {}; give --lr",
            method.name,
            optimizer.name,
            benchmark.name()
        ),
    })
}

crate::settings! {
    /// Everything that a run's result depends on.
    ///
    /// Settings that came later are left out of result files (and of the hash) where they have their first meaning, so
    /// that ids of runs stay.
    pub struct RunConfig {
        /// Stream of tasks (tagcl list benchmarks), or the path of a TOML file that describes one.
        benchmark: Benchmark = computed(|_| Err(SettingError::Missing {
            key: "benchmark",
            remedy: "give --benchmark NAME (tagcl list benchmarks shows them)".to_string(),
        }));
        /// Data folder, or `embedded` for the MNIST sample that ships with the program.
        data: DataChoice = fixed(DataChoice::Full);
        /// Number of tasks.
        tasks: usize = computed(|r| Ok(r.get(RunConfig::benchmark())?.tasks())), range WholeRange(1, 1000);
        /// How many of the stream's tasks are learned, from the first one on [default: all]; as the whole run until then.
        first_tasks: Option<usize> = fixed(None), range WholeRange(1, 1000);
        /// What is known of an example's task: task (the task, whose classes alone compete), domain (nothing; all tasks share one
        /// head), class (nothing; all classes compete).
        scenario: Scenario = fixed(Scenario::Task), stored Stored::Unless("task");
        /// Which classes compete in training: those of the present task (of all seen, for replayed examples), all seen so far,
        /// or all of the head. At test it is those seen so far.
        training_classes: TrainingClasses = fixed(TrainingClasses::Seen),
            only only(|r| Ok(r.get(RunConfig::scenario())? == Scenario::Class), "scenario = class"),
            stored Stored::Unless("seen");
        /// Number of classes that have images, for a run on part of a data set.
        classes: Option<usize> = fixed(None), range WholeRange(1, 65_536),
            only only(is_split, "benchmarks split by class");
        /// How photographs become inputs of a network trained on ImageNet: as released, or by mean and standard deviation.
        input_scaling: Option<InputScaling> = by_profile(Some(InputScaling::ImageNet), Some(InputScaling::Released)),
            only only(|r| Ok(r.get(RunConfig::benchmark())?.spec().inputs == InputRange::Set), "split-cub");
        /// Order of the classes of a split stream.
        class_order: Option<ClassOrder> = fixed(Some(ClassOrder::Fixed)),
            only only(is_split, "benchmarks split by class"), stored Stored::OrNull;
        /// Angles of a rotated stream: exact; as released; GEM's bins over half a turn; Stable SGD's steps of 10 degrees.
        angles: Option<Angles> = by_profile(Some(Angles::Exact), Some(Angles::Released)),
            only only(|r| Ok(kind(r)? == BenchmarkKind::Rotated), "rotated benchmarks"), stored Stored::OrNull;
        /// Share of the training images set aside for validation.
        validation: f64 = fixed(0.0), range RealRange::UNIT;
        /// Images on which accuracies are measured: of the test, or of validation (to choose hyper-parameters).
        evaluate: Evaluate = fixed(Evaluate::Test),
            only only(has_validation, "runs with validation > 0"), stored Stored::Unless("test");
        /// Whether all tasks are evaluated, those to come among them, before training and after every task (forward transfer).
        evaluate_future: bool = fixed(false), only only(comes_task_by_task, TASK_BY_TASK),
            stored Stored::Unless("false");
        /// Steps of a task after which the tasks so far are evaluated, again and again (anytime accuracy, stability gap).
        evaluate_every: Option<usize> = fixed(None), range MANY, only only(comes_task_by_task, TASK_BY_TASK);
        /// Share of the training images used; for quick looks, marked in every output.
        fraction: f64 = fixed(1.0), range RealRange::SHARE;
        /// How many training images of each task are used (of what validation and fraction leave) [default: all].
        samples_per_task: Option<usize> = fixed(None), range MANY;
        /// Share of the test images (or of validation, where those are evaluated) on which accuracy is measured, of each
        /// class the same ones for every seed; for quick looks, marked in every output.
        test_fraction: f64 = fixed(1.0), range RealRange::SHARE, stored Stored::Unless("1");
        /// Network (tagcl list models).
        model: &'static ModelSpec = computed(|r| r.get(RunConfig::benchmark())?.model());
        /// Width of the MLP's hidden layers.
        hidden: Option<usize> = fixed(Some(256)), range WholeRange(1, 65_536),
            only only(|r| Ok(r.get(RunConfig::model())?.hidden), "the mlp model"), stored Stored::OrNull;
        /// Largest logit of the cosine head, which multiplies the cosines.
        cosine_scale: Option<f64> = fixed(Some(COSINE_SCALE)), range RealRange::POSITIVE,
            only only(|r| Ok(r.get(RunConfig::model())?.scale.is_some()), "the cosine model");
        /// How the MLP's initial values are drawn: as PyTorch's layers, or Xavier's (biases 0).
        initial_values: InitialValues = fixed(InitialValues::PyTorch),
            only only(|r| Ok(r.get(RunConfig::model())?.hidden), "the mlp model"), stored Stored::Unless("pytorch");
        /// Dropout probability.
        dropout: f64 = fixed(0.0), range RealRange::UNIT,
            only only(
                |r| Ok(r.get(RunConfig::model())?.dropout == DropoutSetting::Set),
                "models whose dropout can be set (mlp, reduced-resnet18)",
            ).tolerating(ignores_dropout);
        /// Checksum (SHA-256) that the file of initial weights must have.
        init_sha256: Option<String> = computed(|_| Ok(None)), range "64 hexadecimal digits", stored Stored::OrNull;
        /// Where the head of a run with initial weights comes from: the file, or made anew for the stream's classes.
        init_head: InitHead = computed(|r| Ok(if has_init(r) && r.get(RunConfig::model())?.fresh_head {
            InitHead::Fresh
        } else {
            InitHead::File
        })), only only(|r| Ok(has_init(r)), "runs with initial weights"), stored Stored::UnlessInResults("file");
        /// Whether a file of initial weights with tensors that the network lacks is refused; else they are left out.
        init_strict: bool = fixed(true), only only(|r| Ok(has_init(r)), "runs with initial weights"),
            stored Stored::Unless("true");
        /// Parameters that are not trained: those whose names begin so (`layer1,conv1`; a list in TOML) [default: none].
        freeze: Option<Prefixes> = computed(|_| Ok(None)), only only(learns_by_gradients, "methods that learn by gradients");
        /// Method (tagcl list methods).
        method: &'static MethodSpec = fixed(&PLAIN);
        /// Optimizer (tagcl list optimizers).
        optimizer: &'static OptimizerSpec = fixed(&SGD);
        /// Learning rate of the first task before decay.
        lr: f64 = computed(published_rate), range RealRange::POSITIVE,
            only only(learns_by_gradients, "methods that learn by gradients");
        /// Factor on the learning rate from task to task.
        gamma: f64 = fixed(1.0), range RealRange::SHARE, only only(comes_task_by_task, TASK_BY_TASK);
        /// Task whose learning rate is lr itself: 0 (as released, task 1 has lr·gamma) or 1.
        gamma_from: usize = by_profile(1, 0), range WholeRange(0, 1), only only(comes_task_by_task, TASK_BY_TASK);
        /// What the learning rate does not fall below from task to task.
        lr_floor: f64 = fixed(0.0), range RealRange::FROM_ZERO, only only(comes_task_by_task, TASK_BY_TASK),
            stored Stored::Unless("0");
        /// Order of the examples: task after task, cyclic (the released multi-task: six rounds), joint, cumulative
        /// (each task together with all before it).
        schedule: Schedule = fixed(Schedule::Sequential), stored Stored::Unless("sequential");
        /// Epochs without a lower validation loss after which a task ends.
        patience: Option<usize> = computed(|r| {
            // The released code stops after five, where it trains for more than 20 epochs.
            let released = r.profile()? == Profile::Released && r.get(RunConfig::epochs())? > 20;
            Ok(released.then_some(5))
        }), range MANY, only only(
            |r| Ok(has_validation(r)? && is_sequential(r)?),
            "runs with validation > 0 and schedule = sequential",
        );
        /// Epochs per task, at most.
        epochs: usize = fixed(1), range MANY;
        /// Examples per training step.
        batch_size: usize = fixed(10), range MANY;
        /// Whether a last batch that is not full is left out.
        drop_last: bool = fixed(false), stored Stored::UnlessInResults("false");
        /// Seed of the order of classes [default: the run's].
        order_seed: Option<usize> = fixed(None), range SEED, only only(is_split, "benchmarks split by class");
        /// Seed of the initial weights [default: the run's].
        init_seed: Option<usize> = fixed(None), range SEED;
        /// Seed of what a task's images are (permutations, random angles, images left out) and of their order [default: the
        /// run's].
        data_seed: Option<usize> = fixed(None), range SEED;
        /// Which defaults: as the released code behaves, or with its defects mended.
        profile: Profile as Profile::SETTING;
    }
    with {
        /// The optimizer's own settings.
        optimizer_settings: Own,
        /// The method's own settings.
        method_settings: Own,
        /// The run's seed.
        seed: u64,
    }
}

fn has_init(r: &Resolver<'_>) -> bool {
    r.is_set("init") || r.is_set("init_sha256")
}

/// The key after which the optimizer's and the method's own settings stand, in every list and file.
pub(super) const BEFORE_OWN: &str = "gamma_from";

impl RunConfig {
    /// Every setting with its value, own ones included, in the order of lists.
    #[must_use]
    pub fn all_fields(&self) -> Vec<Field> {
        let mut all = Vec::new();
        for field in self.fields() {
            let key = field.setting.key();
            all.push(field);
            if key == BEFORE_OWN {
                all.extend(self.optimizer_settings.fields());
                all.extend(self.method_settings.fields());
            }
        }
        all
    }

    /// The settings that exist for this run, by key.
    #[must_use]
    pub fn columns(&self) -> Vec<(&'static str, Value)> {
        let all = self.all_fields().into_iter();
        all.filter_map(|field| Some((field.setting.key(), field.value?)))
            .collect()
    }

    /// The value of a setting, where it exists for this run.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Value> {
        let mut columns = self.columns().into_iter();
        columns
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The run's folder name: readable parts, then eight hexadecimal digits of the configuration's hash.
    #[must_use]
    pub fn run_id(&self) -> String {
        format!(
            "{}-{}{}-{}-s{}-{}",
            self.benchmark.name(),
            self.scenario_part(),
            self.method.name,
            self.optimizer.name,
            self.seed,
            &self.hash()[..8]
        )
    }

    /// What a run's name says of its scenario: nothing of the task-incremental one.
    fn scenario_part(&self) -> &'static str {
        match self.scenario {
            Scenario::Task => "",
            Scenario::Domain => "domain-",
            Scenario::Class => "class-",
        }
    }

    /// The seeds of a purpose: of its own seed, or the run's.
    #[must_use]
    pub fn seeds_of(&self, own: Option<usize>) -> Seeds {
        Seeds::new(own.map_or(self.seed, |seed| seed as u64))
    }

    /// Where the stream's random choices come from.
    #[must_use]
    pub fn stream_seeds(&self) -> StreamSeeds {
        StreamSeeds {
            order: self.seeds_of(self.order_seed),
            data: self.seeds_of(self.data_seed),
        }
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
        let set = self.input_scaling.map(InputScaling::scaling);
        StreamSpec {
            kind,
            tasks,
            sizes: self.benchmark.custom().and_then(CustomBenchmark::sizes),
            first_tasks: self.first_tasks,
            validation,
            fraction,
            samples_per_task: self.samples_per_task,
            protocol: Protocol {
                scenario: self.scenario,
                training: self.training_classes,
            },
            scaling: set.unwrap_or_else(|| self.benchmark.scaling()),
        }
    }

    /// How many tasks are learned: all, or the first ones.
    #[must_use]
    pub fn learned_tasks(&self) -> usize {
        self.first_tasks.unwrap_or(self.tasks).min(self.tasks)
    }

    /// Classes of the data and shape of its images.
    #[must_use]
    pub fn images(&self) -> (usize, ImageShape) {
        let (classes, shape) = self.benchmark.images();
        (self.classes.unwrap_or(classes), shape)
    }

    /// Classes of all tasks together; one that several tasks share counts for each.
    #[must_use]
    pub fn all_classes(&self) -> usize {
        let (classes, _) = self.images();
        match self.benchmark.kind() {
            BenchmarkKind::Split => classes,
            BenchmarkKind::Rotated | BenchmarkKind::Permuted => classes * self.tasks,
        }
    }

    /// Whether this run and another see the same images.
    #[must_use]
    pub fn has_images_of(&self, other: &Self) -> bool {
        let of = |config: &Self| (config.benchmark.clone(), config.data, config.classes);
        of(self) == of(other)
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

    /// Whether the tasks so far are evaluated after this many steps of a task.
    #[must_use]
    pub fn evaluates_after(&self, steps: usize) -> bool {
        let every = self.evaluate_every;
        every.is_some_and(|every| steps > 0 && steps.is_multiple_of(every))
    }

    /// The learning rate of task `t` (from 0).
    #[must_use]
    pub fn learning_rate(&self, t: usize) -> f64 {
        let exponent = (t + 1).saturating_sub(self.gamma_from);
        let decayed = self.lr * self.gamma.powi(i32::try_from(exponent).unwrap_or(i32::MAX));
        decayed.max(self.lr_floor)
    }
}
