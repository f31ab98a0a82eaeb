//! What every [`Learner`] owes: one table of networks, and the trait's promises on each of them.

mod beside_burn;
mod layers;

use std::sync::Arc;

use burn::tensor::Device;

use super::*;
use crate::data::{ImageSet, ImageShape};
use crate::seed::Seeds;
use crate::stream::{
    Batch, ClassOrder, Classes, Protocol, Scaling, StreamKind, StreamSpec, TaskStream,
};

pub(super) const CLASSES: usize = 6;

type Deed<'a> = &'a dyn Fn(&mut dyn Learner);

/// Every network on every engine, with dropout where it has some, and the images that it takes.
fn learners() -> Vec<(&'static str, ImageShape, Box<dyn Learner>)> {
    let device = Device::flex().autodiff();
    let init = || Seeds::new(3).stream("init");
    let dropout = |p| Dropout::new(p, Seeds::new(3).stream("dropout"));
    let mut all: Vec<(&'static str, ImageShape, Box<dyn Learner>)> = Vec::new();

    let small = ImageShape::new(1, 5, 5);
    let mlp = MlpConfig {
        inputs: 25,
        hidden: 19,
        classes: CLASSES,
    };
    let burn = NetworkLearner::new(mlp.init(&mut init(), &device), dropout(0.2), &device);
    all.push(("MLP, Burn", small, Box::new(burn)));
    let kernels = KernelFeedForward::mlp(&mlp, &mut init(), dropout(0.2));
    all.push(("MLP, kernels", small, Box::new(kernels)));

    let linear = LinearNet::new(25, CLASSES, &mut init(), &device);
    let linear = NetworkLearner::new(linear, Dropout::off(), &device);
    all.push(("linear", small, Box::new(linear)));
    let cosine = CosineNet::new((25, CLASSES), 10.0, &mut init(), &device);
    let cosine = NetworkLearner::new(cosine, Dropout::off(), &device);
    all.push(("cosine", small, Box::new(cosine)));

    let image = ImageShape::new(2, 25, 25);
    let reduced = ReducedResNetConfig {
        image,
        width: 4,
        classes: CLASSES,
    };
    for (name, stock) in [
        ("reduced ResNet, Burn", true),
        ("reduced ResNet, trunk in Burn", false),
    ] {
        let mut network = reduced.init(&mut init(), &device);
        network.stock = stock;
        let learner = NetworkLearner::new(network, dropout(0.2), &device);
        all.push((name, image, Box::new(learner)));
    }
    let kernels = KernelResNet::new(&reduced, &mut init(), dropout(0.2), 2).unwrap();
    all.push(("reduced ResNet, kernels", image, Box::new(kernels)));

    let slim = SlimResNetConfig {
        image,
        width: 4,
        classes: CLASSES,
    };
    for (name, stock) in [
        ("slim ResNet, Burn", true),
        ("slim ResNet, trunk in Burn", false),
    ] {
        let mut network = slim.init(&mut init(), &device);
        network.stock = stock;
        let learner = NetworkLearner::new(network, Dropout::off(), &device);
        all.push((name, image, Box::new(learner)));
    }
    let kernels = KernelResNet::new(&slim, &mut init(), Dropout::off(), 2).unwrap();
    all.push(("slim ResNet, kernels", image, Box::new(kernels)));

    let image = ImageShape::new(2, 13, 13);
    let alexnet = AlexNetConfig {
        image,
        classes: CLASSES,
    };
    let by_layer = || Dropout::by_layer(Seeds::new(3).stream("dropout"));
    let burn = alexnet.init(&mut init(), &device).unwrap();
    let burn = NetworkLearner::new(burn, by_layer(), &device);
    all.push(("AlexNet, Burn", image, Box::new(burn)));
    let kernels = KernelFeedForward::alexnet(&alexnet, &mut init(), by_layer(), 2).unwrap();
    all.push(("AlexNet, kernels", image, Box::new(kernels)));

    let image = ImageShape::new(1, 8, 8);
    let lenet = LeNetConfig {
        image,
        classes: CLASSES,
    };
    let learner = NetworkLearner::new(lenet.init(&mut init(), &device), Dropout::off(), &device);
    all.push(("LeNet", image, Box::new(learner)));
    all
}

pub(super) fn batch(size: usize, shape: ImageShape, mixed: bool, salt: usize) -> Batch {
    let values = size * shape.channels * shape.height * shape.width;
    let mut noise = Seeds::new(salt as u64).stream("pixels");
    let half = CLASSES / 2;
    let first = |i: usize| half * usize::from(mixed && i % 3 == 1);
    Batch {
        pixels: (0..values).map(|_| noise.unit()).collect(),
        shape,
        labels: (0..size).map(|i| first(i) + i % half).collect(),
        competing: (0..size)
            .map(|i| (first(i)..first(i) + half).into())
            .collect(),
    }
}

/// Forward pass, mean cross-entropy, backward pass.
pub(super) fn gradient(
    learner: &mut dyn Learner,
    batch: &Batch,
    mode: Mode,
    gradient: &mut Vec<f32>,
) -> Result<f32, LearnerError> {
    let logits = learner.forward(batch, mode, Wanted::Competing)?;
    let (loss, d_logits) = cross_entropy(logits, &batch.labels, &batch.competing)?;
    learner.backward(&d_logits, gradient)?;
    Ok(loss)
}

pub(super) fn descend(learner: &mut dyn Learner, gradient: &[f32]) {
    let mut step = |theta: &mut [f32]| {
        let pairs = theta.iter_mut().zip(gradient);
        pairs.for_each(|(p, g)| *p -= 0.05 * g);
        Ok(())
    };
    learner.update(&mut step).unwrap();
}

/// A few steps, so that running statistics and parameters are not those of the beginning.
fn trained(learner: &mut dyn Learner, shape: ImageShape) {
    let mut g = Vec::new();
    for salt in 0..3 {
        gradient(
            learner,
            &batch(7, shape, salt == 1, salt),
            Mode::Train,
            &mut g,
        )
        .unwrap();
        descend(learner, &g);
    }
}

/// Equal but for rounding, on the scale of the largest value.
pub(super) fn near(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    let scale = b.iter().fold(1e-3_f32, |m, x| m.max(x.abs()));
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, {i}: {a} {b}");
    }
}

