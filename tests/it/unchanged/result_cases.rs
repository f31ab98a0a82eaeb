//! The runs whose results are compared, as arguments of `tagcl run`.

use super::plan_cases::{METHODS, OPTIMIZERS, PROFILES};

/// What the cases on MNIST have in common unless they say otherwise.
pub const MNIST: &str = "--data embedded --hidden 19 --epochs 2 --dropout 0.2";
/// What the cases on generated images have in common.
pub const OWN: &str = "--batch-size 4";

const STREAMS: [&str; 3] = [
    "--benchmark rotated-mnist --tasks 3 --fraction 0.02",
    "--benchmark permuted-mnist --tasks 2 --fraction 0.02",
    "--benchmark split-mnist --tasks 5 --fraction 0.1",
];

fn rate(optimizer: &str) -> &'static str {
    match optimizer {
        "sgd" => "0.1",
        "tag-rmsprop" => "0.002",
        "tag-adam" => "0.005",
        _ => "0.01",
    }
}

/// Every method with every optimizer and profile, the streams in turn; then what single settings of methods do.
pub fn methods() -> Vec<String> {
    let mut all = Vec::new();
    for (i, method) in METHODS.iter().enumerate() {
        for (j, optimizer) in OPTIMIZERS.iter().enumerate() {
            for (k, profile) in PROFILES.iter().enumerate() {
                let stream = STREAMS[(i + j + k) % STREAMS.len()];
                all.push(format!(
                    "{stream} --method {method} --optimizer {optimizer} --lr {} --profile {profile}",
                    rate(optimizer)
                ));
            }
        }
    }
    let stream = STREAMS[0];
    for case in [
        "--method ewc --lambda 0",
        "--method ewc --lambda 20",
        "--method ewc --lambda 20 --fisher released",
        "--method ewc --lambda 20 --penalty released",
        "--method ewc --lambda 20 --fisher-samples 20",
        "--method agem --memory-per-class 3",
        "--method agem --memory-per-class 0",
        "--method agem --forwards-twice true",
        "--method er --memory-per-class 3",
        "--method er --memory-per-class 0",
        "--method er --reservoir batch",
        "--method er --replay-current true",
        "--method er --reservoir batch --replay-current true --memory-per-class 2",
    ] {
        all.push(format!("{stream} {case} --optimizer sgd --lr 0.1"));
        all.push(format!("{stream} {case} --optimizer tag-adam --lr 0.01"));
    }
    all
}

/// TAG's variants.
pub fn tag() -> Vec<String> {
    let mut all = Vec::new();
    for optimizer in ["tag-rmsprop", "tag-adagrad", "tag-adam"] {
        for case in [
            "--alpha one",
            "--alpha age",
            "--alpha gradients",
            "--alpha gradients --stored-gradients 2",
            "--alpha gradients --stored-gradients 50",
            "--alpha gradients --alpha-scope global",
            "--alpha-scope global",
            "--epsilon inside",
            "--past-moments bf16",
            "--bias-correction per-epoch",
            "--b 0",
            "--b 1",
            "--alpha age --epsilon inside --past-moments bf16",
            "--alpha gradients --stored-gradients 2 --epsilon inside --past-moments bf16 --alpha-scope global",
        ] {
            all.push(format!(
                "{} --optimizer {optimizer} --lr {} {case}",
                STREAMS[0],
                rate(optimizer)
            ));
        }
    }
    for optimizer in ["tag-rmsprop", "tag-adagrad", "tag-adam"] {
        for memory in [
            "flat --tag-scale-linear 2",
            "clusters --tag-clusters 1 --tag-sketch 32 --tag-refresh 2 --tag-first-refresh 2",
        ] {
            all.push(format!(
                "{} --optimizer {optimizer} --lr {} --tag-memory {memory}",
                STREAMS[0],
                rate(optimizer)
            ));
        }
    }
    all
}

