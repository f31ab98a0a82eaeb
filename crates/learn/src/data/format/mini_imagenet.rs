//! One of mini-ImageNet's three pickles: all images of some classes.
//!
//! `{'image_data': uint8 [N, H, W, 3], 'class_dict': {name: [indices]}}`, as the usual
//! `mini-imagenet-cache-{train,val,test}.pkl` have it. Classes are in the order of their images, which is the order in
//! which the released code, that looks at the images alone, numbers them.

use super::pickle::{Array, Dtype, Pickle, Ref, Value};
use crate::data::error::DataError;
use crate::data::image_set::ImageShape;

/// Bound on the classes of a file.
const MAX_CLASSES: usize = 4096;

/// The images of a pickle by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassImages {
    /// Shape of every image.
    pub shape: ImageShape,
    /// Name of each class and how many images it has; the images follow in this order.
    pub classes: Vec<(String, usize)>,
    /// Pixels, `[N, C, H, W]`, class after class.
    pub pixels: Vec<u8>,
}

/// Reads one pickle.
///
/// # Errors
///
/// As [`Pickle::parse`]; [`DataError::Mismatch`] if keys, types, sizes or indices are not as documented,
/// [`DataError::NoImages`].
pub fn read(bytes: &[u8], file: &str) -> Result<ClassImages, DataError> {
    let pickle = Pickle::parse(bytes, file)?;
    let field = |key: &str| {
        pickle.lookup(pickle.root(), key).ok_or_else(|| {
            let found = format!("{} without it", pickle.kind(pickle.root()));
            DataError::mismatch(
                file,
                "contents",
                format!("a dict with the key {key}"),
                found,
            )
        })
    };
    let (array, shape, count) = images(&pickle, field("image_data")?, file)?;
    let pixels = pickle.array_bytes(array).unwrap_or_default();
    let classes = classes(&pickle, field("class_dict")?, count, file)?;
    let (plane, size) = (
        shape.height * shape.width,
        shape.height * shape.width * shape.channels,
    );
    let mut planes = Vec::with_capacity(pixels.len());
    for image in classes.iter().flat_map(|(_, indices)| indices) {
        let Some(image) = pixels.get(image * size..(image + 1) * size) else {
            return Err(DataError::IndexOutOfRange {
                index: *image,
                len: count,
            });
        };
        for channel in 0..shape.channels {
            planes.extend(
                image
                    .iter()
                    .skip(channel)
                    .step_by(shape.channels)
                    .take(plane),
            );
        }
    }
    Ok(ClassImages {
        shape,
        classes: classes
            .into_iter()
            .map(|(name, indices)| (name, indices.len()))
            .collect(),
        pixels: planes,
    })
}

fn images<'p>(
    pickle: &'p Pickle<'_>,
    data: Ref,
    file: &str,
) -> Result<(&'p Array, ImageShape, usize), DataError> {
    let expected = "an array of unsigned bytes [N, height, width, 3] in row order";
    let found = match pickle.get(data) {
        Some(Value::Array(array)) => match *array.shape.as_slice() {
            [0, ..] => {
                return Err(DataError::NoImages {
                    what: file.to_owned(),
                });
            }
            [count, height, width, 3]
                if array.dtype == Dtype::U8 && !array.fortran_order && height * width > 0 =>
            {
                return Ok((array, ImageShape::new(3, height, width), count));
            }
            _ => format!("{}{} {:?}", array.dtype.kind, array.dtype.size, array.shape),
        },
        _ => pickle.kind(data).to_owned(),
    };
    Err(DataError::mismatch(file, "image_data", expected, found))
}

