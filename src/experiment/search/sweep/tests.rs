//! Sweep files: expansion, exactness, refusals.

use proptest::prelude::*;

use super::axis::steps;
use super::*;

const BASE: &str = "[base]\nbenchmark = 'rotated-mnist'\noptimizer = 'tag-rmsprop'\n";

fn words(rest: &str) -> Vec<String> {
    let sweep = Sweep::from_toml(&format!("{BASE}{rest}"), "a.toml").unwrap();
    sweep.candidates.iter().map(Candidate::words).collect()
}

fn error(rest: &str) -> String {
    Sweep::from_toml(&format!("{BASE}{rest}"), "a.toml")
        .unwrap_err()
        .to_string()
}

#[test]
fn grids_are_products_and_ranges_are_exact() {
    assert_eq!(
        words("[grid]\nb = [1, 3]\nlr = { from = 0.1, to = 0.3, step = 0.1 }\n"),
        [
            "b=1 lr=0.1",
            "b=1 lr=0.2",
            "b=1 lr=0.3",
            "b=3 lr=0.1",
            "b=3 lr=0.2",
            "b=3 lr=0.3"
        ]
    );
    assert_eq!(
        words("[grid]\nlr = { from = 1e-5, to = 0.1, times = 10 }\n"),
        ["lr=0.00001", "lr=0.0001", "lr=0.001", "lr=0.01", "lr=0.1"]
    );
}

#[test]
fn combinations_conditions_and_exclusions() {
    assert_eq!(
        words(
            "[[combinations]]\nlr = 0.1\nb = 5\n[[combinations]]\nlr = 0.2\n[grid]\nepochs = [1, 2]\n"
        ),
        [
            "b=5 lr=0.1 epochs=1",
            "b=5 lr=0.1 epochs=2",
            "lr=0.2 epochs=1",
            "lr=0.2 epochs=2"
        ]
    );
    let rest = "[grid]\noptimizer = ['sgd', 'tag-rmsprop']\nlr = [0.1, 0.2]\n\
                [[when]]\nif = { optimizer = 'tag-rmsprop' }\ngrid = { b = [1, 7] }\n\
                [[exclude]]\noptimizer = 'sgd'\nlr = 0.20\n";
    assert_eq!(
        words(rest),
        [
            "lr=0.1 optimizer=sgd",
            "lr=0.1 optimizer=tag-rmsprop b=1",
            "lr=0.1 optimizer=tag-rmsprop b=7",
            "lr=0.2 optimizer=tag-rmsprop b=1",
            "lr=0.2 optimizer=tag-rmsprop b=7",
        ]
    );
}

/// The sweeps behind the figures of the documents.
#[test]
fn the_sweeps_of_the_repository_are_sweeps() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sweeps");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        assert!(text.starts_with("# "), "{name} does not say what it is");
        let sweep = Sweep::from_toml(&text, &name).unwrap();
        assert!(sweep.candidates.len() > 1, "{name}");
        count += 1;
    }
    assert!(count > 5, "{count}");
}

#[test]
fn the_released_grids_are_built_in() {
    let tag = Sweep::from_toml(&format!("released_grid = 'tag'\n{BASE}"), "a.toml").unwrap();
    assert_eq!(tag.candidates.len(), 24);
    assert_eq!(tag.candidates[0].words(), "b=5 lr=0.005");
    let sgd = "[base]\nbenchmark = 'rotated-mnist'\n";
    let count = |name: &str, base: &str| {
        let text = format!("released_grid = '{name}'\n{base}");
        Sweep::from_toml(&text, "a.toml").unwrap().candidates.len()
    };
    assert_eq!((count("lr", sgd), count("stable", sgd)), (4, 60));
    assert_eq!(count("ewc", &format!("{sgd}method = 'ewc'\n")), 12);
}

