//! notMNIST, the small set: letters A to J in many typefaces, one PNG file each.
//!
//! It has no official test set. As in the released code, `NumPy`'s legacy generator at seed 0 shuffles the images and
//! the first tenth is the test set. The order that is shuffled here is that of the paths; whether the released run had
//! the same order is not known, so the sizes are the paper's and single images may not be.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::official::{Half, Official, Order};
use super::plan::{Broken, Files, Item, Part, Plan};
use super::spec::{DataSpec, Known, Remote};
use crate::data::error::DataError;
use crate::data::format::picture::Resize;
use crate::data::image_set::ImageShape;
use crate::data::tree::{Listing, Use};

const LETTERS: [&str; 10] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];

const fn letter(names: &'static [&'static str]) -> Member {
    Member {
        split: Split::Pooled,
        role: Role::Folder,
        names,
    }
}

/// See [`DataSpec`].
pub static NOTMNIST: DataSpec = DataSpec {
    name: "notmnist",
    description: "letters A to J in many typefaces (the small set): 10 classes, 16852 + 1872 images, 1x28x28",
    licence: "no licence file; made by Yaroslav Bulatov from public typefaces",
    homepage: "https://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html",
    get: "notMNIST_small.tar.gz",
    shape: ImageShape::new(1, 28, 28),
    classes: 10,
    class_names: &LETTERS,
    train: 16_852,
    test: 1_872,
    layouts: &[Layout {
        encoding: Encoding::Files(Files {
            how: "NotMnist",
            usage,
            plan,
        }),
        folders: &["notMNIST_small", "notmnist"],
        archives: &["notMNIST_small"],
        members: &[
            letter(&["A"]),
            letter(&["B"]),
            letter(&["C"]),
            letter(&["D"]),
            letter(&["E"]),
            letter(&["F"]),
            letter(&["G"]),
            letter(&["H"]),
            letter(&["I"]),
            letter(&["J"]),
        ],
    }],
    official: Some(Official {
        train: Half {
            content: "3f7d7a6c46c29342442d77c86818bda0cf23b82e9c1d92724fa4c0ccebba650b",
            order: Order::Sha256(
                "fbec7d7002990f07b872601ec168ae73d05c750617287c45dec7953178cd019e",
            ),
        },
        test: Half {
            content: "2c06d767f68511099d07e45a08a61b923259fef8e7a0e394a108dcec661849a1",
            order: Order::Sha256(
                "848c44cdbc56ddd33361a7a84e0ba6273a2597fec2f0d62e53ef8c560340eefa",
            ),
        },
    }),
    is_cached: false,
    // No checksum is published: its images are compared with those of a copy whose numbers are the known ones (18,724
    // images, two broken files).
    remotes: &[Remote {
        path: "notMNIST_small.tar.gz",
        mirrors: &[
            "http://yaroslavvb.com/upload/notMNIST/",
            "http://commondatastorage.googleapis.com/books1000/",
        ],
        known: Known::Images("85b861d5f28100475d1ff8890a730a5773fbd558cfc09b3c6ee32b5f4f4d4e69"),
    }],
    sample: None,
};

fn letter_of(path: &str) -> Option<usize> {
    let (folder, name) = path.split_once('/')?;
    let ends = std::path::Path::new(name)
        .extension()?
        .eq_ignore_ascii_case("png");
    LETTERS.iter().position(|letter| ends && *letter == folder)
}

fn usage(path: &str) -> Use {
    if letter_of(path).is_some() {
        Use::Image
    } else {
        Use::Ignored
    }
}

#[allow(clippy::unnecessary_wraps, reason = "other planners can fail")]
fn plan(listing: &Listing) -> Result<Plan, DataError> {
    let item = |path: &String| {
        let label = letter_of(path)? as u16;
        Some(Item {
            path: path.clone(),
            label,
            part: Part::Pooled,
        })
    };
    Ok(Plan {
        items: listing.images.iter().filter_map(item).collect(),
        shape: NOTMNIST.shape,
        classes: NOTMNIST.classes,
        class_names: NOTMNIST.class_names(),
        resize: Resize::Exact,
        broken: Broken::Skipped,
        notes: Vec::new(),
    })
}
