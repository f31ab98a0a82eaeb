//! The convolutional part of plain networks, `AlexNet`'s and `LeNet`'s: convolutions with bias, each followed by `ReLU`, dropout
//! and max pooling by two, from dense images to dense features; `normed` has those with batch norm before the `ReLU`.
//!
//! Images go through all stages a few at a time, so that what a convolution writes is still in the cache when it is pooled,
//! and what is kept for the backward pass is as small as the pooled images. How many go together follows from the sizes alone,
//! and sums over them are taken in one order, so results do not depend on the number of threads.

mod normed;
mod pool;
mod shared;
mod spec;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use crate::layout::Buffer;
use crate::simd::Level;
use crate::transpose::{Matrix, transpose_slice};
use crate::workers::{Workers, lock};
use normed::Norm;
use pool::{Backward, Forward};
use stage::Stage;

pub use normed::NormParameters;
pub use shared::CnnPool;
pub use spec::{CnnError, CnnSpec, StageSpec};

/// Weight `[channels, inputs, size, size]` and bias `[channels]` of a stage.
pub type StageParameters<'a> = (&'a [f32], &'a [f32]);

/// Images that go through the stages together at most.
const TOGETHER: usize = 8;
/// Floats that the images of one stage should have together at most, so that they stay in the second-level cache.
const CACHED: usize = 192 * 1024;
/// Sums of gradients that are kept apart, so that as many threads can work.
const SUMS: usize = 8;

/// A convolutional part with its buffers; see the module's head.
pub struct Cnn {
    spec: CnnSpec,
    level: Level,
    workers: Arc<Workers>,
    stages: Vec<Stage>,
    /// By stage, where there are norms.
    norms: Vec<Norm>,
    /// Images that go together.
    together: usize,
    /// Images of the last training pass; 0 where there is none.
    batch: usize,
    /// Of the last training pass, a piece of its images each.
    pieces: Vec<Mutex<Piece>>,
    /// Buffers of tasks that are not running.
    idle: Mutex<Vec<Scratch>>,
    sums: Vec<Mutex<Sums>>,
}

/// What the backward pass of some images needs.
struct Piece {
    images: usize,
    /// Dense, as they came.
    pixels: Vec<f32>,
    /// What the stages after the first read, bordered with zeros.
    inputs: Vec<Buffer>,
    /// By stage, which value of every window was the largest.
    winners: Vec<Vec<f32>>,
    /// Whether dropout was drawn.
    dropped: bool,
    /// What only networks with norms keep.
    normed: normed::Kept,
}

/// Buffers of a task.
struct Scratch {
    /// Columns of one image before they are turned, and other rooms of the kernels.
    room: Vec<f32>,
    columns: Buffer,
    y: Buffer,
    mask: Vec<f32>,
    /// The last stage's result and its gradient.
    last: Vec<f32>,
    /// By stage; zero around the pixels.
    dy: Vec<Buffer>,
    dx: Buffer,
    /// Gradients of one piece, by stage.
    part: Vec<f32>,
    /// A piece for passes after which nothing comes.
    piece: Piece,
}

/// Gradients of weight and bias by stage, added up.
struct Sums {
    weights: Vec<Vec<f32>>,
    biases: Vec<Vec<f32>>,
}

/// Parts of one slice, each for the task of its number.
fn apart(values: &mut [f32], len: usize) -> Vec<Mutex<&mut [f32]>> {
    values.chunks_mut(len.max(1)).map(Mutex::new).collect()
}

impl Piece {
    fn new(stages: &[Stage], images: usize, norms: bool) -> Self {
        let inputs = stages.iter().skip(1);
        let winners = stages.iter().map(|s| vec![0.0; images * s.pooled()]);
        Self {
            images,
            pixels: Vec::new(),
            inputs: inputs
                .map(|stage| Buffer::zeros(images * stage.x.image))
                .collect(),
            winners: winners.collect(),
            dropped: false,
            normed: normed::Kept::new(if norms { stages } else { &[] }, images),
        }
    }

    /// Takes images of so many values.
    fn take(&mut self, images: &[f32], pixels: usize) {
        self.images = images.len() / pixels;
        self.dropped = false;
        self.pixels.clear();
        self.pixels.extend_from_slice(images);
    }
}

