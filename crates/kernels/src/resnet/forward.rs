//! The forward pass whose activations are kept for the backward pass: with the statistics of the batch in training, with
//! running ones where a gradient is taken in evaluation mode.

use super::conv::Conv;
use super::reorder;
use super::spec::{BlockKind, BlockSpec};
use super::state::{BatchStats, Block, Body, Norm, Stage, Statistics, Stem, Training, Trunk};
use crate::conv_pixels::Ahead;
use crate::layout::{Buffer, Layout, Shape};
use crate::norm::{self, Affine, Strips};
use crate::profile::timed;
use crate::simd::Level;
use crate::workers::{Shareable, Workers};

/// The activation before a convolution, whose norm is still to be applied: the stem's, the previous block's, or that
/// between the two convolutions of a block.
pub(super) struct Pending<'a> {
    pub(super) shape: &'a Shape,
    pub(super) strips: Strips<'a>,
    /// The norm and what it reads; none where nothing is left to be done.
    pub(super) norm: Option<(&'a Norm, &'a Buffer)>,
    pub(super) dropout: Option<&'a Buffer>,
    /// Whether a `ReLU` follows: not after a block of one convolution, which has its own before.
    pub(super) relu: bool,
    /// The shortcut to be added before the `ReLU`, with its norm if it has one: after a block of two convolutions.
    pub(super) shortcut: Option<(Option<&'a Norm>, &'a Buffer)>,
    pub(super) y: Shareable,
}

impl<'a> Pending<'a> {
    /// The output of the last of these blocks, which is the next one's input; without any, the stem's.
    fn output(stage: &'a Stage, blocks: &'a mut [Block], stem: &'a mut Stem) -> Self {
        let (shape, strips) = (&stage.shape, stage.strips());
        let Some((block, before)) = blocks.split_last_mut() else {
            let y = stem.y.shareable();
            return Self {
                shape,
                strips,
                norm: stem.pending(),
                dropout: None,
                relu: true,
                shortcut: None,
                y,
            };
        };
        let shortcut = block.second.as_ref().map(|second| match &second.shortcut {
            Some((norm, r)) => (Some(norm), r),
            None => (None, before.last().map_or(&stem.y, |b| &b.y)),
        });
        Self {
            shape,
            strips,
            norm: Some((&block.norms[1], &block.r2)),
            dropout: block.dropout[1].as_ref(),
            relu: shortcut.is_some(),
            shortcut,
            y: block.y.shareable(),
        }
    }

    /// Computes `y` of one image and returns its address.
    ///
    /// # Safety
    /// `n` is below the batch, and no other task touches this image of `y`.
    unsafe fn apply(&self, level: Level, n: usize) -> *const f32 {
        let at = n * self.shape.image;
        let coefficients = self
            .norm
            .map(|(norm, r)| (affine(norm, self.dropout, at), r));
        // SAFETY: `r`, `y` and the shortcut hold the batch's images of this shape (`Training::new`), of which `n` is one, and
        // by contract that of `y` is ours; the norms' arrays have an entry per stored channel (`Norm::new`).
        unsafe {
            let y = self.y.at(at);
            let Some((affine, r)) = coefficients else {
                return y;
            };
            let r = r.ptr().add(at);
            match self.shortcut {
                None => norm::apply(level, &self.strips, &affine, self.relu, r, y),
                Some((norm, side)) => {
                    let norms = [&affine, &shortcut_affine(norm)];
                    norm::join(level, &self.strips, norms, r, side.ptr().add(at), y);
                }
            }
            y
        }
    }
}

/// What the steps of a convolution's forward pass share, from the norm before it to the moments of what it makes.
pub(super) struct ConvPass<'a> {
    pub(super) workers: &'a Workers,
    pub(super) level: Level,
    /// Images of the batch.
    pub(super) n: usize,
    pub(super) b: BlockSpec,
    pub(super) stage: &'a Stage,
    pub(super) conv: &'a Conv,
    pub(super) shortcut: Option<&'a Conv>,
    /// The input in the layout of the convolutions, where it is not the previous block's output.
    pub(super) input: Option<Shareable>,
    /// What the convolution and that of the shortcut make, and the moments of both, which of the latter are taken in
    /// blocks of two convolutions only.
    pub(super) r: Shareable,
    pub(super) projection: Shareable,
    pub(super) parts: Shareable,
    pub(super) shortcut_parts: Option<Shareable>,
    pub(super) pending: Pending<'a>,
}

