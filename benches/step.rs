//! Times one training step by phase, for every network and engine that the program has.
//!
//! ```text
//! cargo bench --bench step                       all rows, one thread
//! cargo bench --bench step -- --threads 2        threads inside a step (kernels)
//! cargo bench --bench step -- --only 10x32       only these cases (with commas): 10x32, 64x32, 10x84, slim, mlp,
//!                                                alexnet, resnet18, tag, memory, evaluation,
//!                                                evaluation84
//! cargo bench --bench step -- --no-stock         without Burn's own operations, which take most of the time
//! cargo bench --bench step -- --cpu-time         processor time of the process, for a machine that others use (Linux)
//! cargo bench --bench step -- --json             one JSON object, for scripts that compare (tools/peer)
//! ```
//!
//! Every figure is the median over its repetitions, in milliseconds. Rows that are to be compared alternate within one
//! run, since a machine's speed drifts. Data is made outside the timed part, from fixed seeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints and may fail"
)]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use tagcl::data::ImageShape;
use tagcl::experiment::engine::pages;
use tagcl::kernels::resnet::{BatchStats, Trunk, TrunkSpec};
use tagcl::method::batch_gradient;
use tagcl::model::head::task_loss;
use tagcl::model::{
    AlexNetConfig, Dropout, KernelFeedForward, KernelResNet, Learner, MlpConfig, Network,
    NetworkLearner, ReducedResNet, ReducedResNetConfig, ResNet18, ResNet18Config, SlimResNet,
    SlimResNetConfig, TrunkConfig,
};
use tagcl::optim::{Layout, Naive, NaiveKind, Optimizer, PastMoments, Tag, TagConfig, TagMemory};
use tagcl::seed::Seeds;
use tagcl::stream::Batch;

/// Times by row and phase.
type Times = BTreeMap<(String, &'static str), Vec<f64>>;

struct Arguments {
    threads: usize,
    only: Option<String>,
    json: bool,
    stock: bool,
}

/// Steps of a row that are timed before another row has its turn.
const CONSECUTIVE: usize = 4;

/// True where `--cpu-time` was given.
static CPU_TIME: AtomicBool = AtomicBool::new(false);

/// Milliseconds since some moment, or of processor time.
fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    if CPU_TIME.load(Ordering::Relaxed) {
        return process_cpu_ms();
    }
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

/// Processor time of all threads of this process, in milliseconds.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library has no such clock")]
fn process_cpu_ms() -> f64 {
    const PROCESS_CPU_TIME: i32 = 2;
    #[repr(C)]
    struct TimeSpec {
        seconds: std::ffi::c_long,
        nanoseconds: std::ffi::c_long,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut TimeSpec) -> i32;
    }
    let mut time = TimeSpec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: the C library's function, with its types on 64-bit Linux; it writes one `timespec`, which is ours.
    let status = unsafe { clock_gettime(PROCESS_CPU_TIME, &raw mut time) };
    assert_eq!(status, 0, "no clock of processor time");
    time.seconds as f64 * 1e3 + time.nanoseconds as f64 / 1e6
}

#[cfg(not(target_os = "linux"))]
fn process_cpu_ms() -> f64 {
    panic!("--cpu-time is for Linux")
}

fn arguments() -> Arguments {
    let mut found = Arguments {
        threads: 1,
        only: None,
        json: false,
        stock: true,
    };
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--threads" => found.threads = rest.next().unwrap().parse().unwrap(),
            "--only" => found.only = rest.next(),
            "--json" => found.json = true,
            "--cpu-time" => CPU_TIME.store(true, Ordering::Relaxed),
            "--no-stock" => found.stock = false,
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    found
}

fn batch(size: usize, shape: ImageShape, classes: usize) -> Batch {
    let mut stream = Seeds::new(1).stream("bench");
    let values = size * shape.channels * shape.height * shape.width;
    Batch {
        pixels: (0..values).map(|_| stream.unit()).collect(),
        shape,
        labels: (0..size).map(|i| classes + i % classes).collect(),
        competing: vec![(classes..2 * classes).into(); size],
    }
}

/// Some steps of one kind after each other, as a training loop has them: the first, which finds the caches full of what
/// ran before, is not counted.
fn consecutive(times: &mut Times, mut step: impl FnMut(&mut Times)) {
    step(&mut Times::new());
    for _ in 0..CONSECUTIVE {
        step(times);
    }
}

