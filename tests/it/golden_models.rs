//! The golden vectors of the models: one SGD step on task 2, then logits in evaluation mode.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;
use tagcl::data::{ImageSet, ImageShape};
use tagcl::method::batch_gradient;
use tagcl::model::{
    AlexNetConfig, Dropout, LeNetConfig, Learner, MlpConfig, Mode, Network, NetworkLearner,
    ReducedResNetConfig, ResNet18Config, SlimResNetConfig, TrunkConfig, Wanted, read_weights,
};
use tagcl::seed::Seeds;
use tagcl::stream::Batch;

use burn::tensor::{Device, Tensor, TensorData};

fn read(file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

/// What the names of the slim ResNet-18's cases begin with.
const SLIM: &str = "slim-resnet18-";

/// Whether the weights and images of the model's script are hashed noise; else they are sines.
fn is_noise(model: &str) -> bool {
    model == "resnet18-64" || model.starts_with(SLIM)
}

fn golden(model: &str) -> Value {
    match model {
        "resnet18-64" => read("resnet18.json"),
        _ if model.starts_with(SLIM) => read("slim_resnet18.json")[model].clone(),
        _ => read("models.json")["models"][model].clone(),
    }
}

/// By how much a gradient may differ, relative to its tensor's.
///
/// In `models.json` some activations of the full ResNet-18 lie at the ReLU's edge: PyTorch's own single precision
/// differs from these double-precision gradients by up to 5e-3 (`tests/golden/make_resnet18.py`).
fn gradient_tolerance(model: &str) -> f64 {
    if model == "resnet18-224" { 1e-2 } else { 1e-3 }
}

/// A bias before a batch norm has no effect, so its gradient is zero, and what is found is rounding.
fn is_before_norm(model: &str, tensor: &str) -> bool {
    model == "lenet-32" && ["linear.0.bias", "linear.4.bias"].contains(&tensor)
}

fn fill(len: usize, salt: f64, scale: f64) -> Vec<f32> {
    (0..len)
        .map(|i| (scale * (0.7 * i as f64 + 1.3 * salt).sin()) as f32)
        .collect()
}

/// The noise of `make_resnet18.py`.
fn noise(len: usize, salt: u64, scale: f64) -> Vec<f32> {
    let hash = |i: usize| {
        let mut x = (i as u64 * 2_654_435_761 + salt * 40_503 * 65_537) as u32;
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        f64::from(x >> 8) / f64::from(1 << 23) - 1.0
    };
    (0..len).map(|i| (scale * hash(i)) as f32).collect()
}

/// Parameter number `i` (from 0) by the formula of the model's script.
fn parameter(model: &str, i: usize, shape: &[usize]) -> Vec<f32> {
    let len = shape.iter().product();
    let fan_in = shape.iter().skip(1).product::<usize>() as f64;
    match (is_noise(model), shape.len()) {
        (true, 1) => noise(len, i as u64 + 1, 0.1),
        (true, _) => noise(len, i as u64 + 1, (3.0 / fan_in).sqrt()),
        (_, 1) => fill(len, i as f64, 0.1),
        _ => fill(len, i as f64, 1.0 / fan_in.sqrt()),
    }
}

/// The script's parameter names of a model in the released code's.
fn released(model: &str, name: &str) -> String {
    let renamed: &[(&str, &str)] = match model {
        "resnet18-224" | "resnet18-64" => &[],
        _ if model.starts_with(SLIM) => &[],
        "alexnet-32" => &[
            ("c1.", "conv1."),
            ("c2.", "conv2."),
            ("c3.", "conv3."),
            ("f1.", "fc1."),
            ("f2.", "fc2."),
            ("f3.", "linear."),
        ],
        "lenet-32" => &[
            ("c1.", "linear.0."),
            ("n1.", "linear.1."),
            ("c2.", "linear.4."),
            ("n2.", "linear.5."),
            ("f1.", "linear.9."),
            ("f2.", "last."),
        ],
        "mlp-256x10" => &[("l1.", "W1."), ("l2.", "W2."), ("l3.", "W3.")],
        _ => &[("conv.", "conv1."), ("norm.", "bn1.")],
    };
    let Some(rest) = name.strip_prefix("blocks.") else {
        let renamed = renamed.iter().find(|(old, _)| name.starts_with(old));
        return renamed.map_or(name.to_string(), |(old, new)| name.replacen(old, new, 1));
    };
    let (block, rest) = rest.split_once('.').unwrap();
    let block: usize = block.parse().unwrap();
    let rest = rest
        .replacen("conv.", "conv1.", 1)
        .replacen("shortcut.", "shortcut.0.", 1)
        .replacen("norm1.", "bn1.0.", 1)
        .replacen("norm2.", "bn2.0.", 1);
    format!("layer{}.{}.{rest}", block / 2 + 1, block % 2)
}

/// The weights of the script's formula as a file that `load` takes; buffers as they are in the fresh learner.
fn weights(model: &str, golden: &Value, fresh: &[u8]) -> Vec<u8> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = read_weights(fresh).unwrap();
    for (i, row) in golden["gradients"].as_array().unwrap().iter().enumerate() {
        let name = row["parameter"].as_str().unwrap();
        let shape: Vec<usize> = serde_json::from_value(row["shape"].clone()).unwrap();
        let mut values = parameter(model, i, &shape);
        if shape.len() == 1 && name.ends_with("weight") {
            for x in &mut values {
                *x += 1.0;
            }
        }
        let old = tensors.insert(released(model, name), (shape.clone(), values));
        assert_eq!(
            old.map(|o| o.0),
            Some(shape),
            "{name} is {} here",
            released(model, name)
        );
    }
    let blocks: Vec<_> = tensors
        .iter()
        .map(|(n, (shape, v))| {
            (
                n,
                shape,
                v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(),
            )
        })
        .collect();
    let views = blocks.iter().map(|(n, shape, b)| {
        (
            n.as_str(),
            TensorView::new(Dtype::F32, (*shape).clone(), b).unwrap(),
        )
    });
    serialize(views, None).unwrap()
}

