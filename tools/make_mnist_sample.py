#!/usr/bin/env python3
"""Makes the embedded MNIST sample from the four official files.

    python3 tools/make_mnist_sample.py MNIST_DIR [OUT_DIR]

MNIST_DIR holds {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz. OUT_DIR defaults to
crates/learn/assets/mnist-sample beside this script's folder. Of each digit the first TRAIN_PER_DIGIT training and
TEST_PER_DIGIT test images are taken and kept in file order. The output is idx in gzip, without name
or time in the header, so that it is the same on every run with the same zlib. Standard library only.
Prints sizes and SHA-256 sums, also of the unpacked input.
"""

import gzip
import hashlib
import os
import struct
import sys
import zlib

TRAIN_PER_DIGIT = 1000
TEST_PER_DIGIT = 200
SIZE = 28 * 28


def read(path, magic, sizes):
    with gzip.open(path, "rb") as file:
        data = file.read()
    print(f"input   {hashlib.sha256(data).hexdigest()}  {os.path.basename(path)} (unpacked)")
    header = struct.unpack_from(f">{1 + sizes}I", data)
    body = data[4 + 4 * sizes :]
    length = 1
    for size in header[1:]:
        length *= size
    if header[0] != magic or len(body) != length:
        sys.exit(f"{path}: header {header} does not fit {len(body)} bytes")
    return header[1:], body


def write(path, data):
    # A gzip member by hand: gzip.compress() writes an operating-system byte that varies by version.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    body = packer.compress(data) + packer.flush()
    trailer = struct.pack("<II", zlib.crc32(data), len(data))
    packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + body + trailer
    with open(path, "wb") as file:
        file.write(packed)
    print(
        f"output  {hashlib.sha256(packed).hexdigest()}  {os.path.basename(path)} ({len(packed)} bytes)\n"
        f"        {hashlib.sha256(data).hexdigest()}  unpacked ({len(data)} bytes)"
    )


def sample(source, out, prefix, per_digit):
    shape, pixels = read(f"{source}/{prefix}-images-idx3-ubyte.gz", 0x803, 3)
    (count,), labels = read(f"{source}/{prefix}-labels-idx1-ubyte.gz", 0x801, 1)
    if shape != (count, 28, 28):
        sys.exit(f"{prefix}: images are {shape}, labels {count}")
    taken = [0] * 10
    chosen = []
    for index, digit in enumerate(labels):
        if taken[digit] < per_digit:
            taken[digit] += 1
            chosen.append(index)
    if taken != [per_digit] * 10:
        sys.exit(f"{prefix}: only {taken} images a digit")
    images = b"".join(pixels[i * SIZE : (i + 1) * SIZE] for i in chosen)
    write(f"{out}/{prefix}-images-idx3-ubyte.gz", struct.pack(">4I", 0x803, len(chosen), 28, 28) + images)
    write(
        f"{out}/{prefix}-labels-idx1-ubyte.gz",
        struct.pack(">2I", 0x801, len(chosen)) + bytes(labels[i] for i in chosen),
    )


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[2] if len(sys.argv) == 3 else os.path.join(here, "..", "crates", "learn", "assets", "mnist-sample")
    os.makedirs(out, exist_ok=True)
    sample(sys.argv[1], out, "train", TRAIN_PER_DIGIT)
    sample(sys.argv[1], out, "t10k", TEST_PER_DIGIT)


if __name__ == "__main__":
    main()
