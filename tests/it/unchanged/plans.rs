//! What settings mean: run ids, the text of `config.toml`, configurations, and what is refused.
//!
//! A line of a fixture is a list of runs: the first one's id, and digests of its `config.toml` (with the comments that say
//! where each value comes from) and of its configuration as canonical JSON; of a list, digests of all of them in order.
//! `plans/configs.txt` has a few of the texts as they are, so that a difference can be read.

use std::fmt::Write as _;

use super::adapter::{Listed, Pairs, Planned, plan, read_back, released_commands, replications};
use super::fixture::{canonical, check, check_text, digest, path};
use super::plan_cases::{ALLOWED, CONTEXTS, REFUSED, networks, pairs, variants};

/// The learning rate where none was published.
const RATE: &str = "lr=0.01";

/// `key=value` texts as pairs.
fn parsed(text: &str) -> Pairs {
    let parts = text.split_whitespace().map(|part| part.split_once('='));
    let pair = |(key, value): (&str, &str)| (key.to_string(), value.replace("{}", &root()));
    parts.map(|part| pair(part.unwrap())).collect()
}

fn root() -> String {
    path("").canonicalize().unwrap().display().to_string()
}

/// What a case means.
struct Meaning {
    runs: Vec<Planned>,
    /// What is wrong with the first `config.toml` that does not give its run again.
    lost: String,
}

/// What a case means, with paths in the repository as `{}`.
fn meaning(settings: &Pairs, file: Option<&str>) -> Result<Meaning, String> {
    let settings: Vec<(&str, &str)> = (settings.iter())
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let general = |text: &str| text.replace(&root(), "{}");
    let mut runs = plan(&settings, file).map_err(|error| general(&error))?;
    let mut lost = String::new();
    for run in &mut runs {
        let back = read_back(&run.toml);
        let same = back.as_ref().is_ok_and(|back| {
            back.len() == 1 && back[0].run_id == run.run_id && back[0].json == run.json
        });
        if !same && lost.is_empty() {
            lost = match back {
                Ok(back) => format!("config.toml gives {}", back[0].run_id),
                Err(error) => format!("config.toml is refused: {error}"),
            };
        }
        run.toml = general(&run.toml);
    }
    Ok(Meaning { runs, lost })
}

/// The value of a fixture's line.
fn line(meaning: &Result<Meaning, String>) -> String {
    let Meaning { runs, lost } = match meaning {
        Ok(meaning) => meaning,
        Err(refusal) => return format!("refused: {refusal}"),
    };
    let all = |text: &dyn Fn(&Planned) -> String| {
        let texts: Vec<String> = runs.iter().map(text).collect();
        digest(texts.join("\n"))
    };
    let toml = all(&|run| run.toml.clone());
    let json = all(&|run| canonical(&run.json));
    let mut line = runs[0].run_id.clone();
    if runs.len() > 1 {
        let ids = all(&|run| run.run_id.clone());
        let _ = write!(line, " and {} more, ids {ids}", runs.len() - 1);
    }
    let _ = write!(line, " | toml {toml} json {json}");
    if !lost.is_empty() {
        let _ = write!(line, " | {lost}");
    }
    line
}

/// The texts behind a line.
fn texts(meaning: &Result<Meaning, String>) -> String {
    let Ok(Meaning { runs, .. }) = meaning else {
        return String::new();
    };
    let run = &runs[0];
    format!("run id: {}\n{}{:#}\n", run.run_id, run.toml, run.json)
}

/// The settings of a case; with a learning rate where none was published.
fn with_rate(case: &str) -> (String, Pairs) {
    let own = parsed(case);
    let missing = |error: &String| error.starts_with("lr is not set");
    if meaning(&own, None).is_err_and(|error| missing(&error)) {
        let case = format!("{case} {RATE}");
        let own = parsed(&case);
        return (case, own);
    }
    (case.to_string(), own)
}

#[track_caller]
fn check_cases(name: &str, owns: &str, cases: &[String]) {
    let lines: Vec<(String, String)> = (cases.iter())
        .map(|case| {
            let (case, own) = with_rate(case);
            (case, line(&meaning(&own, None)))
        })
        .collect();
    check(name, owns, &lines, &|case| {
        texts(&meaning(&parsed(case), None))
    });
}

/// All runs of a list, point by point of its grid.
fn listed(list: &Listed) -> Result<Meaning, String> {
    let (mut runs, mut lost) = (Vec::new(), String::new());
    for point in &list.points {
        let one = meaning(point, Some(&list.source))?;
        runs.extend(one.runs);
        lost = if lost.is_empty() { one.lost } else { lost };
    }
    Ok(Meaning { runs, lost })
}

