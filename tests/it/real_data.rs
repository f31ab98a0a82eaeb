//! Runs on the full data sets, where `TAGCL_SHARED` names a folder that has them in `data/`.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{stderr, stdout, tagcl};

/// The data folder, or `None` (said aloud) where there is none.
fn data() -> Option<PathBuf> {
    let shared = std::env::var_os("TAGCL_SHARED");
    if shared.is_none() {
        eprintln!("not run: TAGCL_SHARED is not set");
    }
    shared.map(|folder| PathBuf::from(folder).join("data"))
}

#[test]
fn real_mnist_is_complete_and_known() {
    let Some(data) = data() else { return };
    let output = tagcl()
        .args(["data", "verify", "mnist", "--json", "--data"])
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&report["train"]["images"], &report["test"]["images"]),
        (&60_000.into(), &10_000.into())
    );
}

#[test]
fn real_cifar100_is_learned_from_its_archive() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let arguments = "run --benchmark split-cifar100 --tasks 2 --fraction 0.04 --batch-size 20 --optimizer tag-rmsprop \
                     --lr 0.001 --jobs 1 --threads 2 --json --data";
    let output = tagcl()
        .args(arguments.split_whitespace())
        .arg(data)
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let accuracy = value["runs"][0]["metrics"]["learning_accuracy"]
        .as_f64()
        .unwrap();
    // Chance is 2 % with 50 classes a task; 2,000 images teach a little.
    assert!(accuracy > 4.0, "{accuracy}");
}

