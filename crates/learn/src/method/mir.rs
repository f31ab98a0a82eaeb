//! ER-MIR: experience replay of what an update would interfere with most (Aljundi, Caccia, Belilovsky, Caccia, Lin, Charlin,
//! Tuytelaars; `NeurIPS` 2019, "Online continual learning with maximally interfered retrieval").
//!
//! Of some candidates out of the memory those are replayed whose loss would grow most by the step along the batch's gradient
//! alone (section 3.1, criterion MI-1):
//!
//! ```text
//! s(x) = l(f(x; θ − η ∇L(batch)), y) − l(f(x; θ), y)
//! ```
//!
//! Readings:
//! 1. The step that is tried is SGD's at the present learning rate, whatever the optimizer, as in the authors' code.
//! 2. Candidates are scored in evaluation mode, so that no statistics move. The authors score in training mode; their networks
//!    for MNIST have no norms.
//! 3. The lowest of the old losses of a candidate (criterion MI-2) is not kept.
//! 4. Only examples of earlier tasks are candidates, and replay begins with the second task, as there.

use super::buffer::{
    Memory, MemoryKind, MemorySize, Rehearsal, ReservoirRule, choose, gather, rehearses,
};
use super::{Method, MethodContext, MethodSpec, Passes, Step, add, batch_gradient};
use crate::model::head::judge;
use crate::model::{Learner, LearnerError, Mode, Wanted};
use crate::settings::{SettingError, SettingsSpec, WholeRange, fixed, typed};
use crate::stream::Batch;

crate::settings! {
    /// ER-MIR's settings.
    pub struct MirConfig {
        /// Remembered examples that ER-MIR chooses a replay batch from.
        mir_candidates: usize = fixed(50), range WholeRange::FROM_ONE;
        /// Examples that the memory holds in all.
        memory_total: usize as super::buffer::MEMORY_TOTAL_OF_ALL;
    }
}

/// Experience replay of what is interfered with most.
pub(super) static ER_MIR: MethodSpec = MethodSpec {
    name: "er-mir",
    paper_name: "ER-MIR",
    description: "Experience replay of the examples that the step would harm most.",
    source: "Aljundi et al., NeurIPS 2019",
    settings: SettingsSpec::of::<MirConfig>("mir"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    // Two forward passes over the candidates, here for batches of ten.
    passes: |own| Passes {
        first: 1.0,
        later: 2.0
            + own
                .get::<MirConfig>()
                .map_or(0.0, |own| 2.0 / 3.0 * own.mir_candidates as f64 / 10.0),
    },
    build: |own, context| {
        let own = typed::<MirConfig>(own)?.clone();
        Ok(Box::new(Mir::new(&own, context)?))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct Mir {
    candidates: usize,
    rehearsal: Rehearsal,
    extra: Vec<f32>,
    before: Vec<f32>,
}

impl Mir {
    /// ER-MIR with replay batches as large as training batches.
    ///
    /// # Errors
    /// None for a reservoir; the type is that of memories.
    pub fn new(config: &MirConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let size = MemorySize::Total(config.memory_total);
        let kind = MemoryKind::Reservoir;
        let memory = Memory::new(kind, size, ReservoirRule::Uniform, context)?;
        Ok(Self {
            candidates: config.mir_candidates,
            rehearsal: Rehearsal::new(memory, context),
            extra: Vec::new(),
            before: Vec::new(),
        })
    }

    /// The most interfered with of the candidates.
    fn retrieve(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &[f32],
    ) -> Result<Option<Batch>, LearnerError> {
        let past = self.rehearsal.memory().before(step.t);
        let slots = choose(past, self.candidates, self.rehearsal.stream());
        let Some(candidates) = gather(step.tasks, &slots) else {
            return Ok(None);
        };
        if slots.len() <= self.rehearsal.batch_size {
            return Ok(Some(candidates));
        }
        let old = losses(learner, &candidates)?;
        self.before.clear();
        self.before.extend_from_slice(learner.parameters());
        learner.update(&mut |theta| {
            add(theta, -step.learning_rate, gradient);
            Ok(())
        })?;
        let new = losses(learner, &candidates);
        learner.update(&mut |theta| {
            theta.copy_from_slice(&self.before);
            Ok(())
        })?;
        let mut order: Vec<(usize, f64)> = new?
            .iter()
            .zip(&old)
            .map(|(new, old)| new - old)
            .enumerate()
            .collect();
        // Stable: of equals the first drawn; a loss that is no number is no reason.
        order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let chosen: Vec<_> = order
            .iter()
            .take(self.rehearsal.batch_size)
            .filter_map(|(i, _)| slots.get(*i).copied())
            .collect();
        Ok(gather(step.tasks, &chosen))
    }
}

/// The loss of each example, in evaluation mode.
fn losses(learner: &mut dyn Learner, batch: &Batch) -> Result<Vec<f64>, LearnerError> {
    let logits = learner.forward(batch, Mode::Evaluate, Wanted::Competing)?;
    let rows = logits.rows().zip(&batch.labels).zip(&batch.competing);
    Ok(rows
        .map(|((row, &label), classes)| judge(row, label, classes).0)
        .collect())
}

impl Method for Mir {
    rehearses!("er-mir");

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let loss = batch_gradient(learner, step.batch, gradient)?;
        if step.t > 0
            && let Some(remembered) = self.retrieve(learner, step, gradient)?
        {
            self.rehearsal.count(remembered.len());
            batch_gradient(learner, &remembered, &mut self.extra)?;
            add(gradient, 1.0, &self.extra);
        }
        self.rehearsal.remember(step);
        Ok(loss)
    }
}