#[track_caller]
fn check_lists(name: &str, owns: &str, lists: &[(String, Listed)]) {
    let lines = lists.iter();
    let lines: Vec<(String, String)> = lines
        .map(|(key, list)| (key.clone(), line(&listed(list))))
        .collect();
    check(name, owns, &lines, &|key| {
        let list = lists.iter().find(|(name, _)| name == key);
        list.map_or(String::new(), |(_, list)| texts(&listed(list)))
    });
}

/// The 180 released commands; with five epochs those whose epochs are the script's argument.
fn released() -> Vec<(String, Listed)> {
    let (one, five) = (released_commands(1), released_commands(5));
    assert_eq!((one.len(), five.len()), (180, 180));
    let mut all = Vec::new();
    for (number, (one, five)) in one.into_iter().zip(five).enumerate() {
        let key = |epochs: &str| format!("{} {} {}{epochs}", number + 1, one.source, one.name);
        let (key, with_five) = (key(""), key(", 5 epochs"));
        let same = one.points == five.points;
        all.push((key, one));
        if !same {
            all.push((with_five, five));
        }
    }
    all
}

#[test]
fn released_commands_mean_the_same_runs() {
    let owns = "The runs of the 180 commands of the released scripts, in their order; with five epochs where the script's\n\
                argument sets them.\n\
                NUMBER SCRIPT:LINE METHOD | first run id and how many more | digests of config.toml and configuration";
    check_lists("plans/released.txt", owns, &released());
}

#[test]
fn replications_mean_the_same_runs() {
    let owns = "The runs behind the rows of every `tagcl replicate`, corrections included.\n\
                ROW | first run id and how many more | digests of config.toml and configuration";
    let lists = replications().into_iter();
    let lists: Vec<_> = lists.map(|list| (list.name.clone(), list)).collect();
    check_lists("plans/replications.txt", owns, &lists);
}

const LINE: &str = "SETTINGS | run id | digests of config.toml and configuration";

#[test]
fn benchmarks_methods_and_optimizers_mean_the_same_runs() {
    let owns = format!(
        "Every benchmark, profile, method and optimizer; with a learning rate where none was published.\n{LINE}"
    );
    check_cases("plans/pairs.txt", &owns, &pairs());
}

#[test]
fn networks_mean_the_same_runs() {
    let owns = format!(
        "Every network on every benchmark; with a learning rate where none was published.\n{LINE}"
    );
    check_cases("plans/networks.txt", &owns, &networks());
}

#[test]
fn every_setting_means_the_same_runs() {
    let owns = format!("What every single setting does. {{}} is tests/unchanged.\n{LINE}");
    check_cases("plans/variants.txt", &owns, &variants());
}

#[test]
fn settings_are_refused_as_before() {
    let mut cases: Vec<String> = REFUSED.iter().map(|case| (*case).to_string()).collect();
    for context in CONTEXTS {
        let (context, own) = with_rate(context);
        for pair in ALLOWED {
            let (key, _) = pair.split_once('=').unwrap();
            if own.iter().all(|(there, _)| there != key) {
                cases.push(format!("{context} {pair}"));
            }
        }
    }
    let mut lines = Vec::new();
    for case in cases {
        if let Err(refusal) = meaning(&parsed(&case), None) {
            lines.push((case, refusal));
        } else {
            assert!(!REFUSED.contains(&case.as_str()), "{case}");
        }
    }
    let owns = "Settings that are refused, and the message: every key in contexts in some of which it has no effect, and\n\
                values that are wrong everywhere. Whatever else is tried there is accepted.\n\
                SETTINGS | message";
    check("plans/refusals.txt", owns, &lines, &|_| String::new());
}

#[test]
fn a_few_configurations_read_the_same() {
    let mut text = String::from(
        "# config.toml and configuration of a few plans as they are: digests of these and many more are in the other files.\n",
    );
    let all = variants();
    let cases = all.iter().enumerate().filter(|(n, _)| n % 23 == 0);
    for (_, case) in cases {
        let (case, own) = with_rate(case);
        let _ = writeln!(
            text,
            "\n=== {case}\n{}",
            texts(&meaning(&own, None)).trim_end()
        );
    }
    for (key, list) in released().iter().step_by(37) {
        let _ = writeln!(text, "\n=== {key}\n{}", texts(&listed(list)).trim_end());
    }
    check_text("plans/configs.txt", &text);
}
