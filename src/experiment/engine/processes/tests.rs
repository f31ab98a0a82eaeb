//! The process pool against workers that need no process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::experiment::testing::{finished, planned};

/// What a worker does with a job.
#[derive(Clone, Copy)]
enum Act {
    /// Leaves a result.
    Finish,
    /// Dies.
    Die,
    /// Says that the run failed, and whose fault that is.
    Fail(Fault),
    /// Says that another process works on the run.
    Locked,
    /// Works until told to stop.
    Work,
    /// Finds the result.
    Found,
    /// Finds no images.
    NoData,
    /// Writes nonsense.
    Babble,
}

/// Workers that act by a script: one act for every job, in order of the seeds.
struct Fake {
    out: PathBuf,
    acts: Mutex<Vec<(u64, VecDeque<Act>)>>,
    spawned: AtomicUsize,
}

struct FakeWorker {
    out: PathBuf,
    act: Act,
    run: Option<RunConfig>,
    next: Box<dyn FnMut(u64) -> Act + Send>,
    stopped: Arc<AtomicBool>,
}

impl Fake {
    fn new(out: &std::path::Path, acts: &[(u64, &[Act])]) -> Arc<Self> {
        let acts = acts
            .iter()
            .map(|(seed, acts)| (*seed, acts.iter().copied().collect()));
        Arc::new(Self {
            out: out.to_path_buf(),
            acts: Mutex::new(acts.collect()),
            spawned: AtomicUsize::new(0),
        })
    }
}

struct Spawner(Arc<Fake>);

impl Spawn for Spawner {
    fn spawn(&self) -> io::Result<Box<dyn Worker>> {
        self.0.spawned.fetch_add(1, Ordering::Relaxed);
        let fake = Arc::clone(&self.0);
        Ok(Box::new(FakeWorker {
            out: self.0.out.clone(),
            act: Act::Finish,
            run: None,
            next: Box::new(move |seed| {
                let mut acts = lock(&fake.acts);
                let own = acts.iter_mut().find(|(s, _)| *s == seed);
                own.and_then(|(_, acts)| acts.pop_front())
                    .unwrap_or(Act::Finish)
            }),
            stopped: Arc::new(AtomicBool::new(false)),
        }))
    }
}

impl Worker for FakeWorker {
    fn send(&mut self, line: &str) -> io::Result<()> {
        let job: Job = serde_json::from_str(line)?;
        self.act = (self.next)(job.config.seed);
        self.run = Some(job.config);
        Ok(())
    }

    fn stopper(&mut self) -> Stopper {
        let stopped = Arc::clone(&self.stopped);
        Box::new(move || stopped.store(true, Ordering::Relaxed))
    }

    fn receive(&mut self) -> io::Result<String> {
        let ending = match self.act {
            Act::Die => return Ok(String::new()),
            Act::Babble => return Ok("lalala".to_string()),
            Act::Fail(fault) => Ending::Failed {
                reason: "diverged".to_string(),
                fault,
            },
            Act::Found => Ending::Found,
            Act::NoData => Ending::NoData {
                reason: "mnist is not there".to_string(),
            },
            Act::Locked => Ending::Locked {
                folder: self.out.clone(),
                holder: "process 7".to_string(),
            },
            Act::Work => {
                while !self.stopped.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                Ending::Interrupted
            }
            Act::Finish => {
                let config = self.run.take().unwrap();
                let folder = RunFolder::new(&self.out, &config.run_id());
                folder.prepare(&config, "").unwrap();
                folder.write_result(&finished(&config, 50.0)).unwrap();
                Ending::Done
            }
        };
        Ok(serde_json::to_string(&Message::Ended(ending))?)
    }

    fn post_mortem(&mut self) -> String {
        "its process was killed".to_string()
    }
}

struct Silent;
impl Watcher for Silent {
    fn event(&self, _: usize, _: &PlannedRun, _: &Event) {}
    fn ended(&self, _: usize, _: &PlannedRun, _: &Status) {}
}

