//! Data sets of one file an image: from a listing to training and test set, through the cache.

use super::LoadOptions;
use super::judge;
use super::located::{FileReport, Form, Loaded, Located};
use super::plan::{Broken, Files, Item, Part, Plan};
use super::shuffle::numpy_shuffle;
use super::spec::DataName;
use crate::data::cache::Entry;
use crate::data::error::DataError;
use crate::data::image_set::{Dataset, ImageSet};
use crate::data::tree::Tree;
use crate::data::watch::Watch;

/// Reads a located tree. Its one file report (if asked for) is of the archive or of the folder as a whole.
pub(super) fn read(
    source: DataName,
    located: &Located,
    Files { how, usage, plan }: Files,
    hash: bool,
    options: &LoadOptions<'_>,
) -> Result<Loaded, DataError> {
    let tree = match located.form {
        Form::Folder => Tree::Folder(located.path.clone()),
        Form::Archive => Tree::Archive(located.path.clone(), located.layout().folder().to_owned()),
    };
    let cached = options.cache.filter(|_| source.is_cached);
    let content = if hash || cached.is_some() {
        Some(tree.sha256(&usage, options.watch)?)
    } else {
        None
    };
    let files = content.as_ref().map(|(sha256, bytes)| FileReport {
        file: located.path.display().to_string(),
        bytes: *bytes,
        sha256: sha256.clone(),
    });
    let files = files.into_iter().collect();
    let entry = cached.zip(content.as_ref()).map(|(folder, (sha256, _))| {
        let how = format!("{} {how}", source.shape);
        Entry::new(folder, source.name, sha256, &how)
    });
    let dataset = through_cache(entry.as_ref(), options.watch, || {
        let plan = plan(&tree.list(&usage)?)?;
        let names = plan.class_names.clone();
        let (train, test, notes) = sets(&tree, plan, options.watch)?;
        let note = judge::note(source, &train, &test, notes);
        Dataset::new(source.name, train, test, note)?.with_class_names(names)
    })?;
    Ok(Loaded { dataset, files })
}

/// The entry's data set, or a new one that is then kept. A cache that cannot be read or written is said and does
/// without.
pub(crate) fn through_cache(
    entry: Option<&Entry>,
    watch: &dyn Watch,
    make: impl FnOnce() -> Result<Dataset, DataError>,
) -> Result<Dataset, DataError> {
    let Some(entry) = entry else {
        return make();
    };
    match entry.read() {
        Ok(Some(dataset)) => return Ok(dataset),
        Ok(None) => {}
        Err(error) => watch.note(&format!("the cache is made anew: {error}")),
    }
    let dataset = make()?;
    match entry.write(&dataset) {
        Ok(()) => watch.note(&format!(
            "decoded images are kept in {}",
            entry.path().display()
        )),
        Err(error) => watch.note(&format!(
            "decoded images are not kept, the next start decodes again: {error}"
        )),
    }
    Ok(dataset)
}

/// Decodes a plan's images.
pub(crate) fn sets(
    tree: &Tree,
    plan: Plan,
    watch: &dyn Watch,
) -> Result<(ImageSet, ImageSet, Vec<String>), DataError> {
    let Plan {
        mut items,
        shape,
        classes,
        class_names,
        resize,
        broken,
        mut notes,
    } = plan;
    if items.is_empty() {
        return Err(DataError::NoImages {
            what: tree.name(""),
        });
    }
    let pooled = items.iter().any(|item| item.part == Part::Pooled);
    // Training images first, so that the block of pixels is cut once.
    items.sort_by_key(|item| item.part == Part::Test);
    let paths: Vec<String> = items.iter().map(|item| item.path.clone()).collect();
    let (mut pixels, failed) = tree.decode(&paths, shape, resize, watch)?;
    if !failed.is_empty() {
        if broken == Broken::Refused {
            return Err(all_broken(tree, &items, &class_names, failed));
        }
        let names: Vec<_> = failed
            .iter()
            .take(5)
            .filter_map(|(i, _)| Some(items.get(*i)?.path.as_str()))
            .collect();
        let more = if failed.len() > names.len() {
            ", ..."
        } else {
            ""
        };
        notes.push(format!(
            "{} of {} files are no images and left out ({}{more})",
            failed.len(),
            items.len(),
            names.join(", ")
        ));
    }
    let size = shape.bytes().unwrap_or(0).max(1);
    let mut keep = vec![true; items.len()];
    for (index, _) in &failed {
        if let Some(keep) = keep.get_mut(*index) {
            *keep = false;
        }
    }
    if !failed.is_empty() {
        let images = pixels.chunks_exact(size).zip(&keep);
        pixels = images
            .filter(|(_, keep)| **keep)
            .flat_map(|(image, _)| image.iter().copied())
            .collect();
        let mut keep = keep.into_iter();
        items.retain(|_| keep.next().unwrap_or(false));
    }
    let labels: Vec<u16> = items.iter().map(|item| item.label).collect();
    if pooled {
        let all = ImageSet::new(shape, pixels, labels, classes)?;
        let mut order = numpy_shuffle(all.len());
        let mut train = order.split_off(all.len() / 10);
        // The order of the images within a set does not matter to training, which shuffles them by its own seed.
        order.sort_unstable();
        train.sort_unstable();
        return Ok((all.subset(&train)?, all.subset(&order)?, notes));
    }
    let train = items.iter().filter(|item| item.part == Part::Train).count();
    let test_pixels = pixels.split_off((train * size).min(pixels.len()));
    pixels.shrink_to_fit();
    let (train_labels, test_labels) = labels.split_at(train);
    Ok((
        ImageSet::new(shape, pixels, train_labels.to_vec(), classes)?,
        ImageSet::new(shape, test_pixels, test_labels.to_vec(), classes)?,
        notes,
    ))
}

/// One broken file as what is wrong with it, several as a list by class.
fn all_broken(
    tree: &Tree,
    items: &[Item],
    class_names: &[String],
    mut failed: Vec<(usize, DataError)>,
) -> DataError {
    if failed.len() == 1 {
        return failed.swap_remove(0).1;
    }
    let class_of = |index: usize| items.get(index).map_or(0, |item| usize::from(item.label));
    failed.sort_by_key(|(index, _)| (class_of(*index), *index));
    let lines = failed.iter().map(|(index, error)| {
        let class = class_names.get(class_of(*index)).map_or("", String::as_str);
        let path = items.get(*index).map_or("", |item| item.path.as_str());
        let reason = match error {
            DataError::Picture { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        format!("{class}: {path} ({reason})")
    });
    DataError::Pictures {
        what: tree.name(""),
        of: items.len(),
        broken: lines.collect(),
    }
}
