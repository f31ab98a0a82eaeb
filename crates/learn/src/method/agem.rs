//! A-GEM: averaged gradient episodic memory (Chaudhry, Ranzato, Rohrbach, Elhoseiny; ICLR 2019).
//!
//! Keeps the newest M examples of every class. Where the batch's gradient g would increase the loss on remembered
//! examples (their gradient is r, and `⟨g, r⟩ < 0`), the part along r is taken out (eq. 11 of that paper):
//!
//! ```text
//! g ← g − ⟨g, r⟩ / ⟨r, r⟩ · r
//! ```
//!
//! Departures: as in the released TAG code, the memory is a ring buffer of every class's newest examples and the
//! reference batch is as large as the training batch. The `released` profile also forwards every batch twice in
//! training mode ([`AgemConfig::forwards_twice`]): that code computes the batch's loss, throws it away and computes it
//! again, so batch-norm's running statistics take every batch in twice.

use super::buffer::{Memory, MemoryKind, MemorySize, Rehearsal, ReservoirRule, rehearses};
use super::{Method, MethodContext, MethodSpec, Passes, Step, batch_gradient, dot};
use crate::model::{Learner, LearnerError, Mode, Wanted};
use crate::settings::{SettingError, SettingsSpec, by_profile, typed};

crate::settings! {
    /// A-GEM's settings.
    pub struct AgemConfig {
        /// M: remembered examples of every class.
        memory_per_class: usize as super::buffer::MEMORY_PER_CLASS;
        /// Which examples are remembered.
        memory: MemoryKind as super::buffer::MEMORY_RING;
        /// Examples a task, instead of a number a class.
        memory_per_task: Option<usize> as super::buffer::MEMORY_PER_TASK;
        /// Examples in all, instead of a number a class.
        memory_total: Option<usize> as super::buffer::MEMORY_TOTAL;
        /// Whether A-GEM forwards every batch twice in training mode, as the released code does.
        forwards_twice: bool = by_profile(false, true);
    }
}

/// A-GEM.
pub(super) static AGEM: MethodSpec = MethodSpec {
    name: "agem",
    paper_name: "A-GEM",
    description: "Averaged gradient episodic memory: steps that oppose remembered examples are projected.",
    source: "Chaudhry et al., ICLR 2019",
    settings: SettingsSpec::of::<AgemConfig>("agem"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    passes: |own| {
        let twice = own
            .get::<AgemConfig>()
            .is_some_and(|own| own.forwards_twice);
        let first = 1.0 + if twice { 1.0 / 3.0 } else { 0.0 };
        Passes {
            first,
            later: first + 1.0,
        }
    },
    build: |own, context| {
        let own = typed::<AgemConfig>(own)?.clone();
        Ok(Box::new(Agem::new(own, context)?))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Agem {
    config: AgemConfig,
    rehearsal: Rehearsal,
    reference: Vec<f32>,
}

impl Agem {
    /// A-GEM with reference batches as large as training batches.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] for a memory that cannot be.
    pub fn new(config: AgemConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let size = MemorySize::of(
            config.memory_per_class,
            config.memory_per_task,
            config.memory_total,
        )?;
        let memory = Memory::new(config.memory, size, ReservoirRule::Uniform, context)?;
        Ok(Self {
            config,
            rehearsal: Rehearsal::new(memory, context),
            reference: Vec::new(),
        })
    }
}

/// Takes out of `gradient` what opposes `reference`: afterwards their product is not negative but for rounding.
pub fn project(gradient: &mut [f32], reference: &[f32]) {
    let product = dot(gradient, reference);
    let square = dot(reference, reference);
    if !(product < 0.0 && square > 0.0) {
        return;
    }
    let factor = product / square;
    for (g, r) in gradient.iter_mut().zip(reference) {
        *g = (f64::from(*g) - factor * f64::from(*r)) as f32;
    }
}

impl Method for Agem {
    rehearses!("agem");

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        if self.config.forwards_twice {
            learner.forward(step.batch, Mode::Observe, Wanted::Nothing)?;
        }
        self.rehearsal.remember(step);
        let count = self.rehearsal.batch_size;
        let Some(remembered) = self.rehearsal.draw(step.tasks, step.t, count) else {
            return batch_gradient(learner, step.batch, gradient);
        };
        self.rehearsal.count(remembered.len());
        batch_gradient(learner, &remembered, &mut self.reference)?;
        let loss = batch_gradient(learner, step.batch, gradient)?;
        project(gradient, &self.reference);
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_result_never_opposes_the_memory(
            pairs in prop::collection::vec((-10.0_f32..10.0, -10.0_f32..10.0), 1..60),
        ) {
            let (mut g, r): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let before = g.clone();
            project(&mut g, &r);
            let size = (dot(&g, &g) * dot(&r, &r)).sqrt();
            let scale = (dot(&before, &before) * dot(&r, &r)).sqrt();
            prop_assert!(dot(&g, &r) >= -1e-6 * scale.max(size));
            if dot(&before, &r) >= 0.0 {
                prop_assert_eq!(g, before);
            }
        }
    }

    #[test]
    fn a_zero_reference_changes_nothing() {
        let mut g = [1.0, -2.0];
        project(&mut g, &[0.0, 0.0]);
        assert_eq!(g, [1.0, -2.0]);
    }
}
