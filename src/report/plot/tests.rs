use std::path::Path;

use super::*;
use crate::experiment::plan::config::RunConfig;
use crate::experiment::run::result::{AlphaResult, RunResult, TensorAlpha};
use crate::metrics::{Metrics, TaskMatrix, Within};
use crate::report::group_runs;
use crate::report::load::load;
use crate::report::testing;

/// A result of four tasks that forgets `loss` points of every task with each later one.
fn result(config: RunConfig, start: f64, loss: f64) -> RunResult {
    let mut result = testing::result(config, start, 0.0);
    let row = |i: usize| (0..=i).map(|j| start - loss * (i - j) as f64).collect();
    result.accuracy_matrix = TaskMatrix::new((0..4).map(row).collect()).unwrap();
    result.within = (0..4)
        .map(|task| Within {
            task,
            step: 5,
            accuracies: vec![start - 20.0; task + 1],
        })
        .collect();
    result.metrics = Metrics::of(&result.accuracy_matrix).unwrap();
    result.cost.wall_s = 10.0 * start;
    if result.config.value("alpha").is_some() {
        let table = |scale: f64| -> Vec<Vec<f64>> {
            (0..4)
                .map(|t| {
                    (0..=t)
                        .map(|tau| {
                            if tau == t {
                                0.0067
                            } else {
                                scale + 0.1 * tau as f64
                            }
                        })
                        .collect()
                })
                .collect()
        };
        let tensor = |tensor: &str, scale| TensorAlpha {
            tensor: tensor.to_string(),
            mean: table(scale),
        };
        result.alpha = Some(AlphaResult {
            mean: table(1.5),
            clusters: None,
            per_tensor: vec![tensor("conv1.weight", 2.0), tensor("linear.bias", 1.0)],
        });
    }
    result
}

fn config(settings: &[(&str, &str)], seed: u64) -> RunConfig {
    let mut all = vec![("tasks", "4")];
    all.extend_from_slice(settings);
    testing::config(&all, seed)
}

/// Three methods, two seeds each, and a sweep of the third's learning rate.
fn results() -> Vec<RunResult> {
    let mut all = Vec::new();
    for seed in [1, 2] {
        let shift = seed as f64;
        all.push(result(
            config(&[("optimizer", "sgd")], seed),
            70.0 + shift,
            6.0,
        ));
        all.push(result(
            config(&[("method", "er"), ("optimizer", "sgd")], seed),
            72.0 + shift,
            4.0,
        ));
        for (lr, start) in [("0.0001", 60.0), ("0.00025", 75.0), ("0.001", 66.0)] {
            let tag = config(&[("optimizer", "tag-rmsprop"), ("lr", lr)], seed);
            all.push(result(tag, start + shift, 2.0));
        }
    }
    all
}

fn write(results: &[RunResult], folder: &Path) {
    for result in results {
        testing::write(folder, result);
    }
}

/// All figures of a kind, through result files.
fn drawn(kind: &PlotSpec, results: &[RunResult]) -> Result<Vec<Figure>, PlotError> {
    let folder = tempfile::tempdir().unwrap();
    write(results, folder.path());
    let loaded = load(folder.path()).unwrap();
    let groups = group_runs(&loaded.runs, &loaded.unfinished);
    plots(kind, &loaded.runs, &groups)
}

/// The lines of text of a file, whose letters are outlines.
fn text_of<'a>(document: &'a roxmltree::Document<'_>) -> Vec<&'a str> {
    document
        .descendants()
        .filter_map(|n| n.attribute("aria-label"))
        .collect()
}

/// Checks a plot's PDF: one page of the plot's size, whose packed content names only states that are defined, draws an
/// outline for every word, and no operand that is no number.
fn page_of(figure: &Figure) {
    use std::io::Read as _;
    let file = figure.pdf(2.0).unwrap();
    assert!(file.starts_with(b"%PDF-1."), "{}", figure.name);
    let find = |what: &[u8]| file.windows(what.len()).position(|w| w == what);
    let start = find(b"stream\n").unwrap() + 7;
    let mut content = String::new();
    flate2::read::ZlibDecoder::new(&file[start..])
        .read_to_string(&mut content)
        .unwrap();
    assert!(!content.contains("NaN") && !content.contains("inf"));
    let outside = String::from_utf8_lossy(&file[..start]).into_owned()
        + &String::from_utf8_lossy(&file[start..]);
    let (_, size) = outside.split_once("/MediaBox [0 0 ").unwrap();
    let size: Vec<f64> = size
        .split(']')
        .next()
        .unwrap()
        .split(' ')
        .map(|x| x.parse().unwrap())
        .collect();
    // Three quarters of a point in a unit, at twice the size.
    for (found, units) in size.iter().zip([figure.width, figure.height]) {
        assert!((found - 1.5 * units).abs() < 0.01, "{size:?}");
    }
    for line in content.lines().filter(|line| line.ends_with(" gs")) {
        let name = line.trim_end_matches(" gs");
        assert!(outside.contains(&format!("{name} ")), "{name}");
    }
    let count = |operator: &str| {
        content
            .lines()
            .filter(|line| line.ends_with(operator))
            .count()
    };
    assert_eq!(count("q"), count("Q"), "states are restored");
    let words = figure.svg().matches("aria-label").count();
    assert_eq!(count("q"), words, "a text of SVG is an outline of PDF");
}

