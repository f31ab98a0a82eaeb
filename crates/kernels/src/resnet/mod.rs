//! The trunk of the small ResNet-18s: everything before the linear head, forward and backward.
//!
//! Stem: 3x3 convolution, batch norm, `ReLU`. Eight blocks in four stages of two; the first block of the second, third
//! and fourth stage has stride 2. A block has one 3x3 convolution or two: [`BlockKind`]. Then average pooling over 4x4
//! windows (no padding; a remainder is dropped; images that end smaller than 4x4 are pooled whole) and flattening.
//!
//! Both kinds of block are the same steps in another order: bring the input up to date, convolve it, take the moments
//! of what came out. `forward` and `backward` hold these steps and the block of one convolution; `second` what a second
//! convolution adds.
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
mod second;
mod spec;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use backward::weight_gradient;
pub(crate) use conv::Conv;
pub use pool::{PooledTrunk, TrunkPool};
pub use spec::{BlockKind, SpecError, TrunkSpec};
pub use state::{BatchStats, Trunk};
