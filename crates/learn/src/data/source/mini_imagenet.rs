//! mini-ImageNet: 100 classes of `ImageNet` at 84×84, as three pickles or as images with Ravi and Larochelle's lists.
//!
//! For few-shot learning it is cut by class into 64, 16 and 20; the released code puts them together again in the order
//! train, test, val, and takes the first four fifths of each class's images for training.

use std::collections::HashMap;

use super::layout::{Encoding, Joined, Layout, Member, Role, Split};
use super::plan::{Broken, Files, Item, Part, Plan};
use super::spec::DataSpec;
use crate::data::error::DataError;
use crate::data::format::mini_imagenet::ClassImages;
use crate::data::format::picture::Resize;
use crate::data::format::{self, MAX_FILE_BYTES, read_bounded};
use crate::data::image_set::{ImageSet, ImageShape};
use crate::data::tree::{Listing, Use};
use crate::data::walk::some_of;

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
    // The lists and pickles say them.
    class_names: &[],
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
                count: |_, length| Some(length / (3 * 84 * 84)),
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
    // The official files were not at hand.
    official: None,
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

/// Names of classes before any is known.
fn numbers() -> Vec<String> {
    (0..MINI_IMAGENET.classes)
        .map(|class| class.to_string())
        .collect()
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
fn join(parts: Vec<ClassImages>, file: &str) -> Result<Joined, DataError> {
    let mut class_names = numbers();
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
        for (class, (class_name, count)) in part.classes.iter().enumerate() {
            if let Some(name) = class_names.get_mut(first + class) {
                name.clone_from(class_name);
            }
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
    Ok(Joined {
        train: set(train)?,
        test: set(test)?,
        notes: notes(&counts),
        class_names,
    })
}

fn usage(path: &str) -> Use {
    match path {
        "train.csv" | "test.csv" | "val.csv" => Use::Text,
        _ if path.starts_with("images/") => Use::Image,
        _ => Use::Ignored,
    }
}

/// The fields of a line of comma-separated values; a quoted field may hold commas, and a quote twice for one.
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut rest) = (Vec::new(), line);
    loop {
        let field;
        if let Some(quoted) = rest.trim_start().strip_prefix('"') {
            let mut text = String::new();
            let mut parts = quoted;
            loop {
                let (part, after) = parts.split_once('"')?;
                text.push_str(part);
                parts = after;
                let Some(more) = parts.strip_prefix('"') else {
                    break;
                };
                text.push('"');
                parts = more;
            }
            field = text;
            rest = parts.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field = rest.get(..end)?.trim().to_owned();
            rest = rest.get(end..)?;
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some(fields),
        }
    }
}

/// Number, file name and label of every line of a list, after its header.
pub(crate) fn rows(file: &str, text: &str) -> Result<Vec<(usize, String, String)>, DataError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let mut rows = Vec::new();
    for (place, (index, line)) in lines.enumerate() {
        let wrong = |expected: &str| {
            let found = line.chars().take(80).collect::<String>();
            DataError::mismatch(file, format!("line {}", index + 1), expected, found)
        };
        let found = fields(line.trim());
        let [name, label] = found.as_deref().unwrap_or_default() else {
            return Err(wrong("FILENAME,LABEL"));
        };
        if place == 0 {
            if !name.eq_ignore_ascii_case("filename") || !label.eq_ignore_ascii_case("label") {
                return Err(wrong(
                    "the header filename,label (without it the first image would be lost)",
                ));
            }
            continue;
        }
        if name.is_empty() || label.is_empty() {
            return Err(wrong("FILENAME,LABEL"));
        }
        rows.push((index + 1, name.clone(), label.clone()));
    }
    Ok(rows)
}

