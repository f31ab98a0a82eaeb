//! Data of one's own: a folder a class, or pairs of idx files.
//!
//! Images may be JPEG, PNG or WebP of any size, grey or in colour, with alpha, 16-bit or turned by EXIF; they are resized
//! (with smoothing) to the size asked for and kept in the cache. No image is passed over in silence: what is not read is
//! counted in the data set's note, and what makes the folders ambiguous is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::LoadOptions;
use super::images::{sets, through_cache};
use super::plan::{Broken, Item, Part, Plan};
use crate::data::cache::Entry;
use crate::data::error::DataError;
use crate::data::format::compress::Unpacked;
use crate::data::format::features::{Labels, read_features};
use crate::data::format::picture::Resize;
use crate::data::format::{MAX_FILE_BYTES, idx, npz};
use crate::data::image_set::{Dataset, ImageSet, ImageShape};
use crate::data::tree::{self, Listing, Tree, Use};
use crate::data::walk::{self, Kind, Problems, some_of};

/// Endings of the images that are read, in any case.
const READ: [&str; 6] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp"];
/// Endings of images that are not.
const UNREAD: [&str; 17] = [
    "gif", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "tga", "ico", "jp2", "heic",
    "heif", "avif", "jxl", "svg",
];
/// What the folder for training may be called, in any case.
const TRAINING: &[&str] = &["train", "training"];
/// What the folder for testing may be called.
const TESTING: &[&str] = &["test", "testing"];
/// And this where there is none of those.
const VALIDATION: &[&str] = &["val", "valid", "validation"];

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
    /// class folders lie in two, for training and for testing.
    pub test_share: Option<f64>,
}

/// Where the class folders lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// The folders for training and for testing, where the class folders lie in two.
    pub halves: Option<[String; 2]>,
}

fn ending(path: &str) -> Option<String> {
    let ending = Path::new(path).extension()?;
    Some(ending.to_str()?.to_ascii_lowercase())
}

fn is_image(path: &str) -> bool {
    ending(path).is_some_and(|ending| READ.contains(&&*ending))
}

fn usage(path: &str) -> Use {
    if is_image(path) {
        Use::Image
    } else {
        Use::Ignored
    }
}

/// The folders in a folder, and whether an image lies directly in it.
fn subfolders(folder: &Path) -> Result<(Vec<String>, bool), DataError> {
    let (mut names, mut images) = (Vec::new(), false);
    let mut problems = Problems::default();
    for entry in walk::entries(folder)? {
        if walk::is_leftover(&entry.name) {
            continue;
        }
        match entry.kind {
            Kind::Folder if entry.is_utf8 => names.push(entry.name),
            Kind::Folder => problems.names.push(entry.name),
            Kind::Lost if !entry.name.contains('.') => problems.lost.push(entry.name),
            _ => images |= is_image(&entry.name),
        }
    }
    problems.check(folder)?;
    Ok((names, images))
}

/// The class folders below `root`: in it, or in its folders for training and for testing (`train` or `training`;
/// `test` or `testing`, or without them `val`, `valid` or `validation`; in any case).
///
/// # Errors
///
/// [`DataError::Unfit`] without a folder, for halves that are not two or have other classes each, and for links and
/// names that cannot be followed; [`DataError::Io`].
pub fn class_folders(root: &Path) -> Result<Found, DataError> {
    let unfit = |problem: String, remedy: &str| {
        DataError::unfit(root.display().to_string(), problem, remedy)
    };
    let (top, _) = subfolders(root)?;
    if top.is_empty() {
        let problem = "it holds no class folders".to_owned();
        return Err(unfit(
            problem,
            "put the images of each class into a folder of the class's name",
        ));
    }
    // By what it may be called: folders of class folders, and folders of images.
    let (mut halves, mut flat) = ([const { Vec::new() }; 3], Vec::new());
    for name in &top {
        let lower = name.to_lowercase();
        let kind = [TRAINING, TESTING, VALIDATION]
            .iter()
            .position(|names| names.contains(&&*lower));
        let Some(kind) = kind else { continue };
        match subfolders(&root.join(name))? {
            (below, false) if !below.is_empty() => {
                if let Some(half) = halves.get_mut(kind) {
                    half.push(name.clone());
                }
            }
            (below, true) if !below.is_empty() => {
                let problem = format!(
                    "{name} holds images as well as folders, so that it could be a class or a half"
                );
                return Err(unfit(
                    problem,
                    "move the images into class folders, or rename it",
                ));
            }
            _ => flat.push((kind, name.clone())),
        }
    }
    let [training, testing, validation] = halves;
    if training.is_empty() && testing.is_empty() && validation.is_empty() {
        // "train" may be a class beside "bus"; beside "val" it is a half whose images have no class.
        if flat.iter().any(|(kind, _)| *kind == 0) && flat.iter().any(|(kind, _)| *kind > 0) {
            let names: Vec<_> = flat.into_iter().map(|(_, name)| name).collect();
            let problem = format!("{} hold images and no class folders", names.join(" and "));
            return Err(unfit(
                problem,
                "put the images of each class into a folder of the class's name",
            ));
        }
        return Ok(Found {
            classes: top,
            halves: None,
        });
    }
    let second = if testing.is_empty() {
        validation
    } else {
        testing
    };
    let ([train], [test]) = (training.as_slice(), second.as_slice()) else {
        let problem = format!(
            "as folders of class folders for training it has [{}], for testing [{}], where it must be one each",
            training.join(", "),
            second.join(", ")
        );
        let remedy = "call them train and test; where there is only one, give it as the path, with test_share";
        return Err(unfit(problem, remedy));
    };
    let (classes, _) = subfolders(&root.join(train))?;
    let (tested, _) = subfolders(&root.join(test))?;
    let only = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter()
            .filter(|class| !others.contains(class))
            .cloned()
            .collect()
    };
    let (only_train, only_test) = (only(&classes, &tested), only(&tested, &classes));
    if !only_train.is_empty() || !only_test.is_empty() {
        let mut problems = Vec::new();
        for (folder, names) in [(train, only_train), (test, only_test)] {
            if !names.is_empty() {
                let count = names.len();
                problems.push(format!(
                    "{count} classes are in {folder} alone: {}",
                    some_of(&names)
                ));
            }
        }
        let remedy = "every class needs images in both; add them, or take the folder out";
        return Err(unfit(problems.join("; "), remedy));
    }
    Ok(Found {
        classes,
        halves: Some([train.clone(), test.clone()]),
    })
}

