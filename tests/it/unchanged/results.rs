//! What runs come to: the results and weights of short runs, to the last bit.
//!
//! A line of a fixture is a run at one level of vector instructions (`TAGCL_SIMD`), or at `every` level where all three
//! give the same: its id; the accuracies after the last task and their mean, for the eye; steps, examples and bytes; and
//! digests of `result.json` without `cost` and `provenance` (`result`), of what was measured alone, without schema, id and
//! configuration (`measured`), and of `model.safetensors` (`weights`); what only describes is in none of them.
//!
//! Bits depend on more than the level. Exponentials come from the C library, so digests and accuracies are compared on
//! x86-64 Linux only. Burn's own operations choose instructions and the size of their blocks themselves, so runs with
//! them are compared only where AVX-512 and the first-level cache are those of the fixtures (`results/machine.txt`).
//! Elsewhere run ids are compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use serde_json::Value;

use super::fixture::{accepting, canonical, compare, digest, read, write};
use super::{folders, images, result_cases};
use crate::program::{stderr, tagcl};

/// The level of a line that is the same at all of them.
const EVERY: &str = "every";

/// All levels, the best first.
const LEVELS: [&str; 3] = ["avx512", "avx2", "portable"];

/// What of the results can be compared on this machine, and at which levels.
struct Machine {
    /// Anything but run ids.
    bits: bool,
    /// That, of runs with operations of Burn's.
    burn: bool,
    levels: Vec<&'static str>,
}

impl Machine {
    fn here() -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let (bits, avx2, avx512, wide) = (
            true,
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            is_x86_feature_detected!("avx512f"),
            is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl"),
        );
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let (bits, avx2, avx512, wide) = (false, false, false, false);
        let there = |level: &&str| match *level {
            "avx512" => avx512,
            "avx2" => avx2,
            _ => true,
        };
        let mut levels: Vec<_> = LEVELS.into_iter().filter(there).collect();
        match std::env::var("TAGCL_SIMD") {
            Ok(only) if levels.contains(&only.as_str()) => levels.retain(|level| *level == only),
            _ if accepting() => {}
            // The best and the one that every machine has.
            _ => {
                levels = [levels[0], "portable"]
                    .into_iter()
                    .take(levels.len())
                    .collect();
            }
        }
        let cache = ("first-level data cache".to_string(), cache());
        if accepting() && avx512 && wide {
            static WRITTEN: Once = Once::new();
            let owns = "The machine on which runs with operations of Burn's were executed; it has AVX-512.";
            WRITTEN.call_once(|| write(MACHINE, owns, std::slice::from_ref(&cache)));
        }
        Self {
            bits,
            burn: bits && avx512 && wide && read(MACHINE, 1) == [cache],
            levels,
        }
    }

    /// What of a line can be compared: all, or the run id.
    fn comparable(&self, key: &str, value: &str) -> String {
        let burn = key.contains("TAGCL_KERNELS=stock");
        let all = if burn { self.burn } else { self.bits };
        let id = value.split(" | ").next().unwrap_or_default();
        if all { value } else { id }.to_string()
    }
}

const MACHINE: &str = "results/machine.txt";

/// Size and ways of the first core's first-level data cache.
fn cache() -> String {
    let read = |name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index0/{name}");
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_string()
    };
    format!("{} in {} ways", read("size"), read("ways_of_associativity"))
}

/// A case as a command: `NAME=VALUE` is an environment variable, a flag that comes twice has its last value, and `{}` is
/// the folder `here`.
pub fn command(case: &str, level: &str, here: &Path, out: &Path) -> Command {
    let mut command = tagcl();
    command.env("TAGCL_SIMD", level).env_remove("TAGCL_KERNELS");
    command.env("TAGCL_CACHE", here.join("cache"));
    let mut flags: Vec<(&str, &str)> = Vec::new();
    let mut words = case.split_whitespace();
    while let Some(word) = words.next() {
        if word.starts_with("--") {
            flags.retain(|(flag, _)| *flag != word);
            flags.push((word, words.next().unwrap()));
        } else {
            let (name, value) = word.split_once('=').unwrap();
            command.env(name, value);
        }
    }
    command.arg("run");
    let here = here.display().to_string();
    for (flag, value) in flags {
        command.arg(flag).arg(value.replace("{}", &here));
    }
    command.arg("--out").arg(out);
    command
}

