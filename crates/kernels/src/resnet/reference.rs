//! The trunk once more, in `f64` and plain loops, for the tests.

use super::spec::BlockSpec;
use super::{BlockKind, Ends, TrunkSpec};

/// A batch of images `[n, c, h, w]`.
#[derive(Clone, Debug)]
pub(super) struct Images {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub v: Vec<f64>,
}

impl Images {
    pub(super) fn zeros(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self {
            n,
            c,
            h,
            w,
            v: vec![0.0; n * c * h * w],
        }
    }

    fn like(&self, v: Vec<f64>) -> Self {
        Self { v, ..*self }
    }

    fn at(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        ((n * self.c + c) * self.h + y) * self.w + x
    }

    fn zip(&self, other: &[f64], f: impl Fn(f64, f64) -> f64) -> Self {
        self.like(self.v.iter().zip(other).map(|(a, b)| f(*a, *b)).collect())
    }

    fn relu(&self) -> Self {
        self.like(self.v.iter().map(|v| v.max(0.0)).collect())
    }

    fn channel(&self, i: usize) -> usize {
        i / (self.h * self.w) % self.c
    }
}

/// Calls `f(output index, input index, weight index)` for every product of a convolution.
fn products(
    x: &Images,
    y: &Images,
    k: usize,
    stride: usize,
    mut f: impl FnMut(usize, usize, usize),
) {
    let pad = k / 2;
    for n in 0..y.n {
        for o in 0..y.c {
            for oy in 0..y.h {
                for ox in 0..y.w {
                    for i in 0..x.c {
                        for ky in 0..k {
                            for kx in 0..k {
                                let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                                if iy >= pad && ix >= pad && iy - pad < x.h && ix - pad < x.w {
                                    let w = ((o * x.c + i) * k + ky) * k + kx;
                                    f(y.at(n, o, oy, ox), x.at(n, i, iy - pad, ix - pad), w);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn conv(x: &Images, w: &[f64], co: usize, k: usize, stride: usize) -> Images {
    let mut y = Images::zeros(x.n, co, x.h.div_ceil(stride), x.w.div_ceil(stride));
    let mut v = std::mem::take(&mut y.v);
    products(x, &y, k, stride, |o, i, k| v[o] += x.v[i] * w[k]);
    y.v = v;
    y
}

fn conv_grad(x: &Images, w: &[f64], dy: &Images, k: usize, stride: usize) -> (Images, Vec<f64>) {
    let (mut dx, mut dw) = (x.like(vec![0.0; x.v.len()]), vec![0.0; w.len()]);
    products(x, dy, k, stride, |o, i, k| {
        dx.v[i] += dy.v[o] * w[k];
        dw[k] += dy.v[o] * x.v[i];
    });
    (dx, dw)
}

/// Side and stride of the stem's convolution.
fn stem_kernel(spec: &TrunkSpec) -> (usize, usize) {
    match spec.ends {
        Ends::Small => (3, 1),
        Ends::Large => (7, 2),
    }
}

/// The largest values of windows of 3x3 of stride 2 with a border of one, and where they were.
fn max_pool(x: &Images) -> (Images, Vec<usize>) {
    let mut y = Images::zeros(x.n, x.c, x.h.div_ceil(2), x.w.div_ceil(2));
    let mut winners = Vec::new();
    for i in 0..y.v.len() {
        let (row, column) = (i / y.w % y.h, i % y.w);
        let (n, c) = (i / (y.c * y.h * y.w), y.channel(i));
        let side = |at: usize, side: usize| (2 * at).saturating_sub(1)..(2 * at + 2).min(side);
        let places = side(row, x.h).flat_map(|r| side(column, x.w).map(move |c| (r, c)));
        let places = places.map(|(row, column)| x.at(n, c, row, column));
        let better = |best: usize, at: usize| if x.v[at] > x.v[best] { at } else { best };
        let winner = places.reduce(better).expect("a window has a middle");
        y.v[i] = x.v[winner];
        winners.push(winner);
    }
    (y, winners)
}

/// Mean and biased variance per channel.
fn moments(x: &Images) -> (Vec<f64>, Vec<f64>) {
    let count = (x.n * x.h * x.w) as f64;
    let (mut mean, mut variance) = (vec![0.0; x.c], vec![0.0; x.c]);
    for (i, v) in x.v.iter().enumerate() {
        mean[x.channel(i)] += v / count;
    }
    for (i, v) in x.v.iter().enumerate() {
        variance[x.channel(i)] += (v - mean[x.channel(i)]).powi(2) / count;
    }
    (mean, variance)
}

fn norm(x: &Images, (mean, variance): (&[f64], &[f64]), w: &[f64], b: &[f64]) -> Images {
    let v = x.v.iter().enumerate().map(|(i, v)| {
        let c = x.channel(i);
        (v - mean[c]) / (variance[c] + 1e-5).sqrt() * w[c] + b[c]
    });
    x.like(v.collect())
}

/// With `frozen` statistics, the input has no influence on them.
fn norm_grad(
    x: &Images,
    (mean, variance, _): &(Vec<f64>, Vec<f64>, usize),
    frozen: bool,
    w: &[f64],
    dy: &Images,
) -> (Images, Vec<f64>, Vec<f64>) {
    let count = (x.n * x.h * x.w) as f64;
    let (mut dw, mut db) = (vec![0.0; x.c], vec![0.0; x.c]);
    let hat = |i: usize| (x.v[i] - mean[x.channel(i)]) / (variance[x.channel(i)] + 1e-5).sqrt();
    for (i, d) in dy.v.iter().enumerate() {
        dw[x.channel(i)] += d * hat(i);
        db[x.channel(i)] += d;
    }
    let v = dy.v.iter().enumerate().map(|(i, d)| {
        let c = x.channel(i);
        let through = if frozen {
            0.0
        } else {
            db[c] / count + hat(i) * dw[c] / count
        };
        w[c] / (variance[c] + 1e-5).sqrt() * (d - through)
    });
    (x.like(v.collect()), dw, db)
}

/// Of one convolution: the input, what the norms read. Of two, also what the second convolution reads, what the
/// shortcut's norm reads, and the output.
struct SavedBlock {
    x: Images,
    r1: Images,
    r2: Images,
    two: Option<(Images, Option<Images>, Images)>,
}

/// The gradient before a `ReLU` that made `r`.
fn gate(d: &Images, r: &Images) -> Images {
    d.zip(&r.v, |d, r| if r > 0.0 { d } else { 0.0 })
}

/// The next of the trunk's norms: of images, with a weight and a bias.
type Normalise<'a> = &'a mut dyn FnMut(&Images, &[f64], &[f64]) -> Images;

fn forward_one(
    (i, b): (usize, BlockSpec),
    x: Images,
    params: &[Vec<f64>],
    masks: Option<&[Vec<f64>]>,
    normalise: Normalise<'_>,
) -> (Images, SavedBlock) {
    let drop = |y: Images, j: usize| match masks {
        Some(m) => y.zip(&m[2 * i + j], |y, m| y * m),
        None => y,
    };
    let [q1, q2] = b.norms;
    let r1 = conv(&x, &params[b.conv], b.cout, 3, b.stride).relu();
    let y = drop(normalise(&r1, &params[q1], &params[q1 + 1]), 0);
    let side = match b.shortcut {
        Some(p) => conv(&x, &params[p], b.cout, 1, b.stride),
        None => x.clone(),
    };
    let r2 = y.zip(&side.v, |y, s| y + s).relu();
    let y = drop(normalise(&r2, &params[q2], &params[q2 + 1]), 1);
    let two = None;
    (y, SavedBlock { x, r1, r2, two })
}

fn forward_two(
    b: BlockSpec,
    x: Images,
    params: &[Vec<f64>],
    normalise: Normalise<'_>,
) -> (Images, SavedBlock) {
    let [q1, q2] = b.norms;
    let second = b.second.expect("a block of two convolutions");
    let r1 = conv(&x, &params[b.conv], b.cout, 3, b.stride);
    let between = normalise(&r1, &params[q1], &params[q1 + 1]).relu();
    let r2 = conv(&between, &params[second], b.cout, 3, 1);
    let y = normalise(&r2, &params[q2], &params[q2 + 1]);
    let side = b
        .shortcut
        .map(|p| conv(&x, &params[p], b.cout, 1, b.stride));
    let shortcut = match (&side, b.shortcut_norm) {
        (Some(side), Some(q)) => normalise(side, &params[q], &params[q + 1]),
        _ => x.clone(),
    };
    let y = y.zip(&shortcut.v, |y, s| y + s).relu();
    let two = Some((between, side, y.clone()));
    (y, SavedBlock { x, r1, r2, two })
}

/// One pass, with what its backward pass needs.
pub(super) struct Pass {
    spec: TrunkSpec,
    params: Vec<Vec<f64>>,
    masks: Option<Vec<Vec<f64>>>,
    x: Images,
    stem: Images,
    stem_out: Images,
    /// Where the values of the pooled images were.
    winners: Option<Vec<usize>>,
    blocks: Vec<SavedBlock>,
    last: Images,
    frozen: bool,
    /// Mean and biased variance of every norm's input, and the number of values they are over.
    pub stats: Vec<(Vec<f64>, Vec<f64>, usize)>,
    pub features: Vec<f64>,
}

impl Pass {
    /// With `running` statistics (mean, variance), evaluation; else training.
    pub(super) fn forward(
        spec: &TrunkSpec,
        x: Vec<f64>,
        params: &[Vec<f64>],
        masks: Option<&[Vec<f64>]>,
        running: Option<&[(Vec<f64>, Vec<f64>)]>,
    ) -> Self {
        let mut stats = Vec::new();
        let mut normalise = |x: &Images, w: &[f64], b: &[f64]| {
            let (mean, variance) = running.map_or_else(|| moments(x), |r| r[stats.len()].clone());
            let y = norm(x, (&mean, &variance), w, b);
            stats.push((mean, variance, x.n * x.h * x.w));
            y
        };
        let x = Images {
            n: spec.batch,
            c: spec.in_channels,
            h: spec.size,
            w: spec.size,
            v: x,
        };
        let (side, stride) = stem_kernel(spec);
        let stem = conv(&x, &params[0], spec.widths[0], side, stride);
        let stem_out = normalise(&stem, &params[1], &params[2]).relu();
        let mut blocks: Vec<SavedBlock> = Vec::new();
        let (mut a, winners) = match spec.ends {
            Ends::Small => (stem_out.clone(), None),
            Ends::Large => {
                let (a, winners) = max_pool(&stem_out);
                (a, Some(winners))
            }
        };
        for (i, b) in spec.blocks().enumerate() {
            let block;
            (a, block) = match b.kind {
                BlockKind::One => forward_one((i, b), a, params, masks, &mut normalise),
                BlockKind::Two => forward_two(b, a, params, &mut normalise),
            };
            blocks.push(block);
        }
        let (windows, side) = spec.windows();
        let mut features = vec![0.0; spec.batch * spec.features()];
        for n in 0..a.n {
            for c in 0..a.c {
                for y in 0..windows * side {
                    for x in 0..windows * side {
                        let f = ((n * a.c + c) * windows + y / side) * windows + x / side;
                        features[f] += a.v[a.at(n, c, y, x)] / (side * side) as f64;
                    }
                }
            }
        }
        let masks = masks.map(<[Vec<f64>]>::to_vec);
        Self {
            spec: spec.clone(),
            params: params.to_vec(),
            masks,
            x,
            stem,
            stem_out,
            winners,
            blocks,
            last: a,
            frozen: running.is_some(),
            stats,
            features,
        }
    }

    pub(super) fn backward(&self, d_features: &[f64]) -> Vec<Vec<f64>> {
        let mut grads: Vec<Vec<f64>> = self.params.iter().map(|p| vec![0.0; p.len()]).collect();
        let (windows, side) = self.spec.windows();
        let mut d = self.last.like(vec![0.0; self.last.v.len()]);
        for n in 0..d.n {
            for c in 0..d.c {
                for y in 0..windows * side {
                    for x in 0..windows * side {
                        let f = ((n * d.c + c) * windows + y / side) * windows + x / side;
                        let at = d.at(n, c, y, x);
                        d.v[at] = d_features[f] / (side * side) as f64;
                    }
                }
            }
        }
        for (i, b) in self
            .spec
            .blocks()
            .enumerate()
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            d = match b.kind {
                BlockKind::One => self.backward_one((i, b), &d, &mut grads),
                BlockKind::Two => self.backward_two((i, b), &d, &mut grads),
            };
        }
        let d = match &self.winners {
            None => d,
            Some(winners) => {
                let mut back = self.stem_out.like(vec![0.0; self.stem_out.v.len()]);
                for (&winner, d) in winners.iter().zip(&d.v) {
                    back.v[winner] += d;
                }
                back
            }
        };
        let d = gate(&d, &self.stem_out);
        let (dr, dw, db) = norm_grad(&self.stem, &self.stats[0], self.frozen, &self.params[1], &d);
        (grads[1], grads[2]) = (dw, db);
        let (side, stride) = stem_kernel(&self.spec);
        grads[0] = conv_grad(&self.x, &self.params[0], &dr, side, stride).1;
        grads
    }

    /// The gradient before the norm of this number, which read `r` and whose weight has this index.
    fn norm_back(
        &self,
        (number, weight): (usize, usize),
        (r, d): (&Images, &Images),
        grads: &mut [Vec<f64>],
    ) -> Images {
        let (stats, w) = (&self.stats[number], &self.params[weight]);
        let (dr, dw, db) = norm_grad(r, stats, self.frozen, w, d);
        (grads[weight], grads[weight + 1]) = (dw, db);
        dr
    }

    fn backward_one(
        &self,
        (i, b): (usize, BlockSpec),
        d: &Images,
        grads: &mut [Vec<f64>],
    ) -> Images {
        let saved = &self.blocks[i];
        let drop = |d: &Images, j: usize| match &self.masks {
            Some(m) => d.zip(&m[2 * i + j], |d, m| d * m),
            None => d.clone(),
        };
        let dr = self.norm_back((b.norm + 1, b.norms[1]), (&saved.r2, &drop(d, 1)), grads);
        let ds = gate(&dr, &saved.r2);
        let dr = self.norm_back((b.norm, b.norms[0]), (&saved.r1, &drop(&ds, 0)), grads);
        let dr = gate(&dr, &saved.r1);
        let (dx, dw) = conv_grad(&saved.x, &self.params[b.conv], &dr, 3, b.stride);
        grads[b.conv] = dw;
        let Some(shortcut) = b.shortcut else {
            return dx.zip(&ds.v, |a, b| a + b);
        };
        let (side, dw) = conv_grad(&saved.x, &self.params[shortcut], &ds, 1, b.stride);
        grads[shortcut] = dw;
        dx.zip(&side.v, |a, b| a + b)
    }

    fn backward_two(
        &self,
        (i, b): (usize, BlockSpec),
        d: &Images,
        grads: &mut [Vec<f64>],
    ) -> Images {
        let saved = &self.blocks[i];
        let (between, side, y) = saved.two.as_ref().expect("a block of two convolutions");
        let second = b.second.expect("a block of two convolutions");
        let ds = gate(d, y);
        let dr = self.norm_back((b.norm + 1, b.norms[1]), (&saved.r2, &ds), grads);
        let (dx, dw) = conv_grad(between, &self.params[second], &dr, 3, 1);
        grads[second] = dw;
        let dr = self.norm_back(
            (b.norm, b.norms[0]),
            (&saved.r1, &gate(&dx, between)),
            grads,
        );
        let (dx, dw) = conv_grad(&saved.x, &self.params[b.conv], &dr, 3, b.stride);
        grads[b.conv] = dw;
        let (Some(shortcut), Some(norm), Some(side)) = (b.shortcut, b.shortcut_norm, side) else {
            return dx.zip(&ds.v, |a, b| a + b);
        };
        let dr = self.norm_back((b.norm + 2, norm), (side, &ds), grads);
        let (side, dw) = conv_grad(&saved.x, &self.params[shortcut], &dr, 1, b.stride);
        grads[shortcut] = dw;
        dx.zip(&side.v, |a, b| a + b)
    }
}
