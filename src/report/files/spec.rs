//! What an export is: the description of itself that its file gives, and what exports share.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::files::{WriteError, write_with};
use crate::report::collected::CollectedError;
use crate::report::load::{Loaded, Run};

/// A kind of files for other programs. Everything that the program knows of it stands in its file; the command line, its
/// help and the tests walk [`EXPORTS`](super::EXPORTS).
pub struct ExportSpec {
    /// Its flag on the command line.
    pub name: &'static str,
    /// What it writes, in one line.
    pub description: &'static str,
    /// What the flag takes: `DIR` or `FILE`.
    pub target: &'static str,
    /// What is said when it is done, before the path.
    pub done: &'static str,
    /// Writes the runs into the folder or file; gives how many of them.
    pub write: fn(&Loaded, &Path) -> Result<usize, ExportError>,
}

impl std::fmt::Debug for ExportSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A file that cannot be written, or a result that cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A run's result has changed since it was loaded.
    #[error("{0}")]
    Result(String),
    /// Results that do not go with those that a file has.
    #[error(transparent)]
    Collected(#[from] CollectedError),
}

/// Writes a file as a whole, and the folders above it.
pub(super) fn write(
    path: &Path,
    content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), ExportError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|e| WriteError::new(path, e))?;
    }
    Ok(write_with(path, content)?)
}

/// A folder name for every run: its id, with a number where a second run has the same.
pub(super) fn folder_names(runs: &[Run]) -> Vec<String> {
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
