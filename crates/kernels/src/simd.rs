//! The vector instructions the kernels use, behind one small trait, and the run-time choice between them.
//!
//! A kernel is written once, generic over [`Simd`], with `#[inline(always)]` all the way down; [`dispatch!`] then
//! instantiates it inside one `#[target_feature]` function per instruction set, where the intrinsics become single
//! instructions. The binary therefore runs on any machine and needs no `-C target-cpu`.
//!
//! The three levels differ in rounding (lanes are summed in a different order; the portable level does not fuse
//! multiply and add), so results are equal between machines only to about 1e-5 relative; on one machine they are
//! equal bit for bit from run to run and for any number of threads.

use std::sync::OnceLock;

/// Which instructions the kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// 16 lanes, 32 registers.
    Avx512,
    /// 8 lanes, 16 registers, fused multiply-add.
    Avx2,
    /// Plain Rust on arrays of 8, which the compiler vectorises for whatever the target has.
    Portable,
}

impl Level {
    /// The best level of this machine, or the one that the environment variable `TAGCL_SIMD`
    /// (`avx512`, `avx2` or `portable`) asks for if the machine has it. Read once per process.
    #[must_use]
    pub fn detect() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let wanted = match std::env::var("TAGCL_SIMD").as_deref() {
                Ok("avx512") => Some(Self::Avx512),
                Ok("avx2") => Some(Self::Avx2),
                Ok("portable") => Some(Self::Portable),
                _ => None,
            };
            match wanted {
                Some(level) if level.available() => level,
                _ => Self::all()[0],
            }
        })
    }

    /// Whether this machine can run the level.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// The levels of this machine, best first; never empty.
    #[must_use]
    pub fn all() -> Vec<Self> {
        [Self::Avx512, Self::Avx2, Self::Portable]
            .into_iter()
            .filter(|l| l.available())
            .collect()
    }

    /// Floats per vector register.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 | Self::Portable => 8,
        }
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
    /// Transposes 8x8 floats, given the floats between rows on both sides.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        for r in 0..8 {
            for c in 0..8 {
                // SAFETY: the caller promises both squares.
                unsafe { *to.add(c * to_row + r) = *from.add(r * from_row + c) };
            }
        }
    }
}

/// [`Level::Portable`].
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

// SAFETY (of all bodies below): the trait's contract hands us readable/writable addresses; nothing else is unsafe here.
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

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    #[allow(clippy::wildcard_imports, reason = "some forty intrinsics")]
    use std::arch::x86_64::*;

    /// [`super::Level::Avx512`].
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;
    /// [`super::Level::Avx2`].
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    /// One trait method per intrinsic.
    macro_rules! methods {
        ($v:ty; $($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
            $(#[inline(always)]
            unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: the trait's contract: the instruction set is enabled in the caller, addresses are valid for
                // a whole vector, and the unaligned forms are used.
                unsafe { $body }
            })*
        };
    }

    /// Transposes 8x8 floats with AVX, which both levels have.
    #[inline(always)]
    unsafe fn transpose8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        // SAFETY: the caller promises both squares and a level with AVX.
        unsafe {
            let mut r = [_mm256_setzero_ps(); 8];
            for (i, r) in r.iter_mut().enumerate() {
                *r = _mm256_loadu_ps(from.add(i * from_row));
            }
            let (mut pairs, mut quads) = (r, r);
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for i in 0..2 {
                let p = &pairs[4 * i..];
                quads[4 * i] = _mm256_shuffle_ps::<0x44>(p[0], p[2]);
                quads[4 * i + 1] = _mm256_shuffle_ps::<0xEE>(p[0], p[2]);
                quads[4 * i + 2] = _mm256_shuffle_ps::<0x44>(p[1], p[3]);
                quads[4 * i + 3] = _mm256_shuffle_ps::<0xEE>(p[1], p[3]);
            }
            for i in 0..4 {
                let low = _mm256_permute2f128_ps::<0x20>(quads[i], quads[i + 4]);
                let high = _mm256_permute2f128_ps::<0x31>(quads[i], quads[i + 4]);
                _mm256_storeu_ps(to.add(i * to_row), low);
                _mm256_storeu_ps(to.add((i + 4) * to_row), high);
            }
        }
    }

    impl Simd for Avx512 {
        const LANES: usize = 16;
        type V = __m512;
        methods! { __m512;
            transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) =
                transpose8(from, from_row, to, to_row);
            prefetch(p: *const f32) = _mm_prefetch::<_MM_HINT_T0>(p.cast());
            prefetch_far(p: *const f32) = _mm_prefetch::<_MM_HINT_T1>(p.cast());
            splat(x: f32) -> __m512 = _mm512_set1_ps(x);
            load(p: *const f32) -> __m512 = _mm512_loadu_ps(p);
            load_half(p: *const u16) -> __m512 = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(
                _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()))));
            store(p: *mut f32, v: __m512) = _mm512_storeu_ps(p, v);
            add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
            sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
            mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
            div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
            sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
            fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
            relu(a: __m512) -> __m512 = _mm512_max_ps(a, _mm512_setzero_ps());
            and(a: __m512, m: __m512) -> __m512 =
                _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_castps_si512(m)));
            where_positive(x: __m512, v: __m512) -> __m512 =
                _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps()), v);
            sum(v: __m512) -> f32 = _mm512_reduce_add_ps(v);
        }
    }

    impl Simd for Avx2 {
        const LANES: usize = 8;
        type V = __m256;
        methods! { __m256;
            transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) =
                transpose8(from, from_row, to, to_row);
            prefetch(p: *const f32) = _mm_prefetch::<_MM_HINT_T0>(p.cast());
            prefetch_far(p: *const f32) = _mm_prefetch::<_MM_HINT_T1>(p.cast());
            splat(x: f32) -> __m256 = _mm256_set1_ps(x);
            load(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
            load_half(p: *const u16) -> __m256 = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(
                _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()))));
            store(p: *mut f32, v: __m256) = _mm256_storeu_ps(p, v);
            add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
            sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
            mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
            div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
            sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
            fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
            relu(a: __m256) -> __m256 = _mm256_max_ps(a, _mm256_setzero_ps());
            and(a: __m256, m: __m256) -> __m256 = _mm256_and_ps(a, m);
            where_positive(x: __m256, v: __m256) -> __m256 =
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, _mm256_setzero_ps()), v);
            sum(v: __m256) -> f32 = {
                let q = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                let d = _mm_add_ps(q, _mm_movehl_ps(q, q));
                _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps::<1>(d, d)))
            };
        }
    }
}

/// Defines `name(level, args…)`, which runs the generic kernel `generic::<S>(args…)` under the instruction set.
///
/// The defined function is `unsafe`: the kernel's own contract holds, and the level must be available.
macro_rules! dispatch {
    ($(#[$meta:meta])* $name:ident = $generic:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub(crate) unsafe fn $name(level: $crate::simd::Level, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: same contract; the instruction set is enabled on this function.
                unsafe { $generic::<$crate::simd::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: same contract; the instruction set is enabled on this function.
                unsafe { $generic::<$crate::simd::Avx2>($($arg),*) }
            }
            // SAFETY: the caller promises the kernel's contract and that the machine has the level.
            unsafe {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx2 => avx2($($arg),*),
                    _ => $generic::<$crate::simd::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use dispatch;
