//! Every format of one fixed report, compared with the files in `snapshots/`.
//!
//! The report has everything that a format must not lose: two benchmarks, groups with one and with more runs, published
//! rows (one whose figure comes from other settings), a fraction, a missing seed, a damaged file and a duplicate. To
//! accept new output, run the tests with `TAGCL_ACCEPT=1` and read the difference before committing it.

use std::path::{Path, PathBuf};

use super::*;
use crate::report::load::{Damaged, Duplicate, Loaded, Run, Unfinished};
use crate::report::testing::{config, run};

fn report() -> Report {
    let full: &[(&str, &str)] = &[("tasks", "20")];
    let with = |more: &[(&'static str, &'static str)]| [full, more].concat();
    let tag = with(&[("optimizer", "tag-rmsprop")]);
    let adagrad = with(&[("optimizer", "adagrad"), ("lr", "0.005")]);
    let replay = with(&[("method", "er"), ("memory_per_class", "5")]);
    let part = with(&[("fraction", "0.1")]);
    let mnist: &[(&str, &str)] = &[
        ("benchmark", "rotated-mnist"),
        ("tasks", "3"),
        ("data", "embedded"),
        ("optimizer", "tag-adam"),
        ("lr", "0.001"),
        ("dropout", "0.1"),
    ];
    let mut sample = run(config(mnist, 1), 70.0, 12.0);
    sample.provenance.data_note = Some("embedded sample, 10_000 images | 5%".to_string());
    let mut runs: Vec<Run> = vec![
        run(config(full, 1), 50.5, 18.0),
        run(config(full, 2), 52.25, 17.0),
        run(config(full, 3), 51.75, 17.5),
        run(config(&tag, 1), 62.5, 9.0),
        run(config(&tag, 2), 62.75, 9.5),
        run(config(&tag, 4), 62.8, 9.25),
        run(config(&adagrad, 1), 40.0, 20.0),
        run(config(&adagrad, 2), 41.0, 21.0),
        run(config(&replay, 1), 65.5, 6.0),
        run(config(&part, 1), 30.125, 5.0),
        sample,
    ];
    for run in &mut runs {
        run.folder = PathBuf::from("runs").join(&run.run_id);
    }
    let loaded = Loaded {
        unfinished: vec![Unfinished {
            folder: "runs/split-cifar100-plain-tag-rmsprop-s3".into(),
            config: Some(config(&tag, 3)),
            tasks_done: 7,
            last_event: Some("evaluated".to_string()),
            last_time: Some("2026-01-02T03:04:05Z".to_string()),
        }],
        damaged: vec![Damaged {
            path: "runs/x_y/result.json".into(),
            reason: "not a result file: EOF, at \"line\" 1".to_string(),
        }],
        duplicates: vec![Duplicate {
            folder: "copy/a".into(),
            first: "runs/a".into(),
            identical: false,
        }],
        runs,
    };
    Report::new(loaded, 2.0)
}

#[track_caller]
fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/report/export/snapshots")
        .join(name);
    if std::env::var_os("TAGCL_ACCEPT").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs", path.display());
}

#[test]
fn text() {
    check("report.txt", &Text.export(&report()));
}

#[test]
fn markdown() {
    check("report.md", &Markdown.export(&report()));
}

#[test]
fn latex() {
    let text = Latex.export(&report());
    check("report.tex", &text);
    // Every row fills its table: one `&` between two columns, and what `multicolumn` spans.
    let mut columns = 0;
    let mut rows = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("\\begin{tabular}{") {
            columns = rest.trim_end_matches('}').len();
        } else if line.ends_with("\\\\") {
            let spanned = 3 * line.matches("multicolumn{4}").count();
            let cells = 1 + line.replace("\\&", "").matches('&').count() + spanned;
            assert_eq!(cells, columns, "{line}");
            rows += 1;
        }
    }
    assert!(rows > 20, "{rows}");
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    assert!(!text.contains("$$"), "an empty formula opens a display");
}

#[test]
fn csv() {
    let csv = Csv.export(&report());
    check("report.csv", &csv);
    // Every line has as many fields as the header, whatever is quoted.
    let fields = |line: &str| {
        let mut quoted = false;
        1 + line
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    };
    let counts: Vec<usize> = csv.lines().map(fields).collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[test]
fn json() {
    let json = Json.export(&report());
    check("report.json", &json);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let lengths = [
        "groups",
        "runs",
        "comparisons",
        "unfinished",
        "damaged",
        "duplicates",
    ]
    .map(|key| value[key].as_array().unwrap().len());
    assert_eq!(lengths, [6, 11, 4, 1, 1, 1]);
}

/// What limits comparison, and what is missing, is in every format.
#[test]
fn no_format_loses_a_warning() {
    let report = report();
    for (name, exporter) in FORMATS {
        let text = exporter.export(&report).replace('\\', "");
        for part in [
            "10% of the training images",
            "embedded sample",
            "no result for seed 3",
            "split-cifar100-plain-tag-rmsprop-s3",
            "x_y/result.json",
            "copy/a",
        ] {
            assert!(text.contains(part), "{name} has no `{part}`");
        }
        let other_settings = text.contains("OTHER SETTINGS");
        assert!(
            other_settings,
            "{name} does not say where a figure comes from"
        );
    }
}

#[test]
fn an_empty_report_is_no_error() {
    let empty = Report::new(Loaded::default(), 2.0);
    assert_eq!(Text.export(&empty), "no runs\n");
    for (_, exporter) in FORMATS {
        assert!(!exporter.export(&empty).is_empty());
    }
}
