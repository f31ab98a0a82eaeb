//! A quadratic penalty around earlier parameters: what EWC, online EWC, SI, MAS and `RWalk` share.
//!
//! Owns two vectors, the importance F of every parameter and the anchor a to stay near, and the arithmetic of
//! `½ s Σ_i F_i (θ_i − a_i)²` with a slope s that the method chooses (λ, 2λ, 2c). What F is, and when the anchor moves, is the
//! method's own matter.

#![allow(
    clippy::inline_always,
    reason = "a loop must be inlined where its instructions are chosen"
)]

use crate::kernels::{Level, Loop};
use crate::model::LearnerError;
use crate::optim::State;

/// Importance and anchor; both empty until the method has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Quadratic {
    /// Importance of every parameter.
    pub(super) importance: Vec<f32>,
    /// The parameters to stay near.
    pub(super) anchor: Vec<f32>,
}

/// Gradient of one parameter's term.
#[inline(always)]
pub(super) fn pull(slope: f64, importance: f32, x: f32, anchor: f32) -> f32 {
    (slope * f64::from(importance) * (f64::from(x) - f64::from(anchor))) as f32
}

/// The walk of [`Quadratic::add_gradient`].
struct Pull<'a> {
    past: &'a Quadratic,
    slope: f64,
    parameters: &'a [f32],
    gradient: &'a mut [f32],
}

impl Loop for Pull<'_> {
    #[inline(always)]
    fn run(self) {
        let terms = self.past.terms(self.parameters);
        for (g, (f, x, a)) in self.gradient.iter_mut().zip(terms) {
            *g += pull(self.slope, f, x, a);
        }
    }
}

impl Quadratic {
    /// Each parameter with its importance and its anchor.
    #[inline(always)]
    pub(super) fn terms<'a>(
        &'a self,
        parameters: &'a [f32],
    ) -> impl Iterator<Item = (f32, f32, f32)> + use<'a> {
        let terms = parameters.iter().zip(&self.anchor).zip(&self.importance);
        terms.map(|((x, anchor), importance)| (*importance, *x, *anchor))
    }

    /// `½ slope Σ F (θ − a)²`.
    pub(super) fn value(&self, slope: f64, parameters: &[f32]) -> f64 {
        let square = |(f, x, a)| f64::from(f) * (f64::from(x) - f64::from(a)).powi(2);
        0.5 * slope * self.terms(parameters).map(square).sum::<f64>()
    }

    /// Its gradient, `slope F (θ − a)`.
    pub(super) fn gradient(&self, slope: f64, parameters: &[f32]) -> Vec<f32> {
        let terms = self.terms(parameters);
        terms.map(|(f, x, a)| pull(slope, f, x, a)).collect()
    }

    /// Adds its gradient to another; a slope of 0 changes nothing, not even the sign of a zero.
    pub(super) fn add_gradient(&self, slope: f64, parameters: &[f32], gradient: &mut [f32]) {
        if let Some((slope, past)) = self.reach(slope) {
            Level::detect().run(Pull {
                past,
                slope,
                parameters,
                gradient,
            });
        }
    }

    /// Itself with the slope, where it pulls at all: a slope of 0 changes nothing, nor does a past without tasks.
    pub(super) fn reach(&self, slope: f64) -> Option<(f64, &Self)> {
        (slope != 0.0 && !self.importance.is_empty()).then_some((slope, self))
    }

    /// Moves the anchor here and makes this the importance.
    pub(super) fn put(&mut self, importance: Vec<f32>, parameters: &[f32]) {
        self.importance = importance;
        self.anchor.clear();
        self.anchor.extend_from_slice(parameters);
    }

    /// A snapshot with the two vectors, the importance under this name.
    pub(super) fn with_state<'a>(&'a self, state: State<'a>, name: &str) -> State<'a> {
        let mut state = state.with_counter("values", self.importance.len());
        state.put(name, self.importance.as_slice());
        state.put("anchor", self.anchor.as_slice());
        state
    }

    /// What [`Self::with_state`] put in, for a network of `len` parameters.
    pub(super) fn restored(
        state: &mut State<'_>,
        name: &str,
        len: usize,
    ) -> Result<Self, LearnerError> {
        let len = match state.counter("values")? {
            0 => 0,
            _ => len,
        };
        Ok(Self {
            importance: state.take(name, len)?,
            anchor: state.take("anchor", len)?,
        })
    }

    /// Bytes of the two vectors.
    pub(super) fn bytes(&self) -> usize {
        (self.importance.capacity() + self.anchor.capacity()) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The gradient is the slope of the value, which is a sum of squares.
        #[test]
        fn the_gradient_is_that_of_the_value(
            triples in prop::collection::vec((0.0_f32..3.0, -2.0_f32..2.0, -2.0_f32..2.0), 1..9),
            slope in 0.0_f64..5.0,
        ) {
            let parameters: Vec<f32> = triples.iter().map(|t| t.1).collect();
            let quadratic = Quadratic {
                importance: triples.iter().map(|t| t.0).collect(),
                anchor: triples.iter().map(|t| t.2).collect(),
            };
            let formula = |x: &[f64]| -> f64 {
                let terms = x.iter().zip(&triples);
                terms.map(|(x, (f, _, a))| slope / 2.0 * f64::from(*f) * (x - f64::from(*a)).powi(2)).sum()
            };
            let exact: Vec<f64> = parameters.iter().map(|x| f64::from(*x)).collect();
            prop_assert!((quadratic.value(slope, &parameters) - formula(&exact)).abs() < 1e-9);
            let gradient = quadratic.gradient(slope, &parameters);
            let mut added = vec![1.0; parameters.len()];
            quadratic.add_gradient(slope, &parameters, &mut added);
            for i in 0..parameters.len() {
                let at = |h: f64| {
                    let mut moved = exact.clone();
                    moved[i] += h;
                    formula(&moved)
                };
                let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
                prop_assert!((difference - f64::from(gradient[i])).abs() < 1e-5 * (1.0 + difference.abs()));
                prop_assert_eq!(added[i], 1.0 + gradient[i]);
            }
        }
    }

    #[test]
    fn without_slope_no_bit_changes() {
        let quadratic = Quadratic {
            importance: vec![1.0],
            anchor: vec![0.5],
        };
        let mut gradient = [-0.0_f32];
        quadratic.add_gradient(0.0, &[3.0], &mut gradient);
        assert!(gradient[0].is_sign_negative());
    }
}
