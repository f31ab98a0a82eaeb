//! Types of settings: how each is parsed, what range it has, how it is written.

use std::path::PathBuf;

use super::error::{SettingError, unknown};
use super::named::{Named, parse_name};
use super::value::Value;

/// What went wrong with a text: out of the range, or an error with more to say.
pub enum Refusal {
    /// It is not in the range of the setting.
    Range,
    /// Anything else.
    Error(SettingError),
}

/// A type that settings may have.
pub trait Kind: Clone + PartialEq + 'static {
    /// What limits it.
    type Range: Sync;
    /// The value of a text.
    ///
    /// # Errors
    /// [`Refusal`].
    fn parse(key: &'static str, text: &str, range: &Self::Range) -> Result<Self, Refusal>;
    /// The range in words, completing "it must be".
    fn words(range: &Self::Range) -> String;
    /// The value as stored and shown; `None` for a setting that is absent.
    fn value(&self) -> Option<Value>;
    /// The value that was stored; `None` if it cannot be one. An absent value is `None`.
    fn stored(value: Option<&Value>, range: &Self::Range) -> Option<Self>;
    /// What the setting is where it means nothing; `None` if that is its default.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }
}

/// Limits of whole numbers, both allowed.
pub struct WholeRange(pub usize, pub usize);

impl WholeRange {
    /// From 1 to a million.
    pub const FROM_ONE: Self = Self(1, 1_000_000);
    /// From 0 to a million.
    pub const FROM_ZERO: Self = Self(0, 1_000_000);
}

impl Kind for usize {
    type Range = WholeRange;
    fn parse(_: &'static str, text: &str, range: &WholeRange) -> Result<Self, Refusal> {
        let number = text.parse().ok();
        let fits = |x: &usize| (range.0..=range.1).contains(x);
        number.filter(fits).ok_or(Refusal::Range)
    }
    fn words(range: &WholeRange) -> String {
        match (range.0, range.1) {
            (from, to) if to == from + 1 => format!("{from} or {to}"),
            (from, to) => format!("a whole number from {from} to {to}"),
        }
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Whole(*self as u64))
    }
    fn stored(value: Option<&Value>, range: &WholeRange) -> Option<Self> {
        match value {
            Some(Value::Whole(x)) => usize::try_from(*x)
                .ok()
                .filter(|x| (range.0..=range.1).contains(x)),
            _ => None,
        }
    }
}

/// Limits of numbers; infinite and undefined ones are never allowed.
pub struct RealRange {
    fits: fn(f64) -> bool,
    words: &'static str,
}

impl RealRange {
    /// `[0, 1)`.
    pub const UNIT: Self = Self::new(|x| (0.0..1.0).contains(&x), "at least 0 and below 1");
    /// `(0, 1]`.
    pub const SHARE: Self = Self::new(|x| x > 0.0 && x <= 1.0, "above 0 and at most 1");
    /// `(0, ∞)`.
    pub const POSITIVE: Self = Self::new(|x| x > 0.0, "a number above 0");
    /// `[0, ∞)`.
    pub const FROM_ZERO: Self = Self::new(|x| x >= 0.0, "a number from 0");

    /// Any other; `words` complete "it must be".
    #[must_use]
    pub const fn new(fits: fn(f64) -> bool, words: &'static str) -> Self {
        Self { fits, words }
    }

    fn has(&self, x: f64) -> bool {
        x.is_finite() && (self.fits)(x)
    }
}

impl Kind for f64 {
    type Range = RealRange;
    fn parse(_: &'static str, text: &str, range: &RealRange) -> Result<Self, Refusal> {
        let number = text.parse().ok();
        number.filter(|x| range.has(*x)).ok_or(Refusal::Range)
    }
    fn words(range: &RealRange) -> String {
        range.words.to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Real(*self))
    }
    fn stored(value: Option<&Value>, range: &RealRange) -> Option<Self> {
        value?.number().filter(|x| range.has(*x))
    }
}

/// A closed list of named values.
pub trait Choice: Copy + PartialEq + Sync + 'static {
    /// All of them, by name.
    const ALL: &'static [(&'static str, Self)];

    /// Its name.
    #[must_use]
    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, value)| *value == self);
        found.map_or("", |(name, _)| name)
    }
}