fn close(found: f64, golden: f64, scale: f64, what: &str) {
    within(1e-3, found, golden, scale, what);
}

fn within(tolerance: f64, found: f64, golden: f64, scale: f64, what: &str) {
    assert!(
        (found - golden).abs() <= tolerance * scale.abs().max(golden.abs()),
        "{what}: {found} {golden}"
    );
}

fn check<N: Network>(name: &str, network: N, device: &Device) {
    let golden = golden(name);
    let mut learner = NetworkLearner::new(network, Dropout::off(), device);
    check_training(name, &golden, &mut learner);
    let shape: [usize; 4] = serde_json::from_value(golden["input_shape"].clone()).unwrap();
    let per_task = golden["classes_per_task"].as_u64().unwrap() as usize;
    let images = Tensor::<4>::from_data(
        TensorData::new(pixels(name, &golden), shape),
        &Device::flex(),
    );
    let logits = learner
        .network()
        .valid()
        .forward(images, &mut Dropout::off());
    let found = logits
        .narrow(1, per_task, per_task)
        .into_data()
        .try_into_vec::<f32>()
        .unwrap();
    let expected = logits_of(&golden, "eval_logits_task_slice_after_sgd_step");
    close_logits(&found, &expected, "logit in evaluation mode");
}

fn pixels(model: &str, golden: &Value) -> Vec<f32> {
    let shape: Vec<usize> = serde_json::from_value(golden["input_shape"].clone()).unwrap();
    let len = shape.iter().product();
    if is_noise(model) {
        return noise(len, 1000, 1.0);
    }
    fill(len, 50.0, 0.5).into_iter().map(|x| x + 0.5).collect()
}

fn batch(model: &str, golden: &Value) -> Batch {
    let shape: Vec<usize> = serde_json::from_value(golden["input_shape"].clone()).unwrap();
    let per_task = golden["classes_per_task"].as_u64().unwrap() as usize;
    Batch {
        pixels: pixels(model, golden),
        shape: ImageShape::new(shape[1], shape[2], shape[3]),
        labels: serde_json::from_value(golden["labels"].clone()).unwrap(),
        competing: vec![(per_task..2 * per_task).into(); shape[0]],
    }
}

/// The logits of task 2 that a file has, row by row.
fn logits_of(golden: &Value, which: &str) -> Vec<f64> {
    let rows = golden[which].as_array().unwrap();
    let rows = rows
        .iter()
        .map(|r| serde_json::from_value::<Vec<f64>>(r.clone()).unwrap());
    rows.flatten().collect()
}

