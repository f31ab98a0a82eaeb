//! Whether the program was started with standard output closed.
//!
//! Owns the one moment at which that can be seen. Before `main`, Rust's runtime opens `/dev/null` in the place of a closed
//! descriptor, so that no file can get its number; what is printed vanishes then without an error, and cannot be told from
//! a `/dev/null` that a parent gave on purpose (a shell opens it for writing, Python for both). So the descriptor is
//! looked at before the runtime is: by a function that the C library calls first. No kernel, but unsafe code stands here.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// True if standard output was closed when the program began; known on Linux, elsewhere false.
#[must_use]
pub fn was_closed() -> bool {
    // What refers to the entry keeps it in the program.
    #[cfg(all(target_os = "linux", not(miri)))]
    black_box(&LOOK);
    black_box(&CLOSED).load(Ordering::Relaxed)
}

/// Asks the system by name, which opens no descriptor that could take the place of the closed one.
#[cfg(all(target_os = "linux", not(miri)))]
extern "C" fn look() {
    let open = Path::new("/proc/self/fd");
    let closed = open.is_dir() && open.join("1").symlink_metadata().is_err();
    CLOSED.store(closed, Ordering::Relaxed);
}

// SAFETY: the section holds pointers to C functions that the C library calls once each, after it has set up itself (so that
// memory can be had and the system asked) and before `main`. `look` is one: it takes nothing, cannot unwind, starts no
// thread, and changes one atomic of its own.
#[cfg(all(target_os = "linux", not(miri)))]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
