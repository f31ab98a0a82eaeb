#!/usr/bin/env python3
"""Makes a file of features out of the four idx files of MNIST (or Fashion-MNIST): its pixels, divided by 255.

    python3 tools/make_features.py IDX_DIR OUT.npz [--split]

A stand-in for what a pretrained network would give: real data in the form that `format = "features"` reads
(docs/own-data.md). With --split the halves go to OUT-train.npz and OUT-test.npz, each with `features` and `labels`.
Floats of 32 bits, labels of 64. Needs NumPy alone.

Features of a network are made in the same way; with PyTorch:

    numpy.savez("features.npz", train_features=..., train_labels=..., test_features=..., test_labels=...)
"""

import gzip
import os
import sys

import numpy as np


def read(folder, name, dimensions):
    path = os.path.join(folder, name)
    opener = gzip.open if os.path.exists(path + ".gz") else open
    with opener(path + ".gz" if opener is gzip.open else path, "rb") as file:
        data = file.read()
    sizes = np.frombuffer(data, ">u4", 1 + dimensions)
    return np.frombuffer(data, np.uint8, offset=4 * len(sizes)).reshape(sizes[1:])


def half(folder, name):
    images = read(folder, f"{name}-images-idx3-ubyte", 3)
    labels = read(folder, f"{name}-labels-idx1-ubyte", 1)
    features = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    return features, labels.astype(np.int64)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--split"]
    if len(arguments) != 2 or not arguments[1].endswith(".npz"):
        sys.exit(__doc__)
    folder, out = arguments
    train, test = half(folder, "train"), half(folder, "t10k")
    if "--split" in sys.argv:
        for name, (features, labels) in [("train", train), ("test", test)]:
            np.savez(out.replace(".npz", f"-{name}.npz"), features=features, labels=labels)
    else:
        np.savez(
            out,
            train_features=train[0],
            train_labels=train[1],
            test_features=test[0],
            test_labels=test[1],
        )
    print(f"{len(train[0])} + {len(test[0])} rows of {train[0].shape[1]} features")


main()
