//! What a group is called in a plot.
//!
//! Owns the names: method and optimizer as papers write them, and of the settings only those that tell groups of the
//! same name apart.

use crate::experiment::plan::config::{DataChoice, RunConfig, Schedule};
use crate::method::PLAIN;
use crate::report::group::{Group, settings};
use crate::report::names::{alpha_rule, momentum};

/// Method and optimizer: `EWC, SGD`; the optimizer alone where nothing is added to it.
pub(in crate::report) fn pair(config: &RunConfig) -> String {
    let optimizer = config.optimizer.paper_name;
    let name = if *config.method == PLAIN {
        optimizer.to_string()
    } else {
        format!("{}, {optimizer}", config.method.paper_name)
    };
    let name = format!("{name}{}", variant(config));
    match config.schedule {
        Schedule::Sequential => name,
        Schedule::Cyclic => format!("{name}, cyclic"),
        Schedule::Joint => format!("{name}, joint"),
    }
}

/// What makes an optimizer another one: TAG's rule, Stable SGD's dropout and decay.
fn variant(config: &RunConfig) -> String {
    let mut text = alpha_rule(config).to_string();
    for (name, value, usual) in [
        ("dropout", config.dropout, 0.0),
        ("γ", config.gamma, 1.0),
        ("momentum", momentum(config).unwrap_or(0.0), 0.0),
    ] {
        if value != usual {
            text = format!("{text}, {name} {value}");
        }
    }
    text
}

/// Names of groups that stand in one plot: all different, and no longer than it takes.
pub(in crate::report) fn labels(groups: &[&Group]) -> Vec<String> {
    let pairs: Vec<String> = groups.iter().map(|g| pair(&g.config)).collect();
    let all: Vec<Vec<(String, String)>> = groups.iter().map(|g| settings(&g.config)).collect();
    let value = |i: usize, key: &str| -> Option<&str> {
        let found = all.get(i)?.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    };
    let mut labels = Vec::with_capacity(groups.len());
    for (i, name) in pairs.iter().enumerate() {
        let namesakes: Vec<usize> = (0..pairs.len()).filter(|j| &pairs[*j] == name).collect();
        let mut label = name.clone();
        let mut keys: Vec<&String> = Vec::new();
        for (key, _) in namesakes.iter().filter_map(|j| all.get(*j)).flatten() {
            let named = ["schedule", "alpha", "dropout", "gamma", "momentum"];
            if !keys.contains(&key) && !named.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        for key in keys {
            let own = value(i, key);
            if namesakes.iter().any(|j| value(*j, key) != own) {
                let text = own.unwrap_or("–");
                let shown = text.get(..12).filter(|_| text.len() > 20).unwrap_or(text);
                label = format!("{label}, {} {shown}", short_key(key));
            }
        }
        labels.push(label);
    }
    labels
}

/// A setting's name in a label.
fn short_key(key: &str) -> String {
    match key {
        "lambda" => "λ".to_string(),
        "memory_per_class" => "M".to_string(),
        "batch_size" => "batch".to_string(),
        other => other.replace('_', " "),
    }
}

/// What groups must share to stand in one plot.
pub(super) fn same_stream(a: &RunConfig, b: &RunConfig) -> bool {
    a.benchmark == b.benchmark
        && a.tasks == b.tasks
        && a.data == b.data
        && a.fraction == b.fraction
        && a.validation == b.validation
}

/// The stream in words: `Split-CIFAR100, 20 tasks`.
pub(super) fn stream(config: &RunConfig) -> String {
    let mut text = format!("{}, {} tasks", config.benchmark.paper_name(), config.tasks);
    if config.data == DataChoice::Embedded {
        text.push_str(", embedded sample");
    }
    if config.fraction < 1.0 {
        let percent = (config.fraction * 1e8).round() / 1e6;
        text = format!("{text}, {percent}% of the training images");
    }
    if config.validation > 0.0 {
        let percent = (config.validation * 1e8).round() / 1e6;
        text = format!("{text}, {percent}% set aside for validation");
    }
    text
}

/// A part of a file name: lower case letters, digits and hyphens.
pub(super) fn file_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.') => name.push(c),
            'α' => name.push_str("alpha"),
            'γ' => name.push_str("gamma"),
            'λ' => name.push_str("lambda"),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    name.trim_end_matches('-').chars().take(120).collect()
}