/// A [`Choice`]'s names, and the same names in files.
#[macro_export]
#[doc(hidden)]
macro_rules! choices {
    ($type:ident { $($name:literal => $variant:ident),+ $(,)? }) => {
        impl $crate::settings::Choice for $type {
            const ALL: &'static [(&'static str, Self)] = &[$(($name, Self::$variant)),+];
        }
        $crate::choice_kind!($type);
    };
}

/// [`Kind`] of a [`Choice`].
#[macro_export]
#[doc(hidden)]
macro_rules! choice_kind {
    ($type:ty) => {
        impl $crate::settings::Kind for $type {
            type Range = ();
            fn parse(
                key: &'static str,
                text: &str,
                (): &(),
            ) -> Result<Self, $crate::settings::Refusal> {
                $crate::settings::parse_choice(key, text)
            }
            fn words((): &()) -> String {
                $crate::settings::choice_words::<Self>()
            }
            fn value(&self) -> Option<$crate::settings::Value> {
                $crate::settings::choice_value(*self)
            }
            fn stored(value: Option<&$crate::settings::Value>, (): &()) -> Option<Self> {
                $crate::settings::choice_stored(value?)
            }
        }
    };
}

/// The choice of this name.
///
/// # Errors
/// [`Refusal::Error`] with the nearest name.
pub fn parse_choice<C: Choice>(key: &'static str, text: &str) -> Result<C, Refusal> {
    let names = C::ALL.iter().map(|(name, _)| *name);
    let found = C::ALL.iter().find(|(name, _)| *name == text);
    let found = found.map(|(_, value)| *value);
    found.ok_or_else(|| Refusal::Error(unknown(key, text, names)))
}

/// All names, separated by commas.
#[must_use]
pub fn choice_words<C: Choice>() -> String {
    let names: Vec<&str> = C::ALL.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The name, or the truth for `true` and `false`.
#[must_use]
pub fn choice_value<C: Choice>(choice: C) -> Option<Value> {
    Some(match choice.name() {
        "true" => Value::Truth(true),
        "false" => Value::Truth(false),
        name => Value::Text(name.to_string()),
    })
}

/// The choice that was stored.
#[must_use]
pub fn choice_stored<C: Choice>(value: &Value) -> Option<C> {
    let all = C::ALL.iter();
    let mut found = all.filter(|(_, choice)| choice_value(*choice).as_ref() == Some(value));
    found.next().map(|(_, choice)| *choice)
}

impl Choice for bool {
    const ALL: &'static [(&'static str, Self)] = &[("true", true), ("false", false)];
}
choice_kind!(bool);

impl<N: Named + PartialEq> Kind for &'static N {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        parse_name(text).map_err(Refusal::Error)
    }
    fn words((): &()) -> String {
        format!("a name that `tagcl list {}s` shows", N::WHAT)
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.name().to_string()))
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        match value? {
            Value::Text(name) => super::find(name),
            _ => None,
        }
    }
}

impl Kind for String {
    type Range = &'static str;
    fn parse(_: &'static str, text: &str, _: &&'static str) -> Result<Self, Refusal> {
        Ok(text.to_string())
    }
    fn words(range: &&'static str) -> String {
        (*range).to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.clone()))
    }
    fn stored(value: Option<&Value>, _: &&'static str) -> Option<Self> {
        match value? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl Kind for PathBuf {
    type Range = &'static str;
    fn parse(_: &'static str, text: &str, _: &&'static str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Refusal::Range);
        }
        Ok(Self::from(text))
    }
    fn words(range: &&'static str) -> String {
        (*range).to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.display().to_string()))
    }
    fn stored(value: Option<&Value>, _: &&'static str) -> Option<Self> {
        match value? {
            Value::Text(text) => Some(Self::from(text)),
            _ => None,
        }
    }
}

/// A setting that may be absent.
impl<K: Kind> Kind for Option<K> {
    type Range = K::Range;
    fn parse(key: &'static str, text: &str, range: &K::Range) -> Result<Self, Refusal> {
        K::parse(key, text, range).map(Some)
    }
    fn words(range: &K::Range) -> String {
        K::words(range)
    }
    fn value(&self) -> Option<Value> {
        self.as_ref().and_then(Kind::value)
    }
    fn stored(value: Option<&Value>, range: &K::Range) -> Option<Self> {
        match value {
            None => Some(None),
            some => K::stored(some, range).map(Some),
        }
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}
