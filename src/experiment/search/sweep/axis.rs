//! Axes of a sweep: their values, and the points of their product.
//!
//! Owns the arithmetic: values stay the text that was written, ranges are stepped in exact decimals.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::SweepError;
use crate::experiment::plan::settings::{keys, nearest};

/// Keys that say how runs are executed, not what they are; and seeds, which have their own place.
const NOT_SWEPT: [&str; 9] = [
    "seeds",
    "out",
    "jobs",
    "threads",
    "data",
    "init",
    "init_sha256",
    "validation",
    "evaluate",
];

pub(super) fn key(place: &str, key: &str) -> Result<(), SweepError> {
    let refuse = |reason: String| {
        let (place, key) = (place.to_string(), key.to_string());
        Err(SweepError::Key { place, key, reason })
    };
    if !keys().any(|name| name == key) {
        let near = nearest(key, keys());
        let hint = near.map_or(String::new(), |near| format!(", did you mean `{near}`?"));
        return refuse(format!("it is no setting{hint}"));
    }
    let executes = ["out", "jobs", "threads"].contains(&key);
    if key == "seeds" {
        return refuse("seeds stand at the top of the file, and under [select]".to_string());
    }
    if executes || (place != "[base]" && NOT_SWEPT.contains(&key)) {
        return refuse("it is given on the command line or in [base]".to_string());
    }
    if key == "evaluate" {
        return refuse("[select] sets it".to_string());
    }
    Ok(())
}

/// A scalar as text: decimals as they were written.
pub(super) fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Boolean(_) => Some(value.to_string()),
        // The shortest text that is this number, which is what was written but for trailing zeros.
        toml::Value::Float(number) => {
            let plain = number.to_string();
            Some(if plain.len() > 12 {
                format!("{number:e}")
            } else {
                plain
            })
        }
        _ => None,
    }
}

/// Seeds as text, from a string or a list.
pub(super) fn seeds_text(value: &toml::Value) -> String {
    match value {
        toml::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            items.join(",")
        }
        other => scalar(other).unwrap_or_else(|| other.to_string()),
    }
}

/// An exact decimal; also `1e-4`.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    let parsed = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text)
    } else {
        text.parse()
    };
    parsed.ok()
}

/// A table of settings as pairs.
pub(super) fn pairs(place: &str, table: &toml::Table) -> Result<Vec<(String, String)>, SweepError> {
    let pair = |(name, value): (&String, &toml::Value)| {
        key(place, name)?;
        let text = scalar(value).ok_or_else(|| SweepError::Values {
            place: place.to_string(),
            key: name.clone(),
            reason: "one value is needed here, not a list or table".to_string(),
        })?;
        Ok((name.clone(), text))
    };
    table.iter().map(pair).collect()
}

/// The values of one axis: a list, or `{ from, to, step }`, or `{ from, to, times }`.
pub(super) fn axis(
    place: &str,
    name: &str,
    value: &toml::Value,
    cap: usize,
) -> Result<Vec<String>, SweepError> {
    key(place, name)?;
    let refuse = |reason: &str| SweepError::Values {
        place: place.to_string(),
        key: name.to_string(),
        reason: reason.to_string(),
    };
    let values = match value {
        toml::Value::Array(items) => items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| refuse("values must be numbers or names")))
            .collect::<Result<Vec<_>, _>>()?,
        toml::Value::Table(range) => steps(range, cap).map_err(|reason| refuse(&reason))?,
        _ => {
            return Err(refuse(
                "a list of values or a range { from, to, step } is needed",
            ));
        }
    };
    if values.is_empty() {
        return Err(refuse("the list is empty"));
    }
    // 0.1 and 0.10 are one value; names are compared as they are.
    let plain = |text: &String| decimal(text).map_or(text.clone(), |d| d.normalize().to_string());
    let distinct: BTreeSet<String> = values.iter().map(plain).collect();
    if distinct.len() < values.len() {
        return Err(refuse("a value stands twice"));
    }
    Ok(values)
}

