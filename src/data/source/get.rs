//! Official downloads: where each file of a data set is, what its checksum is and where it goes.
//!
//! Checksums are those that the authors or torchvision publish (MD5). notMNIST has none: its images are compared with
//! those of a copy whose numbers are the known ones (18,724 images, two broken files).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{DataName, Located, import, locate, verify};
use crate::data::error::DataError;
use crate::data::fetch::{Check, FetchOptions, download};

/// How a file is known to be right.
#[derive(Debug, Clone, Copy)]
enum Known {
    Md5(&'static str),
    /// [`Dataset::sha256`](crate::data::Dataset::sha256) of the data set that is read from it.
    Images(&'static str),
}

/// One file.
#[derive(Debug, Clone, Copy)]
struct Remote {
    /// Below the data folder.
    path: &'static str,
    /// Each URL without the file's name, in the order in which they are tried.
    mirrors: &'static [&'static str],
    known: Known,
}

const MNIST: &[&str] = &[
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
];
const FASHION: &[&str] = &[
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
];
const CIFAR: &[&str] = &["https://www.cs.toronto.edu/~kriz/"];
const SVHN: &[&str] = &["http://ufldl.stanford.edu/housenumbers/"];
const CUB: &[&str] = &["https://data.caltech.edu/records/65de6-vp158/files/"];
const NOTMNIST: &[&str] = &[
    "http://yaroslavvb.com/upload/notMNIST/",
    "http://commondatastorage.googleapis.com/books1000/",
];

const fn remote(path: &'static str, mirrors: &'static [&'static str], md5: &'static str) -> Remote {
    Remote {
        path,
        mirrors,
        known: Known::Md5(md5),
    }
}

/// Empty where no address serves the files without a person's consent.
#[allow(clippy::too_many_lines, reason = "a table")]
fn remotes(name: DataName) -> &'static [Remote] {
    match name {
        DataName::Mnist => {
            const {
                &[
                    remote(
                        "mnist/train-images-idx3-ubyte.gz",
                        MNIST,
                        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    ),
                    remote(
                        "mnist/train-labels-idx1-ubyte.gz",
                        MNIST,
                        "d53e105ee54ea40749a09fcbcd1e9432",
                    ),
                    remote(
                        "mnist/t10k-images-idx3-ubyte.gz",
                        MNIST,
                        "9fb629c4189551a2d022fa330f9573f3",
                    ),
                    remote(
                        "mnist/t10k-labels-idx1-ubyte.gz",
                        MNIST,
                        "ec29112dd5afa0611ce80d1b7f02629c",
                    ),
                ]
            }
        }
        DataName::FashionMnist => {
            const {
                &[
                    remote(
                        "fashion-mnist/train-images-idx3-ubyte.gz",
                        FASHION,
                        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    ),
                    remote(
                        "fashion-mnist/train-labels-idx1-ubyte.gz",
                        FASHION,
                        "25c81989df183df01b3e8a0aad5dffbe",
                    ),
                    remote(
                        "fashion-mnist/t10k-images-idx3-ubyte.gz",
                        FASHION,
                        "bef4ecab320f06d8554ea6380940ec79",
                    ),
                    remote(
                        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
                        FASHION,
                        "bb300cfdad3c16e7a12a480ee83cd310",
                    ),
                ]
            }
        }
        DataName::Cifar10 => {
            const {
                &[remote(
                    "cifar-10-binary.tar.gz",
                    CIFAR,
                    "c32a1d4ab5d03f1284b67883e8d87530",
                )]
            }
        }
        DataName::Cifar100 => {
            const {
                &[remote(
                    "cifar-100-binary.tar.gz",
                    CIFAR,
                    "03b5dce01913d631647c71ecec9e9cb8",
                )]
            }
        }
        DataName::Svhn => {
            const {
                &[
                    remote(
                        "svhn/train_32x32.mat",
                        SVHN,
                        "e26dedcc434d2e4c54c9b2d4a06d8373",
                    ),
                    remote(
                        "svhn/test_32x32.mat",
                        SVHN,
                        "eb5a983be6a315427106f1b164d9cef3",
                    ),
                ]
            }
        }
        DataName::Cub => {
            const {
                &[remote(
                    "CUB_200_2011.tgz",
                    CUB,
                    "97eceeb196236b17998738112f37df78",
                )]
            }
        }
        DataName::NotMnist => {
            const {
                &[Remote {
                    path: "notMNIST_small.tar.gz",
                    mirrors: NOTMNIST,
                    known: Known::Images(
                        "85b861d5f28100475d1ff8890a730a5773fbd558cfc09b3c6ee32b5f4f4d4e69",
                    ),
                }]
            }
        }
        DataName::MiniImageNet => &[],
    }
}

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
    let remotes = remotes(name);
    if remotes.is_empty() {
        return Err(DataError::NoDownload {
            name: name.to_string(),
            advice: super::layout::advice(name.source()),
        });
    }
    for remote in remotes {
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

    #[test]
    fn official_files_lie_where_the_layouts_look() {
        for name in DataName::ALL {
            let folder = tempfile::tempdir().unwrap();
            for remote in remotes(name) {
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
                name != DataName::MiniImageNet
            );
        }
    }

    #[test]
    fn without_an_address_the_advice_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let options = FetchOptions::new(&crate::data::watch::Silent);
        let error = get(DataName::MiniImageNet, folder.path(), None, &options)
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
        let error = get(DataName::Cub, folder.path(), Some(from), &options)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--sha256"), "{error}");
    }
}
