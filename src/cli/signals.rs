//! Signals that ask a run to stop where it can go on.
//!
//! Owns which they are: Ctrl-C, a terminal that goes away, what `kill` sends, and what schedulers send before a limit
//! (Slurm's `--signal=USR1@120`, Grid Engine's and LSF's USR2 and XCPU), whichever of the processes of a job they reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::CliError;

/// Sent by schedulers as a warning, maybe several times, and maybe followed by one of the others.
#[cfg(unix)]
const WARNINGS: [i32; 3] = [
    signal_hook::consts::SIGUSR1,
    signal_hook::consts::SIGUSR2,
    signal_hook::consts::SIGXCPU,
];

/// Exit code of a program that ends at a second signal.
const INTERRUPTED: i32 = 130;

/// A flag that any of the signals sets. At a second one that wants an end (SIGINT, SIGTERM, SIGHUP) the program ends at
/// once, whatever is under way; warnings do not count for that.
pub(super) fn interruption() -> Result<Arc<AtomicBool>, CliError> {
    let asked = AtomicBool::new(false);
    listen(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })
}

/// A flag that any of the signals sets, however often: a worker's parent decides what is next.
pub(super) fn worker_interruption() -> Result<Arc<AtomicBool>, CliError> {
    listen(|| {})
}

fn listen(at_an_end: impl Fn() + Send + 'static) -> Result<Arc<AtomicBool>, CliError> {
    let refused =
        |e: &dyn std::fmt::Display| CliError::Failed(format!("cannot listen for signals: {e}"));
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::Relaxed);
        at_an_end();
    })
    .map_err(|e| refused(&e))?;
    #[cfg(unix)]
    for signal in WARNINGS {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|e| refused(&e))?;
    }
    Ok(stop)
}