/// The run folders in a folder, in order.
pub fn run_folders(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// A result without what is of machine and time.
pub fn fixed(folder: &Path) -> Value {
    let text = fs::read(folder.join("result.json")).unwrap();
    let mut result: Value = serde_json::from_slice(&text).unwrap();
    let fields = result.as_object_mut().unwrap();
    assert!(fields.remove("cost").is_some() && fields.remove("provenance").is_some());
    // What came later says what the numbers are of, and is none.
    fields.remove("task_classes");
    fields.remove("initial_weights");
    fields.remove("measured_images");
    let metrics = fields["metrics"].as_object_mut().unwrap();
    metrics.retain(|name, _| !LATER_METRICS.contains(&name.as_str()));
    result
}

/// Metrics that came later; they are made of the same matrix.
const LATER_METRICS: [&str; 2] = ["average_incremental_accuracy", "image_accuracy"];

/// A file of weights without what its metadata says of the run, which came later.
pub fn without_description(file: &[u8]) -> Vec<u8> {
    let (size, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, tensors) = rest.split_at(usize::try_from(u64::from_le_bytes(*size)).unwrap());
    let rest = header.strip_prefix(b"{\"__metadata__\":").unwrap();
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
    assert!(values.next().unwrap().is_ok());
    let rest = std::str::from_utf8(&rest[values.byte_offset()..]).unwrap();
    let mut header = format!(
        "{{\"__metadata__\":{{\"format\":\"pt\"}}{}",
        rest.trim_end()
    );
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let size = (header.len() as u64).to_le_bytes();
    [&size, header.as_bytes(), tensors].concat()
}

/// What a finished run has come to, as a line.
pub fn line(folder: &Path) -> String {
    let text = fs::read(folder.join("result.json")).unwrap();
    let whole: Value = serde_json::from_slice(&text).unwrap();
    let result = fixed(folder);
    let mut measured = result.clone();
    let fields = measured.as_object_mut().unwrap();
    fields.retain(|name, _| !["schema", "run_id", "config"].contains(&name.as_str()));
    let last = result["accuracy_matrix"].as_array().unwrap().last();
    let last: Vec<String> = (last.unwrap().as_array().unwrap().iter())
        .map(|accuracy| format!("{:.2}", accuracy.as_f64().unwrap()))
        .collect();
    let mean = result["metrics"]["average_accuracy"].as_f64().unwrap();
    let cost = &whole["cost"];
    let weights = fs::read(folder.join("model.safetensors")).unwrap();
    format!(
        "{} | {} mean {mean:.2} | steps {} examples {} replayed {} optimizer {} B method {} B | result {} measured {} weights {}",
        result["run_id"].as_str().unwrap(),
        last.join(" "),
        cost["steps"],
        cost["samples"],
        cost["replayed_samples"],
        cost["optimizer_state_bytes"],
        cost["replay_bytes"],
        digest(canonical(&result)),
        digest(canonical(&measured)),
        digest(without_description(&weights)),
    )
}

/// Runs a case; a line for each of its runs.
fn execute(case: &str, base: &str, level: &str, here: &Path) -> Vec<(String, String)> {
    let out = tempfile::tempdir_in(here).unwrap();
    let whole = format!("--jobs 1 {base} {case}");
    let output = command(&whole, level, here, out.path()).output().unwrap();
    assert!(
        output.status.success(),
        "{case} ({level}): {}",
        stderr(&output)
    );
    let folders = run_folders(out.path());
    let several = folders.len() > 1;
    let folders = folders.iter().enumerate();
    folders
        .map(|(n, folder)| {
            let run = if several {
                format!(", run {}", n + 1)
            } else {
                String::new()
            };
            (format!("{case}{run}"), line(folder))
        })
        .collect()
}

/// The results of a function of numbers below `count`, computed on two threads.
fn on_two_threads<R: Send>(count: usize, of: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let result = of(n);
                    found.lock().unwrap().push((n, result));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(n, _)| *n);
    found.into_iter().map(|(_, result)| result).collect()
}

/// Lines by case and level.
type Lines = Vec<(String, String)>;

/// Lines of all levels: those of one that stands for every level several times.
fn expanded(lines: Lines) -> Lines {
    let mut all = Vec::new();
    for (key, value) in lines {
        match key.strip_suffix(EVERY) {
            Some(case) => all.extend(LEVELS.map(|level| (format!("{case}{level}"), value.clone()))),
            None => all.push((key, value)),
        }
    }
    all
}

