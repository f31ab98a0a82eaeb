//! What a person may see of slow work on data.

/// Told of progress and of what happened on the way. Called from several threads.
pub trait Watch: Sync {
    /// `done` of `of` units of `what` are done. `of` is 0 where it is not known.
    fn progress(&self, what: &str, done: u64, of: u64);
    /// Something that a person should know.
    fn note(&self, text: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn progress(&self, _: &str, _: u64, _: u64) {}
    fn note(&self, _: &str) {}
}