/// Mean loss in double precision, with the dropout masks that come from this place on.
fn loss_at(learner: &mut dyn Learner, batch: &Batch, mode: Mode, counters: Counters) -> f64 {
    learner.set_counters(counters);
    let logits = learner.forward(batch, mode, Wanted::All).unwrap();
    let judged = head::judge_rows(logits, &batch.labels, &batch.competing);
    judged.loss()
}

#[test]
fn gradients_match_differences_tensor_by_tensor() {
    for (name, shape, mut learner) in learners() {
        let learner = learner.as_mut();
        trained(learner, shape);
        let batch = batch(5, shape, true, 9);
        for mode in [Mode::Train, Mode::Evaluate] {
            let (mut g, counters) = (Vec::new(), learner.counters());
            gradient(learner, &batch, mode, &mut g).unwrap();
            let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let (theta, all) = (learner.parameters().to_vec(), norm(&g));
            let mut checked = 0;
            // Through two convolutions a block, the kinks of a norm's small slope are as large as its rounding. Smaller
            // slopes show in double precision (`kernels::resnet`, tools/make_golden_slim_resnet.py).
            let least = if name.starts_with("slim") { 0.1 } else { 1e-2 };
            for slot in learner.layout().slots().to_vec() {
                let own = &g[slot.range.clone()];
                let slope = norm(own);
                // Convolutions before a norm have biases without influence; rounding would be all there is to see.
                if slope < least * all {
                    continue;
                }
                checked += 1;
                // Along the gradient. A long step crosses kinks of ReLU, a short one drowns in rounding: between them a
                // right gradient shows, and a wrong one nowhere.
                let mut at = |h: f64| {
                    let mut moved = theta.clone();
                    for (p, g) in moved[slot.range.clone()].iter_mut().zip(own) {
                        *p += (h * f64::from(*g) / slope) as f32;
                    }
                    let mut put = |parameters: &mut [f32]| {
                        parameters.copy_from_slice(&moved);
                        Ok(())
                    };
                    learner.update(&mut put).unwrap();
                    loss_at(learner, &batch, mode, counters)
                };
                let errors = [3e-3, 1e-3, 3e-4, 1e-4].map(|h| {
                    let h = h / all;
                    ((at(h) - at(-h)) / (2.0 * h) / slope - 1.0).abs()
                });
                assert!(
                    errors.iter().any(|e| *e < 0.02),
                    "{name}, {mode:?}, {}: {errors:?}",
                    slot.name
                );
            }
            let enough = learner.layout().slots().len().min(4);
            assert!(checked >= enough, "{name}: {checked} tensors");
            let mut put = |parameters: &mut [f32]| {
                parameters.copy_from_slice(&theta);
                Ok(())
            };
            learner.update(&mut put).unwrap();
        }
    }
}

