//! How files are written: whole, or not at all.
//!
//! Owns the one way in which the program writes a file that somebody named. A regular file is replaced at once (a
//! temporary in the same folder, flushed to disk, renamed), through links and with its mode, so that a reader sees the
//! old content or the new one and a full disk costs nothing; a new one gets the mode that the user's mask lets. What is no
//! regular file (a device, a FIFO, a terminal) is written through, never replaced. Folders and read-only files are
//! refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// How names of temporary files begin; a killed process may leave one.
pub const TEMPORARY: &str = ".tagcl-";

/// Links that are followed in a row, as the system does.
const LINKS: usize = 40;

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// As it was named.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl WriteError {
    /// The error of a file.
    #[must_use]
    pub fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_path_buf(),
            source,
        }
    }
}

/// Writes a whole file.
///
/// # Errors
/// [`WriteError`]; the old content of a regular file, if any, is still there then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_with(path, |out| out.write_all(bytes))
}

/// Writes a whole file from what a function puts into it.
///
/// # Errors
/// [`WriteError`], also with the function's own; the old content of a regular file, if any, is still there then.
pub fn write_with(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    let written = target(path).and_then(|target| match target {
        Target::Regular { path, old } => replace(&path, old, content),
        Target::Through(mut file) => {
            let mut out = BufWriter::new(&mut file);
            content(&mut out)?;
            out.flush()
        }
    });
    written.map_err(|source| WriteError::new(path, source))
}

/// What a name leads to.
enum Target {
    /// A regular file or none; behind all links, with the permissions of the present one.
    Regular {
        path: PathBuf,
        old: Option<fs::Permissions>,
    },
    /// Anything that takes bytes and must stay what it is.
    Through(File),
}

fn target(path: &Path) -> io::Result<Target> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Target::Regular { path, old: None });
            }
            Err(e) => return Err(e),
        };
        let kind = found.file_type();
        if kind.is_symlink() && is_descriptor(&path) {
            // The link's text is no path that could be followed.
            return OpenOptions::new()
                .append(true)
                .open(&path)
                .map(Target::Through);
        } else if kind.is_symlink() {
            let to = fs::read_link(&path)?;
            path = path.parent().unwrap_or(Path::new("")).join(to);
        } else if kind.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder; give the name of a file",
            ));
        } else if !kind.is_file() {
            return OpenOptions::new()
                .write(true)
                .open(&path)
                .map(Target::Through);
        } else if found.permissions().readonly() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is read-only; make it writable or choose another name",
            ));
        } else {
            let old = Some(found.permissions());
            return Ok(Target::Regular { path, old });
        }
    }
    Err(io::Error::other("too many links, one behind the other"))
}

/// Whether a link stands for an open file of a process, as `/dev/stdout` does at its end.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

fn replace(
    path: &Path,
    old: Option<fs::Permissions>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = temporary_in(folder)?;
    let mut out = BufWriter::new(file.as_file_mut());
    content(&mut out)?;
    out.flush()?;
    drop(out);
    if let Some(old) = old {
        file.as_file().set_permissions(old)?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// A temporary file that may become one of the folder's, readable by whom the user's mask lets.
///
/// # Errors
/// Those of the system.
pub fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(or_here(folder))
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// Makes a rename in this folder outlive a loss of power.
///
/// # Errors
/// Those of the system.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(or_here(folder))?.sync_all()
}

/// Elsewhere folders cannot be opened; the rename itself is still atomic.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.unwrap_err().to_string().contains("the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), 1);
        let error = write(&folder.path().join("absent/file"), b"x").unwrap_err();
        assert!(error.to_string().contains("absent/file"), "{error}");
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        fs::write(at("deep/file"), "old").unwrap();
        // A relative link to a link to a file; and one to nothing yet.
        symlink("deep/second", at("first")).unwrap();
        symlink("file", at("deep/second")).unwrap();
        symlink("deep/later", at("dangling")).unwrap();
        for (name, file) in [("first", "deep/file"), ("dangling", "deep/later")] {
            write(&at(name), name.as_bytes()).unwrap();
            assert!(
                fs::symlink_metadata(at(name)).unwrap().is_symlink(),
                "{name}"
            );
            assert_eq!(fs::read(at(file)).unwrap(), name.as_bytes());
            assert!(fs::symlink_metadata(at(file)).unwrap().is_file(), "{file}");
        }
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(
            write(&at("a"), b"x")
                .unwrap_err()
                .to_string()
                .contains("links")
        );
    }

    #[test]
    fn modes_are_kept_and_new_ones_obey_the_mask() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().mode() & 0o777;
        // What the system gives a new file under the present mask.
        fs::write(at("usual"), "").unwrap();
        write(&at("new"), b"x").unwrap();
        assert_eq!(mode("new"), mode("usual"));
        for bits in [0o600, 0o640, 0o755] {
            fs::set_permissions(at("new"), fs::Permissions::from_mode(bits)).unwrap();
            write(&at("new"), b"y").unwrap();
            assert_eq!(mode("new"), bits);
        }
        fs::set_permissions(at("new"), fs::Permissions::from_mode(0o444)).unwrap();
        let error = write(&at("new"), b"z").unwrap_err().to_string();
        assert!(error.contains("read-only"), "{error}");
        assert_eq!(
            (fs::read(at("new")).unwrap(), mode("new")),
            (b"y".to_vec(), 0o444)
        );
    }

    #[test]
    fn devices_are_written_through_and_stay_devices() {
        for (device, fails) in [("/dev/null", false), ("/dev/full", true)] {
            let device = Path::new(device);
            assert_eq!(write(device, b"x").is_err(), fails, "{}", device.display());
            assert!(fs::metadata(device).unwrap().file_type().is_char_device());
            let folder = tempfile::tempdir().unwrap();
            let link = folder.path().join("link");
            symlink(device, &link).unwrap();
            assert_eq!(write(&link, b"x").is_err(), fails);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }

    #[test]
    fn a_fifo_gets_the_bytes_and_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let reader = {
            let fifo = fifo.clone();
            std::thread::spawn(move || fs::read(fifo).unwrap())
        };
        write(&fifo, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path(), b"x").unwrap_err().to_string();
        assert!(error.contains("folder"), "{error}");
        assert_eq!(names(folder.path()), 0);
    }
}
