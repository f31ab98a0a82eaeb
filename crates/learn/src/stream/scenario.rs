//! Scenarios: what is known of an example's task, and so which classes of the head compete for it.
//!
//! Owns the rule from (scenario, example's task, tasks that have come) to a set of classes. Everything else (losses,
//! evaluation, methods) asks the examples for their sets and knows no scenario. The three are those of van de Ven, Tuytelaars
//! and Tolias (Nature Machine Intelligence 4, 2022): task-, domain- and class-incremental learning.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Classes;

/// What is known of an example's task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Task-incremental: every task has classes of its own and is known, in training and at test; its classes alone compete.
    #[default]
    Task,
    /// Domain-incremental: all tasks share the classes of one head, and the task is not known.
    Domain,
    /// Class-incremental: every task has classes of its own, the task is not known, and all classes compete.
    Class,
}

crate::choices!(Scenario { "task" => Task, "domain" => Domain, "class" => Class });

impl Scenario {
    /// Whether the task of an example is known, in training and at test.
    #[must_use]
    pub fn knows_tasks(self) -> bool {
        self == Self::Task
    }

    /// The adjective: `task-incremental`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Task => "task-incremental",
            Self::Domain => "domain-incremental",
            Self::Class => "class-incremental",
        }
    }
}

/// Which classes compete in class-incremental *training*; papers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingClasses {
    /// For an example of the present task, the classes of that task; for a replayed one, all seen so far.
    Present,
    /// All classes seen so far, the present task's among them.
    #[default]
    Seen,
    /// All classes of the head, those of tasks to come among them.
    All,
}

crate::choices!(TrainingClasses { "present" => Present, "seen" => Seen, "all" => All });

/// Scenario and reading of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// What is known of an example's task.
    pub scenario: Scenario,
    /// Which classes compete in class-incremental training; without a meaning in the other scenarios.
    pub training: TrainingClasses,
}

/// Where a stream is: what the sets of competing classes depend on beside the example's own task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The present task, from 0; none where training is on all together.
    pub present: Option<usize>,
    /// Classes of all tasks so far, and of the whole head.
    pub seen: usize,
    pub head: usize,
}

impl Protocol {
    /// The classes that compete in training for an example of task `task`, whose own classes are `own`.
    pub(super) fn in_training(self, task: usize, own: Range<usize>, now: Now) -> Classes {
        match (self.scenario, self.training) {
            (Scenario::Task | Scenario::Domain, _) => own,
            (Scenario::Class, TrainingClasses::All) => 0..now.head,
            (Scenario::Class, TrainingClasses::Present) if Some(task) == now.present => own,
            (Scenario::Class, _) => 0..now.seen.max(own.end),
        }
        .into()
    }

    /// The classes that compete at test: of a task that has come all seen so far; of one to come all of the head.
    pub(super) fn at_test(self, own: Range<usize>, now: Now) -> Classes {
        match self.scenario {
            Scenario::Task | Scenario::Domain => own,
            Scenario::Class if own.end <= now.seen => 0..now.seen,
            Scenario::Class => 0..now.head,
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        present: Some(2),
        seen: 6,
        head: 10,
    };

    fn class(training: TrainingClasses) -> Protocol {
        let scenario = Scenario::Class;
        Protocol { scenario, training }
    }

    #[test]
    fn with_a_known_task_and_with_one_head_the_own_classes_compete() {
        for scenario in [Scenario::Task, Scenario::Domain] {
            let training = TrainingClasses::All;
            let protocol = Protocol { scenario, training };
            assert_eq!(protocol.in_training(1, 2..4, NOW), (2..4).into());
            assert_eq!(protocol.at_test(2..4, NOW), (2..4).into());
        }
    }

    #[test]
    fn readings_of_class_incremental_training() {
        use TrainingClasses::{All, Present, Seen};
        for (reading, new, old) in [
            (Present, 4..6, 0..6),
            (Seen, 0..6, 0..6),
            (All, 0..10, 0..10),
        ] {
            assert_eq!(class(reading).in_training(2, 4..6, NOW), new.into());
            assert_eq!(class(reading).in_training(0, 0..2, NOW), old.into());
        }
    }

    #[test]
    fn at_test_what_was_seen_competes_and_for_tasks_to_come_everything() {
        for reading in [TrainingClasses::Present, TrainingClasses::All] {
            assert_eq!(class(reading).at_test(0..2, NOW), (0..6).into());
            assert_eq!(class(reading).at_test(6..8, NOW), (0..10).into());
        }
    }
}
