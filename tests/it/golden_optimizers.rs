//! The golden vectors of the optimizers: computed by plain PyTorch in double precision (`tests/golden/make_golden.py`), and
//! those of TAG's memories by NumPy (`tools/make_golden_tag_memory.py`).

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;
use tagcl::metrics::{Metrics, TaskMatrix};
use tagcl::optim::{
    AlphaRule, AlphaScope, ClusterConfig, ClusterMerge, Epsilon, Layout, Naive, NaiveKind,
    Optimizer, PastMoments, PastScales, SketchSize, Tag, TagBase, TagConfig, TagMemory,
};

const TENSORS: [&str; 3] = ["conv", "weight", "bias"];

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name),
    )
    .unwrap()
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&golden(name)).unwrap()
}

fn tensor(file: &SafeTensors, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    view.data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|c| f32::from_le_bytes(*c))
        .collect()
}

/// The three tensors of one step, as one flat vector.
fn flat(file: &SafeTensors, prefix: &str, task: usize, step: usize) -> Vec<f32> {
    TENSORS
        .iter()
        .flat_map(|n| tensor(file, &format!("{prefix}/{task}/{step}/{n}")))
        .collect()
}

fn layout(meta: &Value) -> Layout {
    Layout::new(TENSORS.iter().map(|n| {
        let shape = serde_json::from_value(meta["shapes"][n].clone()).unwrap();
        ((*n).to_string(), shape)
    }))
}

/// `fill(shape, salt, scale)` of the script.
fn fill(len: usize, salt: f64, scale: f64) -> impl Iterator<Item = f32> {
    (0..len).map(move |i| (scale * (0.7 * i as f64 + 1.3 * salt).sin()) as f32)
}

fn initial(layout: &Layout) -> Vec<f32> {
    let salted = layout.slots().iter().zip([1.0, 2.0, 3.0]);
    salted
        .flat_map(|(slot, salt)| fill(slot.range.len(), salt, 0.3))
        .collect()
}

/// Largest deviation relative to the larger of the golden value and 0.01 (the size of one step).
fn deviation(found: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(found.len(), golden.len());
    found
        .iter()
        .zip(golden)
        .map(|(a, b)| (a - b).abs() / b.abs().max(0.01))
        .fold(0.0, f32::max)
}

