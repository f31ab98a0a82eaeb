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

use super::buffer::{Ring, choose, gather};
use super::{Method, MethodSpec, Passes, Step, batch_gradient, dot, invalid, list};
use crate::model::{Learner, LearnerError, Mode, Wanted};
use crate::optim::State;
use crate::seed::{SeedStream, Seeds};
use crate::settings::{SettingsSpec, by_profile, typed};
use crate::stream::Task;

crate::settings! {
    /// A-GEM's settings.
    pub struct AgemConfig {
        /// M: remembered examples of every class.
        memory_per_class: usize as super::buffer::MEMORY_PER_CLASS;
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
        Ok(Box::new(Agem::new(own, context.batch_size, context.seeds)))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Agem {
    config: AgemConfig,
    /// Examples of a reference batch.
    batch_size: usize,
    seeds: Seeds,
    /// The present task, which names the stream.
    task: usize,
    stream: SeedStream,
    memory: Ring,
    replayed: usize,
    reference: Vec<f32>,
}

impl Agem {
    /// A-GEM with reference batches of `batch_size` examples.
    #[must_use]
    pub fn new(config: AgemConfig, batch_size: usize, seeds: Seeds) -> Self {
        Self {
            memory: Ring::new(config.memory_per_class),
            config,
            batch_size,
            seeds,
            task: 0,
            stream: seeds.stream("replay/0"),
            replayed: 0,
            reference: Vec::new(),
        }
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
    fn begin_task(
        &mut self,
        t: usize,
        _tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        self.task = t;
        self.stream = self.seeds.stream(&format!("replay/{t}"));
        Ok(())
    }

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        if self.config.forwards_twice {
            learner.forward(step.batch, Mode::Observe, Wanted::Nothing)?;
        }
        for (&position, &class) in step.positions.iter().zip(&step.batch.labels) {
            self.memory.add(step.t, position, class);
        }
        let past = self.memory.before(step.t);
        let chosen = choose(past, self.batch_size, &mut self.stream);
        let Some(remembered) = gather(step.tasks, &chosen) else {
            return batch_gradient(learner, step.batch, gradient);
        };
        self.replayed += remembered.len();
        batch_gradient(learner, &remembered, &mut self.reference)?;
        let loss = batch_gradient(learner, step.batch, gradient)?;
        project(gradient, &self.reference);
        Ok(loss)
    }

    fn state(&self) -> State<'_> {
        let mut state = State::new("agem")
            .with_counter("task", self.task)
            .with_counter("replayed", self.replayed);
        state.put_list("stream", vec![self.stream.position()]);
        state.put_list("memory", self.memory.to_list());
        state
    }

    fn restore(
        &mut self,
        mut state: State<'_>,
        tasks: &[Task],
        _learner: &mut dyn Learner,
    ) -> Result<(), LearnerError> {
        state.expect_kind("agem")?;
        let (task, replayed) = (state.counter("task")?, state.counter("replayed")?);
        let [position] = list(&mut state, "stream")?;
        let memory = state.take_list("memory")?;
        let memory = Ring::from_list(self.config.memory_per_class, &memory, tasks);
        let memory = memory.ok_or_else(|| invalid("memory"))?;
        (self.task, self.replayed, self.memory) = (task, replayed, memory);
        self.stream = self.seeds.stream(&format!("replay/{task}"));
        self.stream.seek(position);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    fn replayed_samples(&self) -> usize {
        self.replayed
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
