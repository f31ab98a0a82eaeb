//! CPU kernels written by hand: the only crate with `unsafe` code.
//!
//! * [`resnet`]: forward and backward pass of the whole trunk of a ResNet-18, small or full, with its own bordered buffers;
//! * [`cnn`]: the convolutional part of plain networks: convolutions with bias, ReLU, dropout and max pooling;
//! * [`tag`]: TAG's update, fused over the whole model, whose past may be stored in half precision ([`past`]);
//! * [`dense`]: fully connected layers with ReLU;
//! * [`head`]: the linear head, of whose logits a part may be asked for;
//! * [`extension`]: the trunk as an operation of Burn, for networks and training loops written with Burn;
//! * [`Loop`]: loops of plain Rust, compiled for the instructions that the machine has;
//! * [`standard_output`]: no kernel, but unsafe: whether the program was started without one.
//!
//! Everything but the last three works on plain slices and knows nothing of tensors, and all of it gives the same bits for any
//! number of threads. What is unsafe is kept to two kinds: vector instructions on addresses inside buffers whose layout
//! `layout` defines, and tasks of one job writing disjoint parts of a buffer (`workers`). What other crates can call is safe:
//! lengths are checked, a [`Level`] is the proof that the machine has the instructions, and [`Workers`] refuse a job from
//! within a job. `docs/unsafe.md` goes through the unsafe code file by file.

#![allow(
    unsafe_code,
    reason = "vector instructions, and tasks that write disjoint parts of a buffer"
)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![allow(
    clippy::inline_always,
    reason = "a kernel must be inlined into the function that enables its instruction set"
)]

pub mod cnn;
mod conv_channels;
mod conv_pixels;
pub mod dense;
#[cfg(feature = "burn")]
pub mod extension;
mod grad_channels;
mod grad_pixels;
pub mod head;
mod layout;
mod loops;
mod norm;
mod norm_grad;
pub mod past;
#[cfg(feature = "kernel-profile")]
pub mod profile;
#[cfg(not(feature = "kernel-profile"))]
mod profile;
pub mod resnet;
mod simd;
pub mod standard_output;
pub mod tag;
#[cfg(test)]
mod testing;
mod transpose;
mod winograd;
mod workers;

pub use loops::Loop;
pub use simd::{Level, LevelError};
pub use workers::Workers;
