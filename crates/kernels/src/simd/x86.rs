//! The instructions of x86-64: AVX-512 and AVX2.

use super::Simd;
#[allow(clippy::wildcard_imports, reason = "some forty intrinsics")]
use std::arch::x86_64::*;

/// [`super::Instructions::Avx512`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512;
/// [`super::Instructions::Avx2`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Transposes 8x8 floats with AVX, which both levels have.
#[inline(always)]
unsafe fn transpose8(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    // SAFETY: by the trait's contract eight rows of eight floats are readable at `from` and writable at `to`, that far
    // apart; both levels that call this enable AVX.
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

/// The lower half of a register plus the upper one, as `_mm512_reduce_add_ps` begins. By instructions of the whole register:
/// those of half of one know the first 16 registers only, and would hold a kernel's sums there.
macro_rules! halves {
    ($v:expr) => {{
        let v = $v;
        let turned = _mm512_shuffle_f32x4::<0b01_00_11_10>(v, v);
        _mm512_castps512_ps256(_mm512_add_ps(v, turned))
    }};
}

/// The same of four lanes of eight.
macro_rules! quarter {
    ($v:expr) => {
        _mm_add_ps(_mm256_castps256_ps128($v), _mm256_extractf128_ps::<1>($v))
    };
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
        sum(v: __m512) -> f32 = Avx2::sum(halves!(v));
        sums(v: [__m512; 4], to: *mut f32) =
            Avx2::sums([halves!(v[0]), halves!(v[1]), halves!(v[2]), halves!(v[3])], to);
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
            let q = quarter!(v);
            let d = _mm_add_ps(q, _mm_movehl_ps(q, q));
            _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps::<1>(d, d)))
        };
        sums(v: [__m256; 4], to: *mut f32) = {
            let [a, b, c, d] = [quarter!(v[0]), quarter!(v[1]), quarter!(v[2]), quarter!(v[3])];
            // Lanes 0 + 2 and 1 + 3 of two, in turn.
            let ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
            let cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            _mm_storeu_ps(to, _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
        };
    }
}