/// The order of examples, early stopping, learning rates, what of the data is used.
pub fn settings() -> Vec<String> {
    let rotated = "--benchmark rotated-mnist --tasks 3 --fraction 0.02";
    let split = "--benchmark split-mnist --tasks 5 --fraction 0.1";
    let cases = [
        (rotated, "--schedule cyclic --lr 0.02"),
        (rotated, "--schedule cyclic --optimizer adam --lr 0.01"),
        (rotated, "--schedule cyclic --lr 0.02 --profile released"),
        (split, "--schedule cyclic --optimizer rmsprop --lr 0.01"),
        (rotated, "--schedule joint --lr 0.1"),
        (
            rotated,
            "--schedule joint --lr 0.1 --profile released --drop-last true",
        ),
        (split, "--schedule joint --optimizer adagrad --lr 0.02"),
        (
            split,
            "--schedule joint --lr 0.02 --momentum 0.9 --batch-size 7",
        ),
        (rotated, "--momentum 0.9 --lr 0.02"),
        (rotated, "--momentum 0.5 --lr 0.02 --method agem"),
        (rotated, "--gamma 0.7 --lr 0.1"),
        (rotated, "--gamma 0.7 --gamma-from 0 --lr 0.1"),
        (rotated, "--gamma 0.7 --lr 0.1 --profile released"),
        (rotated, "--gamma 0.5 --optimizer tag-rmsprop --lr 0.004"),
        (rotated, "--drop-last true --batch-size 7 --lr 0.1"),
        (rotated, "--batch-size 7 --lr 0.1"),
        (rotated, "--batch-size 100 --lr 0.1 --epochs 5"),
        (rotated, "--dropout 0 --lr 0.1"),
        (rotated, "--hidden 7 --dropout 0.5 --lr 0.1"),
        (rotated, "--angles released --lr 0.1"),
        (rotated, "--angles exact --lr 0.1 --profile released"),
        (split, "--class-order seeded --lr 0.1"),
        (split, "--tasks 2 --classes 4 --lr 0.1 --class-order seeded"),
        (split, "--tasks 1 --lr 0.1"),
        (split, "--seeds 2-4 --lr 0.1 --jobs 2"),
        (
            rotated,
            "--seeds 0,18446744073709551615 --optimizer tag-adam --lr 0.01",
        ),
        (rotated, "--validation 0.5 --lr 0.1"),
        (rotated, "--validation 0.5 --evaluate validation --lr 0.1"),
        (
            rotated,
            "--validation 0.3 --patience 1 --epochs 25 --lr 0.1",
        ),
        (
            rotated,
            "--validation 0.3 --patience 3 --epochs 30 --lr 0.1 --method er",
        ),
        (
            rotated,
            "--validation 0.3 --epochs 30 --lr 0.1 --profile released --optimizer tag-adam",
        ),
        (
            split,
            "--validation 0.3 --patience 2 --epochs 12 --lr 0.1 --evaluate validation --method ewc",
        ),
        (
            rotated,
            "--tasks 2 --hidden 7 --lr 0.1 --init {}/init.safetensors --dropout 0.1",
        ),
        (
            rotated,
            "--hidden 7 --lr 0.1 --init {}/init.safetensors --dropout 0.1 --init-head fresh",
        ),
        (rotated, "--threads 2 --lr 0.1"),
        (
            rotated,
            "--threads 2 --lr 0.01 --method agem --optimizer tag-adam",
        ),
        (rotated, "--threads 2 --lr 0.1 --method ewc"),
        (
            "TAGCL_KERNELS=stock --benchmark rotated-mnist --tasks 3 --fraction 0.02",
            "--lr 0.1",
        ),
        (
            "TAGCL_KERNELS=stock --benchmark split-mnist --tasks 5 --fraction 0.1",
            "--lr 0.1 --method er",
        ),
        (
            "TAGCL_KERNELS=stock --benchmark rotated-mnist --tasks 3 --fraction 0.02",
            "--lr 0.1 --method ewc",
        ),
        (
            "TAGCL_KERNELS=stock --benchmark rotated-mnist --tasks 3 --fraction 0.02",
            "--lr 0.01 --optimizer tag-rmsprop",
        ),
    ];
    let case = |(stream, rest): &(&str, &str)| format!("{stream} {rest}");
    cases.iter().map(case).collect()
}

