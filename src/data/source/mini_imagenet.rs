//! mini-ImageNet: 100 classes of `ImageNet` at 84×84, as three pickles or as images with Ravi and Larochelle's lists.
//!
//! For few-shot learning it is cut by class into 64, 16 and 20; the released code puts them together again in the order
//! train, test, val, and takes the first four fifths of each class's images for training.

use std::collections::HashMap;

use super::images::{Broken, Files, Item, Part, Plan};
use super::layout::{Encoding, Layout, Member, Role, Split};
use super::spec::DataSpec;
use crate::data::error::DataError;
use crate::data::format::mini_imagenet::ClassImages;
use crate::data::format::picture::Resize;
use crate::data::format::{self, MAX_FILE_BYTES, read_bounded};
use crate::data::image_set::{ImageSet, ImageShape};
use crate::data::tree::{Listing, Use};

/// The three parts in the order of the stream: name, first class, classes.
const PARTS: [(&str, usize, usize); 3] = [("train", 0, 64), ("test", 64, 20), ("val", 84, 16)];
/// Images of a class.
const PER_CLASS: usize = 600;

const fn member(role: Role, names: &'static [&'static str]) -> Member {
    Member {
        split: Split::Pooled,
        role,
        names,
    }
}

/// See [`DataSpec`].
pub static MINI_IMAGENET: DataSpec = DataSpec {
    name: "mini-imagenet",
    description: "objects and animals from ImageNet: 100 classes, 48000 + 12000 images, 3x84x84",
    licence: "ImageNet's terms: non-commercial research; cite Vinyals et al. 2016, Ravi and Larochelle 2017",
    homepage: "https://github.com/yaoyao-liu/mini-imagenet-tools",
    get: "mini-imagenet-cache-{train,val,test}.pkl, or images/ with train.csv, val.csv and test.csv",
    shape: ImageShape::new(3, 84, 84),
    classes: 100,
    train: 48_000,
    test: 12_000,
    // `imagenet` is where the released code keeps the pickles.
    layouts: &[
        Layout {
            encoding: Encoding::Classes {
                read: |reader, file| {
                    format::mini_imagenet::read(&read_bounded(reader, MAX_FILE_BYTES, file)?, file)
                },
                join,
            },
            folders: &["mini-imagenet", "imagenet", "miniImagenet", ""],
            archives: &["mini-imagenet", "mini-imagenet-cache"],
            members: &[
                member(Role::Records, &["mini-imagenet-cache-train.pkl"]),
                member(Role::Records, &["mini-imagenet-cache-test.pkl"]),
                member(Role::Records, &["mini-imagenet-cache-val.pkl"]),
            ],
        },
        Layout {
            encoding: Encoding::Files(Files {
                how: "MiniImageNetImages",
                usage,
                plan,
            }),
            folders: &["mini-imagenet", "miniImagenet", ""],
            archives: &[],
            members: &[
                member(Role::Records, &["train.csv"]),
                member(Role::Records, &["test.csv"]),
                member(Role::Records, &["val.csv"]),
                member(Role::Folder, &["images"]),
            ],
        },
    ],
    checksums: &[],
    is_cached: true,
    remotes: &[],
    sample: None,
};

/// How many of a class's images are for training.
fn train_count(images: usize) -> usize {
    images * 4 / 5
}

fn too_many(file: &str, classes: usize, found: usize) -> DataError {
    DataError::mismatch(
        file,
        "number of classes",
        format!("at most {classes}"),
        found.to_string(),
    )
}

/// What is short of the complete data set, by the number of images of each class.
fn notes(counts: &[usize]) -> Vec<String> {
    let short = counts
        .iter()
        .filter(|&&count| 0 < count && count < PER_CLASS)
        .count();
    let absent: Vec<_> = (0..MINI_IMAGENET.classes)
        .filter(|&c| counts.get(c).is_none_or(|&n| n == 0))
        .map(|c| c.to_string())
        .collect();
    let mut notes = Vec::new();
    if short > 0 {
        notes.push(format!(
            "{short} classes have fewer than {PER_CLASS} images"
        ));
    }
    if !absent.is_empty() {
        notes.push(format!(
            "{} classes have no images ({})",
            absent.len(),
            absent.join(", ")
        ));
    }
    notes
}

/// The pickles, in the order of the layout's members, as one data set.
fn join(
    parts: Vec<ClassImages>,
    file: &str,
) -> Result<(ImageSet, ImageSet, Vec<String>), DataError> {
    let mut halves = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    let mut counts = vec![0; MINI_IMAGENET.classes];
    for (part, (name, first, classes)) in parts.into_iter().zip(PARTS) {
        if part.classes.len() > classes {
            return Err(too_many(
                &format!("{file}: {name}"),
                classes,
                part.classes.len(),
            ));
        }
        if part.shape != MINI_IMAGENET.shape {
            return Err(DataError::mismatch(
                file,
                "image shape",
                MINI_IMAGENET.shape.to_string(),
                part.shape.to_string(),
            ));
        }
        let size = part.shape.bytes().unwrap_or(0).max(1);
        let mut images = part.pixels.chunks_exact(size);
        for (class, (_, count)) in part.classes.iter().enumerate() {
            for (index, image) in images.by_ref().take(*count).enumerate() {
                let [train, test] = &mut halves;
                let (pixels, labels) = if index < train_count(*count) {
                    train
                } else {
                    test
                };
                pixels.extend_from_slice(image);
                labels.push((first + class) as u16);
            }
            if let Some(total) = counts.get_mut(first + class) {
                *total = *count;
            }
        }
    }
    let [train, test] = halves;
    let set = |(pixels, labels): (Vec<u8>, Vec<u16>)| {
        ImageSet::new(MINI_IMAGENET.shape, pixels, labels, MINI_IMAGENET.classes)
    };
    Ok((set(train)?, set(test)?, notes(&counts)))
}

