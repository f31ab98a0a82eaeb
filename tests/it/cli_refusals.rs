//! Bad input through the real binary: every refusal names what is wrong and what to do, and has its exit code.

use std::fs;
use std::path::Path;

use crate::program::{TINY, refused, run, stderr, stdout};

fn refuse(arguments: &str, code: i32, parts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    refused(&run(arguments, dir.path()), code, parts);
}

#[test]
fn unknown_names_come_with_the_nearest_known_one() {
    refuse(
        "run --benchmark split-cifr100",
        2,
        &["unknown benchmark", "did you mean `split-cifar100`?"],
    );
    refuse(
        &format!("{TINY} --method plian"),
        2,
        &["unknown method `plian`", "`plain`"],
    );
    refuse(
        &format!("{TINY} --optimizer adm"),
        2,
        &["unknown optimizer", "`adam`"],
    );
    refuse(
        &format!("{TINY} --model mpl"),
        2,
        &["unknown model", "`mlp`"],
    );
    refuse("run --benchmrk x", 2, &["--benchmrk", "--benchmark"]);
    refuse(
        "data verify cifar-100 --data {}",
        2,
        &["cifar-100", "cifar100"],
    );
    refuse("list benchmark", 2, &["benchmarks"]);
    refuse(
        &format!("{TINY} --device gpu"),
        2,
        &["unknown device `gpu`"],
    );
}

#[test]
fn values_out_of_range_are_refused_before_anything_runs() {
    for (flags, parts) in [
        ("--lr nan", ["lr = nan", "above 0"]),
        ("--lr 0", ["lr = 0", "above 0"]),
        ("--lr -0.1", ["lr = -0.1", "above 0"]),
        ("--batch-size 0", ["batch_size = 0", "from 1"]),
        ("--epochs 0", ["epochs = 0", "from 1"]),
        ("--dropout 1", ["dropout = 1", "below 1"]),
        ("--gamma 0", ["gamma = 0", "above 0"]),
        ("--seeds 3-1", ["seeds = 3-1", "1-5"]),
        ("--jobs 0", ["jobs = 0", "from 1"]),
        ("--threads many", ["threads = many", "from 1"]),
        (
            "--b 5",
            [
                "b (from the command line)",
                "only for the tag-rmsprop, tag-adagrad and tag-adam optimizers",
            ],
        ),
        ("--optimizer tag-rmsprop --b -1", ["b = -1", "from 0"]),
    ] {
        let base = TINY.replace(" --jobs 1", "");
        refuse(&format!("{base} {flags} --out {{}}/runs"), 2, &parts);
    }
    refuse(
        "run --benchmark split-cifar100 --tasks 7 --data {}",
        2,
        &["100 classes", "into 7 tasks", "1, 2, 4, 5, 10, 20"],
    );
    refuse("run", 2, &["benchmark is not set", "--benchmark NAME"]);
}

#[test]
fn configuration_files_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("benchmark = 'rotated-mnist'\nepoch = 2\n");
    refused(
        &run("run {}/c.toml", dir.path()),
        2,
        &["unknown key `epoch`", "did you mean `epochs`?"],
    );
    write("benchmark = 'rotated-mnist'\nlr = 'fast'\ndata = 'embedded'\n");
    refused(
        &run("run {}/c.toml", dir.path()),
        2,
        &["lr = fast", "c.toml", "above 0"],
    );
    write("benchmark = \n");
    refused(
        &run("run {}/c.toml", dir.path()),
        2,
        &["c.toml", "not a readable TOML file", "line 1"],
    );
    refused(
        &run("run {}/absent.toml", dir.path()),
        2,
        &["cannot read", "absent.toml"],
    );
    fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    refused(
        &run("run {}/c.toml", dir.path()),
        2,
        &["cannot read", "c.toml"],
    );
}

#[test]
fn absent_data_is_asked_for_by_name() {
    let cifar = "run --benchmark split-cifar100";
    refuse(
        cifar,
        1,
        &[
            "cifar100 was not found in data",
            "tagcl data get cifar100",
            "--data DIR",
        ],
    );
    refuse("run --benchmark rotated-mnist", 1, &["--data embedded"]);
    refuse(
        &format!("{cifar} --data {{}}"),
        1,
        &["cifar-100-binary", "tagcl data import"],
    );
    refuse(&format!("{cifar} --data {{}}/absent"), 1, &["absent"]);
    refuse(&format!("{cifar} --data embedded"), 2, &["only MNIST"]);
}

/// One CIFAR-100 record: coarse label, fine label, pixels.
fn record(fine: u8) -> Vec<u8> {
    let mut bytes = vec![0, fine];
    bytes.resize(3074, 7);
    bytes
}

fn cifar(folder: &Path, train: &[u8], test: &[u8]) {
    let folder = folder.join("cifar-100-binary");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("train.bin"), train).unwrap();
    fs::write(folder.join("test.bin"), test).unwrap();
}