impl ConvPass<'_> {
    /// What the image after the present ones of all threads will need; images are taken from the last to the first.
    fn ahead(&self, i: usize) -> Ahead {
        let Some(next) = i.checked_sub(self.workers.threads()) else {
            return Ahead::NOTHING;
        };
        let (image, pending) = (self.stage.shape.image, &self.pending);
        let before = pending.shape.image;
        // SAFETY: `next` is below the batch, whose images all three buffers hold, where there are three (`Training::new`).
        unsafe {
            let read = match pending.norm {
                Some((_, r)) => Ahead::NOTHING.and(r.ptr().add(next * before), before),
                None => Ahead::NOTHING,
            };
            read.and(pending.y.at(next * before), before)
                .and(self.r.at(next * image), image)
        }
    }

    /// The moments of the convolution's output, in blocks of one convolution of its `ReLU`; of two, those of the
    /// shortcut's, too.
    ///
    /// # Safety
    /// `i` is below the batch, and no other task touches this image of `r`, the projection and their parts.
    unsafe fn activate(&self, i: usize) {
        let (image, sums) = (self.stage.shape.image, 2 * self.stage.shape.stored);
        let relu = self.b.kind == BlockKind::One;
        let shortcut = self.shortcut.and(self.shortcut_parts);
        // SAFETY: `r` and, where there is a shortcut convolution, the projection hold the batch, and so do their parts (two
        // arrays of stored channels an image; `Training::new`); by contract those of image `i` are ours.
        unsafe {
            timed(self.b.stage, "fwd activate", || {
                let strips = self.stage.strips();
                let (r, parts) = (self.r.at(i * image), self.parts.at(i * sums));
                norm::activate(self.level, &strips, relu, r, parts);
                if let Some(parts) = shortcut {
                    let (r, parts) = (self.projection.at(i * image), parts.at(i * sums));
                    norm::activate(self.level, &strips, false, r, parts);
                }
            });
        }
    }

    /// All steps.
    pub(super) fn run(&self) {
        match self.stage.shape.layout {
            Layout::Planes => self.planes(),
            Layout::Last => self.last(),
        }
    }

    /// Over planes, each image through all steps.
    fn planes(&self) {
        let (number, shape) = (self.b.stage, &self.stage.shape);
        self.workers.run(self.n, &|i| {
            let i = self.n - 1 - i;
            // SAFETY: every buffer holds the batch's images (`Training::new`), the input as four planes of the stage per
            // channel of the one before; image `i` of each is this task's. The convolutions are over these planes, and
            // packed.
            unsafe {
                let mut x = timed(number, "fwd apply", || self.pending.apply(self.level, i));
                if let Some(input) = self.input {
                    let source = self.pending.shape;
                    let size = 4 * shape.grid.plane * source.channels;
                    let y = self.pending.y.slice(i * source.image, source.image);
                    timed(number, "fwd layout", || {
                        reorder::split_image(source, y, shape, input.slice(i * size, size));
                    });
                    x = input.at(i * size);
                }
                let (r, projection) = (
                    self.r.at(i * shape.image),
                    // Where there is none, its buffer may be empty, and the address is not looked at.
                    self.shortcut
                        .map(|s| (s, self.projection.at(i * shape.image))),
                );
                timed(number, "fwd conv", || {
                    self.conv.forward_image(x, r, self.ahead(i));
                });
                if let Some((shortcut, projection)) = projection {
                    timed(number, "fwd shortcut", || {
                        shortcut.forward_image(x, projection, Ahead::NOTHING);
                    });
                }
                self.activate(i);
            }
        });
    }

    /// Channels-last, step by step for the whole batch.
    fn last(&self) {
        let (workers, number) = (self.workers, self.b.stage);
        let planes = self.pending.shape;
        let last = Shape::new(planes.grid.clone(), Layout::Last, self.b.cin);
        workers.run(self.n, &|i| {
            let i = self.n - 1 - i;
            // SAFETY: image `i` of `y`, and of the input, which holds the batch as `last` says, is this task's; `y` is read
            // after it is written.
            unsafe {
                timed(number, "fwd apply", || self.pending.apply(self.level, i));
                if let Some(input) = self.input {
                    let y = self.pending.y.slice(i * planes.image, planes.image);
                    let to = input.slice(i * last.image, last.image);
                    timed(number, "fwd layout", || {
                        reorder::to_last(self.level, planes, y, &last, to);
                    });
                }
            }
        });
        // SAFETY: the input, `r` and `projection` hold the batch in the convolutions' shapes, whose weights are packed; each
        // job writes one of them and reads what earlier jobs have written.
        unsafe {
            let x = self.input.unwrap_or(self.pending.y).at(0);
            timed(number, "fwd conv", || {
                self.conv.forward_batch(workers, self.n, x, self.r);
            });
            if let Some(shortcut) = self.shortcut {
                timed(number, "fwd shortcut", || {
                    shortcut.forward_batch(workers, self.n, x, self.projection);
                });
            }
        }
        // SAFETY: `i` counts the batch, and image `n - 1 - i` is this task's.
        workers.run(self.n, &|i| unsafe { self.activate(self.n - 1 - i) });
    }

    /// `r2 = relu(norm1(r) + shortcut)` of all images, with its moments.
    fn residual(&self, (norm1, dropout): (&Norm, Option<&Buffer>), r2: Shareable) {
        let shortcut = if self.b.projected() {
            self.projection
        } else {
            self.pending.y
        };
        self.workers.run(self.n, &|i| {
            let at = i * self.stage.shape.image;
            let affine = affine(norm1, dropout, at);
            // SAFETY: `r`, `r2` and the shortcut hold the batch's images of the stage (a block without projection has its
            // input's shape), `parts` two arrays of stored channels for each; image `i` of `r2` and `parts` is this
            // task's. The norm has an entry per stored channel.
            unsafe {
                let (r, shortcut, r2) = (self.r.at(at), shortcut.at(at), r2.at(at));
                let parts = self.parts.at(i * 2 * self.stage.shape.stored);
                let strips = self.stage.strips();
                norm::residual(self.level, &strips, &affine, r, shortcut, r2, parts);
            }
        });
    }
}

