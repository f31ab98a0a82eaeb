//! LaTeX (booktabs), in the layout of the paper's Table 1: a row a method, a group of columns a benchmark.
//!
//! Each group of columns has accuracy, forgetting and learning accuracy (LA). Forgetting is the released code's, as in
//! the paper's tables. Where the authors published the same settings, their figures stand in the line below ours.

use std::fmt::Write as _;

use super::Exporter;
use super::grid::{brief, digits, interval, pair, published};
use crate::experiment::paper::published::{Agreement, Quantity};
use crate::experiment::plan::config::RunConfig;
use crate::report::against::Comparison;
use crate::report::group::{Group, Spread};
use crate::report::names::{distinct_names, in_paper};
use crate::report::summary::Report;

/// Benchmarks side by side; the paper's page holds two.
const ABREAST: usize = 2;

/// A complete `table` environment; the preamble needs `booktabs`.
#[derive(Clone, Copy, Debug)]
pub struct Latex;

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
            '–' => out.push_str("--"),
            // In LaTeX's oldest font encoding this is a dash.
            '|' => out.push_str("$|$"),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// `62.79 $\pm$ 0.29`.
fn figure(spread: Option<Spread>, n: usize, digits: usize) -> String {
    escape(&pair(spread, n, digits))
}

/// What must agree for figures to stand in one group of columns.
fn column_of(config: &RunConfig) -> (String, String) {
    let title = config.benchmark.paper_name().to_string();
    let epochs = match config.epochs {
        1 => "1 epoch".to_string(),
        n => format!("{n} epochs"),
    };
    let detail = format!("{} tasks, {epochs}", config.tasks);
    (title, detail)
}

impl Exporter for Latex {
    fn export(&self, report: &Report) -> String {
        let mut text = String::from("% Needs \\usepackage{booktabs} in the preamble.\n");
        if !report.groups.is_empty() {
            results(report, &mut text);
        }
        if !report.comparisons.is_empty() {
            text.push('\n');
            against(report, &mut text);
        }
        missing(report, &mut text);
        text
    }
}

