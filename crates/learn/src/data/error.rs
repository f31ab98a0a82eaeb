//! The one error type of the data layer.
//!
//! Each variant carries what a reader of the message needs without opening the source: the file
//! (or the field), the value found, the value or bound expected, and the remedy. `file` is a
//! `String` and not a path because it also names archive members
//! (`cifar-100-binary.tar.gz: cifar-100-binary/train.bin`) and data that was never a file.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What can be wrong with data, with values, bounds and the remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused an operation on a path.
    #[error("could not {action} {}: {source}; check the path, its permissions and the free space", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `create`, `rename`.
        action: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },

    /// Reading or decompressing stopped with an error half-way.
    #[error(
        "could not read or decompress {file}: {source}; the file is probably damaged or incomplete: download it again"
    )]
    Unreadable {
        /// The file or archive member.
        file: String,
        /// What the reader or decoder answered.
        source: io::Error,
    },

    /// The file starts with other bytes than its format demands.
    #[error(
        "{file} is not {expected}: it starts with {found}; check that it is the right file, or download it again"
    )]
    BadMagic {
        /// The file or archive member.
        file: String,
        /// The format that was expected, with its magic number.
        expected: String,
        /// The bytes that were found, in hexadecimal.
        found: String,
    },

    /// The file ends before its header (or its record size) says it should.
    #[error(
        "{file} is truncated: it has {found} bytes, {expected} are needed; download it again and check that the download completed"
    )]
    Truncated {
        /// The file or archive member.
        file: String,
        /// Bytes found.
        found: u64,
        /// Bytes needed, by the header or the format.
        expected: u64,
    },

    /// The file goes on after the last byte that its header accounts for.
    #[error(
        "{file} has {found} bytes where its header accounts for {expected}; it is damaged or another format: download it again"
    )]
    TrailingBytes {
        /// The file or archive member.
        file: String,
        /// Bytes found (counting stops at the bound for one file).
        found: u64,
        /// Bytes accounted for.
        expected: u64,
    },

    /// The length of a file of fixed-size records is no multiple of the record size.
    #[error(
        "{file} has {found} bytes, which is no multiple of the record size {record}: {remainder} bytes are left over; download it again"
    )]
    PartialRecord {
        /// The file or archive member.
        file: String,
        /// Bytes found.
        found: u64,
        /// Bytes a record.
        record: u64,
        /// `found` modulo `record`.
        remainder: u64,
    },

    /// No image where at least one is needed.
    #[error(
        "{what} holds no images where at least 1 is needed; check that it is the right file or selection"
    )]
    NoImages {
        /// The file, archive member or selection.
        what: String,
    },

    /// A size goes over a stated bound of this program.
    #[error(
        "{file}: {what} is {found}, the bound is {limit}; if the file is genuine, it is no data that this program reads"
    )]
    TooLarge {
        /// The file or archive member.
        file: String,
        /// Which size.
        what: &'static str,
        /// The value found (or the least it can be).
        found: u64,
        /// The bound.
        limit: u64,
    },

    /// A label is not below the number of classes.
    #[error(
        "{what}: the label of image {index} is {value}, labels must be below {limit}; check that images, labels and data set belong together"
    )]
    LabelOutOfRange {
        /// The file, archive member or image set.
        what: String,
        /// Index of the image.
        index: usize,
        /// The label found.
        value: i64,
        /// Number of classes.
        limit: usize,
    },

    /// A feature that is infinite or no number.
    #[error(
        "{what}: the feature in row {row}, column {column} (from 0) is {value}; compute it again, or leave such rows out before saving (numpy.isfinite(x).all(axis=1))"
    )]
    NotFinite {
        /// The array or set.
        what: String,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// What stands there.
        value: f32,
    },

    /// A field has another value than the rest of the data demands.
    #[error(
        "{file}: {field} should be {expected}, but is {found}; check that the files belong together, or download them again"
    )]
    Mismatch {
        /// The file, archive member or value.
        file: String,
        /// Which field.
        field: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// Data of one's own that is not as it must be.
    #[error("{file}: {problem}; {remedy}")]
    Unfit {
        /// The file, folder or array.
        file: String,
        /// What is wrong, with the value found.
        problem: String,
        /// What to do.
        remedy: String,
    },

    /// An index lies outside an image set.
    #[error("image index {index} is out of range: the set has {len} images, so the largest index is {}", len.saturating_sub(1))]
    IndexOutOfRange {
        /// The index asked for.
        index: usize,
        /// Number of images.
        len: usize,
    },

    /// A pickle holds something outside the safe subset that this program reads.
    #[error(
        "{file}: at byte {offset} of the pickle, expected {expected}, found {found}; only plain values, NumPy arrays and (in a checkpoint) PyTorch tensors are read: save the file again without other objects, or download the official one"
    )]
    Pickle {
        /// The file or archive member.
        file: String,
        /// Offset of the opcode at fault.
        offset: u64,
        /// What would have been accepted.
        expected: String,
        /// What was there.
        found: String,
    },

    /// A checkpoint of PyTorch that cannot be read.
    #[error(
        "{file} is no checkpoint that can be read: {problem}; save the weights again with torch.save(model.state_dict(), FILE) or as safetensors"
    )]
    Checkpoint {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A file that should be an image is none that can be decoded.
    #[error(
        "{file} is no image that can be decoded (JPEG, PNG or WebP): {reason}; replace the file or take it out"
    )]
    Picture {
        /// The file or archive member.
        file: String,
        /// What the decoder answers.
        reason: String,
    },

    /// Several files that should be images are none that can be decoded.
    #[error(
        "{what}: {} of {of} files are no images that can be decoded (JPEG, PNG or WebP); replace them or take them out:\n{}", broken.len(), first_lines(broken)
    )]
    Pictures {
        /// The folder or archive.
        what: String,
        /// Number of files.
        of: usize,
        /// Class, file and reason of each that is broken.
        broken: Vec<String>,
    },

    /// A tar archive breaks the format.
    #[error(
        "{file}: the tar entry at byte {offset} has {field} {found}, expected {expected}; the archive is damaged: download it again"
    )]
    BadArchive {
        /// The archive.
        file: String,
        /// Offset of the header at fault in the unpacked stream.
        offset: u64,
        /// Which header field.
        field: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// An archive lacks a member that is needed, or holds it twice.
    #[error(
        "{file} should hold one member {member}, but holds {found} of them; check that it is the official archive"
    )]
    ArchiveMember {
        /// The archive.
        file: String,
        /// End of the member's path.
        member: String,
        /// How many members end so.
        found: usize,
    },

    /// A data set is not in the data folder.
    #[error("data set {name} was not found in {}; looked for:\n{}\n{advice}", folder.display(), path_list(looked_for))]
    Missing {
        /// The data set.
        name: String,
        /// The data folder.
        folder: PathBuf,
        /// Each file looked for, and whether it is there.
        looked_for: Vec<LookedFor>,
        /// Where to get it and how to name it.
        advice: String,
    },

    /// Of the data sets of a benchmark, some are not in the data folder.
    #[error("{name} is made of several data sets, of which {} are missing:\n{}", missing.len(), lines(missing))]
    MissingParts {
        /// The benchmark.
        name: String,
        /// One [`DataError::Missing`] a data set.
        missing: Vec<DataError>,
    },

    /// A file has another checksum than it must have.
    #[error("{} has {kind} {found}, it must be {expected}: it is damaged, incomplete or another version, and was not used", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// `MD5` or `SHA-256`.
        kind: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// No mirror had the file.
    #[error("could not download {}; without a network, get the file elsewhere and put it there under that name, or give it with --from PATH. Tried:\n  {}", target.display(), reasons.join("\n  "))]
    Download {
        /// Where it was to be put.
        target: PathBuf,
        /// What each mirror answered.
        reasons: Vec<String>,
    },

    /// A data set that no address serves without a person's consent.
    #[error(
        "{name} cannot be downloaded by a program: its files are given out on request or by hand only. {advice}"
    )]
    NoDownload {
        /// The data set.
        name: String,
        /// Where to get it and how to name it.
        advice: String,
    },

    /// A download from an address of the user's needs a checksum.
    #[error(
        "a download from {url} is only used if its checksum is right: give it with --sha256 HEX"
    )]
    NeedsChecksum {
        /// The address.
        url: String,
    },

    /// The file of a benchmark of one's own cannot be used.
    #[error("benchmark file {}: {problem}", path.display())]
    Custom {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },

    /// Classes have no images.
    #[error(
        "{name} has training and test images of {found} classes, {expected} are expected{note}; without images are classes {absent}: get the complete data set, or run on what is there with --classes {found} and a number of --tasks that divides it (results then say so)"
    )]
    Classes {
        /// The data set.
        name: String,
        /// Classes that the run needs.
        expected: usize,
        /// Classes that have images.
        found: usize,
        /// The others.
        absent: String,
        /// What the data set says of itself, in parentheses.
        note: String,
    },

    /// More classes have images than the run says.
    #[error(
        "{name} has training and test images of {found} classes, and classes = {expected} is for a data folder that holds only so many: leave it out, and learn fewer classes as the first of the stream's tasks (first_tasks)"
    )]
    MoreClasses {
        /// The data set.
        name: String,
        /// Classes that the run names.
        expected: usize,
        /// Classes that have images.
        found: usize,
    },

    /// No data set goes by that name.
    #[error("unknown data set `{given}`{}; known: {known}", nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    UnknownName {
        /// What was asked for.
        given: String,
        /// The known name nearest to it, if any is near.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },

    /// What is to be imported does not contain the data set.
    #[error("{} does not hold data set {name}; expected {expected}; give the archive, the unpacked folder, or the folder that contains either", path.display())]
    NotRecognised {
        /// What was to be imported.
        path: PathBuf,
        /// The data set.
        name: String,
        /// Which archives or files would have been accepted.
        expected: String,
    },

    /// What is to be imported parses, but is not the complete, right data set.
    #[error("{} was not imported as {name}: {}; give the complete official files", path.display(), problems.join("; "))]
    ImportRefused {
        /// What was to be imported.
        path: PathBuf,
        /// The data set.
        name: String,
        /// What differs from the expected data set.
        problems: Vec<String>,
    },

    /// Other data already lies where the import would put its own.
    #[error("{} already exists and differs from what is to be imported ({detail}); nothing was changed: move it away first, or import into another folder with --data DIR", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
        /// How it differs.
        detail: String,
    },
}