/// A norm's coefficients, and the dropout multipliers of the image that begins at `at`.
pub(crate) fn affine(norm: &Norm, dropout: Option<&Buffer>, at: usize) -> Affine {
    let dropout = dropout.map_or(std::ptr::null(), |d| d.as_ref()[at..].as_ptr());
    Affine {
        a: norm.a.as_ptr(),
        b: norm.b.as_ptr(),
        dropout,
    }
}

/// The coefficients of a shortcut's norm, if it has one.
pub(crate) fn shortcut_affine(norm: Option<&Norm>) -> Affine {
    norm.map_or(Affine::NONE, |norm| affine(norm, None, 0))
}

/// Weight and bias of a norm, of which the first has this index.
pub(crate) fn weight_and_bias<'a>(params: &[&'a [f32]], weight: usize) -> (&'a [f32], &'a [f32]) {
    (params[weight], params[weight + 1])
}

impl Trunk {
    /// The forward pass with batch statistics. Saves what [`Self::backward`] needs, replacing an earlier pass.
    ///
    /// # Shapes
    /// * `x`: `[batch, in_channels, size, size]`
    /// * `params`: as [`super::TrunkSpec::parameters`]
    /// * `masks`: dropout multipliers (0 or 1/(1-p)) shaped as [`super::TrunkSpec::dropout_shapes`], or none
    /// * `stats`: one per norm, in the order of [`super::TrunkSpec::norms`]; resized to the norm's channels
    /// * `features`: `[batch, features]`
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn forward_train(
        &mut self,
        x: &[f32],
        params: &[&[f32]],
        masks: Option<&[&[f32]]>,
        stats: &mut [BatchStats],
        features: &mut [f32],
    ) {
        self.forward(x, params, masks, Statistics::Batch(stats), features);
    }

