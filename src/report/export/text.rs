//! Tables for a terminal.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::Exporter;
use super::grid::grids;
use crate::report::summary::Report;

/// Plain text with aligned columns.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Exporter for Text {
    fn export(&self, report: &Report) -> String {
        let mut text = String::new();
        for grid in grids(report) {
            let mut table = Table::new();
            table.load_style(presets::ASCII_MARKDOWN);
            table.set_header(&grid.header);
            for row in &grid.rows {
                table.add_row(row.iter().enumerate().map(|(i, cell)| {
                    let side = if i < grid.words {
                        CellAlignment::Left
                    } else {
                        CellAlignment::Right
                    };
                    Cell::new(cell).set_alignment(side)
                }));
            }
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "{}\n\n{table}", grid.title);
            for note in &grid.notes {
                text.push_str(note);
                text.push('\n');
            }
        }
        if text.is_empty() {
            text.push_str("no runs\n");
        }
        text
    }
}
