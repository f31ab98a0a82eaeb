//! `ImageSet` and `Dataset`: what every parser and source ends in.
//!
//! An image set keeps its pixels as the bytes they were in the file, in one vector, because a run
//! keeps the whole set in memory and a float copy would be four times as large. Features that a network gave are
//! floats from the beginning and stay what they are: a set of those is of shape 1×1×D, and no scaling touches it.
//! The constructors check everything once, so that no later layer needs to: fields are private, and a set is never
//! empty.

use std::fmt;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::DataError;
use values::Values;

mod values;

/// Size of every image of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ImageShape {
    /// Colour channels: 1 or 3 in the known data sets.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Shape from channels, height and width.
    #[must_use]
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            height,
            width,
        }
    }

    /// Bytes an image: `channels * height * width`; `None` if that overflows.
    #[must_use]
    pub const fn bytes(self) -> Option<usize> {
        match self.channels.checked_mul(self.height) {
            Some(product) => product.checked_mul(self.width),
            None => None,
        }
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}x{}x{}",
            self.channels, self.height, self.width
        )
    }
}

/// At least one example of one shape, with a label each: an image of bytes, or a vector of features.
///
/// # Shapes
///
/// `pixels` is `[N, C, H, W]` in row-major order, values 0 to 255; `features` is `[N, D]` with the shape 1×1×D;
/// `labels` is `[N]`, values below `classes`.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageSet {
    shape: ImageShape,
    values: Values,
    labels: Vec<u16>,
    classes: usize,
}

