//! The run folder: configuration, events, weights, result.
//!
//! Owns how files are written: to a temporary in the same folder, flushed to disk, renamed. `result.json` comes last, so
//! its presence means that the run is complete and its absence that nothing of it may be trusted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::RunError;
use super::config::RunConfig;
use super::result::RunResult;

/// Name of the result file in a run folder.
pub const RESULT: &str = "result.json";
const CONFIG: &str = "config.toml";

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// For `map_err`: an operation that the system refused.
fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RunError + 'a {
    move |source| RunError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

/// Writes a whole file: temporary in the same folder, flush to disk, rename.
///
/// # Errors
/// [`RunError::Io`] naming the file; the old content, if any, is still there then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".tagcl-")
            .suffix(".tmp")
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(io_error("write", path))
}

impl RunFolder {
    /// The folder of this run below `out`; nothing is created yet.
    #[must_use]
    pub fn new(out: &Path, run_id: &str) -> Self {
        Self {
            path: out.join(run_id),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The result, if the run is complete.
    ///
    /// # Errors
    /// [`RunError::Damaged`] for an unreadable result, [`RunError::OtherConfiguration`] for another run's.
    pub fn result(&self, config: &RunConfig) -> Result<Option<RunResult>, RunError> {
        let path = self.path.join(RESULT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path)(e)),
        };
        let result: RunResult =
            serde_json::from_slice(&bytes).map_err(|e| self.damaged(&path, &e.to_string()))?;
        self.compare(&result.config, config)?;
        Ok(Some(result))
    }

    /// Creates the folder and writes the configuration, or checks the one that is there.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Damaged`] and [`RunError::OtherConfiguration`].
    pub fn prepare(&self, config: &RunConfig, config_toml: &str) -> Result<(), RunError> {
        fs::create_dir_all(&self.path).map_err(io_error("create", &self.path))?;
        let path = self.path.join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let found = super::settings::parse_config_toml(&text)
                    .map_err(|e| self.damaged(&path, &e.to_string()))?;
                self.compare(&found, config)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error("read", &path)(e)),
        }
        write_atomically(&path, config_toml.as_bytes())
    }

    /// A fresh event log.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn events(&self) -> Result<EventLog, RunError> {
        let path = self.path.join("events.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .map_err(io_error("write", &path))?;
        Ok(EventLog { file, path })
    }

    /// Writes the final weights.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_weights(&self, safetensors: &[u8]) -> Result<(), RunError> {
        write_atomically(&self.path.join("model.safetensors"), safetensors)
    }

    /// Writes the result: the run is complete.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_result(&self, result: &RunResult) -> Result<(), RunError> {
        let path = self.path.join(RESULT);
        let mut text = serde_json::to_string_pretty(result)
            .map_err(|e| self.damaged(&path, &e.to_string()))?;
        text.push('\n');
        write_atomically(&path, text.as_bytes())
    }

    fn damaged(&self, path: &Path, reason: &str) -> RunError {
        let (path, folder) = (path.to_path_buf(), self.path.clone());
        RunError::Damaged {
            path,
            folder,
            reason: reason.to_string(),
        }
    }

    fn compare(&self, found: &RunConfig, wanted: &RunConfig) -> Result<(), RunError> {
        if found == wanted {
            return Ok(());
        }
        let as_map = |config| match serde_json::to_value(config) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (found, wanted) = (as_map(found), as_map(wanted));
        let difference = wanted
            .iter()
            .find(|(key, value)| found.get(*key) != Some(value))
            .map(|(key, value)| {
                format!(
                    "{key} is {} there, {value} here",
                    found.get(key).unwrap_or(value)
                )
            });
        let difference = difference.unwrap_or_default();
        Err(RunError::OtherConfiguration {
            folder: self.path.clone(),
            difference,
        })
    }
}

/// `events.jsonl`, appended line by line.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    path: PathBuf,
}

impl EventLog {
    /// Appends one event with the present time.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn append(&mut self, mut event: serde_json::Value) -> Result<(), RunError> {
        if let Some(fields) = event.as_object_mut() {
            fields.insert("time".to_string(), super::provenance::utc_now().into());
        }
        self.file
            .write_all(format!("{event}\n").as_bytes())
            .map_err(io_error("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_atomically(&folder.path().join("absent/file"), b"x").unwrap_err();
        assert!(error.to_string().contains("absent/file"), "{error}");
    }
}
