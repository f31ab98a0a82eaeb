//! The vector instructions the kernels use, behind one small trait, and the run-time choice between them.
//!
//! A kernel is written once, generic over [`Simd`], with `#[inline(always)]` all the way down; [`dispatch!`] then
//! instantiates it inside one `#[target_feature]` function per instruction set, where the intrinsics become single
//! instructions. The binary therefore runs on any machine and needs no `-C target-cpu`.
//!
//! The sets differ in rounding (lanes are summed in a different order; the portable one does not fuse
//! multiply and add; NEON rounds as AVX2 does), so results are equal between machines only to about 1e-5 relative; on one machine they are
//! equal bit for bit from run to run and for any number of threads. So do levels with fewer multiplications
//! ([`super::winograd`]), which are taken only where they are asked for by name.

use std::fmt;
use std::sync::OnceLock;

/// Instructions that this machine has: a value of this type is the proof, since only detection makes one.
///
/// Whoever holds a level may run the kernels at it, so their safe functions take one and ask no further.
///
/// ```
/// use tagcl_kernels::Level;
/// assert!(Level::available_levels().contains(&Level::detect()));
/// ```
///
/// There is no other way to one:
///
/// ```compile_fail,E0423
/// let level = tagcl_kernels::Level(tagcl_kernels::Instructions::Avx512, false);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level(Instructions, bool);

/// The sets of instructions that kernels are written for; naming one says nothing about the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Instructions {
    /// 16 lanes, 32 registers.
    Avx512,
    /// 8 lanes, 16 registers, fused multiply-add.
    Avx2,
    /// 8 lanes in two registers, of which there are 16 pairs, fused multiply-add.
    Neon,
    /// Plain Rust on arrays of 8, which the compiler vectorises for whatever the target has.
    Portable,
}

impl Instructions {
    /// All of them, best first.
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The names of the levels: direct, and with Winograd's convolutions.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Avx512 => ["avx512", "avx512-winograd"],
            Self::Avx2 => ["avx2", "avx2-winograd"],
            Self::Neon => ["neon", "neon-winograd"],
            Self::Portable => ["portable", "portable-winograd"],
        }
    }

    /// Whether this machine has what the `#[target_feature]` functions of [`dispatch!`] are compiled for.
    fn detected(self) -> bool {
        match self {
            Self::Portable => true,
            // An interpreter has no vector instructions.
            _ if cfg!(miri) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.detected(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            // Kernels at this level need no functions of their own: the target has it throughout, or it is not there.
            Self::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
        }
    }
}

/// A level that was asked for by name and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelError {
    /// No level has this name.
    Unknown(String),
    /// The level's name, and the names of those that the machine has.
    Missing(&'static str, Vec<&'static str>),
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let names = [0, 1].map(|i| Instructions::ALL.map(|set| set.names()[i]).join(", "));
                let names = names.join(", ");
                write!(
                    f,
                    "`{name}` is not a level of the kernels; they are {names}"
                )
            }
            Self::Missing(name, there) => write!(
                f,
                "this machine does not have the instructions of level `{name}`; it has {}",
                there.join(", ")
            ),
        }
    }
}

impl std::error::Error for LevelError {}

impl Level {
    /// The environment variable that asks for a level.
    pub const VARIABLE: &'static str = "TAGCL_SIMD";

