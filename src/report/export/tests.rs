//! Every format of one fixed report, compared with the files in `snapshots/`.
//!
//! The report has everything that a format must not lose: two benchmarks, groups with one and with more runs, published
//! rows (one whose figure comes from other settings), a fraction, a missing seed, a damaged file and a duplicate. To
//! accept new output, run the tests with `TAGCL_ACCEPT=1` and read the difference before committing it.

use std::path::{Path, PathBuf};

use crate::report::FORMATS;
use crate::report::format::{FormatSpec, Page};
use crate::report::load::{Damaged, Duplicate, Loaded, Run, Unfinished};
use crate::report::summary::Report;
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

fn written(spec: &FormatSpec, report: &Report) -> String {
    (spec.write)(report, &Page::default()).unwrap()
}

fn format(name: &str) -> &'static FormatSpec {
    FORMATS.iter().find(|spec| spec.name == name).unwrap()
}

/// Every whole format but the page, whose tests are beside it.
#[test]
fn every_format_is_as_it_was_read_last() {
    for spec in FORMATS
        .iter()
        .filter(|spec| spec.whole && spec.name != "html")
    {
        check(
            &format!("report.{}", spec.ending),
            &written(spec, &report()),
        );
    }
}

#[test]
fn terminals_of_80_and_of_100_columns_hold_the_tables() {
    for width in [80, 100] {
        let text = (format("text").write)(&report(), &Page { width }).unwrap();
        for line in text.lines() {
            assert!(
                console::measure_text_width(line) <= width,
                "{width}: {line}"
            );
        }
    }
    check(
        "report.80.txt",
        &(format("text").write)(&report(), &Page { width: 80 }).unwrap(),
    );
}

#[test]
fn latex_fills_its_tables() {
    let text = written(format("latex"), &report());
    // Every row fills its table: one `&` between two columns, and what `multicolumn` spans.
    let mut columns = 0;
    let mut rows = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("\\begin{tabular}{") {
            columns = rest.trim_end_matches('}').len();
        } else if line.ends_with("\\\\") && !line.starts_with("\\multicolumn") {
            let cells = 1 + line.replace("\\&", "").matches('&').count();
            assert_eq!(cells, columns, "{line}");
            rows += 1;
        }
    }
    assert!(rows > 20, "{rows}");
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    assert!(!text.contains("$$"), "an empty formula opens a display");
    // The best of each column and no other: three columns on the stage with several groups.
    assert_eq!(text.matches("& \\textbf{").count(), 3, "{text}");
    assert_eq!(
        text.matches("\\label{").count(),
        text.matches("\\begin{table}").count()
    );
}

#[test]
fn csv_fills_its_lines() {
    let csv = written(format("csv"), &report());
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
fn json_has_everything() {
    let value: serde_json::Value =
        serde_json::from_str(&written(format("json"), &report())).unwrap();
    let lengths = [
        "groups",
        "stages",
        "runs",
        "comparisons",
        "unfinished",
        "damaged",
        "duplicates",
    ]
    .map(|key| value[key].as_array().unwrap().len());
    assert_eq!(lengths, [6, 3, 11, 4, 1, 1, 1]);
}

/// What limits comparison, and what is missing, is in every format.
#[test]
fn no_format_loses_a_warning() {
    let mut report = report();
    // No files stand behind these runs: the page would look for their α.
    for run in &mut report.runs {
        run.folder = PathBuf::new();
    }
    for spec in FORMATS.iter().filter(|spec| spec.whole) {
        let text: String = written(spec, &report).replace('\\', "");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "10% of the training images",
            "embedded sample",
            "no result for seed 3",
            "split-cifar100-plain-tag-rmsprop-s3",
            "x_y/result.json",
            "copy/a",
            "OTHER SETTINGS",
        ] {
            assert!(text.contains(part), "{} has no `{part}`", spec.name);
        }
    }
}

#[test]
fn accuracy_over_images_has_a_column_where_it_is_another() {
    let text = |tasks: f64, images: f64| {
        let mut one = run(config(&[("tasks", "20")], 1), tasks, 0.0);
        one.metrics.average_accuracy = tasks;
        one.metrics.image_accuracy = Some(images);
        let loaded = Loaded {
            runs: vec![one],
            ..Loaded::default()
        };
        written(format("text"), &Report::new(loaded, 2.0))
    };
    // On either side of half of the last digit.
    assert!(!text(51.715 - 1e-12, 51.715 + 1e-12).contains("images %"));
    assert!(text(51.7, 51.8).contains("images %"));
}

#[test]
fn an_empty_report_is_no_error() {
    let empty = Report::new(Loaded::default(), 2.0);
    assert_eq!(written(format("text"), &empty), "no runs\n");
    for spec in FORMATS {
        assert!(!written(spec, &empty).is_empty(), "{}", spec.name);
    }
}

#[test]
fn the_page_of_documentation_has_every_format() {
    let page = include_str!("../../../docs/reports.md");
    for spec in FORMATS {
        let row = format!("| `{}` | {} |", spec.name, spec.description);
        assert!(page.contains(&row), "docs/reports.md lacks `{row}`");
    }
}
