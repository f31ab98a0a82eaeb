//! Finished runs of a benchmark whose images have changed since: what was computed from others is not shown as done.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{refused, run, stderr, stdout};

/// The drawn shapes and a benchmark of them.
fn benchmark(dir: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own-data/shapes");
    let to = dir.join("shapes");
    for class in fs::read_dir(from).unwrap().flatten() {
        let folder = to.join(class.file_name());
        fs::create_dir_all(&folder).unwrap();
        for image in fs::read_dir(class.path()).unwrap().flatten() {
            fs::copy(image.path(), folder.join(image.file_name())).unwrap();
        }
    }
    let text = "name = \"shapes\"\n[images]\nchannels = 3\nheight = 32\nwidth = 32\n[[source]]\nname = \"drawn\"\n\
                format = \"folders\"\npath = \"shapes\"\ntest_share = 0.25\n\
                [tasks]\nclasses = [[\"square\", \"triangle\"], [\"circle\", \"cross\"]]\n";
    fs::write(dir.join("shapes.toml"), text).unwrap();
    to
}

/// One image takes the place of another of its class.
fn change(images: &Path) {
    let mut files: Vec<_> = (fs::read_dir(images.join("cross")).unwrap().flatten())
        .map(|file| file.path())
        .collect();
    files.sort();
    let other = fs::read(&files[1]).unwrap();
    fs::write(&files[0], other).unwrap();
}

const CHANGED: [&str; 4] = [
    "its images are no longer those of `shapes`",
    "give another --out",
    "remove the folder",
    "put the old images back",
];

#[test]
fn run_does_not_show_it_as_done() {
    let dir = tempfile::tempdir().unwrap();
    let images = benchmark(dir.path());
    let command = "run --benchmark {}/shapes.toml --model mlp --hidden 8 --optimizer sgd --lr 0.01 --epochs 1 \
                   --batch-size 8 --seeds 1-2 --out {}/runs";
    let first = run(command, dir.path());
    assert!(first.status.success(), "{}", stderr(&first));
    let again = run(command, dir.path());
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(stderr(&again).contains("complete already"));
    assert_eq!(stdout(&again), stdout(&first));
    change(&images);
    let changed = run(command, dir.path());
    refused(&changed, 1, &CHANGED);
    refused(&changed, 1, &["2 of 2 runs failed"]);
    assert_eq!(stdout(&changed), "", "no table of what is no longer so");
    let elsewhere = command.replace("/runs", "/others");
    assert!(run(&elsewhere, dir.path()).status.success());
}

#[test]
fn sweep_does_not_choose_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let images = benchmark(dir.path());
    let text = format!(
        "[base]\nbenchmark = '{}'\nmodel = 'mlp'\nhidden = 8\nbatch_size = 8\n[grid]\nlr = [0.01, 0.001, 0.1]\n[select]\n\
         validation = 0.3\n",
        dir.path().join("shapes.toml").display()
    );
    fs::write(dir.path().join("s.toml"), text).unwrap();
    let command = "sweep {}/s.toml --jobs 2 --out {}/runs";
    let first = run(command, dir.path());
    assert!(first.status.success(), "{}", stderr(&first));
    let again = run(command, dir.path());
    assert_eq!(stdout(&again), stdout(&first), "{}", stderr(&again));
    // A task of an array runs a line of the manifest.
    let manifest = fs::read_dir(dir.path().join("runs")).unwrap().flatten();
    let manifest = (manifest.map(|e| e.file_name().into_string().unwrap()))
        .find(|name| name.starts_with("manifest-"))
        .unwrap();
    let task = run(&format!("run-manifest {{}}/runs/{manifest} 0"), dir.path());
    assert!(
        stderr(&task).contains("complete already"),
        "{}",
        stderr(&task)
    );
    change(&images);
    let changed = run(command, dir.path());
    refused(&changed, 1, &CHANGED);
    refused(&changed, 1, &["nothing is chosen", "3 of 3 candidates"]);
}
