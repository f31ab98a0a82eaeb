//! Tests of the settings: precedence, ranges, round trip.

use super::*;
use crate::experiment::plan::config::RunConfig;
use crate::method::{AgemConfig, ErConfig, EwcConfig, Fisher, Penalty, ReservoirRule};
use crate::optim::OPTIMIZERS;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (key, value) in pairs {
        settings.set(key, value, Origin::CommandLine).unwrap();
    }
    settings
}

fn error(pairs: &[(&str, &str)]) -> String {
    settings(pairs).plan().unwrap_err().to_string()
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file() {
    let mut s = Settings::from_toml(
        "benchmark = 'split-cifar100'\nlr = 0.5\nseeds = [1, 2]\n",
        "a.toml",
    )
    .unwrap();
    s.set("out", "env", Origin::Environment("TAGCL_OUT"))
        .unwrap();
    s.set("lr", "0.25", Origin::CommandLine).unwrap();
    s.set("lr", "0.75", Origin::File("late.toml".to_string()))
        .unwrap();
    let plan = s.plan().unwrap();
    assert_eq!(
        (plan.runs[1].config.lr, plan.runs[1].config.seed),
        (0.25, 2)
    );
    assert!(
        plan.runs[0]
            .toml
            .contains("lr = 0.25  # from the command line"),
        "{}",
        plan.runs[0].toml
    );
    assert!(
        plan.runs[0]
            .toml
            .contains("benchmark = \"split-cifar100\"  # from a.toml")
    );
}

#[test]
fn a_later_file_beats_an_earlier_one_whatever_their_names() {
    let mut s = settings(&[("benchmark", "split-cifar100")]);
    for (path, lr) in [("z.toml", "0.5"), ("a.toml", "0.25")] {
        s.set("lr", lr, Origin::File(path.to_string())).unwrap();
    }
    assert_eq!(s.plan().unwrap().runs[0].config.lr, 0.25);
}

#[test]
fn every_methods_configuration_reads_back_equal() {
    let cases: [&[(&str, &str)]; 8] = [
        &[("method", "ewc"), ("lambda", "12.5")],
        &[("method", "ewc"), ("profile", "released")],
        &[("method", "agem"), ("memory_per_class", "3")],
        &[("method", "agem"), ("profile", "released")],
        &[("method", "er"), ("profile", "released")],
        &[("method", "er"), ("reservoir", "batch")],
        &[("schedule", "cyclic"), ("lr", "0.01")],
        &[("epochs", "30"), ("validation", "0.1"), ("patience", "3")],
    ];
    for case in cases {
        let pairs = [&[("benchmark", "split-cifar100")], case].concat();
        let run = settings(&pairs).plan().unwrap().runs.remove(0);
        let back = parse_config_toml(&run.toml).unwrap();
        assert_eq!(back, run.config, "{}", run.toml);
        let json = serde_json::to_string(&run.config).unwrap();
        assert_eq!(serde_json::from_str::<RunConfig>(&json).unwrap(), back);
    }
    for alpha in ["one", "age", "gradients", "cosine"] {
        let pairs = [
            ("benchmark", "split-cifar100"),
            ("optimizer", "tag-rmsprop"),
            ("alpha", alpha),
        ];
        let run = settings(&pairs).plan().unwrap().runs.remove(0);
        assert_eq!(parse_config_toml(&run.toml).unwrap(), run.config);
    }
}

#[test]
fn a_profile_sets_every_difference_of_a_method() {
    let of = |method, profile| {
        let pairs = [
            ("benchmark", "split-cifar100"),
            ("method", method),
            ("profile", profile),
        ];
        settings(&pairs).plan().unwrap().runs.remove(0).config
    };
    let own = |method, profile| of(method, profile).method_settings;
    let ewc = |profile| own("ewc", profile).get::<EwcConfig>().unwrap().clone();
    assert_eq!(
        (ewc("released").fisher, ewc("released").penalty),
        (Fisher::Released, Penalty::Released)
    );
    assert_eq!(
        (ewc("corrected").fisher, ewc("corrected").penalty),
        (Fisher::Corrected, Penalty::Half)
    );
    let er = |profile| own("er", profile).get::<ErConfig>().unwrap().clone();
    assert!(er("released").replay_current && !er("corrected").replay_current);
    assert_eq!(er("released").reservoir, ReservoirRule::Batch);
    assert_eq!(er("corrected").reservoir, ReservoirRule::Uniform);
    let agem = |profile| own("agem", profile).get::<AgemConfig>().unwrap().clone();
    assert!(agem("released").forwards_twice && !agem("corrected").forwards_twice);
}

#[test]
fn a_written_configuration_reads_back_equal() {
    for optimizer in OPTIMIZERS {
        for benchmark in ["split-cifar100", "rotated-mnist", "permuted-mnist"] {
            let pairs = [
                ("optimizer", optimizer.name),
                ("benchmark", benchmark),
                ("lr", "0.0003"),
                ("seeds", "4"),
            ];
            let run = settings(&pairs).plan().unwrap().runs.remove(0);
            assert_eq!(
                parse_config_toml(&run.toml).unwrap(),
                run.config,
                "{}",
                run.toml
            );
        }
    }
}

#[test]
fn published_learning_rates_are_defaults_and_their_absence_is_said() {
    let plan = settings(&[
        ("benchmark", "split-cifar100"),
        ("optimizer", "tag-rmsprop"),
    ])
    .plan()
    .unwrap();
    assert_eq!(plan.runs[0].config.lr, 0.00025);
    let message = error(&[("benchmark", "rotated-mnist"), ("optimizer", "adam")]);
    assert!(message.contains("give --lr"), "{message}");
}

#[test]
fn bad_values_name_key_value_and_range() {
    let base = ("benchmark", "split-cifar100");
    for (key, value, part) in [
        ("lr", "nan", "above 0"),
        ("lr", "0", "above 0"),
        ("lr", "-1", "above 0"),
        ("lr", "inf", "above 0"),
        ("tasks", "7", "use one of 1, 2, 4, 5, 10, 20, 25, 50"),
        ("tasks", "100", "tasks of one class"),
        ("tasks", "0", "from 1"),
        ("batch_size", "0", "from 1"),
        ("epochs", "1.5", "from 1"),
        ("dropout", "1", "below 1"),
        ("fraction", "0", "above 0"),
        ("seeds", "5-1", "1-5"),
        ("seeds", "1,1", "each once"),
        ("seeds", "0-99999999999", "at most"),
        ("optimizer", "tag-rmsprp", "did you mean `tag-rmsprop`"),
        ("angles", "exact", "no effect"),
        (
            "b",
            "5",
            "only for the tag-rmsprop, tag-adagrad and tag-adam optimizers",
        ),
        ("momentum", "x", "at least 0 and below 1"),
        ("out", "", "path of a folder"),
        ("epochs", "1e9", "from 1 to 1000000"),
        ("data", "embedded", "only MNIST"),
        ("lambda", "1", "only for the ewc and online-ewc methods"),
        ("memory_per_class", "1", "only for the agem and er methods"),
        ("reservoir", "batch", "only for the er method"),
        ("stored_gradients", "2", "only for"),
        ("patience", "3", "validation"),
        ("method", "eer", "did you mean `er`"),
        ("checkpoint_every", "-1", "`off`, or a number of seconds"),
        ("checkpoint_every", "inf", "`off`, or a number of seconds"),
    ] {
        let message = error(&[base, (key, value)]);
        assert!(message.contains(part), "{key} = {value}: {message}");
    }
    let unknown = Settings::default()
        .set("learning_rate", "1", Origin::CommandLine)
        .unwrap_err();
    assert!(unknown.to_string().contains("unknown key `learning_rate`"));
    let near = Settings::from_toml("epoch = 3", "c.toml").unwrap_err();
    assert!(near.to_string().contains("did you mean `epochs`"), "{near}");
}

#[test]
fn seeds_are_ranges_and_lists() {
    assert_eq!(parse_seeds("1-3, 7"), Ok(vec![1, 2, 3, 7]));
    assert!(parse_seeds("").is_err() && parse_seeds("a").is_err() && parse_seeds("-1").is_err());
}

#[test]
fn seeds_are_written_as_they_are_typed() {
    for (seeds, text) in [
        (&[1][..], "1"),
        (&[1, 2], "1,2"),
        (&[1, 2, 3], "1-3"),
        (&[1, 3, 4, 5, 9, 8], "1,3-5,9,8"),
    ] {
        assert_eq!(seeds_text(seeds), text);
        assert_eq!(parse_seeds(text).unwrap(), seeds);
    }
}