/// torchvision's ResNet-18 out of a checkpoint as `torch.save` writes it, against the features and logits that PyTorch
/// gives for it; and a head of other classes.
#[test]
fn a_torchvision_checkpoint_gives_pytorchs_features() {
    use burn::tensor::{Device, Tensor, TensorData};
    use tagcl::data::ImageShape;
    use tagcl::model::{
        Dropout, Learner, Network as _, NetworkLearner, ResNet18Config, fit_weights, read_weights,
    };
    use tagcl::seed::Seeds;

    let Some(data) = data() else { return };
    let file = std::fs::File::open(data.join("resnet18-format-sample.pth.xz")).unwrap();
    let mut bytes = Vec::new();
    let mut xz = lzma_rust2::XzReader::new(std::io::BufReader::new(file), false);
    std::io::Read::read_to_end(&mut xz, &mut bytes).unwrap();
    let json = std::fs::read(data.join("resnet18-format-sample.json")).unwrap();
    let golden: Value = serde_json::from_slice(&json).unwrap();
    let weights = read_weights(&bytes).unwrap();
    // 62 parameters and 20 norms' mean and variance; the 20 counters are integers.
    assert_eq!(weights.len(), 102);

    let device = Device::flex().autodiff();
    let network = |classes| {
        let image = ImageShape::new(3, 224, 224);
        let config = ResNet18Config { image, classes };
        let network = config.init(&mut Seeds::new(1).stream("init"), &device);
        NetworkLearner::new(network, Dropout::off(), &device)
    };
    let mut learner = network(weights["fc.weight"].0[0]);
    learner.load(&bytes).unwrap();
    let pixels: Vec<f32> = (0..2 * 3 * 224 * 224)
        .map(|i| (0.5 * (0.7 * f64::from(i) + 65.0).sin()) as f32)
        .collect();
    let images = Tensor::<4>::from_data(TensorData::new(pixels, [2, 3, 224, 224]), &Device::flex());
    let network_now = {
        use burn::module::Module as _;
        learner.network().valid()
    };
    let features = network_now.features(images, &mut Dropout::off());
    let logits = network_now.fc.forward(features.clone());
    for (found, name) in [(features, "features"), (logits, "logits")] {
        let width = found.dims()[1];
        let found: Vec<f32> = found.into_data().try_into_vec().unwrap();
        for (row, values) in found.chunks(width).enumerate() {
            let near = |x: f64, y: &Value| (x / y.as_f64().unwrap() - 1.0).abs() < 1e-4;
            let first = &golden[format!("{name}_first8")][row];
            for (i, x) in values.iter().take(8).enumerate() {
                assert!(
                    near(f64::from(*x), &first[i]),
                    "{name} {row} {i}: {x} {}",
                    first[i]
                );
            }
            let norm = values
                .iter()
                .map(|x| f64::from(*x).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(
                near(norm, &golden[format!("{name}_norm")][row]),
                "{name} {row}: {norm}"
            );
        }
    }

    let mut other = network(200);
    assert!(other.load(&bytes).unwrap_err().to_string().contains("fc."));
    let fresh = other.weights().unwrap();
    other
        .load(&fit_weights(&bytes, &fresh, Some("fc")).unwrap().weights)
        .unwrap();
    let (now, before) = (other.weights().unwrap(), read_weights(&fresh).unwrap());
    let now = read_weights(&now).unwrap();
    assert_eq!(now["fc.weight"], before["fc.weight"]);
    assert_eq!(
        now["layer4.1.conv2.weight"],
        weights["layer4.1.conv2.weight"]
    );
    assert_eq!(
        now["layer2.0.downsample.1.running_var"],
        weights["layer2.0.downsample.1.running_var"]
    );
}

/// Runs the program on real data; its standard output as JSON.
fn json(arguments: &str, data: &std::path::Path) -> Value {
    let cache = tempfile::tempdir().unwrap();
    let output = tagcl()
        .env("TAGCL_CACHE", cache.path())
        .args(arguments.split_whitespace())
        .arg("--json")
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn real_notmnist_has_two_broken_files() {
    let Some(data) = data() else { return };
    let report = json("data verify notmnist", &data);
    assert_eq!(
        (&report["train"]["images"], &report["test"]["images"]),
        (&16_852.into(), &1_872.into())
    );
    assert!(
        report["note"]
            .as_str()
            .unwrap()
            .contains("2 of 18726 files are no images")
    );
}

#[test]
fn samples_of_the_papers_data_sets_are_read() {
    let Some(data) = data() else { return };
    let svhn = json("data show svhn", &data.join("svhn-sample"));
    assert_eq!(svhn["train"]["images"], 400);
    assert!(
        svhn["note"]
            .as_str()
            .unwrap()
            .contains("not the complete svhn")
    );
    let folder = tempfile::tempdir().unwrap();
    let archive = data.join("mini-imagenet-sample/mini-imagenet-cache-sample.tar.xz");
    std::fs::copy(archive, folder.path().join("mini-imagenet.tar.xz")).unwrap();
    let mini = json("data show mini-imagenet", folder.path());
    assert_eq!(mini["train"]["class_counts"], Value::from(vec![4; 100]));
    assert_eq!(mini["test"]["class_counts"], Value::from(vec![2; 100]));
    let images = json(
        "data show mini-imagenet",
        &data.join("mini-imagenet-sample/folder"),
    );
    assert_eq!(images["train"]["images"], 54);
    assert!(
        images["note"]
            .as_str()
            .unwrap()
            .contains("94 classes have no images")
    );
    let cub = json("data show cub", &data.join("cub-sample"));
    let counts = cub["train"]["class_counts"].as_array().unwrap();
    assert_eq!(counts[..4], [30, 30, 30, 0].map(Value::from));
    assert!(
        cub["note"]
            .as_str()
            .unwrap()
            .contains("3 of 200 classes have images")
    );
}

/// The classes that are there, as a stream of their own.
#[test]
fn three_kinds_of_birds_are_a_stream() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let run = |more: &str| {
        let cache = tempfile::tempdir().unwrap();
        tagcl()
            .env("TAGCL_CACHE", cache.path())
            .args("run --benchmark split-cub --lr 0.01 --fraction 0.1 --jobs 1 --json".split(' '))
            .args(more.split_whitespace())
            .arg("--data")
            .arg(data.join("cub-sample"))
            .arg("--out")
            .arg(out.path())
            .output()
            .unwrap()
    };
    let whole = run("");
    assert!(stderr(&whole).contains("--classes 3"), "{}", stderr(&whole));
    // Three tasks of one class each would be no tasks.
    let single = run("--classes 3 --tasks 3");
    crate::program::refused(&single, 2, &["tasks of one class"]);
    let subset = run("--classes 3 --tasks 1");
    assert!(subset.status.success(), "{}", stderr(&subset));
    assert!(
        stderr(&subset).contains("subset of 3 of 200 classes"),
        "{}",
        stderr(&subset)
    );
}
