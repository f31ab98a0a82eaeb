//! The program's networks: names, refusals, runs, initial weights.

use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;
use tagcl::data::ImageShape;
use tagcl::model::{Dropout, LeNetConfig, Learner, MODELS, NetworkLearner, read_weights};
use tagcl::seed::Seeds;

use crate::program::{refused, stderr, stdout, tagcl};

#[test]
fn networks_are_listed() {
    let output = tagcl().args(["list", "models", "--json"]).output().unwrap();
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let rows = value.as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|m| m["name"].as_str().unwrap()).collect();
    let all: Vec<_> = MODELS.iter().map(|spec| spec.name).collect();
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

#[test]
fn a_dropout_that_cannot_be_set_is_not_in_the_configuration() {
    let output = tagcl()
        .args("run --benchmark rotated-mnist --model lenet --lr 0.1 --dry-run".split(' '))
        .output()
        .unwrap();
    let toml = stdout(&output);
    assert!(toml.contains("model = \"lenet\""), "{toml}");
    assert!(
        !toml.contains("dropout") && !toml.contains("init"),
        "{toml}"
    );
}

/// One step of next to no length: the run ends with the file's weights and a head of its own.
#[test]
fn a_run_starts_from_a_file_with_a_new_head() {
    let image = ImageShape::new(1, 28, 28);
    let config = LeNetConfig { image, classes: 33 };
    let (mut stream, device) = (Seeds::new(9).stream("init"), Device::flex().autodiff());
    let network = config.init(&mut stream, &device);
    let file = NetworkLearner::new(network, Dropout::off(), &device)
        .weights()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("init.safetensors");
    std::fs::write(&path, &file).unwrap();
    let output = tagcl()
        .args("run --benchmark rotated-mnist --data embedded --tasks 1 --fraction 0.001 --model lenet".split(' '))
        .args("--lr 1e-9 --jobs 1 --json --init-head fresh --init".split(' '))
        .arg(&path)
        .arg("--out")
        .arg(folder.path().join("runs"))
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("its head `last` is made anew for the stream's classes"),
        "{said}"
    );
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let run = Path::new(value["runs"][0]["folder"].as_str().unwrap());
    let read = |bytes: &[u8]| read_weights(bytes).unwrap();
    let (before, after) = (
        read(&file),
        read(&std::fs::read(run.join("model.safetensors")).unwrap()),
    );
    assert_eq!(after["last.weight"].0, [10, 500]);
    let same = before["linear.9.weight"]
        .1
        .iter()
        .zip(&after["linear.9.weight"].1);
    assert!(same.clone().all(|(a, b)| (a - b).abs() < 1e-6));
    assert!(same.clone().any(|(a, _)| *a != 0.0));
    let toml = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(
        toml.contains("init_head = \"fresh\"") && toml.contains("init_sha256"),
        "{toml}"
    );
}

#[test]
fn a_damaged_checkpoint_is_named_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.pth");
    std::fs::write(&path, b"PK\x03\x04nothing").unwrap();
    let output = tagcl()
        .args(
            "run --benchmark rotated-mnist --data embedded --model lenet --lr 0.01 --out"
                .split(' '),
        )
        .arg(folder.path().join("runs"))
        .arg("--init")
        .arg(&path)
        .output()
        .unwrap();
    refused(
        &output,
        1,
        &["as a zip archive it is damaged", "torch.save"],
    );
}