/// A file that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedFor {
    /// Where.
    pub path: PathBuf,
    /// Whether it is there (some files of an incomplete data set may be).
    pub found: bool,
}

fn lines(errors: &[DataError]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

/// At most a hundred lines, and how many more there are.
fn first_lines(texts: &[String]) -> String {
    let mut lines: Vec<_> = texts
        .iter()
        .take(100)
        .map(|text| format!("  {text}"))
        .collect();
    if texts.len() > lines.len() {
        lines.push(format!("  ... and {} more", texts.len() - lines.len()));
    }
    lines.join("\n")
}

fn path_list(paths: &[LookedFor]) -> String {
    let mut text = String::new();
    for (index, looked) in paths.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let state = if looked.found { "found" } else { "not found" };
        let _ = write!(text, "  {} ({state})", looked.path.display());
    }
    text
}

impl DataError {
    /// For `map_err`: an operation on a path that the operating system refused.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// For `map_err`: a read or a decompression that failed half-way.
    pub(crate) fn unreadable(file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Unreadable {
            file: file.to_owned(),
            source,
        }
    }

    /// Data of one's own that is not as it must be.
    pub(crate) fn unfit(
        file: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Unfit {
            file: file.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// A field that has another value than it should.
    #[must_use]
    pub fn mismatch(
        file: &str,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Mismatch {
            file: file.to_owned(),
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_values_and_remedy() {
        let truncated = DataError::Truncated {
            file: "a.gz".into(),
            found: 123,
            expected: 456,
        };
        assert_eq!(
            truncated.to_string(),
            "a.gz is truncated: it has 123 bytes, 456 are needed; download it again and check that the download completed"
        );
        let missing = DataError::Missing {
            name: "mnist".into(),
            folder: "data".into(),
            looked_for: vec![
                LookedFor {
                    path: "data/a".into(),
                    found: true,
                },
                LookedFor {
                    path: "data/b".into(),
                    found: false,
                },
            ],
            advice: "Get it.".into(),
        };
        assert_eq!(
            missing.to_string(),
            "data set mnist was not found in data; looked for:\n  data/a (found)\n  data/b (not found)\nGet it."
        );
    }

    #[test]
    fn errors_cross_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<DataError>();
    }
}
