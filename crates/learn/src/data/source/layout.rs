//! Where the files of a data set lie and how to read them: the machinery behind every source.
//!
//! All data sets go through one path: find the members in a folder or an archive, read each in one
//! pass (parsed, and on request hashed and copied on the way), put the halves together. An archive
//! is decompressed once for all its members.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::plan::Files;
use crate::data::error::{DataError, LookedFor};
use crate::data::format::archive;
use crate::data::format::mini_imagenet::ClassImages;
use crate::data::image_set::ImageSet;

/// Reads one file to its end; the text names it in errors.
type Reader<T> = fn(&mut dyn Read, &str) -> Result<T, DataError>;
/// What the files of [`Encoding::Classes`] are together.
type Join = fn(Vec<ClassImages>, &str) -> Result<Joined, DataError>;

/// A data set whose classes were read one by one.
pub(super) struct Joined {
    pub(super) train: ImageSet,
    pub(super) test: ImageSet,
    /// What a reader of results must know.
    pub(super) notes: Vec<String>,
    pub(super) class_names: Vec<String>,
}

/// How many images a file can hold at most, by its first bytes and its length; `None` where that does not tell.
type Count = fn(&mut dyn Read, u64) -> Option<u64>;

/// How the files of a layout are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    /// Pairs of idx files, each plain or with `.gz` behind its name.
    Idx,
    /// Every file holds images with their labels.
    Records {
        read: Reader<ImageSet>,
        count: Count,
    },
    /// Every file holds all images of some classes, and the data set is cut after all are read. Archives may hold them
    /// without their folder, because their names say what they are.
    Classes {
        read: Reader<ClassImages>,
        join: Join,
        count: Count,
    },
    /// One file an image.
    Files(Files),
}

/// Which half of the data set a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    Train,
    Test,
    /// Both: the data set is cut after it is read.
    Pooled,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Images,
    Labels,
    /// Images with labels; several of one split follow each other. Lists of images in data sets of one file an image.
    Records,
    /// A folder of image files.
    Folder,
}

/// One file of a layout.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) split: Split,
    pub(super) role: Role,
    /// Its names, the official one first. Idx files may also end in `.gz`.
    pub(super) names: &'static [&'static str],
}

impl Member {
    /// The official name.
    pub(super) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

/// One form in which a data set is distributed.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) encoding: Encoding,
    /// Folders below the data folder, the official one first (it is also the one inside archives);
    /// an empty name is the data folder itself.
    pub(super) folders: &'static [&'static str],
    /// Archives below the data folder, without `.tar`, `.tar.gz`, `.tgz` or `.tar.xz`.
    pub(super) archives: &'static [&'static str],
    pub(super) members: &'static [Member],
}

impl Layout {
    /// The official folder.
    pub(super) fn folder(&self) -> &'static str {
        self.folders.first().copied().unwrap_or_default()
    }

    /// The index of the member that a path in an archive names.
    pub(super) fn member_at(&self, path: &str) -> Option<usize> {
        self.members.iter().position(|member| {
            let mut names = member.names.iter();
            names.any(|name| {
                archive::path_ends_with(path, &format!("{}/{name}", self.folder()))
                    || self.flat_archive() && archive::path_ends_with(path, name)
            })
        })
    }

    /// Whether archives may hold the files without their folder.
    fn flat_archive(&self) -> bool {
        matches!(self.encoding, Encoding::Classes { .. })
    }

    /// Whether the paths of an archive's members name every file of this layout.
    pub(super) fn is_complete(&self, paths: &[String]) -> bool {
        self.members.iter().enumerate().all(|(index, member)| {
            let inside = format!("{}/{}/", self.folder(), member.name());
            paths.iter().any(|path| match member.role {
                Role::Folder => path.trim_start_matches("./").starts_with(&inside),
                _ => self.member_at(path) == Some(index),
            })
        })
    }

    /// The files in `folder`; if some are missing, all of them with their state.
    pub(super) fn files_in(&self, folder: &Path) -> Result<Vec<PathBuf>, Vec<LookedFor>> {
        let endings: &[&str] = if matches!(self.encoding, Encoding::Idx) {
            &["", ".gz"]
        } else {
            &[""]
        };
        if !folder.is_dir() {
            let names: Vec<_> = self.members.iter().map(Member::name).collect();
            let path = folder.join(format!("{{{}}}{}", names.join(","), optional(endings)));
            return Err(vec![LookedFor { path, found: false }]);
        }
        let looked_for: Vec<LookedFor> = self
            .members
            .iter()
            .map(|member| {
                let mut candidates = member.names.iter().flat_map(|name| {
                    endings
                        .iter()
                        .map(move |ending| folder.join(format!("{name}{ending}")))
                });
                let is_there = |path: &PathBuf| match member.role {
                    Role::Folder => path.is_dir(),
                    _ => path.is_file(),
                };
                candidates.find(is_there).map_or_else(
                    || LookedFor {
                        path: folder.join(format!("{}{}", member.name(), optional(endings))),
                        found: false,
                    },
                    |path| LookedFor { path, found: true },
                )
            })
            .collect();
        if looked_for.iter().all(|looked| looked.found) {
            Ok(looked_for.into_iter().map(|looked| looked.path).collect())
        } else {
            Err(looked_for)
        }
    }
}

/// Endings of archive names.
pub(super) const ARCHIVE_ENDINGS: [&str; 4] = [".tar.gz", ".tgz", ".tar.xz", ".tar"];

fn optional(endings: &[&str]) -> &'static str {
    if endings.len() > 1 { "[.gz]" } else { "" }
}
