//! Data sets of one file an image: below a folder, or in an archive that is never unpacked to disk.
//!
//! Owns listing, hashing and decoding of such a tree. Paths are `/`-separated and relative to the tree's root; those of
//! an archive are compared and never used as paths. Listing and hashing see only what a filter lets through. Images
//! are decoded by all cores while one thread reads.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::error::DataError;
use super::format::picture::{self, MAX_PICTURE_BYTES, Resize};
use super::format::{archive, read_bounded, read_up_to};
use super::image_set::{ImageShape, hex};
use super::walk::{check_count, is_leftover, walk};
use super::watch::Watch;

/// Bound on a text file (a list of images, labels).
pub(crate) const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Bound on the decoded pixels of a data set: 32 GiB.
pub(crate) const MAX_PIXELS: u64 = 32 << 30;

/// What a file of a tree is to a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing.
    Ignored,
    /// An image.
    Image,
    /// A text file that is kept whole.
    Text,
}

/// Files below a folder or in an archive.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Folder(PathBuf),
    /// The archive and the folder in it that is the root.
    Archive(PathBuf, String),
}

/// The files of a tree.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Paths of images, sorted.
    pub(crate) images: Vec<String>,
    /// Paths of files of no use, sorted; of a folder alone.
    pub(crate) ignored: Vec<String>,
    /// What systems and editors left behind, by name; of a folder alone.
    pub(crate) leftovers: BTreeMap<String, usize>,
    /// Text files by path.
    pub(crate) texts: BTreeMap<String, String>,
}

/// Pixels of images, and the reason for each that could not be decoded.
pub(crate) type Decoded = (Vec<u8>, Vec<(usize, DataError)>);

impl Tree {
    /// How errors name a file of the tree.
    pub(crate) fn name(&self, path: &str) -> String {
        match self {
            Self::Folder(root) => root.join(path).display().to_string(),
            Self::Archive(archive, root) => {
                archive::member_name(&archive.display().to_string(), &format!("{root}/{path}"))
            }
        }
    }