/// Names with their images' indices; every image belongs to one class.
fn classes(
    pickle: &Pickle<'_>,
    dict: Ref,
    count: usize,
    file: &str,
) -> Result<Vec<(String, Vec<usize>)>, DataError> {
    let wrong =
        |expected: String, found: String| DataError::mismatch(file, "class_dict", expected, found);
    let Some(Value::Dict(items)) = pickle.get(dict) else {
        return Err(wrong("a dict".to_owned(), pickle.kind(dict).to_owned()));
    };
    if items.len() > MAX_CLASSES {
        return Err(wrong(
            format!("at most {MAX_CLASSES} classes"),
            items.len().to_string(),
        ));
    }
    let mut owner = vec![false; count];
    let mut classes = Vec::with_capacity(items.len());
    for &(key, list) in items {
        let name = match pickle.get(key) {
            Some(Value::Str(text)) => text.chars().take(100).collect::<String>(),
            Some(Value::Bytes(bytes)) => {
                String::from_utf8_lossy(bytes.get(..bytes.len().min(100)).unwrap_or_default())
                    .into_owned()
            }
            _ => {
                return Err(wrong(
                    "names as keys".to_owned(),
                    pickle.kind(key).to_owned(),
                ));
            }
        };
        let Some(Value::List(list)) = pickle.get(list) else {
            return Err(wrong(
                format!("a list of indices for {name}"),
                pickle.kind(list).to_owned(),
            ));
        };
        let mut indices = Vec::with_capacity(list.len());
        for &item in list {
            let index = match pickle.get(item) {
                Some(&Value::Int(index)) => usize::try_from(index).ok(),
                _ => None,
            };
            let slot = index.and_then(|index| Some((index, owner.get_mut(index)?)));
            match slot {
                Some((index, owned)) if !*owned => {
                    *owned = true;
                    indices.push(index);
                }
                _ => {
                    let found = format!("{index:?} for {name}");
                    return Err(wrong(format!("indices below {count}, each once"), found));
                }
            }
        }
        if !indices.is_empty() {
            classes.push((name, indices));
        }
    }
    if let Some(free) = owner.iter().position(|owned| !owned) {
        return Err(wrong(
            "a class for every image".to_owned(),
            format!("none for image {free}"),
        ));
    }
    classes.sort_by_key(|(_, indices)| indices.first().copied());
    Ok(classes)
}

#[cfg(test)]
fn int(value: usize) -> Vec<u8> {
    vec![b'K', value as u8]
}

#[cfg(test)]
/// Four images of 1x2 pixels; `b` has images 0 and 1, `a` 2 and 3. Protocol 2, as Python writes it.
pub(crate) fn small(first: usize) -> Vec<u8> {
    let mut out =
        b"\x80\x02}(X\x0a\x00\x00\x00image_datacnumpy.core.multiarray\n_reconstruct\n".to_vec();
    out.extend(b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(");
    for size in [4, 1, 2, 3] {
        out.extend(int(size));
    }
    out.extend(b"tcnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN");
    out.extend(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x18");
    out.extend(0..24_u8);
    out.extend(
        b"tbX\x0a\x00\x00\x00class_dict}(X\x01\x00\x00\x00a](K\x02K\x03eX\x01\x00\x00\x00b](",
    );
    out.extend(int(first));
    out.extend(b"K\x01euu.");
    out
}

/// A small valid pickle.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    small(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_in_the_order_of_their_images() {
        let read = read(&small(0), "f").unwrap();
        assert_eq!(read.classes, [("b".to_owned(), 2), ("a".to_owned(), 2)]);
        assert_eq!(read.shape, ImageShape::new(3, 1, 2));
        assert_eq!(read.pixels[..12], [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }

    #[test]
    fn indices_must_be_a_partition() {
        for first in [1, 2, 4, 200] {
            let error = read(&small(first), "f").unwrap_err();
            assert!(error.to_string().contains("each once"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_damage_gives_a_value_or_an_error(position in 0_usize..400, value: u8, cut in 0_usize..400) {
            let mut bytes = small(0);
            let position = position % bytes.len();
            bytes[position] = value;
            let _ = read(&bytes, "f");
            bytes.truncate(cut);
            let _ = read(&bytes, "f");
        }
    }
}
