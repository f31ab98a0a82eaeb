//! The tasks of a stream and how they are cut out of a data set.
//!
//! Owns the three ways of the paper: classes split into tasks, rotations, permutations. Task t (from 0 here) owns the
//! head classes `t·n .. (t+1)·n`; rotated and permuted streams shift the ten labels by `10 t`, so that every task has
//! classes of its own there, too.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{PixelMap, Samples, Scaling, released_angles, rotation_step};
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
crate::choices!(Angles { "exact" => Exact, "released" => Released });

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamSpec {
    /// How the data set becomes tasks.
    pub kind: StreamKind,
    /// Number of tasks, at least 1.
    pub tasks: usize,
    /// How many of them are learned, from the first one on; the head has classes of all.
    pub first_tasks: Option<usize>,
    /// Share of each task's training images that is set aside for validation, in `[0, 1)`.
    pub validation: f64,
    /// Share of each task's remaining training images that is used, in `(0, 1]`.
    pub fraction: f64,
    /// How bytes become inputs.
    pub scaling: Scaling,
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
}

impl TaskStream {
    /// Makes the stream; random choices come from the run's named seeds.
    ///
    /// # Errors
    /// [`StreamError`] where the numbers do not fit the data.
    pub fn new(spec: &StreamSpec, data: &Dataset, seeds: Seeds) -> Result<Self, StreamError> {
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
        seeds: Seeds,
    ) -> Result<Self, StreamError> {
        spec.check_classes(train.classes())?;
        let views = spec.views(train, seeds);
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
            require(!fit.is_empty(), t, "training")?;
            require(!test.is_empty(), t, "test")?;
            tasks.push(Task {
                train: fit,
                validation,
                test,
                data_classes: view.data_classes(),
            });
        }
        Ok(Self {
            classes: spec.head_classes(train.classes()),
            tasks,
        })
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
    let mut order: Vec<usize> = (0..samples.len()).collect();
    seeds.stream(name).shuffle(&mut order);
    let count = (samples.len() as f64 * share).round() as usize;
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

    /// Classes of the head over all tasks, for a data set of this many classes: those of the data, or every task's own.
    #[must_use]
    pub fn head_classes(&self, classes: usize) -> usize {
        match self.kind {
            StreamKind::Split(_) => classes,
            StreamKind::Rotated(_) | StreamKind::Permuted => classes * self.tasks,
        }
    }

