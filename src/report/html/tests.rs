use std::fs;

use super::*;
use crate::report::load::load;
use crate::report::summary::MARGIN;
use crate::report::testing::{config, result, write};

fn page_of(folder: &std::path::Path) -> String {
    let report = Report::new(load(folder).unwrap(), MARGIN);
    Page { report: &report }.render().unwrap()
}

#[test]
fn the_page_holds_table_commands_checksums_and_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 1..=3 {
        write(
            folder.path(),
            &result(
                config(&[("optimizer", "sgd")], seed),
                60.0 + seed as f64,
                5.0,
            ),
        );
        let tag = config(&[("optimizer", "tag-rmsprop"), ("tasks", "20")], seed);
        write(folder.path(), &result(tag, 62.0, 3.0));
    }
    let broken = folder.path().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("result.json"), "{").unwrap();
    let unfinished = folder.path().join("unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(
        unfinished.join("config.toml"),
        "benchmark = \"split-cifar100\"\nseeds = \"9\"\n",
    )
    .unwrap();
    let page = page_of(folder.path());
    for part in [
        "<!DOCTYPE html>",
        "lang=\"en\"",
        "62.00 ± 0.82",
        "--optimizer tag-rmsprop --lr 0.00025 --profile released --data DIR --seeds 1-3",
        "published 62.79 ± 0.29 (n 5)<br>Δ −0.79 [",
        &"ab".repeat(32),
        "href=\"#results\"",
        "aria-sort=\"none\"",
        "<caption",
        "Without a result: 1. Unreadable: 1.",
        "--seeds 9",
        "broken",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    assert_eq!(page.matches("<tr data-group=").count(), 2);
    assert!(page.matches("<svg class=\"plot\"").count() >= 5);
}

#[test]
fn nothing_is_fetched_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &result(config(&[], 1), 60.0, 5.0));
    let page = page_of(folder.path());
    // Namespaces are names, not addresses.
    let text = page.replace("http://www.w3.org/2000/svg", "");
    // The font is in the page.
    assert_eq!(text.matches("url(data:font/ttf;base64,").count(), 2);
    let text = text.replace("url(data:", "");
    for address in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!text.contains(address), "{address}");
    }
    assert!(page.contains("default-src 'none'"));
    let policy = page
        .split("script-src 'sha256-")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let script = page
        .split("<script>")
        .nth(1)
        .unwrap()
        .split("</script>")
        .next()
        .unwrap();
    assert_eq!(policy, BASE64.encode(&Sha256::digest(script)));
}

#[test]
fn hostile_text_of_results_stays_text() {
    let evil = "</td></svg></script><script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover=\"alert(1)' & \u{0}";
    let folder = tempfile::tempdir().unwrap();
    let mut bad = result(config(&[], 1), 60.0, 5.0);
    bad.provenance.data_note = Some(evil.to_string());
    bad.provenance.cpu = evil.to_string();
    bad.provenance.version = evil.to_string();
    bad.provenance.commit = Some(evil.to_string());
    bad.provenance.started = evil.to_string();
    bad.provenance.data_sha256 = evil.to_string();
    bad.run_id = "run".to_string();
    bad.config.init_sha256 = Some(evil.to_string());
    let loaded = {
        write(folder.path(), &bad);
        let mut loaded = load(folder.path()).unwrap();
        if loaded.runs.is_empty() {
            loaded
                .runs
                .push(crate::report::load::Run::from(bad.clone()));
        }
        loaded.damaged.push(crate::report::load::Damaged {
            path: evil.into(),
            reason: evil.to_string(),
        });
        loaded
    };
    let mut report = Report::new(loaded, MARGIN);
    report.source = evil.to_string();
    let page = Page { report: &report }.render().unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "it is shown");
    assert_eq!(
        page.matches("<script>").count(),
        1,
        "only the page's own script"
    );
    assert!(!page.contains("<img"));
    assert!(
        !page.contains("\" onmouseover=\""),
        "no attribute is left early"
    );
}

#[test]
fn two_hundred_runs_fit_below_two_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut n = 0;
    for lr in 1..=100 {
        let lr = format!("{}", f64::from(lr) / 1000.0);
        for seed in [1, 2] {
            let tag = config(
                &[("optimizer", "tag-rmsprop"), ("tasks", "20"), ("lr", &lr)],
                seed,
            );
            let mut result = result(tag, 60.0, 5.0);
            let table: Vec<Vec<f64>> = (0..20).map(|t| vec![1.25; t + 1]).collect();
            result.alpha = Some(crate::experiment::run::result::AlphaResult {
                mean: table.clone(),
                clusters: None,
                per_tensor: (0..48)
                    .map(|i| crate::experiment::run::result::TensorAlpha {
                        tensor: format!("layer{i}.weight"),
                        mean: table.clone(),
                    })
                    .collect(),
            });
            write(folder.path(), &result);
            n += 1;
        }
    }
    assert_eq!(n, 200);
    let page = page_of(folder.path());
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert_eq!(
        page.matches("<tr data-group=").count(),
        100,
        "all rows are there"
    );
    assert!(page.contains("plots are left out"), "{} bytes", page.len());
}

#[test]
fn a_page_without_runs_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let page = page_of(folder.path());
    assert!(page.contains("There are no finished runs."));
}
