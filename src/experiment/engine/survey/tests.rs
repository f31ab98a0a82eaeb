//! States told from files, and folders of folders.

use super::State as S;
use super::*;
use crate::experiment::testing::{finished, planned};

fn beat(phase: Phase) -> Heartbeat {
    Heartbeat {
        phase,
        pid: std::process::id(),
        process_began: heartbeat::process_began(std::process::id()),
        host: crate::experiment::run::provenance::host(),
        task: 2,
        tasks: 4,
        step: 25,
        steps: 100,
        steps_per_s: 5.0,
        accuracy: Some(61.5),
        result_bytes: None,
        error: None,
        fault: None,
    }
}

fn put(folder: &Path, id: &str, beat: Option<&Heartbeat>, result: Option<&str>) {
    let run = folder.join(id);
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("config.toml"), "").unwrap();
    if let Some(beat) = beat {
        let text = serde_json::to_string(beat).unwrap();
        std::fs::write(run.join(heartbeat::FILE), text).unwrap();
    }
    if let Some(text) = result {
        std::fs::write(run.join(RESULT), text).unwrap();
    }
}

#[test]
fn every_state_is_told_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = planned(&[("lr", "0.1")]).config;
    let text = serde_json::to_string(&finished(&config, 70.25)).unwrap();
    let result = text.as_str();
    let done = Heartbeat {
        result_bytes: Some(result.len() as u64),
        ..beat(Phase::Done)
    };
    put(at, "a-running", Some(&beat(Phase::Running)), None);
    let gone = Heartbeat {
        process_began: Some(1),
        ..beat(Phase::Running)
    };
    put(at, "b-killed", Some(&gone), None);
    let failed = Heartbeat {
        error: Some("no space".to_string()),
        ..beat(Phase::Failed)
    };
    put(at, "c-failed", Some(&failed), None);
    put(at, "d-done", Some(&done), Some(result));
    put(at, "e-old-done", None, Some(result));
    put(at, "f-cut", Some(&done), Some(&result[..20]));
    put(at, "g-interrupted", Some(&beat(Phase::Interrupted)), None);
    put(at, "h-begun", None, None);
    std::fs::create_dir(at.join("notes")).unwrap();
    let elsewhere = Heartbeat {
        host: "another".to_string(),
        ..beat(Phase::Running)
    };
    put(at, "i-elsewhere", Some(&elsewhere), None);

    let survey = survey(at).unwrap();
    let states: Vec<_> = survey
        .runs
        .iter()
        .map(|run| (run.run_id.as_str(), run.state))
        .collect();
    assert_eq!(
        states,
        [
            ("a-running", S::Running),
            ("b-killed", S::Stopped),
            ("c-failed", S::Failed),
            ("d-done", S::Done),
            ("e-old-done", S::Done),
            ("f-cut", S::Damaged),
            ("g-interrupted", S::Stopped),
            ("h-begun", S::Stopped),
            ("i-elsewhere", S::Running),
        ]
    );
    let running = &survey.runs[0];
    assert_eq!((running.task, running.progress), (Some(2), Some(0.25)));
    assert_eq!((running.left_s, running.accuracy), (Some(15.0), Some(61.5)));
    assert_eq!(survey.runs[4].accuracy, Some(70.25));
    assert_eq!(survey.runs[2].error.as_deref(), Some("no space"));
    assert_eq!((survey.count(S::Done), survey.is_over()), (2, false));
}

#[test]
fn a_process_elsewhere_is_judged_by_the_age_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Heartbeat {
        host: "another".to_string(),
        ..beat(Phase::Running)
    };
    put(folder.path(), "run", Some(&elsewhere), None);
    let state = |age: i64| {
        let file = std::fs::File::options()
            .write(true)
            .open(folder.path().join("run").join(heartbeat::FILE))
            .unwrap();
        let now = SystemTime::now();
        let span = Duration::from_secs(age.unsigned_abs());
        let at = if age < 0 { now + span } else { now - span };
        file.set_modified(at).unwrap();
        survey(folder.path()).unwrap().runs[0].state
    };
    assert_eq!(state(60), State::Running);
    assert_eq!(state(3600), State::Stopped);
    assert_eq!(state(-3600), State::Running, "clocks differ");
}

