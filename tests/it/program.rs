//! Helpers to run the real binary.

use std::path::Path;
use std::process::{Command, Output};

/// The binary with a clean environment.
pub fn tagcl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagcl"));
    command
        .env_remove("TAGCL_DATA")
        .env_remove("TAGCL_OUT")
        .env_remove("TAGCL_CACHE")
        .env("RUST_BACKTRACE", "0");
    command
}

/// Runs `tagcl` with arguments split at white space, `{}` standing for `folder`.
pub fn run(arguments: &str, folder: &Path) -> Output {
    let folder = folder.display().to_string();
    let arguments = arguments
        .split_whitespace()
        .map(|a| a.replace("{}", &folder));
    tagcl().args(arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts the exit code and that standard error has all parts.
#[track_caller]
pub fn refused(output: &Output, code: i32, parts: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

/// A run that takes about a second: two tasks, a tiny network, a share of the embedded sample.
pub const TINY: &str =
    "run --benchmark rotated-mnist --data embedded --tasks 2 --hidden 8 --fraction 0.02 --jobs 1";
