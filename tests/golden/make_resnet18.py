#!/usr/bin/env python3
"""Golden vectors of the full ResNet-18 where single precision can meet them: writes resnet18.json beside itself.

    python3 tests/golden/make_resnet18.py

Needs torch and torchvision. One SGD step (lr 0.01) in training mode on task 2, then logits in evaluation mode, all in
double precision, as in make_golden.py. There the weights are sines of their position, which leaves activations so near
the ReLU's edge that PyTorch's own single-precision gradients differ by 0.5 %; here they are hashed noise, for which
PyTorch's single precision agrees to 1e-5 (this script prints it).
"""
import json
import math
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

SHAPE, CLASSES, PER_TASK = (4, 3, 64, 64), 20, 10


def noise(shape, salt):
    """Uniform in [-1, 1), a multiple of 2^-23: a hash of the row-major index and the salt."""
    mask = np.uint64(0xFFFFFFFF)
    x = np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(2654435761) + np.uint64(salt * 40503 * 65537)
    x &= mask
    x ^= x >> np.uint64(16)
    x = x * np.uint64(0x7FEB352D) & mask
    x ^= x >> np.uint64(15)
    x = x * np.uint64(0x846CA68B) & mask
    x ^= x >> np.uint64(16)
    return torch.from_numpy((x >> np.uint64(8)).astype(np.float64) / 2**23 - 1).reshape(shape)


def network(dtype):
    net = torchvision.models.resnet18(weights=None)
    net.fc = nn.Linear(512, CLASSES)
    net = net.to(dtype)
    for i, (name, p) in enumerate(net.named_parameters()):
        value = noise(p.shape, i + 1)
        if p.dim() > 1:
            value *= math.sqrt(3 / int(np.prod(p.shape[1:])))
        else:
            value = 0.1 * value + (1.0 if name.endswith("weight") else 0.0)
        with torch.no_grad():
            p.copy_(value.to(dtype))
    return net


def first_step(dtype):
    net = network(dtype)
    x, y = noise(SHAPE, 1000).to(dtype), torch.arange(SHAPE[0]) % PER_TASK + PER_TASK
    net.train()
    loss = F.cross_entropy(net(x)[:, PER_TASK:2 * PER_TASK], y - PER_TASK)
    loss.backward()
    return net, x, y, loss


def main():
    net, x, y, loss = first_step(torch.float64)
    single = dict(first_step(torch.float32)[0].named_parameters())
    differences = [((p.grad - single[n].grad.double()).norm() / p.grad.norm()).item() for n, p in net.named_parameters()]
    print(f"single precision differs by at most {max(differences):.1e}")
    gradients = [{"parameter": n, "shape": list(p.shape), "norm": p.grad.norm().item(), "sum": p.grad.sum().item(),
                  "first": p.grad.flatten()[:4].tolist()} for n, p in net.named_parameters()]
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.01 * p.grad
    buffers = {n: {"sum": b.sum().item(), "first": b.flatten()[:3].tolist()} for n, b in net.named_buffers()
               if "num_batches" not in n}
    net.eval()
    with torch.no_grad():
        after = net(x)[:, PER_TASK:2 * PER_TASK]
    result = {"weights": "parameter i (from 1): noise(shape, i) * sqrt(3/fan-in), vectors 0.1 * noise(shape, i), "
                         "batch-norm weights add 1", "input": "noise(shape, 1000)", "input_shape": list(SHAPE),
              "classes_per_task": PER_TASK, "labels": y.tolist(),
              "parameters": sum(p.numel() for p in net.parameters()), "loss": loss.item(), "gradients": gradients,
              "running_statistics_after_step": buffers, "eval_logits_task_slice_after_sgd_step": after.tolist()}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resnet18.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
