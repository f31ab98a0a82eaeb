//! CIFAR-10: five training batches and one test batch, binary or pickled.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::{DataName, Source};
use crate::data::format::cifar::{CifarKind, SHAPE};

const fn batch(split: Split, names: &'static [&'static str]) -> Member {
    Member {
        split,
        role: Role::Records,
        names,
    }
}

pub(super) const SOURCE: Source = Source {
    name: DataName::Cifar10,
    description: "objects and animals: 10 classes, 50000 + 10000 images, 3x32x32",
    licence: "no licence file; for research, cite Krizhevsky 2009",
    homepage: "https://www.cs.toronto.edu/~kriz/cifar.html",
    get: "cifar-10-binary.tar.gz (or cifar-10-python.tar.gz)",
    shape: SHAPE,
    classes: 10,
    train: 50_000,
    test: 10_000,
    layouts: &[
        Layout {
            encoding: Encoding::CifarBinary(CifarKind::Cifar10),
            folders: &["cifar-10-batches-bin"],
            archives: &["cifar-10-binary", "cifar-10-batches-bin"],
            members: &[
                batch(Split::Train, &["data_batch_1.bin"]),
                batch(Split::Train, &["data_batch_2.bin"]),
                batch(Split::Train, &["data_batch_3.bin"]),
                batch(Split::Train, &["data_batch_4.bin"]),
                batch(Split::Train, &["data_batch_5.bin"]),
                batch(Split::Test, &["test_batch.bin"]),
            ],
        },
        Layout {
            encoding: Encoding::CifarPython(CifarKind::Cifar10),
            folders: &["cifar-10-batches-py"],
            archives: &["cifar-10-python", "cifar-10-batches-py"],
            members: &[
                batch(Split::Train, &["data_batch_1"]),
                batch(Split::Train, &["data_batch_2"]),
                batch(Split::Train, &["data_batch_3"]),
                batch(Split::Train, &["data_batch_4"]),
                batch(Split::Train, &["data_batch_5"]),
                batch(Split::Test, &["test_batch"]),
            ],
        },
    ],
    checksums: &[],
};
