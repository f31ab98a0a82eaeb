//! Mutated inputs of everything that the program reads: a value or an error, never a panic.
//!
//! Owns the targets of this crate (settings, sweeps, results, checkpoints, weights, filters, benchmark files) beside the
//! parsers of data ([`crate::data::fuzzing`]), and how long they are tried. The suite tries a few hundred mutations of
//! each; two variables make it a long run, in rounds that give every target its share of the time:
//!
//! ```text
//! TAGCL_FUZZ_SEEDS=DIR cargo test -p tagcl-learn --lib -- every_parser_has_samples
//! TAGCL_FUZZ_SECONDS=3600 TAGCL_FUZZ_SEEDS=DIR cargo test --lib -- fuzzing --nocapture
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::data::fuzzing::{Chance, PARSERS, Parser, mutate};
use crate::experiment::benchmark::custom::CustomBenchmark;
use crate::experiment::engine::processes::Job;
use crate::experiment::plan::settings::{
    Interval, Origin, Settings, keys, parse_config_toml, parse_seeds,
};
use crate::experiment::run::checkpoint::tests as checkpoint;
use crate::experiment::run::heartbeat::Heartbeat;
use crate::experiment::run::result;
use crate::experiment::search::sweep::Sweep;
use crate::experiment::testing::{finished, planned};
use crate::model::{ModelContext, describe_weights, fit_weights, read_weights};
use crate::report::collected::{self, Record};
use crate::report::filter::Filter;

/// What is put into texts: words that mean something somewhere.
const WORDS: &[&str] = &[
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ":",
    "\n",
    "#",
    "-",
    "1e400",
    "-1",
    "0",
    "NaN",
    "inf",
    "18446744073709551616",
    "null",
    "true",
    "\\u0000",
    "0.1",
    "1-5",
    "1,1",
    "[grid]",
    "[base]",
    "[select]",
    "[[when]]",
    "[[exclude]]",
    "from",
    "to",
    "step",
    "lr",
    "seeds",
    "benchmark",
    "split-cifar100",
    "rotated-mnist",
    "tasks",
    "method",
    "optimizer",
    "tag-adam",
    "er",
    "ewc",
    "b",
    "fraction",
    "validation",
    "halving",
    "data",
    "embedded",
    "init",
    "model",
    "\u{feff}",
    "é",
    "(",
    ")",
    "__metadata__",
    "config",
    "accuracy_matrix",
    "custom",
];

/// Reads bytes that may be anything.
type Run = Box<dyn Fn(&[u8]) + std::panic::RefUnwindSafe>;

/// A target: its name, what its inputs begin with, whether they are text, and its share of the time.
struct Target {
    name: String,
    samples: Vec<Vec<u8>>,
    text: bool,
    share: u32,
    run: Run,
}

fn target(
    name: &str,
    samples: Vec<Vec<u8>>,
    share: u32,
    run: impl Fn(&[u8]) + std::panic::RefUnwindSafe + 'static,
) -> Target {
    Target {
        name: name.to_string(),
        text: samples
            .iter()
            .all(|sample| std::str::from_utf8(sample).is_ok()),
        samples,
        share,
        run: Box::new(run),
    }
}

/// The same for texts.
fn of_text(
    name: &str,
    samples: &[&str],
    share: u32,
    run: impl Fn(&str) + std::panic::RefUnwindSafe + 'static,
) -> Target {
    let samples = samples
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    target(name, samples, share, move |bytes| {
        run(&String::from_utf8_lossy(bytes));
    })
}

