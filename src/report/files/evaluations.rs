//! Every evaluation of every run as one tidy CSV: a line a number pair, a column a variable.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::{ExportError, write};
use crate::report::export::csv_field;
use crate::report::group::settings;
use crate::report::load::Run;
use crate::settings::Named as _;

/// Writes the file: which run with which settings, after which task (from 1), on which task (from 1), accuracy in
/// percent, loss in nats. Cells of settings that a run does not have are empty.
///
/// # Errors
/// [`ExportError`] naming the file.
pub fn write_evaluations(runs: &[Run], path: &Path) -> Result<(), ExportError> {
    write(path, |out| write_to(runs, out))
}

fn write_to(runs: &[Run], out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<Vec<(String, String)>> = runs.iter().map(|run| settings(&run.config)).collect();
    let keys: BTreeSet<&String> = all.iter().flatten().map(|(key, _)| key).collect();
    write!(out, "run_id,benchmark,method,optimizer,seed,data_note")?;
    for key in &keys {
        write!(out, ",{}", csv_field(key))?;
    }
    writeln!(out, ",after_task,task,accuracy,loss")?;
    for (run, own) in runs.iter().zip(&all) {
        let config = &run.config;
        let mut prefix = vec![
            csv_field(&run.run_id),
            config.benchmark.name().to_string(),
            config.method.name().to_string(),
            config.optimizer.name().to_string(),
            config.seed.to_string(),
            csv_field(run.provenance.data_note.as_deref().unwrap_or_default()),
        ];
        prefix.extend(keys.iter().map(|key| {
            let found = own.iter().find(|(k, _)| k == *key);
            found.map_or(String::new(), |(_, value)| csv_field(value))
        }));
        let prefix = prefix.join(",");
        let rows = run
            .accuracy_matrix
            .rows()
            .iter()
            .zip(run.loss_matrix.rows());
        for (accuracies, losses) in rows {
            // After task i there are i values; a single final row has as many as there are tasks.
            let after = accuracies.len();
            for (j, (accuracy, loss)) in accuracies.iter().zip(losses).enumerate() {
                writeln!(out, "{prefix},{after},{},{accuracy},{loss}", j + 1)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{config, run};

    #[test]
    fn a_line_an_evaluation() {
        let mut noted = run(
            config(&[("optimizer", "tag-rmsprop"), ("lr", "0.001")], 2),
            60.0,
            4.0,
        );
        noted.provenance.data_note = Some("5, \"or so\"".to_string());
        let mut bytes = Vec::new();
        write_to(&[run(config(&[], 1), 50.0, 2.5), noted], &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), 1 + 3 + 3);
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        assert!(header.contains(&"b") && header.contains(&"lr"));
        let first: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
        assert_eq!(first.len(), header.len());
        let of = |name: &str| first[header.iter().position(|h| *h == name).unwrap()];
        assert_eq!((of("seed"), of("lr"), of("b")), ("1", "0.1", ""));
        assert_eq!(&first[first.len() - 4..], ["1", "1", "52.5", "0.5"]);
        assert!(text.contains("\"5, \"\"or so\"\"\""));
        assert!(text.ends_with(",2,2,60,0.5\n"), "{text}");
    }
}