/// Every network, on the kernels and on Burn's own operations, with and without TAG; methods on the reduced ResNet-18.
pub fn networks() -> Vec<String> {
    let colour = "--benchmark {}/colour.toml";
    let mut all = Vec::new();
    for model in [
        "mlp --hidden 12 --dropout 0.1",
        "reduced-resnet18 --dropout 0.1",
        "slim-resnet18",
        "resnet18",
        "alexnet",
        "lenet",
    ] {
        let sgd = format!("{colour} --model {model} --lr 0.01");
        let tag = format!("{colour} --model {model} --lr 0.001 --optimizer tag-adam");
        let stock = [&sgd, &tag].map(|case| format!("TAGCL_KERNELS=stock {case}"));
        all.extend(stock);
        all.push(format!("{sgd} --threads 2"));
        all.extend([sgd, tag]);
    }
    let resnet = "--benchmark {}/small.toml --model reduced-resnet18 --dropout 0.1";
    for (method, optimizer) in [
        ("ewc", "--optimizer sgd --lr 0.01"),
        ("ewc", "--optimizer tag-rmsprop --lr 0.001"),
        ("agem", "--optimizer rmsprop --lr 0.001"),
        ("agem", "--optimizer tag-rmsprop --lr 0.001"),
        ("er", "--optimizer adagrad --lr 0.01"),
        ("er", "--optimizer tag-adagrad --lr 0.001"),
    ] {
        for profile in PROFILES {
            all.push(format!(
                "{resnet} --method {method} {optimizer} --profile {profile}"
            ));
        }
    }
    for rest in [
        "--method ewc --lr 0.01 --threads 2",
        "--method agem --optimizer tag-rmsprop --lr 0.001 --threads 2",
        "--schedule joint --optimizer adam --lr 0.001",
        "--schedule cyclic --lr 0.01 --momentum 0.9",
        "--validation 0.3 --patience 1 --epochs 6 --lr 0.02",
        "--optimizer tag-rmsprop --lr 0.001 --alpha gradients --stored-gradients 2 --past-moments bf16",
        "--optimizer tag-adam --lr 0.001 --alpha-scope global --epsilon inside --profile released",
    ] {
        all.push(format!("{resnet} {rest}"));
    }
    let lenet = format!("{colour} --model lenet");
    all.push(format!("{lenet} --lr 0.01 --method ewc"));
    all.push(format!("{lenet} --lr 0.001 --method agem --optimizer adam"));
    all.push(format!(
        "{colour} --model resnet18 --lr 0.01 --method er --profile released"
    ));
    all.push("--benchmark {}/grey.toml --model lenet --lr 0.01".to_string());
    all
}

/// Benchmarks of one's own: every format and scaling.
pub fn own_data() -> Vec<String> {
    let mut all = Vec::new();
    for benchmark in ["colour", "grey", "sources"] {
        let benchmark =
            format!("--benchmark {{}}/{benchmark}.toml --hidden 12 --dropout 0.1 --epochs 6");
        for rest in [
            "--lr 0.05",
            "--lr 0.05 --method ewc --profile released",
            "--lr 0.05 --method agem --class-order seeded",
            "--optimizer tag-rmsprop --lr 0.01 --method er",
        ] {
            all.push(format!("{benchmark} {rest}"));
        }
    }
    all.push("--benchmark {}/grey.toml --hidden 12 --tasks 1 --epochs 3 --lr 0.05".to_string());
    all
}

/// Runs that are killed twice and go on.
pub fn interrupted() -> Vec<String> {
    let mnist = "--data embedded --hidden 19 --fraction 0.02 --dropout 0.2 --epochs 1";
    let cases = [
        "--benchmark rotated-mnist --tasks 3 --optimizer tag-rmsprop --lr 0.003 --profile released",
        "--benchmark rotated-mnist --tasks 3 --method ewc --optimizer adam --lr 0.01",
        "--benchmark permuted-mnist --tasks 3 --method agem --optimizer tag-adam --lr 0.01",
        "--benchmark split-mnist --tasks 5 --method er --optimizer rmsprop --lr 0.01 --epochs 3",
        "--benchmark rotated-mnist --tasks 3 --schedule joint --lr 0.1 --momentum 0.9",
        "--benchmark rotated-mnist --tasks 2 --validation 0.5 --patience 1 --epochs 25 --lr 0.3",
    ];
    let mut all: Vec<String> = cases.iter().map(|case| format!("{mnist} {case}")).collect();
    all.push(
        "--benchmark {}/small.toml --model reduced-resnet18 --dropout 0.1 --batch-size 4 --epochs 2 --method agem \
         --optimizer tag-rmsprop --lr 0.001"
            .to_string(),
    );
    all
}
