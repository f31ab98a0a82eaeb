//! Decoded image sets on disk, by the content they were decoded from.
//!
//! Decoding and resizing 12,000 photographs takes minutes, reading their pixels back takes seconds. The key of an entry
//! is a hash of every source byte and of how it was decoded, so an entry never needs to be declared stale. An entry
//! holds its own checksums and is thrown away if they do not hold.
//!
//! File: `tagcl cache 2\n`, the length of the header as a 64-bit little-endian number, the header (JSON), then labels
//! (16-bit little-endian) and pixels of the training set, then of the test set.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::DataError;
use super::format::{read_bounded, read_rest};
use super::image_set::{Dataset, ImageSet, ImageShape, checksums, hex};
use super::tree::MAX_PIXELS;
use crate::files;

/// Changes with what an entry holds and with how images become pixels; it is part of the key.
const MAGIC: &[u8] = b"tagcl cache 2\n";
const MAX_HEADER: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    name: String,
    note: Option<String>,
    class_names: Vec<String>,
    shape: [usize; 3],
    classes: usize,
    /// Number of images and checksum of the training set and of the test set.
    sets: [(usize, String); 2],
}

/// Where an entry lies.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
}

impl Entry {
    /// The entry for this content, decoded this way.
    pub(crate) fn new(folder: &Path, name: &str, content_sha256: &str, how: &str) -> Self {
        let key = hex(&Sha256::digest(format!(
            "{content_sha256}\n{how}\n{}\n{}",
            env!("CARGO_PKG_VERSION"),
            MAGIC.escape_ascii()
        )));
        let key = key.get(..32).unwrap_or_default();
        Self {
            path: folder.join(format!("{name}-{key}.images")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The data set, if the entry is there and sound; a damaged entry is an error.
    pub(crate) fn read(&self) -> Result<Option<Dataset>, DataError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::io("open", &self.path)(error)),
        };
        read(
            &mut BufReader::with_capacity(1 << 20, file),
            &self.path.display().to_string(),
        )
        .map(Some)
    }

    /// Writes the entry, whole or not at all.
    pub(crate) fn write(&self, data: &Dataset) -> Result<(), DataError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
        let written = files::write_with(&self.path, |out| write(data, out));
        written.map_err(|error| DataError::io("write", &self.path)(error.source))
    }
}

fn write(data: &Dataset, out: &mut dyn Write) -> io::Result<()> {
    let (train, test) = checksums(&data.train, &data.test);
    let shape = data.train.shape();
    let header = Header {
        name: data.name.clone(),
        note: data.note.clone(),
        class_names: data.class_names.clone(),
        shape: [shape.channels, shape.height, shape.width],
        classes: data.train.classes(),
        sets: [(data.train.len(), train), (data.test.len(), test)],
    };
    let header = serde_json::to_vec(&header).unwrap_or_default();
    out.write_all(MAGIC)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for set in [&data.train, &data.test] {
        let labels = set.labels().iter();
        let labels: Vec<u8> = labels.flat_map(|label| label.to_le_bytes()).collect();
        out.write_all(&labels)?;
        out.write_all(set.pixels())?;
    }
    Ok(())
}

