//! Convolutional parts with batch norm between convolution and `ReLU`, `LeNet`'s.
//!
//! In training a norm waits for all images of a convolution, so that the pieces of a batch go through one stage after the other,
//! and what the convolutions wrote is kept: the way back needs it anyway. Sums over images are taken image by image and added in
//! their order, so results do not depend on the number of threads. With running statistics a norm is a factor and an addend, and
//! a piece goes through all stages at once.

use super::pool::{Forward, Largest, Moments, Products, Through};
use super::stage::Stage;
use super::{Cnn, Piece, Scratch, StageParameters, apart};
use crate::layout::Buffer;
use crate::resnet::{BatchStats, EPSILON};
use crate::workers::lock;

/// Weight and bias `[channels]` of a norm, or its running mean and variance.
pub type NormParameters<'a> = (&'a [f32], &'a [f32]);

/// A norm of the last pass; all vectors are `[stored]`.
pub(super) struct Norm {
    /// Whether the statistics were running ones.
    frozen: bool,
    mean: Vec<f32>,
    /// Inverse standard deviation.
    inverse: Vec<f32>,
    /// Of the way back: means over the batch of the gradient of the norm's output, and of its product with the normalised
    /// values. Zero where statistics are not the batch's.
    means: [Vec<f32>; 2],
}

/// What a piece keeps, by stage.
pub(super) struct Kept {
    /// What the convolutions wrote.
    outputs: Vec<Buffer>,
    /// Gradients of the results of all stages but the last.
    between: Vec<Buffer>,
    /// The last stage's result, then its gradient.
    last: Vec<f32>,
    /// Of every image and channel two sums of the present stage.
    sums: Vec<[Vec<f32>; 2]>,
}

impl Kept {
    pub(super) fn new(stages: &[Stage], images: usize) -> Self {
        let most = stages.iter().map(|s| s.y.stored).max().unwrap_or(0);
        Self {
            outputs: stages
                .iter()
                .map(|s| Buffer::zeros(images * s.y.image))
                .collect(),
            between: stages
                .iter()
                .skip(1)
                .map(|s| Buffer::zeros(images * s.dx.image))
                .collect(),
            last: vec![0.0; images * stages.last().map_or(0, Stage::pooled)],
            sums: (0..if stages.is_empty() { 0 } else { images })
                .map(|_| [0; 2].map(|_| vec![0.0; most]))
                .collect(),
        }
    }
}

impl Norm {
    pub(super) fn new(stored: usize) -> Self {
        Self {
            frozen: false,
            mean: vec![0.0; stored],
            inverse: vec![0.0; stored],
            means: [0; 2].map(|_| vec![0.0; stored]),
        }
    }

    /// Takes statistics, and leaves factor and addend of weight and bias in the stage. The convolution's own bias goes into
    /// neither: statistics of the batch are without it, and running ones have it in their mean.
    fn set(
        &mut self,
        stage: &mut Stage,
        (weight, bias): NormParameters<'_>,
        statistics: impl Iterator<Item = (f64, f64)>,
    ) {
        for (c, (mean, variance)) in statistics.enumerate() {
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            let scale = f64::from(weight[c]) * inverse;
            (self.mean[c], self.inverse[c]) = (mean as f32, inverse as f32);
            stage.scale[c] = scale as f32;
            stage.bias[c] = (f64::from(bias[c]) - mean * scale) as f32;
        }
    }
}

