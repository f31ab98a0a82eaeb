//! TAG's settings, and the three optimizers of its family.

use super::clusters::bytes_after;
use super::{
    BiasCorrection, ClusterConfig, ClusterMerge, Epsilon, PastMoments, PastScales, SketchSize, Tag,
    TagBase, TagConfig, TagMemory,
};
use crate::settings::{
    Kind, Own, RealRange, Refusal, Resolver, SettingError, SettingsSpec, Stored, Value, WholeRange,
    by_profile, computed, fixed, only, typed,
};
use crate::spec::Build;
use crate::{AlphaRule, AlphaScope, Layout, OptimError, Optimizer, OptimizerSpec};

crate::choices!(Epsilon { "outside" => Outside, "inside" => Inside });
crate::choices!(BiasCorrection { "per-task" => PerTask, "per-epoch" => PerEpoch });
crate::choices!(PastMoments { "f32" => F32, "bf16" => Bf16 });

crate::choices!(TagMemory { "exact" => Exact, "flat" => Flat, "clusters" => Clusters });
crate::choices!(ClusterMerge { "ward" => Ward, "oldest" => Oldest });

/// Which rules for α memories that do not keep every task are for.
pub(super) const MEMORY_AND_ALPHA: &str = "alpha = cosine (flat also for alpha = one)";

/// What the size of a sketch may be.
pub(super) const SKETCH_SIZES: &str = "a power of two from 1 to 1073741824, or exact";

impl Kind for SketchSize {
    type Range = ();
    fn parse(_: &'static str, text: &str, (): &()) -> Result<Self, Refusal> {
        let numbers = || text.parse().ok().and_then(Self::of);
        let found = if text == "exact" {
            Some(Self::Exact)
        } else {
            numbers()
        };
        found.ok_or(Refusal::Range)
    }
    fn words((): &()) -> String {
        SKETCH_SIZES.to_string()
    }
    fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Numbers(numbers) => Value::Whole(*numbers as u64),
            Self::Exact => Value::Text("exact".to_string()),
        })
    }
    fn stored(value: Option<&Value>, (): &()) -> Option<Self> {
        match value? {
            Value::Whole(numbers) => usize::try_from(*numbers).ok().and_then(Self::of),
            Value::Text(text) if text == "exact" => Some(Self::Exact),
            _ => None,
        }
    }
}

impl SketchSize {
    fn of(numbers: usize) -> Option<Self> {
        let fits = numbers.is_power_of_two() && numbers <= 1 << 30;
        fits.then_some(Self::Numbers(numbers))
    }
}

const CORRELATED: &str = "alpha = cosine and alpha = gradients";

fn is_correlated(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(TagSettings::alpha())?.is_correlation())
}

fn is_flat(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(TagSettings::tag_memory())? == TagMemory::Flat)
}

fn correlates_tasks(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(is_correlated(r)? && !is_flat(r)?)
}

const FLAT: &str = "tag_memory = flat";
const CLUSTERS: &str = "tag_memory = clusters";

fn has_clusters(r: &Resolver<'_>) -> Result<bool, SettingError> {
    Ok(r.get(TagSettings::tag_memory())? == TagMemory::Clusters)
}

const B: RealRange = RealRange::new(
    |b| (0.0..=80.0).contains(&b),
    "a number from 0 to 80 (e^b must be a float)",
);

const SCALE: RealRange =
    RealRange::new(|c| (0.0..=1e6).contains(&c), "a number from 0 to a million");

