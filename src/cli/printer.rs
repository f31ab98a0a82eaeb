//! The one place that writes to standard output and standard error.
//!
//! Owns that nothing printed is lost in silence: the first failure of standard output is kept, and the program ends with
//! it. A reader that has gone away (`| head`) is no failure.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;

use crate::report::format::Page;

/// Narrowest and widest page that a terminal gets.
const WIDTHS: (usize, usize) = (60, 200);

/// What has become of standard output.
#[derive(Debug)]
enum Output {
    Open,
    /// Its reader has gone away.
    Unread,
    Failed(io::Error),
}

/// Writes for people and programs.
#[derive(Debug)]
pub(super) struct Printer {
    terminal: bool,
    output: Mutex<Output>,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            output: Mutex::new(Output::Open),
        }
    }

    /// True where progress bars make sense.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// What tables are printed on: the terminal's columns, or a usual page.
    #[expect(clippy::unused_self, reason = "the printer knows where output goes")]
    pub(super) fn page(&self) -> Page {
        if !io::stdout().is_terminal() {
            return Page::default();
        }
        let (_, columns) = Term::stdout().size();
        let (least, most) = WIDTHS;
        Page {
            width: usize::from(columns).clamp(least, most),
        }
    }

    /// Lines of data, to standard output.
    pub(super) fn data(&self, text: &str) {
        self.write(|out| writeln!(out, "{}", text.trim_end()));
    }

    /// Whatever a function writes, to standard output.
    pub(super) fn write(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut state = self.output();
        if !matches!(*state, Output::Open) {
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(error) = content(&mut out).and_then(|()| out.flush()) {
            *state = match error.kind() {
                io::ErrorKind::BrokenPipe => Output::Unread,
                _ => Output::Failed(error),
            };
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether printing more is of use.
    pub(super) fn is_read(&self) -> bool {
        matches!(*self.output(), Output::Open)
    }

    /// The first failure of standard output.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn finish(self) -> io::Result<()> {
        match self
            .output
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Output::Open | Output::Unread => Ok(()),
            Output::Failed(error) => Err(error),
        }
    }

    /// A line for people, to standard error.
    #[expect(clippy::unused_self, reason = "all output goes through the printer")]
    pub(super) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