#[test]
fn every_kind_draws_well_formed_svg_inside_its_page_and_png() {
    for spec in PLOTS {
        let kind = spec.name;
        let figures = drawn(spec, &results()).unwrap();
        let own = figures.iter().filter(|figure| figure.groups().len() == 1);
        assert!(!spec.of_one_group || own.count() == figures.len(), "{kind}");
        for figure in figures {
            let svg = figure.svg();
            let document = roxmltree::Document::parse(&svg).unwrap();
            let root = document.root_element();
            assert!(root.children().any(|n| n.has_tag_name("title")), "{kind}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{kind}");
            let inline = figure.inline_svg("f0");
            let inline = roxmltree::Document::parse(&inline).unwrap();
            let texts = inline.descendants().filter(|n| n.has_tag_name("text"));
            let words: Vec<&str> = texts
                .map(|text| {
                    inside(&text, &figure);
                    text.text().unwrap_or("")
                })
                .collect();
            // A file has the same words as outlines, every one of which is defined.
            assert_eq!(text_of(&document), words, "{kind}");
            let ids: Vec<&str> = document
                .descendants()
                .filter_map(|n| n.attribute("id"))
                .collect();
            let xlink = "http://www.w3.org/1999/xlink";
            for used in document
                .descendants()
                .filter_map(|n| n.attribute((xlink, "href")))
            {
                assert!(
                    ids.contains(&used.trim_start_matches('#')),
                    "{kind}: {used}"
                );
            }
            assert!(!svg.contains("<text"), "{kind}: text needs a font");
            assert!(figure.name.len() <= 64, "{}", figure.name);
            page_of(&figure);
            let png = figure.png(1.0).unwrap();
            assert_eq!(png.get(..8).unwrap(), b"\x89PNG\r\n\x1a\n");
            assert!(
                figure
                    .name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)),
                "{}",
                figure.name
            );
        }
    }
}

/// A text must not be cut off at the page's edges.
fn inside(text: &roxmltree::Node<'_, '_>, figure: &Figure) {
    let get = |name: &str| text.attribute(name).unwrap().parse::<f64>().unwrap();
    let words = text.text().unwrap_or("");
    let bold = text.attribute("font-weight").is_some();
    let length = font::Font::new(get("font-size"), bold).width(words);
    let before = match text.attribute("text-anchor") {
        None => 0.0,
        Some("middle") => length / 2.0,
        _ => length,
    };
    let (x, y) = (get("x"), get("y"));
    if text.attribute("transform").is_some() {
        assert!(
            y + before <= figure.height && y + before - length >= 0.0,
            "{}: {words}",
            figure.name
        );
    } else {
        assert!(
            x - before >= 0.0 && x - before + length <= figure.width,
            "{}: {words}",
            figure.name
        );
        assert!(y <= figure.height && y > 5.0, "{}: {words}", figure.name);
    }
}

/// How many plots of each kind the results have: one that draws too few or too many is noticed here.
#[test]
fn every_kind_draws_what_there_is() {
    let count = |spec: &PlotSpec| drawn(spec, &results()).unwrap().len();
    let counts: Vec<(&str, usize)> = PLOTS.iter().map(|p| (p.name, count(p))).collect();
    let expected = [
        ("curves", 1),
        ("anytime", 1),
        ("matrix", 5),
        ("forgetting", 1),
        ("alpha", 6),
        ("alpha-layers", 3),
        ("bars", 1),
        ("cost", 1),
        ("sensitivity", 1),
    ];
    for (name, count) in expected {
        assert!(counts.contains(&(name, count)), "{name}: {counts:?}");
    }
}

#[test]
fn the_page_of_documentation_has_every_kind() {
    let page = include_str!("../../../docs/reports.md");
    for spec in PLOTS {
        let row = format!(
            "| `{}` | {} | {} |",
            spec.name, spec.description, spec.paper
        );
        assert!(
            page.contains(&row.replace("  |", " |")),
            "docs/reports.md lacks `{row}`"
        );
    }
}

