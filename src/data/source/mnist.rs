//! MNIST: handwritten digits, in four idx files.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::spec::{DataSpec, Remote};
use crate::data::embedded::MNIST_SAMPLE;
use crate::data::image_set::ImageShape;

/// The four files. Some mirrors write a dot for the second dash.
pub(super) const MEMBERS: &[Member] = &[
    Member {
        split: Split::Train,
        role: Role::Images,
        names: &["train-images-idx3-ubyte", "train-images.idx3-ubyte"],
    },
    Member {
        split: Split::Train,
        role: Role::Labels,
        names: &["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"],
    },
    Member {
        split: Split::Test,
        role: Role::Images,
        names: &["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"],
    },
    Member {
        split: Split::Test,
        role: Role::Labels,
        names: &["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"],
    },
];

const MIRRORS: &[&str] = &[
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
];

/// See [`DataSpec`].
pub static MNIST: DataSpec = DataSpec {
    name: "mnist",
    description: "handwritten digits: 10 classes, 60000 + 10000 images, 1x28x28",
    licence: "CC BY-SA 3.0 (Yann LeCun, Corinna Cortes)",
    homepage: "http://yann.lecun.com/exdb/mnist/",
    get: "its four files {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
    shape: ImageShape::new(1, 28, 28),
    classes: 10,
    train: 60_000,
    test: 10_000,
    // `MNIST/raw` is where torchvision keeps it.
    layouts: &[Layout {
        encoding: Encoding::Idx,
        folders: &["mnist", "MNIST/raw", ""],
        archives: &[],
        members: MEMBERS,
    }],
    checksums: &[
        (
            "train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ],
    is_cached: false,
    remotes: &[
        Remote::md5(
            "mnist/train-images-idx3-ubyte.gz",
            MIRRORS,
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        ),
        Remote::md5(
            "mnist/train-labels-idx1-ubyte.gz",
            MIRRORS,
            "d53e105ee54ea40749a09fcbcd1e9432",
        ),
        Remote::md5(
            "mnist/t10k-images-idx3-ubyte.gz",
            MIRRORS,
            "9fb629c4189551a2d022fa330f9573f3",
        ),
        Remote::md5(
            "mnist/t10k-labels-idx1-ubyte.gz",
            MIRRORS,
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ],
    sample: Some(&MNIST_SAMPLE),
};
