//! What the program knows of a data set: one value a data set, from which everything else is read.
//!
//! A data set is a file beside this one with a [`DataSpec`] in it, and a line in [`DATA_SETS`](super::DATA_SETS).
//! Nothing in the program asks which data set it has: lists, checks, downloads, caching, import and the documentation's
//! table all come from these fields.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::Serialize;

use super::DATA_SETS;
use super::layout::Layout;
use super::official::Official;
use crate::data::error::DataError;
use crate::data::image_set::{Dataset, ImageShape};

/// A data set that this program knows: its place in [`DATA_SETS`](super::DATA_SETS). Made from its name by `parse`.
pub type DataName = &'static DataSpec;

/// What is known of a data set. Two are the same if their names are.
#[derive(Debug)]
pub struct DataSpec {
    /// The name on the command line and in results.
    pub name: &'static str,
    /// One line: classes, counts, shape.
    pub description: &'static str,
    /// Licence or terms of use.
    pub licence: &'static str,
    /// Where it comes from: the page of its authors.
    pub homepage: &'static str,
    /// Which file to get from there, completing "get ...".
    pub(super) get: &'static str,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Number of classes.
    pub classes: usize,
    /// What the classes are called; empty where they have no names or the files say them.
    pub(super) class_names: &'static [&'static str],
    /// Official number of training images.
    pub train: usize,
    /// Official number of test images.
    pub test: usize,
    /// Forms it comes in, the preferred one first.
    pub(super) layouts: &'static [Layout],
    /// Checksums of the official images and labels, where the official data was at hand to compute them.
    pub(super) official: Option<Official>,
    /// Whether decoded images are kept on disk: where decoding takes longer than reading them back.
    pub(super) is_cached: bool,
    /// Official downloads; empty where no address serves the files without a person's consent.
    #[cfg_attr(
        not(feature = "cli"),
        allow(dead_code, reason = "only the program downloads")
    )]
    pub(super) remotes: &'static [Remote],
    /// The part of it that is compiled into the program.
    pub sample: Option<&'static Sample>,
}

/// A part of a data set that is compiled into the program.
#[derive(Debug)]
pub struct Sample {
    /// Its name, as it stands in results.
    pub name: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// Unpacks it.
    pub load: fn() -> Result<Dataset, DataError>,
}

/// How a downloaded file is known to be right.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "only the program downloads")
)]
pub(super) enum Known {
    /// The checksum that the authors or torchvision publish.
    Md5(&'static str),
    /// [`Dataset::sha256`] of the data set that is read from it.
    Images(&'static str),
}

/// One file that can be downloaded.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "cli"),
    allow(dead_code, reason = "only the program downloads")
)]
pub(super) struct Remote {
    /// Below the data folder.
    pub(super) path: &'static str,
    /// Each URL without the file's name, in the order in which they are tried.
    pub(super) mirrors: &'static [&'static str],
    pub(super) known: Known,
}

impl Remote {
    /// A file with a published MD5.
    pub(super) const fn md5(
        path: &'static str,
        mirrors: &'static [&'static str],
        md5: &'static str,
    ) -> Self {
        Self {
            path,
            mirrors,
            known: Known::Md5(md5),
        }
    }
}

impl DataSpec {
    /// Official numbers of training and of test images.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.train, self.test)
    }

    /// What the classes are called, `[classes]`, as far as it is known without the files.
    #[must_use]
    pub fn class_names(&self) -> Vec<String> {
        let name = |class: usize| self.class_names.get(class).map(|&name| name.to_owned());
        (0..self.classes)
            .map(|class| name(class).unwrap_or_else(|| class.to_string()))
            .collect()
    }
}

impl PartialEq for DataSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for DataSpec {}

impl Hash for DataSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name)
    }
}

impl Serialize for DataSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl FromStr for DataName {
    type Err = DataError;

    /// Exactly one of the names in [`DATA_SETS`].
    fn from_str(given: &str) -> Result<Self, DataError> {
        if let Some(data) = DATA_SETS.iter().copied().find(|data| data.name == given) {
            return Ok(data);
        }
        // Case, blanks and underscores are no difference when looking for what was meant; 0.7 lets
        // one or two typing errors through.
        let plain = given.to_lowercase().replace(['_', ' '], "-");
        let nearest = DATA_SETS
            .iter()
            .map(|data| (strsim::jaro_winkler(data.name, &plain), data.name))
            .filter(|(similarity, _)| *similarity > 0.7)
            .max_by(|(first, _), (second, _)| first.total_cmp(second))
            .map(|(_, name)| name.to_owned());
        let known: Vec<_> = DATA_SETS.iter().map(|data| data.name).collect();
        Err(DataError::UnknownName {
            given: given.to_owned(),
            nearest,
            known: known.join(", "),
        })
    }
}
