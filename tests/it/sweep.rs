//! `tagcl sweep`, its worker processes and `tagcl status`, through the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{refused, run, stderr, stdout, tagcl};

const BASE: &str = "[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\ntasks = 2\n";

fn write(dir: &Path, text: &str) {
    fs::write(dir.join("s.toml"), text).unwrap();
}

fn status(dir: &Path) -> Value {
    let output = tagcl()
        .args(["status", "--json"])
        .arg(dir.join("out"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn the_best_on_validation_images_is_run_on_the_test_images() {
    let dir = tempfile::tempdir().unwrap();
    // 1e30 diverges: it stays in the table and is not chosen.
    write(
        dir.path(),
        &format!(
            "seeds = '1-2'\n{BASE}fraction = 0.02\nhidden = 8\n\
             [grid]\nlr = [0.1, 0.00001, 1e30]\n[select]\nseeds = [7]\n"
        ),
    );
    let dry = run("sweep {}/s.toml --out {}/out --dry-run", dir.path());
    assert!(
        stdout(&dry).contains("search, round 1: 3 runs")
            && stdout(&dry).contains("winners: 2 runs"),
        "{}",
        stdout(&dry)
    );
    assert!(!dir.path().join("out").exists());

    let first = run("sweep {}/s.toml --out {}/out --jobs 2", dir.path());
    assert!(first.status.success(), "{}", stderr(&first));
    let text = stdout(&first);
    let row = |part: &str| {
        text.lines()
            .find(|l| l.contains(part))
            .unwrap_or_default()
            .to_string()
    };
    assert!(row("lr=0.1 ").contains("chosen"), "{text}");
    assert!(
        !row("lr=0.00001").contains("chosen") && row("lr=1e30").contains("failed"),
        "{text}"
    );
    assert!(
        text.contains("2% of the training images") && text.contains("embedded sample"),
        "{text}"
    );
    let table: Value =
        serde_json::from_slice(&fs::read(dir.path().join("out/sweep.json")).unwrap()).unwrap();
    assert_eq!(table["tried"].as_array().unwrap().len(), 3);
    assert_eq!(table["tried"][0]["measured_on"], "validation");
    assert_eq!(table["final_runs"][0]["n"], 2);

    let again = run("sweep {}/s.toml --out {}/out --jobs 1", dir.path());
    assert_eq!(stdout(&again), text, "the same table from the same results");
    let survey = status(dir.path());
    assert_eq!(survey["counts"]["done"], 4, "{survey:#}");
    assert_eq!(survey["counts"]["failed"], 1);
    let plain = run("status {}/out --all", dir.path());
    assert!(
        stdout(&plain).starts_with("5 runs: 1 failed, 4 done"),
        "{}",
        stdout(&plain)
    );
    assert!(
        stdout(&plain).contains("is not finite"),
        "{}",
        stdout(&plain)
    );
    let watched = run("status {}/out --watch", dir.path());
    assert_eq!(
        stdout(&watched),
        "5 runs: 1 failed, 4 done\n",
        "ends when nothing runs or waits"
    );

    // A result cut in half is damage, not a missing run.
    let folder = dir
        .path()
        .join("out")
        .join(table["final_runs"][0]["run_ids"][0].as_str().unwrap());
    let result = fs::read(folder.join("result.json")).unwrap();
    fs::write(folder.join("result.json"), &result[..result.len() / 2]).unwrap();
    assert_eq!(status(dir.path())["counts"]["damaged"], 1);
    let third = run("sweep {}/s.toml --out {}/out", dir.path());
    refused(&third, 1, &["result.json is damaged", "remove the folder"]);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(
        status(dir.path())["counts"]["waiting"],
        1,
        "a vanished folder waits"
    );
    let fourth = run("sweep {}/s.toml --out {}/out", dir.path());
    assert_eq!(stdout(&fourth), text, "and is run again");
}

/// A sweep of two runs that take seconds, under way.
fn slow(dir: &Path) -> Child {
    write(
        dir,
        &format!(
            "{}hidden = 64\n[grid]\nlr = [0.1, 0.05]\n",
            BASE.replace('2', "4")
        ),
    );
    tagcl()
        .args(["sweep", "--jobs", "2", "--retries", "1", "--out"])
        .arg(dir.join("out"))
        .arg(dir.join("s.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Run folders with the process that their `status.json` names, once there are `count` other than `not`.
fn workers(dir: &Path, count: usize, not: &[u64]) -> Vec<(PathBuf, u64)> {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_mins(1), "no run has begun");
        let entries = fs::read_dir(dir.join("out")).into_iter().flatten();
        let found: Vec<_> = entries
            .filter_map(|e| {
                let folder = e.unwrap().path();
                let text = fs::read(folder.join("status.json")).ok()?;
                let value: Value = serde_json::from_slice(&text).ok()?;
                let pid = value["pid"].as_u64()?;
                (!not.contains(&pid)).then_some((folder, pid))
            })
            .collect();
        if found.len() >= count {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
fn is_alive(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Started anew, it is the same process; what a person has decided stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_process_that_trains_has_large_pages() {
    let dir = tempfile::tempdir().unwrap();
    let environment = |set: Option<&str>| {
        let mut command = tagcl();
        command.env_remove("GLIBC_TUNABLES");
        command.envs(set.map(|set| ("GLIBC_TUNABLES", set)));
        let mut child = command
            .args(["worker", "--out"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let found = loop {
            let bytes = fs::read(format!("/proc/{}/environ", child.id())).unwrap();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let named = text.contains("glibc.malloc.hugetlb");
            if named && is_sleeping(child.id()) || began.elapsed() > Duration::from_secs(20) {
                break text;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        found
    };
    assert!(environment(None).contains("glibc.malloc.hugetlb=1"));
    let decided = environment(Some("glibc.malloc.hugetlb=0"));
    assert!(decided.contains("glibc.malloc.hugetlb=0"));
    assert!(!decided.contains("glibc.malloc.hugetlb=1"));
}

/// Whether it waits for its standard input.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_sleeping(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_worker_takes_no_other_run_with_it_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let child = slow(dir.path());
    let found = workers(dir.path(), 2, &[]);
    assert_ne!(found[0].1, found[1].1, "a process a run");
    assert_eq!(status(dir.path())["counts"]["running"], 2);
    let killed = Command::new("kill")
        .args(["-9", &found[0].1.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for (folder, _) in found {
        assert!(folder.join("result.json").exists());
    }
    assert_eq!(status(dir.path())["counts"]["done"], 2);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_sweep_leaves_no_process_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let child = slow(dir.path());
    let found = workers(dir.path(), 2, &[]);
    // To the parent alone: it must tell the workers.
    let parent = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &parent])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    refused(&output, 130, &["the same command goes on where it stopped"]);
    for (_, pid) in &found {
        assert!(!is_alive(*pid), "worker {pid} is left");
    }
    assert_eq!(status(dir.path())["counts"]["stopped"], 2);

    // Killed outright, the parent cannot tell them: they stop by themselves.
    let mut child = slow(dir.path());
    let old: Vec<u64> = found.iter().map(|(_, pid)| *pid).collect();
    let found = workers(dir.path(), 2, &old);
    let found: Vec<u64> = found.iter().map(|(_, pid)| *pid).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    while found.iter().any(|pid| is_alive(*pid)) {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "workers outlive their parent"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = slow(dir.path()).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn what_is_wrong_with_a_sweep_is_said_before_anything_is_run() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &format!("{BASE}[grid]\nlearning_rate = [0.1]\n"),
    );
    let output = run("sweep {}/s.toml --out {}/out", dir.path());
    refused(&output, 2, &["[grid]", "learning_rate", "no setting"]);
    let output = run("sweep {}/none.toml", dir.path());
    refused(&output, 2, &["cannot read", "none.toml"]);
    write(
        dir.path(),
        "[base]\nbenchmark = 'rotated-mnist'\n[grid]\nlr = [0.1]\n",
    );
    let output = run("sweep {}/s.toml --out {}/out", dir.path());
    refused(
        &output,
        1,
        &["mnist was not found in data", "tagcl data get mnist"],
    );
    let output = run("status {}/none", dir.path());
    refused(&output, 2, &["cannot list", "none"]);
    assert!(!dir.path().join("out").exists());
}

#[test]
fn a_task_of_an_array_runs_its_line_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("seeds = '1-2'\n{BASE}fraction = 0.02\nhidden = 8\n[grid]\nlr = [0.1]\n");
    write(dir.path(), &text);
    // Without Slurm's commands the engine says so, but the manifest is there for others.
    let output = tagcl()
        .args(["sweep", "--engine", "slurm", "--out"])
        .arg(dir.path().join("out"))
        .arg(dir.path().join("s.toml"))
        .env("PATH", dir.path())
        .output()
        .unwrap();
    refused(&output, 1, &["needs Slurm's commands"]);
    let files = fs::read_dir(dir.path().join("out")).unwrap();
    let names: Vec<String> = files
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let name = names
        .iter()
        .find(|name| name.starts_with("manifest-"))
        .unwrap();
    assert_eq!(status(dir.path())["counts"]["waiting"], 2);

    let task = |index: &str| run(&format!("run-manifest {{}}/out/{name} {index}"), dir.path());
    for index in ["0", "1", "1"] {
        let output = task(index);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(status(dir.path())["counts"]["done"], 2);
    refused(&task("2"), 1, &["has no run 2"]);
    let local = run("sweep {}/s.toml --out {}/out", dir.path());
    assert!(
        stdout(&local).contains("lr=0.1") && stdout(&local).contains("| 2 |"),
        "{}",
        stdout(&local)
    );
    let folders = fs::read_dir(dir.path().join("out"))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 2, "nothing was run anew");

    let manifest = dir.path().join("out").join(name);
    let half = fs::read(&manifest).unwrap();
    fs::write(&manifest, &half[..half.len() / 2]).unwrap();
    refused(&task("1"), 1, &["not a line of a manifest", "line"]);
}

#[test]
fn flags_of_the_other_engine_are_refused_and_a_read_only_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &format!("{BASE}[grid]\nlr = [0.1]\n"));
    let output = run("sweep {}/s.toml --out {}/out --time-limit 10", dir.path());
    refused(&output, 2, &["--time-limit", "only for --engine slurm"]);
    let output = run(
        "sweep {}/s.toml --out {}/out --engine slurm --jobs 2",
        dir.path(),
    );
    refused(&output, 2, &["--jobs has no effect here"]);
    fs::write(dir.path().join("file"), b"").unwrap();
    let output = run("sweep {}/s.toml --out {}/file/out", dir.path());
    refused(&output, 1, &["cannot create", "file/out"]);
}
