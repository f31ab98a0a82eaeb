//! MNIST: handwritten digits, in four idx files.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::official::{Half, Official, Order};
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
    // Digits: they are called by their numbers.
    class_names: &[],
    train: 60_000,
    test: 10_000,
    // `MNIST/raw` is where torchvision keeps it.
    layouts: &[Layout {
        encoding: Encoding::Idx,
        folders: &["mnist", "MNIST/raw", ""],
        archives: &[],
        members: MEMBERS,
    }],
    official: Some(Official {
        train: Half {
            content: "ec2bd37f76dd2685383497a9accdc466dc89a97434968b87ee0159f969887b1c",
            order: Order::Sha256(
                "a16f2243c013d1e8fc1cf31f8f4b44bd2e94d9973d2cc151d17d8316e1dcca87",
            ),
        },
        test: Half {
            content: "8aea56afc1b4fce9f5b404db13ceca7267770673033ab60d63f1bbcbb224cb66",
            order: Order::Sha256(
                "47145ecd0c48f5750122966681fcffd70b6f32882243c2fadbeddaa8a4b863fe",
            ),
        },
    }),
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
