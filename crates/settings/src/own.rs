//! The settings of one method or optimizer, of whatever type, as a configuration holds them.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::declare::{Declared, Field, Resolver};
use super::error::SettingError;
use super::value::Value;

/// A struct made by [`settings!`](crate::settings!).
pub trait OwnSettings: Any + fmt::Debug + Send + Sync {
    /// Every setting with its value.
    fn fields(&self) -> Vec<Field>;
    /// For [`typed`].
    fn as_any(&self) -> &dyn Any;
}

/// How such a struct is made.
pub trait SettingsOf: OwnSettings + Sized {
    /// All declarations, in their order.
    fn declared() -> Vec<&'static dyn Declared>;
    /// The values that settings mean.
    ///
    /// # Errors
    /// [`SettingError`] naming the key.
    fn resolve(r: &Resolver<'_>) -> Result<Self, SettingError>;
    /// The values of a stored configuration, by key.
    ///
    /// # Errors
    /// [`SettingError::Stored`].
    fn from_stored(of: &Stock<'_>) -> Result<Self, SettingError>;
}

/// Settings of a type that a spec knows and a configuration does not.
#[derive(Clone)]
pub struct Own(Arc<dyn OwnSettings>);

impl Own {
    /// Every setting with its value.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        self.0.fields()
    }

    /// The settings, if they are of this type.
    #[must_use]
    pub fn get<S: OwnSettings>(&self) -> Option<&S> {
        self.0.as_any().downcast_ref()
    }

    /// The value of this key, if it is one of these settings.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Value> {
        let fields = self.fields();
        let field = fields.into_iter().find(|field| field.setting.key() == key);
        field.and_then(|field| field.value)
    }
}

impl<S: OwnSettings> From<S> for Own {
    fn from(settings: S) -> Self {
        Self(Arc::new(settings))
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        let of = |own: &Self| -> Vec<(&str, Option<Value>)> {
            let fields = own.fields().into_iter();
            fields.map(|f| (f.setting.key(), f.value)).collect()
        };
        of(self) == of(other)
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The settings as the type that a spec's own functions expect.
///
/// # Errors
/// [`SettingError::Subject`] for those of another spec.
pub fn typed<S: OwnSettings>(own: &Own) -> Result<&S, SettingError> {
    own.get().ok_or_else(|| {
        let expected = std::any::type_name::<S>();
        SettingError::Subject(format!("{own:?} is not {expected}"))
    })
}

crate::settings! {
    /// Of something that has nothing to set.
    pub struct NoSettings {}
}

/// Where own settings stand in a configuration's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Beside all others.
    Inline,
    /// In an object of this name.
    Named(&'static str),
}

/// The values of a stored configuration, by key.
pub type Stock<'a> = dyn Fn(&str) -> Option<Value> + 'a;

/// What a spec says of its settings.
pub struct SettingsSpec {
    /// Where they stand in files.
    pub section: Section,
    /// Their declarations.
    pub declared: fn() -> Vec<&'static dyn Declared>,
    /// How they are made of what was typed.
    pub resolve: fn(&Resolver<'_>) -> Result<Own, SettingError>,
    /// How they are made of what was stored.
    pub from_stored: fn(&Stock<'_>) -> Result<Own, SettingError>,
}

impl SettingsSpec {
    /// Of this type, in an object of this name.
    #[must_use]
    pub const fn of<S: SettingsOf>(section: &'static str) -> Self {
        Self::placed::<S>(Section::Named(section))
    }

    /// Of this type, beside all other settings.
    #[must_use]
    pub const fn inline<S: SettingsOf>() -> Self {
        Self::placed::<S>(Section::Inline)
    }

    const fn placed<S: SettingsOf>(section: Section) -> Self {
        Self {
            section,
            declared: S::declared,
            resolve: |r| S::resolve(r).map(Own::from),
            from_stored: |of| S::from_stored(of).map(Own::from),
        }
    }

    /// Whether this key is one of them.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        (self.declared)().iter().any(|setting| setting.key() == key)
    }
}