/// Without the pixels: they would fill the terminal.
impl fmt::Debug for ImageSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ImageSet")
            .field("shape", &self.shape)
            .field("len", &self.len())
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl ImageSet {
    /// A set from its parts; `pixels` is `[N, C, H, W]`, `labels` is `[N]`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoImages`] if there is no label or an image has no pixels,
    /// [`DataError::Mismatch`] if the number of pixels is not `N*C*H*W` or `classes` is outside
    /// 1 to 65,536, [`DataError::LabelOutOfRange`] if a label is not below `classes`.
    pub fn new(
        shape: ImageShape,
        pixels: Vec<u8>,
        labels: Vec<u16>,
        classes: usize,
    ) -> Result<Self, DataError> {
        Self::of_values(shape, Values::Pixels(pixels), labels, classes)
    }

    /// A set of vectors of features; `features` is `[N, width]`, `labels` is `[N]`.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and [`DataError::NotFinite`] for a feature that is infinite or no number.
    pub fn of_features(
        width: usize,
        features: Vec<f32>,
        labels: Vec<u16>,
        classes: usize,
    ) -> Result<Self, DataError> {
        if let Some(index) = features.iter().position(|x| !x.is_finite()) {
            return Err(DataError::NotFinite {
                what: "feature set".to_owned(),
                row: index / width.max(1),
                column: index % width.max(1),
                value: features.get(index).copied().unwrap_or(f32::NAN),
            });
        }
        let shape = ImageShape::new(1, 1, width);
        Self::of_values(shape, Values::Features(features), labels, classes)
    }

    fn of_values(
        shape: ImageShape,
        values: Values,
        labels: Vec<u16>,
        classes: usize,
    ) -> Result<Self, DataError> {
        let what = "image set";
        let count = match &values {
            Values::Pixels(all) => all.len(),
            Values::Features(all) => all.len(),
        };
        if labels.is_empty() || shape.bytes() == Some(0) {
            return Err(DataError::NoImages {
                what: what.to_owned(),
            });
        }
        let expected = shape
            .bytes()
            .and_then(|bytes| bytes.checked_mul(labels.len()));
        if expected != Some(count) {
            return Err(DataError::mismatch(
                what,
                "number of pixels",
                expected.map_or_else(
                    || format!("{} images of {shape}, which no memory holds", labels.len()),
                    |n| format!("{n} ({} images of {shape})", labels.len()),
                ),
                count.to_string(),
            ));
        }
        if !(1..=usize::from(u16::MAX) + 1).contains(&classes) {
            return Err(DataError::mismatch(
                what,
                "number of classes",
                "1 to 65536",
                classes.to_string(),
            ));
        }
        check_labels(what, labels.iter().map(|&label| i64::from(label)), classes)?;
        Ok(Self {
            shape,
            values,
            labels,
            classes,
        })
    }

    /// Shape of each image.
    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// All pixels, `[N, C, H, W]`; none of a set of features.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        match &self.values {
            Values::Pixels(all) => all,
            Values::Features(_) => &[],
        }
    }

    /// All features, `[N, D]`; `None` of a set of images.
    #[must_use]
    pub fn features(&self) -> Option<&[f32]> {
        match &self.values {
            Values::Pixels(_) => None,
            Values::Features(all) => Some(all),
        }
    }

    /// All labels, `[N]`, each below [`classes`](Self::classes).
    #[must_use]
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Number of classes, whether or not each occurs.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of images, at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: a set holds at least one image. Here because [`len`](Self::len) is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixels of image `index`, `[C, H, W]`; `None` past the end, and of a set of features.
    #[must_use]
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = self.place(index)?;
        self.pixels().get(start..end)
    }

    /// Features of example `index`, `[D]`; `None` past the end, and of a set of images.
    #[must_use]
    pub fn feature_row(&self, index: usize) -> Option<&[f32]> {
        let (start, end) = self.place(index)?;
        self.features()?.get(start..end)
    }

    /// Where the values of an example begin and end.
    fn place(&self, index: usize) -> Option<(usize, usize)> {
        let size = self.shape.bytes()?;
        let start = index.checked_mul(size)?;
        Some((start, start.checked_add(size)?))
    }

    /// The images at `indices`, in that order (an index may occur again); classes stay as they are.
    ///
    /// # Errors
    ///
    /// [`DataError::NoImages`] if `indices` is empty, [`DataError::IndexOutOfRange`] if one is not
    /// below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        if indices.is_empty() {
            return Err(DataError::NoImages {
                what: "selection".to_owned(),
            });
        }
        let mut values = self.no_values(indices.len());
        let mut labels = Vec::with_capacity(indices.len());
        for &index in indices {
            let Some(&label) = self.labels.get(index) else {
                return Err(DataError::IndexOutOfRange {
                    index,
                    len: self.len(),
                });
            };
            match &mut values {
                Values::Pixels(all) => {
                    all.extend_from_slice(self.image(index).unwrap_or_default());
                }
                Values::Features(all) => {
                    all.extend_from_slice(self.feature_row(index).unwrap_or_default());
                }
            }
            labels.push(label);
        }
        Ok(Self {
            shape: self.shape,
            values,
            labels,
            classes: self.classes,
        })
    }

    /// An empty vector of the set's kind, with room for so many examples.
    fn no_values(&self, examples: usize) -> Values {
        let room = self.shape.bytes().unwrap_or(0).saturating_mul(examples);
        match &self.values {
            Values::Pixels(_) => Values::Pixels(Vec::with_capacity(room)),
            Values::Features(_) => Values::Features(Vec::with_capacity(room)),
        }
    }

    /// The same examples with other labels, of so many classes.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn relabelled(self, labels: Vec<u16>, classes: usize) -> Result<Self, DataError> {
        Self::of_values(self.shape, self.values, labels, classes)
    }

    /// This set followed by `other`; `what` names `other` in the error.
    ///
    /// # Errors
    ///
    /// [`DataError::Mismatch`] if shape or number of classes differ, or one is of images and one of features.
    pub fn append(&mut self, other: &Self, what: &str) -> Result<(), DataError> {
        check_same(what, self, other)?;
        self.values.extend(&other.values);
        self.labels.extend_from_slice(&other.labels);
        Ok(())
    }

    /// Images a class, `[classes]`.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }

    /// Mean of each channel with pixels scaled to 0..=1, `[C]`, exact up to the last division; of features, which are not
    /// scaled, the one mean of all of them.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // sums stay far below 2^53
    pub fn channel_means(&self) -> Vec<f64> {
        if let Some(features) = self.features() {
            let sum: f64 = features.iter().map(|&x| f64::from(x)).sum();
            return vec![sum / features.len() as f64];
        }
        let plane = self.shape.height * self.shape.width;
        let mut sums = vec![0_u64; self.shape.channels];
        for image in self.pixels().chunks_exact(plane * self.shape.channels) {
            for (sum, channel) in sums.iter_mut().zip(image.chunks_exact(plane)) {
                *sum += channel.iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
            }
        }
        let count = (self.len() * plane) as f64 * 255.0;
        sums.into_iter().map(|sum| sum as f64 / count).collect()
    }

    /// SHA-256 in lower-case hexadecimal over shape, classes, pixels and labels.
    ///
    /// Hashed are the bytes `tagcl image set 1\n`, then C, H, W, classes and N as 64-bit
    /// little-endian numbers, then the pixels, then the labels as 16-bit little-endian numbers: a
    /// function of the data alone, whatever file it came from. Of features it is `tagcl feature set 1\n`, and 32-bit
    /// little-endian floats in the place of pixels.
    #[must_use]
    pub fn sha256(&self) -> String {
        let (_, kind) = self.values.kind();
        let mut hash = Sha256::new();
        hash.update(format!("tagcl {kind} set 1\n"));
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        for size in [channels, height, width, self.classes, self.len()] {
            hash.update((size as u64).to_le_bytes());
        }
        hash.update(self.values.bytes());
        for label in &self.labels {
            hash.update(label.to_le_bytes());
        }
        hex(&hash.finalize())
    }

    /// SHA-256 in lower-case hexadecimal over the images with their labels, in whatever order they are.
    ///
    /// Hashed are the bytes `tagcl image content 1\n`, then C, H, W, classes and N as 64-bit
    /// little-endian numbers, then, sorted, the SHA-256 of each image's pixels followed by its label
    /// as a 16-bit little-endian number. Of features as [`Self::sha256`].
    #[must_use]
    pub fn content_sha256(&self) -> String {
        let (width, kind) = self.values.kind();
        let size = self.shape.bytes().unwrap_or(0).max(1) * width;
        let bytes = self.values.bytes();
        let images = bytes.par_chunks_exact(size).zip(&self.labels);
        let one = |(image, label): (&[u8], &u16)| -> [u8; 32] {
            let mut hash = Sha256::new();
            hash.update(image);
            hash.update(label.to_le_bytes());
            hash.finalize().into()
        };
        let mut all: Vec<[u8; 32]> = images.map(one).collect();
        all.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(format!("tagcl {kind} content 1\n"));
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        for size in [channels, height, width, self.classes, self.len()] {
            hash.update((size as u64).to_le_bytes());
        }
        for digest in &all {
            hash.update(digest);
        }
        hex(&hash.finalize())
    }
}

