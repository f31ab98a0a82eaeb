//! Tests of the format, of what is kept, and of hostile files.

use proptest::prelude::*;

use super::*;
use crate::experiment::plan::settings::{Origin, Settings};

fn identity(lr: &str) -> Identity {
    let mut settings = Settings::default();
    for (key, value) in [
        ("benchmark", "rotated-mnist"),
        ("lr", lr),
        ("data", "embedded"),
    ] {
        settings.set(key, value, Origin::CommandLine).unwrap();
    }
    let config = settings.plan().unwrap().runs.remove(0).config;
    Identity::new(&config, &Provenance::now("data", None, 1))
}

fn checkpoint(progress: u32) -> Checkpoint<'static, u32> {
    let mut learner = State::new("learner").with_counter("batches", 3);
    learner.put("weight", vec![1.0, -0.0, f32::MIN_POSITIVE]);
    let mut optimizer = State::new("sgd");
    optimizer.put_sums("alpha", vec![0.1]);
    let mut method = State::new("er");
    method.put_list("memory", vec![u64::MAX, 0]);
    Checkpoint {
        progress,
        learner,
        optimizer,
        method,
    }
}

/// A small checkpoint as it is on disk.
pub(crate) fn bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    file::write(&mut bytes, &identity("0.1"), &checkpoint(7)).unwrap();
    bytes
}

#[test]
fn what_is_saved_is_read() {
    let (found, back) = file::parse::<u32>(&bytes()).unwrap();
    let saved = checkpoint(7);
    assert_eq!(found, identity("0.1"));
    assert_eq!(back.progress, 7);
    assert_eq!(
        [back.learner, back.optimizer, back.method],
        [saved.learner, saved.optimizer, saved.method]
    );
}

#[test]
fn every_truncation_and_every_flipped_byte_is_noticed() {
    let bytes = bytes();
    for len in 0..bytes.len() {
        assert!(matches!(
            file::parse::<u32>(&bytes[..len]),
            Err(Unusable::Damaged(_))
        ));
    }
    for i in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[i] ^= 0x10;
        assert!(matches!(
            file::parse::<u32>(&bytes),
            Err(Unusable::Damaged(_))
        ));
    }
}

/// Reads bytes as a checkpoint, as they are and behind a right checksum.
pub(crate) fn read_any(bytes: &[u8]) {
    drop(file::parse::<serde_json::Value>(bytes));
    let body = bytes
        .split_last_chunk::<32>()
        .map_or(bytes, |(body, _)| body);
    drop(file::parse::<serde_json::Value>(&with_checksum(
        body.to_vec(),
    )));
}

/// Appends the right checksum, so that a test gets past it.
fn with_checksum(mut body: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(&body);
    body.extend(digest);
    body
}

proptest! {
    #[test]
    fn any_bytes_give_an_error_or_a_value(
        body in prop::collection::vec(any::<u8>(), 0..400),
        cut in 0_usize..4000,
        place in 0_usize..4000,
        value: u8,
    ) {
        prop_assert!(file::parse::<u32>(&body).is_err());
        let mut framed = b"tagcl checkpoint 1\n".to_vec();
        framed.extend(&body);
        prop_assert!(file::parse::<u32>(&with_checksum(framed)).is_err());
        // Changed behind a right checksum: the parts behind it must cope, whatever they find.
        let mut body = bytes();
        body.truncate(body.len() - 32);
        if let Some(byte) = body.get_mut(place) {
            *byte = value;
        }
        let _ = file::parse::<u32>(&with_checksum(body.clone()));
        body.truncate(cut);
        let _ = file::parse::<u32>(&with_checksum(body));
    }
}

#[test]
fn the_last_two_are_kept_and_leftovers_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(dir.path(), Some(Duration::ZERO));
    assert!(checkpoints.is_due() && checkpoints.list().is_empty());
    let identity = identity("0.1");
    fs::create_dir(dir.path().join(FOLDER)).unwrap();
    fs::write(dir.path().join(FOLDER).join(".tagcl-left.tmp"), b"x").unwrap();
    for progress in 0..4 {
        checkpoints.save(&identity, &checkpoint(progress)).unwrap();
    }
    let numbers: Vec<u64> = checkpoints.list().iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, [3, 2]);
    assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 2);

    // A process that had to fall back on number 2 keeps it until two newer ones are there.
    let mut next = Checkpoints::new(dir.path(), Some(Duration::from_hours(1)));
    let (_, fallback) = next.list()[1].clone();
    let read: Checkpoint<'_, u32> = Checkpoints::read(&fallback, 1 << 20, &identity).unwrap();
    assert_eq!(read.progress, 2);
    assert!(!next.is_due());
    next.took(fallback);
    next.save(&identity, &checkpoint(5)).unwrap();
    let numbers: Vec<u64> = next.list().iter().map(|(n, _)| *n).collect();
    assert_eq!(numbers, [4, 2]);
}

#[test]
fn foreign_and_oversized_files_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(dir.path(), Some(Duration::ZERO));
    let ours = identity("0.1");
    checkpoints.save(&ours, &checkpoint(0)).unwrap();
    let (_, path) = checkpoints.list().remove(0);
    let reason = |identity: &Identity, limit| {
        let read: Result<Checkpoint<'_, u32>, _> = Checkpoints::read(&path, limit, identity);
        read.map(|_| ()).unwrap_err().to_string()
    };
    let all = 1 << 20;
    assert!(reason(&identity("0.2"), all).contains("another configuration"));
    let mut other = ours.clone();
    other.data_sha256 = "else".to_string();
    assert!(reason(&other, all).contains("other images"));
    let mut other = ours.clone();
    other.version = "9.9.9".to_string();
    assert!(reason(&other, all).contains("9.9.9"));
    let mut other = ours.clone();
    other.kernels = "abacus".to_string();
    assert!(reason(&other, all).contains("abacus"));
    assert!(reason(&ours, 100).contains("more than this run can have saved"));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_of_the_checkpoint_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FOLDER), b"a file in its place").unwrap();
    let mut checkpoints = Checkpoints::new(dir.path(), Some(Duration::from_hours(1)));
    assert!(checkpoints.save(&identity("0.1"), &checkpoint(0)).is_err());
    assert!(!checkpoints.is_due(), "it is not tried again at once");
}
