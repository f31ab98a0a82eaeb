//! The forward pass in evaluation: running statistics, nothing saved.
//!
//! Images go through in small groups, so that a group's activations stay in the cache: the stages over planes one
//! image at a time, the channels-last stages a group at a time. Threads take different groups.

use super::conv::Conv;
use super::forward::{affine, shortcut_affine, weight_and_bias};
use super::large::LargeStem;
use super::reorder;
use super::spec::{Ends, TrunkSpec};
use super::state::{
    EvaluatedBlock, EvaluatedStem, Evaluation, Norm, Space, Statistics, Trunk, convolutions,
    input_shape, second_convolution,
};
use crate::conv_pixels::Ahead;
use crate::layout::{Buffer, Layout, Shape};
use crate::norm::{self, Strips};
use crate::simd::Level;
use crate::workers::{Shareable, Workers};

/// Images per group at most; an interpreter has time for few images, and is to see several groups.
const GROUP: usize = if cfg!(miri) { 1 } else { 16 };

/// Floats of a group's activations at most, unless an image alone has more: large images share the cache with fewer.
const GROUP_FLOATS: usize = 1 << 20;

/// Images per group.
fn group(spec: &TrunkSpec) -> usize {
    let shapes = (0..4).map(|s| spec.shape(s));
    let last = shapes.filter(|shape| shape.layout == Layout::Last);
    let largest = last.map(|shape| shape.image).max().unwrap_or(1);
    spec.batch.min(GROUP).min((GROUP_FLOATS / largest).max(1))
}

impl Space {
    fn new(spec: &TrunkSpec, stem: &EvaluatedStem, group: usize) -> Self {
        let count = |shape: &Shape| {
            if shape.layout == Layout::Planes {
                1
            } else {
                group
            }
        };
        let shapes: Vec<Shape> = (0..4).map(|s| spec.shape(s)).collect();
        let stages = shapes
            .iter()
            .map(|s| [0; 3].map(|_| s.buffer(count(s))))
            .collect();
        let inputs = (0..4)
            .map(|s| match (s, shapes[s].layout) {
                (0, _) => Buffer::zeros(0),
                (_, Layout::Planes) => Buffer::zeros(4 * shapes[s].grid.plane * spec.widths[s - 1]),
                (_, Layout::Last) if shapes[s - 1].layout == Layout::Planes => {
                    input_shape(spec, s).buffer(group)
                }
                _ => Buffer::zeros(0),
            })
            .collect();
        let [image, large @ ..] = match stem {
            EvaluatedStem::Small(_) => {
                let image = Shape::new(spec.grid(0), Layout::Planes, spec.in_channels);
                [image.buffer(1), Buffer::zeros(0), Buffer::zeros(0)]
            }
            EvaluatedStem::Large(stem) => stem.buffers(),
        };
        Self {
            image,
            large,
            stages,
            inputs,
        }
    }
}

impl EvaluatedBlock {
    fn load(&mut self, params: &[&[f32]], running: &[(&[f32], &[f32])]) {
        let b = self.b;
        self.conv.pack_forward(params[b.conv]);
        if let (Some(shortcut), Some(parameter)) = (&mut self.shortcut, b.shortcut) {
            shortcut.pack_forward(params[parameter]);
        }
        for (i, (norm, weight)) in self.norms.iter_mut().zip(b.norms).enumerate() {
            norm.set_running(running[b.norm + i], weight_and_bias(params, weight));
        }
        if let (Some((conv, norm)), Some(parameter)) = (&mut self.second, b.second) {
            conv.pack_forward(params[parameter]);
            if let (Some(norm), Some(weight)) = (norm, b.shortcut_norm) {
                norm.set_running(running[b.norm + 2], weight_and_bias(params, weight));
            }
        }
    }
}

impl Evaluation {
    fn new(spec: &TrunkSpec, level: Level, threads: usize) -> Self {
        let group = group(spec);
        let shapes: Vec<Shape> = (0..4).map(|s| spec.shape(s)).collect();
        let blocks = spec
            .blocks()
            .map(|b| {
                let (conv, shortcut) = convolutions(spec, level, b, group);
                let norm = || Norm::new(&shapes[b.stage]);
                let second = second_convolution(spec, level, b, group)
                    .map(|conv| (conv, b.shortcut_norm.map(|_| norm())));
                EvaluatedBlock {
                    b,
                    conv,
                    shortcut,
                    norms: [norm(), norm()],
                    second,
                }
            })
            .collect();
        let (stem, stem_norm) = match spec.ends {
            Ends::Small => {
                let conv = Conv::planes(level, spec.in_channels, &shapes[0], 9, 1, group);
                (EvaluatedStem::Small(conv), Norm::new(&shapes[0]))
            }
            Ends::Large => {
                let stem = LargeStem::new(spec, level);
                let norm = stem.norm();
                (EvaluatedStem::Large(stem), norm)
            }
        };
        let takers = threads.min(spec.batch.div_ceil(group));
        Self {
            group,
            spaces: (0..takers)
                .map(|_| Space::new(spec, &stem, group))
                .collect(),
            stem,
            stem_norm,
            blocks,
            images: Shape::new(spec.grid(0), Layout::Planes, spec.in_channels),
            masks: shapes.iter().map(|s| s.grid.mask()).collect(),
            shapes,
        }
    }

