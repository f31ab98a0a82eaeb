//! The list of settings.

/// All keys, with what they mean.
pub const KEYS: &[(&str, &str)] = &[
    (
        "benchmark",
        "stream of tasks (tagcl list benchmarks), or the path of a TOML file that describes one",
    ),
    (
        "data",
        "data folder, or `embedded` for the MNIST sample that ships with the program",
    ),
    ("tasks", "number of tasks"),
    (
        "classes",
        "number of classes that have images, for a run on part of a data set",
    ),
    (
        "input_scaling",
        "how CUB's photographs become inputs: released, imagenet (mean and standard deviation)",
    ),
    (
        "class_order",
        "order of the classes of a split stream: fixed, seeded",
    ),
    ("angles", "angles of a rotated stream: exact, released"),
    (
        "validation",
        "share of the training images set aside, in [0, 1)",
    ),
    (
        "evaluate",
        "images on which accuracies are measured: test, validation (to choose hyper-parameters)",
    ),
    (
        "fraction",
        "share of the training images used, in (0, 1]; for quick looks",
    ),
    ("model", "network (tagcl list models)"),
    ("hidden", "width of the MLP's hidden layers"),
    ("dropout", "dropout probability, in [0, 1)"),
    (
        "init",
        "file of initial weights: safetensors or a PyTorch checkpoint (.pth)",
    ),
    (
        "init_sha256",
        "checksum that the file of initial weights must have",
    ),
    (
        "init_head",
        "where the head of a run with initial weights comes from: file, fresh (resnet18's default)",
    ),
    ("method", "method (tagcl list methods)"),
    ("optimizer", "optimizer (tagcl list optimizers)"),
    ("lr", "learning rate"),
    (
        "gamma",
        "factor on the learning rate from task to task, in (0, 1]",
    ),
    (
        "gamma_from",
        "task whose learning rate is lr itself: 0 (as released, task 1 has lr·gamma) or 1",
    ),
    (
        "momentum",
        "SGD's momentum, in [0, 1); from rest in every task",
    ),
    ("b", "TAG's weight of the correlation"),
    (
        "alpha",
        "TAG's rule for α: cosine (the method), one (TAG-1), age (TAG-age), gradients (TAG-G)",
    ),
    (
        "stored_gradients",
        "B of TAG-G: gradients of each task that make its direction",
    ),
    ("alpha_scope", "over what TAG's α is taken: tensor, global"),
    ("epsilon", "where TAG adds 1e-8: outside or inside the root"),
    (
        "bias_correction",
        "what TAG-Adam's step count counts: per-task, per-epoch",
    ),
    (
        "past_moments",
        "precision of past tasks' moments in TAG's memory: f32, bf16",
    ),
    ("lambda", "EWC's weight of the penalty"),
    (
        "fisher",
        "EWC's estimate of importance: corrected, released",
    ),
    (
        "fisher_samples",
        "training examples of a task that EWC's estimate uses",
    ),
    (
        "penalty",
        "EWC's penalty: half (½λ, as published), released (λ, gradient cut to norm 100)",
    ),
    (
        "memory_per_class",
        "examples a class that A-GEM and ER remember",
    ),
    (
        "forwards_twice",
        "whether A-GEM forwards every batch twice: true (as released), false",
    ),
    (
        "replay_current",
        "whether ER may replay the present task: true (as released), false",
    ),
    (
        "reservoir",
        "how ER's memory samples the stream: uniform, batch (as released)",
    ),
    (
        "schedule",
        "order of the examples: sequential, cyclic (the released multi-task), joint",
    ),
    (
        "patience",
        "epochs without a lower validation loss after which a task ends",
    ),
    ("epochs", "epochs per task, at most"),
    ("batch_size", "examples per training step"),
    (
        "drop_last",
        "whether a last batch that is not full is left out: true, false",
    ),
    (
        "profile",
        "defaults: released (as the released code behaves) or corrected",
    ),
    ("seeds", "seeds, as 1-5 or 1,3,7"),
    ("out", "folder for run folders"),
    ("jobs", "runs side by side"),
    ("threads", "threads inside a run"),
    (
        "checkpoint_every",
        "seconds between checkpoints of a run, or off",
    ),
];
