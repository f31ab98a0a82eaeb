//! The page that stands in the documents, and what it is made of.

use std::path::{Path, PathBuf};

use super::*;
use crate::experiment::paper::replicate::{self, PaperStream};
use crate::report::collected::{read, text};
use crate::report::load::{Duplicate, Loaded};
use crate::report::summary::MARGIN;
use crate::report::testing::{config, run};

fn documents(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

fn page(records: &[Record]) -> String {
    Page::new(records, MARGIN).unwrap().markdown()
}

/// To accept a new page, run the test with `TAGCL_ACCEPT=1` and read the difference.
#[test]
fn the_page_is_what_the_program_makes_of_the_results() {
    let records = read(&documents("replication/results.jsonl")).unwrap();
    let (path, found) = (documents("replication.md"), page(&records));
    if std::env::var_os("TAGCL_ACCEPT").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == found,
        "docs/replication.md is old: run this test with TAGCL_ACCEPT=1"
    );
}

#[test]
fn the_results_that_are_kept_stand_in_their_order_and_are_small() {
    let path = documents("replication/results.jsonl");
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept, text(&read(&path).unwrap()).unwrap());
    assert!(kept.len() < 2_000_000, "{}", kept.len());
}

fn records_of(accuracies: &[f64]) -> Vec<Record> {
    let settings = [("optimizer", "tag-rmsprop"), ("tasks", "20")];
    let runs = accuracies.iter().zip(1..);
    runs.map(|(accuracy, seed)| Record::of(&run(config(&settings, seed), *accuracy, 10.0)))
        .collect::<Option<_>>()
        .unwrap()
}

#[test]
fn a_row_has_its_figures_verdicts_source_and_command() {
    let text = page(&records_of(&[63.86, 64.92, 62.38]));
    let row = "| TAG-RMSProp (seeds 1-3) | accuracy % | portable | 63.72 ± 1.04 | 3 | 62.79 ± 0.29 | 5 | +0.93 |";
    let line = text.lines().find(|line| line.starts_with(row));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("inconclusive, ~"), "{line}");
    let command = "`tagcl replicate naive cifar --only \"TAG-RMSProp\" --seeds 1-3`";
    let line = text.lines().find(|line| line.contains(command));
    assert!(
        line.unwrap_or_else(|| panic!("{text}"))
            .contains("Table 1, p. 8"),
        "{line:?}"
    );
    assert!(text.contains("- **Split-CUB**") && text.contains("- **5-dataset**"));
    // No result is one run, whose difference has no test.
    let one = page(&records_of(&[63.0]));
    assert!(one.contains("| +0.21 | – | no test |"), "{one}");
}

/// Every published figure is counted once, and stands on the page.
#[test]
fn counts_are_of_all_figures() {
    let page = Page::new(&records_of(&[63.86, 64.92, 62.38]), MARGIN).unwrap();
    let lines = || page.paper.iter().flat_map(|section| &section.lines);
    let figures = published::rows()
        .flat_map(|row| Quantity::ALL.map(|quantity| row.values(quantity)))
        .flatten();
    let counts = Counts::of(lines());
    assert_eq!(counts.all, figures.count());
    assert_eq!(counts.not_run, counts.all - 3);
    assert_eq!(
        counts.equivalent + counts.different + counts.inconclusive,
        3
    );
    let text = page.markdown();
    for section in page.paper.iter().chain(&page.neighbours) {
        let mut titles: Vec<&str> = section.lines.iter().map(|l| l.title.as_str()).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), section.lines.len(), "{}", section.title);
        for line in &section.lines {
            assert_ne!(line.command, "–", "{} {}", section.title, line.title);
            assert!(text.contains(&line.command), "{}", line.command);
        }
    }
    // Every row fills its table.
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut before = 0;
    for line in text.lines() {
        let own = if line.starts_with('|') {
            columns(line)
        } else {
            0
        };
        assert!(own == 0 || before == 0 || own == before, "{line}");
        before = own;
    }
}

/// A `tagcl replicate` command plans the very configuration behind its row.
#[test]
fn commands_give_the_configuration_in_force() {
    let commands = Commands::new();
    let mut checked = 0;
    for row in published::rows() {
        let text = commands.of(row, &[]);
        let Some(words) = text.strip_prefix("tagcl replicate ") else {
            assert!(text.starts_with("tagcl run "), "{text}");
            continue;
        };
        let (words, label) = words.split_once(" --only ").unwrap();
        let words: Vec<&str> = words.split(' ').collect();
        let what = replicate::REPLICATIONS.iter().find(|w| w.name == words[0]);
        let stream = words
            .get(1)
            .map_or(Some(&replicate::ROTATED_MNIST), |name| {
                PaperStream::parse_any(name)
            });
        let epochs = words.get(3).map_or(1, |epochs| epochs.parse().unwrap());
        let rows = replicate::rows(what.unwrap(), stream.unwrap(), epochs).unwrap();
        let rows = replicate::only(rows, &[label.trim_matches('"').to_string()]).unwrap();
        assert_eq!(rows.len(), 1, "{text}");
        assert_eq!(
            commands::planned(&rows[0]).as_ref(),
            published::in_force(row),
            "{text}"
        );
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let mut records = records_of(&[63.86, 64.92]);
    records[1].kernels = "avx2".to_string();
    assert!(page(&records).contains("| avx2 and portable |"));
    records[1].data_sha256 = "cd".repeat(32);
    let Err(error) = Page::new(&records, MARGIN) else {
        panic!("two sets of images on one page");
    };
    assert!(error.0.contains("cdcd"), "{error}");

    let with = |duplicates: Vec<Duplicate>, collected: Vec<Record>| {
        let settings = [("optimizer", "tag-rmsprop"), ("tasks", "20")];
        let mut report = Report::new(
            Loaded {
                runs: vec![run(config(&settings, 1), 63.0, 10.0)],
                duplicates,
                ..Loaded::default()
            },
            MARGIN,
        );
        report.collected = collected;
        (REPLICATION.write)(&report, &crate::report::format::Page::default())
    };
    assert!(with(vec![], records_of(&[63.0])).is_ok());
    let differing = with(vec![], records_of(&[63.5])).unwrap_err();
    assert!(differing.0.contains("metrics"), "{differing}");
    let twice = Duplicate {
        folder: "b/x".into(),
        first: "a/x".into(),
        identical: false,
    };
    assert!(with(vec![twice], vec![]).unwrap_err().0.contains("a/x"));
}

#[test]
fn benchmarks_out_of_reach_are_benchmarks() {
    for (name, _) in OUT_OF_REACH {
        assert!(
            published::rows().any(|row| row.setting("benchmark") == Some(name)),
            "{name}"
        );
    }
}
