//! Continual learning on [Burn](https://burn.dev): data become streams of tasks, networks learn them, methods decide how.
//!
//! Each layer builds on those before it: [`seed`] (named random streams), [`data`] (bytes become images), [`stream`] (images
//! become tasks), [`model`] (networks), [`method`] (batches become gradients), [`metrics`]; [`files`] is how all of it is
//! written. The optimizers are those of
//! `tagcl-optim`, the CPU code is `tagcl-kernels`, and settings are declared with `tagcl-settings`.

pub mod data;
pub mod files;
pub mod method;
pub mod metrics;
pub mod model;
pub mod seed;
pub mod stream;

use tagcl_kernels as kernels;
use tagcl_optim as optim;
use tagcl_settings as settings;
use tagcl_settings::{by_name, choices, settings};
