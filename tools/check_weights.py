#!/usr/bin/env python3
"""Loads a run's model.safetensors into PyTorch and compares its test accuracies with the run's own.

    python3 tools/check_weights.py RUN_FOLDER CIFAR_FOLDER

RUN_FOLDER is a finished Split-CIFAR100 run of the reduced ResNet-18 with the classes in their fixed order;
CIFAR_FOLDER holds test.bin of CIFAR-100's binary version. Needs torch, numpy and safetensors. The network is written
here once more from its description (one 3x3 convolution a block; convolution, ReLU, norm; no norm on the shortcut), with
the parameter names of the released code, and takes the file with strict checking. Exits with 1 if any task's accuracy
differs by more than 0.1 points.
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.Sequential(nn.BatchNorm2d(outputs))
        self.bn2 = nn.Sequential(nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))

    def forward(self, x):
        y = self.bn1(F.relu(self.conv1(x)))
        return self.bn2(F.relu(y + self.shortcut(x)))


class ReducedResNet18(nn.Module):
    def __init__(self, classes, width=20):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for i, (outputs, stride) in enumerate([(width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)], 1):
            stage = nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
            setattr(self, f"layer{i}", stage)
            inputs = outputs
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, cifar = sys.argv[1:]
    with open(os.path.join(run, "result.json"), encoding="utf-8") as file:
        result = json.load(file)
    config = result["config"]
    if config["benchmark"] != "split-cifar100" or config["class_order"] != "fixed":
        sys.exit("only Split-CIFAR100 runs with the classes in their fixed order")
    net = ReducedResNet18(100)
    net.load_state_dict(load_file(os.path.join(run, "model.safetensors")), strict=True)
    net.eval()
    records = np.fromfile(os.path.join(cifar, "test.bin"), dtype=np.uint8).reshape(-1, 3074)
    labels = torch.from_numpy(records[:, 1].astype(np.int64))
    images = torch.from_numpy(records[:, 2:].reshape(-1, 3, 32, 32))
    per_task = 100 // config["tasks"]
    worst = 0.0
    for task, ours in enumerate(result["accuracy_matrix"][-1]):
        classes = slice(task * per_task, (task + 1) * per_task)
        chosen = (labels >= classes.start) & (labels < classes.stop)
        with torch.no_grad():
            logits = torch.cat([net(part.float() / 255)[:, classes] for part in images[chosen].split(256)])
        accuracy = 100.0 * (logits.argmax(1) + classes.start == labels[chosen]).float().mean().item()
        worst = max(worst, abs(accuracy - ours))
        print(f"task {task + 1:2d}: PyTorch {accuracy:6.2f}%  tagcl {ours:6.2f}%")
    print(f"largest difference {worst:.2f} points")
    sys.exit(int(worst > 0.1))


if __name__ == "__main__":
    main()
