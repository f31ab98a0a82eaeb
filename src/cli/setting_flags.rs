//! A flag for every setting, made of its declaration.

use clap::{Arg, ArgMatches, Args, Command};

use crate::experiment::plan::settings::reference::{Described, describe};
use crate::experiment::plan::settings::{Entry, entries};

/// The settings that were typed, by key, as text: values are checked where all settings meet, wherever they come from.
#[derive(Clone, Debug, Default)]
pub(super) struct SettingFlags(pub(super) Vec<(&'static str, String)>);

/// Settings that an environment variable can set.
pub(super) const ENVIRONMENT: [(&str, &str); 2] = [("data", "TAGCL_DATA"), ("out", "TAGCL_OUT")];

/// Keys that begin a part of the help, with its heading.
const HEADINGS: [(&str, &str); 6] = [
    ("benchmark", "Stream of tasks and its images"),
    ("model", "Network"),
    ("method", "Method and optimizer"),
    ("schedule", "Training"),
    ("profile", "Defaults and seeds"),
    ("init", "Execution (no result depends on it)"),
];

fn heading(entry: &Entry, before: &'static str) -> &'static str {
    let key = entry.setting.key();
    let begun = HEADINGS.iter().find(|(first, _)| *first == key);
    match begun {
        Some((_, heading)) => heading,
        None if entry.is_own() => "Settings of single methods and optimizers",
        None => before,
    }
}

fn flag(entry: &Entry, heading: &'static str) -> Arg {
    let Described {
        name,
        description,
        default,
        range,
        only_for,
    } = describe(entry);
    let mut help = format!("{}: {range}", description.trim_end_matches('.'));
    if !only_for.is_empty() {
        help = format!("{help}; only for {only_for}");
    }
    if !["none", "must be given"].contains(&default.as_str()) {
        help = format!("{help} [default: {default}]");
    }
    if let Some((_, variable)) = ENVIRONMENT.iter().find(|(key, _)| *key == name) {
        help = format!("{help} [env: {variable}]");
    }
    Arg::new(name)
        .long(name.replace('_', "-"))
        .value_name("VALUE")
        .help_heading(heading)
        .help(help)
}

impl Args for SettingFlags {
    fn augment_args(mut command: Command) -> Command {
        let mut part = "";
        for entry in entries() {
            part = heading(entry, part);
            command = command.arg(flag(entry, part));
        }
        command
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for entry in entries() {
            let key = entry.setting.key();
            if let Some(text) = matches.get_one::<String>(key) {
                self.0.push((key, text.clone()));
            }
        }
        Ok(())
    }
}