    fn views(&self, set: &ImageSet, seeds: Seeds) -> Vec<View> {
        let classes = set.classes();
        match self.kind {
            StreamKind::Split(order) => {
                let mut dealt: Vec<usize> = (0..classes).collect();
                if order == ClassOrder::Seeded {
                    seeds.stream("class-order").shuffle(&mut dealt);
                }
                let per_task = classes / self.tasks;
                (0..self.tasks)
                    .map(|t| {
                        let owned = t * per_task..(t + 1) * per_task;
                        let mut heads = vec![None; classes];
                        for head in owned.clone() {
                            heads[dealt[head]] = Some(head as u32);
                        }
                        View {
                            heads,
                            classes: owned,
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
                };
                let map = |(t, angle)| {
                    let map = PixelMap::rotation(set.shape(), angle);
                    View::shifted(classes, t, Some(map))
                };
                degrees.into_iter().enumerate().map(map).collect()
            }
            StreamKind::Permuted => (0..self.tasks)
                .map(|t| {
                    let mut stream = seeds.stream(&format!("permutation/{t}"));
                    let map = (t > 0).then(|| PixelMap::permutation(set.shape(), &mut stream));
                    View::shifted(classes, t, map)
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
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use proptest::prelude::*;

    fn data(classes: usize, per_class: usize) -> Dataset {
        let n = classes * per_class;
        let set = || {
            let labels = (0..n).map(|i| (i % classes) as u16).collect();
            let pixels = (0..n * 4).map(|i| (i % 251) as u8).collect();
            ImageSet::new(ImageShape::new(1, 2, 2), pixels, labels, classes).unwrap()
        };
        Dataset::new("test", set(), set(), None).unwrap()
    }

    fn spec(kind: StreamKind, tasks: usize) -> StreamSpec {
        StreamSpec {
            kind,
            tasks,
            first_tasks: None,
            validation: 0.0,
            fraction: 1.0,
            scaling: Scaling::Unit,
        }
    }

    proptest! {
        #[test]
        fn a_class_split_is_a_partition(
            tasks in 1_usize..6, per_task in 2_usize..6, per_class in 2_usize..8, seed in 0_u64..50,
            seeded: bool, validation in 0.0..0.4_f64,
        ) {
            let data = data(tasks * per_task, per_class);
            let order = if seeded { ClassOrder::Seeded } else { ClassOrder::Fixed };
            let mut spec = spec(StreamKind::Split(order), tasks);
            spec.validation = if validation * (per_task * per_class) as f64 >= 0.5 { validation } else { 0.0 };
            let stream = TaskStream::new(&spec, &data, Seeds::new(seed)).unwrap();
            prop_assert_eq!(stream.classes(), tasks * per_task);
            let mut seen = Vec::new();
            let mut next = 0;
            for task in stream.tasks() {
                prop_assert_eq!(task.train.classes().start, next);
                next = task.train.classes().end;
                for part in [Some(&task.train), task.validation.as_ref()].into_iter().flatten() {
                    seen.extend(part.indices.iter().copied());
                    prop_assert!(part.labels().all(|l| part.classes().contains(&l)));
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..data.train.len() as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn seven_tasks_of_a_hundred_classes_are_refused_with_the_way_out() {
        let error = spec(StreamKind::Split(ClassOrder::Fixed), 7)
            .check_classes(100)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("use one of 1, 2, 4, 5, 10, 20, 25, 50"),
            "{error}"
        );
    }

    #[test]
    fn tasks_of_one_class_are_refused_and_never_proposed() {
        let split = |tasks| spec(StreamKind::Split(ClassOrder::Fixed), tasks);
        for classes in 2..60 {
            let error = split(classes)
                .check_classes(classes)
                .unwrap_err()
                .to_string();
            assert!(error.contains("tasks of one class"), "{error}");
            for tasks in (1..=classes / 2).filter(|tasks| classes % tasks == 0) {
                assert_eq!(split(tasks).check_classes(classes), Ok(()));
            }
            let uneven = split(classes + 1)
                .check_classes(classes)
                .unwrap_err()
                .to_string();
            let (_, proposed) = uneven.split_once("use one of ").unwrap();
            assert!(
                proposed.split(", ").all(|n| n.parse() != Ok(classes)),
                "{uneven}"
            );
        }
        let error = split(1).check_classes(1).unwrap_err().to_string();
        assert!(error.contains("at least two classes"), "{error}");
        assert_eq!(spec(StreamKind::Permuted, 10).check_classes(10), Ok(()));
    }

    #[test]
    fn the_first_tasks_are_those_of_the_whole_stream() {
        let data = data(6, 20);
        for kind in [
            StreamKind::Split(ClassOrder::Seeded),
            StreamKind::Rotated(Angles::Exact),
            StreamKind::Permuted,
        ] {
            let mut spec = StreamSpec {
                validation: 0.1,
                fraction: 0.5,
                ..spec(kind, 3)
            };
            let whole = TaskStream::new(&spec, &data, Seeds::new(5)).unwrap();
            spec.first_tasks = Some(2);
            let first = TaskStream::new(&spec, &data, Seeds::new(5)).unwrap();
            assert_eq!((first.tasks().len(), first.classes()), (2, whole.classes()));
            for (a, b) in first.tasks().iter().zip(whole.tasks()) {
                assert_eq!(a.train.batch(&[0, 3]), b.train.batch(&[0, 3]));
                assert_eq!(a.train.indices, b.train.indices);
                assert_eq!(a.test.batch(&[1]), b.test.batch(&[1]));
            }
        }
    }

    #[test]
    fn every_logit_names_its_class_of_the_data() {
        let data = data(6, 3);
        for seed in 0..20 {
            let spec = spec(StreamKind::Split(ClassOrder::Seeded), 3);
            let stream = TaskStream::new(&spec, &data, Seeds::new(seed)).unwrap();
            let mut all = Vec::new();
            for task in stream.tasks() {
                for (&index, logit) in task.train.indices.iter().zip(task.train.labels()) {
                    let class = task.data_classes[logit - task.train.classes().start];
                    assert_eq!(class, data.train.labels()[index as usize] as usize);
                }
                all.extend(task.data_classes.clone());
            }
            all.sort_unstable();
            assert_eq!(all, (0..6).collect::<Vec<_>>());
        }
        let stream = TaskStream::new(&spec(StreamKind::Permuted, 3), &data, Seeds::new(1)).unwrap();
        let last = &stream.tasks()[2];
        assert_eq!(
            (last.train.classes().start, &*last.data_classes),
            (12, &[0, 1, 2, 3, 4, 5][..])
        );
    }

    #[test]
    fn a_share_of_the_test_images_is_even_over_classes_and_order() {
        let data = data(4, 50);
        let stream = TaskStream::new(
            &spec(StreamKind::Split(ClassOrder::Fixed), 2),
            &data,
            Seeds::new(1),
        );
        let stream = stream.unwrap();
        let test = &stream.tasks()[1].test;
        for (share, each) in [
            (1.0, 50),
            (0.5, 25),
            (0.1, 5),
            (0.02, 1),
            (1e-6, 1),
            (0.031, 2),
            (0.58, 29),
        ] {
            let part = test.share(share);
            for class in test.classes() {
                assert_eq!(
                    part.labels().filter(|label| *label == class).count(),
                    each,
                    "{share}"
                );
            }
            assert!(
                part.indices.is_sorted() && part.indices.iter().all(|i| test.indices.contains(i))
            );
        }
        // Evenly apart: every fifth of a class, here of every second image.
        let apart = test.share(0.2).indices;
        assert!(apart.windows(3).all(|w| w[2] - w[0] == 20), "{apart:?}");
        assert_eq!(test.share(1.0).indices, test.indices);
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        for (fraction, validation) in [
            (0.0, 0.0),
            (1.1, 0.0),
            (f64::NAN, 0.0),
            (1.0, 1.0),
            (1.0, f64::NAN),
        ] {
            let spec = StreamSpec {
                validation,
                fraction,
                ..spec(StreamKind::Permuted, 2)
            };
            assert!(matches!(
                spec.check_classes(10),
                Err(StreamError::Share { .. })
            ));
        }
        assert_eq!(
            spec(StreamKind::Permuted, 0).check_classes(10),
            Err(StreamError::NoTasks)
        );
    }

    #[test]
    fn rotated_and_permuted_tasks_have_head_classes_of_their_own() {
        let data = data(10, 3);
        for kind in [StreamKind::Rotated(Angles::Exact), StreamKind::Permuted] {
            let stream = TaskStream::new(&spec(kind, 3), &data, Seeds::new(1)).unwrap();
            assert_eq!(stream.classes(), 30);
            let batch = stream.tasks()[2].train.batch(&[0, 11]);
            assert_eq!(batch.labels, [20, 21]);
            assert_eq!(
                batch.competing,
                [20..30, 20..30].map(crate::stream::Classes::from)
            );
        }
    }

    #[test]
    fn a_fraction_keeps_that_share() {
        let data = data(10, 10);
        let spec = StreamSpec {
            fraction: 0.3,
            ..spec(StreamKind::Split(ClassOrder::Fixed), 2)
        };
        let stream = TaskStream::new(&spec, &data, Seeds::new(1)).unwrap();
        assert_eq!(stream.tasks()[1].train.len(), 15);
        assert_eq!(stream.tasks()[1].test.len(), 50);
    }
}
