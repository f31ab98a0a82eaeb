//! The instructions of aarch64: NEON.

use super::Simd;
#[allow(clippy::wildcard_imports, reason = "some thirty intrinsics")]
use std::arch::aarch64::*;

/// [`super::Instructions::Neon`]: two registers of four lanes as one of eight, so that sums have AVX2's order.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

type V = [float32x4_t; 2];

/// An operation of both halves.
macro_rules! both {
    ($f:ident($($arg:expr),+)) => {
        [$f($($arg[0]),+), $f($($arg[1]),+)]
    };
}

/// The lanes of `v` where those of `mask` are all ones, else 0.
macro_rules! masked {
    ($v:expr, $mask:expr) => {
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32($v), $mask))
    };
}

impl Simd for Neon {
    const LANES: usize = 8;
    type V = V;
    methods! { V;
        transpose(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) = {
            // Squares of four by four, each to the other side of the diagonal.
            for (r, c) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
                let row = |i: usize| vld1q_f32(from.add((r + i) * from_row + c));
                let (a, b) = ((row(0), row(1)), (row(2), row(3)));
                // Of two rows the even columns, then the odd ones, in turn.
                let wide = |v: float32x4_t| vreinterpretq_f64_f32(v);
                let even = [vtrn1q_f32(a.0, a.1), vtrn1q_f32(b.0, b.1)].map(wide);
                let odd = [vtrn2q_f32(a.0, a.1), vtrn2q_f32(b.0, b.1)].map(wide);
                let columns = [
                    vtrn1q_f64(even[0], even[1]),
                    vtrn1q_f64(odd[0], odd[1]),
                    vtrn2q_f64(even[0], even[1]),
                    vtrn2q_f64(odd[0], odd[1]),
                ];
                for (i, column) in columns.into_iter().enumerate() {
                    vst1q_f32(to.add((c + i) * to_row + r), vreinterpretq_f32_f64(column));
                }
            }
        };
        splat(x: f32) -> V = [vdupq_n_f32(x); 2];
        load(p: *const f32) -> V = [vld1q_f32(p), vld1q_f32(p.add(4))];
        load_half(p: *const u16) -> V = {
            let halves = vld1q_u16(p);
            let single = |halves| vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(halves)));
            [single(vget_low_u16(halves)), single(vget_high_u16(halves))]
        };
        store(p: *mut f32, v: V) = {
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
        };
        add(a: V, b: V) -> V = both!(vaddq_f32(a, b));
        sub(a: V, b: V) -> V = both!(vsubq_f32(a, b));
        mul(a: V, b: V) -> V = both!(vmulq_f32(a, b));
        div(a: V, b: V) -> V = both!(vdivq_f32(a, b));
        sqrt(a: V) -> V = both!(vsqrtq_f32(a));
        fma(a: V, b: V, c: V) -> V = both!(vfmaq_f32(c, a, b));
        relu(a: V) -> V = a.map(|a| vmaxnmq_f32(a, vdupq_n_f32(0.0)));
        and(a: V, m: V) -> V = [
            masked!(a[0], vreinterpretq_u32_f32(m[0])),
            masked!(a[1], vreinterpretq_u32_f32(m[1])),
        ];
        where_positive(x: V, v: V) -> V = [
            masked!(v[0], vcgtzq_f32(x[0])),
            masked!(v[1], vcgtzq_f32(x[1])),
        ];
        sum(v: V) -> f32 = {
            let q = vaddq_f32(v[0], v[1]);
            let d = vadd_f32(vget_low_f32(q), vget_high_f32(q));
            vget_lane_f32::<0>(d) + vget_lane_f32::<1>(d)
        };
    }
}
