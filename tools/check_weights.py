#!/usr/bin/env python3
"""Loads a run's model.safetensors into PyTorch and compares its test accuracies with the run's own.

    python3 tools/check_weights.py RUN_FOLDER CIFAR_FOLDER

RUN_FOLDER is a finished Split-CIFAR100 run of any convolutional network with the classes in their fixed order;
CIFAR_FOLDER holds test.bin of CIFAR-100's binary version. Needs torch, numpy and safetensors, and torchvision for a run
of resnet18. The other networks are written here once more from their description, with the parameter names of the
released code; all take the file with strict checking. Exits with 1 if any task's accuracy differs by more than 0.1
points.
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
    block = Block

    def __init__(self, classes, width=20):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for i, (outputs, stride) in enumerate([(width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)], 1):
            stage = nn.Sequential(self.block(inputs, outputs, stride), self.block(outputs, outputs, 1))
            setattr(self, f"layer{i}", stage)
            inputs = outputs
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(F.avg_pool2d(x, 4).flatten(1))


class SlimBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            side = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(side, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class SlimResNet18(ReducedResNet18):
    """GEM's: other blocks in the same places."""

    block = SlimBlock


class AlexNet(nn.Module):
    """For 32x32 images; the norms are declared and not used, as in the released code."""

    def __init__(self, classes):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 64, 4), nn.Conv2d(64, 128, 3), nn.Conv2d(128, 256, 2)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(64), nn.BatchNorm2d(128), nn.BatchNorm2d(256)
        self.fc1, self.fc2 = nn.Linear(1024, 2048), nn.Linear(2048, 2048)
        self.bn4, self.bn5 = nn.BatchNorm1d(2048), nn.BatchNorm1d(2048)
        self.linear = nn.Linear(2048, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.linear(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class LeNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        first = [nn.Conv2d(3, 20, 5, padding=2), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(20, 50, 5, padding=2), nn.BatchNorm2d(50), nn.ReLU(), nn.MaxPool2d(2)]
        self.linear = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(50 * 64, 500), nn.ReLU())
        self.last = nn.Linear(500, classes)

    def forward(self, x):
        return self.last(self.linear(x))


def network(model):
    if model == "resnet18":
        import torchvision

        return torchvision.models.resnet18(num_classes=100)
    networks = {"reduced-resnet18": ReducedResNet18, "slim-resnet18": SlimResNet18, "alexnet": AlexNet, "lenet": LeNet}
    if model not in networks:
        sys.exit(f"no network for the model {model}")
    return networks[model](100)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, cifar = sys.argv[1:]
    with open(os.path.join(run, "result.json"), encoding="utf-8") as file:
        result = json.load(file)
    config = result["config"]
    if config["benchmark"] != "split-cifar100" or config["class_order"] != "fixed":
        sys.exit("only Split-CIFAR100 runs with the classes in their fixed order")
    net = network(config["model"])
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
