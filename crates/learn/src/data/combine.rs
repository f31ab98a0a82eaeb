//! Data sets changed as wholes: several as one, and one with only the classes that have images.

use super::error::DataError;
use super::image_set::{Dataset, ImageSet, ImageShape, Joined};
use super::resample::reshape;

/// Several data sets as one: the classes of each follow those of the one before. Images of another shape are resized
/// (bilinear) and grey becomes colour. Notes name the data set that they are of; so do classes, as `NAME/CLASS`, where
/// there are several.
///
/// # Errors
///
/// [`DataError::NoImages`] without a data set, [`DataError::Mismatch`] where colour would have to become grey or there
/// are more than 65,536 classes.
pub fn combine(
    name: &str,
    shape: ImageShape,
    parts: impl IntoIterator<Item = Result<Dataset, DataError>>,
) -> Result<Dataset, DataError> {
    let mut halves = [Joined::default(), Joined::default()];
    let (mut offset, mut notes) = (0, Vec::new());
    let mut names: Vec<(String, Vec<String>)> = Vec::new();
    for part in parts {
        let mut part = part?;
        names.push((part.name.clone(), std::mem::take(&mut part.class_names)));
        for (half, set) in halves.iter_mut().zip([&part.train, &part.test]) {
            let reshaped;
            let set = if set.shape() == shape {
                set
            } else {
                reshaped = reshape(set, shape, &part.name)?;
                &reshaped
            };
            half.push(set, offset, (name, &part.name))?;
        }
        offset += part.train.classes();
        notes.extend(part.note.map(|note| format!("{}: {note}", part.name)));
    }
    let [train, test] = halves.map(|half| half.finish(shape, offset));
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let several = names.len() > 1;
    let class_names = names.into_iter().flat_map(|(part, classes)| {
        let full = move |class| {
            if several {
                format!("{part}/{class}")
            } else {
                class
            }
        };
        classes.into_iter().map(full)
    });
    Dataset::new(name, train?, test?, note)?.with_class_names(class_names.collect())
}

/// The data set's classes that have training and test images, numbered anew in their order, with a note that says so;
/// unchanged if all have.
///
/// # Errors
///
/// [`DataError::NoImages`] if no class has both.
pub fn present_classes(data: Dataset) -> Result<Dataset, DataError> {
    let present = present(&data);
    if present.iter().all(|&there| there) {
        return Ok(data);
    }
    let order: Vec<usize> = (0..present.len())
        .filter(|&class| present.get(class) == Some(&true))
        .collect();
    let subset = format!("subset of {} of {} classes", order.len(), present.len());
    let mut selected = select_classes(data, &order)?;
    selected.note = Some(
        selected
            .note
            .map_or_else(|| subset.clone(), |note| format!("{subset}; {note}")),
    );
    Ok(selected)
}

/// The images of these classes; class c of the result is `order[c]` of the data set.
///
/// # Errors
///
/// [`DataError::NoImages`] if none is left, [`DataError::Mismatch`] for a class that does not exist.
pub fn select_classes(data: Dataset, order: &[usize]) -> Result<Dataset, DataError> {
    let classes = data.train.classes();
    if order.iter().copied().eq(0..classes) {
        return Ok(data);
    }
    let mut renumbered = vec![None; classes];
    for (new, &old) in order.iter().enumerate() {
        match renumbered.get_mut(old) {
            Some(slot) => *slot = Some(new as u16),
            None => {
                return Err(DataError::mismatch(
                    &data.name,
                    "class",
                    format!("below {classes}"),
                    old.to_string(),
                ));
            }
        }
    }
    let of_class = |label: u16| renumbered.get(usize::from(label)).copied().flatten();
    let select = |set: &ImageSet| {
        let indices = set
            .labels()
            .iter()
            .enumerate()
            .filter(|(_, label)| of_class(**label).is_some());
        let set = set.subset(&indices.map(|(index, _)| index).collect::<Vec<_>>())?;
        let labels = set
            .labels()
            .iter()
            .filter_map(|&label| of_class(label))
            .collect();
        set.relabelled(labels, order.len())
    };
    let (train, test) = (select(&data.train)?, select(&data.test)?);
    let names = order
        .iter()
        .filter_map(|&class| data.class_names.get(class).cloned());
    let names = names.collect();
    Dataset::new(data.name, train, test, data.note)?.with_class_names(names)
}

/// Which classes have training and test images, `[classes]`.
#[must_use]
pub fn present(data: &Dataset) -> Vec<bool> {
    let counts = data
        .train
        .class_counts()
        .into_iter()
        .zip(data.test.class_counts());
    counts.map(|(train, test)| train > 0 && test > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str, shape: ImageShape, labels: &[u16], classes: usize, value: u8) -> Dataset {
        let set = || {
            let pixels = vec![value; shape.bytes().unwrap() * labels.len()];
            ImageSet::new(shape, pixels, labels.to_vec(), classes).unwrap()
        };
        Dataset::new(name, set(), set(), Some(format!("note {value}"))).unwrap()
    }

    #[test]
    fn classes_follow_each_other_and_images_get_one_shape() {
        let shape = ImageShape::new(3, 2, 2);
        let parts = [
            Ok(data("a", shape, &[0, 2], 3, 1)),
            Ok(data("b", ImageShape::new(1, 1, 1), &[1, 0], 2, 9)),
        ];
        let joined = combine("ab", shape, parts).unwrap();
        assert_eq!(
            (joined.train.labels(), joined.train.classes()),
            (&[0, 2, 4, 3][..], 5)
        );
        assert_eq!(joined.test.image(3).unwrap(), [9; 12]);
        assert_eq!(joined.note.as_deref(), Some("a: note 1; b: note 9"));
        assert_eq!(joined.class_names, ["a/0", "a/1", "a/2", "b/0", "b/1"]);
        let one = combine("c", shape, [Ok(data("a", shape, &[0, 2], 3, 1))]).unwrap();
        assert_eq!(one.class_names, ["0", "1", "2"]);
        assert!(combine("none", shape, []).is_err());
        assert!(
            combine(
                "x",
                ImageShape::new(1, 2, 2),
                [Ok(data("a", shape, &[0], 1, 1))]
            )
            .is_err()
        );
    }

    #[test]
    fn only_classes_with_images_stay() {
        let shape = ImageShape::new(1, 1, 1);
        let whole = data("a", shape, &[0, 1], 2, 1);
        assert_eq!(present_classes(whole.clone()).unwrap(), whole);
        let mut sparse = data("a", shape, &[1, 3, 1, 4], 6, 7);
        sparse.test = sparse.test.subset(&[0, 1]).unwrap();
        let left = present_classes(sparse).unwrap();
        assert_eq!(
            (left.train.labels(), left.train.classes()),
            (&[0, 1, 0][..], 2)
        );
        assert_eq!(
            left.note.as_deref(),
            Some("subset of 2 of 6 classes; note 7")
        );
        assert_eq!(left.class_names, ["1", "3"]);
    }
}
