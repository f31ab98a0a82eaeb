use super::*;
use crate::experiment::benchmark::Benchmark;
use crate::experiment::benchmark::custom::{CustomBenchmark, CustomScaling};
use crate::model::MLP;
use crate::report::testing::{config, run};
use crate::report::{Group, group_runs, names};
use crate::settings::find;

/// A configuration on a benchmark of one's own, whose file names another model and another number of tasks than ran.
fn own(name: &str, definition: &str) -> RunConfig {
    let mut config = config(&[], 1);
    config.tasks = 3;
    config.model = find("lenet").unwrap();
    config.benchmark = Benchmark::own(CustomBenchmark {
        name: name.to_string(),
        definition_sha256: definition.repeat(32),
        classes: 6,
        shape: [3, 32, 32],
        scaling: CustomScaling::Unit,
        tasks: 2,
        tasks_are_fixed: false,
        task_sizes: Vec::new(),
        model: &MLP,
        path: "pets.toml".into(),
    });
    config
}

fn value(config: &RunConfig, key: &str) -> Option<String> {
    let found = columns(config).into_iter().find(|(k, _)| *k == key);
    found.map(|(_, value)| value.to_string())
}

#[test]
fn columns_say_what_ran_and_not_what_a_file_suggests() {
    let pets = own("pets", "ab");
    assert_eq!(value(&pets, "benchmark").unwrap(), "pets");
    assert_eq!(value(&pets, "tasks").unwrap(), "3");
    assert_eq!(value(&pets, "model").unwrap(), "lenet");
    assert_eq!(value(&pets, "classes"), None);
    let all = format!("{:?}", columns(&pets));
    assert!(
        !all.contains("custom") && !all.contains(&"ab".repeat(32)),
        "{all}"
    );
    assert_eq!(data_sets(&pets), "pets");
}

#[test]
fn columns_are_typed_and_in_the_order_of_the_settings() {
    let all = columns(&config(
        &[
            ("optimizer", "tag-rmsprop"),
            ("lr", "1e-4"),
            ("method", "er"),
        ],
        1,
    ));
    let of = |key: &str| all.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone());
    assert_eq!(of("lr"), Some(Value::Real(1e-4)));
    assert_eq!(of("replay_current"), Some(Value::Truth(true)));
    assert_eq!(of("alpha"), Some(Value::Text("cosine".to_string())));
    assert_eq!((of("seed"), of("jobs")), (None, None));
    let place = |key: &str| keys().position(|k| k == key);
    assert!(
        all.windows(2)
            .all(|pair| place(pair[0].0) < place(pair[1].0))
    );
}

#[test]
fn values_are_what_was_typed() {
    assert!(Value::Real(0.1).is("0.10") && !Value::Real(0.1).is("0.2"));
    assert!(Value::Truth(true).is("true"));
    let sum = Value::Text("0123456789abcdef".repeat(4));
    assert_eq!(sum.short(), "01234567");
    assert!(sum.is("01234567") && sum.is(&sum.to_string()) && !sum.is("0123456"));
    assert_eq!(Value::Text("short".to_string()).short(), "short");
    let mut numbers = [10.0, 0.25, 3.0].map(Value::Real);
    numbers.sort_by(Value::order);
    assert_eq!(numbers, [0.25, 3.0, 10.0].map(Value::Real));
}

fn titles(runs: &[crate::report::load::Run]) -> Vec<String> {
    let groups = group_runs(runs, &[]);
    let groups: Vec<&Group> = groups.iter().collect();
    names::stages(&groups)
        .into_iter()
        .map(|stage| stage.title)
        .collect()
}

/// Benchmarks of one's own with as many tasks and classes, and the same one in another version: different streams, each
/// under its own name.
#[test]
fn own_benchmarks_are_stages_of_their_own() {
    let on = |name: &str, definition: &str, seed: u64| {
        let mut config = own(name, definition);
        config.seed = seed;
        run(config, 50.0, 1.0)
    };
    let runs = [
        on("pets", "ab", 1),
        on("plants", "cd", 1),
        on("pets", "ab", 2),
    ];
    assert_eq!(
        titles(&runs),
        [
            "pets, task-incremental, 3 tasks",
            "plants, task-incremental, 3 tasks"
        ]
    );
    let runs = [on("pets", "ab", 1), on("pets", "cd", 1)];
    assert_eq!(
        titles(&runs),
        [
            "pets, task-incremental, 3 tasks, definition abababab",
            "pets, task-incremental, 3 tasks, definition cdcdcdcd"
        ]
    );
}

#[test]
fn other_images_are_another_stream_and_said_so() {
    let mut other = run(config(&[("lr", "0.2")], 1), 50.0, 1.0);
    other.provenance.data_sha256 = "cd".repeat(32);
    let runs = [run(config(&[], 1), 50.0, 1.0), other];
    assert_eq!(
        titles(&runs),
        [
            "split-cifar100, task-incremental, 2 tasks, data abababab",
            "split-cifar100, task-incremental, 2 tasks, data cdcdcdcd"
        ]
    );
    // What changes the runs but not what they learn and are measured on is the same stream.
    let runs = [
        ("lr", "0.2"),
        ("epochs", "2"),
        ("batch_size", "20"),
        ("method", "er"),
    ]
    .map(|setting| run(config(&[setting], 1), 50.0, 1.0));
    assert_eq!(titles(&runs), ["split-cifar100, task-incremental, 2 tasks"]);
}