#[test]
fn curves_show_means_over_seeds_at_their_places() {
    let figures = drawn(&curves::CURVES, &results()).unwrap();
    let svg = figures[0].svg();
    // SGD after task 2: rows of 71 and 65, of 72 and 66: means 68 and 69.
    assert!(
        svg.contains("<title>Naive SGD, after task 2: 68.50 ± 0.50</title>"),
        "{svg}"
    );
    let document = roxmltree::Document::parse(&svg).unwrap();
    let texts = text_of(&document);
    for label in [
        "Naive SGD",
        "ER (M=1)",
        "TAG-RMSProp (lr 0.00025)",
        "tasks trained",
    ] {
        assert!(texts.contains(&label), "{label} in {texts:?}");
    }
    assert!(!texts.contains(&"TAG-RMSProp"));
}

#[test]
fn forgetting_is_the_metric_task_by_task() {
    let figures = drawn(&forgetting::FORGETTING, &results()).unwrap();
    let svg = figures[0].svg();
    assert!(
        svg.contains("<title>Naive SGD, task 1: 18.00 ± 0.00</title>"),
        "{svg}"
    );
    assert!(svg.contains("<title>Naive SGD, task 3: 6.00 ± 0.00</title>"));
    assert!(!svg.contains("Naive SGD, task 4:"));
}

#[test]
fn alpha_leaves_the_present_task_out_of_its_colours() {
    let figures = drawn(&alpha::ALPHA, &results()).unwrap();
    let heat_map = figures
        .iter()
        .find(|f| f.name.starts_with("alpha-split"))
        .unwrap();
    let svg = heat_map.svg();
    assert!(svg.contains("<title>t = 2, τ = 1: 1.500</title>"));
    let own = svg
        .split("<rect")
        .find(|part| part.contains("t = 2, τ = 2: 0.007"))
        .unwrap();
    assert!(own.contains(&colour::Paint::Empty.css(false)), "{own}");
    let course = figures
        .iter()
        .find(|f| f.name.starts_with("alpha-course"))
        .unwrap();
    assert!(
        course
            .svg()
            .contains("<title>τ = t − 1, the task before, task t = 4: 1.700")
    );
}

#[test]
fn layers_are_in_the_order_of_the_network() {
    let figures = drawn(&alpha_layers::ALPHA_LAYERS, &results()).unwrap();
    let svg = figures[0].svg();
    let (first, last) = (
        svg.find("\"conv1.weight\"").unwrap(),
        svg.find("\"linear.bias\"").unwrap(),
    );
    assert!(first < last);
    assert!(svg.contains("<title>conv1.weight, t = 2: 2.000</title>"));
}

#[test]
fn a_sweep_has_a_plot_of_what_was_swept() {
    let figures = drawn(&sensitivity::SENSITIVITY, &results()).unwrap();
    assert_eq!(
        figures[0].title,
        "Accuracy against lr: TAG-RMSProp, Split-CIFAR100, task-incremental, 4 tasks"
    );
    // 75 + seed, minus two points for each later task: 1.5 tasks on average.
    let expected = 75.0 + 1.5 - 3.0;
    assert!(
        figures[0]
            .description
            .contains(&format!("best: lr 0.00025 with {expected:.1}")),
        "{}",
        figures[0].description
    );
}

#[test]
fn memories_of_one_optimizer_are_lines_of_one_plot() {
    let mut results = Vec::new();
    for memory in ["exact", "flat", "clusters"] {
        for own in ["0", "3"] {
            let config = testing::config(
                &[
                    ("optimizer", "tag-rmsprop"),
                    ("tag_memory", memory),
                    ("tag_own_b", own),
                ],
                1,
            );
            results.push(testing::result(config, 60.0, 2.0));
        }
    }
    let figures = drawn(&sensitivity::SENSITIVITY, &results).unwrap();
    // Three lines over the weight; what only clusters have takes one value.
    let [figure] = &figures[..] else {
        panic!("{}", figures.len());
    };
    assert!(figure.title.contains("tag_own_b: TAG-RMSProp, "));
    let svg = figure.svg();
    for memory in ["exact", "flat", "clusters"] {
        assert!(svg.contains(&format!("tag_memory {memory}")), "{memory}");
    }
}

#[test]
fn published_figures_stand_beside_the_bars_of_the_same_settings() {
    let full = |seed| {
        let config = testing::config(&[("tasks", "20"), ("optimizer", "tag-rmsprop")], seed);
        testing::result(config, 62.0, 3.0)
    };
    let figures = drawn(&bars::BARS, &[full(1), full(2)]).unwrap();
    assert!(
        figures[0].svg().contains("published: 62.8 ± 0.3"),
        "{}",
        figures[0].svg()
    );
    let figures = drawn(&bars::BARS, &results()).unwrap();
    assert!(
        !figures[0].svg().contains("published"),
        "four tasks were never published"
    );
}

