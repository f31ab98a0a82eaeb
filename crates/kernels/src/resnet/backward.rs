//! The backward pass.

use super::conv::Conv;
use super::reorder;
use super::spec::{BlockKind, BlockSpec};
use super::state::{Block, Body, Norm, Stage, Stem, Training, Trunk};
use crate::conv_pixels::Ahead;
use crate::layout::{Buffer, Layout, Shape};
use crate::norm_grad::{self, Gate, NormGrad};
use crate::profile::timed;
use crate::simd::Level;
use crate::workers::{Shareable, Workers};
use std::ops::Range;
use std::slice::from_raw_parts as slice;

/// A norm's coefficients, and the dropout multipliers of the image that begins at `at`.
pub(super) fn coefficients(norm: &Norm, dropout: Option<&Buffer>, at: usize) -> NormGrad {
    NormGrad {
        dropout: dropout.map_or(std::ptr::null(), |d| d.as_ref()[at..].as_ptr()),
        ..NormGrad::of(norm)
    }
}

/// The norm that made a convolution's input, whose sums are taken as soon as the gradient of that input is known.
pub(super) struct Earlier<'a> {
    pub(super) stage: &'a Stage,
    /// With what it read; none where the sums are not this pass's business.
    pub(super) norm: Option<(&'a Norm, &'a Buffer)>,
    pub(super) dropout: Option<&'a Buffer>,
    /// The input, where a `ReLU` follows the norm: it shows where that passed.
    pub(super) gate: Option<&'a Buffer>,
    /// A shortcut's norm that made the input, too, and what that norm read.
    pub(super) shortcut: Option<&'a (Norm, Buffer)>,
    pub(super) d: Shareable,
    pub(super) parts: Shareable,
    pub(super) shortcut_parts: Shareable,
}

impl<'a> Earlier<'a> {
    /// The output of the last of these blocks; without any, the stem's.
    fn output(
        stage: &'a Stage,
        (blocks, stem): (&'a [Block], &'a Stem),
        (d, parts, shortcut_parts): Own,
    ) -> Self {
        let (norm, dropout) = match blocks.last() {
            Some(b) => (Some((&b.norms[1], &b.r2)), b.dropout[1].as_ref()),
            None => (stem.pending(), None),
        };
        let second = blocks.last().map(|b| (b, b.second.as_ref()));
        Self {
            stage,
            norm,
            dropout,
            gate: match second {
                Some((_, None)) => None,
                Some((b, Some(_))) => Some(&b.y),
                None => Some(&stem.y),
            },
            shortcut: second.and_then(|(_, second)| second?.shortcut.as_ref()),
            d,
            parts,
            shortcut_parts,
        }
    }

    /// # Safety
    /// `i` is below the batch, the gradient of image `i` is complete, and no other task touches its parts.
    unsafe fn sums(&self, level: Level, i: usize) {
        let Some((norm, r)) = self.norm else { return };
        let at = i * self.stage.shape.image;
        let grad = coefficients(norm, self.dropout, at);
        let gate = self
            .gate
            .map_or(std::ptr::null(), |g| g.as_ref()[at..].as_ptr());
        let (strips, sums) = (self.stage.strips(), i * 2 * self.stage.shape.stored);
        // SAFETY: `d`, what the norms read, the gate and the dropout hold the batch's images of the stage (`Training::new`), of
        // which `i` is one by contract, and the parts two arrays of stored channels for each, of which those of `i` are ours.
        unsafe {
            let (d, parts) = (self.d.at(at), self.parts.at(sums));
            let r = r.ptr().add(at);
            norm_grad::sums(level, &strips, &grad, d, r, gate, parts);
            if let Some((norm, r)) = self.shortcut {
                let grad = coefficients(norm, None, at);
                let (r, parts) = (r.ptr().add(at), self.shortcut_parts.at(sums));
                norm_grad::sums(level, &strips, &grad, d, r, gate, parts);
            }
        }
    }
}

