//! Files of initial weights: what is left over, what does not fit and what is no number is said before anything runs.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

use crate::program::{refused, stderr, stdout, tagcl};

const RUN: &str = "run --benchmark rotated-mnist --data embedded --tasks 2 --fraction 0.01 --hidden 8 --lr 0.01 --jobs 1";

fn run(folder: &Path, init: &Path, more: &str) -> std::process::Output {
    let mut command = tagcl();
    command.args(RUN.split(' ')).args(more.split_whitespace());
    command.arg("--init").arg(init);
    command.arg("--out").arg(folder.join("runs"));
    command.output().unwrap()
}

/// A file of the MLP's tensors and of those named beside, each of ones but for `changed`.
fn file(folder: &Path, beside: &[&str], changed: Option<(&str, f32)>) -> PathBuf {
    let own = [
        ("W1.weight", vec![8, 784]),
        ("W1.bias", vec![8]),
        ("W2.weight", vec![8, 8]),
        ("W2.bias", vec![8]),
        ("W3.weight", vec![20, 8]),
        ("W3.bias", vec![20]),
    ];
    let beside = beside.iter().map(|name| (*name, vec![3]));
    let blocks: Vec<(&str, Vec<usize>, Vec<u8>)> = own
        .into_iter()
        .chain(beside)
        .map(|(name, shape)| {
            let mut values = vec![0.01_f32; shape.iter().product()];
            if let Some((_, value)) = changed.filter(|(of, _)| *of == name) {
                values[3] = value;
            }
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = blocks.iter().map(|(name, shape, bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    let path = folder.join("init.safetensors");
    std::fs::write(&path, serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn what_is_left_over_is_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &["W4.weight", "norm.running_mean"], None);
    for more in ["", "--dry-run", "--dry-run --json"] {
        let output = run(dir.path(), &path, more);
        let parts = [
            "mlp has no place for 2 tensors",
            "W4.weight, norm.running_mean",
            "init_strict = false",
        ];
        refused(&output, 1, &parts);
    }
    let many: Vec<String> = (0..20).map(|i| format!("extra.{i:02}.weight")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let output = run(dir.path(), &file(dir.path(), &many, None), "");
    refused(
        &output,
        1,
        &["20 tensors", "extra.00.weight", "and 12 more"],
    );
    assert!(
        !dir.path().join("runs").exists()
            || std::fs::read_dir(dir.path().join("runs"))
                .unwrap()
                .next()
                .is_none()
    );
}

#[test]
fn what_is_left_over_on_purpose_is_said_and_stands_in_the_result() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &["W4.weight"], None);
    let output = run(dir.path(), &path, "--init-strict false --json");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("6 tensors of mlp"), "{said}");
    assert!(said.contains("1 left out: W4.weight"), "{said}");
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let folder = Path::new(value["runs"][0]["folder"].as_str().unwrap());
    let result: Value =
        serde_json::from_slice(&std::fs::read(folder.join("result.json")).unwrap()).unwrap();
    assert_eq!(
        result["initial_weights"],
        serde_json::json!({"tensors": 6, "left_over": ["W4.weight"]})
    );
    assert_eq!(result["config"]["init_strict"], false);
    // The folder reads back as this run's.
    let again = run(dir.path(), &path, "--init-strict false");
    assert!(again.status.success(), "{}", stderr(&again));
    // Without anything left over, strict or not, the numbers are the same.
    let exact = file(dir.path(), &[], None);
    let output = run(dir.path(), &exact, "--json");
    let strict: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(strict["runs"][0]["metrics"], value["runs"][0]["metrics"]);
}

#[test]
fn a_setting_of_initial_weights_needs_them() {
    let output = tagcl()
        .args(RUN.split(' '))
        .args(["--init-strict", "false", "--dry-run"])
        .output()
        .unwrap();
    refused(
        &output,
        2,
        &["init_strict", "only for runs with initial weights"],
    );
}

#[test]
fn values_that_are_none_are_named_by_tensor_and_place() {
    let dir = tempfile::tempdir().unwrap();
    for (tensor, value, part) in [
        (
            "W2.weight",
            f32::NAN,
            "`W2.weight` holds NaN, value 4 of 64",
        ),
        (
            "W3.bias",
            f32::INFINITY,
            "`W3.bias` holds inf, value 4 of 20",
        ),
        (
            "W1.weight",
            f32::NEG_INFINITY,
            "`W1.weight` holds -inf, value 4 of 6272",
        ),
    ] {
        let path = file(dir.path(), &[], Some((tensor, value)));
        for more in ["", "--dry-run"] {
            refused(
                &run(dir.path(), &path, more),
                1,
                &["--init", part, "diverged"],
            );
        }
    }
    // Of a head that is not taken it does not matter.
    let path = file(dir.path(), &[], Some(("W3.bias", f32::NAN)));
    let output = run(dir.path(), &path, "--init-head fresh");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_head_of_other_classes_has_its_own_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &[], None);
    let output = tagcl()
        .args(RUN.replace("--tasks 2", "--tasks 3").split(' '))
        .arg("--init")
        .arg(&path)
        .arg("--out")
        .arg(dir.path().join("runs"))
        .output()
        .unwrap();
    refused(
        &output,
        1,
        &["W3.", "it is of the head", "init_head = fresh"],
    );
}

/// A network that does not fit is found before the first candidate runs.
#[test]
fn a_sweep_over_networks_checks_each_of_them_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &[], None);
    let sweep = dir.path().join("s.toml");
    let text = format!(
        "[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\ntasks = 2\nfraction = 0.01\nlr = 0.01\n\
         init = '{}'\n[grid]\nhidden = [8, 9]\n",
        path.display()
    );
    std::fs::write(&sweep, text).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        let output = tagcl()
            .arg("sweep")
            .arg(&sweep)
            .args(more)
            .arg("--out")
            .arg(dir.path().join("out"))
            .output()
            .unwrap();
        refused(&output, 1, &["--init", "W1", "[9"]);
    }
    assert!(!dir.path().join("out").exists());
}
