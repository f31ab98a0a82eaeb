//! Whether images and labels are the official ones, whatever file they came from.
//!
//! The checksum of a half is over its images with their labels in no particular order
//! ([`ImageSet::content_sha256`]), so that archives, folders, repacked and reordered copies all agree, and one changed
//! pixel or label does not. It was computed from the official files where they were at hand. Results say in their data
//! note what is not the official data.

use serde::Serialize;

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
