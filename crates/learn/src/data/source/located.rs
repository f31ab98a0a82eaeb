//! Where a data set lies, how it is to be read, and what reading it gives.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::LoadOptions;
use super::layout::Layout;
use super::spec::DataName;
use crate::data::image_set::Dataset;

/// Whether a data set lies unpacked or in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A folder with the data files (which may be gzip files each).
    Folder,
    /// One archive.
    Archive,
}

/// Where a data set lies.
#[derive(Debug, Clone, Serialize)]
pub struct Located {
    /// Which data set.
    pub name: DataName,
    /// Unpacked or archive.
    pub form: Form,
    /// The folder or the archive.
    pub path: PathBuf,
    /// The data files, or the archive alone.
    pub files: Vec<PathBuf>,
    /// Bytes on disk, as far as the file system tells.
    pub bytes: u64,
    #[serde(skip)]
    layout: &'static Layout,
}

impl Located {
    pub(super) fn in_folder(
        name: DataName,
        layout: &'static Layout,
        path: &Path,
        files: Vec<PathBuf>,
    ) -> Self {
        let bytes = files.iter().map(|file| size_of(file)).sum();
        Self {
            name,
            form: Form::Folder,
            path: path.to_path_buf(),
            files,
            bytes,
            layout,
        }
    }

    pub(super) fn in_archive(name: DataName, layout: &'static Layout, path: &Path) -> Self {
        let files = vec![path.to_path_buf()];
        let bytes = size_of(path);
        Self {
            name,
            form: Form::Archive,
            path: path.to_path_buf(),
            files,
            bytes,
            layout,
        }
    }

    pub(super) fn layout(&self) -> &'static Layout {
        self.layout
    }
}

/// Bytes of a file; 0 where the system does not tell.
pub(super) fn size_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// What to do with the files on the way.
#[derive(Clone, Copy, Default)]
pub(super) struct ReadOptions<'a> {
    /// Hash every file.
    pub(super) hash: bool,
    /// Write every file, unpacked, under its official name into this folder; data sets of one file an image are copied
    /// elsewhere.
    pub(super) copy_to: Option<&'a Path>,
    /// Cache and progress, for data sets of one file an image.
    pub(super) load: LoadOptions<'a>,
}

/// A data set as read, with a report a file if they were hashed.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) dataset: Dataset,
    pub(super) files: Vec<FileReport>,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its path; for a member of an archive, the archive's path and the member's.
    pub file: String,
    /// Bytes, unpacked.
    pub bytes: u64,
    /// SHA-256 of the unpacked bytes, in lower-case hexadecimal.
    pub sha256: String,
}
