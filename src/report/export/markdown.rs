//! Markdown, as GitHub and most others render tables.

use std::fmt::Write as _;

use super::Exporter;
use super::grid::grids;
use crate::report::summary::Report;

/// Headings, pipe tables and lists of notes.
#[derive(Clone, Copy, Debug)]
pub struct Markdown;

/// A cell: nothing in it ends the cell, the row, or becomes markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => cell.push(' '),
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' | ']' => {
                cell.push('\\');
                cell.push(c);
            }
            c => cell.push(c),
        }
    }
    cell
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

impl Exporter for Markdown {
    fn export(&self, report: &Report) -> String {
        let mut text = String::new();
        for grid in grids(report) {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "## {}\n", grid.title);
            text.push_str(&line(grid.header.iter().map(|name| cell(name))));
            let rule = |i: usize| if i < grid.words { "---" } else { "---:" };
            text.push_str(&line((0..grid.header.len()).map(|i| rule(i).to_string())));
            for row in &grid.rows {
                text.push_str(&line(row.iter().map(|value| cell(value))));
            }
            if !grid.notes.is_empty() {
                text.push('\n');
            }
            for note in &grid.notes {
                let _ = writeln!(text, "- {}", cell(note));
            }
        }
        if text.is_empty() {
            text.push_str("No runs.\n");
        }
        text
    }
}
