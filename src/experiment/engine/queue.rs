//! The queue of a list of runs, whoever executes them.
//!
//! Owns that every run is taken once, by the next seat that is free, and that the answers come in the order of the list.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Watcher;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;

/// A mutex's content, also after a panic elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the runs by `jobs` seats (numbered from 0) on threads of their own. A seat serves run after run until none is left,
/// with a state that `open` makes of its number; `meanwhile` goes on beside them and is told how many seats are still at work.
pub(super) fn serve<S>(
    runs: &[PlannedRun],
    jobs: usize,
    watcher: &dyn Watcher,
    open: &(dyn Fn(usize) -> S + Sync),
    one: &(dyn Fn(&mut S, usize, &PlannedRun) -> Status + Sync),
    meanwhile: impl FnOnce(&AtomicUsize),
) -> Vec<Status> {
    let (next, active) = (AtomicUsize::new(0), AtomicUsize::new(jobs));
    let statuses: Vec<Mutex<Option<Status>>> = runs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for seat in 0..jobs {
            let (next, active, statuses) = (&next, &active, &statuses);
            scope.spawn(move || {
                let mut state = open(seat);
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(run), Some(slot)) = (runs.get(index), statuses.get(index)) else {
                        break;
                    };
                    let status = one(&mut state, index, run);
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
