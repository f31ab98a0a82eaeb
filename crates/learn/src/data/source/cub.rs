//! CUB-200-2011: photographs of 200 kinds of birds, with an official split.
//!
//! Every image is resized to 224×224 without keeping its proportions, as the released code does with OpenCV; that code
//! keeps the resized floats, this one rounds them to bytes (an error of half a level in 255).

use std::collections::HashMap;

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::plan::{Broken, Files, Item, Part, Plan};
use super::spec::{DataSpec, Remote};
use crate::data::error::DataError;
use crate::data::format::picture::Resize;
use crate::data::image_set::ImageShape;
use crate::data::tree::{Listing, Use};

const LISTS: [&str; 4] = [
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "classes.txt",
];

const fn member(role: Role, names: &'static [&'static str]) -> Member {
    Member {
        split: Split::Pooled,
        role,
        names,
    }
}

/// See [`DataSpec`].
pub static CUB: DataSpec = DataSpec {
    name: "cub",
    description: "photographs of birds (CUB-200-2011): 200 classes, 5994 + 5794 images, resized to 3x224x224",
    licence: "for non-commercial research and education; cite Wah et al. 2011",
    homepage: "https://www.vision.caltech.edu/datasets/cub_200_2011/",
    get: "CUB_200_2011.tgz",
    shape: ImageShape::new(3, 224, 224),
    classes: 200,
    // They stand in `classes.txt`.
    class_names: &[],
    train: 5_994,
    test: 5_794,
    layouts: &[Layout {
        encoding: Encoding::Files(Files {
            how: "Cub",
            usage,
            plan,
        }),
        folders: &["CUB_200_2011"],
        archives: &["CUB_200_2011"],
        members: &[
            member(Role::Records, &[LISTS[0]]),
            member(Role::Records, &[LISTS[1]]),
            member(Role::Records, &[LISTS[2]]),
            member(Role::Records, &[LISTS[3]]),
            member(Role::Folder, &["images"]),
        ],
    }],
    // The official files were not at hand.
    official: None,
    is_cached: true,
    remotes: &[Remote::md5(
        "CUB_200_2011.tgz",
        &["https://data.caltech.edu/records/65de6-vp158/files/"],
        "97eceeb196236b17998738112f37df78",
    )],
    sample: None,
};

fn usage(path: &str) -> Use {
    if LISTS.contains(&path) {
        Use::Text
    } else if path.starts_with("images/") {
        Use::Image
    } else {
        Use::Ignored
    }
}

/// The lines `ID VALUE` of a list.
fn pairs<'a>(listing: &'a Listing, file: &str) -> Result<Vec<(u32, &'a str)>, DataError> {
    let text = listing
        .texts
        .get(file)
        .map(String::as_str)
        .unwrap_or_default();
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let pair = line
                .trim()
                .split_once(' ')
                .and_then(|(id, value)| Some((id.parse().ok()?, value.trim())));
            pair.ok_or_else(|| {
                let found = line.chars().take(80).collect::<String>();
                DataError::mismatch(file, format!("line {}", number + 1), "ID VALUE", found)
            })
        })
        .collect()
}

