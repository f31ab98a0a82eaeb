//! TAG's settings, and the three optimizers of its family.

use super::{BiasCorrection, Epsilon, PastMoments, Tag, TagBase, TagConfig};
use crate::settings::{
    Own, RealRange, Resolver, SettingError, SettingsSpec, Stored, WholeRange, by_profile, fixed,
    only, typed,
};
use crate::spec::Build;
use crate::{AlphaRule, AlphaScope, Layout, OptimError, Optimizer, OptimizerSpec};

crate::choices!(Epsilon { "outside" => Outside, "inside" => Inside });
crate::choices!(BiasCorrection { "per-task" => PerTask, "per-epoch" => PerEpoch });
crate::choices!(PastMoments { "f32" => F32, "bf16" => Bf16 });

const CORRELATED: &str = "alpha = cosine and alpha = gradients";

fn is_correlated(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(TagSettings::alpha())?.is_correlation())
}

crate::settings! {
    /// TAG's settings in a configuration.
    pub struct TagSettings {
        /// TAG's weight of the correlation.
        b: f64 = fixed(5.0),
            range RealRange::new(|b| (0.0..=80.0).contains(&b), "a number from 0 to 80 (e^b must be a float)"),
            only only(is_correlated, CORRELATED);
        /// TAG's rule for α: cosine (the method), one (TAG-1), age (TAG-age), gradients (TAG-G).
        alpha: AlphaRule = fixed(AlphaRule::Cosine), stored Stored::Unless("cosine");
        /// B of TAG-G: gradients of each task that make its direction.
        stored_gradients: Option<usize> = fixed(Some(1)), range WholeRange::FROM_ONE,
            only only(|r| Ok(r.get(TagSettings::alpha())? == AlphaRule::Gradients), "alpha = gradients");
        /// Over what TAG's α is taken.
        alpha_scope: AlphaScope = fixed(AlphaScope::Tensor), only only(is_correlated, CORRELATED);
        /// Where TAG adds 1e-8: outside or inside the root.
        epsilon: Epsilon = fixed(Epsilon::Outside);
        /// What TAG-Adam's step count counts: the steps of the task, or of the epoch (as released).
        bias_correction: BiasCorrection = by_profile(BiasCorrection::PerTask, BiasCorrection::PerEpoch);
        /// Precision of past tasks' moments in TAG's memory.
        past_moments: PastMoments = fixed(PastMoments::F32), stored Stored::Since("f32");
    }
}

const fn family(
    (name, paper_name, description): (&'static str, &'static str, &'static str),
    build: Build,
) -> OptimizerSpec {
    OptimizerSpec {
        name,
        paper_name,
        description,
        source: "Malviya et al., CoLLAs 2022",
        settings: SettingsSpec::of::<TagSettings>("tag"),
        remembers_tasks: true,
        bytes_per_parameter,
        build,
    }
}

/// TAG over RMSProp.
pub(crate) static TAG_RMSPROP: OptimizerSpec = family(
    (
        "tag-rmsprop",
        "TAG-RMSProp",
        "TAG with RMSProp's second moment: the paper's main method.",
    ),
    |own, layout| build(TagBase::RmsProp, own, layout),
);

/// TAG over Adagrad.
pub(crate) static TAG_ADAGRAD: OptimizerSpec = family(
    (
        "tag-adagrad",
        "TAG-Adagrad",
        "TAG with Adagrad's accumulated squares.",
    ),
    |own, layout| build(TagBase::Adagrad, own, layout),
);

/// TAG over Adam.
pub(crate) static TAG_ADAM: OptimizerSpec = family(
    (
        "tag-adam",
        "TAG-Adam",
        "TAG with Adam's moments and bias correction.",
    ),
    |own, layout| build(TagBase::Adam, own, layout),
);

/// A second moment for every finished task, and a direction where the rule for α compares directions.
fn bytes_per_parameter(own: &Own, tasks: usize) -> usize {
    own.get::<TagSettings>().map_or(0, |tag| {
        let vectors = 1 + usize::from(tag.alpha.is_correlation());
        vectors * tasks * tag.past_moments.bytes()
    })
}

fn build(base: TagBase, own: &Own, layout: &Layout) -> Result<Box<dyn Optimizer>, OptimError> {
    let config = typed::<TagSettings>(own)?.config(base);
    Ok(Box::new(Tag::new(config, layout.clone())?))
}

impl TagSettings {
    /// The optimizer's own configuration over this base.
    #[must_use]
    pub fn config(&self, base: TagBase) -> TagConfig {
        TagConfig {
            base,
            b: self.b,
            alpha: self.alpha,
            stored_gradients: self.stored_gradients.unwrap_or(1),
            scope: self.alpha_scope,
            epsilon: self.epsilon,
            bias_correction: self.bias_correction,
            past_moments: self.past_moments,
        }
    }
}