#[test]
fn damaged_cifar_files_are_named_with_what_was_found_and_expected() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = "run --benchmark split-cifar100 --data {} --out {}/runs";
    let all: Vec<u8> = (0..100).flat_map(record).collect();
    cifar(dir.path(), &all[..all.len() - 5], &all);
    refused(&run(arguments, dir.path()), 1, &["train.bin", "3074"]);
    cifar(dir.path(), &all, &[]);
    refused(&run(arguments, dir.path()), 1, &["test.bin"]);
    let bad: Vec<u8> = [0, 100].into_iter().flat_map(record).collect();
    cifar(dir.path(), &bad, &all);
    refused(
        &run(arguments, dir.path()),
        1,
        &["train.bin", "100", "label"],
    );
}

fn mnist(folder: &Path, images: &[u8], labels: &[u8]) {
    let folder = folder.join("mnist");
    fs::create_dir_all(&folder).unwrap();
    for part in ["train", "t10k"] {
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

fn idx(kind: u8, sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, kind];
    for size in sizes {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend(data);
    bytes
}

#[test]
fn damaged_mnist_files_are_refused_and_a_hostile_header_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = "data verify mnist --data {}";
    let images = idx(3, &[2, 28, 28], &[9; 2 * 784]);
    let labels = idx(1, &[2], &[1, 2]);
    mnist(dir.path(), &images, &idx(1, &[2], &[1, 10]));
    refused(&run(arguments, dir.path()), 1, &["labels", "10"]);
    mnist(dir.path(), b"P5 28 28 255 not an idx file at all", &labels);
    refused(
        &run(arguments, dir.path()),
        1,
        &["train-images-idx3-ubyte", "magic"],
    );
    mnist(dir.path(), &images[..900], &labels);
    refused(
        &run(arguments, dir.path()),
        1,
        &["train-images-idx3-ubyte", "900", "1584"],
    );
    mnist(dir.path(), &[0x1f, 0x8b, 8, 0, 1, 2, 3, 4], &labels);
    refused(&run(arguments, dir.path()), 1, &["train-images-idx3-ubyte"]);
    // Four billion images in sixteen bytes, under a limit of 600 MB of address space.
    mnist(dir.path(), &idx(3, &[u32::MAX, 28, 28], &[]), &labels);
    if cfg!(target_os = "linux") {
        let program = env!("CARGO_BIN_EXE_tagcl");
        let script = format!(
            "ulimit -v 600000; exec {program} data verify mnist --data {}",
            dir.path().display()
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .output()
            .unwrap();
        refused(&output, 1, &["train-images-idx3-ubyte"]);
    }
}

#[test]
fn data_is_imported_after_a_check_only() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("from")).unwrap();
    mnist(
        &dir.path().join("from"),
        &idx(3, &[1, 28, 28], &[9; 784]),
        &idx(1, &[1], &[3]),
    );
    let output = run("data import mnist {}/from --data {}/to", dir.path());
    refused(&output, 1, &["60000"]);
    assert!(!dir.path().join("to/mnist").exists());
    refused(
        &run("data import mnist {}/absent --data {}/to", dir.path()),
        1,
        &["absent"],
    );
}

#[test]
fn lists_and_help_are_complete() {
    let dir = tempfile::tempdir().unwrap();
    assert!(stdout(&run("list optimizers", dir.path())).contains("tag-adagrad"));
    assert!(stdout(&run("list benchmarks --json", dir.path())).starts_with('['));
    let (settings, own) = (
        stdout(&run("list settings", dir.path())),
        stdout(&run("list optimizers", dir.path())) + &stdout(&run("list methods", dir.path())),
    );
    for entry in tagcl::experiment::plan::settings::entries() {
        let key = format!("{} [", entry.setting.key());
        assert!(settings.contains(&key), "{key}");
        assert!(!entry.is_own() || own.contains(&key), "{key}");
    }
    let list = stdout(&run("data list --data {}", dir.path()));
    assert!(
        list.contains("cifar100: absent") && list.contains("mnist-sample: in the program"),
        "{list}"
    );
    let help = run("run --help", dir.path());
    for key in tagcl::experiment::plan::settings::keys() {
        let flag = format!("--{}", key.replace('_', "-"));
        assert!(stdout(&help).contains(&flag), "{flag}: {}", stderr(&help));
    }
}

#[test]
fn a_level_of_instructions_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let list = |level: &str| {
        let mut command = crate::program::tagcl();
        command.args(["list", "models"]).env("TAGCL_SIMD", level);
        command.current_dir(dir.path()).output().unwrap()
    };
    let parts = [
        "TAGCL_SIMD",
        "`sse9`",
        "avx512, avx2, neon, portable",
        "unset it",
    ];
    refused(&list("sse9"), 2, &parts);
    for level in ["", "portable", "portable-winograd"] {
        assert!(list(level).status.success(), "{level}");
    }
}