/// The weights' gradient of a convolution from some images of the batch, all tasks of it.
///
/// # Safety
/// As for [`Conv::weight_grad`]: `x` is a buffer of the whole batch, `dy` one of the images, zero at borders.
pub(crate) unsafe fn weight_gradient(
    workers: &Workers,
    conv: &mut Conv,
    images: &Range<usize>,
    (x, dy): (Shareable, Shareable),
    grads: &mut [f32],
) {
    let (co, ci, t) = conv.dims;
    assert_eq!(
        grads.len(),
        co * ci * t,
        "the whole gradient of the weights"
    );
    // SAFETY: by contract `x` and `dy` are what `weight_grad` asks for, and channels-last they hold the whole batch; the scratch
    // is the convolution's own, which is borrowed mutably until all parts are done, the gradient has its length, and each task
    // runs once.
    unsafe {
        if let Some(floats) = conv.at_once() {
            let (x, dy) = (slice(x.at(0), floats[0]), slice(dy.at(0), floats[1]));
            return conv.weight_grad_at_once(workers, (x, dy), grads);
        }
        let (scratch, grads) = (conv.scratch(), Shareable::new(grads));
        let (conv, pieces) = (&*conv, conv.pieces(images.len()));
        workers.run(conv.weight_tasks(), &|task| {
            conv.weight_grad(task, (images, &pieces), x.at(0), dy.at(0), scratch, grads);
        });
    }
}

/// The images of a batch in chunks.
fn chunks(batch: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch)
        .step_by(chunk)
        .map(move |first| first..batch.min(first + chunk))
}

/// What becomes of the gradient of a block's output on its way to the shortcut, of two convolutions.
pub(super) struct Side<'a> {
    /// The block's output, which shows where the `ReLU` after the sum passed.
    pub(super) y: &'a Buffer,
    /// The shortcut's norm and what it reads, where the shortcut is a convolution.
    pub(super) norm: Option<&'a (Norm, Buffer)>,
}

/// What the steps of a convolution's backward pass share, from the norm after it to the sums of the norm before.
pub(super) struct ConvPass<'a> {
    pub(super) workers: &'a Workers,
    pub(super) level: Level,
    /// Images of the batch.
    pub(super) n: usize,
    pub(super) b: BlockSpec,
    pub(super) stage: &'a Stage,
    /// The norm after the convolution, the dropout after it, its input, and where the `ReLU` beside it passed: before
    /// the norm, or after it (this buffer, its output, shows it).
    pub(super) norm: &'a Norm,
    pub(super) dropout: Option<&'a Buffer>,
    pub(super) r: &'a Buffer,
    pub(super) gate: Option<&'a Buffer>,
    /// The gradient of the norm's (and `ReLU`'s) output.
    pub(super) from: Shareable,
    /// The gradient at the shortcut, which becomes that of the input where there is no convolution on it. Where the
    /// input goes nowhere else, whatever is in it is overwritten.
    pub(super) d: Shareable,
    pub(super) add: bool,
    /// What is still to be done to `d` first.
    pub(super) side: Option<Side<'a>>,
    /// The gradient of the convolution's output.
    pub(super) dc: Shareable,
    /// The gradient of the input in the layout of the convolutions.
    pub(super) d_input: Shareable,
    /// The input, and the floats of an image of it.
    pub(super) x: Shareable,
    pub(super) x_image: usize,
    pub(super) earlier: Earlier<'a>,
}

/// A convolution and the gradient of its weights.
pub(super) type WithGradient<'a> = (&'a mut Conv, &'a mut [f32]);

