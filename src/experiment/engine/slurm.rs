//! Lists of runs on a Slurm cluster.
//!
//! Owns submission (one job array a chunk of the manifest, no larger than the site allows), resubmission of what is missing,
//! and the judgement that all is done, from result files alone. It needs `sbatch`, `squeue` and `scontrol`, no accounting
//! data base. Every task of an array runs `tagcl run-manifest`, so that any other engine can do the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::experiment::engine::processes::without_tables;
use crate::experiment::engine::survey::is_running;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::execution::Status;
use crate::experiment::run::heartbeat::{self, Phase};
use crate::experiment::run::store::{RESULT, RunFolder, write_atomically};
use crate::experiment::{Fault, RunError};

/// Seconds before its time limit at which a task is told to stop and is put into the queue again.
const GRACE_S: u32 = 120;

/// Why Slurm cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlurmError {
    /// A command cannot be started.
    #[error(
        "cannot run {command}: {source}; --engine slurm needs Slurm's commands on this machine"
    )]
    Start {
        /// Its name.
        command: String,
        /// What the system says.
        source: io::Error,
    },
    /// A command failed.
    #[error("{command} failed: {reason}")]
    Failed {
        /// The command with its arguments.
        command: String,
        /// What it wrote.
        reason: String,
    },
    /// A command's answer cannot be understood.
    #[error("{command} answered `{answer}`, where {wanted} was expected")]
    Answer {
        /// The command.
        command: &'static str,
        /// What it wrote.
        answer: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The site allows no job arrays.
    #[error("this site allows no job arrays (MaxArraySize is {size})")]
    NoArrays {
        /// The site's setting.
        size: usize,
    },
    /// A file of ours.
    #[error("{0}")]
    Run(#[from] RunError),
}

/// What a command answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it succeeded.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs Slurm's commands; the tests have one that schedules nothing.
pub trait Commands {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// What the system says if it cannot be started.
    fn run(&mut self, program: &str, arguments: &[String]) -> io::Result<Answer>;
    /// Waits between two looks at the queue.
    fn pause(&mut self, time: Duration);
}

/// The commands of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Installed;

impl Commands for Installed {
    fn run(&mut self, program: &str, arguments: &[String]) -> io::Result<Answer> {
        let output = Command::new(program).args(arguments).output()?;
        Ok(Answer {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// How runs are submitted.
#[derive(Clone, Debug)]
pub struct Slurm<'a> {
    /// Run folders are here; seen by the nodes under the same path.
    pub out: &'a Path,
    /// The manifest of the runs, in `out`.
    pub manifest: &'a Path,
    /// This program, as the nodes see it.
    pub program: &'a Path,
    /// Time limit of a task (Slurm's own notation); the partition's where absent.
    pub time_limit: Option<&'a str>,
    /// Passed on to `sbatch`, after our own arguments.
    pub arguments: &'a [String],
    /// Threads, hence cores, of a task.
    pub threads: usize,
    /// Further submissions of a run whose task ended without a result.
    pub retries: usize,
    /// Time between two looks at the queue.
    pub poll: Duration,
    /// Set to stop looking; jobs go on.
    pub stop: &'a AtomicBool,
}

/// An array that was submitted: a line of `slurm-jobs.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Submitted {
    /// Id of the array.
    job: String,
    /// Name of the manifest's file.
    manifest: String,
    /// Run number of the array's element 0.
    offset: usize,
}

/// What is known of the runs that have no result.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    submissions: usize,
    /// How many looks in a row it was in no queue and had no result: files of other machines may come late.
    absent: usize,
}

/// What to do about a run.
enum Next {
    Submit,
    Wait,
    /// It has failed, for this reason.
    GiveUp(String, Fault),
}

const JOBS: &str = "slurm-jobs.jsonl";
const SCRIPT: &str = "slurm-task.sh";
/// Looks at which a run must be missing before that is believed.
const LOOKS: usize = 2;

impl Slurm<'_> {
    /// Submits what is missing, waits for the results, and reads them.
    ///
    /// # Errors
    /// [`SlurmError`]; runs that fail are answers, not errors.
    pub fn execute(
        &self,
        runs: &[PlannedRun],
        commands: &mut dyn Commands,
        note: &mut dyn FnMut(&str),
    ) -> Result<Vec<Status>, SlurmError> {
        let folders: Vec<PathBuf> = runs
            .iter()
            .map(|run| self.out.join(run.config.run_id()))
            .collect();
        let chunk = chunk(commands)?;
        self.write_script()?;
        let mut arrays = self.submitted_before()?;
        let mut open: BTreeMap<usize, Open> =
            (0..runs.len()).map(|i| (i, Open::default())).collect();
        let mut failed: BTreeMap<usize, (String, Fault)> = BTreeMap::new();
        let mut last = String::new();
        loop {
            open.retain(|i, _| !folders.get(*i).is_some_and(|f| f.join(RESULT).is_file()));
            if open.is_empty() {
                break;
            }
            let queued = queued(&arrays, commands)?;
            let (mut due, mut given_up) = (Vec::new(), Vec::new());
            for (&index, state) in &mut open {
                if queued.contains_key(&index) {
                    (state.submissions, state.absent) = (state.submissions.max(1), 0);
                    continue;
                }
                state.absent += 1;
                if state.submissions > 0 && state.absent < LOOKS {
                    continue;
                }
                let folder = folders.get(index).map_or(Path::new(""), PathBuf::as_path);
                match self.next(folder, state.submissions) {
                    Next::GiveUp(reason, fault) => given_up.push((index, (reason, fault))),
                    Next::Wait => state.absent = 0,
                    Next::Submit => {
                        (state.submissions, state.absent) = (state.submissions + 1, 0);
                        due.push(index);
                    }
                }
            }
            for (index, reason) in given_up {
                open.remove(&index);
                failed.insert(index, reason);
            }
            for (offset, part) in by_chunk(&due, chunk) {
                let job = self.submit(offset, &part, commands)?;
                note(&format!("submitted array {job}: {} runs", part.len()));
                arrays.push(job_line(job, self.manifest, offset));
                self.remember(&arrays)?;
            }
            let running = queued.values().filter(|state| *state == "RUNNING").count();
            let done = runs.len() - open.len() - failed.len();
            let line = format!(
                "{done} of {} runs done, {running} running, {} in the queue, {} failed",
                runs.len(),
                queued.len() - running + due.len(),
                failed.len()
            );
            if line != last {
                note(&line);
                last = line;
            }
            if self.stop.load(Ordering::Relaxed) {
                let jobs: Vec<&str> = arrays.iter().map(|a| a.job.as_str()).collect();
                note(&format!(
                    "the jobs go on: the same command follows them, `scancel {}` ends them",
                    jobs.join(" ")
                ));
                break;
            }
            commands.pause(self.poll);
        }
        Ok(runs
            .iter()
            .enumerate()
            .map(|(index, run)| self.collect(index, run, &failed))
            .collect())
    }

    /// What to do about a run that is in no queue and has no result.
    fn next(&self, folder: &Path, submissions: usize) -> Next {
        let beat = heartbeat::read(folder);
        let beat = beat.filter(|b| submissions > 0 && b.phase == Phase::Failed);
        let fault = beat.as_ref().and_then(|beat| beat.fault);
        let error = beat.and_then(|beat| beat.error);
        match error {
            // What fails by itself, or until somebody mends it, is not submitted again.
            Some(error) if fault != Some(Fault::Passing) => {
                Next::GiveUp(error, fault.unwrap_or(Fault::Lasting))
            }
            _ if submissions <= self.retries => Next::Submit,
            // Another command's task, or a process on some machine.
            _ if is_running(folder) => Next::Wait,
            error => {
                let log = self.out.join("slurm-logs");
                let ended = || format!("its task ended without a result; see {}", log.display());
                Next::GiveUp(error.unwrap_or_else(ended), Fault::Passing)
            }
        }
    }

    fn collect(
        &self,
        index: usize,
        run: &PlannedRun,
        failed: &BTreeMap<usize, (String, Fault)>,
    ) -> Status {
        if let Some((reason, fault)) = failed.get(&index).cloned() {
            return Status::Failed(RunError::Worker { reason, fault });
        }
        let folder = RunFolder::new(self.out, &run.config.run_id());
        match folder.result(&run.config) {
            Ok(Some(result)) => Status::Done(without_tables(result)),
            Ok(None) => Status::Interrupted,
            Err(error) => Status::Failed(error),
        }
    }

    /// Submits elements of one array, given by their numbers in it; answers its id.
    fn submit(
        &self,
        offset: usize,
        elements: &[usize],
        commands: &mut dyn Commands,
    ) -> Result<String, SlurmError> {
        let mut arguments = vec![
            "--parsable".to_string(),
            format!("--array={}", ranges(elements)),
            "--job-name=tagcl".to_string(),
            format!(
                "--output={}",
                self.out.join("slurm-logs").join("%A_%a.log").display()
            ),
            format!("--cpus-per-task={}", self.threads),
            format!("--signal=B:USR1@{GRACE_S}"),
            "--requeue".to_string(),
        ];
        arguments.extend(self.time_limit.map(|limit| format!("--time={limit}")));
        arguments.extend_from_slice(self.arguments);
        arguments.push(self.out.join(SCRIPT).display().to_string());
        arguments.push(self.program.display().to_string());
        arguments.push(self.manifest.display().to_string());
        arguments.push(offset.to_string());
        let answer = call(commands, "sbatch", &arguments)?;
        // `123` or `123;cluster`.
        let job = answer.trim().split(';').next().unwrap_or_default();
        if job.is_empty() || !job.chars().all(|c| c.is_ascii_digit()) {
            return Err(SlurmError::Answer {
                command: "sbatch",
                answer: answer.trim().to_string(),
                wanted: "the number of a job",
            });
        }
        Ok(job.to_string())
    }

    fn write_script(&self) -> Result<(), SlurmError> {
        let logs = self.out.join("slurm-logs");
        std::fs::create_dir_all(&logs).map_err(|source| RunError::Io {
            action: "create",
            path: logs,
            source,
        })?;
        let script = include_str!("slurm/task.sh");
        Ok(write_atomically(&self.out.join(SCRIPT), script.as_bytes())?)
    }

    /// Arrays that an earlier command submitted for the same manifest: they may be queued still.
    fn submitted_before(&self) -> Result<Vec<Submitted>, SlurmError> {
        let path = self.out.join(JOBS);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                let action = "read";
                return Err(RunError::Io {
                    action,
                    path,
                    source,
                }
                .into());
            }
        };
        let name = file_name(self.manifest);
        let arrays = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Submitted>(line).ok());
        Ok(arrays.filter(|array| array.manifest == name).collect())
    }

    /// Keeps the arrays of this manifest, beside those of others.
    fn remember(&self, arrays: &[Submitted]) -> Result<(), SlurmError> {
        let path = self.out.join(JOBS);
        let name = file_name(self.manifest);
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let others = old.lines().filter(|line| {
            serde_json::from_str::<Submitted>(line).is_ok_and(|array| array.manifest != name)
        });
        let mut text = String::new();
        for line in others {
            let _ = writeln!(text, "{line}");
        }
        for array in arrays {
            let _ = writeln!(text, "{}", serde_json::json!(array));
        }
        Ok(write_atomically(&path, text.as_bytes())?)
    }
}

