//! Benchmarks of one's own: a TOML file that says where images (or features of a network) are, how they become inputs and which classes make a task.
//!
//! Owns the file's keys and what they mean. A run's identity holds the checksum of the definition (of its meaning: not of
//! comments or order), and its result the checksum of the images. `docs/own-data.md` describes the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::data::combine::{combine, select_classes};
use crate::data::image_set::hex;
use crate::data::source::folders::{
    ClassFolders, Found, class_folders, load_folders, load_idx, load_npz,
};
use crate::data::{self, DataError, DataName, Dataset, ImageShape, LoadOptions};
use crate::model::{LINEAR, MLP, ModelSpec};
use crate::settings::{Named as _, SettingError, find};
use crate::stream::Scaling;
use tasks::{Dealt, Tasks};

mod features;
mod tasks;

/// Why a definition cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("benchmark file {}: {problem}", path.display())]
pub struct CustomError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl From<CustomError> for SettingError {
    fn from(error: CustomError) -> Self {
        Self::Subject(error.to_string())
    }
}

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<Images>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    features: Option<Features>,
    source: Vec<Source>,
    tasks: Tasks,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    channels: usize,
    height: usize,
    width: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scaling: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    std: Option<Vec<f32>>,
}

/// Vectors that a network gave, in the place of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Features {
    width: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: String,
    /// `folders`, `idx`, `npz`, `features` or a known data set.
    format: String,
    path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test_share: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_count: Option<usize>,
    /// idx: `{train,test}-{images,labels}` files below `path`, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<[PathBuf; 4]>,
    /// features: the file with the test half, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test_path: Option<PathBuf>,
    /// features: names of the arrays, training features and labels, test features and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrays: Option<[String; 4]>,
    /// features: the labels of the classes, where they are not 0, 1, 2, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_labels: Option<Vec<i64>>,
}

/// How bytes become inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CustomScaling {
    /// `[0, 1]`.
    Unit,
    /// `[−1, 1]`.
    Signed,
    /// `(x/255 − mean) / std` by channel.
    Normalised {
        /// Of each channel, with bytes as 0 to 1.
        mean: Vec<f32>,
        /// Of each channel.
        std: Vec<f32>,
    },
    /// Features: floats that are inputs as they are.
    AsTheyAre,
}

/// What a run's configuration holds of a definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomBenchmark {
    /// Its name, part of run ids.
    pub name: String,
    /// SHA-256 of the definition.
    pub definition_sha256: String,
    /// Classes of all tasks.
    pub classes: usize,
    /// Channels, height and width of the images.
    pub shape: [usize; 3],
    /// How bytes become inputs.
    pub scaling: CustomScaling,
    /// Number of tasks unless told otherwise.
    pub tasks: usize,
    /// Whether the file says which classes make a task, so that their number is fixed.
    pub tasks_are_fixed: bool,
    /// Classes of each task, where they are not equally many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_sizes: Vec<usize>,
    /// Network unless told otherwise.
    pub model: &'static ModelSpec,
    /// The file; where it lies is no part of what it is.
    #[serde(skip)]
    pub path: PathBuf,
}

impl PartialEq for CustomBenchmark {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            definition_sha256,
            classes,
            shape,
            scaling,
            tasks,
            tasks_are_fixed,
            task_sizes,
            model,
            path: _,
        } = self;
        (name, definition_sha256, classes, shape)
            == (
                &other.name,
                &other.definition_sha256,
                &other.classes,
                &other.shape,
            )
            && (scaling, tasks, tasks_are_fixed, task_sizes, model)
                == (
                    &other.scaling,
                    &other.tasks,
                    &other.tasks_are_fixed,
                    &other.task_sizes,
                    &other.model,
                )
    }
}

/// A definition with what it means.
struct Resolved {
    definition: Definition,
    /// Names of each source's classes.
    classes: Vec<Vec<String>>,
    /// Which classes make which task.
    dealt: Dealt,
}