/// Lines with one for every level where all are there and equal.
fn contracted(lines: &Lines) -> Lines {
    let mut order: Vec<&str> = Vec::new();
    let mut cases: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, value) in lines {
        let (case, level) = key.rsplit_once(" | ").unwrap();
        if !cases.contains_key(case) {
            order.push(case);
        }
        cases.entry(case).or_default().insert(level, value);
    }
    let mut all = Vec::new();
    for case in order {
        let values = &cases[case];
        let first = values.values().next().unwrap();
        if values.len() == LEVELS.len() && values.values().all(|value| value == first) {
            all.push((format!("{case} | {EVERY}"), (*first).to_string()));
        } else {
            let levels = LEVELS
                .iter()
                .filter_map(|level| Some((level, values.get(level)?)));
            all.extend(
                levels.map(|(level, value)| (format!("{case} | {level}"), (*value).to_string())),
            );
        }
    }
    all
}

/// Runs cases at the levels of this machine and compares them with a file; `run` gives the lines of a case at a level.
#[track_caller]
pub fn check(name: &str, owns: &str, cases: &[String], run: &(dyn Fn(&str, &str) -> Lines + Sync)) {
    let machine = Machine::here();
    if !machine.burn {
        eprintln!("{name}: of runs with operations of Burn's only the ids are compared here");
    }
    let work: Vec<(&str, &str)> = (cases.iter())
        .flat_map(|case| machine.levels.iter().map(|level| (case.as_str(), *level)))
        .collect();
    let found = on_two_threads(work.len(), |n| {
        let (case, level) = work[n];
        let lines = run(case, level).into_iter();
        lines
            .map(|(case, value)| (format!("{case} | {level}"), value))
            .collect::<Lines>()
    });
    let mut found: Lines = found.into_iter().flatten().collect();
    let mut expected = expanded(read(name, 2));
    let level_of = |key: &str| {
        LEVELS
            .into_iter()
            .find(|level| key.ends_with(level))
            .unwrap_or_default()
    };
    let here = |key: &str| machine.levels.contains(&level_of(key));
    if accepting() {
        // Levels that this machine does not have stay.
        let mut all = found.clone();
        let elsewhere = expected.iter().filter(|(key, _)| {
            let of = |key: &str| key.rsplit_once(" | ").map(|(case, _)| case.to_string());
            !here(key) && found.iter().any(|(there, _)| of(there) == of(key))
        });
        all.extend(elsewhere.cloned());
        write(name, owns, &contracted(&all));
        expected = expanded(read(name, 2));
    }
    expected.retain(|(key, _)| here(key));
    for (key, value) in expected.iter_mut().chain(&mut found) {
        *value = machine.comparable(key, value);
    }
    compare(name, &expected, &found, &|_| String::new());
}

/// [`check`] of cases of `tagcl run` with common arguments.
#[track_caller]
fn check_runs(name: &str, what: &str, base: &str, cases: &[String]) {
    let here = tempfile::tempdir().unwrap();
    images::write(here.path());
    fs::write(here.path().join("init.safetensors"), folders::weights()).unwrap();
    let owns = format!(
        "{what}\nEvery case is `tagcl run --jobs 1 {base} CASE`; what a case says again, holds.\n\
         {{}} is a folder of generated images and, as init.safetensors, the weights of a finished run in `folders`.\n{LINE}"
    );
    check(name, &owns, cases, &|case, level| {
        execute(case, base, level, here.path())
    });
}

/// What the lines are.
pub const LINE: &str =
    "CASE | level | run id | accuracies after the last task and their mean | cost | digests";

#[test]
fn methods_and_optimizers_give_the_same_results() {
    let cases = result_cases::methods();
    let (cases, settings) = cases.split_at(56);
    check_runs(
        "results/pairs.txt",
        "Every method with every optimizer and profile.",
        result_cases::MNIST,
        cases,
    );
    check_runs(
        "results/methods.txt",
        "The settings of methods.",
        result_cases::MNIST,
        settings,
    );
}

#[test]
fn variants_of_tag_give_the_same_results() {
    check_runs(
        "results/tag.txt",
        "TAG's variants.",
        result_cases::MNIST,
        &result_cases::tag(),
    );
}

#[test]
fn settings_of_runs_give_the_same_results() {
    check_runs(
        "results/settings.txt",
        "Schedules, early stopping, learning rates, data, threads.",
        result_cases::MNIST,
        &result_cases::settings(),
    );
}

#[test]
fn networks_give_the_same_results() {
    check_runs(
        "results/networks.txt",
        "Networks on generated images, on the kernels and on Burn's own operations.",
        result_cases::OWN,
        &result_cases::networks(),
    );
}

#[test]
fn benchmarks_of_ones_own_give_the_same_results() {
    check_runs(
        "results/own-data.txt",
        "Benchmarks of one's own.",
        result_cases::OWN,
        &result_cases::own_data(),
    );
}
