//! The tasks of a stream and how they are cut out of a data set.
//!
//! Owns the three ways of the paper: classes split into tasks, rotations, permutations. Task t (from 0 here) owns the
//! head classes `t·n .. (t+1)·n` (where tasks have sizes of their own, those after the classes of the tasks before); rotated and permuted streams shift the ten labels by `10 t`, so that every task has
//! classes of its own there, too.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::scenario::Now;
use super::{
    PixelMap, Protocol, Samples, Scaling, Scenario, gem_angles, released_angles, rotation_step,
    stable_sgd_angles,
};
use crate::data::{Dataset, ImageSet};
use crate::seed::Seeds;
use crate::settings::SettingError;

/// Why a stream cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The classes cannot be dealt out evenly.
    #[error("{classes} classes cannot be split evenly into {tasks} tasks; use one of {divisors}")]
    Uneven {
        /// Classes of the data set.
        classes: usize,
        /// Tasks asked for.
        tasks: usize,
        /// The numbers of tasks that would do.
        divisors: String,
    },
    /// The classes are not those that the sizes of the tasks add up to.
    #[error(
        "the benchmark has tasks of {sizes:?} classes, {} in all, and there are {classes} classes in {tasks} tasks: leave \
         `tasks` and `classes` out, or change the lists of classes", sizes.iter().sum::<usize>()
    )]
    Sizes {
        /// Classes of each task.
        sizes: Vec<usize>,
        /// Classes of the data set.
        classes: usize,
        /// Tasks asked for.
        tasks: usize,
    },
    /// Tasks of different sizes under one head for all of them.
    #[error(
        "scenario = domain has one head for all tasks, and the benchmark's tasks have {sizes:?} classes: use scenario = task or \
         class, or lists of equally many classes"
    )]
    SharedSizes {
        /// Classes of each task.
        sizes: Vec<usize>,
    },
    /// Tasks with nothing to tell apart.
    #[error(
        "{tasks} tasks of {classes} classes are tasks of one class: whatever a network answers within such a task is right; \
         {remedy}"
    )]
    OneClass {
        /// Classes of the data set.
        classes: usize,
        /// Tasks asked for.
        tasks: usize,
        /// What would do.
        remedy: String,
    },
    /// A stream needs a task.
    #[error("tasks = 0 is out of range: a stream has at least one task")]
    NoTasks,
    /// A share outside its range.
    #[error("{name} = {value} is out of range: it must be {range}")]
    Share {
        /// Which setting.
        name: &'static str,
        /// What came.
        value: f64,
        /// The range in words.
        range: &'static str,
    },
    /// A task has fewer images than it is to learn from.
    #[error(
        "samples_per_task = {wanted} is out of range: task {task} has {found} training images; use at most as many, or leave \
         it out for all of them"
    )]
    Few {
        /// Task, from 1.
        task: usize,
        /// Images asked for.
        wanted: usize,
        /// Images that there are.
        found: usize,
    },
    /// A task would have no examples.
    #[error("task {task} has no {part} images; use a larger fraction or more data")]
    Empty {
        /// Task, from 1.
        task: usize,
        /// `training`, `validation` or `test`.
        part: &'static str,
    },
}

impl From<StreamError> for SettingError {
    fn from(error: StreamError) -> Self {
        Self::Subject(error.to_string())
    }
}

crate::choices!(ClassOrder { "fixed" => Fixed, "seeded" => Seeded });
crate::choices!(Angles {
    "exact" => Exact, "released" => Released, "gem" => Gem, "stable-sgd" => StableSgd,
});

/// In which order a split stream deals classes to tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassOrder {
    /// Class 0 first, as in the paper.
    #[default]
    Fixed,
    /// Shuffled by the run's seed.
    Seeded,
}

/// The angles of a rotated stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Angles {
    /// `(t−1)·r`.
    #[default]
    Exact,
    /// `(t−1)·r − U(0,1)·r` with NumPy's generator at seed 0, as the released code.
    Released,
    /// Half a turn in as many bins as tasks, an angle drawn from each: GEM's.
    Gem,
    /// `10 (t−1) − 10 U(0,1)` with NumPy's generator at the run's seed: Stable SGD's.
    StableSgd,
}

/// How a data set becomes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Every task has classes of its own.
    Split(ClassOrder),
    /// Every task has all classes, turned by the task's angle.
    Rotated(Angles),
    /// Every task has all classes under a pixel permutation of its own; the first task's is the identity.
    Permuted,
}

