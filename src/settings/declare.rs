//! Settings: their declarations, and the passage from texts to typed values.
//!
//! Owns [`Setting`], the order of precedence among origins, and the [`Resolver`], which parses a setting when it is first
//! asked for and remembers the value: a default or a condition may ask for any other setting, in whatever order they are
//! declared.

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};

use super::error::{Origin, SettingError};
use super::kinds::{Kind, Refusal};
use super::value::Value;

/// What a setting is unless told otherwise.
pub enum Default<T> {
    /// Always the same.
    Fixed(T),
    /// Another as the released code behaves than mended.
    ByProfile {
        /// With [`Profile::Corrected`].
        corrected: T,
        /// With [`Profile::Released`].
        released: T,
    },
    /// By other settings.
    Computed(fn(&Resolver<'_>) -> Result<T, SettingError>),
}

/// [`Default::Fixed`].
#[must_use]
pub const fn fixed<T: Copy>(value: T) -> Default<T> {
    Default::Fixed(value)
}

/// [`Default::ByProfile`].
#[must_use]
pub const fn by_profile<T: Copy>(corrected: T, released: T) -> Default<T> {
    Default::ByProfile {
        corrected,
        released,
    }
}

/// [`Default::Computed`].
#[must_use]
pub const fn computed<T>(of: fn(&Resolver<'_>) -> Result<T, SettingError>) -> Default<T> {
    Default::Computed(of)
}

/// A question about the other settings.
pub(super) type Ask = fn(&Resolver<'_>) -> Result<bool, SettingError>;

/// When a setting means something.
pub struct Condition {
    /// Whether it does.
    applies: Ask,
    /// Completes "it is only for".
    words: &'static str,
    /// Texts that are accepted, without effect, where it does not.
    tolerated: fn(&Resolver<'_>, &str) -> Result<bool, SettingError>,
}

/// A setting that means something only where `applies` says so; `words` complete "it is only for".
#[must_use]
pub const fn only(applies: Ask, words: &'static str) -> Condition {
    Condition {
        applies,
        words,
        tolerated: |_, _| Ok(false),
    }
}

impl Condition {
    /// Accepts certain texts without effect where the setting means nothing.
    #[must_use]
    pub const fn tolerating(
        mut self,
        tolerated: fn(&Resolver<'_>, &str) -> Result<bool, SettingError>,
    ) -> Self {
        self.tolerated = tolerated;
        self
    }
}

/// How a setting stands in result files (whose hash is the run's identity) and in `config.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Always; an absent value is left out.
    Plain,
    /// Always; an absent value is `null`.
    OrNull,
    /// Left out where it has this value: settings that came later have their first meaning then, so that ids stay.
    Unless(&'static str),
    /// As [`Self::Unless`] in result files; `config.toml` always has it, since this value is not every run's default.
    UnlessInResults(&'static str),
    /// Always; files of before it came are read as this value.
    Since(&'static str),
}

/// A setting's declaration.
pub struct Setting<T: Kind> {
    /// Key in TOML files; with hyphens, the flag.
    pub key: &'static str,
    /// What it sets, in a sentence.
    pub doc: &'static str,
    /// What it may be.
    pub range: T::Range,
    /// What it is unless told otherwise.
    pub default: Default<T>,
    /// When it means something; `None` for always.
    pub only: Option<Condition>,
    /// How it stands in files.
    pub stored: Stored,
}

impl<T: Kind> Setting<T> {
    fn condition(&self, r: &Resolver<'_>) -> Result<bool, SettingError> {
        self.only
            .as_ref()
            .map_or(Ok(true), |only| (only.applies)(r))
    }

    fn parse(&self, r: &Resolver<'_>, text: &str) -> Result<T, SettingError> {
        T::parse(self.key, text, &self.range).map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::Range => SettingError::Range {
                key: self.key,
                found: text.to_string(),
                origin: r.origin(self.key),
                range: T::words(&self.range),
            },
        })
    }

    /// The value where nobody set it.
    ///
    /// # Errors
    /// [`SettingError::Missing`] where there is no default.
    pub fn default(&self, r: &Resolver<'_>) -> Result<T, SettingError> {
        if !self.condition(r)?
            && let Some(absent) = T::absent()
        {
            return Ok(absent);
        }
        self.usual(r)
    }

    /// The value where nobody set it and it means something.
    fn usual(&self, r: &Resolver<'_>) -> Result<T, SettingError> {
        if let Some(text) = r.overridden(self.key) {
            return self.parse(r, text);
        }
        match &self.default {
            Default::Fixed(value) => Ok(value.clone()),
            Default::ByProfile {
                corrected,
                released,
            } => Ok(match r.profile()? {
                Profile::Corrected => corrected.clone(),
                Profile::Released => released.clone(),
            }),
            Default::Computed(of) => of(r),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// [`SettingError`] naming the key.
    fn resolve(&self, r: &Resolver<'_>) -> Result<T, SettingError> {
        let Some(text) = r.text(self.key) else {
            return self.default(r);
        };
        if let Some(only) = &self.only
            && !(only.applies)(r)?
            && !(only.tolerated)(r, text)?
        {
            return Err(SettingError::NoEffect {
                key: self.key,
                origin: r.origin(self.key),
                only_for: only.words.to_string(),
            });
        }
        self.parse(r, text)
    }

    /// The value out of a stored configuration; `None` is an absent one.
    ///
    /// # Errors
    /// [`SettingError::Stored`] naming the key.
    pub fn from_stored(&self, found: Option<&Value>) -> Result<T, SettingError> {
        let first = match (found, self.stored) {
            (
                None,
                Stored::Unless(first) | Stored::UnlessInResults(first) | Stored::Since(first),
            ) => Some(first),
            _ => None,
        };
        let value = match first {
            Some(first) => T::parse(self.key, first, &self.range).ok(),
            None => T::stored(found, &self.range),
        };
        value.ok_or_else(|| SettingError::Stored {
            key: self.key.to_string(),
            problem: match found {
                None => "is missing".to_string(),
                Some(found) => format!("is {found}, but must be {}", T::words(&self.range)),
            },
        })
    }
}

/// A [`Setting`] of any type, for tables.
pub trait Declared: Sync {
    /// Key in TOML files.
    fn key(&self) -> &'static str;
    /// What it sets, in a sentence.
    fn doc(&self) -> &'static str;
    /// What it may be, in words.
    fn range(&self) -> String;
    /// What it is only for, if that is not everything.
    fn only_for(&self) -> Option<&'static str>;
    /// How it stands in files.
    fn stored(&self) -> Stored;
    /// Whether it means something under these settings.
    ///
    /// # Errors
    /// [`SettingError`] of the settings that decide.
    fn applies(&self, r: &Resolver<'_>) -> Result<bool, SettingError>;
    /// The value where nobody sets it.
    ///
    /// # Errors
    /// [`SettingError`], also where there is none.
    fn default_value(&self, r: &Resolver<'_>) -> Result<Option<Value>, SettingError>;
    /// The value where nobody sets it and it means something, for lists.
    ///
    /// # Errors
    /// [`SettingError`], also where there is none.
    fn usual_value(&self, r: &Resolver<'_>) -> Result<Option<Value>, SettingError>;
}

impl<T: Kind + Sync> Declared for Setting<T> {
    fn key(&self) -> &'static str {
        self.key
    }
    fn doc(&self) -> &'static str {
        self.doc.trim()
    }
    fn range(&self) -> String {
        T::words(&self.range)
    }
    fn only_for(&self) -> Option<&'static str> {
        self.only.as_ref().map(|only| only.words)
    }
    fn stored(&self) -> Stored {
        self.stored
    }
    fn applies(&self, r: &Resolver<'_>) -> Result<bool, SettingError> {
        self.condition(r)
    }
    fn default_value(&self, r: &Resolver<'_>) -> Result<Option<Value>, SettingError> {
        self.default(r).map(|value| value.value())
    }
    fn usual_value(&self, r: &Resolver<'_>) -> Result<Option<Value>, SettingError> {
        self.usual(r).map(|value| value.value())
    }
}

/// A setting with its value in a configuration.
#[derive(Clone)]
pub struct Field {
    /// The declaration.
    pub setting: &'static dyn Declared,
    /// The value; `None` where it is absent.
    pub value: Option<Value>,
}

impl Field {
    /// Key and value as result files have it; `None` if they leave it out.
    #[must_use]
    pub fn in_results(&self) -> Option<(&'static str, Option<&Value>)> {
        let key = self.setting.key();
        match (self.setting.stored(), &self.value) {
            (Stored::OrNull, value) => Some((key, value.as_ref())),
            (Stored::Plain | Stored::Since(_), value) => {
                value.as_ref().map(|value| (key, Some(value)))
            }
            (Stored::Unless(first) | Stored::UnlessInResults(first), Some(value)) => {
                (value.to_string() != first).then_some((key, Some(value)))
            }
            (Stored::Unless(_) | Stored::UnlessInResults(_), None) => None,
        }
    }
}

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
    default: fixed(Profile::Corrected),
    only: None,
    stored: Stored::Plain,
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

    fn overridden(&self, key: &str) -> Option<&'static str> {
        let overrides = self.overrides.get()?;
        let found = overrides.iter().find(|(name, _)| *name == key);
        found.map(|(_, text)| *text)
    }
}
