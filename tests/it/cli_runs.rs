//! Runs through the real binary: results, repeatability, interruption, failures that stay apart.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{TINY, refused, run, stderr, stdout, tagcl};

fn run_folders(out: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(out)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    folders.sort();
    folders
}

/// A result without what may differ between two equal runs.
fn fixed_part(folder: &Path) -> Value {
    let mut result: Value =
        serde_json::from_slice(&fs::read(folder.join("result.json")).unwrap()).unwrap();
    let fields = result.as_object_mut().unwrap();
    assert!(fields.remove("cost").is_some() && fields.remove("provenance").is_some());
    result
}

#[test]
fn a_run_leaves_its_folder_and_is_not_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("{TINY} --optimizer tag-rmsprop --out {{}}/runs --seeds 1-2");
    let first = run(&arguments, dir.path());
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(
        stdout(&first).contains("tag-rmsprop") && stdout(&first).contains(" ± "),
        "{}",
        stdout(&first)
    );
    let folders = run_folders(&dir.path().join("runs"));
    assert_eq!(folders.len(), 2);
    for file in [
        "config.toml",
        "events.jsonl",
        "model.safetensors",
        "result.json",
    ] {
        assert!(folders[0].join(file).is_file(), "{file}");
    }
    let result: Value =
        serde_json::from_slice(&fs::read(folders[0].join("result.json")).unwrap()).unwrap();
    assert_eq!(result["accuracy_matrix"].as_array().unwrap().len(), 2);
    assert_eq!(result["alpha"]["mean"][1].as_array().unwrap().len(), 2);
    assert_eq!(result["cost"]["steps"], 2 * 20);
    // 2 moments, 2 tasks, 784·8 + 8 + 8·8 + 8 + 8·20 + 20 parameters, 4 bytes.
    assert_eq!(
        result["cost"]["optimizer_state_bytes"],
        4 * (784 * 8 + 8 + 64 + 8 + 160 + 20) * 4
    );
    assert_eq!(
        result["provenance"]["data_sha256"].as_str().unwrap().len(),
        64
    );

    let again = run(&arguments, dir.path());
    assert!(
        stderr(&again).contains("not run again"),
        "{}",
        stderr(&again)
    );
    assert_eq!(stdout(&again), stdout(&first));
}

#[test]
fn results_do_not_depend_on_jobs_threads_or_the_way_they_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let base = TINY.replace(" --jobs 1", "");
    let a = run(
        &format!("{base} --optimizer tag-adam --lr 0.001 --out {{}}/a --seeds 3,4 --jobs 1"),
        dir.path(),
    );
    assert!(a.status.success(), "{}", stderr(&a));
    let b = run(
        &format!(
            "{base} --optimizer tag-adam --lr 0.001 --out {{}}/b --seeds 3-4 --jobs 2 --threads 3"
        ),
        dir.path(),
    );
    assert!(b.status.success(), "{}", stderr(&b));
    let (a, b) = (
        run_folders(&dir.path().join("a")),
        run_folders(&dir.path().join("b")),
    );
    assert_ne!(fixed_part(&a[0]), fixed_part(&a[1]), "seeds differ");
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(fixed_part(a), fixed_part(b));
        let weights = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(weights(a), weights(b));
    }
    // A run folder's own configuration gives the run again.
    let config = a[0].join("config.toml");
    let c = tagcl()
        .arg("run")
        .arg(config)
        .args(["--out"])
        .arg(dir.path().join("c"))
        .output()
        .unwrap();
    assert!(c.status.success(), "{}", stderr(&c));
    assert_eq!(
        fixed_part(&a[0]),
        fixed_part(&run_folders(&dir.path().join("c"))[0])
    );
}

