//! The trunk's buffers: what a forward pass saves for the backward pass, and scratch.

use super::conv::{Conv, PackedMemory};
use super::large::{LargePass, LargeStem};
use super::spec::{BlockKind, BlockSpec, Ends, SpecError, TrunkSpec};
use crate::layout::{Buffer, Layout, Shape};
use crate::norm::{EPSILON, Strips, combine_moments};
use crate::norm_grad::{NormGrad, combine_sums};
use crate::simd::Level;
use crate::workers::Workers;
use std::sync::Arc;

/// What a batch norm saw in training: the caller mixes it into the running statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchStats {
    /// Mean per channel.
    pub mean: Vec<f32>,
    /// Unbiased variance per channel (of a single value, 0).
    pub variance: Vec<f32>,
}

/// Which statistics the norms of a forward pass take.
pub(crate) enum Statistics<'a> {
    /// The batch's own, which come out here: one a norm.
    Batch(&'a mut [BatchStats]),
    /// These, mean and variance a norm, which stay as they are: a norm is then affine.
    Running(&'a [(&'a [f32], &'a [f32])]),
}

impl Statistics<'_> {
    /// # Panics
    /// If there is not one a norm, or a running one has another number of channels.
    pub(crate) fn check(&self, norms: &[usize]) {
        let count = match self {
            Self::Batch(stats) => stats.len(),
            Self::Running(running) => {
                let fits = |((mean, variance), channels): (&(&[f32], &[f32]), &usize)| {
                    mean.len() == *channels && variance.len() == *channels
                };
                let fit = running.iter().zip(norms).all(fits);
                assert!(fit, "running statistics [channels]");
                running.len()
            }
        };
        assert_eq!(count, norms.len(), "statistics: one per norm");
    }

    /// Prepares the norm of this number from the parts of every image of what it normalises, as
    /// [`combine_moments`] takes them.
    pub(crate) fn set(
        &mut self,
        number: usize,
        norm: &mut Norm,
        (parts, pixels): (&[f32], usize),
        affine: (&[f32], &[f32]),
    ) {
        match self {
            Self::Batch(stats) => norm.set_batch(parts, pixels, affine, &mut stats[number]),
            Self::Running(running) => norm.set_running(running[number], affine),
        }
    }
}

/// A batch norm between two passes. All arrays have one entry per stored channel; those of channels that do not exist
/// are 0, so that their activations stay 0.
#[derive(Default)]
pub(crate) struct Norm {
    channels: usize,
    /// Whether the statistics are running ones, on which the input has no influence.
    frozen: bool,
    /// `y = a r + b`.
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    /// Normalised input `inv * r + shift`.
    pub inv: Vec<f32>,
    pub shift: Vec<f32>,
    /// Gradient of the input `ka dy + kb r + kc`.
    pub ka: Vec<f32>,
    pub kb: Vec<f32>,
    pub kc: Vec<f32>,
}

impl Norm {
    pub(crate) fn new(shape: &Shape) -> Self {
        let zeros = || vec![0.0; shape.stored];
        Self {
            channels: shape.channels,
            frozen: false,
            a: zeros(),
            b: zeros(),
            inv: zeros(),
            shift: zeros(),
            ka: zeros(),
            kb: zeros(),
            kc: zeros(),
        }
    }

    fn set(&mut self, c: usize, mean: f64, variance: f64, weight: f32, bias: f32) {
        let inv = 1.0 / (variance + EPSILON).sqrt();
        let a = f64::from(weight) * inv;
        self.a[c] = a as f32;
        self.b[c] = (f64::from(bias) - a * mean) as f32;
        self.inv[c] = inv as f32;
        self.shift[c] = (-mean * inv) as f32;
    }

    /// Takes the statistics of the batch from every image's parts.
    pub(crate) fn set_batch(
        &mut self,
        parts: &[f32],
        pixels: usize,
        (weight, bias): (&[f32], &[f32]),
        stats: &mut BatchStats,
    ) {
        self.frozen = false;
        let stored = self.a.len();
        let count = (parts.len() / (2 * stored) * pixels) as f64;
        stats.mean.resize(self.channels, 0.0);
        stats.variance.resize(self.channels, 0.0);
        for c in 0..self.channels {
            let (mean, variance) = combine_moments(parts, stored, pixels, c);
            self.set(c, mean, variance, weight[c], bias[c]);
            stats.mean[c] = mean as f32;
            stats.variance[c] = (variance * count / (count - 1.0).max(1.0)) as f32;
        }
    }

    /// Takes running statistics.
    pub(crate) fn set_running(
        &mut self,
        (mean, variance): (&[f32], &[f32]),
        (weight, bias): (&[f32], &[f32]),
    ) {
        self.frozen = true;
        for c in 0..self.channels {
            self.set(
                c,
                f64::from(mean[c]),
                f64::from(variance[c]),
                weight[c],
                bias[c],
            );
        }
    }