    fn load(&mut self, params: &[&[f32]], running: &[(&[f32], &[f32])]) {
        match &mut self.stem {
            EvaluatedStem::Small(conv) => conv.pack_forward(params[0]),
            EvaluatedStem::Large(stem) => stem.pack(params[0]),
        }
        self.stem_norm
            .set_running(running[0], (params[1], params[2]));
        for block in &mut self.blocks {
            block.load(params, running);
        }
    }

    fn strips(&self, stage: usize) -> Strips<'_> {
        Strips::new(&self.shapes[stage], self.masks[stage].as_ref())
    }

    /// The elementwise passes at the end of a block on one image: `r` is the last convolution's output, `y` gets the
    /// block's.
    ///
    /// # Safety
    /// Images of the stage, `r` and `y` nobody else's; `r` or `shortcut` may be `y`.
    unsafe fn finish(
        &self,
        level: Level,
        block: &EvaluatedBlock,
        r: *mut f32,
        shortcut: *const f32,
        y: *mut f32,
    ) {
        let strips = self.strips(block.b.stage);
        let [norm1, norm2] = [0, 1].map(|i| affine(&block.norms[i], None, 0));
        // SAFETY: by contract all three are images of the stage, `r` and `y` ours, and the norms are the stage's, with an entry
        // per stored channel (`Norm::new`).
        unsafe {
            match &block.second {
                None => norm::relu_residual(level, &strips, [&norm1, &norm2], r, shortcut, y),
                Some((_, norm)) => {
                    let norms = [&norm2, &shortcut_affine(norm.as_ref())];
                    norm::join(level, &strips, norms, r, shortcut, y);
                }
            }
        }
    }

    /// Between the two convolutions of a block, on one image: `r = relu(norm1(r))`.
    ///
    /// # Safety
    /// `r` is an image of the stage, and nobody else's.
    unsafe fn between(&self, level: Level, block: &EvaluatedBlock, r: *mut f32) {
        let strips = self.strips(block.b.stage);
        // SAFETY: by contract `r` is an image of the stage and ours, and the norm has an entry per stored channel.
        unsafe {
            let affine = affine(&block.norms[0], None, 0);
            norm::apply(level, &strips, &affine, true, r, r);
        }
    }

    /// Stem and the blocks over planes of one image; leaves the first channels-last stage's input in slot `slot`.
    fn image(&self, level: Level, x: &[f32], space: &mut Space, slot: usize) {
        match &self.stem {
            EvaluatedStem::Small(stem) => self.planes(level, (stem, x), space, slot),
            EvaluatedStem::Large(stem) => {
                let Space {
                    image,
                    large: [r, winners],
                    stages,
                    ..
                } = space;
                let pooled = self.shapes[0].image;
                let y = &mut stages[0][0].as_mut()[slot * pooled..][..pooled];
                stem.convolve(x, image.as_mut(), r.as_mut());
                stem.pool(&self.stem_norm, r.as_ref(), y, winners.as_mut());
            }
        }
    }

    /// [`Self::image`] with a small stem.
    fn planes(&self, level: Level, (stem, x): (&Conv, &[f32]), space: &mut Space, slot: usize) {
        self.images.fill_image(x, space.image.as_mut());
        // SAFETY: every buffer below is this space's, which is borrowed mutably, and over planes holds one image of its stage
        // (`Space::new`), `inputs` one of four planes per channel of the stage before; the convolutions were made for these
        // (`Evaluation::new`) and `load` has packed them. Addresses are the buffers' own, so that none ends another.
        unsafe {
            let [a, _, r] = space.stages[0].each_mut().map(|b| b.shareable().at(0));
            let image = space.image.ptr();
            stem.forward_image(image, r, Ahead::NOTHING);
            let affine = affine(&self.stem_norm, None, 0);
            norm::apply(level, &self.strips(0), &affine, true, r, a);
            for block in &self.blocks {
                let (b, conv, shortcut) = (block.b, &block.conv, &block.shortcut);
                let shape = &self.shapes[b.stage];
                if shape.layout == Layout::Last {
                    continue;
                }
                let (before, rest) = space.stages.split_at_mut(b.stage);
                let [a, p, r] = rest[0].each_mut().map(|b| b.shareable().at(0));
                let (mut x, mut side) = (a.cast_const(), a.cast_const());
                if let (Some(shortcut), Some(previous)) = (shortcut, before.last()) {
                    let (source, input) = (&self.shapes[b.stage - 1], &mut space.inputs[b.stage]);
                    reorder::split_image(source, previous[0].as_ref(), shape, input.as_mut());
                    x = input.ptr();
                    shortcut.forward_image(x, p, Ahead::NOTHING);
                    side = p;
                }
                conv.forward_image(x, r, Ahead::NOTHING);
                let mut end = r;
                if let Some((second, _)) = &block.second {
                    self.between(level, block, r);
                    // The one that is not the shortcut.
                    end = if b.projected() { a } else { p };
                    second.forward_image(r, end, Ahead::NOTHING);
                }
                self.finish(level, block, end, side, a);
            }
        }
        if let Some(first) = (1..4).find(|s| self.shapes[*s].layout == Layout::Last) {
            let planes = &self.shapes[first - 1];
            let last = Shape::new(planes.grid.clone(), Layout::Last, planes.channels);
            let to = &mut space.inputs[first].as_mut()[slot * last.image..][..last.image];
            reorder::to_last(
                level,
                planes,
                space.stages[first - 1][0].as_ref(),
                &last,
                to,
            );
        }
    }

    /// The channels-last blocks of a group; the result is the last stage's first buffer.
    fn last(&self, level: Level, workers: &Workers, images: usize, space: &mut Space) {
        for block in &self.blocks {
            let (b, conv, shortcut) = (block.b, &block.conv, &block.shortcut);
            let shape = &self.shapes[b.stage];
            if shape.layout == Layout::Planes {
                continue;
            }
            let (before, rest) = space.stages.split_at_mut(b.stage);
            let [a, p, r] = rest[0].each_mut().map(Buffer::shareable);
            // SAFETY: every buffer is this space's, which is borrowed mutably, and channels-last holds a group's images of its
            // stage (`Space::new`), `images` being at most the group; the convolutions were made for a group and `load` has
            // packed them.
            unsafe {
                let x = match before.last() {
                    Some(_) if b.projected() && !space.inputs[b.stage].as_ref().is_empty() => {
                        space.inputs[b.stage].ptr()
                    }
                    Some(previous) if b.projected() => previous[0].ptr(),
                    _ => a.at(0),
                };
                conv.forward_batch(workers, images, x, r);
                if let Some(shortcut) = shortcut {
                    shortcut.forward_batch(workers, images, x, p);
                }
                let mut end = r;
                if let Some((second, _)) = &block.second {
                    for i in 0..images {
                        self.between(level, block, r.at(i * shape.image));
                    }
                    // The one that is not the shortcut.
                    end = if b.projected() { a } else { p };
                    second.forward_batch(workers, images, r.at(0), end);
                }
                for i in 0..images {
                    let at = i * shape.image;
                    let side = if b.projected() { p.at(at) } else { a.at(at) };
                    self.finish(level, block, end.at(at), side, a.at(at));
                }
            }
        }
    }
}

