//! Benchmarks of features through the real binary: every network and method that takes them, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tagcl::method::METHODS;

use crate::program::{TINY, refused, run, stderr, stdout};

const BENCHMARK: &str = r#"
name = "rays"
[features]
width = 3
[[source]]
name = "net"
format = "features"
path = "f.safetensors"
class_labels = [40, 7, -3, 0]
[tasks]
count = 2
"#;

/// The same with a fifth class, in tasks of three and two.
fn uneven() -> String {
    BENCHMARK
        .replace("-3, 0]", "-3, 0, 99]")
        .replace("count = 2", "classes = [[99, 7, 0], [40, -3]]")
}

/// So many classes of 30 + 10 rows around points that lie far apart, whose labels are `class_labels`.
fn make(folder: &Path, classes: usize) {
    const LABELS: [i64; 5] = [40, 7, -3, 0, 99];
    const CENTRES: [[f32; 3]; 5] = [
        [4.0, 0.0, 0.0],
        [0.0, 4.0, 0.0],
        [0.0, 0.0, 4.0],
        [-4.0, -4.0, 0.0],
        [0.0, 0.0, -5.0],
    ];
    let half = |rows: usize| {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let class = row % classes;
            for (j, centre) in CENTRES[class].iter().enumerate() {
                let off = ((row * 7 + j * 3) % 11) as f32 / 11.0 - 0.5;
                x.extend((centre + off).to_le_bytes());
            }
            y.extend(LABELS[class].to_le_bytes());
        }
        (x, y)
    };
    let (train, test) = (30 * classes, 10 * classes);
    let ((x, y), (test_x, test_y)) = (half(train), half(test));
    let of = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = BTreeMap::from([
        ("train_features", of(Dtype::F32, &[train, 3], &x)),
        ("train_labels", of(Dtype::I64, &[train], &y)),
        ("test_features", of(Dtype::F32, &[test, 3], &test_x)),
        ("test_labels", of(Dtype::I64, &[test], &test_y)),
    ]);
    fs::write(
        folder.join("f.safetensors"),
        safetensors::serialize(tensors, None).unwrap(),
    )
    .unwrap();
    fs::write(folder.join("b.toml"), BENCHMARK).unwrap();
}

/// Accuracy and configuration of the only run below `out`.
fn result(out: &Path) -> Value {
    let run = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let run = run
        .into_iter()
        .find(|path| path.join("result.json").exists());
    let text = fs::read_to_string(run.unwrap().join("result.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn methods_without_gradients_learn_all_classes_in_one_pass() {
    for (i, method) in METHODS
        .iter()
        .filter(|method| method.closed_form)
        .enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), 4);
        let projections = match method.name {
            "ranpac" => "--ranpac-projections 40",
            _ => "",
        };
        let model = ["linear", "cosine"][i % 2];
        let output = run(
            &format!(
                "run --benchmark {{}}/b.toml --scenario class --method {} --model {model} --batch-size 7 --jobs 1 --out \
                 {{}}/out {projections} --evaluate-future true",
                method.name
            ),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let result = result(&dir.path().join("out"));
        assert_eq!(
            result["metrics"]["average_accuracy"], 100.0,
            "{}",
            method.name
        );
        assert_eq!(
            result["task_classes"][1]["names"][0], "-3",
            "{}",
            result["task_classes"]
        );
        assert!(result["cost"]["replay_bytes"].as_u64().unwrap() > 0);
    }
}

#[test]
fn networks_on_features_learn_by_gradients() {
    for model in ["linear", "cosine", "mlp"] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), 4);
        let output = run(
            &format!(
                "run --benchmark {{}}/b.toml --model {model} --method er --memory-per-class 5 --lr 0.1 --epochs 3 --jobs 1 \
                 --out {{}}/out"
            ),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let found = result(&dir.path().join("out"))["metrics"]["average_accuracy"].as_f64();
        assert!(found.unwrap() > 90.0, "{model}: {found:?}");
    }
}

#[test]
fn what_features_and_their_methods_do_not_take_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 4);
    for (flags, parts) in [
        (
            "--model resnet18 --lr 0.1",
            &[
                "resnet18 takes images",
                "rays gives features",
                "mlp, linear, cosine",
            ][..],
        ),
        ("--model lenet --lr 0.1", &["lenet takes images"]),
        ("--method slda --epochs 2", &["epochs = 2", "one pass"]),
        (
            "--method ncm --lr 0.1",
            &["lr", "methods that learn by gradients"],
        ),
        (
            "--method ranpac --optimizer adam",
            &["optimizer = adam", "without a gradient"],
        ),
        (
            "--method ncm --momentum 0.9",
            &["momentum = 0.9", "without gradients"],
        ),
        (
            "--method ncm --gamma 0.9",
            &["gamma = 0.9", "without gradients"],
        ),
        (
            "--method ncm --freeze fc",
            &["freeze", "methods that learn by gradients"],
        ),
        (
            "--method ncm --schedule joint",
            &["schedule = joint", "sequential"],
        ),
        (
            "--method slda --schedule cumulative",
            &["schedule = cumulative", "sequential"],
        ),
        (
            "--method slda --slda-shrinkage 0",
            &["slda_shrinkage = 0", "above 0"],
        ),
        (
            "--lr 0.1 --cosine-scale 3",
            &["cosine_scale", "the cosine model"],
        ),
        (
            "--lr 0.1 --model cosine --cosine-scale 0",
            &["cosine_scale = 0", "above 0"],
        ),
        ("", &["lr", "no learning rate was published"]),
    ] {
        let output = run(
            &format!("run --benchmark {{}}/b.toml {flags} --out {{}}/out"),
            dir.path(),
        );
        refused(&output, 2, parts);
    }
    let shown = run("data show {}/b.toml", dir.path());
    assert!(
        stdout(&shown).contains("vectors of 3 features, 4 classes"),
        "{}",
        stdout(&shown)
    );
    assert!(
        stdout(&shown).contains("train: 120 rows, mean"),
        "{}",
        stdout(&shown)
    );
    let drawn = run("data show {}/b.toml --png {}/sheet.png", dir.path());
    refused(&drawn, 2, &["no images to look at"]);
    fs::write(
        dir.path().join("b.toml"),
        BENCHMARK.replace("width = 3", "width = 4"),
    )
    .unwrap();
    let output = run(
        "run --benchmark {}/b.toml --method ncm --out {}/out",
        dir.path(),
    );
    refused(
        &output,
        1,
        &["train_features", "have 3 features", "width = 4"],
    );
}

