//! Run folders that an earlier program wrote: finished ones are found, read and reported as before, and give their results
//! again; an interrupted one goes on from its checkpoint.
//!
//! The folders in `tests/unchanged/folders/` were written at the portable level and are never written again: `TAGCL_ACCEPT=1`
//! makes them only where they are missing. Names of the machine and paths are left out of them; `{}` in a `config.toml` is
//! the folder `folders`.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fixture::{accepting, check_text, path};
use super::images;
use super::interrupted::newest_checkpoint;
use super::results::{command, fixed, line, run_folders};
use crate::program::{stderr, stdout, tagcl};

const LEVEL: &str = "portable";

/// Whether the portable level gives the bits that it gave where the folders were written.
const SAME_BITS: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));

/// What was run.
const FINISHED: [&str; 4] = [
    "--benchmark rotated-mnist --data embedded --tasks 2 --hidden 7 --fraction 0.02 --epochs 2 --dropout 0.1 \
     --optimizer tag-rmsprop --lr 0.002 --profile released --seeds 1-2",
    "--benchmark split-mnist --data embedded --tasks 5 --hidden 4 --fraction 0.1 --epochs 2 --method er \
     --memory-per-class 2 --optimizer adam --lr 0.005",
    "--benchmark permuted-mnist --data embedded --tasks 2 --hidden 4 --fraction 0.02 --schedule joint --lr 0.05 \
     --momentum 0.9",
    "--benchmark {}/benchmark.toml --hidden 8 --epochs 4 --batch-size 4 --method agem --optimizer tag-adam --lr 0.005 \
     --gamma 0.9",
];
const INTERRUPTED: &str = "--benchmark rotated-mnist --data embedded --tasks 3 --hidden 2 --fraction 0.02 --dropout 0.1 --method er \
     --optimizer tag-adam --lr 0.005 --checkpoint-every 0";

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Replaces a part of a file's text.
fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Changes `status.json`, where it is.
fn in_status(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("status.json");
    if let Ok(text) = fs::read(&path) {
        let mut status = serde_json::from_slice(&text).unwrap();
        change(&mut status);
        fs::write(path, format!("{status}\n")).unwrap();
    }
}

