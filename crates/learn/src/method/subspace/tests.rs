//! Of layers by themselves, and of the two methods over whole walks.

use proptest::prelude::*;

use super::*;
use crate::method::basis::tests::assert_orthonormal;
use crate::method::testing::{
    damaged_snapshots_are_refused, learner, stream_of, tasks, walk, walk_in,
};
use crate::method::{Gpm, GpmConfig, Method, MethodContext, Plain, Sgp, SgpConfig};
use crate::model::{Mode, Wanted};

fn layer(width: usize) -> Layer {
    Layer {
        weight: "w".to_string(),
        range: 0..0,
        basis: Basis::new(width),
        importance: Vec::new(),
        projection: Vec::new(),
    }
}

/// The part of the inputs' energy that the layer's basis holds.
fn held(layer: &Layer, inputs: &[f32], vectors: usize) -> f64 {
    let rows = inputs.chunks(layer.basis.len());
    let (mut inside, mut all) = (0.0, 0.0);
    for row in rows {
        let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        all += row.iter().map(|x| x * x).sum::<f64>();
        let products = layer.basis.products(&row);
        inside += products.iter().take(vectors).map(|p| p * p).sum::<f64>();
    }
    inside / all
}

/// Some matrices of rows of one width, with columns of very different sizes.
fn matrices(count: usize) -> impl Strategy<Value = (usize, Vec<Vec<f32>>)> {
    (1_usize..14).prop_flat_map(move |width| {
        let row = prop::collection::vec(-1.0_f32..1.0, width).prop_map(|mut row| {
            for (i, x) in row.iter_mut().enumerate() {
                *x *= 0.5_f32.powi(i as i32);
            }
            row
        });
        let rows = prop::collection::vec(row, 1..20).prop_map(|rows| rows.concat());
        (Just(width), prop::collection::vec(rows, count))
    })
}

fn noise(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 1.7 + 0.3).sin()).collect()
}

fn size(values: &[f32]) -> f64 {
    let squares = values.iter().map(|x| f64::from(*x).powi(2));
    squares.sum::<f64>().sqrt()
}

proptest! {
    /// The values add up to the energy, and along every direction there is its value of it.
    #[test]
    fn a_spectrum_is_that_of_the_matrix((width, all) in matrices(1)) {
        let rows: Vec<Vec<f64>> = all[0].chunks(width).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
        let energy = energy(&rows);
        let Spectrum(found) = Spectrum::of(&rows, width, energy).unwrap();
        let sum: f64 = found.iter().map(|(value, _)| value).sum();
        prop_assert!((sum - energy).abs() <= 1e-8 * energy);
        for (i, (value, direction)) in found.iter().enumerate() {
            prop_assert!(i == 0 || found[i - 1].0 >= *value);
            let length: f64 = direction.iter().map(|x| x * x).sum();
            let along: f64 = rows.iter().map(|row| {
                let product: f64 = row.iter().zip(direction).map(|(a, b)| a * b).sum();
                product * product
            }).sum();
            prop_assert!((along / length - value).abs() <= 1e-8 * energy, "{along} {length} {value}");
        }
    }

    /// Task after task the basis holds the share, and would not with a vector less.
    #[test]
    fn the_least_number_of_vectors_holds_the_share((width, all) in matrices(3), threshold in 0.3_f64..1.0) {
        let mut layer = layer(width);
        for inputs in &all {
            let before = layer.basis.count();
            layer.learn(inputs, threshold, None).unwrap();
            let count = layer.basis.count();
            assert_orthonormal(&layer.basis);
            prop_assert!(held(&layer, inputs, count) >= threshold - 1e-6);
            prop_assert!(count == before || held(&layer, inputs, count - 1) < threshold + 1e-6);
        }
    }

    /// With all of the energy a step changes no answer to a stored input; inputs of full rank leave no step at all.
    #[test]
    fn answers_to_stored_inputs_stay_as_they_are((width, all) in matrices(2)) {
        let mut layer = layer(width);
        for inputs in &all {
            layer.learn(inputs, 1.0, None).unwrap();
        }
        let mut gradient = noise(5 * width);
        let before = size(&gradient);
        layer.remove_from(&mut gradient);
        for input in all.iter().flat_map(|inputs| inputs.chunks(width)) {
            for row in gradient.chunks(width) {
                let change: f64 = row.iter().zip(input).map(|(g, x)| f64::from(*g) * f64::from(*x)).sum();
                prop_assert!(change.abs() <= 2e-5 * before * size(input).max(size(&all[0])), "{change}");
            }
        }
        let mut identity = vec![0.0; width * width];
        identity.iter_mut().step_by(width + 1).for_each(|x| *x = 1.0);
        layer.learn(&identity, 1.0, None).unwrap();
        prop_assert_eq!(layer.basis.count(), width);
        let mut gradient = noise(5 * width);
        layer.remove_from(&mut gradient);
        prop_assert!(size(&gradient) <= 1e-5 * before);
    }

    /// Importances lie between 0 and 1 and grow with α; where they are all 1, it is GPM.
    #[test]
    fn sgp_takes_less_than_gpm_and_as_much_in_the_limit((width, all) in matrices(3), threshold in 0.3_f64..1.0) {
        let [mut gpm, mut small, mut large, mut limit] = [(); 4].map(|()| layer(width));
        for inputs in &all {
            gpm.learn(inputs, threshold, None).unwrap();
            small.learn(inputs, threshold, Some(1.0)).unwrap();
            large.learn(inputs, threshold, Some(10.0)).unwrap();
            limit.learn(inputs, threshold, Some(1e15)).unwrap();
        }
        prop_assert_eq!(&small.basis, &gpm.basis);
        for (small, large) in small.importance.iter().zip(&large.importance) {
            prop_assert!((0.0..=1.0).contains(small) && small <= large && *large <= 1.0);
        }
        let [g, l] = [&gpm, &limit].map(|layer| {
            let mut gradient = noise(3 * width);
            layer.remove_from(&mut gradient);
            gradient
        });
        for (g, l) in g.iter().zip(&l) {
            prop_assert!((g - l).abs() <= 1e-5, "{g} {l}");
        }
    }
}

