//! Every evaluation of every run as one tidy CSV: a line a number pair, a column a variable.

use std::io::{self, Write};
use std::path::Path;

use super::spec::{ExportError, ExportSpec, write};
use crate::report::export::csv::{line, values_of};
use crate::report::identity::{columns, keys_of};
use crate::report::load::Run;

/// `--csv`.
pub static CSV: ExportSpec = ExportSpec {
    name: "csv",
    description: "Write every evaluation of every run to this CSV file",
    target: "FILE",
    done: "evaluations:",
    write: |loaded, path| write_evaluations(&loaded.runs, path).map(|()| loaded.runs.len()),
};

/// Writes the file: which run with which settings, after which task (from 1), on which task (from 1), accuracy in
/// percent, loss in nats. Cells of settings that a run does not have are empty.
///
/// # Errors
/// [`ExportError`] naming the file.
fn write_evaluations(runs: &[Run], path: &Path) -> Result<(), ExportError> {
    write(path, |out| write_to(runs, out))
}

fn write_to(runs: &[Run], out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<_> = runs.iter().map(|run| columns(&run.config)).collect();
    let keys = keys_of(&all);
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let header = [
        words(&["run_id"]),
        words(&keys),
        words(&[
            "seed",
            "data_sha256",
            "data_note",
            "after_task",
            "task",
            "accuracy",
            "loss",
        ]),
    ];
    write!(out, "{}", line(header.concat()))?;
    for (run, own) in runs.iter().zip(&all) {
        let mut fields = vec![run.run_id.clone()];
        fields.extend(values_of(own, &keys));
        let provenance = &run.provenance;
        fields.extend([
            run.config.seed.to_string(),
            provenance.data_sha256.clone(),
            provenance.data_note.clone().unwrap_or_default(),
        ]);
        let prefix = line(fields);
        let prefix = prefix.trim_end_matches('\n');
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
