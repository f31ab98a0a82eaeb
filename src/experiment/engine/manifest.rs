//! Manifests: a list of runs in a file, so that any engine can run them by their numbers.
//!
//! Owns the format (JSON lines; `docs/clusters.md` describes it): a header, then one line a run, so that a task of an array
//! job reads its own line and nothing else has to be agreed upon. Runs share no state but the folder of their results.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::experiment::RunError;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::plan::settings::Interval;
use crate::experiment::plan::settings::PlannedRun;
use crate::experiment::run::store::write_atomically;

/// Version of the format.
const VERSION: u32 = 1;

/// What all runs of a manifest share: its first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub manifest: u32,
    /// Number of runs, which is the number of lines that follow.
    pub runs: usize,
    /// Data folder; absent for the embedded sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// File of initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Threads inside each run.
    pub threads: usize,
    /// Time between checkpoints of a run.
    pub checkpoint_every: Interval,
}

impl Header {
    /// A header of the present version; the number of runs is filled in by [`write()`].
    #[must_use]
    pub fn new(
        data: Option<PathBuf>,
        init: Option<PathBuf>,
        threads: usize,
        checkpoint_every: Interval,
    ) -> Self {
        let (manifest, runs) = (VERSION, 0);
        Self {
            manifest,
            runs,
            data,
            init,
            threads,
            checkpoint_every,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    index: usize,
    run_id: String,
    config: RunConfig,
    toml: String,
}

/// The part of a line that a status needs.
#[derive(Deserialize)]
struct Id {
    run_id: String,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The system refused.
    #[error("cannot read the manifest {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It could not be written.
    #[error("{0}")]
    Write(#[from] RunError),
    /// A line that is none of a manifest's.
    #[error("{}, line {line}: not a line of a manifest: {reason}; write it anew with the command that made it", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is no such run.
    #[error("{} has no run {index}: its {runs} runs are numbered from 0", path.display())]
    Index {
        /// Which file.
        path: PathBuf,
        /// What was asked for.
        index: usize,
        /// Number of runs.
        runs: usize,
    },
}

/// Name of the manifest of these runs in a folder; the same runs have the same name.
#[must_use]
pub fn file_name(runs: &[PlannedRun]) -> String {
    let mut hash = Sha256::new();
    for run in runs {
        hash.update(run.config.run_id());
        hash.update("\n");
    }
    let digits = crate::data::image_set::hex(&hash.finalize());
    format!("{PREFIX}{}{SUFFIX}", digits.get(..8).unwrap_or_default())
}

const PREFIX: &str = "manifest-";
const SUFFIX: &str = ".jsonl";

/// True for the names that [`file_name`] gives.
#[must_use]
pub fn is_manifest(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Writes the runs into `folder`; answers the file's path.
///
/// # Errors
/// [`ManifestError::Write`].
pub fn write(
    folder: &Path,
    header: &Header,
    runs: &[PlannedRun],
) -> Result<PathBuf, ManifestError> {
    let path = folder.join(file_name(runs));
    let header = Header {
        runs: runs.len(),
        ..header.clone()
    };
    let damaged = |line: usize| {
        let path = path.clone();
        move |e: serde_json::Error| ManifestError::Damaged {
            path,
            line,
            reason: e.to_string(),
        }
    };
    let mut text = serde_json::to_string(&header).map_err(damaged(1))?;
    text.push('\n');
    for (index, run) in runs.iter().enumerate() {
        let line = Line {
            index,
            run_id: run.config.run_id(),
            config: run.config.clone(),
            toml: run.toml.clone(),
        };
        text += &serde_json::to_string(&line).map_err(damaged(index + 2))?;
        text.push('\n');
    }
    write_atomically(&path, text.as_bytes())?;
    Ok(path)
}

/// Lines of a manifest, the header read.
struct Lines<'a> {
    path: &'a Path,
    rest: io::Lines<BufReader<File>>,
    /// Number of the line read last.
    at: usize,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<(Header, Self), ManifestError> {
        let file = File::open(path).map_err(|source| ManifestError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let rest = BufReader::new(file).lines();
        let mut lines = Self { path, rest, at: 0 };
        let header: Header = lines.next()?;
        if header.manifest != VERSION {
            let reason = format!(
                "version {}, where this program reads {VERSION}",
                header.manifest
            );
            return Err(lines.damaged(reason));
        }
        Ok((header, lines))
    }

    fn text(&mut self) -> Result<String, ManifestError> {
        self.at += 1;
        match self.rest.next() {
            Some(Ok(text)) => Ok(text),
            Some(Err(source)) => Err(ManifestError::Read {
                path: self.path.to_path_buf(),
                source,
            }),
            None => Err(self.damaged("the file ends here".to_string())),
        }
    }

    fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, ManifestError> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|e| self.damaged(e.to_string()))
    }

    fn damaged(&self, reason: String) -> ManifestError {
        ManifestError::Damaged {
            path: self.path.to_path_buf(),
            line: self.at,
            reason,
        }
    }
}

/// One run of a manifest, by its number from 0.
///
/// # Errors
/// [`ManifestError`]; a run whose id is not its configuration's is damaged.
pub fn read_run(path: &Path, index: usize) -> Result<(Header, PlannedRun), ManifestError> {
    let (header, mut lines) = Lines::open(path)?;
    if index >= header.runs {
        return Err(ManifestError::Index {
            path: path.to_path_buf(),
            index,
            runs: header.runs,
        });
    }
    for _ in 0..index {
        lines.text()?;
    }
    let line: Line = lines.next()?;
    if line.index != index || line.config.run_id() != line.run_id {
        let id = line.config.run_id();
        let reason = format!(
            "run {} is called {}, but its configuration is {id} at {index} (another version of the program?)",
            line.index, line.run_id
        );
        return Err(lines.damaged(reason));
    }
    let run = PlannedRun::received(line.config, line.toml);
    Ok((header, run.map_err(RunError::from)?))
}

/// The ids of a manifest's runs, in its order.
///
/// # Errors
/// [`ManifestError`].
pub fn read_ids(path: &Path) -> Result<Vec<String>, ManifestError> {
    let (header, mut lines) = Lines::open(path)?;
    (0..header.runs)
        .map(|_| lines.next::<Id>().map(|line| line.run_id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::plan::settings::{Origin, Settings};

    fn runs() -> Vec<PlannedRun> {
        let mut settings = Settings::default();
        for (key, value) in [("benchmark", "rotated-mnist"), ("seeds", "1-3")] {
            settings.set(key, value, Origin::CommandLine).unwrap();
        }
        settings.plan().unwrap().runs
    }

    #[test]
    fn runs_are_read_back_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header::new(Some("data".into()), None, 2, Interval(None));
        let path = write(folder.path(), &header, &runs()).unwrap();
        assert!(is_manifest(path.file_name().unwrap().to_str().unwrap()));
        for (i, run) in runs().iter().enumerate() {
            let (found, back) = read_run(&path, i).unwrap();
            assert_eq!((found.runs, found.threads), (3, 2));
            assert_eq!(&back, run);
        }
        let ids: Vec<_> = runs().iter().map(|run| run.config.run_id()).collect();
        assert_eq!(read_ids(&path).unwrap(), ids);
        assert_eq!(write(folder.path(), &header, &runs()).unwrap(), path);
        let error = read_run(&path, 3).unwrap_err().to_string();
        assert!(
            error.contains("no run 3") && error.contains("3 runs"),
            "{error}"
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(
            folder.path(),
            &Header::new(None, None, 1, Interval(None)),
            &runs(),
        )
        .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let cases = [
            (text[..text.len() / 2].to_string(), "line"),
            (
                text.replacen("\"manifest\":1", "\"manifest\":9", 1),
                "version 9",
            ),
            (text.replace("\"seed\":2", "\"seed\":7"), "line 3"),
            (String::new(), "line 1"),
        ];
        for (damaged, part) in cases {
            std::fs::write(&path, damaged).unwrap();
            let error = (0..3)
                .find_map(|i| read_run(&path, i).err())
                .unwrap()
                .to_string();
            assert!(error.contains(part), "{error}");
        }
        let absent = read_ids(&folder.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(absent.contains("cannot read the manifest"), "{absent}");
    }
}
