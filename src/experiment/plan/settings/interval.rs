//! How often a run's state is saved, as it is typed and written down.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The allowed texts, in words.
pub(super) const RANGE: &str = "`off`, or a number of seconds from 0 to 1000000000";

/// Time between two checkpoints, or none: `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval(pub Option<Duration>);

impl Interval {
    /// How often where nobody says anything.
    pub const USUAL: Self = Self(Some(Duration::from_mins(1)));
}

impl FromStr for Interval {
    type Err = String;

    /// `off`, or seconds.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let seconds = text.parse().ok().filter(|x| (0.0..=1e9).contains(x));
        let seconds: f64 = seconds.ok_or_else(|| format!("`{text}`: it must be {RANGE}"))?;
        Ok(Self(Some(Duration::from_secs_f64(seconds))))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(every) => write!(f, "{}", every.as_secs_f64()),
        }
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["off", "0", "60", "2.5"] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.to_string(), text);
        }
        for text in ["", "-1", "inf", "NaN", "1e10", "on"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}