fn settings(all: &mut Vec<Target>) {
    const RUN: &str = "benchmark = 'split-cifar100'\nlr = 0.5\nseeds = [1, 2]\nmethod = 'er'\noptimizer = 'tag-rmsprop'\n\
                       b = 5\ngamma = 0.9\nepochs = 2\nvalidation = 0.1\nthreads = 2\ncheckpoint_every = 'off'\n";
    all.push(of_text(
        "seeds and intervals",
        &["1-5,7", "3", "2.5", "off"],
        40,
        |text| {
            drop(text.parse::<Interval>());
            // A long list takes time, and has nothing new to it.
            if text.len() < 5 {
                drop(parse_seeds(text));
            }
        },
    ));
    all.push(of_text(
        "setting",
        &["0.1", "5", "exact", "er", "split-cub", "embedded", "1-3"],
        4,
        |text| {
            let names: Vec<&str> = keys().collect();
            let key = text.len() + usize::from(text.bytes().next().unwrap_or(0));
            let pairs = [
                ("benchmark", "rotated-mnist"),
                ("data", "embedded"),
                ("lr", "0.1"),
            ];
            let Ok(mut all) = Settings::of(pairs, &Origin::CommandLine) else {
                return;
            };
            let key = names.get(key % names.len().max(1)).copied().unwrap_or("lr");
            if all.set(key, text, Origin::CommandLine).is_ok()
                && key != "seeds"
                && key != "benchmark"
            {
                drop(all.plan());
            }
        },
    ));
    all.push(of_text(
        "settings file",
        &[RUN, include_str!("../configs/split-cifar100-tag.toml")],
        2,
        |text| {
            if let Ok(all) = Settings::from_toml(text, "f") {
                drop(all.plan());
            }
        },
    ));
    let run = planned(&[("lr", "0.1"), ("method", "er")]);
    let resolved = run.toml.clone();
    all.push(of_text("config.toml", &[&resolved], 2, |text| {
        drop(parse_config_toml(text));
    }));
    let sweeps = [
        "seeds = '1-2'\n[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\n[grid]\nlr = [0.1, 0.05]\n\
         optimizer = ['sgd', 'tag-adam']\n[[when]]\noptimizer = 'tag-adam'\nb = [1, 5]\n[[exclude]]\nlr = 0.1\n",
        "[base]\nbenchmark = 'split-cifar100'\n[grid]\nlr = {from = 0.1, to = 0.5, step = 0.1}\n[select]\nseeds = [7]\n\
         validation = 0.1\nhalving = {first_fraction = 0.25, factor = 2, keep = 0.5}\n",
    ];
    all.push(of_text("sweep file", &sweeps, 2, |text| {
        drop(Sweep::from_toml(text, "f"));
    }));
    all.push(of_text(
        "filter",
        &["lr=0.1", "method=er,agem", "tasks=20"],
        6,
        |text| {
            let mut filter = Filter::default();
            drop(filter.require_text(text));
        },
    ));
    let job = Job {
        config: run.config,
        toml: run.toml,
    };
    let job = serde_json::to_string(&job).unwrap();
    all.push(of_text("job", &[&job], 2, |text| {
        drop(serde_json::from_str::<Job>(text));
    }));
    all.push(of_text(
        "heartbeat",
        &["{\"state\":\"running\",\"pid\":3,\"task\":1}", "{}"],
        3,
        |text| {
            drop(serde_json::from_str::<Heartbeat>(text));
        },
    ));
}

fn results(all: &mut Vec<Target>) {
    let own = finished(
        &planned(&[("lr", "0.1"), ("optimizer", "tag-adam")]).config,
        50.0,
    );
    let text = serde_json::to_string(&own).unwrap();
    all.push(of_text("result.json", &[&text], 4, |text| {
        drop(result::parse(text.as_bytes()));
        drop(result::parse_without_alpha(text.as_bytes()));
    }));
    let published = [
        ("optimizer", "tag-rmsprop"),
        ("benchmark", "split-cifar100"),
        ("profile", "released"),
        ("data", "full"),
        ("tasks", "20"),
    ];
    let run = crate::report::load::Run::from(finished(&planned(&published).config, 50.0));
    let kept = collected::text(&[Record::of(&run).unwrap()]).unwrap();
    all.push(of_text("collected results", &[&kept], 4, |text| {
        drop(collected::parse(text, Path::new("results.jsonl")));
    }));
    all.push(target(
        "checkpoint",
        vec![checkpoint::bytes()],
        4,
        checkpoint::read_any,
    ));
    let context = ModelContext {
        image: crate::data::ImageShape::new(1, 4, 4),
        classes: 4,
        hidden: Some(3),
        scale: None,
        dropout: 0.0,
        initial: crate::model::InitialValues::PyTorch,
        init: crate::seed::Seeds::new(1),
        seeds: crate::seed::Seeds::new(1),
        threads: 1,
    };
    let learner = (crate::model::MODELS[0].build)(&context).unwrap();
    let fresh = learner.weights().unwrap();
    let described = describe_weights(&fresh, &[("run_id", "a"), ("task_classes", "[]")]).unwrap();
    all.push(target(
        "weights",
        vec![fresh.clone(), described],
        4,
        move |bytes| {
            drop(read_weights(bytes));
            drop(fit_weights(bytes, &fresh, Some("W3")));
            drop(describe_weights(bytes, &[("run_id", "a")]));
        },
    ));
}

/// A benchmark's file, written where its sources are.
fn benchmark(folder: &Path) -> Target {
    std::fs::create_dir_all(folder.join("images/a")).unwrap();
    std::fs::create_dir_all(folder.join("images/b")).unwrap();
    let text = "name = 'own'\nmodel = 'mlp'\n[images]\nheight = 4\nwidth = 4\nchannels = 1\n[[source]]\nname = 'i'\n\
                format = 'folders'\npath = 'images'\n[tasks]\nclasses = [['a', 'b']]\n";
    let path = folder.join("benchmark.toml");
    of_text("benchmark file", &[text], 1, move |text| {
        std::fs::write(&path, text).unwrap();
        drop(CustomBenchmark::read(&path));
    })
}