fn execute(
    acts: &[(u64, &[Act])],
    retries: usize,
    jobs: usize,
    stop: &AtomicBool,
) -> (Vec<String>, usize) {
    let out = tempfile::tempdir().unwrap();
    let fake = Fake::new(out.path(), acts);
    let spawner = Spawner(Arc::clone(&fake));
    let pool = Processes {
        out: out.path().to_path_buf(),
        jobs,
        retries,
        stop,
        spawn: &spawner,
        images: Images::default(),
    };
    let runs: Vec<PlannedRun> = (1..=4)
        .map(|seed| planned(&[("seeds", &seed.to_string())]))
        .collect();
    let statuses = pool.execute(&runs, &Silent);
    let words = statuses.iter().map(word);
    (words.collect(), fake.spawned.load(Ordering::Relaxed))
}

fn word(status: &Status) -> String {
    match status {
        Status::Done(_) => "done".to_string(),
        Status::Found(_) => "found".to_string(),
        Status::Failed(error) => format!("failed: {error}"),
        Status::Interrupted => "interrupted".to_string(),
    }
}

#[test]
fn a_worker_that_dies_takes_no_other_run_with_it() {
    let go = AtomicBool::new(false);
    let (statuses, spawned) = execute(&[(2, &[Act::Die]), (3, &[Act::Babble])], 0, 1, &go);
    assert_eq!(statuses[0], "done");
    assert_eq!(statuses[1], "failed: its process was killed");
    assert!(
        statuses[2].contains("the worker wrote `lalala`"),
        "{}",
        statuses[2]
    );
    assert_eq!((statuses[3].as_str(), spawned), ("done", 3));
}

#[test]
fn retries_are_for_what_may_pass() {
    let go = AtomicBool::new(false);
    let acts: &[(u64, &[Act])] = &[
        (1, &[Act::Die, Act::Fail(Fault::Passing)]),
        (2, &[Act::Fail(Fault::Own)]),
        (3, &[Act::Die, Act::Die, Act::Die]),
    ];
    for jobs in [1, 3] {
        let (statuses, _) = execute(acts, 2, jobs, &go);
        assert_eq!(statuses[0], "done");
        assert_eq!(statuses[1], "failed: diverged");
        assert_eq!(statuses[2], "failed: its process was killed");
        assert_eq!(statuses[3], "done");
    }
}

#[test]
fn told_to_stop_the_runs_under_way_stop_and_no_other_begins() {
    let stop = AtomicBool::new(false);
    let words = std::thread::scope(|scope| {
        let pool = scope.spawn(|| execute(&[(1, &[Act::Work]), (2, &[Act::Work])], 1, 2, &stop).0);
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        pool.join().unwrap()
    });
    assert_eq!(words, ["interrupted"; 4]);
}

