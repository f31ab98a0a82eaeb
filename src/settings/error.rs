//! What is wrong with a setting, who set it, and the name that was probably meant.

use std::fmt;

/// Where a value comes from; later ones beat earlier ones, and equals the newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default(&'static str),
    /// A configuration file.
    File(String),
    /// An environment variable.
    Environment(&'static str),
    /// The command line.
    CommandLine,
    /// A search, which sets what its stages need.
    Search,
}

impl Origin {
    /// Place in the order of precedence.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Default(_) => 0,
            Self::File(_) => 1,
            Self::Environment(_) => 2,
            Self::CommandLine => 3,
            Self::Search => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(why) => f.write_str(why),
            Self::File(path) => write!(f, "from {path}"),
            Self::Environment(name) => write!(f, "from {name}"),
            Self::CommandLine => f.write_str("from the command line"),
            Self::Search => f.write_str("set by the search"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// Unknown key or value.
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
        range: String,
    },
    /// A key that has no effect here.
    #[error("{key} ({origin}) has no effect here: it is only for {only_for}; leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// Who wrote it.
        origin: String,
        /// What it is for.
        only_for: String,
    },
    /// No default exists.
    #[error("{key} is not set and has no default here: {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A value that is right by itself and does not go with the rest.
    #[error("{key}: {problem}")]
    Conflict {
        /// The key.
        key: &'static str,
        /// What is wrong, with the value, and what to do.
        problem: String,
    },
    /// What a setting names cannot be used: a benchmark's file, a stream of tasks.
    #[error("{0}")]
    Subject(String),
    /// A file that is no TOML.
    #[error("{path}: not a readable TOML file: {reason}")]
    Toml {
        /// Which file.
        path: String,
        /// What the parser says, with the line.
        reason: String,
    },
    /// A stored configuration that this program did not write.
    #[error("the configuration's `{key}` {problem}")]
    Stored {
        /// Key in the file.
        key: String,
        /// What is wrong with it.
        problem: String,
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

/// The error for a name that is none of `known`.
pub fn unknown<'a>(
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