#[test]
fn json_goes_to_standard_output_alone() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&format!("{TINY} --json --out {{}}/runs"), dir.path());
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["runs"][0]["status"], "done");
    assert_eq!(value["summary"][0]["n"], 1);
    assert!(
        value["summary"][0]["marks"][0]
            .as_str()
            .unwrap()
            .contains("2%")
    );
    let dry = run(
        &format!("{TINY} --dry-run --json --out {{}}/none"),
        dir.path(),
    );
    let value: Value = serde_json::from_str(&stdout(&dry)).unwrap();
    assert_eq!(value["cost_per_run"]["steps"], 40);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn initial_weights_come_from_a_file_and_must_fit() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        run(&format!("{TINY} --out {{}}/a"), dir.path())
            .status
            .success()
    );
    let weights = run_folders(&dir.path().join("a"))[0].join("model.safetensors");
    fs::copy(weights, dir.path().join("init.safetensors")).unwrap();
    let warm = run(
        &format!("{TINY} --init {{}}/init.safetensors --out {{}}/b"),
        dir.path(),
    );
    assert!(warm.status.success(), "{}", stderr(&warm));
    let (cold, warm) = (
        run_folders(&dir.path().join("a")),
        run_folders(&dir.path().join("b")),
    );
    let first = |folder: &Path| {
        fixed_part(folder)["accuracy_matrix"][0][0]
            .as_f64()
            .unwrap()
    };
    assert!(
        first(&warm[0]) > first(&cold[0]),
        "training went on from the file"
    );

    let wide = TINY.replace("--hidden 8", "--hidden 9");
    let output = run(
        &format!("{wide} --init {{}}/init.safetensors --out {{}}/c"),
        dir.path(),
    );
    refused(&output, 1, &["W1.weight", "[8, 784]", "[9, 784]"]);
    fs::write(dir.path().join("init.safetensors"), b"nonsense").unwrap();
    let output = run(
        &format!("{TINY} --init {{}}/init.safetensors --out {{}}/c"),
        dir.path(),
    );
    refused(&output, 1, &["not a readable safetensors file"]);
}

#[test]
fn a_run_that_diverges_is_named_with_task_step_and_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&format!("{TINY} --lr 1e30 --out {{}}/runs"), dir.path());
    refused(
        &output,
        1,
        &[
            "task 1, step",
            "is not finite",
            "lower the learning rate",
            "1 of 1 runs failed",
        ],
    );
    assert!(
        !run_folders(&dir.path().join("runs"))[0]
            .join("result.json")
            .exists()
    );
}

#[test]
fn a_failed_run_does_not_take_the_others_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("{TINY} --out {{}}/runs --seeds 1-3");
    assert!(run(&arguments, dir.path()).status.success());
    let folders = run_folders(&dir.path().join("runs"));
    fs::remove_file(folders[0].join("result.json")).unwrap();
    fs::write(folders[1].join("result.json"), b"{\"schema\": 1, \"run").unwrap();
    let output = run(&arguments, dir.path());
    refused(
        &output,
        1,
        &[
            "result.json is damaged",
            "remove the folder",
            "1 of 3 runs failed",
        ],
    );
    assert!(
        folders[0].join("result.json").exists(),
        "the missing run was run"
    );
    assert!(
        stdout(&output).contains("plain   sgd        0.1  2  "),
        "two runs in the table: {}",
        stdout(&output)
    );
}

#[test]
fn a_folder_of_another_configuration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("{TINY} --out {{}}/runs");
    assert!(run(&arguments, dir.path()).status.success());
    let folder = run_folders(&dir.path().join("runs")).remove(0);
    fs::remove_file(folder.join("result.json")).unwrap();
    let config = fs::read_to_string(folder.join("config.toml")).unwrap();
    fs::write(
        folder.join("config.toml"),
        config.replace("epochs = 1", "epochs = 2"),
    )
    .unwrap();
    let output = run(&arguments, dir.path());
    refused(
        &output,
        1,
        &["another configuration", "epochs is 2 there, 1 here"],
    );
}