/// The parsers of data, with the samples that their own suite has written.
fn data(all: &mut Vec<Target>, seeds: &Path) {
    /// Those that cost next to nothing, and those that unpack whole images.
    const SHARES: [(&str, u32); 6] = [
        ("idx_labels", 40),
        ("idx_images", 20),
        ("cifar", 6),
        ("list", 20),
        ("picture", 1),
        ("torch", 3),
    ];
    for (name, parser) in PARSERS {
        let files = std::fs::read_dir(seeds.join(name))
            .into_iter()
            .flatten()
            .flatten();
        let samples: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.path()).unwrap())
            .collect();
        assert!(
            !samples.is_empty(),
            "no samples of {name} in {}",
            seeds.display()
        );
        let share = SHARES
            .iter()
            .find(|(of, _)| of == name)
            .map_or(2, |(_, share)| *share);
        let parser: Parser = *parser;
        all.push(Target {
            name: (*name).to_string(),
            text: *name == "list",
            samples,
            share,
            run: Box::new(parser),
        });
    }
}

/// Mutations of a target between two looks at the clock.
const BLOCK: u64 = 64;

/// How often a target was run, and how long a block of it takes at least: whatever else the machine does, that is its own
/// time.
struct Tally {
    runs: u64,
    fastest: Duration,
}

/// Runs `blocks` blocks of mutations of a target, from number `tally.runs` on.
fn drive(target: &Target, tally: &mut Tally, blocks: u64, found: &mut Vec<String>) {
    let words = if target.text { WORDS } else { &[] };
    for _ in 0..blocks {
        let began = Instant::now();
        for seed in tally.runs..tally.runs + BLOCK {
            let mut chance = Chance(seed);
            let sample = &target.samples[chance.below(target.samples.len())];
            let bytes = mutate(sample, words, &mut chance);
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                found.push(format!("{} panicked on mutation {seed}", target.name));
                if let Some(folder) = std::env::var_os("TAGCL_FUZZ_FINDINGS").map(PathBuf::from) {
                    let name = format!("{}-{seed}", target.name.replace(' ', "-"));
                    std::fs::create_dir_all(&folder).unwrap();
                    std::fs::write(folder.join(name), &bytes).unwrap();
                }
            }
        }
        tally.runs += BLOCK;
        tally.fastest = tally.fastest.min(began.elapsed());
    }
}

#[test]
fn mutated_inputs_give_a_value_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    settings(&mut all);
    results(&mut all);
    all.push(benchmark(folder.path()));
    if let Some(seeds) = std::env::var_os("TAGCL_FUZZ_SEEDS") {
        data(&mut all, Path::new(&seeds));
    }
    for target in &all {
        target
            .samples
            .iter()
            .for_each(|sample| (target.run)(sample));
    }
    // Where a long run begins: another number tries other mutations.
    let start = number("TAGCL_FUZZ_START").unwrap_or(0);
    let (mut tallies, mut found) = (Vec::new(), Vec::new());
    for target in &all {
        let mut tally = Tally {
            runs: start,
            fastest: Duration::MAX,
        };
        drive(target, &mut tally, 4, &mut found);
        tallies.push(tally);
    }
    let (began, mut told) = (Instant::now(), Instant::now());
    let time = Duration::from_secs(number("TAGCL_FUZZ_SECONDS").unwrap_or(0));
    while began.elapsed() < time {
        for (target, tally) in all.iter().zip(&mut tallies) {
            let share = Duration::from_millis(10) * target.share;
            let blocks = share.as_nanos() / tally.fastest.as_nanos().max(1);
            drive(target, tally, 1 + blocks as u64, &mut found);
        }
        if told.elapsed() > Duration::from_secs(30) || began.elapsed() >= time {
            told = Instant::now();
            say(&all, &tallies, start, &found);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
}

fn say(all: &[Target], tallies: &[Tally], start: u64, found: &[String]) {
    let (mut text, mut sum) = (String::new(), 0);
    for (target, tally) in all.iter().zip(tallies) {
        let (runs, one) = (
            tally.runs - start,
            tally.fastest.as_secs_f64() / BLOCK as f64,
        );
        sum += runs;
        let _ = writeln!(text, "{}: {runs} ({:.1} µs each)", target.name, 1e6 * one);
    }
    let _ = writeln!(
        std::io::stderr(),
        "{text}{sum} executions, {} findings\n",
        found.len()
    );
}
