//! SI: synaptic intelligence (Zenke, Poole, Ganguli; ICML 2017).
//!
//! While a task is learned, every parameter adds up what it contributes to the fall of the loss (eq. 3), `ω_i = −Σ g_i Δθ_i`.
//! When the task ends, that becomes an importance by the distance that the parameter went (eq. 5), and later tasks pay for
//! moving away from where it ended (eq. 4):
//!
//! ```text
//! Ω_i ← Ω_i + ω_i / ((θ_i − θ_i^start)² + ξ),    penalty c Σ_i Ω_i (θ_i − θ*_i)²
//! ```
//!
//! Departures and readings:
//! 1. g is the gradient of the batch's own loss, without the penalty's, and Δθ the whole update, whichever optimizer took it, as
//!    in the authors' code.
//! 2. A sum below 0 becomes 0 when it enters Ω (`relu` in the authors' code); the paper does not say what a penalty with a
//!    negative weight would be.
//! 3. [`SiConfig::si_clip`] is what Mammoth does: every component of the whole gradient is cut to `[−clip, clip]` before the
//!    optimizer takes it, in every step, while ω takes the gradient as it was. Neither paper nor authors' code have it.
//! 4. The last task's Ω is computed, too, though nothing uses it.

use super::path::Path;
use super::quadratic::Quadratic;
use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::settings::{RealRange, SettingsSpec, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// SI's settings.
    pub struct SiConfig {
        /// SI's weight of the penalty, c.
        si_strength: f64 = fixed(0.1), range RealRange::FROM_ZERO;
        /// SI's damping ξ: what is added to the squared distance that a parameter went.
        si_damping: f64 = fixed(0.1), range RealRange::POSITIVE;
        /// What SI cuts every component of the gradient to, as Mammoth does with 1; as it comes, if it is not set.
        si_clip: Option<f64> = fixed(None), range RealRange::POSITIVE;
    }
}