fn close_logits(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        close(f64::from(*found), *expected, scale, what);
    }
}

/// The logits of a pass with batch statistics, from the script's weights.
fn check_train_logits(model: &str, golden: &Value, learner: &mut dyn Learner) {
    let file = weights(model, golden, &learner.weights().unwrap());
    learner.load(&file).unwrap();
    let per_task = golden["classes_per_task"].as_u64().unwrap() as usize;
    let batch = batch(model, golden);
    let logits = learner.forward(&batch, Mode::Observe, Wanted::All).unwrap();
    let rows = logits.values().chunks_exact(logits.classes());
    let found: Vec<f32> = rows
        .flat_map(|row| &row[per_task..2 * per_task])
        .copied()
        .collect();
    let expected = logits_of(golden, "train_logits_task_slice");
    close_logits(&found, &expected, "logit in training mode");
}

/// Loss, gradients, one SGD step and running statistics against the golden ones.
fn check_training(model: &str, golden: &Value, learner: &mut dyn Learner) {
    assert_eq!(
        learner.layout().len() as u64,
        golden["parameters"].as_u64().unwrap()
    );
    let file = weights(model, golden, &learner.weights().unwrap());
    learner.load(&file).unwrap();

    let batch = batch(model, golden);
    let mut gradient = Vec::new();
    let loss = batch_gradient(learner, &batch, &mut gradient).unwrap();
    close(
        f64::from(loss),
        golden["loss"].as_f64().unwrap(),
        0.0,
        "loss",
    );
    let slots = learner.layout().slots().to_vec();
    for row in golden["gradients"].as_array().unwrap() {
        let tensor = released(model, row["parameter"].as_str().unwrap());
        let slot = slots.iter().find(|s| s.name == tensor).unwrap();
        let values = &gradient[slot.range.clone()];
        let norm = values
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt();
        let expected = row["norm"].as_f64().unwrap();
        if is_before_norm(model, &tensor) {
            assert!(
                expected < 1e-12 && norm < 1e-6,
                "{tensor}: {norm} {expected}"
            );
            continue;
        }
        let close = |found, golden, scale, what: &str| {
            within(gradient_tolerance(model), found, golden, scale, what);
        };
        close(norm, expected, 0.0, &format!("{tensor} norm"));
        let sum = values.iter().map(|x| f64::from(*x)).sum::<f64>();
        // A sum of many values of both signs is compared on the scale of its terms.
        let terms = expected * (values.len() as f64).sqrt();
        close(
            sum,
            row["sum"].as_f64().unwrap(),
            terms,
            &format!("{tensor} sum"),
        );
        for (i, first) in row["first"].as_array().unwrap().iter().enumerate() {
            let what = format!("{tensor} value {i}");
            close(
                f64::from(values[i]),
                first.as_f64().unwrap(),
                expected,
                &what,
            );
        }
    }
    let mut step = |theta: &mut [f32]| {
        theta
            .iter_mut()
            .zip(&gradient)
            .for_each(|(p, g)| *p -= 0.01 * g);
        Ok(())
    };
    learner.update(&mut step).unwrap();
    let after = read_weights(&learner.weights().unwrap()).unwrap();
    for (buffer, row) in golden["running_statistics_after_step"].as_object().unwrap() {
        let (_, values) = &after[&released(model, buffer)];
        for (i, first) in row["first"].as_array().unwrap().iter().enumerate() {
            close(f64::from(values[i]), first.as_f64().unwrap(), 1e-2, buffer);
        }
        let sum: f64 = values.iter().map(|x| f64::from(*x)).sum();
        close(sum, row["sum"].as_f64().unwrap(), 1e-2, buffer);
    }
}

#[test]
fn mlp() {
    let device = Device::flex().autodiff();
    let config = MlpConfig {
        inputs: 784,
        hidden: 256,
        classes: 100,
    };
    check(
        "mlp-256x10",
        config.init(&mut Seeds::new(1).stream("init"), &device),
        &device,
    );
}