impl Trunk {
    /// The forward pass with running statistics. Saves nothing and leaves a training pass that waits as it is.
    ///
    /// # Shapes
    /// * `x`: `[batch, in_channels, size, size]`
    /// * `params`: as [`TrunkSpec::parameters`]
    /// * `running`: mean and variance per norm, in the order of [`TrunkSpec::norms`]
    /// * `features`: `[batch, features]`
    ///
    /// # Panics
    /// If a slice does not have its length.
    pub fn forward_eval(
        &mut self,
        x: &[f32],
        params: &[&[f32]],
        running: &[(&[f32], &[f32])],
        features: &mut [f32],
    ) {
        let spec = self.spec.clone();
        let per_image = spec.in_channels * spec.size * spec.size;
        self.check_parameters(params, "parameters");
        assert_eq!(
            x.len(),
            spec.batch * per_image,
            "images [batch, in_channels, size, size]"
        );
        assert_eq!(
            features.len(),
            spec.batch * spec.features(),
            "features [batch, features]"
        );
        Statistics::Running(running).check(&spec.norms());
        let (level, threads) = (self.level, self.workers.threads());
        let mut evaluation = self
            .evaluation
            .take()
            .unwrap_or_else(|| Box::new(Evaluation::new(&spec, level, threads)));
        evaluation.load(params, running);
        let mut spaces = std::mem::take(&mut evaluation.spaces);
        let (groups, takers, shared) = (
            spec.batch.div_ceil(evaluation.group),
            spaces.len(),
            &*evaluation,
        );
        let all = spec.features() * shared.group;
        let out = Shareable::new(features);
        let alone = Workers::new(1);
        self.workers.each(spaces.iter_mut(), |taker, space| {
            for g in (taker..groups).step_by(takers) {
                let first = g * shared.group;
                let images = shared.group.min(spec.batch - first);
                for i in 0..images {
                    shared.image(level, &x[(first + i) * per_image..][..per_image], space, i);
                }
                shared.last(level, &alone, images, space);
                // SAFETY: `features` has a row per image of the batch, as was checked; those of group `g` are this task's.
                let rows = unsafe { out.slice(g * all, images * spec.features()) };
                let y = space.stages[3][0]
                    .as_ref()
                    .chunks_exact(shared.shapes[3].image);
                for (row, y) in rows.chunks_exact_mut(spec.features()).zip(y) {
                    reorder::average(&shared.shapes[3], spec.windows(), y, row);
                }
            }
        });
        evaluation.spaces = spaces;
        self.evaluation = Some(evaluation);
    }
}
