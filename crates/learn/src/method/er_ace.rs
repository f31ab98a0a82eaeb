//! ER-ACE: experience replay with an asymmetric cross-entropy (Caccia, Aljundi, Asadi, Tuytelaars, Pineau, Belilovsky; ICLR
//! 2022, "New insights on reducing abrupt representation change in online continual learning").
//!
//! New examples compete only among the classes that are new, so that learning them does not push down the logits of old
//! classes; replayed ones compete among all that were seen (eq. 4 of that paper):
//!
//! ```text
//! L = CE(new, classes of the new batch) + CE(replayed, all classes seen)
//! ```
//!
//! Readings:
//! 1. The classes of the new batch are those that occur in it, as in the authors' code; classes of tasks to come stay where they
//!    compete at all (`training_classes = all`), also as there. The restriction begins with the second task.
//! 2. The two losses are summed, each a mean over its batch.
//! 3. Where the task is known, or all tasks share one head, there is nothing to restrict: the method is ER.
//! 4. Replay begins with the second task and may bring back the present one, as in the authors' code.

use super::buffer::{Memory, MemoryKind, MemorySize, Rehearsal, ReservoirRule, rehearses};
use super::{Method, MethodContext, MethodSpec, Passes, Step, add, batch_gradient};
use crate::model::{Learner, LearnerError, Mode, Wanted, cross_entropy};
use crate::settings::{SettingError, SettingsSpec, typed};
use crate::stream::{Classes, Scenario};

crate::settings! {
    /// ER-ACE's settings.
    pub struct ErAceConfig {
        /// Examples that the memory holds in all.
        memory_total: usize as super::buffer::MEMORY_TOTAL_OF_ALL;
    }
}

/// Experience replay with an asymmetric cross-entropy.
pub(super) static ER_ACE: MethodSpec = MethodSpec {
    name: "er-ace",
    paper_name: "ER-ACE",
    description: "Experience replay in which new examples compete among new classes only.",
    source: "Caccia et al., ICLR 2022",
    settings: SettingsSpec::of::<ErAceConfig>("er_ace"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    passes: |_| Passes {
        first: 1.0,
        later: 2.0,
    },
    build: |own, context| {
        let own = typed::<ErAceConfig>(own)?.clone();
        Ok(Box::new(ErAce::new(&own, context)?))
    },
};

/// The method.
#[derive(Clone, Debug)]
pub struct ErAce {
    asymmetric: bool,
    rehearsal: Rehearsal,
    extra: Vec<f32>,
}

impl ErAce {
    /// ER-ACE with replay batches as large as training batches.
    ///
    /// # Errors
    /// None for a reservoir; the type is that of memories.
    pub fn new(config: &ErAceConfig, context: &MethodContext) -> Result<Self, SettingError> {
        let size = MemorySize::Total(config.memory_total);
        let kind = MemoryKind::Reservoir;
        let memory = Memory::new(kind, size, ReservoirRule::Uniform, context)?;
        Ok(Self {
            asymmetric: context.scenario == Scenario::Class,
            rehearsal: Rehearsal::new(memory, context),
            extra: Vec::new(),
        })
    }

    /// The classes that compete for the examples of a new batch.
    fn competing(&self, step: &Step<'_>) -> Vec<Classes> {
        let batch = step.batch;
        if !self.asymmetric || step.t == 0 {
            return batch.competing.clone();
        }
        let present: Classes = batch.labels.iter().copied().collect();
        let so_far = step.tasks.iter().map(|task| task.train.classes().end);
        let seen = so_far.max().unwrap_or(0);
        let narrowed = |all: &Classes| -> Classes {
            let classes = all.iter();
            classes
                .filter(|class| present.contains(*class) || *class >= seen)
                .collect()
        };
        // One set an example, nearly always the same one.
        let mut sets: Vec<(Classes, Classes)> = Vec::new();
        let of = |all: &Classes| {
            if let Some((_, narrow)) = sets.iter().find(|(known, _)| known == all) {
                return narrow.clone();
            }
            let narrow = narrowed(all);
            sets.push((all.clone(), narrow.clone()));
            narrow
        };
        batch.competing.iter().map(of).collect()
    }
}

impl Method for ErAce {
    rehearses!("er-ace");

    fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        step: &Step<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<f32, LearnerError> {
        let competing = self.competing(step);
        let logits = learner.forward(step.batch, Mode::Train, Wanted::Competing)?;
        let (loss, d_logits) = cross_entropy(logits, &step.batch.labels, &competing)?;
        learner.backward(&d_logits, gradient)?;
        let count = self.rehearsal.batch_size;
        if step.t > 0
            && let Some(remembered) = self.rehearsal.draw(step.tasks, usize::MAX, count)
        {
            self.rehearsal.count(remembered.len());
            batch_gradient(learner, &remembered, &mut self.extra)?;
            add(gradient, 1.0, &self.extra);
        }
        self.rehearsal.remember(step);
        Ok(loss)
    }
}
