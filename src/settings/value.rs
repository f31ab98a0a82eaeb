//! A setting's value, whatever its type: for columns of tables, files and comparisons.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Digits of a checksum that people are shown.
const DIGITS: usize = 8;

/// A checksum's first digits; any other text as it is.
#[must_use]
pub fn short_checksum(text: &str) -> &str {
    let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.get(..DIGITS).filter(|_| hex).unwrap_or(text)
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Truth(bool),
    /// A whole number.
    Whole(u64),
    /// A number.
    Real(f64),
    /// A name or other text.
    Text(String),
}

impl Value {
    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            Self::Truth(_) | Self::Text(_) => None,
        }
    }

    /// As people are shown it: checksums by their first digits.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Text(text) => short_checksum(text).to_string(),
            other => other.to_string(),
        }
    }

    /// Whether a text as typed means this value; numbers are compared as numbers, and a checksum by its beginning.
    #[must_use]
    pub fn is(&self, typed: &str) -> bool {
        match self {
            Self::Truth(truth) => typed.parse() == Ok(*truth),
            Self::Text(text) => {
                text == typed || (typed.len() >= DIGITS && short_checksum(text) == typed)
            }
            number => typed.parse().ok() == number.number(),
        }
    }

    /// Numbers by size, texts by letter, values of different kinds by kind.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let kind = |value: &Self| match value {
            Self::Truth(_) => 0,
            Self::Whole(_) | Self::Real(_) => 1,
            Self::Text(_) => 2,
        };
        match (self, other) {
            (Self::Truth(a), Self::Truth(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (a, b) => match (a.number(), b.number()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => kind(a).cmp(&kind(b)),
            },
        }
    }

    /// As TOML writes it: text in quotes, numbers that are not whole with their point.
    #[must_use]
    pub fn toml(&self) -> String {
        serde_json::to_value(self).unwrap_or_default().to_string()
    }
}

/// As people write it: `1` rather than `1.0`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}
