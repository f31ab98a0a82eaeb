//! Fashion-MNIST: clothing in MNIST's shape and format.

use super::layout::{Encoding, Layout};
use super::{DataName, Source, mnist};
use crate::data::image_set::ImageShape;

pub(super) const SOURCE: Source = Source {
    name: DataName::FashionMnist,
    description: "clothing: 10 classes, 60000 + 10000 images, 1x28x28",
    licence: "MIT (Zalando SE)",
    homepage: "https://github.com/zalandoresearch/fashion-mnist",
    get: "its four files {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
    shape: ImageShape::new(1, 28, 28),
    classes: 10,
    train: 60_000,
    test: 10_000,
    // The files are named as MNIST's, so they need a folder of their own; `FashionMNIST/raw` is
    // torchvision's.
    layouts: &[Layout {
        encoding: Encoding::Idx,
        folders: &["fashion-mnist", "FashionMNIST/raw"],
        archives: &[],
        members: mnist::MEMBERS,
    }],
    checksums: &[],
};
