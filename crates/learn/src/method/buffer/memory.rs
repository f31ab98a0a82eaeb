//! A memory as methods have it: which rule chooses, and how large it is.
//!
//! Owns the settings that all methods with a memory share, and [`Memory`], behind which a method does not know the rule.

use serde::{Deserialize, Serialize};

use super::super::{MethodContext, invalid};
use super::{Balanced, Reservoir, ReservoirRule, Ring, Slot, from_list, to_list};
use crate::model::LearnerError;
use crate::optim::State;
use crate::seed::SeedStream;
use crate::settings::{Setting, SettingError, Stored, WholeRange, fixed};
use crate::stream::Task;

/// The size of a memory, where it grows with the classes: a setting of every method that has such a memory.
pub(in crate::method) static MEMORY_PER_CLASS: Setting<usize> = Setting {
    key: "memory_per_class",
    doc: "Examples a class that the method remembers.",
    range: WholeRange::FROM_ZERO,
    default: fixed(1),
    only: None,
    stored: Stored::Plain,
};

/// The same by task, in its place.
pub(in crate::method) static MEMORY_PER_TASK: Setting<Option<usize>> = Setting {
    key: "memory_per_task",
    doc: "Examples a task that the method remembers, instead of a number a class.",
    range: WholeRange::FROM_ONE,
    default: fixed(None),
    only: None,
    stored: Stored::Plain,
};

/// The same in all, in its place.
pub(in crate::method) static MEMORY_TOTAL: Setting<Option<usize>> = Setting {
    key: "memory_total",
    doc: "Examples that the memory holds in all, instead of a number a class where the method has one.",
    range: WholeRange::FROM_ONE,
    default: fixed(None),
    only: None,
    stored: Stored::Plain,
};

/// The size of a memory that is given in all and in no other way.
pub(in crate::method) static MEMORY_TOTAL_OF_ALL: Setting<usize> = Setting {
    key: "memory_total",
    doc: "Examples that the memory holds in all, instead of a number a class where the method has one.",
    range: WholeRange::FROM_ONE,
    default: fixed(200),
    only: None,
    stored: Stored::Plain,
};

/// Which examples are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryKind {
    /// A uniform sample of all examples.
    Reservoir,
    /// The newest of every class of every task (of every task, where the size is one a task).
    Ring,
    /// As many of one class as of another.
    Balanced,
}

crate::choices!(MemoryKind { "reservoir" => Reservoir, "ring" => Ring, "balanced" => Balanced });

/// What all methods say of the setting of a [`MemoryKind`].
const MEMORY_DOC: &str = "Which examples are remembered: a uniform sample of all (reservoir), the newest of every class (ring), or as \
                          many of each class (balanced).";

/// The rule, where a method has a reservoir unless told otherwise.
pub(in crate::method) static MEMORY_RESERVOIR: Setting<MemoryKind> = Setting {
    key: "memory",
    doc: MEMORY_DOC,
    range: (),
    default: fixed(MemoryKind::Reservoir),
    only: None,
    stored: Stored::Unless("reservoir"),
};

/// The rule, where a method has a ring unless told otherwise.
pub(in crate::method) static MEMORY_RING: Setting<MemoryKind> = Setting {
    key: "memory",
    doc: MEMORY_DOC,
    range: (),
    default: fixed(MemoryKind::Ring),
    only: None,
    stored: Stored::Unless("ring"),
};

/// How many examples are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySize {
    /// Of every class.
    PerClass(usize),
    /// Of every task.
    PerTask(usize),
    /// In all.
    Total(usize),
}

impl MemorySize {
    /// The size that settings mean.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] if both other sizes than that a class are given.
    pub fn of(
        per_class: usize,
        per_task: Option<usize>,
        total: Option<usize>,
    ) -> Result<Self, SettingError> {
        match (per_task, total) {
            (None, None) => Ok(Self::PerClass(per_class)),
            (Some(count), None) => Ok(Self::PerTask(count)),
            (None, Some(count)) => Ok(Self::Total(count)),
            (Some(_), Some(_)) => Err(SettingError::Conflict {
                key: "memory_total",
                problem: "the memory has one size: give memory_total or memory_per_task, not both"
                    .to_string(),
            }),
        }
    }
}

/// Remembered examples.
#[derive(Clone, Debug)]
pub struct Memory(Rule);