#[test]
fn modes_change_what_they_say() {
    for (name, shape, mut learner) in learners() {
        let learner = learner.as_mut();
        trained(learner, shape);
        let batch = batch(4, shape, true, 5);
        let before = learner.state();
        let values = |learner: &mut dyn Learner, mode| {
            let logits = learner.forward(&batch, mode, Wanted::All).unwrap();
            assert_eq!(
                (logits.rows().len(), logits.classes()),
                (4, CLASSES),
                "{name}"
            );
            logits.values().to_vec()
        };
        let evaluated = values(learner, Mode::Evaluate);
        assert!(
            learner.state() == before,
            "{name}: evaluation changes nothing"
        );
        assert_eq!(values(learner, Mode::Evaluate), evaluated, "{name}");
        let observed = values(learner, Mode::Observe);
        let after = learner.state();
        assert!(
            after != before,
            "{name}: dropout was drawn or statistics moved"
        );
        assert!(matches!(
            learner.backward(&[0.0; 4 * CLASSES], &mut Vec::new()),
            Err(LearnerError::NoForward)
        ));
        learner.restore(before).unwrap();
        assert_eq!(
            values(learner, Mode::Train),
            observed,
            "{name}: one pass, two modes"
        );
        assert!(learner.state() == after, "{name}: training observes");
        assert_eq!(learner.counters().batches, 4, "{name}");
    }
}

#[test]
fn a_backward_pass_needs_its_forward_pass() {
    let none = |found: Result<(), LearnerError>| matches!(found, Err(LearnerError::NoForward));
    for (name, shape, mut learner) in learners() {
        let learner = learner.as_mut();
        let batch = batch(3, shape, false, 1);
        let d = vec![0.01; 3 * CLASSES];
        let (mut g, mut again) = (Vec::new(), Vec::new());
        assert!(none(learner.backward(&d, &mut g)), "{name}: none yet");
        assert!(
            matches!(learner.features(), Err(LearnerError::NoForward)),
            "{name}"
        );
        let counters = learner.counters();
        learner.forward(&batch, Mode::Train, Wanted::All).unwrap();
        let error = learner.backward(&d[1..], &mut g).unwrap_err().to_string();
        assert!(
            error.contains("17") && error.contains("18"),
            "{name}: {error}"
        );
        learner.backward(&d, &mut g).unwrap();
        assert!(none(learner.backward(&d, &mut again)), "{name}: one a pass");
        assert_eq!(learner.features().unwrap().len() % 3, 0, "{name}");
        // The same pass again, into a vector that holds something.
        learner.set_counters(counters);
        learner.forward(&batch, Mode::Train, Wanted::All).unwrap();
        again.resize(7, f32::NAN);
        learner.backward(&d, &mut again).unwrap();
        assert_eq!(g, again, "{name}");
        let state = learner.state();
        let forgetting: [Deed<'_>; 4] = [
            &|learner| learner.update(&mut |_| Ok(())).unwrap(),
            &|learner| learner.restore(state.clone()).unwrap(),
            &|learner| learner.load(&learner.weights().unwrap()).unwrap(),
            &|learner| {
                let mut empty = Batch::empty(shape);
                let error = learner
                    .forward(&empty, Mode::Train, Wanted::All)
                    .map(|_| ());
                assert!(matches!(error, Err(LearnerError::EmptyBatch)), "{name}");
                empty.append(batch.clone());
                empty.pixels.truncate(11);
                let error = learner
                    .forward(&empty, Mode::Observe, Wanted::All)
                    .map(|_| ());
                assert!(matches!(error, Err(LearnerError::Size(_))), "{name}");
            },
        ];
        for forget in forgetting {
            learner
                .forward(&batch, Mode::Evaluate, Wanted::All)
                .unwrap();
            forget(learner);
            assert!(none(learner.backward(&d, &mut g)), "{name}: forgotten");
        }
    }
}

