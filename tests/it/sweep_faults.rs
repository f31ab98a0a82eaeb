//! Selection when something befalls a candidate, through the real binary: nobody wins for want of another.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tagcl::experiment::run::lock::RunLock;

use crate::program::{refused, run, stderr, stdout, tagcl};

/// The first candidate is the best by far; runs of about a second.
const SWEEP: &str = "[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\ntasks = 2\n\
                     hidden = 16\nfraction = 0.3\n[grid]\nlr = [0.1, 0.00001]\n[select]\n";
/// The same, with runs that last long enough to be met.
const SLOW: &str = "[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\ntasks = 4\n\
                    hidden = 64\n[grid]\nlr = [0.1, 0.00001]\n[select]\n";

fn start(dir: &Path) -> Child {
    let mut command = tagcl();
    command.arg("sweep").arg(dir.join("s.toml"));
    command.args(["--jobs", "2", "--out"]).arg(dir.join("out"));
    let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    pipes.spawn().unwrap()
}

fn sweep(dir: &Path) -> Output {
    start(dir).wait_with_output().unwrap()
}

/// The folder of the best candidate's run in the first round.
fn best(dir: &Path, text: &str) -> PathBuf {
    fs::write(dir.join("s.toml"), text).unwrap();
    let dry = run("sweep {}/s.toml --dry-run --json", dir);
    let dry: Value = serde_json::from_str(&stdout(&dry)).unwrap();
    let id = dry["stages"][0]["runs"][0].as_str().unwrap();
    dir.join("out").join(id)
}

/// The best was chosen and tested.
#[track_caller]
fn the_best_wins(dir: &Path, output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
    let text = stdout(output);
    let chosen: Vec<&str> = text.lines().filter(|l| l.contains("chosen")).collect();
    assert!(chosen[0].contains("lr=0.1 "), "{text}");
    assert_eq!(table(dir)["final_runs"][0]["values"][0][1], "0.1");
}

fn table(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("out/sweep.json")).unwrap()).unwrap()
}

/// No winner, and it is said which candidate is missing, and why.
#[track_caller]
fn nobody_wins(dir: &Path, output: &Output, why: &str) {
    let parts = [
        "nothing is chosen",
        "lr=0.1 (",
        why,
        "the same command goes on",
    ];
    refused(output, 1, &parts);
    assert_eq!(stdout(output), "");
    let table = table(dir);
    assert_eq!(table["final_runs"], Value::Array(Vec::new()));
    for row in table["tried"].as_array().unwrap() {
        assert_eq!(row["chosen"], false, "{table:#}");
    }
}

/// Waits for something, a minute at most.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process that works in a run folder.
fn worker(folder: &Path) -> u64 {
    wait_for("no run has begun", || {
        let text = fs::read(folder.join("status.json")).ok()?;
        let beat: Value = serde_json::from_slice(&text).ok()?;
        beat["pid"].as_u64()
    })
}

#[test]
fn two_sweeps_in_one_folder_choose_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let folder = best(dir.path(), SLOW);
    let first = start(dir.path());
    worker(&folder);
    let second = start(dir.path());
    let outputs = [first, second].map(|child| child.wait_with_output().unwrap());
    for output in &outputs {
        the_best_wins(dir.path(), output);
    }
    assert_eq!(stdout(&outputs[0]), stdout(&outputs[1]));
    let said = stderr(&outputs[1]);
    assert!(said.contains("it is waited for"), "{said}");
}

#[test]
fn a_candidate_held_elsewhere_is_waited_for_and_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let folder = best(dir.path(), SWEEP);
    fs::create_dir_all(&folder).unwrap();
    let lock = RunLock::take(&folder).unwrap();
    let child = start(dir.path());
    // The other candidate is done, and still nothing is chosen.
    wait_for("the other run is not done", || {
        let out = fs::read_dir(dir.path().join("out")).ok()?;
        let done = |e: fs::DirEntry| e.path().join("result.json").exists();
        out.flatten().any(done).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!dir.path().join("out/sweep.json").exists());
    drop(lock);
    let output = child.wait_with_output().unwrap();
    the_best_wins(dir.path(), &output);
    let pid = format!("process {}", std::process::id());
    assert!(stderr(&output).contains(&pid), "{}", stderr(&output));
}

#[test]
fn a_candidate_whose_worker_is_killed_keeps_others_from_winning() {
    let dir = tempfile::tempdir().unwrap();
    let folder = best(dir.path(), SLOW);
    let child = start(dir.path());
    let pid = worker(&folder).to_string();
    let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    nobody_wins(dir.path(), &output, "signal 9");
    the_best_wins(dir.path(), &sweep(dir.path()));
}

#[test]
fn a_candidate_that_meets_a_full_disk_keeps_others_from_winning() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["model.safetensors", "result.json"] {
        let halving = format!("{SWEEP}halving = {{ factor = 2, first_fraction = 0.5 }}\n");
        let folder = best(dir.path(), &halving);
        fs::create_dir_all(&folder).unwrap();
        // What is written here finds no space; reading it back would never end, so only the weights lead there directly.
        let full = match file {
            "model.safetensors" => PathBuf::from("/dev/full"),
            _ => dir.path().join("absent/result.json"),
        };
        symlink(full, folder.join(file)).unwrap();
        let output = sweep(dir.path());
        let why = if file == "result.json" {
            "No such file"
        } else {
            "No space left"
        };
        nobody_wins(dir.path(), &output, why);
        fs::remove_file(folder.join(file)).unwrap();
        the_best_wins(dir.path(), &sweep(dir.path()));
        fs::remove_dir_all(dir.path().join("out")).unwrap();
    }
}

#[test]
fn a_candidate_that_diverges_was_judged() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("s.toml"), SWEEP.replace("0.00001", "1e30")).unwrap();
    let output = sweep(dir.path());
    the_best_wins(dir.path(), &output);
    assert!(stdout(&output).contains("failed"), "{}", stdout(&output));
}
