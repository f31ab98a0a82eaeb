//! From a configuration back to the command that runs it.
//!
//! Owns the shortest `tagcl run` whose resolved configuration is the given one: flags that only repeat a default are
//! left out, found by resolving the settings without them. So a command is right by construction, or there is none.

use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::{Origin, SettingError, Settings, texts};

/// Flags that stay even where they repeat a default: they say what the run is, or their default is a published value.
const ALWAYS: [&str; 5] = ["benchmark", "method", "optimizer", "lr", "profile"];

/// A configuration that this version of the program cannot name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// Settings that cannot be resolved.
    #[error("this version of tagcl has no command for it: {0}")]
    Setting(#[from] SettingError),
    /// A benchmark of one's own, whose file the results do not hold.
    #[error("it is on `{0}`, a benchmark of one's own: name its file with --benchmark")]
    Own(String),
    /// Settings that mean something else.
    #[error("this version of tagcl has no command for it: it would be another configuration")]
    Other,
}

/// The command that gives these runs: one configuration over some seeds. Where the run needs files, `DIR` and `FILE`
/// stand for them.
///
/// # Errors
/// [`CommandError`] where no command resolves to this configuration, as for runs of other versions.
pub fn command(config: &RunConfig, seeds: &[u64]) -> Result<String, CommandError> {
    if config.benchmark.custom().is_some() {
        return Err(CommandError::Own(config.benchmark.name().to_string()));
    }
    let mut flags = texts(config);
    // Keys that have no effect under the others are refused; they are nothing that the run depends on.
    loop {
        match resolve(&flags) {
            Err(SettingError::NoEffect { key, .. }) if flags.iter().any(|(k, _)| *k == key) => {
                flags.retain(|(k, _)| *k != key);
            }
            Err(error) => return Err(error.into()),
            Ok(found) if found.as_ref() == Some(&first_seed(config)) => break,
            Ok(_) => return Err(CommandError::Other),
        }
    }
    for key in flags.iter().map(|(key, _)| *key).collect::<Vec<_>>() {
        if ALWAYS.contains(&key) {
            continue;
        }
        let fewer: Vec<_> = flags.iter().filter(|(k, _)| *k != key).cloned().collect();
        if resolve(&fewer).is_ok_and(|found| found.as_ref() == Some(&first_seed(config))) {
            flags = fewer;
        }
    }
    let mut text = String::from("tagcl run");
    for (key, value) in flags {
        if key == "init_sha256" {
            text.push_str(" --init FILE");
        } else {
            text = format!("{text} --{} {value}", key.replace('_', "-"));
        }
    }
    if config.data == crate::experiment::plan::config::DataChoice::Full {
        text.push_str(" --data DIR");
    }
    Ok(format!("{text} --seeds {}", seed_list(seeds)))
}

fn first_seed(config: &RunConfig) -> RunConfig {
    RunConfig {
        seed: 1,
        ..config.clone()
    }
}

fn resolve(flags: &[(&'static str, String)]) -> Result<Option<RunConfig>, SettingError> {
    let mut settings = Settings::default();
    for (key, value) in flags {
        settings.set(key, value, Origin::CommandLine)?;
    }
    Ok(settings
        .plan()?
        .runs
        .into_iter()
        .next()
        .map(|run| run.config))
}

/// Seeds as `1-5` or `1,3,7`, as `--seeds` takes them.
#[must_use]
pub fn seed_list(seeds: &[u64]) -> String {
    let mut seeds = seeds.to_vec();
    seeds.sort_unstable();
    seeds.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seed in seeds {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(seed) => *last = seed,
            _ => ranges.push((seed, seed)),
        }
    }
    let range = |(a, b): &(u64, u64)| match b - a {
        0 => a.to_string(),
        1 => format!("{a},{b}"),
        _ => format!("{a}-{b}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> RunConfig {
        let mut all = Settings::default();
        for (key, value) in settings {
            all.set(key, value, Origin::CommandLine).unwrap();
        }
        all.plan().unwrap().runs[0].config.clone()
    }

    /// What `tagcl run` makes of the command.
    fn parse(command: &str) -> RunConfig {
        let mut settings = Settings::default();
        let words: Vec<&str> = command.split(' ').skip(2).collect();
        for pair in words.chunks(2) {
            let key = pair[0].trim_start_matches("--").replace('-', "_");
            settings.set(&key, pair[1], Origin::CommandLine).unwrap();
        }
        settings.plan().unwrap().runs[0].config.clone()
    }

    #[test]
    fn commands_are_short_and_give_the_same_configuration() {
        let released = config(&[
            ("benchmark", "split-cifar100"),
            ("optimizer", "tag-rmsprop"),
            ("profile", "released"),
        ]);
        assert_eq!(
            command(&released, &[1, 2, 3]).unwrap(),
            "tagcl run --benchmark split-cifar100 --method plain --optimizer tag-rmsprop --lr 0.00025 \
             --profile released --data DIR --seeds 1-3"
        );
        let cases: [&[(&str, &str)]; 8] = [
            &[
                ("benchmark", "rotated-mnist"),
                ("data", "embedded"),
                ("fraction", "0.2"),
                ("hidden", "128"),
                ("lr", "0.1"),
            ],
            &[
                ("benchmark", "split-cifar100"),
                ("optimizer", "tag-adam"),
                ("b", "7"),
                ("epsilon", "inside"),
            ],
            &[
                ("benchmark", "split-cifar100"),
                ("optimizer", "tag-rmsprop"),
                ("alpha", "one"),
            ],
            &[
                ("benchmark", "split-cifar100"),
                ("optimizer", "tag-rmsprop"),
                ("alpha", "gradients"),
                ("stored_gradients", "4"),
            ],
            &[
                ("benchmark", "split-cifar100"),
                ("method", "ewc"),
                ("lambda", "10"),
                ("lr", "0.03"),
            ],
            &[
                ("benchmark", "split-cifar100"),
                ("method", "er"),
                ("memory_per_class", "5"),
                ("replay_current", "true"),
            ],
            &[
                ("benchmark", "split-cifar100"),
                ("schedule", "joint"),
                ("lr", "0.01"),
            ],
            &[
                ("benchmark", "split-mnist"),
                ("lr", "1e-7"),
                ("dropout", "0.25"),
                ("gamma", "0.7"),
                ("epochs", "3"),
            ],
        ];
        for case in cases {
            let wanted = config(case);
            let text = command(&wanted, &[1]).unwrap();
            assert_eq!(parse(&text), wanted, "{text}");
        }
    }

    #[test]
    fn a_configuration_that_no_settings_give_has_no_command() {
        let mut impossible = config(&[("benchmark", "split-cifar100")]);
        impossible.tasks = 20;
        impossible.hidden = Some(7);
        assert!(command(&impossible, &[1]).is_err());
    }

    #[test]
    fn seeds_are_written_as_the_program_reads_them() {
        assert_eq!(seed_list(&[3, 1, 2, 9, 7]), "1-3,7,9");
        assert_eq!(seed_list(&[1, 2]), "1,2");
        assert_eq!(seed_list(&[u64::MAX, 0]), format!("0,{}", u64::MAX));
    }
}