crate::settings! {
    /// TAG's settings in a configuration.
    pub struct TagSettings {
        /// TAG's weight of the correlation.
        b: f64 = fixed(5.0),
            range B,
            only only(is_correlated, CORRELATED);
        /// b of the present task's own weight e^-b; TAG's b unless told otherwise.
        tag_own_b: Option<f64> = fixed(None), range B, only only(is_correlated, CORRELATED);
        /// TAG's rule for α: cosine (the method), one (TAG-1), age (TAG-age), gradients (TAG-G).
        alpha: AlphaRule = fixed(AlphaRule::Cosine), stored Stored::Unless("cosine");
        /// B of TAG-G: gradients of each task that make its direction.
        stored_gradients: Option<usize> = fixed(Some(1)), range WholeRange::FROM_ONE,
            only only(|r| Ok(r.get(TagSettings::alpha())? == AlphaRule::Gradients), "alpha = gradients");
        /// Over what TAG's α is taken.
        alpha_scope: AlphaScope = fixed(AlphaScope::Tensor),
            only only(correlates_tasks, "alpha = cosine and alpha = gradients, and not for tag_memory = flat");
        /// Where TAG adds 1e-8: outside or inside the root.
        epsilon: Epsilon = fixed(Epsilon::Outside);
        /// What TAG-Adam's step count counts: the steps of the task, or of the epoch (as released).
        bias_correction: BiasCorrection = by_profile(BiasCorrection::PerTask, BiasCorrection::PerEpoch);
        /// Precision of past tasks' moments in TAG's memory; bf16 unless told otherwise with tag_memory = clusters.
        past_moments: PastMoments = computed(|r| {
                Ok(if has_clusters(r)? { PastMoments::Bf16 } else { PastMoments::F32 })
            }),
            only only(|r| Ok(!is_flat(r)?), "tag_memory = exact and tag_memory = clusters"),
            stored Stored::Since("f32");
        /// What TAG keeps of past tasks: both moments of each; one sum of second moments; or a few clusters of tasks.
        tag_memory: TagMemory = fixed(TagMemory::Exact),
            only only(|r| Ok(r.get(TagSettings::alpha())? == AlphaRule::Cosine), MEMORY_AND_ALPHA)
                .tolerating(|r, text| {
                    let alpha = r.get(TagSettings::alpha())?;
                    Ok(text == "exact" || text == "flat" && alpha == AlphaRule::One)
                }),
            stored Stored::Unless("exact");
        /// How many clusters of past tasks TAG keeps at most.
        tag_clusters: Option<usize> = fixed(Some(3)), range WholeRange::FROM_ONE, only only(has_clusters, CLUSTERS);
        /// Numbers of a tensor's direction that a cluster keeps; smaller tensors are kept as they are.
        tag_sketch: Option<SketchSize> = fixed(Some(SketchSize::Numbers(256))), only only(has_clusters, CLUSTERS);
        /// Steps from one α of the clusters to the next.
        tag_refresh: Option<usize> = fixed(Some(10)), range WholeRange::FROM_ONE, only only(has_clusters, CLUSTERS);
        /// The step of a task at which its first α is found; before it α is 1.
        tag_first_refresh: Option<usize> = fixed(Some(5)), range WholeRange::FROM_ONE, only only(has_clusters, CLUSTERS);
        /// Which clusters merge when there is one too many: the pair of the least Ward cost, or the two oldest.
        tag_merge: Option<ClusterMerge> = fixed(Some(ClusterMerge::Ward)), only only(has_clusters, CLUSTERS);
        /// Whether the bias of α by the sketch's noise is divided out.
        tag_debias: Option<bool> = fixed(Some(true)), only only(has_clusters, CLUSTERS);
        /// What the flat memory's sum is multiplied by for the gains and offsets of norms.
        tag_scale_norm: Option<f64> = fixed(Some(1.0)), range SCALE, only only(is_flat, FLAT);
        /// What the flat memory's sum is multiplied by for convolutions.
        tag_scale_convolution: Option<f64> = fixed(Some(1.0)), range SCALE, only only(is_flat, FLAT);
        /// What the flat memory's sum is multiplied by for linear layers.
        tag_scale_linear: Option<f64> = fixed(Some(1.0)), range SCALE, only only(is_flat, FLAT);
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
        state_bytes,
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

/// A second moment for every finished task, and a direction where the rule for α compares directions; or what the memory
/// makes of them.
fn state_bytes(own: &Own, layout: &Layout, tasks: usize) -> usize {
    own.get::<TagSettings>().map_or(0, |tag| {
        let vectors = 1 + usize::from(tag.alpha.is_correlation());
        match tag.tag_memory {
            TagMemory::Exact => vectors * tasks * tag.past_moments.bytes() * layout.len(),
            TagMemory::Flat => size_of::<f32>() * tasks.min(1) * layout.len(),
            // The base does not matter once a task has ended.
            TagMemory::Clusters => bytes_after(&tag.config(TagBase::RmsProp), layout, tasks),
        }
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
            own_b: self.tag_own_b,
            alpha: self.alpha,
            stored_gradients: self.stored_gradients.unwrap_or(1),
            scope: self.alpha_scope,
            epsilon: self.epsilon,
            bias_correction: self.bias_correction,
            past_moments: self.past_moments,
            memory: self.tag_memory,
            clusters: self.clusters(),
            past_scales: PastScales {
                norm: self.tag_scale_norm.unwrap_or(1.0),
                convolution: self.tag_scale_convolution.unwrap_or(1.0),
                linear: self.tag_scale_linear.unwrap_or(1.0),
            },
        }
    }

    fn clusters(&self) -> ClusterConfig {
        let usual = ClusterConfig::default();
        ClusterConfig {
            count: self.tag_clusters.unwrap_or(usual.count),
            sketch: self.tag_sketch.unwrap_or(usual.sketch),
            refresh: self.tag_refresh.unwrap_or(usual.refresh),
            first_refresh: self.tag_first_refresh.unwrap_or(usual.first_refresh),
            merge: self.tag_merge.unwrap_or(usual.merge),
            debias: self.tag_debias.unwrap_or(usual.debias),
        }
    }
}
