//! CIFAR-100 with its fine labels: one training and one test file, binary or pickled.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::spec::{DataSpec, Remote};
use crate::data::format::cifar::{self, CifarKind, SHAPE};
use crate::data::format::{MAX_FILE_BYTES, cifar_python, read_bounded};

/// See [`DataSpec`].
pub static CIFAR100: DataSpec = DataSpec {
    name: "cifar100",
    description: "objects and animals: 100 classes, 50000 + 10000 images, 3x32x32",
    licence: "no licence file; for research, cite Krizhevsky 2009",
    homepage: "https://www.cs.toronto.edu/~kriz/cifar.html",
    get: "cifar-100-binary.tar.gz (or cifar-100-python.tar.gz)",
    shape: SHAPE,
    classes: 100,
    train: 50_000,
    test: 10_000,
    layouts: &[
        Layout {
            encoding: Encoding::Records(|reader, file| {
                cifar::read(reader, CifarKind::Cifar100Fine, file)
            }),
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
            encoding: Encoding::Records(|reader, file| {
                cifar_python::read(
                    &read_bounded(reader, MAX_FILE_BYTES, file)?,
                    CifarKind::Cifar100Fine,
                    file,
                )
            }),
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
    checksums: &[],
    is_cached: false,
    remotes: &[Remote::md5(
        "cifar-100-binary.tar.gz",
        &["https://www.cs.toronto.edu/~kriz/"],
        "03b5dce01913d631647c71ecec9e9cb8",
    )],
    sample: None,
};
