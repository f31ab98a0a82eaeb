//! What a run says of itself: which classes its tasks have, on which images it was measured, why it stopped.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{refused, run, stderr, stdout, tagcl};

const TINY: &str = "run --benchmark rotated-mnist --data embedded --hidden 8 --fraction 0.02 --jobs 1 --lr 0.1 --json";

/// The finished runs of a command that prints JSON.
fn runs(arguments: &str, folder: &Path) -> Vec<(PathBuf, Value)> {
    let output = run(&format!("{arguments} --out {{}}/runs"), folder);
    assert!(output.status.success(), "{}", stderr(&output));
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let of = |run: &Value| {
        let folder = PathBuf::from(run["folder"].as_str().unwrap());
        let result = fs::read(folder.join("result.json")).unwrap();
        (folder, serde_json::from_slice(&result).unwrap())
    };
    value["runs"].as_array().unwrap().iter().map(of).collect()
}

/// Six classes of pictures of one colour each, as a benchmark of three tasks.
fn own(folder: &Path) {
    for (i, class) in ["ant", "bee", "cat", "dog", "elk", "fox"]
        .into_iter()
        .enumerate()
    {
        let here = folder.join("pictures").join(class);
        fs::create_dir_all(&here).unwrap();
        for n in 0..10 {
            let shade = image::Luma([(40 * i + n) as u8]);
            image::GrayImage::from_pixel(8, 8, shade)
                .save(here.join(format!("{n}.png")))
                .unwrap();
        }
    }
    let text = "name = \"animals\"\n[images]\nheight = 8\nwidth = 8\nchannels = 1\n[[source]]\nname = \"pictures\"\n\
                format = \"folders\"\npath = \"pictures\"\ntest_share = 0.2\n[tasks]\ncount = 3\n";
    fs::write(folder.join("own.toml"), text).unwrap();
}

/// The metadata of a safetensors file, by its definition: eight bytes of length, then JSON.
fn metadata(file: &Path) -> Value {
    let bytes = fs::read(file).unwrap();
    let (size, rest) = bytes.split_first_chunk::<8>().unwrap();
    let header = &rest[..usize::try_from(u64::from_le_bytes(*size)).unwrap()];
    let header: Value = serde_json::from_slice(header).unwrap();
    header["__metadata__"].clone()
}

#[test]
fn every_logit_of_a_run_has_a_name() {
    let dir = tempfile::tempdir().unwrap();
    own(dir.path());
    let run = "run --benchmark {}/own.toml --class-order seeded --lr 0.1 --hidden 4 --jobs 1 --json --seeds 3";
    let (folder, result) = runs(run, dir.path()).remove(0);
    let tasks = result["task_classes"].as_array().unwrap();
    assert_eq!(tasks.len(), 3);
    let mut names: Vec<&str> = Vec::new();
    for (t, task) in tasks.iter().enumerate() {
        assert_eq!(task["first_logit"], 2 * t);
        for (class, name) in task["classes"]
            .as_array()
            .unwrap()
            .iter()
            .zip(task["names"].as_array().unwrap())
        {
            let all = ["ant", "bee", "cat", "dog", "elk", "fox"];
            assert_eq!(
                all[class.as_u64().unwrap() as usize],
                name.as_str().unwrap()
            );
            names.push(name.as_str().unwrap());
        }
    }
    assert_ne!(
        names,
        ["ant", "bee", "cat", "dog", "elk", "fox"],
        "seed 3 deals them out otherwise"
    );
    let metadata = metadata(&folder.join("model.safetensors"));
    assert_eq!(metadata["format"], "pt");
    let stored: Value = serde_json::from_str(metadata["task_classes"].as_str().unwrap()).unwrap();
    assert_eq!(stored, result["task_classes"]);
    for path in [folder.clone(), folder.join("result.json")] {
        let shown = stdout(&tagcl().arg("show").arg(path).output().unwrap());
        for name in &names {
            assert!(shown.contains(name), "{shown}");
        }
        assert!(
            shown.contains("4–5") && shown.contains("animals"),
            "{shown}"
        );
    }
    let json = tagcl()
        .args(["show", "--json"])
        .arg(&folder)
        .output()
        .unwrap();
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["task_classes"], result["task_classes"]);
    let parent = folder.parent().unwrap();
    let output = tagcl().arg("show").arg(parent).output().unwrap();
    refused(&output, 1, &["result.json", "one finished run"]);
}

#[test]
fn a_share_of_the_test_images_is_a_stream_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let whole = runs(&format!("{TINY} --tasks 2"), dir.path()).remove(0).1;
    let part = runs(&format!("{TINY} --tasks 2 --test-fraction 0.1"), dir.path())
        .remove(0)
        .1;
    assert_ne!(whole["run_id"], part["run_id"]);
    assert!(whole["config"].get("test_fraction").is_none());
    assert_eq!(part["config"]["test_fraction"], 0.1);
    // Measured on 200 of the sample's 2000 images, learned on the same.
    let accuracy = part["accuracy_matrix"][1][0].as_f64().unwrap();
    assert!(
        (accuracy * 2.0 - (accuracy * 2.0).round()).abs() < 1e-9,
        "{accuracy}"
    );
    assert!(whole["cost"]["steps"] == part["cost"]["steps"]);
    let report = run("report {}/runs", dir.path());
    let text = stdout(&report);
    assert!(
        text.contains("measured on 10% of the test images"),
        "{text}"
    );
    let compared = run("compare {}/runs", dir.path());
    let said = format!("{}{}", stdout(&compared), stderr(&compared));
    assert!(!said.contains("p =") && !said.contains("p <"), "{said}");
    let dry = run(
        &format!("{TINY} --tasks 2 --test-fraction 0.1 --dry-run"),
        dir.path(),
    );
    let dry: Value = serde_json::from_str(&stdout(&dry)).unwrap();
    assert_eq!(dry["cost_per_run"]["evaluated_images"], 600);
}

