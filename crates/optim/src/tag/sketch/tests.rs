//! The sketch: exact where it can be, unbiased where it cannot, with the variance that is divided out.

use super::*;

fn layout(tensors: usize, len: usize) -> Layout {
    Layout::new((0..tensors).map(|i| (format!("t{i}"), vec![len])))
}

fn noise(len: usize, salt: u64) -> Vec<f32> {
    (0..len as u64)
        .map(|i| (mix(salt.wrapping_add(i.wrapping_mul(GOLDEN))) >> 40) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn short_tensors_stand_as_they_are_and_long_ones_take_d_numbers() {
    let tensors = [("a", vec![7]), ("b", vec![4, 5]), ("c", vec![16])];
    let layout = Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape)));
    let values = noise(43, 1);
    let sketch = Sketch::new(&layout, Some(16));
    assert_eq!(sketch.places(), [0..7, 7..23, 23..39]);
    let found = sketch.of(&values);
    assert_eq!(found[..7], values[..7]);
    assert_eq!(found[23..], values[27..]);
    assert_ne!(found[7..23], values[7..23]);
    assert_eq!(
        [0, 1, 2].map(|t| sketch.spread(t) > 0.0),
        [false, true, false]
    );
    let whole = Sketch::new(&layout, None);
    assert_eq!((whole.of(&values), whole.len()), (values, 43));
}

#[test]
fn one_block_is_rotated_so_its_length_stays() {
    let mut values = noise(64, 3);
    values.extend([0.0; 64]);
    let found = Sketch::new(&layout(1, 128), Some(64)).of(&values);
    let (before, after) = (product(&values, &values), product(&found, &found));
    assert!((after / before - 1.0).abs() < 1e-5, "{before} {after}");
    let spread = found.iter().filter(|x| x.abs() > 1e-3).count();
    assert!(spread > 50, "a rotation mixes");
}

/// The same two vectors in many tensors, whose signs differ: mean and variance of the estimated product are those of the
/// formulas, for any size and with a last block that is not full.
#[test]
fn products_are_right_in_the_mean_with_the_stated_variance() {
    for (len, size) in [(96, 8), (100, 32), (40, 1)] {
        let tensors = 3000;
        let layout = layout(tensors, len);
        let (a, mut b) = (noise(len, 5), noise(len, 6));
        let along = product(&a, &b) / product(&a, &a);
        for (b, a) in b.iter_mut().zip(&a) {
            *b += (0.2 - along as f32) * a;
        }
        let sketch = Sketch::new(&layout, Some(size));
        let (many_a, many_b) = (a.repeat(tensors), b.repeat(tensors));
        let (sa, sb) = (sketch.of(&many_a), sketch.of(&many_b));
        let norms = (product(&a, &a) * product(&b, &b)).sqrt();
        let cosine = product(&a, &b) / norms;
        let places = sketch.places().iter();
        let errors: Vec<f64> = places
            .map(|p| product(&sa[p.clone()], &sb[p.clone()]) / norms - cosine)
            .collect();
        let mean = errors.iter().sum::<f64>() / tensors as f64;
        let variance = errors.iter().map(|e| e * e).sum::<f64>() / tensors as f64;
        let expected = sketch.spread(0);
        let error_of_mean = (variance / tensors as f64).sqrt();
        assert!(mean.abs() < 4.0 * error_of_mean, "{len} {size}: {mean}");
        assert!(
            (variance / expected - 1.0).abs() < 0.25,
            "{len} {size}: {variance} {expected}"
        );
    }
}

#[test]
fn it_is_linear_and_has_fixed_signs() {
    let layout = layout(2, 50);
    let sketch = Sketch::new(&layout, Some(8));
    let (a, b) = (noise(100, 8), noise(100, 9));
    let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let parts = sketch.of(&a);
    for ((x, y), z) in parts.iter().zip(sketch.of(&b)).zip(sketch.of(&sum)) {
        assert!((x + y - z).abs() < 1e-5);
    }
    // So that checkpoints stay readable: the first signs of the first tensor.
    assert_eq!(Bits::of(0, 0).next(), 0x951e_e307_6ec1_68c7);
    assert_eq!(sketch.of(&a), parts);
}
