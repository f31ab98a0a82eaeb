use super::*;
use crate::data::ImageShape;
use crate::stream::{Classes, TrainingClasses};
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
        sizes: None,
        first_tasks: None,
        validation: 0.0,
        fraction: 1.0,
        samples_per_task: None,
        scaling: Scaling::Unit,
        protocol: Protocol::default(),
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
        assert!(part.indices.is_sorted() && part.indices.iter().all(|i| test.indices.contains(i)));
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

fn of(scenario: Scenario, training: TrainingClasses, kind: StreamKind) -> TaskStream {
    let spec = StreamSpec {
        protocol: Protocol { scenario, training },
        ..spec(kind, 3)
    };
    TaskStream::new(&spec, &data(6, 4), Seeds::new(1)).unwrap()
}

#[test]
fn with_one_head_all_tasks_share_its_classes() {
    let kinds = [
        StreamKind::Split(ClassOrder::Fixed),
        StreamKind::Rotated(Angles::Exact),
        StreamKind::Permuted,
    ];
    for (kind, classes) in kinds.into_iter().zip([2, 6, 6]) {
        let mut stream = of(Scenario::Domain, TrainingClasses::Seen, kind);
        assert_eq!(stream.classes(), classes);
        stream.arrive(Some(1), 2);
        for task in stream.tasks() {
            let batch = task.train.batch(&[0, 1, 2, 3]);
            assert!(batch.labels.iter().all(|label| *label < classes));
            assert_eq!(batch.competing, vec![Classes::from(0..classes); 4]);
            assert_eq!(*task.test.competing(), (0..classes).into());
            assert_eq!(task.data_classes.len(), classes);
        }
    }
}

#[test]
fn classes_compete_as_they_come() {
    let kind = StreamKind::Split(ClassOrder::Fixed);
    let mut stream = of(Scenario::Class, TrainingClasses::Seen, kind);
    assert_eq!(stream.classes(), 6);
    for t in 0..3 {
        stream.arrive(Some(t), t + 1);
        let seen = Classes::from(0..2 * (t + 1));
        for task in &stream.tasks()[..=t] {
            assert_eq!(
                (task.train.competing(), task.test.competing()),
                (&seen, &seen)
            );
            assert_eq!(task.train.batch(&[0]).competing[0], seen);
        }
    }
    let mut present = of(Scenario::Class, TrainingClasses::Present, kind);
    present.arrive(Some(1), 2);
    let sets: Vec<_> = present
        .tasks()
        .iter()
        .map(|t| t.train.competing().clone())
        .collect();
    assert_eq!(sets[..2], [0..4, 2..4].map(Classes::from));
    present.arrive(None, 3);
    let together = |task: &Task| *task.train.competing() == (0..6).into();
    assert!(present.tasks().iter().all(together));
}

#[test]
fn a_task_is_learned_from_as_many_images_as_it_is_told() {
    let mut spec = spec(StreamKind::Permuted, 2);
    spec.samples_per_task = Some(7);
    let stream = TaskStream::new(&spec, &data(6, 4), Seeds::new(1)).unwrap();
    let of = |t: usize| &stream.tasks()[t].train;
    assert_eq!((of(0).len(), of(1).len()), (7, 7));
    assert!(of(0).indices.is_sorted() && of(0).indices != of(1).indices);
    spec.samples_per_task = Some(25);
    let error = TaskStream::new(&spec, &data(6, 4), Seeds::new(1)).unwrap_err();
    assert!(error.to_string().contains("24 training images"), "{error}");
}

#[test]
fn order_and_images_have_seeds_of_their_own() {
    let spec = StreamSpec {
        fraction: 0.5,
        ..spec(StreamKind::Split(ClassOrder::Seeded), 3)
    };
    let stream = |order, data_seed| {
        let (order, data) = (Seeds::new(order), Seeds::new(data_seed));
        let seeds = StreamSeeds { order, data };
        let stream = TaskStream::new(&spec, &super::tests::data(6, 20), seeds).unwrap();
        let tasks = stream.tasks().iter();
        let parts = tasks.map(|t| (t.data_classes.clone(), t.train.indices.clone()));
        parts.unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let (order, images) = stream(1, 1);
    assert_eq!(stream(1, 2).0, order);
    assert_ne!(stream(1, 2).1, images);
    assert_ne!(stream(2, 1).0, order);
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

/// Classes are a partition in the order of the lists, heads follow each other, and what competes follows the sizes.
#[test]
fn tasks_of_different_sizes_follow_each_other() {
    let data = crate::data::embedded::mnist_sample().unwrap();
    let mut spec = StreamSpec {
        sizes: Some(Arc::from([3, 2, 5])),
        protocol: Protocol {
            scenario: Scenario::Class,
            ..Protocol::default()
        },
        ..spec(StreamKind::Split(ClassOrder::Fixed), 3)
    };
    let mut stream = TaskStream::new(&spec, &data, Seeds::new(1)).unwrap();
    let ranges = stream.tasks().iter().map(|task| task.train.classes());
    assert_eq!(ranges.collect::<Vec<_>>(), [0..3, 3..5, 5..10]);
    let classes = stream.tasks().iter().map(|task| task.data_classes.clone());
    assert_eq!(
        classes.collect::<Vec<_>>().concat(),
        (0..10).collect::<Vec<_>>()
    );
    assert_eq!(stream.classes(), 10);
    for task in stream.tasks() {
        let own = task.train.classes();
        assert!(task.train.labels().all(|label| own.contains(&label)));
    }
    stream.arrive(Some(1), 2);
    assert_eq!(stream.tasks()[0].test.competing(), &Classes::from(0..5));
    spec.protocol.scenario = Scenario::Task;
    let stream = TaskStream::new(&spec, &data, Seeds::new(1)).unwrap();
    assert_eq!(stream.tasks()[2].test.competing(), &Classes::from(5..10));
    let refused = |spec: &StreamSpec| spec.check_classes(10).unwrap_err().to_string();
    spec.protocol.scenario = Scenario::Domain;
    assert!(refused(&spec).contains("one head for all tasks"));
    spec.protocol.scenario = Scenario::Task;
    spec.sizes = Some(Arc::from([3, 2, 4]));
    assert!(refused(&spec).contains("9 in all, and there are 10 classes in 3 tasks"));
    spec.sizes = Some(Arc::from([5, 5]));
    assert!(refused(&spec).contains("in 3 tasks"));
    spec.sizes = Some(Arc::from([1, 4, 5]));
    assert!(refused(&spec).contains("at least two"));
}