impl ConvPass<'_> {
    /// The norm and its `ReLU` of image `i` of the batch; the result goes to place `to` of `dc`. And the gradient at
    /// the shortcut.
    ///
    /// # Safety
    /// `i` is below the batch, `to` below the images of `dc`; no other task touches these images.
    unsafe fn conv_output(&self, i: usize, to: usize) {
        let image = self.stage.shape.image;
        let at = i * image;
        let grad = coefficients(self.norm, self.dropout, at);
        let strips = self.stage.strips();
        // SAFETY: `from`, `d`, `r`, the gate and what the side looks at hold the batch's images of the stage
        // (`Training::new`), of which `i` is one by contract, and `dc` has the place `to`; the norms' arrays have an entry
        // per stored channel (`Norm::new`).
        unsafe {
            let (from, r, dc) = (
                self.from.at(at),
                self.r.ptr().add(at),
                self.dc.at(to * image),
            );
            let gate = self
                .gate
                .map_or(Gate::Before, |y| Gate::After(y.ptr().add(at)));
            timed(self.b.stage, "bwd norm 1", || {
                norm_grad::input_grad(self.level, &strips, &grad, gate, from, r, dc);
            });
            let Some(side) = &self.side else { return };
            timed(self.b.stage, "bwd side", || {
                let (d, y) = (self.d.at(at), side.y.ptr().add(at));
                let Some((norm, r)) = side.norm else {
                    norm_grad::pass(self.level, &strips, y, d);
                    return;
                };
                let (grad, r) = (coefficients(norm, None, at), r.ptr().add(at));
                norm_grad::input_grad(self.level, &strips, &grad, Gate::After(y), d, r, d);
            });
        }
    }

    /// What the image after the present ones of all threads will need.
    fn ahead(&self, i: usize) -> Ahead {
        let next = i + self.workers.threads();
        if next >= self.n {
            return Ahead::NOTHING;
        }
        let (image, earlier) = (self.stage.shape.image, &self.earlier);
        let (at, before) = (next * image, earlier.stage.shape.image);
        // SAFETY: `next` is below the batch, whose images all four buffers hold, where there are four (`Training::new`).
        unsafe {
            let read = Ahead::NOTHING
                .and(self.d.at(at), image)
                .and(self.r.ptr().add(at), image);
            let read = match earlier.norm {
                Some((_, r)) => read.and(r.ptr().add(next * before), before),
                None => read,
            };
            read.and(self.x.at(next * self.x_image), self.x_image)
        }
    }

    /// All steps.
    pub(super) fn run(&self, conv: WithGradient<'_>, shortcut: Option<WithGradient<'_>>) {
        match self.stage.shape.layout {
            Layout::Planes => self.planes(conv, shortcut),
            Layout::Last => self.last(conv, shortcut),
        }
    }

    /// Over planes, chunk by chunk: the norm and its `ReLU`, the input, the sums of the norm before; then the weights.
    fn planes(&self, (conv, grad): WithGradient<'_>, mut shortcut: Option<WithGradient<'_>>) {
        let image = self.stage.shape.image;
        for images in chunks(self.n, self.stage.chunk) {
            let (whole, side) = (&*conv, shortcut.as_ref().map(|(conv, _)| &**conv));
            self.workers.run(images.len(), &|k| {
                // SAFETY: `k` is below the images of a chunk, which `dc` and `d_input` hold, and `images.start + k` below
                // the batch; both belong to this task alone. The convolutions are over planes, and the weights of this
                // pass are packed in them.
                unsafe {
                    self.conv_output(images.start + k, k);
                    self.planes_input(whole, side, images.start + k, k);
                }
            });
            // SAFETY: `x` holds the batch, `dc` the chunk from its beginning on, `d` the batch, so from the chunk's first
            // image on it, too. `dc` and, in a block with a shortcut, `d` are zero at borders: `input_grad` and `through`
            // alone write them, and leave zeros where `r` or the gate, whose borders are zero, is not positive.
            unsafe {
                timed(self.b.stage, "bwd weights", || {
                    let dy = (self.x, self.dc);
                    weight_gradient(self.workers, conv, &images, dy, grad);
                });
                if let Some((shortcut, grad)) = &mut shortcut {
                    timed(self.b.stage, "bwd shortcut weights", || {
                        let dy = (self.x, Shareable::of(self.d.at(images.start * image)));
                        weight_gradient(self.workers, shortcut, &images, dy, grad);
                    });
                }
            }
        }
    }

    /// The gradient of the input of image `i`, whose convolution's gradient lies at place `k` of `dc`, and its sums.
    ///
    /// # Safety
    /// Convolutions over planes with packed weights; `i` is below the batch and `k` below the images of a chunk, and no
    /// other task touches them.
    unsafe fn planes_input(&self, conv: &Conv, shortcut: Option<&Conv>, i: usize, k: usize) {
        let (stage, source) = (self.stage, self.earlier.stage);
        let ahead = self.ahead(i);
        // SAFETY: `dc` and `d_input` (four planes per input channel and image) hold the images of a chunk, `d` and the
        // gradient before those of the batch (`Training::new`); by contract this task may write those of `i` and `k`.
        unsafe {
            let (dc, d) = (
                self.dc.at(k * stage.shape.image),
                self.d.at(i * stage.shape.image),
            );
            if let Some(shortcut) = shortcut {
                let to = self.d_input.at(k * self.x_image);
                timed(self.b.stage, "bwd conv", || {
                    conv.backward_image(dc, to, false, ahead);
                });
                timed(self.b.stage, "bwd shortcut", || {
                    shortcut.backward_image(d, to, true, Ahead::NOTHING);
                });
                let phases = self.d_input.slice(k * self.x_image, self.x_image);
                let image = source.shape.image;
                let planes = self.earlier.d.slice(i * image, image);
                timed(self.b.stage, "bwd layout", || {
                    reorder::merge_image(&stage.shape, phases, &source.shape, planes);
                });
            } else {
                timed(self.b.stage, "bwd conv", || {
                    conv.backward_image(dc, d, self.add, ahead);
                });
            }
            timed(self.b.stage, "bwd sums", || {
                self.earlier.sums(self.level, i);
            });
        }
    }

    /// Channels-last, for the whole batch: the norm and its `ReLU`, the input, the sums of the norm before, the weights.
    fn last(&self, (conv, grad): WithGradient<'_>, mut shortcut: Option<WithGradient<'_>>) {
        let (workers, source) = (self.workers, &self.earlier.stage.shape);
        let planes = source.layout == Layout::Planes;
        let to = if planes { self.d_input } else { self.earlier.d };
        // SAFETY: channels-last `dc` holds the batch, and image `i` of it and of `d` is its task's. `dc`, `d` and `to` hold the
        // batch in the convolutions' shapes, packed weights included; a job is over when the next one, which adds to what it
        // wrote, begins.
        unsafe {
            workers.run(self.n, &|i| self.conv_output(i, i));
            timed(self.b.stage, "bwd conv", || {
                conv.backward_batch(workers, self.dc.at(0), to, self.add);
            });
            if let Some((shortcut, _)) = &shortcut {
                timed(self.b.stage, "bwd shortcut", || {
                    shortcut.backward_batch(workers, self.d.at(0), to, true);
                });
            }
        }
        let last = Shape::new(source.grid.clone(), Layout::Last, self.b.cin);
        workers.run(self.n, &|i| {
            // SAFETY: `d_input`, where the input comes from planes, and the gradient before hold the batch's images of these
            // lengths; image `i` of both, and its sums, are this task's.
            unsafe {
                if planes {
                    let from = self.d_input.slice(i * last.image, last.image);
                    let d = self.earlier.d.slice(i * source.image, source.image);
                    timed(self.b.stage, "bwd layout", || {
                        reorder::to_planes(self.level, &last, from, source, d);
                    });
                }
                timed(self.b.stage, "bwd sums", || {
                    self.earlier.sums(self.level, i);
                });
            }
        });
        let images = 0..self.n;
        // SAFETY: `x`, `dc` and `d` hold the batch. `dc` and, in a block with a shortcut, `d` are zero at borders:
        // `input_grad` and `through` alone write them, and leave zeros where `r` or the gate, whose borders are zero, is not
        // positive.
        unsafe {
            timed(self.b.stage, "bwd weights", || {
                weight_gradient(workers, conv, &images, (self.x, self.dc), grad);
            });
            if let Some((shortcut, grad)) = &mut shortcut {
                timed(self.b.stage, "bwd shortcut weights", || {
                    weight_gradient(workers, shortcut, &images, (self.x, self.d), grad);
                });
            }
        }
    }
}

