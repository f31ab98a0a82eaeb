//! A complete check of a data set against what is known of the official one.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::judge;
use super::located::{FileReport, Form, Located, ReadOptions};
use super::official::Content;
use super::reading;
use super::spec::DataName;
use crate::data::error::DataError;
use crate::data::image_set::ImageSet;

/// One half of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetReport {
    /// Number of images.
    pub images: usize,
    /// Number of images in the official data set.
    pub expected_images: usize,
    /// Images a class, `[classes]`.
    pub class_counts: Vec<usize>,
    /// Mean of each channel with pixels scaled to 0..=1.
    pub channel_means: Vec<f64>,
    /// [`ImageSet::sha256`].
    pub sha256: String,
}

/// What [`verify()`](super::verify()) found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Which data set.
    pub name: DataName,
    /// Unpacked or archive.
    pub form: Form,
    /// The folder or the archive.
    pub path: PathBuf,
    /// Every data file.
    pub files: Vec<FileReport>,
    /// The training set.
    pub train: SetReport,
    /// The test set.
    pub test: SetReport,
    /// [`Dataset::sha256`](crate::data::Dataset::sha256).
    pub sha256: String,
    /// What a reader of results must know of it, see [`Dataset::note`](crate::data::Dataset::note).
    pub note: Option<String>,
    /// Whether images and labels are the official ones.
    pub content: Content,
    /// What differs from the official data set; empty if all is well.
    pub problems: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Reads everything, and copies it unpacked to `copy_to` on the way if that is given.
pub(super) fn verify(
    source: DataName,
    located: &Located,
    copy_to: Option<&Path>,
) -> Result<VerifyReport, DataError> {
    let read = reading::read(
        source,
        located,
        ReadOptions {
            hash: true,
            copy_to,
            ..ReadOptions::default()
        },
    )?;
    let mut problems = Vec::new();
    let train = set_report("training", source.train, &read.dataset.train, &mut problems);
    let test = set_report("test", source.test, &read.dataset.test, &mut problems);
    let (content, others) = judge::judge(source, &read.dataset.train, &read.dataset.test);
    problems.extend(others);
    Ok(VerifyReport {
        name: source,
        form: located.form,
        path: located.path.clone(),
        files: read.files,
        train,
        test,
        sha256: read.dataset.sha256(),
        note: read.dataset.note,
        content,
        problems,
    })
}

fn set_report(
    half: &str,
    expected_images: usize,
    set: &ImageSet,
    problems: &mut Vec<String>,
) -> SetReport {
    let class_counts = set.class_counts();
    if set.len() != expected_images {
        problems.push(format!(
            "{} {half} images instead of {expected_images}",
            set.len()
        ));
    }
    let absent: Vec<_> = class_counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(class, _)| class.to_string())
        .collect();
    if !absent.is_empty() {
        problems.push(format!("no {half} images of class {}", absent.join(", ")));
    }
    SetReport {
        images: set.len(),
        expected_images,
        class_counts,
        channel_means: set.channel_means(),
        sha256: set.sha256(),
    }
}