/// The group's or groups' distinct columns, in order.
fn columns(groups: &[Group]) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    for group in groups {
        let column = column_of(&group.config);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

fn results(report: &Report, text: &mut String) {
    let (footnotes, numbers) = report.footnotes();
    let names = distinct_names(&report.groups, in_paper, |config| {
        let (title, detail) = column_of(config);
        format!("{title} {detail}")
    });
    let all = columns(&report.groups);
    text.push_str("\\begin{table}\n\\centering\n\\caption{Accuracy (\\%), forgetting (a fraction; the final accuracy ");
    text.push_str("counts among the earlier ones) and learning accuracy (LA, \\%): mean $\\pm$ population standard ");
    text.push_str("deviation over $n$ seeds.}\n");
    for block in all.chunks(ABREAST) {
        let _ = writeln!(
            text,
            "\\begin{{tabular}}{{l{}}}\n\\toprule",
            "cccc".repeat(block.len())
        );
        for (i, (title, detail)) in block.iter().enumerate() {
            let _ = write!(
                text,
                " & \\multicolumn{{4}}{{c}}{{\\textbf{{{}}} ({})}}",
                escape(title),
                escape(detail)
            );
            if i + 1 == block.len() {
                text.push_str(" \\\\\n");
            }
        }
        for i in 0..block.len() {
            let _ = write!(text, "\\cmidrule(lr){{{}-{}}}", 2 + 4 * i, 5 + 4 * i);
        }
        text.push_str("\n\\textbf{Methods}");
        text.push_str(&" & Accuracy & Forgetting & LA & $n$".repeat(block.len()));
        text.push_str(" \\\\\n\\midrule\n");
        let mut done: Vec<&String> = Vec::new();
        for name in &names {
            if done.contains(&name) {
                continue;
            }
            done.push(name);
            let cell = |column: &(String, String)| {
                let found = |(_, (group, own)): &(usize, (&Group, &String))| {
                    *own == name && column_of(&group.config) == *column
                };
                report.groups.iter().zip(&names).enumerate().find(found)
            };
            let of_block: Vec<_> = block.iter().map(cell).collect();
            if of_block.iter().all(Option::is_none) {
                continue;
            }
            text.push_str(&escape(name));
            for found in &of_block {
                text.push_str(&match found {
                    None => " & -- & -- & -- & --".to_string(),
                    Some((i, (group, _))) => ours(group, numbers.get(*i)),
                });
            }
            text.push_str(" \\\\\n");
            let theirs: Vec<Option<&Comparison>> = of_block
                .iter()
                .map(|found| {
                    let (i, _) = found.as_ref()?;
                    report
                        .comparisons
                        .iter()
                        .find(|c| c.group == *i && c.agreement == Agreement::InForce)
                })
                .collect();
            if theirs.iter().any(Option::is_some) {
                text.push_str("\\quad published");
                for comparison in theirs {
                    text.push_str(&comparison.map_or(" & & & & ".to_string(), published_cells));
                }
                text.push_str(" \\\\\n");
            }
        }
        text.push_str("\\bottomrule\n\\end{tabular}\n\n");
    }
    for (i, note) in footnotes.iter().enumerate() {
        let _ = writeln!(
            text,
            "\\par{{\\footnotesize $^{{{}}}$ {}}}",
            i + 1,
            escape(note)
        );
    }
    text.push_str("\\end{table}\n");
}

fn ours(group: &Group, notes: Option<&Vec<usize>>) -> String {
    let numbers: Vec<String> = notes
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let mark = if numbers.is_empty() {
        String::new()
    } else {
        format!("$^{{{}}}$", numbers.join(","))
    };
    let n = group.n;
    format!(
        " & {}{mark} & {} & {} & {n}",
        figure(Some(group.average_accuracy), n, 2),
        figure(group.forgetting_released, n, 2),
        figure(group.learning_accuracy, n, 2),
    )
}

fn published_cells(comparison: &Comparison) -> String {
    let cell = |quantity: Quantity| {
        let found = comparison
            .quantities
            .iter()
            .find(|q| q.quantity == quantity);
        found.map_or("--".to_string(), |q| {
            let digits = 2;
            match q.published_std {
                Some(std) => format!("{:.digits$} $\\pm$ {std:.digits$}", q.published_mean),
                None => format!("{:.digits$}", q.published_mean),
            }
        })
    };
    let n = comparison.quantities.first().map_or(0, |q| q.published_n);
    format!(
        " & {} & {} & {} & {n}",
        cell(Quantity::Accuracy),
        cell(Quantity::Forgetting),
        cell(Quantity::LearningAccuracy)
    )
}

fn against(report: &Report, text: &mut String) {
    let margin = report.margin;
    text.push_str("\\begin{table}\n\\centering\n\\caption{Ours minus published, 95\\% Welch interval, and the verdict of ");
    let _ = writeln!(
        text,
        "two one-sided Welch tests (5\\%) at a margin of $\\pm${margin} points ($\\pm${} for forgetting).}}",
        margin / 100.0
    );
    text.push_str("\\begin{tabular}{llllrl}\n\\toprule\nBenchmark & Published row & Quantity & Ours & Published & ");
    text.push_str("Difference and verdict \\\\\n\\midrule\n");
    let mut footnotes: Vec<&String> = Vec::new();
    for comparison in &report.comparisons {
        let Some(group) = report.groups.get(comparison.group) else {
            continue;
        };
        let mut marks = Vec::new();
        for note in &comparison.notes {
            let at = footnotes.iter().position(|known| *known == note);
            let at = at.unwrap_or_else(|| {
                footnotes.push(note);
                footnotes.len() - 1
            });
            marks.push((at + 1).to_string());
        }
        let mark = if marks.is_empty() {
            String::new()
        } else {
            format!("$^{{{}}}$", marks.join(","))
        };
        for q in &comparison.quantities {
            let digits = digits(q.quantity);
            let range = match q.interval {
                Some(_) => format!(" ${}$", interval(q)),
                None => String::new(),
            };
            let name = match q.quantity {
                Quantity::Accuracy => "Accuracy",
                Quantity::Forgetting => "Forgetting",
                Quantity::LearningAccuracy => "LA",
            };
            let _ = writeln!(
                text,
                "{} & {}{mark} & {name} & {} ({}) & {} ({}) & ${:+.digits$}${} {} \\\\",
                escape(&comparison.row.dataset),
                escape(&comparison.row.label),
                figure(Some(q.ours), group.n, digits),
                q.n,
                escape(&published(q)),
                q.published_n,
                q.difference,
                range,
                q.verdict.name(),
            );
        }
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n\n");
    for (i, note) in footnotes.iter().enumerate() {
        let _ = writeln!(
            text,
            "\\par{{\\footnotesize $^{{{}}}$ {}}}",
            i + 1,
            escape(note)
        );
    }
    text.push_str("\\end{table}\n");
}

/// Everything without a usable result, as a list below the tables.
fn missing(report: &Report, text: &mut String) {
    let mut items: Vec<String> = Vec::new();
    for run in &report.unfinished {
        items.push(format!(
            "No result: {} ({}, {} tasks done; {})",
            brief(run.config.as_ref()),
            run.last_event.as_deref().unwrap_or("no event"),
            run.tasks_done,
            run.folder.display()
        ));
    }
    for damaged in &report.damaged {
        items.push(format!(
            "Cannot be used: {} ({})",
            damaged.path.display(),
            damaged.reason
        ));
    }
    for duplicate in &report.duplicates {
        let same = if duplicate.identical { "same" } else { "OTHER" };
        items.push(format!(
            "There twice: {} ({} counts; {same} accuracies)",
            duplicate.folder.display(),
            duplicate.first.display()
        ));
    }
    if items.is_empty() {
        return;
    }
    text.push_str("\n\\begin{itemize}\\footnotesize\n");
    for item in items {
        let _ = writeln!(text, "\\item {}", escape(&item));
    }
    text.push_str("\\end{itemize}\n");
}