impl Trunk {
    /// The backward pass of the last [`Self::forward_train`] or [`Self::forward_frozen`]. Overwrites `grads`; may be called
    /// once per forward pass.
    ///
    /// # Shapes
    /// * `params`: the same values as in the forward pass
    /// * `d_features`: `[batch, features]`
    /// * `grads`: as the parameters
    ///
    /// # Panics
    /// If a slice does not have its length, or no forward pass is waiting for its backward pass.
    pub fn backward(&mut self, params: &[&[f32]], d_features: &[f32], grads: &mut [&mut [f32]]) {
        self.check_parameters(params, "parameters");
        self.check_parameters(grads, "gradients");
        assert_eq!(
            d_features.len(),
            self.spec.batch * self.spec.features(),
            "d_features [batch, features]"
        );
        let saved = self.training.as_ref().is_some_and(|t| t.saved);
        assert!(
            saved,
            "backward needs a forward pass that keeps its activations before"
        );
        let Some(mut training) = self.training.take() else {
            return;
        };
        training.saved = false;
        self.pool_gradient(&mut training, d_features);
        let blocks: Vec<_> = self.spec.blocks().enumerate().collect();
        for block in blocks.into_iter().rev() {
            self.block_gradient(&mut training, block, params, grads);
        }
        self.stem_gradient(&mut training, grads);
        self.training = Some(training);
    }

