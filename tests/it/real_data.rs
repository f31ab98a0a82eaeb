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

/// Runs the program on real data; its standard output as JSON.
fn json(arguments: &str, data: &std::path::Path) -> Value {
    let cache = tempfile::tempdir().unwrap();
    let output = tagcl()
        .env("TAGCL_CACHE", cache.path())
        .args(arguments.split_whitespace())
        .arg("--json")
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn real_notmnist_has_two_broken_files() {
    let Some(data) = data() else { return };
    let report = json("data verify notmnist", &data);
    assert_eq!(
        (&report["train"]["images"], &report["test"]["images"]),
        (&16_852.into(), &1_872.into())
    );
    assert!(
        report["note"]
            .as_str()
            .unwrap()
            .contains("2 of 18726 files are no images")
    );
}

#[test]
fn samples_of_the_papers_data_sets_are_read() {
    let Some(data) = data() else { return };
    let svhn = json("data show svhn", &data.join("svhn-sample"));
    assert_eq!(svhn["train"]["images"], 400);
    assert!(
        svhn["note"]
            .as_str()
            .unwrap()
            .contains("not the complete svhn")
    );
    let folder = tempfile::tempdir().unwrap();
    let archive = data.join("mini-imagenet-sample/mini-imagenet-cache-sample.tar.xz");
    std::fs::copy(archive, folder.path().join("mini-imagenet.tar.xz")).unwrap();
    let mini = json("data show mini-imagenet", folder.path());
    assert_eq!(mini["train"]["class_counts"], Value::from(vec![4; 100]));
    assert_eq!(mini["test"]["class_counts"], Value::from(vec![2; 100]));
    let images = json(
        "data show mini-imagenet",
        &data.join("mini-imagenet-sample/folder"),
    );
    assert_eq!(images["train"]["images"], 54);
    assert!(
        images["note"]
            .as_str()
            .unwrap()
            .contains("94 classes have no images")
    );
    let cub = json("data show cub", &data.join("cub-sample"));
    let counts = cub["train"]["class_counts"].as_array().unwrap();
    assert_eq!(counts[..4], [30, 30, 30, 0].map(Value::from));
    assert!(
        cub["note"]
            .as_str()
            .unwrap()
            .contains("3 of 200 classes have images")
    );
}

/// The classes that are there, as a stream of their own.
#[test]
fn three_kinds_of_birds_are_a_stream() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let run = |more: &str| {
        let cache = tempfile::tempdir().unwrap();
        tagcl()
            .env("TAGCL_CACHE", cache.path())
            .args("run --benchmark split-cub --lr 0.01 --fraction 0.1 --jobs 1 --json".split(' '))
            .args(more.split_whitespace())
            .arg("--data")
            .arg(data.join("cub-sample"))
            .arg("--out")
            .arg(out.path())
            .output()
            .unwrap()
    };
    let whole = run("");
    assert!(stderr(&whole).contains("--classes 3"), "{}", stderr(&whole));
    let subset = run("--classes 3 --tasks 3");
    assert!(subset.status.success(), "{}", stderr(&subset));
    assert!(
        stderr(&subset).contains("subset of 3 of 200 classes"),
        "{}",
        stderr(&subset)
    );
}
