//! The settings whose plans are compared, as `key=value` texts.

pub const BENCHMARKS: [&str; 9] = [
    "split-cifar100",
    "split-cifar10",
    "split-mnist",
    "split-fashion-mnist",
    "split-mini-imagenet",
    "split-cub",
    "5-dataset",
    "rotated-mnist",
    "permuted-mnist",
];
pub const PROFILES: [&str; 2] = ["released", "corrected"];
pub const METHODS: [&str; 4] = ["plain", "ewc", "agem", "er"];
pub const OPTIMIZERS: [&str; 7] = [
    "sgd",
    "rmsprop",
    "adagrad",
    "adam",
    "tag-rmsprop",
    "tag-adagrad",
    "tag-adam",
];
pub const MODELS: [&str; 6] = [
    "mlp",
    "reduced-resnet18",
    "slim-resnet18",
    "resnet18",
    "alexnet",
    "lenet",
];

/// Every benchmark with every profile, method and optimizer.
pub fn pairs() -> Vec<String> {
    let mut all = Vec::new();
    for benchmark in BENCHMARKS {
        for profile in PROFILES {
            for method in METHODS {
                for optimizer in OPTIMIZERS {
                    all.push(format!(
                        "benchmark={benchmark} profile={profile} method={method} optimizer={optimizer}"
                    ));
                }
            }
        }
    }
    all
}

/// Every network on every benchmark, with optimizers and methods that have learning rates of their own for some.
pub fn networks() -> Vec<String> {
    let mut all = Vec::new();
    for benchmark in BENCHMARKS {
        for model in MODELS {
            for profile in PROFILES {
                for rest in [
                    "optimizer=sgd",
                    "optimizer=rmsprop",
                    "optimizer=tag-rmsprop",
                    "optimizer=sgd method=agem",
                ] {
                    all.push(format!(
                        "benchmark={benchmark} model={model} profile={profile} {rest}"
                    ));
                }
            }
        }
    }
    all
}

/// What every single setting does, under both profiles. `{}` is the folder `tests/unchanged`.
pub fn variants() -> Vec<String> {
    let mut all = Vec::new();
    for case in VARIANTS {
        for profile in PROFILES {
            all.push(format!("{case} profile={profile}"));
        }
    }
    all
}

