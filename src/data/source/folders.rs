//! Data of one's own: a folder a class, or pairs of idx files.
//!
//! Images may be JPEG, PNG or WebP of any size, grey or in colour, with alpha, 16-bit or turned by EXIF; they are resized
//! (with smoothing) to the size asked for and kept in the cache.

use std::fs;
use std::path::Path;

use super::LoadOptions;
use super::images::{Broken, Item, Part, Plan, sets, through_cache};
use crate::data::cache::Entry;
use crate::data::error::DataError;
use crate::data::format::compress::Unpacked;
use crate::data::format::picture::Resize;
use crate::data::format::{MAX_FILE_BYTES, idx, npz};
use crate::data::image_set::{Dataset, ImageSet, ImageShape};
use crate::data::tree::{self, Listing, Tree, Use};

/// How class folders become a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFolders {
    /// Name of the data set.
    pub name: String,
    /// Names of the folders, in the order of the classes.
    pub classes: Vec<String>,
    /// Every image is resized to it; 1 or 3 channels.
    pub shape: ImageShape,
    /// Share of each class's images that is the test set, evenly spaced in the order of their names. `None` where the
    /// class folders lie in `train/` and `test/`.
    pub test_share: Option<f64>,
}

/// Whether the class folders lie in `train/` and `test/`.
fn is_split(root: &Path) -> bool {
    root.join("train").is_dir() && root.join("test").is_dir()
}

