//! The run folder: configuration, events, weights, result.
//!
//! Owns what is in it and when it is written. `result.json` comes last, so its presence means that the
//! run is complete and its absence that nothing may be trusted but what a checkpoint vouches for.
//!
//! ```text
//! <run>/config.toml        every setting resolved
//!       events.jsonl       appended: what happened, with time
//!       lock               while a process works here
//!       checkpoint/        the newest two states, until the run is complete
//!       model.safetensors  final weights
//!       result.json        last
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::experiment::RunError;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::result::{self, RunResult};
use crate::experiment::run::runner::Event;
use crate::files::TEMPORARY;

/// Name of the result file in a run folder.
pub const RESULT: &str = "result.json";
const CONFIG: &str = "config.toml";
/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// Writes a whole file; see [`crate::files`].
///
/// # Errors
/// [`RunError::Io`] naming the file; the old content, if any, is still there then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let written = crate::files::write(path, bytes);
    written.map_err(|error| RunError::io("write", path)(error.source))
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
            Err(e) => return Err(RunError::io("read", &path)(e)),
        };
        let result = result::parse(&bytes).map_err(|reason| self.damaged(&path, &reason))?;
        self.compare(&result.config, config)?;
        Ok(Some(result))
    }

    /// Refuses a result that was computed from other images: `now` is the checksum of those at hand.
    ///
    /// # Errors
    /// [`RunError::OtherData`].
    pub fn check_data(&self, result: &RunResult, now: &str) -> Result<(), RunError> {
        let then = &result.provenance.data_sha256;
        if then == now {
            return Ok(());
        }
        Err(RunError::OtherData {
            folder: self.path.clone(),
            benchmark: result.config.benchmark.name().to_string(),
            then: then.clone(),
            now: now.to_string(),
        })
    }

    /// Creates the folder if it is not there.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn create(&self) -> Result<(), RunError> {
        fs::create_dir_all(&self.path).map_err(RunError::io("create", &self.path))
    }

    /// Creates the folder and writes the configuration, or checks the one that is there.
    ///
    /// # Errors
    /// [`RunError::Io`], [`RunError::Damaged`] and [`RunError::OtherConfiguration`].
    pub fn prepare(&self, config: &RunConfig, config_toml: &str) -> Result<(), RunError> {
        self.create()?;
        let path = self.path.join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let found = crate::experiment::plan::settings::parse_config_toml(&text)
                    .map_err(|e| self.damaged(&path, &e.to_string()))?;
                self.compare(&found, config)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(RunError::io("read", &path)(e)),
        }
        write_atomically(&path, config_toml.as_bytes())
    }

    /// Whether folder and configuration are there.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.path.join(CONFIG).is_file()
    }

    /// The event log, as it is.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn events(&self) -> Result<EventLog, RunError> {
        let path = self.path.join("events.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(RunError::io("write", &path))?;
        Ok(EventLog { file, path })
    }

    /// Removes what a complete run needs no more: checkpoints, the lock, temporaries of a process that was killed. What
    /// cannot be removed stays; it does no harm.
    pub fn tidy(&self) {
        let _ = fs::remove_dir_all(self.path.join(crate::experiment::run::checkpoint::FOLDER));
        let _ = fs::remove_file(self.path.join(crate::experiment::run::lock::LOCK));
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = fs::remove_file(entry.path());
            }
        }
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
    /// Forgets everything but the run's first `lines` events and what stands between them: what was logged after the
    /// checkpoint that the run goes on from happens again. A line that was cut off, and all after it, goes too.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn keep(&mut self, lines: usize) -> Result<(), RunError> {
        let mut keep = || -> io::Result<()> {
            let mut bytes = Vec::new();
            self.file.rewind()?;
            if lines > 0 {
                self.file.read_to_end(&mut bytes)?;
            }
            let (mut kept, mut length) = (0, 0);
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                let event = serde_json::from_slice::<serde_json::Value>(line);
                let (Ok(event), true) = (event, line.ends_with(b"\n")) else {
                    break;
                };
                kept += usize::from(Event::is_of_the_run(&event));
                if kept > lines {
                    break;
                }
                length += line.len() as u64;
            }
            self.file.set_len(length)?;
            self.file.seek(io::SeekFrom::Start(length))?;
            Ok(())
        };
        keep().map_err(RunError::io("write", &self.path))
    }

    /// Appends one event with the present time.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn append(&mut self, mut event: serde_json::Value) -> Result<(), RunError> {
        if let Some(fields) = event.as_object_mut() {
            fields.insert(
                "time".to_string(),
                crate::experiment::run::provenance::utc_now().into(),
            );
        }
        self.file
            .write_all(format!("{event}\n").as_bytes())
            .map_err(RunError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_back_to_a_number_of_the_runs_own_lines() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(dir.path(), "run");
        folder.create().unwrap();
        let text = |events: &mut EventLog, names: &[&str]| {
            for name in names {
                events.append(serde_json::json!({"event": name})).unwrap();
            }
            let text = fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
            let name = |line: &str| -> String {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                event["event"].as_str().unwrap().to_string()
            };
            text.lines().map(name).collect::<Vec<_>>().join(" ")
        };
        let mut events = folder.events().unwrap();
        text(&mut events, &["a", "warning", "b", "c"]);
        events.file.write_all(b"{\"event\": \"to").unwrap();
        let mut events = folder.events().unwrap();
        events.keep(2).unwrap();
        assert_eq!(
            text(&mut events, &["resumed", "d"]),
            "a warning b resumed d"
        );
        events.file.write_all(b"\xff{torn").unwrap();
        events.keep(7).unwrap();
        assert_eq!(text(&mut events, &["e"]), "a warning b resumed d e");
        events.keep(0).unwrap();
        assert_eq!(text(&mut events, &["f"]), "f");
    }
}
