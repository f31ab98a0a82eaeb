//! GEM: gradient episodic memory (Lopez-Paz and Ranzato, NIPS 2017).
//!
//! Keeps examples of every task. Where the batch's gradient g would increase the loss on the memory of any earlier task (`g_k` is
//! its gradient, and `⟨g, g_k⟩ < 0`), the step goes along the nearest vector that increases none of them (eq. 8 to 11):
//!
//! ```text
//! min_v  ½ vᵀ G Gᵀ v + gᵀ Gᵀ v,   v ≥ margin;      g ← Gᵀ v + g
//! ```
//!
//! Readings:
//! 1. Once one constraint is violated every dual variable is at least the margin (the authors' `memory_strength`), as in their code:
//!    that moves the step towards old tasks. 0 is the paper's own problem.
//! 2. The problem has bounds only, so it is never infeasible. It is solved by coordinate descent in double precision until no
//!    variable moves by more than 10⁻¹² of the largest; the authors' 10⁻³ on the diagonal is kept, relative to the mean of
//!    the diagonal, so that it does not depend on the scale of gradients.
//! 3. The memory of a task is its newest examples, all of which make its gradient, as there.

use super::buffer::{Memory, MemoryKind, MemorySize, Rehearsal, ReservoirRule, gather};
use super::{Method, MethodContext, MethodSpec, Passes, Step, batch_gradient, dot};
use crate::model::{Learner, LearnerError};
use crate::optim::State;
use crate::settings::{RealRange, SettingError, SettingsSpec, Stored, WholeRange, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// GEM's settings.
    pub struct GemConfig {
        /// Newest examples of every task that GEM remembers.
        gem_memory: usize = fixed(256), range WholeRange::FROM_ONE;
        /// The least that GEM's dual variables are once a constraint is violated.
        gem_margin: f64 = fixed(0.5), range RealRange::FROM_ZERO;
        /// What GEM adds to the diagonal of its problem, as a share of the diagonal's mean.
        gem_ridge: f64 = fixed(1e-3), range RealRange::FROM_ZERO, stored Stored::Unless("0.001");
    }
}

