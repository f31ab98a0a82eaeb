//! A setting's value, whatever its type: for columns of tables, files and comparisons.

use std::fmt;

use serde::{Deserialize, Serialize};

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
