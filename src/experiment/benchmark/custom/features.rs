//! Sources of features: files of vectors that a network gave.
//!
//! Owns the keys of such a source and how its two halves are read: out of one file, or out of one each.

use super::Source;
use crate::data::format::features::Labels;
use crate::data::source::folders::load_features;
use crate::data::{DataError, Dataset};

use std::path::Path;

/// The source's `format`.
pub(super) const FORMAT: &str = "features";
/// Most features of an example.
pub(super) const MAX_WIDTH: usize = 65_536;

/// Arrays of a file unless told otherwise.
const ARRAYS: [&str; 4] = [
    "train_features",
    "train_labels",
    "test_features",
    "test_labels",
];

/// The classes, by their labels.
pub(super) fn class_names(labels: &Labels) -> Vec<String> {
    match labels {
        Labels::Below(count) => (0..*count).map(|class| class.to_string()).collect(),
        Labels::Named(labels) => labels.iter().map(ToString::to_string).collect(),
    }
}

/// The labels that stand in the source's files, in the order of the classes.
///
/// # Errors
/// What is wrong with the keys.
pub(super) fn labels(source: &Source) -> Result<Labels, String> {
    let wrong = |problem: String| Err(format!("source {}: {problem}", source.name));
    match (source.class_count, &source.class_labels) {
        (Some(count @ 1..=65_536), None) => Ok(Labels::Below(count)),
        (None, Some(labels)) => {
            let mut sorted = labels.clone();
            sorted.sort_unstable();
            let twice = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a == b);
            if let Some((twice, _)) = twice {
                return wrong(format!("class_labels names {twice} twice"));
            }
            if !(1..=65_536).contains(&labels.len()) {
                return wrong("class_labels must name 1 to 65536 labels".to_owned());
            }
            Ok(Labels::Named(labels.clone()))
        }
        (Some(_), Some(_)) => wrong(
            "class_count is for labels 0, 1, 2, ..., class_labels names others: leave one out"
                .to_owned(),
        ),
        _ => wrong(
            "format = \"features\" needs class_count (1 to 65536), or class_labels = [...] where labels are not 0, 1, 2, ..."
                .to_owned(),
        ),
    }
}

/// Both halves, of vectors of this width.
///
/// # Errors
/// The errors of the parser, [`DataError::Io`].
pub(super) fn load(source: &Source, root: &Path, width: usize) -> Result<Dataset, DataError> {
    let path = root.join(&source.path);
    let labels = labels(source).map_err(|problem| DataError::Custom {
        path: path.clone(),
        problem,
    })?;
    let names = source.arrays.as_ref();
    let names = names.map(|names| names.each_ref().map(String::as_str));
    let test_path = source.test_path.as_ref().map(|path| root.join(path));
    let (train, test) = load_features(
        (&path, test_path.as_deref()),
        names.unwrap_or(ARRAYS),
        width,
        &labels,
    )?;
    Dataset::new(&*source.name, train, test, None)?.with_class_names(class_names(&labels))
}
