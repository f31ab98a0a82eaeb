//! NumPy's `.npy`: matrices of single runs.
//!
//! Owns version 1.0 of the format: magic, version, a header that is a Python dictionary padded to a multiple of 64
//! bytes, then the values, little endian, row by row.

use std::io::{self, Write};
use std::path::Path;

use super::spec::{ExportError, ExportSpec, folder_names, write};
use crate::metrics::TaskMatrix;
use crate::report::load::Run;

/// `--npy`.
pub static NPY: ExportSpec = ExportSpec {
    name: "npy",
    description: "Write the matrices of every run as NumPy arrays here, a folder a run",
    target: "DIR",
    done: "matrices:",
    write: |loaded, path| write_matrices(&loaded.runs, path).map(|()| loaded.runs.len()),
};

/// Writes an array of doubles with this shape.
///
/// # Errors
/// Those of the writer, and [`io::ErrorKind::InvalidInput`] if the values do not fill the shape.
pub fn write_array(out: &mut dyn Write, shape: &[usize], values: &[f64]) -> io::Result<()> {
    if shape.iter().product::<usize>() != values.len() {
        let text = format!("{} values do not fill {shape:?}", values.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    // Python's tuple of one has a comma.
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}{comma}), }}",
        sizes.join(", ")
    );
    // Magic, version and length are 10 bytes; a line break ends the header.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many dimensions"))?;
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for value in values {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

/// A triangular matrix as a square one, tasks × tasks; NaN where nothing was measured.
fn square(rows: &[Vec<f64>], tasks: usize) -> Vec<f64> {
    let mut values = vec![f64::NAN; tasks * tasks];
    // A single row for many tasks is the final one.
    let first = tasks - rows.len().min(tasks);
    for (row, slots) in rows.iter().zip(values.chunks_mut(tasks.max(1)).skip(first)) {
        for (value, slot) in row.iter().zip(slots) {
            *slot = *value;
        }
    }
    values
}

fn write_matrix(path: &Path, rows: &[Vec<f64>], tasks: usize) -> Result<(), ExportError> {
    write(path, |out| {
        write_array(out, &[tasks, tasks], &square(rows, tasks))
    })
}

fn write_clusters(path: &Path, tasks: &[Vec<Vec<usize>>]) -> Result<(), ExportError> {
    let line = |clusters: &Vec<Vec<usize>>| {
        let lists = clusters.iter().map(|members| {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            format!("{{{}}}", members.join(" "))
        });
        lists.collect::<Vec<_>>().join(" ")
    };
    write(path, |out| {
        let mut lines = tasks.iter().map(line);
        lines.try_for_each(|line| writeln!(out, "{line}"))
    })
}

/// Writes every run's matrices below `out`, a folder a run.
///
/// `accuracy.npy` and `loss.npy` are \[tasks, tasks\]: after which task, on which task; NaN where not measured. TAG's
/// runs have `alpha.npy` \[tasks, tasks\] (t, τ) and `alpha_per_tensor.npy` \[tensors, tasks, tasks\], with the tensors'
/// names in `tensors.txt`; where tasks share their α in clusters, `alpha_clusters.txt` has a line for each task t, with the
/// past tasks of each cluster in braces, from 0 as in the arrays.
///
/// # Errors
/// [`ExportError`] naming the file.
fn write_matrices(runs: &[Run], out: &Path) -> Result<(), ExportError> {
    for (run, name) in runs.iter().zip(folder_names(runs)) {
        let folder = out.join(name);
        let tasks = run.config.learned_tasks();
        let matrix = |name: &str, matrix: &TaskMatrix| {
            write_matrix(&folder.join(name), matrix.rows(), tasks)
        };
        matrix("accuracy.npy", &run.accuracy_matrix)?;
        matrix("loss.npy", &run.loss_matrix)?;
        if run.config.value("alpha").is_none() {
            continue;
        }
        let Some(alpha) = run.alpha().map_err(ExportError::Result)? else {
            continue;
        };
        write_matrix(&folder.join("alpha.npy"), &alpha.mean, tasks)?;
        let all: Vec<f64> = alpha
            .per_tensor
            .iter()
            .flat_map(|tensor| square(&tensor.mean, tasks))
            .collect();
        let shape = [alpha.per_tensor.len(), tasks, tasks];
        write(&folder.join("alpha_per_tensor.npy"), |out| {
            write_array(out, &shape, &all)
        })?;
        if let Some(clusters) = &alpha.clusters {
            write_clusters(&folder.join("alpha_clusters.txt"), clusters)?;
        }
        write(&folder.join("tensors.txt"), |out| {
            alpha
                .per_tensor
                .iter()
                .try_for_each(|tensor| writeln!(out, "{}", tensor.tensor))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{config, run};

    #[test]
    fn the_bytes_are_numpys() {
        let mut bytes = Vec::new();
        write_array(&mut bytes, &[2, 1], &[1.5, -2.0]).unwrap();
        // numpy.save of numpy.array([[1.5], [-2.0]]).
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }");
        expected.resize(127, b' ');
        expected.push(b'\n');
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend((-2.0_f64).to_le_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn headers_end_on_64_bytes_whatever_the_shape() {
        for shape in [&[][..], &[1], &[3, 2], &[48, 20, 20], &[1_000_000, 0]] {
            let values = vec![0.0; shape.iter().product()];
            let mut bytes = Vec::new();
            write_array(&mut bytes, shape, &values).unwrap();
            let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!((10 + header) % 64, 0, "{shape:?}");
            assert_eq!(bytes[10 + header - 1], b'\n');
            assert_eq!(bytes.len(), 10 + header + 8 * values.len());
        }
        assert!(write_array(&mut Vec::new(), &[2], &[1.0]).is_err());
    }

    #[test]
    fn what_was_not_measured_is_nan() {
        let values = square(&[vec![1.0], vec![2.0, 3.0]], 2);
        assert!(values[1].is_nan());
        assert_eq!((values[0], values[2], values[3]), (1.0, 2.0, 3.0));
        let only_final = square(&[vec![1.0, 2.0]], 2);
        assert!(only_final[0].is_nan() && only_final[1].is_nan());
        assert_eq!(&only_final[2..], [1.0, 2.0]);
    }

    #[test]
    fn every_run_has_a_folder() {
        let out = tempfile::tempdir().unwrap();
        let runs = [
            run(config(&[], 1), 50.0, 1.0),
            run(config(&[], 2), 50.0, 1.0),
        ];
        write_matrices(&runs, out.path()).unwrap();
        for run in &runs {
            let bytes = std::fs::read(out.path().join(&run.run_id).join("accuracy.npy")).unwrap();
            assert_eq!(bytes.len(), 128 + 4 * 8);
        }
    }
}
