//! From a published row to the command that runs it.

use std::collections::HashMap;

use crate::experiment::paper::published::{Row, comparable, in_force, rows};
use crate::experiment::paper::replicate::{self, PAPER_STREAMS, REPLICATIONS, only};
use crate::experiment::plan::config::RunConfig;
use crate::report::command::{command, seed_list};

/// Every row that `tagcl replicate` can run, by its configuration.
pub(super) struct Commands(HashMap<String, String>);

impl Commands {
    pub(super) fn new() -> Self {
        let mut all = HashMap::new();
        let mut epochs: Vec<usize> = rows()
            .filter_map(|row| row.setting("epochs")?.parse().ok())
            .collect();
        epochs.sort_unstable();
        epochs.dedup();
        for stream in PAPER_STREAMS {
            for what in REPLICATIONS {
                for &epochs in &epochs {
                    // Only the baselines can be told another number of epochs.
                    if epochs != 1 && what.name != "baselines" {
                        continue;
                    }
                    let words = match (stream.is_whole(what), epochs) {
                        (true, _) => what.name.to_string(),
                        (false, 1) => format!("{} {}", what.name, stream.name),
                        (false, _) => format!("{} {} --epochs {epochs}", what.name, stream.name),
                    };
                    let found = replicate::rows(what, stream, epochs).unwrap_or_default();
                    add(&mut all, &words, &found);
                }
            }
        }
        add(
            &mut all,
            "neighbours",
            &replicate::neighbours(None).unwrap_or_default(),
        );
        Self(all)
    }

    /// The command for a row: `tagcl replicate`, or, for settings that no table has, `tagcl run`.
    pub(super) fn of(&self, row: &Row, seeds: &[u64]) -> String {
        let Some(config) = in_force(row) else {
            return "–".to_string();
        };
        match self.0.get(&config.group_hash()) {
            Some(found) if seeds.is_empty() => found.clone(),
            Some(found) => format!("{found} --seeds {}", seed_list(seeds)),
            None => {
                let usual: &[u64] = &[1, 2, 3, 4, 5];
                let seeds = if seeds.is_empty() { usual } else { seeds };
                let own = command(config, seeds).map(|text| text.replace(" --data DIR", ""));
                own.unwrap_or_else(|_| "–".to_string())
            }
        }
    }
}

/// Adds the rows whose label names one of them alone, under the words that list them.
fn add(all: &mut HashMap<String, String>, words: &str, rows: &[replicate::Row]) {
    for row in rows {
        let alone = only(rows.to_vec(), std::slice::from_ref(&row.label));
        if row.grid.is_some() || alone.is_ok_and(|found| found.len() != 1) {
            continue;
        }
        if let Some(config) = planned(row) {
            all.entry(config.group_hash())
                .or_insert_with(|| format!("tagcl replicate {words} --only \"{}\"", row.label));
        }
    }
}

/// What a row of `tagcl replicate` runs, without seed.
pub(super) fn planned(row: &replicate::Row) -> Option<RunConfig> {
    let plan = row.plan(&[]).ok()?;
    plan.runs.first().map(|run| comparable(&run.config))
}
