//! Interrupted runs: whatever stops one, the run that goes on gives the same result to the last byte.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;
use tagcl::experiment::RunError;
use tagcl::experiment::plan::config::RunConfig;
use tagcl::experiment::plan::settings::{Origin, Settings};
use tagcl::experiment::run::checkpoint::Checkpoints;
use tagcl::experiment::run::lock::RunLock;
use tagcl::experiment::run::runner::{Event, Outcome, RunInput, SharedData, resume, train};
use tagcl::method::{METHODS, MethodSpec};
use tagcl::optim::{OPTIMIZERS, OptimizerSpec, SGD};

use crate::program::{TINY, refused, run, stderr, stdout, tagcl};

fn config(pairs: &[(&str, &str)]) -> RunConfig {
    let mut settings = Settings::default();
    let hidden = if pairs.iter().any(|(key, _)| *key == "model") {
        None
    } else {
        Some(("hidden", "4"))
    };
    let base = [
        ("benchmark", "rotated-mnist"),
        ("data", "embedded"),
        ("model", "mlp"),
        ("tasks", "2"),
        ("fraction", "0.006"),
        ("epochs", "2"),
        ("dropout", "0.2"),
        ("lr", "0.01"),
    ];
    let find = |spec: &&&MethodSpec| pairs.contains(&("method", spec.name));
    let closed_form = METHODS
        .iter()
        .find(find)
        .is_some_and(|spec| spec.closed_form);
    for (key, value) in base.iter().chain(&hidden).chain(pairs) {
        // One pass, and nothing to step along.
        let value = match *key {
            "lr" if closed_form => continue,
            "epochs" if closed_form => &"1",
            _ => value,
        };
        settings.set(key, value, Origin::CommandLine).unwrap();
    }
    settings.plan().unwrap().runs.remove(0).config
}

/// What must be equal, as bytes.
fn fixed(outcome: Outcome) -> (String, Vec<u8>) {
    let mut result = serde_json::to_value(&outcome.result).unwrap();
    let fields = result.as_object_mut().unwrap();
    assert!(fields.remove("cost").is_some() && fields.remove("provenance").is_some());
    (result.to_string(), outcome.weights)
}