/// Runs a case from the start; each step is also taken once from the golden parameters before it.
fn check(
    case: &str,
    optimizer: &mut dyn Optimizer,
    mut each: impl FnMut(usize, usize, &dyn Optimizer),
) {
    let (bytes, meta) = (golden("optimizers.safetensors"), json("optimizers.json"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let layout = layout(&meta);
    let lr = meta["cases"][case]["lr"].as_f64().unwrap() as f32;
    let mut theta = initial(&layout);
    let mut before = theta.clone();
    for task in 0..3 {
        optimizer.begin_task();
        for step in 0..4 {
            let gradient = flat(&file, "grad", task, step);
            let expected = flat(&file, case, task, step);
            let moved: Vec<f32> = {
                let old = theta.clone();
                optimizer.step(&mut theta, &gradient, lr).unwrap();
                theta
                    .iter()
                    .zip(&old)
                    .zip(&before)
                    .map(|((new, old), b)| b + (new - old))
                    .collect()
            };
            let one = deviation(&moved, &expected);
            assert!(
                one < 1e-5,
                "{case}, task {task}, step {step}: one step deviates by {one:e}"
            );
            let all = deviation(&theta, &expected);
            assert!(
                all < 1e-4,
                "{case}, task {task}, step {step}: all steps deviate by {all:e}"
            );
            before = expected;
            each(task, step, optimizer);
        }
        optimizer.end_task();
    }
}

fn check_tag(case: &str, config: TagConfig) {
    let meta = json("optimizers.json");
    let rows = meta["cases"][case]["alphas"].as_array().unwrap().clone();
    assert_eq!(Some(config.b), meta["cases"][case]["b"].as_f64());
    let layout = layout(&meta);
    // The concrete type is needed to read the newest α, so the steps are replayed on a second copy.
    let mut tag = Tag::new(config, layout.clone()).unwrap();
    check(case, &mut tag, |_, _, _| {});
    let bytes = golden("optimizers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tag = Tag::new(config, layout.clone()).unwrap();
    let mut theta = initial(&layout);
    let mut means = vec![vec![0.0; 3]; 3];
    for (task, means) in means.iter_mut().enumerate() {
        tag.begin_task();
        for step in 0..4 {
            tag.step(&mut theta, &flat(&file, "grad", task, step), 0.01)
                .unwrap();
            for (n, name) in TENSORS.iter().enumerate() {
                let row = rows
                    .iter()
                    .find(|r| r["task"] == task && r["step"] == step && r["tensor"] == *name)
                    .unwrap();
                for (tau, golden) in row["alpha"].as_array().unwrap().iter().enumerate() {
                    let (found, golden) =
                        (tag.newest_alphas()[tau * 3 + n], golden.as_f64().unwrap());
                    let error = (f64::from(found) - golden).abs() / golden.max(1e-2);
                    assert!(
                        error < 1e-5,
                        "{case} α({task},{tau}) of {name} at step {step}: {found} {golden}"
                    );
                    means[tau] += golden / 12.0;
                }
            }
        }
        tag.end_task();
    }
    for (t, row) in means.iter().enumerate() {
        for (tau, mean) in row.iter().enumerate().take(t + 1) {
            let found = tag.alpha().unwrap().mean(t, tau).unwrap();
            assert!(
                (found - mean).abs() < 1e-4 * mean.max(1.0),
                "mean α({t},{tau}): {found} {mean}"
            );
        }
    }
}

#[test]
fn tag_rmsprop() {
    check_tag("tag-rmsprop", TagConfig::default());
}

#[test]
fn tag_adagrad() {
    check_tag(
        "tag-adagrad",
        TagConfig {
            base: TagBase::Adagrad,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_adam() {
    check_tag(
        "tag-adam",
        TagConfig {
            base: TagBase::Adam,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_without_correlation() {
    check_tag(
        "tag-rmsprop-b0",
        TagConfig {
            b: 0.0,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_with_one_alpha_for_the_whole_model() {
    check_tag(
        "tag-rmsprop-global-alpha",
        TagConfig {
            scope: AlphaScope::Global,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_with_epsilon_inside_the_root() {
    check_tag(
        "tag-rmsprop-eps-inside",
        TagConfig {
            epsilon: Epsilon::Inside,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_1() {
    check_tag(
        "tag-1",
        TagConfig {
            alpha: AlphaRule::One,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_age() {
    check_tag(
        "tag-age",
        TagConfig {
            alpha: AlphaRule::Age,
            ..TagConfig::default()
        },
    );
}

#[test]
fn tag_of_stored_gradients() {
    for (case, stored_gradients) in [("tag-g-1", 1), ("tag-g-3", 3)] {
        check_tag(
            case,
            TagConfig {
                alpha: AlphaRule::Gradients,
                stored_gradients,
                ..TagConfig::default()
            },
        );
    }
}

#[test]
fn naive_optimizers_are_pytorchs() {
    let kinds = [
        ("naive-sgd", NaiveKind::Sgd),
        ("naive-rmsprop", NaiveKind::RmsProp),
        ("naive-adagrad", NaiveKind::Adagrad),
        ("naive-adam", NaiveKind::Adam),
    ];
    let parameters = layout(&json("optimizers.json")).len();
    for (case, kind) in kinds {
        check(case, &mut Naive::new(kind, parameters), |_, _, _| {});
    }
}

#[test]
fn metrics_of_the_golden_matrix() {
    let golden = json("methods.json");
    let golden = &golden["metrics"];
    let rows: Vec<Vec<f64>> = serde_json::from_value(golden["R"].clone()).unwrap();
    let percent = rows
        .iter()
        .map(|r| r.iter().map(|x| x * 100.0).collect())
        .collect();
    let found = Metrics::of(&TaskMatrix::new(percent).unwrap()).unwrap();
    let expected = |name: &str| golden[name].as_f64().unwrap();
    let pairs = [
        (found.average_accuracy / 100.0, expected("average_accuracy")),
        (
            found.learning_accuracy.unwrap() / 100.0,
            expected("learning_accuracy"),
        ),
        (
            found.forgetting.unwrap(),
            expected("forgetting_paper_max_over_earlier_times"),
        ),
        (
            found.forgetting_released.unwrap(),
            expected("forgetting_released_max_over_all_times"),
        ),
        (
            found.backward_transfer.unwrap() / 100.0,
            expected("bwt_over_T_minus_1"),
        ),
    ];
    for (found, expected) in pairs {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

/// A case of `tools/make_golden_tag_memory.py` as a configuration.
fn memory_config(case: &str, meta: &Value) -> TagConfig {
    let settings = &meta["settings"];
    let whole = |key: &str| settings[key].as_u64().map(|x| x as usize);
    let usual = ClusterConfig::default();
    let scale = |kind: &str| settings["scales"][kind].as_f64().unwrap_or(1.0);
    TagConfig {
        base: match meta["base"].as_str().unwrap() {
            "rmsprop" => TagBase::RmsProp,
            "adagrad" => TagBase::Adagrad,
            "adam" => TagBase::Adam,
            other => panic!("{other}"),
        },
        b: settings["b"].as_f64().unwrap_or(5.0),
        alpha: match settings["alpha"].as_str() {
            Some("one") => AlphaRule::One,
            _ => AlphaRule::Cosine,
        },
        scope: match settings["scope"].as_str() {
            Some("global") => AlphaScope::Global,
            _ => AlphaScope::Tensor,
        },
        epsilon: if meta["inside"] == true {
            Epsilon::Inside
        } else {
            Epsilon::Outside
        },
        past_moments: if settings["half"] == true {
            PastMoments::Bf16
        } else {
            PastMoments::F32
        },
        memory: if case.starts_with("flat") {
            TagMemory::Flat
        } else {
            TagMemory::Clusters
        },
        past_scales: PastScales {
            norm: scale("norm"),
            convolution: scale("convolution"),
            linear: scale("linear"),
        },
        clusters: ClusterConfig {
            count: whole("clusters").unwrap_or(usual.count),
            sketch: whole("sketch").map_or(SketchSize::Exact, SketchSize::Numbers),
            refresh: whole("refresh").unwrap_or(usual.refresh),
            first_refresh: whole("first").unwrap_or(usual.first_refresh),
            merge: match settings["merge"].as_str() {
                Some("oldest") => ClusterMerge::Oldest,
                _ => ClusterMerge::Ward,
            },
            debias: settings["debias"] != false,
        },
        ..TagConfig::default()
    }
}

#[test]
fn memories_of_tag() {
    const NAMES: [&str; 4] = ["conv.weight", "fc.weight", "fc.bias", "norm.weight"];
    let golden = json("tag_memory.json");
    let layout = Layout::new(NAMES.map(|name| {
        let shape = serde_json::from_value(golden["shapes"][name].clone()).unwrap();
        (name.to_string(), shape)
    }));
    let sizes: Vec<usize> = layout.slots().iter().map(|s| s.range.len()).collect();
    let along = [1.0, -0.8, 0.5, 0.9, -1.1, 0.2];
    let gradient = |task: usize, step: usize| -> Vec<f32> {
        let of = |(k, &len): (usize, &usize)| {
            let own = (11 * task + 3 * step + 100 * k) as f64;
            let shared = fill(len, (100 * k + 7) as f64, 0.4 * along[task]);
            let sum = shared.zip(fill(len, own, 0.5));
            sum.map(|(a, b)| a + b).collect::<Vec<f32>>()
        };
        sizes.iter().enumerate().flat_map(of).collect()
    };
    let floats = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
    let cases = golden["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 16);
    for (case, meta) in cases {
        let mut tag = Tag::new(memory_config(case, meta), layout.clone()).unwrap();
        let mut theta: Vec<f32> = (sizes.iter().zip(1..))
            .flat_map(|(&len, salt)| fill(len, f64::from(salt), 0.3))
            .collect();
        for (task, expected) in meta["tasks"].as_array().unwrap().iter().enumerate() {
            tag.begin_task();
            let rows = expected["alphas"].as_array().unwrap();
            for (step, alphas) in rows.iter().enumerate() {
                tag.step(&mut theta, &gradient(task, step), 0.01).unwrap();
                let alphas = floats(alphas);
                assert_eq!(tag.newest_alphas().len(), alphas.len());
                for (a, b) in tag.newest_alphas().iter().zip(&alphas) {
                    let error = (a - b).abs() / b.max(1e-2);
                    assert!(error < 1e-5, "{case}, task {task}, step {step}: {a} {b}");
                }
            }
            let all = deviation(&theta, &floats(&expected["theta"]));
            assert!(all < 1e-4, "{case}, task {task}: deviates by {all:e}");
            if let Some(record) = tag.alpha() {
                let members: Vec<Vec<usize>> =
                    serde_json::from_value(expected["members"].clone()).unwrap();
                assert_eq!(record.clusters(task).unwrap(), members, "{case}");
            }
        }
    }
}