/// Sets one after another as one, whose classes follow each other.
#[derive(Default)]
pub(crate) struct Joined {
    values: Option<Values>,
    labels: Vec<u16>,
}

impl Joined {
    /// Adds a set; its first class becomes class `offset`. `name` and `part` are what the whole and the part are called.
    ///
    /// # Errors
    ///
    /// [`DataError::Mismatch`] for images after features or the other way round, and beyond 65,536 classes.
    pub(crate) fn push(
        &mut self,
        set: &ImageSet,
        offset: usize,
        (name, part): (&str, &str),
    ) -> Result<(), DataError> {
        let values = self.values.get_or_insert_with(|| set.no_values(set.len()));
        if !values.extend(&set.values) {
            return Err(DataError::mismatch(
                part,
                "kind of examples",
                format!("{}s", values.kind().1),
                format!("{}s", set.values.kind().1),
            ));
        }
        for &label in set.labels() {
            let label = u16::try_from(offset + usize::from(label)).map_err(|_| {
                DataError::mismatch(name, "number of classes", "1 to 65536", "more")
            })?;
            self.labels.push(label);
        }
        Ok(())
    }

    /// The whole, of this shape and so many classes.
    ///
    /// # Errors
    ///
    /// As [`ImageSet::new`].
    pub(crate) fn finish(self, shape: ImageShape, classes: usize) -> Result<ImageSet, DataError> {
        let values = self.values.unwrap_or(Values::Pixels(Vec::new()));
        ImageSet::of_values(shape, values, self.labels, classes)
    }
}

