//! One setting, declared; and the macro that makes a struct of a list of them.

use super::error::SettingError;
use super::kinds::{Kind, Refusal};
use super::resolve::{Profile, Resolver};
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
    pub(super) fn resolve(&self, r: &Resolver<'_>) -> Result<T, SettingError> {
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

/// A struct of settings with their declarations.
///
/// ```text
/// settings! {
///     /// What the struct is.
///     pub struct Example {
///         /// A sentence about it, which is its help everywhere.
///         alpha: f64 = fixed(0.1), range RealRange::FROM_ZERO, only only(|r| …, "…"), stored Stored::…;
///         /// The documentation of a setting that is declared elsewhere.
///         memory: usize as OTHER_SETTING;
///     }
/// }
/// ```
/// `range`, `only` and `stored` may be left out. Every field's declaration is the function of its name. Fields that are no
/// settings follow under `with { … }`.
#[macro_export]
macro_rules! settings {
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ty
                $(as $shared:path)?
                $(= $default:expr $(, range $range:expr)? $(, only $only:expr)? $(, stored $stored:expr)?)?
            );* $(;)?
        }
        with { $( $(#[doc = $edoc:literal])+ $extra:ident : $etype:ty ),+ $(,)? }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(unreachable_pub, reason = "a macro does not know where it is used")]
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
            $( $(#[doc = $edoc])+ pub $extra: $etype, )+
        }
        impl $name {
            $($crate::setting! {
                [$($doc)+] $field: $type, [$($shared)?],
                [$($default $(, range $range)? $(, only $only)? $(, stored $stored)?)?]
            })*
            /// All declarations, in their order.
            #[must_use]
            pub fn declared() -> Vec<&'static dyn $crate::settings::Declared> {
                vec![$(Self::$field()),*]
            }
            /// The values that settings mean.
            ///
            /// # Errors
            /// [`SettingError`](crate::settings::SettingError) naming the key.
            pub fn resolve(
                r: &$crate::settings::Resolver<'_>, $($extra: $etype),+
            ) -> Result<Self, $crate::settings::SettingError> {
                Ok(Self { $($field: r.get(Self::$field())?,)* $($extra),+ })
            }
            /// The values of a stored configuration, by key.
            ///
            /// # Errors
            /// [`SettingError::Stored`](crate::settings::SettingError::Stored).
            pub fn from_stored(
                of: &dyn Fn(&str) -> Option<$crate::settings::Value>, $($extra: $etype),+
            ) -> Result<Self, $crate::settings::SettingError> {
                Ok(Self {
                    $($field: Self::$field().from_stored(of(stringify!($field)).as_ref())?,)*
                    $($extra),+
                })
            }
            /// Every setting with its value.
            #[must_use]
            pub fn fields(&self) -> Vec<$crate::settings::Field> {
                vec![$($crate::settings::Field {
                    setting: Self::$field(),
                    value: $crate::settings::Kind::value(&self.$field),
                }),*]
            }
        }
    };
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ty
                $(as $shared:path)?
                $(= $default:expr $(, range $range:expr)? $(, only $only:expr)? $(, stored $stored:expr)?)?
            );* $(;)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(unreachable_pub, reason = "a macro does not know where it is used")]
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
        }
        impl $name {
            $($crate::setting! {
                [$($doc)+] $field: $type, [$($shared)?],
                [$($default $(, range $range)? $(, only $only)? $(, stored $stored)?)?]
            })*
        }
        impl $crate::settings::OwnSettings for $name {
            fn fields(&self) -> Vec<$crate::settings::Field> {
                vec![$($crate::settings::Field {
                    setting: Self::$field(),
                    value: $crate::settings::Kind::value(&self.$field),
                }),*]
            }
            fn as_any(&self) -> &dyn std::any::Any {
                self
            }
        }
        impl $crate::settings::SettingsOf for $name {
            fn declared() -> Vec<&'static dyn $crate::settings::Declared> {
                vec![$(Self::$field()),*]
            }
            #[allow(unused_variables, reason = "a struct without settings")]
            fn resolve(
                r: &$crate::settings::Resolver<'_>,
            ) -> Result<Self, $crate::settings::SettingError> {
                Ok(Self { $($field: r.get(Self::$field())?,)* })
            }
            #[allow(unused_variables, reason = "a struct without settings")]
            fn from_stored(
                of: &dyn Fn(&str) -> Option<$crate::settings::Value>,
            ) -> Result<Self, $crate::settings::SettingError> {
                Ok(Self {
                    $($field: Self::$field().from_stored(of(stringify!($field)).as_ref())?,)*
                })
            }
        }
    };
}

/// The declaration of one setting of [`settings!`](crate::settings!).
#[macro_export]
#[doc(hidden)]
macro_rules! setting {
    ([$($doc:literal)+] $field:ident: $type:ty, [$shared:path], []) => {
        #[doc = concat!("The declaration of `", stringify!($field), "`.")]
        #[must_use]
        #[allow(unreachable_pub, reason = "a macro does not know where it is used")]
        pub fn $field() -> &'static $crate::settings::Setting<$type> {
            &$shared
        }
    };
    (
        [$($doc:literal)+] $field:ident: $type:ty, [],
        [$default:expr $(, range $range:expr)? $(, only $only:expr)? $(, stored $stored:expr)?]
    ) => {
        #[doc = concat!("The declaration of `", stringify!($field), "`.")]
        #[must_use]
        #[allow(unreachable_pub, reason = "a macro does not know where it is used")]
        pub fn $field() -> &'static $crate::settings::Setting<$type> {
            #[allow(unused_mut, unused_assignments, reason = "parts that were left out")]
            static SETTING: $crate::settings::Setting<$type> = $crate::settings::Setting {
                key: stringify!($field),
                doc: concat!($($doc),+),
                range: $crate::or!(() $(, $range)?),
                default: $default,
                only: $crate::or!(None $(, Some($only))?),
                stored: $crate::or!($crate::settings::Stored::Plain $(, $stored)?),
            };
            &SETTING
        }
    };
}

/// The second expression if there is one.
#[macro_export]
#[doc(hidden)]
macro_rules! or {
    ($default:expr) => {
        $default
    };
    ($default:expr, $given:expr) => {
        $given
    };
}
