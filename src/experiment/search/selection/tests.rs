//! Selection, halving and their order, against an engine that does not train.

use super::*;
use crate::experiment::plan::config::Evaluate;
use crate::experiment::testing::finished;

/// Answers with an accuracy made of the configuration; remembers what it was asked.
struct Fake<F> {
    accuracy: F,
    asked: Asked,
}

impl<F: FnMut(&PlannedRun) -> Result<f64, RunError>> Engine for Fake<F> {
    fn execute(&mut self, stage: &str, runs: &[PlannedRun]) -> Result<Vec<Status>, RunError> {
        self.asked.push((stage.to_string(), runs.to_vec()));
        let one = |run: &PlannedRun| match (self.accuracy)(run) {
            Ok(accuracy) => Status::Done(Box::new(finished(&run.config, accuracy))),
            Err(RunError::Interrupted) => Status::Interrupted,
            Err(error) => Status::Failed(error),
        };
        Ok(runs.iter().map(one).collect())
    }
}

fn worker(reason: &str, fault: Fault) -> RunError {
    let reason = reason.to_string();
    RunError::Worker { reason, fault }
}

fn diverged(reason: &str) -> RunError {
    worker(reason, Fault::Own)
}

/// Stages with their runs, in order.
type Asked = Vec<(String, Vec<PlannedRun>)>;
type Answer = fn(&PlannedRun) -> Result<f64, RunError>;

fn run(text: &str, accuracy: Answer) -> (Result<Found, SearchError>, Asked) {
    let sweep = Sweep::from_toml(text, "sweep.toml").unwrap();
    let mut fake = Fake {
        accuracy,
        asked: Vec::new(),
    };
    let found = search(&sweep, &[], &mut fake, &mut |_| Ok(()));
    (found, fake.asked)
}

const BASE: &str = "[base]\nbenchmark = 'rotated-mnist'\ndata = 'embedded'\n";

fn text(top: &str, rest: &str) -> String {
    format!("{top}\n{BASE}\n{rest}")
}

#[test]
fn the_winner_is_chosen_on_validation_images_and_run_on_the_test_images() {
    let sweep = text(
        "seeds = '1-3'",
        "[grid]\nlr = [0.125, 0.25, 0.5]\n[select]\nseeds = [11, 12]\n",
    );
    // Best at 0.25 on validation images; the test images would say 0.5.
    let (found, asked) = run(&sweep, |run| {
        Ok(match run.config.evaluate {
            Evaluate::Validation => 60.0 - (run.config.lr - 0.25).abs(),
            Evaluate::Test => 50.0 + run.config.lr,
        })
    });
    let found = found.unwrap();
    let stages: Vec<_> = asked
        .iter()
        .map(|(stage, runs)| (stage.as_str(), runs.len()))
        .collect();
    assert_eq!(stages, [("search, round 1", 6), ("winners", 3)]);
    for run in &asked[0].1 {
        assert_eq!(
            (run.config.validation, run.config.evaluate),
            (0.1, Evaluate::Validation)
        );
        assert!([11, 12].contains(&run.config.seed));
    }
    for run in &asked[1].1 {
        assert_eq!(
            (run.config.validation, run.config.evaluate),
            (0.0, Evaluate::Test)
        );
        assert_eq!(run.config.lr, 0.25);
    }
    let chosen: Vec<_> = found.tried.iter().map(|t| t.chosen).collect();
    assert_eq!(chosen, [false, true, false]);
    assert_eq!(found.final_runs.len(), 1);
    assert_eq!(
        (found.final_runs[0].n, found.final_runs[0].accuracy),
        (3, Some(50.25))
    );
}

#[test]
fn groups_have_winners_of_their_own_and_equals_go_to_the_first() {
    let sweep = text(
        "",
        "[grid]\noptimizer = ['sgd', 'rmsprop']\nlr = [0.1, 0.2]\n[select]\nby = ['optimizer']\n",
    );
    let (found, _) = run(&sweep, |_| Ok(70.0));
    let winners: Vec<_> = found
        .unwrap()
        .final_runs
        .into_iter()
        .map(|f| (f.group, f.values))
        .collect();
    assert_eq!(winners.len(), 2);
    for (group, values) in winners {
        assert!(["sgd", "rmsprop"].contains(&group.as_str()));
        assert!(
            values.contains(&("lr".to_string(), "0.1".to_string())),
            "{values:?}"
        );
    }
}

