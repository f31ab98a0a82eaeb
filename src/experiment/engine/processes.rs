//! Many runs side by side, each in a process of its own.
//!
//! Owns the isolation that threads cannot give: a run that is killed, aborts or runs out of memory takes its process with it
//! and no other run. A worker process serves one run after another (its data stays loaded) and speaks JSON lines: a
//! [`Job`] in, [`Message`]s out. A worker whose standard input ends stops by itself, so none outlives its parent.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Watcher;
use super::queue::{self, Held, lock};
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::run::runner::Event;
use crate::experiment::run::store::RunFolder;
use crate::experiment::{Fault, RunError};

/// A run for a worker: one line on its standard input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What is run.
    pub config: RunConfig,
    /// The configuration as TOML.
    pub toml: String,
}

/// The other line that a worker understands: stop the present run, which stays resumable.
pub const STOP: &str = "stop";

/// What a worker says: one line on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Something happened in the run.
    Event(Event),
    /// The run has ended; its result, if any, is in its folder.
    Ended(Ending),
}

/// How a run ended in a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Executed.
    Done,
    /// Its result was there already.
    Found,
    /// Stopped.
    Interrupted,
    /// Another process works in the run's folder.
    Locked {
        /// The folder.
        folder: PathBuf,
        /// What the other one says of itself.
        holder: String,
    },
    /// The images cannot be had.
    NoData {
        /// Why.
        reason: String,
    },
    /// Failed.
    Failed {
        /// Why.
        reason: String,
        /// Whose fault that is; [`Fault::Passing`] may end otherwise at another attempt.
        fault: Fault,
    },
}

impl Ending {
    /// The ending that a status means.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        match status {
            Status::Done(_) => Self::Done,
            Status::Found(_) => Self::Found,
            Status::Interrupted => Self::Interrupted,
            Status::Failed(RunError::Locked { folder, holder }) => Self::Locked {
                folder: folder.clone(),
                holder: holder.clone(),
            },
            Status::Failed(error) => Self::Failed {
                reason: error.to_string(),
                fault: error.fault(),
            },
        }
    }
}

/// Starts worker processes; the tests have one that needs no process.
pub trait Spawn: Sync {
    /// A worker's ends.
    ///
    /// # Errors
    /// What the system says.
    fn spawn(&self) -> io::Result<Box<dyn Worker>>;
}

/// A worker as its parent sees it.
pub trait Worker: Send {
    /// Sends a line.
    ///
    /// # Errors
    /// What the system says; the worker is gone then.
    fn send(&mut self, line: &str) -> io::Result<()>;
    /// A sender of [`STOP`] for another thread.
    fn stopper(&mut self) -> Box<dyn FnMut() + Send>;
    /// The next line; empty at the end.
    ///
    /// # Errors
    /// What the system says.
    fn receive(&mut self) -> io::Result<String>;
    /// After its end: how it ended and what it last wrote to standard error.
    fn post_mortem(&mut self) -> String;
}

/// Executes lists of runs in worker processes.
pub struct Processes<'a> {
    /// Run folders are here.
    pub out: PathBuf,
    /// Runs side by side.
    pub jobs: usize,
    /// Further attempts for a run whose worker died or whose failure may pass.
    pub retries: usize,
    /// Set to stop.
    pub stop: &'a AtomicBool,
    /// Where workers come from.
    pub spawn: &'a dyn Spawn,
    /// Which images are at hand; begins empty.
    pub images: Images,
}

/// Checksums of the images at hand, as workers have found them: a configuration that has them, and what was found. Results of runs that are done already are compared with them.
#[derive(Debug, Default)]
pub struct Images(Mutex<Vec<(RunConfig, Hand)>>);

/// What is known of images.
#[derive(Clone, Debug)]
enum Hand {
    /// They are there, with this checksum.
    Sum(String),
    /// They cannot be had.
    Nothing,
}

impl Images {
    fn of(&self, config: &RunConfig) -> Option<Hand> {
        let known = lock(&self.0);
        let same = known.iter().find(|(of, _)| config.has_images_of(of));
        same.map(|(_, hand)| hand.clone())
    }

    fn remember(&self, config: &RunConfig, hand: Hand) {
        if self.of(config).is_none() {
            lock(&self.0).push((config.clone(), hand));
        }
    }
}

type Stopper = Box<dyn FnMut() + Send>;

/// A place in which one worker serves after another.
struct Seat<'a> {
    worker: Option<Box<dyn Worker>>,
    stopper: &'a Mutex<Option<Stopper>>,
}

impl Drop for Seat<'_> {
    /// The stopper holds the worker's standard input, at whose end the worker ends: it goes first.
    fn drop(&mut self) {
        *lock(self.stopper) = None;
    }
}

