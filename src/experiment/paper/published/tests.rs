use super::*;

fn config(settings: &[(&str, &str)]) -> RunConfig {
    let mut all = Settings::default();
    for (key, value) in settings {
        all.set(key, value, Origin::CommandLine).unwrap();
    }
    all.plan().unwrap().runs[0].config.clone()
}

fn labels(config: &RunConfig) -> Vec<(&'static str, Agreement)> {
    matching(config)
        .into_iter()
        .map(|(row, agreement)| (row.label.as_str(), agreement))
        .collect()
}

const TAG: [(&str, &str); 3] = [
    ("benchmark", "split-cifar100"),
    ("optimizer", "tag-rmsprop"),
    ("profile", "released"),
];

#[test]
fn every_row_of_a_known_benchmark_resolves_and_has_an_accuracy() {
    let mut places = 0;
    for entry in entries() {
        let row = &entry.row;
        let name = format!("{} {}", row.dataset, row.label);
        places += row.printed.len();
        let Some(Values::Runs(_) | Values::Summary(_, _)) = row.values(Quantity::Accuracy) else {
            panic!("{name}: no accuracy");
        };
        assert_eq!(entry.configs.is_some(), row.benchmark().is_some(), "{name}");
        if let Some((_, stated)) = &entry.configs {
            assert_eq!(stated.len(), row.stated.len(), "{name}");
        }
        assert!(!row.source().is_empty(), "{name}");
    }
    // Tables 1 (32), 4 (28), 5 (32), 6 (28) and 7 (24), Figures 1 (28), 4 (72) and 5a (3).
    assert_eq!(places, 247);
}

#[test]
fn printed_figures_are_those_of_the_logs() {
    for row in rows() {
        let Some(log) = row.log.as_ref().filter(|log| log.runs.len() >= 2) else {
            continue;
        };
        let accuracies: Vec<f64> = log.runs.iter().map(|run| run.accuracy).collect();
        let (mean, std) = mean_std(&accuracies).unwrap();
        for printed in row.printed.iter().filter(|p| !p.digitised) {
            let Some(figure) = printed.accuracy else {
                continue;
            };
            let name = format!("{} {} {}", row.dataset, row.label, printed.r#where);
            assert!((figure.mean - mean).abs() < 0.006, "{name}: {mean}");
            assert!((figure.std.unwrap() - std).abs() < 0.006, "{name}: {std}");
        }
        assert!(row.n == log.runs.len(), "{} {}", row.dataset, row.label);
    }
}

#[test]
fn a_run_of_the_released_settings_matches_whatever_its_seed() {
    let mut run = config(&TAG);
    run.seed = 77;
    assert_eq!(labels(&run), [("TAG-RMSProp", Agreement::InForce)]);
    let (row, _) = matching(&run)[0];
    let Some(Values::Runs(accuracies)) = row.values(Quantity::Accuracy) else {
        panic!("the log has five runs");
    };
    assert_eq!(accuracies.len(), 5);
    assert!((mean_std(&accuracies).unwrap().0 - 62.786).abs() < 1e-3);
}

#[test]
fn any_other_setting_is_another_experiment() {
    let other = |key: &'static str, value: &'static str| {
        let settings: Vec<_> = TAG.into_iter().filter(|(k, _)| *k != key).collect();
        labels(&config(&[&settings[..], &[(key, value)]].concat()))
    };
    for (key, value) in [
        ("profile", "corrected"),
        ("lr", "0.0003"),
        ("b", "7"),
        ("fraction", "0.5"),
        ("validation", "0.1"),
        ("dropout", "0.1"),
        ("batch_size", "64"),
        ("epochs", "2"),
        ("tasks", "10"),
        ("gamma", "0.9"),
        ("alpha_scope", "global"),
        ("epsilon", "inside"),
        ("past_moments", "bf16"),
        ("tag_own_b", "3"),
        ("tag_memory", "flat"),
        ("tag_memory", "clusters"),
        ("class_order", "seeded"),
        ("init_sha256", "00"),
    ] {
        assert_eq!(other(key, value), [], "{key} = {value}");
    }
    assert_eq!(other("epochs", "5"), [("TAG-RMSProp", Agreement::InForce)]);
    assert_eq!(other("alpha", "age"), [("TAG-age", Agreement::InForce)]);
}

#[test]
fn settings_that_are_only_stated_say_so() {
    let adagrad = |lr| {
        let settings = [
            ("benchmark", "split-cifar100"),
            ("optimizer", "adagrad"),
            ("profile", "released"),
            ("lr", lr),
        ];
        labels(&config(&settings))
    };
    assert_eq!(adagrad("0.01"), [("Naive Adagrad", Agreement::InForce)]);
    assert_eq!(adagrad("0.005"), [("Naive Adagrad", Agreement::OnlyStated)]);
}

#[test]
fn the_embedded_sample_is_not_the_papers_data() {
    let settings = [
        ("benchmark", "rotated-mnist"),
        ("optimizer", "tag-rmsprop"),
        ("profile", "released"),
    ];
    let full = config(&settings);
    assert_eq!(labels(&full), [("TAG-RMSProp", Agreement::InForce)]);
    let sample = config(&[&settings[..], &[("data", "embedded")]].concat());
    assert_eq!(labels(&sample), []);
}

/// Every run of a replication has a published row to stand beside.
#[test]
fn replications_match_the_rows_that_they_replicate() {
    use crate::experiment::paper::replicate::{PAPER_STREAMS, REPLICATIONS, rows};
    let mut checked = 0;
    for what in REPLICATIONS {
        for dataset in PAPER_STREAMS {
            for epochs in [1, 5] {
                let replicated = rows(what, dataset, epochs).unwrap_or_default();
                for row in replicated.iter().filter(|row| row.grid.is_none()) {
                    let settings = row.settings_with(&[]).unwrap();
                    let Ok(plan) = settings.plan() else {
                        // A benchmark that this program does not have (yet).
                        let name = row.settings.iter().find(|(key, _)| *key == "benchmark");
                        assert_eq!(name.and_then(|(_, name)| find::<BenchmarkSpec>(name)), None);
                        continue;
                    };
                    let mut config = plan.runs[0].config.clone();
                    if config.benchmark.name() == "split-cub" {
                        config.init_sha256 = Some("weights".to_string());
                    }
                    let found = labels(&config);
                    let name = format!(
                        "{} {} {epochs} {}: {found:?}",
                        what.name, dataset.name, row.label
                    );
                    assert!(
                        found.iter().any(|(_, a)| *a == Agreement::InForce),
                        "{name}"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

/// Rows of other programs are runs of this one, each with an accuracy, and each is found again.
#[test]
fn neighbours_are_runs_of_this_program() {
    let mut count = 0;
    for entry in neighbour_entries() {
        let name = format!("{} {}", entry.row.dataset, entry.row.label);
        let (config, _) = entry.configs.as_ref().unwrap_or_else(|| panic!("{name}"));
        assert!(
            matches!(entry.row.values(Quantity::Accuracy), Some(Values::Runs(_))),
            "{name}"
        );
        let found = matching(config);
        assert!(
            found.iter().any(|(row, _)| row.label == entry.row.label),
            "{name}"
        );
        count += 1;
    }
    assert!(count > 30, "{count}");
}