fn plan(listing: &Listing) -> Result<Plan, DataError> {
    let [images, labels, splits, names] = LISTS;
    let value_of = |file: &str| -> Result<HashMap<u32, u16>, DataError> {
        pairs(listing, file)?
            .into_iter()
            .map(|(id, value)| {
                let number = value.parse().map_err(|_| {
                    DataError::mismatch(
                        file,
                        format!("the value of {id}"),
                        "a whole number",
                        value.to_owned(),
                    )
                })?;
                Ok((id, number))
            })
            .collect()
    };
    let (label_of, split_of) = (value_of(labels)?, value_of(splits)?);
    // `001.Black_footed_Albatross`; they stand in the order of their numbers.
    let class_names: Vec<String> = pairs(listing, names)?
        .into_iter()
        .map(|(_, name)| name.to_owned())
        .collect();
    if class_names.len() != CUB.classes {
        return Err(DataError::mismatch(
            names,
            "number of classes",
            CUB.classes.to_string(),
            class_names.len().to_string(),
        ));
    }
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    for (id, name) in pairs(listing, images)? {
        let number = |map: &HashMap<u32, u16>, file: &str, most: usize| {
            let value = map.get(&id).copied();
            value.filter(|&v| usize::from(v) <= most).ok_or_else(|| {
                let found = value.map_or_else(|| "missing".to_owned(), |v| v.to_string());
                DataError::mismatch(
                    file,
                    format!("the value of image {id}"),
                    format!("at most {most}"),
                    found,
                )
            })
        };
        let label = number(&label_of, labels, CUB.classes)?
            .checked_sub(1)
            .ok_or_else(|| {
                DataError::mismatch(labels, format!("the value of image {id}"), "from 1", "0")
            })?;
        let part = if number(&split_of, splits, 1)? == 1 {
            Part::Train
        } else {
            Part::Test
        };
        let path = format!("images/{name}");
        if listing.images.binary_search(&path).is_err() {
            missing.push(path);
        } else {
            items.push(Item { path, label, part });
        }
    }
    let mut notes = Vec::new();
    if let Some(first) = missing.first() {
        let mut present: Vec<u16> = items.iter().map(|item| item.label).collect();
        present.sort_unstable();
        present.dedup();
        notes.push(format!(
            "{} of {} listed images are not there ({first}, ...); {} of {} classes have images",
            missing.len(),
            missing.len() + items.len(),
            present.len(),
            CUB.classes
        ));
    }
    Ok(Plan {
        items,
        shape: CUB.shape,
        classes: CUB.classes,
        class_names,
        resize: Resize::Bilinear,
        broken: Broken::Refused,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(changed: &str, text: &str) -> Listing {
        let mut listing = Listing::default();
        let names: Vec<String> = (1..=200).map(|i| format!("{i} {i:03}.Bird\n")).collect();
        let names = names.concat();
        let texts = [
            "1 001.Bird/a.jpg\n2 001.Bird/b.jpg\n3 200.Bird/c.jpg\n",
            "1 1\n2 1\n3 200\n",
            "1 0\n2 1\n3 1\n",
            &names,
        ];
        for (file, whole) in LISTS.iter().zip(texts) {
            let text = if *file == changed { text } else { whole };
            listing.texts.insert((*file).to_owned(), text.to_owned());
        }
        listing.images = vec![
            "images/001.Bird/a.jpg".to_owned(),
            "images/001.Bird/b.jpg".to_owned(),
        ];
        listing
    }

    #[test]
    fn the_official_split_and_what_is_missing() {
        let plan = plan(&listing("", "")).unwrap();
        let items: Vec<_> = plan
            .items
            .iter()
            .map(|i| (i.path.as_str(), i.label, i.part))
            .collect();
        assert_eq!(
            items,
            [
                ("images/001.Bird/a.jpg", 0, Part::Test),
                ("images/001.Bird/b.jpg", 0, Part::Train)
            ]
        );
        assert!(
            plan.notes[0].starts_with("1 of 3 listed images")
                && plan.notes[0].ends_with("1 of 200 classes have images")
        );
    }

    #[test]
    fn broken_lists_are_named() {
        for (file, text, words) in [
            ("images.txt", "1 a\nx\n", "images.txt: line 2"),
            ("image_class_labels.txt", "1 0\n2 1\n3 1", "image 1"),
            ("image_class_labels.txt", "1 201\n2 1\n3 1", "201"),
            ("image_class_labels.txt", "1 1\n2 1", "image 3"),
            ("train_test_split.txt", "1 2\n2 1\n3 1", "image 1"),
            ("classes.txt", "1 a", "number of classes should be 200"),
        ] {
            let error = plan(&listing(file, text)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