impl Cnn {
    /// Features of images in training; [`Self::backward_normed`] then has the gradient of this pass, if it `keeps` it. What the
    /// norms saw is left in `stats`, one a stage.
    ///
    /// # Shapes
    /// As for [`Cnn::forward`]; `norms`, weight and bias, one a stage.
    ///
    /// # Panics
    /// If a slice does not have its length, or the network has no norms.
    pub fn forward_train(
        &mut self,
        batch: usize,
        images: &[f32],
        (parameters, norms): (&[StageParameters<'_>], &[NormParameters<'_>]),
        stats: &mut [BatchStats],
        keeps: bool,
        features: &mut [f32],
    ) {
        self.begin_normed(batch, images, (parameters, norms), keeps, features);
        assert_eq!(stats.len(), self.stages.len(), "one of each stage");
        let count = batch.div_ceil(self.together);
        self.have_pieces(count);
        let len = self.together * self.pixels();
        for (piece, images) in self.pieces.iter().zip(images.chunks(len)) {
            lock(piece).take(images, self.pixels());
        }
        let all = 0..self.stages.len();
        for (number, (stats, (own, norm))) in
            all.zip(stats.iter_mut().zip(parameters.iter().zip(norms)))
        {
            self.each_piece(count, &|piece, scratch| {
                self.convolve_piece(number, piece, scratch);
                self.moments(number, piece);
            });
            let moments = self.combined(number, count);
            let values = (batch * self.stages[number].sizes.positions()) as f64;
            // The bias moves the mean, and nothing else.
            let means = moments.iter().zip(own.1);
            stats.mean = means
                .map(|(m, bias)| (m.0 + f64::from(*bias)) as f32)
                .collect();
            let unbiased = (values - 1.0).max(1.0);
            stats.variance = moments.iter().map(|m| (m.1 / unbiased) as f32).collect();
            let statistics = moments.into_iter().map(|(mean, m2)| (mean, m2 / values));
            self.norms[number].set(&mut self.stages[number], *norm, statistics);
            self.norms[number].frozen = false;
            self.each_piece(count, &|piece, _| self.pool_piece(number, piece));
        }
        let to = apart(features, self.together * self.features());
        self.workers.run(to.len(), &|number| {
            self.dense(
                &lock(&self.pieces[number]).normed.last,
                &mut lock(&to[number]),
            );
        });
    }