#[test]
fn a_snapshot_goes_on_as_the_original_does() {
    for ((name, shape, mut learner), (_, _, mut other)) in learners().into_iter().zip(learners()) {
        trained(learner.as_mut(), shape);
        let bytes = learner.state().to_bytes().unwrap();
        other
            .restore(crate::optim::State::from_bytes(&bytes).unwrap())
            .unwrap();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for salt in 7..9 {
            let batch = batch(4, shape, true, salt);
            let first = gradient(learner.as_mut(), &batch, Mode::Train, &mut a).unwrap();
            let second = gradient(other.as_mut(), &batch, Mode::Train, &mut b).unwrap();
            assert_eq!((first, &a), (second, &b), "{name}");
            descend(learner.as_mut(), &a);
            descend(other.as_mut(), &b);
        }
        assert!(learner.state() == other.state(), "{name}");
        assert_eq!(
            learner.weights().unwrap(),
            other.weights().unwrap(),
            "{name}"
        );
        // A snapshot of another network is refused whole.
        let stranger = MlpConfig {
            inputs: 3,
            hidden: 2,
            classes: 2,
        };
        let stranger =
            KernelFeedForward::mlp(&stranger, &mut Seeds::new(1).stream("init"), Dropout::off());
        assert!(other.restore(stranger.state()).is_err(), "{name}");
        assert!(other.load(&stranger.weights().unwrap()).is_err(), "{name}");
        assert!(learner.state() == other.state(), "{name}");
    }
}

fn samples(shape: ImageShape) -> TaskStream {
    let images = 50;
    let values = images * shape.channels * shape.height * shape.width;
    let pixels = (0..values).map(|i| (i * 37 % 256) as u8).collect();
    let labels = (0..images).map(|i| (i % CLASSES) as u16).collect();
    let set = Arc::new(ImageSet::new(shape, pixels, labels, CLASSES).unwrap());
    let spec = StreamSpec {
        kind: StreamKind::Split(ClassOrder::Fixed),
        tasks: 2,
        sizes: None,
        first_tasks: None,
        validation: 0.0,
        fraction: 1.0,
        samples_per_task: None,
        scaling: Scaling::Unit,
        protocol: Protocol::default(),
    };
    TaskStream::from_sets(&spec, &set, &set, Seeds::new(1)).unwrap()
}

#[test]
fn evaluation_does_not_depend_on_threads_or_batches() {
    for (name, shape, mut learner) in learners() {
        trained(learner.as_mut(), shape);
        let stream = samples(shape);
        let test = &stream.tasks()[1].test;
        let one = learner.evaluate(test, 4, 1).unwrap();
        assert_eq!(one.total, test.len(), "{name}");
        for threads in [2, 3] {
            assert_eq!(learner.evaluate(test, 4, threads).unwrap(), one, "{name}");
        }
        let whole = learner.evaluate(test, 100, 2).unwrap();
        assert_eq!(whole.correct, one.correct, "{name}");
        assert!((whole.loss() - one.loss()).abs() < 1e-6, "{name}");
        // By hand, from the logits of a forward pass in evaluation mode.
        let positions: Vec<usize> = (0..test.len()).collect();
        let batch = test.batch(&positions);
        let logits = learner
            .forward(&batch, Mode::Evaluate, Wanted::All)
            .unwrap();
        let by_hand = head::judge_rows(logits, &batch.labels, &batch.competing);
        assert_eq!(by_hand.correct, one.correct, "{name}");
        assert!((by_hand.loss() - one.loss()).abs() < 1e-5, "{name}");
    }
}

