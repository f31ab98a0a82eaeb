//! Benchmarks of one's own, of a few generated images: stripes in four directions, with noise.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

const CLASSES: [&str; 4] = ["across", "checked", "down", "slanted"];

/// Bytes that depend on these numbers alone.
fn value(class: usize, number: usize, x: usize, y: usize, channel: usize) -> u8 {
    let (x, y) = (x + 3 * number, y + 5 * number);
    let bright = match class {
        0 => y / 3 % 2,
        1 => (x / 4 + y / 4) % 2,
        2 => x / 3 % 2,
        _ => (x + y) / 4 % 2,
    };
    let mut noise = (class + 7 * number + 131 * x + 2311 * y + 40_009 * channel) as u32;
    for _ in 0..3 {
        noise = noise.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        noise ^= noise >> 15;
    }
    (40 + 110 * bright + 20 * channel) as u8 + (noise % 60) as u8
}

/// Class folders of PNG files.
fn folders(folder: &Path, classes: &[usize], size: usize, each: usize) {
    for &class in classes {
        let folder = folder.join(CLASSES[class]);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..each {
            let pixel = |x: u32, y: u32| {
                Rgb([0, 1, 2].map(|c| value(class, number, x as usize, y as usize, c)))
            };
            let image = RgbImage::from_fn(size as u32, size as u32, pixel);
            image.save(folder.join(format!("{number:02}.png"))).unwrap();
        }
    }
}

/// An idx file: dimensions of bytes.
fn idx(path: &Path, shape: &[usize], bytes: impl Iterator<Item = u8>) {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    for &size in shape {
        file.extend((size as u32).to_be_bytes());
    }
    file.extend(bytes);
    fs::write(path, file).unwrap();
}

fn idx_half(folder: &Path, half: &str, numbers: std::ops::Range<usize>, size: usize) {
    let examples: Vec<(usize, usize)> = numbers
        .flat_map(|number| (0..4).map(move |class| (class, number)))
        .collect();
    let of = |&(class, number): &(usize, usize)| {
        (0..size * size).map(move |at| value(class, number, at % size, at / size, 0))
    };
    let pixels = examples.iter().flat_map(of);
    let shape = [examples.len(), size, size];
    idx(&folder.join(format!("{half}-images")), &shape, pixels);
    let labels = examples.iter().map(|&(class, _)| class as u8);
    idx(&folder.join(format!("{half}-labels")), &shape[..1], labels);
}

/// `colour.toml` (class folders, 3x32x32, two tasks of two classes), `small.toml` (the same at 25x25), `grey.toml` (idx files, 1x12x12) and `sources.toml`
/// (two sources that are two tasks, 3x16x16).
pub fn write(here: &Path) {
    folders(&here.join("colour"), &[0, 1, 2, 3], 32, 9);
    let images = "channels = 3\nheight = 32\nwidth = 32\nscaling = \"signed\"";
    let source = "name = \"drawn\"\nformat = \"folders\"\npath = \"colour\"\ntest_share = 0.34";
    let tasks = "classes = [[\"across\", \"down\"], [\"slanted\", \"checked\"]]";
    define(here, "colour", images, &[source], tasks);
    let images = "channels = 3\nheight = 25\nwidth = 25\nscaling = \"signed\"";
    define(here, "small", images, &[source], tasks);

    fs::create_dir_all(here.join("grey")).unwrap();
    idx_half(&here.join("grey"), "train", 0..8, 12);
    idx_half(&here.join("grey"), "test", 8..16, 12);
    let images = "channels = 1\nheight = 12\nwidth = 12\nmean = [0.45]\nstd = [0.25]";
    let source = "name = \"drawn\"\nformat = \"idx\"\npath = \"grey\"\nclass_count = 4\n\
                  files = [\"train-images\", \"train-labels\", \"test-images\", \"test-labels\"]";
    define(here, "grey", images, &[source], "count = 2");

    folders(&here.join("straight"), &[0, 2], 16, 10);
    folders(&here.join("other"), &[1, 3], 20, 10);
    let images = "channels = 3\nheight = 16\nwidth = 16";
    let sources = ["straight", "other"].map(|name| {
        format!("name = \"{name}\"\nformat = \"folders\"\npath = \"{name}\"\ntest_share = 0.5")
    });
    let sources = sources.each_ref().map(String::as_str);
    define(here, "sources", images, &sources, "by = \"source\"");
}

/// `benchmark.toml` and 24 images of 8x8 pixels.
pub fn write_small(here: &Path) {
    folders(&here.join("images"), &[0, 1, 2, 3], 8, 6);
    let images = "channels = 3\nheight = 8\nwidth = 8";
    let source = "name = \"drawn\"\nformat = \"folders\"\npath = \"images\"\ntest_share = 0.34";
    define(here, "benchmark", images, &[source], "count = 2");
}

fn define(here: &Path, name: &str, images: &str, sources: &[&str], tasks: &str) {
    let sources = sources
        .iter()
        .map(|source| format!("[[source]]\n{source}\n\n"));
    let sources: String = sources.collect();
    let text = format!("name = \"{name}\"\n\n[images]\n{images}\n\n{sources}[tasks]\n{tasks}\n");
    fs::write(here.join(format!("{name}.toml")), text).unwrap();
}
