//! The report as one HTML page.
//!
//! Owns the page: what it says, in which order, and that it needs nothing but itself. No byte comes from elsewhere (a
//! content security policy forbids it, and lets only the page's own script run), all text of results goes through the
//! template's escapes, and everything but sorting, filtering and hovering works without the script.

mod details;
mod table;

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::format::{FormatError, FormatSpec};
use super::group::Group;
use super::plot::{Figure, PLOTS, PlotError, PlotSpec, font_files, plots};
use super::summary::Report;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Largest page, in bytes; plots that would make it larger are left out, and the page says so.
pub const LARGEST: usize = 1_900_000;

/// `html`.
pub static HTML: FormatSpec = FormatSpec {
    name: "html",
    description: "One self-contained page with plots",
    whole: true,
    reads_collected: false,
    ending: "html",
    write: |report, _| {
        Page { report }
            .render()
            .map_err(|e| FormatError(e.to_string()))
    },
};

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Everything that it says.
    pub report: &'a Report,
}

/// Plots and how many bytes they may still take.
struct Budget {
    left: usize,
    omitted: usize,
    figures: usize,
}

impl Page<'_> {
    /// The page.
    ///
    /// # Errors
    /// [`PlotError::Alpha`] where a result's α cannot be read any more.
    pub fn render(self) -> Result<String, PlotError> {
        let labels = self.labels();
        let text = [
            table::section(self.report, &labels),
            details::data(self.report),
            details::problems(self.report),
        ];
        let groups: Vec<details::Group> = details::groups(self.report, &labels);
        let taken: usize = STYLE.len()
            + SCRIPT.len()
            + faces().len()
            + 4_000
            + text.iter().map(|part| part.0.len()).sum::<usize>()
            + groups.iter().map(details::Group::size).sum::<usize>();
        let mut budget = Budget {
            left: LARGEST.saturating_sub(taken),
            omitted: 0,
            figures: 0,
        };
        let overview = self.overview(&mut budget)?;
        let own = self.plots_of_groups(&mut budget)?;
        let [results, data, problems] = text;
        let main = html! {
            (results)
            section aria-labelledby="plots" {
                h2 #plots { "Plots" }
                p.note {
                    "Hover, touch, or focus a plot and press the arrow keys to read its values. "
                    "Plots show the configurations that the filters leave."
                }
                (overview)
                @if budget.omitted > 0 {
                    p.warn {
                        (budget.omitted) " plots are left out to keep this page below "
                        (LARGEST / 1_000_000 + 1) " MB; "
                        code { "tagcl plot DIR --out FOLDER" } " draws all of them."
                    }
                }
            }
            section aria-labelledby="configurations" {
                h2 #configurations { "Configurations" }
                p.note { "Each with the command that runs it again, its runs, and where they come from." }
                @for (i, group) in groups.into_iter().enumerate() {
                    (group.render(own.get(i).map_or(&[], Vec::as_slice)))
                }
            }
            (data)
            (problems)
        };
        Ok(self.frame(&main).0)
    }

    /// Names of the groups; those of one stream differ.
    fn labels(self) -> Vec<String> {
        let mut labels = vec![String::new(); self.report.groups.len()];
        for stage in &self.report.stages {
            let members = || {
                let members = stage.stage.members.iter();
                members.filter_map(|i| Some((*i, self.report.groups.get(*i)?)))
            };
            let groups: Vec<&Group> = members().map(|(_, group)| group).collect();
            for ((i, _), label) in members().zip(super::plot::labels(&groups)) {
                if let Some(slot) = labels.get_mut(i) {
                    *slot = label;
                }
            }
        }
        labels
    }

    fn frame(self, main: &Markup) -> Markup {
        let hash = BASE64.encode(&Sha256::digest(SCRIPT));
        let policy = format!(
            "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
        );
        let title = format!("Results of {}", self.report.source);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="generator" content={ "tagcl " (env!("CARGO_PKG_VERSION")) };
                    link rel="icon" href="data:,";
                    title { (title) }
                    style { (PreEscaped(STYLE)) (PreEscaped(faces())) }
                }
                body {
                    a.skip href="#results" { "Skip to the results" }
                    header {
                        div {
                            h1 { (title) }
                            p.lead { (self.summary()) }
                        }
                        button #theme type="button" hidden { "Dark theme" }
                        nav aria-label="Sections" {
                            ul {
                                li { a href="#results-title" { "Results" } }
                                li { a href="#plots" { "Plots" } }
                                li { a href="#configurations" { "Configurations" } }
                                li { a href="#data" { "Data" } }
                                li { a href="#problems" { "Failed and missing" } }
                            }
                        }
                    }
                    main {
                        (main)
                    }
                    footer {
                        p {
                            "Made by tagcl " (env!("CARGO_PKG_VERSION")) " from result files alone; this file needs no network. "
                            "Spreads are population standard deviations over seeds, as in the TAG paper."
                        }
                    }
                    div #live .sr aria-live="polite" {}
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    fn summary(self) -> String {
        let runs = self.report.runs.len();
        let mut text = format!(
            "{runs} finished runs of {} configurations",
            self.report.groups.len()
        );
        let others = [
            (self.report.unfinished.len(), "unfinished"),
            (self.report.damaged.len(), "damaged"),
            (self.report.duplicates.len(), "duplicate"),
        ];
        for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
            text = format!("{text}, {count} {what}");
        }
        text.push('.');
        text
    }

    /// The plots that compare configurations.
    fn overview(self, budget: &mut Budget) -> Result<Markup, PlotError> {
        let mut all = Vec::new();
        for kind in PLOTS.iter().filter(|kind| !kind.of_one_group) {
            for figure in self.plots(kind)? {
                all.extend(budget.figure(&figure));
            }
        }
        Ok(html! { @for figure in all { (figure) } })
    }

    /// The plots that belong to one configuration, by its number.
    fn plots_of_groups(self, budget: &mut Budget) -> Result<Vec<Vec<Markup>>, PlotError> {
        let mut own: Vec<Vec<Markup>> = vec![Vec::new(); self.report.groups.len()];
        for kind in PLOTS.iter().filter(|kind| kind.of_one_group) {
            for figure in self.plots(kind)? {
                let place = figure
                    .groups()
                    .first()
                    .and_then(|group| own.get_mut(*group));
                if let Some(place) = place {
                    place.extend(budget.figure(&figure));
                }
            }
        }
        Ok(own)
    }

    fn plots(self, kind: &PlotSpec) -> Result<Vec<Figure>, PlotError> {
        match plots(kind, &self.report.runs, &self.report.groups) {
            Err(PlotError::Lacking { .. }) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// The plots' font, so that no title is wider than it was measured.
fn faces() -> String {
    let face = |(bytes, weight): (&[u8], &str)| {
        let data = BASE64.encode(bytes);
        format!(
            "@font-face{{font-family:Plots;font-weight:{weight};src:url(data:font/ttf;base64,{data})}}"
        )
    };
    font_files()
        .into_iter()
        .zip(["400", "700"])
        .map(face)
        .collect()
}

impl Budget {
    /// The figure, if there is room for it.
    fn figure(&mut self, figure: &Figure) -> Option<Markup> {
        let svg = figure.inline_svg(&format!("f{}", self.figures));
        if svg.len() + 200 > self.left {
            self.omitted += 1;
            return None;
        }
        self.left -= svg.len() + 200;
        self.figures += 1;
        let groups: Vec<String> = figure.groups().iter().map(usize::to_string).collect();
        Some(html! {
            figure data-groups=(groups.join(" ")) {
                div.figscroll { (PreEscaped(svg)) }
            }
        })
    }
}

#[cfg(test)]
mod tests;