const VARIANTS: &[&str] = &[
    // TAG.
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=cosine",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=one",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=age",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=gradients",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=gradients stored_gradients=1",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=gradients stored_gradients=5",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=gradients alpha_scope=global b=3",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha_scope=global",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha_scope=tensor",
    "benchmark=split-cifar100 optimizer=tag-rmsprop epsilon=inside",
    "benchmark=split-cifar100 optimizer=tag-rmsprop epsilon=outside",
    "benchmark=split-cifar100 optimizer=tag-adam bias_correction=per-task",
    "benchmark=split-cifar100 optimizer=tag-adam bias_correction=per-epoch",
    "benchmark=split-cifar100 optimizer=tag-rmsprop bias_correction=per-epoch",
    "benchmark=split-cifar100 optimizer=tag-rmsprop past_moments=bf16",
    "benchmark=split-cifar100 optimizer=tag-rmsprop past_moments=f32",
    "benchmark=split-cifar100 optimizer=tag-rmsprop b=0",
    "benchmark=split-cifar100 optimizer=tag-rmsprop b=7.5",
    "benchmark=5-dataset optimizer=tag-rmsprop b=5",
    "benchmark=5-dataset optimizer=tag-adagrad alpha=age epsilon=inside past_moments=bf16",
    "benchmark=split-cub optimizer=tag-adam method=er memory_per_class=5 alpha=one",
    // The schedule.
    "benchmark=split-cifar100 schedule=sequential",
    "benchmark=split-cifar100 schedule=cyclic",
    "benchmark=split-cifar100 schedule=joint",
    "benchmark=5-dataset schedule=cyclic",
    "benchmark=rotated-mnist schedule=joint lr=0.05",
    "benchmark=split-cub schedule=joint optimizer=adam lr=0.0001",
    "benchmark=split-cifar100 schedule=cyclic momentum=0.9",
    // The learning rate.
    "benchmark=split-cifar100 gamma=0.8",
    "benchmark=split-cifar100 gamma=0.8 gamma_from=0",
    "benchmark=split-cifar100 gamma=0.8 gamma_from=1",
    "benchmark=split-cifar100 gamma_from=0",
    "benchmark=split-cifar100 gamma_from=1",
    "benchmark=split-cifar100 momentum=0.8 gamma=0.7 dropout=0.1",
    "benchmark=split-cifar100 momentum=0",
    "benchmark=split-cifar100 lr=1e-3",
    "benchmark=split-cifar100 lr=0.00002500",
    "benchmark=split-cifar100 lr=3",
    "benchmark=permuted-mnist optimizer=rmsprop",
    // Validation.
    "benchmark=split-cifar100 validation=0.1",
    "benchmark=split-cifar100 validation=0.1 evaluate=test",
    "benchmark=split-cifar100 validation=0.1 evaluate=validation",
    "benchmark=split-cifar100 validation=0.1 patience=3 epochs=10",
    "benchmark=split-cifar100 validation=0.1 epochs=20",
    "benchmark=split-cifar100 validation=0.1 epochs=21",
    "benchmark=split-cifar100 validation=0.1 epochs=21 patience=2",
    "benchmark=split-cifar100 validation=0 epochs=21",
    "benchmark=split-cifar100 validation=0.1 epochs=21 schedule=cyclic",
    // Data and stream.
    "benchmark=rotated-mnist data=embedded",
    "benchmark=rotated-mnist data=/somewhere/else",
    "benchmark=permuted-mnist data=embedded tasks=3",
    "benchmark=split-mnist data=embedded lr=0.01 tasks=2 classes=4",
    "benchmark=split-cifar100 tasks=10",
    "benchmark=split-cifar100 tasks=1",
    "benchmark=split-cifar100 classes=40 tasks=8",
    "benchmark=split-mini-imagenet classes=10 tasks=2",
    "benchmark=split-cub classes=200",
    "benchmark=split-cub input_scaling=released",
    "benchmark=split-cub input_scaling=imagenet",
    "benchmark=split-cub dropout=0.0",
    "benchmark=split-cub dropout=0.1",
    "benchmark=split-cifar100 class_order=fixed",
    "benchmark=split-cifar100 class_order=seeded",
    "benchmark=5-dataset class_order=seeded",
    "benchmark=rotated-mnist angles=exact",
    "benchmark=rotated-mnist angles=released",
    "benchmark=split-cifar100 fraction=0.2",
    "benchmark=split-cifar100 fraction=1",
    "benchmark=split-mini-imagenet drop_last=true",
    "benchmark=split-mini-imagenet drop_last=false",
    "benchmark=split-cifar100 drop_last=true",
    "benchmark=split-cifar100 drop_last=false",
    "benchmark=split-cifar100 epochs=5",
    "benchmark=split-cifar100 batch_size=64",
    "benchmark=5-dataset batch_size=10",
    // The network and its weights.
    "benchmark=rotated-mnist hidden=100 dropout=0.25",
    "benchmark=split-cifar100 model=mlp hidden=64 lr=0.01",
    "benchmark=split-cifar100 dropout=0.5",
    "benchmark=split-cifar100 model=lenet dropout=0 lr=0.01",
    "benchmark=split-cifar100 model=alexnet tasks=20 batch_size=10",
    "benchmark=split-cub init_sha256=0123456789abcdef",
    "benchmark=split-cub init_sha256=0123456789abcdef init_head=file",
    "benchmark=split-cub init_sha256=0123456789abcdef init_head=fresh",
    "benchmark=split-cifar100 init_sha256=0123456789abcdef",
    "benchmark=split-cifar100 init_sha256=0123456789abcdef init_head=fresh",
    "benchmark=split-cub init=/somewhere/resnet18.pth init_sha256=0123456789abcdef",
    // Methods.
    "benchmark=split-cifar100 method=ewc lambda=0",
    "benchmark=split-cifar100 method=ewc lambda=12.5",
    "benchmark=split-cifar100 method=ewc fisher=corrected",
    "benchmark=split-cifar100 method=ewc fisher=released",
    "benchmark=split-cifar100 method=ewc fisher_samples=50",
    "benchmark=split-cifar100 method=ewc penalty=half",
    "benchmark=split-cifar100 method=ewc penalty=released",
    "benchmark=split-cifar100 method=agem memory_per_class=10",
    "benchmark=split-cifar100 method=agem memory_per_class=0",
    "benchmark=split-cifar100 method=agem forwards_twice=true",
    "benchmark=split-cifar100 method=agem forwards_twice=false",
    "benchmark=split-cifar100 method=er memory_per_class=10",
    "benchmark=split-cifar100 method=er replay_current=true",
    "benchmark=split-cifar100 method=er replay_current=false",
    "benchmark=split-cifar100 method=er reservoir=uniform",
    "benchmark=split-cifar100 method=er reservoir=batch",
    // Seeds, and what is no part of a configuration.
    "benchmark=split-cifar100 seeds=0",
    "benchmark=split-cifar100 seeds=7",
    "benchmark=split-cifar100 seeds=1-3,7",
    "benchmark=split-cifar100 seeds=18446744073709551615",
    "benchmark=split-cifar100 out=elsewhere jobs=2 threads=3 checkpoint_every=off",
    // Benchmarks of one's own.
    "benchmark={}/folders/benchmark.toml lr=0.01",
    "benchmark={}/folders/benchmark.toml lr=0.01 model=mlp hidden=4 class_order=seeded",
    "benchmark={}/folders/benchmark.toml lr=0.01 tasks=2",
    "benchmark={}/folders/benchmark.toml lr=0.01 tasks=4",
    "benchmark={}/folders/benchmark.toml lr=0.01 classes=2 tasks=1",
    "benchmark={}/folders/benchmark.toml optimizer=tag-adam",
    "benchmark={}/folders/benchmark.toml optimizer=tag-adam method=ewc lr=0.001",
    // TAG's memories.
    "benchmark=split-cifar100 optimizer=tag-rmsprop tag_own_b=3",
    "benchmark=split-cifar100 optimizer=tag-rmsprop tag_memory=exact",
    "benchmark=split-cifar100 optimizer=tag-rmsprop tag_memory=flat",
    "benchmark=split-cifar100 optimizer=tag-rmsprop tag_memory=flat alpha=one tag_scale_norm=2",
    "benchmark=split-cifar100 optimizer=tag-rmsprop tag_memory=clusters",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=clusters tag_sketch=exact past_moments=f32 alpha_scope=global",
];