    /// Takes the sums over the batch: writes the gradients of weight and bias and prepares that of the input.
    pub(crate) fn set_gradient(
        &mut self,
        parts: &[f32],
        pixels: usize,
        d_weight: &mut [f32],
        d_bias: &mut [f32],
    ) {
        let stored = self.a.len();
        let count = (parts.len() / (2 * stored) * pixels) as f64;
        for c in 0..self.channels {
            let (sum, product) = combine_sums(parts, stored, c);
            d_weight[c] = product as f32;
            d_bias[c] = sum as f32;
            self.ka[c] = self.a[c];
            if self.frozen {
                (self.kb[c], self.kc[c]) = (0.0, 0.0);
                continue;
            }
            let a = f64::from(self.a[c]);
            self.kb[c] = (-a * f64::from(self.inv[c]) * product / count) as f32;
            self.kc[c] = (-a * (sum + f64::from(self.shift[c]) * product) / count) as f32;
        }
    }
}

impl NormGrad {
    /// A norm's coefficients, without dropout.
    pub(super) fn of(norm: &Norm) -> Self {
        Self {
            inv: norm.inv.as_ptr(),
            shift: norm.shift.as_ptr(),
            ka: norm.ka.as_ptr(),
            kb: norm.kb.as_ptr(),
            kc: norm.kc.as_ptr(),
            dropout: std::ptr::null(),
        }
    }
}

/// A stage's geometry and scratch.
pub(crate) struct Stage {
    pub shape: Shape,
    pub mask: Buffer,
    /// Gradient of the current block's output, then of its sum, then of its input.
    pub d: Buffer,
    /// Images of a chunk, see [`chunk`].
    pub chunk: usize,
    /// Gradient of the current convolution's output: over planes of a chunk, channels-last of the batch.
    pub dc: Buffer,
    /// Output of the shortcut convolution in blocks of one convolution, where nothing later looks at it.
    pub projection: Buffer,
    /// Sums per image.
    pub parts: Buffer,
    /// Gradient of the input of the stage's first block, where that is not the previous stage's own layout: phases
    /// of a chunk (second stage) or channels-last of the batch (third stage).
    pub d_input: Buffer,
    /// Of blocks of two convolutions: the gradient of what the second one reads, and the sums of the shortcut's norm.
    pub d_second: Buffer,
    pub shortcut_parts: Buffer,
}

impl Stage {
    pub(crate) fn strips(&self) -> Strips<'_> {
        Strips::new(&self.shape, self.mask.as_ref())
    }
}

/// The second convolution of a block, and what belongs to it alone.
pub(crate) struct Second {
    pub conv: Conv,
    /// What it reads: the `ReLU` of norm 1.
    pub x: Buffer,
    /// The shortcut's norm and its input, where the shortcut is a convolution.
    pub shortcut: Option<(Norm, Buffer)>,
}

/// A block's convolutions and saved activations.
pub(crate) struct Block {
    pub conv: Conv,
    pub shortcut: Option<Conv>,
    pub second: Option<Second>,
    /// What norms 1 and 2 read (of one convolution, the outputs of its two `ReLU`s; of two, their outputs), and the
    /// block's output.
    pub r1: Buffer,
    pub r2: Buffer,
    pub y: Buffer,
    /// The block's input in the layout that its convolutions want, where it is not the previous block's output.
    pub input: Option<Buffer>,
    pub norms: [Norm; 2],
    /// Dropout multipliers after the norms.
    pub dropout: [Option<Buffer>; 2],
}

impl Block {
    fn new(spec: &TrunkSpec, level: Level, b: BlockSpec) -> Self {
        let (n, shape) = (spec.batch, spec.shape(b.stage));
        let (conv, shortcut) = convolutions(spec, level, b, n);
        let second = second_convolution(spec, level, b, n).map(|conv| Second {
            conv,
            x: shape.buffer(n),
            shortcut: b.projected().then(|| (Norm::new(&shape), shape.buffer(n))),
        });
        let input = match shape.layout {
            Layout::Planes if b.projected() => {
                Some(Buffer::zeros(4 * shape.grid.plane * b.cin * n))
            }
            Layout::Last if b.projected() && spec.shape(b.stage - 1).layout == Layout::Planes => {
                Some(input_shape(spec, b.stage).buffer(n))
            }
            _ => None,
        };
        Self {
            conv,
            shortcut,
            second,
            r1: shape.buffer(n),
            r2: shape.buffer(n),
            y: shape.buffer(n),
            input,
            norms: [Norm::new(&shape), Norm::new(&shape)],
            dropout: [None, None],
        }
    }

