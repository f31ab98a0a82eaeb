//! The files below a folder, with nothing lost on the way.
//!
//! Links are followed. What cannot be followed or named (a link that leads nowhere or in a circle, a name that is no
//! UTF-8, a device) is an error that says so, because a data set without it would be another one. What systems and
//! editors leave behind is not data; it is left out and counted.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::DataError;

/// Bound on the files below a folder.
pub(crate) const MAX_FILES: usize = 4 << 20;
/// Bound on folders in folders.
const MAX_DEPTH: usize = 16;
/// So many names stand in an error or a note.
const SHOWN: usize = 5;
/// Left by systems; so are names that begin with a dot.
const LEFTOVERS: [&str; 7] = [
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
];
/// This program's own, never worth a word.
const OWN: &str = ".tagcl-cache";

/// Files below a folder.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Paths of the files, `/`-separated, sorted.
    pub(crate) files: Vec<String>,
    /// What was left behind by systems and editors: names, with the number of entries of that name.
    pub(crate) leftovers: BTreeMap<String, usize>,
}

/// What an entry of a folder is, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    /// A link that leads nowhere or to itself.
    Lost,
    /// A device, a pipe, a socket.
    Special,
}

/// An entry of a folder.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name; with replacement characters where it is no UTF-8.
    pub(crate) name: String,
    pub(crate) is_utf8: bool,
    pub(crate) kind: Kind,
}

/// Whether systems or editors leave files of this name behind.
pub(crate) fn is_leftover(name: &str) -> bool {
    name.starts_with('.') || LEFTOVERS.contains(&name)
}

/// `a, b and 3 more`.
pub(crate) fn some_of(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The entries of a folder, sorted by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("list", folder))? {
        let entry = entry.map_err(DataError::io("list", folder))?;
        let path = entry.path();
        let mut kind = entry.file_type().map_err(DataError::io("look at", &path))?;
        let mut lost = false;
        if kind.is_symlink() {
            match fs::metadata(&path) {
                Ok(metadata) => kind = metadata.file_type(),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(DataError::io("follow the link", &path)(error));
                }
                Err(_) => lost = true,
            }
        }
        let name = entry.file_name();
        found.push(Entry {
            is_utf8: name.to_str().is_some(),
            name: name.to_string_lossy().into_owned(),
            kind: match kind {
                _ if lost => Kind::Lost,
                kind if kind.is_dir() => Kind::Folder,
                kind if kind.is_file() => Kind::File,
                _ => Kind::Special,
            },
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Walks a folder; `matters` says of a path whether the data set needs the file.
pub(crate) fn walk(root: &Path, matters: &dyn Fn(&str) -> bool) -> Result<Walk, DataError> {
    let mut walker = Walker {
        matters,
        walk: Walk::default(),
        above: Vec::new(),
        problems: Problems::default(),
    };
    walker.enter(root, "")?;
    walker.problems.check(root)?;
    let mut walk = walker.walk;
    walk.files.sort_unstable();
    Ok(walk)
}

struct Walker<'a> {
    matters: &'a dyn Fn(&str) -> bool,
    walk: Walk,
    /// The folders on the way to the present one, links resolved.
    above: Vec<PathBuf>,
    problems: Problems,
}

impl Walker<'_> {
    fn enter(&mut self, folder: &Path, prefix: &str) -> Result<(), DataError> {
        let real = folder
            .canonicalize()
            .map_err(DataError::io("follow", folder))?;
        let circle = self.above.iter().any(|above| above.starts_with(&real));
        if circle || self.above.len() > MAX_DEPTH {
            self.problems
                .circles
                .push(prefix.trim_end_matches('/').to_owned());
            return Ok(());
        }
        self.above.push(real);
        for entry in entries(folder)? {
            if is_leftover(&entry.name) {
                if entry.name != OWN {
                    *self.walk.leftovers.entry(entry.name).or_default() += 1;
                }
                continue;
            }
            let path = format!("{prefix}{}", entry.name);
            // A link without an ending may have been one to a folder.
            let matters = (self.matters)(&path);
            let is_folder = entry.kind == Kind::Folder;
            let may_be_folder = entry.kind == Kind::Lost && !entry.name.contains('.');
            if !entry.is_utf8 && (matters || is_folder) {
                self.problems.names.push(path);
                continue;
            }
            match entry.kind {
                Kind::Folder => {
                    self.enter(&folder.join(&entry.name), &format!("{path}/"))?;
                }
                Kind::File => self.walk.files.push(path),
                Kind::Lost if matters || may_be_folder => self.problems.lost.push(path),
                Kind::Special if matters => self.problems.special.push(path),
                Kind::Lost | Kind::Special => {}
            }
            check_count(&folder.display().to_string(), self.walk.files.len())?;
        }
        self.above.pop();
        Ok(())
    }
}

