//! Downloads: several mirrors in order, resumed where they were cut, checked before they are used.
//!
//! A download goes to a hidden `.part` file beside its target, is compared with its checksum and then renamed, so a file
//! under its own name is always complete and right. A `.part` file that is left behind is resumed by the next attempt. A
//! mirror is given up after three attempts in a row that brought nothing, or when its file has the wrong checksum.
//! Proxies are taken from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use md5::Md5;
use sha2::Sha256;
use ureq::Agent;

use super::error::DataError;
use super::image_set::hex;
use super::watch::Watch;

/// A file's checksum, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// MD5, which data sets' pages publish: against accidents, not against malice.
    Md5(String),
    /// SHA-256.
    Sha256(String),
}

impl Check {
    /// Compares a file with the checksum.
    ///
    /// # Errors
    ///
    /// [`DataError::Checksum`] if it differs, [`DataError::Io`].
    pub fn file(&self, path: &Path) -> Result<(), DataError> {
        let (kind, expected, found) = match self {
            Self::Md5(expected) => ("MD5", expected, digest::<Md5>(path)?),
            Self::Sha256(expected) => ("SHA-256", expected, digest::<Sha256>(path)?),
        };
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(DataError::Checksum {
            path: path.to_path_buf(),
            kind,
            expected: expected.clone(),
            found,
        })
    }
}

fn digest<D: sha2::Digest>(path: &Path) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    let (mut hash, mut block) = (D::new(), vec![0; 1 << 18]);
    loop {
        let count = file.read(&mut block).map_err(DataError::io("read", path))?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(block.get(..count).unwrap_or_default());
    }
}

/// How long to wait and how much to take.
#[derive(Clone, Copy)]
pub struct FetchOptions<'a> {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// For the next bytes: a server that stalls longer is tried again.
    pub read: Duration,
    /// Before the second attempt; longer before later ones.
    pub pause: Duration,
    /// Bytes of a file, at most.
    pub limit: u64,
    /// Told of progress and of every attempt that failed.
    pub watch: &'a dyn Watch,
}

impl<'a> FetchOptions<'a> {
    /// Half a minute to connect and between bytes, 16 GiB.
    #[must_use]
    pub fn new(watch: &'a dyn Watch) -> Self {
        Self {
            connect: Duration::from_secs(30),
            read: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            limit: 16 << 30,
            watch,
        }
    }
}

/// Attempts in a row without a new byte, after which a mirror is given up.
const FRUITLESS: u32 = 3;
/// Attempts of a mirror in all.
const ATTEMPTS: u32 = 200;

/// Why an attempt failed.
enum Failure {
    /// Another attempt may do better.
    Again(String),
    /// This mirror will not do.
    GiveUp(String),
    /// No mirror will do: the disk is full, the folder is not writable.
    Here(DataError),
}

/// Downloads one file from the first mirror that has it, to `target`, whose folder must exist.
///
/// # Errors
///
/// [`DataError::Download`] with what every mirror answered, [`DataError::Io`] for the local disk.
pub fn download(
    mirrors: &[String],
    target: &Path,
    check: &Check,
    options: &FetchOptions<'_>,
) -> Result<(), DataError> {
    fetch(mirrors, target, Some(check), options)
}

/// As [`download`], for a file without a published checksum, which the caller checks by its contents.
pub(crate) fn download_unchecked(
    mirrors: &[String],
    target: &Path,
    options: &FetchOptions<'_>,
) -> Result<(), DataError> {
    fetch(mirrors, target, None, options)
}