    /// Exchanges the memory of the convolutions: see [`Conv::exchange`].
    pub(crate) fn exchange(&mut self, packed: &mut [PackedMemory; 2]) {
        self.conv.exchange(&mut packed[0]);
        if let Some(shortcut) = &mut self.shortcut {
            shortcut.exchange(&mut packed[1]);
        }
    }
}

/// What a stem computes before its norm.
pub(crate) enum Body {
    Small(Box<SmallBody>),
    /// See [`super::large`].
    Large(Box<LargePass>),
}

/// A convolution, with the bordered images that it reads and what it makes of them.
pub(crate) struct SmallBody {
    pub conv: Conv,
    pub x: Buffer,
    pub r: Buffer,
}

/// The stem and its saved activations.
pub(crate) struct Stem {
    pub body: Body,
    pub norm: Norm,
    /// What the blocks read.
    pub y: Buffer,
}

impl Stem {
    fn new(spec: &TrunkSpec, level: Level) -> Self {
        let (n, first) = (spec.batch, spec.shape(0));
        let y = first.buffer(n);
        match spec.ends {
            Ends::Small => {
                let image = Shape::new(first.grid.clone(), Layout::Planes, spec.in_channels);
                let body = SmallBody {
                    conv: Conv::planes(level, spec.in_channels, &first, 9, 1, n),
                    x: image.buffer(n),
                    r: first.buffer(n),
                };
                Self {
                    body: Body::Small(Box::new(body)),
                    norm: Norm::new(&first),
                    y,
                }
            }
            Ends::Large => {
                let pass = LargePass::new(spec, level);
                Self {
                    norm: pass.norm(),
                    body: Body::Large(Box::new(pass)),
                    y,
                }
            }
        }
    }

    /// The norm that makes `y` and what it reads, where it is a block that takes it from there: a large stem is complete
    /// before its blocks begin.
    pub(super) fn pending(&self) -> Option<(&Norm, &Buffer)> {
        match &self.body {
            Body::Small(body) => Some((&self.norm, &body.r)),
            Body::Large(_) => None,
        }
    }
}

/// Everything a training pass needs.
pub(crate) struct Training {
    pub stem: Stem,
    pub stages: Vec<Stage>,
    pub blocks: Vec<Block>,
    /// For the packed weights of the present convolution and shortcut of a block.
    pub packed: [PackedMemory; 2],
    /// Whether a forward pass is waiting for its backward pass.
    pub saved: bool,
}

/// Shape of a block's input as its convolutions read it; phases are not a [`Shape`] and have the previous stage's.
pub(crate) fn input_shape(spec: &TrunkSpec, stage: usize) -> Shape {
    let previous = spec.shape(stage - 1);
    Shape::new(previous.grid, spec.shape(stage).layout, previous.channels)
}

/// The convolutions of a block for a batch.
pub(crate) fn convolutions(
    spec: &TrunkSpec,
    level: Level,
    b: BlockSpec,
    batch: usize,
) -> (Conv, Option<Conv>) {
    let y = spec.shape(b.stage);
    let make = |taps: usize| match y.layout {
        Layout::Planes => Conv::planes(level, b.cin, &y, taps, b.stride, batch),
        Layout::Last if b.projected() => Conv::last(
            level,
            &input_shape(spec, b.stage),
            &y,
            taps,
            b.stride,
            batch,
        ),
        Layout::Last => Conv::last(level, &y, &y, taps, b.stride, batch),
    };
    (make(9), b.projected().then(|| make(1)))
}

/// The second convolution of a block for a batch.
pub(crate) fn second_convolution(
    spec: &TrunkSpec,
    level: Level,
    b: BlockSpec,
    batch: usize,
) -> Option<Conv> {
    let y = spec.shape(b.stage);
    b.second?;
    Some(match y.layout {
        Layout::Planes => Conv::planes(level, b.cout, &y, 9, 1, batch),
        Layout::Last => Conv::last(level, &y, &y, 9, 1, batch),
    })
}

/// Images per chunk of the backward pass over planes.
///
/// A chunk goes through a convolution's whole backward pass (input, weights, sums of the norm before) before the next
/// one begins, so that what one step writes the next finds in the second-level cache: some five activations of about
/// 200 kB per chunk. Every thread has an image of it. Chunks do not change results: images are taken in order.
fn chunk(shape: &Shape, batch: usize, threads: usize) -> usize {
    const FLOATS: usize = 56 * 1024;
    match shape.layout {
        Layout::Planes => (FLOATS / shape.image).max(threads).clamp(1, batch),
        Layout::Last => batch,
    }
}

