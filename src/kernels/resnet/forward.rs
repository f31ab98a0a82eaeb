//! The forward pass whose activations are kept for the backward pass: with the statistics of the batch in training, with
//! running ones where a gradient is taken in evaluation mode.

use super::reorder;
use super::spec::BlockSpec;
use super::state::{BatchStats, Norm, Stage, Statistics, Trunk};
use crate::kernels::conv_pixels::Ahead;
use crate::kernels::layout::{Buffer, Layout, Shape};
use crate::kernels::norm::{self, Affine, Strips};
use crate::kernels::profile::timed;
use crate::kernels::simd::Level;
use crate::kernels::workers::{Shareable, Workers};

/// The activation before a block, whose norm is still to be applied: the stem's or the previous block's.
struct Pending<'a> {
    shape: &'a Shape,
    strips: Strips<'a>,
    norm: &'a Norm,
    dropout: Option<&'a Buffer>,
    /// The stem has its `ReLU` after the norm.
    relu: bool,
    r: &'a Buffer,
    y: Shareable,
}

impl Pending<'_> {
    /// Computes `y` of one image and returns its address.
    ///
    /// # Safety
    /// No other task touches this image of `y`.
    unsafe fn apply(&self, level: Level, n: usize) -> *const f32 {
        let at = n * self.shape.image;
        // SAFETY: `r` and `y` hold the batch's images of this shape, and image `n` of `y` is ours.
        unsafe {
            let y = self.y.at(at);
            let affine = affine(self.norm, self.dropout, at);
            norm::apply(
                level,
                &self.strips,
                &affine,
                self.relu,
                self.r.ptr().add(at),
                y,
            );
            y
        }
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

/// Index of the first norm parameter of a block.
pub(crate) fn first_norm(b: BlockSpec) -> usize {
    b.parameter + 1 + usize::from(b.projected)
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

    #[allow(
        clippy::too_many_lines,
        reason = "one pass over the network, whose buffers are borrowed together"
    )]
    fn forward(
        &mut self,
        x: &[f32],
        params: &[&[f32]],
        masks: Option<&[&[f32]]>,
        mut statistics: Statistics<'_>,
        features: &mut [f32],
    ) {
        let spec = self.spec.clone();
        let (level, n) = (self.level, spec.batch);
        let per_image = spec.in_channels * spec.size * spec.size;
        self.check_parameters(params, "parameters");
        assert_eq!(
            x.len(),
            n * per_image,
            "images [batch, in_channels, size, size]"
        );
        statistics.check(&spec.norms());
        assert_eq!(
            features.len(),
            n * spec.features(),
            "features [batch, features]"
        );
        let mut training = self.training.take().unwrap_or_else(|| {
            Box::new(super::state::Training::new(
                &spec,
                level,
                self.workers.threads(),
            ))
        });
        self.set_dropout(&mut training, masks);
        let workers = &*self.workers;

        // Stem.
        let stem = &mut training.stem;
        timed(4, "fwd pack", || stem.conv.pack_forward(params[0]));
        let images = Shape::new(spec.grid(0), Layout::Planes, spec.in_channels);
        let stage = &mut training.stages[0];
        let (bordered, r) = (
            Shareable::new(stem.x.as_mut()),
            Shareable::new(stem.r.as_mut()),
        );
        let parts = Shareable::new(stage.parts.as_mut());
        let conv = &stem.conv;
        let stage = &training.stages[0];
        workers.run(n, &|i| {
            // SAFETY: image `i` of every buffer is this task's; all have the batch's images.
            unsafe {
                let at = bordered.at(i * images.image);
                timed(4, "fwd layout", || {
                    images.fill_image(
                        &x[i * per_image..][..per_image],
                        std::slice::from_raw_parts_mut(at, images.image),
                    );
                });
                let r = r.at(i * stage.shape.image);
                timed(4, "fwd conv", || conv.forward_image(at, r, Ahead::NOTHING));
                timed(4, "fwd activate", || {
                    norm::activate(
                        level,
                        &stage.strips(),
                        false,
                        r,
                        parts.at(i * 2 * stage.shape.stored),
                    );
                });
            }
        });
        let parts = (stage.parts.as_ref(), stage.shape.grid.pixels());
        statistics.set(0, &mut stem.norm, parts, (params[1], params[2]));

        // Blocks.
        for (i, b) in spec.blocks().enumerate() {
            let (before, rest) = training.blocks.split_at_mut(i);
            let block = &mut rest[0];
            block.exchange(&mut training.packed);
            timed(b.stage, "fwd pack", || {
                block.conv.pack_forward(params[b.parameter]);
            });
            if let Some(shortcut) = &mut block.shortcut {
                timed(b.stage, "fwd pack", || {
                    shortcut.pack_forward(params[b.parameter + 1]);
                });
            }
            let (stages_before, stages) = training.stages.split_at_mut(b.stage);
            let stage = &mut stages[0];
            let projection = Shareable::new(stage.projection.as_mut());
            let parts = Shareable::new(stage.parts.as_mut());
            let stage: &Stage = stage;
            let source = stages_before
                .last()
                .filter(|_| b.projected)
                .unwrap_or(stage);
            let pending = match before.last_mut() {
                Some(p) => Pending {
                    shape: &source.shape,
                    strips: source.strips(),
                    norm: &p.norms[1],
                    dropout: p.dropout[1].as_ref(),
                    relu: false,
                    r: &p.r2,
                    y: Shareable::new(p.y.as_mut()),
                },
                None => Pending {
                    shape: &source.shape,
                    strips: source.strips(),
                    norm: &training.stem.norm,
                    dropout: None,
                    relu: true,
                    r: &training.stem.r,
                    y: Shareable::new(training.stem.y.as_mut()),
                },
            };
            let input = block.input.as_mut().map(|b| Shareable::new(b.as_mut()));
            let (conv, shortcut) = (&block.conv, block.shortcut.as_ref());
            let r1 = Shareable::new(block.r1.as_mut());
            let image = stage.shape.image;
            let ahead = |i: usize| {
                let Some(next) = i.checked_sub(workers.threads()) else {
                    return Ahead::NOTHING;
                };
                let (at, before) = (next * image, next * pending.shape.image);
                // SAFETY: all buffers hold the batch's images, and `next` is one of them.
                unsafe {
                    Ahead::NOTHING
                        .and(pending.r.ptr().add(before), pending.shape.image)
                        .and(pending.y.at(before), pending.shape.image)
                        .and(r1.at(at), image)
                }
            };
            match stage.shape.layout {
                Layout::Planes => workers.run(n, &|i| {
                    let i = n - 1 - i;
                    // SAFETY: image `i` of every buffer is this task's; all have the batch's images.
                    unsafe {
                        let mut x = timed(b.stage, "fwd apply", || pending.apply(level, i));
                        if let Some(input) = input {
                            x = timed(b.stage, "fwd layout", || {
                                split_image(pending.shape, x, &stage.shape, input, i)
                            });
                        }
                        let r = r1.at(i * image);
                        timed(b.stage, "fwd conv", || conv.forward_image(x, r, ahead(i)));
                        if let Some(shortcut) = shortcut {
                            timed(b.stage, "fwd shortcut", || {
                                shortcut.forward_image(x, projection.at(i * image), Ahead::NOTHING);
                            });
                        }
                        timed(b.stage, "fwd activate", || {
                            norm::activate(
                                level,
                                &stage.strips(),
                                true,
                                r,
                                parts.at(i * 2 * stage.shape.stored),
                            );
                        });
                    }
                }),
                Layout::Last => {
                    let last = Shape::new(pending.shape.grid.clone(), Layout::Last, b.cin);
                    workers.run(n, &|i| {
                        let i = n - 1 - i;
                        // SAFETY: image `i` of every buffer is this task's; all have the batch's images.
                        unsafe {
                            let y = timed(b.stage, "fwd apply", || pending.apply(level, i));
                            if let Some(input) = input {
                                let y = std::slice::from_raw_parts(y, pending.shape.image);
                                let to = std::slice::from_raw_parts_mut(
                                    input.at(i * last.image),
                                    last.image,
                                );
                                timed(b.stage, "fwd layout", || {
                                    reorder::to_last(level, pending.shape, y, &last, to);
                                });
                            }
                        }
                    });
                    // SAFETY: whole buffers of the batch in the convolutions' shapes; each job writes one of them.
                    unsafe {
                        let x = input.unwrap_or(pending.y).at(0);
                        timed(b.stage, "fwd conv", || {
                            conv.forward_batch(workers, n, x, r1);
                        });
                        if let Some(shortcut) = shortcut {
                            timed(b.stage, "fwd shortcut", || {
                                shortcut.forward_batch(workers, n, x, projection);
                            });
                        }
                    }
                    workers.run(n, &|i| {
                        let i = n - 1 - i;
                        // SAFETY: image `i` of the buffers is this task's.
                        unsafe {
                            let parts = parts.at(i * 2 * stage.shape.stored);
                            timed(b.stage, "fwd activate", || {
                                norm::activate(
                                    level,
                                    &stage.strips(),
                                    true,
                                    r1.at(i * image),
                                    parts,
                                );
                            });
                        }
                    });
                }
            }
            let q = first_norm(b);
            let pixels = stage.shape.grid.pixels();
            let [norm1, norm2] = &mut block.norms;
            timed(b.stage, "fwd moments", || {
                let of_stage = (stage.parts.as_ref(), pixels);
                statistics.set(1 + 2 * i, norm1, of_stage, (params[q], params[q + 1]));
            });
            let r2 = Shareable::new(block.r2.as_mut());
            let dropout = block.dropout[0].as_ref();
            let x = if b.projected { projection } else { pending.y };
            timed(b.stage, "fwd residual", || {
                residual(
                    workers,
                    level,
                    stage,
                    (norm1, dropout),
                    (r1, x, r2),
                    parts,
                    n,
                );
            });
            timed(b.stage, "fwd moments", || {
                let of_stage = (stage.parts.as_ref(), pixels);
                statistics.set(2 + 2 * i, norm2, of_stage, (params[q + 2], params[q + 3]));
            });
            block.exchange(&mut training.packed);
        }

        // The last norm, and pooling.
        let stage = &training.stages[3];
        let block = &mut training.blocks[7];
        let pending = Pending {
            shape: &stage.shape,
            strips: stage.strips(),
            norm: &block.norms[1],
            dropout: block.dropout[1].as_ref(),
            relu: false,
            r: &block.r2,
            y: Shareable::new(block.y.as_mut()),
        };
        let out = Shareable::new(features);
        workers.run(n, &|i| {
            let i = n - 1 - i;
            let per_image = spec.features();
            // SAFETY: image `i` of `y` and row `i` of the features are this task's.
            unsafe {
                let y = std::slice::from_raw_parts(
                    timed(3, "fwd apply", || pending.apply(level, i)),
                    stage.shape.image,
                );
                let row = std::slice::from_raw_parts_mut(out.at(i * per_image), per_image);
                timed(3, "fwd pool", || {
                    reorder::average(&stage.shape, spec.windows(), y, row);
                });
            }
        });
        training.saved = true;
        self.training = Some(training);
    }

    /// Brings the dropout multipliers into the layout of their stages.
    fn set_dropout(&self, training: &mut super::state::Training, masks: Option<&[&[f32]]>) {
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

/// Splits the image `y` of planes into image `i` of the phases, and returns that image's address.
///
/// # Safety
/// `y` is an image of `shape`, `phases` a buffer of images of four planes of `coarse` per channel of `shape`, whose
/// image `i` no other task touches.
pub(crate) unsafe fn split_image(
    shape: &Shape,
    y: *const f32,
    coarse: &Shape,
    phases: Shareable,
    i: usize,
) -> *const f32 {
    let size = 4 * coarse.grid.plane;
    // SAFETY: by the contract, both are whole images.
    let (y, to) = unsafe {
        let to = phases.at(i * size * shape.channels);
        (
            std::slice::from_raw_parts(y, shape.image),
            std::slice::from_raw_parts_mut(to, size * shape.channels),
        )
    };
    for (plane, phases) in y
        .chunks_exact(shape.grid.plane)
        .zip(to.chunks_exact_mut(size))
    {
        reorder::split(&shape.grid, &coarse.grid, plane, phases);
    }
    to.as_ptr()
}

/// `r2 = relu(norm1(r1) + shortcut)` of all images, with its moments.
fn residual(
    workers: &Workers,
    level: Level,
    stage: &Stage,
    (norm1, dropout): (&Norm, Option<&Buffer>),
    (r1, shortcut, r2): (Shareable, Shareable, Shareable),
    parts: Shareable,
    images: usize,
) {
    workers.run(images, &|i| {
        let at = i * stage.shape.image;
        let affine = affine(norm1, dropout, at);
        // SAFETY: all buffers hold the batch's images of the stage; image `i` is this task's.
        unsafe {
            let parts = parts.at(i * 2 * stage.shape.stored);
            norm::residual(
                level,
                &stage.strips(),
                &affine,
                r1.at(at),
                shortcut.at(at),
                r2.at(at),
                parts,
            );
        }
    });
}