/// A stream to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSpec {
    /// How the data set becomes tasks.
    pub kind: StreamKind,
    /// Number of tasks, at least 1.
    pub tasks: usize,
    /// Classes of each task of a split stream; `None` for equally many.
    pub sizes: Option<Arc<[usize]>>,
    /// How many of them are learned, from the first one on; the head has classes of all.
    pub first_tasks: Option<usize>,
    /// Share of each task's training images that is set aside for validation, in `[0, 1)`.
    pub validation: f64,
    /// Share of each task's remaining training images that is used, in `(0, 1]`.
    pub fraction: f64,
    /// How many of what then remains is used.
    pub samples_per_task: Option<usize>,
    /// How bytes become inputs.
    pub scaling: Scaling,
    /// What is known of an example's task.
    pub protocol: Protocol,
}

/// Where the random choices of a stream come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSeeds {
    /// Which classes come in which task.
    pub order: Seeds,
    /// Which images are set aside or left out; permutations and random angles.
    pub data: Seeds,
}

impl From<Seeds> for StreamSeeds {
    fn from(seeds: Seeds) -> Self {
        let (order, data) = (seeds, seeds);
        Self { order, data }
    }
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// What training sees.
    pub train: Samples,
    /// What was set aside, where the stream was asked to.
    pub validation: Option<Samples>,
    /// What accuracy is measured on.
    pub test: Samples,
    /// The data set's class behind each of the task's classes of the head, from the first one on.
    pub data_classes: Vec<usize>,
}

/// Tasks 1..T in order, and the size of the head that they share.
#[derive(Clone, Debug)]
pub struct TaskStream {
    tasks: Vec<Task>,
    classes: usize,
    protocol: Protocol,
}

impl TaskStream {
    /// Makes the stream; random choices come from the run's named seeds.
    ///
    /// # Errors
    /// [`StreamError`] where the numbers do not fit the data.
    pub fn new(
        spec: &StreamSpec,
        data: &Dataset,
        seeds: impl Into<StreamSeeds>,
    ) -> Result<Self, StreamError> {
        let train = Arc::new(data.train.clone());
        let test = Arc::new(data.test.clone());
        Self::from_sets(spec, &train, &test, seeds)
    }

    /// As [`Self::new`], over image sets that several streams share.
    ///
    /// # Errors
    /// [`StreamError`] where the numbers do not fit the data.
    pub fn from_sets(
        spec: &StreamSpec,
        train: &Arc<ImageSet>,
        test: &Arc<ImageSet>,
        seeds: impl Into<StreamSeeds>,
    ) -> Result<Self, StreamError> {
        spec.check_classes(train.classes())?;
        let seeds = seeds.into();
        let views = spec.views(train, seeds);
        let seeds = seeds.data;
        let mut tasks = Vec::with_capacity(views.len());
        let learned = learned(spec);
        for (t, view) in views.iter().take(learned).enumerate() {
            let mut fit = view.samples(train, spec.scaling);
            let test = view.samples(test, spec.scaling);
            let mut validation = None;
            if spec.validation > 0.0 {
                let held = split_off(&mut fit, spec.validation, seeds, &format!("split/{t}"));
                require(!held.is_empty(), t, "validation")?;
                validation = Some(held);
            }
            if spec.fraction < 1.0 {
                split_off(
                    &mut fit,
                    1.0 - spec.fraction,
                    seeds,
                    &format!("fraction/{t}"),
                );
            }
            if let Some(wanted) = spec.samples_per_task {
                let found = fit.len();
                if wanted > found {
                    let task = t + 1;
                    return Err(StreamError::Few {
                        task,
                        wanted,
                        found,
                    });
                }
                split_off_count(&mut fit, found - wanted, seeds, &format!("samples/{t}"));
            }
            require(!fit.is_empty(), t, "training")?;
            require(!test.is_empty(), t, "test")?;
            tasks.push(Task {
                train: fit,
                validation,
                test,
                data_classes: view.data_classes(),
            });
        }
        let mut stream = Self {
            classes: spec.head_classes(train.classes()),
            tasks,
            protocol: spec.protocol,
        };
        stream.arrive(Some(0), 1);
        Ok(stream)
    }

