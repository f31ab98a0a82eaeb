#!/usr/bin/env python3
"""Compares a whole Split-CIFAR100 run of TAG-RMSProp with the same in a plain PyTorch loop, in processor time.

    python3 tools/peer/whole_run.py --data DIR [--tagcl target/release/tagcl] [--rounds 2] [--fraction 0.2]

20 tasks of 5 classes, batch 10, one epoch, lr 0.00025, b 5; after every task all tasks so far are evaluated, in batches of 256. Both
programs read the images, run on one thread and take the same share of training and test images; the time is that of the whole process,
user and system, without the import of PyTorch. Random numbers differ, so accuracies are alike and not equal. Alternating rounds.
DIR holds `cifar-100-binary`. Needs: torch, numpy.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TASKS, CLASSES = 20, 5


def peer(data, fraction):
    """The PyTorch loop; one JSON object."""
    sys.path.insert(0, HERE)
    import numpy
    import torch
    from torch.nn import functional as F

    from torch_step import ReducedResNet, TagRmsProp

    began = time.process_time()
    torch.set_num_threads(1)
    torch.manual_seed(1)

    def read(name):
        rows = numpy.fromfile(os.path.join(data, "cifar-100-binary", name), dtype=numpy.uint8).reshape(-1, 3074)
        return torch.from_numpy(rows[:, 2:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(rows[:, 1].astype(numpy.int64))

    order = torch.randperm(TASKS * CLASSES)
    place = torch.empty_like(order)
    place[order] = torch.arange(TASKS * CLASSES)

    def split(name):
        images, labels = read(name)
        labels = place[labels]
        parts = []
        for task in range(TASKS):
            own = torch.nonzero(labels // CLASSES == task).flatten()
            own = own[: round(len(own) * fraction)]
            parts.append((images[own].float() / 255, labels[own] % CLASSES))
        return parts

    train, test = split("train.bin"), split("test.bin")
    network = ReducedResNet(32)
    optimizer = TagRmsProp(network.parameters(), 0, 2.5e-4)
    accuracies = []
    for task, (images, labels) in enumerate(train):
        own = slice(task * CLASSES, (task + 1) * CLASSES)
        optimizer.first = [torch.zeros_like(p) for p in optimizer.parameters]
        optimizer.second = [torch.zeros_like(p) for p in optimizer.parameters]
        network.train()
        for batch in torch.randperm(len(images)).split(10):
            loss = F.cross_entropy(network(images[batch])[:, own], labels[batch])
            network.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.directions.append([F.normalize(m.flatten(), dim=0) for m in optimizer.first])
        optimizer.past_second.append([v.clone() for v in optimizer.second])
        network.eval()
        with torch.no_grad():
            accuracies = []
            for seen, (images, labels) in enumerate(test[: task + 1]):
                logits = torch.cat([network(part) for part in images.split(256)])
                right = logits[:, seen * CLASSES : (seen + 1) * CLASSES].argmax(1) == labels
                accuracies.append(right.float().mean().item())
    print(json.dumps({"seconds": time.process_time() - began, "accuracy": 100 * statistics.mean(accuracies), "torch": torch.__version__}))


def ours(tagcl, data, fraction):
    with tempfile.TemporaryDirectory() as out:
        command = [tagcl, "run", "--benchmark", "split-cifar100", "--optimizer", "tag-rmsprop", "--profile", "released", "--seeds", "1"]
        command += ["--fraction", str(fraction), "--test-fraction", str(fraction), "--jobs", "1", "--threads", "1"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command, "--data", data, "--out", out], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            sys.exit(f"tagcl failed:\n{done.stderr}")
        (run,) = [name for name in os.listdir(out) if name.startswith("split-cifar100")]
        with open(os.path.join(out, run, "result.json"), encoding="utf-8") as file:
            result = json.load(file)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "accuracy": result["metrics"]["average_accuracy"]}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, help="folder with cifar-100-binary")
    arguments.add_argument("--tagcl", default=os.path.join(ROOT, "target", "release", "tagcl"))
    arguments.add_argument("--python", default=sys.executable, help="a Python with PyTorch")
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--fraction", type=float, default=0.2, help="share of training and test images")
    arguments.add_argument("--peer", action="store_true", help="only the PyTorch run, once")
    options = arguments.parse_args()
    if options.peer:
        return peer(options.data, options.fraction)
    command = [options.python, os.path.abspath(__file__), "--peer", "--data", options.data, "--fraction", str(options.fraction)]
    rounds = []
    for number in range(options.rounds):
        mine = ours(options.tagcl, options.data, options.fraction)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"PyTorch failed:\n{done.stderr}")
        theirs = json.loads(done.stdout)
        rounds.append((mine, theirs))
        print(f"round {number + 1}: {mine} {theirs}", file=sys.stderr)
    a, b = ([pair[side]["seconds"] for pair in rounds] for side in (0, 1))
    ratios = [x / y for x, y in zip(a, b)]
    print(
        f"tagcl {statistics.median(a):.1f} s, PyTorch {rounds[0][1]['torch']} {statistics.median(b):.1f} s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), {options.rounds} rounds"
    )
    return None


if __name__ == "__main__":
    main()