    /// The level of this process: what [`Self::wanted`] gives, read once.
    ///
    /// # Panics
    /// If [`Self::wanted`] is an error: a program calls that first, where it can say so properly.
    #[must_use]
    pub fn detect() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| match Self::wanted() {
            Ok(level) => level,
            #[allow(
                clippy::panic,
                reason = "documented; a level is never chosen against the user's word"
            )]
            Err(error) => panic!("{}: {error}", Self::VARIABLE),
        })
    }

    /// The level that the environment variable [`Self::VARIABLE`] names, or where it is not set, or empty, the best
    /// one of this machine.
    ///
    /// # Errors
    /// If it names no level, or one that this machine lacks.
    pub fn wanted() -> Result<Self, LevelError> {
        match std::env::var_os(Self::VARIABLE) {
            Some(name) if !name.is_empty() => Self::by_name(&name.to_string_lossy()),
            _ => Ok(Self::best()),
        }
    }

    /// The level of this name: `avx512`, `avx2`, `neon` or `portable`, which may be followed by `-winograd`.
    ///
    /// # Errors
    /// If there is no such level, or this machine lacks it.
    pub fn by_name(name: &str) -> Result<Self, LevelError> {
        let levels = Instructions::ALL.into_iter().flat_map(|set| {
            let names = set.names().into_iter().zip([false, true]);
            names.map(move |(name, winograd)| (name, set, winograd))
        });
        let named = levels.into_iter().find(|(n, ..)| *n == name);
        let (name, set, winograd) = named.ok_or_else(|| LevelError::Unknown(name.to_string()))?;
        let level = Self::of(set).ok_or_else(|| {
            let there = Self::available_levels().into_iter().map(Self::name);
            LevelError::Missing(name, there.collect())
        })?;
        Ok(Self(level.0, winograd))
    }

    /// The levels of this machine that convolve directly, best first; the last is [`Self::portable`].
    #[must_use]
    pub fn available_levels() -> Vec<Self> {
        Instructions::ALL.into_iter().filter_map(Self::of).collect()
    }

    /// The level that every machine has.
    #[must_use]
    pub fn portable() -> Self {
        Self(Instructions::Portable, false)
    }

    /// The level of the same instructions that takes fewer multiplications where there are 3x3 convolutions of stride 1 over
    /// many channels: another rounding, and less time.
    #[must_use]
    pub fn with_winograd(self) -> Self {
        Self(self.0, true)
    }

    /// Whether it is such a level.
    #[must_use]
    pub(crate) fn winograd(self) -> bool {
        self.1
    }

    /// The level's name, as [`Self::by_name`] takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let [direct, winograd] = self.0.names();
        if self.1 { winograd } else { direct }
    }

    fn best() -> Self {
        Self::available_levels()[0]
    }

    /// The one place that makes a level of instructions that not every machine has.
    fn of(instructions: Instructions) -> Option<Self> {
        instructions.detected().then_some(Self(instructions, false))
    }

    /// What to run.
    #[inline(always)]
    pub(crate) fn instructions(self) -> Instructions {
        self.0
    }

    /// Floats per vector register.
    #[must_use]
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            Instructions::Avx512 => 16,
            Instructions::Avx2 | Instructions::Neon | Instructions::Portable => 8,
        }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A vector of `f32` and what can be done with it.
///
/// Every method is `unsafe` because the caller must be inside a function that has the instruction set enabled, and,
/// for loads and stores, because `LANES` floats at the address must be readable or writable (no alignment asked).
pub(crate) trait Simd: Copy {
    /// Floats per vector.
    const LANES: usize;
    /// The register.
    type V: Copy;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    /// The upper halves of `LANES` floats, whose lower halves become 0.
    unsafe fn load_half(p: *const u16) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// Asks for the cache line at `p`, which need not be readable.
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        let _ = p;
    }
    /// Asks for the cache line at `p`, which need not be readable, for the second-level cache.
    #[inline(always)]
    unsafe fn prefetch_far(p: *const f32) {
        let _ = p;
    }
    /// `a * b + c`.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `max(a, 0)`, NaN becoming NaN or 0.
    unsafe fn relu(a: Self::V) -> Self::V;
    /// Bitwise and; `mask` holds all ones or all zeros per lane.
    unsafe fn and(a: Self::V, mask: Self::V) -> Self::V;
    /// `v` where `x > 0`, else 0.
    unsafe fn where_positive(x: Self::V, v: Self::V) -> Self::V;
    /// Sum of the lanes, always in the same order.
    unsafe fn sum(v: Self::V) -> f32;
    /// The sums of four vectors, each as [`Self::sum`], next to each other: four floats must be writable.
    #[inline(always)]
    unsafe fn sums(v: [Self::V; 4], to: *mut f32) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: by contract four floats are writable at `to`.
            unsafe { *to.add(i) = Self::sum(v) };
        }
    }
    /// Transposes 8x8 floats, given the floats between rows on both sides: of both squares, all elements must be readable
    /// or writable.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for r in 0..8 {
            for c in 0..8 {
                // SAFETY: by contract eight rows of eight floats are readable at `from` and writable at `to`, that far apart.
                unsafe { *to.add(c * to_row + r) = *from.add(r * from_row + c) };
            }
        }
    }
}

/// [`Instructions::Portable`].
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: [f32; 8], b: [f32; 8], f: impl Fn(f32, f32) -> f32) -> [f32; 8] {
    let mut r = [0.0; 8];
    for i in 0..8 {
        r[i] = f(a[i], b[i]);
    }
    r
}

