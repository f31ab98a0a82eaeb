//! Import: data that lies elsewhere, checked and put into the data folder.
//!
//! The order of things is the point of this file: recognise, then parse and hash everything while
//! it is written to a temporary folder beside its destination, then one rename. Whatever fails
//! before the rename leaves the data folder as it was.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;

use super::layout::{ARCHIVE_ENDINGS, Encoding, Layout, Member};
use super::located::{Form, Located, ReadOptions};
use super::reading;
use super::spec::DataName;
use super::verify::{self, VerifyReport};
use crate::data::error::DataError;
use crate::data::format::archive;
use crate::data::tree::Use;
use crate::data::walk::walk;

/// What [`import()`](super::import()) did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// Which data set.
    pub name: DataName,
    /// Where it lies now.
    pub path: PathBuf,
    /// Whether the data folder held the same images before, so that nothing was done.
    pub already_present: bool,
    /// The check of what was imported; its paths are those it was imported from.
    pub verified: VerifyReport,
}

/// See [`import()`](super::import()).
pub(super) fn import(
    source: DataName,
    from: &Path,
    folder: &Path,
) -> Result<ImportReport, DataError> {
    let located = recognise(source, from)?;
    fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
    let staging = Staging::new(source, folder)?;
    let in_files = match located.layout().encoding {
        Encoding::Files(files) => Some(files),
        _ => None,
    };
    let copy_to = in_files.is_none().then_some(staging.path.as_path());
    let verified = verify::verify(source, &located, copy_to)?;
    if !verified.is_ok() {
        return Err(DataError::ImportRefused {
            path: from.to_path_buf(),
            name: source.name.to_string(),
            problems: verified.problems,
        });
    }
    let report = |path, already_present| ImportReport {
        name: source,
        path,
        already_present,
        verified: verified.clone(),
    };
    if let Ok(existing) = reading::locate(source, folder) {
        let detail = match reading::read(source, &existing, ReadOptions::default()) {
            Ok(read) if read.dataset.sha256() == verified.sha256 => None,
            Ok(_) => Some("its images are others".to_owned()),
            Err(error) => Some(format!("it cannot be read: {error}")),
        };
        match detail {
            Some(detail) => {
                let path = existing.path;
                return Err(DataError::Exists { path, detail });
            }
            None if existing.form == Form::Folder || in_files.is_some() => {
                return Ok(report(existing.path, true));
            }
            // The same data, but packed: unpacked beside it, it loads faster from now on.
            None => {}
        }
    }
    if in_files.is_some() && located.form == Form::Archive {
        return keep_archive(&located, &staging, folder).map(|path| report(path, false));
    }
    if let Some(files) = in_files {
        copy_folder(&located.path, &files.usage, &staging.path)?;
    }
    let target = folder.join(located.layout().folder());
    if target.exists() {
        let detail = "it is incomplete".to_owned();
        return Err(DataError::Exists {
            path: target,
            detail,
        });
    }
    fs::rename(&staging.path, &target).map_err(DataError::io("rename into place", &target))?;
    // Make the rename itself durable where the system allows folders to be synced.
    if let Ok(parent) = File::open(folder) {
        let _ = parent.sync_all();
    }
    Ok(report(target, false))
}

/// Data sets of one file an image stay in their archive: it is read as it is, so nothing needs to be unpacked.
fn keep_archive(located: &Located, staging: &Staging, folder: &Path) -> Result<PathBuf, DataError> {
    let name = located
        .path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let ending = ARCHIVE_ENDINGS
        .into_iter()
        .find(|ending| name.ends_with(ending))
        .unwrap_or(".tar.gz");
    let stem = located
        .layout()
        .archives
        .first()
        .copied()
        .unwrap_or_default();
    let (copy, target) = (
        staging.path.join("archive"),
        folder.join(format!("{stem}{ending}")),
    );
    copy_file(&located.path, &copy)?;
    fs::rename(&copy, &target).map_err(DataError::io("rename into place", &target))?;
    Ok(target)
}

/// Copies the files that matter; their paths come from listing the folder, so none leads out of it.
fn copy_folder(from: &Path, usage: &dyn Fn(&str) -> Use, to: &Path) -> Result<(), DataError> {
    let matters = |path: &str| usage(path) != Use::Ignored;
    for path in walk(from, &matters)?.files {
        if matters(&path) {
            let target = to.join(&path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(DataError::io("create", parent))?;
            }
            copy_file(&from.join(&path), &target)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), DataError> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(DataError::io("copy to", to))
}

/// Which layout lies at `from`, by the names of files, or of members if an archive was renamed.
fn recognise(source: DataName, from: &Path) -> Result<Located, DataError> {
    // A missing path is the operating system's message, not "does not hold the data set".
    fs::metadata(from).map_err(DataError::io("open", from))?;
    if from.is_dir() {
        for layout in source.layouts {
            if let Ok(files) = layout.files_in(from) {
                return Ok(Located::in_folder(source, layout, from, files));
            }
        }
        return reading::locate(source, from).map_err(|_| not_recognised(source, from));
    }
    let file_name = from
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if let Some(parent) = from.parent() {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        for layout in source.layouts {
            if let Ok(files) = layout.files_in(parent)
                && files
                    .iter()
                    .any(|file| file.file_name() == from.file_name())
            {
                return Ok(Located::in_folder(source, layout, parent, files));
            }
        }
    }
    let by_name = source
        .layouts
        .iter()
        .find(|layout| is_archive_of(layout, file_name));
    if let Some(layout) = by_name {
        return Ok(Located::in_archive(source, layout, from));
    }
    let mut paths = Vec::new();
    let file = File::open(from).map_err(DataError::io("open", from))?;
    // A file that is no archive at all is simply not recognised.
    let walked = archive::each_member(file, file_name, |path, _| {
        // An archive with more members than this is another one.
        if paths.len() < 10_000 {
            paths.push(path.to_owned());
        }
        Ok(())
    });
    let layout = source
        .layouts
        .iter()
        .find(|layout| layout.is_complete(&paths));
    match (walked, layout) {
        (Ok(()), Some(layout)) => Ok(Located::in_archive(source, layout, from)),
        _ => Err(not_recognised(source, from)),
    }
}

fn is_archive_of(layout: &Layout, file_name: &str) -> bool {
    layout.archives.iter().any(|stem| {
        file_name
            .strip_prefix(stem)
            .is_some_and(|ending| ARCHIVE_ENDINGS.contains(&ending))
    })
}

fn not_recognised(source: DataName, from: &Path) -> DataError {
    let forms: Vec<_> = source
        .layouts
        .iter()
        .flat_map(|layout| {
            let names: Vec<_> = layout.members.iter().map(Member::name).collect();
            let files = format!("the files {}", names.join(", "));
            layout
                .archives
                .iter()
                .map(|stem| format!("{stem}.tar.gz"))
                .chain([files])
        })
        .collect();
    DataError::NotRecognised {
        path: from.to_path_buf(),
        name: source.name.to_string(),
        expected: forms.join("; or "),
    }
}

/// A temporary folder in the data folder; removed unless it was renamed away.
struct Staging {
    path: PathBuf,
}

impl Staging {
    fn new(name: DataName, folder: &Path) -> Result<Self, DataError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".import-{name}-{}-{count}", process::id()));
        fs::create_dir(&path).map_err(DataError::io("create", &path))?;
        Ok(Self { path })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After the rename there is nothing left under this name.
        let _ = fs::remove_dir_all(&self.path);
    }
}
