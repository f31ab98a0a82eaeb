#!/usr/bin/env python3
"""Writes the checkpoints that the tests of crates/learn/src/data/format/torch.rs read: every type, views, nesting, both formats.

    python3 tools/make_torch_fixtures.py crates/learn/src/data/format/torch

Needs torch. The files depend on its version (alignment, pickles), so they are kept and not made anew.
"""
import collections
import os
import sys

import torch


def state_dict():
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4) * 0.5
    tensors = collections.OrderedDict()
    tensors["float"] = base
    tensors["half"] = torch.tensor([1.5, -2.0, 65504.0], dtype=torch.float16)
    tensors["bfloat"] = torch.tensor([[1.5, -2.0], [3e38, 0.1]], dtype=torch.bfloat16)
    tensors["double"] = torch.tensor(0.1, dtype=torch.float64)
    tensors["transposed"] = base.t()
    tensors["column"] = base[:, 1]
    tensors["num_batches_tracked"] = torch.tensor(7)
    tensors["parameter"] = torch.nn.Parameter(torch.tensor([0.25]))
    tensors["empty"] = torch.zeros(0, 3)
    return tensors


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    torch.save(state_dict(), os.path.join(folder, "zip.pth"))
    legacy = os.path.join(folder, "legacy.pth")
    torch.save({"epoch": 3, "state_dict": state_dict()}, legacy, _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 1), os.path.join(folder, "module.pth"))


if __name__ == "__main__":
    main()
