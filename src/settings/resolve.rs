//! From texts to typed values.
//!
//! Owns the order of precedence among origins, and the [`Resolver`], which parses a setting when it is first asked for
//! and remembers the value: a default or a condition may ask for any other setting, in whatever order they are declared.

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};

use super::declare::Setting;
use super::error::{Origin, SettingError};
use super::kinds::Kind;

/// Which set of defaults: the released code's behaviour or the mended one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As the released code behaves, for comparison with the published tables.
    Released,
    /// Defects mended, the method unchanged.
    Corrected,
}

crate::choices!(Profile { "released" => Released, "corrected" => Corrected });

impl Profile {
    /// The setting.
    pub const SETTING: &'static Setting<Self> = &PROFILE;
}

static PROFILE: Setting<Profile> = Setting {
    key: "profile",
    doc: "Which defaults: as the released code behaves, or with its defects mended.",
    range: (),
    default: super::fixed(Profile::Corrected),
    only: None,
    stored: super::Stored::Plain,
};

/// Texts by key, each with its origin.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Texts {
    /// Sets a key unless a stronger origin has set it already.
    pub fn set(&mut self, key: &'static str, text: &str, origin: Origin) {
        let old = self.values.get(key);
        if old.is_none_or(|(_, old)| old.rank() <= origin.rank()) {
            self.values.insert(key, (text.to_string(), origin));
        }
    }

    /// Text and origin of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&(String, Origin)> {
        self.values.get(key)
    }

    /// All keys that are set, with their origins.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Origin)> {
        self.values.iter().map(|(key, (_, origin))| (*key, origin))
    }
}

/// Typed values of texts.
pub struct Resolver<'a> {
    texts: &'a Texts,
    /// Defaults of what was chosen (a benchmark's published b), which come before a setting's own.
    overrides: OnceCell<Vec<(&'static str, &'static str)>>,
    known: RefCell<HashMap<&'static str, Box<dyn Any>>>,
}

impl<'a> Resolver<'a> {
    /// Nothing parsed yet.
    #[must_use]
    pub fn new(texts: &'a Texts) -> Self {
        Self {
            texts,
            overrides: OnceCell::new(),
            known: RefCell::default(),
        }
    }

    /// Sets the defaults of what was chosen, by key; the first of a key counts. Only the first call has an effect, so it
    /// comes before any setting is asked for that they may concern.
    pub fn override_defaults(&self, overrides: Vec<(&'static str, &'static str)>) {
        let _ = self.overrides.set(overrides);
    }

    /// A setting's value.
    ///
    /// # Errors
    /// [`SettingError`] naming the key.
    pub fn get<T: Kind>(&self, setting: &'static Setting<T>) -> Result<T, SettingError> {
        if let Some(known) = self.known.borrow().get(setting.key)
            && let Some(value) = known.downcast_ref::<T>()
        {
            return Ok(value.clone());
        }
        let value = setting.resolve(self)?;
        let remembered = Box::new(value.clone());
        self.known.borrow_mut().insert(setting.key, remembered);
        Ok(value)
    }

    /// Which defaults are in force.
    ///
    /// # Errors
    /// [`SettingError`] for an unknown profile.
    pub fn profile(&self) -> Result<Profile, SettingError> {
        self.get(Profile::SETTING)
    }

    /// Whether somebody set this key.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.texts.get(key).is_some()
    }

    /// What was written for this key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.texts.get(key).map(|(text, _)| text.as_str())
    }

    /// Who wrote it, in words; empty where nobody did.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        let found = self.texts.get(key);
        found.map_or(String::new(), |(_, origin)| origin.to_string())
    }

    pub(super) fn overridden(&self, key: &str) -> Option<&'static str> {
        let overrides = self.overrides.get()?;
        let found = overrides.iter().find(|(name, _)| *name == key);
        found.map(|(_, text)| *text)
    }
}