/// Reads an entry's bytes.
pub(super) fn read<R: std::io::Read>(reader: &mut R, file: &str) -> Result<Dataset, DataError> {
    let mut start = [0; MAGIC.len() + 8];
    reader
        .read_exact(&mut start)
        .map_err(DataError::unreadable(file))?;
    let (magic, length) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        let found = magic.escape_ascii().to_string();
        return Err(DataError::BadMagic {
            file: file.to_owned(),
            expected: "a cache of images".to_owned(),
            found,
        });
    }
    let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
    if length > MAX_HEADER {
        let (file, what, limit) = (file.to_owned(), "header in bytes", MAX_HEADER);
        return Err(DataError::TooLarge {
            file,
            what,
            found: length,
            limit,
        });
    }
    let header = read_bounded(&mut reader.by_ref().take(length), MAX_HEADER, file)?;
    let header: Header = serde_json::from_slice(&header).map_err(|error| {
        DataError::mismatch(file, "header", "JSON of a cache", error.to_string())
    })?;
    let [channels, height, width] = header.shape;
    let shape = ImageShape::new(channels, height, width);
    let [(train, train_sha), (test, test_sha)] = header.sets;
    let size = shape
        .bytes()
        .and_then(|size| size.checked_add(2))
        .unwrap_or(usize::MAX) as u64;
    let bytes = |count: usize| size.saturating_mul(count as u64);
    let total = bytes(train).saturating_add(bytes(test));
    if total > MAX_PIXELS {
        let (file, what, limit) = (file.to_owned(), "images in bytes", MAX_PIXELS);
        return Err(DataError::TooLarge {
            file,
            what,
            found: total,
            limit,
        });
    }
    let mut set = |count: usize, last: bool| {
        let mut part = reader.by_ref().take(bytes(count));
        let labels = read_bounded(&mut part.by_ref().take(2 * count as u64), MAX_PIXELS, file)?;
        let (labels, _) = labels.as_chunks::<2>();
        let labels = labels.iter().map(|l| u16::from_le_bytes(*l)).collect();
        let pixels = read_bounded(&mut part, MAX_PIXELS, file)?;
        if last {
            read_rest(reader, total, 0, file)?;
        }
        ImageSet::new(shape, pixels, labels, header.classes)
    };
    let (train, test) = (set(train, false)?, set(test, true)?);
    let found = checksums(&train, &test);
    if found != (train_sha, test_sha) {
        return Err(DataError::mismatch(
            file,
            "checksum",
            "that of its header",
            "another",
        ));
    }
    Dataset::new(header.name, train, test, header.note)?.with_class_names(header.class_names)
}

#[cfg(test)]
fn small() -> Dataset {
    let set = |count: usize, seed| {
        let labels = (0..count as u16).map(|l| l % 3).collect();
        ImageSet::new(
            ImageShape::new(3, 2, 2),
            crate::data::testing::noise(12 * count, seed),
            labels,
            3,
        )
        .unwrap()
    };
    let names = ["ant", "bee", "cat"].map(str::to_owned).to_vec();
    let data = Dataset::new("x", set(5, 1), set(3, 2), Some("note".to_owned()));
    data.unwrap().with_class_names(names).unwrap()
}

/// A small valid entry.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&small(), &mut bytes).unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_come_back_and_belong_to_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let entry = Entry::new(&folder.path().join("c"), "x", "abc", "how");
        assert!(entry.read().unwrap().is_none());
        entry.write(&small()).unwrap();
        assert_eq!(entry.read().unwrap(), Some(small()));
        assert!(
            Entry::new(&folder.path().join("c"), "x", "abd", "how")
                .read()
                .unwrap()
                .is_none()
        );
        assert!(
            Entry::new(&folder.path().join("c"), "x", "abc", "other")
                .read()
                .unwrap()
                .is_none()
        );
        assert_eq!(fs::read_dir(folder.path().join("c")).unwrap().count(), 1);
    }

    proptest! {
        /// One bit anywhere, or an end too early: never a data set of other images.
        #[test]
        fn a_damaged_entry_is_refused(position in 0_usize..1000, bit in 0_u8..8, cut in 0_usize..1000) {
            let mut bytes = sample();
            let position = position % bytes.len();
            bytes[position] ^= 1 << bit;
            if let Ok(data) = read(&mut bytes.as_slice(), "e") {
                // Name and note are not part of the checksum.
                prop_assert_eq!((data.train, data.test), (small().train, small().test));
            }
            bytes[position] ^= 1 << bit;
            bytes.truncate(cut % bytes.len());
            prop_assert!(read(&mut bytes.as_slice(), "e").is_err());
        }
    }
}
