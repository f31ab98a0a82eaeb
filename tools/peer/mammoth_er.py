#!/usr/bin/env python3
"""Images per processor second of Mammoth's own ER on permuted MNIST, of its training alone.

    python3 tools/peer/mammoth_er.py --mammoth CHECKOUT --mnist FOLDER [--in-memory] [--tasks 3] [--buffer 500]

CHECKOUT is a working tree of github.com/aimagelab/mammoth, whose requirements the Python has; FOLDER has the four IDX files of
MNIST, packed or not. `open_clip`, which Mammoth imports for another data set, may be missing. With `--in-memory` the loader
makes all images of a task at once and hands out slices of them, shuffled as before; without, Mammoth runs as it is. One
thread. Counted are the images of every batch and those replayed beside them, as `tagcl` counts its own:

    tagcl run --benchmark permuted-mnist --method er --optimizer sgd --lr 0.1 --tasks 3 --hidden 100 --batch-size 128 \\
        --memory-per-class 50 --seeds 1 --jobs 1 --threads 1 --checkpoint-every off
"""

import argparse
import gzip
import os
import pathlib
import sys
import tempfile
import time
import types

FILES = [
    f"{part}-{what}-ubyte"
    for part in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
]


def unpack(source: pathlib.Path, target: pathlib.Path) -> None:
    """The IDX files where torchvision looks for them, of its own class and of Mammoth's."""
    for name in FILES:
        packed, plain = source / f"{name}.gz", source / name
        data = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
        for folder in ("MNIST", "MyMNIST"):
            raw = target / "MNIST" / folder / "raw"
            raw.mkdir(parents=True, exist_ok=True)
            (raw / name).write_bytes(data)


class InMemory:
    """All images of a task, in batches of the order that the data set's own loader would draw."""

    def __init__(self, loader):
        import torch

        self.torch = torch
        self.dataset = loader.dataset
        self.size = loader.batch_size
        items = [self.dataset[i] for i in range(len(self.dataset))]
        self.images = torch.stack([item[0] for item in items])
        self.labels = torch.tensor([item[1] for item in items])

    def __len__(self):
        return -(-len(self.labels) // self.size)

    def __iter__(self):
        for rows in self.torch.randperm(len(self.labels)).split(self.size):
            images = self.images[rows]
            yield images, self.labels[rows], images


def measure(args) -> None:
    import torch

    torch.set_num_threads(1)
    from datasets import perm_mnist
    from utils import training

    perm_mnist.PermutedMNIST.N_TASKS = args.tasks
    spent = {"seconds": 0.0, "images": 0, "steps": 0}
    original = training.train_single_epoch

    def timed(model, train_loader, *rest, **named):
        if args.in_memory:
            train_loader = InMemory(train_loader)
        observe = model.observe

        def counted(inputs, *more, **others):
            replayed = 0 if model.buffer.is_empty() else min(args.batch, len(model.buffer))
            spent["images"] += inputs.shape[0] + replayed
            spent["steps"] += 1
            return observe(inputs, *more, **others)

        model.observe = counted
        begin = time.process_time()
        try:
            return original(model, train_loader, *rest, **named)
        finally:
            spent["seconds"] += time.process_time() - begin
            model.observe = observe

    training.train_single_epoch = timed
    import main as mammoth

    sys.argv = [
        "main.py", "--model", "er", "--dataset", "perm-mnist", "--lr", "0.1",
        "--buffer_size", str(args.buffer), "--batch_size", str(args.batch),
        "--minibatch_size", str(args.batch), "--n_epochs", "1", "--seed", "0",
        "--num_workers", "0", "--non_verbose", "1",
        "--base_path", str(args.base), "--results_path", str(args.base / "results"),
    ]  # fmt: skip
    mammoth.main()
    rate = spent["images"] / spent["seconds"]
    loader = "images in memory" if args.in_memory else "as shipped"
    print(
        f"mammoth er, {loader}: {spent['images']} images, {spent['steps']} steps, "
        f"{spent['seconds']:.2f} s of one thread, {rate:.0f} images per processor second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mammoth", type=pathlib.Path, required=True)
    parser.add_argument("--mnist", type=pathlib.Path, required=True)
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--buffer", type=int, default=500)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    args.mnist = args.mnist.resolve()
    for name in ("open_clip",):
        try:
            __import__(name)
        except ImportError:
            stub = types.ModuleType(name)
            stub.create_model_and_transforms = lambda *_, **__: (None, None, None)
            sys.modules[name] = stub
    with tempfile.TemporaryDirectory() as base:
        args.base = pathlib.Path(base)
        unpack(args.mnist, args.base)
        os.chdir(args.mammoth)
        sys.path.insert(0, os.getcwd())
        measure(args)


if __name__ == "__main__":
    main()
