//! The macro that makes a struct and its declarations of a list of settings.

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
            pub fn declared() -> Vec<&'static dyn $crate::Declared> {
                vec![$(Self::$field()),*]
            }
            /// The values that settings mean.
            ///
            /// # Errors
            /// [`SettingError`](crate::SettingError) naming the key.
            pub fn resolve(
                r: &$crate::Resolver<'_>, $($extra: $etype),+
            ) -> Result<Self, $crate::SettingError> {
                Ok(Self { $($field: r.get(Self::$field())?,)* $($extra),+ })
            }
            /// The values of a stored configuration, by key.
            ///
            /// # Errors
            /// [`SettingError::Stored`](crate::SettingError::Stored).
            pub fn from_stored(
                of: &$crate::Stock<'_>, $($extra: $etype),+
            ) -> Result<Self, $crate::SettingError> {
                Ok(Self {
                    $($field: Self::$field().from_stored(of(stringify!($field)).as_ref())?,)*
                    $($extra),+
                })
            }
            /// Every setting with its value.
            #[must_use]
            pub fn fields(&self) -> Vec<$crate::Field> {
                vec![$($crate::Field {
                    setting: Self::$field(),
                    value: $crate::Kind::value(&self.$field),
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
        impl $crate::OwnSettings for $name {
            fn fields(&self) -> Vec<$crate::Field> {
                vec![$($crate::Field {
                    setting: Self::$field(),
                    value: $crate::Kind::value(&self.$field),
                }),*]
            }
            fn as_any(&self) -> &dyn std::any::Any {
                self
            }
        }
        impl $crate::SettingsOf for $name {
            fn declared() -> Vec<&'static dyn $crate::Declared> {
                vec![$(Self::$field()),*]
            }
            #[allow(unused_variables, reason = "a struct without settings")]
            fn resolve(
                r: &$crate::Resolver<'_>,
            ) -> Result<Self, $crate::SettingError> {
                Ok(Self { $($field: r.get(Self::$field())?,)* })
            }
            #[allow(unused_variables, reason = "a struct without settings")]
            fn from_stored(
                of: &$crate::Stock<'_>,
            ) -> Result<Self, $crate::SettingError> {
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
        pub fn $field() -> &'static $crate::Setting<$type> {
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
        pub fn $field() -> &'static $crate::Setting<$type> {
            #[allow(unused_mut, unused_assignments, reason = "parts that were left out")]
            static SETTING: $crate::Setting<$type> = $crate::Setting {
                key: stringify!($field),
                doc: concat!($($doc),+),
                range: $crate::or!(() $(, $range)?),
                default: $default,
                only: $crate::or!(None $(, Some($only))?),
                stored: $crate::or!($crate::Stored::Plain $(, $stored)?),
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