#[test]
fn the_first_tasks_are_learned_as_in_the_whole_run() {
    let dir = tempfile::tempdir().unwrap();
    for optimizer in ["sgd", "tag-rmsprop"] {
        let base =
            format!("{TINY} --tasks 4 --optimizer {optimizer} --lr 0.01").replace("--lr 0.1 ", "");
        let whole = runs(&base, dir.path()).remove(0).1;
        let first = runs(&format!("{base} --first-tasks 2"), dir.path())
            .remove(0)
            .1;
        let rows = |result: &Value| result["accuracy_matrix"].as_array().unwrap().clone();
        assert_eq!(rows(&first), rows(&whole)[..2]);
        assert_eq!(first["task_classes"].as_array().unwrap().len(), 2);
    }
    let report = run("report {}/runs", dir.path());
    let text = stdout(&report);
    assert!(text.contains("4 tasks, the first 2 of them"), "{text}");
    let output = run(&format!("{TINY} --tasks 2 --first-tasks 3"), dir.path());
    refused(&output, 2, &["first_tasks", "from 1 to 2"]);
}

#[test]
fn what_diverges_names_the_likeliest_knob_first() {
    let dir = tempfile::tempdir().unwrap();
    let base = TINY.replace("--lr 0.1 ", "");
    for (arguments, part) in [
        ("--lr 1e30", "lower the learning rate (it is 1e30)"),
        (
            "--lr 0.1 --method ewc --lambda 1e30",
            "lower lambda (it is 1e30) or the learning rate (it is 0.1)",
        ),
    ] {
        let output = run(
            &format!("{base} --tasks 2 {arguments} --out {{}}/runs"),
            dir.path(),
        );
        refused(&output, 1, &["is not finite", part]);
    }
}

/// An empty variable is none, or refused: nothing lands in the working directory.
#[test]
fn empty_variables_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = tagcl();
        command.current_dir(dir.path());
        for variable in ["TAGCL_OUT", "TAGCL_DATA", "TAGCL_CACHE"] {
            command.env(variable, "");
        }
        command
    };
    let output = command()
        .args(TINY.split(' '))
        .args(["--tasks", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let here = || {
        let entries = fs::read_dir(dir.path()).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(here(), ["runs"], "the default folder");
    for arguments in [
        "data list",
        "data show mnist",
        "run-manifest none 0",
        "sweep none.toml",
        "replicate naive cifar",
    ] {
        let output = command().args(arguments.split(' ')).output().unwrap();
        assert!(!stderr(&output).contains("panicked"), "{arguments}");
    }
    assert_eq!(here(), ["runs"]);
    let output = command()
        .args(TINY.split(' '))
        .args(["--out", ""])
        .output()
        .unwrap();
    refused(&output, 2, &["out", "path of a folder"]);
}

#[test]
fn the_version_says_what_computes() {
    let output = tagcl()
        .arg("--version")
        .env("TAGCL_KERNELS", "stock")
        .output()
        .unwrap();
    assert!(
        stdout(&output).contains("kernels: stock"),
        "{}",
        stdout(&output)
    );
    let output = tagcl()
        .arg("--version")
        .env_remove("TAGCL_KERNELS")
        .output()
        .unwrap();
    assert!(stdout(&output).contains("kernels: "), "{}", stdout(&output));
}

/// Of one image of 32x32 the last norms of ResNet-18 have one value a channel.
#[test]
fn a_batch_without_statistics_is_refused_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        let here = dir.path().join("p").join(class);
        fs::create_dir_all(&here).unwrap();
        for n in 0..8 {
            let picture = image::RgbImage::from_pixel(32, 32, image::Rgb([n * 20, 9, 9]));
            picture.save(here.join(format!("{n}.png"))).unwrap();
        }
    }
    // Of 16 images a quarter is for the test: 12 to learn from.
    let text = "name = \"p\"\nmodel = \"resnet18\"\n[images]\nheight = 32\nwidth = 32\nchannels = 3\n[[source]]\n\
                name = \"p\"\nformat = \"folders\"\npath = \"p\"\ntest_share = 0.25\n[tasks]\ncount = 1\n";
    fs::write(dir.path().join("own.toml"), text).unwrap();
    let base = "run --benchmark {}/own.toml --lr 0.01 --jobs 1 --out {}/runs";
    for (size, part) in [("11", "drop_last = true"), ("1", "set a larger batch_size")] {
        let output = run(&format!("{base} --batch-size {size}"), dir.path());
        refused(
            &output,
            1,
            &["batch_size", "task 1", "single value a channel", part],
        );
    }
    let output = run(
        &format!("{base} --batch-size 11 --drop-last true"),
        dir.path(),
    );
    assert!(output.status.success(), "{}", stderr(&output));
}
