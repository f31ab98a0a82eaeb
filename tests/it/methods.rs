//! The methods: golden values (`tests/golden/methods.json`), and whole runs that must equal plain training.

use std::sync::atomic::AtomicBool;

use serde_json::Value;
use tagcl::experiment::plan::config::RunConfig;
use tagcl::experiment::plan::settings::{Origin, Settings};
use tagcl::experiment::run::result::RunResult;
use tagcl::experiment::run::runner::{RunInput, SharedData, train};
use tagcl::method::{Ewc, EwcConfig, Fisher, FisherLabels, Penalty, project};
use tagcl::optim::{Layout, Naive, NaiveKind, Optimizer, Tag, TagConfig};
use tagcl::seed::Seeds;

fn golden(part: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/methods.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    all[part].clone()
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error < 1e-5 * expected.abs().max(0.1), "{found} {expected}");
    }
}

#[test]
fn agem_projects_as_the_golden_case() {
    let golden = golden("agem");
    let mut gradient = floats(&golden["gradient"]);
    project(&mut gradient, &floats(&golden["memory_gradient"]));
    assert_near(&gradient, &floats(&golden["projected"]));
}

#[test]
fn ewc_charges_as_the_golden_case() {
    let golden = golden("ewc");
    let theta = floats(&golden["theta"]);
    let released: Vec<f32> = floats(&golden["gradient_released"]);
    let cases = [
        (Penalty::Released, "penalty_released", 1.0),
        (Penalty::Half, "penalty_paper_half", 0.5),
    ];
    for (penalty, name, share) in cases {
        let config = EwcConfig {
            lambda: golden["lambda"].as_f64().unwrap(),
            fisher: Fisher::Corrected,
            fisher_samples: 1,
            fisher_labels: FisherLabels::True,
            penalty,
        };
        let (fisher, anchor) = (floats(&golden["fisher"]), floats(&golden["anchor"]));
        let ewc = Ewc::anchored(config, Seeds::new(1), fisher, anchor);
        let expected = golden[name].as_f64().unwrap();
        assert!((ewc.penalty(&theta) - expected).abs() < 1e-5 * expected);
        let gradient: Vec<f32> = released.iter().map(|g| g * share).collect();
        assert_near(&ewc.penalty_gradient(&theta), &gradient);
    }
}

#[test]
fn the_released_penalty_is_cut_to_the_norm_100() {
    let config = |penalty| EwcConfig {
        lambda: 1e4,
        fisher: Fisher::Released,
        fisher_samples: 1,
        fisher_labels: FisherLabels::True,
        penalty,
    };
    let norm = |penalty| {
        let ewc = Ewc::anchored(config(penalty), Seeds::new(1), vec![1.0; 4], vec![0.0; 4]);
        let gradient = ewc.penalty_gradient(&[0.5, -0.5, 0.5, 0.5]);
        gradient.iter().map(|g| g * g).sum::<f32>().sqrt()
    };
    assert!((norm(Penalty::Released) - 100.0).abs() < 1e-3);
    assert!((norm(Penalty::Half) - 1e4).abs() < 1.0);
}

fn config(pairs: &[(&str, &str)]) -> RunConfig {
    let mut settings = Settings::default();
    let base = [
        ("benchmark", "rotated-mnist"),
        ("data", "embedded"),
        ("tasks", "3"),
        ("fraction", "0.02"),
        ("hidden", "16"),
        ("lr", "0.1"),
    ];
    for (key, value) in base.iter().chain(pairs) {
        settings.set(key, value, Origin::CommandLine).unwrap();
    }
    settings.plan().unwrap().runs.remove(0).config
}

fn run(pairs: &[(&str, &str)]) -> (RunResult, Vec<u8>) {
    let data = SharedData::new(tagcl::data::embedded::mnist_sample().unwrap());
    let input = RunInput {
        data: &data,
        init: None,
        threads: 1,
        stop: &AtomicBool::new(false),
    };
    let outcome = train(&config(pairs), &input, &mut |_| Ok(())).unwrap();
    (outcome.result, outcome.weights)
}