    /// The first `come` tasks have come, and training is on task `present` (from 0), or on all of them together: from now on
    /// the classes compete that the scenario says.
    pub fn arrive(&mut self, present: Option<usize>, come: usize) {
        let so_far = self.tasks.iter().take(come);
        let seen = so_far.map(|task| task.train.classes.end).max();
        let now = Now {
            present,
            seen: seen.unwrap_or(0),
            head: self.classes,
        };
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let own = task.train.classes();
            task.train.competing = self.protocol.in_training(number, own.clone(), now);
            let at_test = self.protocol.at_test(own, now);
            for judged in task.validation.iter_mut().chain([&mut task.test]) {
                judged.competing = at_test.clone();
            }
        }
    }

    /// The tasks in order.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Classes of the head over all tasks.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }
}

fn learned(spec: &StreamSpec) -> usize {
    spec.first_tasks.unwrap_or(spec.tasks).min(spec.tasks)
}

fn require(there: bool, t: usize, part: &'static str) -> Result<(), StreamError> {
    if there {
        Ok(())
    } else {
        Err(StreamError::Empty { task: t + 1, part })
    }
}

/// Takes a seeded share (rounded to nearest) out of the samples, leaving both parts in their old order.
fn split_off(samples: &mut Samples, share: f64, seeds: Seeds, name: &str) -> Samples {
    let count = (samples.len() as f64 * share).round() as usize;
    split_off_count(samples, count, seeds, name)
}

/// The same with a number instead of a share.
fn split_off_count(samples: &mut Samples, count: usize, seeds: Seeds, name: &str) -> Samples {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    seeds.stream(name).shuffle(&mut order);
    let mut chosen = vec![false; samples.len()];
    for &i in order.iter().take(count) {
        chosen[i] = true;
    }
    let mut taken = Samples {
        indices: Vec::new(),
        labels: Vec::new(),
        ..samples.clone()
    };
    let (mut indices, mut labels) = (Vec::new(), Vec::new());
    for (i, chosen) in chosen.into_iter().enumerate() {
        let (index, label) = (samples.indices[i], samples.labels[i]);
        if chosen {
            taken.indices.push(index);
            taken.labels.push(label);
        } else {
            indices.push(index);
            labels.push(label);
        }
    }
    (samples.indices, samples.labels) = (indices, labels);
    taken
}

/// How one task sees an image set.
struct View {
    /// Class of the data set → class of the head; `None` for classes of other tasks.
    heads: Vec<Option<u32>>,
    classes: Range<usize>,
    map: Option<Arc<PixelMap>>,
}

impl View {
    /// The data set's class behind each class of the head that the task owns.
    fn data_classes(&self) -> Vec<usize> {
        let heads = self.heads.iter().enumerate();
        let mut pairs: Vec<(u32, usize)> = heads
            .filter_map(|(class, head)| Some(((*head)?, class)))
            .collect();
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, class)| class).collect()
    }

    fn samples(&self, set: &Arc<ImageSet>, scaling: Scaling) -> Samples {
        let (indices, labels) = set
            .labels()
            .iter()
            .enumerate()
            .filter_map(|(i, &label)| {
                Some((i as u32, self.heads.get(label as usize).copied().flatten()?))
            })
            .unzip();
        Samples {
            set: Arc::clone(set),
            indices,
            labels,
            classes: self.classes.clone(),
            competing: self.classes.clone().into(),
            map: self.map.clone(),
            scaling,
        }
    }
}

impl StreamSpec {
    /// Checks everything that can be known before a stream is made, for a data set of this many classes.
    ///
    /// # Errors
    /// [`StreamError`] naming the setting.
    pub fn check_classes(&self, classes: usize) -> Result<(), StreamError> {
        if self.tasks == 0 {
            return Err(StreamError::NoTasks);
        }
        if !(self.validation >= 0.0 && self.validation < 1.0) {
            let (name, value) = ("validation", self.validation);
            return Err(StreamError::Share {
                name,
                value,
                range: "at least 0 and below 1",
            });
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            let (name, value) = ("fraction", self.fraction);
            return Err(StreamError::Share {
                name,
                value,
                range: "above 0 and at most 1",
            });
        }
        if !matches!(self.kind, StreamKind::Split(_)) {
            return Ok(());
        }
        let tasks = self.tasks;
        if let Some(sizes) = &self.sizes {
            return self.check_sizes(sizes, classes);
        }
        // A task of one class has nothing to tell apart.
        let divisors: Vec<String> = (1..=classes / 2)
            .filter(|d| classes.is_multiple_of(*d))
            .map(|d| d.to_string())
            .collect();
        let divisors = divisors.join(", ");
        if tasks == classes {
            let remedy = match classes {
                1 => "a stream needs at least two classes".to_string(),
                _ => format!("use one of {divisors}"),
            };
            return Err(StreamError::OneClass {
                classes,
                tasks,
                remedy,
            });
        }
        if !classes.is_multiple_of(tasks) {
            return Err(StreamError::Uneven {
                classes,
                tasks,
                divisors,
            });
        }
        Ok(())
    }

