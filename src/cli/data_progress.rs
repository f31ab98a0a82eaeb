//! What is seen while data is decoded, hashed or downloaded.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::printer::Printer;
use crate::data::Watch;

/// Plain lines come no closer together than this.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A bar on a terminal, plain lines elsewhere.
pub(super) struct DataProgress<'a> {
    printer: &'a Printer,
    state: Mutex<State>,
}

struct State {
    what: String,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl<'a> DataProgress<'a> {
    pub(super) fn new(printer: &'a Printer) -> Self {
        let state = State {
            what: String::new(),
            bar: None,
            told: Instant::now(),
        };
        Self {
            printer,
            state: Mutex::new(state),
        }
    }
}

impl Drop for DataProgress<'_> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Watch for DataProgress<'_> {
    fn progress(&self, what: &str, done: u64, of: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.what != what {
            if let Some(bar) = state.bar.take() {
                bar.finish_and_clear();
            }
            what.clone_into(&mut state.what);
            state.told = Instant::now();
            if self.printer.is_terminal() {
                let bar = ProgressBar::new(of);
                if let Ok(style) =
                    ProgressStyle::with_template("{msg} {bar:24} {pos}/{len}, {eta} left")
                {
                    bar.set_style(style);
                }
                bar.set_message(what.to_owned());
                state.bar = Some(bar);
            }
        }
        if let Some(bar) = &state.bar {
            bar.set_position(done.max(bar.position()));
        } else if state.told.elapsed() >= PLAIN_INTERVAL {
            state.told = Instant::now();
            self.printer.note(&format!("{what}: {done} of {of}"));
        }
    }

    fn note(&self, text: &str) {
        self.printer.note(text);
    }
}

/// Where decoded images are kept: `TAGCL_CACHE` where it is set (an empty one is not), or a folder in the data folder.
pub(super) fn cache_folder(data: &Path) -> PathBuf {
    let set = std::env::var_os("TAGCL_CACHE").filter(|value| !value.is_empty());
    set.map_or_else(|| data.join(".tagcl-cache"), PathBuf::from)
}
