//! Registries: things that are chosen by name.
//!
//! Owns the trait of what stands in one (a method, an optimizer, a network, a benchmark): a static table of specs, each
//! with a name and one sentence. A spec is compared, written and parsed by its name; a configuration holds a reference
//! into the table.

use super::error::{SettingError, unknown};

/// A spec in a static table.
pub trait Named: Sync + 'static {
    /// What the setting that chooses one is called (`method`, `optimizer`).
    const WHAT: &'static str;
    /// The table, in the order in which it is listed.
    fn all() -> &'static [&'static Self];
    /// The name in settings and files.
    fn name(&self) -> &'static str;
    /// One sentence.
    fn description(&self) -> &'static str;
}

/// The spec of this name.
#[must_use]
pub fn find<N: Named>(name: &str) -> Option<&'static N> {
    N::all().iter().copied().find(|spec| spec.name() == name)
}

/// The spec of this name.
///
/// # Errors
/// [`SettingError::Unknown`] with the nearest name and all of them.
pub fn parse_name<N: Named>(name: &str) -> Result<&'static N, SettingError> {
    find(name).ok_or_else(|| unknown(N::WHAT, name, N::all().iter().map(|spec| spec.name())))
}

/// Comparison, display and files of a [`Named`] type, all by its name.
#[macro_export]
#[doc(hidden)]
macro_rules! by_name {
    ($type:ty) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }
        impl Eq for $type {}
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name)
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name)
            }
        }
        impl<'de> serde::Deserialize<'de> for &'static $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                $crate::settings::parse_name(&name).map_err(serde::de::Error::custom)
            }
        }
    };
}
