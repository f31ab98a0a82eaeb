//! Every parser of bytes from outside, under one signature: for fuzzing and for the test of mutations in this suite.
//!
//! Not part of the library's promise. `fuzz/` has one target a parser.

use super::format::cifar::CifarKind;
use super::format::pickle::Pickle;
use super::format::picture::Resize;
use super::format::{
    archive, cifar, cifar_python, compress, features, idx, mat, mini_imagenet, npz, picture, torch,
};
use super::image_set::ImageShape;
use super::source::mini_imagenet as mini_imagenet_list;

/// A parser that takes any bytes and says nothing.
pub type Parser = fn(&[u8]);

/// Name and parser.
pub const PARSERS: &[(&str, Parser)] = &[
    ("idx_images", |bytes| drop(idx::read_images(bytes, "f"))),
    ("idx_labels", |bytes| drop(idx::read_labels(bytes, "f"))),
    ("cifar", |bytes| {
        for kind in [CifarKind::Cifar10, CifarKind::Cifar100Fine] {
            drop(cifar::read(bytes, kind, "f"));
        }
    }),
    ("cifar_python", |bytes| {
        drop(cifar_python::read(bytes, CifarKind::Cifar10, "f"));
    }),
    ("pickle", |bytes| drop(Pickle::parse(bytes, "f"))),
    ("torch", |bytes| drop(torch::read_state_dict(bytes, "f"))),
    ("mini_imagenet", |bytes| {
        drop(mini_imagenet::read(bytes, "f"));
    }),
    ("mat", |bytes| drop(mat::read_images(bytes, 10, "f"))),
    ("npz", |bytes| {
        drop(npz::read_images(bytes, ("x", "y"), 2, "f"));
    }),
    ("features", |bytes| {
        let labels = features::Labels::Below(2);
        drop(features::read_features(bytes, ("x", "y"), 2, &labels, "f"));
    }),
    ("archive", |bytes| {
        drop(archive::each_member(bytes, "f", |_, member| {
            let mut block = [0; 64];
            drop(member.read(&mut block));
            Ok(())
        }));
    }),
    ("compress", |bytes| {
        if let Ok(mut reader) = compress::Unpacked::new(bytes) {
            drop(std::io::copy(
                &mut std::io::Read::take(&mut reader, 1 << 24),
                &mut std::io::sink(),
            ));
        }
    }),
    ("picture", |bytes| {
        for (channels, resize) in [(1, Resize::Smooth), (3, Resize::Bilinear)] {
            drop(picture::decode(
                bytes,
                ImageShape::new(channels, 8, 8),
                resize,
                "f",
            ));
        }
    }),
    ("list", |bytes| {
        drop(mini_imagenet_list::rows(
            "f",
            &String::from_utf8_lossy(bytes),
        ));
    }),
    ("cache", |bytes| drop(super::cache::read(&mut &*bytes, "f"))),
];

/// Runs a parser by its name.
///
/// # Panics
///
/// Where there is no parser of this name, or the parser has a defect.
#[allow(
    clippy::panic,
    reason = "a fuzz target without its parser must not look healthy"
)]
pub fn run(name: &str, bytes: &[u8]) {
    match PARSERS.iter().find(|(known, _)| *known == name) {
        Some((_, parser)) => parser(bytes),
        None => panic!("no parser {name}"),
    }
}

/// A cheap generator, so that a mutation is given by its number.
#[derive(Clone, Copy, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// A number below `limit`; 0 for the limit 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