/// Classes are numbered in the order in which each list first names them. An image that is listed again with the same
/// label counts once; with another label, or in another list, it is an error.
fn plan(listing: &Listing) -> Result<Plan, DataError> {
    let mut classes: Vec<(u16, Vec<String>)> = Vec::new();
    let mut class_names = numbers();
    let (mut missing, mut again) = (Vec::new(), Vec::new());
    let mut listed: HashMap<String, (String, usize, String)> = HashMap::new();
    for (part, first, most) in PARTS {
        let file = format!("{part}.csv");
        let text = listing
            .texts
            .get(&file)
            .map(String::as_str)
            .unwrap_or_default();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (number, name, label) in rows(&file, text)? {
            let path = format!("images/{name}");
            if let Some((other, line, before)) = listed.get(&path) {
                if *other != file || *before != label {
                    return Err(DataError::mismatch(
                        &file,
                        format!("line {number}"),
                        "an image that is listed once",
                        format!(
                            "{name}, which is in {other}, line {line}, with the label {before}"
                        ),
                    ));
                }
                again.push(path);
                continue;
            }
            listed.insert(path.clone(), (file.clone(), number, label.clone()));
            let index = match known.get(&label) {
                Some(&index) => index,
                None if known.len() == most => return Err(too_many(&file, most, most + 1)),
                None => {
                    let class = first + known.len();
                    if let Some(name) = class_names.get_mut(class) {
                        name.clone_from(&label);
                    }
                    classes.push((class as u16, Vec::new()));
                    known.insert(label, classes.len() - 1);
                    classes.len() - 1
                }
            };
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
    if !again.is_empty() {
        notes.push(format!(
            "{} lines list an image again and count once ({})",
            again.len(),
            some_of(&again)
        ));
    }
    Ok(Plan {
        items,
        shape: MINI_IMAGENET.shape,
        classes: MINI_IMAGENET.classes,
        class_names,
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
            ("val.csv", "filename,label\nv.jpg,n9\n"),
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
        assert_eq!(
            (
                &*plan.class_names[0],
                &*plan.class_names[1],
                &*plan.class_names[84]
            ),
            ("n2", "n1", "n9")
        );
        assert_eq!(plan.class_names[2], "2");
    }

    /// As Python's `csv.reader` splits the same lines.
    #[test]
    fn quoted_fields_and_every_line_end() {
        for (line, expected) in [
            ("a.jpg,n1", &["a.jpg", "n1"][..]),
            ("\"a.jpg\",\"n1\"", &["a.jpg", "n1"]),
            ("\"a, b.jpg\",n1", &["a, b.jpg", "n1"]),
            ("\"a \"\"b\"\".jpg\",n1", &["a \"b\".jpg", "n1"]),
            ("\"\",n1", &["", "n1"]),
            ("a.jpg,", &["a.jpg", ""]),
        ] {
            assert_eq!(fields(line).unwrap(), expected, "{line}");
        }
        for text in [
            "filename,label\r\na1.jpg,n1\r\n\r\nb1.jpg,n1\r\n",
            "\u{feff}\"filename\",\"label\"\n\"a1.jpg\",\"n1\"\nb1.jpg,n1",
            "Filename, Label\na1.jpg, n1\n b1.jpg , n1\n",
        ] {
            let plan = plan(&listing(text, &["a1.jpg", "b1.jpg", "v.jpg"])).unwrap();
            let paths: Vec<_> = plan.items.iter().map(|item| item.path.as_str()).collect();
            assert_eq!(
                paths,
                ["images/a1.jpg", "images/b1.jpg", "images/v.jpg"],
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_image_counts_once() {
        let images = ["a.jpg", "b.jpg", "v.jpg"];
        let text = "filename,label\na.jpg,n1\nb.jpg,n1\na.jpg,n1\na.jpg,n1\n";
        let plan_of = |text: &str| plan(&listing(text, &images));
        let found = plan_of(text).unwrap();
        assert_eq!(found.items.len(), 3);
        let note = found.notes.last().unwrap();
        assert!(
            note.starts_with("2 lines list an image again") && note.contains("images/a.jpg"),
            "{note}"
        );
        for (text, words) in [
            (
                "filename,label\na.jpg,n1\na.jpg,n2\n",
                "line 3 should be an image that is listed once, but is a.jpg, which is in train.csv, line 2",
            ),
            ("filename,label\nv.jpg,n9\n", "val.csv: line 2"),
            (
                "a.jpg,n1\nb.jpg,n1\n",
                "train.csv: line 1 should be the header filename,label",
            ),
            (
                "label,filename\nn1,a.jpg\n",
                "train.csv: line 1 should be the header",
            ),
        ] {
            let error = plan_of(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_broken_list_is_named_by_its_line() {
        for line in ["nolabel", "a,b,c", ",n1", "a,", "\"a,n1", "\"a\"b,n1"] {
            let error = plan(&listing(&format!("filename,label\n{line}\n"), &[]))
                .unwrap_err()
                .to_string();
            assert!(error.contains("train.csv: line 2"), "{error}");
        }
        let many: Vec<String> = (0..65).map(|i| format!("\na{i}.jpg,n{i}")).collect();
        let many = many.concat();
        assert!(
            plan(&listing(&format!("filename,label{many}"), &[]))
                .unwrap_err()
                .to_string()
                .contains("at most 64")
        );
    }
}