impl Simd for Portable {
    const LANES: usize = 8;
    type V = [f32; 8];
    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 8] {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 8] {
        // SAFETY: the caller promises 8 readable floats; the read asks for no alignment.
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_half(p: *const u16) -> [f32; 8] {
        // SAFETY: the caller promises 8 readable halves; the read asks for no alignment.
        let halves = unsafe { p.cast::<[u16; 8]>().read_unaligned() };
        halves.map(|half| f32::from_bits(u32::from(half) << 16))
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 8]) {
        // SAFETY: the caller promises 8 writable floats; the write asks for no alignment.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    unsafe fn sqrt(a: [f32; 8]) -> [f32; 8] {
        zip(a, a, |x, _| x.sqrt())
    }
    #[inline(always)]
    unsafe fn fma(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        zip(zip(a, b, |x, y| x * y), c, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn relu(a: [f32; 8]) -> [f32; 8] {
        zip(a, a, |x, _| if x > 0.0 { x } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn and(a: [f32; 8], mask: [f32; 8]) -> [f32; 8] {
        zip(a, mask, |x, m| f32::from_bits(x.to_bits() & m.to_bits()))
    }
    #[inline(always)]
    unsafe fn where_positive(x: [f32; 8], v: [f32; 8]) -> [f32; 8] {
        zip(x, v, |x, v| if x > 0.0 { v } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn sum(v: [f32; 8]) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
}

/// One trait method per intrinsic.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! methods {
    ($v:ty; $($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: by the trait's contract the instruction set is enabled in the caller, into which this is inlined,
            // and addresses are valid for a whole vector; loads and stores are the unaligned forms. A prefetch may be
            // given any address.
            unsafe { $body }
        })*
    };
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) use arm::Neon;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod arm;

/// Defines `name(level, args…)`, which runs the generic kernel `generic::<S>(args…)` under the instruction set.
///
/// A kernel may have further parameters: a type, written `generic<T>`, or one or two constants that are looked up once
/// per call, written `generic[condition, condition]`.
///
/// The defined function is `unsafe` for the kernel's own contract alone: that the machine has the instructions is what a
/// [`Level`] proves.
macro_rules! dispatch {
    ($(#[$meta:meta])* $name:ident = $generic:ident $(<$element:ty>)? $([$($flag:expr),+])? ($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub(crate) unsafe fn $name(level: $crate::simd::Level, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: the caller promises the kernel's contract, which is this function's; the instruction set is
                // enabled on it.
                unsafe { dispatch!(@call $generic [$crate::simd::Avx512 $(, $element)?] [$($($flag),+)?] ($($arg),*)) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: the caller promises the kernel's contract, which is this function's; the instruction set is
                // enabled on it.
                unsafe { dispatch!(@call $generic [$crate::simd::Avx2 $(, $element)?] [$($($flag),+)?] ($($arg),*)) }
            }
            // SAFETY: the caller promises the kernel's contract; detection, which alone makes a level, has found the
            // features that `avx512` and `avx2` are compiled for; NEON is in all that this target compiles.
            unsafe {
                match level.instructions() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Instructions::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Instructions::Avx2 => avx2($($arg),*),
                    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
                    $crate::simd::Instructions::Neon => {
                        dispatch!(@call $generic [$crate::simd::Neon $(, $element)?] [$($($flag),+)?] ($($arg),*))
                    }
                    _ => dispatch!(@call $generic [$crate::simd::Portable $(, $element)?] [$($($flag),+)?] ($($arg),*)),
                }
            }
        }
    };
    (@call $generic:ident [$($types:ty),+] [] $args:tt) => { $generic::<$($types),+> $args };
    (@call $generic:ident [$($types:ty),+] [$one:expr] $args:tt) => {
        if $one { $generic::<$($types),+, true> $args } else { $generic::<$($types),+, false> $args }
    };
    (@call $generic:ident [$($types:ty),+] [$one:expr, $two:expr] $args:tt) => {
        match ($one, $two) {
            (true, true) => $generic::<$($types),+, true, true> $args,
            (true, false) => $generic::<$($types),+, true, false> $args,
            (false, true) => $generic::<$($types),+, false, true> $args,
            (false, false) => $generic::<$($types),+, false, false> $args,
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::{Instructions, Level, LevelError};

    #[test]
    fn names_give_no_level_that_detection_does_not() {
        let there = Level::available_levels();
        assert_eq!(there.last(), Some(&Level::portable()));
        for (set, winograd) in Instructions::ALL
            .into_iter()
            .flat_map(|set| [(set, false), (set, true)])
        {
            let name = set.names()[usize::from(winograd)];
            match Level::by_name(name) {
                Ok(level) => {
                    let direct = Level(level.0, false);
                    assert!(set.detected() && there.contains(&direct), "{name}");
                    assert_eq!((level.name(), level.instructions()), (name, set));
                    assert_eq!((level.winograd(), direct == level), (winograd, !winograd));
                    assert_eq!(direct.with_winograd() == level, winograd);
                }
                Err(error) => {
                    assert!(!set.detected(), "{name}");
                    let names = there.iter().map(|level| level.name()).collect();
                    assert_eq!(error, LevelError::Missing(name, names));
                }
            }
        }
        let had = Instructions::ALL.map(|set| Level::by_name(set.names()[0]).ok());
        assert!(had.into_iter().flatten().eq(there));
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "AVX2", "avx512 ", "sse", "winograd", "avx2-"] {
            let error = Level::by_name(name).expect_err(name);
            assert_eq!(error, LevelError::Unknown(name.to_string()));
            assert!(error.to_string().contains("avx512, avx2, neon, portable"));
        }
    }
}