#[test]
fn methods_without_effect_equal_plain_training_to_the_last_bit() {
    let plain = run(&[]).1;
    for profile in ["released", "corrected"] {
        for (method, key) in [
            ("ewc", "lambda"),
            ("online-ewc", "lambda"),
            ("si", "si_strength"),
            ("mas", "mas_strength"),
            ("rwalk", "rwalk_strength"),
            ("lwf", "lwf_weight"),
            ("er", "memory_per_class"),
            ("agem", "memory_per_class"),
        ] {
            let pairs = [
                ("method", method),
                (key, "0"),
                ("profile", profile),
                ("gamma_from", "1"),
                ("angles", "exact"),
            ];
            assert_eq!(run(&pairs).1, plain, "{method}, {profile}");
        }
    }
}

#[test]
fn methods_with_effect_change_training_and_say_what_they_hold() {
    let plain = run(&[]).1;
    for profile in ["released", "corrected"] {
        // The MLP's 784·16 + 16·16 + 16·30 weights and 16 + 16 + 30 biases, as often as the method keeps them.
        let parameters = 784 * 16 + 16 + 16 * 16 + 16 + 16 * 30 + 30;
        for (method, key, value, bytes) in [
            ("ewc", "lambda", "2", 2 * 4 * parameters),
            ("online-ewc", "lambda", "2", 2 * 4 * parameters),
            ("si", "si_strength", "2", 5 * 4 * parameters),
            ("mas", "mas_strength", "0.1", 2 * 4 * parameters),
            ("rwalk", "rwalk_strength", "1", 10 * 4 * parameters),
            ("lwf", "lwf_weight", "1", 2 * 4 * parameters),
            // Two examples of each task but the last.
            ("ogd", "ogd_samples", "2", 2 * 2 * 4 * parameters),
            ("er", "memory_per_class", "2", 8 * 2 * 10),
            ("agem", "memory_per_class", "2", 8 * 2 * 30),
        ] {
            let pairs = [("method", method), (key, value), ("profile", profile)];
            let (result, weights) = run(&pairs);
            assert_ne!(weights, plain, "{method}");
            assert_eq!(result.cost.replay_bytes, bytes, "{method}");
            let replays = key == "memory_per_class";
            assert_eq!(result.cost.replayed_samples > 0, replays, "{method}");
        }
    }
}

#[test]
fn joint_and_cyclic_training_report_their_end_alone() {
    for schedule in ["joint", "cyclic"] {
        let (result, _) = run(&[("schedule", schedule)]);
        assert_eq!(result.accuracy_matrix.rows().len(), 1);
        assert_eq!(result.accuracy_matrix.rows()[0].len(), 3);
        assert_eq!(result.metrics.forgetting, None);
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), result);
    }
    let steps = |pairs: &[(&str, &str)]| run(pairs).0.cost.steps;
    assert_eq!(steps(&[("schedule", "cyclic")]), 6 * steps(&[]));
}

/// One network goes on over all that has come: the first task is that of plain training, and task t has t times its steps.
#[test]
fn cumulative_training_goes_over_all_that_has_come() {
    for scenario in ["task", "domain", "class"] {
        let of = |schedule| {
            let pairs = [("schedule", schedule), ("scenario", scenario)];
            run(&[
                &[("benchmark", "permuted-mnist"), ("evaluate_future", "true")],
                &pairs[..],
            ]
            .concat())
        };
        let ((plain, before), (cumulative, weights)) = (of("sequential"), of("cumulative"));
        assert_ne!(before, weights);
        let rows = |result: &RunResult| result.accuracy_matrix.rows().to_vec();
        assert_eq!(rows(&cumulative)[0], rows(&plain)[0]);
        assert_ne!(rows(&cumulative)[1], rows(&plain)[1]);
        assert_eq!(rows(&cumulative).len(), 3);
        assert_eq!(
            cumulative.ahead_matrix.len(),
            3,
            "before training and after two tasks"
        );
        assert!(cumulative.metrics.forgetting.is_some());
        // Tasks of equal size in full batches.
        assert_eq!(cumulative.cost.steps, (1 + 2 + 3) * plain.cost.steps / 3);
        assert_eq!(cumulative.cost.samples, 2 * plain.cost.samples);
    }
}