impl CustomBenchmark {
    /// Reads a definition; of the data only the names of class folders are looked at.
    ///
    /// # Errors
    ///
    /// [`CustomError`] naming the key.
    pub fn read(path: &Path) -> Result<Self, CustomError> {
        let wrong = |problem: String| CustomError {
            path: path.to_path_buf(),
            problem,
        };
        let path = path
            .canonicalize()
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let resolved = resolve(&path).map_err(wrong)?;
        let Definition { name, model, .. } = &resolved.definition;
        let shape = resolved.definition.shape();
        let model = match model {
            Some(model) => find(model).ok_or_else(|| {
                let known: Vec<_> = ModelSpec::all().iter().map(|m| m.name).collect();
                wrong(format!(
                    "unknown model `{model}`; known: {}",
                    known.join(", ")
                ))
            })?,
            None if resolved.definition.features.is_some() => &LINEAR,
            None => &MLP,
        };
        Ok(Self {
            name: name.clone(),
            definition_sha256: resolved.sha256(),
            classes: resolved.dealt.order.len(),
            shape,
            scaling: resolved.definition.scaling().map_err(wrong)?,
            tasks: resolved.dealt.tasks,
            tasks_are_fixed: resolved.dealt.fixed,
            task_sizes: resolved.dealt.uneven().to_vec(),
            model,
            path,
        })
    }

    /// Shape of the images.
    #[must_use]
    pub fn image_shape(&self) -> ImageShape {
        let [channels, height, width] = self.shape;
        ImageShape::new(channels, height, width)
    }

    /// Classes of each task, where they are not equally many.
    #[must_use]
    pub fn sizes(&self) -> Option<Arc<[usize]>> {
        (!self.task_sizes.is_empty()).then(|| self.task_sizes.as_slice().into())
    }

    /// Whether its examples are features that a network gave, not images.
    #[must_use]
    pub fn has_features(&self) -> bool {
        self.scaling == CustomScaling::AsTheyAre
    }

    /// How bytes become inputs; features are inputs whatever it is.
    #[must_use]
    pub fn scaling(&self) -> Scaling {
        match &self.scaling {
            CustomScaling::Unit | CustomScaling::AsTheyAre => Scaling::Unit,
            CustomScaling::Signed => Scaling::Signed,
            CustomScaling::Normalised { mean, std } => {
                let of = |values: &[f32], c: usize| {
                    values.get(c).or(values.last()).copied().unwrap_or(0.0)
                };
                Scaling::Affine {
                    scale: std::array::from_fn(|c| 1.0 / (255.0 * of(std, c))),
                    shift: std::array::from_fn(|c| -of(mean, c) / of(std, c)),
                }
            }
        }
    }

    /// Loads the images; class c of the result is the c-th class of the tasks in their order.
    ///
    /// # Errors
    ///
    /// [`DataError::Custom`] if the file has another meaning by now, and every error of the sources.
    pub fn load(&self, options: LoadOptions<'_>) -> Result<Dataset, DataError> {
        let wrong = |problem| DataError::Custom {
            path: self.path.clone(),
            problem,
        };
        let resolved = resolve(&self.path).map_err(wrong)?;
        if resolved.sha256() != self.definition_sha256 {
            return Err(wrong(
                "it was changed since the run was planned; start again".to_owned(),
            ));
        }
        let shape = self.image_shape();
        let root = self.path.parent().unwrap_or(Path::new("."));
        let sources = resolved.definition.source.iter().zip(&resolved.classes);
        let parts = sources.map(|(source, classes)| source.load(root, classes, shape, options));
        select_classes(combine(&self.name, shape, parts)?, &resolved.dealt.order)
    }
}

impl Resolved {
    fn sha256(&self) -> String {
        let text = serde_json::json!({"definition": self.definition, "classes": self.classes});
        hex(&Sha256::digest(text.to_string()))
    }
}

impl Definition {
    /// Channels, height and width of an example.
    fn shape(&self) -> [usize; 3] {
        let features = self.features.map(|features| [1, 1, features.width]);
        let images = self.images.as_ref();
        let images = images.map(|images| [images.channels, images.height, images.width]);
        features.or(images).unwrap_or_default()
    }

    fn scaling(&self) -> Result<CustomScaling, String> {
        match (&self.images, &self.features) {
            (Some(images), None) => images.scaling(),
            (None, Some(_)) => Ok(CustomScaling::AsTheyAre),
            (Some(_), Some(_)) => Err(
                "there are [images] and [features]: a benchmark is of one or the other".to_owned(),
            ),
            (None, None) => Err(
                "there must be [images] with channels, height and width, or [features] with width"
                    .to_owned(),
            ),
        }
    }