/// Executes a run that is cut off after `step` steps of every process, with a checkpoint between any two operations or,
/// where `seldom`, between some.
fn in_pieces(config: &RunConfig, data: &SharedData, step: usize, seldom: bool) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let input = RunInput {
        data,
        init: None,
        threads: 1,
        stop: &stop,
    };
    for process in 0_usize.. {
        let every = Duration::from_millis(if seldom { 2 } else { 0 });
        let mut checkpoints = Checkpoints::new(dir.path(), Some(every));
        let taken = Cell::new(0);
        let piece = resume(config, &input, &mut checkpoints, &mut |event| {
            match event {
                Event::Resumed { .. } => assert!(process > 0),
                Event::RunBegan { .. } => assert!(process == 0 || seldom),
                Event::Step { .. } => taken.set(taken.get() + 1),
                Event::Warning(text) => panic!("{text}"),
                _ => {}
            }
            // As if killed: nothing is saved after this.
            if taken.get() > step + usize::from(seldom) * process {
                return Err(RunError::Interrupted);
            }
            Ok(())
        });
        match piece {
            Ok(outcome) => {
                assert!(process > 0, "it was interrupted");
                // On a fast machine a process may be cut off before its first checkpoint is due.
                assert!(seldom || outcome.result.provenance.resumed > 0);
                return outcome;
            }
            Err(RunError::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

/// Whether a run of both is not refused.
fn go_together(method: &MethodSpec, optimizer: &OptimizerSpec) -> bool {
    let without_optimizer = method.closed_form && *optimizer != SGD;
    let forgets = method.name == "independent" && optimizer.remembers_tasks;
    !(without_optimizer || forgets)
}

/// Every method with every optimizer that it goes with, TAG's forms, schedules and scenarios.
fn cases() -> Vec<Vec<(&'static str, &'static str)>> {
    let mut cases: Vec<Vec<(&'static str, &'static str)>> = Vec::new();
    for (i, method) in METHODS.iter().enumerate() {
        for (j, optimizer) in OPTIMIZERS.iter().enumerate() {
            if !go_together(method, optimizer) {
                continue;
            }
            let profile = ["released", "corrected"][(i + j) % 2];
            cases.push(vec![
                ("method", method.name),
                ("optimizer", optimizer.name),
                ("profile", profile),
            ]);
        }
    }
    for alpha in ["one", "age", "gradients"] {
        cases.push(vec![
            ("optimizer", "tag-adam"),
            ("alpha", alpha),
            ("past_moments", "bf16"),
            ("bias_correction", "per-epoch"),
        ]);
    }
    let remembering = |o: &&&OptimizerSpec| o.settings.has("tag_memory");
    let tags: Vec<_> = OPTIMIZERS.iter().filter(remembering).collect();
    let stepping = METHODS
        .iter()
        .filter(|method| tags.iter().all(|tag| go_together(method, tag)));
    for (i, method) in stepping.enumerate() {
        let optimizer = |j: usize| ("optimizer", tags[(i + j) % tags.len()].name);
        let common = [("method", method.name), ("tasks", "4"), ("epochs", "1")];
        let flat = [("tag_memory", "flat"), ("tag_scale_linear", "2")];
        let clusters = [
            ("tag_memory", "clusters"),
            ("tag_clusters", "2"),
            ("tag_sketch", "8"),
            ("tag_refresh", "3"),
            ("tag_first_refresh", "2"),
        ];
        cases.push([&[optimizer(0)], &common[..], &flat].concat());
        cases.push([&[optimizer(1)], &common[..], &clusters].concat());
    }
    cases.push(vec![
        ("optimizer", "tag-adam"),
        ("tag_memory", "clusters"),
        ("tag_refresh", "3"),
        ("bias_correction", "per-epoch"),
    ]);
    cases.push(vec![("momentum", "0.9")]);
    for schedule in ["cyclic", "joint", "cumulative"] {
        cases.push(vec![("schedule", schedule), ("optimizer", "adam")]);
    }
    cases.push(vec![
        ("epochs", "25"),
        ("validation", "0.5"),
        ("patience", "1"),
    ]);
    // Without task identity, and evaluated wherever a run can be.
    for (i, method) in METHODS.iter().enumerate() {
        let streams = [("split-mnist", "class"), ("permuted-mnist", "domain")];
        for (benchmark, scenario) in streams {
            if method.name == "independent" || (method.name, scenario) == ("icarl", "domain") {
                continue;
            }
            cases.push(vec![
                ("benchmark", benchmark),
                ("scenario", scenario),
                ("method", method.name),
                (
                    "optimizer",
                    if method.closed_form {
                        SGD.name
                    } else {
                        ["sgd", "adam", "tag-rmsprop"][i % 3]
                    },
                ),
                ("epochs", "1"),
                ("fraction", "0.02"),
                ("evaluate_future", "true"),
                ("evaluate_every", "2"),
            ]);
        }
    }
    // A network for every task, evaluated wherever a run can be.
    cases.push(vec![
        ("method", "independent"),
        ("optimizer", "adam"),
        ("tasks", "3"),
        ("evaluate_future", "true"),
        ("evaluate_every", "2"),
    ]);
    // One that trains for long at the end of a task, and one that holds large matrices.
    for case in &mut cases {
        if case.contains(&("method", "gdumb")) {
            case.push(("gdumb_epochs", "2"));
        }
        if case.contains(&("method", "ranpac")) {
            case.push(("ranpac_projections", "9"));
        }
    }
    cases
}

#[test]
fn pieces_equal_the_whole_for_every_method_and_optimizer() {
    let data = SharedData::new(tagcl::data::embedded::mnist_sample().unwrap());
    let stop = AtomicBool::new(false);
    let input = RunInput {
        data: &data,
        init: None,
        threads: 1,
        stop: &stop,
    };
    for (i, case) in cases().iter().enumerate() {
        let config = config(case);
        let whole = train(&config, &input, &mut |_| Ok(())).unwrap();
        let steps = whole.result.cost.steps;
        let (replayed, whole) = (whole.result.cost.replayed_samples, fixed(whole));
        let often_and_seldom: &[bool] = if i % 4 == 0 { &[false, true] } else { &[false] };
        for &seldom in often_and_seldom {
            let pieces = in_pieces(&config, &data, 3 + i % 5, seldom);
            let cost = pieces.result.cost.clone();
            assert_eq!((cost.steps, cost.replayed_samples), (steps, replayed));
            assert_eq!(fixed(pieces), whole, "{case:?}");
        }
    }
}

#[test]
fn pieces_equal_the_whole_on_the_kernels_with_their_running_statistics() {
    let data = SharedData::new(tagcl::data::embedded::mnist_sample().unwrap());
    let stop = AtomicBool::new(false);
    let input = RunInput {
        data: &data,
        init: None,
        threads: 1,
        stop: &stop,
    };
    // One that keeps networks, which statistics are part of.
    for (method, optimizer) in [("agem", "tag-rmsprop"), ("independent", "adam")] {
        let config = config(&[
            ("benchmark", "split-mnist"),
            ("tasks", "2"),
            ("model", "reduced-resnet18"),
            ("optimizer", optimizer),
            ("method", method),
            ("profile", "released"),
            ("fraction", "0.004"),
            ("epochs", "1"),
        ]);
        let whole = train(&config, &input, &mut |_| Ok(())).unwrap();
        let pieces = in_pieces(&config, &data, 1, false);
        assert_eq!(fixed(pieces), fixed(whole), "{method}");
    }
}

/// The only run folder in here.
fn folder(out: &Path) -> PathBuf {
    let mut folders = fs::read_dir(out).unwrap().map(|e| e.unwrap().path());
    let folder = folders.next().unwrap();
    assert_eq!(folders.next(), None);
    folder
}

/// Result without what may differ, and weights.
fn files(out: &Path) -> (String, Vec<u8>) {
    let folder = folder(out);
    let text = fs::read(folder.join("result.json")).unwrap();
    let mut result: Value = serde_json::from_slice(&text).unwrap();
    let fields = result.as_object_mut().unwrap();
    fields.remove("cost");
    fields.remove("provenance");
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    (result.to_string(), weights)
}

/// A run of about two seconds with many checkpoints.
const SLOW: &str = "run --benchmark rotated-mnist --data embedded --tasks 3 --hidden 512 --fraction 0.4 --jobs 1 \
                    --method er --optimizer tag-adam --lr 0.001 --dropout 0.1 --checkpoint-every 0.05";

fn spawn(arguments: &str, out: &Path) -> Child {
    let arguments = arguments.split_whitespace();
    let mut command = tagcl();
    command.args(arguments).arg("--out").arg(out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn checkpoints(out: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(out) else {
        return Vec::new();
    };
    let run = entries.map(|e| e.unwrap().path()).next();
    let Some(Ok(entries)) = run.map(|run| fs::read_dir(run.join("checkpoint"))) else {
        return Vec::new();
    };
    let paths = entries.map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "ckpt"))
        .collect();
    paths.sort();
    paths
}

/// Starts the run and kills it when a checkpoint newer than number `number` is there.
fn kill_after_checkpoint(out: &Path, number: u64) {
    let mut child = spawn(SLOW, out);
    let newest = || -> Option<u64> {
        let paths = checkpoints(out);
        paths.last()?.file_stem()?.to_str()?.parse().ok()
    };
    while newest().is_none_or(|newest| newest <= number) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_runs_go_on_and_damaged_checkpoints_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let whole = spawn(SLOW, &path("whole")).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    let whole = files(&path("whole"));

    let out = path("killed");
    for number in [2, 5, 8, 11] {
        kill_after_checkpoint(&out, number);
        let folder = folder(&out);
        assert!(folder.join("lock").exists() && !folder.join("result.json").exists());
    }
    // The newest is cut in half: the one before it is taken.
    let paths = checkpoints(&out);
    assert!(paths.len() >= 2, "{paths:?}");
    let newest = paths.last().unwrap();
    let bytes = fs::read(newest).unwrap();
    fs::write(newest, &bytes[..bytes.len() / 2]).unwrap();
    let log = folder(&out).join("events.jsonl");
    let mut text = fs::read_to_string(&log).unwrap();
    text.push_str("{\"event\":\"epo");
    fs::write(&log, text).unwrap();
    let rest = spawn(SLOW, &out).wait_with_output().unwrap();
    assert!(rest.status.success(), "{}", stderr(&rest));
    for part in [
        "goes on from a checkpoint",
        "warning",
        "is damaged",
        "trying the one before",
    ] {
        assert!(stderr(&rest).contains(part), "{}", stderr(&rest));
    }
    assert_eq!(files(&out), whole);
    let mut left: Vec<String> = fs::read_dir(folder(&out))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    // For displays; nothing depends on it.
    left.retain(|name| name != "status.json");
    let expected = [
        "config.toml",
        "events.jsonl",
        "model.safetensors",
        "result.json",
    ];
    assert_eq!(left, expected);
    let events: Vec<Value> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |name: &str| events.iter().filter(|e| e["event"] == name).count();
    assert_eq!(
        [
            count("run-began"),
            count("epoch-ended"),
            count("evaluated"),
            count("warning")
        ],
        [1, 3, 3, 1],
        "every event of the run once"
    );
    let resumed = count("resumed");
    let text = fs::read(folder(&out).join("result.json")).unwrap();
    let result: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(result["provenance"]["resumed"], 4);
    assert!((1..=4).contains(&resumed), "{resumed}");

    // All of them damaged: the run starts anew, with a warning, and is the same.
    let out = path("anew");
    kill_after_checkpoint(&out, 2);
    for path in checkpoints(&out) {
        fs::write(path, b"nonsense").unwrap();
    }
    let rest = spawn(SLOW, &out).wait_with_output().unwrap();
    assert!(rest.status.success(), "{}", stderr(&rest));
    assert!(
        stderr(&rest).contains("the run starts anew"),
        "{}",
        stderr(&rest)
    );
    assert_eq!(files(&out), whole);
}

#[cfg(unix)]
#[test]
fn a_terminated_run_saves_its_state_first() {
    let dir = tempfile::tempdir().unwrap();
    let seldom = SLOW.replace("--checkpoint-every 0.05", "");
    let (whole, out) = (dir.path().join("whole"), dir.path().join("out"));
    assert!(spawn(&seldom, &whole).wait().unwrap().success());
    let mut child = spawn(&seldom, &out);
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|l| l.contains("task 1/3")));
    let signal = ["-TERM", &child.id().to_string()];
    assert!(
        Command::new("kill")
            .args(signal)
            .status()
            .unwrap()
            .success()
    );
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(checkpoints(&out).len(), 1);
    assert!(!folder(&out).join("lock").exists());
    let rest = spawn(&seldom, &out).wait_with_output().unwrap();
    assert!(
        stderr(&rest).contains("goes on from a checkpoint: task 2/3"),
        "{}",
        stderr(&rest)
    );
    assert_eq!(files(&out), files(&whole));

    let off = seldom.replace("--lr 0.001", "--lr 0.002 --checkpoint-every off");
    let out = dir.path().join("off");
    let mut child = spawn(&off, &out);
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|l| l.contains("task 1/3")));
    let signal = ["-TERM", &child.id().to_string()];
    Command::new("kill").args(signal).status().unwrap();
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(checkpoints(&out).is_empty(), "off writes none");
}

