//! Continual learning with TAG (Task-based Accumulated Gradients), its baselines and benchmarks.
//!
//! A network learns tasks 1..T one after another and forgets; TAG weighs, at every step, the second moments that
//! earlier tasks left behind by how much each of them agrees with the present one, so that directions which would
//! hurt what is known move less. This crate is the optimizer, for any [Burn](https://burn.dev) module, and everything
//! around it: data sets, streams of tasks, networks, metrics, and the runs, reports and the program `tagcl`.
//!
//! # Quick start
//!
//! TAG in a training loop of your own. The same three calls, [`begin_task`], [`step`] and [`end_task`], serve every
//! optimizer of [`optim`]:
//!
//! ```
//! use burn::optim::GradientsParams;
//! use burn::tensor::{Device, Tensor};
//! use tagcl::model::{Dropout, MlpConfig, Network, head::task_loss};
//! use tagcl::optim::{ModuleOptimizer, Tag, TagConfig, layout_of};
//! use tagcl::seed::Seeds;
//! use tagcl::stream::Classes;
//!
//! let device = Device::flex().autodiff();
//! let config = MlpConfig { inputs: 4, hidden: 16, classes: 4 }; // two tasks of two classes
//! let mut model = config.init(&mut Seeds::new(1).stream("init"), &device);
//! let mut optimizer = ModuleOptimizer::new(Box::new(Tag::new(TagConfig::default(), layout_of(&model))?));
//!
//! for task in 0..2 {
//!     optimizer.begin_task();
//!     for _ in 0..20 {
//!         let images = Tensor::<4>::from_data([[[[1.0, 0.0, 0.0, 0.5]]], [[[0.0, 1.0, 0.5, 0.0]]]], &device);
//!         let logits = model.forward(images, &mut Dropout::off());
//!         let labels = [2 * task, 2 * task + 1];
//!         let own = Classes::from(2 * task..2 * task + 2); // only this task's classes compete
//!         let loss = task_loss(logits, &labels, &[own.clone(), own]);
//!         let gradients = GradientsParams::from_grads(loss.backward(), &model);
//!         model = optimizer.step(1e-3, model, gradients)?;
//!     }
//!     optimizer.end_task();
//! }
//! assert_eq!(optimizer.alpha().map(|a| a.tasks()), Some(2)); // α(t,τ), recorded on the way
//! # Ok::<(), tagcl::optim::OptimError>(())
//! ```
//!
//! [`begin_task`]: optim::ModuleOptimizer::begin_task
//! [`step`]: optim::ModuleOptimizer::step
//! [`end_task`]: optim::ModuleOptimizer::end_task
//!
//! # Layers
//!
//! Each builds on those before it: [`seed`], [`data`] (bytes become images), [`stream`] (images become tasks),
//! [`optim`] (gradients become updates; knows nothing of the others), [`model`] (networks), [`method`] (batches become
//! gradients), [`metrics`]; then [`experiment`], [`report`] and [`cli`]. [`kernels`] has the hand-written CPU code. All but the
//! last three are crates of their own: a training loop of one's own needs `tagcl-optim` and nothing else.

pub mod cli;
pub mod experiment;
#[cfg(test)]
mod fuzzing;
pub mod report;

pub use tagcl_kernels as kernels;
pub use tagcl_learn::{data, files, method, metrics, model, seed, stream};
pub use tagcl_optim as optim;
pub use tagcl_settings as settings;

use tagcl_settings::{by_name, choices, settings};
