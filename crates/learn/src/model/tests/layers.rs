//! What a network says its layers see.

use super::{batch, gradient, learners, near, trained};
use crate::model::*;

/// The gradient of a layer's weight is a sum of products with its inputs, so it lies in the space that their rows span; of one image
/// that is less than all there is, in most layers. So the rows are the layer's own, and in the weight's order.
#[test]
fn gradients_of_weights_lie_in_the_space_of_the_layers_inputs() {
    // That of a cosine head has a part along the weights, too.
    let products = learners()
        .into_iter()
        .filter(|(name, ..)| *name != "cosine");
    for (name, shape, mut learner) in products {
        let learner = learner.as_mut();
        trained(learner, shape);
        let state = learner.state();
        let one = batch(1, shape, false, 5);
        let inputs = learner.layer_inputs(&one, usize::MAX).unwrap();
        assert!(learner.state() == state, "{name}");
        let slots = learner.layout().slots().to_vec();
        let weights = slots.iter().filter(|slot| slot.shape.len() > 1);
        let mut expected: Vec<_> = weights.clone().map(|slot| &*slot.name).collect();
        let mut found: Vec<_> = inputs.iter().map(|layer| &*layer.weight).collect();
        assert_eq!(found.last(), expected.last(), "{name}");
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
        let mut g = Vec::new();
        gradient(learner, &one, Mode::Evaluate, &mut g).unwrap();
        let mut told = 0;
        for slot in weights {
            let layer = inputs.iter().find(|layer| layer.weight == slot.name);
            let layer = layer.unwrap();
            let (width, rows) = (layer.width, layer.values.len() / layer.width);
            let product: usize = slot.shape[1..].iter().product();
            assert_eq!(width, product, "{name}, {}", slot.name);
            told += usize::from(rows < width);
            let mut basis: Vec<Vec<f64>> = Vec::new();
            let reduce = |row: &[f32], basis: &[Vec<f64>]| {
                let mut rest: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
                for own in [basis, basis].into_iter().flatten() {
                    let product: f64 = rest.iter().zip(own).map(|(a, b)| a * b).sum();
                    rest.iter_mut()
                        .zip(own)
                        .for_each(|(a, b)| *a -= product * b);
                }
                rest
            };
            let size = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
            for row in layer.values.chunks(width) {
                let rest = reduce(row, &basis);
                let left = size(&rest);
                if left > 1e-4 && basis.len() < width {
                    basis.push(rest.iter().map(|x| x / left).collect());
                }
            }
            let g = &g[slot.range.clone()];
            let scale = size(&g.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            for row in g.chunks(width) {
                let left = size(&reduce(row, &basis));
                assert!(
                    left <= 1e-3 * scale,
                    "{name}, {}: {left} {scale}",
                    slot.name
                );
            }
        }
        let several = slots
            .iter()
            .filter(|slot| slot.shape.len() > 1)
            .count()
            .min(2);
        assert!(told >= several, "{name}: {told}");
        // Fewer rows are some of them.
        let some = learner.layer_inputs(&one, 3).unwrap();
        for (some, all) in some.iter().zip(&inputs) {
            let mut rows = all.values.chunks(all.width);
            assert!(some.values.len() <= 3 * some.width, "{name}");
            for own in some.values.chunks(some.width) {
                assert!(rows.any(|row| row == own), "{name}");
            }
        }
        let mut small = batch(1, shape, false, 5);
        small.pixels.truncate(11);
        let refused = learner.layer_inputs(&small, 3);
        assert!(matches!(refused, Err(LearnerError::Size(_))), "{name}");
    }
}

/// With one snapshot, the layers of a network see the same on the kernels as in Burn.
#[test]
fn layers_see_the_same_on_every_engine() {
    let mut learners = learners().into_iter().peekable();
    let mut compared = 0;
    while let Some((name, shape, mut first)) = learners.next() {
        let network = name.split(',').next().unwrap();
        trained(first.as_mut(), shape);
        let some = batch(3, shape, true, 5);
        let expected = first.layer_inputs(&some, 50).unwrap();
        while let Some((name, _, mut other)) =
            learners.next_if(|(other, ..)| other.starts_with(&format!("{network},")))
        {
            other.restore(first.state()).unwrap();
            let found = other.layer_inputs(&some, 50).unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.weight, expected.weight, "{name}");
                assert_eq!(found.width, expected.width, "{name}");
                near(&found.values, &expected.values, 1e-5, name);
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 6);
}
