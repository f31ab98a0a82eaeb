#!/usr/bin/env python3
"""Compares this project's training step with PyTorch's on this machine.

    python3 tools/peer/compare.py [--rounds 5] [--threads 1] [--only 10x32,mlp] [--python PYTHON] [--bench BINARY]

Runs `cargo bench --bench step -- --json` and `torch_step.py` in turn, `--rounds` times on the same number of threads, and
prints a Markdown table: medians over the rounds, and the ratio ours/PyTorch of every round as median and range, with
the target beside it. Only figures of the same round are divided by each other, since a machine's speed drifts.
Needs: a PyTorch in `--python`; nothing else should run on the machine. Where something must, `--cpu-time` with one
thread compares processor time, which waiting for a core does not count towards.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OURS = "reduced ResNet-18, {case}, kernels: {phase}"

OTHERS = {
    "evaluation": "evaluation of 256 images, 32x32, kernels: {phase}",
    "evaluation84": "evaluation of 256 images, 84x84, kernels: {phase}",
    "mlp": "MLP 784-256-256-100, 10x28, kernels: {phase}",
    "alexnet": "AlexNet, 64x32, kernels: {phase}",
    "resnet18": "ResNet-18, 10x224, kernels: {phase}",
}

# What is compared: label, case, our phase, PyTorch's row and figure, targets by number of threads.
PASSES, SGD = "forward+backward+loss", "whole step, SGD"
COMPARISONS = [
    ("forward+backward, batch 10, 32x32, against eager", "10x32", PASSES, "eager", "forward+backward", {1: 0.35}),
    ("forward+backward, batch 10, 32x32, against compiled", "10x32", PASSES, "compiled", "forward+backward", {1: 0.5, 2: 0.6}),
    ("forward+backward, batch 64, 32x32, against compiled", "64x32", PASSES, "compiled", "forward+backward", {1: 0.7, 2: 0.7}),
    ("forward+backward, batch 10, 84x84, against compiled", "10x84", PASSES, "compiled", "forward+backward", {1: 0.7, 2: 0.7}),
    ("whole step, SGD, batch 10, 32x32, against compiled", "10x32", SGD, "compiled", "step", {}),
    ("whole step, TAG-RMSProp, no past task, against eager", "10x32", "whole step, TAG 0", "eager, TAG 0", "step", {}),
    ("whole step, TAG-RMSProp, 9 past tasks, against eager", "10x32", "whole step, TAG 9", "eager, TAG 9", "step", {}),
    ("whole step, TAG-RMSProp, 19 past tasks, against eager", "10x32", "whole step, TAG 19", "eager, TAG 19", "step", {1: 0.25, 2: 0.25}),
    ("evaluation of 256 images, 32x32, against compiled", "evaluation", "forward", "compiled", "forward", {1: 0.4, 2: 0.4}),
    ("evaluation of 256 images, 84x84, against compiled", "evaluation84", "forward", "compiled", "forward", {1: 0.4, 2: 0.4}),
    ("MLP, batch 10, whole step, SGD, against eager", "mlp", SGD, "eager", "step", {}),
    ("AlexNet, batch 64, 32x32, whole step, SGD, against eager", "alexnet", SGD, "eager", "step", {1: 0.75, 2: 0.75}),
    ("ResNet-18, batch 10, 224x224, whole step, SGD, against eager", "resnet18", SGD, "eager", "step", {}),
]


def output(command, environment=None):
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--only", default="10x32,64x32,10x84", help="cases, with commas: also evaluation, evaluation84, mlp, alexnet, resnet18")
    arguments.add_argument("--steps", type=int, default=25, help="timed steps of a PyTorch row")
    arguments.add_argument("--no-compile", action="store_true", help="leave torch.compile and its rows out")
    arguments.add_argument("--python", default=sys.executable, help="a Python with PyTorch")
    arguments.add_argument("--bench", help="the built benchmark; without it, cargo runs it")
    arguments.add_argument("--compiled-bits", type=int, help="width of torch.compile's vectors, where its own choice crashes")
    arguments.add_argument("--cpu-time", action="store_true", help="compare processor time")
    arguments.add_argument("--json", metavar="FILE", help="also write every round's figures here")
    options = arguments.parse_args()

    shared = ["--threads", str(options.threads), "--only", options.only]
    shared += ["--cpu-time"] * options.cpu_time
    bench = [options.bench] if options.bench else ["cargo", "bench", "--quiet", "--bench", "step", "--"]
    bench += ["--json", "--no-stock", *shared]
    torch = [options.python, os.path.join(HERE, "torch_step.py"), "--steps", str(options.steps), *shared]
    torch += ["--no-compile"] * options.no_compile
    torch += [f"--compiled-bits={options.compiled_bits}"] * bool(options.compiled_bits)
    rounds = []
    for i in range(options.rounds):
        print(f"round {i + 1} of {options.rounds}", file=sys.stderr)
        rounds.append((output(bench), output(torch)))
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(rounds, file, indent=1)

    print(f"{processor()}, {options.threads} thread(s){', processor time' * options.cpu_time}, torch {rounds[0][1]['torch']}, {options.rounds} rounds\n")
    print("| | ours, ms | PyTorch, ms | ratio (range) | target |\n|---|---|---|---|---|")
    for label, case, phase, row, figure, targets in COMPARISONS:
        if case not in options.only.split(",") or (options.no_compile and row == "compiled"):
            continue
        mine = [ours["median_ms"][OTHERS.get(case, OURS).format(case=case, phase=phase)] for ours, _ in rounds]
        theirs = [peer["median_ms"][f"{case} {row}"][figure] for _, peer in rounds]
        ratios = [a / b for a, b in zip(mine, theirs)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        target = targets.get(options.threads)
        verdict = "" if target is None else f"{target}{'' if statistics.median(ratios) <= target else ', missed'}"
        print(
            f"| {label} | {statistics.median(mine):.1f} | {statistics.median(theirs):.1f} "
            f"| {statistics.median(ratios):.2f} ({spread}) | {verdict} |"
        )


if __name__ == "__main__":
    main()
