//! `tagcl plot` and the HTML report through the real binary.

use std::fs;

use crate::program::{TINY, refused, run, stderr, stdout};

/// Two optimizers, TAG among them, two seeds.
fn runs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for optimizer in ["sgd --lr 0.1", "tag-rmsprop --lr 0.001"] {
        let arguments = format!("{TINY} --optimizer {optimizer} --seeds 1-2 --out {{}}/runs");
        let done = run(&arguments, dir.path());
        assert!(done.status.success(), "{}", stderr(&done));
    }
    dir
}

#[test]
fn plots_and_page_of_real_runs() {
    let dir = runs();
    let done = run("plot {}/runs --out {}/plots --format png", dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    let files: Vec<&str> = stdout(&done).leak().lines().collect();
    // Curves, two matrices, forgetting, alpha's course and map, layers, bars, cost.
    assert_eq!(files.len(), 9, "{files:?}");
    for file in files {
        assert_eq!(fs::read(file).unwrap().get(1..4).unwrap(), b"PNG");
    }
    assert!(
        stderr(&done).contains("no sensitivity plot"),
        "{}",
        stderr(&done)
    );

    let done = run(
        "plot {}/runs --out {}/some --what curves,bars --optimizer sgd",
        dir.path(),
    );
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(fs::read_dir(dir.path().join("some")).unwrap().count(), 2);
    let svg = fs::read_to_string(stdout(&done).lines().next().unwrap()).unwrap();
    assert!(svg.contains("aria-label=\"Naive SGD\"") && !svg.contains("TAG-RMSProp"));

    let done = run("report {}/runs --html {}/report.html", dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.contains("tagcl run --benchmark rotated-mnist"));

    // The page's command names the very runs that it came from: nothing is left to do.
    let command = page
        .split("<code>tagcl ")
        .nth(1)
        .unwrap()
        .split("</code>")
        .next()
        .unwrap();
    let again = run(&format!("{command} --out {{}}/runs --json"), dir.path());
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(
        stdout(&again).matches("\"found\"").count(),
        2,
        "{command}: {}",
        stdout(&again)
    );
}

#[test]
fn plots_refuse_what_they_cannot_draw() {
    let dir = tempfile::tempdir().unwrap();
    let done = run(
        &format!("{TINY} --optimizer sgd --lr 0.1 --out {{}}/runs"),
        dir.path(),
    );
    assert!(done.status.success(), "{}", stderr(&done));
    let plot = |rest: &str| {
        run(
            &format!("plot {{}}/runs --out {{}}/plots {rest}"),
            dir.path(),
        )
    };
    refused(
        &plot("--what alpha"),
        1,
        &["no alpha plot", "--optimizer tag-rmsprop"],
    );
    refused(
        &plot("--what sensitivity"),
        1,
        &["no sensitivity plot", "sweep"],
    );
    refused(&plot("--what pies"), 2, &["pies"]);
    refused(
        &plot("--optimizer adam"),
        1,
        &["no run folders", "with these filters"],
    );
    refused(
        &plot("--where optimiser=sgd"),
        2,
        &["optimiser", "did you mean `optimizer`?"],
    );
    refused(&plot("--where sgd"), 2, &["key=value"]);
    refused(&plot("--scale 99"), 2, &["0.25 to 8"]);
    refused(
        &run("plot {}/absent --out {}/plots", dir.path()),
        1,
        &["absent"],
    );
    assert!(!dir.path().join("plots").exists(), "nothing was drawn");
}
