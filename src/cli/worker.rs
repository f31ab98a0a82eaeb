//! `tagcl worker` (hidden): executes the runs that its parent sends, one after another.
//!
//! One process a worker: what kills it takes one run with it. The protocol is in [`crate::experiment::engine::processes`].

use std::io::{self, BufRead as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::CliError;
use super::args::WorkerArgs;
use super::execute::load;
use super::printer::Printer;
use super::signals::worker_interruption;
use crate::experiment::Fault;
use crate::experiment::engine::Watcher;
use crate::experiment::engine::pool::Pool;
use crate::experiment::engine::processes::{Ending, Job, Message, STOP};
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::run::runner::{Event, SharedData};

/// Steps are reported no more often than this.
const INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn worker(args: &WorkerArgs, printer: &Printer) -> Result<(), CliError> {
    let stop = worker_interruption()?;
    let init = match &args.init {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|e| CliError::Failed(format!("cannot read {}: {e}", path.display())))?,
        ),
    };
    let jobs = listen(Arc::clone(&stop));
    let mut data: Option<(RunConfig, SharedData)> = None;
    for line in jobs {
        let ending = match serde_json::from_str::<Job>(&line) {
            Ok(job) => match PlannedRun::received(job.config, job.toml) {
                Ok(run) => one(args, &run, init.as_deref(), &mut data, &stop, printer),
                Err(error) => failed(error.to_string()),
            },
            Err(e) => failed(format!("a job that is none: {e}")),
        };
        say(&Message::Ended(ending))?;
    }
    Ok(())
}

/// Lines from the parent: jobs go to the channel, [`STOP`] and the end of input set the flag.
fn listen(stop: Arc<AtomicBool>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) if line == STOP => stop.store(true, Ordering::Relaxed),
                Ok(line) => {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    receiver
}

fn failed(reason: String) -> Ending {
    let fault = Fault::Lasting;
    Ending::Failed { reason, fault }
}

fn one(
    args: &WorkerArgs,
    run: &PlannedRun,
    init: Option<&[u8]>,
    data: &mut Option<(RunConfig, SharedData)>,
    stop: &AtomicBool,
    printer: &Printer,
) -> Ending {
    if data
        .as_ref()
        .is_none_or(|(of, _)| !run.config.has_images_of(of))
    {
        // The old set goes before the new one comes: two would not always fit.
        *data = None;
        match load(&run.config, args.data.as_deref(), printer) {
            Ok(loaded) => *data = Some((run.config.clone(), loaded)),
            Err(error) => {
                let reason = error.to_string();
                return Ending::NoData { reason };
            }
        }
    }
    let Some((_, data)) = data else {
        return failed("no data".to_string());
    };
    let pool = Pool {
        out: &args.out,
        data,
        init,
        jobs: 1,
        threads: args.threads,
        checkpoint_every: args.checkpoint_every.0,
        stop,
    };
    let reporter = Reporter::default();
    let statuses = pool.execute(std::slice::from_ref(run), &reporter);
    statuses
        .first()
        .map_or_else(|| failed("no run".to_string()), Ending::of)
}

fn say(message: &Message) -> Result<(), CliError> {
    let lost = |e: io::Error| CliError::Failed(format!("the parent is gone: {e}"));
    let text = serde_json::to_string(message).map_err(|e| lost(e.into()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(lost)
}

/// Passes events on to the parent.
#[derive(Default)]
struct Reporter {
    steps: Mutex<Steps>,
}

/// Which steps the parent knows.
#[derive(Default)]
struct Steps {
    /// When one was last reported.
    told: Option<Instant>,
    /// The newest, if it was not: it goes before whatever comes next, or the parent would count too few.
    kept: Option<Event>,
}

impl Watcher for Reporter {
    fn event(&self, _: usize, _: &PlannedRun, event: &Event) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Step { .. } = event {
            if steps.told.is_some_and(|at| at.elapsed() < INTERVAL) {
                steps.kept = Some(event.clone());
                return;
            }
            (steps.told, steps.kept) = (Some(Instant::now()), None);
        }
        // Where the parent is gone, the end of standard input stops the run.
        for event in steps.kept.take().iter().chain([event]) {
            let _ = say(&Message::Event(event.clone()));
        }
    }

    fn ended(&self, _: usize, _: &PlannedRun, _: &Status) {}
}