/// What cannot be read, by reason.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) lost: Vec<String>,
    pub(crate) names: Vec<String>,
    circles: Vec<String>,
    special: Vec<String>,
}

impl Problems {
    /// An error that counts and names what there is of the first reason.
    pub(crate) fn check(&self, root: &Path) -> Result<(), DataError> {
        for (paths, what, remedy) in [
            (
                &self.lost,
                "links that lead nowhere",
                "fetch what they stand for (`git annex get` or what else made them), or take them out",
            ),
            (
                &self.names,
                "names that are no UTF-8 text",
                "rename them, for example with `convmv -f latin1 -t utf8`",
            ),
            (
                &self.circles,
                "folders that lead back to one that they lie in, or lie more than 16 deep",
                "take the link out, or make the tree flatter",
            ),
            (
                &self.special,
                "entries that are no regular files",
                "replace them by files, or take them out",
            ),
        ] {
            if !paths.is_empty() {
                let problem = format!(
                    "there are {what}, {} in all: {}",
                    paths.len(),
                    some_of(paths)
                );
                return Err(DataError::unfit(
                    root.display().to_string(),
                    problem,
                    remedy,
                ));
            }
        }
        Ok(())
    }
}

/// Refuses more files than [`MAX_FILES`].
pub(crate) fn check_count(what: &str, count: usize) -> Result<(), DataError> {
    if count <= MAX_FILES {
        return Ok(());
    }
    Err(DataError::TooLarge {
        file: what.to_owned(),
        what: "number of files",
        found: count as u64,
        limit: MAX_FILES as u64,
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn image(path: &str) -> bool {
        path.contains(".png")
    }

    fn put(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn links_are_followed_and_leftovers_counted() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in [
            "a/1.png",
            "a/.DS_Store",
            "b/.DS_Store",
            "__MACOSX/a/1.png",
            "notes.txt",
            ".tagcl-cache/x",
        ] {
            put(root.path(), path);
        }
        put(elsewhere.path(), "2.png");
        symlink(elsewhere.path(), root.path().join("c")).unwrap();
        symlink(elsewhere.path().join("2.png"), root.path().join("a/3.png")).unwrap();
        symlink("../a", root.path().join("b/again")).unwrap();
        // Nobody needs it.
        symlink("/nowhere", root.path().join("b/README.md")).unwrap();
        let found = walk(root.path(), &image).unwrap();
        assert_eq!(
            found.files,
            [
                "a/1.png",
                "a/3.png",
                "b/again/1.png",
                "b/again/3.png",
                "c/2.png",
                "notes.txt"
            ]
        );
        let leftovers: Vec<_> = found
            .leftovers
            .iter()
            .map(|(n, c)| (n.as_str(), *c))
            .collect();
        assert_eq!(leftovers, [(".DS_Store", 3), ("__MACOSX", 1)]);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_named() {
        let with = |make: &dyn Fn(&Path)| {
            let root = tempfile::tempdir().unwrap();
            put(root.path(), "a/1.png");
            make(root.path());
            walk(root.path(), &image).unwrap_err().to_string()
        };
        let error = with(&|root| {
            for name in ["2.png", "3.png"] {
                symlink("../.git/annex/objects/gone", root.join("a").join(name)).unwrap();
            }
        });
        assert!(
            error.contains("lead nowhere, 2 in all: a/2.png, a/3.png; fetch"),
            "{error}"
        );
        for target in ["/nowhere", "cats"] {
            let error = with(&|root| symlink(target, root.join("cats")).unwrap());
            assert!(error.contains("1 in all: cats;"), "{error}");
        }
        for target in ["..", "../..", "."] {
            let error = with(&|root| symlink(target, root.join("a/loop")).unwrap());
            assert!(
                error.contains("lead back") && error.contains("loop"),
                "{error}"
            );
        }
        for name in [&b"\xff"[..], b"caf\xe9", b"\xe9.png"] {
            let error = with(&|root| {
                let path = root.join(std::ffi::OsStr::from_bytes(name));
                if name.ends_with(b"png") {
                    fs::write(path, "x").unwrap();
                } else {
                    fs::create_dir(path).unwrap();
                }
            });
            assert!(
                error.contains("no UTF-8") && error.contains("1 in all"),
                "{error}"
            );
        }
        let error = with(&|root| {
            let listener = std::os::unix::net::UnixListener::bind(root.join("a/s.png"));
            drop(listener.unwrap());
        });
        assert!(
            error.contains("no regular files, 1 in all: a/s.png"),
            "{error}"
        );
        let deep = (0..20).map(|_| "d/").collect::<String>();
        let error = with(&|root| put(root, &format!("{deep}1.png")));
        assert!(error.contains("16 deep"), "{error}");
    }
}