/// One to four changes: bits, extreme bytes and numbers, cuts, repeats, and words of the format put in.
pub fn mutate(sample: &[u8], words: &[&str], chance: &mut Chance) -> Vec<u8> {
    const NUMBERS: [u32; 5] = [u32::MAX, 0x7fff_ffff, 0x8000_0000, 0, 1 << 24];
    let mut bytes = sample.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len());
        let end = (at + 1 + chance.below(16)).min(bytes.len());
        let kinds = if words.is_empty() { 7 } else { 10 };
        let kind = chance.below(kinds);
        let Some(byte) = bytes.get_mut(at) else {
            bytes.push(chance.below(256) as u8);
            continue;
        };
        match kind {
            0 => *byte ^= 1 << chance.below(8),
            1 => *byte = *[0, 1, 0x7f, 0x80, 0xff].get(chance.below(5)).unwrap_or(&0),
            2 => *byte = chance.below(256) as u8,
            3 => bytes.truncate(at),
            4 => {
                let repeat: Vec<u8> = bytes.iter().take(end).skip(at).copied().collect();
                bytes.splice(at..at, repeat);
            }
            5 => drop(bytes.drain(at..end)),
            6 => {
                let number = NUMBERS.get(chance.below(5)).copied().unwrap_or(0);
                for (byte, new) in bytes.iter_mut().skip(at).zip(number.to_be_bytes()) {
                    *byte = new;
                }
            }
            more => {
                let word = words.get(chance.below(words.len())).copied().unwrap_or("");
                let until = if more == 7 { at } else { end };
                bytes.splice(at..until, word.bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::data::testing::{cifar_set, gzip, noise, python2_batch, tar, xz};

    /// Small valid inputs of a parser, from which mutations start.
    fn samples(name: &str) -> Vec<Vec<u8>> {
        let digits = |images: bool| {
            let mut bytes = Vec::new();
            let parsed = idx::IdxImages {
                count: 3,
                height: 4,
                width: 5,
                pixels: noise(60, 1),
            };
            if images {
                idx::write_images(&mut bytes, &parsed).unwrap();
            } else {
                idx::write_labels(&mut bytes, &[1, 2, 3]).unwrap();
            }
            bytes
        };
        let members: &[(&str, &[u8])] = &[
            ("a/b.bin", b"hello"),
            ("../../etc/passwd", b"x"),
            ("/abs", &[7; 600]),
        ];
        let picture = |format| {
            let image = image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(9, 7, |x, y| {
                image::Rgb([x as u8 * 20, y as u8 * 30, 9])
            }));
            let mut bytes = std::io::Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).unwrap();
            bytes.into_inner()
        };
        match name {
            "idx_images" => vec![digits(true)],
            "idx_labels" => vec![digits(false)],
            "cifar" => {
                let mut bytes = Vec::new();
                cifar::write(&mut bytes, &cifar_set(2, 10, 1), CifarKind::Cifar10).unwrap();
                vec![bytes]
            }
            "cifar_python" | "pickle" => vec![python2_batch(&cifar_set(2, 10, 1), "labels")],
            "torch" => [
                &include_bytes!("format/torch/zip.pth")[..],
                include_bytes!("format/torch/legacy.pth"),
            ]
            .map(<[u8]>::to_vec)
            .to_vec(),
            "mini_imagenet" => vec![mini_imagenet::sample()],
            "mat" => vec![mat::sample(false), mat::sample(true)],
            "npz" => vec![npz::sample()],
            "features" => vec![features::tests::archive(), features::tests::tensors()],
            "archive" => vec![tar(members), gzip(&tar(members)), xz(&tar(members))],
            "compress" => vec![gzip(&noise(500, 1)), xz(&noise(500, 1)), noise(40, 2)],
            "picture" => [
                image::ImageFormat::Png,
                image::ImageFormat::Jpeg,
                image::ImageFormat::WebP,
            ]
            .map(picture)
            .to_vec(),
            "list" => vec![b"filename,label\na.jpg,n1\n\"b, \"\"c\"\".jpg\",n2\r\n".to_vec()],
            "cache" => vec![crate::data::cache::sample()],
            other => panic!("no sample for {other}"),
        }
    }

    /// `TAGCL_FUZZ_SEEDS` names a folder that gets them, a folder a parser: a corpus for `cargo fuzz` to begin with.
    #[test]
    fn every_parser_has_samples() {
        let folder = std::env::var_os("TAGCL_FUZZ_SEEDS").map(std::path::PathBuf::from);
        for (name, _) in PARSERS {
            let samples = samples(name);
            assert!(!samples.is_empty() && samples.iter().all(|s| !s.is_empty()));
            if let Some(folder) = folder.as_ref().map(|folder| folder.join(name)) {
                std::fs::create_dir_all(&folder).unwrap();
                for (i, sample) in samples.iter().enumerate() {
                    std::fs::write(folder.join(format!("sample-{i}")), sample).unwrap();
                }
            }
        }
    }

    /// `TAGCL_MUTATIONS` sets the number a parser; failures print the input's seed.
    #[test]
    fn mutated_samples_give_a_value_or_an_error() {
        let count = std::env::var("TAGCL_MUTATIONS")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(2000_u64);
        for (name, parser) in PARSERS {
            let samples = samples(name);
            for sample in &samples {
                parser(sample);
            }
            let began = std::time::Instant::now();
            for seed in 0..count {
                let mut chance = Chance(seed);
                let sample = &samples[chance.below(samples.len())];
                let bytes = mutate(sample, &[], &mut chance);
                let result = std::panic::catch_unwind(|| parser(&bytes));
                assert!(result.is_ok(), "{name} panicked on mutation {seed}");
            }
            if count > 2000 {
                let _ = writeln!(
                    std::io::stderr(),
                    "{name}: {count} mutations in {:.1} s",
                    began.elapsed().as_secs_f64()
                );
            }
        }
    }
}
