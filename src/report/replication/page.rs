//! The page as Markdown.

use std::fmt::Write as _;

use super::{Counts, Line, OUT_OF_REACH, Page, Section};
use crate::experiment::paper::published::Quantity;
use crate::report::export::markdown::{cell, line as cells_line};
use crate::report::grid::{interval, pair};
use crate::report::metric::of_quantity;

/// A table: names of the columns, of which the first `words` are words, and rows of cells that are Markdown already.
fn table(words: usize, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = cells_line(header.iter().map(ToString::to_string));
    let rule = |i: usize| if i < words { "---" } else { "---:" };
    text.push_str(&cells_line((0..header.len()).map(|i| rule(i).to_string())));
    for row in rows {
        text.push_str(&cells_line(row.into_iter()));
    }
    text
}

/// A command as code; no bar may end its cell.
fn code(command: &str) -> String {
    format!("`{}`", command.replace('|', "\\|"))
}

impl Page {
    pub(super) fn markdown(&self) -> String {
        let mut text = self.head();
        for section in &self.paper {
            text.push_str(&section.markdown());
        }
        text.push_str(
            "\n# Other programs\n\nNo paper prints these figures: they are what other programs for continual learning gave on \
             the same data with these settings (`tagcl replicate neighbours`). The tests are those above.\n",
        );
        for section in &self.neighbours {
            text.push_str(&section.markdown());
        }
        text.push_str(&self.out_of_reach());
        text
    }

    fn head(&self) -> String {
        let margin = self.margin;
        let mut text = format!(
            "# Replication\n\n\
             Every published figure with the one that this program computes. The program makes this page from the results of \
             {} runs:\n\n\
             ```sh\n\
             tagcl export RUNS --results docs/replication/results.jsonl    # adds the runs of a folder to those that are kept\n\
             tagcl report docs/replication/results.jsonl --format replication --output docs/replication.md\n\
             ```\n\n\
             A figure of ours is the mean ± population standard deviation over n seeds of runs whose whole configuration, seed \
             aside, is the one in force behind the published figure (for the paper's, profile `released`). Difference is ours minus published, \
             with its 95% Welch interval. *Equivalent*: surely (5%) within ±{margin} points (forgetting: ±{}), by two one-sided \
             Welch tests; else *different*: surely not 0; else *inconclusive*, with the number of our seeds, in all, that \
             would probably (0.8) settle it, were the difference as it looks (*at any n*: none would, the published runs \
             leave too much uncertain); *no test*: fewer than two runs of ours, or no published spread. One test in twenty errs, and verdicts \
             are not corrected for their number ([reports.md](reports.md#against-the-authors-figures)). Forgetting is a \
             fraction, as the released code computes it. Kernels are the level that computed ours: figures of another \
             level differ as those of another seed do.\n\n",
            self.runs,
            margin / 100.0
        );
        let row = |name: String, lines: &mut dyn Iterator<Item = &Line>| {
            let counts = Counts::of(lines);
            let numbers = [
                counts.all,
                counts.equivalent,
                counts.different,
                counts.inconclusive,
                counts.no_test,
                counts.not_run,
            ];
            std::iter::once(name)
                .chain(numbers.iter().map(ToString::to_string))
                .collect::<Vec<_>>()
        };
        let of = |section: &Section| row(cell(&section.title), &mut section.lines.iter());
        let mut rows: Vec<Vec<String>> = self.paper.iter().map(of).collect();
        let mut all = self.paper.iter().flat_map(|section| &section.lines);
        rows.push(row("**the paper and its logs**".to_string(), &mut all));
        let mut others = self.neighbours.iter().flat_map(|section| &section.lines);
        rows.push(row("other programs".to_string(), &mut others));
        let header = [
            "",
            "figures",
            "equivalent",
            "different",
            "inconclusive",
            "no test",
            "not run",
        ];
        text.push_str(&table(1, &header, rows));
        text.push_str(
            "\nCommands take `--data DIR --out RUNS` besides; without `--seeds` they run seeds 1 to 5, and what is complete in \
             `RUNS` is not run again.\n",
        );
        text
    }