/// A training set and a test set of the same shape and classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The data set's name, as on the command line.
    pub name: String,
    /// Training images.
    pub train: ImageSet,
    /// Test images.
    pub test: ImageSet,
    /// What a reader of any result must know of the data: that it is a sample, or incomplete.
    pub note: Option<String>,
    /// What each class is called, `[classes]`; its number where it has no name.
    pub class_names: Vec<String>,
}

impl Dataset {
    /// A data set from its halves; classes are called by their numbers.
    ///
    /// # Errors
    ///
    /// [`DataError::Mismatch`] if shape or number of classes differ between them.
    pub fn new(
        name: impl Into<String>,
        train: ImageSet,
        test: ImageSet,
        note: Option<String>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        check_same(&format!("test set of {name}"), &train, &test)?;
        let class_names = (0..train.classes())
            .map(|class| class.to_string())
            .collect();
        Ok(Self {
            name,
            train,
            test,
            note,
            class_names,
        })
    }

    /// The same data set with names for its classes.
    ///
    /// # Errors
    ///
    /// [`DataError::Mismatch`] if there is not one for every class.
    pub fn with_class_names(mut self, names: Vec<String>) -> Result<Self, DataError> {
        if names.len() != self.train.classes() {
            return Err(DataError::mismatch(
                &self.name,
                "number of class names",
                self.train.classes().to_string(),
                names.len().to_string(),
            ));
        }
        self.class_names = names;
        Ok(self)
    }

    /// SHA-256 in lower-case hexadecimal over both halves: over `tagcl dataset 1\n` and the two
    /// hexadecimal [`ImageSet::sha256`], train first. Names and note do not enter.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"tagcl dataset 1\n");
        let (train, test) = checksums(&self.train, &self.test);
        hash.update(train);
        hash.update(test);
        hex(&hash.finalize())
    }
}

fn check_same(what: &str, first: &ImageSet, second: &ImageSet) -> Result<(), DataError> {
    let kinds = [first, second].map(|set| set.values.kind().1);
    if kinds[0] != kinds[1] {
        let [expected, found] = kinds.map(|kind| format!("{kind}s"));
        return Err(DataError::mismatch(
            what,
            "kind of examples",
            expected,
            found,
        ));
    }
    if first.shape != second.shape {
        return Err(DataError::mismatch(
            what,
            "image shape",
            first.shape.to_string(),
            second.shape.to_string(),
        ));
    }
    if first.classes != second.classes {
        return Err(DataError::mismatch(
            what,
            "number of classes",
            first.classes.to_string(),
            second.classes.to_string(),
        ));
    }
    Ok(())
}

/// The first label outside `0..classes`, as an error that names it.
pub(crate) fn check_labels(
    what: &str,
    labels: impl Iterator<Item = i64>,
    classes: usize,
) -> Result<(), DataError> {
    for (index, value) in labels.enumerate() {
        if usize::try_from(value).map_or(true, |label| label >= classes) {
            return Err(DataError::LabelOutOfRange {
                what: what.to_owned(),
                index,
                value,
                limit: classes,
            });
        }
    }
    Ok(())
}

/// Both checksums, on two threads: of 1.8 GB they take seconds.
pub(crate) fn checksums(train: &ImageSet, test: &ImageSet) -> (String, String) {
    rayon::join(|| train.sha256(), || test.sha256())
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .collect()
}

#[cfg(test)]
mod tests;