fn time<T>(times: &mut Times, row: &str, phase: &'static str, work: impl FnOnce() -> T) -> T {
    let began = now();
    let result = work();
    let elapsed = now() - began;
    times
        .entry((row.to_string(), phase))
        .or_default()
        .push(elapsed);
    result
}

/// One step of a Burn network on the stock operations, by phase.
fn stock<N: Network>(times: &mut Times, row: &str, network: &N, batch: &Batch) {
    let device = Device::flex().autodiff();
    let shape = [
        batch.len(),
        batch.shape.channels,
        batch.shape.height,
        batch.shape.width,
    ];
    let images = || Tensor::<4>::from_data(TensorData::new(batch.pixels.clone(), shape), &device);
    let images = images();
    let loss = time(times, row, "forward", || {
        let logits = network.forward(images, &mut Dropout::off());
        task_loss(logits, &batch.labels, &batch.competing)
    });
    time(times, row, "backward", || {
        GradientsParams::from_grads(loss.backward(), network)
    });
}

/// Forward and backward pass with loss as a training loop written with Burn has them.
fn burn_step<N: Network>(network: &N, batch: &Batch) -> GradientsParams {
    let shape = [
        batch.len(),
        batch.shape.channels,
        batch.shape.height,
        batch.shape.width,
    ];
    let images = TensorData::new(batch.pixels.clone(), shape);
    let images = Tensor::<4>::from_data(images, &Device::flex().autodiff());
    let logits = network.forward(images, &mut Dropout::off());
    let loss = task_loss(logits, &batch.labels, &batch.competing);
    GradientsParams::from_grads(loss.backward(), network)
}

/// One step of the trunk on the CPU kernels, by phase.
fn kernels(
    times: &mut Times,
    row: &str,
    trunk: &mut Trunk,
    parameters: &[Vec<f32>],
    batch: &Batch,
) {
    let spec = trunk.spec().clone();
    let parameters: Vec<&[f32]> = parameters.iter().map(Vec::as_slice).collect();
    let zero = |&n: &usize| BatchStats {
        mean: vec![0.0; n],
        variance: vec![0.0; n],
    };
    let mut stats: Vec<BatchStats> = spec.norms().iter().map(zero).collect();
    let mut features = vec![0.0; batch.len() * spec.features()];
    let mut gradients: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut gradients: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
    time(times, row, "forward", || {
        trunk.forward_train(&batch.pixels, &parameters, None, &mut stats, &mut features);
    });
    time(times, row, "backward", || {
        trunk.backward(&parameters, &features, &mut gradients);
    });
}

