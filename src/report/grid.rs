//! Tables as cells of text, before any format.
//!
//! Owns what every format of tables is given. A format decides how a row, a divider and a note look, and nothing else.

use super::group::Spread;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    /// What the rows below it are of, across all columns.
    Heading(String),
    /// A cell a column.
    Cells(Vec<String>),
}

/// A table with a title above and notes below it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) title: String,
    /// Columns from the left that say what a row is; a table too wide for its page is continued below with them again.
    pub(super) keys: usize,
    /// Columns from the left that are words; the rest are numbers.
    pub(super) words: usize,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Row>,
    pub(super) notes: Vec<String>,
}

/// `62.79 ± 0.29`, or the value alone where a deviation would mean nothing.
pub(super) fn pair(spread: Option<Spread>, n: usize, digits: usize) -> String {
    match spread {
        None => "–".to_string(),
        Some(spread) if n < 2 => format!("{:.digits$}", spread.mean),
        Some(spread) => format!("{:.digits$} ± {:.digits$}", spread.mean, spread.std),
    }
}

/// `[-0.52, +0.32]`.
pub(super) fn interval(interval: Option<(f64, f64)>, digits: usize) -> String {
    interval.map_or("–".to_string(), |(low, high)| {
        format!("[{low:+.digits$}, {high:+.digits$}]")
    })
}

/// A p-value to three digits, never as 0.
pub(super) fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".to_string(),
        Some(p) if p < 0.001 => "< 0.001".to_string(),
        Some(p) => format!("{p:.3}"),
    }
}

/// Words as cells.
pub(super) fn cells(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

impl Grid {
    /// Without the columns that say nothing: those in which every row has a dash.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let rows = || {
            self.rows.iter().filter_map(|row| match row {
                Row::Cells(cells) => Some(cells),
                Row::Heading(_) => None,
            })
        };
        let keep: Vec<bool> = (0..self.header.len())
            .map(|i| rows().any(|cells| cells.get(i).is_some_and(|cell| cell != "–")))
            .collect();
        let kept = |cells: Vec<String>| -> Vec<String> {
            let cells = cells.into_iter().zip(&keep);
            cells
                .filter(|(_, keep)| **keep)
                .map(|(cell, _)| cell)
                .collect()
        };
        let before = |columns: usize| keep.iter().take(columns).filter(|keep| **keep).count();
        let (keys, words) = (before(self.keys), before(self.words));
        let rows = std::mem::take(&mut self.rows)
            .into_iter()
            .map(|row| match row {
                Row::Cells(cells) => Row::Cells(kept(cells)),
                heading @ Row::Heading(_) => heading,
            });
        Self {
            keys,
            words,
            rows: rows.collect(),
            header: kept(self.header),
            title: self.title,
            notes: self.notes,
        }
    }
}
