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
        ("markdown", "## Results: rotated-mnist"),
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

/// Two benchmarks of one's own with as many tasks and classes, one of them with two networks, neither of them the one
/// that its file suggests.
#[test]
fn own_benchmarks_stay_apart_under_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/own-data/shapes");
    let pairs = [
        (
            "corners",
            r#"[["square", "triangle"], ["circle", "cross"]]"#,
        ),
        ("curves", r#"[["circle", "square"], ["cross", "triangle"]]"#),
    ];
    for (name, classes) in pairs {
        let text = format!(
            "name = \"{name}\"\nmodel = \"lenet\"\n[images]\nchannels = 3\nheight = 32\nwidth = 32\n\
             [[source]]\nname = \"drawn\"\nformat = \"folders\"\npath = \"{images}\"\ntest_share = 0.25\n\
             [tasks]\nclasses = {classes}\n"
        );
        fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
    }
    for (name, rest) in [
        ("corners", "--model mlp --hidden 8"),
        ("corners", "--model reduced-resnet18"),
        ("curves", "--model mlp --hidden 8"),
    ] {
        let output = run(
            &format!(
                "run --benchmark {{}}/{name}.toml --optimizer sgd --lr 0.01 --epochs 1 --batch-size 8 --jobs 1 --seeds 1-2 \
                 {rest} --out {{}}/runs"
            ),
            dir.path(),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let printed = stdout(&output);
        assert!(
            printed.contains(&format!("Results: {name}, task-incremental, 2 tasks")),
            "{printed}"
        );
    }
    let long = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_hexdigit());
        words.map(str::len).max().unwrap_or(0) >= 64
    };
    for arguments in [
        "report {}/runs",
        "report {}/runs --format markdown",
        "report {}/runs --format latex",
        "compare {}/runs",
    ] {
        let text = stdout(&run(arguments, dir.path()));
        for name in ["corners", "curves"] {
            assert!(text.contains(name), "{arguments}: no {name} in {text}");
        }
        assert!(
            !text.contains("custom") && !long(&text),
            "{arguments}: {text}"
        );
    }
    // The model of the row is the one that ran, so that each of the two is found by it, and lenet is not.
    let groups = |condition: &str| {
        let report = json(
            &format!("report {{}}/runs --json --benchmark corners {condition}"),
            dir.path(),
        );
        report["groups"].as_array().unwrap().len()
    };
    assert_eq!((groups(""), groups("--where model=mlp")), (2, 1));
    refused(
        &run("report {}/runs --where model=lenet", dir.path()),
        1,
        &["with these filters", "corners, curves"],
    );
    let report = json("report {}/runs --json", dir.path());
    let titles: Vec<&str> = report["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        [
            "corners, task-incremental, 2 tasks",
            "curves, task-incremental, 2 tasks"
        ]
    );
    // One pair, of the two networks on the one benchmark; none between the benchmarks.
    let comparison = json("compare {}/runs --json", dir.path());
    let pairs = comparison["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 1, "{pairs:?}");
    assert_eq!(pairs[0]["stage"], "corners, task-incremental, 2 tasks");
    let output = run("plot {}/runs --out {}/plots --what bars", dir.path());
    assert_eq!(stdout(&output).lines().count(), 2, "{}", stderr(&output));
    let page = run("report {}/runs --format html", dir.path());
    assert!(
        stdout(&page).contains("name its file with --benchmark"),
        "{}",
        stderr(&page)
    );
}

/// Where nothing can be read the report still names what is damaged, and the program does not end well.
#[test]
fn a_report_of_damaged_files_alone_fails() {
    let dir = tempfile::tempdir().unwrap();
    for id in ["a", "b"] {
        fs::create_dir_all(dir.path().join("runs").join(id)).unwrap();
        fs::write(dir.path().join("runs").join(id).join("result.json"), "{").unwrap();
    }
    for rest in ["", "--json", "--format csv", "--html {}/page.html"] {
        let output = run(&format!("report {{}}/runs {rest}"), dir.path());
        refused(&output, 1, &["no result that can be read"]);
    }
    let text = stdout(&run("report {}/runs", dir.path()));
    assert!(text.contains("result.json"), "{text}");
    for command in [
        "export {}/runs --csv {}/x.csv",
        "plot {}/runs --out {}/plots",
    ] {
        refused(&run(command, dir.path()), 1, &["result.json"]);
    }
    assert!(!dir.path().join("x.csv").exists(), "no table without a row");
}

/// What stands in the documents is read by the program; what is no such file, and a format that needs more, are refused.
#[test]
fn collected_results_make_the_page_of_replications() {
    let dir = tempfile::tempdir().unwrap();
    let kept = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/replication/results.jsonl"
    );
    let page = run(
        &format!("report {kept} --format replication --output {{}}/page.md"),
        dir.path(),
    );
    assert!(page.status.success(), "{}", stderr(&page));
    let page = fs::read_to_string(dir.path().join("page.md")).unwrap();
    assert!(page == include_str!("../../docs/replication.md"));
    refused(
        &run(&format!("report {kept}"), dir.path()),
        2,
        &["results.jsonl is a file", "--format replication"],
    );
    let some = run(
        &format!("report {kept} --format replication --optimizer adagrad"),
        dir.path(),
    );
    let text = stdout(&some);
    assert!(text.contains("| Naive Adagrad (seeds 1-5) |"), "{text}");
    assert!(!text.contains("| TAG-RMSProp (seeds"), "{text}");

    fs::write(dir.path().join("x.jsonl"), "{}\n").unwrap();
    refused(
        &run("report {}/x.jsonl --format replication", dir.path()),
        1,
        &["x.jsonl: line 1", "tagcl export RUNS --results FILE"],
    );
    // Nothing is published of these.
    let made = run(&format!("{TINY} --lr 0.1 --out {{}}/runs"), dir.path());
    assert!(made.status.success(), "{}", stderr(&made));
    refused(
        &run("export {}/runs --results {}/y.jsonl", dir.path()),
        1,
        &["nothing is published"],
    );
    assert!(!dir.path().join("y.jsonl").exists());
}
