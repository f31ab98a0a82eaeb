//! Where the files of a data set lie and how to read them: the machinery behind every source.
//!
//! All data sets go through one path: find the members in a folder or an archive, read each in one
//! pass (parsed, and on request hashed and copied on the way), put the halves together. An archive
//! is decompressed once for all its members.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::images::{self, Files};
use super::spec::DataName;
use super::verify::FileReport;
use super::{LoadOptions, official};
use crate::data::error::{DataError, LookedFor};
use crate::data::format::compress::Unpacked;
use crate::data::format::idx::IdxImages;
use crate::data::format::mini_imagenet::ClassImages;
use crate::data::format::{archive, idx, placeholder, read_up_to};
use crate::data::image_set::{Dataset, ImageSet, hex};
use crate::data::tree::Use;
use crate::data::walk::walk;

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
    fn member_at(&self, path: &str) -> Option<usize> {
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

fn size_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Finds a data set by the names of its files: folders first, then archives.
pub(super) fn locate(source: DataName, folder: &Path) -> Result<Located, DataError> {
    let mut looked_for = Vec::new();
    for layout in source.layouts {
        for sub in layout.folders {
            let path = if sub.is_empty() {
                folder.to_path_buf()
            } else {
                folder.join(sub)
            };
            match layout.files_in(&path) {
                Ok(files) => return Ok(Located::in_folder(source, layout, &path, files)),
                Err(missing) => looked_for.extend(missing),
            }
        }
    }
    for layout in source.layouts {
        for stem in layout.archives {
            let paths = ARCHIVE_ENDINGS.map(|ending| folder.join(format!("{stem}{ending}")));
            if let Some(path) = paths.iter().find(|path| path.is_file()) {
                return Ok(Located::in_archive(source, layout, path));
            }
            let path = folder.join(format!("{stem}{{{}}}", ARCHIVE_ENDINGS.join(",")));
            looked_for.push(LookedFor { path, found: false });
        }
    }
    Err(DataError::Missing {
        name: source.name.to_string(),
        folder: folder.to_path_buf(),
        looked_for,
        advice: advice(source),
    })
}

/// How many images lie in a folder at most, by names, lengths and headers alone; `None` for archives and where these do
/// not tell.
pub(super) fn images_at_most(located: &Located) -> Option<u64> {
    if located.form == Form::Archive {
        return None;
    }
    let layout = located.layout;
    if let Encoding::Files(files) = layout.encoding {
        let is_image = |path: &str| (files.usage)(path) == Use::Image;
        let found = walk(&located.path, &is_image).ok()?;
        return Some(found.files.iter().filter(|path| is_image(path)).count() as u64);
    }
    let mut total = 0_u64;
    for (member, path) in layout.members.iter().zip(&located.files) {
        let file = File::open(path).ok()?;
        let mut reader = Unpacked::new(file).ok()?;
        total = total.saturating_add(match layout.encoding {
            Encoding::Idx if member.role == Role::Labels => 0,
            Encoding::Idx => idx::stated_count(&mut reader)?,
            Encoding::Records { count, .. } | Encoding::Classes { count, .. } => {
                count(&mut reader, size_of(path))?
            }
            Encoding::Files(_) => return None,
        });
    }
    Some(total)
}

/// How to get a data set.
pub(super) fn advice(source: DataName) -> String {
    format!(
        "{}et {} from {} and put it into the data folder as it is; or, if it lies elsewhere, run \
         `tagcl data import {} PATH` or name its folder with --data DIR.",
        if source.remotes.is_empty() {
            "G".to_owned()
        } else {
            format!("`tagcl data get {}` downloads it. Or g", source.name)
        },
        source.get,
        source.homepage,
        source.name
    )
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

/// What one file holds.
enum Part {
    Images(IdxImages),
    Labels(Vec<u8>),
    Records(ImageSet),
    Classes(ClassImages),
}

/// A file that has been read: its name for messages, what it holds, its report.
struct ReadFile {
    name: String,
    part: Part,
    report: Option<FileReport>,
}

/// Reads a located data set.
pub(super) fn read(
    source: DataName,
    located: &Located,
    options: ReadOptions<'_>,
) -> Result<Loaded, DataError> {
    let layout = located.layout;
    if let Encoding::Files(files) = layout.encoding {
        return images::read(source, located, files, options.hash, &options.load);
    }
    let files = match located.form {
        Form::Folder => {
            let mut files = Vec::with_capacity(layout.members.len());
            for (member, path) in layout.members.iter().zip(&located.files) {
                let name = path.display().to_string();
                let file = File::open(path).map_err(DataError::io("open", path))?;
                let mut reader = Unpacked::new(file).map_err(DataError::unreadable(&name))?;
                files.push(read_file(layout, member, &mut reader, name, options)?);
            }
            files
        }
        Form::Archive => read_archive(layout, &located.path, options)?,
    };
    let mut reports = Vec::new();
    let mut halves = [None, None];
    let [train, test] = &mut halves;
    let (mut images, mut classes) = (None, Vec::new());
    for (member, file) in layout.members.iter().zip(files) {
        reports.extend(file.report);
        let half: &mut Option<ImageSet> = match member.split {
            Split::Train => train,
            Split::Test | Split::Pooled => test,
        };
        match file.part {
            Part::Images(part) => images = Some(part),
            Part::Labels(labels) => {
                // Images stand before their labels in every layout; a test checks it.
                if let Some(part) = images.take() {
                    *half = Some(idx::image_set(part, &labels, source.classes, &file.name)?);
                }
            }
            Part::Records(set) => match half {
                Some(first) => first.append(&set, &file.name)?,
                None => *half = Some(set),
            },
            Part::Classes(part) => classes.push(part),
        }
    }
    let (mut notes, mut class_names) = (Vec::new(), source.class_names());
    if let Encoding::Classes { join, .. } = layout.encoding {
        let name = located.path.display().to_string();
        let joined = join(classes, &name)?;
        halves = [Some(joined.train), Some(joined.test)];
        (notes, class_names) = (joined.notes, joined.class_names);
    }
    let [Some(train), Some(test)] = halves else {
        return Err(DataError::NoImages {
            what: located.path.display().to_string(),
        });
    };
    if train.shape() != source.shape {
        return Err(DataError::mismatch(
            &located.path.display().to_string(),
            "image shape",
            source.shape.to_string(),
            train.shape().to_string(),
        ));
    }
    let note = official::note(source, &train, &test, notes);
    let dataset = Dataset::new(source.name, train, test, note)?.with_class_names(class_names)?;
    Ok(Loaded {
        dataset,
        files: reports,
    })
}

/// Reads all members in one pass over the archive, in whatever order they come.
fn read_archive(
    layout: &Layout,
    path: &Path,
    options: ReadOptions<'_>,
) -> Result<Vec<ReadFile>, DataError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let mut slots: Vec<Option<ReadFile>> = layout.members.iter().map(|_| None).collect();
    let wrong_number = |member: &Member, found| DataError::ArchiveMember {
        file: name.clone(),
        member: format!("{}/{}", layout.folder(), member.name()),
        found,
    };
    archive::each_member(file, &name, |member_path, mut reader| {
        let index = layout.member_at(member_path);
        let found =
            index.and_then(|index| Some((layout.members.get(index)?, slots.get_mut(index)?)));
        let Some((member, slot)) = found else {
            return Ok(());
        };
        if slot.is_some() {
            return Err(wrong_number(member, 2));
        }
        let full_name = archive::member_name(&name, member_path);
        *slot = Some(read_file(layout, member, &mut reader, full_name, options)?);
        Ok(())
    })?;
    let mut files = Vec::with_capacity(slots.len());
    for (member, slot) in layout.members.iter().zip(slots) {
        files.push(slot.ok_or_else(|| wrong_number(member, 0))?);
    }
    Ok(files)
}

/// Parses one file from its unpacked bytes, hashing and copying them on the way.
fn read_file<R: Read>(
    layout: &Layout,
    member: &Member,
    reader: &mut R,
    name: String,
    options: ReadOptions<'_>,
) -> Result<ReadFile, DataError> {
    let copy = match options.copy_to {
        Some(folder) => {
            let path = folder.join(member.name());
            let file = File::create_new(&path).map_err(DataError::io("create", &path))?;
            Some((file, path))
        }
        None => None,
    };
    let mut start = vec![0; 512];
    let found = read_up_to(reader, &mut start).map_err(DataError::unreadable(&name))?;
    start.truncate(found);
    if let Some(what) = placeholder(&start) {
        let remedy = "put the official file in its place";
        return Err(DataError::unfit(name, format!("it is {what}"), remedy));
    }
    let mut inner = start.as_slice().chain(reader);
    let mut tap = Tap {
        inner: &mut inner,
        hash: options.hash.then(Sha256::new),
        bytes: 0,
        copy,
        copy_error: None,
    };
    let parsed = match layout.encoding {
        Encoding::Idx if member.role == Role::Labels => {
            idx::read_labels(&mut tap, &name).map(Part::Labels)
        }
        Encoding::Idx => idx::read_images(&mut tap, &name).map(Part::Images),
        Encoding::Records { read, .. } => read(&mut tap, &name).map(Part::Records),
        Encoding::Classes { read, .. } => read(&mut tap, &name).map(Part::Classes),
        // Read by `images::read`.
        Encoding::Files(_) => Err(DataError::NoImages { what: name.clone() }),
    };
    let Tap {
        hash,
        bytes,
        copy,
        copy_error,
        ..
    } = tap;
    if let Some((file, path)) = copy {
        if let Some(error) = copy_error {
            return Err(DataError::io("write", &path)(error));
        }
        file.sync_all().map_err(DataError::io("write", &path))?;
    }
    let part = parsed?;
    let report = hash.map(|hash| FileReport {
        file: name.clone(),
        bytes,
        sha256: hex(&hash.finalize()),
    });
    Ok(ReadFile { name, part, report })
}

/// Passes bytes on, counting, hashing and copying them.
struct Tap<'r, R: Read> {
    inner: &'r mut R,
    hash: Option<Sha256>,
    bytes: u64,
    copy: Option<(File, PathBuf)>,
    /// Kept apart, so that a full disk is not reported as a damaged source.
    copy_error: Option<io::Error>,
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let new = buffer.get(..count).unwrap_or_default();
        self.bytes += count as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(new);
        }
        if let Some((file, _)) = &mut self.copy
            && let Err(error) = file.write_all(new)
        {
            let kind = error.kind();
            self.copy_error = Some(error);
            return Err(kind.into());
        }
        Ok(count)
    }
}
