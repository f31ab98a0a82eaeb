//! Markdown, as GitHub and most others render tables.

use std::fmt::Write as _;

use super::tables::tables;
use crate::report::format::FormatSpec;
use crate::report::grid::{Grid, Row};

/// `markdown`.
pub static MARKDOWN: FormatSpec = FormatSpec {
    name: "markdown",
    description: "Tables for a README or an issue",
    whole: true,
    reads_collected: false,
    ending: "md",
    write: |report, _| {
        let text = render(&tables(report));
        Ok(if text.is_empty() {
            "No runs.\n".to_string()
        } else {
            text
        })
    },
};

/// A cell: nothing in it ends the cell, the row, or becomes markup.
pub(in crate::report) fn cell(text: &str) -> String {
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

/// A row of cells that are Markdown already.
pub(in crate::report) fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn render(grids: &[Grid]) -> String {
    let mut text = String::new();
    for grid in grids {
        if !text.is_empty() {
            text.push('\n');
        }
        let columns = grid.header.len();
        let _ = writeln!(text, "## {}\n", cell(&grid.title));
        text.push_str(&line(grid.header.iter().map(|name| cell(name))));
        let rule = |i: usize| if i < grid.words { "---" } else { "---:" };
        text.push_str(&line((0..columns).map(|i| rule(i).to_string())));
        for row in &grid.rows {
            text.push_str(&match row {
                Row::Cells(cells) => line(cells.iter().map(|value| cell(value))),
                Row::Heading(heading) => {
                    let rest = std::iter::repeat_n(String::new(), columns.saturating_sub(1));
                    line(std::iter::once(format!("**{}**", cell(heading))).chain(rest))
                }
            });
        }
        if !grid.notes.is_empty() {
            text.push('\n');
        }
        for note in &grid.notes {
            let _ = writeln!(text, "- {}", cell(note));
        }
    }
    text
}
