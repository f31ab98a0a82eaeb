//! Comparisons as tables for a terminal.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::compare::{Comparisons, Metric};
use super::group::Spread;
use super::statistics::EffectKind;

fn table(title: &str, words: usize, header: &[String], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(i, cell)| {
            let side = if i < words {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            };
            Cell::new(cell).set_alignment(side)
        }));
    }
    format!("{title}\n\n{table}\n")
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn spread(spread: Spread, n: usize, digits: usize) -> String {
    super::export::pair(Some(spread), n, digits)
}

/// A p-value to three digits, never as 0.
#[must_use]
pub fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".to_string(),
        Some(p) if p < 0.001 => "< 0.001".to_string(),
        Some(p) => format!("{p:.3}"),
    }
}

/// All tables.
#[must_use]
pub fn text(comparisons: &Comparisons) -> String {
    let digits = match comparisons.metric {
        Metric::Forgetting => 3,
        _ => 2,
    };
    let mut text = String::new();
    if comparisons.sides.len() == 2 {
        for (letter, side) in ["A", "B"].iter().zip(&comparisons.sides) {
            let _ = writeln!(text, "{letter}: {}", side.name);
        }
        text.push('\n');
    }
    text.push_str(&pairs(comparisons, digits));
    text.push_str(&ranking(comparisons));
    text.push_str(&cost(comparisons));
    for side in &comparisons.sides {
        for run in &side.unfinished {
            let _ = writeln!(text, "no result: {}", run.folder.display());
        }
        for damaged in &side.damaged {
            let _ = writeln!(
                text,
                "cannot be used: {}: {}",
                damaged.path.display(),
                damaged.reason
            );
        }
        for duplicate in &side.duplicates {
            let _ = writeln!(text, "there twice: {}", duplicate.folder.display());
        }
    }
    text
}

fn pairs(comparisons: &Comparisons, digits: usize) -> String {
    let rows = comparisons.pairs.iter().map(|pair| {
        let effect = pair.effect.map_or("–".to_string(), |effect| {
            let kind = match effect.kind {
                EffectKind::GZ => "g_z",
                EffectKind::GAv => "g_av",
            };
            format!("{kind} {:+.2}", effect.value)
        });
        vec![
            pair.stage.clone(),
            pair.a.clone(),
            pair.b.clone(),
            match pair.paired {
                None => "none: too few runs",
                Some(true) => "paired t",
                Some(false) => "Welch t",
            }
            .to_string(),
            spread(pair.a_spread, pair.a_n, digits),
            spread(pair.b_spread, pair.b_n, digits),
            format!("{}, {}", pair.a_n, pair.b_n),
            format!("{:+.digits$}", pair.difference),
            pair.interval.map_or("–".to_string(), |(low, high)| {
                format!("[{low:+.digits$}, {high:+.digits$}]")
            }),
            p_value(pair.p),
            p_value(pair.p_holm),
            effect,
        ]
    });
    let header = words(&[
        "benchmark",
        "first",
        "second",
        "test",
        "first's",
        "second's",
        "n",
        "difference",
        "95% interval",
        "p",
        "p (Holm)",
        "effect",
    ]);
    let title = format!("Differences in {}", comparisons.metric.name());
    let table = table(&title, 4, &header, rows.collect());
    if table.is_empty() {
        return "no two groups of the same benchmark to compare\n\n".to_string();
    }
    let tests = comparisons
        .pairs
        .iter()
        .filter(|pair| pair.p.is_some())
        .count();
    format!(
        "{table}first minus second; paired by seed where both have the same seeds, else Welch; Holm over {tests} tests; \
         g_z: mean over std of the paired differences, g_av: difference over root mean variance, both with Hedges' \
         correction\n\n"
    )
}

fn ranking(comparisons: &Comparisons) -> String {
    let mut header = words(&["approach"]);
    header.extend(comparisons.stages.iter().cloned());
    header.push("mean rank".to_string());
    let number = |rank: Option<f64>| rank.map_or("–".to_string(), |rank| format!("{rank:.1}"));
    let rows = comparisons.ranking.iter().map(|r| {
        let mut row = vec![r.name.clone()];
        row.extend(r.ranks.iter().map(|rank| number(*rank)));
        row.push(r.mean.map_or("–".to_string(), |mean| format!("{mean:.2}")));
        row
    });
    let title = format!("Ranks by mean {} (1 is best)", comparisons.metric.name());
    let table = table(&title, 1, &header, rows.collect());
    format!("{table}mean rank among the approaches that ran on every benchmark here\n\n")
}

fn cost(comparisons: &Comparisons) -> String {
    let star = |front: bool| if front { " *" } else { "" };
    let rows = comparisons.cost.iter().map(|row| {
        vec![
            row.stage.clone(),
            row.name.clone(),
            spread(row.accuracy, row.n, 2),
            format!("{:.1}{}", row.train_s, star(row.time_front)),
            format!("{:.2}", row.ms_per_step),
            format!("{:.0}", row.samples),
            format!("{:.1}{}", row.state_bytes / 1e6, star(row.memory_front)),
            row.peak_rss_bytes.map_or("–".to_string(), |bytes| {
                format!("{:.0}", bytes as f64 / 1e6)
            }),
        ]
    });
    let header = words(&[
        "benchmark",
        "approach",
        "accuracy %",
        "training s",
        "ms/step",
        "samples",
        "state MB",
        "peak MB",
    ]);
    let table = table("Accuracy against cost", 2, &header, rows.collect());
    format!(
        "{table}* no other is at least as accurate for at most this cost; samples include replayed ones; state is what \
         optimizer and method keep at the end\n"
    )
}
