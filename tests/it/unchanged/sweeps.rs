//! What sweeps come to: which runs they leave, and their results.

use std::fs;
use std::path::Path;

use super::results::{LINE, check, line, run_folders};
use crate::program::{stderr, tagcl};

const SWEEP: &str = "seeds = '1-2'\n\
    [base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\ntasks = 2\nfraction = 0.02\nhidden = 12\n\
    [grid]\noptimizer = ['sgd', 'tag-rmsprop']\nlr = [0.1, 0.003]\n\
    [select]\nseeds = [7]\n";
const REPLAY: &str = "seeds = [3]\n\
    [base]\nbenchmark = 'split-mnist'\ndata = 'embedded'\nfraction = 0.05\nhidden = 12\nmethod = 'er'\n\
    [grid]\nlr = [0.2, 0.05, 0.01, 0.001]\n\
    [select]\nseeds = [1, 2]\n";

const CASES: [&str; 2] = ["sweep {}/sweep.toml", "sweep {}/replay.toml"];

#[test]
fn sweeps_give_the_same_results() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("sweep.toml"), SWEEP).unwrap();
    fs::write(here.path().join("replay.toml"), REPLAY).unwrap();
    let owns = format!(
        "The runs of sweeps (search on validation images, winners on test images; {{}} is the folder of the files in\n\
         tests/it/unchanged/sweeps.rs), in the order of their ids.\n{LINE}"
    );
    let cases = CASES.map(str::to_string);
    check("results/sweeps.txt", &owns, &cases, &|case, level| {
        execute(case, level, here.path())
    });
}

fn execute(case: &str, level: &str, here: &Path) -> Vec<(String, String)> {
    let out = tempfile::tempdir_in(here).unwrap();
    let folder = here.display().to_string();
    let arguments = case
        .split_whitespace()
        .map(|word| word.replace("{}", &folder));
    let mut command = tagcl();
    command.env("TAGCL_SIMD", level).env_remove("TAGCL_KERNELS");
    command
        .args(arguments)
        .args(["--jobs", "1", "--out"])
        .arg(out.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{case}: {}", stderr(&output));
    let folders = run_folders(out.path());
    let folders = folders.iter().enumerate();
    folders
        .map(|(n, folder)| (format!("{case}, run {}", n + 1), line(folder)))
        .collect()
}
