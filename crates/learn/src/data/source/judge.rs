//! Whether images and labels are those of the official data set.

use super::DATA_SETS;
use super::official::{Content, Half, Order};
use super::spec::DataName;
use crate::data::image_set::ImageSet;

/// One half against its checksums.
fn judge_half(set: &ImageSet, half: &Half) -> Content {
    // One checksum answers both questions where the order is the official one.
    if let Order::Sha256(known) = half.order
        && set.sha256() == known
    {
        return Content::Official;
    }
    if set.content_sha256() != half.content {
        return Content::NotOfficial;
    }
    match half.order {
        Order::FirstLabels(labels) if set.labels().starts_with(labels) => Content::Official,
        _ => Content::OfficialInAnotherOrder,
    }
}

/// What a data set's images and labels are, and in words what is wrong with each half.
pub(super) fn judge(source: DataName, train: &ImageSet, test: &ImageSet) -> (Content, Vec<String>) {
    let halves = [
        ("training", train, source.train),
        ("test", test, source.test),
    ];
    let Some(official) = &source.official else {
        let complete = halves.iter().all(|(_, set, count)| set.len() == *count);
        let content = if complete {
            Content::Unknown
        } else {
            Content::NotOfficial
        };
        return (content, Vec::new());
    };
    let (mut content, mut problems) = (Content::Official, Vec::new());
    for ((name, set, count), half) in halves.into_iter().zip([&official.train, &official.test]) {
        // Another number of images is said by whoever counts.
        let found = if set.len() == count {
            judge_half(set, half)
        } else {
            Content::NotOfficial
        };
        if found == Content::NotOfficial && set.len() == count {
            let whose = whose(set).filter(|other| *other != source.name);
            let whose = whose
                .map(|other| format!(", but those of {other}"))
                .unwrap_or_default();
            problems.push(format!(
                "the {name} images or labels are not the official ones of {}{whose}",
                source.name
            ));
        }
        content = match (content, found) {
            (Content::NotOfficial, _) | (_, Content::NotOfficial) => Content::NotOfficial,
            (Content::Official, found) => found,
            (before, _) => before,
        };
    }
    (content, problems)
}

/// The data set whose official training or test set this is.
fn whose(set: &ImageSet) -> Option<&'static str> {
    let content = set.content_sha256();
    let known = |data: &&DataName| {
        let halves = data.official.iter().flat_map(|o| [o.train, o.test]);
        halves.into_iter().any(|half| half.content == content)
    };
    DATA_SETS.iter().find(known).map(|data| data.name)
}

/// What a reader of results must know: that images are missing (or too many), that they are others, and what else was
/// found.
pub(super) fn note(
    source: DataName,
    train: &ImageSet,
    test: &ImageSet,
    found: Vec<String>,
) -> Option<String> {
    let mut notes = Vec::new();
    if (train.len(), test.len()) != source.counts() {
        notes.push(format!(
            "not the complete {}: {} training and {} test images instead of {} and {}",
            source.name,
            train.len(),
            test.len(),
            source.train,
            source.test
        ));
    }
    notes.extend(judge(source, train, test).1);
    notes.extend(found);
    (!notes.is_empty()).then(|| notes.join("; "))
}
