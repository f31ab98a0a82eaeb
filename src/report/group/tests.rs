use super::*;
use crate::report::testing::{config, run};

#[test]
fn runs_that_differ_in_their_seeds_are_one_group() {
    let tag = [("optimizer", "tag-rmsprop")];
    let runs = [
        run(config(&[], 2), 50.0, 4.0),
        run(config(&tag, 1), 60.0, 2.0),
        run(config(&[], 1), 52.0, 4.0),
    ];
    let missing = Unfinished {
        folder: "x".into(),
        config: Some(config(&[], 3)),
        tasks_done: 0,
        last_event: None,
        last_time: None,
    };
    let groups = group_runs(&runs, &[missing]);
    assert_eq!(groups.len(), 2);
    let first = &groups[0];
    assert_eq!(
        (&first.seeds[..], first.n, &first.members[..]),
        (&[1, 2][..], 2, &[2, 0][..])
    );
    assert_eq!(
        (first.average_accuracy.mean, first.average_accuracy.std),
        (51.0, 1.0)
    );
    assert_eq!(first.marks, ["no result for seed 3"]);
    assert_eq!(
        first.values(&runs, |r| Some(r.metrics.average_accuracy)),
        Some(vec![52.0, 50.0])
    );
    assert!(groups[1].marks.is_empty());
}

#[test]
fn columns_are_what_differs() {
    let keys = |configs: &[&[(&str, &str)]]| -> Vec<String> {
        let runs: Vec<Run> = configs
            .iter()
            .map(|c| run(config(c, 1), 50.0, 1.0))
            .collect();
        let groups = group_runs(&runs, &[]);
        let columns = differing_settings(&groups.iter().collect::<Vec<_>>());
        columns.into_iter().map(|c| c.key.to_string()).collect()
    };
    let tag = ("optimizer", "tag-rmsprop");
    // b exists for TAG alone and has one value: the optimizer says as much.
    assert_eq!(keys(&[&[], &[tag]]), ["lr"]);
    assert_eq!(keys(&[&[tag], &[tag, ("b", "7")]]), ["lr", "b"]);
    assert_eq!(
        keys(&[&[tag], &[tag, ("alpha", "gradients")]]),
        ["lr", "alpha"],
        "that TAG-G has stored gradients follows"
    );
    let (gradients, many) = (("alpha", "gradients"), ("stored_gradients", "5"));
    assert_eq!(
        keys(&[&[tag], &[tag, gradients], &[tag, gradients, many]]),
        ["lr", "alpha", "stored_gradients"]
    );
    let (flat, clusters) = (("tag_memory", "flat"), ("tag_memory", "clusters"));
    assert_eq!(
        keys(&[&[tag], &[tag, flat], &[tag, clusters]]),
        ["lr", "past_moments", "tag_memory"]
    );
    assert_eq!(
        keys(&[
            &[tag, flat],
            &[tag, clusters],
            &[tag, clusters, ("tag_clusters", "1")]
        ]),
        ["lr", "past_moments", "tag_memory", "tag_clusters"]
    );
    // A learning rate explains nothing.
    assert_eq!(
        keys(&[
            &[tag, ("lr", "0.1")],
            &[tag, ("lr", "0.2"), ("tag_own_b", "3")]
        ]),
        ["lr", "tag_own_b"]
    );
    assert_eq!(
        keys(&[&[], &[("dropout", "0.1"), ("epochs", "5")]]),
        ["lr", "dropout", "epochs"]
    );
    assert_eq!(
        keys(&[&[], &[("schedule", "cyclic"), ("lr", "0.1")]]),
        ["lr", "schedule"]
    );
}

#[test]
fn fractions_and_samples_are_marked() {
    let mut sample = run(config(&[("fraction", "0.07")], 1), 50.0, 1.0);
    sample.provenance.data_note = Some("embedded sample".to_string());
    let groups = group_runs(&[sample], &[]);
    assert_eq!(
        groups[0].marks,
        ["7% of the training images", "embedded sample"]
    );
}

#[test]
fn runs_on_other_images_are_another_group() {
    let mut other = run(config(&[], 2), 50.0, 1.0);
    other.provenance.data_sha256 = "cd".repeat(32);
    let groups = group_runs(&[run(config(&[], 1), 50.0, 1.0), other], &[]);
    assert_eq!(groups.len(), 2);
    assert_ne!(groups[0].stream, groups[1].stream);
    for (group, sum) in groups.iter().zip(["abababab", "cdcdcdcd"]) {
        let mark = &group.marks[0];
        assert!(
            mark.contains(sum) && mark.contains("not comparable"),
            "{mark}"
        );
    }
}
