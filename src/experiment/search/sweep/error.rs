//! What is wrong with a sweep file.

use crate::experiment::plan::settings::SettingError;

/// A sweep file that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// No TOML, or not of this form.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// What the parser says.
        reason: String,
    },
    /// A key that is no setting, or may not be swept.
    #[error("{place}: `{key}` cannot stand here: {reason}")]
    Key {
        /// Part of the file.
        place: String,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Values that cannot be.
    #[error("{place}: {key}: {reason}")]
    Values {
        /// Part of the file.
        place: String,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// One configuration twice.
    #[error("two candidates are the same: {first} and {second}; remove one, or exclude it")]
    Duplicate {
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
    /// Too many.
    #[error("{found} candidates are more than {cap}; narrow the grid, or set max_candidates")]
    TooMany {
        /// How many at least.
        found: usize,
        /// The cap.
        cap: usize,
    },
    /// A condition that no candidate meets.
    #[error(
        "{place}: no candidate has {condition}: it has no effect; correct it or leave it out{seen}"
    )]
    Unmet {
        /// Part of the file, with its number.
        place: String,
        /// The condition.
        condition: String,
        /// What is there instead.
        seen: String,
    },
    /// None at all.
    #[error("the sweep has no candidates: give [grid], [[combinations]] or released_grid")]
    Empty,
    /// A setting of a candidate.
    #[error("candidate {candidate}: {error}")]
    Setting {
        /// Its values.
        candidate: String,
        /// What is wrong.
        error: SettingError,
    },
}
