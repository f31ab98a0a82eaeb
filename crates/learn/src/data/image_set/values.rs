//! What the examples of a set are made of: pixels or features.
//!
//! Owns what differs between the two, so that a set need not ask at every step.

use std::borrow::Cow;

/// What an example consists of.
#[derive(Clone, PartialEq)]
pub(super) enum Values {
    /// Pixels of 0 to 255.
    Pixels(Vec<u8>),
    /// Features; all of them finite.
    Features(Vec<f32>),
}

/// Finite numbers equal themselves.
impl Eq for Values {}

impl Values {
    /// Adds those of another set of the same kind; false if it is of the other.
    pub(super) fn extend(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pixels(all), Self::Pixels(more)) => all.extend_from_slice(more),
            (Self::Features(all), Self::Features(more)) => all.extend_from_slice(more),
            _ => return false,
        }
        true
    }

    /// For checksums: pixels as they are, features as 32-bit little-endian floats.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Pixels(all) => Cow::Borrowed(all),
            Self::Features(all) => all.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// Bytes a value in [`Self::bytes`], and what begins the text that is hashed.
    pub(super) fn kind(&self) -> (usize, &'static str) {
        match self {
            Self::Pixels(_) => (1, "image"),
            Self::Features(_) => (size_of::<f32>(), "feature"),
        }
    }
}