/// Along axes, by hand: singular values 3 and 1, then 1 along the second and 4 along a third.
#[test]
fn importances_add_up_as_in_the_formula() {
    let mut layer = layer(4);
    let near = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} {expected:?}");
        }
    };
    let first = [3.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    layer.learn(&first, 1.0, Some(1.0)).unwrap();
    near(&layer.importance, &[1.0, 0.5]);
    let second = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0];
    layer.learn(&second, 1.0, Some(1.0)).unwrap();
    near(&layer.importance, &[1.0, 0.5 + 2.0 / 5.0, 1.0]);
    let mut gradient = [1.0, 1.0, 1.0, 1.0];
    layer.remove_from(&mut gradient);
    near(&gradient, &[0.0, 0.1, 0.0, 1.0]);
    // Nothing new: the largest is then one of the old ones'.
    layer.learn(&[0.0, 2.0, 0.0, 0.0], 1.0, Some(1.0)).unwrap();
    near(&layer.importance, &[1.0, 1.0, 1.0]);
}

#[test]
fn inputs_that_are_not_finite_are_refused() {
    let refused = layer(2).learn(&[1.0, f32::INFINITY], 0.9, None);
    assert!(matches!(refused, Err(LearnerError::NoSpectrum { .. })));
    let mut empty = layer(2);
    empty.learn(&[0.0, 0.0], 1.0, Some(3.0)).unwrap();
    assert_eq!(empty.basis.count(), 0);
}

fn context(scenario: Scenario) -> MethodContext {
    MethodContext {
        batch_size: 4,
        classes: 10,
        tasks: 5,
        all_classes: 10,
        head_classes: 10,
        features: 6,
        scenario,
        seeds: Seeds::new(2),
    }
}

fn gpm(gpm_threshold: f64, scenario: Scenario) -> Gpm {
    let config = GpmConfig {
        gpm_samples: 1000,
        gpm_threshold,
        gpm_step: 0.0,
    };
    Gpm::new(&config, &context(scenario))
}

fn sgp(sgp_scale: f64) -> Sgp {
    let config = SgpConfig {
        gpm_samples: 9,
        gpm_threshold: 0.9,
        gpm_step: 0.01,
        sgp_scale,
    };
    Sgp::new(&config, &context(Scenario::Task))
}