/// The names of the class folders, sorted, and whether they lie in `train/` and `test/` below `root`.
///
/// # Errors
///
/// [`DataError::Io`]; [`DataError::NoImages`] without a folder.
pub fn class_folders(root: &Path) -> Result<(Vec<String>, bool), DataError> {
    let split = is_split(root);
    let folder = if split {
        root.join("train")
    } else {
        root.to_path_buf()
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(DataError::io("list", &folder))? {
        let entry = entry.map_err(DataError::io("list", &folder))?;
        let name = entry.file_name();
        if let Some(name) = name
            .to_str()
            .filter(|name| !name.starts_with('.') && entry.path().is_dir())
        {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(DataError::NoImages {
            what: format!("{} (no class folders)", folder.display()),
        });
    }
    names.sort_unstable();
    Ok((names, split))
}

fn is_image(path: &str) -> bool {
    let ending = Path::new(path)
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    ["png", "jpg", "jpeg", "webp"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

fn usage(path: &str) -> Use {
    if is_image(path) {
        Use::Image
    } else {
        Use::Ignored
    }
}

/// Loads class folders below `root`.
///
/// # Errors
///
/// [`DataError::Picture`] for a file that is no image, [`DataError::NoImages`], [`DataError::Io`].
pub fn load_folders(
    root: &Path,
    spec: &ClassFolders,
    options: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    let tree = Tree::Folder(root.to_path_buf());
    let entry = match options.cache {
        Some(cache) => {
            let (content, _) = tree.sha256(&usage, options.watch)?;
            let how = format!(
                "folders {} {:?} {:?}",
                spec.shape, spec.classes, spec.test_share
            );
            Some(Entry::new(cache, &spec.name, &content, &how))
        }
        None => None,
    };
    through_cache(entry.as_ref(), options.watch, || {
        let plan = plan(&tree.list(&usage)?, spec);
        let (train, test, notes) = sets(&tree, plan, options.watch)?;
        Dataset::new(
            &*spec.name,
            train,
            test,
            (!notes.is_empty()).then(|| notes.join("; ")),
        )
    })
}

fn plan(listing: &Listing, spec: &ClassFolders) -> Plan {
    let mut items = Vec::new();
    let mut seen = vec![0_usize; spec.classes.len()];
    for path in &listing.images {
        let mut parts = path.split('/');
        let first = parts.next();
        let (part, class) = match (spec.test_share, first) {
            (None, Some("train")) => (Some(Part::Train), parts.next()),
            (None, Some("test")) => (Some(Part::Test), parts.next()),
            (None, _) => continue,
            (Some(_), class) => (None, class),
        };
        // A file that lies beside the class folders has no class.
        let class = class.filter(|_| parts.next().is_some());
        let Some(label) =
            class.and_then(|class| spec.classes.iter().position(|known| known == class))
        else {
            continue;
        };
        let part = part.unwrap_or_else(|| {
            let index = seen.get(label).copied().unwrap_or(0) as f64;
            let share = spec.test_share.unwrap_or(0.0);
            let is_test = ((index + 1.0) * share).floor() > (index * share).floor();
            if is_test { Part::Test } else { Part::Train }
        });
        if let Some(seen) = seen.get_mut(label) {
            *seen += 1;
        }
        items.push(Item {
            path: path.clone(),
            label: label as u16,
            part,
        });
    }
    Plan {
        items,
        shape: spec.shape,
        classes: spec.classes.len(),
        resize: Resize::Smooth,
        broken: Broken::Refused,
        notes: Vec::new(),
    }
}

/// A pair of idx files, plain or gzip or xz, as a set of `classes` classes.
///
/// # Errors
///
/// The errors of the parser, [`DataError::Io`].
pub fn load_idx(images: &Path, labels: &Path, classes: usize) -> Result<ImageSet, DataError> {
    let open = |path: &Path| {
        let file = fs::File::open(path).map_err(DataError::io("open", path))?;
        let name = path.display().to_string();
        let reader = Unpacked::new(file).map_err(DataError::unreadable(&name))?;
        Ok::<_, DataError>((reader, name))
    };
    let (mut reader, name) = open(images)?;
    let parsed = idx::read_images(&mut reader, &name)?;
    let (mut reader, name) = open(labels)?;
    let parsed_labels = idx::read_labels(&mut reader, &name)?;
    idx::image_set(parsed, &parsed_labels, classes, &name)
}

/// A `NumPy` archive with `x_train`, `y_train`, `x_test` and `y_test`, as sets of `classes` classes.
///
/// # Errors
///
/// The errors of the parser, [`DataError::Io`].
pub fn load_npz(path: &Path, classes: usize) -> Result<(ImageSet, ImageSet), DataError> {
    let (bytes, name) = (
        tree::read_file(path, MAX_FILE_BYTES)?,
        path.display().to_string(),
    );
    let set = |x, y| npz::read_images(&bytes, (x, y), classes, &name);
    Ok((set("x_train", "y_train")?, set("x_test", "y_test")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::watch::Silent;
    use image::{DynamicImage, GrayImage, RgbaImage};

    /// Three classes in mixed formats and sizes: grey PNG, colour JPEG, WebP with alpha, 16-bit PNG.
    fn make(root: &Path, split: bool) {
        for (class, shade) in [("ants", 20_u8), ("bees", 120), ("cats", 220)] {
            for index in 0..5_u32 {
                let half = match (split, index) {
                    (false, _) => "",
                    (true, 0..3) => "train/",
                    (true, _) => "test/",
                };
                let folder = root.join(format!("{half}{class}"));
                fs::create_dir_all(&folder).unwrap();
                let grey = DynamicImage::ImageLuma8(GrayImage::from_pixel(
                    7 + index,
                    9,
                    image::Luma([shade]),
                ));
                let path = |ending: &str| folder.join(format!("{index}.{ending}"));
                match index {
                    0 => grey.save(path("png")).unwrap(),
                    1 => grey.to_rgb8().save(path("JPG")).unwrap(),
                    2 => RgbaImage::from_pixel(4, 4, image::Rgba([shade, shade, shade, 9]))
                        .save(path("webp"))
                        .unwrap(),
                    3 => DynamicImage::ImageLuma16(grey.to_luma16())
                        .save(path("png"))
                        .unwrap(),
                    _ => grey.save(path("png")).unwrap(),
                }
            }
        }
        fs::write(root.join("README.txt"), "no image").unwrap();
    }

    #[test]
    fn mixed_formats_become_one_shape_and_come_from_the_cache_again() {
        for split in [true, false] {
            let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            make(root.path(), split);
            assert_eq!(
                class_folders(root.path()).unwrap(),
                (["ants", "bees", "cats"].map(str::to_owned).to_vec(), split)
            );
            let spec = ClassFolders {
                name: "insects".to_owned(),
                classes: class_folders(root.path()).unwrap().0,
                shape: ImageShape::new(3, 6, 5),
                test_share: (!split).then_some(0.4),
            };
            let options = LoadOptions {
                cache: Some(cache.path()),
                watch: &Silent,
            };
            let data = load_folders(root.path(), &spec, options).unwrap();
            assert_eq!(
                (data.train.class_counts(), data.test.class_counts()),
                (vec![3; 3], vec![2; 3])
            );
            for set in [&data.train, &data.test] {
                for (index, &label) in set.labels().iter().enumerate() {
                    let shade = [20_u8, 120, 220][usize::from(label)];
                    assert!(
                        set.image(index)
                            .unwrap()
                            .iter()
                            .all(|&x| x.abs_diff(shade) <= 2),
                        "{index}"
                    );
                }
            }
            assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
            assert_eq!(load_folders(root.path(), &spec, options).unwrap(), data);
            // One changed byte of one file is another data set.
            fs::write(
                root.path().join(if split {
                    "train/ants/0.png"
                } else {
                    "ants/0.png"
                }),
                "broken",
            )
            .unwrap();
            let error = load_folders(root.path(), &spec, options)
                .unwrap_err()
                .to_string();
            assert!(error.contains("0.png is no image"), "{error}");
        }
    }
}