fn fetch(
    mirrors: &[String],
    target: &Path,
    check: Option<&Check>,
    options: &FetchOptions<'_>,
) -> Result<(), DataError> {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let part = target.with_file_name(format!(".{name}.part"));
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(options.connect))
        .timeout_recv_response(Some(options.read))
        .timeout_per_read(Some(options.read))
        .user_agent(concat!("tagcl/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut reasons = Vec::new();
    for mirror in mirrors {
        match from_mirror(&agent, mirror, &part, &name, check, options) {
            Ok(()) => {
                fs::rename(&part, target).map_err(DataError::io("rename into place", target))?;
                return Ok(());
            }
            Err(Failure::Here(error)) => return Err(error),
            Err(Failure::Again(reason) | Failure::GiveUp(reason)) => {
                options.watch.note(&format!("{mirror}: {reason}"));
                reasons.push(format!("{mirror}: {reason}"));
            }
        }
    }
    Err(DataError::Download {
        target: target.to_path_buf(),
        reasons,
    })
}

/// The complete, right file in `part`.
fn from_mirror(
    agent: &Agent,
    url: &str,
    part: &Path,
    name: &str,
    check: Option<&Check>,
    options: &FetchOptions<'_>,
) -> Result<(), Failure> {
    let (mut fruitless, mut refused) = (0, false);
    for attempt in 1..=ATTEMPTS {
        let before = size(part);
        let outcome = transfer(agent, url, part, before, name, options);
        match outcome {
            Ok(()) => match check.map_or(Ok(()), |check| check.file(part)) {
                Ok(()) => return Ok(()),
                Err(error @ DataError::Checksum { .. }) => {
                    fs::remove_file(part)
                        .map_err(|e| Failure::Here(DataError::io("remove", part)(e)))?;
                    // What was resumed may have begun with other bytes: once more from the start.
                    if before == 0 || refused {
                        return Err(Failure::GiveUp(error.to_string()));
                    }
                    refused = true;
                }
                Err(error) => return Err(Failure::Here(error)),
            },
            Err(Failure::Again(reason)) => {
                fruitless = if size(part) > before {
                    0
                } else {
                    fruitless + 1
                };
                if fruitless >= FRUITLESS || attempt == ATTEMPTS {
                    return Err(Failure::GiveUp(reason));
                }
                options.watch.note(&format!(
                    "{url}: {reason}; trying again from byte {}",
                    size(part)
                ));
                thread::sleep(options.pause * 2_u32.pow(fruitless.min(4)));
            }
            Err(other) => return Err(other),
        }
    }
    Err(Failure::GiveUp(
        "no attempt brought the whole file".to_owned(),
    ))
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// One request, from byte `have` on, appended to the part; `Ok` if the server says that this was all.
fn transfer(
    agent: &Agent,
    url: &str,
    part: &Path,
    have: u64,
    name: &str,
    options: &FetchOptions<'_>,
) -> Result<(), Failure> {
    let again = |error: &dyn std::fmt::Display| Failure::Again(error.to_string());
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::Http(_) => {
            Failure::GiveUp(error.to_string())
        }
        other => again(&other),
    })?;
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let start = match response.status().as_u16() {
        200 => 0,
        // A part of another length, or an answer to another question: begin anew.
        206 if header("content-range").and_then(range_start) == Some(have) => have,
        206 | 416 => {
            fs::remove_file(part).map_err(|e| Failure::Here(DataError::io("remove", part)(e)))?;
            return Err(Failure::Again("the server cannot resume there".to_owned()));
        }
        status @ (408 | 429 | 500..) => {
            return Err(Failure::Again(format!("HTTP status {status}")));
        }
        status => return Err(Failure::GiveUp(format!("HTTP status {status}"))),
    };
    let length: Option<u64> = header("content-length").and_then(|text| text.parse().ok());
    let total = length.map(|length| start.saturating_add(length));
    let bound = |found: u64| {
        let limit = options.limit;
        if found > limit {
            return Err(Failure::GiveUp(format!(
                "the file has {found} bytes or more, the bound is {limit}"
            )));
        }
        Ok(())
    };
    bound(total.unwrap_or(0))?;
    let here = |action| move |error| Failure::Here(DataError::io(action, part)(error));
    let mut file = OpenOptions::new()
        .create(true)
        .append(start > 0)
        .write(true)
        .truncate(start == 0)
        .open(part)
        .map_err(here("create"))?;
    let mut reader = response
        .into_body()
        .into_with_config()
        .limit(u64::MAX)
        .reader();
    let (mut done, mut block) = (start, vec![0; 1 << 16]);
    let what = format!("downloading {name} (bytes)");
    let cut = loop {
        match reader.read(&mut block) {
            Ok(0) => break None,
            Ok(count) => {
                file.write_all(block.get(..count).unwrap_or_default())
                    .map_err(here("write"))?;
                done += count as u64;
                bound(done)?;
                options.watch.progress(&what, done, total.unwrap_or(0));
            }
            Err(error) => break Some(error),
        }
    };
    file.sync_all().map_err(here("write"))?;
    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
    match (cut, total) {
        (Some(error), _) => Err(Failure::Again(format!(
            "cut after {done}{of} bytes: {error}"
        ))),
        (None, Some(total)) if done < total => {
            Err(Failure::Again(format!("cut after {done}{of} bytes")))
        }
        (None, _) => Ok(()),
    }
}

/// The first byte of `bytes FIRST-LAST/TOTAL`.
fn range_start(header: &str) -> Option<u64> {
    header
        .trim()
        .strip_prefix("bytes ")?
        .split_once('-')?
        .0
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_both_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, b"abc").unwrap();
        Check::Md5("900150983CD24fb0d6963f7d28e17f72".to_owned())
            .file(&path)
            .unwrap();
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        Check::Sha256(sha.to_owned()).file(&path).unwrap();
        let error = Check::Md5("00".to_owned())
            .file(&path)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("MD5 900150983cd24fb0d6963f7d28e17f72"),
            "{error}"
        );
    }

    #[test]
    fn ranges() {
        assert_eq!(range_start("bytes 100-199/200"), Some(100));
        for wrong in ["", "bytes */200", "100-199", "bytes x-1/2"] {
            assert_eq!(range_start(wrong), None);
        }
    }
}
