//! TAG's correlations by parameter tensor and task.

use super::alpha::{NO_ALPHA, of_group, shared};
use super::data::{Data, count, marks, sentences};
use super::heat_map::{HeatMap, named, side, task_labels};
use super::label::file_name;
use super::scene::Figure;
use super::spec::{PlotError, PlotSpec};
use super::stats::{mean_alpha, past_mean};

/// `alpha-layers`.
pub(super) static ALPHA_LAYERS: PlotSpec = PlotSpec {
    name: "alpha-layers",
    description: "mean α over the past tasks, by parameter tensor and task",
    paper: "Figures 2, 3, 6-9",
    of_one_group: true,
    lacking: NO_ALPHA,
    draw: by_layer,
};

/// For each group with α: the mean over past tasks, by tensor and task.
fn by_layer(data: &Data<'_>) -> Result<Vec<Figure>, PlotError> {
    let mut figures = Vec::new();
    for entry in data.streams.iter().flatten() {
        let runs = of_group(data, entry)?;
        if runs.is_empty() {
            continue;
        }
        let (_, tensors) = mean_alpha(&runs);
        let rows: Vec<(String, Vec<f64>)> = tensors
            .into_iter()
            .map(|(name, table)| (name, past_mean(&table)))
            .filter(|(_, row)| !row.is_empty())
            .collect();
        let columns = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
        if columns == 0 {
            continue;
        }
        // Room for the title of the colours beside few tensors.
        let height = (220.0 / rows.len().max(1) as f64).clamp(14.0, 28.0);
        let mean_of =
            |(name, row): &(String, Vec<f64>)| Some((name.clone(), super::stats::mean(row)?));
        let mut means: Vec<(String, f64)> = rows.iter().filter_map(mean_of).collect();
        means.sort_by(|a, b| b.1.total_cmp(&a.1));
        let ends = match (means.first(), means.last()) {
            (Some((a, x)), Some((b, y))) => {
                format!("highest mean: {a}, {x:.2}; lowest: {b}, {y:.2}")
            }
            _ => String::new(),
        };
        figures.push(
            HeatMap {
                group: entry.number,
                name: file_name(&format!(
                    "alpha-layers-{}-{}",
                    entry.benchmark(),
                    entry.label
                )),
                title: format!("α by layer: {}, {}", entry.label, entry.stream),
                note: sentences(&[
                    &format!(
                        "Mean over the past tasks τ < t and the steps of task t; {}",
                        count(&[entry])
                    ),
                    &shared(&runs),
                    &marks(&[entry]),
                ]),
                description: format!(
                    "Heat map of TAG's correlation by parameter tensor and task; {ends}."
                ),
                x_title: "present task t",
                y_title: "parameter tensor",
                colour_title: "mean α(t, τ), logarithmic",
                row_labels: rows.iter().map(|(name, _)| name.clone()).collect(),
                row_names: rows.iter().map(|(name, _)| name.clone()).collect(),
                rows: rows
                    .into_iter()
                    .map(|(_, row)| row.into_iter().map(Some).collect())
                    .collect(),
                grey: |_, _| false,
                column_labels: task_labels(columns + 1).into_iter().skip(1).collect(),
                column_names: named("t =", columns + 1).into_iter().skip(1).collect(),
                cell: (side(columns).max(22.0), height),
                painted: None,
                digits: 3,
                log: true,
            }
            .figure(),
        );
    }
    Ok(figures)
}