/// One step through the learner, as a run does it: forward and backward pass with head and loss, and the whole step.
fn whole(
    times: &mut Times,
    row: &str,
    phases: [&'static str; 2],
    learner: &mut dyn Learner,
    (optimizer, gradient): (&mut dyn Optimizer, &mut Vec<f32>),
    batch: &Batch,
) {
    let began = now();
    time(times, row, phases[0], || {
        batch_gradient(learner, batch, gradient).unwrap();
    });
    learner
        .update(&mut |theta| optimizer.step(theta, gradient, 1e-6))
        .unwrap();
    times
        .entry((row.to_string(), phases[1]))
        .or_default()
        .push(now() - began);
}

/// The phases of [`whole`] under SGD.
const SGD: [&str; 2] = ["forward+backward+loss", "whole step, SGD"];

/// Those under TAG-RMSProp, by past tasks.
const TAG: [(usize, [&str; 2]); 3] = [
    (0, ["forward+backward+loss, TAG 0", "whole step, TAG 0"]),
    (9, ["forward+backward+loss, TAG 9", "whole step, TAG 9"]),
    (19, ["forward+backward+loss, TAG 19", "whole step, TAG 19"]),
];

/// TAG-RMSProp with this many finished tasks of one random step each.
fn tag_with(past: usize, layout: &Layout, past_moments: PastMoments) -> Tag {
    let config = TagConfig {
        past_moments,
        ..TagConfig::default()
    };
    tag_of(config, past, layout)
}

fn tag_of(config: TagConfig, past: usize, layout: &Layout) -> Tag {
    let mut stream = Seeds::new(1).stream("tag");
    let mut tag = Tag::new(config, layout.clone()).unwrap();
    let mut theta = vec![0.0; layout.len()];
    for _ in 0..past {
        tag.begin_task();
        let gradient: Vec<f32> = theta.iter().map(|_| stream.symmetric(0.1)).collect();
        tag.step(&mut theta, &gradient, 1e-6).unwrap();
    }
    tag.begin_task();
    tag
}

/// What is measured of a network: batch size, side of the images, repetitions.
type Case = (usize, usize, usize);

/// A network that can be told to take Burn's own operations.
trait Stock: Network {
    fn stock(self) -> Self;
}

impl Stock for ReducedResNet {
    fn stock(self) -> Self {
        Self {
            stock: true,
            ..self
        }
    }
}

impl Stock for SlimResNet {
    fn stock(self) -> Self {
        Self {
            stock: true,
            ..self
        }
    }
}

impl Stock for ResNet18 {
    fn stock(self) -> Self {
        Self {
            stock: true,
            ..self
        }
    }
}

fn reduced(times: &mut Times, arguments: &Arguments, case: Case) {
    let config = ReducedResNetConfig {
        image: ImageShape::new(3, case.1, case.1),
        width: 20,
        classes: 100,
    };
    resnet(times, arguments, case, ("reduced ResNet-18", &config));
}

fn slim(times: &mut Times, arguments: &Arguments, case: Case) {
    let config = SlimResNetConfig {
        image: ImageShape::new(3, case.1, case.1),
        width: 20,
        classes: 100,
    };
    resnet(times, arguments, case, ("slim ResNet-18", &config));
}

fn resnet<C: TrunkConfig<Network: Stock>>(
    times: &mut Times,
    arguments: &Arguments,
    (size, side, repeats): Case,
    (network_name, config): (&str, &C),
) {
    let threads = arguments.threads;
    let image = config.image();
    let device = Device::flex().autodiff();
    let stream = || Seeds::new(1).stream("init");
    let batch = batch(size, image, 5);
    let network = config.network(&mut stream(), &device);
    let reference = network.clone().stock();
    let mut stock_learner = NetworkLearner::new(reference.clone(), Dropout::off(), &device);
    let mut fast = KernelResNet::new(config, &mut stream(), Dropout::off(), threads).unwrap();
    let spec = TrunkSpec {
        batch: size,
        ..config.trunk()
    };
    let mut trunk = Trunk::new(spec, threads).unwrap();
    let slots = fast.layout().slots().to_vec();
    let parameters: Vec<Vec<f32>> = slots[..slots.len() - 2]
        .iter()
        .map(|slot| fast.parameters()[slot.range.clone()].to_vec())
        .collect();
    let mut sgd = Naive::new(NaiveKind::Sgd, fast.layout().len());
    let mut gradient = Vec::new();
    let mut tags: Vec<_> = TAG
        .iter()
        .filter(|_| (size, side) == (10, 32))
        .map(|(past, phases)| (tag_with(*past, fast.layout(), PastMoments::F32), *phases))
        .collect();
    let name = |engine: &str| format!("{network_name}, {size}x{side}, {engine}");
    for round in 0..=repeats {
        let mut warm_up = Times::new();
        let times = if round == 0 {
            &mut warm_up
        } else {
            &mut *times
        };
        let row = name("kernels");
        consecutive(times, |times| {
            kernels(times, &row, &mut trunk, &parameters, &batch);
        });
        consecutive(times, |times| {
            let with = (&mut sgd as &mut dyn Optimizer, &mut gradient);
            whole(times, &row, SGD, &mut fast, with, &batch);
        });
        for (tag, phases) in &mut tags {
            consecutive(times, |times| {
                let with = (&mut *tag as &mut dyn Optimizer, &mut gradient);
                whole(times, &row, *phases, &mut fast, with, &batch);
            });
        }
        consecutive(times, |times| {
            time(times, &row, "forward+backward+loss, Burn loop", || {
                burn_step(&network, &batch)
            });
        });
        if arguments.stock && round <= repeats / 4 {
            let row = name("stock");
            stock(times, &row, &reference, &batch);
            let with = (&mut sgd as &mut dyn Optimizer, &mut gradient);
            whole(times, &row, SGD, &mut stock_learner, with, &batch);
        }
    }
}

fn mlp(times: &mut Times, with_stock: bool, repeats: usize) {
    let image = ImageShape::new(1, 28, 28);
    let config = MlpConfig {
        inputs: 784,
        hidden: 256,
        classes: 100,
    };
    let device = Device::flex().autodiff();
    let batch = batch(10, image, 10);
    let network = config.init(&mut Seeds::new(1).stream("init"), &device);
    let mut learner = NetworkLearner::new(network.clone(), Dropout::off(), &device);
    let mut fast =
        KernelFeedForward::mlp(&config, &mut Seeds::new(1).stream("init"), Dropout::off());
    let mut sgd = Naive::new(NaiveKind::Sgd, learner.layout().len());
    let mut gradient = Vec::new();
    let mut tags: Vec<_> = TAG
        .iter()
        .map(|(past, phases)| (tag_with(*past, fast.layout(), PastMoments::F32), *phases))
        .collect();
    for round in 0..=repeats {
        let mut warm_up = Times::new();
        let times = if round == 0 {
            &mut warm_up
        } else {
            &mut *times
        };
        let row = "MLP 784-256-256-100, 10x28, kernels";
        consecutive(times, |times| {
            let with = (&mut sgd as &mut dyn Optimizer, &mut gradient);
            whole(times, row, SGD, &mut fast, with, &batch);
        });
        for (tag, phases) in &mut tags {
            consecutive(times, |times| {
                let with = (&mut *tag as &mut dyn Optimizer, &mut gradient);
                whole(times, row, *phases, &mut fast, with, &batch);
            });
        }
        if with_stock {
            let row = "MLP 784-256-256-100, 10x28, stock";
            stock(times, row, &network, &batch);
            let with = (&mut sgd as &mut dyn Optimizer, &mut gradient);
            whole(times, row, SGD, &mut learner, with, &batch);
        }
    }
}

fn alexnet(times: &mut Times, (threads, with_stock): (usize, bool), repeats: usize) {
    let image = ImageShape::new(3, 32, 32);
    let config = AlexNetConfig {
        image,
        classes: 100,
    };
    let (mut stream, device) = (Seeds::new(1).stream("init"), Device::flex().autodiff());
    let network = config.init(&mut stream, &device).unwrap();
    let batch = batch(64, image, 10);
    // Both draw their dropout, as in training.
    let masks = || Dropout::by_layer(Seeds::new(1).stream("dropout"));
    let mut init = Seeds::new(1).stream("init");
    let mut fast = KernelFeedForward::alexnet(&config, &mut init, masks(), threads).unwrap();
    let mut learner = NetworkLearner::new(network, masks(), &device);
    let mut sgd = Naive::new(NaiveKind::Sgd, fast.layout().len());
    let mut gradient = Vec::new();
    let mut warm_up = Times::new();
    for round in 0..=repeats {
        let times = if round == 0 {
            &mut warm_up
        } else {
            &mut *times
        };
        let engines: [(&str, &mut dyn Learner); 2] =
            [("kernels", &mut fast), ("stock", &mut learner)];
        for (engine, learner) in engines.into_iter().take(1 + usize::from(with_stock)) {
            let row = format!("AlexNet, 64x32, {engine}");
            consecutive(times, |times| {
                let with = (&mut sgd as &mut dyn Optimizer, &mut gradient);
                whole(times, &row, SGD, learner, with, &batch);
            });
        }
    }
}

fn full(times: &mut Times, arguments: &Arguments, case: Case) {
    let config = ResNet18Config {
        image: ImageShape::new(3, case.1, case.1),
        classes: 200,
    };
    resnet(times, arguments, case, ("ResNet-18", &config));
}

/// The sum of a vector, which is the fastest way to read it that this machine has: wide registers keep more of memory's
/// answers under way than narrow ones.
fn read_once(block: &[f32]) -> f32 {
    #[inline]
    fn sum(block: &[f32]) -> f32 {
        let mut lanes = [0.0_f32; 128];
        for chunk in block.as_chunks::<128>().0 {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane += x;
            }
        }
        lanes.iter().sum()
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn wide(block: &[f32]) -> f32 {
        sum(block)
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        #[allow(unsafe_code, reason = "the instructions must be there")]
        // SAFETY: they are, as was just asked.
        return unsafe { wide(block) };
    }
    sum(block)
}

/// The parameter tensors of networks of several sizes, with their names: 0.1 to 12 million parameters.
fn layouts() -> Vec<(String, Layout)> {
    let mlp = |hidden: usize| {
        let config = MlpConfig {
            inputs: 784,
            hidden,
            classes: 100,
        };
        let learner =
            KernelFeedForward::mlp(&config, &mut Seeds::new(1).stream("init"), Dropout::off());
        learner.layout().clone()
    };
    let config = ReducedResNetConfig {
        image: ImageShape::new(3, 32, 32),
        width: 20,
        classes: 100,
    };
    let mut stream = Seeds::new(1).stream("init");
    let resnet = KernelResNet::new(&config, &mut stream, Dropout::off(), 1).unwrap();
    let all = [mlp(110), resnet.layout().clone(), mlp(1150), mlp(3030)];
    let name = |layout: Layout| {
        let millions = layout.len() as f64 / 1e6;
        (format!("{millions:.2} million parameters"), layout)
    };
    all.map(name).into()
}

/// TAG's update alone, with the floor of reading its past once.
fn tag(times: &mut Times, (name, layout): &(String, Layout), past: usize, repeats: usize) {
    let mut stream = Seeds::new(1).stream("tag");
    let gradient: Vec<f32> = (0..layout.len()).map(|_| stream.symmetric(0.1)).collect();
    let mut theta = gradient.clone();
    let mut tag = tag_with(past, layout, PastMoments::F32);
    let mut half = tag_with(past, layout, PastMoments::Bf16);
    let block: Vec<f32> = vec![1.0; 2 * past.max(1) * layout.len()];
    let row = format!("TAG-RMSProp update, {name}, {past:2} past tasks");
    for _ in 0..repeats {
        time(times, &row, "update", || {
            tag.step(&mut theta, &gradient, 1e-6).unwrap();
        });
        if past > 0 {
            time(times, &row, "update, bf16 past", || {
                half.step(&mut theta, &gradient, 1e-6).unwrap();
            });
            let sum = time(times, &row, "reading the past once", || read_once(&block));
            assert!(sum > 0.0);
        }
    }
}

/// Whole steps of the reduced ResNet-18 under RMSProp and under TAG's memories, alternating. A figure is the mean of ten
/// steps after each other, of which one refreshes the clusters' α; a ratio is that to RMSProp's ten of the same round.
fn memory(times: &mut Times, threads: usize, repeats: usize) {
    const STEPS: usize = 10;
    let image = ImageShape::new(3, 32, 32);
    let config = ReducedResNetConfig {
        image,
        width: 20,
        classes: 100,
    };
    let mut stream = Seeds::new(1).stream("init");
    let mut learner = KernelResNet::new(&config, &mut stream, Dropout::off(), threads).unwrap();
    let batch = batch(10, image, 5);
    let layout = learner.layout().clone();
    let mut all: Vec<(String, Box<dyn Optimizer>)> = vec![(
        "RMSProp".to_string(),
        Box::new(Naive::new(NaiveKind::RmsProp, layout.len())),
    )];
    for (name, memory, past_moments) in [
        ("exact", TagMemory::Exact, PastMoments::F32),
        ("flat", TagMemory::Flat, PastMoments::F32),
        ("clusters", TagMemory::Clusters, PastMoments::Bf16),
    ] {
        for past in [0, 20, 100] {
            let config = TagConfig {
                memory,
                past_moments,
                ..TagConfig::default()
            };
            let tag = tag_of(config, past, &layout);
            let floats = tag.state_bytes() as f64 / 4.0 / layout.len() as f64;
            let name = format!("TAG-RMSProp, {name}, {past:3} past tasks ({floats:.2} P floats)");
            all.push((name, Box::new(tag)));
        }
    }
    let mut gradient = Vec::new();
    for round in 0..=repeats {
        let mut first = None;
        for (row, optimizer) in &mut all {
            let mut step = || {
                batch_gradient(&mut learner, &batch, &mut gradient).unwrap();
                let mut step = |theta: &mut [f32]| optimizer.step(theta, &gradient, 1e-6);
                learner.update(&mut step).unwrap();
            };
            step();
            let began = now();
            for _ in 0..STEPS {
                step();
            }
            let mean = (now() - began) / STEPS as f64;
            let base = *first.get_or_insert(mean);
            if round > 0 {
                let of = |phase| (format!("10x32, {row}"), phase);
                times.entry(of("whole step")).or_default().push(mean);
                let ratio = of("ratio to RMSProp's");
                times.entry(ratio).or_default().push(mean / base);
            }
        }
    }
}

/// The forward pass on 256 images of side `size` with running statistics; `stock` beside Burn's operations too.
fn evaluation(times: &mut Times, threads: usize, (size, stock): (usize, bool), repeats: usize) {
    let shape = ImageShape::new(3, size, size);
    let config = ReducedResNetConfig {
        image: shape,
        width: 20,
        classes: 100,
    };
    let mut trunk = Trunk::new(TrunkSpec::reduced(256, size), threads).unwrap();
    let device = Device::flex();
    let mut network = config.init(&mut Seeds::new(1).stream("init"), &device);
    network.stock = true;
    let learner = KernelResNet::new(
        &config,
        &mut Seeds::new(1).stream("init"),
        Dropout::off(),
        threads,
    )
    .unwrap();
    let slots = learner.layout().slots();
    let parameters: Vec<&[f32]> = slots[..slots.len() - 2]
        .iter()
        .map(|s| &learner.parameters()[s.range.clone()])
        .collect();
    let norms = trunk.spec().norms();
    let running: Vec<(Vec<f32>, Vec<f32>)> = norms
        .iter()
        .map(|&n| (vec![0.0; n], vec![1.0; n]))
        .collect();
    let running: Vec<(&[f32], &[f32])> = running
        .iter()
        .map(|(m, v)| (m.as_slice(), v.as_slice()))
        .collect();
    let batch = batch(256, shape, 5);
    let mut features = vec![0.0; 256 * trunk.spec().features()];
    for round in 0..=repeats {
        let mut warm_up = Times::new();
        let times = if round == 0 {
            &mut warm_up
        } else {
            &mut *times
        };
        let row = |engine| format!("evaluation of 256 images, {size}x{size}, {engine}");
        time(times, &row("kernels"), "forward", || {
            trunk.forward_eval(&batch.pixels, &parameters, &running, &mut features);
        });
        if stock && round <= repeats / 4 {
            let data = TensorData::new(batch.pixels.clone(), [256, 3, size, size]);
            let images = Tensor::<4>::from_data(data, &device);
            time(times, &row("stock"), "forward", || {
                network.forward(images, &mut Dropout::off()).into_data()
            });
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    pages::restart();
    let arguments = arguments();
    let only = arguments.only.clone();
    let wanted = |name: &str| {
        only.as_deref()
            .is_none_or(|only| only.split(',').any(|o| o == name))
    };
    let mut times = Times::new();
    for case in [(10, 32, 20), (64, 32, 6), (10, 84, 6)] {
        if wanted(&format!("{}x{}", case.0, case.1)) {
            reduced(&mut times, &arguments, case);
        }
    }
    if wanted("slim") {
        slim(&mut times, &arguments, (10, 32, 12));
    }
    if wanted("mlp") {
        mlp(&mut times, arguments.stock, 60);
    }
    if wanted("alexnet") {
        let engines = (arguments.threads, arguments.stock);
        alexnet(&mut times, engines, 12);
    }
    if wanted("resnet18") {
        full(&mut times, &arguments, (10, 224, 3));
    }
    if wanted("tag") {
        for layout in layouts() {
            let large = layout.1.len() > 1_000_000;
            for past in [0, 1, 9, 19, 49] {
                // 49 past tasks of the largest network would need 14 GB here.
                if past < 49 || layout.1.len() < 10_000_000 {
                    tag(&mut times, &layout, past, if large { 10 } else { 40 });
                }
            }
        }
    }
    if wanted("memory") {
        memory(&mut times, arguments.threads, 40);
    }
    for (case, size, repeats) in [("evaluation", 32, 16), ("evaluation84", 84, 6)] {
        if wanted(case) {
            let how = (size, arguments.stock);
            evaluation(&mut times, arguments.threads, how, repeats);
        }
    }
    if arguments.json {
        let rows: BTreeMap<String, f64> = times
            .iter_mut()
            .map(|((row, phase), values)| (format!("{row}: {phase}"), median(values)))
            .collect();
        println!(
            "{}",
            serde_json::json!({"threads": arguments.threads, "median_ms": rows})
        );
        return;
    }
    println!("medians in ms, {} thread(s)", arguments.threads);
    for ((row, phase), values) in &mut times {
        let (n, middle) = (values.len(), median(values));
        println!(
            "{row:62} {phase:22} {middle:9.3}   (min {:.3}, n {n})",
            values[0]
        );
    }
}