/// Loads class folders below `root`.
///
/// # Errors
///
/// [`DataError::Picture`] or [`DataError::Pictures`] for files that are no images, [`DataError::Unfit`] for classes
/// without training or test images, as [`class_folders`], [`DataError::Io`].
pub fn load_folders(
    root: &Path,
    spec: &ClassFolders,
    options: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    let tree = Tree::Folder(root.to_path_buf());
    let halves = match spec.test_share {
        Some(_) => None,
        None => class_folders(root)?.halves,
    };
    let listing = tree.list(&usage)?;
    if let Some(text) = unread_files(&listing) {
        options.watch.note(&format!("{}: {text}", spec.name));
    }
    let plan = plan(&listing, spec, halves.as_ref(), root)?;
    let entry = match options.cache {
        Some(cache) => {
            let (content, _) = tree.sha256(&usage, options.watch)?;
            let how = format!(
                "folders {} {:?} {:?} {:?}",
                spec.shape, spec.classes, spec.test_share, plan.notes
            );
            Some(Entry::new(cache, &spec.name, &content, &how))
        }
        None => None,
    };
    through_cache(entry.as_ref(), options.watch, || {
        let (train, test, notes) = sets(&tree, plan, options.watch)?;
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        Dataset::new(&*spec.name, train, test, note)?.with_class_names(spec.classes.clone())
    })
}

/// `.gif 10, .txt 1`: endings with their numbers.
fn endings<'a>(paths: impl Iterator<Item = &'a String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        let ending = ending(path).map_or("without an ending".to_owned(), |ending| {
            format!(".{ending}")
        });
        *counts.entry(ending).or_default() += 1;
    }
    let texts: Vec<_> = counts
        .iter()
        .map(|(ending, count)| format!("{ending} {count}"))
        .collect();
    some_of(&texts)
}

fn is_unread(path: &str) -> bool {
    ending(path).is_some_and(|ending| UNREAD.contains(&&*ending))
}

