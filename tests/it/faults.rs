//! Faults injected into every command that writes or reads: no result is lost, none is wrong, none fails in silence.
//!
//! Every cell of the table in `docs/faults.md` is an outcome that was seen here; `TAGCL_ACCEPT=1` writes it anew. Killed
//! processes and damaged checkpoints have tests of their own (`resume.rs`, `sweep_faults.rs`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::program::{run, stderr, stdout};

/// Commands that read run folders, with a short name for the table.
const READERS: [(&str, &str); 9] = [
    ("report", "report {}/runs"),
    ("report --json", "report {}/runs --json"),
    ("report --html", "report {}/runs --html {}/read.html"),
    ("compare", "compare {}/runs"),
    ("export --csv", "export {}/runs --csv {}/read.csv"),
    ("plot", "plot {}/runs --out {}/read-plots"),
    ("status", "status {}/runs --all"),
    ("status --json", "status {}/runs --json"),
    ("run", RUN),
];

const RUN: &str = "run --benchmark rotated-mnist --data embedded --tasks 2 --hidden 8 --fraction 0.02 --jobs 1 \
                   --optimizer sgd --lr 0.1 --seeds 1-2 --out {}/runs";

/// Commands that write what `{}/target` names.
const WRITERS: [(&str, &str); 6] = [
    ("report --output", "report {}/good --output {}/target"),
    ("report --html", "report {}/good --html {}/target"),
    ("export --csv", "export {}/good --csv {}/target"),
    (
        "export --tensorboard",
        "export {}/good --tensorboard {}/target",
    ),
    ("export --npy", "export {}/good --npy {}/target"),
    ("plot --out", "plot {}/good --out {}/target"),
];

/// Commands that print; their standard output is what fails.
const PRINTERS: [(&str, &str); 12] = [
    ("report", "report {}/good"),
    ("report --json", "report {}/good --json"),
    ("compare", "compare {}/good"),
    ("status", "status {}/good"),
    ("status --json", "status {}/good --json"),
    ("list", "list methods"),
    ("list settings", "list settings"),
    ("show", "show {}/good/*-s1-*"),
    ("data list", "data list --data {}"),
    (
        "run --dry-run",
        "run --benchmark rotated-mnist --data embedded --hidden 8 --optimizer sgd --lr 0.1 --dry-run",
    ),
    ("sweep --dry-run", "sweep {}/s.toml --dry-run"),
    (
        "replicate --dry-run",
        "replicate baselines cifar --dry-run --seeds 1 --only TAG-RMSProp",
    ),
];

/// The table: rows by command, columns by fault.
#[derive(Default)]
struct Seen(BTreeMap<(&'static str, &'static str), BTreeMap<&'static str, String>>);

impl Seen {
    fn put(
        &mut self,
        part: &'static str,
        command: &'static str,
        fault: &'static str,
        outcome: &str,
    ) {
        let row = self.0.entry((part, command)).or_default();
        assert!(row.insert(fault, outcome.to_string()).is_none());
    }

    fn markdown(&self, part: &str, first: &str) -> String {
        let rows: Vec<_> = self.0.iter().filter(|((of, _), _)| *of == part).collect();
        let faults: Vec<&str> = rows[0].1.keys().copied().collect();
        let mut text = format!(
            "| {first} | {} |\n|{}\n",
            faults.join(" | "),
            "---|".repeat(faults.len() + 1)
        );
        for ((_, command), outcomes) in rows {
            let cells: Vec<&str> = outcomes.values().map(String::as_str).collect();
            let _ = writeln!(text, "| `{command}` | {} |", cells.join(" | "));
        }
        text
    }
}

fn shell(before: &str, arguments: &str, folder: &Path, after: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_tagcl");
    let arguments = arguments.replace("{}", &folder.display().to_string());
    let script = format!("{before} '{program}' {arguments} {after}");
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .env_remove("TAGCL_DATA")
        .env_remove("TAGCL_OUT");
    command.output().unwrap()
}

/// Copies a folder of run folders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn first_run(runs: &Path) -> PathBuf {
    let mut folders: Vec<_> = fs::read_dir(runs)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders.remove(0)
}

/// Metrics and matrices of all results below a folder: what no fault may change.
fn results(runs: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(runs).unwrap().flatten() {
        let Ok(text) = fs::read(folder.path().join("result.json")) else {
            continue;
        };
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        for key in ["cost", "provenance"] {
            value.as_object_mut().unwrap().remove(key);
        }
        found.insert(folder.file_name().into_string().unwrap(), value);
    }
    found
}

#[track_caller]
fn no_panic(output: &Output, what: &str) {
    let text = stderr(output);
    assert!(!text.contains("panicked"), "{what}: {text}");
}

/// Refused with a message, never in silence.
#[track_caller]
fn fails(output: &Output, what: &str) -> &'static str {
    no_panic(output, what);
    assert_eq!(output.status.code(), Some(1), "{what}: {}", stderr(output));
    assert!(
        stderr(output).contains("error: "),
        "{what}: {}",
        stderr(output)
    );
    "error"
}