/// Writes the folders.
fn make(root: &Path) {
    let work = tempfile::tempdir().unwrap();
    let here = work.path();
    images::write_small(here);
    for case in FINISHED {
        let output = command(case, LEVEL, here, &here.join("finished")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let mut command = command(INTERRUPTED, LEVEL, here, &here.join("interrupted"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // In the second task: a task has 20 steps, and five other checkpoints.
    while newest_checkpoint(&here.join("interrupted")).is_none_or(|newest| newest < 33) {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(here.join("cache")).unwrap();
    for folder in [
        run_folders(&here.join("finished")),
        run_folders(&here.join("interrupted")),
    ]
    .concat()
    {
        // Of the killed one, the half-written checkpoint and the lock.
        let _ = fs::remove_file(folder.join("lock"));
        for entry in fs::read_dir(folder.join("checkpoint"))
            .into_iter()
            .flatten()
        {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "tmp") {
                fs::remove_file(path).unwrap();
            }
        }
        replace(
            &folder.join("config.toml"),
            &here.canonicalize().unwrap().display().to_string(),
            "{}",
        );
        in_status(&folder, |status| {
            status["host"] = "elsewhere".into();
            status["pid"] = 1.into();
        });
    }
    copy(here, root);
}

/// A copy of the folders to work on, with paths put in.
fn folders() -> tempfile::TempDir {
    static MADE: Once = Once::new();
    let root = path("folders");
    MADE.call_once(|| {
        if accepting() && !root.join("finished").exists() {
            make(&root);
        }
    });
    let work = tempfile::tempdir().unwrap();
    copy(&root, work.path());
    let here = work.path().canonicalize().unwrap().display().to_string();
    for run in run_folders(&work.path().join("finished")) {
        replace(&run.join("config.toml"), "{}", &here);
    }
    work
}

/// The weights of the first run on rotated MNIST.
pub fn weights() -> Vec<u8> {
    let work = folders();
    let runs = run_folders(&work.path().join("finished"));
    let rotated = |run: &&PathBuf| run.display().to_string().contains("/rotated");
    let run = runs.iter().find(rotated).unwrap();
    fs::read(run.join("model.safetensors")).unwrap()
}

/// `tagcl run` with the configuration of a run folder.
fn run_again(folder: &Path, here: &Path, out: &Path) -> Output {
    let mut command = command("--jobs 1", LEVEL, here, out);
    command.arg("--json").arg(folder.join("config.toml"));
    command.output().unwrap()
}

fn parsed(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_str(&stdout(output)).unwrap()
}

fn files(folder: &Path) -> [Vec<u8>; 4] {
    let names = [
        "config.toml",
        "events.jsonl",
        "result.json",
        "model.safetensors",
    ];
    names.map(|name| fs::read(folder.join(name)).unwrap())
}

/// Leaves out what is of machine, time and place.
fn general(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["cost", "provenance", "folder", "steps_per_s", "left_s"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(general);
        }
        Value::Array(items) => items.iter_mut().for_each(general),
        _ => {}
    }
}

#[test]
fn finished_runs_are_found() {
    let work = folders();
    let out = work.path().join("finished");
    let runs = run_folders(&out);
    assert_eq!(runs.len(), 5);
    for folder in runs {
        let before = files(&folder);
        let output = run_again(&folder, work.path(), &out);
        let value = parsed(&output);
        assert_eq!(value["runs"][0]["status"], "found", "{value:#}");
        assert_eq!(
            value["runs"][0]["run_id"],
            folder.file_name().unwrap().to_str().unwrap()
        );
        let result: Value = serde_json::from_slice(&before[2]).unwrap();
        // Metrics that came later are beside those that were there.
        for (name, metric) in result["metrics"].as_object().unwrap() {
            assert_eq!(value["runs"][0]["metrics"][name], *metric, "{name}");
        }
        assert!(
            stderr(&output).contains("not run again"),
            "{}",
            stderr(&output)
        );
        assert_eq!(files(&folder), before, "nothing was written");
    }
}

#[test]
fn runs_are_reported_as_before() {
    let work = folders();
    let [finished, interrupted] = ["finished", "interrupted"].map(|name| work.path().join(name));
    // Nothing has been heard of its process for an hour.
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    let status = run_folders(&interrupted).remove(0).join("status.json");
    let file = OpenOptions::new().write(true).open(status).unwrap();
    file.set_modified(hour_ago).unwrap();
    for (name, command, folders) in [
        ("report.json", "report", vec![&finished, &interrupted]),
        ("status.json", "status", vec![&finished]),
        ("status-interrupted.json", "status", vec![&interrupted]),
    ] {
        let output = tagcl().args([command, "--json"]).args(folders).output();
        let mut value = parsed(&output.unwrap());
        general(&mut value);
        check_text(&format!("folders/{name}"), &format!("{value:#}\n"));
    }
}

#[test]
fn configurations_of_finished_runs_give_their_results_again() {
    if !SAME_BITS {
        return;
    }
    let work = folders();
    for folder in run_folders(&work.path().join("finished")) {
        let out = tempfile::tempdir_in(work.path()).unwrap();
        let value = parsed(&run_again(&folder, work.path(), out.path()));
        assert_eq!(value["runs"][0]["status"], "done", "{value:#}");
        let again = run_folders(out.path()).remove(0);
        assert_eq!(again.file_name(), folder.file_name());
        assert_eq!(fixed(&again), fixed(&folder));
        assert_eq!(line(&again), line(&folder));
    }
}

/// A checkpoint's header: the JSON text behind its first line and the header's length.
fn with_header(checkpoint: &Path, change: impl FnOnce(&mut Value)) {
    const FIRST: &[u8] = b"tagcl checkpoint 1\n";
    let bytes = fs::read(checkpoint).unwrap();
    let body = bytes.strip_prefix(FIRST).unwrap();
    let (body, _) = body.split_last_chunk::<32>().unwrap();
    let (length, rest) = body.split_first_chunk::<8>().unwrap();
    let (header, arrays) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    let run = &mut header["__metadata__"]["run"];
    let mut inner: Value = serde_json::from_str(run.as_str().unwrap()).unwrap();
    change(&mut inner);
    *run = inner.to_string().into();
    let mut header = header.to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = FIRST.to_vec();
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(arrays);
    let digest = Sha256::digest(&file);
    file.extend(digest);
    fs::write(checkpoint, file).unwrap();
}

/// The interrupted run with checkpoints of a program of this version and commit, executed to its end.
fn go_on(work: &Path, build: &Value) -> (Output, PathBuf) {
    let out = work.join("interrupted");
    let folder = run_folders(&out).remove(0);
    for entry in fs::read_dir(folder.join("checkpoint")).unwrap() {
        with_header(&entry.unwrap().path(), |header| {
            for key in ["version", "commit"] {
                header["identity"][key] = build[key].clone();
            }
        });
    }
    let output = run_again(&folder, work, &out);
    assert!(output.status.success(), "{}", stderr(&output));
    (output, folder)
}

/// The uninterrupted run.
fn whole(work: &Path) -> PathBuf {
    let out = work.join("whole");
    let output = command(INTERRUPTED, LEVEL, work, &out).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    run_folders(&out).remove(0)
}

#[test]
fn an_interrupted_run_goes_on_from_its_checkpoint() {
    if !SAME_BITS {
        return;
    }
    let work = folders();
    let whole = whole(work.path());
    let text = fs::read(whole.join("result.json")).unwrap();
    let result: Value = serde_json::from_slice(&text).unwrap();
    // As if this very build had written it: another one's is never gone on from.
    let (output, folder) = go_on(work.path(), &result["provenance"]);
    let said = stderr(&output);
    assert!(said.contains("goes on from a checkpoint"), "{said}");
    assert_eq!(fixed(&folder), fixed(&whole));
    let expected = line(&whole);
    assert_eq!(line(&folder), expected);
    check_text("folders/interrupted.txt", &format!("{expected}\n"));
}

#[test]
fn an_interrupted_run_of_another_build_starts_anew() {
    let work = folders();
    let whole = whole(work.path());
    let build = json!({"version": "0.0.0", "commit": "000000000000"});
    let (output, folder) = go_on(work.path(), &build);
    let said = stderr(&output);
    for part in ["tagcl 0.0.0 (000000000000) made it", "the run starts anew"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(fixed(&folder), fixed(&whole));
    assert_eq!(line(&folder), line(&whole));
}
