//! Tables for a terminal.

use std::fmt::Write as _;

use console::measure_text_width;

use super::tables::tables;
use crate::report::format::FormatSpec;
use crate::report::grid::{Grid, Row};

/// `text`.
pub static TEXT: FormatSpec = FormatSpec {
    name: "text",
    description: "Tables for a terminal",
    whole: true,
    reads_collected: false,
    ending: "txt",
    write: |report, page| {
        let text = render(&tables(report), page.width);
        Ok(if text.is_empty() {
            "no runs\n".to_string()
        } else {
            text
        })
    },
};

/// Between two columns.
const GAP: usize = 2;
/// No column is made narrower than this.
const NARROWEST: usize = 12;

/// Grids one below the other, no line wider than `width` as long as words allow.
pub(in crate::report) fn render(grids: &[Grid], width: usize) -> String {
    let mut text = String::new();
    for grid in grids {
        if !text.is_empty() {
            text.push('\n');
        }
        for line in wrap(&grid.title, width) {
            let _ = writeln!(text, "{line}");
        }
        for columns in parts(grid, width) {
            text.push('\n');
            table(grid, &columns, width, &mut text);
        }
        if !grid.notes.is_empty() {
            text.push('\n');
        }
        for line in grid.notes.iter().flat_map(|note| wrap(note, width)) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// Columns that stand side by side, each with its width.
type Part = Vec<(usize, usize)>;

/// The columns in parts that fit: the keys in all of them, every other column in one.
fn parts(grid: &Grid, width: usize) -> Vec<Part> {
    let mut widths: Vec<usize> = grid
        .header
        .iter()
        .map(|cell| measure_text_width(cell))
        .collect();
    for row in &grid.rows {
        if let Row::Cells(cells) = row {
            for (slot, cell) in widths.iter_mut().zip(cells) {
                *slot = (*slot).max(measure_text_width(cell));
            }
        }
    }
    let total = |widths: &[usize]| widths.iter().map(|w| w + GAP).sum::<usize>();
    // Room for the keys and at least one column of figures.
    let keys = grid.keys.min(widths.len());
    loop {
        let (own, others) = widths.split_at(keys);
        let needed = total(own) + others.iter().max().map_or(0, |w| w + GAP);
        let widest = (0..widths.len())
            .filter(|i| *i < keys || needed > total(own) + width / 2)
            .max_by_key(|i| widths.get(*i));
        match widest.and_then(|i| widths.get_mut(i)) {
            Some(widest) if needed > width + GAP && *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
    }
    let all: Part = widths.into_iter().enumerate().collect();
    let (own, others) = all.split_at(keys);
    let mut parts: Vec<Part> = vec![own.to_vec()];
    for (i, column) in others.iter().enumerate() {
        let used: usize = parts
            .last()
            .map_or(0, |part| part.iter().map(|(_, w)| w + GAP).sum());
        if i > 0 && used + column.1 > width {
            parts.push(own.to_vec());
        }
        if let Some(part) = parts.last_mut() {
            part.push(*column);
        }
    }
    parts
}

fn table(grid: &Grid, columns: &Part, page: usize, text: &mut String) {
    row(grid, columns, &grid.header, text);
    let rule: Vec<String> = columns
        .iter()
        .map(|(_, width)| "-".repeat(*width))
        .collect();
    let _ = writeln!(text, "{}", rule.join(&" ".repeat(GAP)));
    for line in &grid.rows {
        match line {
            Row::Heading(heading) => {
                for line in wrap(heading, page) {
                    let _ = writeln!(text, "{line}");
                }
            }
            Row::Cells(cells) => row(grid, columns, cells, text),
        }
    }
}

/// One row, of as many lines as its highest cell.
fn row(grid: &Grid, columns: &Part, cells: &[String], text: &mut String) {
    let lines: Vec<Vec<String>> = columns
        .iter()
        .map(|(i, width)| wrap(cells.get(*i).map_or("", String::as_str), *width))
        .collect();
    let height = lines.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..height {
        let mut out = String::new();
        for ((i, width), cell) in columns.iter().zip(&lines) {
            let cell = cell.get(line).map_or("", String::as_str);
            let room = " ".repeat(width.saturating_sub(measure_text_width(cell)));
            if *i < grid.words {
                let _ = write!(out, "{cell}{room}");
            } else {
                let _ = write!(out, "{room}{cell}");
            }
            out.push_str(&" ".repeat(GAP));
        }
        let _ = writeln!(text, "{}", out.trim_end());
    }
}

/// Words in lines no wider than `width`; a longer word is cut. At least one line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for mut word in text.split([' ', '\n']) {
        if !line.is_empty() && measure_text_width(&line) + 1 + measure_text_width(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        while measure_text_width(word) > width {
            let cut = word
                .char_indices()
                .nth(width)
                .map_or(word.len(), |(i, _)| i);
            let (head, tail) = word.split_at(cut);
            lines.push(head.to_string());
            word = tail;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::grid::cells;
    use proptest::prelude::*;

    fn grid(rows: Vec<Vec<String>>) -> Grid {
        Grid {
            title: "T".to_string(),
            keys: 1,
            words: 1,
            header: cells(&["name", "first", "second", "third"]),
            rows: rows.into_iter().map(Row::Cells).collect(),
            notes: vec!["a note of some words that is longer than a narrow page".to_string()],
        }
    }

    #[test]
    fn a_table_too_wide_is_continued_below_with_its_keys() {
        let row = cells(&["sgd", "1.00 ± 0.25", "2.00 ± 0.25", "3.00 ± 0.25"]);
        let text = render(&[grid(vec![row])], 32);
        assert_eq!(
            text,
            "T\n\nname        first       second\n----  -----------  -----------\nsgd   1.00 ± 0.25  2.00 ± 0.25\n\n\
             name        third\n----  -----------\nsgd   3.00 ± 0.25\n\na note of some words that is\nlonger than a narrow page\n"
        );
    }

    proptest! {
        /// Whatever the cells: nothing is wider than the page, and no word is lost.
        #[test]
        fn every_table_fits_and_is_whole(
            rows in prop::collection::vec(prop::collection::vec("[a-z0-9]{1,40}( [a-z]{1,9}){0,3}", 4), 1..5),
            width in 40_usize..120,
        ) {
            let text = render(&[grid(rows.clone())], width);
            for line in text.lines() {
                prop_assert!(measure_text_width(line) <= width, "{} in {text}", line);
            }
            let found: String = text.split_whitespace().collect();
            for cell in rows.iter().flatten() {
                // A cell that is wrapped has other cells between its lines; its first word begins some line.
                let first: String = cell.split(' ').next().unwrap_or("").chars().take(NARROWEST).collect();
                prop_assert!(found.contains(&first), "{first} in {text}");
            }
        }
    }
}
