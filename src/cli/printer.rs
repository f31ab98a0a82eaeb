//! The one place that writes to standard output and standard error.

use std::io::{self, IsTerminal as _, Write as _};

/// Writes for people and programs.
#[derive(Debug)]
pub(super) struct Printer {
    terminal: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
        }
    }

    /// True where progress bars make sense.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A line of data, to standard output. A reader that has gone away (`| head`) is no error.
    #[expect(clippy::unused_self, reason = "all output goes through the printer")]
    pub(super) fn data(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{}", text.trim_end());
        let _ = out.flush();
    }

    /// A line for people, to standard error.
    #[expect(clippy::unused_self, reason = "all output goes through the printer")]
    pub(super) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
