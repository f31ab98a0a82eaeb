//! Results of published rows, added to a file that keeps them beside the program.

use super::spec::{ExportSpec, write};
use crate::report::collected::{self, CollectedError, Record};

/// `--results`.
pub static RESULTS: ExportSpec = ExportSpec {
    name: "results",
    description: "Add the results with published figures to this file of collected ones (report --format replication)",
    target: "FILE",
    done: "collected results:",
    write: |loaded, path| {
        let mut records = if path.try_exists().unwrap_or(true) {
            collected::read(path)?
        } else {
            Vec::new()
        };
        if let Some(twice) = loaded.duplicates.iter().find(|twice| !twice.identical) {
            return Err(CollectedError::differing_folders(twice).into());
        }
        let new: Vec<Record> = loaded.runs.iter().filter_map(Record::of).collect();
        if new.is_empty() {
            return Err(CollectedError::Nothing.into());
        }
        let taken = new.len();
        collected::merge(&mut records, new)?;
        write(path, |out| {
            out.write_all(collected::text(&records)?.as_bytes())
        })?;
        Ok(taken)
    },
};
