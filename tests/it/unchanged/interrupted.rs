//! Runs that are killed and go on come to what uninterrupted ones come to, and that is what it was.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::results::{LINE, check, command, fixed, line, run_folders};
use super::{images, result_cases};
use crate::program::stderr;

/// Number of the newest checkpoint of the only run in a folder.
pub fn newest_checkpoint(out: &Path) -> Option<u64> {
    let run = fs::read_dir(out).ok()?.next()?.ok()?.path();
    let entries = fs::read_dir(run.join("checkpoint")).ok()?.flatten();
    let number = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "ckpt"))
        .filter_map(|path| number(&path))
        .max()
}

/// Starts the run and kills it `checkpoints` checkpoints later; false if it ended before.
fn kill(case: &str, level: &str, here: &Path, out: &Path, checkpoints: u64) -> bool {
    let before = newest_checkpoint(out).unwrap_or(0);
    let mut command = command(case, level, here, out);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut alive = true;
    while alive && newest_checkpoint(out).is_none_or(|newest| newest < before + checkpoints) {
        std::thread::sleep(Duration::from_millis(1));
        alive = child.try_wait().unwrap().is_none();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    alive && !run_folders(out)[0].join("result.json").exists()
}

/// The run killed twice; its folder. A run may be too fast to be killed.
fn in_pieces(case: &str, level: &str, here: &Path) -> tempfile::TempDir {
    let case = format!("--checkpoint-every 0 {case}");
    for _ in 0..9 {
        let out = tempfile::tempdir_in(here).unwrap();
        if ![6, 13]
            .iter()
            .all(|&n| kill(&case, level, here, out.path(), n))
        {
            continue;
        }
        let rest = command(&case, level, here, out.path()).output().unwrap();
        assert!(rest.status.success(), "{case}: {}", stderr(&rest));
        let said = stderr(&rest);
        assert!(said.contains("goes on from a checkpoint"), "{case}: {said}");
        return out;
    }
    panic!("{case}: it could not be interrupted");
}

#[test]
fn killed_runs_give_the_same_results() {
    let here = tempfile::tempdir().unwrap();
    images::write(here.path());
    let here = here.path();
    let owns = format!(
        "Runs that are killed twice and go on; the lines are those of uninterrupted ones.\n\
         Every case is `tagcl run --jobs 1 CASE`. {{}} is a folder of generated images.\n{LINE}"
    );
    let cases = result_cases::interrupted();
    check("results/interrupted.txt", &owns, &cases, &|case, level| {
        let case_of_one_job = format!("--jobs 1 {case}");
        let whole = tempfile::tempdir_in(here).unwrap();
        let output = command(&case_of_one_job, level, here, whole.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{case}: {}", stderr(&output));
        let pieces = in_pieces(&case_of_one_job, level, here);
        let folders = [whole.path(), pieces.path()].map(|out| run_folders(out).remove(0));
        let [whole, pieces] = &folders;
        assert_eq!(fixed(pieces), fixed(whole), "{case} ({level})");
        assert_eq!(line(pieces), line(whole), "{case} ({level})");
        let text = fs::read(pieces.join("result.json")).unwrap();
        let result: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(result["provenance"]["resumed"], 2, "{case} ({level})");
        vec![(case.to_string(), line(whole))]
    });
}
