//! Data sets by name: where one lies in a data folder, how to load, check and import it.
//!
//! One file a data set says what it is (a [`DataSpec`]: names of files and archives, expected counts
//! and checksums, licence) and stands with one line in [`DATA_SETS`]; `layout` finds and reads any of
//! them. A data folder holds official
//! archives, or the folders they unpack to, or both; folders are preferred, because they need no
//! decompression.

pub mod cifar10;
pub mod cifar100;
pub mod cub;
pub mod fashion_mnist;
pub mod folders;
#[cfg(feature = "fetch")]
mod get;
pub(crate) mod images;
mod import;
mod judge;
mod layout;
mod located;
pub mod mini_imagenet;
pub mod mnist;
pub mod notmnist;
mod official;
mod plan;
mod reading;
mod shuffle;
pub(super) mod spec;
pub mod svhn;
mod verify;

use std::path::Path;

use serde::Serialize;

#[cfg(feature = "fetch")]
pub use get::{Elsewhere, GetReport};
pub use import::ImportReport;
pub use located::{FileReport, Form, Located};
pub use official::Content;
pub use spec::{DataName, DataSpec, Sample};
pub use verify::{SetReport, VerifyReport};

use super::error::DataError;
use super::image_set::Dataset;
use super::watch::{Silent, Watch};

/// All data sets, in alphabetical order.
pub static DATA_SETS: &[DataName] = &[
    &cifar10::CIFAR10,
    &cifar100::CIFAR100,
    &cub::CUB,
    &fashion_mnist::FASHION_MNIST,
    &mini_imagenet::MINI_IMAGENET,
    &mnist::MNIST,
    &notmnist::NOTMNIST,
    &svhn::SVHN,
];

/// How to load.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// Folder in which decoded photographs are kept (data sets that need no decoding do not use it).
    pub cache: Option<&'a Path>,
    /// Told of progress.
    pub watch: &'a dyn Watch,
}

impl Default for LoadOptions<'_> {
    /// No cache, silent.
    fn default() -> Self {
        Self {
            cache: None,
            watch: &Silent,
        }
    }
}

/// A data set's state in a data folder.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Which data set.
    pub name: DataName,
    /// One line about it.
    pub description: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// Where it lies; `None` if it is absent or files of it are.
    pub located: Option<Located>,
    /// Where fewer images lie there than belong to it: how many at most, by names, lengths and headers of the files.
    /// `None` too for archives, which are not looked into.
    pub images_at_most: Option<u64>,
    /// If it is not located: how to get it.
    pub advice: Option<String>,
}

/// Loads a data set from a data folder. Images that are not the official ones, in content or number,
/// are no error, but stand in the data set's note.
///
/// # Errors
///
/// [`DataError::Missing`] if it is not there, and every error of the parsers.
pub fn load(name: DataName, folder: &Path) -> Result<Dataset, DataError> {
    load_with(name, folder, LoadOptions::default())
}

/// As [`load`], with a cache of decoded images and progress.
///
/// # Errors
///
/// As [`load`].
pub fn load_with(
    name: DataName,
    folder: &Path,
    load: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    let located = reading::locate(name, folder)?;
    let options = located::ReadOptions {
        load,
        ..located::ReadOptions::default()
    };
    reading::read(name, &located, options).map(|read| read.dataset)
}

/// Finds a data set in a data folder, by the names of its files; nothing is read.
///
/// # Errors
///
/// [`DataError::Missing`] with all files looked for.
pub fn locate(name: DataName, folder: &Path) -> Result<Located, DataError> {
    reading::locate(name, folder)
}

/// The state of every known data set in a data folder, in the order of [`DATA_SETS`].
#[must_use]
pub fn status(folder: &Path) -> Vec<Status> {
    DATA_SETS
        .iter()
        .map(|&name| {
            let located = reading::locate(name, folder).ok();
            let official = (name.train + name.test) as u64;
            let images = located.as_ref().and_then(reading::images_at_most);
            let advice = located.is_none().then(|| reading::advice(name));
            Status {
                name,
                description: name.description,
                licence: name.licence,
                located,
                images_at_most: images.filter(|&images| images < official),
                advice,
            }
        })
        .collect()
}

/// Reads a data set completely and compares it with what is known of the official one. Differences
/// are no error: they are the report's `problems`.
///
/// # Errors
///
/// As [`load`].
pub fn verify(name: DataName, folder: &Path) -> Result<VerifyReport, DataError> {
    let located = reading::locate(name, folder)?;
    verify::verify(name, &located, None)
}

/// Puts a data set that lies elsewhere into a data folder, as an unpacked folder.
///
/// `from` is an archive, the folder with the data files, a file in it, or a folder that contains
/// archive or folder. Files are written to a temporary folder in `folder` while they are parsed and
/// hashed; only if all of them are right is it renamed. The data folder is made if need be. If it
/// already holds the same images unpacked, nothing happens; an archive of them is unpacked beside
/// it, which makes later loads faster.
///
/// # Errors
///
/// [`DataError::NotRecognised`], the errors of the parsers, [`DataError::ImportRefused`] if counts
/// or checksums differ from the official ones, [`DataError::Exists`] if other data is in the way,
/// [`DataError::Io`].
pub fn import(name: DataName, from: &Path, folder: &Path) -> Result<ImportReport, DataError> {
    import::import(name, from, folder)
}

/// Downloads a data set into a data folder: from its official place, or from `from`. Nothing is done if it is there.
///
/// Files are checked before they get their names; a download that is cut is resumed by the next attempt.
///
/// # Errors
///
/// [`DataError::Download`] with what every address answered, [`DataError::Checksum`], [`DataError::NoDownload`] where
/// there is no address, [`DataError::NeedsChecksum`], and as [`import()`] with `from`.
#[cfg(feature = "fetch")]
pub fn get(
    name: DataName,
    folder: &Path,
    from: Option<Elsewhere<'_>>,
    options: &crate::data::fetch::FetchOptions<'_>,
) -> Result<GetReport, DataError> {
    get::get(name, folder, from, options)
}

#[cfg(test)]
mod tests;
