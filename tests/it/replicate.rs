//! `tagcl replicate`: lists, disagreements, refusals, and a table that is run.

use serde_json::Value;

use crate::program::{refused, run, stderr, stdout};

#[test]
fn a_dry_run_lists_every_row_with_its_source_and_what_disagrees() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(
        "replicate baselines cifar --dry-run --out {}/runs",
        dir.path(),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "TAG-RMSProp: plain tag-rmsprop, lr 0.00025, 1 epoch(s), 5 run(s) of 5000 steps",
        "scripts/replicate_experiment_baselines.sh:25",
        "momentum 0.8",
        "40 runs, about",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(!dir.path().join("runs").exists());

    let json = run(
        "replicate all cifar --seeds 1-2 --dry-run --json --only EWC,tag-1 --out {}/runs",
        dir.path(),
    );
    let value: Value = serde_json::from_str(&stdout(&json)).unwrap();
    let runs = value["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4, "{value:#}");
    assert_eq!(runs[2]["label"], "TAG-1");
    assert_eq!(runs[2]["config"]["tag"]["alpha"], "one");
    assert!(value["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn figure_5a_is_run_and_marked_as_a_quick_look() {
    let dir = tempfile::tempdir().unwrap();
    let command =
        "replicate rotated-mnist --data embedded --fraction 0.01 --seeds 1 --json --out {}/runs";
    let output = run(command, dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("random angles"),
        "{}",
        stderr(&output)
    );
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let summary = value["summary"].as_array().unwrap();
    assert_eq!(summary.len(), 3);
    assert_eq!(summary[1]["config"]["method"], "er");
    assert_eq!(summary[2]["config"]["lr"], 0.00025);
    assert_eq!(summary[2]["config"]["angles"], "released");
    for group in summary {
        assert!(group["marks"][0].as_str().unwrap().contains("1%"));
    }
}

#[test]
fn what_cannot_be_replicated_is_refused_with_what_can() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str]); 6] = [
        ("replicate baselin cifar", &["did you mean `baselines`"]),
        (
            "replicate naive",
            &["which data set", "replicate naive cifar"],
        ),
        (
            "replicate naive cifr",
            &["did you mean `cifar`", "mini_imagenet"],
        ),
        (
            "replicate naive rotated-mnist",
            &["tagcl replicate rotated-mnist"],
        ),
        (
            "replicate naive cifar --epochs 5",
            &["--epochs has no effect"],
        ),
        (
            "replicate naive cifar --only EWC",
            &["no row `EWC`", "TAG-Adam"],
        ),
    ];
    for (arguments, parts) in cases {
        refused(&run(arguments, dir.path()), 2, parts);
    }
}
