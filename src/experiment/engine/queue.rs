//! The queue of a list of runs, whoever executes them.
//!
//! Owns that every run is taken once, by the next seat that is free, and that the answers come in the order of the list; and
//! what becomes of a run in whose folder another process works: it is put off until all others are done, and asked for again
//! until it is free. The other process's result is then found, or its run taken over where it left off.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Watcher;
use crate::experiment::RunError;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::run::runner::Event;

/// A run that is held elsewhere is asked for no more often than this.
const AGAIN: Duration = Duration::from_millis(500);

/// A mutex's content, also after a panic elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of a run in whose folder another process works.
#[derive(Clone, Copy)]
pub(super) enum Held<'a> {
    /// It has failed, and the other process is named.
    Refuse,
    /// It is waited for, until the flag is set.
    Await(&'a AtomicBool),
}

/// Which runs are to be served.
struct Queue {
    fresh: VecDeque<usize>,
    /// Held elsewhere, with the time of the last asking.
    put_off: VecDeque<(usize, Instant)>,
    /// Those of which it was said.
    told: Vec<usize>,
}

impl Queue {
    /// The next run, and the time before which it is not worth asking for.
    fn take(&mut self) -> Option<(usize, Option<Instant>)> {
        if let Some(index) = self.fresh.pop_front() {
            return Some((index, None));
        }
        let (index, asked) = self.put_off.pop_front()?;
        Some((index, Some(asked + AGAIN)))
    }

    /// Puts a run off; whether that is new.
    fn put_off(&mut self, index: usize) -> bool {
        self.put_off.push_back((index, Instant::now()));
        let new = !self.told.contains(&index);
        if new {
            self.told.push(index);
        }
        new
    }
}

/// Serves the runs by `jobs` seats (numbered from 0) on threads of their own. A seat serves run after run until none is left,
/// with a state that `open` makes of its number; `meanwhile` goes on beside them and is told how many seats are still at work.
pub(super) fn serve<S>(
    runs: &[PlannedRun],
    jobs: usize,
    watcher: &dyn Watcher,
    held: Held<'_>,
    open: &(dyn Fn(usize) -> S + Sync),
    one: &(dyn Fn(&mut S, usize, &PlannedRun) -> Status + Sync),
    meanwhile: impl FnOnce(&AtomicUsize),
) -> Vec<Status> {
    let active = AtomicUsize::new(jobs);
    let queue = Mutex::new(Queue {
        fresh: (0..runs.len()).collect(),
        put_off: VecDeque::new(),
        told: Vec::new(),
    });
    let statuses: Vec<Mutex<Option<Status>>> = runs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for seat in 0..jobs {
            let (queue, active, statuses) = (&queue, &active, &statuses);
            scope.spawn(move || {
                let mut state = open(seat);
                loop {
                    let Some((index, not_before)) = lock(queue).take() else {
                        break;
                    };
                    let (Some(run), Some(slot)) = (runs.get(index), statuses.get(index)) else {
                        break;
                    };
                    if let Held::Await(stop) = held {
                        wait(not_before, stop);
                    }
                    let status = one(&mut state, index, run);
                    if let (Held::Await(_), Status::Failed(RunError::Locked { holder, .. })) =
                        (held, &status)
                    {
                        if lock(queue).put_off(index) {
                            watcher.event(index, run, &waiting_for(holder));
                        }
                        continue;
                    }
                    watcher.ended(index, run, &status);
                    *lock(slot) = Some(status);
                }
                drop(state);
                active.fetch_sub(1, Ordering::Relaxed);
            });
        }
        meanwhile(&active);
    });
    let taken = statuses.into_iter().map(|slot| {
        let status = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        status.unwrap_or(Status::Interrupted)
    });
    taken.collect()
}

/// Sleeps until then, or until told to stop.
fn wait(until: Option<Instant>, stop: &AtomicBool) {
    let Some(until) = until else { return };
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

fn waiting_for(holder: &str) -> Event {
    let holder = if holder.is_empty() {
        "another process"
    } else {
        holder
    };
    Event::Warning(format!(
        "{holder} works on this run: it is waited for, and taken over if it ends without a result"
    ))
}