#[test]
fn the_real_thing_reports_how_a_process_ended() {
    // `sleep` is no worker: it ends without a word of the protocol.
    let mut child = Command::new("sh")
        .args(["-c", "echo oh no >&2; kill -9 $$"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut worker = Process {
        stdin: Arc::new(Mutex::new(child.stdin.take().unwrap())),
        stdout: BufReader::new(child.stdout.take().unwrap()),
        last_words: Some(listen(child.stderr.take().unwrap())),
        child,
    };
    assert_eq!(worker.receive().unwrap(), "");
    let words = worker.post_mortem();
    assert!(
        words.contains("signal 9") && words.contains("oh no"),
        "{words}"
    );
}

#[test]
fn a_run_that_another_process_works_on_is_put_off_and_taken_over() {
    let go = AtomicBool::new(false);
    let acts: &[(u64, &[Act])] = &[(1, &[Act::Locked, Act::Locked]), (2, &[Act::Locked])];
    for jobs in [1, 4] {
        let (statuses, spawned) = execute(acts, 0, jobs, &go);
        assert_eq!(statuses, ["done"; 4]);
        assert!(spawned <= jobs, "waiting needs no new worker");
    }
}

#[test]
fn told_to_stop_a_run_that_is_waited_for_is_waited_for_no_more() {
    let stop = AtomicBool::new(false);
    let held = [Act::Locked; 1000];
    let words = std::thread::scope(|scope| {
        let pool = scope.spawn(|| execute(&[(3, &held)], 0, 2, &stop).0);
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        pool.join().unwrap()
    });
    assert_eq!(words, ["done", "done", "interrupted", "done"]);
}

#[test]
fn what_a_worker_says_of_a_failure_keeps_whose_fault_it_is() {
    let go = AtomicBool::new(false);
    let out = tempfile::tempdir().unwrap();
    let acts: &[(u64, &[Act])] = &[
        (1, &[Act::Fail(Fault::Own)]),
        (2, &[Act::Fail(Fault::Lasting)]),
        (3, &[Act::Die]),
    ];
    let fake = Fake::new(out.path(), acts);
    let spawner = Spawner(fake);
    let pool = Processes {
        out: out.path().to_path_buf(),
        jobs: 1,
        retries: 0,
        stop: &go,
        spawn: &spawner,
        images: Images::default(),
    };
    let runs: Vec<PlannedRun> = (1..=3)
        .map(|seed| planned(&[("seeds", &seed.to_string())]))
        .collect();
    let faults = pool.execute(&runs, &Silent).into_iter().map(|status| {
        let Status::Failed(error) = status else {
            panic!("{status:?}")
        };
        error.fault()
    });
    assert_eq!(
        faults.collect::<Vec<_>>(),
        [Fault::Own, Fault::Lasting, Fault::Passing]
    );
}

/// Remembers warnings.
#[derive(Default)]
struct Warned(Mutex<Vec<String>>);
impl Watcher for Warned {
    fn event(&self, _: usize, _: &PlannedRun, event: &Event) {
        if let Event::Warning(text) = event {
            lock(&self.0).push(text.clone());
        }
    }
    fn ended(&self, _: usize, _: &PlannedRun, _: &Status) {}
}

#[test]
fn results_are_compared_with_the_images_at_hand_by_one_worker() {
    let go = AtomicBool::new(false);
    let out = tempfile::tempdir().unwrap();
    let runs: Vec<PlannedRun> = (1..=4)
        .map(|seed| planned(&[("seeds", &seed.to_string())]))
        .collect();
    // Results of three runs, the third of other images.
    for (run, sum) in runs.iter().zip(["now", "now", "then"]) {
        let folder = RunFolder::new(out.path(), &run.config.run_id());
        folder.create().unwrap();
        let mut result = finished(&run.config, 50.0);
        result.provenance.data_sha256 = sum.to_string();
        folder.write_result(&result).unwrap();
    }
    let execute = |act: Act| {
        let fake = Fake::new(out.path(), &[(1, &[act]), (4, &[Act::NoData])]);
        let spawner = Spawner(Arc::clone(&fake));
        let pool = Processes {
            out: out.path().to_path_buf(),
            jobs: 1,
            retries: 0,
            stop: &go,
            spawn: &spawner,
            images: Images::default(),
        };
        let warned = Warned::default();
        let statuses = pool.execute(&runs, &warned);
        let words: Vec<String> = statuses.iter().map(word).collect();
        (words, warned.0.into_inner().unwrap())
    };
    let (words, warned) = execute(Act::Found);
    assert_eq!((words[0].as_str(), words[1].as_str()), ("found", "found"));
    assert!(
        words[2].contains("its images are no longer those of `rotated-mnist`"),
        "{}",
        words[2]
    );
    assert_eq!(words[3], "failed: mnist is not there");
    assert_eq!(warned, Vec::<String>::new());
    // Where no images can be had, that is said once.
    let (words, warned) = execute(Act::NoData);
    assert_eq!(words[..3], ["found"; 3]);
    assert!(
        warned.len() == 1 && warned[0].contains("is not known: mnist is not there"),
        "{warned:?}"
    );
}