    /// Checks sizes of the tasks' own.
    fn check_sizes(&self, sizes: &[usize], classes: usize) -> Result<(), StreamError> {
        let tasks = self.tasks;
        if sizes.len() != tasks || sizes.iter().sum::<usize>() != classes {
            let sizes = sizes.to_vec();
            return Err(StreamError::Sizes {
                sizes,
                classes,
                tasks,
            });
        }
        if self.protocol.scenario == Scenario::Domain {
            let sizes = sizes.to_vec();
            return Err(StreamError::SharedSizes { sizes });
        }
        if sizes.iter().any(|size| *size < 2) {
            let remedy = format!("they have {sizes:?}, and each needs at least two");
            return Err(StreamError::OneClass {
                classes,
                tasks,
                remedy,
            });
        }
        Ok(())
    }

    /// Which of the dealt classes each task of a split stream gets.
    fn dealt(&self, classes: usize) -> Vec<Range<usize>> {
        let each = classes / self.tasks.max(1);
        let own = |t: usize| match &self.sizes {
            Some(sizes) => sizes.get(t).copied().unwrap_or(0),
            None => each,
        };
        let mut end = 0;
        let next = |t| {
            let start = end;
            end += own(t);
            start..end
        };
        (0..self.tasks).map(next).collect()
    }

    /// Classes of the head over all tasks, for a data set of this many classes: those of the data, or every task's own; one
    /// task's where all tasks share them.
    #[must_use]
    pub fn head_classes(&self, classes: usize) -> usize {
        match (self.kind, self.protocol.scenario) {
            (StreamKind::Split(_), Scenario::Domain) => classes / self.tasks.max(1),
            (StreamKind::Split(_), _)
            | (StreamKind::Rotated(_) | StreamKind::Permuted, Scenario::Domain) => classes,
            (StreamKind::Rotated(_) | StreamKind::Permuted, _) => classes * self.tasks,
        }
    }

    fn views(&self, set: &ImageSet, seeds: StreamSeeds) -> Vec<View> {
        let shared = self.protocol.scenario == Scenario::Domain;
        let classes = set.classes();
        match self.kind {
            StreamKind::Split(order) => {
                let mut dealt: Vec<usize> = (0..classes).collect();
                if order == ClassOrder::Seeded {
                    seeds.order.stream("class-order").shuffle(&mut dealt);
                }
                self.dealt(classes)
                    .into_iter()
                    .map(|owned| {
                        let size = owned.len();
                        let first = if shared { 0 } else { owned.start };
                        let mut heads = vec![None; classes];
                        for (head, class) in (first..).zip(&dealt[owned]) {
                            heads[*class] = Some(head as u32);
                        }
                        View {
                            heads,
                            classes: first..first + size,
                            map: None,
                        }
                    })
                    .collect()
            }
            StreamKind::Rotated(angles) => {
                let step = rotation_step(self.tasks);
                let degrees = match angles {
                    Angles::Exact => (0..self.tasks).map(|t| t as f64 * step).collect(),
                    Angles::Released => released_angles(self.tasks),
                    Angles::Gem => gem_angles(self.tasks, &mut seeds.data.stream("angles")),
                    Angles::StableSgd => stable_sgd_angles(self.tasks, seeds.data.number()),
                };
                let map = |(t, angle)| {
                    let map = PixelMap::rotation(set.shape(), angle);
                    View::shifted(classes, if shared { 0 } else { t }, Some(map))
                };
                degrees.into_iter().enumerate().map(map).collect()
            }
            StreamKind::Permuted => (0..self.tasks)
                .map(|t| {
                    let mut stream = seeds.data.stream(&format!("permutation/{t}"));
                    let map = (t > 0).then(|| PixelMap::permutation(set.shape(), &mut stream));
                    View::shifted(classes, if shared { 0 } else { t }, map)
                })
                .collect(),
        }
    }
}

impl View {
    /// All classes, shifted to the head's slice of task t.
    fn shifted(classes: usize, t: usize, map: Option<PixelMap>) -> Self {
        let offset = t * classes;
        Self {
            heads: (0..classes).map(|c| Some((offset + c) as u32)).collect(),
            classes: offset..offset + classes,
            map: map.map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests;
