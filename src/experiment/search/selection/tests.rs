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
            return Err(RunError::Worker("diverged".to_string()));
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

    let none = run(&sweep, |_| Err(RunError::Worker("no data".to_string())))
        .0
        .unwrap_err();
    assert_eq!(
        none.to_string(),
        "every candidate failed; the first: no data"
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
