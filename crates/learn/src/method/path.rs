//! The way that the parameters go: what SI and `RWalk` share.
//!
//! Owns the two vectors of a step under way, the parameters before it and the batch's own gradient, and the sum over steps of
//! `−g · Δθ`, parameter by parameter: to first order, what each contributed to the fall of the loss. The update is the one that
//! the optimizer took, whichever it is.

#![allow(
    clippy::inline_always,
    reason = "a loop must be inlined where its instructions are chosen"
)]

use super::quadratic::{Quadratic, pull};
use crate::kernels::{Level, Loop};

/// A step under way; between steps its content means nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    before: Vec<f32>,
    gradient: Vec<f32>,
}

impl Path {
    /// A step begins at these parameters, with this gradient of the batch alone, to which that of a penalty is added
    /// ([`Quadratic::add_gradient`]).
    pub(super) fn begin(
        &mut self,
        parameters: &[f32],
        gradient: &mut [f32],
        past: &Quadratic,
        slope: f64,
    ) {
        self.before.resize(parameters.len(), 0.0);
        self.gradient.resize(parameters.len(), 0.0);
        let path = self;
        Level::detect().run(Begin {
            path,
            parameters,
            gradient,
            past: past.reach(slope),
        });
    }

    /// It has ended at these: adds `−g · Δθ` to the sums.
    pub(super) fn add_to(&self, sums: &mut [f32], parameters: &[f32]) {
        let path = self;
        Level::detect().run(Fall {
            path,
            parameters,
            sums,
        });
    }

    /// The same, and adds the squares of the gradient to sums of their own.
    pub(super) fn add_with_squares(
        &self,
        sums: &mut [f32],
        squares: &mut [f32],
        parameters: &[f32],
    ) {
        let path = self;
        Level::detect().run(FallAndSquares {
            path,
            parameters,
            sums,
            squares,
        });
    }

    /// Bytes of the two vectors.
    pub(super) fn bytes(&self) -> usize {
        (self.before.capacity() + self.gradient.capacity()) * size_of::<f32>()
    }
}

/// The walk of [`Path::begin`]: copies and penalty while a value is at hand.
struct Begin<'a> {
    path: &'a mut Path,
    parameters: &'a [f32],
    gradient: &'a mut [f32],
    past: Option<(f64, &'a Quadratic)>,
}

impl Loop for Begin<'_> {
    #[inline(always)]
    fn run(self) {
        let Path { before, gradient } = self.path;
        let copies = before.iter_mut().zip(gradient);
        let values = self.gradient.iter_mut().zip(self.parameters);
        if let Some((slope, past)) = self.past {
            let terms = past.terms(self.parameters);
            for (((before, copy), (g, x)), (f, _, a)) in copies.zip(values).zip(terms) {
                (*before, *copy) = (*x, *g);
                *g += pull(slope, f, *x, a);
            }
        } else {
            for ((before, copy), (g, x)) in copies.zip(values) {
                (*before, *copy) = (*x, *g);
            }
        }
    }
}

/// The walk of [`Path::add_to`].
struct Fall<'a> {
    path: &'a Path,
    parameters: &'a [f32],
    sums: &'a mut [f32],
}

impl Loop for Fall<'_> {
    #[inline(always)]
    fn run(self) {
        let Path { before, gradient } = self.path;
        let way = before.iter().zip(self.parameters).zip(gradient);
        for (sum, ((before, after), g)) in self.sums.iter_mut().zip(way) {
            *sum -= g * (after - before);
        }
    }
}

/// The walk of [`Path::add_with_squares`].
struct FallAndSquares<'a> {
    path: &'a Path,
    parameters: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Loop for FallAndSquares<'_> {
    #[inline(always)]
    fn run(self) {
        let Path { before, gradient } = self.path;
        let way = before.iter().zip(self.parameters).zip(gradient);
        let sums = self.sums.iter_mut().zip(self.squares);
        for ((sum, square), ((before, after), g)) in sums.zip(way) {
            *sum -= g * (after - before);
            *square += g * g;
        }
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
                let mut gradient: Vec<f32> = start.iter().zip(&x).map(|((curve, _), x)| curve * x).collect();
                path.begin(&x, &mut gradient, &Quadratic::default(), 0.0);
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
