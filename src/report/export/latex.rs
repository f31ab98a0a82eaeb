//! LaTeX (booktabs), with the columns of the paper's Table 1: a table a benchmark, a row a method.
//!
//! Forgetting is the released code's, as in the paper's tables. Where the authors published the same settings, their
//! figures stand in the line below ours.

use std::fmt::Write as _;

use super::tables::{against, missing};
use crate::experiment::paper::published::Agreement;
use crate::report::against::Comparison;
use crate::report::format::FormatSpec;
use crate::report::grid::{Grid, Row, pair};
use crate::report::group::Group;
use crate::report::identity::settings;
use crate::report::metric::{ACCURACY, FORGETTING_RELEASED, LEARNING_ACCURACY, MetricSpec};
use crate::report::names::{distinct_names, in_paper};
use crate::report::statistics::difference;
use crate::report::summary::{Report, ReportStage};

/// `latex`: complete `table` environments; the preamble needs `booktabs`.
pub static LATEX: FormatSpec = FormatSpec {
    name: "latex",
    description: "Tables for a paper (booktabs)",
    whole: true,
    reads_collected: false,
    ending: "tex",
    write: |report, _| Ok(write(report)),
};

/// A figure's column: its heading, the metric, and the decimals that the paper prints.
const FIGURES: [(&str, &MetricSpec, usize); 3] = [
    ("Accuracy", &ACCURACY, 2),
    ("Forgetting", &FORGETTING_RELEASED, 2),
    ("LA", &LEARNING_ACCURACY, 2),
];

/// Settings that have columns, where a group of the benchmark has them.
const SETTINGS: [(&str, &str); 2] = [("lr", "lr"), ("b", "$b$")];

/// Text with nothing that LaTeX would take for markup, in ASCII but for letters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '±' => out.push_str("$\\pm$"),
            'α' => out.push_str("$\\alpha$"),
            'γ' => out.push_str("$\\gamma$"),
            '⁶' => out.push_str("$^6$"),
            '–' => out.push_str("--"),
            // In LaTeX's oldest font encoding this is a dash.
            '|' => out.push_str("$|$"),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A label of letters, digits and hyphens.
fn label(kind: &str, title: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let slug: String = title.chars().map(plain).collect();
    let words = slug.split('-').filter(|word| !word.is_empty());
    let words: Vec<&str> = [kind]
        .into_iter()
        .filter(|kind| !kind.is_empty())
        .chain(words)
        .collect();
    format!("tab:{}", words.join("-"))
}

fn write(report: &Report) -> String {
    let mut text = String::from("% Needs \\usepackage{booktabs} in the preamble.\n");
    for stage in &report.stages {
        results(report, stage, &mut text);
    }
    for grid in against(report) {
        table(&grid, &mut text);
    }
    let missing: Vec<Grid> = missing(report)
        .into_iter()
        .filter(|grid| !grid.rows.is_empty())
        .collect();
    if !missing.is_empty() {
        text.push_str("\\begin{itemize}\\footnotesize\n");
        for grid in &missing {
            items(grid, &mut text);
        }
        text.push_str("\\end{itemize}\n");
    }
    text
}

fn begin(caption: &str, label: &str, columns: &str, text: &mut String) {
    let _ = writeln!(
        text,
        "\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\label{{{label}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule"
    );
}

fn end<'a>(notes: impl IntoIterator<Item = &'a String>, text: &mut String) {
    text.push_str("\\bottomrule\n\\end{tabular}\n\n");
    for note in notes {
        let _ = writeln!(text, "\\par{{\\footnotesize {note}}}");
    }
    text.push_str("\\end{table}\n\n");
}