#[test]
fn a_frozen_copy_stays_as_it_was() {
    for (name, shape, mut learner) in learners() {
        let learner = learner.as_mut();
        trained(learner, shape);
        let batch = batch(6, shape, true, 4);
        let tensors: Vec<Vec<f32>> = learner.tensors().into_iter().map(|t| t.values).collect();
        let frozen = learner.frozen();
        let logits = learner
            .forward(&batch, Mode::Evaluate, Wanted::All)
            .unwrap()
            .values()
            .to_vec();
        let features = learner.features().unwrap().to_vec();
        let scores = frozen.scores(&batch, Wanted::All).unwrap();
        near(&scores, &logits, 1e-5, name);
        near(&frozen.features(&batch).unwrap(), &features, 1e-5, name);
        assert_eq!(frozen.classes(), CLASSES, "{name}");
        // What competes has the same numbers, wanted alone or with the rest.
        let mut some = batch.clone();
        let sets = (0..6).map(|i| Classes::from_iter([i % 3, 4, 5]));
        some.competing = sets.collect();
        let parts = frozen.scores(&some, Wanted::Competing).unwrap();
        let passed = learner
            .forward(&some, Mode::Evaluate, Wanted::Competing)
            .unwrap();
        for (i, set) in some.competing.iter().enumerate() {
            assert!(passed.has(i, set), "{name}");
            for class in set.iter() {
                let at = i * CLASSES + class;
                assert_eq!(parts[at].to_bits(), scores[at].to_bits(), "{name}");
                assert_eq!(
                    passed.values()[at].to_bits(),
                    logits[at].to_bits(),
                    "{name}"
                );
            }
        }
        trained(learner, shape);
        assert_eq!(
            frozen.scores(&batch, Wanted::All).unwrap(),
            scores,
            "{name}"
        );
        assert_ne!(
            learner.frozen().scores(&batch, Wanted::All).unwrap(),
            scores,
            "{name}"
        );
        // A teacher out of a snapshot, and the learner none the wiser.
        let now = learner.state();
        let teacher = learner.frozen_with(tensors);
        assert_eq!(
            teacher.scores(&batch, Wanted::All).unwrap(),
            scores,
            "{name}"
        );
        assert!(learner.state() == now, "{name}");
    }
}

#[test]
fn classes_that_the_head_lacks_or_nobody_wanted_are_refused() {
    for (name, shape, mut learner) in learners() {
        let mut batch = batch(2, shape, false, 1);
        let labels = batch.labels.clone();
        let others = vec![Classes::from(3..CLASSES); 2];
        let logits = learner
            .forward(&batch, Mode::Train, Wanted::Competing)
            .unwrap();
        cross_entropy(logits, &labels, &batch.competing).unwrap();
        let error = competing_cross_entropy(logits, &labels, &others).unwrap_err();
        assert!(
            matches!(error, LearnerError::NotWanted { .. }),
            "{name}: {error}"
        );
        let logits = learner.forward(&batch, Mode::Train, Wanted::All).unwrap();
        competing_cross_entropy(logits, &labels, &others).unwrap();
        let logits = learner
            .forward(&batch, Mode::Train, Wanted::Nothing)
            .unwrap();
        assert!(
            cross_entropy(logits, &labels, &batch.competing).is_err(),
            "{name}"
        );

        let state = learner.state();
        batch.competing.fill(Classes::from(4..CLASSES + 1));
        for wanted in [Wanted::Competing, Wanted::All] {
            let error = learner.frozen().scores(&batch, wanted).unwrap_err();
            assert!(
                matches!(error, LearnerError::Classes { head: CLASSES, .. }),
                "{error}"
            );
            let error = learner.forward(&batch, Mode::Train, wanted).map(|_| ());
            assert!(matches!(
                error,
                Err(LearnerError::Classes { head: CLASSES, .. })
            ));
        }
        batch.competing.truncate(1);
        let error = learner
            .forward(&batch, Mode::Train, Wanted::Competing)
            .map(|_| ());
        assert!(matches!(
            error,
            Err(LearnerError::Length {
                expected: 2,
                found: 1,
                ..
            })
        ));
        assert!(learner.state() == state, "{name}: nothing changed");
    }
}

/// What a method is built from is read off the head: its weights are `[classes, features]`, and it sees so many features.
#[test]
fn every_head_says_how_many_features_it_sees() {
    for spec in MODELS {
        let shapes = [(1, 28), (3, 32), (3, 64), (3, 84)];
        let shapes = shapes.map(|(channels, side)| ImageShape::new(channels, side, side));
        let image = shapes
            .into_iter()
            .find(|&shape| (spec.check)(shape).is_ok());
        let context = ModelContext {
            image: image.unwrap(),
            classes: CLASSES,
            hidden: Some(7),
            scale: None,
            initial: InitialValues::PyTorch,
            dropout: 0.0,
            init: Seeds::new(1),
            seeds: Seeds::new(1),
            threads: 1,
        };
        let mut learner = (spec.build)(&context).unwrap();
        let name = format!("{}.weight", spec.head);
        let slot = learner
            .layout()
            .slots()
            .iter()
            .find(|slot| slot.name == name);
        let shape = slot.unwrap().shape.clone();
        let batch = batch(2, image.unwrap(), false, 1);
        learner
            .forward(&batch, Mode::Evaluate, Wanted::All)
            .unwrap();
        let features = learner.features().unwrap().len() / 2;
        assert_eq!(shape, [CLASSES, features], "{}", spec.name);
    }
}
