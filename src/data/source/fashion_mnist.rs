//! Fashion-MNIST: clothing in MNIST's shape and format.

use super::layout::{Encoding, Layout};
use super::mnist;
use super::official::{Half, Official, Order};
use super::spec::{DataSpec, Remote};
use crate::data::image_set::ImageShape;

const MIRRORS: &[&str] = &[
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
];

/// See [`DataSpec`].
pub static FASHION_MNIST: DataSpec = DataSpec {
    name: "fashion-mnist",
    description: "clothing: 10 classes, 60000 + 10000 images, 1x28x28",
    licence: "MIT (Zalando SE)",
    homepage: "https://github.com/zalandoresearch/fashion-mnist",
    get: "its four files {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz",
    shape: ImageShape::new(1, 28, 28),
    classes: 10,
    class_names: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
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
    official: Some(Official {
        train: Half {
            content: "30129cd6667be558e90eef549f4c2cf35929d72b94d66ce83e1341c10d6a5e3f",
            order: Order::Sha256(
                "ee4803e699d98fb7e816c3ab57b3ad1d233dd43ac4aab08b80e83e5811907876",
            ),
        },
        test: Half {
            content: "903241f6ce163e74db773cd55c783e4e7f49a90ffc517b231568748ebbc2c11e",
            order: Order::Sha256(
                "249e21db255babc89c49fd2c19c981ca836d0ecfbee0b6d69b623bfb03c11fa5",
            ),
        },
    }),
    is_cached: false,
    remotes: &[
        Remote::md5(
            "fashion-mnist/train-images-idx3-ubyte.gz",
            MIRRORS,
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        ),
        Remote::md5(
            "fashion-mnist/train-labels-idx1-ubyte.gz",
            MIRRORS,
            "25c81989df183df01b3e8a0aad5dffbe",
        ),
        Remote::md5(
            "fashion-mnist/t10k-images-idx3-ubyte.gz",
            MIRRORS,
            "bef4ecab320f06d8554ea6380940ec79",
        ),
        Remote::md5(
            "fashion-mnist/t10k-labels-idx1-ubyte.gz",
            MIRRORS,
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ],
    sample: None,
};