#[test]
fn alexnet() {
    let device = Device::flex().autodiff();
    let image = ImageShape::new(3, 32, 32);
    let config = AlexNetConfig {
        image,
        classes: 100,
    };
    let network = config.init(&mut Seeds::new(1).stream("init"), &device);
    let network = network.unwrap();
    check("alexnet-32", network.clone(), &device);
    // The released class has five norms that nothing uses; strict loading there wants them.
    let file = NetworkLearner::new(network, Dropout::off(), &device).weights();
    let tensors = read_weights(&file.unwrap()).unwrap();
    assert_eq!(tensors.len(), 12 + 5 * 4);
    assert_eq!(tensors["bn5.running_var"], (vec![2048], vec![1.0; 2048]));
}

#[test]
fn lenet() {
    let device = Device::flex().autodiff();
    let image = ImageShape::new(3, 32, 32);
    let config = LeNetConfig { image, classes: 50 };
    let network = config.init(&mut Seeds::new(1).stream("init"), &device);
    check("lenet-32", network, &device);
}

/// The Burn module on its kernels and on Burn's own operations, and the learner on the kernels.
fn full_resnet(name: &str, side: usize, classes: usize) {
    let device = Device::flex().autodiff();
    let image = ImageShape::new(3, side, side);
    let config = ResNet18Config { image, classes };
    for stock in [false, true] {
        let mut network = config.init(&mut Seeds::new(1).stream("init"), &device);
        network.stock = stock;
        check(name, network, &device);
    }
    kernels(name, &config, |mut network| {
        network.stock = true;
        network
    });
}

#[test]
fn resnet18_for_64_pixels() {
    full_resnet("resnet18-64", 64, 20);
}

#[test]
fn resnet18_for_224_pixels() {
    full_resnet("resnet18-224", 224, 200);
}

/// The Burn module on its kernels and on Burn's own operations.
fn resnet(name: &str, side: usize) {
    let device = Device::flex().autodiff();
    let config = ReducedResNetConfig {
        image: ImageShape::new(3, side, side),
        width: 20,
        classes: 100,
    };
    for stock in [false, true] {
        let mut network = config.init(&mut Seeds::new(1).stream("init"), &device);
        network.stock = stock;
        check(name, network, &device);
    }
}

/// The CPU kernels against the golden file, and in evaluation mode against the Burn module with the same weights.
fn kernels<C: TrunkConfig>(name: &str, config: &C, stock: fn(C::Network) -> C::Network) {
    use std::sync::Arc;
    use tagcl::model::KernelResNet;
    use tagcl::stream::{ClassOrder, Protocol, Scaling, StreamKind, StreamSpec, TaskStream};
    let side = config.image().height;
    let init = || Seeds::new(1).stream("init");
    let mut kernels = KernelResNet::new(config, &mut init(), Dropout::off(), 1).unwrap();
    let device = Device::flex().autodiff();
    let network = stock(config.network(&mut init(), &device));
    let mut stock = NetworkLearner::new(network, Dropout::off(), &device);
    assert_eq!(kernels.parameters(), stock.parameters(), "initial values");
    check_training(name, &golden(name), &mut kernels);
    stock.load(&kernels.weights().unwrap()).unwrap();
    assert_eq!(
        kernels.parameters(),
        stock.parameters(),
        "weights through a file"
    );

    let images = 7;
    let pixels = (0..images * 3 * side * side)
        .map(|i| (i * 37 % 251) as u8)
        .collect();
    let labels = (0..images).map(|i| i as u16).collect();
    let shape = ImageShape::new(3, side, side);
    let set = ImageSet::new(shape, pixels, labels, config.classes()).unwrap();
    let set = Arc::new(set);
    let kind = StreamKind::Split(ClassOrder::Fixed);
    let spec = StreamSpec {
        kind,
        tasks: 1,
        sizes: None,
        first_tasks: None,
        validation: 0.0,
        fraction: 1.0,
        samples_per_task: None,
        scaling: Scaling::Unit,
        protocol: Protocol::default(),
    };
    let stream = TaskStream::from_sets(&spec, &set, &set, Seeds::new(1)).unwrap();
    let test = &stream.tasks()[0].test;
    let (a, b) = (
        kernels.evaluate(test, 4, 1).unwrap(),
        stock.evaluate(test, 4, 1).unwrap(),
    );
    assert!((a.loss() - b.loss()).abs() < 1e-4 * b.loss(), "{a:?} {b:?}");
}

fn resnet_kernels(name: &str, side: usize) {
    let config = ReducedResNetConfig {
        image: ImageShape::new(3, side, side),
        width: 20,
        classes: 100,
    };
    kernels(name, &config, |mut network| {
        network.stock = true;
        network
    });
}