/// A range, both ends included, in exact decimals.
pub(super) fn steps(range: &toml::Table, cap: usize) -> Result<Vec<String>, String> {
    let get = |name: &str| -> Result<Option<Decimal>, String> {
        let Some(value) = range.get(name) else {
            return Ok(None);
        };
        let number = scalar(value).and_then(|text| decimal(&text));
        number
            .map(Some)
            .ok_or_else(|| format!("`{name}` is no decimal number"))
    };
    if let Some(other) = range
        .keys()
        .find(|k| !["from", "to", "step", "times"].contains(&k.as_str()))
    {
        return Err(format!(
            "a range has from, to, and step or times, not `{other}`"
        ));
    }
    let (Some(from), Some(to)) = (get("from")?, get("to")?) else {
        return Err("a range needs from and to".to_string());
    };
    let next: Box<dyn Fn(Decimal) -> Option<Decimal>> = match (get("step")?, get("times")?) {
        (Some(step), None) if step > Decimal::ZERO => Box::new(move |x| x.checked_add(step)),
        (None, Some(times)) if times > Decimal::ONE && from > Decimal::ZERO => {
            Box::new(move |x| x.checked_mul(times))
        }
        (Some(_), None) => return Err("step must be above 0".to_string()),
        (None, Some(_)) => return Err("times must be above 1, and from above 0".to_string()),
        _ => return Err("a range needs step or times, one of them".to_string()),
    };
    if from > to {
        return Err("from is above to".to_string());
    }
    let (mut values, mut at) = (Vec::new(), from);
    while at <= to {
        values.push(at.normalize().to_string());
        if values.len() > cap {
            return Err(format!("more than {cap} values"));
        }
        match next(at) {
            Some(following) => at = following,
            None => break,
        }
    }
    Ok(values)
}

/// Every way to take one value from each axis, the first axis slowest.
pub(super) fn product(
    points: &[Vec<(String, String)>],
    axes: &[(String, Vec<String>)],
    cap: usize,
) -> Result<Vec<Vec<(String, String)>>, SweepError> {
    let factors = axes.iter().map(|(_, values)| values.len());
    let found = factors.fold(points.len(), usize::saturating_mul);
    if found > cap {
        return Err(SweepError::TooMany { found, cap });
    }
    let mut points = points.to_vec();
    for (key, values) in axes {
        points = points
            .iter()
            .flat_map(|point| {
                values.iter().map(|value| {
                    let mut point = point.clone();
                    point.retain(|(k, _)| k != key);
                    point.push((key.clone(), value.clone()));
                    point
                })
            })
            .collect();
    }
    Ok(points)
}

/// True if all these settings have these values.
pub(super) fn holds(
    condition: &[(String, String)],
    base: &[(String, String)],
    point: &[(String, String)],
) -> bool {
    condition.iter().all(|(key, wanted)| {
        let here = point.iter().chain(base).find(|(k, _)| k == key);
        here.is_some_and(|(_, value)| {
            value == wanted
                || matches!((decimal(value), decimal(wanted)), (Some(a), Some(b)) if a == b)
        })
    })
}

/// Refuses a condition that holds for none of the points: a typo must not change what a sweep tries.
pub(super) fn must_hold(
    place: &str,
    condition: &[(String, String)],
    base: &[(String, String)],
    points: &[Vec<(String, String)>],
) -> Result<(), SweepError> {
    const SHOWN: usize = 5;
    if points.iter().any(|point| holds(condition, base, point)) {
        return Ok(());
    }
    // The first setting that alone keeps it from holding, else the first of all, with the values that it has.
    let alone = |pair: &&(String, String)| {
        let pair = std::slice::from_ref(*pair);
        !points.iter().any(|point| holds(pair, base, point))
    };
    let seen = condition.iter().find(alone).map(|(key, _)| {
        let value = |point: &Vec<(String, String)>| {
            let found = point.iter().chain(base).find(|(k, _)| k == key);
            found.map(|(_, value)| value.clone())
        };
        let mut values: Vec<String> = Vec::new();
        for value in points.iter().filter_map(value) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let more = if values.len() > SHOWN { ", ..." } else { "" };
        values.truncate(SHOWN);
        match values.len() {
            0 => format!(" (the file does not set {key}, and defaults are not looked at)"),
            _ => format!(" ({key} is {}{more})", values.join(", ")),
        }
    });
    Err(SweepError::Unmet {
        place: place.to_string(),
        condition: super::words(condition),
        seen: seen.unwrap_or_default(),
    })
}
