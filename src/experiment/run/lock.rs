//! One process at a time in a run folder.
//!
//! Owns the lock file. The lock is the operating system's (`flock` on Unix), held as long as the process that took it
//! lives: one that was killed leaves the file behind but not the lock, so that a stale lock cannot be. What is written in
//! the file only names the holder for the message.
//!
//! On a shared folder the lock holds between machines where the file system does so: NFS 4, and NFS 3 with `lockd` (not
//! with `nolock` or `local_lock`), Lustre mounted with `flock`, `CephFS`, GPFS. Where it offers no locks at all, the run goes
//! on without, with a warning: results stay right, since every file is replaced as a whole and depends on the configuration
//! alone, but two processes would do the same work.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::experiment::RunError;

/// Name of the file in a run folder.
pub const LOCK: &str = "lock";

/// A held lock; let go, and its file removed, when dropped.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    /// Open as long as the lock is held; `None` where the file system has no locks.
    file: Option<File>,
}

impl RunLock {
    /// Takes the lock of a run folder that exists.
    ///
    /// # Errors
    /// [`RunError::Locked`] naming the holder, [`RunError::Io`] if the file cannot be made.
    pub fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        // A holder removes the file when it lets go, maybe between our opening and locking it: then once more.
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(RunError::io("write", &path))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => {
                    let named = file.set_len(0).and_then(|()| file.rewind());
                    named
                        .and_then(|()| writeln!(file, "{}", holder()))
                        .map_err(RunError::io("write", &path))?;
                    let file = Some(file);
                    return Ok(Self { path, file });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.take(200).read_to_string(&mut holder);
                    return Err(RunError::Locked {
                        folder: folder.to_path_buf(),
                        holder: holder.trim().to_string(),
                    });
                }
                Err(TryLockError::Error(_)) => return Ok(Self { path, file: None }),
            }
        }
    }

    /// Whether the file system gave a lock.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        // The file goes first, while nobody else can have the lock; unless it is another one by now.
        if is_at(file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        let _ = file.unlock();
    }
}

/// Whether the open file is the one that the path names now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: io::Result<fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    id(file.metadata()) == id(fs::metadata(path))
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// This process, for people.
fn holder() -> String {
    let host = match crate::experiment::run::provenance::host() {
        host if host.is_empty() => "an unknown host".to_string(),
        host => host,
    };
    let (pid, now) = (
        std::process::id(),
        crate::experiment::run::provenance::utc_now(),
    );
    format!("process {pid} on {host} since {now}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let held = RunLock::take(dir.path()).unwrap();
        assert!(held.is_held());
        let error = RunLock::take(dir.path()).unwrap_err().to_string();
        let pid = format!("process {}", std::process::id());
        assert!(error.contains(&pid), "{error}");
        drop(held);
        assert!(!dir.path().join(LOCK).exists());
        assert!(RunLock::take(dir.path()).is_ok());
    }

    #[test]
    fn a_file_left_by_a_killed_process_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOCK), b"process 1 on elsewhere\n").unwrap();
        assert!(RunLock::take(dir.path()).unwrap().is_held());
    }

    #[test]
    fn many_takers_never_hold_it_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(_held) = RunLock::take(dir.path()) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
    }
}
