use proptest::prelude::*;

use super::*;
use crate::report::testing::{config, result, write};

fn text(accuracy: f64) -> String {
    serde_json::to_string_pretty(&result(config(&[], 1), accuracy, 4.0)).unwrap()
}

fn reason(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err()
}

#[test]
fn everything_below_a_folder_is_found_and_named() {
    let out = tempfile::tempdir().unwrap();
    let deep = out.path().join("sweep/a");
    write(&deep, &result(config(&[], 1), 60.0, 4.0));
    write(&deep, &result(config(&[], 2), 61.0, 4.0));
    // The same run again, elsewhere: once identical, once not.
    write(
        &out.path().join("z/copy"),
        &result(config(&[], 1), 60.0, 4.0),
    );
    write(
        &out.path().join("z/other"),
        &result(config(&[], 2), 62.0, 4.0),
    );
    // A damaged result.
    let damaged = out.path().join("bad");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join(RESULT), "{").unwrap();
    // A run without a result, killed while it wrote an event; and one whose configuration is damaged too.
    let killed = out.path().join("killed");
    fs::create_dir(&killed).unwrap();
    fs::write(
        killed.join(CONFIG),
        "benchmark = 'split-cifar100'\nseeds = '7'\n",
    )
    .unwrap();
    let events = "{\"event\":\"run-began\",\"time\":\"t0\"}\n\
                  {\"event\":\"evaluated\",\"task\":3,\"time\":\"t1\"}\n{\"event\":\"epo";
    fs::write(killed.join(EVENTS), events).unwrap();
    let unreadable = out.path().join("unreadable");
    fs::create_dir(&unreadable).unwrap();
    fs::write(unreadable.join(CONFIG), [0xff]).unwrap();
    // Nothing of ours.
    fs::create_dir(out.path().join("empty")).unwrap();

    let loaded = load(out.path()).unwrap();
    let seeds: Vec<u64> = loaded.runs.iter().map(|run| run.config.seed).collect();
    assert_eq!(seeds, [1, 2]);
    assert!(loaded.runs[0].folder.starts_with(&deep));
    let identical: Vec<bool> = loaded.duplicates.iter().map(|d| d.identical).collect();
    assert_eq!(identical, [true, false]);
    assert_eq!(loaded.unfinished.len(), 1);
    let run = &loaded.unfinished[0];
    assert_eq!(run.config.as_ref().unwrap().seed, 7);
    assert_eq!(
        (run.tasks_done, run.last_event.as_deref()),
        (3, Some("evaluated"))
    );
    assert_eq!(run.last_time.as_deref(), Some("t1"));
    let damaged: Vec<String> = loaded
        .damaged
        .iter()
        .map(|d| format!("{}: {}", d.path.display(), d.reason))
        .collect();
    assert_eq!(damaged.len(), 2, "{damaged:?}");
    assert!(
        damaged[0].contains("bad/result.json: not a result file"),
        "{damaged:?}"
    );
    assert!(
        damaged[1].contains("no result, and not UTF-8"),
        "{damaged:?}"
    );
}

#[test]
fn a_failed_run_says_why() {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join(CONFIG), "benchmark = 'split-cifar100'\n").unwrap();
    let last_event = |status: &str| {
        fs::write(out.path().join(STATUS), status).unwrap();
        load(out.path()).unwrap().unfinished[0].last_event.clone()
    };
    let failed =
        "{\"phase\": \"failed\", \"error\": \"task 3: the loss is not finite\", \"pid\": 1}";
    assert_eq!(
        last_event(failed).as_deref(),
        Some("failed: task 3: the loss is not finite")
    );
    assert_eq!(last_event("{\"phase\": \"running\"}"), None);
    assert_eq!(last_event("{").as_deref(), None);
}

#[test]
fn results_from_before_kernels_were_recorded_are_read() {
    let text = text(60.0);
    let older = text.replacen("\"kernels\": \"portable\",", "", 1);
    assert_ne!(older, text);
    assert_eq!(parse(older.as_bytes()).unwrap().provenance.kernels, "");
}

#[test]
fn a_run_folder_alone_is_a_folder_of_one() {
    let out = tempfile::tempdir().unwrap();
    let result = result(config(&[], 1), 60.0, 4.0);
    write(out.path(), &result);
    let loaded = load(&out.path().join(&result.run_id)).unwrap();
    assert_eq!(loaded.runs.len(), 1);
    assert_eq!(loaded.runs[0].alpha(), Ok(None));
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_a_remedy() {
    let error = load(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(
        error.contains("/nowhere/at/all") && error.contains("--out"),
        "{error}"
    );
}

#[test]
fn results_are_checked() {
    assert!(parse(text(60.0).as_bytes()).is_ok());
    let changed = |from: &str, to: &str| {
        let text = text(60.0);
        assert!(text.contains(from), "{from} is not in {text}");
        reason(&text.replacen(from, to, 1))
    };
    assert!(changed("\"schema\": 1", "\"schema\": 2").contains("schema 2"));
    assert!(changed("\"schema\": 1,", "").contains("schema none"));
    assert!(
        changed("\"average_accuracy\": 60.0", "\"average_accuracy\": 61.0")
            .contains("average_accuracy")
    );
    assert!(changed("\"tasks\": 2", "\"tasks\": 3").contains("2 tasks at the end, not 3"));
    // Values that cannot be, though the metrics agree with them.
    let impossible = |accuracy: f64, loss: f64| {
        let mut result = result(config(&[], 1), accuracy, 0.0);
        result.loss_matrix =
            crate::metrics::TaskMatrix::new(vec![vec![0.5], vec![0.5, loss]]).unwrap();
        let text = serde_json::to_string(&result).unwrap();
        // One reader: what a report refuses, `tagcl run` refuses, too.
        let by_run = crate::experiment::run::result::parse(text.as_bytes()).map(|_| ());
        assert_eq!(by_run, parse(text.as_bytes()).map(|_| ()));
        by_run
    };
    assert_eq!(impossible(100.0, 0.0), Ok(()));
    assert!(
        impossible(100.5, 0.5)
            .unwrap_err()
            .contains("100.5; values are 0 to 100")
    );
    assert!(
        impossible(-1.0, 0.5)
            .unwrap_err()
            .contains("-1; values are 0 to 100")
    );
    assert!(
        impossible(50.0, -0.5)
            .unwrap_err()
            .contains("loss_matrix: row 2 has -0.5")
    );
    assert!(changed("\"wall_s\": 12.5", "\"wall_s\": -12.5").contains("cost.wall_s is -12.5"));
    assert!(changed("64.0\n    ]", "64.0, 1.0\n    ]").contains("row 1"));
    assert!(changed("\"seed\": 1", "\"sed\": 1").contains("unknown field `sed`"));
    assert!(reason("[]").contains("not a result file"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_run_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_changed_byte_never_gives_other_metrics_in_silence(at in 0_usize..4000, byte in any::<u8>()) {
        let mut bytes = text(60.0).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(run) = parse(&bytes) {
            prop_assert_eq!(Metrics::of(&run.accuracy_matrix), Some(run.metrics));
        }
    }
}
