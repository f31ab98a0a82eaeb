//! What is seen while runs go on: a bar a run on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::printer::Printer;
use crate::experiment::engine::Watcher;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::run::runner::Event;

/// Shows the progress of a list of runs.
pub(super) struct Progress<'a> {
    printer: &'a Printer,
    runs: usize,
    bars: Option<MultiProgress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    active: HashMap<usize, Active>,
    ended: usize,
}

struct Active {
    began: Instant,
    tasks: usize,
    steps: usize,
    step: usize,
    /// Steps that were taken before this process.
    before: usize,
    bar: Option<ProgressBar>,
    /// When the newest plain line was written.
    told: Option<Instant>,
}

/// Plain lines of one run come no closer together than this.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

impl<'a> Progress<'a> {
    pub(super) fn new(printer: &'a Printer, runs: usize) -> Self {
        let bars = printer.is_terminal().then(MultiProgress::new);
        Self {
            printer,
            runs,
            bars,
            state: Mutex::new(State::default()),
        }
    }

    fn begin(&self, run: &PlannedRun, tasks: usize, steps: usize, before: usize) -> Active {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(steps as u64).with_position(before as u64));
            bar.reset_eta();
            let template = "{prefix} {bar:24} {pos}/{len} steps{rate}, {eta} left {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                let rate = |state: &ProgressState, text: &mut dyn Write| {
                    if state.per_sec() > 0.0 {
                        let _ = write!(text, ", {}", speed(state.per_sec()));
                    }
                };
                bar.set_style(style.with_key("rate", rate).progress_chars("━━─"));
            }
            bar.set_prefix(short(run));
            bar
        });
        Active {
            began: Instant::now(),
            tasks,
            steps,
            step: before,
            before,
            bar,
            told: None,
        }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => self.printer.note(text),
        }
    }
}

/// Method, optimizer and seed: what tells the runs of one command apart.
fn short(run: &PlannedRun) -> String {
    let c = &run.config;
    let mut text = c.benchmark.name().to_string();
    if *c.method != crate::method::PLAIN {
        let _ = write!(text, " {}", c.method.name);
    }
    let _ = write!(text, " {} seed {}", c.optimizer.name, c.seed);
    text
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Steps a second, in a unit that keeps a figure before the point.
pub(super) fn speed(rate: f64) -> String {
    match rate {
        rate if rate >= 9.95 => format!("{rate:.0} steps/s"),
        rate if rate >= 0.95 => format!("{rate:.1} steps/s"),
        rate => format!("{:.1} s/step", 1.0 / rate),
    }
}

pub(super) fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0).round() as u64
    } else {
        0
    };
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

impl Watcher for Progress<'_> {
    fn event(&self, index: usize, run: &PlannedRun, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::RunBegan { tasks, steps } => {
                let active = self.begin(run, *tasks, *steps, 0);
                state.active.insert(index, active);
                return;
            }
            Event::Resumed {
                tasks,
                steps,
                step,
                task,
                epoch,
                ..
            } => {
                let active = self.begin(run, *tasks, *steps, *step);
                state.active.insert(index, active);
                drop(state);
                self.line(&format!(
                    "{}: goes on from a checkpoint: task {task}/{tasks}, epoch {epoch}, step {step}/{steps}",
                    short(run)
                ));
                return;
            }
            Event::Warning(text) => {
                drop(state);
                self.line(&format!("warning: {}: {text}", short(run)));
                return;
            }
            Event::Step { .. } | Event::EpochEnded { .. } | Event::Evaluated { .. } => {}
        }
        let Some(active) = state.active.get_mut(&index) else {
            return;
        };
        match event {
            Event::Step { step, .. } => {
                active.step = *step;
                if let Some(bar) = &active.bar {
                    bar.set_position(*step as u64);
                }
            }
            Event::Evaluated {
                task, accuracies, ..
            } => {
                let accuracy = mean(accuracies);
                let text = format!("task {task}/{}, accuracy {accuracy:.1}%", active.tasks);
                if let Some(bar) = &active.bar {
                    bar.set_message(format!("({text})"));
                    return;
                }
                if active
                    .told
                    .is_some_and(|told| told.elapsed() < PLAIN_INTERVAL)
                {
                    return;
                }
                active.told = Some(Instant::now());
                let elapsed = active.began.elapsed().as_secs_f64();
                let rate = (active.step - active.before) as f64 / elapsed.max(1e-9);
                let mut line = format!("{}: {text}", short(run));
                if rate > 0.0 {
                    let left = active.steps.saturating_sub(active.step) as f64 / rate;
                    let _ = write!(line, ", {}, {} left", speed(rate), duration(left));
                }
                drop(state);
                self.line(&line);
            }
            _ => {}
        }
    }

    fn ended(&self, index: usize, run: &PlannedRun, status: &Status) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.active.remove(&index).and_then(|active| active.bar) {
            bar.finish_and_clear();
        }
        // After Ctrl-C one line says what has become of all of them.
        if matches!(status, Status::Interrupted) {
            return;
        }
        state.ended += 1;
        let count = format!("[{}/{}]", state.ended, self.runs);
        drop(state);
        let result = match status {
            Status::Done(r) => {
                let (m, s) = (&r.metrics, r.cost.wall_s);
                let forgetting = m.forgetting.map(|f| format!("forgetting {f:.3}, "));
                format!(
                    "accuracy {:.2}%, {}{}",
                    m.average_accuracy,
                    forgetting.unwrap_or_default(),
                    duration(s)
                )
            }
            Status::Found(_) => "complete already, not run again".to_string(),
            Status::Failed(error) => format!("FAILED: {error}"),
            Status::Interrupted => return,
        };
        self.line(&format!("{count} {}: {result}", short(run)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_never_nought() {
        for (rate, text) in [
            (1234.4, "1234 steps/s"),
            (10.0, "10 steps/s"),
            (9.96, "10 steps/s"),
            (9.94, "9.9 steps/s"),
            (1.0, "1.0 steps/s"),
            (0.5, "2.0 s/step"),
            (0.01, "100.0 s/step"),
        ] {
            assert_eq!(speed(rate), text);
        }
    }
}
