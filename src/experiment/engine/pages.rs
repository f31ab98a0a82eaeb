//! Large pages for a process that trains.
//!
//! Owns the settings of glibc's allocator with which the program trains. A step walks tens of megabytes (activations, packed
//! weights, TAG's past tasks), and with pages of 4 KiB it spends 3 to 6 % of its time on finding them; so allocations ask the
//! system for pages of 2 MiB. These pay only where memory is kept: all threads take from one heap, vectors of a batch too, and
//! what is freed stays for the next. glibc reads its settings when a process starts, so the program starts itself anew, in its own
//! place. Older ones than 2.35, and systems that give no large pages, take no notice.

use std::ffi::{OsStr, OsString};

/// The variable that glibc reads: settings with colons between them.
const VARIABLE: &str = "GLIBC_TUNABLES";
/// The setting of large pages; who has set it has decided.
const LARGE: &str = "glibc.malloc.hugetlb";
/// Large pages, one heap, vectors below 64 MiB in it, 256 MiB of which may lie free at its end.
const SETTINGS: &str = "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:\
                        glibc.malloc.mmap_threshold=67108864:glibc.malloc.trim_threshold=268435456";

/// What the variable has to be, or `None` where it says something on large pages already.
fn value(present: Option<&OsStr>) -> Option<OsString> {
    let Some(present) = present.filter(|present| !present.is_empty()) else {
        return Some(SETTINGS.into());
    };
    if present.to_string_lossy().contains(LARGE) {
        return None;
    }
    // Of two settings of one name glibc takes the later: a person's.
    Some([SETTINGS.as_ref(), present].join(OsStr::new(":")))
}

/// Starts the running program anew with large pages, as the same process. Comes back where it has them, where the variable
/// decides on them otherwise, and where it cannot be started: it runs without them then, only slower.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn restart() {
    use std::os::unix::process::CommandExt as _;

    let present = std::env::var_os(VARIABLE);
    let (Some(value), Ok(program)) = (value(present.as_deref()), std::env::current_exe()) else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let _not_started = command.args(arguments).env(VARIABLE, value).exec();
}

/// Only glibc has these settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn restart() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_set_stays() {
        let found = |present: &str| value(Some(OsStr::new(present)));
        assert_eq!(value(None), Some(SETTINGS.into()));
        assert_eq!(found(""), Some(SETTINGS.into()));
        assert_eq!(found("glibc.malloc.hugetlb=0"), None);
        assert_eq!(found("glibc.cpu.x=1:glibc.malloc.hugetlb=2"), None);
        let both = format!("{SETTINGS}:glibc.malloc.arena_max=4");
        assert_eq!(found("glibc.malloc.arena_max=4"), Some(both.into()));
        assert_eq!(value(Some(OsStr::new(SETTINGS))), None, "no second start");
    }
}
