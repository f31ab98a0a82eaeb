//! Submission and resubmission against a cluster that only exists here.

use super::*;
use crate::experiment::testing::{finished, planned};

/// A cluster: elements of arrays are queued for a look, then end as told.
struct Cluster {
    out: PathBuf,
    runs: Vec<PlannedRun>,
    max_array: usize,
    /// Runs whose tasks die: run number and how often.
    dies: BTreeMap<usize, usize>,
    /// Runs that fail by themselves.
    fails: Vec<usize>,
    /// Runs that meet a full disk: run number and how often.
    full: BTreeMap<usize, usize>,
    queue: Vec<(usize, usize)>,
    next_job: usize,
    offsets: BTreeMap<usize, usize>,
    calls: Vec<String>,
    /// Ends nothing: everything stays in the queue.
    frozen: bool,
}

impl Cluster {
    fn new(out: &Path, count: usize) -> Self {
        let runs = (1..=count).map(|seed| planned(&[("seeds", &seed.to_string())]));
        Self {
            out: out.to_path_buf(),
            runs: runs.collect(),
            max_array: 1001,
            dies: BTreeMap::new(),
            fails: Vec::new(),
            full: BTreeMap::new(),
            queue: Vec::new(),
            next_job: 100,
            offsets: BTreeMap::new(),
            calls: Vec::new(),
            frozen: false,
        }
    }

    /// One task ends.
    fn end(&mut self, job: usize, element: usize) {
        let index = self.offsets[&job] + element;
        if let Some(times @ 1..) = self.dies.get_mut(&index) {
            *times -= 1;
            return;
        }
        let config = self.runs[index].config.clone();
        let folder = RunFolder::new(&self.out, &config.run_id());
        if !folder.is_prepared() {
            folder.prepare(&config, "").unwrap();
        }
        if self.fails.contains(&index) {
            let status = Status::Failed(RunError::Worker {
                reason: "diverged".to_string(),
                fault: Fault::Own,
            });
            heartbeat::ended(folder.path(), &status);
            return;
        }
        if let Some(times @ 1..) = self.full.get_mut(&index) {
            *times -= 1;
            let full = io::Error::from_raw_os_error(28);
            let error = RunError::io("write", &folder.path().join(RESULT))(full);
            heartbeat::ended(folder.path(), &Status::Failed(error));
            return;
        }
        folder.write_result(&finished(&config, 50.0)).unwrap();
    }
}

fn elements(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    list.split(',').flat_map(range).collect()
}

impl Commands for Cluster {
    fn run(&mut self, program: &str, arguments: &[String]) -> io::Result<Answer> {
        let argument = |name: &str| {
            arguments
                .iter()
                .find_map(|a| a.strip_prefix(name))
                .unwrap_or_default()
                .to_string()
        };
        self.calls
            .push(format!("{program} {}", arguments.join(" ")));
        let (mut success, mut stdout, mut stderr) = (true, String::new(), String::new());
        match program {
            "scontrol" => {
                stdout = format!(
                    "ClusterName = x\nMaxArraySize            = {}\n",
                    self.max_array
                );
            }
            "sbatch" => {
                self.next_job += 1;
                let offset = arguments.last().unwrap().parse().unwrap();
                self.offsets.insert(self.next_job, offset);
                for element in elements(&argument("--array=")) {
                    assert!(element < self.max_array);
                    self.queue.push((self.next_job, element));
                }
                stdout = format!("{};cluster\n", self.next_job);
            }
            "squeue" => {
                let asked: Vec<usize> = arguments
                    .last()
                    .unwrap()
                    .split(',')
                    .map(|j| j.parse().unwrap())
                    .collect();
                for (job, element) in &self.queue {
                    if asked.contains(job) {
                        let _ = writeln!(stdout, "{job} {element} RUNNING");
                    }
                }
                if stdout.is_empty() && asked.len() == 1 {
                    success = false;
                    stderr = "slurm_load_jobs error: Invalid job id specified".to_string();
                }
            }
            other => panic!("{other}"),
        }
        Ok(Answer {
            success,
            stdout,
            stderr,
        })
    }

    fn pause(&mut self, _: Duration) {
        if !self.frozen {
            for (job, element) in std::mem::take(&mut self.queue) {
                self.end(job, element);
            }
        }
    }
}

fn slurm<'a>(out: &'a Path, manifest: &'a Path, stop: &'a AtomicBool) -> Slurm<'a> {
    Slurm {
        out,
        manifest,
        program: Path::new("/usr/bin/tagcl"),
        time_limit: Some("01:00:00"),
        arguments: &[],
        threads: 2,
        retries: 1,
        poll: Duration::ZERO,
        stop,
    }
}

fn words(statuses: &[Status]) -> Vec<String> {
    let word = |status: &Status| match status {
        Status::Done(_) | Status::Found(_) => "done".to_string(),
        Status::Failed(error) => error.to_string(),
        Status::Interrupted => "interrupted".to_string(),
    };
    statuses.iter().map(word).collect()
}

fn execute(cluster: &mut Cluster, stop: bool) -> (Vec<String>, Vec<String>) {
    let out = cluster.out.clone();
    let manifest = out.join("manifest-1.jsonl");
    let (stop, mut notes) = (AtomicBool::new(stop), Vec::new());
    let runs = cluster.runs.clone();
    let slurm = slurm(&out, &manifest, &stop);
    let statuses = slurm
        .execute(&runs, cluster, &mut |n| notes.push(n.to_string()))
        .unwrap();
    (words(&statuses), notes)
}