impl Processes<'_> {
    /// Executes the runs; the answers are in the order of the list, without α's tables, which are in the files. A run that
    /// another process works on is waited for, and taken over if that process ends without a result.
    pub fn execute(&self, runs: &[PlannedRun], watcher: &dyn Watcher) -> Vec<Status> {
        let jobs = self.jobs.clamp(1, runs.len().max(1));
        let stoppers: Vec<Mutex<Option<Stopper>>> = (0..jobs).map(|_| Mutex::new(None)).collect();
        let idle = Mutex::new(None);
        let open = |seat: usize| Seat {
            worker: None,
            stopper: stoppers.get(seat).unwrap_or(&idle),
        };
        let one = |seat: &mut Seat<'_>, index, run: &PlannedRun| {
            self.attempts(index, run, &mut seat.worker, seat.stopper, watcher)
        };
        // A terminal's Ctrl-C reaches the workers by itself; a signal to this process alone does not.
        let pass_on_stop = |active: &AtomicUsize| {
            while active.load(Ordering::Relaxed) > 0 {
                if self.stop.load(Ordering::Relaxed) {
                    for stopper in &stoppers {
                        if let Some(stop) = lock(stopper).as_mut() {
                            stop();
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        queue::serve(
            runs,
            jobs,
            watcher,
            Held::Await(self.stop),
            &open,
            &one,
            pass_on_stop,
        )
    }

    fn attempts(
        &self,
        index: usize,
        run: &PlannedRun,
        worker: &mut Option<Box<dyn Worker>>,
        stopper: &Mutex<Option<Stopper>>,
        watcher: &dyn Watcher,
    ) -> Status {
        // Ten thousand results that are there need no worker but the first, which finds out which images are at hand.
        let folder = RunFolder::new(&self.out, &run.config.run_id());
        let before = match folder.result(&run.config) {
            Ok(before) => before.map(without_tables),
            Err(error) => return Status::Failed(error),
        };
        let before = match (before, self.images.of(&run.config)) {
            (Some(result), Some(hand)) => {
                let same = match hand {
                    Hand::Sum(sum) => folder.check_data(&result, &sum),
                    Hand::Nothing => Ok(()),
                };
                return match same {
                    Ok(()) => Status::Found(result),
                    Err(error) => Status::Failed(error),
                };
            }
            (before, _) => before,
        };
        let mut left = self.retries;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Status::Interrupted;
            }
            let ending = match self.attempt(index, run, worker, stopper, watcher) {
                Ok(ending) => ending,
                Err(reason) => {
                    (*worker, *lock(stopper)) = (None, None);
                    if self.stop.load(Ordering::Relaxed) {
                        return Status::Interrupted;
                    }
                    let fault = Fault::Passing;
                    Ending::Failed { reason, fault }
                }
            };
            return match ending {
                Ending::Interrupted => Status::Interrupted,
                Ending::Failed {
                    fault: Fault::Passing,
                    ..
                } if left > 0 => {
                    left -= 1;
                    continue;
                }
                Ending::Failed { reason, fault } => {
                    Status::Failed(RunError::Worker { reason, fault })
                }
                Ending::NoData { reason } => {
                    self.images.remember(&run.config, Hand::Nothing);
                    let Some(result) = before else {
                        return Status::Failed(RunError::lasting(reason));
                    };
                    let text = format!(
                        "complete; whether the images are still the same is not known: {reason}"
                    );
                    watcher.event(index, run, &Event::Warning(text));
                    Status::Found(result)
                }
                Ending::Locked { folder, holder } => {
                    Status::Failed(RunError::Locked { folder, holder })
                }
                Ending::Done => self.result(run, Status::Done),
                Ending::Found => self.result(run, Status::Found),
            };
        }
    }

    /// One attempt; an error means that the worker is lost.
    fn attempt(
        &self,
        index: usize,
        run: &PlannedRun,
        slot: &mut Option<Box<dyn Worker>>,
        stopper: &Mutex<Option<Stopper>>,
        watcher: &dyn Watcher,
    ) -> Result<Ending, String> {
        let worker = if let Some(worker) = slot {
            worker
        } else {
            let spawned = self.spawn.spawn();
            let mut worker = spawned.map_err(|e| format!("cannot start a worker: {e}"))?;
            *lock(stopper) = Some(worker.stopper());
            slot.insert(worker)
        };
        let (config, toml) = (run.config.clone(), run.toml.clone());
        let job = serde_json::to_string(&Job { config, toml }).map_err(|e| e.to_string())?;
        if worker.send(&job).is_err() {
            return Err(worker.post_mortem());
        }
        loop {
            let line = worker.receive().map_err(|e| e.to_string())?;
            if line.is_empty() {
                return Err(worker.post_mortem());
            }
            match serde_json::from_str(&line) {
                Ok(Message::Event(event)) => watcher.event(index, run, &event),
                Ok(Message::Ended(ending)) => return Ok(ending),
                Err(e) => return Err(format!("the worker wrote `{}`: {e}", line.trim())),
            }
        }
    }

    fn result(
        &self,
        run: &PlannedRun,
        of: impl Fn(Box<crate::experiment::run::result::RunResult>) -> Status,
    ) -> Status {
        let folder = RunFolder::new(&self.out, &run.config.run_id());
        match folder.result(&run.config) {
            Ok(Some(result)) => {
                let sum = result.provenance.data_sha256.clone();
                self.images.remember(&run.config, Hand::Sum(sum));
                of(without_tables(result))
            }
            Ok(None) => {
                let reason = format!(
                    "{} has vanished",
                    folder
                        .path()
                        .join(crate::experiment::run::store::RESULT)
                        .display()
                );
                let fault = Fault::Passing;
                Status::Failed(RunError::Worker { reason, fault })
            }
            Err(error) => Status::Failed(error),
        }
    }
}

/// A result without α's tables: thousands of them need not be in memory.
pub(super) fn without_tables(
    mut result: crate::experiment::run::result::RunResult,
) -> Box<crate::experiment::run::result::RunResult> {
    result.alpha = None;
    Box::new(result)
}

/// Workers that are processes of this same program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Arguments that make it a worker.
    pub arguments: Vec<std::ffi::OsString>,
}

