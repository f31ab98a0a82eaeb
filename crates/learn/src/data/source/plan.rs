//! What a tree of image files means: which file is which image of which class, and what is done with the rest.

use crate::data::error::DataError;
use crate::data::format::picture::Resize;
use crate::data::image_set::ImageShape;
use crate::data::tree::{Listing, Use};

/// Where an image belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Test,
    /// There is no official split: a tenth of all images, shuffled by `NumPy`'s generator at seed 0, is the test set.
    Pooled,
}

/// One image of a data set.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) path: String,
    pub(crate) label: u16,
    pub(crate) part: Part,
}

/// What is done with files that are no images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// They are left out and counted in the data set's note.
    Skipped,
    /// They are an error.
    Refused,
}

/// What a tree's files mean.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) items: Vec<Item>,
    pub(crate) shape: ImageShape,
    pub(crate) classes: usize,
    /// What each class is called.
    pub(crate) class_names: Vec<String>,
    pub(crate) resize: Resize,
    pub(crate) broken: Broken,
    /// What is short of the complete data set.
    pub(crate) notes: Vec<String>,
}

/// What a file is for, by its path.
type Usage = fn(&str) -> Use;
/// What the files of a listing mean.
type Planner = fn(&Listing) -> Result<Plan, DataError>;

/// How a data set of one file an image is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files {
    /// What cached images were made by; part of a cache entry's key.
    pub(super) how: &'static str,
    pub(super) usage: Usage,
    pub(super) plan: Planner,
}