impl Training {
    pub(crate) fn new(spec: &TrunkSpec, level: Level, threads: usize) -> Self {
        let n = spec.batch;
        let stem = Stem::new(spec, level);
        let stages = (0..4)
            .map(|s| {
                let shape = spec.shape(s);
                let chunk = chunk(&shape, n, threads);
                let d_input = match (s, shape.layout) {
                    (0, _) => 0,
                    (_, Layout::Planes) => 4 * shape.grid.plane * spec.widths[s - 1] * chunk,
                    (_, Layout::Last) if spec.shape(s - 1).layout == Layout::Planes => {
                        input_shape(spec, s).image * n
                    }
                    _ => 0,
                };
                let two = spec.kind == BlockKind::Two;
                let if_two = |len: usize| Buffer::zeros(if two { len } else { 0 });
                Stage {
                    mask: shape.grid.mask(),
                    d: shape.buffer(n),
                    chunk,
                    dc: shape.buffer(chunk),
                    projection: if s == 0 || two {
                        Buffer::zeros(0)
                    } else {
                        shape.buffer(n)
                    },
                    parts: Buffer::zeros(n * 2 * shape.stored),
                    d_input: Buffer::zeros(d_input),
                    d_second: if_two(n * shape.image),
                    shortcut_parts: if_two(n * 2 * shape.stored),
                    shape,
                }
            })
            .collect();
        let blocks = spec.blocks().map(|b| Block::new(spec, level, b)).collect();
        Self {
            stem,
            stages,
            blocks,
            packed: [PackedMemory::new(), PackedMemory::new()],
            saved: false,
        }
    }
}

/// A block in evaluation.
pub(crate) struct EvaluatedBlock {
    pub(super) b: BlockSpec,
    pub(super) conv: Conv,
    pub(super) shortcut: Option<Conv>,
    pub(super) norms: [Norm; 2],
    /// The second convolution and, where the shortcut is a convolution, that one's norm.
    pub(super) second: Option<(Conv, Option<Norm>)>,
}

/// A stem in evaluation.
pub(crate) enum EvaluatedStem {
    Small(Conv),
    Large(LargeStem),
}

/// What all groups read.
pub(crate) struct Evaluation {
    pub(super) group: usize,
    pub(super) stem: EvaluatedStem,
    pub(super) stem_norm: Norm,
    pub(super) blocks: Vec<EvaluatedBlock>,
    pub(super) images: Shape,
    pub(super) shapes: Vec<Shape>,
    pub(super) masks: Vec<Buffer>,
    pub(super) spaces: Vec<Space>,
}

/// What one group writes: per stage two activations that take turns, the output of a convolution, and the input of the
/// stage's first block where that has a layout of its own. Stages over planes hold one image.
pub(crate) struct Space {
    pub(super) image: Buffer,
    /// Of a large stem: what its convolution makes of one image, and its winners.
    pub(super) large: [Buffer; 2],
    pub(super) stages: Vec<[Buffer; 3]>,
    pub(super) inputs: Vec<Buffer>,
}

/// The trunk with its buffers: see [`super`].
///
/// Buffers for training and for evaluation are allocated at their first use and then reused.
pub struct Trunk {
    pub(crate) spec: TrunkSpec,
    pub(crate) level: Level,
    pub(crate) workers: Arc<Workers>,
    pub(crate) training: Option<Box<Training>>,
    pub(crate) evaluation: Option<Box<Evaluation>>,
}

impl Trunk {
    /// A trunk with threads of its own and the machine's best instructions.
    ///
    /// # Errors
    /// If the spec's sizes are out of range.
    pub fn new(spec: TrunkSpec, threads: usize) -> Result<Self, SpecError> {
        Self::with(spec, Level::detect(), Arc::new(Workers::new(threads)))
    }

    /// A trunk on given threads and instructions.
    ///
    /// # Errors
    /// If the spec's sizes are out of range.
    pub(crate) fn with(
        spec: TrunkSpec,
        level: Level,
        workers: Arc<Workers>,
    ) -> Result<Self, SpecError> {
        spec.validate()?;
        Ok(Self {
            spec,
            level,
            workers,
            training: None,
            evaluation: None,
        })
    }

    /// What this trunk computes.
    #[must_use]
    pub fn spec(&self) -> &TrunkSpec {
        &self.spec
    }

    /// # Panics
    /// If the parameters are not those of the spec.
    pub(crate) fn check_parameters<T: AsRef<[f32]>>(&self, parameters: &[T], what: &str) {
        let shapes = self.spec.parameters();
        assert_eq!(parameters.len(), shapes.len(), "number of {what}");
        for (i, (p, shape)) in parameters.iter().zip(shapes).enumerate() {
            assert_eq!(
                p.as_ref().len(),
                shape.iter().product::<usize>(),
                "{what} {i} of shape {shape:?}"
            );
        }
    }
}
