//! Data: bytes in, checked image sets out. Nothing here knows of tasks, models or runs.
//!
//! - [`mod@format`] holds the parsers. They see readers and bytes, never paths or the network, and
//!   trust no size that a header states: memory grows with the bytes that really arrive.
//! - [`source`] holds one file a data set, a [`DataSpec`]: the names it goes by in a data folder, what
//!   to expect of it, its licence; the table [`DATA_SETS`] of all; and the functions [`load`], [`locate`], [`status`], [`verify`] and
//!   [`import`].
//! - [`embedded`] is the small real sample that ships with the program.
//! - [`ImageSet`] and [`Dataset`] are what all of it ends in.
//!
//! Every error is a [`DataError`] that names the file, the value found, the value expected and
//! what to do about it.

mod cache;
pub mod combine;
pub mod contact;
pub mod embedded;
pub mod error;
#[cfg(feature = "cli")]
pub mod fetch;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod image_set;
pub mod resample;
pub mod source;
mod tree;
mod walk;
pub mod watch;

#[cfg(test)]
mod testing;

pub use error::DataError;
pub use image_set::{Dataset, ImageSet, ImageShape};
pub use source::{
    Content, DATA_SETS, DataName, DataSpec, FileReport, Form, ImportReport, LoadOptions, Located,
    SetReport, Status, VerifyReport, import, load, load_with, locate, status, verify,
};
#[cfg(feature = "cli")]
pub use source::{Elsewhere, GetReport, get};
pub use watch::Watch;