impl Spawn for Program {
    fn spawn(&self) -> io::Result<Box<dyn Worker>> {
        // On Linux this is the running program even where its file has been replaced since.
        let itself = PathBuf::from("/proc/self/exe");
        let program = if itself.exists() {
            itself
        } else {
            std::env::current_exe()?
        };
        let mut child = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipe = || io::Error::other("no pipe");
        let stdin = child.stdin.take().ok_or_else(pipe)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(pipe)?);
        let last_words = listen(child.stderr.take().ok_or_else(pipe)?);
        let stdin = std::sync::Arc::new(Mutex::new(stdin));
        Ok(Box::new(Process {
            child,
            stdin,
            stdout,
            last_words: Some(last_words),
        }))
    }
}

struct Process {
    child: Child,
    stdin: std::sync::Arc<Mutex<ChildStdin>>,
    stdout: BufReader<ChildStdout>,
    last_words: Option<std::thread::JoinHandle<Vec<u8>>>,
}

/// Keeps the end of what a worker writes to standard error.
fn listen(mut stderr: ChildStderr) -> std::thread::JoinHandle<Vec<u8>> {
    const KEPT: usize = 2000;
    std::thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
        while let Ok(n @ 1..) = stderr.read(&mut buffer) {
            kept.extend(buffer.iter().take(n));
            let surplus = kept.len().saturating_sub(KEPT);
            kept.drain(..surplus);
        }
        kept
    })
}

impl Worker for Process {
    fn send(&mut self, line: &str) -> io::Result<()> {
        let mut stdin = lock(&self.stdin);
        stdin.write_all(format!("{line}\n").as_bytes())?;
        stdin.flush()
    }

    fn stopper(&mut self) -> Stopper {
        let (stdin, mut told) = (std::sync::Arc::clone(&self.stdin), false);
        Box::new(move || {
            if !told {
                told = true;
                // A worker that is gone needs no telling.
                let _ = lock(&stdin).write_all(format!("{STOP}\n").as_bytes());
            }
        })
    }

    fn receive(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line)
    }

    fn post_mortem(&mut self) -> String {
        let status = self.child.wait();
        let how = match status {
            Ok(status) => match signal(status) {
                Some(9) => "was killed (signal 9; perhaps out of memory)".to_string(),
                Some(number) => format!("was ended by signal {number}"),
                None => format!("ended early ({status})"),
            },
            Err(e) => format!("is lost ({e})"),
        };
        let words = self.last_words.take().and_then(|thread| thread.join().ok());
        let words = String::from_utf8_lossy(&words.unwrap_or_default())
            .trim()
            .to_string();
        let words = if words.is_empty() {
            words
        } else {
            format!(": {words}")
        };
        format!("its process {how}{words}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its input ends with the last holder of the pipe; one that does not end by itself is not waited for.
        let gone = matches!(self.child.try_wait(), Ok(Some(_)));
        if !gone {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(unix)]
fn signal(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: std::process::ExitStatus) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests;
