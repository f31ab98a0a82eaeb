//! The second convolution of a block, forward and backward, and the norms around it.
//!
//! It has the shape of its stage on both sides and no shortcut of its own: what is particular is where its gradients
//! go. That of its input has a buffer to itself, since the gradient of the block's output is still needed for the
//! shortcut when the first convolution's turn comes.

use super::backward::{ConvPass as BackwardPass, Earlier, Own};
use super::conv::PackedMemory;
use super::forward::{ConvPass, Pending, weight_and_bias};
use super::spec::BlockSpec;
use super::state::{Block, Stage, Statistics, Trunk};
use crate::profile::timed;
use crate::workers::Shareable;

/// A block with its place and the memory for its packed weights.
type OfBlock<'a> = (BlockSpec, &'a mut Block, &'a mut PackedMemory);

impl Trunk {
    /// After the first convolution: the statistics of the shortcut's norm, and the second convolution up to the moments of
    /// what it makes, which go to the stage's parts.
    pub(super) fn second(
        &self,
        (stage, parts): (&Stage, Shareable),
        (b, block, packed): OfBlock<'_>,
        params: &[&[f32]],
        statistics: &mut Statistics<'_>,
    ) {
        let (Some(second), Some(weights)) = (&mut block.second, b.second) else {
            return;
        };
        if let (Some((norm, _)), Some(weight)) = (&mut second.shortcut, b.shortcut_norm) {
            timed(b.stage, "fwd moments", || {
                let of_shortcut = (stage.shortcut_parts.as_ref(), stage.shape.grid.pixels());
                let affine = weight_and_bias(params, weight);
                statistics.set(b.norm + 2, norm, of_shortcut, affine);
            });
        }
        second.conv.exchange(packed);
        timed(b.stage, "fwd pack", || {
            second.conv.pack_forward(params[weights]);
        });
        let r = block.r2.shareable();
        let pass = ConvPass {
            workers: &self.workers,
            level: self.level,
            n: self.spec.batch,
            b,
            stage,
            conv: &second.conv,
            shortcut: None,
            input: None,
            r,
            projection: r,
            parts,
            shortcut_parts: None,
            pending: Pending {
                shape: &stage.shape,
                strips: stage.strips(),
                norm: Some((&block.norms[0], &block.r1)),
                dropout: None,
                relu: true,
                shortcut: None,
                y: second.x.shareable(),
            },
        };
        pass.run();
        second.conv.exchange(packed);
    }

    /// From the gradient of the block's output and the sums of its last norms to the gradient of what the second
    /// convolution reads, with the norm that made it ready for its input's gradient.
    pub(super) fn second_gradient(
        &self,
        stage: &Stage,
        (b, block, packed): OfBlock<'_>,
        ((d, parts, shortcut_parts), dc, d_second): (Own, Shareable, Shareable),
        params: &[&[f32]],
        grads: &mut [&mut [f32]],
    ) {
        let (Some(second), Some(weights)) = (&mut block.second, b.second) else {
            return;
        };
        let pixels = stage.shape.grid.pixels();
        let [norm1, norm2] = &mut block.norms;
        timed(b.stage, "bwd moments", || {
            let (weight, bias) = of_norm(grads, b.norms[1]);
            norm2.set_gradient(stage.parts.as_ref(), pixels, weight, bias);
            if let (Some((norm, _)), Some(weight)) = (&mut second.shortcut, b.shortcut_norm) {
                let (weight, bias) = of_norm(grads, weight);
                norm.set_gradient(stage.shortcut_parts.as_ref(), pixels, weight, bias);
            }
        });
        second.conv.exchange(packed);
        timed(b.stage, "bwd pack", || {
            second.conv.pack_backward(params[weights]);
        });
        let pass = BackwardPass {
            workers: &self.workers,
            level: self.level,
            n: self.spec.batch,
            b,
            stage,
            norm: norm2,
            dropout: None,
            r: &block.r2,
            gate: Some(&block.y),
            from: d,
            d: d_second,
            add: false,
            side: None,
            dc,
            d_input: d_second,
            x: Shareable::reading(second.x.ptr()),
            x_image: stage.shape.image,
            earlier: Earlier {
                stage,
                norm: Some((norm1, &block.r1)),
                dropout: None,
                gate: Some(&second.x),
                shortcut: None,
                d: d_second,
                parts,
                shortcut_parts,
            },
        };
        pass.run((&mut second.conv, &mut *grads[weights]), None);
        second.conv.exchange(packed);
        timed(b.stage, "bwd moments", || {
            let (weight, bias) = of_norm(grads, b.norms[0]);
            norm1.set_gradient(stage.parts.as_ref(), pixels, weight, bias);
        });
    }
}

/// The gradients of a norm's weight, which has this index, and bias.
fn of_norm<'a>(grads: &'a mut [&mut [f32]], weight: usize) -> (&'a mut [f32], &'a mut [f32]) {
    let (before, after) = grads.split_at_mut(weight + 1);
    (&mut *before[weight], &mut *after[0])
}
