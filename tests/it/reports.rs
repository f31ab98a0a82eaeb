//! `report`, `compare` and `export` through the real binary.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{TINY, refused, run, stderr, stdout};

/// Four short runs: two optimizers, two seeds.
fn runs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for optimizer in ["sgd --lr 0.1", "tag-rmsprop --lr 0.001"] {
        let output = run(
            &format!("{TINY} --optimizer {optimizer} --seeds 1-2 --out {{}}/runs"),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
    }
    dir
}

fn json(arguments: &str, folder: &Path) -> Value {
    let output = run(arguments, folder);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn results_are_reported_filtered_compared_and_exported() {
    let dir = runs();
    let report = json("report {} --json", dir.path());
    assert_eq!(report["groups"].as_array().unwrap().len(), 2);
    assert_eq!(report["groups"][0]["seeds"], serde_json::json!([1, 2]));
    let result = |run: &Value| -> Value {
        let folder = run["folder"].as_str().unwrap();
        serde_json::from_str(&fs::read_to_string(Path::new(folder).join("result.json")).unwrap())
            .unwrap()
    };
    for run in report["runs"].as_array().unwrap() {
        assert_eq!(run["metrics"], result(run)["metrics"]);
    }

    // A damaged result and a run without one are listed; the rest is still reported.
    let first = report["runs"][0]["folder"].as_str().unwrap();
    fs::write(Path::new(first).join("result.json"), "{").unwrap();
    let second = report["runs"][1]["folder"].as_str().unwrap();
    fs::remove_file(Path::new(second).join("result.json")).unwrap();
    let output = run("report {}", dir.path());
    assert!(output.status.success());
    let text = stdout(&output);
    for part in [
        "not a result file",
        "Runs without a result",
        "2% of the training images",
        "2 of 2",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let tag = json(
        "report {} --json --optimizer tag-rmsprop --where seed=2",
        dir.path(),
    );
    assert_eq!(tag["runs"].as_array().unwrap().len(), 1);

    let whole = runs();
    let arguments = "compare {}:optimizer=sgd {}:optimizer=tag-rmsprop --json";
    let comparison = json(arguments, whole.path());
    let pair = &comparison["pairs"][0];
    assert_eq!(
        (&pair["paired"], &pair["a_n"]),
        (&Value::Bool(true), &2.into())
    );
    assert_eq!(pair["p"], pair["p_holm"]);

    let arguments = "export {} --tensorboard {}/tb --csv {}/all.csv --npy {}/npy";
    let output = run(arguments, dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let csv = fs::read_to_string(dir.path().join("all.csv")).unwrap();
    // Two readable runs of two tasks.
    assert_eq!(csv.lines().count(), 1 + 2 * 3, "{csv}");
    let id = tag["runs"][0]["run_id"].as_str().unwrap();
    let alpha = fs::read(dir.path().join("npy").join(id).join("alpha_per_tensor.npy")).unwrap();
    // Six tensors of an MLP, 2×2 each.
    assert!(String::from_utf8_lossy(&alpha).contains("'shape': (6, 2, 2)"));
    assert_eq!(alpha.len(), 128 + 6 * 4 * 8);
    assert_eq!(fs::read_dir(dir.path().join("tb")).unwrap().count(), 2);
}

#[test]
fn reports_can_be_written_to_files() {
    let dir = runs();
    for (format, start) in [
        ("markdown", "## Results"),
        ("latex", "% Needs"),
        ("csv", "status,"),
        ("text", "Results"),
    ] {
        let output = run(
            &format!("report {{}}/runs --format {format} --output {{}}/out"),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
        let text = fs::read_to_string(dir.path().join("out")).unwrap();
        assert!(text.starts_with(start), "{text}");
    }
}

#[test]
fn bad_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let refuse = |arguments: &str, code: i32, parts: &[&str]| {
        refused(&run(arguments, dir.path()), code, parts);
    };
    refuse("report {}/absent", 1, &["absent", "folder of run folders"]);
    refuse("report {}/empty", 1, &["no run folders", "config.toml"]);
    refuse("report {}/empty --margin 0", 2, &["--margin 0", "above 0"]);
    refuse("report {}/empty --format pdf", 2, &["pdf", "latex"]);
    refuse(
        "report {}/empty --optimizer agd",
        2,
        &["unknown optimizer `agd`", "`sgd`"],
    );
    refuse(
        "report {}/empty --where lrr=1",
        2,
        &["lrr", "did you mean `lr`?"],
    );
    refuse(
        "compare {}/empty --metric speed",
        2,
        &["speed", "backward-transfer"],
    );
    refuse("export {}/empty", 2, &["nothing to export", "--npy"]);
}