/// Gradient episodic memory.
pub(super) static GEM: MethodSpec = MethodSpec {
    name: "gem",
    paper_name: "GEM",
    description: "Gradient episodic memory: steps that would harm any earlier task are projected.",
    source: "Lopez-Paz and Ranzato, NIPS 2017",
    settings: SettingsSpec::of::<GemConfig>("gem"),
    remembers_tasks: true,
    closed_form: false,
    weights: &["gem_margin"],
    // A pass over the memory of every earlier task: of half of ten tasks, for batches of ten.
    passes: |own| Passes {
        first: 1.0,
        later: 1.0
            + own
                .get::<GemConfig>()
                .map_or(0.0, |own| 5.0 * own.gem_memory as f64 / 10.0),
    },
    build: |own, context| {
        let own = typed::<GemConfig>(own)?.clone();
        Ok(Box::new(Gem::new(own, context)?))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Gem {
    config: GemConfig,
    rehearsal: Rehearsal,
    /// Gradients of the earlier tasks.
    past: Vec<Vec<f32>>,
    /// Steps that were projected.
    projected: usize,
}

impl Gem {
    /// GEM on a stream.
    ///
    /// # Errors
    /// None for a ring of a number a task; the type is that of memories.
    pub fn new(config: GemConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let size = MemorySize::PerTask(config.gem_memory);
        let memory = Memory::new(MemoryKind::Ring, size, ReservoirRule::Uniform, context)?;
        Ok(Self {
            config,
            rehearsal: Rehearsal::new(memory, context),
            past: Vec::new(),
            projected: 0,
        })
    }

    /// Steps that were projected so far.
    #[must_use]
    pub fn projected(&self) -> usize {
        self.projected
    }
}

/// The nearest vector to `gradient` that no vector of `past` opposes, but for ridge and margin, in its place; whether it
/// had to be changed.
///
/// # Shapes
/// All of one length.
pub fn project_onto_all(gradient: &mut [f32], past: &[Vec<f32>], margin: f64, ridge: f64) -> bool {
    let products: Vec<f64> = past.iter().map(|old| dot(gradient, old)).collect();
    if products.iter().all(|product| *product >= 0.0) {
        return false;
    }
    let mut square: Vec<Vec<f64>> = past
        .iter()
        .map(|a| past.iter().map(|b| dot(a, b)).collect())
        .collect();
    let trace: f64 = square
        .iter()
        .enumerate()
        .filter_map(|(i, row)| row.get(i))
        .sum();
    let ridge = ridge * trace / past.len() as f64;
    for (i, row) in square.iter_mut().enumerate() {
        if let Some(diagonal) = row.get_mut(i) {
            *diagonal += ridge;
        }
    }
    let dual = bounded_minimum(&square, &products, margin);
    for (i, g) in gradient.iter_mut().enumerate() {
        let along = past.iter().zip(&dual);
        let moved: f64 = along
            .map(|(old, v)| v * old.get(i).copied().map_or(0.0, f64::from))
            .sum();
        *g = (f64::from(*g) + moved) as f32;
    }
    true
}

/// The `v ≥ least` that minimises `½ vᵀ A v + bᵀ v`, for a positive semi-definite A, by coordinate descent.
fn bounded_minimum(a: &[Vec<f64>], b: &[f64], least: f64) -> Vec<f64> {
    const ROUNDS: usize = 100_000;
    let mut v = vec![least; b.len()];
    for _ in 0..ROUNDS {
        let (mut moved, mut size) = (0.0_f64, 1e-300_f64);
        for (i, (row, b)) in a.iter().zip(b).enumerate() {
            let diagonal = row.get(i).copied().unwrap_or(0.0);
            let slope: f64 = b + row.iter().zip(&v).map(|(a, v)| a * v).sum::<f64>();
            let Some(own) = v.get_mut(i) else { continue };
            // A task without a gradient constrains nothing.
            let new = if diagonal > 0.0 {
                (*own - slope / diagonal).max(least)
            } else {
                least
            };
            moved = moved.max((new - *own).abs());
            size = size.max(new.abs());
            *own = new;
        }
        if moved <= 1e-12 * size {
            break;
        }
    }
    v
}

impl Method for Gem {
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.rehearsal.begin_task(t);
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        self.rehearsal.remember(step);
        self.past.resize(step.t, Vec::new());
        let remembered = self.rehearsal.memory().before(step.t);
        for (task, old) in self.past.iter_mut().enumerate() {
            let own = remembered.iter().filter(|slot| slot.task as usize == task);
            let own: Vec<_> = own.copied().collect();
            match gather(step.tasks, &own) {
                Some(batch) => batch_gradient(learner, &batch, old).map(|_| ())?,
                None => old.fill(0.0),
            }
        }
        self.rehearsal.count(remembered.len());
        let loss = batch_gradient(learner, step.batch, gradient)?;
        let GemConfig {
            gem_margin,
            gem_ridge,
            ..
        } = self.config;
        if project_onto_all(gradient, &self.past, gem_margin, gem_ridge) {
            self.projected += 1;
        }
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let state = State::new("gem").with_counter("projected", self.projected);
        self.rehearsal.with_state(state)
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("gem")?;
        let projected = state.counter("projected")?;
        self.rehearsal.restore(&mut state, tasks)?;
        self.projected = projected;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rehearsal.bytes()
    }

    fn replayed_samples(&self) -> usize {
        self.rehearsal.replayed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::project;
    use proptest::prelude::*;

    fn vectors(count: usize, length: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
        prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, length), count)
    }

    proptest! {
        /// Without margin and ridge: no old gradient is opposed, and nothing nearer is (the change is a non-negative combination of
        /// old gradients, of those only that end at zero product).
        #[test]
        fn the_result_is_the_nearest_that_opposes_none(mut all in (1_usize..6).prop_flat_map(|k| vectors(k + 1, 12))) {
            let mut gradient = all.pop().unwrap();
            let before = gradient.clone();
            let changed = project_onto_all(&mut gradient, &all, 0.0, 0.0);
            let harmed = all.iter().any(|old| dot(&before, old) < 0.0);
            prop_assert_eq!(changed, harmed);
            for old in &all {
                let size = (dot(old, old) * dot(&before, &before)).sqrt();
                prop_assert!(dot(&gradient, old) >= -1e-5 * size);
            }
            // Nearest: ‖before − x‖² ≥ ‖before − result‖² for any x that opposes none, of which the result scaled is one.
            let change: Vec<f32> = gradient.iter().zip(&before).map(|(a, b)| a - b).collect();
            // The change is orthogonal to the result at the optimum of a cone.
            let size = dot(&change, &change).sqrt() * dot(&gradient, &gradient).sqrt();
            prop_assert!(dot(&change, &gradient).abs() <= 1e-4 * size.max(1e-3));
        }

        /// One old task: A-GEM's projection.
        #[test]
        fn one_task_is_projected_as_a_gem_does(mut all in vectors(2, 9)) {
            let (mut gem, old) = (all.pop().unwrap(), all.pop().unwrap());
            let mut agem = gem.clone();
            project_onto_all(&mut gem, std::slice::from_ref(&old), 0.0, 0.0);
            project(&mut agem, &old);
            for (a, b) in gem.iter().zip(&agem) {
                prop_assert!((a - b).abs() < 1e-5);
            }
        }

        #[test]
        fn with_a_margin_every_old_task_has_at_least_that_share(mut all in vectors(4, 9), margin in 0.0_f64..2.0) {
            let g = all.pop().unwrap();
            let b: Vec<f64> = all.iter().map(|old| dot(&g, old)).collect();
            let a: Vec<Vec<f64>> = all.iter().map(|x| all.iter().map(|y| dot(x, y)).collect()).collect();
            let v = bounded_minimum(&a, &b, margin);
            for (i, v_i) in v.iter().enumerate() {
                let slope: f64 = b[i] + a[i].iter().zip(&v).map(|(a, v)| a * v).sum::<f64>();
                prop_assert!(*v_i >= margin);
                // Stationary where free, and pressed against the bound elsewhere.
                prop_assert!(slope > -1e-7 && (slope < 1e-7 || *v_i <= margin + 1e-9), "{slope} {v_i}");
            }
        }
    }
}
