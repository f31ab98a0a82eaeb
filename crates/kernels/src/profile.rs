//! Where the time of a step goes, for `benches/phases.rs`.
//!
//! With the feature `kernel-profile`, [`timed`] adds up what every phase of every stage takes on the clock; without it,
//! it only calls the work. Meant for one thread: several threads' times are added together.

#[cfg(feature = "kernel-profile")]
mod table {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, Instant};

    /// Time and calls by stage and phase.
    type Table = BTreeMap<(usize, &'static str), (Duration, usize)>;

    static TABLE: Mutex<Table> = Mutex::new(BTreeMap::new());

    /// Runs the work and adds its time to a phase of a stage.
    pub(crate) fn timed<R>(stage: usize, phase: &'static str, work: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = work();
        let took = began.elapsed();
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.entry((stage, phase)).or_default();
        entry.0 += took;
        entry.1 += 1;
        result
    }

    /// Time and calls by stage (of the trunk, from 0) and phase since the last call, which it forgets.
    #[must_use]
    pub fn take() -> Vec<(usize, &'static str, Duration, usize)> {
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *table)
            .into_iter()
            .map(|((stage, phase), (time, calls))| (stage, phase, time, calls))
            .collect()
    }
}

#[cfg(feature = "kernel-profile")]
pub use table::take;
#[cfg(feature = "kernel-profile")]
pub(crate) use table::timed;

/// Runs the work.
#[cfg(not(feature = "kernel-profile"))]
#[inline(always)]
pub(crate) fn timed<R>(_stage: usize, _phase: &'static str, work: impl FnOnce() -> R) -> R {
    work()
}
