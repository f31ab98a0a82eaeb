//! The way that the parameters go: what SI and `RWalk` share.
//!
//! Owns the two vectors of a step under way, the parameters before it and the batch's own gradient, and the sum over steps of
//! `−g · Δθ`, parameter by parameter: to first order, what each contributed to the fall of the loss. The update is the one that
//! the optimizer took, whichever it is.

/// A step under way; between steps its content means nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    before: Vec<f32>,
    gradient: Vec<f32>,
}

impl Path {
    /// A step begins at these parameters, with this gradient of the batch alone.
    pub(super) fn begin(&mut self, parameters: &[f32], gradient: &[f32]) {
        for (vector, values) in [
            (&mut self.before, parameters),
            (&mut self.gradient, gradient),
        ] {
            vector.clear();
            vector.extend_from_slice(values);
        }
    }

    /// It has ended at these: adds `−g · Δθ` to the sums.
    pub(super) fn add_to(&self, sums: &mut [f32], parameters: &[f32]) {
        let way = self.before.iter().zip(parameters).zip(&self.gradient);
        for (sum, ((before, after), g)) in sums.iter_mut().zip(way) {
            *sum -= g * (after - before);
        }
    }

    /// The batch's own gradient.
    pub(super) fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    /// Bytes of the two vectors.
    pub(super) fn bytes(&self) -> usize {
        (self.before.capacity() + self.gradient.capacity()) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Small steps down a parabola: the sums are what each parameter contributed to the loss's fall.
        #[test]
        fn on_a_parabola_the_sums_are_the_fall_of_the_loss(
            start in prop::collection::vec((0.1_f32..2.0, -2.0_f32..2.0), 1..6),
        ) {
            let loss = |curve: f32, x: f32| f64::from(curve) * f64::from(x).powi(2) / 2.0;
            let mut x: Vec<f32> = start.iter().map(|s| s.1).collect();
            let (mut path, mut sums) = (Path::default(), vec![0.0; x.len()]);
            for _ in 0..500 {
                let gradient: Vec<f32> = start.iter().zip(&x).map(|((curve, _), x)| curve * x).collect();
                path.begin(&x, &gradient);
                for (x, g) in x.iter_mut().zip(&gradient) {
                    *x -= 0.005 * g;
                }
                path.add_to(&mut sums, &x);
            }
            for (((curve, first), last), sum) in start.iter().zip(&x).zip(&sums) {
                let fall = loss(*curve, *first) - loss(*curve, *last);
                // The step's second order, ½ curve · 0.005 of it, is what the sum has too much.
                prop_assert!((f64::from(*sum) - fall).abs() <= 0.006 * fall + 1e-5, "{} {}", sum, fall);
            }
        }
    }
}