/// What schedulers and terminals send before they end a run.
#[cfg(unix)]
#[test]
fn every_signal_that_announces_an_end_saves_the_state_first() {
    let dir = tempfile::tempdir().unwrap();
    let seldom = SLOW.replace("--checkpoint-every 0.05", "");
    let send = |child: &Child, signal: &str| {
        let arguments = [format!("-{signal}"), child.id().to_string()];
        let sent = Command::new("kill").args(arguments).status().unwrap();
        assert!(sent.success());
    };
    for signals in [
        &["USR1"][..],
        &["USR2"],
        &["XCPU"],
        &["HUP"],
        &["INT"],
        &["USR1", "USR1", "TERM"],
    ] {
        let out = dir.path().join(signals.join("-"));
        let mut child = spawn(&seldom, &out);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|l| l.contains("task 1/3")));
        for signal in signals {
            send(&child, signal);
        }
        let rest: Vec<String> = lines.collect();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(130),
            "{signals:?}: {rest:?}"
        );
        assert!(
            rest.last()
                .is_some_and(|line| line.contains("the same command goes on")),
            "{signals:?}: {rest:?}"
        );
        assert_eq!(checkpoints(&out).len(), 1, "{signals:?}");
    }
}

#[test]
fn a_folder_in_use_is_left_alone_and_its_user_named() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("{TINY} --seeds 1-2 --json --out {{}}/runs");
    let dry = run(&format!("{arguments} --dry-run"), dir.path());
    let dry: Value = serde_json::from_str(&stdout(&dry)).unwrap();
    let taken = dir
        .path()
        .join("runs")
        .join(dry["runs"][0].as_str().unwrap());
    fs::create_dir_all(&taken).unwrap();
    let lock = RunLock::take(&taken).unwrap();
    let output = run(&arguments, dir.path());
    let pid = format!("process {}", std::process::id());
    refused(&output, 1, &["is in use by", &pid, "1 of 2 runs failed"]);
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["runs"][1]["status"], "done", "the other run went on");
    let files = fs::read_dir(&taken).unwrap().count();
    assert_eq!(files, 1, "nothing but the lock was touched");
    drop(lock);
    let output = run(&arguments, dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_too_full_for_checkpoints_is_a_warning_and_the_result_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("{TINY} --optimizer tag-rmsprop");
    let whole = run(&format!("{arguments} --out {{}}/whole"), dir.path());
    assert!(whole.status.success(), "{}", stderr(&whole));
    // A file size limit of 40 KiB: the weights (26 KiB) fit, weights and TAG's moments do not.
    let script = format!(
        "trap '' XFSZ; ulimit -f 40; exec {} {arguments} --checkpoint-every 0 --out {}/full",
        env!("CARGO_BIN_EXE_tagcl"),
        dir.path().display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("the checkpoint could not be written"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        files(&dir.path().join("full")),
        files(&dir.path().join("whole"))
    );
}

#[cfg(unix)]
#[test]
fn a_run_whose_folder_vanished_still_leaves_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut child = spawn(SLOW, &out);
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|l| l.contains("task 1/3")));
    // A checkpoint may be written into it at the same time.
    while fs::remove_dir_all(folder(&out)).is_err() {}
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    let folder = folder(&out);
    for file in ["config.toml", "model.safetensors", "result.json"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
}
