//! Streams: image sets become a sequence of tasks 1..T.
//!
//! Owns which images and classes a task has, in which order tasks come, and how a batch is made. Images stay bytes in
//! memory, shared by all tasks and all runs of a process; a task is a list of indices, a label map and perhaps a pixel
//! map (rotation, permutation), applied when a batch becomes floats.

mod classes;
mod pixel_map;
mod samples;
mod scenario;
mod task;

pub use classes::Classes;
pub use pixel_map::{PixelMap, gem_angles, released_angles, rotation_step, stable_sgd_angles};
pub use samples::{Batch, Samples, Scaling};
pub use scenario::{Protocol, Scenario, TrainingClasses};
pub use task::{
    Angles, ClassOrder, StreamError, StreamKind, StreamSeeds, StreamSpec, Task, TaskStream,
};