fn usage(path: &str) -> Use {
    match path {
        "train.csv" | "test.csv" | "val.csv" => Use::Text,
        _ if path.starts_with("images/") => Use::Image,
        _ => Use::Ignored,
    }
}

/// Classes are numbered in the order in which each list first names them.
fn plan(listing: &Listing) -> Result<Plan, DataError> {
    let mut classes: Vec<(u16, Vec<String>)> = Vec::new();
    let mut missing = Vec::new();
    for (part, first, most) in PARTS {
        let file = format!("{part}.csv");
        let text = listing
            .texts
            .get(&file)
            .map(String::as_str)
            .unwrap_or_default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (number, line) in text
            .lines()
            .map(str::trim)
            .enumerate()
            .skip(1)
            .filter(|(_, line)| !line.is_empty())
        {
            let wrong = || {
                let found = line.chars().take(80).collect::<String>();
                DataError::mismatch(
                    &file,
                    format!("line {}", number + 1),
                    "FILENAME,LABEL",
                    found,
                )
            };
            let (name, label) = line.split_once(',').ok_or_else(wrong)?;
            if name.is_empty() || label.is_empty() || label.contains(',') {
                return Err(wrong());
            }
            let index = match known.get(label) {
                Some(&index) => index,
                None if known.len() == most => return Err(too_many(&file, most, most + 1)),
                None => {
                    classes.push(((first + known.len()) as u16, Vec::new()));
                    known.insert(label, classes.len() - 1);
                    classes.len() - 1
                }
            };
            let path = format!("images/{name}");
            if listing.images.binary_search(&path).is_err() {
                missing.push(path);
            } else if let Some((_, paths)) = classes.get_mut(index) {
                paths.push(path);
            }
        }
    }
    let mut counts = vec![0; MINI_IMAGENET.classes];
    let mut items = Vec::new();
    for (label, paths) in classes {
        if let Some(count) = counts.get_mut(usize::from(label)) {
            *count = paths.len();
        }
        let train = train_count(paths.len());
        items.extend(paths.into_iter().enumerate().map(|(index, path)| Item {
            path,
            label,
            part: if index < train {
                Part::Train
            } else {
                Part::Test
            },
        }));
    }
    let mut notes = notes(&counts);
    if let Some(first) = missing.first() {
        notes.push(format!(
            "{} listed images are not there ({first}, ...)",
            missing.len()
        ));
    }
    Ok(Plan {
        items,
        shape: MINI_IMAGENET.shape,
        classes: MINI_IMAGENET.classes,
        resize: Resize::Smooth,
        broken: Broken::Refused,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(train: &str, images: &[&str]) -> Listing {
        let mut listing = Listing::default();
        for (name, text) in [
            ("train.csv", train),
            ("test.csv", "filename,label\n"),
            ("val.csv", "h\nv.jpg,n9\n"),
        ] {
            listing.texts.insert(name.to_owned(), text.to_owned());
        }
        listing.images = images.iter().map(|name| format!("images/{name}")).collect();
        listing.images.sort();
        listing
    }

    #[test]
    fn classes_are_numbered_by_first_mention_and_cut_at_four_fifths() {
        let text = "filename,label\nb1.jpg,n2\na1.jpg,n1\nb2.jpg,n2\nb3.jpg,n2\ngone.jpg,n2\nb4.jpg,n2\nb5.jpg,n2\n";
        let images = [
            "a1.jpg", "b1.jpg", "b2.jpg", "b3.jpg", "b4.jpg", "b5.jpg", "v.jpg",
        ];
        let plan = plan(&listing(text, &images)).unwrap();
        let items: Vec<_> = plan
            .items
            .iter()
            .map(|i| (i.path.as_str(), i.label, i.part == Part::Train))
            .collect();
        assert_eq!(
            items[..2],
            [("images/b1.jpg", 0, true), ("images/b2.jpg", 0, true)]
        );
        assert_eq!(
            items[4..],
            [
                ("images/b5.jpg", 0, false),
                ("images/a1.jpg", 1, false),
                ("images/v.jpg", 84, false)
            ]
        );
        assert!(
            plan.notes[0].starts_with("3 classes have fewer"),
            "{:?}",
            plan.notes
        );
        assert!(
            plan.notes[1].starts_with("97 classes have no images"),
            "{:?}",
            plan.notes
        );
        assert!(plan.notes[2].contains("gone.jpg"));
    }

    #[test]
    fn a_broken_list_is_named_by_its_line() {
        for line in ["nolabel", "a,b,c", ",n1"] {
            let error = plan(&listing(&format!("filename,label\n{line}\n"), &[]))
                .unwrap_err()
                .to_string();
            assert!(error.contains("train.csv: line 2"), "{error}");
        }
        let many: Vec<String> = (0..65).map(|i| format!("\na.jpg,n{i}")).collect();
        let many = many.concat();
        assert!(
            plan(&listing(&format!("h{many}"), &[]))
                .unwrap_err()
                .to_string()
                .contains("at most 64")
        );
    }
}