    /// [`Self::forward_train`] with the norms' running means and variances, which stay as they are.
    ///
    /// # Panics
    /// As there.
    pub fn forward_running(
        &mut self,
        batch: usize,
        images: &[f32],
        (parameters, norms): (&[StageParameters<'_>], &[NormParameters<'_>]),
        running: &[NormParameters<'_>],
        keeps: bool,
        features: &mut [f32],
    ) {
        self.begin_normed(batch, images, (parameters, norms), keeps, features);
        self.check_norms(running.iter().map(|(m, v)| (m.len(), v.len())));
        let states = self.norms.iter_mut().zip(&mut self.stages);
        let given = parameters.iter().zip(norms).zip(running);
        for ((state, stage), (((_, bias), norm), (mean, variance))) in states.zip(given) {
            let means = mean.iter().zip(*bias);
            let means = means.map(|(mean, bias)| f64::from(*mean) - f64::from(*bias));
            let variances = variance.iter().map(|&v| f64::from(v));
            state.set(stage, *norm, means.zip(variances));
            state.frozen = true;
        }
        if keeps {
            self.have_pieces(batch.div_ceil(self.together));
        }
        let this = &*self;
        let len = this.together * this.pixels();
        let to = apart(features, this.together * this.features());
        this.workers.run(to.len(), &|number| {
            let images = &images[number * len..images.len().min((number + 1) * len)];
            this.with_piece(number, keeps, |piece, scratch| {
                piece.take(images, this.pixels());
                for stage in 0..this.stages.len() {
                    this.convolve_piece(stage, piece, scratch);
                    this.pool_piece(stage, piece);
                }
                this.dense(&piece.normed.last, &mut lock(&to[number]));
            });
        });
    }

    /// Gradients of weight and bias of every stage and of every norm from that of the features, of the last pass that was kept,
    /// all overwritten. In training the norms take the convolutions' biases out again, whose gradient is zero.
    ///
    /// # Shapes
    /// `d_features` `[batch, features]`; `gradients` and `of_norms` as the parameters.
    ///
    /// # Panics
    /// If a slice does not have its length, or no pass was kept.
    pub fn backward_normed(
        &mut self,
        d_features: &[f32],
        gradients: &mut [(&mut [f32], &mut [f32])],
        of_norms: &mut [(&mut [f32], &mut [f32])],
    ) {
        let (batch, len) = (self.batch, self.together * self.features());
        assert!(batch > 0, "a pass before");
        assert_eq!(d_features.len(), batch * self.features(), "d_features");
        self.check_lengths(gradients.iter().map(|(w, b)| (w.len(), b.len())));
        self.check_norms(of_norms.iter().map(|(w, b)| (w.len(), b.len())));
        self.batch = 0;
        let pieces = batch.div_ceil(self.together);
        let lanes = self.have_sums(pieces);
        for (piece, d) in self.pieces.iter().zip(d_features.chunks(len)) {
            self.channels_last(d, &mut lock(piece).normed.last);
        }
        for number in (0..self.stages.len()).rev() {
            self.each_piece(pieces, &|piece, _| self.products(number, piece));
            let sums = self.added(number, pieces);
            let values = (batch * self.stages[number].sizes.positions()) as f64;
            let (weight, bias) = &mut of_norms[number];
            let norm = &mut self.norms[number];
            for (c, (sum, product)) in sums.into_iter().enumerate() {
                (bias[c], weight[c]) = (sum as f32, product as f32);
                let mean = |x: f64| {
                    if norm.frozen {
                        0.0
                    } else {
                        (x / values) as f32
                    }
                };
                (norm.means[0][c], norm.means[1][c]) = (mean(sum), mean(product));
            }
            let this = &*self;
            this.workers.run(lanes, &|lane| {
                this.with_scratch(|scratch| {
                    let mut sums = lock(&this.sums[lane]);
                    for piece in (lane..pieces).step_by(lanes) {
                        let to = (piece == lane, &mut sums.weights[number][..]);
                        this.backward_stage(number, &mut lock(&this.pieces[piece]), to, scratch);
                    }
                });
            });
        }
        self.add_up(lanes, gradients);
        for (number, (_, bias)) in gradients.iter_mut().enumerate() {
            let of_norm = of_norms[number].1.iter().zip(&self.stages[number].scale);
            for (bias, (d, scale)) in bias.iter_mut().zip(of_norm) {
                *bias = if self.norms[number].frozen {
                    d * scale
                } else {
                    0.0
                };
            }
        }
    }

    /// Of weights and biases of norms, or of their gradients.
    fn check_norms(&self, lengths: impl Iterator<Item = (usize, usize)>) {
        let channels = self.stages.iter().map(|s| s.sizes.spec.channels);
        assert!(lengths.eq(channels.map(|c| (c, c))), "norms");
    }

    fn begin_normed(
        &mut self,
        batch: usize,
        images: &[f32],
        (parameters, norms): (&[StageParameters<'_>], &[NormParameters<'_>]),
        keeps: bool,
        features: &[f32],
    ) {
        assert!(self.spec.norms, "a network with norms");
        self.check(batch, images, parameters, features);
        self.check_norms(norms.iter().map(|(w, b)| (w.len(), b.len())));
        self.take(parameters, keeps);
        self.batch = if keeps { batch } else { 0 };
    }

    /// Does something with each of the first pieces.
    fn each_piece(&self, count: usize, work: &(dyn Fn(&mut Piece, &mut Scratch) + Sync)) {
        self.workers
            .run(count, &|number| self.with_piece(number, true, work));
    }

    /// A stage's convolution of a piece.
    fn convolve_piece(&self, number: usize, piece: &mut Piece, scratch: &mut Scratch) {
        let y = piece.normed.outputs[number].as_mut();
        let stage = &self.stages[number];
        match number.checked_sub(1) {
            None => {
                self.lay_out(&piece.pixels, scratch);
                stage.convolve(piece.images, scratch.columns.as_ref(), y);
            }
            Some(before) => stage.convolve(piece.images, piece.inputs[before].as_ref(), y),
        }
    }

    /// What follows a stage's convolution, by the factors and addends that are there.
    fn pool_piece(&self, number: usize, piece: &mut Piece) {
        let stage = &self.stages[number];
        let (image, origin, row) = self.destination(number);
        let normed = &mut piece.normed;
        let to = match piece.inputs.get_mut(number) {
            Some(to) => to.as_mut(),
            None => &mut normed.last[..],
        };
        let all = normed.outputs[number].as_ref().chunks_exact(stage.y.image);
        let all = all.zip(to.chunks_exact_mut(image));
        let all = all.zip(piece.winners[number].chunks_exact_mut(stage.pooled()));
        for ((y, to), winners) in all.take(piece.images) {
            self.level.run(Forward {
                sizes: stage.pooling(stage.y.pitch * stage.y.stored, row),
                y,
                scale: &stage.scale,
                bias: &stage.bias,
                mask: &[],
                to: &mut to[origin..],
                winners,
            });
        }
    }

    /// Leaves mean and sum of squared differences from it of every image in the piece's sums.
    fn moments(&self, number: usize, piece: &mut Piece) {
        let y = &self.stages[number].y;
        let images = piece.normed.outputs[number].as_ref().chunks_exact(y.image);
        for (y_of, [mean, m2]) in images.zip(&mut piece.normed.sums).take(piece.images) {
            let (mean, m2) = (&mut mean[..y.stored], &mut m2[..y.stored]);
            self.level.run(Moments { y: y_of, mean, m2 });
        }
    }

    /// Of every channel mean and sum of squared differences over all images.
    fn combined(&self, number: usize, pieces: usize) -> Vec<(f64, f64)> {
        let stage = &self.stages[number];
        let own = stage.sizes.positions() as f64;
        let mut all = vec![(0.0, 0.0); stage.sizes.spec.channels];
        let mut before = 0.0;
        self.for_images(pieces, |mean, m2| {
            let share = own / (before + own);
            for ((all, mean), m2) in all.iter_mut().zip(mean).zip(m2) {
                let difference = f64::from(*mean) - all.0;
                all.1 += f64::from(*m2) + difference * difference * before * share;
                all.0 += difference * share;
            }
            before += own;
        });
        all
    }

    /// Of every channel both sums over all images.
    fn added(&self, number: usize, pieces: usize) -> Vec<(f64, f64)> {
        let mut all = vec![(0.0, 0.0); self.stages[number].sizes.spec.channels];
        self.for_images(pieces, |first, second| {
            for ((all, first), second) in all.iter_mut().zip(first).zip(second) {
                all.0 += f64::from(*first);
                all.1 += f64::from(*second);
            }
        });
        all
    }

    /// Calls `add` with the sums of one image after the other.
    fn for_images(&self, pieces: usize, mut add: impl FnMut(&[f32], &[f32])) {
        for piece in &self.pieces[..pieces] {
            let piece = lock(piece);
            for [first, second] in piece.normed.sums.iter().take(piece.images) {
                add(first, second);
            }
        }
    }

    /// Leaves the sums over every image of the gradient of the norm's output, and of its product with the normalised values, in
    /// the piece's sums.
    fn products(&self, number: usize, piece: &mut Piece) {
        let (stage, norm) = (&self.stages[number], &self.norms[number]);
        let Kept {
            outputs,
            between,
            last,
            sums,
        } = &mut piece.normed;
        let d = between.get(number).map_or(&last[..], Buffer::as_ref);
        let images = outputs[number].as_ref().chunks_exact(stage.y.image);
        let images = images.zip(d.chunks_exact(stage.pooled()));
        let images = images.zip(piece.winners[number].chunks_exact(stage.pooled()));
        for (((y, d), winners), [sum, product]) in images.zip(sums).take(piece.images) {
            self.level.run(Products {
                sizes: stage.pooling(stage.y.pitch * stage.y.stored, 0),
                y,
                d,
                winners,
                norm: (&norm.mean, &norm.inverse),
                sum,
                product,
            });
        }
    }

    /// Gradients of a piece at a stage: of its weight, added to a sum or, where it is the first, begun; of its input.
    fn backward_stage(
        &self,
        number: usize,
        piece: &mut Piece,
        to: (bool, &mut [f32]),
        scratch: &mut Scratch,
    ) {
        let (n, stage, norm) = (piece.images, &self.stages[number], &self.norms[number]);
        let Kept {
            outputs,
            between,
            last,
            ..
        } = &mut piece.normed;
        let dy = &mut scratch.dy[number];
        let d = between.get(number).map_or(&last[..], Buffer::as_ref);
        let images = dy.as_mut().chunks_exact_mut(stage.dy.image);
        let images = images.zip(outputs[number].as_ref().chunks_exact(stage.y.image));
        let images = images.zip(d.chunks_exact(stage.pooled()));
        let images = images.zip(piece.winners[number].chunks_exact(stage.pooled()));
        let (y_row, dy_row) = (
            stage.y.pitch * stage.y.stored,
            stage.dy.pitch * stage.dy.stored,
        );
        for (((dy, y), d), winners) in images.take(n) {
            let dy = &mut dy[stage.dy.origin()..];
            self.level.run(Through {
                y: (y, y_row),
                dy: (&mut *dy, dy_row),
                rows: stage.sizes.after.0,
                norm: (&norm.mean, &norm.inverse),
                scale: &stage.scale,
                means: [&norm.means[0], &norm.means[1]],
            });
            self.level.run(Largest {
                sizes: stage.pooling(dy_row, 0),
                d,
                scale: &stage.scale,
                winners,
                dy,
            });
        }
        let x = match number.checked_sub(1) {
            None => {
                self.lay_out(&piece.pixels, scratch);
                scratch.columns.as_ref()
            }
            Some(before) => piece.inputs[before].as_ref(),
        };
        let dy = scratch.dy[number].as_ref();
        let rooms = (&mut scratch.room, &mut scratch.part);
        self.weight_sums(number, n, (x, dy), to, rooms);
        if let Some(before) = number.checked_sub(1) {
            stage.input_gradient(n, dy, between[before].as_mut());
        }
    }
}
