//! The backward pass.

use super::conv::Conv;
use super::forward::first_norm;
use super::reorder;
use super::state::{Norm, Stage, Trunk};
use crate::kernels::conv_pixels::Ahead;
use crate::kernels::layout::{Buffer, Layout, Shape};
use crate::kernels::norm_grad::{self, Gate, NormGrad};
use crate::kernels::profile::timed;
use crate::kernels::simd::Level;
use crate::kernels::workers::{Shareable, Workers};
use std::ops::Range;

/// A norm's coefficients, and the dropout multipliers of the image that begins at `at`.
fn coefficients(norm: &Norm, dropout: Option<&Buffer>, at: usize) -> NormGrad {
    NormGrad {
        inv: norm.inv.as_ptr(),
        shift: norm.shift.as_ptr(),
        ka: norm.ka.as_ptr(),
        kb: norm.kb.as_ptr(),
        kc: norm.kc.as_ptr(),
        dropout: dropout.map_or(std::ptr::null(), |d| d.as_ref()[at..].as_ptr()),
    }
}

/// The norm that made a block's input, whose sums are taken as soon as the gradient of that input is known.
struct Earlier<'a> {
    stage: &'a Stage,
    norm: &'a Norm,
    dropout: Option<&'a Buffer>,
    r: &'a Buffer,
    /// The stem's output, which shows where the `ReLU` after its norm passed.
    gate: Option<&'a Buffer>,
    d: Shareable,
    parts: Shareable,
}

impl Earlier<'_> {
    /// # Safety
    /// The gradient of image `i` is complete, and no other task touches its parts.
    unsafe fn sums(&self, level: Level, i: usize) {
        let at = i * self.stage.shape.image;
        let grad = coefficients(self.norm, self.dropout, at);
        let gate = self
            .gate
            .map_or(std::ptr::null(), |g| g.as_ref()[at..].as_ptr());
        // SAFETY: all buffers hold the batch's images of the stage.
        unsafe {
            let parts = self.parts.at(i * 2 * self.stage.shape.stored);
            norm_grad::sums(
                level,
                &self.stage.strips(),
                &grad,
                self.d.at(at),
                self.r.ptr().add(at),
                gate,
                parts,
            );
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
    debug_assert_eq!(grads.len(), co * ci * t);
    let (scratch, grads) = (conv.scratch(), Shareable::new(grads));
    let (conv, pieces) = (&*conv, conv.pieces(images.len()));
    workers.run(conv.weight_tasks(), &|task| {
        // SAFETY: the scratch is the convolution's own, the gradient has its length, each task runs once.
        unsafe { conv.weight_grad(task, (images, &pieces), x.at(0), dy.at(0), scratch, grads) }
    });
}

/// The images of a batch in chunks.
fn chunks(batch: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch)
        .step_by(chunk)
        .map(move |first| first..batch.min(first + chunk))
}

