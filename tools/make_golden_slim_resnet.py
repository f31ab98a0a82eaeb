"""Makes tests/golden/slim_resnet18.json: the slim ResNet-18 of GEM, forward and backward, in double precision.

    python tools/make_golden_slim_resnet.py > tests/golden/slim_resnet18.json      (NumPy)

Written from the description of the released network (facebookresearch/GradientEpisodicMemory, model/common.py) alone, with
a tape of its own instead of PyTorch. Per size: one SGD step (lr 0.01) in training mode on task 2, then logits in evaluation
mode. Weights are hashed noise, as in tests/golden/make_resnet18.py. Before it writes anything, the script compares its
gradients with differences of the loss, and the number of parameters with the published one; what single precision makes of
the same arithmetic goes to standard error.
"""

import json
import math
import sys

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WIDTH, CLASSES, PER_TASK, EPSILON = 20, 100, 10, 1e-5
CASES = {"slim-resnet18-32": (4, 3, 32, 32), "slim-resnet18-84": (2, 3, 84, 84)}


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
    return ((x >> np.uint64(8)).astype(np.float64) / 2**23 - 1).reshape(shape)


def blocks():
    """Name, input channels, output channels and stride of every block."""
    channels = WIDTH
    for stage in range(4):
        for place in range(2):
            out, stride = WIDTH * 2**stage, 2 if stage and not place else 1
            yield f"layer{stage + 1}.{place}", channels, out, stride
            channels = out


def shapes(features):
    """The parameters by name, in PyTorch's order."""
    def norm(name, channels):
        return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}

    found = {"conv1.weight": (WIDTH, 3, 3, 3), **norm("bn1", WIDTH)}
    for name, cin, out, stride in blocks():
        found |= {f"{name}.conv1.weight": (out, cin, 3, 3), **norm(f"{name}.bn1", out)}
        found |= {f"{name}.conv2.weight": (out, out, 3, 3), **norm(f"{name}.bn2", out)}
        if stride != 1 or cin != out:
            found |= {f"{name}.shortcut.0.weight": (out, cin, 1, 1), **norm(f"{name}.shortcut.1", out)}
    return found | {"linear.weight": (CLASSES, features), "linear.bias": (CLASSES,)}


def initial(features, dtype):
    """Every value is rounded to single precision, so that a test can start from the same point."""
    values = {}
    for i, (name, shape) in enumerate(shapes(features).items()):
        value = noise(shape, i + 1)
        if len(shape) > 1:
            value *= math.sqrt(3 / np.prod(shape[1:]))
        else:
            value = 0.1 * value
        value = value.astype(np.float32)
        if len(shape) == 1 and name.endswith("weight"):
            value += np.float32(1.0)
        values[name] = value.astype(dtype)
    return values


class Tape:
    """One pass. Every operation returns its value and notes how a gradient at it goes back."""

    def __init__(self, parameters, running=None, training=True):
        self.parameters, self.running, self.training = parameters, running, training
        self.notes, self.gradients = [], {name: np.zeros_like(p) for name, p in parameters.items()}

    def convolve(self, x, name, stride):
        weight = self.parameters[name]
        size = weight.shape[2]
        pad = size // 2
        padded = np.pad(x["value"], ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
        y = {"value": np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True)}

        def back():
            self.gradients[name] += np.einsum("nohw,nchwij->ocij", y["d"], windows, optimize=True)
            d = np.zeros_like(padded)
            height, width = y["d"].shape[2:]
            for i in range(size):
                for j in range(size):
                    part = np.einsum("nohw,oc->nchw", y["d"], weight[:, :, i, j], optimize=True)
                    d[:, :, i:i + stride * height:stride, j:j + stride * width:stride][:, :, :height, :width] += part
            add(x, d[:, :, pad:d.shape[2] - pad, pad:d.shape[3] - pad] if pad else d)

        self.notes.append((y, back))
        return y

    def normalise(self, x, name):
        weight, bias = (self.parameters[f"{name}.{what}"].reshape(1, -1, 1, 1) for what in ("weight", "bias"))
        over = (0, 2, 3)
        if not self.training:
            mean, variance = (self.running[f"{name}.running_{what}"].reshape(1, -1, 1, 1) for what in ("mean", "var"))
            return {"value": (x["value"] - mean) / np.sqrt(variance + EPSILON) * weight + bias}
        mean, variance = x["value"].mean(over, keepdims=True), x["value"].var(over, keepdims=True)
        root = np.sqrt(variance + EPSILON)
        hat = (x["value"] - mean) / root
        y = {"value": hat * weight + bias}
        if self.running is not None:
            count = x["value"].size / mean.size
            for what, new in (("mean", mean), ("var", variance * count / (count - 1))):
                old = self.running.setdefault(f"{name}.running_{what}", np.full(mean.size, float(what == "var")))
                old *= 0.9
                old += 0.1 * new.ravel()

        def back():
            d = y["d"]
            self.gradients[f"{name}.weight"] += (d * hat).sum(over)
            self.gradients[f"{name}.bias"] += d.sum(over)
            d = d * weight
            add(x, (d - d.mean(over, keepdims=True) - hat * (d * hat).mean(over, keepdims=True)) / root)

        self.notes.append((y, back))
        return y

    def relu(self, x, other=None):
        total = x["value"] + (0 if other is None else other["value"])
        y = {"value": np.maximum(total, 0)}

        def back():
            d = y["d"] * (total > 0)
            add(x, d)
            if other is not None:
                add(other, d)

        self.notes.append((y, back))
        return y

    def head(self, x):
        """Means over windows of 4x4 pixels, flattened, and the linear layer."""
        n, c, h, w = x["value"].shape
        rows, columns = h // 4, w // 4
        cut = x["value"][:, :, :4 * rows, :4 * columns].reshape(n, c, rows, 4, columns, 4)
        features = cut.mean((3, 5)).reshape(n, -1)
        weight = self.parameters["linear.weight"]
        y = {"value": features @ weight.T + self.parameters["linear.bias"]}

        def back():
            self.gradients["linear.weight"] += y["d"].T @ features
            self.gradients["linear.bias"] += y["d"].sum(0)
            d = np.zeros_like(x["value"])
            each = (y["d"] @ weight).reshape(n, c, rows, 1, columns, 1) / 16
            d[:, :, :4 * rows, :4 * columns] = np.broadcast_to(each, cut.shape).reshape(n, c, 4 * rows, 4 * columns)
            add(x, d)

        self.notes.append((y, back))
        return y

    def network(self, images):
        x = self.relu(self.normalise(self.convolve({"value": images}, "conv1.weight", 1), "bn1"))
        for name, cin, out, stride in blocks():
            y = self.relu(self.normalise(self.convolve(x, f"{name}.conv1.weight", stride), f"{name}.bn1"))
            y = self.normalise(self.convolve(y, f"{name}.conv2.weight", 1), f"{name}.bn2")
            side = x
            if stride != 1 or cin != out:
                side = self.normalise(self.convolve(x, f"{name}.shortcut.0.weight", stride), f"{name}.shortcut.1")
            x = self.relu(y, side)
        return self.head(x)

    def backward(self, y, d):
        y["d"] = d
        for value, back in reversed(self.notes):
            back()


