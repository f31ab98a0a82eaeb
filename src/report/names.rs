//! What a configuration is called in tables.
//!
//! Owns two vocabularies: the program's own (`tag-rmsprop, α age`), in which terminals and files name a group, and the
//! paper's (`TAGed ER (M=5)`), in which its tables do.

use std::fmt::Write as _;

use super::group::{Group, differing_settings};
use crate::experiment::plan::config::{RunConfig, Schedule};
use crate::method::PLAIN;
use crate::optim::{AlphaRule, SGD, TagSettings};

/// The optimizer with what tells it apart from its plain form, but for the settings in `elsewhere`, which have columns
/// of their own.
#[must_use]
pub fn optimizer(config: &RunConfig, elsewhere: &[&str]) -> String {
    let mut text = config.optimizer.name.to_string();
    let shown = |key: &str| !elsewhere.contains(&key);
    if shown("alpha") {
        text.push_str(alpha_rule(config));
    }
    let stored = tag(config).and_then(|tag| tag.stored_gradients);
    if let Some(b) = stored.filter(|_| shown("stored_gradients")) {
        let _ = write!(text, ", B={b}");
    }
    if config.dropout > 0.0 && shown("dropout") {
        let _ = write!(text, ", dropout {}", config.dropout);
    }
    if config.gamma < 1.0 && shown("gamma") {
        let _ = write!(text, ", γ {}", config.gamma);
    }
    if let Some(momentum) = momentum(config).filter(|_| shown("momentum")) {
        let _ = write!(text, ", momentum {momentum}");
    }
    text
}

fn tag(config: &RunConfig) -> Option<&TagSettings> {
    config.optimizer_settings.get()
}

/// SGD's momentum, where it has any.
pub(super) fn momentum(config: &RunConfig) -> Option<f64> {
    let momentum = config.value("momentum")?.number()?;
    (momentum > 0.0).then_some(momentum)
}

/// What a rule for α other than the paper's adds to an optimizer's name.
pub(super) fn alpha_rule(config: &RunConfig) -> &'static str {
    match tag(config).map(|tag| tag.alpha) {
        None | Some(AlphaRule::Cosine) => "",
        Some(AlphaRule::One) => ", α one",
        Some(AlphaRule::Age) => ", α age",
        Some(AlphaRule::Gradients) => ", α gradients",
    }
}

/// The method's name, with its memory, and the order of the examples where it is not the usual one.
#[must_use]
pub fn method(config: &RunConfig, elsewhere: &[&str]) -> String {
    let mut text = config.method.name.to_string();
    if let Some(memory) = memory(config).filter(|_| !elsewhere.contains(&"memory_per_class")) {
        let _ = write!(text, ", M={memory}");
    }
    if !elsewhere.contains(&"schedule") {
        match config.schedule {
            Schedule::Sequential => {}
            Schedule::Cyclic => text.push_str(", cyclic"),
            Schedule::Joint => text.push_str(", joint"),
        }
    }
    text
}

/// Remembered examples a class, for the methods that remember.
fn memory(config: &RunConfig) -> Option<String> {
    config.value("memory_per_class").map(|m| m.to_string())
}

/// The program's name of method and optimizer, with what tells variants of one method apart.
#[must_use]
pub fn approach(config: &RunConfig) -> String {
    format!("{} {}", method(config, &[]), optimizer(config, &[]))
}