#[test]
fn an_unwritable_output_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    let output = run(&format!("{TINY} --out {{}}/file/runs"), dir.path());
    refused(&output, 1, &["cannot create", "file/runs"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_the_run_and_leaves_no_half_result() {
    let dir = tempfile::tempdir().unwrap();
    // A file size limit of 8 KiB: the weights (26 KiB) do not fit. The signal is ignored so that the write fails.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} {TINY} --out {}/runs",
        env!("CARGO_BIN_EXE_tagcl"),
        dir.path().display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    refused(&output, 1, &["cannot write", "model.safetensors"]);
    let folder = run_folders(&dir.path().join("runs")).remove(0);
    let mut files: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["config.toml", "events.jsonl", "status.json"]);
    assert!(
        run(&format!("{TINY} --out {{}}/runs"), dir.path())
            .status
            .success(),
        "with space again"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_the_same_command_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let slow = "run --benchmark rotated-mnist --data embedded --tasks 3 --hidden 64 --jobs 1 --seeds 1-2 --out";
    let mut child = tagcl()
        .args(slow.split_whitespace())
        .arg(dir.path().join("runs"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|l| l.contains("task 1/3"))
    );
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(
        rest.iter()
            .any(|l| l.contains("the same command goes on where it stopped")),
        "{rest:?}"
    );
    for folder in run_folders(&dir.path().join("runs")) {
        assert!(!folder.join("result.json").exists());
    }
}

#[test]
fn losses_that_end_a_task_early_are_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = |rest: &str, out: &str| -> Vec<Value> {
        let output = run(
            &format!("{TINY} --epochs 3 {rest} --out {{}}/{out}"),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let folder = run_folders(&dir.path().join(out)).remove(0);
        let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| line["event"] == "epoch-ended")
            .collect()
    };
    let judged = log("--patience 1 --validation 0.2", "judged");
    assert!(!judged.is_empty());
    for line in &judged {
        let loss = line["validation_loss"].as_f64().unwrap();
        assert!(loss > 0.0 && Some(loss) != line["loss"].as_f64(), "{line}");
    }
    // Where nothing is judged nothing is said.
    for line in log("", "plain") {
        assert_eq!(line.get("validation_loss"), None);
    }
}

#[test]
fn a_dry_run_looks_for_the_data_and_shows_all_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let known = run(&format!("{TINY} --seeds 1-3,7 --dry-run"), dir.path());
    assert!(known.status.success(), "{}", stderr(&known));
    let text = stdout(&known);
    for part in [
        "seeds = \"1-3,7\"",
        "4 run(s)",
        "of memory for",
        "the images are there",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(stderr(&known).contains("measuring"), "{}", stderr(&known));
    let mnist = "run --benchmark rotated-mnist --hidden 8 --optimizer sgd --lr 0.1 --dry-run";
    let unnamed = run(mnist, dir.path());
    assert!(unnamed.status.success(), "{}", stderr(&unnamed));
    assert!(
        stdout(&unnamed).contains("mnist will be needed"),
        "{}",
        stdout(&unnamed)
    );
    let absent = run(&format!("{mnist} --data {{}}/none"), dir.path());
    crate::program::refused(&absent, 1, &["mnist", "none"]);
    assert!(stdout(&absent).contains("NOT there"), "{}", stdout(&absent));
    let json = run(&format!("{mnist} --json --data {{}}/none"), dir.path());
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["data"]["there"], false);
    assert!(json["memory"]["bytes"].as_u64().unwrap() > 0);
    fs::write(
        dir.path().join("s.toml"),
        "[base]\nbenchmark = 'rotated-mnist'\nhidden = 8\n[grid]\nlr = [0.1]\n",
    )
    .unwrap();
    let sweep = run("sweep {}/s.toml --dry-run --data {}/none", dir.path());
    crate::program::refused(&sweep, 1, &["mnist"]);
    let init = run(&format!("{mnist} --init {{}}/none.pth"), dir.path());
    crate::program::refused(&init, 1, &["cannot read", "none.pth"]);
}
