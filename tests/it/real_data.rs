//! Runs on the full data sets, where `TAGCL_SHARED` names a folder that has them in `data/`.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{stderr, stdout, tagcl};

/// The data folder, or `None` (said aloud) where there is none.
fn data() -> Option<PathBuf> {
    let shared = std::env::var_os("TAGCL_SHARED");
    if shared.is_none() {
        eprintln!("not run: TAGCL_SHARED is not set");
    }
    shared.map(|folder| PathBuf::from(folder).join("data"))
}

#[test]
fn real_mnist_is_complete_and_known() {
    let Some(data) = data() else { return };
    let output = tagcl()
        .args(["data", "verify", "mnist", "--json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&report["train"]["images"], &report["test"]["images"]),
        (&60_000.into(), &10_000.into())
    );
}

#[test]
fn real_cifar100_is_learned_from_its_archive() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let arguments = "run --benchmark split-cifar100 --tasks 2 --fraction 0.04 --batch-size 20 --optimizer tag-rmsprop \
                     --lr 0.001 --jobs 1 --threads 2 --json --data";
    let output = tagcl()
        .args(arguments.split_whitespace())
        .arg(data)
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let accuracy = value["runs"][0]["metrics"]["learning_accuracy"]
        .as_f64()
        .unwrap();
    // Chance is 2 % with 50 classes a task; 2,000 images teach a little.
    assert!(accuracy > 4.0, "{accuracy}");
}