    /// The forward pass with running statistics and without dropout, as [`Self::forward_eval`], but keeping what
    /// [`Self::backward`] needs, which replaces an earlier pass.
    ///
    /// # Shapes
    /// As [`Self::forward_eval`].
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn forward_frozen(
        &mut self,
        x: &[f32],
        params: &[&[f32]],
        running: &[(&[f32], &[f32])],
        features: &mut [f32],
    ) {
        self.forward(x, params, None, Statistics::Running(running), features);
    }

    fn forward(
        &mut self,
        x: &[f32],
        params: &[&[f32]],
        masks: Option<&[&[f32]]>,
        mut statistics: Statistics<'_>,
        features: &mut [f32],
    ) {
        let (spec, n) = (self.spec.clone(), self.spec.batch);
        self.check_parameters(params, "parameters");
        assert_eq!(
            x.len(),
            n * spec.in_channels * spec.size * spec.size,
            "images [batch, in_channels, size, size]"
        );
        statistics.check(&spec.norms());
        assert_eq!(
            features.len(),
            n * spec.features(),
            "features [batch, features]"
        );
        let threads = self.workers.threads();
        let mut training = self
            .training
            .take()
            .unwrap_or_else(|| Box::new(Training::new(&spec, self.level, threads)));
        self.set_dropout(&mut training, masks);
        self.stem(&mut training, x, params, &mut statistics);
        for block in spec.blocks().enumerate() {
            self.block(&mut training, block, params, &mut statistics);
        }
        self.pool(&mut training, features);
        training.saved = true;
        self.training = Some(training);
    }

    /// The stem's convolution and the statistics of its norm.
    fn stem(
        &self,
        training: &mut Training,
        x: &[f32],
        params: &[&[f32]],
        statistics: &mut Statistics<'_>,
    ) {
        let (spec, level) = (&self.spec, self.level);
        let per_image = spec.in_channels * spec.size * spec.size;
        let (Stem { body, norm, y }, stage) = (&mut training.stem, &mut training.stages[0]);
        let (conv, x_buffer, r) = match body {
            Body::Small(small) => (&mut small.conv, &mut small.x, &mut small.r),
            Body::Large(pass) => {
                let params = [params[0], params[1], params[2]];
                return pass.forward(&self.workers, x, params, (norm, statistics), y.as_mut());
            }
        };
        timed(4, "fwd pack", || conv.pack_forward(params[0]));
        let images = Shape::new(spec.grid(0), Layout::Planes, spec.in_channels);
        let (bordered, r) = (x_buffer.shareable(), r.shareable());
        let parts = stage.parts.shareable();
        let (conv, stage) = (&*conv, &*stage);
        self.workers.run(spec.batch, &|i| {
            // SAFETY: `bordered` holds the batch's images as `images` says, `r` and `parts` those of the stage
            // (`Training::new`); image `i` of each is this task's. The convolution is over these planes, and packed.
            unsafe {
                let at = bordered.at(i * images.image);
                timed(4, "fwd layout", || {
                    let image = bordered.slice(i * images.image, images.image);
                    images.fill_image(&x[i * per_image..][..per_image], image);
                });
                let r = r.at(i * stage.shape.image);
                let parts = parts.at(i * 2 * stage.shape.stored);
                timed(4, "fwd conv", || conv.forward_image(at, r, Ahead::NOTHING));
                timed(4, "fwd activate", || {
                    norm::activate(level, &stage.strips(), false, r, parts);
                });
            }
        });
        let parts = (stage.parts.as_ref(), stage.shape.grid.pixels());
        statistics.set(0, norm, parts, (params[1], params[2]));
    }

