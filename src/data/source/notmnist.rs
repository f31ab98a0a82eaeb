//! notMNIST, the small set: letters A to J in many typefaces, one PNG file each.
//!
//! It has no official test set. As in the released code, `NumPy`'s legacy generator at seed 0 shuffles the images and
//! the first tenth is the test set. The order that is shuffled here is that of the paths; whether the released run had
//! the same order is not known, so the sizes are the paper's and single images may not be.

use rand_mt::Mt;

use super::images::{Broken, Item, Part, Plan};
use super::layout::{Encoding, Layout, Member, Role, Split};
use super::{DataName, Source};
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

pub(super) const SOURCE: Source = Source {
    name: DataName::NotMnist,
    description: "letters A to J in many typefaces (the small set): 10 classes, 16852 + 1872 images, 1x28x28",
    licence: "no licence file; made by Yaroslav Bulatov from public typefaces",
    homepage: "https://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html",
    get: "notMNIST_small.tar.gz",
    shape: ImageShape::new(1, 28, 28),
    classes: 10,
    train: 16_852,
    test: 1_872,
    layouts: &[Layout {
        encoding: Encoding::NotMnist,
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
    checksums: &[],
};

fn letter_of(path: &str) -> Option<usize> {
    let (folder, name) = path.split_once('/')?;
    let ends = std::path::Path::new(name)
        .extension()?
        .eq_ignore_ascii_case("png");
    LETTERS.iter().position(|letter| ends && *letter == folder)
}

pub(super) fn usage(path: &str) -> Use {
    if letter_of(path).is_some() {
        Use::Image
    } else {
        Use::Ignored
    }
}

#[allow(clippy::unnecessary_wraps, reason = "other planners can fail")]
pub(super) fn plan(listing: &Listing) -> Result<Plan, DataError> {
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
        shape: SOURCE.shape,
        classes: SOURCE.classes,
        resize: Resize::Exact,
        broken: Broken::Skipped,
        notes: Vec::new(),
    })
}

/// `numpy.random.seed(0); numpy.random.shuffle(order)` for a list of this length.
pub(super) fn numpy_shuffle(count: usize) -> Vec<usize> {
    let mut generator = Mt::new(0);
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        let most = u32::try_from(i).unwrap_or(u32::MAX);
        let mask = u32::MAX >> most.leading_zeros();
        let j = loop {
            let value = generator.next_u32() & mask;
            if value <= most {
                break value as usize;
            }
        };
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.random.seed(0); x = list(range(n)); numpy.random.shuffle(x)`, NumPy 2.4.6.
    #[test]
    fn the_shuffle_is_numpys() {
        assert_eq!(numpy_shuffle(10), [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]);
        let long = numpy_shuffle(18_724);
        assert_eq!(
            long[..8],
            [14_921, 4794, 2188, 16_898, 6409, 13_556, 14_532, 593]
        );
    }
}
