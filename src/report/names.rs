//! What a configuration is called.
//!
//! Owns two vocabularies, and there are no others. The program's (`er tag-rmsprop, memory_per_class 5`) has the words that
//! settings are typed with; terminals, files and comparisons use it. The paper's (`TAGed ER (M=5)`) is that of LaTeX, plots
//! and the page.

use std::collections::BTreeSet;

use super::group::{Group, differing_settings};
use super::identity::{self, Stage, Value, is_of_the_stream, settings};
use crate::experiment::plan::config::{RunConfig, Schedule};
use crate::method::PLAIN;
use crate::optim::{AlphaRule, SGD, TagMemory, TagSettings};

/// What a configuration has beyond the plain form of its method and optimizer, as settings are typed: `alpha one`,
/// `memory_per_class 5`, `schedule joint`.
#[must_use]
pub fn variant(config: &RunConfig) -> Vec<(&'static str, Value)> {
    let plain = |key: &str, value: &Value| match (key, value) {
        ("alpha", value) => value.is("cosine"),
        ("tag_memory", value) => value.is("exact"),
        ("schedule", value) => value.is("sequential"),
        ("dropout" | "momentum", value) => value.is("0"),
        ("gamma", value) => value.is("1"),
        ("stored_gradients" | "memory_per_class" | "tag_clusters", _) => false,
        _ => true,
    };
    let mut all = settings(config);
    all.retain(|(key, value)| !plain(key, value));
    all
}

/// Settings as names have them: `lr 0.1, b 7`.
fn typed<'a>(settings: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let typed = settings
        .into_iter()
        .map(|(key, value)| format!("{key} {}", value.short()));
    typed.collect::<Vec<_>>().join(", ")
}

/// The program's name: method and optimizer, and what tells variants of one method apart.
#[must_use]
pub fn approach(config: &RunConfig) -> String {
    let name = format!("{} {}", config.method.name, config.optimizer.name);
    let variant = variant(config);
    if variant.is_empty() {
        return name;
    }
    format!(
        "{name}, {}",
        typed(variant.iter().map(|(key, value)| (*key, value)))
    )
}

/// A single run in one line, under the program's names; a configuration that cannot be read says so.
#[must_use]
pub fn run(config: Option<&RunConfig>) -> String {
    config.map_or("configuration unreadable".to_string(), |config| {
        let (benchmark, approach) = (config.benchmark.name(), approach(config));
        format!(
            "{benchmark} {approach}, lr {}, seed {}",
            config.lr, config.seed
        )
    })
}

/// Remembered examples a class, for the methods that remember.
fn memory(config: &RunConfig) -> Option<String> {
    let memory = config.value("memory_per_class")?;
    Some(format!(" (M={memory})"))
}

/// The optimizer, with its rule for α and its memory where they are others than the paper's.
fn optimizer_in_paper(config: &RunConfig) -> String {
    let name = config.optimizer.paper_name;
    let Some(tag) = config.optimizer_settings.get::<TagSettings>() else {
        return name.to_string();
    };
    // The ablations of the paper's main method are called after TAG alone.
    let base = if name == "TAG-RMSProp" { "TAG" } else { name };
    let rule = match tag.alpha {
        AlphaRule::Cosine => name.to_string(),
        AlphaRule::One => format!("{base}-1"),
        AlphaRule::Age => format!("{base}-age"),
        AlphaRule::Gradients => format!("{base}-G (B={})", tag.stored_gradients.unwrap_or(1)),
    };
    match tag.tag_memory {
        TagMemory::Exact => rule,
        TagMemory::Flat => format!("{rule} (flat)"),
        TagMemory::Clusters => {
            let clusters = tag.tag_clusters.map(|k| k.to_string());
            format!("{rule} (K={})", clusters.unwrap_or_default())
        }
    }
}