/// A network of its own for every task: the first is plain training's, whatever the optimizer remembers of updates is gone, no row
/// changes afterwards, and what has not come is judged as before training.
#[test]
fn independent_networks_neither_forget_nor_pass_on() {
    let pairs = [
        ("optimizer", "adam"),
        ("lr", "0.01"),
        ("evaluate_future", "true"),
    ];
    let of = |more: &[(&str, &str)]| run(&[&pairs, more].concat());
    let (plain, _) = of(&[]);
    let (independent, _) = of(&[("method", "independent")]);
    let rows = independent.accuracy_matrix.rows();
    assert_eq!(rows[0], plain.accuracy_matrix.rows()[0]);
    assert_eq!(
        (rows[1][0], rows[2][..2].to_vec()),
        (rows[0][0], rows[1].clone())
    );
    assert_eq!(independent.metrics.forgetting, Some(0.0));
    assert_eq!(independent.metrics.backward_transfer, Some(0.0));
    let ahead = &independent.ahead_matrix;
    assert_eq!(
        (&ahead[1][..], &ahead[2][..]),
        (&ahead[0][1..], &ahead[0][2..])
    );
    assert_eq!(independent.metrics.forward_transfer, Some(0.0));
    assert_ne!(plain.ahead_matrix[1], plain.ahead_matrix[0][1..]);
    // Three tasks' networks and the initial one, each with its tensors for snapshots.
    let parameters = 784 * 16 + 16 + 16 * 16 + 16 + 16 * 30 + 30;
    assert_eq!(independent.cost.replay_bytes, 4 * 2 * 4 * parameters);
}

/// An image's own task decides which network judges it, and TAG has nothing to remember.
#[test]
fn independent_is_refused_where_it_means_nothing() {
    let data = SharedData::new(tagcl::data::embedded::mnist_sample().unwrap());
    let input = RunInput {
        data: &data,
        init: None,
        threads: 1,
        stop: &AtomicBool::new(false),
    };
    for (pair, words) in [
        (("scenario", "domain"), "only with scenario = task"),
        (
            ("optimizer", "tag-rmsprop"),
            "choose one that remembers no tasks",
        ),
    ] {
        let config = config(&[("method", "independent"), pair]);
        let error = train(&config, &input, &mut |_| Ok(()))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_task_ends_when_the_validation_loss_stops_falling() {
    let pairs = [("epochs", "40"), ("validation", "0.5"), ("lr", "0.5")];
    let all = run(&pairs).0.cost.steps;
    let pairs = [&pairs[..], &[("patience", "2")]].concat();
    let some = run(&pairs).0.cost.steps;
    assert!(some < all, "{some} {all}");
}

#[test]
fn tag_on_its_first_task_is_rmsprop() {
    let layout = Layout::new([("a".to_string(), vec![30]), ("b".to_string(), vec![5])]);
    let mut tag = Tag::new(TagConfig::default(), layout).unwrap();
    let mut naive = Naive::new(NaiveKind::RmsProp, 35);
    tag.begin_task();
    naive.begin_task();
    let mut a: Vec<f32> = (0..35).map(|i| (i as f32 * 0.3).sin()).collect();
    let mut b = a.clone();
    for step in 0..20 {
        let gradient: Vec<f32> = (0..35)
            .map(|i| ((i * 3 + step * 7) as f32 * 0.21).cos())
            .collect();
        tag.step(&mut a, &gradient, 0.01).unwrap();
        naive.step(&mut b, &gradient, 0.01).unwrap();
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-5, "step {step}: {a} {b}");
        }
    }
}