#[test]
fn halving_gives_the_better_part_more_images() {
    let sweep = text(
        "",
        "[grid]\nlr = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]\n\
         [select]\nhalving = { factor = 3, first_fraction = 0.1 }\n",
    );
    let (found, asked) = run(&sweep, |run| Ok(run.config.lr));
    let fractions: Vec<_> = asked
        .iter()
        .map(|(_, runs)| (runs.len(), runs[0].config.fraction))
        .collect();
    assert_eq!(
        fractions,
        [(9, 0.1), (3, 0.3), (1, 0.9), (1, 1.0), (1, 1.0)]
    );
    let found = found.unwrap();
    assert_eq!(found.tried.len(), 9 + 3 + 1 + 1);
    assert_eq!(
        found.final_runs[0].values,
        [("lr".to_string(), "0.9".to_string())]
    );
    let planned = stages(&Sweep::from_toml(&sweep, "sweep.toml").unwrap(), &[]).unwrap();
    let counts: Vec<_> = planned.iter().map(|(_, runs)| runs.len()).collect();
    assert_eq!(counts, [9, 3, 1, 1, 1]);
}

#[test]
fn a_candidate_that_fails_is_not_chosen_and_stays_in_the_table() {
    let sweep = text("", "[grid]\nlr = [0.1, 9.0]\n[select]\nseeds = '1-2'\n");
    let fails = |run: &PlannedRun| {
        if run.config.lr > 1.0 && run.config.seed == 2 {
            return Err(diverged("diverged"));
        }
        Ok(10.0 * run.config.lr)
    };
    let found = run(&sweep, fails).0.unwrap();
    assert_eq!(found.tried[1].failed.as_deref(), Some("diverged"));
    assert_eq!(
        (
            found.tried[1].n,
            found.tried[1].chosen,
            found.tried[0].chosen
        ),
        (1, false, true)
    );

    let none = run(&sweep, |_| Err(diverged("too large"))).0.unwrap_err();
    assert_eq!(
        none.to_string(),
        "every candidate failed; the first: too large"
    );
    let stopped = run(&sweep, |_| Err(RunError::Interrupted)).0.unwrap_err();
    assert!(matches!(stopped, SearchError::Interrupted));
}

#[test]
fn without_selection_everything_is_run_on_the_test_images() {
    let sweep = text("seeds = [1, 2]", "[grid]\nlr = [0.1, 0.2]\n");
    let (found, asked) = run(&sweep, |run| Ok(run.config.lr));
    let found = found.unwrap();
    assert!(found.tried.is_empty());
    assert_eq!(
        (asked.len(), asked[0].1.len(), found.final_runs.len()),
        (1, 4, 2)
    );
    assert_eq!(found.final_runs[1].run_ids.len(), 2);
}

/// What can befall a run without being its own fault.
fn misfortunes() -> Vec<RunError> {
    let full = || std::io::Error::from_raw_os_error(28);
    vec![
        worker("its process was killed (signal 9)", Fault::Passing),
        worker("no data", Fault::Lasting),
        RunError::io("write", "model.safetensors".as_ref())(full()),
        RunError::Locked {
            folder: "runs/a".into(),
            holder: "process 7".to_string(),
        },
        RunError::Panic("index out of bounds".to_string()),
        RunError::Damaged {
            path: "runs/a/result.json".into(),
            folder: "runs/a".into(),
            reason: "not a result file".to_string(),
        },
    ]
}