    /// Refuses sizes out of range, and sources of the other kind of example.
    fn check_examples(&self) -> Result<(), String> {
        if let Some(images) = &self.images
            && (!matches!(images.channels, 1 | 3)
                || ![images.height, images.width]
                    .iter()
                    .all(|side| (1..=1024).contains(side)))
        {
            return Err(
                "images.channels must be 1 or 3, images.height and images.width 1 to 1024"
                    .to_owned(),
            );
        }
        if let Some(Features { width }) = self.features
            && !(1..=features::MAX_WIDTH).contains(&width)
        {
            return Err(format!(
                "features.width = {width} must be 1 to {}",
                features::MAX_WIDTH
            ));
        }
        self.scaling()?;
        let mut sources = self.source.iter();
        let other =
            sources.find(|source| (source.format == features::FORMAT) != self.features.is_some());
        match other {
            Some(source) if self.features.is_some() => Err(format!(
                "source {}: format = \"{}\" gives images, and the benchmark is of [features]: use format = \"features\", or \
                 [images] in its place",
                source.name, source.format
            )),
            Some(source) => Err(format!(
                "source {}: format = \"features\" needs [features] with width in the place of [images]",
                source.name
            )),
            None => Ok(()),
        }
    }
}

impl Images {
    fn scaling(&self) -> Result<CustomScaling, String> {
        match (self.scaling.as_deref(), &self.mean, &self.std) {
            (None | Some("unit"), None, None) => Ok(CustomScaling::Unit),
            (Some("signed"), None, None) => Ok(CustomScaling::Signed),
            (None, Some(mean), Some(std)) => {
                check_normalisation(mean, std, self.channels)?;
                Ok(CustomScaling::Normalised { mean: mean.clone(), std: std.clone() })
            }
            _ => Err("images.scaling must be \"unit\" or \"signed\", or images.mean and images.std given without it".to_owned()),
        }
    }
}

/// Refuses what cannot be the mean and standard deviation of values from 0 to 1: networks learn badly or not at all from
/// inputs so far from 0.
fn check_normalisation(mean: &[f32], std: &[f32], channels: usize) -> Result<(), String> {
    let right = |values: &[f32]| values.len() == channels && values.iter().all(|x| x.is_finite());
    if !right(mean) || !right(std) || !std.iter().all(|&x| x > 0.0) {
        return Err(
            "images.mean and images.std must be one number a channel, std above 0".to_owned(),
        );
    }
    let outside = |values: &[f32]| values.iter().any(|&x| !(0.0..=1.0).contains(&x));
    // A standard deviation of values from 0 to 1 is at most a half; 1 leaves the scale as it is.
    if outside(mean) || outside(std) {
        let divided = |values: &[f32]| {
            let texts: Vec<_> = values.iter().map(|x| format!("{:.4}", x / 255.0)).collect();
            texts.join(", ")
        };
        let bytes = |values: &[f32]| values.iter().all(|&x| (0.0..=255.0).contains(&x));
        let remedy = if bytes(mean) && bytes(std) {
            format!(
                "; where they are of bytes from 0 to 255, divide them by 255: mean = [{}], std = [{}]",
                divided(mean),
                divided(std)
            )
        } else {
            String::new()
        };
        return Err(format!(
            "images.mean = {mean:?} and images.std = {std:?} must be from 0 to 1, of values from 0 to 1{remedy}"
        ));
    }
    // Less than one step between bytes: inputs would reach beyond 255.
    if let Some(small) = std.iter().find(|&&x| x < 1.0 / 255.0) {
        return Err(format!(
            "images.std has {small}, less than the step between two bytes (1/255 = 0.0039): it must be of values from 0 \
             to 1, and was perhaps divided by 255 twice"
        ));
    }
    Ok(())
}

impl Source {
    /// Names of the classes beside their numbers, where the data set has some.
    fn known_names(&self) -> Vec<String> {
        match self.format.parse::<DataName>() {
            Ok(data) => data.class_names(),
            Err(_) => Vec::new(),
        }
    }