#[test]
fn reduced_resnet_kernels_for_32_pixels() {
    resnet_kernels("reduced-resnet18-32", 32);
}

#[test]
fn reduced_resnet_kernels_for_84_pixels() {
    resnet_kernels("reduced-resnet18-84", 84);
}

#[test]
fn reduced_resnet_for_32_pixels() {
    resnet("reduced-resnet18-32", 32);
}

#[test]
fn reduced_resnet_for_84_pixels() {
    resnet("reduced-resnet18-84", 84);
}

fn slim(side: usize) -> SlimResNetConfig {
    SlimResNetConfig {
        image: ImageShape::new(3, side, side),
        width: 20,
        classes: 100,
    }
}

/// The Burn module on its kernels and on Burn's own operations, and the learner on the kernels.
fn slim_resnet(side: usize) {
    use tagcl::model::KernelResNet;
    let (device, config) = (Device::flex().autodiff(), slim(side));
    let name = format!("{SLIM}{side}");
    let init = || Seeds::new(1).stream("init");
    for stock in [false, true] {
        let mut network = config.init(&mut init(), &device);
        network.stock = stock;
        check(&name, network.clone(), &device);
        let mut learner = NetworkLearner::new(network, Dropout::off(), &device);
        check_train_logits(&name, &golden(&name), &mut learner);
    }
    kernels(&name, &config, |mut network| {
        network.stock = true;
        network
    });
    let mut kernels = KernelResNet::new(&config, &mut init(), Dropout::off(), 1).unwrap();
    check_train_logits(&name, &golden(&name), &mut kernels);
}

#[test]
fn slim_resnet_for_32_pixels() {
    slim_resnet(32);
}

#[test]
fn slim_resnet_for_84_pixels() {
    slim_resnet(84);
}

#[test]
fn the_slim_resnet_has_the_parameters_of_the_release() {
    let device = Device::flex().autodiff();
    let network = slim(32).init(&mut Seeds::new(1).stream("init"), &device);
    let learner = NetworkLearner::new(network, Dropout::off(), &device);
    let slots = learner.layout().slots();
    assert_eq!(learner.layout().len(), 1_109_240);
    // Their names and order, as the release's `state_dict` has them.
    let golden = golden("slim-resnet18-32");
    let rows = golden["gradients"].as_array().unwrap();
    let expected = rows.iter().map(|row| row["parameter"].as_str().unwrap());
    assert!(slots.iter().map(|slot| slot.name.as_str()).eq(expected));
    let shortcuts = ["layer2.0.shortcut.0.weight", "layer4.0.shortcut.1.bias"];
    for name in shortcuts {
        assert!(slots.iter().any(|slot| slot.name == name), "{name}");
    }
}

#[test]
fn evaluation_does_not_depend_on_threads() {
    use std::sync::Arc;
    use tagcl::stream::{Angles, Protocol, Scaling, StreamKind, StreamSpec, TaskStream};
    let device = Device::flex().autodiff();
    let config = MlpConfig {
        inputs: 16,
        hidden: 8,
        classes: 10,
    };
    let network = config.init(&mut Seeds::new(1).stream("init"), &device);
    let learner = NetworkLearner::new(network, Dropout::off(), &device);
    let pixels = (0..16 * 50).map(|i| (i * 37 % 256) as u8).collect();
    let labels = (0..50).map(|i| (i % 5) as u16).collect();
    let set = Arc::new(ImageSet::new(ImageShape::new(1, 4, 4), pixels, labels, 5).unwrap());
    let kind = StreamKind::Rotated(Angles::Exact);
    let spec = StreamSpec {
        kind,
        tasks: 2,
        sizes: None,
        first_tasks: None,
        validation: 0.0,
        fraction: 1.0,
        samples_per_task: None,
        scaling: Scaling::Unit,
        protocol: Protocol::default(),
    };
    let stream = TaskStream::from_sets(&spec, &set, &set, Seeds::new(1)).unwrap();
    let one = learner.evaluate(&stream.tasks()[1].test, 7, 1).unwrap();
    assert_eq!(one.total, 50);
    assert_eq!(
        one,
        learner.evaluate(&stream.tasks()[1].test, 7, 3).unwrap()
    );
}