#[test]
fn a_sweep_that_would_go_wrong_is_refused_beforehand() {
    let cases = [
        ("[grid]\nlrr = [1]\n", "did you mean `lr`"),
        ("[grid]\nlr = []\n", "the list is empty"),
        ("[grid]\nlr = 0.1\n", "a list of values or a range"),
        ("[grid]\nlr = [0.1, 0.10]\n", "stands twice"),
        ("[grid]\nlr = [0.1, -1]\n", "candidate lr=-1: lr = -1"),
        ("[grid]\nlr = { from = 1, to = 2 }\n", "step or times"),
        (
            "[grid]\nlr = { from = 2, to = 1, step = 1 }\n",
            "from is above to",
        ),
        (
            "[grid]\nlr = { from = 1, to = 2, step = 0 }\n",
            "step must be above 0",
        ),
        (
            "[grid]\nlr = { from = 0, to = 2, times = 3 }\n",
            "from above 0",
        ),
        (
            "[grid]\nlr = { from = 0.1, to = 9, step = 1e-9 }\n",
            "more than 10000 values",
        ),
        ("[grid]\nseeds = [1, 2]\n", "at the top of the file"),
        ("[grid]\nout = ['a']\n", "on the command line"),
        ("[grid]\nvalidation = [0.1]\n", "it is given"),
        (
            "[[combinations]]\nlr = 0.1\n[[combinations]]\nlr = 0.1\nb = 5\n",
            "two candidates are the same: lr=0.1 and b=5 lr=0.1",
        ),
        ("", "no candidates"),
        ("[grid]\nlr = [1]\n[[exclude]]\nlr = 1\n", "no candidates"),
        (
            "[grid]\nlr = [1]\n[select]\nvalidation = 1.5\n",
            "between 0 and 1",
        ),
        (
            "[grid]\nlr = [1]\n[select]\nhalving = { first_fraction = 2 }\n",
            "between 0 and 1",
        ),
        ("[grid]\nlr = [1]\n[selekt]\n", "unknown field `selekt`"),
        (
            "[grid]\nlr = [1]\n[select]\nby = ['speed']\n",
            "it is no setting",
        ),
    ];
    for (rest, part) in cases {
        let error = error(rest);
        assert!(error.contains(part), "{rest}: {error}");
    }
    let many: Vec<String> = (1..=101).map(|i| i.to_string()).collect();
    let many = many.join(",");
    let rest = format!("[grid]\nlr = [{many}]\nepochs = [{many}]\n");
    assert!(
        error(&rest).contains("10201 candidates are more than 10000"),
        "{}",
        error(&rest)
    );
    let capped = format!("max_candidates = 3\n{BASE}[grid]\nlr = [1, 2, 3, 4]\n");
    assert!(
        Sweep::from_toml(&capped, "a.toml")
            .unwrap_err()
            .to_string()
            .contains("4 candidates")
    );
    let unknown = format!("released_grid = 'sgd'\n{BASE}");
    assert!(
        Sweep::from_toml(&unknown, "a.toml")
            .unwrap_err()
            .to_string()
            .contains("lr, tag, ewc and stable")
    );
}

#[test]
fn a_condition_that_no_candidate_meets_is_refused_with_what_is_there() {
    let grid = "[grid]\nlr = [0.1, 0.2]\nb = [1, 3]\n";
    let cases: &[(&str, &[&str])] = &[
        (
            "[[exclude]]\nlr = 0.3\n",
            &["[[exclude]] 1", "lr=0.3", "no effect", "lr is 0.1, 0.2"],
        ),
        (
            "[[exclude]]\nlr = 0.1\n[[exclude]]\nlr = 0.1\nb = 5\n",
            &["[[exclude]] 2", "b is 1, 3"],
        ),
        (
            "[[exclude]]\noptimizer = 'sgd'\n",
            &["optimizer is tag-rmsprop"],
        ),
        (
            "[[exclude]]\nmodel = 'mlp'\n",
            &["does not set model", "defaults"],
        ),
        (
            "[[when]]\nif = { lr = 0.01 }\ngrid = { epochs = [1, 2] }\n",
            &["[[when]] 1", "lr=0.01", "leave it out"],
        ),
        (
            "[[when]]\nif = { lr = 0.1 }\ngrid = { b = [7] }\n[[exclude]]\nlr = 0.1\nb = 1\n",
            &["[[exclude]] 1: no candidate has", "leave it out"],
        ),
    ];
    for (rest, parts) in cases {
        let error = error(&format!("{grid}{rest}"));
        for part in *parts {
            assert!(error.contains(part), "no `{part}` in {error}");
        }
    }
    // Two exclusions may overlap, and 0.10 is 0.1.
    let rest = "[[exclude]]\nlr = 0.10\n[[exclude]]\nlr = 0.1\nb = 3\n";
    assert_eq!(
        words(&format!("{grid}{rest}")),
        ["b=1 lr=0.2", "b=3 lr=0.2"]
    );
}

proptest! {
    #[test]
    fn any_text_is_a_sweep_or_an_error(text in "\\PC{0,200}") {
        let _ = Sweep::from_toml(&text, "a.toml");
    }

    #[test]
    fn a_range_has_as_many_values_as_arithmetic_says(from in 1_u32..1000, step in 1_u32..50, n in 0_u32..40, digits in 0_u32..6) {
        let scale = 10_u64.pow(digits);
        let text = |x: u32| format!("{}.{:0width$}", u64::from(x) / scale, u64::from(x) % scale, width = digits.max(1) as usize);
        let (first, last) = (text(from), text(from + n * step));
        let table: toml::Table = format!("from = '{first}'\nto = '{last}'\nstep = '{}'\n", text(step)).parse().unwrap();
        let values = steps(&table, CAP).unwrap();
        prop_assert_eq!(values.len() as u32, n + 1);
        let end: Decimal = last.parse().unwrap();
        prop_assert_eq!(values.last().unwrap().parse::<Decimal>().unwrap(), end);
    }
}
