//! Comparisons as tables for a terminal.

use std::fmt::Write as _;

use super::compare::{Comparisons, CostRow, Pair, Side};
use super::export::text::render;
use super::format::Page;
use super::grid::{Grid, Row, cells, interval, p_value, pair};
use super::metric::ACCURACY;
use super::statistics::EffectKind;

/// All tables.
#[must_use]
pub fn text(comparisons: &Comparisons, page: &Page) -> String {
    let mut text = String::new();
    if comparisons.sides.len() == 2 {
        for (letter, side) in ["A", "B"].iter().zip(&comparisons.sides) {
            let _ = writeln!(text, "{letter}: {}", side.name);
        }
        text.push('\n');
    }
    let mut grids = Vec::new();
    let stages = &comparisons.stages;
    for stage in stages {
        let of_stage: Vec<&Pair> = comparisons
            .pairs
            .iter()
            .filter(|p| p.stage == *stage)
            .collect();
        if !of_stage.is_empty() {
            grids.push(differences(comparisons, stage, &of_stage));
        }
    }
    if grids.is_empty() {
        text.push_str("no two groups of the same benchmark to compare\n\n");
    }
    grids.push(ranking(comparisons));
    for stage in stages {
        let of_stage: Vec<&CostRow> = comparisons
            .cost
            .iter()
            .filter(|r| r.stage == *stage)
            .collect();
        grids.push(cost(stage, &of_stage));
    }
    if !comparisons.remarks.is_empty() {
        grids.push(list(
            "To know before comparing",
            "remark",
            &comparisons.remarks,
        ));
    }
    let unusable: Vec<String> = comparisons.sides.iter().flat_map(unusable).collect();
    if !unusable.is_empty() {
        grids.push(list("Not counted", "what", &unusable));
    }
    text + &render(&grids, page.width)
}

/// Lines of words under a title.
fn list(title: &str, header: &str, lines: &[String]) -> Grid {
    Grid {
        title: title.to_string(),
        keys: 1,
        words: 1,
        header: cells(&[header]),
        rows: lines
            .iter()
            .map(|line| Row::Cells(vec![line.clone()]))
            .collect(),
        notes: Vec::new(),
    }
}

fn unusable(side: &Side) -> Vec<String> {
    let unfinished = side.unfinished.iter();
    let unfinished = unfinished.map(|run| format!("no result: {}", run.folder.display()));
    let damaged = side.damaged.iter().map(|damaged| {
        format!(
            "cannot be used: {}: {}",
            damaged.path.display(),
            damaged.reason
        )
    });
    let duplicates = side.duplicates.iter();
    let duplicates = duplicates.map(|twice| format!("there twice: {}", twice.folder.display()));
    unfinished.chain(damaged).chain(duplicates).collect()
}

fn differences(comparisons: &Comparisons, stage: &str, pairs: &[&Pair]) -> Grid {
    let metric = comparisons.metric;
    let digits = metric.digits;
    let rows = pairs.iter().flat_map(|p| {
        let effect = p.effect.map_or("–".to_string(), |effect| {
            let kind = match effect.kind {
                EffectKind::GZ => "g_z",
                EffectKind::GAv => "g_av",
            };
            format!("{kind} {:+.2}", effect.value)
        });
        let side =
            |name: &str, spread, n| format!("{name}: {} (n {n})", pair(Some(spread), n, digits));
        let (a, b) = (side(&p.a, p.a_spread, p.a_n), side(&p.b, p.b_spread, p.b_n));
        [
            Row::Heading(format!("{a} − {b}")),
            Row::Cells(vec![
                match p.paired {
                    None => "no test: too few runs",
                    Some(true) => "paired t",
                    Some(false) => "Welch t",
                }
                .to_string(),
                format!("{:+.digits$}", p.difference),
                interval(p.interval, digits),
                p_value(p.p),
                p_value(p.p_holm),
                effect,
            ]),
        ]
    });
    let tests = comparisons
        .pairs
        .iter()
        .filter(|pair| pair.p.is_some())
        .count();
    Grid {
        title: format!("Differences in {}: {stage}", metric.name),
        keys: 1,
        words: 1,
        header: cells(&["", "difference", "95% interval", "p", "p (Holm)", "effect"]),
        rows: rows.collect(),
        notes: vec![format!(
            "first minus second; paired by seed where both have the same seeds, else Welch; Holm over {tests} tests; g_z: \
             mean over std of the paired differences, g_av: difference over root mean variance, both with Hedges' \
             correction"
        )],
    }
}

fn ranking(comparisons: &Comparisons) -> Grid {
    let number = |rank: Option<f64>| rank.map_or("–".to_string(), |rank| format!("{rank:.1}"));
    let rows = comparisons.ranking.iter().map(|r| {
        let mut row = vec![r.name.clone()];
        row.extend(r.ranks.iter().map(|rank| number(*rank)));
        row.push(r.mean.map_or("–".to_string(), |mean| format!("{mean:.2}")));
        Row::Cells(row)
    });
    // Titles of stages are sentences; their numbers stand above the columns.
    let letters = || (1..=comparisons.stages.len()).map(|i| format!("({i})"));
    let mut header = cells(&["approach"]);
    header.extend(letters());
    header.push("mean rank".to_string());
    let mut notes: Vec<String> = letters()
        .zip(&comparisons.stages)
        .map(|(letter, stage)| format!("{letter} {stage}"))
        .collect();
    notes.push("mean rank among the approaches that ran on every benchmark here".to_string());
    Grid {
        title: format!("Ranks by mean {} (1 is best)", comparisons.metric.name),
        keys: 1,
        words: 1,
        header,
        rows: rows.collect(),
        notes,
    }
}

fn cost(stage: &str, rows: &[&CostRow]) -> Grid {
    let star = |front: bool| if front { " *" } else { "" };
    let rows = rows.iter().map(|row| {
        Row::Cells(vec![
            row.name.clone(),
            pair(Some(row.accuracy), row.n, ACCURACY.digits),
            format!("{:.1}{}", row.train_s, star(row.time_front)),
            format!("{:.2}", row.ms_per_step),
            format!("{:.0}", row.samples),
            format!("{:.1}{}", row.state_bytes / 1e6, star(row.memory_front)),
            row.peak_rss_bytes.map_or("–".to_string(), |bytes| {
                format!("{:.0}", bytes as f64 / 1e6)
            }),
        ])
    });
    Grid {
        title: format!("Accuracy against cost: {stage}"),
        keys: 1,
        words: 1,
        header: cells(&[
            "approach",
            ACCURACY.heading,
            "training s",
            "ms/step",
            "samples",
            "state MB",
            "peak MB",
        ]),
        rows: rows.collect(),
        notes: vec![
            "* no other is at least as accurate for at most this cost; samples include replayed ones; state is what \
             optimizer and method keep at the end"
                .to_string(),
        ],
    }
    .without_empty_columns()
}
