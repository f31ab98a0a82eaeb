//! `tagcl replicate`: lists, disagreements, refusals, and a table that is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{refused, run, stderr, stdout, tagcl};

#[test]
fn a_dry_run_lists_every_row_with_its_source_and_what_disagrees() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(
        "replicate baselines cifar --dry-run --out {}/runs",
        dir.path(),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "TAG-RMSProp: plain tag-rmsprop, lr 0.00025, 1 epoch(s), 5 run(s) of 5000 steps",
        "scripts/replicate_experiment_baselines.sh:25",
        "momentum 0.8",
        "40 runs, about",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(!dir.path().join("runs").exists());

    let json = run(
        "replicate all cifar --seeds 1-2 --dry-run --json --only EWC,tag-1 --out {}/runs",
        dir.path(),
    );
    let value: Value = serde_json::from_str(&stdout(&json)).unwrap();
    let runs = value["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4, "{value:#}");
    assert_eq!(runs[2]["label"], "TAG-1");
    assert_eq!(runs[2]["config"]["tag"]["alpha"], "one");
    assert!(value["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn figure_5a_is_run_and_marked_as_a_quick_look() {
    let dir = tempfile::tempdir().unwrap();
    let command =
        "replicate rotated-mnist --data embedded --fraction 0.01 --seeds 1 --json --out {}/runs";
    let output = run(command, dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("random angles"),
        "{}",
        stderr(&output)
    );
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let summary = value["summary"].as_array().unwrap();
    assert_eq!(summary.len(), 3);
    assert_eq!(summary[1]["config"]["method"], "er");
    assert_eq!(summary[2]["config"]["lr"], 0.00025);
    assert_eq!(summary[2]["config"]["angles"], "released");
    for group in summary {
        assert!(group["marks"][0].as_str().unwrap().contains("1%"));
    }
}

#[test]
fn what_cannot_be_replicated_is_refused_with_what_can() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str]); 7] = [
        ("replicate baselin cifar", &["did you mean `baselines`"]),
        (
            "replicate naive",
            &["which data set", "replicate naive cifar"],
        ),
        (
            "replicate naive cifr",
            &["did you mean `cifar`", "mini_imagenet"],
        ),
        (
            "replicate naive rotated-mnist",
            &["tagcl replicate rotated-mnist"],
        ),
        (
            "replicate naive cifar --epochs 5",
            &["--epochs has no effect"],
        ),
        (
            "replicate naive cifar cub",
            &["takes one data set", "replicate all cifar cub"],
        ),
        (
            "replicate naive cifar --only EWC",
            &["no row `EWC`", "TAG-Adam"],
        ),
    ];
    for (arguments, parts) in cases {
        refused(&run(arguments, dir.path()), 2, parts);
    }
}

#[test]
fn all_takes_several_data_sets_as_one_list() {
    let dir = tempfile::tempdir().unwrap();
    let list =
        "replicate all cifar mini_imagenet cifar --epochs 1 --only EWC --seeds 1-2 --dry-run";
    let output = run(&format!("{list} --json --out {{}}/runs"), dir.path());
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let runs = value["runs"].as_array().unwrap();
    let benchmarks: Vec<&str> = runs
        .iter()
        .map(|run| run["config"]["benchmark"].as_str().unwrap())
        .collect();
    assert_eq!(
        benchmarks,
        [
            "split-cifar100",
            "split-cifar100",
            "split-mini-imagenet",
            "split-mini-imagenet"
        ]
    );
    let text = stdout(&run(&format!("{list} --out {{}}/runs"), dir.path()));
    for part in [
        "split-cifar100, EWC: ewc sgd",
        "split-mini-imagenet, EWC: ewc sgd",
        "4 runs, about",
        "cifar100 will be needed",
        "mini-imagenet will be needed",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

/// The run folders below `out` that have a file or folder of this name.
fn with(out: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(out).into_iter().flatten();
    let folders = entries.map(|entry| entry.unwrap().path());
    folders
        .filter(|folder| folder.join(name).exists())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Half a list is run, its folders are taken elsewhere, and the same command does the rest there.
#[cfg(unix)]
#[test]
fn a_list_of_runs_goes_on_from_folders_that_were_copied() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let list = "replicate rotated-mnist --data embedded --fraction 0.2 --test-fraction 0.1 --only ER --seeds 1-2 --jobs 1 \
                --checkpoint-every 0.05 --out";
    let whole = run(&format!("{list} {{}}/whole"), dir.path());
    assert!(whole.status.success(), "{}", stderr(&whole));

    let here = path("here");
    let mut child = tagcl()
        .args(list.split_whitespace())
        .arg(&here)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let second_has_begun = || {
        let done = with(&here, "result.json");
        let begun = with(&here, "checkpoint");
        let saved = |run: &PathBuf| {
            !done.contains(run)
                && fs::read_dir(run.join("checkpoint")).is_ok_and(|mut files| {
                    files.any(|file| {
                        file.unwrap()
                            .path()
                            .extension()
                            .is_some_and(|e| e == "ckpt")
                    })
                })
        };
        done.len() == 1 && begun.iter().any(saved)
    };
    while !second_has_begun() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let there = path("there");
    for folder in with(&here, "config.toml") {
        copy(&folder, &there.join(folder.file_name().unwrap()));
    }
    fs::remove_dir_all(&here).unwrap();
    let [done] = with(&there, "result.json").try_into().unwrap();
    let before = fs::read(done.join("result.json")).unwrap();
    let rest = run(&format!("{list} {{}}/there"), dir.path());
    assert!(rest.status.success(), "{}", stderr(&rest));
    assert_eq!(fs::read(done.join("result.json")).unwrap(), before);

    let result = |folder: &Path| -> Value {
        serde_json::from_slice(&fs::read(folder.join("result.json")).unwrap()).unwrap()
    };
    let mut resumed = 0;
    let folders = with(&there, "result.json");
    assert_eq!(folders.len(), 2);
    for folder in folders {
        let alone = result(&path("whole").join(folder.file_name().unwrap()));
        let found = result(&folder);
        for key in ["run_id", "config", "accuracy_matrix", "loss_matrix"] {
            assert_eq!(found[key], alone[key], "{key}");
        }
        resumed += found["provenance"]["resumed"].as_u64().unwrap_or(0);
    }
    assert_eq!(resumed, 1);
}
