//! Times the way from files to images in memory, on files that it makes itself.
//!
//! ```text
//! cargo bench --bench loading
//! ```
//!
//! Every figure is the median over its repetitions, with the bytes of images per second that it means. The files have
//! just been written, so they are read from the system's page cache.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints and may fail"
)]

use std::fs;
use std::io::{BufWriter, Cursor};
use std::path::Path;
use std::time::Instant;

use image::{ImageFormat, RgbImage};
use tagcl::data::format::cifar::{self, CifarKind};
use tagcl::data::format::compress::Unpacked;
use tagcl::data::format::idx::{self, IdxImages};
use tagcl::data::format::picture::{self, Resize};
use tagcl::data::source::LoadOptions;
use tagcl::data::source::cifar100::CIFAR100;
use tagcl::data::source::folders::{ClassFolders, load_folders};
use tagcl::data::{ImageSet, ImageShape, embedded, load};
use tagcl::seed::Seeds;
use tagcl::stream::{ClassOrder, Protocol, Scaling, StreamKind, StreamSpec, TaskStream};

/// Photographs of the folder of one's own, and their side before and after.
const PHOTOGRAPHS: usize = 120;
const LARGE: u32 = 500;
const SMALL: usize = 224;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints the median of `repeats` times and the rate at which `bytes` of images come.
fn row<T>(name: &str, bytes: usize, repeats: usize, mut work: impl FnMut() -> T) {
    let once = |_| {
        let began = Instant::now();
        let result = work();
        let elapsed = began.elapsed().as_secs_f64();
        drop(result);
        elapsed
    };
    let seconds = median((0..repeats).map(once).collect());
    let rate = bytes as f64 / 1e6 / seconds;
    println!("{name:62} {:9.2} ms {rate:8.0} MB/s", seconds * 1e3);
}

fn noise(count: usize) -> Vec<u8> {
    let mut stream = Seeds::new(1).stream("bench");
    (0..count).map(|_| stream.below(256) as u8).collect()
}

/// A smooth picture with a little noise, which compresses as photographs do.
fn photograph(number: usize) -> RgbImage {
    let noise = noise(4096);
    RgbImage::from_fn(LARGE, LARGE, |x, y| {
        let at = (x as usize * 31 + y as usize * 17 + number * 7) % noise.len();
        let value = |step: u32| {
            let smooth = ((x * step + y * 3 + number as u32 * 11) / 8 % 200) as u8;
            smooth + noise[at] % 24
        };
        image::Rgb([value(1), value(2), value(5)])
    })
}

fn encoded(number: usize, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    photograph(number).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn cifar_files(folder: &Path) {
    let set = |count: usize| {
        let labels = (0..count).map(|i| (i % 100) as u16).collect();
        ImageSet::new(ImageShape::new(3, 32, 32), noise(count * 3072), labels, 100).unwrap()
    };
    let folder = folder.join("cifar-100-binary");
    fs::create_dir_all(&folder).unwrap();
    for (name, count) in [("train.bin", 50_000), ("test.bin", 10_000)] {
        let file = BufWriter::new(fs::File::create(folder.join(name)).unwrap());
        cifar::write(file, &set(count), CifarKind::Cifar100Fine).unwrap();
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let shape = ImageShape::new(3, SMALL, SMALL);

    cifar_files(folder.path());
    let load = || load(&CIFAR100, folder.path()).unwrap();
    row(
        "CIFAR-100 binary files, 60,000 images",
        60_000 * 3072,
        5,
        load,
    );
    let data = load();
    let spec = StreamSpec {
        kind: StreamKind::Split(ClassOrder::Fixed),
        tasks: 1,
        sizes: None,
        first_tasks: None,
        validation: 0.0,
        fraction: 1.0,
        samples_per_task: None,
        scaling: Scaling::Unit,
        protocol: Protocol::default(),
    };
    let stream = TaskStream::new(&spec, &data, Seeds::new(1)).unwrap();
    let samples = &stream.tasks()[0].train;
    let positions: Vec<usize> = (0..samples.len()).step_by(5).collect();
    row(
        "batches of 10 from bytes, 10,000 images",
        10_000 * 3072,
        5,
        || {
            for batch in positions.chunks(10) {
                std::hint::black_box(samples.batch(batch));
            }
        },
    );
    row(
        "the embedded MNIST sample (xz), 12,000 images",
        12_000 * 784,
        5,
        || embedded::mnist_sample().unwrap(),
    );
    let images = IdxImages {
        count: 60_000,
        height: 28,
        width: 28,
        pixels: noise(60_000 * 784),
    };
    let mut idx_file = Vec::new();
    idx::write_images(&mut idx_file, &images).unwrap();
    row("idx images, 60,000 of 28x28", 60_000 * 784, 5, || {
        idx::read_images(Unpacked::new(idx_file.as_slice()).unwrap(), "idx").unwrap()
    });

    let bytes = (LARGE * LARGE * 3) as usize;
    for (name, format) in [("PNG", ImageFormat::Png), ("JPEG", ImageFormat::Jpeg)] {
        let file = encoded(1, format);
        row(
            &format!("one {name} of 500x500 to 224x224, smoothed"),
            bytes,
            30,
            || picture::decode(&file, shape, Resize::Smooth, name).unwrap(),
        );
    }

    for number in 0..PHOTOGRAPHS {
        let class = folder
            .path()
            .join("own")
            .join(format!("class{}", number % 4));
        fs::create_dir_all(&class).unwrap();
        let file = class.join(format!("{number:04}.jpg"));
        fs::write(file, encoded(number, ImageFormat::Jpeg)).unwrap();
    }
    let own = ClassFolders {
        name: "own".to_string(),
        classes: (0..4).map(|c| format!("class{c}")).collect(),
        shape,
        test_share: Some(0.2),
    };
    let root = folder.path().join("own");
    let all = PHOTOGRAPHS * bytes;
    row(
        "120 JPEG files in class folders, all cores, no cache",
        all,
        5,
        || load_folders(&root, &own, LoadOptions::default()).unwrap(),
    );
    let cache = folder.path().join("cache");
    let cached = || {
        let options = LoadOptions {
            cache: Some(&cache),
            ..LoadOptions::default()
        };
        load_folders(&root, &own, options).unwrap()
    };
    drop(cached());
    row("the same from the cache", all, 5, cached);
}
