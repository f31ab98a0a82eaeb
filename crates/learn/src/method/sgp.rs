//! SGP: scaled gradient projection (Saha, Roy; AAAI 2023).
//!
//! GPM whose subspaces are left a little way: of a direction of the basis only a share λ is taken out of the gradient, by its
//! importance (eq. 2),
//!
//! ```text
//! λ_i = (α + 1) σ_i / (α σ_i + max σ);      G ← G − G M diag(λ) Mᵀ
//! ```
//!
//! where σ are singular values of the layer's inputs. At the end of a later task, the length of the inputs along an old direction
//! stands for its singular value; the importance by it, and by the new directions' singular values, is added to what the old
//! ones had, up to 1.
//!
//! Departures and readings: those of [GPM](super::Gpm), and
//! 1. α, which the released code calls `scale_coff`, is [`SgpConfig::sgp_scale`]: 10, as there for CIFAR-100. The larger it is, the
//!    nearer SGP is to GPM.
//! 2. The released code decomposes the inputs' part in the old subspace and sums over its singular vectors; the sum is the inputs'
//!    squared length along the direction, which is computed as such.

use super::gpm::{PASSES, projects};
use super::subspace::{Rule, Subspaces};
use super::{Method, MethodContext, MethodSpec, Step, TaskEnd, batch_gradient};
use crate::model::{Learner, LearnerError};
use crate::optim::{Layout, State};
use crate::settings::{RealRange, SettingsSpec, fixed, typed};
use crate::stream::Task;

crate::settings! {
    /// SGP's settings.
    pub struct SgpConfig {
        /// Training examples of a task that the layers' inputs are taken of.
        gpm_samples: usize as super::subspace::GPM_SAMPLES;
        /// Share of the inputs' energy that the subspace holds after the first task.
        gpm_threshold: f64 as super::subspace::GPM_THRESHOLD;
        /// By how much it grows from task to task.
        gpm_step: f64 as super::subspace::GPM_STEP;
        /// SGP's α: how fast a direction's importance grows with its singular value.
        sgp_scale: f64 = fixed(10.0), range RealRange::FROM_ZERO;
    }
}

/// Scaled gradient projection.
pub(super) static SGP: MethodSpec = MethodSpec {
    name: "sgp",
    paper_name: "SGP",
    description: "Scaled gradient projection: GPM that takes out of a step what is important to earlier tasks.",
    source: "Saha and Roy, AAAI 2023",
    settings: SettingsSpec::of::<SgpConfig>("sgp"),
    remembers_tasks: true,
    closed_form: false,
    weights: &[],
    passes: |_| PASSES,
    build: |own, context| Ok(Box::new(Sgp::new(typed::<SgpConfig>(own)?, context))),
};

/// The method.
#[derive(Clone, Debug)]
pub struct Sgp {
    subspaces: Subspaces,
}

impl Sgp {
    /// SGP before any task.
    #[must_use]
    pub fn new(config: &SgpConfig, context: &MethodContext) -> Self {
        let rule = Rule {
            samples: config.gpm_samples,
            threshold: config.gpm_threshold,
            step: config.gpm_step,
            scale: Some(config.sgp_scale),
            scenario: context.scenario,
            seeds: context.seeds,
        };
        Self {
            subspaces: Subspaces::new(rule),
        }
    }
}

impl Method for Sgp {
    projects!("sgp");
}
