use super::*;
use crate::report::metric::{ACCURACY, FORGETTING};
use crate::report::statistics::EffectKind;
use crate::report::testing::{config, run};

type Settings<'a> = &'a [(&'a str, &'a str)];

const TAG: Settings<'static> = &[("optimizer", "tag-rmsprop")];
const ADAM: Settings<'static> = &[("optimizer", "adam")];

fn side(name: &str, groups: &[(Settings<'_>, &[u64], &[f64])]) -> Side {
    let mut loaded = Loaded::default();
    for (settings, seeds, accuracies) in groups {
        for (seed, accuracy) in seeds.iter().zip(*accuracies) {
            let mut run = run(config(settings, *seed), *accuracy, 3.0);
            run.folder = format!("{name}/{}", run.run_id).into();
            loaded.runs.push(run);
        }
    }
    Side::new(name.to_string(), loaded)
}

#[test]
fn seeds_that_agree_are_paired() {
    let one = side(
        "runs",
        &[
            (&[], &[1, 2, 3], &[50.0, 52.0, 51.0]),
            (TAG, &[3, 1, 2], &[61.0, 60.0, 63.0]),
        ],
    );
    let comparisons = compare(vec![one], &ACCURACY);
    assert_eq!(comparisons.pairs.len(), 1);
    let pair = &comparisons.pairs[0];
    assert_eq!(
        (pair.a.as_str(), pair.b.as_str()),
        ("plain sgd", "plain tag-rmsprop")
    );
    assert_eq!(
        (pair.paired, pair.difference),
        (Some(true), 51.0 - 184.0 / 3.0)
    );
    // scipy.stats.ttest_rel([50, 52, 51], [60, 63, 61]): t = -31, p = 0.00103896...
    assert!(
        (pair.p.unwrap() - 0.001_038_961).abs() < 1e-8,
        "{:?}",
        pair.p
    );
    assert_eq!(pair.effect.unwrap().kind, EffectKind::GZ);
}

#[test]
fn other_seeds_are_independent_samples_and_single_runs_have_no_test() {
    let one = side(
        "runs",
        &[
            (&[], &[1, 2], &[50.0, 52.0]),
            (TAG, &[3, 4, 5], &[60.0, 63.0, 61.0]),
            (ADAM, &[1], &[40.0]),
        ],
    );
    let comparisons = compare(vec![one], &ACCURACY);
    let tests: Vec<Option<bool>> = comparisons.pairs.iter().map(|pair| pair.paired).collect();
    // sgd-adam, sgd-tag, adam-tag
    assert_eq!(tests, [None, Some(false), None]);
    assert_eq!(comparisons.pairs[0].p_holm, None);
    assert_eq!(comparisons.pairs[1].p_holm, comparisons.pairs[1].p);
}

#[test]
fn p_values_are_corrected_over_all_pairs() {
    let one = side(
        "runs",
        &[
            (&[], &[1, 2, 3], &[50.0, 52.0, 51.0]),
            (ADAM, &[1, 2, 3], &[51.0, 52.5, 50.0]),
            (TAG, &[1, 2, 3], &[60.0, 63.0, 61.0]),
        ],
    );
    let comparisons = compare(vec![one], &ACCURACY);
    let p: Vec<f64> = comparisons
        .pairs
        .iter()
        .map(|pair| pair.p.unwrap())
        .collect();
    let corrected: Vec<f64> = comparisons
        .pairs
        .iter()
        .map(|pair| pair.p_holm.unwrap())
        .collect();
    assert_eq!(corrected, holm(&p));
    assert!(corrected.iter().zip(&p).any(|(q, p)| q > p));
}

#[test]
fn only_the_same_stage_is_compared() {
    let fraction: Settings<'_> = &[("fraction", "0.5")];
    let other_tasks: Settings<'_> = &[("tasks", "5"), ("optimizer", "adam")];
    let groups: &[(Settings<'_>, &[u64], &[f64])] = &[
        (&[], &[1], &[50.0]),
        (fraction, &[1], &[40.0]),
        (other_tasks, &[1], &[40.0]),
    ];
    let comparisons = compare(vec![side("runs", groups)], &ACCURACY);
    assert_eq!(comparisons.stages.len(), 3);
    assert_eq!(comparisons.pairs, []);
}

#[test]
fn a_configuration_on_both_sides_meets_itself() {
    let a = side(
        "old",
        &[(&[], &[1, 2], &[50.0, 51.0]), (TAG, &[1, 2], &[60.0, 61.0])],
    );
    let b = side(
        "new",
        &[(&[], &[1, 2], &[50.0, 51.5]), (TAG, &[1, 2], &[60.5, 61.0])],
    );
    let comparisons = compare(vec![a, b], &ACCURACY);
    let names: Vec<(&str, &str)> = comparisons
        .pairs
        .iter()
        .map(|p| (p.a.as_str(), p.b.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("A: plain sgd", "B: plain sgd"),
            ("A: plain tag-rmsprop", "B: plain tag-rmsprop"),
        ]
    );
    let a = side("old", &[(&[], &[1, 2], &[50.0, 51.0])]);
    let b = side(
        "new",
        &[
            (TAG, &[1, 2], &[50.0, 51.0]),
            (ADAM, &[1, 2], &[50.0, 51.0]),
        ],
    );
    assert_eq!(compare(vec![a, b], &ACCURACY).pairs.len(), 2);
    // The same folders on both sides say nothing.
    let same = || side("old", &[(&[], &[1, 2], &[50.0, 51.0])]);
    assert_eq!(compare(vec![same(), same()], &ACCURACY).pairs, []);
}

#[test]
fn ranks_are_of_the_metric_and_means_of_those_that_ran_everywhere() {
    let five: Settings<'_> = &[("tasks", "5")];
    let five_tag: Settings<'_> = &[("tasks", "5"), ("optimizer", "tag-rmsprop")];
    let groups: &[(Settings<'_>, &[u64], &[f64])] = &[
        (&[], &[1], &[50.0]),
        (ADAM, &[1], &[55.0]),
        (TAG, &[1], &[60.0]),
        (five, &[1], &[70.0]),
        (five_tag, &[1], &[65.0]),
    ];
    let comparisons = compare(vec![side("runs", groups)], &ACCURACY);
    let of = |name: &str| comparisons.ranking.iter().find(|r| r.name == name).unwrap();
    assert_eq!(of("plain sgd").ranks, [Some(3.0), Some(1.0)]);
    assert_eq!(of("plain adam").ranks, [Some(2.0), None]);
    assert_eq!(
        (of("plain sgd").mean, of("plain tag-rmsprop").mean),
        (Some(1.5), Some(1.5))
    );
    assert_eq!(of("plain adam").mean, None);
    // Forgetting: less is better, and here all forget alike.
    let forgetting = compare(vec![side("runs", groups)], &FORGETTING);
    assert_eq!(
        forgetting
            .ranking
            .iter()
            .find(|r| r.name == "plain adam")
            .unwrap()
            .ranks[0],
        Some(2.0)
    );
}

#[test]
fn the_front_is_what_nothing_dominates() {
    let mut side = side(
        "runs",
        &[
            (&[], &[1], &[50.0]),
            (ADAM, &[1], &[45.0]),
            (TAG, &[1], &[60.0]),
        ],
    );
    for (group, seconds) in side.groups.iter_mut().zip([10.0, 12.0, 30.0]) {
        group.cost.train_s.mean = seconds;
    }
    let comparisons = compare(vec![side], &ACCURACY);
    let rows: Vec<(&str, bool)> = comparisons
        .cost
        .iter()
        .map(|row| (row.name.as_str(), row.time_front))
        .collect();
    assert_eq!(
        rows,
        [
            ("plain tag-rmsprop", true),
            ("plain sgd", true),
            ("plain adam", false)
        ]
    );
}

/// Whatever makes the stream another one keeps groups apart, and nothing else does.
#[test]
fn a_stage_is_a_stream() {
    let base = || run(config(&[], 1), 50.0, 3.0);
    let stages = |other: Run| {
        let mut loaded = Loaded::default();
        for (i, mut run) in [base(), other].into_iter().enumerate() {
            run.folder = format!("runs/{i}").into();
            loaded.runs.push(run);
        }
        compare(vec![Side::new("runs".to_string(), loaded)], &ACCURACY)
    };
    for setting in [
        ("fraction", "0.5"),
        ("validation", "0.1"),
        ("class_order", "seeded"),
        ("tasks", "4"),
    ] {
        let found = stages(run(config(&[setting], 1), 50.0, 3.0));
        assert_eq!(
            (found.stages.len(), found.pairs.len()),
            (2, 0),
            "{setting:?}"
        );
    }
    for setting in [("lr", "0.2"), ("epochs", "2"), ("dropout", "0.1")] {
        let found = stages(run(config(&[setting], 1), 50.0, 3.0));
        assert_eq!(
            (found.stages.len(), found.pairs.len()),
            (1, 1),
            "{setting:?}"
        );
    }
    let mut other_images = run(config(&[("lr", "0.2")], 1), 50.0, 3.0);
    other_images.provenance.data_sha256 = "cd".repeat(32);
    let found = stages(other_images);
    assert_eq!(found.pairs, []);
    assert!(
        found.stages[0].ends_with("data abababab"),
        "{:?}",
        found.stages
    );
    assert!(
        found
            .remarks
            .iter()
            .any(|remark| remark.contains("not comparable")),
        "{:?}",
        found.remarks
    );
}
