//! The rows of every table.

use super::*;
use crate::experiment::benchmark::BenchmarkSpec;
use crate::settings::{Profile, find};

fn get(row: &Row, key: &str) -> String {
    let found = row.settings.iter().find(|(k, _)| *k == key);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

fn row(what: &Replication, dataset: &PaperStream, epochs: usize, label: &str) -> Row {
    let rows = rows(what, dataset, epochs).unwrap();
    let names: Vec<_> = rows.iter().map(|r| r.label.clone()).collect();
    let found = rows.into_iter().find(|row| row.label == label);
    found.unwrap_or_else(|| panic!("no {label} in {names:?}"))
}

#[test]
fn every_table_has_its_rows_and_plans() {
    let scripts = [&CIFAR, &MINI_IMAGENET, &CUB, &FIVE_DATA];
    for dataset in scripts {
        for (what, count) in [
            (&NAIVE, 7),
            (&BASELINES, 8),
            (&HYBRID, 12 + 6),
            (&REPLAY, 7),
            (&GRID_SEARCH, 11),
            (&ABLATION, 6),
        ] {
            let rows = rows(what, dataset, 1).unwrap();
            assert_eq!(rows.len(), count, "{} {}", what.name, dataset.name);
            for row in &rows {
                let known = find::<BenchmarkSpec>(&get(row, "benchmark")).is_some();
                if !known || row.grid.is_some() {
                    continue;
                }
                let plan = row
                    .plan(&[])
                    .unwrap_or_else(|e| panic!("{}: {e}", row.label));
                assert_eq!(plan.runs.len(), 5, "{}", row.label);
                assert_eq!(plan.runs[0].config.profile, Profile::Released);
            }
        }
    }
    for row in rows(&FIGURE_5A, &ROTATED_MNIST, 1).unwrap() {
        assert_eq!(row.plan(&[]).unwrap().runs.len(), 5);
    }
}

#[test]
fn the_log_behind_the_published_number_wins() {
    let lr = |what, dataset, label| get(&row(what, dataset, 1, label), "lr");
    assert_eq!(lr(&BASELINES, &MINI_IMAGENET, "Naive SGD"), "0.1");
    assert_eq!(lr(&BASELINES, &MINI_IMAGENET, "ER"), "0.05");
    assert_eq!(lr(&REPLAY, &MINI_IMAGENET, "ER M=5"), "0.1");
    assert_eq!(lr(&BASELINES, &CUB, "TAG-RMSProp"), "0.00005");
    assert_eq!(lr(&HYBRID, &CUB, "TAG-EWC"), "0.000025");
    assert_eq!(lr(&HYBRID, &CUB, "TAG-ER"), "0.00005");
    assert_eq!(lr(&ABLATION, &CUB, "TAG-G B=5"), "0.000025");
    let stable = |epochs| row(&BASELINES, &CIFAR, epochs, "Stable SGD");
    assert_eq!(
        (get(&stable(1), "dropout"), get(&stable(5), "dropout")),
        ("0.1".into(), "0.0".into())
    );
    assert_eq!(get(&stable(1), "momentum"), "0.8");
    let tag = |what, epochs| get(&row(what, &FIVE_DATA, epochs, "TAG-RMSProp"), "epochs");
    assert_eq!(
        (tag(&NAIVE, 1), tag(&BASELINES, 5)),
        ("1".into(), "5".into())
    );
    assert_eq!(get(&row(&BASELINES, &CUB, 5, "Multi-task"), "epochs"), "1");
}

#[test]
fn all_rows_of_a_data_set_stand_once() {
    let rows = all_rows(&CIFAR, &[1, 5]).unwrap();
    let runs: Vec<_> = rows
        .iter()
        .flat_map(|row| row.plan(&[]).unwrap().runs)
        .map(|run| run.config.run_id())
        .collect();
    assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len());
    let labels: Vec<_> = rows.iter().map(|row| row.label.as_str()).collect();
    for label in [
        "Naive SGD",
        "TAG-Adam",
        "TAG-ER M=10",
        "A-GEM M=5",
        "TAG-age",
        "EWC, 5 epochs",
    ] {
        assert!(labels.contains(&label), "{label} in {labels:?}");
    }
    assert_eq!(
        labels.iter().collect::<BTreeSet<_>>().len(),
        labels.len(),
        "{labels:?}"
    );
}

#[test]
fn what_is_not_there_is_said() {
    let error = rows(&NAIVE, &ROTATED_MNIST, 1).unwrap_err().to_string();
    assert!(error.contains("replicate rotated-mnist"), "{error}");
    let naive = rows(&NAIVE, &CIFAR, 1).unwrap();
    let error = only(naive.clone(), &["TAG".to_string()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no row `TAG`") && error.contains("TAG-RMSProp"),
        "{error}"
    );
    assert_eq!(only(naive, &["tag-adam".to_string()]).unwrap().len(), 1);
    for name in [
        "cifar",
        "Split-CIFAR100",
        "5-dataset",
        "mini_imagenet",
        "split-cub",
    ] {
        assert!(PaperStream::parse_any(name).is_some(), "{name}");
    }
    assert!(PaperStream::parse_any("imagenet").is_none());
}

#[test]
fn labels_with_commas_can_be_named_alone_and_among_others() {
    let row = |label: &str| Row {
        label: label.to_string(),
        source: String::new(),
        settings: Vec::new(),
        grid: None,
        notes: Vec::new(),
    };
    let rows = || {
        ["A-GEM", "A-GEM, M=1", "A-GEM, M=1, TAG", "ER, M=1", "M=1"]
            .map(row)
            .to_vec()
    };
    let named = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        only(rows(), &texts)
            .map(|rows| rows.into_iter().map(|row| row.label).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    assert_eq!(named(&[]).unwrap().len(), 5);
    assert_eq!(named(&["a-gem, m=1"]).unwrap(), ["A-GEM, M=1"]);
    assert_eq!(
        named(&["A-GEM, M=1, TAG,ER, M=1"]).unwrap(),
        ["A-GEM, M=1, TAG", "ER, M=1"]
    );
    assert_eq!(named(&["A-GEM", "M=1"]).unwrap(), ["A-GEM", "M=1"]);
    let error = named(&["ER, M=1, M=7"]).unwrap_err();
    assert!(
        error.contains("M=7") && error.contains("`A-GEM, M=1`"),
        "{error}"
    );
}
