//! What happens in a run.

use serde_json::json;

/// What happens in a run, for progress displays and event logs.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    RunBegan {
        /// Tasks in the stream.
        tasks: usize,
        /// Training steps in all.
        steps: usize,
    },
    /// The run goes on from a checkpoint; the events after it come again.
    Resumed {
        /// Tasks in the stream.
        tasks: usize,
        /// Training steps in all.
        steps: usize,
        /// Steps taken before.
        step: usize,
        /// Task under way, from 1.
        task: usize,
        /// Epoch under way, from 1.
        epoch: usize,
        /// How many lines of the log were written before the checkpoint.
        lines: usize,
    },
    /// Something that a person should know and that does not change the result.
    Warning(String),
    /// A training step was taken.
    Step {
        /// Task, from 1.
        task: usize,
        /// Steps so far in the run.
        step: usize,
        /// Loss of its batch.
        loss: f32,
    },
    /// An epoch ended.
    EpochEnded {
        /// Task, from 1.
        task: usize,
        /// Epoch, from 1.
        epoch: usize,
        /// Mean training loss over the epoch.
        loss: f64,
        /// Mean loss on the task's validation images, where it decides whether training goes on (`patience`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation_loss: Option<f64>,
    },
    /// All tasks so far were evaluated.
    Evaluated {
        /// Task just learned, from 1.
        task: usize,
        /// Percent correct on tasks 1..=task.
        accuracies: Vec<f64>,
        /// Mean losses on tasks 1..=task.
        losses: Vec<f64>,
    },
}

impl Event {
    /// The event as a line of `events.jsonl`; `None` for steps, which are too many.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::RunBegan { tasks, steps } => {
                json!({"event": "run-began", "tasks": tasks, "steps": steps})
            }
            Self::Resumed {
                steps,
                step,
                task,
                epoch,
                ..
            } => {
                json!({"event": "resumed", "task": task, "epoch": epoch, "step": step, "steps": steps})
            }
            Self::Warning(text) => json!({"event": "warning", "text": text}),
            Self::Step { .. } => return None,
            Self::EpochEnded {
                task,
                epoch,
                loss,
                validation_loss,
            } => {
                let mut line =
                    json!({"event": "epoch-ended", "task": task, "epoch": epoch, "loss": loss});
                if let (Some(fields), Some(loss)) = (line.as_object_mut(), validation_loss) {
                    fields.insert("validation_loss".to_string(), json!(loss));
                }
                line
            }
            Self::Evaluated {
                task,
                accuracies,
                losses,
            } => {
                json!({"event": "evaluated", "task": task, "accuracies": accuracies, "losses": losses})
            }
        })
    }

    /// Whether a line of `events.jsonl` is of the run itself, which repeats it after an interruption, and not of one
    /// process that executed it.
    #[must_use]
    pub fn is_of_the_run(line: &serde_json::Value) -> bool {
        let name = line.get("event").and_then(serde_json::Value::as_str);
        !matches!(name, Some("resumed" | "warning"))
    }
}
