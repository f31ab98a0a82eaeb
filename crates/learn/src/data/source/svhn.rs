//! SVHN, cropped digits: street view house numbers, in two MAT-files.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::spec::{DataSpec, Remote};
use crate::data::format::{MAX_FILE_BYTES, mat, read_bounded};
use crate::data::image_set::ImageShape;

const MIRRORS: &[&str] = &["http://ufldl.stanford.edu/housenumbers/"];

/// See [`DataSpec`].
pub static SVHN: DataSpec = DataSpec {
    name: "svhn",
    description: "street view house numbers, cropped digits: 10 classes, 73257 + 26032 images, 3x32x32",
    licence: "no licence file; for non-commercial use, cite Netzer et al. 2011",
    homepage: "http://ufldl.stanford.edu/housenumbers/",
    get: "train_32x32.mat and test_32x32.mat",
    shape: ImageShape::new(3, 32, 32),
    classes: 10,
    // Digits: they are called by their numbers.
    class_names: &[],
    train: 73_257,
    test: 26_032,
    // `SVHN` is where the released code keeps it.
    layouts: &[Layout {
        encoding: Encoding::Records {
            read: |reader, file| {
                mat::read_images(&read_bounded(reader, MAX_FILE_BYTES, file)?, 10, file)
            },
            count: |reader, _| mat::stated_images(reader),
        },
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
    // The official files were not at hand.
    official: None,
    is_cached: false,
    remotes: &[
        Remote::md5(
            "svhn/train_32x32.mat",
            MIRRORS,
            "e26dedcc434d2e4c54c9b2d4a06d8373",
        ),
        Remote::md5(
            "svhn/test_32x32.mat",
            MIRRORS,
            "eb5a983be6a315427106f1b164d9cef3",
        ),
    ],
    sample: None,
};