    /// Pooling, and the sums of the last norm.
    fn pool_gradient(&self, training: &mut Training, d_features: &[f32]) {
        let (spec, level) = (&self.spec, self.level);
        let own = own(&mut training.stages[3]);
        let stage = &training.stages[3];
        let image = stage.shape.image;
        let last = Earlier::output(stage, (&training.blocks, &training.stem), own);
        let d = last.d;
        self.workers.run(spec.batch, &|i| {
            let row = &d_features[i * spec.features()..][..spec.features()];
            // SAFETY: `d` and the parts are the stage's own, which hold the batch; image `i` of both is this task's.
            unsafe {
                let d = d.slice(i * image, image);
                timed(3, "bwd pool", || {
                    reorder::average_grad(&stage.shape, spec.windows(), row, d);
                });
                timed(3, "bwd sums", || last.sums(level, i));
            }
        });
    }

    /// One block: from the gradient of its output, and the sums of its last norms, to those of its input.
    fn block_gradient(
        &self,
        training: &mut Training,
        (i, b): (usize, BlockSpec),
        params: &[&[f32]],
        grads: &mut [&mut [f32]],
    ) {
        let (before, rest) = training.blocks.split_at_mut(i);
        let block = &mut rest[0];
        let (stages_before, stages) = training.stages.split_at_mut(b.stage);
        let stage = &mut stages[0];
        let (d_second, of_stage) = (stage.d_second.shareable(), own(stage));
        let (d, parts, _) = of_stage;
        let (dc, d_input) = (stage.dc.shareable(), stage.d_input.shareable());
        let of_earlier = match stages_before.last_mut() {
            Some(earlier) if b.projected() => own(earlier),
            _ => of_stage,
        };
        let stage: &Stage = stage;
        if b.kind == BlockKind::Two {
            let memory = &mut training.packed[0];
            self.second_gradient(
                stage,
                (b, block, memory),
                (of_stage, dc, d_second),
                params,
                grads,
            );
        }
        block.exchange(&mut training.packed);
        timed(b.stage, "bwd pack", || {
            block.conv.pack_backward(params[b.conv]);
        });
        if let (Some(shortcut), Some(parameter)) = (&mut block.shortcut, b.shortcut) {
            timed(b.stage, "bwd pack", || {
                shortcut.pack_backward(params[parameter]);
            });
        }
        if b.kind == BlockKind::One {
            let [q, end] = [b.norms[0], b.norms[1] + 2];
            self.sum_gradient(
                stage,
                (b.stage, &mut *block),
                (d, parts),
                &mut grads[q..end],
            );
        }

        let source = stages_before
            .last()
            .filter(|_| b.projected())
            .unwrap_or(stage);
        let stem = &training.stem;
        let y = before.last().map_or(&stem.y, |p| &p.y);
        let x = block.input.as_ref().unwrap_or(y);
        let second = block.second.as_ref();
        let pass = ConvPass {
            workers: &self.workers,
            level: self.level,
            n: self.spec.batch,
            b,
            stage,
            norm: &block.norms[0],
            dropout: block.dropout[0].as_ref(),
            r: &block.r1,
            gate: second.map(|second| &second.x),
            from: if second.is_some() { d_second } else { d },
            d,
            add: !b.projected(),
            side: second.map(|second| Side {
                y: &block.y,
                norm: second.shortcut.as_ref(),
            }),
            dc,
            d_input,
            x: Shareable::reading(x.ptr()),
            x_image: x.as_ref().len() / self.spec.batch,
            earlier: Earlier::output(source, (before, stem), of_earlier),
        };
        let (to_conv, later) = grads[b.conv..].split_at_mut(1);
        let to_shortcut = b.shortcut.map(|at| &mut *later[at - b.conv - 1]);
        pass.run(
            (&mut block.conv, &mut *to_conv[0]),
            block.shortcut.as_mut().zip(to_shortcut),
        );
        block.exchange(&mut training.packed);
    }