/// Synaptic intelligence.
pub(super) static SI: MethodSpec = MethodSpec {
    name: "si",
    paper_name: "SI",
    description: "Synaptic intelligence: a penalty for changing what made the loss of earlier tasks fall.",
    source: "Zenke et al., ICML 2017",
    settings: SettingsSpec::of::<SiConfig>("si"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["si_strength"],
    passes: |_| Passes::ONE,
    build: |own, _| Ok(Box::new(Si::new(typed::<SiConfig>(own)?.clone()))),
};

/// The method.
#[derive(Clone, Debug)]
pub struct Si {
    config: SiConfig,
    /// Ω, and the parameters at the present task's start, which are those of the last one's end; empty before the first task.
    past: Quadratic,
    /// ω of the present task so far.
    contribution: Vec<f32>,
    path: Path,
}

impl Si {
    /// SI before any task.
    #[must_use]
    pub fn new(config: SiConfig) -> Self {
        Self {
            config,
            past: Quadratic::default(),
            contribution: Vec::new(),
            path: Path::default(),
        }
    }
}

impl Method for Si {
    fn begin_task(
        &mut self,
        _t: usize,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let parameters = learner.parameters();
        if self.past.importance.is_empty() {
            self.past.put(vec![0.0; parameters.len()], parameters);
        }
        self.contribution.clear();
        self.contribution.resize(parameters.len(), 0.0);
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let loss = batch_gradient(learner, step.batch, gradient)?;
        let parameters = learner.parameters();
        let slope = 2.0 * self.config.si_strength;
        self.path.begin(parameters, gradient, &self.past, slope);
        if let Some(clip) = self.config.si_clip {
            let clip = clip as f32;
            for g in gradient.iter_mut() {
                *g = g.clamp(-clip, clip);
            }
        }
        Ok(loss)
    }

    fn after_update(
        &mut self,
        learner: &mut dyn Learner,
        _step: &Step<'_>,
    ) -> Result<(), LearnerError> {
        self.path
            .add_to(&mut self.contribution, learner.parameters());
        Ok(())
    }

    fn end_task(
        &mut self,
        _end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let Quadratic { importance, anchor } = &mut self.past;
        let way = anchor.iter_mut().zip(learner.parameters());
        let parts = importance.iter_mut().zip(&mut self.contribution).zip(way);
        for ((importance, contribution), (anchor, here)) in parts {
            let distance = f64::from(*here) - f64::from(*anchor);
            let new = f64::from(*contribution) / (distance.powi(2) + self.config.si_damping);
            *importance = (f64::from(*importance) + new).max(0.0) as f32;
            (*anchor, *contribution) = (*here, 0.0);
        }
        Ok(())
    }

    fn state(&self) -> State<'_> {
        let mut state = self.past.with_state(State::new("si"), "importance");
        state.put("contribution", self.contribution.as_slice());
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("si")?;
        let past = Quadratic::restored(&mut state, "importance", learner.layout().len())?;
        self.contribution = state.take("contribution", past.importance.len())?;
        self.past = past;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let contribution = self.contribution.capacity() * size_of::<f32>();
        self.past.bytes() + self.path.bytes() + contribution
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Plain;
    use crate::method::testing::{damaged_snapshots_are_refused, learner, walk};

    fn si(si_strength: f64, si_clip: Option<f64>) -> Si {
        Si::new(SiConfig {
            si_strength,
            si_damping: 0.1,
            si_clip,
        })
    }

    #[test]
    fn without_strength_it_is_plain() {
        let plain = walk(&mut Plain, 3, 4);
        assert_eq!(walk(&mut si(0.0, None), 3, 4), plain);
        assert_eq!(walk(&mut si(0.0, Some(1e9)), 3, 4), plain);
        // The first task has no penalty, but is cut.
        assert_eq!(walk(&mut si(3.0, None), 3, 4).0[..4], plain.0[..4]);
        let cut = walk(&mut si(0.0, Some(0.01)), 1, 4).0;
        assert_ne!(cut[..], plain.0[..4]);
        assert!(cut.iter().flatten().all(|g| g.abs() <= 0.01));
    }

    /// The second task's first gradient: the batch's, and nothing of the penalty at the anchor; the next one has
    /// 2 c Ω (θ − θ*), where Ω is the formula of what was walked.
    #[test]
    fn importance_and_penalty_are_their_formulas() {
        let theta = |method: &mut dyn Method, tasks, steps| walk(method, tasks, steps).1;
        let (start, c) = (learner().parameters().to_vec(), 0.7);
        // With plain steps of 0.5 the way is known: Δθ = −0.5 g.
        let (gradients, end) = walk(&mut Plain, 1, 3);
        let mut method = si(c, None);
        assert_eq!(theta(&mut method, 1, 3), end);
        let mut positive = 0;
        for i in 0..end.len() {
            let omega: f64 = gradients
                .iter()
                .map(|g| 0.5 * f64::from(g[i]).powi(2))
                .sum();
            let distance = f64::from(end[i]) - f64::from(start[i]);
            let expected = omega / (distance.powi(2) + 0.1);
            let found = f64::from(method.past.importance[i]);
            assert!(
                (found - expected).abs() <= 1e-4 * expected + 1e-7,
                "{found} {expected}"
            );
            positive += usize::from(found > 0.0);
        }
        assert!(positive > end.len() / 10);
        assert_eq!(method.past.anchor, end);

        let (with, without) = (walk(&mut si(c, None), 2, 3).0, walk(&mut Plain, 2, 3).0);
        assert_eq!(with[3], without[3]);
        for i in 0..end.len() {
            // Until here both went the same way: one step of 0.5 from the anchor.
            let here = f64::from(end[i] - 0.5 * without[3][i]);
            let moved = here - f64::from(end[i]);
            let expected = 2.0 * c * f64::from(method.past.importance[i]) * moved;
            let found = f64::from(with[4][i]) - f64::from(without[4][i]);
            assert!((found - expected).abs() <= 1e-5 * (1.0 + expected.abs()));
        }
    }

    /// Up the gradient the loss rises; such importance is cut at 0.
    #[test]
    fn importance_is_never_negative() {
        let mut method = si(0.1, None);
        walk(&mut method, 3, 5);
        assert!(method.past.importance.iter().all(|o| *o >= 0.0));
        let mut learner = learner();
        let tasks = crate::method::testing::tasks();
        let mut method = si(0.1, None);
        method.begin_task(0, &tasks[..1], &mut learner).unwrap();
        method.contribution.fill(-1.0);
        let end = TaskEnd {
            tasks: &tasks[..1],
            t: 0,
            next_classes: None,
        };
        method.end_task(&end, &mut learner).unwrap();
        assert!(method.past.importance.iter().all(|o| *o == 0.0));
    }

    #[test]
    fn damaged_snapshots() {
        let mut method = si(0.5, None);
        walk(&mut method, 2, 3);
        assert_eq!(method.memory_bytes(), 5 * 4 * method.past.anchor.len());
        damaged_snapshots_are_refused(&method, &mut || Box::new(si(0.5, None)));
    }
}