    /// Lists the tree.
    pub(crate) fn list(&self, usage: &dyn Fn(&str) -> Use) -> Result<Listing, DataError> {
        let mut listing = Listing::default();
        let keep_text = |listing: &mut Listing, path: &str, bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            listing.texts.insert(path.to_owned(), text);
        };
        match self {
            Self::Folder(root) => {
                let found = walk(root, &|path| usage(path) != Use::Ignored)?;
                listing.leftovers = found.leftovers;
                for path in found.files {
                    match usage(&path) {
                        Use::Ignored => listing.ignored.push(path),
                        Use::Image => listing.images.push(path),
                        Use::Text => {
                            let bytes = read_file(&root.join(&path), MAX_TEXT_BYTES)?;
                            keep_text(&mut listing, &path, bytes);
                        }
                    }
                }
            }
            Self::Archive(..) => self.each_member(&mut |path, reader| {
                match usage(path) {
                    Use::Ignored => {}
                    Use::Image => listing.images.push(path.to_owned()),
                    Use::Text => {
                        let bytes = read_bounded(reader, MAX_TEXT_BYTES, &self.name(path))?;
                        keep_text(&mut listing, path, bytes);
                    }
                }
                check_count(&self.name(""), listing.images.len())
            })?,
        }
        listing.images.sort_unstable();
        listing.images.dedup();
        Ok(listing)
    }

    fn each_member(
        &self,
        visit: &mut dyn FnMut(&str, &mut dyn std::io::Read) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let Self::Archive(path, root) = self else {
            return Ok(());
        };
        let name = path.display().to_string();
        let file = File::open(path).map_err(DataError::io("open", path))?;
        archive::each_member(file, &name, |member, reader| {
            let member = member.strip_prefix("./").unwrap_or(member);
            match member
                .strip_prefix(root.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
            {
                Some(below) if !below.split('/').any(is_leftover) => visit(below, reader),
                _ => Ok(()),
            }
        })
    }

    /// SHA-256 of the content, with its number of bytes: of the archive as it is, or of paths, lengths and bytes of the
    /// files in a folder that matter, in the order of their paths.
    pub(crate) fn sha256(
        &self,
        usage: &dyn Fn(&str) -> Use,
        watch: &dyn Watch,
    ) -> Result<(String, u64), DataError> {
        let mut hash = Sha256::new();
        let mut bytes = 0;
        match self {
            Self::Archive(path, _) => {
                let mut file = File::open(path).map_err(DataError::io("open", path))?;
                let mut block = vec![0; 1 << 20];
                loop {
                    let count =
                        read_up_to(&mut file, &mut block).map_err(DataError::io("read", path))?;
                    hash.update(block.get(..count).unwrap_or_default());
                    bytes += count as u64;
                    if count < block.len() {
                        break;
                    }
                }
            }
            Self::Folder(root) => {
                let matters = |path: &str| usage(path) != Use::Ignored;
                let mut files = walk(root, &matters)?.files;
                files.retain(|path| matters(path));
                let read = |path: &String| {
                    let bytes = read_file(&root.join(path), MAX_PICTURE_BYTES)?;
                    Ok((bytes.len() as u64, Sha256::digest(&bytes)))
                };
                hash.update(b"tagcl tree 1\n");
                for (path, part) in
                    files
                        .iter()
                        .zip(in_parallel(&files, "hashing files", watch, read)?)
                {
                    bytes += part.0;
                    hash.update((path.len() as u64).to_le_bytes());
                    hash.update(path.as_bytes());
                    hash.update(part.0.to_le_bytes());
                    hash.update(part.1);
                }
            }
        }
        Ok((hex(&hash.finalize()), bytes))
    }

    /// Decodes images into one block, `[paths.len(), C, H, W]`, with the reason for each that could not be decoded (its
    /// pixels stay 0).
    pub(crate) fn decode(
        &self,
        paths: &[String],
        shape: ImageShape,
        resize: Resize,
        watch: &dyn Watch,
    ) -> Result<Decoded, DataError> {
        let size = shape.bytes().unwrap_or(0);
        let total = size.checked_mul(paths.len()).map_or(u64::MAX, |n| n as u64);
        if total > MAX_PIXELS || size == 0 {
            return Err(DataError::TooLarge {
                file: self.name(""),
                what: "decoded pixels in bytes",
                found: total,
                limit: MAX_PIXELS,
            });
        }
        let mut pixels = vec![0; total as usize];
        let slots: Vec<Mutex<&mut [u8]>> = pixels.chunks_exact_mut(size).map(Mutex::new).collect();
        let broken = Mutex::new(Vec::new());
        let done = AtomicUsize::new(0);
        let one = |index: usize, bytes: Result<Vec<u8>, DataError>| {
            let name = || {
                paths
                    .get(index)
                    .map_or_else(String::new, |path| self.name(path))
            };
            let decoded = bytes.and_then(|bytes| picture::decode(&bytes, shape, resize, &name()));
            match (decoded, slots.get(index)) {
                (Ok(image), Some(slot)) => {
                    slot.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .copy_from_slice(&image);
                }
                (Err(error), _) => broken
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((index, error)),
                (Ok(_), None) => {}
            }
            watch.progress(
                "decoding images",
                done.fetch_add(1, Ordering::Relaxed) as u64 + 1,
                paths.len() as u64,
            );
        };
        match self {
            Self::Folder(root) => {
                let indices: Vec<usize> = (0..paths.len()).collect();
                in_parallel(&indices, "", watch, |&index| {
                    let path = paths
                        .get(index)
                        .map(|path| root.join(path))
                        .unwrap_or_default();
                    one(index, read_file(&path, MAX_PICTURE_BYTES));
                    Ok(())
                })?;
            }
            Self::Archive(..) => self.decode_members(paths, &one)?,
        }
        drop(slots);
        let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
        broken.sort_by_key(|(index, _)| *index);
        Ok((pixels, broken))
    }

    /// One thread reads the archive, the others decode.
    fn decode_members(
        &self,
        paths: &[String],
        one: &(dyn Fn(usize, Result<Vec<u8>, DataError>) + Sync),
    ) -> Result<(), DataError> {
        let index: HashMap<&str, usize> = paths
            .iter()
            .enumerate()
            .map(|(i, path)| (path.as_str(), i))
            .collect();
        let (sender, receiver) = mpsc::sync_channel::<(usize, Vec<u8>)>(64);
        let receiver = Mutex::new(receiver);
        thread::scope(|scope| {
            for _ in 0..cores() {
                scope.spawn(|| {
                    loop {
                        let next = receiver
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .recv();
                        let Ok((index, bytes)) = next else { break };
                        one(index, Ok(bytes));
                    }
                });
            }
            let walked = self.each_member(&mut |path, reader| {
                if let Some(&index) = index.get(path) {
                    let bytes = read_bounded(reader, MAX_PICTURE_BYTES, &self.name(path))?;
                    // The receivers live until the sender is dropped.
                    let _ = sender.send((index, bytes));
                }
                Ok(())
            });
            drop(sender);
            walked
        })
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// `work` on every item, on all cores, in the items' order; the first error in that order ends it.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    what: &str,
    watch: &dyn Watch,
    work: impl Fn(&T) -> Result<R, DataError> + Sync,
) -> Result<Vec<R>, DataError> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<R, DataError>)>> =
        Mutex::new(Vec::with_capacity(items.len()));
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cores().min(items.len()) {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == 0 {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    if result.is_err() {
                        failed.store(1, Ordering::Relaxed);
                    }
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((index, result));
                    if !what.is_empty() {
                        watch.progress(what, results.len() as u64, items.len() as u64);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    read_bounded(&mut file, limit, &path.display().to_string())
}
