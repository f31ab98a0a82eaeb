//! Results as files for other programs: TensorBoard, NumPy, data frames.

pub mod evaluations;
pub mod npy;
pub mod tensorboard;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::load::Run;

/// A file that cannot be written, or a result that cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Writing failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A run's result has changed since it was loaded.
    #[error("{0}")]
    Result(String),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ExportError + '_ {
    move |source| ExportError::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Writes a file as a whole: a temporary in the same folder, flushed, renamed.
fn write(
    path: &Path,
    content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), ExportError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".tagcl-")
            .tempfile_in(folder)?;
        let mut buffered = io::BufWriter::new(file.as_file_mut());
        content(&mut buffered)?;
        io::Write::flush(&mut buffered)?;
        drop(buffered);
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(io_error(path))
}

/// A folder name for every run: its id, with a number where a second run has the same.
fn folder_names(runs: &[Run]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    runs.iter()
        .map(|run| {
            // An id comes from a file: keep it from leading elsewhere.
            let plain = |c: char| {
                if c.is_ascii_alphanumeric() || "-._".contains(c) {
                    c
                } else {
                    '_'
                }
            };
            let id: String = run.run_id.chars().map(plain).collect();
            let id = if id.trim_matches('.').is_empty() {
                "run".to_string()
            } else {
                id
            };
            let mut name = id.clone();
            let mut n = 2;
            while !taken.insert(name.clone()) {
                name = format!("{id}-{n}");
                n += 1;
            }
            name
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{config, run};

    #[test]
    fn folders_are_distinct_and_stay_inside() {
        let mut runs = vec![run(config(&[], 1), 50.0, 1.0); 3];
        runs[1].run_id = "../../etc/x".to_string();
        let names = folder_names(&runs);
        assert_eq!(names[1], ".._.._etc_x");
        assert_eq!(names[2], format!("{}-2", names[0]));
        let mut dots = run(config(&[], 1), 50.0, 1.0);
        dots.run_id = "..".to_string();
        assert_eq!(folder_names(&[dots]), ["run"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = write(&file.join("below"), |_| Ok(()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("file/below"), "{error}");
    }
}