impl Cnn {
    /// Buffers for these sizes, with as many threads as the workers have.
    ///
    /// # Errors
    /// If a size is out of range.
    pub fn new(spec: CnnSpec, level: Level, workers: Arc<Workers>) -> Result<Self, CnnError> {
        let sizes = spec.sizes()?;
        let most = |s: &spec::Sizes| s.after.0 * s.after.1 * s.spec.channels.next_multiple_of(16);
        let largest = sizes.iter().map(most).max().unwrap_or(1);
        let together = (CACHED / largest).clamp(1, TOGETHER);
        let stages = sizes.into_iter().enumerate();
        let stages = stages.map(|(i, sizes)| Stage::new(sizes, i == 0, together, level));
        let stages: Vec<_> = stages.collect();
        let norms = stages.iter().filter(|_| spec.norms);
        Ok(Self {
            norms: norms.map(|stage| Norm::new(stage.y.stored)).collect(),
            stages,
            spec,
            level,
            workers,
            together,
            batch: 0,
            pieces: Vec::new(),
            idle: Mutex::default(),
            sums: Vec::new(),
        })
    }

    /// Numbers of an image's features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.stages.last().map_or(0, |stage| {
            let (rows, columns) = stage.sizes.pooled;
            stage.sizes.spec.channels * rows * columns
        })
    }

    /// By stage, the values of an image `[channels, rows, columns]` of which dropout draws whether to keep them.
    #[must_use]
    pub fn dropout_lengths(&self) -> Vec<usize> {
        self.stages.iter().map(|s| s.sizes.values()).collect()
    }

    fn pixels(&self) -> usize {
        self.spec.in_channels * self.spec.height * self.spec.width
    }

    fn check(
        &self,
        batch: usize,
        images: &[f32],
        parameters: &[StageParameters],
        features: &[f32],
    ) {
        assert_eq!(images.len(), batch.saturating_mul(self.pixels()), "images");
        assert_eq!(
            features.len(),
            batch.saturating_mul(self.features()),
            "features"
        );
        self.check_lengths(parameters.iter().map(|(w, b)| (w.len(), b.len())));
    }

    /// Of weights and biases, or of their gradients.
    fn check_lengths(&self, lengths: impl ExactSizeIterator<Item = (usize, usize)>) {
        assert_eq!(lengths.len(), self.stages.len(), "stages");
        for (stage, (weight, bias)) in self.stages.iter().zip(lengths) {
            assert_eq!(weight, stage.sizes.weights(), "weight");
            assert_eq!(bias, stage.sizes.spec.channels, "bias");
        }
    }

    fn take(&mut self, parameters: &[StageParameters], backward: bool) {
        for (stage, (weight, bias)) in self.stages.iter_mut().zip(parameters) {
            stage.take(weight, bias, backward);
        }
    }

    /// Features of images; [`Self::backward`] then has the gradient of this pass, if it `keeps` it.
    ///
    /// # Shapes
    /// `images` `[batch, in_channels, height, width]`, `features` `[batch, features]`; `masks`, what dropout multiplies by (0, or
    /// `1 / (1 − dropout)`), by stage `[batch, channels, rows, columns]` as [`Self::dropout_lengths`] counts, or none.
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn forward(
        &mut self,
        batch: usize,
        images: &[f32],
        parameters: &[StageParameters],
        masks: Option<&[Vec<f32>]>,
        keeps: bool,
        features: &mut [f32],
    ) {
        self.check(batch, images, parameters, features);
        assert!(!self.spec.norms, "norms have parameters, too");
        if let Some(masks) = masks {
            assert_eq!(masks.len(), self.stages.len(), "masks");
            for (mask, len) in masks.iter().zip(self.dropout_lengths()) {
                assert_eq!(mask.len(), batch * len, "mask");
            }
        }
        self.take(parameters, keeps);
        self.batch = if keeps { batch } else { 0 };
        let (step, pixels) = (self.together, self.pixels());
        if keeps {
            self.have_pieces(batch.div_ceil(step));
        }
        let this = &*self;
        let to = apart(features, step * self.features());
        this.workers.run(to.len(), &|number| {
            let first = number * step;
            let here = first..batch.min(first + step);
            let images = &images[here.start * pixels..here.end * pixels];
            this.with_piece(number, keeps, |piece, scratch| {
                if keeps {
                    piece.take(images, pixels);
                }
                piece.images = here.len();
                piece.dropped = masks.is_some();
                this.forward_piece(images, first, masks, piece, scratch);
                this.dense(&scratch.last, lock(&to[number]).as_mut());
            });
        });
    }

    /// Has so many pieces to keep.
    fn have_pieces(&mut self, count: usize) {
        let (stages, step, norms) = (&self.stages, self.together, self.spec.norms);
        let fresh = || Mutex::new(Piece::new(stages, step, norms));
        self.pieces.resize_with(count.max(self.pieces.len()), fresh);
    }

    /// Lends a task buffers.
    fn with_scratch(&self, work: impl FnOnce(&mut Scratch)) {
        let waiting = lock(&self.idle).pop();
        let mut scratch = waiting.unwrap_or_else(|| self.scratch());
        work(&mut scratch);
        lock(&self.idle).push(scratch);
    }

    /// Lends a task buffers, and with them the piece of this number or, where nothing is kept, one of the buffers' own.
    fn with_piece(&self, number: usize, keeps: bool, work: impl FnOnce(&mut Piece, &mut Scratch)) {
        self.with_scratch(|scratch| {
            if keeps {
                return work(&mut lock(&self.pieces[number]), scratch);
            }
            let mut own = std::mem::replace(&mut scratch.piece, Piece::new(&[], 0, false));
            work(&mut own, scratch);
            scratch.piece = own;
        });
    }

    /// A task's buffers.
    fn scratch(&self) -> Scratch {
        let (stages, n) = (&self.stages, self.together);
        let most = |of: &dyn Fn(&Stage) -> usize| stages.iter().map(of).max().unwrap_or(0);
        Scratch {
            room: Vec::new(),
            columns: Buffer::zeros(n * stages.first().map_or(0, |s| s.x.image)),
            y: Buffer::zeros(n * most(&|s| s.y.image)),
            mask: vec![0.0; most(&|s| s.y.image)],
            last: vec![0.0; n * stages.last().map_or(0, Stage::pooled)],
            dy: stages
                .iter()
                .map(|s| Buffer::zeros(n * s.dy.image))
                .collect(),
            dx: Buffer::zeros(n * most(&|s| s.dx.image)),
            part: Vec::new(),
            piece: Piece::new(stages, n, self.spec.norms),
        }
    }

    /// The first stage's input of a piece.
    fn lay_out(&self, images: &[f32], scratch: &mut Scratch) {
        let Some(stage) = self.stages.first() else {
            return;
        };
        let to = scratch.columns.as_mut().chunks_exact_mut(stage.x.image);
        for (image, to) in images.chunks_exact(self.pixels()).zip(to) {
            stage.lay_out(image, &mut scratch.room, to);
        }
    }

    /// Leaves the last stage's result in the scratch.
    fn forward_piece(
        &self,
        images: &[f32],
        first: usize,
        masks: Option<&[Vec<f32>]>,
        piece: &mut Piece,
        scratch: &mut Scratch,
    ) {
        self.lay_out(images, scratch);
        let Scratch {
            columns,
            y,
            mask,
            last,
            ..
        } = scratch;
        for (number, stage) in self.stages.iter().enumerate() {
            let n = piece.images;
            match number.checked_sub(1) {
                None => stage.convolve(n, columns.as_ref(), y.as_mut()),
                Some(before) => stage.convolve(n, piece.inputs[before].as_ref(), y.as_mut()),
            }
            let (image, origin, row) = self.destination(number);
            let to = match piece.inputs.get_mut(number) {
                Some(to) => to.as_mut(),
                None => &mut last[..],
            };
            let values = stage.sizes.values();
            let all = y.as_ref().chunks_exact(stage.y.image);
            let all = all.zip(to.chunks_exact_mut(image));
            let all = all.zip(piece.winners[number].chunks_exact_mut(stage.pooled()));
            for (i, ((y, to), winners)) in all.take(n).enumerate() {
                let mask = match masks {
                    None => &[][..],
                    Some(masks) => {
                        let from = &masks[number][(first + i) * values..][..values];
                        self.turn(stage, from, mask);
                        &mask[..]
                    }
                };
                self.level.run(Forward {
                    sizes: stage.pooling(stage.y.pitch * stage.y.stored, row),
                    y,
                    scale: &[],
                    bias: &stage.bias,
                    mask,
                    to: &mut to[origin..],
                    winners,
                });
            }
        }
    }

    /// Where a stage's result goes, the next stage's bordered images or the features: floats of an image, and to its first pixel
    /// and from a row to the next.
    fn destination(&self, number: usize) -> (usize, usize, usize) {
        if let Some(next) = self.stages.get(number + 1) {
            return (next.x.image, next.x.origin(), next.x.pitch * next.x.stored);
        }
        let stage = &self.stages[number];
        let row = stage.sizes.pooled.1 * stage.y.stored;
        (stage.pooled(), 0, row)
    }

    /// Multipliers `[channels, rows, columns]` to where the convolution's output has its values.
    fn turn(&self, stage: &Stage, from: &[f32], to: &mut [f32]) {
        let channels = stage.sizes.spec.channels;
        let pixels = from.len() / channels;
        let turned = Matrix {
            rows: channels,
            columns: pixels,
            from_row: pixels,
            to_row: stage.y.stored,
        };
        transpose_slice(self.level, &turned, from, to);
    }

    /// The last stage's result as features `[channels, rows, columns]`.
    fn dense(&self, last: &[f32], features: &mut [f32]) {
        let Some(stage) = self.stages.last() else {
            return;
        };
        let images = last.chunks_exact(stage.pooled());
        let (pixels, stored) = (stage.pooled() / stage.y.stored, stage.y.stored);
        let turned = Matrix {
            rows: pixels,
            columns: stage.sizes.spec.channels,
            from_row: stored,
            to_row: pixels,
        };
        for (from, to) in images.zip(features.chunks_exact_mut(self.features())) {
            transpose_slice(self.level, &turned, from, to);
        }
    }

    /// Gradients of weight and bias of every stage from that of the features, of the last pass that was kept, all overwritten.
    ///
    /// # Shapes
    /// `d_features` `[batch, features]`; `gradients` as the parameters.
    ///
    /// # Panics
    /// If a slice does not have its length, or no pass was kept.
    pub fn backward(&mut self, d_features: &[f32], gradients: &mut [(&mut [f32], &mut [f32])]) {
        let (batch, step) = (self.batch, self.together);
        assert!(batch > 0, "a pass before");
        assert_eq!(d_features.len(), batch * self.features(), "d_features");
        self.check_lengths(gradients.iter().map(|(w, b)| (w.len(), b.len())));
        self.batch = 0;
        let pieces = batch.div_ceil(step);
        let count = self.have_sums(pieces);
        let this = &*self;
        let len = step * self.features();
        this.workers.run(count, &|number| {
            this.with_scratch(|scratch| {
                let mut sums = lock(&this.sums[number]);
                sums.biases.iter_mut().for_each(|bias| bias.fill(0.0));
                for piece in (number..pieces).step_by(count) {
                    let d = &d_features[piece * len..d_features.len().min((piece + 1) * len)];
                    let whole = lock(&this.pieces[piece]);
                    this.backward_piece(&whole, d, piece == number, &mut sums, scratch);
                }
            });
        });
        self.add_up(count, gradients);
    }

    /// Has places for the sums over so many pieces, and says how many.
    fn have_sums(&mut self, pieces: usize) -> usize {
        let (count, stages) = (pieces.min(SUMS), &self.stages);
        let fresh = || {
            let weights = stages.iter().map(|s| vec![0.0; s.sizes.weights()]);
            let biases = stages.iter().map(|s| vec![0.0; s.y.stored]);
            Mutex::new(Sums {
                weights: weights.collect(),
                biases: biases.collect(),
            })
        };
        self.sums.resize_with(count.max(self.sums.len()), fresh);
        count
    }

    /// Adds the first sums up.
    fn add_up(&self, count: usize, gradients: &mut [(&mut [f32], &mut [f32])]) {
        let mut sums = self.sums[..count].iter().map(lock);
        if let Some(first) = sums.next() {
            for (i, (weight, bias)) in gradients.iter_mut().enumerate() {
                weight.copy_from_slice(&first.weights[i]);
                bias.copy_from_slice(&first.biases[i][..bias.len()]);
            }
        }
        for sum in sums {
            for (i, (weight, bias)) in gradients.iter_mut().enumerate() {
                self.level.run(Add(weight, &sum.weights[i]));
                self.level.run(Add(bias, &sum.biases[i]));
            }
        }
    }

    /// Adds a piece's gradients to the sums, or where it is the `first`, begins them.
    fn backward_piece(
        &self,
        piece: &Piece,
        d_features: &[f32],
        first: bool,
        sums: &mut Sums,
        scratch: &mut Scratch,
    ) {
        let n = piece.images;
        self.lay_out(&piece.pixels, scratch);
        let Scratch {
            room,
            columns,
            last,
            dy,
            dx,
            part,
            ..
        } = scratch;
        self.channels_last(d_features, last);
        for (number, stage) in self.stages.iter().enumerate().rev() {
            let dy = &mut dy[number];
            let is_last = number + 1 == self.stages.len();
            let d = if is_last { &last[..] } else { dx.as_ref() };
            let all = dy.as_mut().chunks_exact_mut(stage.dy.image);
            let all = all.zip(d.chunks_exact(stage.pooled()));
            let all = all.zip(piece.winners[number].chunks_exact(stage.pooled()));
            let keep = 1.0 / (1.0 - stage.sizes.spec.dropout);
            for ((dy, d), winners) in all.take(n) {
                let row = stage.dy.pitch * stage.dy.stored;
                self.level.run(Backward {
                    sizes: stage.pooling(row, 0),
                    d,
                    scale: if piece.dropped { keep } else { 1.0 },
                    winners,
                    dy: &mut dy[stage.dy.origin()..],
                    d_bias: &mut sums.biases[number],
                });
            }
            let x = match number.checked_sub(1) {
                None => columns.as_ref(),
                Some(before) => piece.inputs[before].as_ref(),
            };
            let to = (first, &mut sums.weights[number][..]);
            self.weight_sums(number, n, (x, dy.as_ref()), to, (room, part));
            if number > 0 {
                stage.input_gradient(n, dy.as_ref(), dx.as_mut());
            }
        }
    }

    /// Adds the gradient of a stage's weight over some images to a sum, or where they are the `first`, begins it.
    fn weight_sums(
        &self,
        number: usize,
        images: usize,
        inputs: (&[f32], &[f32]),
        (first, sum): (bool, &mut [f32]),
        (room, part): (&mut Vec<f32>, &mut Vec<f32>),
    ) {
        let stage = &self.stages[number];
        if first {
            stage.weight_gradient(images, inputs, room, sum);
        } else {
            part.resize(sum.len(), 0.0);
            stage.weight_gradient(images, inputs, room, part);
            self.level.run(Add(sum, part));
        }
    }

    /// The inverse of [`Self::dense`].
    fn channels_last(&self, features: &[f32], last: &mut [f32]) {
        let Some(stage) = self.stages.last() else {
            return;
        };
        let images = last.chunks_exact_mut(stage.pooled());
        let (pixels, stored) = (stage.pooled() / stage.y.stored, stage.y.stored);
        let turned = Matrix {
            rows: stage.sizes.spec.channels,
            columns: pixels,
            from_row: pixels,
            to_row: stored,
        };
        for (from, to) in features.chunks_exact(self.features()).zip(images) {
            transpose_slice(self.level, &turned, from, to);
        }
    }
}

/// `to ← to + from`, as long as both are.
struct Add<'a>(&'a mut [f32], &'a [f32]);

impl crate::Loop for Add<'_> {
    #[inline(always)]
    fn run(self) {
        for (to, from) in self.0.iter_mut().zip(self.1) {
            *to += from;
        }
    }
}