/// Settings to which others are added: what is accepted where.
pub const CONTEXTS: [&str; 8] = [
    "benchmark=split-cifar100",
    "benchmark=rotated-mnist data=embedded method=ewc",
    "benchmark=permuted-mnist optimizer=tag-adam method=er",
    "benchmark=split-cub profile=released method=agem",
    "benchmark=split-cifar100 model=alexnet optimizer=tag-rmsprop",
    "benchmark=split-mnist schedule=joint",
    "benchmark=split-cifar100 optimizer=tag-rmsprop alpha=one validation=0.1",
    "benchmark=split-cifar100 model=lenet optimizer=adam init_sha256=0123456789abcdef",
];

/// One allowed value of every key.
pub const ALLOWED: [&str; 42] = [
    "data=/somewhere",
    "data=embedded",
    "tasks=5",
    "classes=10",
    "input_scaling=released",
    "class_order=seeded",
    "angles=released",
    "validation=0.2",
    "evaluate=validation",
    "fraction=0.5",
    "model=mlp",
    "hidden=32",
    "dropout=0.1",
    "dropout=0",
    "init_sha256=ab",
    "init_head=fresh",
    "method=er",
    "optimizer=rmsprop",
    "gamma=0.9",
    "gamma_from=0",
    "momentum=0.5",
    "b=3",
    "alpha=gradients",
    "stored_gradients=2",
    "alpha_scope=global",
    "epsilon=inside",
    "bias_correction=per-epoch",
    "past_moments=bf16",
    "lambda=2",
    "fisher=released",
    "fisher_samples=10",
    "penalty=released",
    "memory_per_class=2",
    "forwards_twice=true",
    "replay_current=true",
    "reservoir=batch",
    "schedule=cyclic",
    "patience=2",
    "epochs=3",
    "batch_size=20",
    "drop_last=true",
    "profile=released",
];

