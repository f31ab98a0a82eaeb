//! Settings as declarations: what a setting is called, what it may be, what it is unless told otherwise.
//!
//! Owns the one form in which every setting of the program is written down, beside the thing that it sets. A
//! [`Setting`] holds key, range, default, the condition under which it means something, and one sentence; the macro
//! [`settings!`](crate::settings!) makes a struct and its declarations of a list of them. Flags, TOML keys, checks, help,
//! reference pages, `config.toml` and the way back from it are read from the declarations, so a setting stands in one
//! place. Text becomes a typed value once, in a [`Resolver`], which asks for other settings where a default depends on
//! them. Knows nothing of methods, networks or runs.

mod declare;
mod error;
mod kinds;
mod macros;
mod named;
mod own;
mod value;

pub use declare::{
    Condition, Declared, Default, Field, Profile, Resolver, Setting, Stored, Texts, by_profile,
    computed, fixed, only,
};
pub use error::{Origin, SettingError, nearest, unknown};
pub use kinds::{
    Choice, Kind, RealRange, Refusal, WholeRange, choice_stored, choice_value, choice_words,
    parse_choice,
};
pub use named::{Named, find, parse_name};
pub use own::{NoSettings, Own, OwnSettings, Section, SettingsOf, SettingsSpec, Stock, typed};
pub use value::{Value, short_checksum};