impl Trunk {
    /// The backward pass of the last [`Self::forward_train`] or [`Self::forward_frozen`]. Overwrites `grads`; may be called once per forward pass.
    ///
    /// # Shapes
    /// * `params`: the same values as in the forward pass
    /// * `d_features`: `[batch, features]`
    /// * `grads`: as the parameters
    ///
    /// # Panics
    /// If a slice does not have its length, or no forward pass is waiting for its backward pass.
    #[allow(
        clippy::too_many_lines,
        reason = "one pass over the network, whose buffers are borrowed together"
    )]
    pub fn backward(&mut self, params: &[&[f32]], d_features: &[f32], grads: &mut [&mut [f32]]) {
        let spec = self.spec.clone();
        let (level, n) = (self.level, spec.batch);
        self.check_parameters(params, "parameters");
        self.check_parameters(grads, "gradients");
        assert_eq!(
            d_features.len(),
            n * spec.features(),
            "d_features [batch, features]"
        );
        let saved = self.training.as_ref().is_some_and(|t| t.saved);
        assert!(
            saved,
            "backward needs a forward pass that keeps its activations before"
        );
        let Some(training) = self.training.as_mut() else {
            return;
        };
        training.saved = false;
        let workers = &*self.workers;
        let stem = &mut training.stem;

        // Pooling.
        {
            let (d, parts) = own(&mut training.stages[3]);
            let block = &training.blocks[7];
            let stage = &training.stages[3];
            let last = Earlier {
                stage,
                norm: &block.norms[1],
                dropout: block.dropout[1].as_ref(),
                r: &block.r2,
                gate: None,
                d,
                parts,
            };
            workers.run(n, &|i| {
                let row = &d_features[i * spec.features()..][..spec.features()];
                // SAFETY: image `i` of the gradient and its parts are this task's.
                unsafe {
                    let d = std::slice::from_raw_parts_mut(
                        d.at(i * stage.shape.image),
                        stage.shape.image,
                    );
                    timed(3, "bwd pool", || {
                        reorder::average_grad(&stage.shape, spec.windows(), row, d);
                    });
                    timed(3, "bwd sums", || last.sums(level, i));
                }
            });
        }

        for (i, b) in spec
            .blocks()
            .enumerate()
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            let (before, rest) = training.blocks.split_at_mut(i);
            let block = &mut rest[0];
            block.exchange(&mut training.packed);
            timed(b.stage, "bwd pack", || {
                block.conv.pack_backward(params[b.parameter]);
            });
            if let Some(shortcut) = &mut block.shortcut {
                timed(b.stage, "bwd pack", || {
                    shortcut.pack_backward(params[b.parameter + 1]);
                });
            }
            let (stages_before, stages) = training.stages.split_at_mut(b.stage);
            let stage = &mut stages[0];
            let (d, parts) = own(stage);
            let dc = Shareable::new(stage.dc.as_mut());
            let d_input = Shareable::new(stage.d_input.as_mut());
            let (earlier_d, earlier_parts) = match stages_before.last_mut() {
                Some(earlier) if b.projected => own(earlier),
                _ => (d, parts),
            };
            let stage: &Stage = stage;
            let q = first_norm(b);
            let pixels = stage.shape.grid.pixels();
            let image = stage.shape.image;
            let [norm1, norm2] = &mut block.norms;
            let [dropout1, dropout2] = &block.dropout;

            // Norm 2, the second ReLU, and the sums of norm 1.
            let (d_weight, d_bias) = grads[q + 2..q + 4].split_at_mut(1);
            timed(b.stage, "bwd moments", || {
                norm2.set_gradient(stage.parts.as_ref(), pixels, d_weight[0], d_bias[0]);
            });
            let (r1, r2) = (&block.r1, &block.r2);
            workers.run(n, &|i| {
                let i = n - 1 - i;
                let at = i * image;
                // SAFETY: all buffers hold the batch's images of the stage; image `i` is this task's.
                unsafe {
                    let grad1 = coefficients(norm1, dropout1.as_ref(), at);
                    let grad2 = coefficients(norm2, dropout2.as_ref(), at);
                    let r = [r1.ptr().add(at), r2.ptr().add(at)];
                    let parts = parts.at(i * 2 * stage.shape.stored);
                    timed(b.stage, "bwd through", || {
                        norm_grad::through(
                            level,
                            &stage.strips(),
                            [&grad1, &grad2],
                            d.at(at),
                            r,
                            parts,
                        );
                    });
                }
            });
            let (d_weight, d_bias) = grads[q..q + 2].split_at_mut(1);
            timed(b.stage, "bwd moments", || {
                norm1.set_gradient(stage.parts.as_ref(), pixels, d_weight[0], d_bias[0]);
            });

            // Norm 1 and the first ReLU; the weights; the input; the sums of the norm before.
            let source = stages_before
                .last()
                .filter(|_| b.projected)
                .unwrap_or(stage);
            let (earlier, x) = match before.last() {
                Some(p) => (
                    Earlier {
                        stage: source,
                        norm: &p.norms[1],
                        dropout: p.dropout[1].as_ref(),
                        r: &p.r2,
                        gate: None,
                        d: earlier_d,
                        parts: earlier_parts,
                    },
                    &p.y,
                ),
                None => (
                    Earlier {
                        stage: source,
                        norm: &stem.norm,
                        dropout: None,
                        r: &stem.r,
                        gate: Some(&stem.y),
                        d: earlier_d,
                        parts: earlier_parts,
                    },
                    &stem.y,
                ),
            };
            let x = Shareable::reading(block.input.as_ref().unwrap_or(x).ptr());
            // Image `i`, to place `to` of `dc`.
            let conv_input = |i: usize, to: usize| {
                let at = i * image;
                let grad = coefficients(norm1, dropout1.as_ref(), at);
                // SAFETY: all buffers hold the batch's images of the stage; image `i` is this task's.
                unsafe {
                    let r1 = r1.ptr().add(at);
                    timed(b.stage, "bwd norm 1", || {
                        norm_grad::input_grad(
                            level,
                            &stage.strips(),
                            &grad,
                            Gate::Before,
                            d.at(at),
                            r1,
                            dc.at(to * image),
                        );
                    });
                }
            };
            match stage.shape.layout {
                Layout::Planes => {
                    let phases = 4 * stage.shape.grid.plane * b.cin;
                    let x_image = block.input.as_ref().map_or(image, |_| phases);
                    let ahead = |i: usize| {
                        let next = i + workers.threads();
                        if next >= n {
                            return Ahead::NOTHING;
                        }
                        let (at, before) = (next * image, next * source.shape.image);
                        // SAFETY: all buffers hold the batch's images, and `next` is one of them.
                        unsafe {
                            Ahead::NOTHING
                                .and(d.at(at), image)
                                .and(r1.ptr().add(at), image)
                                .and(earlier.r.ptr().add(before), source.shape.image)
                                .and(x.at(next * x_image), x_image)
                        }
                    };
                    for images in chunks(n, stage.chunk) {
                        let (conv, shortcut) = (&block.conv, block.shortcut.as_ref());
                        workers.run(images.len(), &|k| {
                            let i = images.start + k;
                            conv_input(i, k);
                            let at = i * image;
                            // SAFETY: image `i` of the batch and `k` of the chunk are this task's in every buffer.
                            unsafe {
                                let dc = dc.at(k * image);
                                if let Some(shortcut) = shortcut {
                                    let to = d_input.at(k * phases);
                                    timed(b.stage, "bwd conv", || {
                                        conv.backward_image(dc, to, false, ahead(i));
                                    });
                                    timed(b.stage, "bwd shortcut", || {
                                        shortcut.backward_image(d.at(at), to, true, Ahead::NOTHING);
                                    });
                                    timed(b.stage, "bwd layout", || {
                                        merge_image(&stage.shape, to, &source.shape, earlier.d, i);
                                    });
                                } else {
                                    timed(b.stage, "bwd conv", || {
                                        conv.backward_image(dc, d.at(at), true, ahead(i));
                                    });
                                }
                                timed(b.stage, "bwd sums", || earlier.sums(level, i));
                            }
                        });
                        // SAFETY: buffers of the batch and of the chunk; `dc` and, in a projected block, `d` are zero
                        // at borders: they are written by `input_grad` alone.
                        unsafe {
                            timed(b.stage, "bwd weights", || {
                                weight_gradient(
                                    workers,
                                    &mut block.conv,
                                    &images,
                                    (x, dc),
                                    grads[b.parameter],
                                );
                            });
                            if let Some(shortcut) = &mut block.shortcut {
                                timed(b.stage, "bwd shortcut weights", || {
                                    let dy = Shareable::reading(d.at(images.start * image));
                                    weight_gradient(
                                        workers,
                                        shortcut,
                                        &images,
                                        (x, dy),
                                        grads[b.parameter + 1],
                                    );
                                });
                            }
                        }
                    }
                }
                Layout::Last => {
                    workers.run(n, &|i| conv_input(i, i));
                    let planes = source.shape.layout == Layout::Planes;
                    let to = if planes { d_input } else { earlier.d };
                    // SAFETY: whole buffers of the batch in the convolutions' shapes; each job writes one of them.
                    unsafe {
                        timed(b.stage, "bwd conv", || {
                            block
                                .conv
                                .backward_batch(workers, dc.at(0), to, !b.projected);
                        });
                        if let Some(shortcut) = &block.shortcut {
                            timed(b.stage, "bwd shortcut", || {
                                shortcut.backward_batch(workers, d.at(0), to, true);
                            });
                        }
                    }
                    let last = Shape::new(source.shape.grid.clone(), Layout::Last, b.cin);
                    workers.run(n, &|i| {
                        // SAFETY: image `i` of every buffer is this task's.
                        unsafe {
                            if planes {
                                let from = std::slice::from_raw_parts(
                                    d_input.at(i * last.image),
                                    last.image,
                                );
                                let d = earlier.d.at(i * source.shape.image);
                                let d = std::slice::from_raw_parts_mut(d, source.shape.image);
                                timed(b.stage, "bwd layout", || {
                                    reorder::to_planes(level, &last, from, &source.shape, d);
                                });
                            }
                            timed(b.stage, "bwd sums", || earlier.sums(level, i));
                        }
                    });
                    // SAFETY: buffers of the batch; `dc` and, in a projected block, `d` are zero at borders: they are
                    // written by `input_grad` alone.
                    unsafe {
                        timed(b.stage, "bwd weights", || {
                            weight_gradient(
                                workers,
                                &mut block.conv,
                                &(0..n),
                                (x, dc),
                                grads[b.parameter],
                            );
                        });
                        if let Some(shortcut) = &mut block.shortcut {
                            timed(b.stage, "bwd shortcut weights", || {
                                weight_gradient(
                                    workers,
                                    shortcut,
                                    &(0..n),
                                    (x, d),
                                    grads[b.parameter + 1],
                                );
                            });
                        }
                    }
                }
            }
            block.exchange(&mut training.packed);
        }

        // Stem: norm and ReLU, then the weights.
        let stage = &mut training.stages[0];
        let (d, _) = own(stage);
        let dc = Shareable::new(stage.dc.as_mut());
        let stage: &Stage = stage;
        let (d_weight, d_bias) = grads[1..3].split_at_mut(1);
        stem.norm.set_gradient(
            stage.parts.as_ref(),
            stage.shape.grid.pixels(),
            d_weight[0],
            d_bias[0],
        );
        let (norm, r, y) = (&stem.norm, &stem.r, &stem.y);
        for images in chunks(n, stage.chunk) {
            workers.run(images.len(), &|k| {
                let at = (images.start + k) * stage.shape.image;
                let grad = coefficients(norm, None, at);
                // SAFETY: all buffers hold the batch's images of the stage, `dc` those of a chunk; this one is the
                // task's.
                unsafe {
                    let gate = Gate::After(y.ptr().add(at));
                    timed(4, "bwd norm 1", || {
                        norm_grad::input_grad(
                            level,
                            &stage.strips(),
                            &grad,
                            gate,
                            d.at(at),
                            r.ptr().add(at),
                            dc.at(k * stage.shape.image),
                        );
                    });
                }
            });
            // SAFETY: buffers of the batch and of the chunk; `dc` is zero at borders.
            timed(4, "bwd weights", || unsafe {
                weight_gradient(
                    workers,
                    &mut stem.conv,
                    &images,
                    (Shareable::reading(stem.x.ptr()), dc),
                    grads[0],
                );
            });
        }
    }
}

/// A stage's gradient and parts.
fn own(stage: &mut Stage) -> (Shareable, Shareable) {
    (
        Shareable::new(stage.d.as_mut()),
        Shareable::new(stage.parts.as_mut()),
    )
}

/// Puts the phases of one image together as image `i` of planes of `shape`.
///
/// # Safety
/// `phases` is an image of four planes of `coarse` per channel of `shape`, `planes` a buffer of images of `shape`,
/// whose image `i` no other task touches.
unsafe fn merge_image(
    coarse: &Shape,
    phases: *const f32,
    shape: &Shape,
    planes: Shareable,
    i: usize,
) {
    let size = 4 * coarse.grid.plane;
    // SAFETY: by the contract, both are whole images.
    let (from, to) = unsafe {
        let to = planes.at(i * shape.image);
        (
            std::slice::from_raw_parts(phases, size * shape.channels),
            std::slice::from_raw_parts_mut(to, shape.image),
        )
    };
    for (phases, plane) in from
        .chunks_exact(size)
        .zip(to.chunks_exact_mut(shape.grid.plane))
    {
        reorder::merge(&shape.grid, &coarse.grid, phases, plane);
    }
}
