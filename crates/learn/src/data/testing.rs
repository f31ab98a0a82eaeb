//! What the tests of this module share: tiny sets, and files of every format made in memory.

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};

use super::format::cifar::{PIXELS, SHAPE};
use super::image_set::ImageSet;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Pseudo-random bytes (splitmix64), the same on every platform.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)).to_le_bytes()[0]
        })
        .collect()
}

/// Noise in CIFAR's shape; the last image has the highest label.
pub(crate) fn cifar_set(count: usize, classes: usize, seed: u64) -> ImageSet {
    let pixels = noise(count * PIXELS, seed);
    let mut labels: Vec<u16> = noise(count, !seed)
        .into_iter()
        .map(|b| u16::from(b) % classes as u16)
        .collect();
    labels[count - 1] = classes as u16 - 1;
    ImageSet::new(SHAPE, pixels, labels, classes).unwrap()
}

/// A tar archive of regular files, as GNU tar writes short names.
pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, contents) in members {
        bytes.extend(tar_entry(path, b'0', contents));
    }
    bytes.extend([0; 1024]);
    bytes
}

/// One header with its contents, padded.
pub(crate) fn tar_entry(path: &str, kind: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = tar_header(path, kind, format!("{:011o}\0", contents.len()));
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// One header with its size field as given (12 bytes).
pub(crate) fn tar_header(path: &str, kind: u8, size: impl AsRef<[u8]>) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(size.as_ref());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A CIFAR batch as Python 2's cPickle writes it in protocol 2.
pub(crate) fn python2_batch(set: &ImageSet, labels_key: &str) -> Vec<u8> {
    let int = |value: usize| -> Vec<u8> {
        match value {
            0..256 => vec![b'K', value as u8],
            256..65_536 => [&b"M"[..], &(value as u16).to_le_bytes()].concat(),
            _ => [&b"J"[..], &(value as i32).to_le_bytes()].concat(),
        }
    };
    let mut out = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 1q\x03".to_vec();
    out.push(b'U');
    out.push(labels_key.len() as u8);
    out.extend(labels_key.as_bytes());
    out.extend(b"q\x04]q\x05(");
    for &label in set.labels() {
        out.extend(int(usize::from(label)));
    }
    out.extend(b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08");
    out.extend(b"K\x00\x85U\x01b\x87Rq\x09(K\x01");
    out.extend(int(set.len()));
    out.extend(int(PIXELS));
    out.extend(b"\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNN");
    out.extend(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    out.extend((set.pixels().len() as u32).to_le_bytes());
    out.extend(set.pixels());
    out.extend(b"tbu.");
    out
}

/// The folder `data` below the one that `TAGCL_SHARED` names: real data for the tests that need it.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("TAGCL_SHARED").map(|folder| PathBuf::from(folder).join("data"));
    if folder.is_none() {
        let mut stderr = std::io::stderr();
        let _ = writeln!(
            stderr,
            "skipped: TAGCL_SHARED does not name a folder with real data"
        );
    }
    folder
}
