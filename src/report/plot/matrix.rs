//! The accuracy matrix: accuracy on every task after every task.

use super::curves::ONLY_FINAL;
use super::data::{Data, count, marks, sentences};
use super::heat_map::{HeatMap, named, side, task_labels};
use super::label::file_name;
use super::scene::Figure;
use super::spec::PlotSpec;
use super::stats::over_tables;

/// `matrix`.
pub(super) static MATRIX: PlotSpec = PlotSpec {
    name: "matrix",
    description: "accuracy on every task after every task, a heat map a group",
    paper: "",
    of_one_group: true,
    lacking: ONLY_FINAL,
    draw: |data| Ok(matrices(data)),
};

/// One heat map a group.
fn matrices(data: &Data<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for entry in data.streams.iter().flatten() {
        let members = data.members(entry);
        if members
            .iter()
            .any(|run| run.accuracy_matrix.is_only_final())
        {
            continue;
        }
        let tables: Vec<&[Vec<f64>]> = members
            .iter()
            .map(|run| run.accuracy_matrix.rows())
            .collect();
        let table = over_tables(&tables);
        let tasks = table.len();
        if tasks == 0 {
            continue;
        }
        let accuracy = entry.group.average_accuracy.mean;
        let side = side(tasks);
        figures.push(
            HeatMap {
                group: entry.number,
                name: file_name(&format!("matrix-{}-{}", entry.benchmark(), entry.label)),
                title: format!("{}: {}", entry.label, entry.stream),
                note: sentences(&[
                    &format!("Accuracy on each task after each task; mean, {}", count(&[entry])),
                    &marks(&[entry]),
                ]),
                description: format!(
                    "Heat map of accuracy in percent. Mean of the last row, the average accuracy: {accuracy:.1}."
                ),
                x_title: "accuracy on task",
                y_title: "after training task",
                colour_title: "accuracy (%)",
                rows: table.iter().map(|row| row.iter().map(|p| Some(p.mean)).collect()).collect(),
                grey: |_, _| false,
                row_labels: task_labels(tasks),
                column_labels: task_labels(tasks),
                row_names: named("after task", tasks),
                column_names: named("on task", tasks),
                cell: (side, side),
                painted: (tasks <= 20).then_some(0),
                digits: 1,
                log: false,
            }
            .figure(),
        );
    }
    figures
}
