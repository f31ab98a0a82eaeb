//! What was published for the settings of a group, for plots and pages that show both.

use crate::experiment::paper::published::{Agreement, Quantity, matching};
use crate::experiment::plan::config::RunConfig;

/// A published figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Beside {
    pub(super) mean: f64,
    /// Population standard deviation over the runs, where it is known.
    pub(super) std: Option<f64>,
    pub(super) n: usize,
    /// Where it stands.
    pub(super) source: String,
}

/// The figure that was published for exactly these settings, in force when it was made.
pub(super) fn published(config: &RunConfig, quantity: Quantity) -> Option<Beside> {
    let mut rows = matching(config).into_iter();
    let (row, _) = rows.find(|(_, agreement)| *agreement == Agreement::InForce)?;
    let (mean, std, n) = row.values(quantity)?.summary()?;
    Some(Beside {
        mean,
        std,
        n,
        source: row.source(),
    })
}
