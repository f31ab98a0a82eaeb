//! `RWalk`: Riemannian walk (Chaudhry, Dokania, Ajanthan, Torr; ECCV 2018).
//!
//! EWC++ and a path integral in one importance. The Fisher information runs along with training (section 4.1), every Δt steps:
//! `F ← α f + (1 − α) F`. Over the same stretch every parameter is credited with its share of the loss's fall, measured against
//! the distance in the space of answers, `½ F Δθ²` (section 4.2):
//!
//! ```text
//! s_i ← s_i + max(0, −Σ g_i Δθ_i) / (½ F_i (θ_i(t + Δt) − θ_i(t))² + ε)
//! ```
//!
//! When a task ends, the scores are averaged with those before, both parts are brought to [0, 1], and later tasks pay (section
//! 4.3) `λ Σ_i (F_i + s_i) (θ_i − θ*_i)²`.
//!
//! Departures and readings:
//! 1. f is the mean over the Δt steps of the squared gradient of a batch's mean loss, as in the authors' code: no pass of its own.
//!    It is the batch's own gradient, without the penalty's.
//! 2. F begins as the first stretch's f, whose score is taken with it; the authors' code begins with the first batch's. A score
//!    is taken with the F of before its stretch, as there.
//! 3. A stretch that the end of a task cuts short counts with the steps that it had; the authors' code throws it away, and with
//!    tasks shorter than Δt everything.
//! 4. `½` stands before F as in the paper; the authors' code has none. ε is `1e-3`, as there.
//! 5. The average is `½ (s_before + s_task)`, and the first task's s as it is, as the paper has it; the authors' code computes
//!    `s_before + ½ (s_before + s_task)`.
//! 6. To [0, 1] by the least and the greatest value of all parameters, as in the authors' code.
//! 7. Without the replayed examples of the paper's section 4.4: regularisation alone.

use super::path::Path;
use super::quadratic::Quadratic;
use super::{Method, MethodSpec, Passes, Step, TaskEnd, batch_gradient};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::settings::{RealRange, SettingsSpec, WholeRange, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// `RWalk`'s settings.
    pub struct RwalkConfig {
        /// RWalk's weight of the penalty, λ.
        rwalk_strength: f64 = fixed(1.0), range RealRange::FROM_ZERO;
        /// RWalk's α: the share of the newest steps in the running Fisher information.
        rwalk_share: f64 = fixed(0.9), range RealRange::SHARE;
        /// RWalk's Δt: steps between two updates of Fisher information and scores.
        rwalk_every: usize = fixed(10), range WholeRange::FROM_ONE;
        /// RWalk's damping ε: what is added to the distance that a score is divided by.
        rwalk_damping: f64 = fixed(1e-3), range RealRange::POSITIVE;
    }
}