/// The paper's name of the method, or one in its manner.
#[must_use]
pub fn in_paper(config: &RunConfig) -> String {
    match config.schedule {
        Schedule::Cyclic => return "MTL (cyclic)".to_string(),
        Schedule::Joint => return "MTL (joint)".to_string(),
        Schedule::Sequential => {}
    }
    let optimizer = match tag(config).map(|tag| (tag.alpha, tag.stored_gradients)) {
        None | Some((AlphaRule::Cosine, _)) => config.optimizer.paper_name.to_string(),
        Some((rule, b)) if config.optimizer.name == "tag-rmsprop" => match rule {
            AlphaRule::One => "TAG-1".to_string(),
            AlphaRule::Age => "TAG-age".to_string(),
            _ => format!("TAG-G (B={})", b.unwrap_or(1)),
        },
        Some(_) => optimizer(config, &["dropout", "gamma", "momentum"]),
    };
    if *config.method == PLAIN {
        return match () {
            () if *config.optimizer == SGD && config.gamma < 1.0 => "Stable SGD".to_string(),
            () if config.optimizer.remembers_tasks => optimizer,
            () => format!("Naive {optimizer}"),
        };
    }
    let base = config.method.paper_name;
    let prefix = match optimizer.as_str() {
        "SGD" => String::new(),
        "TAG-RMSProp" => "TAGed ".to_string(),
        other => format!("{other} "),
    };
    let memory = memory(config);
    let memory = memory.map_or(String::new(), |m| format!(" (M={m})"));
    format!("{prefix}{base}{memory}")
}

/// A name for each group, such that groups of one column have different names.
///
/// Groups that `name` calls the same within one `column` get their differing settings in parentheses, in every column
/// where the name appears.
#[must_use]
pub fn distinct_names(
    groups: &[Group],
    name: impl Fn(&RunConfig) -> String,
    column: impl Fn(&RunConfig) -> String,
) -> Vec<String> {
    let names: Vec<String> = groups.iter().map(|g| name(&g.config)).collect();
    let columns: Vec<String> = groups.iter().map(|g| column(&g.config)).collect();
    let mut seen = std::collections::BTreeSet::new();
    let mut ambiguous = std::collections::BTreeSet::new();
    for pair in names.iter().zip(&columns) {
        if !seen.insert(pair) {
            ambiguous.insert(pair.0);
        }
    }
    let mut distinct = names.clone();
    for name in ambiguous {
        let of_name: Vec<usize> = (0..groups.len())
            .filter(|i| names.get(*i) == Some(name))
            .collect();
        let same: Vec<Group> = of_name
            .iter()
            .filter_map(|i| groups.get(*i))
            .cloned()
            .collect();
        let settings = differing_settings(&same);
        for (nth, i) in of_name.into_iter().enumerate() {
            let values = settings.iter().filter_map(|setting| {
                let value = setting.values.get(nth).cloned().flatten();
                value.map(|value| format!("{} {value}", setting.key))
            });
            let values: Vec<String> = values.collect();
            if let Some(slot) = distinct.get_mut(i) {
                *slot = format!("{name} ({})", values.join(", "));
            }
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::published;
    use crate::report::testing::config;

    #[test]
    fn published_rows_have_their_own_names() {
        let mut checked = 0;
        for row in published::rows().filter(|row| row.benchmark().is_some()) {
            if row.label == "ER" || row.label == "MTL" {
                continue; // Figure 5a gives no M; MTL's name here says what it is.
            }
            let keys = [
                "benchmark",
                "tasks",
                "method",
                "optimizer",
                "lr",
                "b",
                "gamma",
                "dropout",
                "alpha",
                "stored_gradients",
                "memory_per_class",
                "momentum",
            ];
            let settings: Vec<(&str, &str)> = keys
                .into_iter()
                .filter_map(|key| Some((key, row.setting(key)?)))
                .collect();
            assert_eq!(in_paper(&config(&settings, 1)), row.label);
            checked += 1;
        }
        assert!(checked > 40, "{checked}");
    }

    #[test]
    fn what_has_a_column_is_not_named_twice() {
        let stable = config(&[("gamma", "0.9"), ("dropout", "0.1")], 1);
        assert_eq!(optimizer(&stable, &[]), "sgd, dropout 0.1, γ 0.9");
        assert_eq!(optimizer(&stable, &["dropout"]), "sgd, γ 0.9");
        assert_eq!(
            method(&config(&[("schedule", "joint"), ("lr", "0.1")], 1), &[]),
            "plain, joint"
        );
    }
}