    /// Norm 2, the second `ReLU`, and the sums of norm 1: leaves the gradient of the block's sum in `d` and both norms
    /// ready for their inputs' gradients.
    fn sum_gradient(
        &self,
        stage: &Stage,
        (number, block): (usize, &mut Block),
        (d, parts): (Shareable, Shareable),
        grads: &mut [&mut [f32]],
    ) {
        let (level, n) = (self.level, self.spec.batch);
        let pixels = stage.shape.grid.pixels();
        let [norm1, norm2] = &mut block.norms;
        let [weight1, bias1, weight2, bias2] = grads else {
            unreachable!("weight and bias of both norms")
        };
        timed(number, "bwd moments", || {
            norm2.set_gradient(stage.parts.as_ref(), pixels, weight2, bias2);
        });
        let (r1, r2, [dropout1, dropout2]) = (&block.r1, &block.r2, &block.dropout);
        self.workers.run(n, &|i| {
            let i = n - 1 - i;
            let at = i * stage.shape.image;
            let grad1 = coefficients(norm1, dropout1.as_ref(), at);
            let grad2 = coefficients(norm2, dropout2.as_ref(), at);
            // SAFETY: `r1`, `r2` and `d` hold the batch's images of the stage, `parts` two arrays of stored channels for
            // each; image `i` of what is written is this task's. Norms have an entry per stored channel.
            unsafe {
                let r = [r1.ptr().add(at), r2.ptr().add(at)];
                let (d, parts) = (d.at(at), parts.at(i * 2 * stage.shape.stored));
                timed(number, "bwd through", || {
                    let norms = [&grad1, &grad2];
                    norm_grad::through(level, &stage.strips(), norms, d, r, parts);
                });
            }
        });
        timed(number, "bwd moments", || {
            norm1.set_gradient(stage.parts.as_ref(), pixels, weight1, bias1);
        });
    }

    /// Stem: norm and `ReLU`, then the weights.
    fn stem_gradient(&self, training: &mut Training, grads: &mut [&mut [f32]]) {
        let (Stem { body, norm, y }, stage) = (&mut training.stem, &mut training.stages[0]);
        let [kernel, weight, bias, ..] = grads else {
            unreachable!("the stem's convolution, weight and bias")
        };
        let (conv, x, r) = match body {
            Body::Small(small) => (&mut small.conv, &small.x, &small.r),
            Body::Large(pass) => {
                let grads = [&mut **kernel, &mut **weight, &mut **bias];
                return pass.backward(&self.workers, norm, stage.d.as_ref(), grads);
            }
        };
        let (d, ..) = own(stage);
        let dc = stage.dc.shareable();
        let stage: &Stage = stage;
        let pixels = stage.shape.grid.pixels();
        norm.set_gradient(stage.parts.as_ref(), pixels, weight, bias);
        let (norm, level) = (&*norm, self.level);
        for images in chunks(self.spec.batch, stage.chunk) {
            self.workers.run(images.len(), &|k| {
                let image = stage.shape.image;
                let at = (images.start + k) * image;
                let grad = coefficients(norm, None, at);
                // SAFETY: `y`, `r` and `d` hold the batch's images of the stage, `dc` those of a chunk; place `k` of it is
                // this task's. The norm has an entry per stored channel.
                unsafe {
                    let gate = Gate::After(y.ptr().add(at));
                    let (d, r, dc) = (d.at(at), r.ptr().add(at), dc.at(k * image));
                    timed(4, "bwd norm 1", || {
                        norm_grad::input_grad(level, &stage.strips(), &grad, gate, d, r, dc);
                    });
                }
            });
            let x = Shareable::reading(x.ptr());
            timed(4, "bwd weights", || {
                // SAFETY: `x` holds the batch's bordered images, `dc` the chunk from its beginning on; it is zero at
                // borders, to which `input_grad` alone writes, under the mask.
                unsafe { weight_gradient(&self.workers, conv, &images, (x, dc), kernel) }
            });
        }
    }
}

/// A stage's gradient, and the parts of its norms and of its shortcut's norm.
pub(super) type Own = (Shareable, Shareable, Shareable);

fn own(stage: &mut Stage) -> Own {
    let shortcut_parts = stage.shortcut_parts.shareable();
    (stage.d.shareable(), stage.parts.shareable(), shortcut_parts)
}
