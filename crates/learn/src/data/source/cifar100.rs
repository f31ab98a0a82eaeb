//! CIFAR-100 with its fine labels: one training and one test file, binary or pickled.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::official::{Half, Official, Order};
use super::spec::{DataSpec, Remote};
use crate::data::format::cifar::{self, CifarKind, SHAPE};
use crate::data::format::{MAX_FILE_BYTES, cifar_python, read_bounded};

/// `fine_label_names.txt`.
#[rustfmt::skip]
const FINE_LABELS: &[&str] = &[
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed",
    "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud",
    "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl",
    "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower",
    "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit",
    "raccoon", "ray", "road", "rocket", "rose", "sea",
    "seal", "shark", "shrew", "skunk", "skyscraper", "snail",
    "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper",
    "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
];

/// See [`DataSpec`].
pub static CIFAR100: DataSpec = DataSpec {
    name: "cifar100",
    description: "objects and animals: 100 classes, 50000 + 10000 images, 3x32x32",
    licence: "no licence file; for research, cite Krizhevsky 2009",
    homepage: "https://www.cs.toronto.edu/~kriz/cifar.html",
    get: "cifar-100-binary.tar.gz (or cifar-100-python.tar.gz)",
    shape: SHAPE,
    classes: 100,
    class_names: FINE_LABELS,
    train: 50_000,
    test: 10_000,
    layouts: &[
        Layout {
            encoding: Encoding::Records {
                read: |reader, file| cifar::read(reader, CifarKind::Cifar100Fine, file),
                count: |_, length| Some(length / CifarKind::Cifar100Fine.record_bytes() as u64),
            },
            folders: &["cifar-100-binary"],
            archives: &["cifar-100-binary"],
            members: &[
                Member {
                    split: Split::Train,
                    role: Role::Records,
                    names: &["train.bin"],
                },
                Member {
                    split: Split::Test,
                    role: Role::Records,
                    names: &["test.bin"],
                },
            ],
        },
        Layout {
            encoding: Encoding::Records {
                read: |reader, file| {
                    cifar_python::read(
                        &read_bounded(reader, MAX_FILE_BYTES, file)?,
                        CifarKind::Cifar100Fine,
                        file,
                    )
                },
                count: |_, length| Some(length / cifar::PIXELS as u64),
            },
            folders: &["cifar-100-python"],
            archives: &["cifar-100-python"],
            members: &[
                Member {
                    split: Split::Train,
                    role: Role::Records,
                    names: &["train"],
                },
                Member {
                    split: Split::Test,
                    role: Role::Records,
                    names: &["test"],
                },
            ],
        },
    ],
    // The images were at hand in another order than the official one.
    official: Some(Official {
        train: Half {
            content: "dd432952c4688b07d1252beae8b0f3905fd2d223c90a3c106bbcbbd22dc6ee19",
            order: Order::FirstLabels(&[19, 29, 0, 11, 1, 86, 90, 28, 23, 31]),
        },
        test: Half {
            content: "abd0ecacb5611d77b9df5562298834449289174354ef690eb1495b1586eeb29b",
            order: Order::FirstLabels(&[49, 33, 72, 51, 71, 92, 15, 14, 23, 0]),
        },
    }),
    is_cached: false,
    remotes: &[Remote::md5(
        "cifar-100-binary.tar.gz",
        &["https://www.cs.toronto.edu/~kriz/"],
        "03b5dce01913d631647c71ecec9e9cb8",
    )],
    sample: None,
};
