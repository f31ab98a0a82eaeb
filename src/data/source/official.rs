//! Whether images and labels are the official ones, whatever file they came from.
//!
//! The checksum of a half is over its images with their labels in no particular order
//! ([`ImageSet::content_sha256`]), so that archives, folders, repacked and reordered copies all agree, and one changed
//! pixel or label does not. It was computed from the official files where they were at hand. Results say in their data
//! note what is not the official data.

use serde::Serialize;

use super::DATA_SETS;
use super::spec::DataName;
use crate::data::image_set::ImageSet;

/// Checksums of the official training and test set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Official {
    pub(super) train: Half,
    pub(super) test: Half,
}

/// Of one half.
#[derive(Debug, Clone, Copy)]
pub(super) struct Half {
    /// [`ImageSet::content_sha256`].
    pub(super) content: &'static str,
    pub(super) order: Order,
}

/// How the official order is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// [`ImageSet::sha256`].
    Sha256(&'static str),
    /// The labels of the first images: the images were at hand in another order only.
    FirstLabels(&'static [u16]),
}

/// What the images and labels of a data set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// The official ones, in the official order.
    Official,
    /// The official ones, in another order.
    OfficialInAnotherOrder,
    /// Others, or not all of them.
    NotOfficial,
    /// No checksum of the official ones is known to this program.
    Unknown,
}

impl Content {
    /// In words, completing "images and labels are ...".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Official => "the official ones",
            Self::OfficialInAnotherOrder => "the official ones, in another order",
            Self::NotOfficial => "not the official ones",
            Self::Unknown => {
                "not compared with the official ones, of which this program has no checksum; their numbers were compared"
            }
        }
    }
}

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
