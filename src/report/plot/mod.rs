//! Plots of results, as SVG, PDF and PNG.
//!
//! Owns the kinds of plot ([`PLOTS`]), a file each, and that everything is drawn from runs and their groups; groups on
//! the same stream of tasks stand in one plot, others in plots of their own. What a plot needs and the results lack is an
//! error that says so. `docs/reports.md` has the table of the kinds.

mod alpha;
mod alpha_layers;
mod anytime;
mod axis;
mod bars;
mod by_task;
mod colour;
mod cost;
mod curves;
mod data;
mod font;
mod forgetting;
mod heat_map;
mod label;
mod layout;
mod matrix;
mod painter;
mod pdf;
mod png;
mod scene;
mod sensitivity;
mod spec;
mod stats;
mod svg;

pub(super) use data::labels;
pub(super) use font::files as font_files;
pub use scene::Figure;
pub use spec::{PlotError, PlotSpec};

use super::group::Group;
use super::load::Run;

/// All kinds of plot, in the order in which they are drawn and listed.
pub static PLOTS: &[&PlotSpec] = &[
    &curves::CURVES,
    &anytime::ANYTIME,
    &matrix::MATRIX,
    &forgetting::FORGETTING,
    &alpha::ALPHA,
    &alpha_layers::ALPHA_LAYERS,
    &bars::BARS,
    &cost::COST,
    &sensitivity::SENSITIVITY,
];

/// Draws all plots of a kind.
///
/// # Errors
/// [`PlotError::Lacking`] where no group has what the plot shows, [`PlotError::Alpha`] for unreadable results.
pub fn plots(kind: &PlotSpec, runs: &[Run], groups: &[Group]) -> Result<Vec<Figure>, PlotError> {
    let lacking = |lacking: &str| PlotError::Lacking {
        kind: kind.name,
        lacking: lacking.to_string(),
    };
    if groups.is_empty() {
        return Err(lacking(
            "there are no finished runs; loosen the filters or wait for a result.json",
        ));
    }
    let figures = (kind.draw)(&data::Data::new(runs, groups))?;
    if figures.is_empty() {
        return Err(lacking(kind.lacking));
    }
    Ok(unique_names(figures))
}

/// Numbers names that would be the same file.
fn unique_names(mut figures: Vec<Figure>) -> Vec<Figure> {
    let mut seen = std::collections::HashMap::new();
    for figure in &mut figures {
        let count = seen.entry(figure.name.clone()).or_insert(0_usize);
        *count += 1;
        if *count > 1 {
            figure.name = format!("{}-{count}", figure.name);
        }
    }
    figures
}

#[cfg(test)]
mod tests;