#[test]
fn nobody_wins_while_a_candidate_is_not_judged_and_the_same_search_goes_on_from_there() {
    let whole = "[grid]\nlr = [0.1, 0.2, 0.4]\n[select]\nseeds = '1-2'\n";
    let halved = "[grid]\nlr = [0.1, 0.2, 0.3, 0.4]\n[select]\n\
                  halving = { factor = 2, first_fraction = 0.25 }\n";
    for (rest, rounds) in [(whole, 1), (halved, 3)] {
        let sweep = Sweep::from_toml(&text("", rest), "sweep.toml").unwrap();
        for (number, misfortune) in misfortunes().into_iter().enumerate() {
            // Planning takes time: every misfortune once, and one of them in every round.
            let last = if number == 0 { rounds } else { 1 };
            if number > 0 && rounds > 1 {
                continue;
            }
            for hit in 1..=last {
                // The best candidate, 0.4, meets it in this round.
                let (mut left, mut round) = (Some(misfortune_again(&misfortune)), 0);
                let mut fake = Fake {
                    accuracy: |run: &PlannedRun| {
                        if run.config.lr == 0.4 {
                            round += 1;
                            if round == hit
                                && let Some(error) = left.take()
                            {
                                return Err(error);
                            }
                        }
                        Ok(100.0 * run.config.lr)
                    },
                    asked: Vec::new(),
                };
                let mut table = Vec::new();
                let mut keep = |tried: &[Tried]| {
                    table = tried.to_vec();
                    Ok(())
                };
                let error = search(&sweep, &[], &mut fake, &mut keep).unwrap_err();
                let said = error.to_string();
                assert!(matches!(error, SearchError::NotJudged { .. }), "{said}");
                for part in [
                    "nothing is chosen",
                    "lr=0.4",
                    "same command",
                    &misfortune.to_string(),
                ] {
                    assert!(said.contains(part), "no `{part}` in {said}");
                }
                let newest: Vec<_> = table
                    .iter()
                    .filter(|t| t.round == hit.min(rounds))
                    .collect();
                assert!(newest.iter().all(|t| !t.chosen), "{table:?}");
                assert_eq!(newest.iter().filter(|t| t.missing.is_some()).count(), 1);
                assert!(
                    fake.asked.iter().all(|(stage, _)| stage != "winners"),
                    "nothing is tested"
                );
                // The misfortune is over.
                let found = search(&sweep, &[], &mut fake, &mut |_| Ok(())).unwrap();
                assert_eq!(found.final_runs[0].values[0].1, "0.4");
            }
        }
    }
}

/// The same error: errors of the system cannot be copied.
fn misfortune_again(error: &RunError) -> RunError {
    let same = |other: &RunError| other.to_string() == error.to_string();
    misfortunes().into_iter().find(same).unwrap()
}

#[test]
fn a_group_without_all_judgements_keeps_the_search_from_going_on() {
    let sweep = text(
        "",
        "[grid]\noptimizer = ['sgd', 'rmsprop']\nlr = [0.1, 0.2]\n[select]\nby = ['optimizer']\n",
    );
    let killed = |run: &PlannedRun| match (run.config.optimizer.name, run.config.lr) {
        ("rmsprop", 0.1) => Err(worker("killed", Fault::Passing)),
        ("sgd", 0.1) => Err(diverged("too large")),
        _ => Ok(50.0),
    };
    let (found, asked) = run(&sweep, killed);
    let error = found.unwrap_err().to_string();
    assert!(
        error.contains("1 of 2 candidates of rmsprop has no result"),
        "{error}"
    );
    assert_eq!(asked.len(), 1);
}

#[test]
fn many_missing_candidates_are_counted_and_the_first_named() {
    let lr: Vec<String> = (1..=9).map(|i| format!("0.{i}")).collect();
    let sweep = text("", &format!("[grid]\nlr = [{}]\n[select]\n", lr.join(", ")));
    let error = run(&sweep, |_| Err(worker("killed", Fault::Passing))).0;
    let error = error.unwrap_err().to_string();
    for part in [
        "9 of 9 candidates have no result",
        "lr=0.5 (killed)",
        "and 4 more",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("lr=0.6"), "{error}");
}

#[test]
fn only_what_repeats_anywhere_is_a_runs_own_failure() {
    let diverged = RunError::NonFinite {
        task: 1,
        step: 3,
        what: "the loss".to_string(),
        knobs: String::new(),
    };
    assert_eq!(diverged.fault(), Fault::Own);
    for error in misfortunes() {
        assert_ne!(error.fault(), Fault::Own, "{error}");
    }
}
