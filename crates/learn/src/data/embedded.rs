//! The small real sample that ships with the program: 10,000 + 2,000 images of MNIST.
//!
//! It makes the program useful without a download and tests meaningful without a network. What it
//! holds, its licence (CC BY-SA 3.0) and its checksums: `assets/mnist-sample/README.md`; how it was
//! made: `tools/make_mnist_sample.py`.

use super::error::DataError;
use super::format::idx;
use super::image_set::{Dataset, ImageSet};
use super::source::spec::Sample;

macro_rules! asset {
    ($name:literal) => {
        (
            concat!("embedded mnist-sample/", $name),
            include_bytes!(concat!("../../assets/mnist-sample/", $name)).as_slice(),
        )
    };
}

const TRAIN_IMAGES: (&str, &[u8]) = asset!("train-images-idx3-ubyte.gz");
const TRAIN_LABELS: (&str, &[u8]) = asset!("train-labels-idx1-ubyte.gz");
const TEST_IMAGES: (&str, &[u8]) = asset!("t10k-images-idx3-ubyte.gz");
const TEST_LABELS: (&str, &[u8]) = asset!("t10k-labels-idx1-ubyte.gz");

/// The sample as part of MNIST.
pub static MNIST_SAMPLE: Sample = Sample {
    name: "mnist-sample",
    licence: "CC BY-SA 3.0, Yann LeCun and Corinna Cortes; images selected, otherwise unchanged",
    load: mnist_sample,
};

/// The sample: `[10000, 1, 28, 28]` and `[2000, 1, 28, 28]`, 1,000 and 200 images a digit, with a
/// note that says so.
///
/// # Errors
///
/// None in a good build; the parsers' errors if the compiled-in bytes are damaged.
pub fn mnist_sample() -> Result<Dataset, DataError> {
    let train = part(TRAIN_IMAGES, TRAIN_LABELS)?;
    let test = part(TEST_IMAGES, TEST_LABELS)?;
    let note = format!(
        "embedded sample of MNIST: {} of 60000 training and {} of 10000 test images",
        train.len(),
        test.len()
    );
    Dataset::new(MNIST_SAMPLE.name, train, test, Some(note))
}

fn part(images: (&str, &[u8]), labels: (&str, &[u8])) -> Result<ImageSet, DataError> {
    let parsed = idx::read_images(images.1, images.0)?;
    idx::image_set(parsed, &idx::read_labels(labels.1, labels.0)?, 10, labels.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image_set::ImageShape;
    use crate::data::load;
    use crate::data::source::mnist::MNIST;
    use crate::data::testing::shared_data;

    #[test]
    fn sample_is_balanced_and_pinned() {
        let sample = mnist_sample().unwrap();
        assert_eq!(sample.train.shape(), ImageShape::new(1, 28, 28));
        assert_eq!(sample.train.class_counts(), [1000; 10]);
        assert_eq!(sample.test.class_counts(), [200; 10]);
        assert_eq!(sample.train.labels()[..5], [5, 0, 4, 1, 9]);
        assert_eq!(sample.test.labels()[..5], [7, 2, 1, 0, 4]);
        assert!(
            sample
                .note
                .as_deref()
                .is_some_and(|note| note.contains("10000 of 60000"))
        );
        assert_eq!(
            sample.sha256(),
            "d3957c160fd0592a2c728284eee59716ff7e1ec9e7f21fac3048b5277eb99d5f"
        );
    }

    /// The sample is what its README says: the first images of each digit, in file order.
    #[test]
    fn sample_comes_from_the_official_files() {
        let Some(folder) = shared_data() else { return };
        let (sample, whole) = (mnist_sample().unwrap(), load(&MNIST, &folder).unwrap());
        let first_of_each_digit = |set: &ImageSet, count: usize| {
            let mut taken = [0; 10];
            let chosen: Vec<usize> = (0..set.len())
                .filter(|&index| {
                    let digit = usize::from(set.labels()[index]);
                    taken[digit] += 1;
                    taken[digit] <= count
                })
                .collect();
            set.subset(&chosen).unwrap()
        };
        assert_eq!(first_of_each_digit(&whole.train, 1000), sample.train);
        assert_eq!(first_of_each_digit(&whole.test, 200), sample.test);
    }
}