#[derive(Clone, Debug)]
enum Rule {
    Reservoir(Reservoir<Slot>),
    Ring(Ring),
    Balanced(Balanced),
}

impl Memory {
    /// An empty memory for a stream of this context; `rule` is that of a reservoir.
    ///
    /// # Errors
    /// [`SettingError::Conflict`] for a ring of a given total with less than one example for every class of every task.
    pub fn new(
        kind: MemoryKind,
        size: MemorySize,
        rule: ReservoirRule,
        context: &MethodContext,
    ) -> Result<Self, SettingError> {
        let capacity = match size {
            MemorySize::PerClass(count) => count * context.classes,
            MemorySize::PerTask(count) => count * context.tasks,
            MemorySize::Total(count) => count,
        };
        let rings = context.all_classes;
        Ok(Self(match (kind, size) {
            (MemoryKind::Reservoir, _) => Rule::Reservoir(Reservoir::new(capacity, rule)),
            (MemoryKind::Balanced, _) => Rule::Balanced(Balanced::new(capacity)),
            (MemoryKind::Ring, MemorySize::PerClass(count)) => Rule::Ring(Ring::new(count)),
            (MemoryKind::Ring, MemorySize::PerTask(count)) => Rule::Ring(Ring::by_task(count)),
            (MemoryKind::Ring, MemorySize::Total(count)) if count < rings => {
                return Err(SettingError::Conflict {
                    key: "memory_total",
                    problem: format!(
                        "a ring of {count} examples has none for some of the {rings} classes of all tasks; use at least {rings}, \
                         or memory = reservoir"
                    ),
                });
            }
            (MemoryKind::Ring, MemorySize::Total(count)) => {
                Rule::Ring(Ring::new(count / rings.max(1)))
            }
        }))
    }

    /// Takes a batch in: examples with their classes.
    pub fn add(&mut self, batch: impl IntoIterator<Item = (Slot, usize)>, stream: &mut SeedStream) {
        match &mut self.0 {
            Rule::Reservoir(memory) => {
                memory.add(batch.into_iter().map(|(slot, _)| slot), stream);
            }
            Rule::Ring(memory) => {
                for (slot, class) in batch {
                    memory.add(slot.task as usize, slot.position as usize, class);
                }
            }
            Rule::Balanced(memory) => {
                for (slot, class) in batch {
                    memory.add(slot, class, stream);
                }
            }
        }
    }

    /// What is remembered.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        match &self.0 {
            Rule::Reservoir(memory) => memory.items().to_vec(),
            Rule::Ring(memory) => memory.slots(),
            Rule::Balanced(memory) => memory.slots().collect(),
        }
    }

    /// What is remembered of the tasks before `t`.
    #[must_use]
    pub fn before(&self, t: usize) -> Vec<Slot> {
        let mut slots = self.slots();
        slots.retain(|slot| (slot.task as usize) < t);
        slots
    }

    /// Bytes of the remembered examples.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Rule::Reservoir(memory) => memory.bytes(),
            Rule::Ring(memory) => memory.bytes(),
            Rule::Balanced(memory) => memory.bytes(),
        }
    }

    /// The snapshot with this memory in it.
    pub(in crate::method) fn with_state<'a>(&self, mut state: State<'a>) -> State<'a> {
        let (list, seen) = match &self.0 {
            Rule::Reservoir(memory) => (to_list(memory.items()), memory.seen()),
            Rule::Ring(memory) => (memory.to_list(), 0),
            Rule::Balanced(memory) => (memory.to_list(), 0),
        };
        state = state.with_counter("seen", seen);
        state.put_list("memory", list);
        state
    }

    /// The memory of a snapshot, of this one's rule and size.
    pub(in crate::method) fn restored(
        &self,
        state: &mut State<'_>,
        tasks: &[Task],
    ) -> Result<Self, LearnerError> {
        let seen = state.counter("seen")?;
        let list = state.take_list("memory")?;
        let rule = match &self.0 {
            Rule::Reservoir(memory) => {
                let mut memory = memory.clone();
                let slots = from_list(&list, tasks);
                let taken = slots.is_some_and(|slots| memory.restore(slots, seen));
                taken.then_some(Rule::Reservoir(memory))
            }
            Rule::Ring(memory) => memory.restored(&list, tasks).map(Rule::Ring),
            Rule::Balanced(memory) => memory.restored(&list, tasks).map(Rule::Balanced),
        };
        rule.map(Self).ok_or_else(|| invalid("memory"))
    }
}
