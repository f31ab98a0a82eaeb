//! SVHN, cropped digits: street view house numbers, in two MAT-files.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::{DataName, Source};
use crate::data::image_set::ImageShape;

pub(super) const SOURCE: Source = Source {
    name: DataName::Svhn,
    description: "street view house numbers, cropped digits: 10 classes, 73257 + 26032 images, 3x32x32",
    licence: "no licence file; for non-commercial use, cite Netzer et al. 2011",
    homepage: "http://ufldl.stanford.edu/housenumbers/",
    get: "train_32x32.mat and test_32x32.mat",
    shape: ImageShape::new(3, 32, 32),
    classes: 10,
    train: 73_257,
    test: 26_032,
    // `SVHN` is where the released code keeps it.
    layouts: &[Layout {
        encoding: Encoding::Mat,
        folders: &["svhn", "SVHN", ""],
        archives: &[],
        members: &[
            Member {
                split: Split::Train,
                role: Role::Records,
                names: &["train_32x32.mat"],
            },
            Member {
                split: Split::Test,
                role: Role::Records,
                names: &["test_32x32.mat"],
            },
        ],
    }],
    checksums: &[],
};
