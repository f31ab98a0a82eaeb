//! Data sets by name: where one lies in a data folder, how to load, check and import it.
//!
//! One file a data set says what it is (a `Source`: names of files and archives, expected counts
//! and checksums, licence); `layout` finds and reads any of them. A data folder holds official
//! archives, or the folders they unpack to, or both; folders are preferred, because they need no
//! decompression.

mod cifar10;
mod cifar100;
mod cub;
mod fashion_mnist;
pub mod folders;
#[cfg(feature = "cli")]
mod get;
pub(crate) mod images;
mod import;
mod layout;
mod mini_imagenet;
mod mnist;
mod notmnist;
mod svhn;
mod verify;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

#[cfg(feature = "cli")]
pub use get::{Elsewhere, GetReport};
pub use import::ImportReport;
pub use layout::{Form, Located};
pub use verify::{FileReport, SetReport, VerifyReport};

use super::error::DataError;
use super::image_set::{Dataset, ImageShape};
use super::watch::{Silent, Watch};
use layout::Layout;

/// A data set that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataName {
    /// CIFAR-10: 10 classes of 32×32 colour images.
    Cifar10,
    /// CIFAR-100: 100 classes of 32×32 colour images.
    Cifar100,
    /// MNIST: handwritten digits, 28×28.
    Mnist,
    /// Fashion-MNIST: 10 kinds of clothing, 28×28.
    FashionMnist,
    /// notMNIST, the small set: letters A to J, 28×28.
    NotMnist,
    /// SVHN: street view house numbers, 32×32 in colour.
    Svhn,
    /// mini-ImageNet: 100 classes of 84×84 colour images.
    MiniImageNet,
    /// CUB-200-2011: 200 kinds of birds, photographs resized to 224×224.
    Cub,
}

impl DataName {
    /// All of them, in alphabetical order.
    pub const ALL: [Self; 8] = [
        Self::Cifar10,
        Self::Cifar100,
        Self::Cub,
        Self::FashionMnist,
        Self::MiniImageNet,
        Self::Mnist,
        Self::NotMnist,
        Self::Svhn,
    ];

    /// The name on the command line and in results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::NotMnist => "notmnist",
            Self::Svhn => "svhn",
            Self::MiniImageNet => "mini-imagenet",
            Self::Cub => "cub",
        }
    }

    /// One line: classes, counts, shape.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.source().description
    }

    /// Licence or terms of use.
    #[must_use]
    pub fn licence(self) -> &'static str {
        self.source().licence
    }

    /// Where it comes from: the page of its authors.
    #[must_use]
    pub fn homepage(self) -> &'static str {
        self.source().homepage
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(self) -> usize {
        self.source().classes
    }

    /// Shape of every image.
    #[must_use]
    pub fn shape(self) -> ImageShape {
        self.source().shape
    }

    /// Official number of training and of test images.
    #[must_use]
    pub fn counts(self) -> (usize, usize) {
        let source = self.source();
        (source.train, source.test)
    }

    fn source(self) -> &'static Source {
        match self {
            Self::Cifar10 => &cifar10::SOURCE,
            Self::Cifar100 => &cifar100::SOURCE,
            Self::Mnist => &mnist::SOURCE,
            Self::FashionMnist => &fashion_mnist::SOURCE,
            Self::NotMnist => &notmnist::SOURCE,
            Self::Svhn => &svhn::SOURCE,
            Self::MiniImageNet => &mini_imagenet::SOURCE,
            Self::Cub => &cub::SOURCE,
        }
    }
}

impl fmt::Display for DataName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Serialize for DataName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for DataName {
    type Err = DataError;

    /// Exactly one of the names that [`DataName`]'s `Display` gives.
    fn from_str(given: &str) -> Result<Self, DataError> {
        if let Some(name) = Self::ALL.into_iter().find(|name| name.as_str() == given) {
            return Ok(name);
        }
        // Case, blanks and underscores are no difference when looking for what was meant; 0.7 lets
        // one or two typing errors through.
        let plain = given.to_lowercase().replace(['_', ' '], "-");
        let nearest = Self::ALL
            .into_iter()
            .map(|name| (strsim::jaro_winkler(name.as_str(), &plain), name))
            .filter(|(similarity, _)| *similarity > 0.7)
            .max_by(|(first, _), (second, _)| first.total_cmp(second))
            .map(|(_, name)| name.to_string());
        Err(DataError::UnknownName {
            given: given.to_owned(),
            nearest,
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// What is known of a data set: constants, one value a file of this folder.
struct Source {
    name: DataName,
    description: &'static str,
    licence: &'static str,
    homepage: &'static str,
    /// Which file to get from there, completing "get ...".
    get: &'static str,
    shape: ImageShape,
    classes: usize,
    train: usize,
    test: usize,
    /// Forms it comes in, the preferred one first.
    layouts: &'static [Layout],
    /// SHA-256 of unpacked official files, by file name without `.gz`; only verified ones.
    checksums: &'static [(&'static str, &'static str)],
}

impl Source {
    /// Whether decoded images are kept on disk: where decoding takes longer than reading them back.
    fn is_cached(&self) -> bool {
        matches!(self.name, DataName::Cub | DataName::MiniImageNet)
    }
}

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
    /// Where it lies; `None` if it is absent or incomplete.
    pub located: Option<Located>,
    /// If it is not located: how to get it.
    pub advice: Option<String>,
}

/// Loads a data set from a data folder. Counts that differ from the official ones are no error,
/// but stand in the data set's note; [`verify()`] checks more.
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
    let source = name.source();
    let located = layout::locate(source, folder)?;
    let options = layout::ReadOptions {
        load,
        ..layout::ReadOptions::default()
    };
    layout::read(source, &located, options).map(|read| read.dataset)
}

/// Finds a data set in a data folder, by the names of its files; nothing is read.
///
/// # Errors
///
/// [`DataError::Missing`] with all files looked for.
pub fn locate(name: DataName, folder: &Path) -> Result<Located, DataError> {
    layout::locate(name.source(), folder)
}

/// The state of every known data set in a data folder, in the order of [`DataName::ALL`].
#[must_use]
pub fn status(folder: &Path) -> Vec<Status> {
    DataName::ALL
        .into_iter()
        .map(|name| {
            let source = name.source();
            let located = layout::locate(source, folder).ok();
            let advice = located.is_none().then(|| layout::advice(source));
            Status {
                name,
                description: source.description,
                licence: source.licence,
                located,
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
    let source = name.source();
    let located = layout::locate(source, folder)?;
    verify::verify(source, &located, None)
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
    import::import(name.source(), from, folder)
}

/// Downloads a data set into a data folder: from its official place, or from `from`. Nothing is done if it is there.
///
/// Files are checked before they get their names; a download that is cut is resumed by the next attempt.
///
/// # Errors
///
/// [`DataError::Download`] with what every address answered, [`DataError::Checksum`], [`DataError::NoDownload`] where
/// there is no address, [`DataError::NeedsChecksum`], and as [`import()`] with `from`.
#[cfg(feature = "cli")]
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
