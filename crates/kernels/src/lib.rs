//! CPU kernels written by hand: the only crate with `unsafe` code.
//!
//! * [`resnet`]: forward and backward pass of the whole trunk of the reduced ResNet-18, with its own bordered buffers;
//! * [`tag`]: TAG's update, fused over the whole model, whose past may be stored in half precision ([`past`]);
//! * [`dense`]: fully connected layers with ReLU;
//! * [`head`]: the linear head, of whose logits a part may be asked for;
//! * [`convolution`] and [`batch_norm`]: single layers on dense images;
//! * [`extension`] and [`layers`]: the trunk and single layers as operations of Burn, for networks and training loops
//!   written with Burn.
//!
//! Everything but the last two works on plain slices and knows nothing of tensors, and all of it gives the same bits for any number of threads.
//! What is unsafe is kept to two kinds: vector instructions on addresses inside buffers whose layout `layout`
//! defines, and tasks of one job writing disjoint parts of a buffer (`workers`). The functions other modules can
//! call are safe and check the lengths they are given.

#![allow(
    unsafe_code,
    reason = "vector instructions, and tasks that write disjoint parts of a buffer"
)]
#![allow(
    clippy::inline_always,
    reason = "a kernel must be inlined into the function that enables its instruction set"
)]

pub mod batch_norm;
mod conv_channels;
mod conv_pixels;
pub mod convolution;
pub mod dense;
pub mod extension;
mod grad_channels;
mod grad_pixels;
pub mod head;
pub mod layers;
mod layout;
mod norm;
mod norm_grad;
pub mod past;
#[cfg(feature = "kernel-profile")]
pub mod profile;
#[cfg(not(feature = "kernel-profile"))]
mod profile;
pub mod resnet;
mod simd;
pub mod tag;
#[cfg(test)]
mod testing;
mod transpose;
mod workers;

pub use simd::Level;
pub use workers::Workers;
