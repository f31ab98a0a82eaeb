//! `tagcl status`: a folder of runs from another terminal, or another machine.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use console::{Term, truncate_str};

use super::CliError;
use super::args::StatusArgs;
use super::printer::Printer;
use super::progress::{duration, speed};
use crate::experiment::engine::survey::{RunStatus, State, Survey, survey};

/// Failures shown unless all runs are asked for.
const FAILURES: usize = 20;

pub(super) fn status(args: &StatusArgs, printer: &Printer) -> Result<(), CliError> {
    if args.watch {
        return watch(args, printer);
    }
    let survey = look(&args.dir)?;
    if args.json {
        printer.data(&format!("{:#}", serde_json::json!(survey)));
    } else {
        printer.data(&show(&survey, args.all));
    }
    Ok(())
}

fn look(dir: &Path) -> Result<Survey, CliError> {
    survey(dir).map_err(|e| CliError::Usage(format!("cannot list {}: {e}", dir.display())))
}

/// Shows the folder again and again until nothing runs or waits; on a terminal in place, elsewhere a line a change.
fn watch(args: &StatusArgs, printer: &Printer) -> Result<(), CliError> {
    let term = Term::stdout();
    let terminal = std::io::stdout().is_terminal();
    let mut last = String::new();
    loop {
        let survey = look(&args.dir)?;
        if args.json {
            let line = serde_json::json!(survey).to_string();
            if line != last {
                printer.data(&line);
            }
            last = line;
        } else if terminal {
            // The size is asked for every time: the window may have been resized.
            let (rows, columns) = term.size();
            let text = fit(&show(&survey, args.all), rows.into(), columns.into());
            // Home, the text with every line cleared to its end, and the rest of the screen cleared.
            printer.write(|out| write!(out, "\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")));
        } else {
            let line = counts(&survey);
            if line != last {
                printer.data(&line);
            }
            last = line;
        }
        if survey.is_over() || !printer.is_read() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs_f64(args.interval.clamp(0.1, 3600.0)));
    }
}

/// The text cut to a window, so that it never wraps or scrolls.
fn fit(text: &str, rows: usize, columns: usize) -> String {
    let lines = text.lines().take(rows.saturating_sub(1).max(1));
    let lines = lines.map(|line| truncate_str(line, columns.max(10), "…").into_owned() + "\n");
    lines.collect()
}

fn counts(survey: &Survey) -> String {
    let all = survey.runs.len();
    let states = State::ALL.iter().filter_map(|state| {
        let count = survey.count(*state);
        (count > 0).then(|| format!("{count} {}", state.name()))
    });
    let states: Vec<String> = states.collect();
    if all == 0 {
        return "0 runs: no run folders here or below".to_string();
    }
    format!("{all} runs: {}", states.join(", "))
}

fn show(survey: &Survey, all: bool) -> String {
    let mut text = counts(survey) + "\n";
    let running: Vec<&RunStatus> = of(survey, State::Running).collect();
    let left: f64 = running
        .iter()
        .filter_map(|run| run.left_s)
        .fold(0.0, f64::max);
    if left > 0.0 {
        let _ = writeln!(text, "running ones done in about {}", duration(left));
    }
    let shown: Vec<&RunStatus> = if all {
        survey.runs.iter().collect()
    } else {
        let failed = of(survey, State::Failed).chain(of(survey, State::Damaged));
        running.into_iter().chain(failed.take(FAILURES)).collect()
    };
    let width = shown
        .iter()
        .map(|run| run.run_id.chars().count())
        .max()
        .unwrap_or(0);
    for run in &shown {
        let _ = writeln!(text, "{}", line(run, width));
    }
    let failures = survey.count(State::Failed) + survey.count(State::Damaged);
    if !all && failures > FAILURES {
        let _ = writeln!(
            text,
            "and {} more failures (--all shows them)",
            failures - FAILURES
        );
    }
    for error in &survey.unreadable {
        let _ = writeln!(text, "{error}");
    }
    text
}

fn of(survey: &Survey, state: State) -> impl Iterator<Item = &RunStatus> {
    survey.runs.iter().filter(move |run| run.state == state)
}

fn line(run: &RunStatus, width: usize) -> String {
    let mut text = format!("{:8} {:width$}", run.state.name(), run.run_id);
    if let (Some(task), Some(tasks)) = (run.task, run.tasks) {
        let _ = write!(text, "  task {task}/{tasks}");
    }
    if run.state != State::Done
        && let Some(share) = run.progress
    {
        let _ = write!(text, "  {:.0}%", 100.0 * share);
    }
    if let Some(rate) = run.steps_per_s {
        let _ = write!(text, "  {}", speed(rate));
    }
    if let Some(left) = run.left_s {
        let _ = write!(text, "  {} left", duration(left));
    }
    if let Some(accuracy) = run.accuracy {
        let _ = write!(text, "  accuracy {accuracy:.2}%");
    }
    if let Some(error) = &run.error {
        let _ = write!(text, "  {error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_cut_to_its_window() {
        let text = "12345678901234567890\nb\nc\nd\n";
        assert_eq!(fit(text, 3, 12), "12345678901…\nb\n");
        assert_eq!(fit(text, 0, 0).lines().count(), 1);
        assert!(fit(text, 100, 100).ends_with("d\n"));
    }
}