#[test]
fn frozen_parameters_keep_their_bits_and_unknown_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let weights = |out: &str, flags: &str| {
        let output = run(&format!("{TINY} --out {{}}/{out} {flags}"), dir.path());
        assert!(output.status.success(), "{}", stderr(&output));
        let run = fs::read_dir(dir.path().join(out))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let file = run
            .map(|path| path.join("model.safetensors"))
            .find(|path| path.exists());
        let bytes = fs::read(file.unwrap()).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let of = |name: &str| tensors.tensor(name).unwrap().data().to_vec();
        ["W1.weight", "W1.bias", "W2.weight", "W3.weight"].map(of)
    };
    // A rate so small that nothing moves is what the network begins with.
    let initial = weights("initial", "--lr 1e-30");
    let all = weights("all", "--lr 0.05");
    assert!(all.iter().zip(&initial).all(|(now, then)| now != then));
    fs::write(dir.path().join("f.toml"), "freeze = [\"W1\", \"W2.w\"]\n").unwrap();
    for (out, flags) in [
        ("sgd", "--lr 0.05 --freeze W1,W2.w"),
        (
            "gdumb",
            "--lr 0.05 --freeze W2.w,W1 --method gdumb --gdumb-epochs 2",
        ),
        (
            "agem",
            "--lr 0.05 --freeze W1,W2.w --method agem --optimizer tag-rmsprop",
        ),
    ] {
        let frozen = weights(out, flags);
        assert_eq!(frozen[..3], initial[..3], "{out}");
        assert_ne!(frozen[3], initial[3], "{out}");
    }
    let listed = weights("listed", "{}/f.toml --lr 0.05");
    assert_eq!(listed, weights("typed", "--lr 0.05 --freeze W1,W2.w"));
    for (flags, parts) in [
        (
            "--freeze layer1",
            &["begins with `layer1`", "W1.weight, W1.bias"][..],
        ),
        ("--freeze W", &["every parameter would be frozen"]),
    ] {
        let output = run(
            &format!("{TINY} --lr 0.05 {flags} --out {{}}/no"),
            dir.path(),
        );
        refused(&output, 1, parts);
    }
    let output = run(
        &format!("{TINY} --lr 0.05 --freeze W1,,W2 --out {{}}/no"),
        dir.path(),
    );
    refused(&output, 2, &["freeze = W1,,W2", "separated by commas"]);
}

#[test]
fn tasks_of_different_sizes_have_the_right_heads_in_both_scenarios() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 5);
    fs::write(dir.path().join("b.toml"), uneven()).unwrap();
    for (i, flags) in [
        "--scenario class --method ncm",
        "--scenario class --method slda",
        "--scenario task --method er --memory ring --memory-total 5 --lr 0.1 --epochs 3",
        "--scenario task --method icarl --memory-total 5 --lr 1 --epochs 3",
    ]
    .iter()
    .enumerate()
    {
        let output = run(
            &format!("run --benchmark {{}}/b.toml {flags} --jobs 1 --out {{}}/out{i}"),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let result = result(&dir.path().join(format!("out{i}")));
        assert_eq!(result["metrics"]["average_accuracy"], 100.0, "{flags}");
        let tasks = &result["task_classes"];
        let of = |t: usize| (&tasks[t]["first_logit"], &tasks[t]["names"]);
        assert_eq!(of(0), (&0.into(), &serde_json::json!(["99", "7", "0"])));
        assert_eq!(of(1), (&3.into(), &serde_json::json!(["40", "-3"])));
        assert_eq!(result["measured_images"], serde_json::json!([30, 20]));
    }
    for (flags, parts) in [
        (
            "--scenario domain",
            &["one head for all tasks", "[3, 2] classes"][..],
        ),
        ("--tasks 5", &["tasks = 5", "the benchmark's file"]),
        (
            "--classes 4",
            &["[3, 2] classes, 5 in all", "4 classes in 2 tasks"],
        ),
        (
            "--class-order seeded",
            &["class_order = seeded", "which classes make a task"],
        ),
        (
            "--method er --memory ring --memory-total 4",
            &["a ring of 4 examples", "at least 5"],
        ),
    ] {
        let output = run(
            &format!("run --benchmark {{}}/b.toml --lr 0.1 {flags} --jobs 1 --out {{}}/no"),
            dir.path(),
        );
        refused(&output, output.status.code().unwrap(), parts);
        assert!(!output.status.success());
    }
}