#[track_caller]
fn is_whole(output: &Output, what: &str) -> &'static str {
    no_panic(output, what);
    assert!(output.status.success(), "{what}: {}", stderr(output));
    "whole"
}

#[test]
fn no_fault_is_silent_and_no_result_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let made = run(&RUN.replace("/runs", "/good"), dir.path());
    assert!(made.status.success(), "{}", stderr(&made));
    let good = results(&at("good"));
    assert_eq!(good.len(), 2);
    fs::write(
        at("s.toml"),
        "[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\nhidden = 8\n[grid]\nlr = [0.1]\n",
    )
    .unwrap();
    let mut seen = Seen::default();
    read_damaged(dir.path(), &mut seen);
    write_to_bad_places(dir.path(), &mut seen);
    print_to_bad_places(dir.path(), &mut seen);
    run_into_bad_places(dir.path(), &good, &mut seen);
    assert_eq!(results(&at("good")), good, "what was read is as it was");
    document(&seen);
}

/// A file of a finished run is damaged: whoever reads it names it, and does not count it.
fn read_damaged(dir: &Path, seen: &mut Seen) {
    type Damage = fn(&Path);
    let faults: [(&str, &str, Damage); 6] = [
        ("`result.json` cut", "result.json", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("`result.json` empty", "result.json", |file| {
            fs::write(file, "").unwrap();
        }),
        ("`result.json` a folder", "result.json", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
        ("`status.json` cut", "", |file| {
            fs::write(file.with_file_name("status.json"), "{\"phase\": \"do").unwrap();
        }),
        ("`events.jsonl` gone", "", |file| {
            fs::remove_file(file.with_file_name("events.jsonl")).unwrap();
        }),
        ("`config.toml` cut", "", |file| {
            fs::write(file.with_file_name("config.toml"), "benchmark = \"rot").unwrap();
        }),
    ];
    for (fault, named, damage) in faults {
        for (name, command) in READERS {
            let runs = dir.join("runs");
            copy(&dir.join("good"), &runs);
            damage(&first_run(&runs).join("result.json"));
            let output = run(command, dir);
            let what = format!("{name}, {fault}");
            no_panic(&output, &what);
            let html = fs::read_to_string(dir.join("read.html")).unwrap_or_default();
            let said = stdout(&output) + &stderr(&output) + &html;
            let outcome = if named.is_empty() {
                is_whole(&output, &what)
            } else {
                assert!(said.contains(named), "{what}: {said}");
                if output.status.success() {
                    "named"
                } else {
                    fails(&output, &what)
                }
            };
            seen.put("read", name, fault, outcome);
            fs::remove_dir_all(&runs).unwrap();
            let _ = fs::remove_file(dir.join("read.html"));
        }
    }
}

/// The target cannot take what is written: an error, and what was there before stays.
fn write_to_bad_places(dir: &Path, seen: &mut Seen) {
    let target = dir.join("target");
    for (name, command) in WRITERS {
        let into_folder = ["tensorboard", "npy", "plot"]
            .iter()
            .any(|word| name.contains(word));
        let mut judge = |fault, output: Output| {
            seen.put(
                "write",
                name,
                fault,
                fails(&output, &format!("{name}, {fault}")),
            );
        };
        // A folder cannot be a file, nor a file a folder.
        if into_folder {
            fs::write(&target, "old").unwrap();
            judge("the other kind is there", run(command, dir));
            assert_eq!(fs::read(&target).unwrap(), b"old");
            fs::remove_file(&target).unwrap();
        } else {
            fs::create_dir(&target).unwrap();
            judge("the other kind is there", run(command, dir));
            fs::remove_dir(&target).unwrap();
        }
        symlink(dir.join("absent/place"), &target).unwrap();
        judge("a link that leads nowhere", run(command, dir));
        fs::remove_file(&target).unwrap();
        // No file may grow: the system's limit stands for a full disk, and is one for every file.
        if !into_folder {
            fs::write(&target, "old").unwrap();
        }
        judge(
            "full disk",
            shell(
                "trap '' XFSZ; ulimit -f 0;",
                command,
                dir,
                "2>&1 >/dev/null | cat >&2; exit ${PIPESTATUS[0]}",
            ),
        );
        if into_folder {
            let _ = fs::remove_dir_all(&target);
        } else {
            assert_eq!(fs::read(&target).unwrap(), b"old", "{name}");
            fs::remove_file(&target).unwrap();
        }
    }
}

/// Standard output cannot take what is printed.
fn print_to_bad_places(dir: &Path, seen: &mut Seen) {
    for (name, command) in PRINTERS {
        let mut judge = |fault, outcome| seen.put("print", name, fault, outcome);
        let what = |fault: &str| format!("{name}, {fault}");
        judge(
            "full",
            fails(&shell("", command, dir, "> /dev/full"), &what("full")),
        );
        judge(
            "closed",
            fails(&shell("", command, dir, ">&-"), &what("closed")),
        );
        let gone = shell("set -o pipefail;", command, dir, "| true");
        no_panic(&gone, name);
        assert!(gone.status.success(), "{name}: {}", stderr(&gone));
        judge("reader gone", "quiet");
        judge(
            "`/dev/null`",
            is_whole(&shell("", command, dir, "1<>/dev/null"), name),
        );
    }
}

/// A run, or a sweep, whose folder cannot take its files: it fails with a message, and the same command goes on when it can.
fn run_into_bad_places(dir: &Path, good: &BTreeMap<String, Value>, seen: &mut Seen) {
    let id = good.keys().next().unwrap().clone();
    fs::write(
        dir.join("same.toml"),
        "seeds = '1-2'\n[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\ntasks = 2\nhidden = 8\nfraction = 0.02\n\
         [grid]\nlr = [0.1]\n",
    )
    .unwrap();
    let commands = [
        ("run", RUN),
        ("sweep", "sweep {}/same.toml --jobs 2 --out {}/runs"),
    ];
    for (name, command) in commands {
        let runs = dir.join("runs");
        let folder = runs.join(&id);
        let limited = |before: &str| shell(before, command, dir, "");
        let mut judge = |fault: &'static str, output: Output| {
            let what = format!("{name}, {fault}");
            let outcome = fails(&output, &what);
            // What stood in the way is gone.
            for path in [&runs, &folder] {
                if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
                    fs::remove_file(path).unwrap();
                }
            }
            for file in ["model.safetensors", "config.toml"] {
                if fs::symlink_metadata(folder.join(file)).is_ok_and(|found| !found.is_file()) {
                    let _ = fs::remove_file(folder.join(file));
                    let _ = fs::remove_dir(folder.join(file));
                }
            }
            let again = run(command, dir);
            assert!(again.status.success(), "{what}: {}", stderr(&again));
            assert_eq!(&results(&runs), good, "{what}");
            fs::remove_dir_all(&runs).unwrap();
            seen.put("run", name, fault, &format!("{outcome}, then goes on"));
        };
        fs::write(&runs, "").unwrap();
        judge("a file in the folder's place", run(command, dir));
        symlink(dir.join("absent/place"), &runs).unwrap();
        judge("a link that leads nowhere", run(command, dir));
        fs::create_dir_all(&folder).unwrap();
        symlink("/dev/full", folder.join("model.safetensors")).unwrap();
        judge("full disk for the weights", run(command, dir));
        judge(
            "full disk from the start",
            limited("trap '' XFSZ; ulimit -f 0;"),
        );
        fs::create_dir_all(folder.join("config.toml")).unwrap();
        judge("a folder in a file's place", run(command, dir));
        // The signal of the limit ends the process, or its worker.
        let killed = limited("ulimit -f 0; exec");
        let ended = killed.status.signal().is_some() || killed.status.code() != Some(0);
        assert!(ended, "{name}: {}", stderr(&killed));
        let again = run(command, dir);
        assert!(again.status.success(), "{}", stderr(&again));
        assert_eq!(&results(&runs), good, "{name}, killed");
        fs::remove_dir_all(&runs).unwrap();
        seen.put("run", name, "killed by the limit", "dies, then goes on");
        // A result is not lost for want of somebody who reads it.
        for (fault, after) in [("output full", "> /dev/full"), ("reader gone", "| true")] {
            let output = shell("set -o pipefail;", command, dir, after);
            no_panic(&output, name);
            if fault == "output full" {
                fails(&output, name);
            }
            assert_eq!(&results(&runs), good, "{name}, {fault}");
            fs::remove_dir_all(&runs).unwrap();
            let outcome = if fault == "output full" {
                "error, results kept"
            } else {
                "results kept"
            };
            seen.put("run", name, fault, outcome);
        }
    }
}

