//! The program's networks: names, refusals, runs, initial weights.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tagcl::model::read_weights;

use crate::program::{stderr, stdout, tagcl};

/// Runs two short tasks of the embedded sample; the run's folder and what was said.
fn run(model: &str, out: &Path, more: &[&str]) -> (PathBuf, String) {
    let arguments = "run --benchmark rotated-mnist --data embedded --tasks 2 --fraction 0.01 --batch-size 10 \
                     --lr 0.01 --jobs 1 --json --model";
    let output = tagcl()
        .args(arguments.split_whitespace())
        .arg(model)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    (
        PathBuf::from(value["runs"][0]["folder"].as_str().unwrap()),
        said,
    )
}

fn weights(folder: &Path) -> tagcl::model::Weights {
    read_weights(&std::fs::read(folder.join("model.safetensors")).unwrap()).unwrap()
}

#[test]
fn networks_are_listed() {
    let output = tagcl().args(["list", "models", "--json"]).output().unwrap();
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let rows = value.as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|m| m["name"].as_str().unwrap()).collect();
    let all = ["mlp", "reduced-resnet18", "resnet18", "alexnet", "lenet"];
    assert_eq!(names, all);
}

#[test]
fn what_a_network_cannot_take_is_a_usage_error() {
    for (arguments, part) in [
        (
            "--benchmark rotated-mnist --model resnet18 --lr 0.1",
            "at least 32x32 pixels, not 1x28x28",
        ),
        (
            "--benchmark split-cifar100 --model alexnet --dropout 0.1",
            "dropout (from the command line) has no effect here",
        ),
        (
            "--benchmark split-cifar100 --model lenet",
            "no learning rate was published",
        ),
        (
            "--benchmark split-cifar100 --init-head fresh",
            "only for runs with initial weights",
        ),
        (
            "--benchmark split-cifar100 --model alexnett",
            "did you mean `alexnet`?",
        ),
    ] {
        let output = tagcl()
            .arg("run")
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = stderr(&output)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn alexnet_has_its_published_settings() {
    let output = tagcl()
        .args("run --benchmark split-cifar100 --model alexnet --optimizer tag-rmsprop".split(' '))
        .args(["--dry-run", "--json"])
        .output()
        .unwrap();
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let config = &value["config"];
    assert_eq!(
        (&config["tasks"], &config["batch_size"], &config["lr"]),
        (&10.into(), &64.into(), &5e-5.into())
    );
    assert_eq!(value["cost_per_run"]["parameters"], 6_708_772);
}

/// A finished run's configuration is taken again, and its weights start another run, with their head or without.
#[test]
fn lenet_runs_and_starts_from_a_file() {
    let out = tempfile::tempdir().unwrap();
    let (first, _) = run("lenet", &out.path().join("a"), &[]);
    let file = first.join("model.safetensors");
    let file = file.to_str().unwrap();
    let short = ["--fraction", "0.005", "--init", file];
    let (kept, said) = run("lenet", &out.path().join("b"), &short);
    assert!(said.contains("the head `last` included"), "{said}");
    let fresh = [&short[..], &["--init-head", "fresh"]].concat();
    let (made, said) = run("lenet", &out.path().join("c"), &fresh);
    assert!(
        said.contains("head `last` of 20 classes is not used"),
        "{said}"
    );
    assert_ne!(kept.file_name(), made.file_name());
    let (kept, made) = (weights(&kept), weights(&made));
    assert_ne!(kept["last.weight"], made["last.weight"]);

    std::fs::write(out.path().join("bad.pth"), b"PK\x03\x04nothing").unwrap();
    let bad = out.path().join("bad.pth");
    let output = tagcl()
        .args(
            "run --benchmark rotated-mnist --data embedded --model lenet --lr 0.01 --init"
                .split(' '),
        )
        .arg(&bad)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("as a zip archive it is damaged"));
}

#[test]
fn alexnet_runs_and_its_file_has_the_released_norms() {
    let out = tempfile::tempdir().unwrap();
    let (folder, _) = run("alexnet", out.path(), &["--fraction", "0.003"]);
    let weights = weights(&folder);
    assert_eq!(weights["bn5.running_var"], (vec![2048], vec![1.0; 2048]));
    assert_eq!(weights["linear.weight"].0, [20, 2048]);
    assert_eq!(weights.len(), 12 + 5 * 4);
    let toml = std::fs::read_to_string(folder.join("config.toml")).unwrap();
    assert!(!toml.contains("dropout"), "{toml}");
}