/// What is no image and not read: for a person, not for the results.
fn unread_files(listing: &Listing) -> Option<String> {
    let others: Vec<&String> = listing
        .ignored
        .iter()
        .filter(|path| !is_unread(path))
        .collect();
    let leftovers: Vec<_> = listing
        .leftovers
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let mut texts = Vec::new();
    if !others.is_empty() {
        let endings = endings(others.iter().copied());
        texts.push(format!(
            "{} files are no images and not read ({endings})",
            others.len()
        ));
    }
    if !leftovers.is_empty() {
        texts.push(format!(
            "left behind by systems and not read: {}",
            some_of(&leftovers)
        ));
    }
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// A plan's images, and the images that it does not use, each with the reason.
fn plan(
    listing: &Listing,
    spec: &ClassFolders,
    halves: Option<&[String; 2]>,
    root: &Path,
) -> Result<Plan, DataError> {
    let mut items = Vec::new();
    let mut seen = vec![[0_usize; 2]; spec.classes.len()];
    let mut unused = Vec::new();
    for path in &listing.images {
        let mut parts = path.split('/');
        let mut first = parts.next();
        let mut part = None;
        if let Some([train, test]) = halves {
            part = match first {
                Some(name) if name == train => Some(Part::Train),
                Some(name) if name == test => Some(Part::Test),
                _ => {
                    unused.push(path.clone());
                    continue;
                }
            };
            first = parts.next();
        }
        // A file that lies beside the class folders has no class.
        let class = first.filter(|_| parts.next().is_some());
        let Some(label) =
            class.and_then(|class| spec.classes.iter().position(|known| known == class))
        else {
            unused.push(path.clone());
            continue;
        };
        let counts = seen.get_mut(label).map_or([0, 0], |counts| *counts);
        let part = part.unwrap_or_else(|| {
            let index = (counts[0] + counts[1]) as f64;
            let share = spec.test_share.unwrap_or(0.0);
            let is_test = ((index + 1.0) * share).floor() > (index * share).floor();
            if is_test { Part::Test } else { Part::Train }
        });
        if let Some([train, test]) = seen.get_mut(label) {
            *(if part == Part::Test { test } else { train }) += 1;
        }
        items.push(Item {
            path: path.clone(),
            label: label as u16,
            part,
        });
    }
    check_classes(listing, spec, &seen, root)?;
    let mut notes = Vec::new();
    if !unused.is_empty() {
        let where_from = match halves {
            Some([train, test]) => format!("the class folders of {train} and {test}"),
            None => "the class folders".to_owned(),
        };
        notes.push(format!(
            "{} images outside {where_from} are not used ({})",
            unused.len(),
            some_of(&unused)
        ));
    }
    let unread: Vec<&String> = listing
        .ignored
        .iter()
        .filter(|path| is_unread(path))
        .collect();
    if !unread.is_empty() {
        let (count, endings) = (unread.len(), endings(unread.iter().copied()));
        notes.push(format!(
            "{count} images are of a format that is not read ({endings})"
        ));
    }
    Ok(Plan {
        items,
        shape: spec.shape,
        classes: spec.classes.len(),
        class_names: spec.classes.clone(),
        resize: Resize::Smooth,
        broken: Broken::Refused,
        notes,
    })
}

/// Every class must have training and test images; `seen` holds the numbers of both.
fn check_classes(
    listing: &Listing,
    spec: &ClassFolders,
    seen: &[[usize; 2]],
    root: &Path,
) -> Result<(), DataError> {
    let short: Vec<(&String, [usize; 2])> = spec
        .classes
        .iter()
        .zip(seen.iter().copied())
        .filter(|(_, counts)| counts.contains(&0))
        .collect();
    let root = root.display().to_string();
    let read = format!("read are files that end in .{}", READ.join(", ."));
    if seen.iter().all(|counts| *counts == [0, 0]) {
        let there = match endings(listing.ignored.iter()) {
            none if none.is_empty() => "no other files".to_owned(),
            endings => format!("files of the endings {endings}"),
        };
        let problem = format!(
            "its class folders ({}) hold no images, but {there}",
            some_of(&spec.classes)
        );
        return Err(DataError::unfit(
            root,
            problem,
            format!("{read} (in any case); convert the others"),
        ));
    }
    if short.is_empty() {
        return Ok(());
    }
    let images = |counts: &[usize; 2]| match counts {
        [0, 0] => "no images".to_owned(),
        [1, 0] | [0, 1] => "1 image".to_owned(),
        [train, test] => format!("{} images", train + test),
    };
    let names: Vec<_> = short
        .iter()
        .map(|(class, counts)| format!("{class} ({})", images(counts)))
        .collect();
    let names = some_of(&names);
    Err(match spec.test_share {
        Some(share) => DataError::unfit(
            root,
            format!(
                "with test_share = {share} these classes have no training or no test images: {names}"
            ),
            format!(
                "a class needs at least 2 images, and for each test image {} in all: add images, raise test_share, or \
                 take the class out ({read})",
                (1.0 / share).ceil()
            ),
        ),
        None => DataError::unfit(
            root,
            format!("these classes have no images for training or none for testing: {names}"),
            format!("add images, or take the class out of both folders ({read})"),
        ),
    })
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

/// Features with labels, as sets of so many classes: out of one file, or the test half out of another. `arrays` are training
/// features and labels, test features and labels.
///
/// # Errors
///
/// The errors of the parser, [`DataError::Io`].
pub fn load_features(
    (path, test_path): (&Path, Option<&Path>),
    arrays: [&str; 4],
    width: usize,
    labels: &Labels,
) -> Result<(ImageSet, ImageSet), DataError> {
    let read = |path: &Path| tree::read_file(path, MAX_FILE_BYTES);
    let set = |bytes: &[u8], path: &Path, arrays| {
        read_features(bytes, arrays, width, labels, &path.display().to_string())
    };
    let [train, train_labels, test, test_labels] = arrays;
    let bytes = read(path)?;
    let train = set(&bytes, path, (train, train_labels))?;
    let test = match test_path {
        None => set(&bytes, path, (test, test_labels))?,
        Some(other) => set(&read(other)?, other, (test, test_labels))?,
    };
    Ok((train, test))
}

#[cfg(test)]
mod tests;