def add(x, d):
    x["d"] = x["d"] + d if "d" in x else d


def loss_of(logits, labels):
    """Mean cross-entropy among the classes of task 2, and its gradient at all logits."""
    rows = np.arange(len(labels))
    part = logits[:, PER_TASK:2 * PER_TASK]
    shifted = part - part.max(1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    d = np.zeros_like(logits)
    d[:, PER_TASK:2 * PER_TASK] = chances / len(labels)
    d[rows, labels] -= 1 / len(labels)
    return -np.log(chances[rows, labels - PER_TASK]).mean(), d


def first_step(shape, dtype):
    """Parameters, images, labels, running statistics, logits, loss and gradients."""
    features = 8 * WIDTH * (math.ceil(shape[2] / 8) // 4) * (math.ceil(shape[3] / 8) // 4)
    parameters = initial(features, dtype)
    images = noise(shape, 1000).astype(dtype)
    labels = np.arange(shape[0]) % PER_TASK + PER_TASK
    running = {}
    tape = Tape(parameters, running)
    logits = tape.network(images)
    loss, d = loss_of(logits["value"], labels)
    tape.backward(logits, d)
    return parameters, images, labels, running, logits["value"], loss, tape.gradients


def check(parameters, images, labels, gradients):
    """Gradients against central differences along themselves, tensor by tensor."""
    for name, gradient in gradients.items():
        length = np.linalg.norm(gradient)

        def at(step, name=name, gradient=gradient, length=length):
            moved = parameters | {name: parameters[name] + step * gradient / length}
            return loss_of(Tape(moved).network(images)["value"], labels)[0]

        slopes = [(at(h) - at(-h)) / (2 * h) for h in (1e-6, 1e-7, 1e-8)]
        error = min(abs(slope / length - 1) for slope in slopes)
        if not error < 1e-4:
            sys.exit(f"{name}: the gradient is {length}, differences say {slopes}")


def case(name, shape):
    parameters, images, labels, running, logits, loss, gradients = first_step(shape, np.float64)
    count = sum(p.size for p in parameters.values())
    if shape[2] == 32:
        if count != 1_109_240:
            sys.exit(f"{count} parameters are not the published 1,109,240")
        check(parameters, images, labels, gradients)
    single = first_step(shape, np.float32)[-1]
    apart = {n: np.linalg.norm(g - single[n]) / np.linalg.norm(g) for n, g in gradients.items()}
    worst = max(apart, key=apart.get)
    print(f"{name}: single precision differs by at most {apart[worst]:.1e} ({worst})", file=sys.stderr)
    rows = [{"parameter": n, "shape": list(g.shape), "norm": float(np.linalg.norm(g)), "sum": float(g.sum()),
             "first": g.ravel()[:4].tolist()} for n, g in gradients.items()]
    statistics = {n: {"sum": float(b.sum()), "first": b[:3].tolist()} for n, b in running.items()}
    after = {n: p - 0.01 * gradients[n] for n, p in parameters.items()}
    evaluated = Tape(after, running, training=False).network(images)["value"]
    return {
        "weights": "parameter i (from 1): noise(shape, i) * sqrt(3/fan-in), vectors 0.1 * noise(shape, i), batch-norm "
                   "weights add 1; rounded to single precision",
        "input": "noise(shape, 1000)", "input_shape": list(shape), "classes_per_task": PER_TASK,
        "labels": labels.tolist(), "parameters": count, "loss": float(loss),
        "train_logits_task_slice": logits[:, PER_TASK:2 * PER_TASK].tolist(), "gradients": rows,
        "running_statistics_after_step": statistics,
        "eval_logits_task_slice_after_sgd_step": evaluated[:, PER_TASK:2 * PER_TASK].tolist(),
    }


json.dump({name: case(name, shape) for name, shape in CASES.items()}, sys.stdout, indent=1)
print()