    /// Names of the classes.
    fn class_names(&self, root: &Path) -> Result<Vec<String>, String> {
        let only = |key: &str, is_set: bool, format: &str| {
            if is_set && self.format != format {
                return Err(format!(
                    "source {}: {key} is only for format = \"{format}\"; leave it out",
                    self.name
                ));
            }
            Ok(())
        };
        only("test_share", self.test_share.is_some(), "folders")?;
        only("files", self.files.is_some(), "idx")?;
        only("test_path", self.test_path.is_some(), features::FORMAT)?;
        only("arrays", self.arrays.is_some(), features::FORMAT)?;
        only(
            "class_labels",
            self.class_labels.is_some(),
            features::FORMAT,
        )?;
        if self.format == features::FORMAT {
            return features::labels(self).map(|labels| features::class_names(&labels));
        }
        if self.class_count.is_some() && !["idx", "npz"].contains(&self.format.as_str()) {
            return Err(format!(
                "source {}: class_count is only for format = \"idx\", \"npz\" and \"features\"; leave it out",
                self.name
            ));
        }
        match (self.format.as_str(), self.class_count) {
            ("folders", _) => {
                let Found { classes, halves } = class_folders(&root.join(&self.path))
                    .map_err(|error| format!("source {}: {error}", self.name))?;
                match (self.test_share, halves) {
                    (Some(share), Some([train, test])) => Err(format!(
                        "source {}: test_share = {share} has no effect, the folder has {train} and {test}; leave it out",
                        self.name
                    )),
                    (None, None) => Err(format!(
                        "source {}: {} has no train and test folders, so test_share must be set, e.g. 0.2",
                        self.name,
                        self.path.display()
                    )),
                    (Some(share), None) if !(share > 0.0 && share < 1.0) => Err(format!(
                        "source {}: test_share = {share} must be between 0 and 1",
                        self.name
                    )),
                    _ => Ok(classes),
                }
            }
            ("idx", Some(count @ 1..=65_536)) if self.files.is_some() => {
                Ok((0..count).map(|c| c.to_string()).collect())
            }
            ("npz", Some(count @ 1..=65_536)) => Ok((0..count).map(|c| c.to_string()).collect()),
            ("npz", _) => Err(format!(
                "source {}: format = \"npz\" needs class_count (1 to 65536)",
                self.name
            )),
            ("idx", _) => Err(format!(
                "source {}: format = \"idx\" needs class_count (1 to 65536) and files = [train images, train labels, test \
                 images, test labels]",
                self.name
            )),
            (format, _) => {
                let name: DataName = format.parse().map_err(|error: DataError| {
                    format!(
                        "source {}: format must be folders, idx, npz, features or a known data set: {error}",
                        self.name
                    )
                })?;
                Ok((0..name.classes).map(|c| c.to_string()).collect())
            }
        }
    }

    fn load(
        &self,
        root: &Path,
        classes: &[String],
        shape: ImageShape,
        options: LoadOptions<'_>,
    ) -> Result<Dataset, DataError> {
        let path = root.join(&self.path);
        match (self.format.as_str(), &self.files) {
            ("folders", _) => {
                let spec = ClassFolders {
                    name: self.name.clone(),
                    classes: classes.to_vec(),
                    shape,
                    test_share: self.test_share,
                };
                load_folders(&path, &spec, options)
            }
            ("idx", Some([train, train_labels, test, test_labels])) => {
                let set = |images, labels| {
                    load_idx(&path.join(images), &path.join(labels), classes.len())
                };
                Dataset::new(
                    &*self.name,
                    set(train, train_labels)?,
                    set(test, test_labels)?,
                    None,
                )
            }
            ("npz", _) => {
                let (train, test) = load_npz(&path, classes.len())?;
                Dataset::new(&*self.name, train, test, None)
            }
            (features::FORMAT, _) => features::load(self, root, shape.width),
            (format, _) => {
                let mut dataset = data::load_with(format.parse()?, &path, options)?;
                // Its classes are `SOURCE/CLASS` as in `tasks.classes`.
                dataset.name.clone_from(&self.name);
                Ok(dataset)
            }
        }
    }
}

fn resolve(path: &Path) -> Result<Resolved, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let definition: Definition = toml::from_str(&text).map_err(|error| error.to_string())?;
    let Definition {
        name,
        source,
        tasks,
        ..
    } = &definition;
    let plain = |name: &str| {
        (1..=40).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    for name in std::iter::once(name).chain(source.iter().map(|source| &source.name)) {
        if !plain(name) {
            return Err(format!(
                "name `{name}` must be 1 to 40 lower-case letters, digits and hyphens"
            ));
        }
    }
    if source.is_empty() {
        return Err("there must be at least one [[source]]".to_owned());
    }
    definition.check_examples()?;
    let root = path.parent().unwrap_or(Path::new("."));
    let classes: Vec<Vec<String>> = source
        .iter()
        .map(|source| source.class_names(root))
        .collect::<Result<_, _>>()?;
    let dealt = tasks.deal(source, &classes)?;
    Ok(Resolved {
        definition,
        classes,
        dealt,
    })
}

#[cfg(test)]
mod tests;