/// Elements of an array at most.
fn chunk(commands: &mut dyn Commands) -> Result<usize, SlurmError> {
    let answer = call(
        commands,
        "scontrol",
        &["show".to_string(), "config".to_string()],
    )?;
    let line = answer
        .lines()
        .find(|line| line.trim_start().starts_with("MaxArraySize"));
    let size = line.and_then(|line| line.split_once('=')?.1.trim().parse().ok());
    match size {
        Some(size @ 2..) => Ok(size),
        Some(size) => Err(SlurmError::NoArrays { size }),
        None => Err(SlurmError::Answer {
            command: "scontrol show config",
            answer: line.unwrap_or_default().to_string(),
            wanted: "a line MaxArraySize = NUMBER",
        }),
    }
}

/// Runs in the queue or running, with their states.
fn queued(
    arrays: &[Submitted],
    commands: &mut dyn Commands,
) -> Result<BTreeMap<usize, String>, SlurmError> {
    if arrays.is_empty() {
        return Ok(BTreeMap::new());
    }
    let jobs: Vec<&str> = arrays.iter().map(|array| array.job.as_str()).collect();
    let arguments = ["-h", "-r", "-o", "%F %K %T", "-j"].map(str::to_string);
    let arguments = [&arguments[..], &[jobs.join(",")]].concat();
    let answer = match call(commands, "squeue", &arguments) {
        Ok(answer) => answer,
        // A job that has long ended is unknown to the controller.
        Err(SlurmError::Failed { reason, .. }) if reason.contains("Invalid job id") => {
            String::new()
        }
        Err(error) => return Err(error),
    };
    let mut queued = BTreeMap::new();
    for line in answer.lines() {
        let mut words = line.split_whitespace();
        let (Some(job), Some(element), Some(state)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let array = arrays.iter().find(|array| array.job == job);
        if let (Some(array), Ok(element)) = (array, element.parse::<usize>()) {
            queued.insert(array.offset + element, state.to_string());
        }
    }
    Ok(queued)
}

fn job_line(job: String, manifest: &Path, offset: usize) -> Submitted {
    Submitted {
        job,
        manifest: file_name(manifest),
        offset,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn call(
    commands: &mut dyn Commands,
    program: &str,
    arguments: &[String],
) -> Result<String, SlurmError> {
    let answer = commands
        .run(program, arguments)
        .map_err(|source| SlurmError::Start {
            command: program.to_string(),
            source,
        })?;
    if answer.success {
        return Ok(answer.stdout);
    }
    Err(SlurmError::Failed {
        command: format!("{program} {}", arguments.join(" ")),
        reason: answer.stderr.trim().to_string(),
    })
}

/// Run numbers by array: the number of element 0, and the elements.
fn by_chunk(indices: &[usize], chunk: usize) -> BTreeMap<usize, Vec<usize>> {
    let mut chunks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in indices {
        let offset = index / chunk * chunk;
        chunks.entry(offset).or_default().push(index - offset);
    }
    chunks
}

/// `0-3,7` for 0, 1, 2, 3 and 7.
fn ranges(numbers: &[usize]) -> String {
    let sorted: BTreeSet<usize> = numbers.iter().copied().collect();
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in sorted {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let words = parts.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