    fn out_of_reach(&self) -> String {
        let mut text = String::new();
        for (benchmark, why) in OUT_OF_REACH {
            let section = self.paper.iter().find(|s| s.benchmark == *benchmark);
            if let Some(section) = section.filter(|s| !s.lines.iter().any(Line::is_run)) {
                let _ = writeln!(text, "- **{}**: {why}.", cell(&section.title));
            }
        }
        if text.is_empty() {
            return text;
        }
        format!(
            "\n# Out of reach\n\n{text}\nWhich data sets have an address that serves them, and what each is checked by: \
             [data.md](data.md). The other rows that are not run wait for time on a processor alone.\n"
        )
    }
}

impl Section {
    fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n", cell(&self.title));
        let (run, not_run): (Vec<&Line>, Vec<&Line>) =
            self.lines.iter().partition(|line| line.is_run());
        if !run.is_empty() {
            let header = [
                "row",
                "figure",
                "kernels",
                "ours",
                "n",
                "published",
                "n",
                "difference",
                "95% interval",
                "verdict",
            ];
            text.push('\n');
            text.push_str(&table(3, &header, run.iter().flat_map(|l| l.figures())));
            text.push_str(
                "\nThe same rows, what repeats them, and where the published figures stand:\n\n",
            );
            text.push_str(&sources(&run));
        }
        if !not_run.is_empty() {
            let how_many = if run.is_empty() { "No row is" } else { "Not" };
            let _ = writeln!(text, "\n{how_many} run yet; published:\n");
            let header = ["row", "accuracy %", "forgetting", "learning %", "n"];
            text.push_str(&table(1, &header, not_run.iter().map(|l| l.published())));
            text.push('\n');
            text.push_str(&sources(&not_run));
        }
        text
    }
}

fn sources(lines: &[&Line]) -> String {
    let row = |line: &&Line| {
        let mut source = cell(&line.row.source());
        for note in &line.row.notes {
            let _ = write!(source, ". {}", cell(note));
        }
        vec![cell(&line.title), code(&line.command), source]
    };
    table(3, &["row", "command", "source"], lines.iter().map(row))
}

impl Line {
    /// A row a figure of ours.
    fn figures(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for figure in &self.figures {
            let Some(found) = &figure.compared else {
                continue;
            };
            let metric = of_quantity(figure.quantity);
            let digits = metric.digits;
            let (name, kernels) = if rows.is_empty() {
                let seeds = format!("{} (seeds {})", cell(&self.title), self.seeds);
                (seeds, self.kernels.clone())
            } else {
                (String::new(), String::new())
            };
            rows.push(vec![
                name,
                heading(figure.quantity).to_string(),
                kernels,
                pair(Some(found.ours), found.n, digits),
                found.n.to_string(),
                found.published_text(digits),
                found.published_n.to_string(),
                format!("{:+.digits$}", found.difference),
                interval(found.interval, digits),
                found.verdict_text(),
            ]);
        }
        rows
    }

    /// What was published, in one row.
    fn published(&self) -> Vec<String> {
        let mut cells = vec![cell(&self.title)];
        let mut runs = None;
        for quantity in Quantity::ALL {
            let digits = of_quantity(quantity).digits;
            let figure = self.figures.iter().find(|f| f.quantity == quantity);
            let summary = figure.and_then(|figure| figure.published.summary());
            cells.push(match summary {
                None => "–".to_string(),
                Some((mean, None, _)) => format!("{mean:.digits$}"),
                Some((mean, Some(std), _)) => format!("{mean:.digits$} ± {std:.digits$}"),
            });
            runs = runs.or(summary.map(|(_, _, n)| n));
        }
        cells.push(runs.map_or("–".to_string(), |n| n.to_string()));
        cells
    }
}

/// What a figure is called here, where only one kind of forgetting stands.
fn heading(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Forgetting => "forgetting",
        other => of_quantity(other).heading,
    }
}
