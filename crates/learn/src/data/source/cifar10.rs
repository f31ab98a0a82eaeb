//! CIFAR-10: five training batches and one test batch, binary or pickled.

use super::layout::{Encoding, Layout, Member, Role, Split};
use super::official::{Half, Official, Order};
use super::spec::{DataSpec, Remote};
use crate::data::format::cifar::{self, CifarKind, SHAPE};
use crate::data::format::{MAX_FILE_BYTES, cifar_python, read_bounded};

const fn batch(split: Split, names: &'static [&'static str]) -> Member {
    Member {
        split,
        role: Role::Records,
        names,
    }
}

/// See [`DataSpec`].
pub static CIFAR10: DataSpec = DataSpec {
    name: "cifar10",
    description: "objects and animals: 10 classes, 50000 + 10000 images, 3x32x32",
    licence: "no licence file; for research, cite Krizhevsky 2009",
    homepage: "https://www.cs.toronto.edu/~kriz/cifar.html",
    get: "cifar-10-binary.tar.gz (or cifar-10-python.tar.gz)",
    shape: SHAPE,
    classes: 10,
    class_names: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    train: 50_000,
    test: 10_000,
    layouts: &[
        Layout {
            encoding: Encoding::Records {
                read: |reader, file| cifar::read(reader, CifarKind::Cifar10, file),
                count: |_, length| Some(length / CifarKind::Cifar10.record_bytes() as u64),
            },
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
            encoding: Encoding::Records {
                read: |reader, file| {
                    cifar_python::read(
                        &read_bounded(reader, MAX_FILE_BYTES, file)?,
                        CifarKind::Cifar10,
                        file,
                    )
                },
                count: |_, length| Some(length / cifar::PIXELS as u64),
            },
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
    official: Some(Official {
        train: Half {
            content: "f4a30ad3e79a07901fe2541954e64abc00f8abf2e24e20cc370aa6e5ade5d9bc",
            order: Order::Sha256(
                "b900f6d481f43ec74f87aefcca09fc0c8ffccbc8a7596bee32a9aa80a7cd333c",
            ),
        },
        test: Half {
            content: "f2128fa7038c2847afb9d4faee8f359cc8eb8c4329a457593d3a85dad91f8931",
            order: Order::Sha256(
                "b1b5f185b164a57fad0b64afb051d99f58412764c7d1237e524f1c93b758569e",
            ),
        },
    }),
    is_cached: false,
    remotes: &[Remote::md5(
        "cifar-10-binary.tar.gz",
        &["https://www.cs.toronto.edu/~kriz/"],
        "c32a1d4ab5d03f1284b67883e8d87530",
    )],
    sample: None,
};
