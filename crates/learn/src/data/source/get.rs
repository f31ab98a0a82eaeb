//! Official downloads: the files that a data set's `remotes` name, checked and put where its layouts look.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::spec::{DataName, Known};
use super::{Located, import, locate, verify};
use crate::data::error::DataError;
use crate::data::fetch::{Check, FetchOptions, download};

/// What [`get()`](super::get()) did.
#[derive(Debug, Clone, Serialize)]
pub struct GetReport {
    /// Which data set.
    pub name: DataName,
    /// Where it lies now.
    pub located: Located,
    /// Whether it was there before, so that nothing was done.
    pub already_present: bool,
}

/// Where to get a data set from other than its official place.
#[derive(Debug, Clone, Copy)]
pub struct Elsewhere<'a> {
    /// A URL, or a file or folder on this machine.
    pub place: &'a str,
    /// The SHA-256 that the file must have; a URL needs one.
    pub sha256: Option<&'a str>,
}

fn is_url(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// See [`get()`](super::get()).
pub(super) fn get(
    name: DataName,
    folder: &Path,
    from: Option<Elsewhere<'_>>,
    options: &FetchOptions<'_>,
) -> Result<GetReport, DataError> {
    if let Ok(located) = locate(name, folder) {
        return Ok(GetReport {
            name,
            located,
            already_present: true,
        });
    }
    fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
    match from {
        Some(from) => get_from(name, folder, from, options)?,
        None => get_official(name, folder, options)?,
    }
    let located = locate(name, folder)?;
    Ok(GetReport {
        name,
        located,
        already_present: false,
    })
}

fn get_from(
    name: DataName,
    folder: &Path,
    from: Elsewhere<'_>,
    options: &FetchOptions<'_>,
) -> Result<(), DataError> {
    let check = from.sha256.map(|sha256| Check::Sha256(sha256.to_owned()));
    if !is_url(from.place) {
        let path = Path::new(from.place);
        if let Some(check) = check {
            check.file(path)?;
        }
        return import(name, path, folder).map(|_| ());
    }
    let Some(check) = check else {
        return Err(DataError::NeedsChecksum {
            url: from.place.to_owned(),
        });
    };
    let path = from.place.split(['?', '#']).next().unwrap_or_default();
    let file = path
        .rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or("download");
    let staging = staging(name, folder)?;
    // The name is a path's last component, so it cannot lead out of the folder.
    let target = staging.join(file.replace(['\\', ':'], "_"));
    let done = download(&[from.place.to_owned()], &target, &check, options)
        .and_then(|()| import(name, &target, folder));
    // What is left after a failure is resumed by the next attempt; after success nothing is.
    if done.is_ok() {
        let _ = fs::remove_dir_all(&staging);
    }
    done.map(|_| ())
}

/// A folder for what is under way, the same for every attempt.
fn staging(name: DataName, folder: &Path) -> Result<PathBuf, DataError> {
    let staging = folder.join(format!(".get-{name}"));
    fs::create_dir_all(&staging).map_err(DataError::io("create", &staging))?;
    Ok(staging)
}

fn get_official(
    name: DataName,
    folder: &Path,
    options: &FetchOptions<'_>,
) -> Result<(), DataError> {
    if name.remotes.is_empty() {
        return Err(DataError::NoDownload {
            name: name.to_string(),
            advice: super::reading::advice(name),
        });
    }
    for remote in name.remotes {
        let target = folder.join(remote.path);
        let file = remote.path.rsplit('/').next().unwrap_or_default();
        let mirrors: Vec<String> = remote
            .mirrors
            .iter()
            .map(|mirror| format!("{mirror}{file}"))
            .collect();
        match remote.known {
            Known::Md5(md5) => {
                let check = Check::Md5(md5.to_owned());
                if target.exists() {
                    check.file(&target)?;
                    continue;
                }
                if let Some(parent) = target.parent() {
                    fs::create_dir_all(parent).map_err(DataError::io("create", parent))?;
                }
                download(&mirrors, &target, &check, options)?;
            }
            Known::Images(sha256) => {
                let staging = staging(name, folder)?;
                let file = staging.join(file);
                crate::data::fetch::download_unchecked(&mirrors, &file, options)?;
                let found = verify(name, &staging).map(|report| report.sha256);
                if !matches!(&found, Ok(found) if found == sha256) {
                    let _ = fs::remove_dir_all(&staging);
                    return Err(DataError::Checksum {
                        path: file,
                        kind: "SHA-256 of its images",
                        expected: sha256.to_owned(),
                        found: found.unwrap_or_else(|error| error.to_string()),
                    });
                }
                fs::rename(&file, &target).map_err(DataError::io("rename into place", &target))?;
                let _ = fs::remove_dir_all(&staging);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::cub::CUB;
    use crate::data::source::{DATA_SETS, mini_imagenet::MINI_IMAGENET};

    #[test]
    fn official_files_lie_where_the_layouts_look() {
        for &name in DATA_SETS {
            let folder = tempfile::tempdir().unwrap();
            for remote in name.remotes {
                let path = folder.path().join(remote.path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"").unwrap();
                assert!(
                    remote
                        .mirrors
                        .iter()
                        .all(|m| m.starts_with("http") && m.ends_with('/'))
                );
                if let Known::Md5(md5) = remote.known {
                    assert!(md5.len() == 32 && md5.bytes().all(|b| b.is_ascii_hexdigit()));
                }
            }
            assert_eq!(
                locate(name, folder.path()).is_ok(),
                !name.remotes.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn without_an_address_the_advice_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let options = FetchOptions::new(&crate::data::watch::Silent);
        let error = get(&MINI_IMAGENET, folder.path(), None, &options)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("mini-imagenet-cache-") && error.contains("into the data folder"),
            "{error}"
        );
        let from = Elsewhere {
            place: "https://example.org/a.tgz",
            sha256: None,
        };
        let error = get(&CUB, folder.path(), Some(from), &options)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--sha256"), "{error}");
    }
}
