//! The trunk of a ResNet-18: everything before the linear head, forward and backward.
//!
//! A stem, then eight blocks in four stages of two; the first block of the second, third and fourth stage has stride 2. A block
//! has one 3x3 convolution or two: [`BlockKind`]. Then average pooling and flattening. The stem and the pooling are those for small
//! images or those of the full network: [`Ends`]. (Small windows have no padding; a remainder is dropped; images that end
//! smaller than a window are pooled whole.)
//!
//! Both kinds of block are the same steps in another order: bring the input up to date, convolve it, take the moments
//! of what came out. `forward` and `backward` hold these steps and the block of one convolution; `second` what a second
//! convolution adds.
//!
//! Between small ends, the first two stages lie as planes, the last two channels-last (see `kernels::layout`); between large ones,
//! all lie channels-last, and `large` holds the stem. A [`Trunk`] owns every
//! buffer of one forward pass and is itself what that pass saves for the backward pass: a caller with several passes
//! open holds several trunks, which it takes from a [`TrunkPool`].

mod backward;
mod conv;
mod eval;
mod forward;
mod large;
mod pool;
#[cfg(test)]
mod reference;
mod reorder;
mod second;
mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use crate::norm::EPSILON;
pub use pool::{PooledTrunk, TrunkPool};
pub use spec::{BlockKind, Ends, SpecError, TrunkSpec};
pub use state::{BatchStats, Trunk};
