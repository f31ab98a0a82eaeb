//! Every declaration of the program, in one table.
//!
//! Owns the order in which settings are listed and written, and which methods and optimizers have a setting of their own.

use std::sync::LazyLock;

use super::execution::{ExecutionSettings, SeedList};
use crate::experiment::plan::config::{BEFORE_OWN, RunConfig};
use crate::method::{METHODS, MethodSpec};
use crate::optim::{OPTIMIZERS, OptimizerSpec};
use crate::settings::{Declared, SettingsOf as _};

/// A setting and whose it is.
pub struct Entry {
    /// Its declaration.
    pub setting: &'static dyn Declared,
    /// The optimizers that have it; empty for a setting of every run.
    pub optimizers: Vec<&'static OptimizerSpec>,
    /// The methods that have it; empty for a setting of every run.
    pub methods: Vec<&'static MethodSpec>,
    /// Whether it is about how runs are executed, so that no result depends on it.
    pub executes: bool,
}

impl Entry {
    fn of_all(setting: &'static dyn Declared, executes: bool) -> Self {
        Self {
            setting,
            optimizers: Vec::new(),
            methods: Vec::new(),
            executes,
        }
    }

    /// Whether it belongs to single methods or optimizers.
    #[must_use]
    pub fn is_own(&self) -> bool {
        !(self.optimizers.is_empty() && self.methods.is_empty())
    }

    /// Whose it is, completing "it is only for"; empty for a setting of every run.
    #[must_use]
    pub fn owners(&self) -> String {
        let of = |names: Vec<&str>, what: &str| match names.as_slice() {
            [] => String::new(),
            [one] => format!("the {one} {what}"),
            [first @ .., last] => format!("the {} and {last} {what}s", first.join(", ")),
        };
        let optimizers = of(
            self.optimizers.iter().map(|o| o.name).collect(),
            "optimizer",
        );
        let methods = of(self.methods.iter().map(|m| m.name).collect(), "method");
        match (optimizers.is_empty(), methods.is_empty()) {
            (false, false) => format!("{methods} and {optimizers}"),
            _ => format!("{methods}{optimizers}"),
        }
    }

    /// What it is only for: its owners, and its own condition.
    #[must_use]
    pub fn only_for(&self) -> String {
        let parts = [
            self.owners(),
            self.setting.only_for().unwrap_or_default().to_string(),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("; ")
    }
}

/// The table.
#[must_use]
pub fn entries() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(collect);
    &ENTRIES
}

/// All keys, in the order of the table.
pub fn keys() -> impl Iterator<Item = &'static str> + Clone {
    entries().iter().map(|entry| entry.setting.key())
}

fn collect() -> Vec<Entry> {
    let mut all = Vec::new();
    for setting in RunConfig::declared() {
        all.push(Entry::of_all(setting, false));
        if setting.key() == BEFORE_OWN {
            own(&mut all);
        }
    }
    all.push(Entry::of_all(SeedList::SETTING, false));
    let executes = ExecutionSettings::declared().into_iter();
    all.extend(executes.map(|setting| Entry::of_all(setting, true)));
    all
}

/// The settings of single optimizers and methods; one that several have stands once.
fn own(all: &mut Vec<Entry>) {
    let mut at = |setting: &'static dyn Declared| -> usize {
        let known = all
            .iter()
            .position(|entry| entry.setting.key() == setting.key());
        known.unwrap_or_else(|| {
            all.push(Entry::of_all(setting, false));
            all.len() - 1
        })
    };
    let mut owned: Vec<(
        usize,
        Option<&'static OptimizerSpec>,
        Option<&'static MethodSpec>,
    )> = Vec::new();
    for optimizer in OPTIMIZERS {
        for setting in (optimizer.settings.declared)() {
            owned.push((at(setting), Some(optimizer), None));
        }
    }
    for method in METHODS {
        for setting in (method.settings.declared)() {
            owned.push((at(setting), None, Some(method)));
        }
    }
    for (at, optimizer, method) in owned {
        if let Some(entry) = all.get_mut(at) {
            entry.optimizers.extend(optimizer);
            entry.methods.extend(method);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_and_says_what_it_is() {
        let all: Vec<&str> = keys().collect();
        for entry in entries() {
            let (key, doc) = (entry.setting.key(), entry.setting.doc());
            assert_eq!(
                all.iter().filter(|other| **other == key).count(),
                1,
                "{key}"
            );
            assert!(doc.ends_with('.') || doc.ends_with("]."), "{key}: {doc}");
            assert!(!entry.setting.range().is_empty(), "{key}");
        }
    }

    /// A key that two things declare must mean the same to both.
    #[test]
    fn a_shared_key_is_one_declaration() {
        let of_optimizers = OPTIMIZERS.iter().flat_map(|o| (o.settings.declared)());
        let of_methods = METHODS.iter().flat_map(|m| (m.settings.declared)());
        for setting in of_optimizers.chain(of_methods) {
            let entry = entries().iter().find(|e| e.setting.key() == setting.key());
            assert_eq!(entry.unwrap().setting.doc(), setting.doc());
            assert_eq!(entry.unwrap().setting.range(), setting.range());
        }
    }
}