#[test]
fn clusters_are_named_under_alpha() {
    let run = |clusters| AlphaResult {
        mean: vec![vec![0.0], vec![1.0, 0.0]],
        clusters,
        per_tensor: Vec::new(),
    };
    let clustered = run(Some(vec![vec![], vec![vec![0, 2], vec![1]]]));
    let one = alpha::shared(std::slice::from_ref(&clustered));
    assert!(one.ends_with("at the last task {1, 3} {2}"), "{one}");
    let two = alpha::shared(&[clustered.clone(), clustered]);
    assert_eq!(two, "Tasks of one cluster share their α");
    assert_eq!(alpha::shared(&[run(None)]), "");
}

#[test]
fn what_is_lacking_is_said() {
    let plain = [result(config(&[("optimizer", "sgd")], 1), 70.0, 5.0)];
    for (kind, word) in [
        (&alpha::ALPHA, "--optimizer tag-rmsprop"),
        (&alpha_layers::ALPHA_LAYERS, "--optimizer tag-rmsprop"),
        (&sensitivity::SENSITIVITY, "sweep"),
    ] {
        let error = drawn(kind, &plain).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains(kind.name), "{error}");
    }
    let error = drawn(&curves::CURVES, &[]).unwrap_err();
    assert!(error.to_string().contains("no finished runs"), "{error}");
    let mut joint = testing::result(
        config(&[("schedule", "joint"), ("lr", "0.01")], 1),
        80.0,
        0.0,
    );
    joint.accuracy_matrix = TaskMatrix::only_final(vec![80.0; 4]).unwrap();
    joint.metrics = Metrics::of(&joint.accuracy_matrix).unwrap();
    for kind in [&curves::CURVES, &matrix::MATRIX, &forgetting::FORGETTING] {
        assert!(
            drawn(kind, std::slice::from_ref(&joint)).is_err(),
            "{}",
            kind.name
        );
    }
    // Beside others it is a point at the end.
    let both = [joint, plain[0].clone()];
    let figures = drawn(&curves::CURVES, &both).unwrap();
    assert!(
        figures[0]
            .svg()
            .contains("MTL (joint), after task 4: 80.00"),
        "{}",
        figures[0].svg()
    );
}

#[test]
fn many_groups_stand_in_several_plots() {
    let rates: Vec<String> = (1..=30).map(|i| format!("0.{i:02}")).collect();
    let all: Vec<RunResult> = rates
        .iter()
        .map(|lr| result(config(&[("optimizer", "sgd"), ("lr", lr)], 1), 70.0, 5.0))
        .collect();
    let figures = drawn(&curves::CURVES, &all).unwrap();
    assert_eq!(figures.len(), 3);
    assert!(
        figures[2].title.ends_with("(3 of 3)"),
        "{}",
        figures[2].title
    );
    let names: std::collections::HashSet<&str> = figures.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names.len(), 3);
    let series: usize = figures.iter().map(|f| f.groups().len()).sum();
    assert_eq!(series, 30);
}

#[test]
fn the_same_results_give_the_same_bytes() {
    for kind in PLOTS {
        let (a, b) = (
            drawn(kind, &results()).unwrap(),
            drawn(kind, &results()).unwrap(),
        );
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.svg(), b.svg());
            assert_eq!(a.png(1.0).unwrap(), b.png(1.0).unwrap());
            assert_eq!(a.pdf(1.0).unwrap(), b.pdf(1.0).unwrap());
        }
    }
}

#[test]
fn a_plot_for_a_paper_has_no_heading_and_the_width_that_was_asked_for() {
    for spec in PLOTS {
        let whole = drawn(spec, &results()).unwrap().remove(0);
        let bare = whole.clone().without_heading();
        let svg = bare.svg_at(bare.scale_to(340.0));
        assert!(!svg.contains(&format!("aria-label=\"{}\"", svg::escape(&whole.title))));
        let document = roxmltree::Document::parse(&svg).unwrap();
        let root = document.root_element();
        assert_eq!(root.attribute("width"), Some("340"), "{}", spec.name);
        let height = |figure: &Figure| {
            let png = figure.png(1.0).unwrap();
            u32::from_be_bytes(png[20..24].try_into().unwrap())
        };
        assert!(
            height(&bare) < height(&whole) && height(&bare) > 50,
            "{}",
            spec.name
        );
    }
}
