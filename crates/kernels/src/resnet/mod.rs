//! The trunk of the reduced ResNet-18: everything before the linear head, forward and backward.
//!
//! Stem: 3x3 convolution, batch norm, `ReLU`. Eight blocks in four stages of two; the first block of the second, third
//! and fourth stage has stride 2. Block: 3x3 convolution, `ReLU`, norm 1, plus the shortcut (1x1 convolution of the
//! same stride without a norm where the shape changes, else the input), `ReLU`, norm 2. Then average pooling over 4x4
//! windows (no padding; a remainder is dropped; images that end smaller than 4x4 are pooled whole) and flattening.
//!
//! The first two stages lie as planes, the last two channels-last (see `kernels::layout`). A [`Trunk`] owns every
//! buffer of one forward pass and is itself what that pass saves for the backward pass: a caller with several passes
//! open holds several trunks, which it takes from a [`TrunkPool`].

mod backward;
mod conv;
mod eval;
mod forward;
mod pool;
#[cfg(test)]
mod reference;
mod reorder;
mod spec;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use backward::weight_gradient;
pub(crate) use conv::Conv;
pub use pool::{PooledTrunk, TrunkPool};
pub use spec::{SpecError, TrunkSpec};
pub use state::{BatchStats, Trunk};
