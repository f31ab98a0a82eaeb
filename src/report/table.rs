//! The summary as a table for a terminal.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::names::optimizer;
use super::{Group, Spread};
use crate::settings::Named as _;

fn pair(spread: Spread, digits: usize) -> String {
    format!("{:.digits$} ± {:.digits$}", spread.mean, spread.std)
}

fn pair_or_dash(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| "–".to_string(), |spread| pair(spread, digits))
}

/// One row a group; what limits comparison stands below.
#[must_use]
pub fn text_table(groups: &[Group]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "benchmark",
        "method",
        "optimizer",
        "lr",
        "n",
        "accuracy %",
        "forgetting",
        "learning acc. %",
        "s/run",
    ]);
    let mut marks: Vec<String> = Vec::new();
    for group in groups {
        let config = &group.config;
        let mut benchmark = config.benchmark.name().to_string();
        for mark in &group.marks {
            let number = marks.iter().position(|m| m == mark).unwrap_or_else(|| {
                marks.push(mark.clone());
                marks.len() - 1
            });
            let _ = write!(benchmark, " [{}]", number + 1);
        }
        let figures = [
            config.lr.to_string(),
            group.n.to_string(),
            pair(group.average_accuracy, 2),
            pair_or_dash(group.forgetting, 3),
            pair_or_dash(group.learning_accuracy, 2),
            format!("{:.1}", group.wall_s.mean),
        ];
        let names = [
            benchmark,
            config.method.name().to_string(),
            optimizer(config, &[]),
        ];
        let names = names.into_iter().map(Cell::new);
        let figures = figures
            .into_iter()
            .map(|f| Cell::new(f).set_alignment(CellAlignment::Right));
        table.add_row(names.chain(figures));
    }
    let mut text = table.to_string();
    text.push_str("\nmean ± population std over n seeds; forgetting is a fraction, highest earlier accuracy minus final\n");
    for (i, mark) in marks.iter().enumerate() {
        let _ = writeln!(text, "[{}] {mark}", i + 1);
    }
    text
}