    /// One block, up to the statistics of its second norm; what comes before it is completed first.
    fn block(
        &self,
        training: &mut Training,
        (i, b): (usize, BlockSpec),
        params: &[&[f32]],
        statistics: &mut Statistics<'_>,
    ) {
        let (before, rest) = training.blocks.split_at_mut(i);
        let block = &mut rest[0];
        block.exchange(&mut training.packed);
        timed(b.stage, "fwd pack", || {
            block.conv.pack_forward(params[b.conv]);
        });
        if let (Some(shortcut), Some(parameter)) = (&mut block.shortcut, b.shortcut) {
            timed(b.stage, "fwd pack", || {
                shortcut.pack_forward(params[parameter]);
            });
        }
        let (stages_before, stages) = training.stages.split_at_mut(b.stage);
        let stage = &mut stages[0];
        let (projection, parts) = (stage.projection.shareable(), stage.parts.shareable());
        let shortcut_parts = stage.shortcut_parts.shareable();
        let stage: &Stage = stage;
        let source = stages_before
            .last()
            .filter(|_| b.projected())
            .unwrap_or(stage);
        let of_shortcut = block.second.as_mut().and_then(|s| s.shortcut.as_mut());
        let pass = ConvPass {
            workers: &self.workers,
            level: self.level,
            n: self.spec.batch,
            b,
            stage,
            conv: &block.conv,
            shortcut: block.shortcut.as_ref(),
            input: block.input.as_mut().map(Buffer::shareable),
            r: block.r1.shareable(),
            projection: of_shortcut.map_or(projection, |(_, r)| r.shareable()),
            parts,
            shortcut_parts: b.second.map(|_| shortcut_parts),
            pending: Pending::output(source, before, &mut training.stem),
        };
        pass.run();
        let pixels = stage.shape.grid.pixels();
        let norm1 = &mut block.norms[0];
        timed(b.stage, "fwd moments", || {
            let of_stage = (stage.parts.as_ref(), pixels);
            let affine = weight_and_bias(params, b.norms[0]);
            statistics.set(b.norm, norm1, of_stage, affine);
        });
        match b.kind {
            BlockKind::One => {
                let dropout = block.dropout[0].as_ref();
                timed(b.stage, "fwd residual", || {
                    pass.residual((norm1, dropout), block.r2.shareable());
                });
                block.exchange(&mut training.packed);
            }
            BlockKind::Two => {
                block.exchange(&mut training.packed);
                let packed = &mut training.packed[0];
                self.second((stage, parts), (b, block, packed), params, statistics);
            }
        }
        let norm2 = &mut block.norms[1];
        timed(b.stage, "fwd moments", || {
            let of_stage = (stage.parts.as_ref(), pixels);
            let affine = weight_and_bias(params, b.norms[1]);
            statistics.set(b.norm + 1, norm2, of_stage, affine);
        });
    }

    /// The last norm, and pooling.
    fn pool(&self, training: &mut Training, features: &mut [f32]) {
        let (spec, level, n) = (&self.spec, self.level, self.spec.batch);
        let stage = &training.stages[3];
        let pending = Pending::output(stage, &mut training.blocks, &mut training.stem);
        let out = Shareable::new(features);
        self.workers.run(n, &|i| {
            let i = n - 1 - i;
            let (image, per_image) = (stage.shape.image, spec.features());
            // SAFETY: `y` holds the batch's images of the stage and `features`, whose length `forward` has checked, a row
            // for each; image `i` and its row are this task's.
            unsafe {
                timed(3, "fwd apply", || pending.apply(level, i));
                let y = pending.y.slice(i * image, image);
                let row = out.slice(i * per_image, per_image);
                timed(3, "fwd pool", || {
                    reorder::average(&stage.shape, spec.windows(), y, row);
                });
            }
        });
    }

    /// Brings the dropout multipliers into the layout of their stages.
    fn set_dropout(&self, training: &mut Training, masks: Option<&[&[f32]]>) {
        let shapes = self.spec.dropout_shapes();
        if let Some(masks) = masks {
            assert_eq!(masks.len(), shapes.len(), "one dropout mask per block norm");
        }
        for (i, shape) in shapes.iter().enumerate() {
            let place = &mut training.blocks[i / 2].dropout[i % 2];
            let Some(masks) = masks else {
                *place = None;
                continue;
            };
            assert_eq!(
                masks[i].len(),
                shape.iter().product::<usize>(),
                "dropout mask {i} of shape {shape:?}"
            );
            let stage = &training.stages[i / 4].shape;
            let buffer = place.get_or_insert_with(|| stage.buffer(self.spec.batch));
            let logical = masks[i].chunks_exact(shape[1] * shape[2] * shape[3]);
            for (image, logical) in buffer.as_mut().chunks_exact_mut(stage.image).zip(logical) {
                stage.fill_image(logical, image);
            }
        }
    }
}