/// Riemannian walk.
pub(super) static RWALK: MethodSpec = MethodSpec {
    name: "rwalk",
    paper_name: "RWalk",
    description: "Riemannian walk: a penalty by a running Fisher information and by what made the loss fall.",
    source: "Chaudhry et al., ECCV 2018",
    settings: SettingsSpec::of::<RwalkConfig>("rwalk"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["rwalk_strength"],
    passes: |_| Passes::ONE,
    build: |own, _| Ok(Box::new(Rwalk::new(typed::<RwalkConfig>(own)?.clone()))),
};

/// The method.
#[derive(Clone, Debug)]
pub struct Rwalk {
    config: RwalkConfig,
    /// F and s of the tasks that have ended, both in [0, 1], and where the last one ended; empty until a task has ended.
    past: Quadratic,
    /// s of the tasks that have ended, averaged; empty until a task has ended.
    score: Vec<f32>,
    /// The running F; empty until a stretch has ended.
    fisher: Vec<f32>,
    /// s of the present task; empty before the first task.
    task_score: Vec<f32>,
    stretch: Stretch,
    path: Path,
}

/// The steps since F and s were last updated.
#[derive(Clone, Debug, Default)]
struct Stretch {
    /// How many there are.
    steps: usize,
    /// Sum of their squared gradients.
    squares: Vec<f32>,
    /// `−Σ g Δθ` over them.
    contribution: Vec<f32>,
    /// The parameters before the first.
    start: Vec<f32>,
}

impl Stretch {
    fn begin(&mut self, parameters: &[f32]) {
        self.steps = 0;
        for sums in [&mut self.squares, &mut self.contribution] {
            sums.clear();
            sums.resize(parameters.len(), 0.0);
        }
        self.start.clear();
        self.start.extend_from_slice(parameters);
    }
}

impl Rwalk {
    /// `RWalk` before any task.
    #[must_use]
    pub fn new(config: RwalkConfig) -> Self {
        Self {
            config,
            past: Quadratic::default(),
            score: Vec::new(),
            fisher: Vec::new(),
            task_score: Vec::new(),
            stretch: Stretch::default(),
            path: Path::default(),
        }
    }

    /// Ends a stretch here: the scores take it in with the F before it, then F does.
    fn close(&mut self, parameters: &[f32]) {
        let Stretch {
            steps,
            squares,
            contribution,
            start,
        } = &self.stretch;
        if *steps > 0 {
            let mean = squares.iter().map(|s| f64::from(*s) / *steps as f64);
            if self.fisher.is_empty() {
                self.fisher = mean.clone().map(|f| f as f32).collect();
            }
            let way = start.iter().zip(parameters).zip(&self.fisher);
            let credit = contribution.iter().zip(way);
            for (score, (fall, ((start, here), fisher))) in self.task_score.iter_mut().zip(credit) {
                let distance =
                    0.5 * f64::from(*fisher) * (f64::from(*here) - f64::from(*start)).powi(2);
                let credit = f64::from(*fall).max(0.0) / (distance + self.config.rwalk_damping);
                *score = (f64::from(*score) + credit) as f32;
            }
            let share = self.config.rwalk_share;
            for (fisher, new) in self.fisher.iter_mut().zip(mean) {
                *fisher = (share * new + (1.0 - share) * f64::from(*fisher)) as f32;
            }
        }
        self.stretch.begin(parameters);
    }
}

/// Values by their place between the least and the greatest: in [0, 1], or 0 where all are the same.
fn normalised(values: &[f32]) -> impl Iterator<Item = f64> {
    let least = f64::from(values.iter().copied().fold(f32::INFINITY, f32::min));
    let greatest = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let range = greatest - least;
    let place = move |x: &f32| {
        if range > 0.0 {
            (f64::from(*x) - least) / range
        } else {
            0.0
        }
    };
    values.iter().map(place)
}

impl Method for Rwalk {
    fn begin_task(
        &mut self,
        _t: usize,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let parameters = learner.parameters();
        self.task_score.clear();
        self.task_score.resize(parameters.len(), 0.0);
        self.stretch.begin(parameters);
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
        let slope = 2.0 * self.config.rwalk_strength;
        self.path.begin(parameters, gradient, &self.past, slope);
        Ok(loss)
    }

    fn after_update(
        &mut self,
        learner: &mut dyn Learner,
        _step: &Step<'_>,
    ) -> Result<(), LearnerError> {
        let parameters = learner.parameters();
        let stretch = &mut self.stretch;
        let (falls, squares) = (&mut stretch.contribution, &mut stretch.squares);
        self.path.add_with_squares(falls, squares, parameters);
        stretch.steps += 1;
        if stretch.steps >= self.config.rwalk_every {
            self.close(parameters);
        }
        Ok(())
    }

    fn end_task(
        &mut self,
        _end: &TaskEnd<'_>,
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        let parameters = learner.parameters();
        self.close(parameters);
        if self.score.is_empty() {
            self.score.clone_from(&self.task_score);
        } else {
            for (score, new) in self.score.iter_mut().zip(&self.task_score) {
                *score = f32::midpoint(*score, *new);
            }
        }
        // Without a single step there is no F, and nothing mattered.
        self.fisher.resize(parameters.len(), 0.0);
        let sum = normalised(&self.fisher).zip(normalised(&self.score));
        let importance = sum.map(|(fisher, score)| (fisher + score) as f32).collect();
        self.past.put(importance, parameters);
        Ok(())
    }

    fn state(&self) -> State<'_> {
        let mut state = self.past.with_state(State::new("rwalk"), "importance");
        state = state
            .with_counter("begun", self.task_score.len())
            .with_counter("running", self.fisher.len())
            .with_counter("steps", self.stretch.steps);
        state.put("score", self.score.as_slice());
        state.put("fisher", self.fisher.as_slice());
        state.put("task_score", self.task_score.as_slice());
        state.put("squares", self.stretch.squares.as_slice());
        state.put("contribution", self.stretch.contribution.as_slice());
        state.put("start", self.stretch.start.as_slice());
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        _tasks: &[Task],
        learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("rwalk")?;
        let all = learner.layout().len();
        let past = Quadratic::restored(&mut state, "importance", all)?;
        let len = |state: &State<'_>, name| -> Result<usize, LearnerError> {
            Ok(if state.counter(name)? == 0 { 0 } else { all })
        };
        let (begun, running) = (len(&state, "begun")?, len(&state, "running")?);
        let score = state.take("score", past.importance.len())?;
        let fisher = state.take("fisher", running)?;
        let task_score = state.take("task_score", begun)?;
        let stretch = Stretch {
            steps: state.counter("steps")?,
            squares: state.take("squares", begun)?,
            contribution: state.take("contribution", begun)?,
            start: state.take("start", begun)?,
        };
        (self.past, self.score, self.fisher) = (past, score, fisher);
        (self.task_score, self.stretch) = (task_score, stretch);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let Stretch {
            squares,
            contribution,
            start,
            ..
        } = &self.stretch;
        let vectors = [
            &self.score,
            &self.fisher,
            &self.task_score,
            squares,
            contribution,
            start,
        ];
        let values: usize = vectors.into_iter().map(Vec::capacity).sum();
        self.past.bytes() + self.path.bytes() + values * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::method::Plain;
    use crate::method::testing::{damaged_snapshots_are_refused, learner, walk};

    fn rwalk(rwalk_strength: f64, rwalk_every: usize) -> Rwalk {
        Rwalk::new(RwalkConfig {
            rwalk_strength,
            rwalk_share: 0.6,
            rwalk_every,
            rwalk_damping: 1e-3,
        })
    }

    #[test]
    fn without_strength_it_is_plain() {
        let plain = walk(&mut Plain, 3, 5);
        assert_eq!(walk(&mut rwalk(0.0, 2), 3, 5), plain);
        let found = walk(&mut rwalk(0.3, 2), 3, 5);
        // At the anchor, the second task's first step, there is no penalty.
        assert_eq!(found.0[..6], plain.0[..6]);
        assert_ne!(found.0[6..], plain.0[6..]);
    }

    /// Two tasks of five steps, stretches of two, two and one: everything by its formula in double precision from the gradients
    /// and the way, which with steps of 0.5 is known.
    #[test]
    fn fisher_scores_and_importance_are_their_formulas() {
        let (gradients, end) = walk(&mut Plain, 2, 5);
        let mut method = rwalk(0.0, 2);
        assert_eq!(walk(&mut method, 2, 5).1, end);
        let n = end.len();
        let (mut fisher, mut score) = (vec![0.0_f64; n], vec![0.0_f64; n]);
        let mut theta: Vec<f32> = learner().parameters().to_vec();
        for (t, task) in gradients.chunks(5).enumerate() {
            let mut of_task = vec![0.0_f64; n];
            for (number, stretch) in task.chunks(2).enumerate() {
                for i in 0..n {
                    let (start, mut fall, mut squares) = (theta[i], 0.0_f64, 0.0_f64);
                    for g in stretch {
                        let after = theta[i] - 0.5 * g[i];
                        fall -= f64::from(g[i]) * f64::from(after - theta[i]);
                        squares += f64::from(g[i]).powi(2) / stretch.len() as f64;
                        theta[i] = after;
                    }
                    if (t, number) == (0, 0) {
                        fisher[i] = squares;
                    }
                    let moved = f64::from(theta[i]) - f64::from(start);
                    of_task[i] += fall.max(0.0) / (0.5 * fisher[i] * moved.powi(2) + 1e-3);
                    fisher[i] = 0.6 * squares + 0.4 * fisher[i];
                }
            }
            for i in 0..n {
                score[i] = if t == 0 {
                    of_task[i]
                } else {
                    f64::midpoint(score[i], of_task[i])
                };
            }
        }
        assert_eq!(theta, end);
        let place = |values: &[f64], i: usize| {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (values[i] - least) / (greatest - least)
        };
        for i in 0..n {
            let near = |found: f32, expected: f64| {
                assert!(
                    (f64::from(found) - expected).abs() <= 1e-4 * expected + 1e-7,
                    "{found} {expected}"
                );
            };
            near(method.fisher[i], fisher[i]);
            near(method.score[i], score[i]);
            near(
                method.past.importance[i],
                place(&fisher, i) + place(&score, i),
            );
        }
        assert_eq!(method.past.anchor, end);
    }

    #[test]
    fn tasks_shorter_than_a_stretch_count() {
        let mut method = rwalk(0.3, 1000);
        walk(&mut method, 1, 3);
        let positive = method.past.importance.iter().filter(|x| **x > 0.0).count();
        assert!(positive > method.past.importance.len() / 10);
    }

    proptest! {
        #[test]
        fn normalised_values_keep_their_order_between_0_and_1(values in prop::collection::vec(-5.0_f32..5.0, 1..9)) {
            let found: Vec<f64> = normalised(&values).collect();
            prop_assert!(found.iter().all(|x| (0.0..=1.0).contains(x)));
            let order = |a: usize, b: usize| values[a] < values[b];
            for a in 0..values.len() {
                for b in 0..values.len() {
                    prop_assert!(!order(a, b) || found[a] < found[b]);
                }
            }
            if values.iter().any(|x| *x != values[0]) {
                prop_assert!(found.contains(&0.0) && found.contains(&1.0));
            }
        }
    }

    #[test]
    fn damaged_snapshots() {
        let mut method = rwalk(0.3, 2);
        walk(&mut method, 2, 3);
        assert_eq!(method.memory_bytes(), 10 * 4 * method.past.anchor.len());
        damaged_snapshots_are_refused(&method, &mut || Box::new(rwalk(0.3, 2)));
    }
}
