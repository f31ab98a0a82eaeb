#!/usr/bin/env python3
"""Times PyTorch on the training step of this project's main benchmark, for comparison with `cargo bench --bench step`.

    python3 torch_step.py [--threads 1] [--steps 25] [--only 10x32,64x32,10x84,evaluation,mlp,...] [--no-compile]
                          [--compiled-bits 512] [--cpu-time]

The network is the reduced ResNet-18 of Split-CIFAR100 as `crates/learn/src/model/resnet.rs` has it: a 3x3 convolution, norm and ReLU;
four stages (20, 40, 80, 160 channels) of two blocks, each block one 3x3 convolution -> ReLU -> norm, plus the input
(through a 1x1 convolution without norm where the shape changes), -> ReLU -> norm; average pooling over 4x4; a linear
head over 100 classes of which five compete in the loss. Random images, labels and weights; no dropout.

`evaluation` and `evaluation84` are its forward pass on 256 images, with running statistics and without gradients.
The other cases: `mlp` is 784-256-256-100 on batches of 10; `alexnet` the released code's for 32x32 images (batch 64,
without its dropout); `resnet18` torchvision's network, written out here, with 200 classes (batch 10, 224x224).

Prints one JSON object: medians in milliseconds of forward+backward (with head and loss) and of the whole step, by row:
- `CASE eager`                  SGD, PyTorch's default;
- `CASE compiled`               SGD, `torch.compile` in channels-last layout (needs a C++ compiler);
- `10x32 eager, TAG N`          TAG-RMSProp with N finished tasks, as loops over tensors and tasks.
Needs: torch.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 100
TASK = slice(5, 10)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.norm2 = nn.BatchNorm2d(outputs)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x):
        y = self.norm1(F.relu(self.conv(x)))
        return self.norm2(F.relu(y + self.shortcut(x)))


class ReducedResNet(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.conv = nn.Conv2d(3, 20, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(20)
        blocks, inputs = [], 20
        for outputs, stride in ((20, 1), (40, 2), (80, 2), (160, 2)):
            blocks += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        last = -(-side // 8) // 4
        self.head = nn.Linear(160 * last * last, CLASSES)

    def forward(self, x):
        x = self.blocks(F.relu(self.norm(self.conv(x))))
        return self.head(F.avg_pool2d(x, 4).flatten(1))


class FullBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


def full_resnet():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [FullBlock(inputs, outputs, stride), FullBlock(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 200))


def alexnet():
    layers = []
    for inputs, outputs, size, drop in ((3, 64, 4, 0.2), (64, 128, 3, 0.2), (128, 256, 2, 0.5)):
        layers += [nn.Conv2d(inputs, outputs, size), nn.ReLU(), nn.Dropout(drop), nn.MaxPool2d(2)]
    hidden = []
    for inputs in (1024, 2048):
        hidden += [nn.Linear(inputs, 2048), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Flatten(), *hidden, nn.Linear(2048, CLASSES))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 100))


# Case: network, shape of a batch, factor on the number of timed steps.
CASES = {
    "10x32": (lambda: ReducedResNet(32), (10, 3, 32, 32), 1),
    "64x32": (lambda: ReducedResNet(32), (64, 3, 32, 32), 0.5),
    "10x84": (lambda: ReducedResNet(84), (10, 3, 84, 84), 0.5),
    "mlp": (mlp, (10, 1, 28, 28), 8),
    "alexnet": (alexnet, (64, 3, 32, 32), 0.5),
    "resnet18": (full_resnet, (10, 3, 224, 224), 0.2),
}

# Side of the images of an evaluation.
EVALUATIONS = {"evaluation": 32, "evaluation84": 84}


class TagRmsProp:
    """TAG-RMSProp after `past` tasks, whose moments are random: the way a PyTorch user writes eq. 2 and 3."""

    BETA1, BETA2, B, EPSILON = 0.9, 0.99, 5.0, 1e-8

    def __init__(self, parameters, past, lr):
        self.parameters, self.lr = list(parameters), lr
        zeros = [torch.zeros_like(p) for p in self.parameters]
        self.first, self.second = zeros, [torch.zeros_like(p) for p in self.parameters]
        self.directions = [[F.normalize(torch.randn(p.numel()), dim=0) for p in self.parameters] for _ in range(past)]
        self.past_second = [[torch.rand_like(p) for p in self.parameters] for _ in range(past)]

    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.parameters):
            g = p.grad
            self.first[i] = self.BETA1 * self.first[i] + (1 - self.BETA1) * g
            self.second[i] = self.BETA2 * self.second[i] + (1 - self.BETA2) * g**2
            total = self.second[i]
            if self.directions:
                unit = self.first[i].flatten() / self.first[i].norm()
                cosines = torch.stack([unit.dot(task[i]) for task in self.directions])
                alphas = torch.cat([cosines, torch.ones(1)]).mul(-self.B).exp()
                seconds = torch.stack([task[i] for task in self.past_second] + [self.second[i]])
                total = torch.tensordot(alphas, seconds, dims=1)
            p -= self.lr * g / (total.sqrt() + self.EPSILON)


def measure(case, steps, make_optimizer, compiled, clock):
    torch.manual_seed(0)
    make, shape, factor = CASES[case]
    steps = max(int(steps * factor), 3)
    network = make()
    images, labels = torch.rand(shape), torch.randint(0, 5, shape[:1])
    forward = network
    if compiled:
        torch.compiler.reset()
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        forward = torch.compile(network)
    optimizer = make_optimizer(network.parameters())
    passes, whole = [], []
    warm_up = 5 if factor >= 0.5 else 2
    for _ in range(steps + warm_up):
        began = clock()
        loss = F.cross_entropy(forward(images)[:, TASK], labels)
        network.zero_grad()
        loss.backward()
        middle = clock()
        optimizer.step()
        passes.append(1e3 * (middle - began))
        whole.append(1e3 * (clock() - began))
    return {
        "forward+backward": round(statistics.median(passes[warm_up:]), 3),
        "step": round(statistics.median(whole[warm_up:]), 3),
    }


def evaluate(size, steps, compiled, clock):
    """Milliseconds of the forward pass on 256 images with running statistics."""
    torch.manual_seed(0)
    network, images = ReducedResNet(size).eval(), torch.rand(256, 3, size, size)
    forward = network
    if compiled:
        torch.compiler.reset()
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        forward = torch.compile(network)
    times = []
    with torch.inference_mode():
        for _ in range(steps + 2):
            began = clock()
            forward(images)
            times.append(1e3 * (clock() - began))
    return {"forward": round(statistics.median(times[2:]), 3)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--steps", type=int, default=25, help="timed steps of a row")
    arguments.add_argument("--only", default="10x32,64x32,10x84", help="cases, with commas")
    arguments.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    arguments.add_argument("--compiled-bits", type=int, help="width of torch.compile's vectors, where its own choice crashes")
    arguments.add_argument("--cpu-time", action="store_true", help="processor time, for a machine that others use")
    options = arguments.parse_args()
    if options.compiled_bits:
        from torch._inductor import config

        config.cpp.simdlen = options.compiled_bits
    clock = time.process_time if options.cpu_time else time.perf_counter
    torch.set_num_threads(options.threads)

    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=0.1)

    rows = {}
    for case in options.only.split(","):
        if case in EVALUATIONS:
            size, steps = EVALUATIONS[case], max(options.steps // 3, 3)
            rows[f"{case} eager"] = evaluate(size, steps, False, clock)
            if not options.no_compile:
                rows[f"{case} compiled"] = evaluate(size, steps, True, clock)
            continue
        if case not in CASES:
            arguments.error(f"unknown case {case}; known: {', '.join([*CASES, *EVALUATIONS])}")
        rows[f"{case} eager"] = measure(case, options.steps, sgd, False, clock)
        if not options.no_compile:
            rows[f"{case} compiled"] = measure(case, options.steps, sgd, True, clock)
        if case == "10x32":
            for past in (0, 9, 19):
                row = f"{case} eager, TAG {past}"
                rows[row] = measure(case, options.steps, lambda p, n=past: TagRmsProp(p, n, 2.5e-4), False, clock)
    print(json.dumps({"torch": torch.__version__, "threads": options.threads, "median_ms": rows}))


if __name__ == "__main__":
    main()