#[test]
fn thousands_of_runs_and_a_damaged_manifest_are_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = planned(&[("lr", "0.1")]).config;
    let text = serde_json::to_string(&finished(&config, 70.25)).unwrap();
    let result = text.as_str();
    let done = Heartbeat {
        result_bytes: Some(result.len() as u64),
        ..beat(Phase::Done)
    };
    for i in 0..3000 {
        put(at, &format!("run-{i:05}"), Some(&done), Some(result));
    }
    let runs = [crate::experiment::testing::planned(&[])];
    let header = manifest::Header::new(
        None,
        None,
        1,
        crate::experiment::plan::settings::Interval(None),
    );
    let path = manifest::write(at, &header, &runs).unwrap();
    let seen = survey(at).unwrap();
    assert_eq!(
        (seen.count(State::Done), seen.count(State::Waiting)),
        (3000, 1)
    );
    assert!(
        seen.runs
            .windows(2)
            .all(|pair| pair[0].run_id < pair[1].run_id)
    );
    std::fs::write(path, "{").unwrap();
    let seen = survey(at).unwrap();
    assert_eq!((seen.count(State::Waiting), seen.unreadable.len()), (0, 1));
    assert!(
        seen.unreadable[0].contains("line 1"),
        "{}",
        seen.unreadable[0]
    );
}

#[test]
fn folders_are_searched_as_reports_search_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = planned(&[("lr", "0.1")]).config;
    let text = serde_json::to_string(&finished(&config, 70.25)).unwrap();
    let done = Heartbeat {
        result_bytes: Some(text.len() as u64),
        ..beat(Phase::Done)
    };
    put(at, "top", Some(&done), Some(&text));
    for (place, id) in [("demo", "a"), ("demo", "b"), ("mine/deep/er", "c")] {
        put(&at.join(place), id, Some(&done), Some(&text));
    }
    // A sweep under way in its default folder, one level down, with a run that only its manifest knows.
    put(&at.join("lr"), "d", Some(&beat(Phase::Running)), None);
    let runs = [planned(&[("lr", "0.1")]), planned(&[("lr", "0.2")])];
    let header = manifest::Header::new(
        None,
        None,
        1,
        crate::experiment::plan::settings::Interval(None),
    );
    manifest::write(&at.join("lr"), &header, &runs).unwrap();
    // A run folder is not searched: what lies in it is its own.
    put(
        &at.join("demo/a/checkpoint"),
        "e",
        Some(&beat(Phase::Running)),
        None,
    );
    let survey = survey(at).unwrap();
    let ids: Vec<&str> = survey.runs.iter().map(|run| run.run_id.as_str()).collect();
    let waiting: Vec<String> = runs
        .iter()
        .map(|run| format!("lr/{}", run.config.run_id()))
        .collect();
    let mut expected = vec!["demo/a", "demo/b", "lr/d", "mine/deep/er/c", "top"];
    expected.extend(waiting.iter().map(String::as_str));
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(
        (
            survey.count(S::Done),
            survey.count(S::Running),
            survey.count(S::Waiting)
        ),
        (4, 1, 2)
    );
    assert!(!survey.is_over());
    // Deeper down, and at a single run, the same things are seen.
    assert_eq!(super::survey(&at.join("demo")).unwrap().runs.len(), 2);
    let own = super::survey(&at.join("demo/a")).unwrap();
    assert_eq!((own.runs.len(), own.runs[0].run_id.as_str()), (1, "a"));
    assert!(super::survey(&at.join("none")).is_err());
}

#[test]
fn a_finished_run_is_whole_however_late_its_file_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = planned(&[("lr", "0.1")]).config;
    let text = serde_json::to_string(&finished(&config, 70.25)).unwrap();
    // The newest heartbeat before the end is of task 2 of 4, at a quarter of the steps.
    let done = Heartbeat {
        result_bytes: Some(text.len() as u64),
        ..beat(Phase::Done)
    };
    put(folder.path(), "run", Some(&done), Some(&text));
    let survey = survey(folder.path()).unwrap();
    let run = &survey.runs[0];
    assert_eq!(
        (run.task, run.tasks, run.progress),
        (Some(4), Some(4), Some(1.0))
    );
}