/// The page is what was seen.
fn document(seen: &Seen) {
    let cells: usize = seen.0.values().map(BTreeMap::len).sum();
    let text = format!(
        "# Faults injected\n\nWritten by `tests/it/faults.rs` (`TAGCL_ACCEPT=1`), which injects each of these {cells} faults into the real \
         program and sees what comes of\nit. Results lost: 0. Wrong results: 0. Silent failures: 0. Killed workers, two processes in one \
         folder, damaged checkpoints and\nchanged images have tests of their own (`sweep_faults.rs`, `resume.rs`, `changed_data.rs`; \
         [robustness.md](robustness.md) says what\nhappens).\n\n- **error**: exit code 1 and a message; what was there before is still there\n\
         - **named**: the damaged file is named, and its run not counted; the rest is shown\n- **whole**: exit code 0 and all of it\n\
         - **quiet**: exit code 0 without a word: nobody reads\n\n## Reading runs, one of which is damaged\n\n{}\n\
         ## Writing a file or folder that was named\n\n{}\n## Printing: what standard output is\n\n{}\n## Executing runs\n\n{}",
        seen.markdown("read", "command"),
        seen.markdown("write", "command"),
        seen.markdown("print", "command"),
        seen.markdown("run", "command"),
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    if std::env::var_os("TAGCL_ACCEPT").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "docs/faults.md is not what was seen; TAGCL_ACCEPT=1 writes it anew:\n{text}"
    );
}