/// The paper's name of the method, or one in its manner.
#[must_use]
pub fn in_paper(config: &RunConfig) -> String {
    let optimizer = optimizer_in_paper(config);
    let multi_task = match config.schedule {
        Schedule::Sequential => None,
        Schedule::Cyclic => Some("MTL (cyclic)"),
        Schedule::Joint => Some("MTL (joint)"),
        Schedule::Cumulative => Some("Cumulative"),
    };
    let base = match multi_task {
        _ if *config.method != PLAIN => config.method.paper_name,
        Some(_) => "",
        None if *config.optimizer == SGD && config.gamma < 1.0 => return "Stable SGD".to_string(),
        None if config.optimizer.remembers_tasks => return optimizer,
        None => return format!("Naive {optimizer}"),
    };
    let prefix = match optimizer.as_str() {
        "SGD" => String::new(),
        "TAG-RMSProp" => "TAGed ".to_string(),
        other => format!("{other} "),
    };
    let memory = memory(config).unwrap_or_default();
    let parts = [
        &format!("{prefix}{base}{memory}"),
        multi_task.unwrap_or_default(),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

/// The stages of groups, in the order of their first appearance.
#[must_use]
pub fn stages(groups: &[&Group]) -> Vec<Stage> {
    identity::stages(groups.iter().map(|group| {
        let in_paper = group.config.benchmark.paper_name().to_string();
        (&group.stream, in_paper)
    }))
}

/// A name for each group, such that groups of one stage have different names.
///
/// Groups that `name` calls the same on one stage get their differing settings in parentheses, on every stage where the
/// name appears, but for those in `elsewhere`, which have columns of their own.
#[must_use]
pub fn distinct_names(
    groups: &[&Group],
    name: fn(&RunConfig) -> String,
    elsewhere: &[&str],
) -> Vec<String> {
    let names: Vec<String> = groups.iter().map(|g| name(&g.config)).collect();
    let mut seen = BTreeSet::new();
    let mut ambiguous = BTreeSet::new();
    for pair in names.iter().zip(groups.iter().map(|g| &g.stream)) {
        if !seen.insert(pair) {
            ambiguous.insert(pair.0);
        }
    }
    let mut distinct = names.clone();
    for name in ambiguous {
        let namesakes = names.iter().zip(groups).enumerate();
        let namesakes = namesakes.filter(|(_, (own, _))| *own == name);
        let (of_name, same): (Vec<usize>, Vec<&Group>) =
            namesakes.map(|(i, (_, group))| (i, *group)).unzip();
        let mut settings = differing_settings(&same);
        // What makes the stage is in its title, and the learning rate says nothing where it is the same.
        settings.retain(|column| {
            let first = column.values.first();
            let differs = column.values.iter().any(|value| Some(value) != first);
            differs && !is_of_the_stream(column.key) && !elsewhere.contains(&column.key)
        });
        for (nth, i) in of_name.into_iter().enumerate() {
            let values = settings
                .iter()
                .filter_map(|setting| Some((setting.key, setting.values.get(nth)?.as_ref()?)));
            let values = typed(values);
            if let Some(slot) = distinct.get_mut(i).filter(|_| !values.is_empty()) {
                // A name that ends in parentheses already takes them in.
                *slot = match name.strip_suffix(')') {
                    Some(open) => format!("{open}, {values})"),
                    None => format!("{name} ({values})"),
                };
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
    fn the_programs_names_have_the_words_that_are_typed() {
        let name = |settings: &[(&str, &str)]| approach(&config(settings, 1));
        assert_eq!(name(&[]), "plain sgd");
        assert_eq!(
            name(&[("gamma", "0.9"), ("dropout", "0.1")]),
            "plain sgd, dropout 0.1, gamma 0.9"
        );
        assert_eq!(
            name(&[("schedule", "joint"), ("lr", "0.1")]),
            "plain sgd, schedule joint"
        );
        let cumulative = [
            ("schedule", "cumulative"),
            ("optimizer", "adam"),
            ("lr", "0.1"),
        ];
        assert_eq!(name(&cumulative), "plain adam, schedule cumulative");
        assert_eq!(in_paper(&config(&cumulative, 1)), "Adam Cumulative");
        let tag = ("optimizer", "tag-rmsprop");
        assert_eq!(
            name(&[("method", "agem"), tag, ("alpha", "one")]),
            "agem tag-rmsprop, alpha one, memory_per_class 1"
        );
        let flat = [tag, ("tag_memory", "flat"), ("tag_scale_norm", "2")];
        assert_eq!(name(&flat), "plain tag-rmsprop, tag_memory flat");
        assert_eq!(in_paper(&config(&flat, 1)), "TAG-RMSProp (flat)");
        let clusters = [tag, ("tag_memory", "clusters"), ("tag_clusters", "4")];
        assert_eq!(
            name(&clusters),
            "plain tag-rmsprop, tag_memory clusters, tag_clusters 4"
        );
        assert_eq!(in_paper(&config(&clusters, 1)), "TAG-RMSProp (K=4)");
    }

    /// Whatever method and optimizer: no two of them share a name, in either vocabulary.
    #[test]
    fn no_two_pairs_of_method_and_optimizer_share_a_name() {
        let mut seen = BTreeSet::new();
        let mut pairs = 0;
        for method in crate::method::METHODS {
            for optimizer in crate::optim::OPTIMIZERS {
                let settings = [
                    ("method", method.name),
                    ("optimizer", optimizer.name),
                    ("lr", "0.1"),
                ];
                if method.closed_form && **optimizer != crate::optim::SGD {
                    continue;
                }
                // There is no rate without gradients.
                let settings = &settings[..if method.closed_form { 2 } else { 3 }];
                let config = config(settings, 1);
                seen.extend([approach(&config), in_paper(&config)]);
                pairs += 1;
            }
        }
        assert_eq!(seen.len(), 2 * pairs, "{seen:?}");
    }

    #[test]
    fn groups_of_one_name_are_told_apart_by_what_differs() {
        let tag = ("optimizer", "tag-rmsprop");
        let runs: Vec<_> = [vec![tag, ("lr", "0.1")], vec![tag, ("lr", "0.2")], vec![]]
            .iter()
            .map(|settings| crate::report::testing::run(config(settings, 1), 50.0, 1.0))
            .collect();
        let groups = crate::report::group_runs(&runs, &[]);
        let groups: Vec<&Group> = groups.iter().collect();
        assert_eq!(
            distinct_names(&groups, in_paper, &[]),
            ["TAG-RMSProp (lr 0.1)", "TAG-RMSProp (lr 0.2)", "Naive SGD"]
        );
    }
}