#[test]
fn arrays_are_chunked_to_what_the_site_allows() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(dir.path(), 7);
    cluster.max_array = 3;
    let (words, _) = execute(&mut cluster, false);
    assert_eq!(words, ["done"; 7]);
    let arrays: Vec<_> = cluster
        .calls
        .iter()
        .filter(|c| c.starts_with("sbatch"))
        .collect();
    assert_eq!(arrays.len(), 3);
    for (call, parts) in arrays.iter().zip([
        ["--array=0-2 ", "manifest-1.jsonl 0"],
        ["--array=0-2 ", "manifest-1.jsonl 3"],
        ["--array=0 ", "manifest-1.jsonl 6"],
    ]) {
        for part in parts
            .iter()
            .chain(&["--time=01:00:00", "--cpus-per-task=2", "--requeue"])
        {
            assert!(call.contains(part), "no {part} in {call}");
        }
    }
    // All is done: nothing is submitted again.
    let (again, _) = execute(&mut cluster, false);
    assert_eq!(again, ["done"; 7]);
    assert_eq!(
        cluster
            .calls
            .iter()
            .filter(|c| c.starts_with("sbatch"))
            .count(),
        3
    );
}

#[test]
fn only_what_is_missing_is_submitted_again_and_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(dir.path(), 4);
    cluster.dies = BTreeMap::from([(1, 1), (2, 9)]);
    cluster.fails = vec![3];
    let (words, _) = execute(&mut cluster, false);
    assert_eq!(
        (words[0].as_str(), words[1].as_str(), words[3].as_str()),
        ("done", "done", "diverged")
    );
    assert!(words[2].contains("ended without a result"), "{}", words[2]);
    let arrays: Vec<_> = cluster
        .calls
        .iter()
        .filter(|c| c.starts_with("sbatch"))
        .collect();
    assert!(
        arrays[0].contains("--array=0-3 ") && arrays[1].contains("--array=1-2 "),
        "{arrays:?}"
    );
    assert_eq!(
        arrays.len(),
        2,
        "what fails by itself is not submitted again: {arrays:?}"
    );
}

#[test]
fn a_task_that_is_lost_is_no_failure_of_its_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(dir.path(), 5);
    cluster.dies = BTreeMap::from([(0, 9)]);
    cluster.full = BTreeMap::from([(1, 1), (2, 9)]);
    cluster.fails = vec![3];
    let out = cluster.out.clone();
    let (manifest, stop) = (out.join("manifest-1.jsonl"), AtomicBool::new(false));
    let runs = cluster.runs.clone();
    let statuses = slurm(&out, &manifest, &stop)
        .execute(&runs, &mut cluster, &mut |_| {})
        .unwrap();
    let faults = statuses.iter().map(|status| match status {
        Status::Failed(error) => Some(error.fault()),
        _ => None,
    });
    assert_eq!(
        faults.collect::<Vec<_>>(),
        [
            Some(Fault::Passing),
            None,
            Some(Fault::Passing),
            Some(Fault::Own),
            None
        ],
        "killed, a disk that was full once, one that stays full, diverged, done"
    );
    assert!(
        words(&statuses)[2].contains("No space left"),
        "{:?}",
        words(&statuses)
    );
}

#[test]
fn a_run_under_way_elsewhere_is_not_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (manifest, stop) = (dir.path().join("m"), AtomicBool::new(false));
    let slurm = slurm(dir.path(), &manifest, &stop);
    let config = planned(&[]).config;
    let folder = RunFolder::new(dir.path(), &config.run_id());
    folder.prepare(&config, "").unwrap();
    heartbeat::ended(folder.path(), &Status::Interrupted);
    assert!(matches!(
        slurm.next(folder.path(), 9),
        Next::GiveUp(_, Fault::Passing)
    ));
    let path = folder.path().join(heartbeat::FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("interrupted", "running")).unwrap();
    assert!(matches!(slurm.next(folder.path(), 9), Next::Wait));
    assert!(matches!(slurm.next(folder.path(), 0), Next::Submit));
}

#[test]
fn interrupted_it_says_what_goes_on_and_the_same_command_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(dir.path(), 3);
    cluster.frozen = true;
    let (words, notes) = execute(&mut cluster, true);
    assert_eq!(words, ["interrupted"; 3]);
    assert!(notes.last().unwrap().contains("scancel 101"), "{notes:?}");
    cluster.frozen = false;
    let (words, _) = execute(&mut cluster, false);
    assert_eq!(words, ["done"; 3]);
    assert_eq!(
        cluster
            .calls
            .iter()
            .filter(|c| c.starts_with("sbatch"))
            .count(),
        1
    );
}

#[test]
fn a_site_without_arrays_and_commands_that_fail_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(dir.path(), 1);
    cluster.max_array = 0;
    let (manifest, stop) = (dir.path().join("m"), AtomicBool::new(false));
    let slurm = slurm(dir.path(), &manifest, &stop);
    let runs = cluster.runs.clone();
    let error = slurm.execute(&runs, &mut cluster, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("no job arrays"), "{error}");
    let error = call(&mut Installed, "no-such-command-here", &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("needs Slurm's commands"), "{error}");
    let error = call(&mut Installed, "ls", &["/nowhere/at/all".to_string()]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[test]
fn numbers_become_ranges() {
    assert_eq!(ranges(&[0, 1, 2, 3, 7]), "0-3,7");
    assert_eq!(ranges(&[5]), "5");
    assert_eq!(ranges(&[9, 3, 4]), "3-4,9");
}