/// Values that are refused wherever they stand.
pub const REFUSED: &[&str] = &[
    "benchmark=split-cifar",
    "benchmark=custom",
    "benchmark={}/absent.toml",
    "benchmark=split-cifar100 learning_rate=0.1",
    "benchmark=split-cifar100 epoch=3",
    "benchmark=split-cifar100 lr=0",
    "benchmark=split-cifar100 lr=-1",
    "benchmark=split-cifar100 lr=nan",
    "benchmark=split-cifar100 lr=inf",
    "benchmark=split-cifar100 lr=fast",
    "benchmark=split-cifar100 tasks=0",
    "benchmark=split-cifar100 tasks=7",
    "benchmark=split-cifar100 tasks=1001",
    "benchmark=split-cifar100 classes=101",
    "benchmark=split-cifar100 classes=7 tasks=2",
    "benchmark=split-cifar100 class_order=random",
    "benchmark=split-cifar100 validation=1",
    "benchmark=split-cifar100 validation=-0.1",
    "benchmark=split-cifar100 fraction=0",
    "benchmark=split-cifar100 fraction=1.5",
    "benchmark=split-cifar100 model=resnet",
    "benchmark=rotated-mnist hidden=0",
    "benchmark=split-cifar100 dropout=1",
    "benchmark=split-cifar100 init_sha256=ab init_head=none",
    "benchmark=split-cifar100 method=eer",
    "benchmark=split-cifar100 optimizer=tag-rmsprp",
    "benchmark=split-cifar100 gamma=0",
    "benchmark=split-cifar100 gamma=1.1",
    "benchmark=split-cifar100 gamma_from=2",
    "benchmark=split-cifar100 momentum=1",
    "benchmark=split-cifar100 optimizer=tag-adam b=81",
    "benchmark=split-cifar100 optimizer=tag-adam b=-1",
    "benchmark=split-cifar100 optimizer=tag-adam alpha=two",
    "benchmark=split-cifar100 optimizer=tag-adam alpha=gradients stored_gradients=0",
    "benchmark=split-cifar100 optimizer=tag-adam epsilon=none",
    "benchmark=split-cifar100 optimizer=tag-adam past_moments=f16",
    "benchmark=split-cifar100 tag_memory=flat",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=flat alpha=age",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=clusters alpha=one",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=clusters tag_sketch=100",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=flat past_moments=bf16",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=flat alpha_scope=global",
    "benchmark=split-cifar100 optimizer=tag-adam tag_clusters=2",
    "benchmark=split-cifar100 optimizer=tag-adam tag_memory=clusters tag_scale_norm=2",
    "benchmark=split-cifar100 method=ewc lambda=-1",
    "benchmark=split-cifar100 method=ewc fisher_samples=0",
    "benchmark=split-cifar100 method=er memory_per_class=-1",
    "benchmark=split-cifar100 method=er reservoir=ring",
    "benchmark=split-cifar100 method=agem forwards_twice=yes",
    "benchmark=split-cifar100 schedule=random",
    "benchmark=split-cifar100 method=er schedule=joint",
    "benchmark=split-cifar100 optimizer=tag-adam schedule=cyclic",
    "benchmark=split-cifar100 validation=0.1 patience=0",
    "benchmark=split-cifar100 epochs=0",
    "benchmark=split-cifar100 epochs=1.5",
    "benchmark=split-cifar100 batch_size=0",
    "benchmark=split-cifar100 drop_last=maybe",
    "benchmark=split-cifar100 profile=paper",
    "benchmark=split-cifar100 seeds=5-1",
    "benchmark=split-cifar100 seeds=1,1",
    "benchmark=split-cifar100 seeds=0-99999999999",
    "benchmark=split-cifar100 seeds=18446744073709551616",
    "benchmark=split-cifar100 jobs=0",
    "benchmark=split-cifar100 threads=0",
    "benchmark=split-cifar100 checkpoint_every=-1",
];
