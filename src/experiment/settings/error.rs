//! What is wrong with a setting, and the name that was probably meant.

use crate::experiment::benchmark::Named;
use crate::experiment::custom::CustomError;
use crate::stream::StreamError;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No such key or value.
    #[error("unknown {what} `{found}`{}; known: {known}", nearest.as_ref().map_or(String::new(), |n| format!(", did you mean `{n}`?")))]
    Unknown {
        /// `key`, `benchmark`, ...
        what: String,
        /// What was written.
        found: String,
        /// The nearest known name, if any is near.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{key} = {found} ({origin}) is out of range: it must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// What was written.
        found: String,
        /// Who wrote it.
        origin: String,
        /// The range in words.
        range: &'static str,
    },
    /// A key that has no effect here.
    #[error("{key} ({origin}) has no effect here: it is only for {only_for}; leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// Who wrote it.
        origin: String,
        /// What it is for.
        only_for: &'static str,
    },
    /// No default exists.
    #[error("{key} is not set and has no default here: {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A network that does not take the benchmark's images.
    #[error(
        "model = {model} does not fit the benchmark: {problem}; choose another with --model (tagcl list models)"
    )]
    Images {
        /// The network.
        model: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The file of a benchmark of one's own.
    #[error("{0}")]
    Custom(#[from] CustomError),
    /// A stream that cannot be made.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The file is no TOML.
    #[error("{path}: not a readable TOML file: {reason}")]
    Toml {
        /// Which file.
        path: String,
        /// What the parser says, with the line.
        reason: String,
    },
}

/// The nearest of `known` to what was written, if it is near enough to be a slip.
#[must_use]
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
        .map(|(_, name)| name.to_string())
}

/// Parses one of a closed list of names.
///
/// # Errors
/// [`SettingError::Unknown`] with the nearest name and all of them.
pub fn parse_name<N: Named>(found: &str) -> Result<N, SettingError> {
    N::parse(found).ok_or_else(|| unknown(N::WHAT, found, N::ALL.iter().map(|x| x.name())))
}

pub(super) fn unknown<'a>(
    what: &str,
    found: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> SettingError {
    SettingError::Unknown {
        what: what.to_string(),
        found: found.to_string(),
        nearest: nearest(found, known.clone()),
        known: known.collect::<Vec<_>>().join(", "),
    }
}
