//! Where output goes, and that it is never lost in silence: devices, FIFOs, links, modes, full disks, closed descriptors
//! and readers that go away, through the real binary.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::program::{TINY, refused, run, stderr, stdout, tagcl};

/// A folder with one tiny run below `runs`.
fn runs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("{TINY} --optimizer tag-rmsprop --lr 0.001 --out {{}}/runs");
    let done = run(&arguments, dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    dir
}

/// Commands whose printed text is all that they are for.
const PRINTERS: [&str; 11] = [
    "report {}/runs",
    "report {}/runs --format markdown",
    "report {}/runs --json",
    "compare {}/runs",
    "compare {}/runs --json",
    "status {}/runs",
    "status {}/runs --json",
    "list methods",
    "list optimizers --json",
    "data list --data {}",
    "run --benchmark rotated-mnist --data embedded --optimizer sgd --lr 0.1 --dry-run",
];

/// The program with these arguments, through a shell that sets up its standard output.
fn redirected(arguments: &str, folder: &Path, redirection: &str) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_tagcl");
    let arguments = arguments.replace("{}", &folder.display().to_string());
    std::process::Command::new("sh")
        .args(["-c", &format!("'{program}' {arguments} {redirection}")])
        .output()
        .unwrap()
}

#[test]
fn lost_output_is_an_error() {
    let dir = runs();
    for command in PRINTERS.into_iter().chain(["--help", "--version"]) {
        let full = redirected(command, dir.path(), "> /dev/full");
        let text = stderr(&full);
        assert_eq!(full.status.code(), Some(1), "{command}: {text}");
    }
    for command in PRINTERS {
        for (redirection, why) in [("> /dev/full", "No space"), (">&-", "closed")] {
            let lost = redirected(command, dir.path(), redirection);
            refused(&lost, 1, &["standard output", why]);
        }
        // A parent may open it for writing, as shells do, or for both, as Python's subprocess.DEVNULL.
        for to_null in [
            "> /dev/null",
            "1<> /dev/null",
            "> /dev/null 2>&1",
            "1<> /dev/null <&-",
        ] {
            let kept = redirected(command, dir.path(), to_null);
            assert!(
                kept.status.success(),
                "{command} {to_null}: {}",
                stderr(&kept)
            );
        }
    }
    // A run's table is not all of it, but it is not lost in silence, either.
    let again = format!("{TINY} --optimizer tag-rmsprop --lr 0.001 --out {{}}/runs");
    refused(
        &redirected(&again, dir.path(), "> /dev/full"),
        1,
        &["standard output"],
    );
    assert!(redirected(&again, dir.path(), ">&-").status.success());
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let dir = runs();
    for command in PRINTERS {
        let folder = dir.path().display().to_string();
        let mut child = tagcl()
            .args(command.split(' ').map(|a| a.replace("{}", &folder)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut text = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{command}: {text}");
        assert!(
            !text.contains("error") && !text.contains("panicked"),
            "{command}: {text}"
        );
    }
}

/// Every command that writes a file which somebody named.
const WRITERS: [&str; 5] = [
    "report {}/runs --output {}/target",
    "report {}/runs --format csv --output {}/target",
    "report {}/runs --html {}/target",
    "report {}/runs --format html --output {}/target",
    "export {}/runs --csv {}/target",
];

#[test]
fn only_regular_files_are_replaced() {
    let dir = runs();
    let target = dir.path().join("target");
    for command in WRITERS {
        // A device, directly and through a link.
        for device in ["/dev/null", "/dev/full"] {
            let direct = run(&command.replace("{}/target", device), dir.path());
            symlink(device, &target).unwrap();
            let linked = run(command, dir.path());
            for done in [direct, linked] {
                assert_eq!(
                    done.status.success(),
                    device == "/dev/null",
                    "{command}: {}",
                    stderr(&done)
                );
            }
            assert!(
                fs::metadata(device).unwrap().file_type().is_char_device(),
                "{command}"
            );
            assert!(
                fs::symlink_metadata(&target).unwrap().is_symlink(),
                "{command}"
            );
            fs::remove_file(&target).unwrap();
        }
        // A FIFO gets the bytes.
        let made = std::process::Command::new("mkfifo").arg(&target).status();
        assert!(made.unwrap().success());
        let reader = {
            let target = target.clone();
            std::thread::spawn(move || fs::read(target).unwrap().len())
        };
        let done = run(command, dir.path());
        assert!(done.status.success(), "{command}: {}", stderr(&done));
        assert!(reader.join().unwrap() > 100, "{command}");
        assert!(fs::symlink_metadata(&target).unwrap().file_type().is_fifo());
        fs::remove_file(&target).unwrap();
        // A link to a file: the file is replaced, with its mode.
        let real = dir.path().join("real");
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real", &target).unwrap();
        let done = run(command, dir.path());
        assert!(done.status.success(), "{command}: {}", stderr(&done));
        assert!(fs::symlink_metadata(&target).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&real).unwrap().mode() & 0o777,
            0o640,
            "{command}"
        );
        assert!(fs::read(&real).unwrap().len() > 100);
        // A read-only file and a folder are refused, and stay what they are.
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o444)).unwrap();
        refused(&run(command, dir.path()), 1, &["target", "read-only"]);
        assert_eq!(fs::read(&real).unwrap(), b"old");
        fs::remove_file(&target).unwrap();
        fs::remove_file(&real).unwrap();
        fs::create_dir(&target).unwrap();
        refused(&run(command, dir.path()), 1, &["target", "folder"]);
        fs::remove_dir(&target).unwrap();
    }
}

#[test]
fn new_files_have_the_mode_that_the_mask_lets() {
    let dir = runs();
    for (mask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        for (nth, command) in WRITERS.into_iter().enumerate() {
            let name = format!("{{}}/{mask}-{nth}");
            let command = command.replace("{}/target", &name);
            let program = env!("CARGO_BIN_EXE_tagcl");
            let arguments = command.replace("{}", &dir.path().display().to_string());
            let done = std::process::Command::new("sh")
                .args(["-c", &format!("umask {mask}; '{program}' {arguments}")])
                .output()
                .unwrap();
            assert!(done.status.success(), "{command}: {}", stderr(&done));
            let path = dir.path().join(format!("{mask}-{nth}"));
            assert_eq!(
                fs::metadata(path).unwrap().mode() & 0o777,
                mode,
                "{command}"
            );
        }
    }
}

/// What a person changed in a result is damaged for whoever reads it.
#[test]
fn one_judgement_of_results() {
    let dir = runs();
    let again = format!("{TINY} --optimizer tag-rmsprop --lr 0.001 --out {{}}/runs");
    let folder = fs::read_dir(dir.path().join("runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let result = folder.path().join("result.json");
    let right = fs::read_to_string(&result).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&right).unwrap();
    value["metrics"]["average_accuracy"] = 99.5.into();
    fs::write(&result, value.to_string()).unwrap();
    refused(
        &run(&again, dir.path()),
        1,
        &["average_accuracy is not that of accuracy_matrix"],
    );
    let report = run("report {}/runs", dir.path());
    assert!(
        stdout(&report).contains("average_accuracy is not that"),
        "{}",
        stdout(&report)
    );
    fs::write(&result, right).unwrap();
    assert!(run(&again, dir.path()).status.success());
}
