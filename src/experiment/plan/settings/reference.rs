//! What every setting is, in words: for `tagcl list`, `--help` and `docs/settings.md`.
//!
//! Owns how defaults are said: they are found by resolving a setting on every benchmark under both profiles, so that the
//! words are what the program does.

use std::fmt::Write as _;

use serde::Serialize;

use super::{DATA_FOLDER, Entry, Origin, SettingError, Settings, entries};
use crate::experiment::benchmark::BENCHMARKS;
use crate::method::MethodSpec;
use crate::settings::{Choice as _, Profile, Value};

/// A setting in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Key.
    pub name: &'static str,
    /// What it sets.
    pub description: &'static str,
    /// Default; `corrected / released` where it depends on the profile.
    pub default: String,
    /// Allowed values.
    pub range: String,
    /// What it is only for; empty for every run.
    pub only_for: String,
}

/// A setting in words.
#[must_use]
pub fn describe(entry: &Entry) -> Described {
    Described {
        name: entry.setting.key(),
        description: entry.setting.doc(),
        default: default_words(entry),
        range: entry.setting.range(),
        only_for: entry.only_for(),
    }
}

/// A default on one benchmark: its value under each profile, or that there is none.
fn default_on(entry: &Entry, method: Option<&'static MethodSpec>, benchmark: &str) -> String {
    // A setting that several methods share may have a default of each method's own.
    let own = method.and_then(|method| {
        let mut all = (method.settings.declared)().into_iter();
        all.find(|setting| setting.key() == entry.setting.key())
    });
    let of = |profile: Profile| -> Result<Option<Value>, SettingError> {
        let mut pairs = vec![("benchmark", benchmark), ("profile", profile.name())];
        pairs.extend(entry.optimizers.first().map(|o| ("optimizer", o.name)));
        pairs.extend(method.map(|m| ("method", m.name)));
        let settings = Settings::of(pairs, &Origin::Default("default"))?;
        own.unwrap_or(entry.setting)
            .usual_value(&settings.resolver()?)
    };
    let words = |profile| match of(profile) {
        Ok(Some(value)) => value.to_string(),
        Ok(None) => "none".to_string(),
        Err(_) => "must be given".to_string(),
    };
    let (corrected, released) = (words(Profile::Corrected), words(Profile::Released));
    if corrected == released {
        corrected
    } else {
        format!("{corrected} / {released}")
    }
}

fn default_words(entry: &Entry) -> String {
    const CHOSEN: [&str; 2] = ["benchmark", "profile"];
    match entry.setting.key() {
        key if key == CHOSEN[0] => return "must be given".to_string(),
        key if key == CHOSEN[1] => return Profile::Corrected.name().to_string(),
        // Of the images a configuration says only whether they are all; where they lie is told to the plan.
        "data" => return DATA_FOLDER.to_string(),
        _ => {}
    }
    let benchmarks = || BENCHMARKS.iter().filter(|spec| spec.classes > 0);
    let by_method = entry.methods.iter().filter_map(|method| {
        let first = benchmarks().next()?;
        Some((default_on(entry, Some(method), first.name), method.name))
    });
    if let [(usual, _), others @ ..] = grouped(by_method).as_slice()
        && !others.is_empty()
    {
        let others = others.iter();
        let others: Vec<String> = others
            .map(|(words, names)| format!("{words} for {}", names.join(", ")))
            .collect();
        return format!("{usual}; {}", others.join("; "));
    }
    let method = entry.methods.first().copied();
    let all = benchmarks().map(|spec| (default_on(entry, method, spec.name), spec.name));
    match grouped(all).as_slice() {
        [] => String::new(),
        [(usual, _)] => usual.clone(),
        [(usual, _), (other, on)] if on.len() <= 2 => {
            format!("{usual}; {other} on {}", on.join(", "))
        }
        _ => "by benchmark".to_string(),
    }
}

/// Names by their words, the commonest words first; of equals, the first.
fn grouped(all: impl Iterator<Item = (String, &'static str)>) -> Vec<(String, Vec<&'static str>)> {
    let mut groups: Vec<(String, Vec<&'static str>)> = Vec::new();
    for (words, name) in all {
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, names)) => names.push(name),
            None => groups.push((words, vec![name])),
        }
    }
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    groups
}

/// The settings of one method or optimizer, in words.
#[must_use]
pub fn of_owner(name: &str) -> Vec<Described> {
    let owned = |entry: &&Entry| {
        entry.optimizers.iter().any(|o| o.name == name)
            || entry.methods.iter().any(|m| m.name == name)
    };
    entries().iter().filter(owned).map(describe).collect()
}

/// The reference page.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Settings\n\nMade from the program's declarations (`tagcl list settings --markdown`); a test compares. A setting is \
         a key of a TOML file and, with hyphens, a flag of `tagcl run`; flags beat the environment (`TAGCL_DATA`, \
         `TAGCL_OUT`), which beats the file. Where the default depends on the profile it reads `corrected / released`.\n",
    );
    let mut section = |title: &str, of: &dyn Fn(&Entry) -> bool| {
        let _ = write!(
            text,
            "\n## {title}\n\n| setting | what it sets | values | default | only for |\n|---|---|---|---|---|\n"
        );
        for entry in entries().iter().filter(|entry| of(entry)) {
            let Described {
                name,
                description,
                default,
                range,
                only_for,
            } = describe(entry);
            let _ = writeln!(
                text,
                "| `{name}` | {description} | {range} | {default} | {only_for} |"
            );
        }
    };
    section("Of every run", &|entry| !entry.is_own() && !entry.executes);
    section("Of single optimizers", &|entry| {
        !entry.optimizers.is_empty()
    });
    section("Of single methods", &|entry| !entry.methods.is_empty());
    section(
        "Of how runs are executed: no result depends on them",
        &|entry| entry.executes,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str) -> Described {
        let entry = entries().iter().find(|entry| entry.setting.key() == key);
        describe(entry.unwrap())
    }

    #[test]
    fn defaults_are_what_the_program_does() {
        assert_eq!(of("b").default, "5; 7 on 5-dataset, 4-dataset");
        assert_eq!(of("fisher").default, "corrected / released");
        assert_eq!(of("memory_per_class").default, "1");
        assert_eq!(
            of("drop_last").default,
            "false; false / true on split-mini-imagenet, split-cub"
        );
        assert_eq!(of("lr").default, "by benchmark");
        assert_eq!(of("memory_per_class").only_for, "the agem and er methods");
    }

    #[test]
    fn the_page_is_the_one_in_the_repository() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
        let page = markdown();
        if std::env::var_os("TAGCL_ACCEPT").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == page,
            "docs/settings.md is old: run the tests with TAGCL_ACCEPT=1"
        );
    }
}