/// The network's answers to all training images of the first task, as far as they compete there.
fn answers(scenario: Scenario, theta: &[f32]) -> Vec<f32> {
    let mut learner = learner();
    learner
        .update(&mut |own| {
            own.copy_from_slice(theta);
            Ok(())
        })
        .unwrap();
    let mut stream = stream_of(scenario);
    stream.arrive(Some(0), 1);
    let task = &stream.tasks()[0];
    let all: Vec<usize> = (0..task.train.len()).collect();
    let batch = task.train.batch(&all);
    let logits = learner
        .forward(&batch, Mode::Evaluate, Wanted::All)
        .unwrap();
    let rows = logits.rows().zip(&batch.competing);
    let rows = rows.flat_map(|(row, set)| set.iter().map(|class| row[class]));
    rows.collect()
}

/// All of the inputs' energy kept, the network answers to the first task's images as it did when the task ended, whatever it
/// learned since.
#[test]
fn with_all_of_the_energy_nothing_is_forgotten() {
    for scenario in [Scenario::Task, Scenario::Domain, Scenario::Class] {
        let after = |tasks: usize, method: &mut dyn Method| {
            let (gradients, theta) = walk_in(stream_of(scenario), method, tasks, 4);
            (gradients, answers(scenario, &theta))
        };
        let plain = after(3, &mut Plain);
        let first = after(1, &mut gpm(1.0, scenario));
        assert_eq!(first.0[..], plain.0[..4]);
        let third = after(3, &mut gpm(1.0, scenario));
        assert!(third.0[4..].iter().any(|g| size(g) > 1e-3), "{scenario:?}");
        let distance = |found: &[f32]| {
            let pairs = found.iter().zip(&first.1);
            pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
        };
        assert!(
            distance(&third.1) < 1e-4,
            "{scenario:?} {}",
            distance(&third.1)
        );
        assert!(distance(&plain.1) > 1e-2, "{scenario:?}");
    }
}

#[test]
fn memory_is_that_of_bases_and_projections() {
    let mut method = gpm(1.0, Scenario::Task);
    walk(&mut method, 2, 2);
    // 20 images of the first task, whose inputs of the second layer have the rank of the 6 hidden values at most.
    let least = 4 * (784 * 784 + 784 * 15 + 6 * 6);
    let bytes = method.memory_bytes();
    assert!(bytes > least && bytes < least + 200_000, "{bytes}");
    let written: usize = method
        .subspaces()
        .layers
        .iter()
        .map(|l| 4 * l.basis.values().len())
        .sum();
    let most = method.growing_bytes(learner().layout(), 2);
    assert!(written as u64 <= most && most <= 4 * (785 * 785 + 2 * 49));
    let fresh = gpm(1.0, Scenario::Task);
    assert_eq!(fresh.memory_bytes(), 0);
}

#[test]
fn damaged_snapshots() {
    let mut method = gpm(0.9, Scenario::Task);
    walk(&mut method, 3, 3);
    damaged_snapshots_are_refused(&method, &mut || Box::new(gpm(0.9, Scenario::Task)));
    let mut method = sgp(3.0);
    walk(&mut method, 3, 3);
    damaged_snapshots_are_refused(&method, &mut || Box::new(sgp(3.0)));
}

/// A snapshot taken after two tasks goes on as the method itself does.
#[test]
fn a_snapshot_projects_as_the_original_does() {
    let mut method = sgp(3.0);
    walk(&mut method, 3, 3);
    let mut other = sgp(3.0);
    let state = State::from_bytes(&method.state().to_bytes().unwrap()).unwrap();
    let (tasks, mut learner) = (tasks(), learner());
    other.restore(state, &tasks, &mut learner).unwrap();
    let batch = tasks[3].train.batch(&[0, 1, 2]);
    let step = crate::method::Step {
        tasks: &tasks[..4],
        t: 3,
        positions: &[0, 1, 2],
        batch: &batch,
        learning_rate: 0.1,
    };
    let gradients = [&mut method, &mut other].map(|method| {
        let mut gradient = Vec::new();
        method.gradient(&mut learner, &step, &mut gradient).unwrap();
        gradient
    });
    assert_eq!(gradients[0], gradients[1]);
    assert_eq!(method.memory_bytes(), other.memory_bytes());
}
