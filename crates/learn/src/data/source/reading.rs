//! Finding a data set in a folder by its layouts, and reading it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::images;
use super::judge;
use super::layout::{ARCHIVE_ENDINGS, Encoding, Layout, Member, Role, Split};
use super::located::{FileReport, Form, Loaded, Located, ReadOptions, size_of};
use super::spec::DataName;
use crate::data::error::{DataError, LookedFor};
use crate::data::format::compress::Unpacked;
use crate::data::format::idx::IdxImages;
use crate::data::format::mini_imagenet::ClassImages;
use crate::data::format::{archive, idx, placeholder, read_up_to};
use crate::data::image_set::{Dataset, ImageSet, hex};
use crate::data::tree::Use;
use crate::data::walk::walk;

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
    let layout = located.layout();
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
    let layout = located.layout();
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
    let note = judge::note(source, &train, &test, notes);
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