/// The results on one stage.
fn results(report: &Report, stage: &ReportStage, text: &mut String) {
    let members: Vec<(usize, &Group)> = stage
        .stage
        .members
        .iter()
        .filter_map(|i| Some((*i, report.groups.get(*i)?)))
        .collect();
    let groups: Vec<&Group> = members.iter().map(|(_, group)| *group).collect();
    let of_groups: Vec<_> = groups.iter().map(|group| settings(&group.config)).collect();
    let has = |key: &str| of_groups.iter().flatten().any(|(k, _)| *k == key);
    let shown: Vec<(&str, &str)> = SETTINGS.into_iter().filter(|(key, _)| has(key)).collect();
    let keys: Vec<&str> = shown.iter().map(|(key, _)| *key).collect();
    let names = distinct_names(&groups, in_paper, &keys);
    let title = escape(&stage.stage.title_in_paper);
    let caption = format!(
        "{title}: accuracy (\\%), forgetting (a fraction; the final accuracy counts among the earlier ones) and learning \
         accuracy (LA, \\%), mean $\\pm$ population standard deviation over $n$ seeds.{}",
        if groups.len() > 1 {
            " The best of ours is bold."
        } else {
            ""
        }
    );
    let columns = format!("l{}{}r", "r".repeat(shown.len()), "c".repeat(FIGURES.len()));
    begin(
        &caption,
        &label("results", &stage.stage.title),
        &columns,
        text,
    );
    text.push_str("\\textbf{Methods}");
    for heading in shown
        .iter()
        .map(|(_, heading)| heading)
        .chain(FIGURES.iter().map(|(h, _, _)| h))
    {
        let _ = write!(text, " & {heading}");
    }
    text.push_str(" & $n$ \\\\\n\\midrule\n");
    let best = FIGURES.map(|(_, metric, _)| best(&groups, metric));
    let (footnotes, numbers) = report.footnotes();
    let mut used: Vec<usize> = Vec::new();
    for (((i, group), name), own) in members.iter().zip(&names).zip(&of_groups) {
        let marks = numbers.get(*i).cloned().unwrap_or_default();
        let mark: Vec<String> = marks.iter().map(ToString::to_string).collect();
        used.extend(marks);
        text.push_str(&escape(name));
        if !mark.is_empty() {
            let _ = write!(text, "$^{{{}}}$", mark.join(","));
        }
        for key in &keys {
            let value = own.iter().find(|(k, _)| k == key);
            let value = value.map_or("--".to_string(), |(_, value)| escape(&value.to_string()));
            let _ = write!(text, " & {value}");
        }
        for ((_, metric, digits), best) in FIGURES.iter().zip(best) {
            let value = metric.spread(group);
            let cell = escape(&pair(value, group.n, *digits));
            let is_best = value
                .zip(best)
                .is_some_and(|(v, best)| difference(v.mean, best) == 0.0);
            let _ = if is_best {
                write!(
                    text,
                    " & \\textbf{{{}}}",
                    cell.replace("$\\pm$", "$\\mathbf{\\pm}$")
                )
            } else {
                write!(text, " & {cell}")
            };
        }
        let _ = writeln!(text, " & {} \\\\", group.n);
        let theirs = report.comparisons.iter();
        if let Some(found) = theirs
            .filter(|c| c.group == *i)
            .find(|c| c.agreement == Agreement::InForce)
        {
            published(found, shown.len(), text);
        }
    }
    used.sort_unstable();
    used.dedup();
    let notes = used.iter().filter_map(|number| {
        let note = footnotes.get(number.checked_sub(1)?)?;
        Some(format!("$^{{{number}}}$ {}", escape(note)))
    });
    end(&notes.collect::<Vec<_>>(), text);
}

/// The best mean of a metric; none where there is nothing to be better than.
fn best(groups: &[&Group], metric: &MetricSpec) -> Option<f64> {
    let means: Vec<f64> = groups
        .iter()
        .filter_map(|g| metric.spread(g))
        .map(|s| s.mean)
        .collect();
    let better = |a: f64, b: f64| {
        if metric.less_is_better {
            a.min(b)
        } else {
            a.max(b)
        }
    };
    means
        .iter()
        .copied()
        .reduce(better)
        .filter(|_| means.len() > 1)
}

/// The line of the authors' figures.
fn published(comparison: &Comparison, settings: usize, text: &mut String) {
    text.push_str("\\quad published");
    text.push_str(&" &".repeat(settings));
    for (_, metric, digits) in FIGURES {
        let found = comparison
            .quantities
            .iter()
            .find(|q| Some(q.quantity) == metric.published);
        let cell = found.map_or("--".to_string(), |q| escape(&q.published_text(digits)));
        let _ = write!(text, " & {cell}");
    }
    let n = comparison.quantities.first().map_or(0, |q| q.published_n);
    let _ = writeln!(text, " & {n} \\\\");
}

/// A grid as a table.
fn table(grid: &Grid, text: &mut String) {
    let columns = grid.header.len();
    let kinds = (0..columns).map(|i| if i < grid.words { 'l' } else { 'r' });
    begin(
        &escape(&grid.title),
        &label("", &grid.title),
        &kinds.collect::<String>(),
        text,
    );
    let row = |cells: &[String]| {
        cells
            .iter()
            .map(|cell| escape(cell))
            .collect::<Vec<_>>()
            .join(" & ")
    };
    let _ = writeln!(text, "{} \\\\\n\\midrule", row(&grid.header));
    for line in &grid.rows {
        let _ = match line {
            Row::Cells(cells) => writeln!(text, "{} \\\\", row(cells)),
            Row::Heading(heading) => {
                writeln!(
                    text,
                    "\\multicolumn{{{columns}}}{{l}}{{\\textbf{{{}}}}} \\\\",
                    escape(heading)
                )
            }
        };
    }
    end(
        &grid
            .notes
            .iter()
            .map(|note| escape(note))
            .collect::<Vec<_>>(),
        text,
    );
}

/// A grid as items of a list.
fn items(grid: &Grid, text: &mut String) {
    let mut heading = String::new();
    for row in &grid.rows {
        match row {
            Row::Heading(words) => heading = format!("{}: ", escape(words)),
            Row::Cells(cells) => {
                let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
                let _ = writeln!(
                    text,
                    "\\item {}: {heading}{}",
                    escape(&grid.title),
                    cells.join("; ")
                );
            }
        }
    }
}
